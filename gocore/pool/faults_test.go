package pool

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parkit/gocore/store"
	"parkit/gocore/tasks"
)

// Properties: workers and the monitor are killed at random points, so also
// while they claim and finish; and then every task has ended with one result,
// none ran more often than its attempts allow, and records and indexes agree
// (the site's clean-up audits them).
func TestKillsAtRandomPointsLoseAndDoubleNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	s := newSite(t)
	s.start()
	const batch, kills = 200, 25
	specs := make([]tasks.Spec, batch)
	for i := range specs {
		specs[i] = tasks.Spec{Name: "f", Args: []byte("work"), Retries: kills, RetryOnCrash: true}
	}
	var ids []uint64
	space := s.Tasks.Space()
	for range kills {
		state := s.until("somebody to kill", func(state State) bool { return alive(state) > 0 })
		var pids []int
		for _, w := range state.Workers {
			if w.Alive {
				pids = append(pids, w.PID)
			}
		}
		more, err := s.Tasks.SubmitMany(specs, turn)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, more...)
		// The kill comes after as many commits as chance says.
		for range random.IntN(batch / 2) {
			_, _ = space.WaitChange(t.Context(), store.AnyChange, space.Version(store.AnyChange), store.Wait{Timeout: time.Millisecond})
		}
		_ = unix.Kill(pids[random.IntN(len(pids))], unix.SIGKILL) // it may have died by itself
		if random.IntN(8) == 0 && state.Monitor != 0 {
			_ = unix.Kill(state.Monitor, unix.SIGKILL)
			gone(t, state.Monitor)
			s.start()
		}
	}
	attempts := uint32(0)
	for _, id := range ids {
		r := s.expect(id, tasks.Finished)
		attempts += r.Attempt
		if r.Attempt > kills+1 {
			t.Fatalf("%+v", r)
		}
		if _, result, err := s.Tasks.Result(id); err != nil || !strings.HasPrefix(string(result), "done ") {
			t.Fatalf("task %d has the result %q, %v", id, result, err)
		}
	}
	t.Logf("%d tasks ran %d times", len(ids), attempts)
}

func TestAStoppedWorkerHoldsUpOnlyItsOwnTask(t *testing.T) {
	s := newSite(t)
	s.start()
	state := s.alive(2)
	frozen := state.Workers[0].PID
	if err := unix.Kill(frozen, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		begin := time.Now()
		s.expect(s.submit("work", nil), tasks.Finished)
		if took := time.Since(begin); took > 5*time.Second {
			t.Fatalf("task %d took %s", i, took)
		}
	}
	if err := unix.Kill(frozen, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkRoundTrip is submit, claim and finish in a worker process, and the
// wake-up here, one after another: Go at both ends.
func BenchmarkRoundTrip(b *testing.B) {
	s := newSite(b)
	s.Concurrency = 1
	if err := SetConcurrency(s.Config, 1); err != nil {
		b.Fatal(err)
	}
	s.start()
	for b.Loop() {
		s.expect(s.submit("work", nil), tasks.Finished)
	}
}

// BenchmarkBurst is 2,000 tasks at once.
func BenchmarkBurst(b *testing.B) {
	s := newSite(b)
	s.start()
	for b.Loop() {
		var last uint64
		for range 2000 {
			last = s.submit("work", nil)
		}
		for id := last - 1999; id <= last; id++ {
			s.expect(id, tasks.Finished)
		}
	}
	b.ReportMetric(float64(2000*b.N)/b.Elapsed().Seconds(), "tasks/s")
}
