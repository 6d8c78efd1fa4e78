package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
)

const (
	// maxValue is LMDB's: sizes are kept in 32 bits.
	maxValue = math.MaxInt32 - 4096
	// minMapSize is the least that an environment is opened with.
	minMapSize = 1 << 20
	// mapStep bounds a single growth of the map.
	mapStep = 64 << 30
	// initialBlocks, blockStep: a memory namespace's blocks are allocated
	// this much at a time, and in larger steps as it grows.
	initialBlocks = 4 << 20
	blockStep     = 16 << 20
	maxBlockStep  = 256 << 20
	// blockSlack covers what one operation may use beside its value: a split
	// of every level of the tree, and the commit's own book-keeping.
	blockSlack = 1 << 20
)

// blocksFor makes sure that a memory namespace has blocks for n more bytes
// from page next on, so that no store into the map can meet a full disk.
// Called by the thread that has the writer's turn.
func (s *Space) blocksFor(next, n uint64) error {
	// A commit notes each page it frees in eight bytes.
	need := next*s.pageSize + n + blockSlack + next*8
	if need <= atomic.LoadUint64(s.allocated) {
		return nil
	}
	return s.allocate(need)
}

func (s *Space) allocate(need uint64) error {
	have := atomic.LoadUint64(s.allocated)
	if need <= have {
		return nil
	}
	step := min(max(blockStep, have/4), maxBlockStep)
	if have == 0 {
		step = initialBlocks
	}
	target := (need + step - 1) / step * step
	fd := int(s.dataFile.Fd())
	err := unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, int64(target))
	if errors.Is(err, unix.ENOSPC) {
		// Not a whole step, then just what is needed.
		target = need
		err = unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, int64(target))
	}
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = s.fillHoles(int64(have), int64(target))
	}
	if err != nil {
		return errs.Wrap(errs.Full, "allocate blocks", s.name, err)
	}
	atomic.StoreUint64(s.allocated, target)
	return nil
}

// fillHoles stands in for fallocate: it writes back what it reads, so that
// pages in use keep their content and holes get blocks.
func (s *Space) fillHoles(from, to int64) error {
	block := make([]byte, 1<<20)
	for at := from; at < to; at += int64(len(block)) {
		n, err := s.dataFile.ReadAt(block, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		clear(block[n:])
		if _, err := s.dataFile.WriteAt(block, at); err != nil {
			return err
		}
	}
	return nil
}

// headroom is how much of the map must be free when a transaction begins.
// Address space costs nothing, and a map cannot grow inside a transaction.
func headroom(mapSize uint64) uint64 { return min(max(mapSize/4, 16<<20), 1<<30) }

// roomy reports whether a transaction that begins at page next has the
// headroom it should, and what an earlier one lacked.
func (s *Space) roomy(next, mapSize uint64) bool {
	return max(next*s.pageSize, s.needed.Load())+headroom(mapSize) <= mapSize
}

// grow makes the map larger. The caller has the writer's turn, no LMDB
// transaction, and own transactions counted in readers.
func (s *Space) grow(own int, used uint64) error {
	if err := s.exclusive(own); err != nil {
		return err
	}
	defer s.shared()
	// Another process may have grown it meanwhile.
	size := max(s.mapSize(), uint64(C.pk_page_get_mapsize(s.page)))
	want := max(used, s.needed.Load())
	for !fits(want, size) {
		size += min(size, mapStep)
	}
	size = (size + s.pageSize - 1) / s.pageSize * s.pageSize
	if err := s.env.SetMapSize(int64(size)); err != nil {
		return s.openFailure(err)
	}
	C.pk_page_set_mapsize(s.page, C.uint64_t(size))
	s.needed.Store(0)
	s.mapped.Store(size)
	return nil
}

func fits(used, size uint64) bool { return used+headroom(size) <= size }

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

// checkFile refuses a data file that is shorter than its own header says:
// reading past its end would kill the process.
func (s *Space) checkFile(created bool) error {
	const (
		op       = "open namespace"
		magicAt  = 16 // behind the page header
		psizeAt  = 40
		lastAt   = 136
		txnAt    = 144
		metaSize = 152
		magic    = 0xBEEFC0DE
	)
	f, err := os.Open(filepath.Join(s.dir, "data.mdb"))
	if errors.Is(err, os.ErrNotExist) {
		if created {
			return errs.New(errs.Corrupt, op, s.name, "its data file is missing; restore a backup")
		}
		return nil
	}
	if err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return errs.Wrap(errs.IO, op, s.name, err)
	}
	size := uint64(info.Size())
	if size == 0 && !created {
		return nil
	}
	var meta [metaSize]byte
	var last, newest uint64
	psize := uint64(4096)
	for i := range uint64(2) {
		if _, err := f.ReadAt(meta[:], int64(i*psize)); err != nil {
			return errs.Newf(errs.Corrupt, op, s.name, "its data file ends after %d bytes; restore a backup", size)
		}
		if binary.NativeEndian.Uint32(meta[magicAt:]) != magic {
			return errs.New(errs.Corrupt, op, s.name, "its data file does not begin as one; restore a backup")
		}
		if i == 0 {
			psize = uint64(binary.NativeEndian.Uint32(meta[psizeAt:]))
			if psize < 512 || psize > 65536 || psize&(psize-1) != 0 {
				return errs.New(errs.Corrupt, op, s.name, "its data file names an impossible page size; restore a backup")
			}
		}
		if txn := binary.NativeEndian.Uint64(meta[txnAt:]); i == 0 || txn > newest {
			newest, last = txn, binary.NativeEndian.Uint64(meta[lastAt:])
		}
	}
	// A new file's header names pages that only the first commit writes.
	if newest > 0 && (last+1)*psize > size {
		return errs.Newf(errs.Corrupt, op, s.name, "its data file has %d bytes where %d were written: it was cut short; restore a backup", size, (last+1)*psize)
	}
	return nil
}
