package memstore

import (
	"context"
	"sort"
	"strings"
	"sync"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// leases are the named locks of a namespace, which in another backend the
// kernel keeps. They are guarded by backend.mu.
type leases map[string]*lease

type lease struct {
	space  *Space
	name   string
	holder string
	free   chan struct{} // closed when it is let go of
	once   sync.Once
}

// Lease takes a named lock, which Crash drops as the kernel would.
func (s *Space) Lease(name string) (store.Lease, error) {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if err := s.failed(); err != nil {
		return nil, err
	}
	if l := s.disk.leases[name]; l != nil {
		return nil, errs.New(errs.WouldBlock, "lease", name,
			l.holder+" holds it; wait until that has released it or ended")
	}
	l := &lease{space: s, name: name, holder: thisGoroutine(), free: make(chan struct{})}
	s.disk.leases[name] = l
	return l, nil
}

// Release gives the lock back. Releasing again does nothing.
func (l *lease) Release() error {
	l.once.Do(func() {
		l.space.backend.mu.Lock()
		defer l.space.backend.mu.Unlock()
		// After a crash the name may be another holder's.
		if l.space.disk.leases[l.name] == l {
			delete(l.space.disk.leases, l.name)
			close(l.free)
		}
	})
	return nil
}

// drop ends the leases of a space, of all for nil.
func (ls leases) drop(space *Space) {
	for name, l := range ls {
		if space == nil || l.space == space {
			delete(ls, name)
			close(l.free)
		}
	}
}

// Leased reports whether a lease is held.
func (s *Space) Leased(name string) (bool, error) {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	return s.disk.leases[name] != nil, s.failed()
}

// Leases lists the leases that are held.
func (s *Space) Leases(prefix string) ([]string, error) {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if err := s.failed(); err != nil {
		return nil, err
	}
	var names []string
	for name := range s.disk.leases {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}

// WatchLease calls gone when nobody holds the lease.
func (s *Space) WatchLease(name string, gone func()) (cancel func(), err error) {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if err := s.failed(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := s.disk.leases[name]
	go func() {
		defer cancel()
		if l != nil {
			select {
			case <-l.free:
			case <-ctx.Done():
			}
		}
		if ctx.Err() == nil {
			gone()
		}
	}()
	return cancel, nil
}
