package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Stats says how large the space is.
func (s *Space) Stats() (store.Stats, error) {
	const op = "measure namespace"
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
	slots, reader, commit, err := s.slots()
	if err != nil {
		return store.Stats{}, errs.Wrap(errs.IO, op, s.name, err)
	}
	var behind uint64
	if reader != 0 {
		behind = max(commit, uint64(info.LastTxnID)) - commit // LMDB counts on meanwhile
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
		Readers:    slots,
		OldestRead: s.readers.oldest(),
		LastCommit: uint64(info.LastTxnID),
		Depth:      int(stat.Depth),

		OldestReader: reader,
		Behind:       behind,
	}, nil
}

// slots is how many reader slots processes have taken, and which process reads
// the oldest commit, 0 for none. LMDB's Info tells only how many slots there
// ever were at once.
func (s *Space) slots() (taken, reader int, oldest uint64, err error) {
	err = s.env.ReaderList(func(list string) error {
		for line := range strings.Lines(list) {
			// Process, thread, commit; "-" where none is open.
			fields := strings.Fields(line)
			if len(fields) != 3 || fields[0] == "pid" {
				continue
			}
			taken++
			pid, _ := strconv.Atoi(fields[0]) // LMDB wrote a number
			commit, err := strconv.ParseUint(fields[2], 10, 64)
			if err == nil && (reader == 0 || commit < oldest) {
				reader, oldest = pid, commit
			}
		}
		return nil
	})
	return taken, reader, oldest, err
}

// eachReader calls fn with the commit that each open read transaction of any
// process sees.
func (s *Space) eachReader(fn func(commit uint64)) error {
	return s.env.ReaderList(func(list string) error {
		for line := range strings.Lines(list) {
			// Process, thread, commit; "-" where none is open.
			fields := strings.Fields(line)
			if len(fields) != 3 {
				continue
			}
			if commit, err := strconv.ParseUint(fields[2], 10, 64); err == nil {
				fn(commit)
			}
		}
		return nil
	})
}

// fileSize is what the file system spends on the data file, in bytes.
func (s *Space) fileSize() (int64, error) {
	info, err := os.Stat(filepath.Join(s.dir, dataName))
	if err != nil {
		return 0, ioFailure("measure namespace", s.name, err)
	}
	const statBlock = 512 // whatever the file system's own is
	return info.Sys().(*syscall.Stat_t).Blocks * statBlock, nil
}

// SetMaxSize changes the address space reserved for the space. A memory
// namespace's can be lowered only while no other process has it open: their
// maps would reach past the file's end. Then it is errs.WouldBlock.
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
		if err := s.exclusive(0, &p); err != nil {
			return err
		}
		defer s.shared()
		if err := s.alive(op); err != nil {
			return err
		}
		info, err := s.env.Info()
		if err != nil {
			return errs.Wrap(errs.IO, op, s.name, err)
		}
		if used := (info.LastPNO + 1) * int64(s.pageSize); bytes < used {
			return errs.Newf(errs.InvalidArgument, op, s.name, "%d bytes are less than the %d in use", bytes, used)
		}
		size := uint64(bytes)
		if !s.memory || size >= atomic.LoadUint64(s.recorded) {
			return s.remap(op, size)
		}
		return s.whileAlone(op, func() error {
			atomic.StoreUint64(s.allocated, min(size, atomic.LoadUint64(s.allocated)))
			atomic.StoreUint64(s.recorded, size)
			return s.remap(op, size)
		})
	})
}

// whileAlone runs fn while no other process has the namespace open, nor opens
// it; errs.WouldBlock when one has.
func (s *Space) whileAlone(op string, fn func() error) error {
	err := s.lockAs(unix.F_WRLCK, presence)
	if heldByOther(err) {
		return errs.New(errs.WouldBlock, op, s.name, "other processes have it open; try again when they are done")
	}
	if err != nil {
		return ioFailure(op, s.name, err)
	}
	err = fn()
	if shared := s.lockAs(unix.F_RDLCK, presence); err == nil {
		err = ioFailure(op, s.name, shared)
	}
	return err
}
