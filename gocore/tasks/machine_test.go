package tasks

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
)

// model is what the tasks of a site must look like after the same calls: plain
// maps, no indexes, no transactions. rapid prints the seed and the shortest
// series of calls on a failure.
type model struct {
	clock   time.Time
	tasks   map[uint64]*modelTask
	retired map[uint64]bool
	stale   []Ticket // claims that were lost
	held    []Ticket // claims that are held
	last    uint64
}

type modelTask struct {
	spec      Spec
	state     State
	token     uint64
	attempt   uint32
	worker    uint64
	due       int64
	cancel    bool
	payload   []byte
	submitted int64
}

func newSpace(t testing.TB, o memstore.Options) store.Space {
	space, err := memstore.New(o).Open("__task__", true)
	if err != nil {
		t.Fatal(err)
	}
	return space
}

func TestEveryHistoryOfCallsKeepsRecordsAndIndexesInStep(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{clock: time.Unix(1e9, 0), tasks: map[uint64]*modelTask{}, retired: map[uint64]bool{}}
		space, err := memstore.New(memstore.Options{
			Clock:        func() time.Time { return m.clock },
			RerunUpdates: rapid.Bool().Draw(t, "rerun"),
		}).Open("__task__", true)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(space)
		if err != nil {
			t.Fatal(err)
		}
		wait := store.Wait{}
		workers := rapid.Uint64Range(1, 4)
		asyncables := []UUID{{1}, {2}, {2, 1}}
		anyTask := func(t *rapid.T) uint64 {
			return rapid.Uint64Range(1, m.last+1).Draw(t, "task")
		}
		t.Repeat(map[string]func(*rapid.T){
			"submit": func(t *rapid.T) {
				spec := Spec{
					Asyncable: rapid.SampledFrom(asyncables).Draw(t, "asyncable"),
					Name:      "f", CodeVersion: 7,
					Args:           rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "args"),
					Queue:          rapid.SampledFrom([]string{"", "a", "ab"}).Draw(t, "queue"),
					Priority:       rapid.SampledFrom([]int8{-128, 0, 127}).Draw(t, "priority"),
					Retries:        rapid.Uint32Range(0, 2).Draw(t, "retries"),
					RetryOnCrash:   rapid.Bool().Draw(t, "on crash"),
					RetryOnFailure: rapid.Bool().Draw(t, "on failure"),
					Backoff:        rapid.SampledFrom([]int64{0, 5}).Draw(t, "backoff"),
					Limit:          rapid.SampledFrom([]int{0, 0, 2}).Draw(t, "limit"),
				}
				if rapid.Bool().Draw(t, "delayed") {
					spec.Due = m.clock.UnixNano() + rapid.Int64Range(-3, 10).Draw(t, "delay")
				}
				limited := 0
				for _, task := range m.tasks {
					if task.spec.Asyncable == spec.Asyncable && task.spec.Limit > 0 && !task.state.Done() {
						limited++
					}
				}
				id, ok, err := s.Submit(&spec, wait)
				if err != nil {
					t.Fatal(err)
				}
				if want := spec.Limit == 0 || limited < spec.Limit; ok != want {
					t.Fatalf("submitted %v with %d of %d under way", ok, limited, spec.Limit)
				}
				if ok {
					m.last = max(m.last, id)
					m.tasks[id] = &modelTask{spec: spec, state: Submitted, due: spec.Due, submitted: m.clock.UnixNano()}
				}
			},
			"claim": func(t *rapid.T) {
				w := Worker{ID: workers.Draw(t, "worker"), PID: 10}
				if rapid.Bool().Draw(t, "choosy") {
					w.Queues = []string{rapid.SampledFrom([]string{"", "a", "ab"}).Draw(t, "serves")}
				}
				claim, err := s.Claim(context.Background(), w, wait)
				if m.retired[w.ID] {
					if !errs.Has(err, errs.Fenced) || claim != nil {
						t.Fatalf("a retired worker got %v, %v", claim, err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				m.claimed(t, w, claim)
			},
			"finish": func(t *rapid.T) {
				if len(m.held) == 0 {
					t.Skip("nothing runs")
				}
				i := rapid.IntRange(0, len(m.held)-1).Draw(t, "claim")
				ticket := m.held[i]
				task := m.tasks[ticket.ID]
				outcome := Outcome{
					State:   rapid.SampledFrom([]State{Finished, Failed}).Draw(t, "outcome"),
					Payload: rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "payload"),
					Final:   rapid.Bool().Draw(t, "final"),
				}
				w := Worker{ID: ticket.Worker, PID: 10}
				next := rapid.Bool().Draw(t, "claim next")
				ended, err := s.Finish(w, ticket, outcome, next, wait)
				m.lose(i)
				if task.cancel {
					if !errs.Has(err, errs.Fenced) {
						t.Fatalf("the result of a cancelled task: %v", err)
					}
					task.state = Cancelled
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				task.state, task.payload = outcome.State, outcome.Payload
				if outcome.State == Failed && !outcome.Final && task.spec.RetryOnFailure && task.attempt <= task.spec.Retries {
					task.state, task.payload, task.due = Submitted, nil, 0
					if task.spec.Backoff > 0 {
						task.due = m.clock.UnixNano() + task.spec.Backoff<<(task.attempt-1)
					}
				}
				if ended.State != task.state {
					t.Fatalf("finish says %s, want %s", ended.State, task.state)
				}
				if next && !m.retired[w.ID] {
					m.claimed(t, w, ended.Next)
				} else if ended.Next != nil {
					t.Fatal("a task that was not asked for")
				}
			},
			"finish with a lost claim": func(t *rapid.T) {
				if len(m.stale) == 0 {
					t.Skip("no claim was lost")
				}
				ticket := rapid.SampledFrom(m.stale).Draw(t, "ticket")
				_, err := s.Finish(Worker{ID: ticket.Worker}, ticket, Outcome{State: Finished, Payload: []byte("stale")}, true, wait)
				if !errs.Has(err, errs.Fenced) {
					t.Fatalf("a lost claim recorded a result: %v", err)
				}
				if err := s.Release(ticket, wait); !errs.Has(err, errs.Fenced) {
					t.Fatalf("a lost claim was given back: %v", err)
				}
			},
			"release": func(t *rapid.T) {
				if len(m.held) == 0 {
					t.Skip("nothing runs")
				}
				i := rapid.IntRange(0, len(m.held)-1).Draw(t, "claim")
				task := m.tasks[m.held[i].ID]
				if err := s.Release(m.held[i], wait); err != nil {
					t.Fatal(err)
				}
				m.lose(i)
				if task.cancel {
					task.state = Cancelled
					return
				}
				task.state, task.due = Submitted, 0
				task.attempt--
			},
			"crash": func(t *rapid.T) {
				worker := workers.Draw(t, "worker")
				rescued, err := s.Crash(worker, "killed by SIGKILL", wait)
				if err != nil {
					t.Fatal(err)
				}
				m.crash(t, worker, rescued)
			},
			"retire": func(t *rapid.T) {
				worker := workers.Draw(t, "worker")
				if err := s.Retire([]uint64{worker}, wait); err != nil {
					t.Fatal(err)
				}
				m.retired[worker] = true
			},
			"retire the idlest": func(t *rapid.T) {
				n := rapid.IntRange(0, 5).Draw(t, "n")
				chosen, err := s.RetireIdlest([]uint64{1, 2, 3, 4}, n, wait)
				if err != nil || len(chosen) != min(n, 4) {
					t.Fatal(chosen, err)
				}
				idle := func(worker uint64) bool {
					return !slices.ContainsFunc(m.held, func(t Ticket) bool { return t.Worker == worker })
				}
				for i, worker := range chosen {
					m.retired[worker] = true
					if i > 0 && idle(worker) && !idle(chosen[i-1]) {
						t.Fatalf("chose %v, a busy one before an idle one", chosen)
					}
				}
			},
			"cancel": func(t *rapid.T) {
				id := anyTask(t)
				c, err := s.Cancel(id, wait)
				task := m.tasks[id]
				if task == nil {
					if !errs.Has(err, errs.NotFound) {
						t.Fatal(err)
					}
					return
				}
				if err != nil || c.Was != task.state {
					t.Fatal(c, err)
				}
				switch task.state {
				case Submitted:
					task.state = Cancelled
				case Running:
					if c.Worker != task.worker {
						t.Fatalf("cancel names worker %d, want %d", c.Worker, task.worker)
					}
					task.cancel = true
					m.retired[task.worker] = true
				}
			},
			"drop": func(t *rapid.T) {
				id := anyTask(t)
				err := s.Drop(id, wait)
				switch task := m.tasks[id]; {
				case task == nil:
					if !errs.Has(err, errs.NotFound) {
						t.Fatal(err)
					}
				case task.state == Running:
					if !errs.Has(err, errs.IllegalTransition) {
						t.Fatal(err)
					}
				case err != nil:
					t.Fatal(err)
				default:
					delete(m.tasks, id)
				}
			},
			"purge": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "rarely") > 0 {
					t.Skip("not now")
				}
				n, err := s.PurgeEnded(0, wait)
				if err != nil {
					t.Fatal(err)
				}
				for id, task := range m.tasks {
					if task.state.Done() {
						delete(m.tasks, id)
						n--
					}
				}
				if n != 0 {
					t.Fatalf("purged %d too many", n)
				}
			},
			"time goes on, or back": func(t *rapid.T) {
				m.clock = m.clock.Add(time.Duration(rapid.Int64Range(-5, 20).Draw(t, "ns")))
			},
			"": func(t *rapid.T) { m.compare(t, s) },
		})
	})
}

