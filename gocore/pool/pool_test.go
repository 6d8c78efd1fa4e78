package pool

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/lockfile"
	"parkit/gocore/tasks"
)

func TestStartWaitsForAWorkerAndStopLeavesNothing(t *testing.T) {
	s := newSite(t)
	started, err := Start(s.Config, nil)
	if err != nil || !started {
		t.Fatal(started, err)
	}
	if again, err := Start(s.Config, nil); err != nil || again {
		t.Fatalf("a second start says %v, %v", again, err)
	}
	s.expect(s.submit("work", nil), tasks.Finished)
	state := s.alive(2)
	if state.Monitor == 0 || state.Concurrency != 2 {
		t.Fatalf("%+v", state)
	}
	if stopped, err := Stop(s.Config, time.Second, nil); err != nil || !stopped {
		t.Fatal(stopped, err)
	}
	for _, w := range state.Workers {
		gone(t, w.PID)
	}
	gone(t, state.Monitor)
	if state, err := Status(s.Config); err != nil || state.Monitor != 0 || len(state.Workers) != 0 {
		t.Fatalf("left over: %+v, %v", state, err)
	}
	files, err := filepath.Glob(filepath.Join(s.RunDir, "worker-*"))
	if err != nil || len(files) > 0 {
		t.Fatal("left over:", files, err)
	}
	if stopped, err := Stop(s.Config, time.Second, nil); err != nil || stopped {
		t.Fatal("stopping nothing says", stopped, err)
	}
}

func TestADeadWorkersTaskRunsAgainAndAnotherWorkerStands(t *testing.T) {
	s := newSite(t)
	s.start()
	s.alive(2)
	begin := time.Now()
	id := s.submit("first", func(spec *tasks.Spec) { spec.Retries, spec.RetryOnCrash = 1, true })
	r := s.expect(id, tasks.Finished)
	t.Logf("killed, rescued and run again in %s", time.Since(begin))
	if r.Attempt != 2 || !strings.Contains(r.Detail, "SIGKILL") {
		t.Fatalf("%+v", r)
	}
	s.alive(2)
	t.Logf("replaced after %s", time.Since(begin))
	if took := time.Since(begin); took > 2*time.Second {
		t.Fatalf("a new worker took %s", took)
	}
}

func TestATaskThatKillsEachWorkerEndsCrashedAndThePoolLives(t *testing.T) {
	s := newSite(t)
	s.start()
	poison := s.submit("die", func(spec *tasks.Spec) { spec.Retries, spec.RetryOnCrash = 3, true })
	exit := s.submit("exit", nil)
	if r := s.expect(poison, tasks.Crashed); r.Attempt != 4 || !strings.Contains(r.Detail, "SIGKILL") {
		t.Fatalf("%+v", r)
	}
	if r := s.expect(exit, tasks.Crashed); !strings.Contains(r.Detail, "exit status 7") {
		t.Fatalf("%+v", r)
	}
	s.expect(s.submit("work", nil), tasks.Finished)
	s.alive(2)
}

func TestWhatADeadWorkerStartedDiesWithIt(t *testing.T) {
	s := newSite(t)
	s.start()
	note := filepath.Join(s.root, "pid")
	s.expect(s.submit("orphan "+note, nil), tasks.Crashed)
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	gone(t, pid)
}

