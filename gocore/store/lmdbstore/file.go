package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"parkit/gocore/errs"
)

// Blocks of the data file are allocated ahead of the last used page. In a
// memory namespace, which writes through the map, that makes a full disk an
// error and not a SIGBUS; in a durable one it makes it an error before
// anything was written, and not one in the middle of a commit.
const (
	// initialBlocks is what a memory namespace begins with; then blocks come
	// in steps that grow with the file.
	initialBlocks = 4 << 20
	memoryStep    = 16 << 20
	maxMemoryStep = 256 << 20
	// A durable namespace's commits are bound by the disk anyway: its file
	// shall stay small.
	durableStep    = 256 << 10
	maxDurableStep = 64 << 20
	// blockSlack is kept free ahead while the disk has room: more than any
	// one operation uses beside its value.
	blockSlack = 1 << 20
)

// Without room on the disk these many pages beside the value are enough, for
// the tree and the commit's book-keeping. A write leaves more behind than a
// deletion needs, and that more than a commit: what is full can be emptied.
const (
	putPages    = 48
	delPages    = 32
	commitPages = 16
)

// blocksFor makes sure that a memory namespace has blocks for an operation that
// brings n more bytes, and for the given number of pages beside.
func (t *Txn) blocksFor(n, pages uint64) error {
	s := t.s
	// A commit notes each page it frees in eight bytes.
	need := t.next*s.pageSize + n + t.next*8
	if need+blockSlack <= atomic.LoadUint64(s.allocated) {
		return nil
	}
	err := s.allocate(need+blockSlack, need+pages*s.pageSize)
	if err != nil && t.fitsIntoFree(n, pages) {
		return nil
	}
	return err
}

// fitsIntoFree reports whether pages that earlier commits freed are enough for
// an operation, so that none at the file's end will be used. Looked up only
// where the disk is full.
func (t *Txn) fitsIntoFree(n, pages uint64) bool {
	if n > t.s.pageSize/4 { // its pages would have to lie together
		return false
	}
	t.taken += putPages / 4 // as many as any small operation takes
	oldest := t.id - 1
	err := t.s.eachReader(func(commit uint64) { oldest = min(oldest, commit) })
	return err == nil && uint64(C.pk_free_pages(t.s.raw, C.uint64_t(oldest))) >= t.taken+pages
}

// fileFor makes a durable namespace's file long enough for a commit whose
// pages end before next. So no commit ever names a page beyond the file's end,
// which is what checkFile tells a file by that was cut short. more says that
// it is to leave room for those who delete.
func (s *Space) fileFor(next uint64, more bool) error {
	need := next*s.pageSize + next*8 + commitPages*s.pageSize
	if more {
		need += (putPages - commitPages) * s.pageSize
	}
	if need <= atomic.LoadUint64(s.allocated) {
		return nil
	}
	return s.allocate(need, need)
}

// fileForCommit is fileFor, of a transaction. One that only deleted, or found
// its pages among those that were free, may leave the disk full.
func (t *Txn) fileForCommit() error {
	s := t.s
	err := s.fileFor(t.next, t.stored && t.next > t.begun)
	if err != nil && (!t.stored || t.next == t.begun) && t.next*s.pageSize <= atomic.LoadUint64(s.allocated) {
		return nil // the commit itself finds out whether its few pages fit
	}
	return err
}

// allocate puts blocks behind want bytes of the file or, where the disk has
// not so many, behind least.
func (s *Space) allocate(want, least uint64) error {
	have := atomic.LoadUint64(s.allocated)
	if want <= have {
		return nil
	}
	step := min(max(durableStep, have/8), maxDurableStep)
	if s.memory {
		step = min(max(memoryStep, have/4), maxMemoryStep)
		if have == 0 {
			step = initialBlocks
		}
	}
	targets := []uint64{(want + step - 1) / step * step, want, least}
	if targets[0]-have > s.diskFree()/2 {
		targets = targets[1:] // some file systems take all there is before they refuse
	}
	var err error
	for _, target := range targets {
		if target <= have {
			return nil
		}
		if err = giveBlocks(s.dataFile, int64(have), int64(target), s.memory); err == nil {
			atomic.StoreUint64(s.allocated, target)
			return nil
		}
		if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
			break
		}
	}
	return ioFailure("allocate blocks", s.name, err)
}

// diskFree is how much room the file system has for this process.
func (s *Space) diskFree() uint64 {
	var fs syscall.Statfs_t
	if err := syscall.Fstatfs(int(s.dataFile.Fd()), &fs); err != nil {
		return 0
	}
	return fs.Bavail * uint64(fs.Bsize)
}

// diskFull reports whether a short write had no other cause.
func (s *Space) diskFull() bool { return s.diskFree() < blockSlack }

// giveBlocks puts blocks behind a part of a file. Where the file system
// cannot: keepSize says that holes would be met by writes to a map, so they
// are filled; else the file is only made longer.
func giveBlocks(f *os.File, from, to int64, keepSize bool) error {
	keep := C.int(0)
	if keepSize {
		keep = 1
	}
	rc := syscall.Errno(C.pk_allocate(C.int(f.Fd()), C.int64_t(from), C.int64_t(to), keep))
	switch {
	case rc == 0:
		return nil
	case rc != syscall.EOPNOTSUPP && rc != syscall.ENOSYS:
		return rc
	case keepSize:
		return fillHoles(f, from, to)
	}
	if rc := syscall.Errno(C.pk_extend(C.int(f.Fd()), C.int64_t(to))); rc != 0 {
		return rc
	}
	return nil
}

