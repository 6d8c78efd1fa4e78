package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/PowerDNS/lmdb-go/lmdb"
	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// The files of an environment. markName is there in memory namespaces only
// and holds the boot that their data are of. It is a file of its own because
// the page can be lost where data.mdb is not, and data that were never
// flushed must not be taken for durable ones.
const (
	pageName = "page"
	dataName = "data.mdb"
	lockName = "lock.mdb"
	markName = "memory"
)

// attachTimeout bounds the wait for another process that is just opening the
// same namespace for the first time, and attachStep is the time between two
// looks.
const (
	attachTimeout = 10 * time.Second
	attachStep    = 2 * time.Millisecond
)

func (s *Space) open(root, boot string, create bool) error {
	if s.profile.MapSize == 0 {
		s.profile.MapSize = DefaultMapSize
	}
	if s.profile.MaxReaders == 0 {
		s.profile.MaxReaders = DefaultMaxReaders
	}
	s.readers.init()
	if err := s.attach(root, boot, create); err != nil {
		if s.making {
			s.unmake(root)
		}
		s.detach()
		return err
	}
	s.making = false
	return nil
}

// unmake removes what a failed creation made. Nobody else has it open: the
// page's file is still locked, and who waits for it will see that it is gone.
func (s *Space) unmake(root string) {
	// What cannot be removed is no namespace either: isEnvironment.
	for _, file := range []string{dataName, lockName, markName, pageName} {
		_ = os.Remove(filepath.Join(s.dir, file))
	}
	// Directories that others use are not empty.
	for dir := s.dir; len(dir) > len(filepath.Clean(root)) && os.Remove(dir) == nil; {
		dir = filepath.Dir(dir)
	}
}

// attach maps the shared page and opens the environment. The first process
// to come prepares both, under an exclusive lock on the page's file; all keep
// a shared one, so that being alone can be told.
func (s *Space) attach(root, boot string, create bool) error {
	const op = "open namespace"
	alone, err := s.lockOnePage(create)
	if err != nil {
		return err
	}
	if alone && create {
		_, missing := os.Stat(filepath.Join(s.dir, dataName))
		s.making = errors.Is(missing, fs.ErrNotExist) && sizeOf(s.pageFile.Name()) == 0
	}
	if err := s.mapPage(alone); err != nil {
		return err
	}
	created := true
	if alone {
		if created, err = s.prepare(boot); err != nil {
			return err
		}
	} else if C.pk_page_known(s.page) == 0 {
		return errs.New(errs.NewerFormat, op, s.name, "a process with another release of parkit has it open; end that process first")
	}
	s.memory = s.page.memory != 0
	if uint64(s.page.pidns) != pidNamespace() {
		return errs.New(errs.OtherPIDSpace, op, s.name, "processes of another container have it open, and neither can see whether the other's processes live; use it from one container at a time")
	}
	if alone && !created {
		if err := s.removeUnfinished(); err != nil {
			return err
		}
	}
	if err := s.checkFile(created); err != nil {
		return err
	}
	if err := s.openEnv(alone); err != nil {
		return err
	}
	if !alone {
		return nil
	}
	if err := s.checkLayout(); err != nil {
		return err
	}
	if !created && !s.memory {
		// From here on a data file that is missing or empty is damage, also
		// after a power cut.
		if rc := syscall.Errno(C.pk_flush(C.int(s.dataFile.Fd()))); rc != 0 {
			return ioFailure(op, s.name, rc)
		}
		if err := syncDirs(root, s.dir); err != nil {
			return ioFailure(op, s.name, err)
		}
	}
	s.page.created = 1
	atomic.StoreUint64(s.published, uint64(C.pk_last_commit(s.raw)))
	if err := s.lockAs(unix.F_RDLCK, presence); err != nil {
		return ioFailure(op, s.name, err)
	}
	return nil
}

