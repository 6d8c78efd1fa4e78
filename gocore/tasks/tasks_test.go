package tasks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
)

var now = store.Wait{} // no wait

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newTasks(t testing.TB, o memstore.Options) *Store {
	s, err := Open(newSpace(t, o))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func submit(t testing.TB, s *Store, spec Spec) uint64 {
	t.Helper()
	id, ok, err := s.Submit(&spec, store.Wait{Timeout: -1})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	return id
}

func claim(t testing.TB, s *Store, worker uint64) *Claim {
	t.Helper()
	c, err := s.Claim(context.Background(), Worker{ID: worker, PID: 1}, now)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func audit(t testing.TB, s *Store) map[State]int {
	t.Helper()
	counts, err := s.Audit()
	if err != nil {
		t.Fatal(err)
	}
	return counts
}

func TestOnlyTheTablesStepsAreLegal(t *testing.T) {
	legal := map[[2]int]State{}
	for _, step := range Transitions {
		if _, twice := legal[[2]int{int(step.From), int(step.Event)}]; twice {
			t.Errorf("two steps from %s by %s", step.From, step.Event)
		}
		legal[[2]int{int(step.From), int(step.Event)}] = step.To
		if step.From.Done() {
			t.Errorf("a step leaves the final state %s", step.From)
		}
	}
	for from := State(0); from <= Cancelled+1; from++ {
		for event := Event(0); int(event) <= len(eventNames); event++ {
			to, ok := from.next(event)
			if want := legal[[2]int{int(from), int(event)}]; to != want || ok != (want != 0) {
				t.Errorf("%s by %s: %s, want %s", from, event, to, want)
			}
			r := Record{State: from}
			if err := r.step(event); ok != (err == nil) || !ok && (!errs.Has(err, errs.IllegalTransition) || r.State != from) {
				t.Errorf("step from %s by %s: %v", from, event, err)
			}
		}
	}
	for s := Submitted; s <= Cancelled; s++ {
		if back, ok := ParseState(s.String()); !ok || back != s {
			t.Errorf("%s is read as %s", s, back)
		}
	}
}

func TestTheDocumentShowsTheTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/task-states.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (\w+) \| (\w+) \| (\w+) \|`)
	shown := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		shown[strings.Join(m[1:], " ")] = true
	}
	delete(shown, "from event to")
	for _, step := range Transitions {
		line := fmt.Sprint(step.From, " ", step.Event, " ", step.To)
		if !shown[line] {
			t.Errorf("the document lacks %q", line)
		}
		delete(shown, line)
	}
	for line := range shown {
		t.Errorf("the document shows %q, which the table does not have", line)
	}
}

func TestANewerFormatIsRefusedWithoutAWrite(t *testing.T) {
	space := newSpace(t, memstore.Options{})
	err := space.Update(now, func(tx store.Txn) error {
		w := newFields(nil)
		w.uint(1, FormatVersion+1)
		return putSealed(tx, keyFormat, w.done(), nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	before := space.Version(store.AnyChange)
	if _, err := Open(space); !errs.Has(err, errs.NewerFormat) {
		t.Fatal(err)
	}
	if space.Version(store.AnyChange) != before {
		t.Fatal("the refusal wrote")
	}
}

func TestAUUIDTellsItsTaskAndOtherSitesDoNotKnowIt(t *testing.T) {
	space := newSpace(t, memstore.Options{})
	s, err := Open(space)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(space)
	if err != nil || again.UUID(7) != s.UUID(7) {
		t.Fatal("a second opening has other uuids", err)
	}
	if id, ok := s.IDOf(s.UUID(1<<62 - 1)); !ok || id != 1<<62-1 {
		t.Fatal(id, ok)
	}
	text := s.UUID(7).String()
	if !regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(text) {
		t.Fatal(text)
	}
	if _, ok := newTasks(t, memstore.Options{}).IDOf(s.UUID(7)); ok {
		t.Fatal("another site knows it")
	}
}

func TestAClaimSleepsUntilATaskComes(t *testing.T) {
	s := newTasks(t, memstore.Options{})
	got := make(chan *Claim)
	for worker := range uint64(3) {
		go func() {
			c, err := s.Claim(t.Context(), Worker{ID: worker + 1}, store.Wait{Timeout: -1})
			if err == nil && c != nil {
				got <- c
			}
		}()
	}
	for range 3 {
		id := submit(t, s, Spec{Args: []byte("x")})
		if c := <-got; c.ID != id || string(c.Args) != "x" {
			t.Fatalf("%+v", c)
		}
	}
	if counts := audit(t, s); counts[Running] != 3 {
		t.Fatal(counts)
	}
}

func TestAClaimEndsWithItsTimeItsContextAndItsInterrupt(t *testing.T) {
	s := newTasks(t, memstore.Options{})
	w := Worker{ID: 1}
	if c, err := s.Claim(context.Background(), w, store.Wait{Timeout: time.Millisecond}); c != nil || err != nil {
		t.Fatal(c, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Claim(ctx, w, store.Wait{Timeout: -1}); !errs.Has(err, errs.Interrupted) {
		t.Fatal(err)
	}
	stop := store.Wait{Timeout: -1, Interrupted: func() bool { return true }}
	if _, err := s.Claim(context.Background(), w, stop); !errs.Has(err, errs.Interrupted) {
		t.Fatal(err)
	}
	if _, err := s.Claim(context.Background(), Worker{}, now); err != nil {
		t.Fatal(err) // nothing to claim: no need to know who asks
	}
	submit(t, s, Spec{})
	if _, err := s.Claim(context.Background(), Worker{}, now); !errs.Has(err, errs.InvalidArgument) {
		t.Fatal(err)
	}
}

func TestAWorkerThatLeavesHandsItsWakeUpOn(t *testing.T) {
	s := newTasks(t, memstore.Options{})
	submit(t, s, Spec{})
	before := s.space.Version(Pending)
	if err := s.passOn(errors.New("leaving")); err == nil || s.space.Version(Pending) == before {
		t.Fatal("a ready task and no wake-up")
	}
	claim(t, s, 1)
	before = s.space.Version(Pending)
	if err := s.passOn(errors.New("leaving")); err == nil || s.space.Version(Pending) != before {
		t.Fatal("a wake-up for nothing")
	}
}

func TestRetirementWakesAnIdleWorker(t *testing.T) {
	s := newTasks(t, memstore.Options{})
	refused := make(chan error)
	go func() {
		_, err := s.Claim(t.Context(), Worker{ID: 4}, store.Wait{Timeout: -1})
		refused <- err
	}()
	if err := s.Retire([]uint64{4}, store.Wait{Timeout: -1}); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; !errs.Has(err, errs.Fenced) {
		t.Fatal(err)
	}
}

func TestADelayedTaskRunsWhenItsTimeHasCome(t *testing.T) {
	c := &clock{t: time.Unix(1e9, 0)}
	s := newTasks(t, memstore.Options{Clock: c.now})
	late := submit(t, s, Spec{Due: c.now().Add(time.Minute).UnixNano()})
	soon := submit(t, s, Spec{Due: c.now().Add(time.Second).UnixNano(), Queue: "q"})
	if got := claim(t, s, 1); got != nil {
		t.Fatalf("claimed %+v before its time", got)
	}
	c.advance(time.Second)
	if got := claim(t, s, 1); got == nil || got.ID != soon {
		t.Fatalf("%+v", got)
	}
	if got := claim(t, s, 1); got != nil {
		t.Fatalf("claimed %+v before its time", got)
	}
	c.advance(time.Hour)
	if got := claim(t, s, 1); got == nil || got.ID != late {
		t.Fatalf("%+v", got)
	}
	audit(t, s)
}

func TestAFailureIsRetriedAfterItsBackoff(t *testing.T) {
	c := &clock{t: time.Unix(1e9, 0)}
	s := newTasks(t, memstore.Options{Clock: c.now})
	id := submit(t, s, Spec{Retries: 3, RetryOnFailure: true, Backoff: int64(time.Second)})
	for attempt, wait := range []time.Duration{1, 2, 4} {
		got := claim(t, s, 1)
		if got == nil || got.Attempt != uint32(attempt)+1 {
			t.Fatalf("attempt %d: %+v", attempt+1, got)
		}
		ended, err := s.Finish(Worker{ID: 1}, got.Ticket, Outcome{State: Failed, Payload: []byte("no")}, true, now)
		if err != nil || ended.State != Submitted || ended.Next != nil {
			t.Fatal(ended, err)
		}
		c.advance(wait*time.Second - 1)
		if early := claim(t, s, 1); early != nil {
			t.Fatalf("ran again too early: %+v", early)
		}
		c.advance(1)
	}
	got := claim(t, s, 1)
	if ended, err := s.Finish(Worker{ID: 1}, got.Ticket, Outcome{State: Failed, Payload: []byte("no")}, false, now); err != nil || ended.State != Failed {
		t.Fatal(ended, err)
	}
	if r, payload, err := s.Result(id); err != nil || r.Attempt != 4 || string(payload) != "no" {
		t.Fatalf("%+v %q %v", r, payload, err)
	}
	if got := backoff(int64(time.Minute), 1000); got != maxBackoff {
		t.Fatal(time.Duration(got))
	}
}

func TestWaitDoneSeesTheEndAndNothingElse(t *testing.T) {
	s := newTasks(t, memstore.Options{})
	ctx := context.Background()
	id := submit(t, s, Spec{})
	if _, err := s.WaitDone(ctx, id, now); !errs.Has(err, errs.WouldBlock) {
		t.Fatal(err)
	}
	if _, err := s.WaitDone(ctx, id, store.Wait{Timeout: time.Millisecond}); !errs.Has(err, errs.Timeout) {
		t.Fatal(err)
	}
	got := claim(t, s, 1)
	ended := make(chan Record)
	go func() {
		r, err := s.WaitDone(t.Context(), id, store.Wait{Timeout: -1})
		if err == nil {
			ended <- r
		}
	}()
	if _, err := s.Finish(Worker{ID: 1}, got.Ticket, Outcome{State: Finished}, false, store.Wait{Timeout: -1}); err != nil {
		t.Fatal(err)
	}
	if r := <-ended; r.State != Finished {
		t.Fatal(r.State)
	}
	if _, payload, err := s.Result(id); err != nil || payload == nil || len(payload) != 0 {
		t.Fatal("an empty result is one:", payload, err)
	}
	if err := s.Drop(id, now); err != nil {
		t.Fatal(err)
	}
	if _, err := s.WaitDone(ctx, id, now); !errs.Has(err, errs.NotFound) {
		t.Fatal(err)
	}
}

func TestManyWorkersRunEachTaskOnce(t *testing.T) {
	s := newTasks(t, memstore.Options{})
	const count, workers = 300, 8
	wait := store.Wait{Timeout: -1}
	var mu sync.Mutex
	ran := map[uint64]int{}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	for i := range uint64(workers) {
		w := Worker{ID: i + 1}
		group.Go(func() {
			var c *Claim
			var err error
			for {
				if c == nil {
					if c, err = s.Claim(ctx, w, wait); err != nil || c == nil {
						return
					}
				}
				mu.Lock()
				ran[c.ID]++
				mu.Unlock()
				ended, err := s.Finish(w, c.Ticket, Outcome{State: Finished, Payload: c.Args}, true, wait)
				if err != nil {
					t.Error(err)
					return
				}
				c = ended.Next
			}
		})
	}
	for i := range count {
		id := submit(t, s, Spec{Args: fmt.Append(nil, i)})
		if i%3 == 0 {
			if _, err := s.WaitDone(t.Context(), id, wait); err != nil {
				t.Fatal(err)
			}
		}
	}
	for id := uint64(1); id <= count; id++ {
		if _, err := s.WaitDone(t.Context(), id, wait); err != nil {
			t.Fatal(err)
		}
		if _, payload, err := s.Result(id); err != nil || !bytes.Equal(payload, fmt.Append(nil, id-1)) {
			t.Fatalf("task %d: %q %v", id, payload, err)
		}
	}
	stop()
	group.Wait()
	for id, n := range ran {
		if n != 1 {
			t.Errorf("task %d ran %d times", id, n)
		}
	}
	if counts := audit(t, s); counts[Finished] != count {
		t.Fatal(counts)
	}
}

func TestAFailingStoreLeavesEveryCallUndone(t *testing.T) {
	backend := memstore.New(memstore.Options{})
	space, err := backend.Open("__task__", true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(space)
	if err != nil {
		t.Fatal(err)
	}
	var ticket Ticket
	var id uint64
	calls := []struct {
		name    string
		prepare func()
		run     func() error
	}{
		{"submit", func() {}, func() error { _, _, err := s.Submit(&Spec{Limit: 1e6}, now); return err }},
		{"claim", func() { submit(t, s, Spec{}) }, func() error { _, err := s.Claim(context.Background(), Worker{ID: 1}, now); return err }},
		{"finish and claim", func() { ticket = claim(t, s, 1).Ticket; submit(t, s, Spec{}) }, func() error {
			_, err := s.Finish(Worker{ID: 1}, ticket, Outcome{State: Failed, Payload: []byte("x")}, true, now)
			return err
		}},
		{"cancel", func() { id = submit(t, s, Spec{Limit: 1e6}) }, func() error { _, err := s.Cancel(id, now); return err }},
		{"crash", func() { submit(t, s, Spec{Retries: 1, RetryOnCrash: true}); claim(t, s, 2) }, func() error { _, err := s.Crash(2, "dead", now); return err }},
	}
	for _, call := range calls {
		for n := 1; ; n++ {
			if n == 1 || call.name == "claim" {
				call.prepare()
			}
			before := fmt.Sprint(audit(t, s))
			backend.FailWrite(n, nil)
			err := call.run()
			backend.ClearFaults()
			if err == nil {
				if n == 1 {
					t.Errorf("%s writes nothing", call.name)
				}
				break
			}
			if !errs.Has(err, errs.IO) {
				t.Fatal(call.name, err)
			}
			if after := fmt.Sprint(audit(t, s)); after != before {
				t.Fatalf("%s failed at write %d and left %s, before %s", call.name, n, after, before)
			}
		}
		audit(t, s)
	}
}

func TestADamagedTaskDoesNotStopTheOthers(t *testing.T) {
	backend := memstore.New(memstore.Options{})
	space, err := backend.Open("__task__", true)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(space)
	if err != nil {
		t.Fatal(err)
	}
	record := submit(t, s, Spec{})
	call := submit(t, s, Spec{Args: []byte("x")})
	good := submit(t, s, Spec{})
	for _, key := range [][]byte{keyOfID(nil, tagRecord, record), keyOfAsyncable(nil, tagCall, UUID{}, call)} {
		if err := backend.Damage("__task__", key); err != nil {
			t.Fatal(err)
		}
	}
	if got := claim(t, s, 1); got == nil || got.ID != good {
		t.Fatalf("%+v", got)
	}
	if r, err := s.State(call); err != nil || r.State != Crashed || r.Detail == "" {
		t.Fatalf("%+v, %v", r, err)
	}
	if _, err := s.Get(record); !errs.Has(err, errs.Corrupt) {
		t.Fatal(err)
	}
	if _, err := s.Audit(); !errs.Has(err, errs.Corrupt) {
		t.Fatal("the audit missed the damage:", err)
	}
	damaged := 0
	if err := space.Check(Verify, func([]byte, error) { damaged++ }); err != nil || damaged != 2 {
		t.Fatal(damaged, err)
	}
}

func TestSettingsAndWorkersAreKept(t *testing.T) {
	s := newTasks(t, memstore.Options{})
	before := s.space.Version(PoolControl)
	if err := s.SetSetting("concurrency", "3", now); err != nil {
		t.Fatal(err)
	}
	if text, err := s.Setting("concurrency"); err != nil || text != "3" {
		t.Fatal(text, err)
	}
	if s.space.Version(PoolControl) == before {
		t.Fatal("nobody is told")
	}
	if err := s.SetSetting("concurrency", "", now); err != nil {
		t.Fatal(err)
	}
	if text, err := s.Setting("concurrency"); err != nil || text != "" {
		t.Fatal(text, err)
	}
	a, err := s.NewWorker(now)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.NewWorker(now)
	if err != nil || a == b {
		t.Fatal(a, b, err)
	}
	if err := s.WorkerReady(b, 42, now); err != nil {
		t.Fatal(err)
	}
	id := submit(t, s, Spec{})
	claim(t, s, b)
	if _, err := s.Cancel(id, now); err != nil {
		t.Fatal(err)
	}
	workers, err := s.Workers()
	if err != nil || len(workers) != 1 || workers[0].ID != b || workers[0].PID != 42 || !workers[0].Retired ||
		len(workers[0].Tasks) != 1 || workers[0].Tasks[0] != id {
		t.Fatalf("%+v, %v", workers, err)
	}
	if doomed, err := s.CancelRequested(); err != nil || len(doomed) != 1 || doomed[0] != b {
		t.Fatal(doomed, err)
	}
	if _, err := s.Crash(b, "killed", now); err != nil {
		t.Fatal(err)
	}
	if workers, err := s.Workers(); err != nil || len(workers) != 0 {
		t.Fatal(workers, err)
	}
}
