package pool

import (
	"context"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/lockfile"
	"parkit/gocore/store"
	"parkit/gocore/tasks"
)

// Start makes sure that the site has a pool, and waits until one of its workers
// is ready. started says whether this call began it. errs.PoolFailed says why
// there is none, with the end of the log; errs.Interrupted when interrupted said
// so: the pool goes on starting.
func Start(c Config, interrupted func() bool) (started bool, err error) {
	if err := c.fill(); err != nil {
		return false, err
	}
	limit, cancel := context.WithTimeout(context.Background(), c.StartTimeout)
	defer cancel()
	if err := c.awaitStopping(interrupted); err != nil {
		return false, err
	}
	if _, alive, err := lockfile.Holder(c.monitorLock()); err != nil {
		return false, err
	} else if !alive {
		if err := c.Tasks.SetSetting(settingFailure, "", turn); err != nil {
			return false, err
		}
	}
	space := c.Tasks.Space()
	begun := &launch{ctx: limit}
	for {
		seen := space.Version(tasks.PoolControl)
		ready, failure, err := c.look()
		if err != nil {
			return false, err
		}
		stands := begun.stands(&c)
		// A monitor that was started here, and has yet to find that another one
		// was faster, must be gone first: it would come up after a Stop.
		if ready && (stands || begun.pid == 0 || begun.ended()) {
			return stands, nil
		}
		if failure != "" {
			return false, errs.New(errs.PoolFailed, "enable tasks", c.RunDir, failure)
		}
		if begun.pid == 0 || begun.ended() {
			_, alive, err := lockfile.Holder(c.monitorLock())
			switch {
			case err != nil:
				return false, err
			case alive: // another process's; it may also have been faster
				begun = &launch{ctx: limit}
			case begun.pid == 0:
				if begun, err = c.launch(limit); err != nil {
					return false, err
				}
			default:
				if _, failure, err := c.look(); err == nil && failure != "" {
					return false, errs.New(errs.PoolFailed, "enable tasks", c.RunDir, failure)
				}
				return false, errs.New(errs.PoolFailed, "enable tasks", c.RunDir,
					"the monitor ended at once; its log ends with:\n"+tail(begun.log, begun.logStart))
			}
		}
		pause := store.Wait{Timeout: time.Hour, Interrupted: interrupted}
		if begun.pid == 0 {
			// The end of somebody else's monitor is told by its lock alone.
			pause.Timeout = time.Second
		}
		_, err = space.WaitChange(begun.ctx, tasks.PoolControl, seen, pause)
		switch {
		case err == nil || errs.Has(err, errs.Timeout) || begun.ended():
		case limit.Err() != nil:
			return false, errs.Newf(errs.PoolFailed, "enable tasks", c.RunDir,
				"no worker was ready after %s; see the logs in %s. The monitor's ends with:\n%s",
				c.StartTimeout, c.LogDir, tail(filepath.Join(c.LogDir, "monitor.log"), begun.logStart))
		default:
			return false, err
		}
	}
}

// launch is a monitor that this call started.
type launch struct {
	ctx      context.Context // done when the monitor ended, or time ran out
	exit     <-chan struct{}
	pid      int
	log      string
	logStart int64
}

func (l *launch) ended() bool {
	select {
	case <-l.exit:
		return true
	default: // also where nothing was started
		return false
	}
}

// stands reports whether the site's monitor is the one that was started here.
func (l *launch) stands(c *Config) bool {
	pid, alive, err := lockfile.Holder(c.monitorLock())
	return err == nil && alive && l.pid != 0 && pid == l.pid
}

// launch starts the monitor, detached: a session of its own, so that neither a
// terminal's end nor its Ctrl-C reaches it, and nothing of this process's but
// the log. It is reaped should it end while this process lives.
func (c *Config) launch(ctx context.Context) (*launch, error) {
	l := &launch{log: filepath.Join(c.LogDir, "monitor.log")}
	file, size, err := openLog(l.log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	l.logStart = size
	command, err := c.Monitor.build("start monitor")
	if err != nil {
		return nil, err
	}
	command.Stdout, command.Stderr = file, file
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(); err != nil {
		return nil, errs.Wrap(errs.PoolFailed, "start monitor", command.Path, err)
	}
	l.pid = command.Process.Pid
	l.ctx, l.exit = reap(ctx, command)
	return l, nil
}

func reap(ctx context.Context, command *exec.Cmd) (context.Context, <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	exit := make(chan struct{})
	go func() {
		_ = command.Wait() // how it ended is in its log
		close(exit)
		cancel()
	}()
	return ctx, exit
}

// look says whether the pool works, or why it gave up.
func (c *Config) look() (ready bool, failure string, err error) {
	if failure, err = c.Tasks.Setting(settingFailure); err != nil || failure != "" {
		return false, failure, err
	}
	if _, alive, err := lockfile.Holder(c.monitorLock()); err != nil || !alive {
		return false, "", err
	}
	target, err := Concurrency(*c)
	if err != nil || target == 0 {
		return target == 0, "", err
	}
	workers, err := c.Tasks.Workers()
	if err != nil {
		return false, "", err
	}
	for _, w := range workers {
		if w.PID == 0 || w.Retired {
			continue
		}
		if _, alive, err := lockfile.Holder(workerLock(c.RunDir, w.ID)); err != nil || alive {
			return alive, "", err
		}
	}
	return false, "", nil
}

// awaitStopping waits for a monitor that is on its way out.
func (c *Config) awaitStopping(interrupted func() bool) error {
	text, err := c.Tasks.Setting(settingStop)
	if err != nil || text == "" {
		return err
	}
	grace, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		grace = 0
	}
	_, err = c.awaitMonitor(time.Duration(grace)+2*c.Grace, interrupted)
	return err
}