// lockOnePage opens and locks the page's file that has the name: another one
// may be removed by a creation that failed, while this process waits for it.
func (s *Space) lockOnePage(create bool) (alone bool, err error) {
	for begin := time.Now(); ; time.Sleep(attachStep) {
		if err := s.openPage(create); err != nil {
			return false, err
		}
		if alone, err = s.lockPage(); err != nil {
			return false, err
		}
		opened, err := s.pageFile.Stat()
		if err != nil {
			return false, ioFailure("open namespace", s.name, err)
		}
		named, err := os.Stat(s.pageFile.Name())
		if err == nil && os.SameFile(opened, named) {
			return alone, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, ioFailure("open namespace", s.name, err)
		}
		_ = s.pageFile.Close() // nothing was written through it
		s.pageFile = nil
		if time.Since(begin) > attachTimeout {
			return false, errs.New(errs.LockTimeout, "open namespace", s.name, "others have been removing it all the time; see who does")
		}
	}
}

func (s *Space) openPage(create bool) error {
	flags := os.O_RDWR
	if _, err := os.Stat(filepath.Join(s.dir, dataName)); create || err == nil {
		flags |= os.O_CREATE // it is no more than what processes share
	}
	var err error
	s.pageFile, err = os.OpenFile(filepath.Join(s.dir, pageName), flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return errs.New(errs.NamespaceNotFound, "open namespace", s.name, "there is no such namespace in the site; check the path, or create it")
	}
	return ioFailure("open namespace", s.name, err)
}

// The bytes of the page's file that locks are on: one for having the
// namespace open, one for changing the size of a memory namespace's file.
const (
	presence = iota
	fileSize
)

// lockAs takes, changes or drops this process's lock on a byte of the page's
// file, without waiting. It is a lock of the open file, since changing its
// kind must never let go of it in between, as flock does.
func (s *Space) lockAs(kind int16, what int64) error {
	for {
		lock := unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: what, Len: 1}
		err := unix.FcntlFlock(s.pageFile.Fd(), unix.F_OFD_SETLK, &lock)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// heldByOther reports whether that is why a lock was not to be had.
func heldByOther(err error) bool {
	return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES)
}

// whileSized runs fn while no other process changes the size of the file. In a
// memory namespace LMDB gives the file the size of each map that it makes. It
// must never become shorter than the map of a process: a store beyond its end
// is a SIGBUS.
func (s *Space) whileSized(fn func() error) error {
	if !s.memory {
		return fn()
	}
	for begin := time.Now(); ; time.Sleep(attachStep) {
		err := s.lockAs(unix.F_WRLCK, fileSize)
		if err == nil {
			break
		}
		if !heldByOther(err) {
			return ioFailure("resize", s.name, err)
		}
		if time.Since(begin) > attachTimeout {
			return errs.Newf(errs.LockTimeout, "resize", s.name, "another process has been changing its size for %v (a stopped process?); see who holds %s", attachTimeout, s.pageFile.Name())
		}
	}
	err := fn()
	if unlocked := s.lockAs(unix.F_UNLCK, fileSize); err == nil {
		err = ioFailure("resize", s.name, unlocked)
	}
	return err
}

// lockPage takes the page's file exclusively, which only the one process that
// has the namespace open can, or else shares it.
func (s *Space) lockPage() (alone bool, err error) {
	for begin := time.Now(); ; time.Sleep(attachStep) {
		if err = s.lockAs(unix.F_WRLCK, presence); err == nil {
			return true, nil
		}
		if err = s.lockAs(unix.F_RDLCK, presence); err == nil {
			return false, nil
		}
		if !heldByOther(err) {
			return false, ioFailure("open namespace", s.name, err)
		}
		if time.Since(begin) > attachTimeout {
			return false, errs.Newf(errs.LockTimeout, "open namespace", s.name,
				"another process has been preparing or compacting it for %v (a stopped process?); see who holds %s", attachTimeout, s.pageFile.Name())
		}
	}
}