// claimed checks that claim is the task that had to come next, and notes it.
func (m *model) claimed(t *rapid.T, w Worker, claim *Claim) {
	now := m.clock.UnixNano()
	// A task whose time had come stays ready when the clock goes back, so the
	// model allows what is due now and what was made ready earlier.
	best, must := uint64(0), uint64(0)
	for id, task := range m.tasks {
		if task.state != Submitted || len(w.Queues) > 0 && !slices.Contains(w.Queues, task.spec.Queue) {
			continue
		}
		if task.due <= now {
			if must == 0 || before(m, id, must) {
				must = id
			}
		}
		if best == 0 || before(m, id, best) {
			best = id
		}
	}
	if claim == nil {
		if must != 0 {
			t.Fatalf("task %d is ready and was not handed out", must)
		}
		return
	}
	task := m.tasks[claim.ID]
	if task == nil || task.state != Submitted {
		t.Fatalf("claimed task %d, which is not waiting", claim.ID)
	}
	if must != 0 && claim.ID != must && before(m, must, claim.ID) {
		t.Fatalf("claimed task %d before %d", claim.ID, must)
	}
	if must == 0 && best == 0 {
		t.Fatalf("claimed task %d of another queue", claim.ID)
	}
	task.state, task.worker, task.due = Running, w.ID, 0
	task.attempt++
	task.token++
	if claim.Token != task.token || claim.Attempt != task.attempt || !bytes.Equal(claim.Args, task.spec.Args) ||
		claim.Name != "f" || claim.CodeVersion != 7 || claim.Asyncable != task.spec.Asyncable {
		t.Fatalf("claim %+v of %+v", claim, task)
	}
	m.held = append(m.held, claim.Ticket)
}

