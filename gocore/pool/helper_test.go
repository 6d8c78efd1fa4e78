package pool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/lockfile"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
	"parkit/gocore/tasks"
)

// The processes of these tests are this test binary under another role.
const (
	envRole = "PARKIT_POOL_TEST_ROLE"
	envSite = "PARKIT_POOL_TEST_SITE"
)

// patience bounds every wait of the tests; none of them takes long.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	var err error
	switch role := os.Getenv(envRole); role {
	case "":
		os.Exit(m.Run())
	case "worker":
		err = work(os.Getenv(envSite))
	case "monitor":
		var c Config
		if c, err = siteConfig(os.Getenv(envSite)); err == nil {
			err = Main(c)
		}
	case "broken":
		err = errors.New("no module named 'nonsense'")
	default:
		err = fmt.Errorf("no role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func siteConfig(site string) (Config, error) {
	space, err := lmdbstore.New(filepath.Join(site, "data"), lmdbstore.Options{
		Profile: func(string) lmdbstore.Profile { return lmdbstore.Profile{Memory: true} },
	}).Open("__task__", true)
	if err != nil {
		return Config{}, err
	}
	s, err := tasks.Open(space)
	if err != nil {
		return Config{}, err
	}
	self := func(role string) Command {
		return Command{Argv: []string{os.Args[0]}, Env: []string{
			envRole + "=" + role, envSite + "=" + site,
			"GORACE=atexit_sleep_ms=0", // else each process ends a second late under -race
		}}
	}
	return Config{
		RunDir: filepath.Join(site, "run"), LogDir: filepath.Join(site, "log"),
		Tasks: s, Worker: self("worker"), Monitor: self("monitor"),
		Concurrency: 2, Grace: 2 * time.Second,
	}, nil
}

// work is a worker: a task's argument is what it does, its result "done" and
// the pid.
func work(site string) error {
	c, err := siteConfig(site)
	if err != nil {
		return err
	}
	if fail, err := os.ReadFile(filepath.Join(site, "fail")); err == nil {
		fmt.Fprintln(os.Stderr, string(fail))
		os.Exit(3)
	}
	me, err := RegisterWorker(c.RunDir, c.Tasks)
	if err != nil {
		return err
	}
	if err := WorkerReady(c.Tasks, me); err != nil {
		return err
	}
	var claim *tasks.Claim
	for {
		if claim == nil {
			claim, err = c.Tasks.Claim(context.Background(), me, store.Wait{Timeout: -1})
			if errs.Has(err, errs.Fenced) {
				return nil
			}
			if err != nil || claim == nil {
				return err
			}
		}
		switch what, arg, _ := strings.Cut(string(claim.Args), " "); what {
		case "die":
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		case "exit":
			os.Exit(7)
		case "first":
			if claim.Attempt == 1 {
				_ = unix.Kill(os.Getpid(), unix.SIGKILL)
			}
		case "hang":
			select {}
		case "until":
			if err := awaitFile(arg); err != nil {
				return err
			}
		case "orphan":
			child := exec.Command("sleep", "1000")
			if err := child.Start(); err != nil {
				return err
			}
			if err := os.WriteFile(arg, []byte(strconv.Itoa(child.Process.Pid)), 0o600); err != nil {
				return err
			}
			_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		}
		ended, err := c.Tasks.Finish(me, claim.Ticket, tasks.Outcome{
			State: tasks.Finished, Payload: fmt.Appendf(nil, "done %d", me.PID),
		}, true, store.Wait{Timeout: -1})
		if err != nil && !errs.Has(err, errs.Fenced) {
			return err
		}
		claim = ended.Next
	}
}

// awaitFile waits, by the kernel's word, until a file exists.
func awaitFile(path string) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), unix.IN_CREATE|unix.IN_MOVED_TO); err != nil {
		return err
	}
	for {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var buffer [4096]byte
		if _, err := unix.Read(fd, buffer[:]); err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// site is a site of a test; no process of it outlives the test.
type site struct {
	Config
	t    testing.TB
	root string
}

func newSite(t testing.TB) *site {
	root := t.TempDir()
	c, err := siteConfig(root)
	if err != nil {
		t.Fatal(err)
	}
	c.Log = func(format string, args ...any) { t.Logf(format, args...) }
	s := &site{Config: c, t: t, root: root}
	t.Cleanup(func() {
		if _, err := Stop(s.Config, 0, nil); err != nil {
			t.Error("stop:", err)
		}
		for _, pid := range processesOf(t, root) {
			t.Errorf("process %d of the pool is left over", pid)
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if _, err := c.Tasks.Audit(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			for _, log := range []string{"monitor", "worker-1", "worker-2"} {
				t.Logf("%s.log:\n%s", log, tail(filepath.Join(c.LogDir, log+".log"), 0))
			}
		}
		if err := c.Tasks.Space().Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// processesOf finds the processes that were started for a site.
func processesOf(t testing.TB, root string) (pids []int) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		environ, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(environ), envSite+"="+root+"\x00") {
			continue // another user's, or it has ended
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (s *site) start() {
	s.t.Helper()
	if _, err := Start(s.Config, nil); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) submit(what string, change func(*tasks.Spec)) uint64 {
	s.t.Helper()
	spec := tasks.Spec{Name: "f", Args: []byte(what)}
	if change != nil {
		change(&spec)
	}
	id, ok, err := s.Tasks.Submit(&spec, turn)
	if err != nil || !ok {
		s.t.Fatal(ok, err)
	}
	return id
}

func (s *site) done(id uint64) tasks.Record {
	s.t.Helper()
	r, err := s.Tasks.WaitDone(context.Background(), id, store.Wait{Timeout: patience})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *site) expect(id uint64, want tasks.State) tasks.Record {
	s.t.Helper()
	r := s.done(id)
	if r.State != want {
		s.t.Fatalf("task %d is %s, want %s: %+v", id, r.State, want, r)
	}
	return r
}

// until waits for a state of the pool, woken by every commit.
func (s *site) until(what string, is func(State) bool) State {
	s.t.Helper()
	space := s.Tasks.Space()
	end := time.Now().Add(patience)
	for {
		seen := space.Version(store.AnyChange)
		state, err := Status(s.Config)
		if err != nil {
			s.t.Fatal(err)
		}
		if is(state) {
			return state
		}
		// The bound is for what is told by locks alone, which wake nobody.
		_, err = space.WaitChange(context.Background(), store.AnyChange, seen, store.Wait{Timeout: 20 * time.Millisecond})
		if err != nil && !errs.Has(err, errs.Timeout) || time.Now().After(end) {
			s.t.Fatalf("waiting for %s: %v; the pool is %+v", what, err, state)
		}
	}
}

func alive(state State) (n int) {
	for _, w := range state.Workers {
		if w.Alive && !w.Retired {
			n++
		}
	}
	return n
}

func (s *site) alive(n int) State {
	s.t.Helper()
	return s.until(fmt.Sprint(n, " workers"), func(state State) bool { return alive(state) == n })
}

// running waits until a worker holds the task, and returns that worker.
func (s *site) running(id uint64) (worker WorkerStatus) {
	s.t.Helper()
	s.until(fmt.Sprintf("task %d to run", id), func(state State) bool {
		for _, w := range state.Workers {
			for _, task := range w.Tasks {
				if task == id {
					worker = w
					return true
				}
			}
		}
		return false
	})
	return worker
}

// gone waits until a process has ended.
func gone(t *testing.T, pid int) {
	t.Helper()
	p, err := lockfile.HoldProcess(pid)
	if err != nil {
		return
	}
	defer p.Close()
	ended, err := p.WaitFor(patience, nil)
	if err != nil || !ended {
		t.Fatalf("process %d lives: %v", pid, err)
	}
}