// wasOpened reports whether the page says that the environment was open once.
func wasOpened(path string) bool {
	content, err := os.ReadFile(path)
	if err != nil || len(content) < C.PK_PAGE_BYTES {
		return false
	}
	page := (*C.pk_page)(unsafe.Pointer(&content[0]))
	return C.pk_page_known(page) != 0 && page.created != 0
}

func (s *Space) mapPage(alone bool) error {
	const op = "open namespace"
	if alone {
		// Blocks behind the page: a hole would be a SIGBUS on a full disk.
		if err := s.pageFile.Truncate(C.PK_PAGE_BYTES); err != nil {
			return ioFailure(op, s.name, err)
		}
		if err := giveBlocks(s.pageFile, 0, C.PK_PAGE_BYTES, true); err != nil {
			return ioFailure(op, s.name, err)
		}
	}
	memory, err := unix.Mmap(int(s.pageFile.Fd()), 0, C.PK_PAGE_BYTES, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return ioFailure(op, s.name, err)
	}
	// Not at Close: a thread may still be looking at the page then.
	runtime.AddCleanup(s, func(memory []byte) { _ = unix.Munmap(memory) }, memory)
	s.page = (*C.pk_page)(unsafe.Pointer(&memory[0]))
	s.allocated = (*uint64)(unsafe.Pointer(C.pk_page_allocated(s.page)))
	s.recorded = (*uint64)(unsafe.Pointer(C.pk_page_mapsize(s.page)))
	s.published = (*uint64)(unsafe.Pointer(C.pk_page_published(s.page)))
	s.seq = unsafe.Slice((*uint32)(unsafe.Pointer(C.pk_page_seq(s.page))), store.Channels)
	return nil
}

// prepare makes the page good for this boot, and begins a memory namespace
// anew after one. It reports whether the environment was there before. Only
// the process that is alone calls it.
func (s *Space) prepare(boot string) (created bool, err error) {
	const op = "open namespace"
	cboot := C.CString(boot)
	defer freeString(cboot)
	known := C.pk_page_known(s.page) != 0
	sameBoot := C.pk_page_valid(s.page, cboot) != 0
	created = known && s.page.created != 0
	markPath := filepath.Join(s.dir, markName)
	mark, err := os.ReadFile(markPath)
	marked := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, ioFailure(op, s.name, err)
	}
	memory := s.profile.Memory
	if created || sizeOf(filepath.Join(s.dir, dataName)) > 0 {
		memory = marked || known && s.page.memory != 0
	}
	switch {
	case memory && boot == "":
		return false, errs.New(errs.IO, op, s.name, "the system does not tell its boot id (/proc/sys/kernel/random/boot_id), without which a memory namespace cannot know whether its data are whole")
	case memory && !sameBoot && string(mark) != boot:
		created = false
		if err := s.beginAnew(markPath, boot); err != nil {
			return false, ioFailure("begin memory namespace anew", s.name, err)
		}
	case !memory && marked:
		if err := os.Remove(markPath); err != nil {
			return false, ioFailure(op, s.name, err)
		}
	}
	if !sameBoot {
		if rc := C.pk_page_init(s.page, cboot); rc != 0 {
			return false, ioFailure(op, s.name, syscall.Errno(rc))
		}
	}
	s.page.memory = 0
	if memory {
		s.page.memory = 1
	}
	s.page.pidns = C.uint64_t(pidNamespace())
	return created, s.lockTable()
}