func before(m *model, a, b uint64) bool {
	if p, q := m.tasks[a].spec.Priority, m.tasks[b].spec.Priority; p != q {
		return p > q
	}
	return a < b
}

func (m *model) lose(i int) {
	m.stale = append(m.stale, m.held[i])
	m.held = slices.Delete(m.held, i, i+1)
}

func (m *model) crash(t *rapid.T, worker uint64, rescued Rescued) {
	delete(m.retired, worker)
	var want Rescued
	for i := len(m.held) - 1; i >= 0; i-- {
		if m.held[i].Worker != worker {
			continue
		}
		id := m.held[i].ID
		task := m.tasks[id]
		m.lose(i)
		switch {
		case task.cancel:
			task.state = Cancelled
			want.Cancelled = append(want.Cancelled, id)
		case task.spec.RetryOnCrash && task.attempt <= task.spec.Retries:
			task.state, task.due = Submitted, 0
			want.Requeued = append(want.Requeued, id)
		default:
			task.state = Crashed
			want.Crashed = append(want.Crashed, id)
		}
	}
	for _, ids := range [][]uint64{want.Requeued, want.Crashed, want.Cancelled} {
		slices.Sort(ids)
	}
	if fmt.Sprint(want) != fmt.Sprint(rescued) {
		t.Fatalf("crash of worker %d: %v, want %v", worker, rescued, want)
	}
}

// compare checks the whole store against the model.
func (m *model) compare(t *rapid.T, s *Store) {
	counts, err := s.Audit()
	if err != nil {
		t.Fatal(err)
	}
	byState := map[State][]uint64{}
	active := map[UUID]int{}
	for id, task := range m.tasks {
		byState[task.state] = append(byState[task.state], id)
		byState[0] = append(byState[0], id)
		if !task.state.Done() {
			active[task.spec.Asyncable]++
		}
		r, payload, err := s.Result(id)
		if err != nil {
			t.Fatal(err)
		}
		if r.State != task.state || r.Token != task.token || r.Attempt != task.attempt {
			t.Fatalf("task %d is %+v, want %+v", id, r, task)
		}
		if task.state == Finished && payload == nil || !bytes.Equal(payload, task.payload) {
			t.Fatalf("task %d has the result %q, want %q", id, payload, task.payload)
		}
	}
	for state := State(0); state <= Cancelled; state++ {
		want := byState[state]
		slices.Sort(want)
		var got []uint64
		for after := uint64(0); ; {
			page, err := s.List(Filter{State: state}, after, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				got = append(got, r.ID)
				after = r.ID
			}
			if len(page) < 3 {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("list of %s: %v, want %v", state, got, want)
		}
		if state > 0 && counts[state] != len(want) {
			t.Fatalf("audit counts %d %s, want %d", counts[state], state, len(want))
		}
	}
	for asyncable, want := range active {
		if got, err := s.CountActive(asyncable); err != nil || got != want {
			t.Fatalf("%d active tasks of %s, want %d (%v)", got, asyncable, want, err)
		}
	}
}