// fillHoles stands in for fallocate: it writes back what it reads, so that
// pages in use keep their content and holes get blocks.
func fillHoles(f *os.File, from, to int64) error {
	block := make([]byte, min(1<<20, to-from))
	for at := from; at < to; {
		part := block[:min(int64(len(block)), to-at)]
		n, err := f.ReadAt(part, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		clear(part[n:])
		if _, err := f.WriteAt(part, at); err != nil {
			return err
		}
		at += int64(len(part))
	}
	return nil
}

// The parts of a page of roots that are read here, see struct MDB_meta. It
// stands behind the page's header of 16 bytes.
const (
	metaMagicAt = 16
	metaPsizeAt = 40
	metaRootAt  = 128 // of the one database
	metaLastAt  = 136
	metaTxnAt   = 144
	metaBytes   = 152
	metaMagic   = 0xBEEFC0DE
)

// meta is what a data file says of its newest commit.
type meta struct {
	pageSize uint64
	root     uint64
	last     uint64 // page
	txn      uint64
}

// readMeta reads the newest of a data file's two pages of roots.
func readMeta(f io.ReaderAt, name string) (meta, error) {
	const op = "open namespace"
	newest := meta{pageSize: 4096}
	for i := range uint64(2) {
		var b [metaBytes]byte
		if n, err := f.ReadAt(b[:], int64(i*newest.pageSize)); err != nil {
			if !errors.Is(err, io.EOF) {
				return newest, ioFailure(op, name, err)
			}
			return newest, errs.Newf(errs.Corrupt, op, name, "its data file ends after %d bytes; restore a backup", i*newest.pageSize+uint64(n))
		}
		if binary.NativeEndian.Uint32(b[metaMagicAt:]) != metaMagic {
			return newest, errs.New(errs.Corrupt, op, name, "its data file does not begin as one; restore a backup")
		}
		if i == 0 {
			newest.pageSize = uint64(binary.NativeEndian.Uint32(b[metaPsizeAt:]))
			if p := newest.pageSize; p < 512 || p > 65536 || p&(p-1) != 0 {
				return newest, errs.New(errs.Corrupt, op, name, "its data file names an impossible page size; restore a backup")
			}
		}
		if txn := binary.NativeEndian.Uint64(b[metaTxnAt:]); i == 0 || txn > newest.txn {
			newest.txn = txn
			newest.root = binary.NativeEndian.Uint64(b[metaRootAt:])
			newest.last = binary.NativeEndian.Uint64(b[metaLastAt:])
		}
	}
	return newest, nil
}

// checkFile refuses a data file that is shorter than its own header says:
// reading past its end would kill the process. created says that it must be
// there.
func (s *Space) checkFile(created bool) error {
	const op = "open namespace"
	f, err := os.Open(filepath.Join(s.dir, dataName))
	if errors.Is(err, os.ErrNotExist) {
		if created {
			return errs.New(errs.Corrupt, op, s.name, "its data file is missing; restore a backup")
		}
		return nil
	}
	if err != nil {
		return ioFailure(op, s.name, err)
	}
	defer f.Close()
	if !created && sizeOf(f.Name()) == 0 {
		return nil
	}
	newest, err := readMeta(f, s.name)
	if err != nil {
		return err
	}
	// Asked last: others may be making it longer.
	size := uint64(sizeOf(f.Name()))
	// A new file's header names pages that only the first commit writes.
	if end := (newest.last + 1) * newest.pageSize; newest.txn > 0 && (end > size || newest.last > 1<<48) {
		return errs.Newf(errs.Corrupt, op, s.name, "its data file has %d bytes where %d were written: it was cut short; restore a backup", size, end)
	}
	return nil
}

// removeUnfinished removes a data file whose making was not finished, for want
// of room or because of a power cut: it is no longer than the two pages it
// begins with, and in them is nothing but zeros and the roots of no commit.
func (s *Space) removeUnfinished() error {
	const op, sector = "open namespace", 512
	path := filepath.Join(s.dir, dataName)
	b, err := readSmall(path, 2*os.Getpagesize())
	if err != nil || b == nil {
		return ioFailure(op, s.name, err)
	}
	fresh := 0
	for at := 0; at < len(b); at += sector {
		part := b[at:min(at+sector, len(b))]
		switch {
		case !bytes.ContainsFunc(part, func(r rune) bool { return r != 0 }):
		case at%os.Getpagesize() == 0 && len(part) >= metaBytes && binary.NativeEndian.Uint32(part[metaMagicAt:]) == metaMagic &&
			binary.NativeEndian.Uint64(part[metaTxnAt:]) == 0:
			fresh++
		default:
			return nil // whatever it is, it is not that
		}
	}
	if fresh == 2 {
		return nil // whole, and empty
	}
	return ioFailure(op, s.name, os.Remove(path))
}

// readSmall reads a file that has no more than most bytes; nil for one that
// has, or that is not there.
func readSmall(path string, most int) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, most+1)
	n, err := io.ReadFull(f, b)
	switch {
	case err == nil:
		return nil, nil
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return b[:n], nil
	}
	return nil, err
}

// sizeOf is a file's length; 0 where it cannot be had.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// removedEvery is how many write transactions of a memory namespace lie between
// two looks for its file: a look costs a tenth of such a commit.
const removedEvery = 64

// stillThere fails when somebody removed the data file: what is written to it
// from then on nobody will ever find.
func (s *Space) stillThere() error {
	var st syscall.Stat_t
	if s.dataFile == nil || syscall.Fstat(int(s.dataFile.Fd()), &st) != nil || st.Nlink > 0 {
		return nil
	}
	s.dead.Store(true)
	return errs.New(errs.Dead, "commit", s.name, "its files were removed while it was open, so nothing was written; open the namespace again, if it is to be there")
}
