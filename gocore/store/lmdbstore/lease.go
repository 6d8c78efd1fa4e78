package lmdbstore

import (
	"errors"
	"io"
	"os"
	"path/filepath"
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
	held map[string]bool
}{held: map[string]bool{}}

type lease struct {
	path string
	file *os.File
}

// Lease takes a named lock that the kernel drops when this process dies. It
// is a record lock, not flock: that one would live on in forked children.
func (s *Space) Lease(name string) (store.Lease, error) {
	if err := s.alive("take lease"); err != nil {
		return nil, err
	}
	path := filepath.Join(s.dir, "lease-"+name)
	leases.Lock()
	defer leases.Unlock()
	if leases.held[path] {
		return nil, errs.Newf(errs.WouldBlock, "take lease", name, "process %d (this one) holds it", os.Getpid())
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, errs.Wrap(errs.IO, "take lease", name, err)
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err = unix.FcntlFlock(file.Fd(), unix.F_SETLK, &lock); err == nil {
		leases.held[path] = true
		return &lease{path: path, file: file}, nil
	}
	other := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	asked := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &other)
	_ = file.Close() // nothing was written
	if (errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES)) && asked == nil {
		return nil, errs.Newf(errs.WouldBlock, "take lease", name, "process %d holds it", other.Pid)
	}
	return nil, errs.Wrap(errs.IO, "take lease", name, err)
}

func (l *lease) Release() error {
	leases.Lock()
	defer leases.Unlock()
	if !leases.held[l.path] {
		return errs.New(errs.Stale, "release lease", l.path, "it was released already")
	}
	delete(leases.held, l.path)
	return l.file.Close()
}
