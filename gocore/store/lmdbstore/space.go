package lmdbstore

/*
#include <errno.h>
#include "engine.h"
*/
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/PowerDNS/lmdb-go/lmdb"
	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
)

// attachTimeout bounds the wait for another process that is just opening the
// same namespace for the first time, and the step between two looks.
const (
	attachTimeout = 10 * time.Second
	attachStep    = 2 * time.Millisecond
)

// Space is one open environment. All of a process's handles on a namespace
// share it.
type Space struct {
	name    string
	dir     string
	id      identity
	profile Profile
	memory  bool
	openers int // guarded by registry's lock

	env      *lmdb.Env
	raw      *C.MDB_env
	dbi      C.uint
	pageSize uint64
	dataFile *os.File // to allocate blocks; nil in durable namespaces

	pageFile *os.File
	pageMem  []byte
	page     *C.pk_page
	// allocated is the page's: how many bytes of a memory namespace's file
	// have blocks behind them.
	allocated *uint64

	dead   atomic.Bool // closed, or after a failed flush or a panic of LMDB
	closed atomic.Bool

	spare   atomic.Pointer[Txn] // used again by the next update
	readers readers
	writers writers
	needed  atomic.Uint64 // bytes that a transaction lacked; room for the next one
	begins  atomic.Uint64 // write transactions so far
	mapped  atomic.Uint64 // size of the map in this process
}

func openSpace(name, dir string, id identity, profile Profile, boot string, create bool) (*Space, error) {
	if profile.MapSize == 0 {
		profile.MapSize = DefaultMapSize
	}
	if profile.MaxReaders == 0 {
		profile.MaxReaders = DefaultMaxReaders
	}
	s := &Space{name: name, dir: dir, id: id, profile: profile, openers: 1}
	s.readers.init()
	s.writers.init()
	if err := s.attach(boot, create); err != nil {
		s.detach()
		return nil, err
	}
	return s, nil
}

// attach maps the shared page and opens the environment. The first process
// to come prepares both, under an exclusive lock on the page's file; all keep
// a shared one, so that being alone can be told.
func (s *Space) attach(boot string, create bool) error {
	const op = "open namespace"
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	var err error
	s.pageFile, err = os.OpenFile(filepath.Join(s.dir, "page"), flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return errs.New(errs.NamespaceNotFound, op, s.name, "there is no such namespace; create it first")
	}
	if err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	alone, err := s.lockPage()
	if err != nil {
		return err
	}
	if alone {
		// Blocks behind the page: a hole would be a SIGBUS on a full disk.
		if err := unix.Fallocate(int(s.pageFile.Fd()), 0, 0, C.PK_PAGE_BYTES); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
			return errs.Wrap(errs.Full, op, s.name, err)
		}
		if err := s.pageFile.Truncate(C.PK_PAGE_BYTES); err != nil {
			return errs.Wrap(errs.IO, op, s.name, err)
		}
	}
	s.pageMem, err = unix.Mmap(int(s.pageFile.Fd()), 0, C.PK_PAGE_BYTES, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	s.page = (*C.pk_page)(unsafe.Pointer(&s.pageMem[0]))
	s.allocated = (*uint64)(unsafe.Pointer(C.pk_page_allocated(s.page)))
	if alone {
		if err := s.prepare(boot); err != nil {
			return err
		}
	}
	s.memory = s.page.memory != 0
	if uint64(s.page.pidns) != pidNamespace() {
		return errs.New(errs.OtherPIDSpace, op, s.name, "processes of another container have it open, and neither can see whether the other's processes live; use it from one container at a time")
	}
	if err := s.openEnv(); err != nil {
		return err
	}
	if alone {
		if err := s.checkLayout(); err != nil {
			return err
		}
		C.pk_page_set_created(s.page)
		if !s.memory {
			if err := syncDir(s.dir); err != nil {
				return errs.Wrap(errs.IO, op, s.name, err)
			}
		}
		if err := unix.Flock(int(s.pageFile.Fd()), unix.LOCK_SH); err != nil {
			return errs.Wrap(errs.IO, op, s.name, err)
		}
	}
	return nil
}

// lockPage takes the page's file exclusively, which only the one process that
// has the namespace open can, or else shares it.
func (s *Space) lockPage() (alone bool, err error) {
	fd := int(s.pageFile.Fd())
	for begin := time.Now(); ; time.Sleep(attachStep) {
		if err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return true, nil
		}
		if err = unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB); err == nil {
			return false, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return false, errs.Wrap(errs.IO, "open namespace", s.name, err)
		}
		if time.Since(begin) > attachTimeout {
			return false, errs.Newf(errs.LockTimeout, "open namespace", s.name,
				"another process has been preparing it for %v (a stopped process?); see who holds %s", attachTimeout, s.pageFile.Name())
		}
	}
}

