package lockfile

import (
	"errors"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
)

// Process is a hold on a running process: a pidfd, which never comes to mean
// another process as a pid can.
type Process struct {
	PID  int
	file *os.File
}

// HoldProcess gets hold of the process that has pid now. What proved that it is
// the one that is meant must be looked at again afterwards.
func HoldProcess(pid int) (*Process, error) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return nil, errs.Wrap(errs.IO, "watch process", "", err)
	}
	return &Process{PID: pid, file: os.NewFile(uintptr(fd), "pidfd")}, nil
}

// Wait returns when the process has ended, true, or Close was called, false. A
// child that has ended is not reaped by it, so its pid is still its own.
func (p *Process) Wait() bool {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return false
	}
	return conn.Read(func(fd uintptr) bool {
		set := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(set, 0)
		return n > 0 || err != nil && !errors.Is(err, unix.EINTR)
	}) == nil
}

// Close ends the hold, and every wait by it.
func (p *Process) Close() { _ = p.file.Close() }

// Kill signals the process; one that has ended is left alone.
func (p *Process) Kill(signal unix.Signal) {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Control(func(fd uintptr) {
		_ = unix.PidfdSendSignal(int(fd), signal, nil, 0) // ESRCH: it has ended
	})
}

// KillGroup signals the process group that the process leads, as workers do;
// false when it leads none. A group's number is not given away while it has a
// member.
func (p *Process) KillGroup(signal unix.Signal) bool {
	return unix.Kill(-p.PID, signal) == nil
}

// WaitFor is Wait with a limit; interrupted, when set, is asked every 50 ms
// and ends the wait with errs.Interrupted.
func (p *Process) WaitFor(limit time.Duration, interrupted func() bool) (ended bool, err error) {
	end := time.Now().Add(limit)
	for {
		step := end
		if interrupted != nil {
			if interrupted() {
				return false, errs.New(errs.Interrupted, "wait for process", strconv.Itoa(p.PID), "interrupted")
			}
			if slice := time.Now().Add(50 * time.Millisecond); slice.Before(end) {
				step = slice
			}
		}
		if err := p.file.SetReadDeadline(step); err != nil {
			return false, errs.Wrap(errs.IO, "wait for process", strconv.Itoa(p.PID), err)
		}
		if p.Wait() {
			return true, nil
		}
		if !time.Now().Before(end) {
			return false, nil
		}
	}
}