// awaitMonitor waits until the site's monitor has ended; false when it has not
// in that time.
func (c *Config) awaitMonitor(limit time.Duration, interrupted func() bool) (ended bool, err error) {
	p, err := lockfile.Hold(c.monitorLock())
	if err != nil || p == nil {
		return err == nil, err
	}
	defer p.Close()
	return p.WaitFor(limit, interrupted)
}

// Stop ends the pool: workers get no further task, those that still run one
// after the grace are terminated, and no process of the pool is left when it
// returns. stopped says whether there was anything to end. Tasks of workers
// that had to be terminated are treated as any dead worker's.
func Stop(c Config, grace time.Duration, interrupted func() bool) (stopped bool, err error) {
	if err := c.fill(); err != nil {
		return false, err
	}
	// Held before it is told: it lets go of its lock a while before it has ended.
	monitor, err := lockfile.Hold(c.monitorLock())
	if err != nil {
		return false, err
	}
	if monitor != nil {
		defer monitor.Close()
		stopped = true
		if err := c.Tasks.SetSetting(settingStop, strconv.FormatInt(int64(grace), 10), turn); err != nil {
			return false, err
		}
		ended, err := monitor.WaitFor(grace+2*c.Grace+5*time.Second, interrupted)
		if err != nil {
			return false, err
		}
		if !ended {
			c.Log("the monitor, process %d, did not end: killed", monitor.PID)
			monitor.Kill(unix.SIGKILL)
			if _, err := monitor.WaitFor(c.Grace, interrupted); err != nil {
				return false, err
			}
		}
	}
	left, err := c.clear(grace)
	return stopped || left, err
}

// clear ends workers that have no monitor, by being their monitor: the site
// has none while this holds its lock. It reports whether there were any.
func (c *Config) clear(grace time.Duration) (left bool, err error) {
	lock, err := lockfile.Take(c.monitorLock())
	if errs.Has(err, errs.WouldBlock) {
		return false, nil // somebody has started a new pool: that one stays
	}
	if err != nil {
		return false, err
	}
	defer lock.Release()
	m := newMonitor(*c)
	m.stop(grace, "no monitor was left to do it")
	records, err := c.Tasks.Workers()
	if err != nil {
		return false, err
	}
	if err := m.takeStock(records); err != nil {
		return false, err
	}
	left = len(m.members) > 0
	return left, m.supervise(context.Background())
}

// Cancel cancels a task. A running one ends with its worker, which the monitor
// terminates and replaces; where there is no monitor, this call does it and
// returns when it is done.
func Cancel(c Config, id uint64) (tasks.Cancelling, error) {
	cancelling, err := c.Tasks.Cancel(id, turn)
	if err != nil || cancelling.Was != tasks.Running {
		return cancelling, err
	}
	if err := c.fill(); err != nil {
		return cancelling, err
	}
	lock, err := lockfile.Take(c.monitorLock())
	if errs.Has(err, errs.WouldBlock) {
		return cancelling, nil // the monitor has been told
	}
	if err != nil {
		return cancelling, err
	}
	defer lock.Release()
	m := newMonitor(c)
	defer m.letGo()
	worker, err := adopt(c.RunDir, cancelling.Worker)
	if err != nil {
		return cancelling, err
	}
	detail := "its worker died"
	if worker != nil {
		m.watch(worker)
		worker.terminate("its task was cancelled", m.Grace)
		timer := time.AfterFunc(m.Grace, func() { worker.signal(unix.SIGKILL) })
		d := <-m.deaths
		timer.Stop()
		worker.process.Close()
		delete(m.members, worker.id)
		detail = strings.TrimSpace("its worker was terminated, because its task was cancelled; " + d.detail)
	}
	m.rescues = append(m.rescues, rescue{cancelling.Worker, detail})
	return cancelling, m.handOn()
}

// WorkerStatus is a worker as seen from outside.
type WorkerStatus struct {
	ID      uint64
	PID     int
	Alive   bool // its lock is held
	Retired bool
	Tasks   []uint64
}

// State is what Status sees.
type State struct {
	Monitor     int // pid; 0 for none
	Concurrency int
	Failure     string // why the last monitor gave up
	Workers     []WorkerStatus
}

// Status looks at the pool without changing anything.
func Status(c Config) (state State, err error) {
	pid, alive, err := lockfile.Holder(c.monitorLock())
	if err != nil {
		return State{}, err
	}
	if alive {
		state.Monitor = pid
	}
	if state.Concurrency, err = Concurrency(c); err != nil {
		return State{}, err
	}
	if state.Failure, err = c.Tasks.Setting(settingFailure); err != nil {
		return State{}, err
	}
	workers, err := c.Tasks.Workers()
	if err != nil {
		return State{}, err
	}
	for _, w := range workers {
		status := WorkerStatus{ID: w.ID, PID: w.PID, Retired: w.Retired, Tasks: w.Tasks}
		pid, alive, err := lockfile.Holder(workerLock(c.RunDir, w.ID))
		if err != nil {
			return State{}, err
		}
		if status.Alive = alive; alive && pid != 0 {
			status.PID = pid
		}
		state.Workers = append(state.Workers, status)
	}
	return state, nil
}