// beginAnew removes the data of an earlier boot, if there are any, and notes
// which boot those to come are of.
func (s *Space) beginAnew(markPath, boot string) error {
	for _, file := range []string{dataName, lockName} {
		if err := os.Remove(filepath.Join(s.dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	mark, err := os.OpenFile(markPath, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer mark.Close()
	if _, err := mark.WriteString(strings.TrimSpace(boot)); err != nil {
		return err
	}
	// Else a power cut could leave the data without it.
	if err := mark.Sync(); err != nil {
		return err
	}
	return syncDir(s.dir)
}

// lockTable puts blocks behind LMDB's table of readers, which is mapped: a
// hole would be a SIGBUS on a full disk. No process has it open yet.
func (s *Space) lockTable() error {
	const slot = 64 // the size of LMDB's, and with room for its header
	f, err := os.OpenFile(filepath.Join(s.dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return ioFailure("open namespace", s.name, err)
	}
	defer f.Close()
	size := int64(s.profile.MaxReaders+16) * slot
	return ioFailure("open namespace", s.name, giveBlocks(f, 0, max(size, sizeOf(f.Name())), true))
}

// openEnv opens LMDB's environment on the data file, with less address space
// than asked for where the process may not have so much.
func (s *Space) openEnv(alone bool) error {
	size := uint64(s.profile.MapSize)
	for resized := 0; ; {
		err := s.whileSized(func() error {
			if recorded := atomic.LoadUint64(s.recorded); !alone || !s.memory {
				size = max(size, recorded)
			}
			if s.memory {
				atomic.StoreUint64(s.recorded, size) // before the map is made
			}
			err := s.openWith(int64(size))
			if err == nil {
				atomic.StoreUint64(s.recorded, max(atomic.LoadUint64(s.recorded), s.mapSize()))
			}
			return err
		})
		if err == nil {
			break
		}
		if s.env != nil {
			s.readers.drop()
			_ = s.env.Close() // or was never opened
			s.env = nil
		}
		switch {
		case lmdb.IsErrno(err, lmdb.MapResized) && resized < 3: // between two looks of LMDB's
			resized++
			size *= 2
		case noAddressSpace(err) && size/2 >= minMapSize && (alone || !s.memory):
			size /= 2
		default:
			return s.openFailure(err)
		}
	}
	switch {
	case !alone:
		return nil
	case s.memory:
		atomic.StoreUint64(s.allocated, min(atomic.LoadUint64(s.allocated), s.mapSize()))
		return s.allocate(initialBlocks, initialBlocks)
	}
	atomic.StoreUint64(s.allocated, uint64(sizeOf(s.dataFile.Name())))
	return nil
}

// openWith opens the environment and its one database.
func (s *Space) openWith(size int64) error {
	env, err := lmdb.NewEnv()
	if err != nil {
		return err
	}
	s.env, s.raw = env, rawEnv(env)
	if err := env.SetMaxReaders(s.profile.MaxReaders); err != nil {
		return err
	}
	if err := env.SetMapSize(size); err != nil {
		return err
	}
	if err := env.Open(s.dir, s.envFlags(), 0o600); err != nil {
		return err
	}
	if s.dataFile == nil {
		s.dataFile, err = os.OpenFile(filepath.Join(s.dir, dataName), os.O_RDWR, 0)
		if err != nil {
			return err
		}
	}
	if _, err := env.ReaderCheck(); err != nil {
		return err
	}
	err = env.View(func(txn *lmdb.Txn) error {
		dbi, err := txn.OpenRoot(0)
		s.dbi = C.uint(dbi)
		return err
	})
	if err != nil {
		return err
	}
	stat, err := env.Stat()
	if err != nil {
		return err
	}
	s.pageSize = uint64(stat.PSize)
	info, err := env.Info()
	if err != nil {
		return err
	}
	s.readers.most = min(maxIdle, max(int(info.MaxReaders)/idleShare, 1))
	return s.readMapSize()
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

// noAddressSpace reports whether a map was too large for this process (ulimit
// -v) or, where the file gets its size, for the file system.
func noAddressSpace(err error) bool {
	return lmdb.IsErrnoSys(err, syscall.ENOMEM) || lmdb.IsErrnoSys(err, syscall.EFBIG)
}

// checkLayout holds the private fields that engine.c reads against LMDB's own
// word. Only the process that is alone calls it: LMDB's own lock, which it
// takes, cannot be timed.
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
