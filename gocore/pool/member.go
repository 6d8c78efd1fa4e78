package pool

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/lockfile"
)

// member is a worker as the monitor knows it.
type member struct {
	id       uint64
	process  *lockfile.Process
	command  *exec.Cmd // nil where an earlier monitor started it
	slot     int       // number of its log file; 0 where unknown
	log      string
	logStart int64 // where its own text begins in the log

	ready   time.Time // since when; zero until then
	retired bool      // gets no further task, and should end
	why     string    // it is being terminated for this reason
	killAt  time.Time
	killed  bool
}

// spawn starts a worker in a process group of its own, so that what its tasks
// start can be ended with it.
func spawn(c *Config, id uint64, slot int) (*member, error) {
	m := &member{id: id, slot: slot, log: filepath.Join(c.LogDir, "worker-"+strconv.Itoa(slot)+".log")}
	file, size, err := openLog(m.log)
	if err != nil {
		return nil, err
	}
	defer file.Close() // the child has its own
	m.logStart = size
	m.command, err = c.Worker.build("start worker")
	if err != nil {
		return nil, err
	}
	m.command.Env = append(m.command.Env, EnvWorkerID+"="+strconv.FormatUint(id, 10))
	m.command.Stdout, m.command.Stderr = file, file
	m.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := m.command.Start(); err != nil {
		return nil, errs.Wrap(errs.IO, "start worker", m.command.Path, err)
	}
	if m.process, err = lockfile.HoldProcess(m.command.Process.Pid); err != nil {
		_ = m.command.Process.Kill()
		_ = m.command.Wait()
		return nil, err
	}
	return m, nil
}

// build makes an exec.Cmd with no standard input; os/exec hands no other
// descriptor on than those it is given.
func (c *Command) build(op string) (*exec.Cmd, error) {
	if len(c.Argv) == 0 {
		return nil, errs.New(errs.InvalidArgument, op, "", "there is no command to start")
	}
	command := exec.Command(c.Argv[0], c.Argv[1:]...)
	command.Env = append(os.Environ(), c.Env...)
	command.Dir = c.Dir
	if command.Dir == "" {
		command.Dir = "/"
	}
	return command, nil
}

// adopt gets hold of a worker that this process did not start; nil when it does
// not live.
func adopt(runDir string, id uint64) (*member, error) {
	p, err := lockfile.Hold(workerLock(runDir, id))
	if err != nil || p == nil {
		return nil, err
	}
	return &member{id: id, process: p}, nil
}

// await waits for the worker's end, ends what is left of its process group and
// says how it ended; "" when the monitor let go of it first.
func (m *member) await() string {
	if !m.process.Wait() {
		return ""
	}
	// Not reaped yet: the number of the group is still its own.
	m.process.KillGroup(unix.SIGKILL)
	if m.command == nil {
		return "ended; how is not known, as an earlier monitor had started it"
	}
	err := m.command.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err.Error()
	}
	status := m.command.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		signal := unix.SignalName(unix.Signal(status.Signal()))
		if signal == "" {
			signal = "an unknown signal"
		}
		return fmt.Sprintf("killed by %s (signal %d)", signal, status.Signal())
	}
	return "exit status " + strconv.Itoa(status.ExitStatus())
}

// terminate asks the worker's whole group to end, and sets the time after
// which it is made to. Asking again changes nothing.
func (m *member) terminate(why string, grace time.Duration) {
	if m.why != "" {
		return
	}
	m.why = why
	m.killAt = time.Now().Add(grace)
	m.signal(unix.SIGTERM)
}

func (m *member) kill() {
	m.killed = true
	m.signal(unix.SIGKILL)
}

func (m *member) signal(signal unix.Signal) {
	if !m.process.KillGroup(signal) {
		m.process.Kill(signal) // somebody else started it, in a group of theirs
	}
}
