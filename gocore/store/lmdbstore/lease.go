package lmdbstore

import (
	"os"
	"path/filepath"
	"sort"
	"strings"

	"parkit/gocore/errs"
	"parkit/gocore/lockfile"
	"parkit/gocore/store"
)

const leasePrefix = "lease-"

type lease struct {
	space *Space
	name  string
	lock  *lockfile.Lock
}

// Lease takes a named lock that the kernel drops when this process dies.
func (s *Space) Lease(name string) (store.Lease, error) {
	const op = "take lease"
	path, err := s.leaseFile(op, name)
	if err != nil {
		return nil, err
	}
	lock, err := lockfile.Take(path)
	if err != nil {
		return nil, leaseFailure(op, name, err)
	}
	l := &lease{space: s, name: name, lock: lock}
	s.leases.Lock()
	defer s.leases.Unlock()
	if s.leases.held == nil {
		s.leases.held = map[*lease]struct{}{}
	}
	s.leases.held[l] = struct{}{}
	return l, nil
}

func (l *lease) Release() error {
	l.space.leases.Lock()
	delete(l.space.leases.held, l)
	l.space.leases.Unlock()
	if !l.lock.Release() {
		return errs.New(errs.Stale, "release lease", l.name, "it was released already")
	}
	return nil
}

// dropLeases lets go of what the space's last opener leaves behind.
func (s *Space) dropLeases() {
	s.leases.Lock()
	defer s.leases.Unlock()
	for l := range s.leases.held {
		l.lock.Release()
	}
	s.leases.held = nil
	lockfile.Forget(s.dir)
}

// Leased reports whether a process, this one included, holds a lease. The file
// of one that nobody holds is removed.
func (s *Space) Leased(name string) (bool, error) {
	const op = "look at lease"
	path, err := s.leaseFile(op, name)
	if err != nil {
		return false, err
	}
	alive, err := lockfile.Held(path)
	if err != nil || alive {
		return alive, leaseFailure(op, name, err)
	}
	if _, err := os.Lstat(path); err != nil {
		return false, nil // as after most deaths: somebody else has cleared it away
	}
	// A file that cannot be removed, or is locked again, does no harm.
	_ = lockfile.Remove(path)
	return false, nil
}

// Leases lists the leases whose names begin with prefix, be they held or left
// over by the dead.
func (s *Space) Leases(prefix string) ([]string, error) {
	const op = "list leases"
	if err := s.alive(op); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, ioFailure(op, s.name, err)
	}
	var names []string
	for _, entry := range entries {
		if name, ok := strings.CutPrefix(entry.Name(), leasePrefix); ok && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}

// WatchLease calls gone when nobody holds the lease.
func (s *Space) WatchLease(name string, gone func()) (cancel func(), err error) {
	path, err := s.leaseFile("watch lease", name)
	if err != nil {
		return nil, err
	}
	return lockfile.Watch(path, gone), nil
}

func (s *Space) leaseFile(op, name string) (path string, err error) {
	if err := s.alive(op); err != nil {
		return "", err
	}
	if name == "" || strings.ContainsAny(name, "/\x00") {
		return "", errs.New(errs.InvalidArgument, op, name, "a lease's name is part of a file's: it is not empty and has no slash")
	}
	return filepath.Join(s.dir, leasePrefix+name), nil
}

// leaseFailure gives a failure of the lock's file the code that fits.
func leaseFailure(op, name string, err error) error {
	if errs.Has(err, errs.IO) {
		return ioFailure(op, name, err)
	}
	return err
}