// prepare makes the page good for this boot, and begins a memory namespace
// anew after one. Only the process that is alone calls it.
func (s *Space) prepare(boot string) error {
	cboot := C.CString(boot)
	defer freeString(cboot)
	memory := s.profile.Memory
	known := C.pk_page_known(s.page) != 0
	if known {
		memory = s.page.memory != 0
	}
	created := known && s.page.created != 0
	sameBoot := C.pk_page_valid(s.page, cboot) != 0
	if known && memory && !sameBoot {
		for _, file := range []string{"data.mdb", "lock.mdb"} {
			if err := os.Remove(filepath.Join(s.dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return errs.Wrap(errs.IO, "begin memory namespace anew", s.name, err)
			}
		}
		created = false
	}
	if err := s.checkFile(created); err != nil {
		return err
	}
	if !sameBoot {
		if rc := C.pk_page_init(s.page, cboot, cbool(memory)); rc != 0 {
			return errs.Wrap(errs.IO, "open namespace", s.name, syscall.Errno(rc))
		}
	}
	C.pk_page_reset_waiters(s.page)
	C.pk_page_set_pidns(s.page, C.uint64_t(pidNamespace()))
	return nil
}

// openEnv opens LMDB's environment on the data file.
func (s *Space) openEnv() error {
	const op = "open namespace"
	env, err := lmdb.NewEnv()
	if err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	s.env, s.raw = env, rawEnv(env)
	if err := env.SetMaxReaders(s.profile.MaxReaders); err != nil {
		return errs.Wrap(errs.InvalidArgument, op, s.name, err)
	}
	if err := s.checkFile(false); err != nil {
		return err
	}
	// Less address space where the process may not have so much.
	size := max(s.profile.MapSize, int64(C.pk_page_get_mapsize(s.page)))
	for {
		if err = env.SetMapSize(size); err == nil {
			err = env.Open(s.dir, s.envFlags(), 0o600)
		}
		if !lmdb.IsErrnoSys(err, syscall.ENOMEM) || size <= minMapSize {
			break
		}
		size /= 2
	}
	if err != nil {
		return s.openFailure(err)
	}
	if s.memory {
		s.dataFile, err = os.OpenFile(filepath.Join(s.dir, "data.mdb"), os.O_RDWR, 0)
		if err != nil {
			return errs.Wrap(errs.IO, op, s.name, err)
		}
	}
	if _, err := env.ReaderCheck(); err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	return s.openRoot()
}

func (s *Space) envFlags() uint {
	var flags uint
	if s.memory {
		flags |= lmdb.WriteMap | lmdb.NoSync | lmdb.NoMetaSync
	}
	if s.profile.NoSync {
		flags |= lmdb.NoSync
	}
	if s.profile.NoMetaSync {
		flags |= lmdb.NoMetaSync
	}
	if s.profile.NoReadAhead {
		flags |= lmdb.NoReadahead
	}
	return flags
}

// openRoot opens the one database.
func (s *Space) openRoot() error {
	const op = "open namespace"
	if s.memory {
		// The first transaction writes too: there must be blocks for it.
		if err := s.allocate(initialBlocks); err != nil {
			return err
		}
	}
	err := s.env.View(func(txn *lmdb.Txn) error {
		dbi, err := txn.OpenRoot(0)
		s.dbi = C.uint(dbi)
		return err
	})
	if err != nil {
		return s.openFailure(err)
	}
	stat, err := s.env.Stat()
	if err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	s.pageSize = uint64(stat.PSize)
	return s.readMapSize()
}

// checkLayout holds the private field that pk_next_page reads against LMDB's
// own word. Only the process that is alone calls it: LMDB's own lock, which
// it takes, cannot be timed.
func (s *Space) checkLayout() error {
	const op = "open namespace"
	return lockedThread(func() error {
		w := C.pk_write_locked(s.raw)
		if w.rc != 0 {
			return s.failure(op, int(w.rc))
		}
		defer C.pk_abort(w.txn)
		info, err := s.env.Info()
		if err != nil {
			return errs.Wrap(errs.IO, op, s.name, err)
		}
		if uint64(w.next) != uint64(info.LastPNO)+1 {
			return errs.Newf(errs.Internal, op, s.name, "this LMDB lays out its transactions otherwise than the pinned release (next page %d, last %d)", w.next, info.LastPNO)
		}
		return nil
	})
}

func (s *Space) openFailure(err error) error {
	var op *lmdb.OpError
	if errors.As(err, &op) {
		var number syscall.Errno
		switch {
		case errors.As(op.Errno, &number):
			return s.failure("open namespace", int(number))
		default:
			var own lmdb.Errno
			if errors.As(op.Errno, &own) {
				return s.failure("open namespace", int(own))
			}
		}
	}
	return errs.Wrap(errs.IO, "open namespace", s.name, err)
}

// detach lets go of everything but the mapping of the page, at which a thread
// may still be looking; the environment must have no transactions.
func (s *Space) detach() {
	if s.env != nil {
		s.readers.drop()
		_ = s.env.Close() // reports only that it was closed before
		s.env = nil
	}
	if s.dataFile != nil {
		_ = s.dataFile.Close()
		s.dataFile = nil
	}
	if s.pageFile != nil {
		_ = s.pageFile.Close()
		s.pageFile = nil
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
	if err := s.exclusive(0); err != nil {
		return errs.New(errs.BadTransaction, "close namespace", s.name, "transactions are open on it; end them first")
	}
	s.openers = 0
	s.closed.Store(true)
	s.dead.Store(true)
	s.detach()
	s.shared()
	if registry.open[s.id] == s {
		delete(registry.open, s.id)
	}
	return nil
}

// Durable reports whether a returned commit survives a power cut.
func (s *Space) Durable() bool {
	return !s.memory && !s.profile.NoSync && !s.profile.NoMetaSync
}

// Now is the wall clock.
func (s *Space) Now() time.Time { return time.Now() }

func (s *Space) alive(op string) error {
	if s.closed.Load() {
		return errs.New(errs.Stale, op, s.name, "the namespace was closed; open it again")
	}
	if s.dead.Load() {
		return errs.New(errs.Dead, op, s.name, "the environment failed in this process; open the namespace again")
	}
	return nil
}

var pidNamespace = sync.OnceValue(func() uint64 {
	info, err := os.Stat("/proc/self/ns/pid")
	if err != nil {
		return 0
	}
	return info.Sys().(*syscall.Stat_t).Ino
})

func (s *Space) String() string { return fmt.Sprintf("namespace %s", s.name) }
