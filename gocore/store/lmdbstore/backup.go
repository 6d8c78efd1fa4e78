package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/PowerDNS/lmdb-go/lmdb"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Backup writes a consistent copy of the space to the directory path, which
// must not exist or be empty. Put in place of an environment's directory it is
// a durable namespace.
func (s *Space) Backup(path string) error {
	const op = "back up"
	if err := s.alive(op); err != nil {
		return err
	}
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		return errs.Newf(errs.InvalidArgument, op, s.name, "%s is not empty", path)
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return ioFailure(op, s.name, err)
	}
	for attempt := 0; ; attempt++ {
		// Takes the size of the map on, if another process changed it.
		t, err := s.beginRead()
		if err != nil {
			return err
		}
		err = s.copyTo(path, op)
		t.Abort()
		if err == nil {
			return ioFailure(op, s.name, syncDirs(path, path))
		}
		_ = os.Remove(filepath.Join(path, dataName)) // not whole
		if !errs.Has(err, errs.Conflict) || attempt == 3 {
			return err
		}
	}
}

// copyTo writes a compacted copy to the directory path and flushes it. The
// caller holds the environment.
func (s *Space) copyTo(path, op string) error {
	if err := s.env.CopyFlag(path, lmdb.CopyCompact); err != nil {
		return s.lmdbFailure(op, err)
	}
	f, err := os.OpenFile(filepath.Join(path, dataName), os.O_RDWR, 0)
	if err != nil {
		return ioFailure(op, s.name, err)
	}
	defer f.Close()
	if err := f.Chmod(0o600); err != nil {
		return ioFailure(op, s.name, err)
	}
	return ioFailure(op, s.name, f.Sync())
}

// Compact gives pages that are no longer used back to the file system. It
// needs the namespace for itself: it waits for the transactions of this
// process, for a short while (errs.Conflict, or errs.WouldBlock for no wait);
// with another process that has it open it is errs.WouldBlock. Meanwhile
// transactions of this process wait.
func (s *Space) Compact(wait store.Wait) (int64, error) {
	const op = "compact"
	if err := s.alive(op); err != nil {
		return 0, err
	}
	p := newPatience(wait)
	if err := s.exclusive(0, &p); err != nil {
		return 0, err
	}
	defer s.shared()
	if err := s.alive(op); err != nil {
		return 0, err
	}
	var freed int64
	err := s.whileAlone(op, func() error {
		before, err := s.fileSize()
		if err != nil {
			return err
		}
		if err := s.replaceData(op); err != nil {
			return err
		}
		after, err := s.fileSize()
		freed = before - after
		return err
	})
	return max(freed, 0), err
}

// replaceData puts a compacted copy in the place of the data file.
func (s *Space) replaceData(op string) error {
	tmp := filepath.Join(s.dir, "compact")
	if err := os.RemoveAll(tmp); err != nil {
		return ioFailure(op, s.name, err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return ioFailure(op, s.name, err)
	}
	defer os.RemoveAll(tmp)
	if err := s.copyTo(tmp, op); err != nil {
		return err
	}
	if err := goOnFrom(filepath.Join(tmp, dataName), uint64(C.pk_last_commit(s.raw)), s.pageSize); err != nil {
		return ioFailure(op, s.name, err)
	}
	s.readers.drop()
	if err := s.env.Close(); err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	s.env = nil
	_ = s.dataFile.Close() // nothing is written through it
	s.dataFile = nil
	err := os.Rename(filepath.Join(tmp, dataName), filepath.Join(s.dir, dataName))
	if err == nil {
		err = syncDir(s.dir)
	}
	atomic.StoreUint64(s.allocated, 0)
	if opened := s.openEnv(true); opened != nil {
		s.dead.Store(true)
		return errors.Join(opened, err)
	}
	atomic.StoreUint64(s.published, uint64(C.pk_last_commit(s.raw)))
	return ioFailure(op, s.name, err)
}

// goOnFrom gives a copy the number of the commit that it is of, or the next:
// LMDB calls it the first. Numbers must rise, and a copy's roots stand where
// those of odd numbers are looked for.
func goOnFrom(path string, commit, pageSize uint64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(binary.NativeEndian.AppendUint64(nil, commit|1), int64(pageSize+metaTxnAt)); err != nil {
		return err
	}
	return f.Sync()
}