func TestAPoolWhoseMonitorWasKilledIsAdopted(t *testing.T) {
	s := newSite(t)
	s.start()
	before := s.alive(2)
	file := filepath.Join(s.root, "go on")
	through := s.submit("until "+file, nil)
	s.running(through)
	kill(t, before.Monitor)
	gone(t, before.Monitor)
	s.expect(s.submit("work", nil), tasks.Finished) // workers go on without
	dead := s.submit("die", func(spec *tasks.Spec) { spec.Retries, spec.RetryOnCrash = 1, true })
	s.until("the death of a worker that nobody sees", func(state State) bool { return alive(state) == 1 })

	started, err := Start(s.Config, nil)
	if err != nil || !started {
		t.Fatal(started, err)
	}
	s.expect(dead, tasks.Crashed) // rescued once, killed its second worker as well
	write(t, file)
	if r := s.expect(through, tasks.Finished); r.Attempt != 1 {
		t.Fatalf("the task in hand was disturbed: %+v", r)
	}
	after := s.alive(2)
	var stayed bool
	for _, w := range after.Workers {
		for _, old := range before.Workers {
			stayed = stayed || w.ID == old.ID
		}
	}
	if !stayed {
		t.Fatalf("no worker was adopted: %+v, then %+v", before, after)
	}
	// An adopted worker's death is seen as any other's.
	s.expect(s.submit("die", nil), tasks.Crashed)
	s.expect(s.submit("die", nil), tasks.Crashed)
	s.alive(2)
}

func TestStopEndsAPoolWithoutMonitor(t *testing.T) {
	s := newSite(t)
	s.start()
	hanging := s.submit("hang", nil)
	s.running(hanging)
	state := s.alive(2)
	kill(t, state.Monitor)
	gone(t, state.Monitor)
	if stopped, err := Stop(s.Config, 0, nil); err != nil || !stopped {
		t.Fatal(stopped, err)
	}
	for _, w := range state.Workers {
		gone(t, w.PID)
	}
	s.expect(hanging, tasks.Crashed)
}

func TestConcurrencyGrowsAndShrinksIdleWorkersFirst(t *testing.T) {
	s := newSite(t)
	s.start()
	file := filepath.Join(s.root, "go on")
	busy := s.submit("until "+file, nil)
	worker := s.running(busy)
	for _, n := range []int{4, 1, 3, 1} {
		if err := SetConcurrency(s.Config, n); err != nil {
			t.Fatal(err)
		}
		s.alive(n)
		if now := s.running(busy); now.ID != worker.ID || now.Retired {
			t.Fatalf("the busy worker gave way at %d: %+v", n, now)
		}
	}
	if err := SetConcurrency(s.Config, 0); err != nil {
		t.Fatal(err)
	}
	s.alive(0)
	if !s.running(busy).Alive {
		t.Fatal("the busy worker was ended before its task")
	}
	write(t, file)
	s.expect(busy, tasks.Finished)
	gone(t, worker.PID)
	if n, err := Concurrency(s.Config); err != nil || n != 0 {
		t.Fatal(n, err)
	}
	if started, err := Start(s.Config, nil); err != nil || started {
		t.Fatal("start of a pool of none:", started, err)
	}
}

func TestCancelEndsARunningTaskWithItsWorker(t *testing.T) {
	for _, monitored := range []bool{true, false} {
		t.Run(fmt.Sprint("with a monitor ", monitored), func(t *testing.T) {
			s := newSite(t)
			s.start()
			id := s.submit("hang", func(spec *tasks.Spec) { spec.Retries, spec.RetryOnCrash = 5, true })
			worker := s.running(id)
			other := s.submit("hang", nil)
			s.running(other)
			waiting := s.submit("work", nil)
			if !monitored {
				state := s.alive(2)
				kill(t, state.Monitor)
				gone(t, state.Monitor)
			}
			if c, err := Cancel(s.Config, waiting); err != nil || c.Was != tasks.Submitted {
				t.Fatal(c, err)
			}
			s.expect(waiting, tasks.Cancelled)
			begin := time.Now()
			if c, err := Cancel(s.Config, id); err != nil || c.Was != tasks.Running || c.PID != worker.PID {
				t.Fatal(c, err)
			}
			if r := s.expect(id, tasks.Cancelled); r.Attempt != 1 {
				t.Fatalf("%+v", r)
			}
			t.Logf("cancelled in %s", time.Since(begin))
			gone(t, worker.PID)
			if r, err := s.Tasks.Get(other); err != nil || r.State != tasks.Running {
				t.Fatalf("the other task: %+v, %v", r, err)
			}
			if monitored {
				s.alive(2)
			}
		})
	}
}

