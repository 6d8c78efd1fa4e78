package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/PowerDNS/lmdb-go/lmdb"
	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// closePatience is how long Close waits for transactions that are just ending.
const closePatience = 100 * time.Millisecond

// Space is one open environment. All of a process's handles on a namespace
// share it.
type Space struct {
	name    string
	dir     string
	id      identity
	dirFile *os.File
	profile Profile
	memory  bool
	making  bool // nothing was there before, and it is not open yet
	openers int  // guarded by registry's lock

	env      *lmdb.Env
	raw      *C.MDB_env
	dbi      C.uint
	pageSize uint64
	dataFile *os.File // to allocate blocks

	pageFile *os.File
	page     *C.pk_page
	// What follows are the page's: how many bytes of the data file have
	// blocks behind them (memory) or are part of it (durable), the size of
	// the map, the last commit announced and the channels' counts.
	allocated *uint64
	recorded  *uint64
	published *uint64
	seq       []uint32

	dead   atomic.Bool // closed, or after a failed flush or a panic of LMDB
	closed atomic.Bool

	spare   atomic.Pointer[Txn] // used again by the next update
	readers readers
	gate    gate
	needed  atomic.Uint64 // bytes that a transaction lacked; room for the next one
	begins  atomic.Uint64 // write transactions so far
	mapped  atomic.Uint64 // size of the map in this process

	waiting atomic.Int64 // who sleeps until something changes

	leases struct {
		sync.Mutex
		held map[*lease]struct{}
	}
}

// Close lets go of one opening. The last one closes the environment, when no
// transaction is open on it: otherwise errs.BadTransaction, and it stays open.
func (s *Space) Close() error {
	registry.Lock()
	defer registry.Unlock()
	if s.openers == 0 {
		return errs.New(errs.Stale, "close namespace", s.name, "it is closed already")
	}
	if s.openers > 1 {
		s.openers--
		return nil
	}
	p := newPatience(store.Wait{Timeout: closePatience})
	if err := s.exclusive(0, &p); err != nil {
		return errs.New(errs.BadTransaction, "close namespace", s.name, "transactions are open on it; end them first")
	}
	s.openers = 0
	s.closed.Store(true)
	s.dead.Store(true)
	s.detach()
	s.shared()
	C.pk_page_rouse(s.page, ^C.uint64_t(0))
	if registry.open[s.id] == s {
		delete(registry.open, s.id)
	}
	return nil
}

// Idle reports whether nothing of this process is under way: no transaction, no
// wait, no lease.
func (s *Space) Idle() bool {
	s.leases.Lock()
	leased := len(s.leases.held) > 0
	s.leases.Unlock()
	s.readers.mu.Lock()
	defer s.readers.mu.Unlock()
	return !leased && s.readers.active == 0 && s.waiting.Load() == 0
}

// retire closes the environment of a space that failed, so that another one
// can be opened in its place: with both open, closing the first would drop the
// locks of the second. Its openers still have it to close. The caller has
// registry's lock.
func (s *Space) retire() error {
	p := newPatience(store.Wait{Timeout: closePatience})
	if err := s.exclusive(0, &p); err != nil {
		return errs.New(errs.Dead, "open namespace", s.name, "it failed in this process, and transactions are still open on it; end them, then open it again")
	}
	s.detach()
	s.shared()
	return nil
}

// detach lets go of everything but the mapping of the page, at which a thread
// may still be looking. The environment must have no transactions.
func (s *Space) detach() {
	s.dropLeases()
	if s.env != nil {
		s.readers.drop()
		_ = s.env.Close() // reports only that it was closed before
		s.env = nil
	}
	if s.pageFile != nil {
		// The mapping would keep it with the file.
		_ = s.lockAs(unix.F_UNLCK, presence) // fails only on a bad descriptor
	}
	for _, file := range []**os.File{&s.dataFile, &s.pageFile, &s.dirFile} {
		if *file != nil {
			_ = (*file).Close() // nothing is written through it
			*file = nil
		}
	}
}

// Durable reports whether a returned commit survives a power cut.
func (s *Space) Durable() bool {
	return !s.memory && !s.profile.NoSync && !s.profile.NoMetaSync
}

// Now is the wall clock.
func (s *Space) Now() time.Time { return time.Now() }

func (s *Space) String() string { return fmt.Sprintf("namespace %s", s.name) }

func (s *Space) alive(op string) error {
	if !s.dead.Load() {
		return nil
	}
	if s.closed.Load() { // set before dead: who sees that one sees this one
		return errs.New(errs.Stale, op, s.name, "the namespace was closed; open it again")
	}
	return errs.New(errs.Dead, op, s.name, "the environment failed in this process; open the namespace again")
}

var pidNamespace = sync.OnceValue(func() uint64 {
	info, err := os.Stat("/proc/self/ns/pid")
	if err != nil {
		return 0
	}
	return info.Sys().(*syscall.Stat_t).Ino
})
