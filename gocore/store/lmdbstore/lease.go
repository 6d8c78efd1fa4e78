package lmdbstore

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// leases are the named locks that this process holds. A record lock belongs
// to the process, so that a second one of the same name would be granted, and
// closing its file would drop the first.
var leases = struct {
	sync.Mutex
	held map[leaseID]bool
}{held: map[leaseID]bool{}}

type leaseID struct {
	space identity
	name  string
}

type lease struct {
	id   leaseID
	file *os.File
}

// Lease takes a named lock that the kernel drops when this process dies. It
// is a record lock, not flock: that one would live on in forked children.
func (s *Space) Lease(name string) (store.Lease, error) {
	const op = "take lease"
	if err := s.alive(op); err != nil {
		return nil, err
	}
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return nil, errs.New(errs.InvalidArgument, op, name, "a lease's name is part of a file's: it is not empty and has no slash")
	}
	leases.Lock()
	defer leases.Unlock()
	id := leaseID{s.id, name}
	if leases.held[id] {
		return nil, errs.Newf(errs.WouldBlock, op, name, "process %d (this one) holds it", os.Getpid())
	}
	file, err := os.OpenFile(filepath.Join(s.dir, "lease-"+name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, ioFailure(op, name, err)
	}
	if err := lockLease(file, name); err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	leases.held[id] = true
	return &lease{id: id, file: file}, nil
}

// lockLease takes the lock of a lease's file, or names its holder.
func lockLease(file *os.File, name string) error {
	const op = "take lease"
	for {
		lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &lock)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
			return ioFailure(op, name, err)
		}
		other := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &other); err != nil {
			return ioFailure(op, name, err)
		}
		if other.Type != unix.F_UNLCK { // else it was let go of in between
			return errs.Newf(errs.WouldBlock, op, name, "process %d holds it", other.Pid)
		}
	}
}

func (l *lease) Release() error {
	leases.Lock()
	defer leases.Unlock()
	if !leases.held[l.id] || l.file == nil {
		return errs.New(errs.Stale, "release lease", l.id.name, "it was released already")
	}
	delete(leases.held, l.id)
	err := l.file.Close()
	l.file = nil
	return errs.Wrap(errs.IO, "release lease", l.id.name, err)
}
