package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"math"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
)

const (
	// maxValue is LMDB's: sizes are kept in 32 bits.
	maxValue = math.MaxInt32 - 4096
	// minMapSize is the least that an environment is opened with where the
	// process may not have more.
	minMapSize = 1 << 20
)

// Address space costs nothing, and a map cannot grow inside a transaction: so
// a transaction begins with a quarter of it free, within bounds, and it grows
// by doubling up to mapStep. Variables so that tests see it grow more often.
var (
	minHeadroom uint64 = 16 << 20
	maxHeadroom uint64 = 1 << 30
	mapStep     uint64 = 64 << 30
)

func headroom(mapSize uint64) uint64 { return min(max(mapSize/4, minHeadroom), maxHeadroom) }

// keptBack is what writes leave of the headroom, so that deletions, undoing and
// the commit have room where the map cannot grow.
func keptBack(mapSize uint64) uint64 { return headroom(mapSize) / 4 }

func fits(used, size uint64) bool { return used+headroom(size) <= size }

// roomy reports whether a transaction that begins at page next has the
// headroom it should, and what an earlier one lacked.
func (s *Space) roomy(next uint64) bool {
	return fits(max(next*s.pageSize, s.needed.Load()), s.mapSize())
}

// grow makes the map larger than used bytes need. The caller has the writer's
// turn, no transaction of LMDB's, and own transactions counted in readers.
func (s *Space) grow(own int, used uint64, p *patience) error {
	if err := s.exclusive(own, p); err != nil {
		return err
	}
	defer s.shared()
	// Another process may have grown it meanwhile.
	size := max(s.mapSize(), atomic.LoadUint64(s.recorded))
	want := max(used, s.needed.Load())
	for !fits(want, size) {
		size += min(size, mapStep)
	}
	if err := s.remap("make room in", size); err != nil {
		return err
	}
	s.needed.Store(0)
	return nil
}

// adopt takes the map size that another process gave the environment.
func (s *Space) adopt(p *patience) error {
	if err := s.exclusive(0, p); err != nil {
		return err
	}
	defer s.shared()
	size := max(s.mapSize(), atomic.LoadUint64(s.recorded))
	info, err := s.env.Info()
	if err != nil {
		return errs.Wrap(errs.IO, "resize", s.name, err)
	}
	for used := uint64(info.LastPNO+1) * s.pageSize; size < used; {
		size += min(size, mapStep) // whoever grew it did not say how far
	}
	return s.remap("resize", size)
}

// remap gives the map another size; a memory namespace's at least that which
// another process has. The caller has made sure that no transaction of this
// process is alive.
func (s *Space) remap(op string, size uint64) error {
	size = (size + s.pageSize - 1) / s.pageSize * s.pageSize
	if size > s.mapSize() {
		// LMDB lets the old map go before it makes the new one, and is of no
		// use without: so first look whether there is one to be had.
		trial, err := unix.Mmap(int(s.dataFile.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_NORESERVE)
		if err != nil {
			return errs.Newf(errs.Full, op, s.name, "there is no address space for a map of %d bytes (%v); raise the process's limit (ulimit -v)", size, err)
		}
		_ = unix.Munmap(trial)
	}
	return s.whileSized(func() error {
		if s.memory {
			size = max(size, atomic.LoadUint64(s.recorded))
			// Before LMDB does, which without it were left with no map.
			if rc := syscall.Errno(C.pk_extend(C.int(s.dataFile.Fd()), C.int64_t(size))); rc != 0 {
				return ioFailure(op, s.name, rc)
			}
		}
		atomic.StoreUint64(s.recorded, size)
		if err := s.env.SetMapSize(int64(size)); err != nil {
			s.dead.Store(true) // it has no map any more
			return s.openFailure(err)
		}
		return s.readMapSize()
	})
}

// mapSize is the size of the map in this process.
func (s *Space) mapSize() uint64 { return s.mapped.Load() }

func (s *Space) readMapSize() error {
	info, err := s.env.Info()
	if err != nil {
		return errs.Wrap(errs.IO, "open namespace", s.name, err)
	}
	s.mapped.Store(uint64(info.MapSize))
	return nil
}
