package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/PowerDNS/lmdb-go/lmdb"
	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Stats says how large the space is.
func (s *Space) Stats() (store.Stats, error) {
	const op = "measure namespace"
	if err := s.alive(op); err != nil {
		return store.Stats{}, err
	}
	if _, err := s.enter(false); err != nil { // the environment must stay
		return store.Stats{}, err
	}
	defer s.readers.leave(nil)
	info, err := s.env.Info()
	if err != nil {
		return store.Stats{}, errs.Wrap(errs.IO, op, s.name, err)
	}
	stat, err := s.env.Stat()
	if err != nil {
		return store.Stats{}, errs.Wrap(errs.IO, op, s.name, err)
	}
	blocks, err := s.fileSize()
	if err != nil {
		return store.Stats{}, err
	}
	return store.Stats{
		PageSize:   int64(s.pageSize),
		MapSize:    info.MapSize,
		Used:       (info.LastPNO + 1) * int64(s.pageSize),
		FileSize:   blocks,
		Entries:    int64(stat.Entries),
		Readers:    int(info.NumReaders),
		OldestRead: s.readers.oldest(),
		LastCommit: uint64(info.LastTxnID),
		Depth:      int(stat.Depth),
	}, nil
}

// fileSize is what the file system spends on the data file, in bytes.
func (s *Space) fileSize() (int64, error) {
	info, err := os.Stat(filepath.Join(s.dir, "data.mdb"))
	if err != nil {
		return 0, errs.Wrap(errs.IO, "measure namespace", s.name, err)
	}
	const statBlock = 512 // whatever the file system's own is
	return info.Sys().(*syscall.Stat_t).Blocks * statBlock, nil
}

// SetMaxSize changes the address space reserved for the space.
func (s *Space) SetMaxSize(bytes int64) error {
	const op = "set the size of"
	if err := s.alive(op); err != nil {
		return err
	}
	if bytes <= 0 || uint64(bytes)%s.pageSize != 0 {
		return errs.Newf(errs.InvalidArgument, op, s.name, "%d is not a positive multiple of the page size, %d", bytes, s.pageSize)
	}
	p := newPatience(store.Wait{Timeout: -1})
	return lockedThread(func() error {
		if err := s.takeTurn(&p); err != nil {
			return err
		}
		defer C.pk_page_unlock(s.page)
		if err := s.exclusive(0); err != nil {
			return err
		}
		defer s.shared()
		info, err := s.env.Info()
		if err != nil {
			return errs.Wrap(errs.IO, op, s.name, err)
		}
		if used := (info.LastPNO + 1) * int64(s.pageSize); bytes < used {
			return errs.Newf(errs.InvalidArgument, op, s.name, "%d bytes are less than the %d in use", bytes, used)
		}
		if err := s.env.SetMapSize(bytes); err != nil {
			return s.openFailure(err)
		}
		C.pk_page_set_mapsize(s.page, C.uint64_t(bytes))
		return s.readMapSize()
	})
}

// Backup writes a consistent copy of the space to the directory path, which
// must not exist or be empty. It is a space like any other there.
func (s *Space) Backup(path string) error {
	const op = "back up"
	if err := s.alive(op); err != nil {
		return err
	}
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		return errs.Newf(errs.InvalidArgument, op, s.name, "%s is not empty", path)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	if _, err := s.enter(false); err != nil {
		return err
	}
	defer s.readers.leave(nil)
	return s.copyTo(path, op)
}

// copyTo writes a compacted copy to the directory path and flushes it.
func (s *Space) copyTo(path, op string) error {
	if err := s.env.CopyFlag(path, lmdb.CopyCompact); err != nil {
		if lmdb.IsErrnoSys(err, syscall.ENOSPC) {
			return errs.Wrap(errs.Full, op, s.name, err)
		}
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	data := filepath.Join(path, "data.mdb")
	f, err := os.OpenFile(data, os.O_RDWR, 0)
	if err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	defer f.Close()
	if err := f.Chmod(0o600); err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	if err := f.Sync(); err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	return errs.Wrap(errs.IO, op, s.name, syncDir(path))
}

// checkBatch is how many entries Check reads at a time.
const checkBatch = 256

// Check reads every entry and hands it to verify.
func (s *Space) Check(verify func(key, value []byte) error, report func(key []byte, err error)) error {
	const op = "check"
	t, err := s.beginRead()
	if err != nil {
		return err
	}
	defer t.Abort()
	stat, err := s.env.Stat()
	if err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	before := t.ID()
	var all store.Range
	batch := make([]store.Entry, checkBatch)
	count := uint64(0)
	for {
		n, err := t.Scan(all, batch)
		if err != nil {
			return err
		}
		for _, e := range batch[:n] {
			if err := verify(e.Key, e.Value); err != nil {
				report(append([]byte(nil), e.Key...), err)
			}
		}
		count += uint64(n)
		if n < len(batch) {
			break
		}
		all = all.Rest(batch[n-1].Key)
	}
	info, err := s.env.Info()
	if err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	if unchanged := uint64(info.LastTxnID) == before; unchanged && count != stat.Entries {
		report(nil, errs.Newf(errs.Corrupt, op, s.name, "%d entries were found where %d are counted", count, stat.Entries))
	}
	return nil
}

// Compact gives pages that are no longer used back to the file system. It
// needs the namespace for itself: another process that has it open, or an open
// transaction of this one, is errs.WouldBlock or errs.Conflict.
func (s *Space) Compact(wait store.Wait) (int64, error) {
	const op = "compact"
	if err := s.alive(op); err != nil {
		return 0, err
	}
	before, err := s.fileSize()
	if err != nil {
		return 0, err
	}
	if err := s.exclusive(0); err != nil {
		return 0, err
	}
	defer s.shared()
	fd := int(s.pageFile.Fd())
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		// A failed change of kind has let go of the old lock as well.
		if again := unix.Flock(fd, unix.LOCK_SH); again != nil {
			return 0, errs.Wrap(errs.IO, op, s.name, again)
		}
		return 0, errs.New(errs.WouldBlock, op, s.name, "other processes have it open; compact it when they are done")
	}
	if err := s.replaceData(op); err != nil {
		return 0, err
	}
	if err := unix.Flock(fd, unix.LOCK_SH); err != nil {
		return 0, errs.Wrap(errs.IO, op, s.name, err)
	}
	after, err := s.fileSize()
	return before - after, err
}

// replaceData puts a compacted copy in the place of the data file.
func (s *Space) replaceData(op string) error {
	tmp := filepath.Join(s.dir, "compact")
	if err := os.RemoveAll(tmp); err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	defer os.RemoveAll(tmp)
	if err := s.copyTo(tmp, op); err != nil {
		return err
	}
	s.readers.drop()
	if err := s.env.Close(); err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	s.env = nil
	if s.dataFile != nil {
		_ = s.dataFile.Close() // nothing is written through it
		s.dataFile = nil
	}
	err := os.Rename(filepath.Join(tmp, "data.mdb"), filepath.Join(s.dir, "data.mdb"))
	if err == nil {
		err = syncDir(s.dir)
	}
	atomic.StoreUint64(s.allocated, 0)
	if opened := s.openEnv(); opened != nil {
		s.dead.Store(true)
		return errors.Join(opened, err)
	}
	return errs.Wrap(errs.IO, op, s.name, err)
}