func TestStopTerminatesAfterTheGrace(t *testing.T) {
	s := newSite(t)
	s.start()
	file := filepath.Join(s.root, "go on")
	short := s.submit("until "+file, nil)
	s.running(short)
	long := s.submit("hang", func(spec *tasks.Spec) { spec.Retries, spec.RetryOnCrash = 1, true })
	s.running(long)
	queued := s.submit("work", nil)
	write(t, file)
	if _, err := Stop(s.Config, 300*time.Millisecond, nil); err != nil {
		t.Fatal(err)
	}
	s.expect(short, tasks.Finished)
	for _, id := range []uint64{long, queued} {
		if r, err := s.Tasks.Get(id); err != nil || r.State != tasks.Submitted && r.State != tasks.Finished {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

func TestAPoolThatCannotStartSaysWhy(t *testing.T) {
	s := newSite(t)
	fail := filepath.Join(s.root, "fail")
	if err := os.WriteFile(fail, []byte("ModuleNotFoundError: no module named 'nonsense'"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Start(s.Config, nil)
	if !errs.Has(err, errs.PoolFailed) || !strings.Contains(err.Error(), "nonsense") || !strings.Contains(err.Error(), "exit status 3") {
		t.Fatal(err)
	}
	s.until("the monitor's end", func(state State) bool { return state.Monitor == 0 })
	if err := os.Remove(fail); err != nil {
		t.Fatal(err)
	}
	s.start() // an old failure is not in the way
	s.expect(s.submit("work", nil), tasks.Finished)

	broken := newSite(t)
	broken.Monitor.Env[0] = envRole + "=broken"
	if _, err := Start(broken.Config, nil); !errs.Has(err, errs.PoolFailed) || !strings.Contains(err.Error(), "nonsense") {
		t.Fatal(err)
	}
	missing := newSite(t)
	missing.Monitor.Argv = []string{"/does/not/exist"}
	if _, err := Start(missing.Config, nil); !errs.Has(err, errs.PoolFailed) {
		t.Fatal(err)
	}
}

func TestOfTwoStartsAtOnceOneBeginsThePool(t *testing.T) {
	s := newSite(t)
	var group sync.WaitGroup
	started := make([]bool, 4)
	failed := make([]error, len(started))
	for i := range started {
		group.Go(func() { started[i], failed[i] = Start(s.Config, nil) })
	}
	group.Wait()
	count := 0
	for i := range started {
		if failed[i] != nil {
			t.Fatal(failed[i])
		}
		if started[i] {
			count++
		}
	}
	if count != 1 {
		t.Fatalf("%d of 4 starts began the pool", count)
	}
	s.alive(2)
}

func TestAStartThatMeetsAnInterimMonitorBeginsThePoolAfterIt(t *testing.T) {
	s := newSite(t)
	if err := os.MkdirAll(s.RunDir, 0o700); err != nil {
		t.Fatal(err)
	}
	interim, err := lockfile.Take(s.monitorLock()) // as Stop and Cancel do without a monitor
	if err != nil {
		t.Fatal(err)
	}
	started, err := Start(s.Config, func() bool {
		interim.Release() // asked while Start waits
		return false
	})
	if err != nil || !started {
		t.Fatal(started, err)
	}
}

func TestAPoolEndsWhenItsSiteIsRemoved(t *testing.T) {
	s := newSite(t)
	s.start()
	s.running(s.submit("hang", nil))
	state := s.alive(2)
	// Gone from where it was, as after rm -r, without pulling the rug from under
	// this test's own handles.
	if err := os.Rename(s.RunDir, s.RunDir+"-away"); err != nil {
		t.Fatal(err)
	}
	for _, w := range state.Workers {
		gone(t, w.PID)
	}
	gone(t, state.Monitor)
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}
