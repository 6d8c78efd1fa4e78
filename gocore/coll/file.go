package coll

import (
	"math"
	"sync"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// A file's bytes lie in chunks. Of its state, Length is the file's size and
// Limit that of a chunk, both in bytes. The bytes before Next are its first
// part: one chunk that holds them all while Pending is 1, else chunks of
// Limit bytes, the last of them shorter. Those from Next on are in chunks of
// Limit bytes. So content that was set at once lies in one piece, and can be
// appended to without being copied.
//
// Chunks are numbered from 0, those of the first part first, as if it were in
// chunks of Limit bytes also where it is in one. What a chunk does not hold,
// because it is shorter or missing, is zeros.

const (
	// MaxFile is the largest size of a file: no process could map more.
	MaxFile = 1 << 47
	// maxChunk bounds what a state may say of chunks before it is damaged.
	maxChunk = 1 << 30
	// A file larger than residentFile is read in passing: each residentPart of
	// it does not stay in the process's working set.
	residentFile = 64 << 20
	residentPart = 4 << 20
)

// maxPiece is the most that FileSet keeps in one piece.
var maxPiece int64 = 1 << 30

// fileAlignment stands where records have a key of their own, of which a chunk
// has no need. Behind the 16 bytes of LMDB's page, the sum, the flags and the
// length, it makes content that can be looked at in place begin at a multiple
// of 64 bytes: who computes with unaligned numbers takes twice as long.
var fileAlignment [64 - 16 - keys.EntryOverhead - 1]byte

// fileLayout is a file's state.
type fileLayout struct {
	size, chunk int64
	first       int64 // size of the first part
	whole       bool  // it is in one chunk
}

func fileLayoutOf(tx *object.Tx, o *object.Object) (l fileLayout, err error) {
	state, err := tx.State(o)
	if err != nil {
		return l, err
	}
	if state.Kind() != object.KindFile {
		return l, errs.New(errs.TypeMismatch, "use file", o.Name, "the object is no file; bind it with its own class")
	}
	if state.Limit == 0 || state.Limit > maxChunk || state.Length > MaxFile || state.Next > MaxFile || state.Pending > 1 {
		return l, errs.New(errs.Corrupt, "use file", o.Name, "its state says what no file can have; restore it from a backup")
	}
	return fileLayout{int64(state.Length), int64(state.Limit), int64(state.Next), state.Pending == 1}, nil
}

// at is the chunk that holds the byte at an offset: its number, the offset at
// which it begins and how many bytes it may hold.
func (l *fileLayout) at(offset int64) (index uint64, start, room int64) {
	if offset < l.first {
		if l.whole {
			return 0, 0, l.first
		}
		index = uint64(offset / l.chunk)
		start = int64(index) * l.chunk
		return index, start, min(l.chunk, l.first-start)
	}
	n := (offset - l.first) / l.chunk
	return uint64((l.first+l.chunk-1)/l.chunk + n), l.first + n*l.chunk, l.chunk
}

// store makes the layout that of the file, and counts a change of it.
func (l *fileLayout) store(tx *object.Tx, o *object.Object) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	pending := 0
	if l.whole {
		pending = 1
	}
	tx.Moved(o, int(l.size-int64(state.Length)), uint64(l.first), pending-int(state.Pending))
	return nil
}

// FileRead reads from an offset as much as there is and dst takes, and returns
// how much that was, and the file's size.
func FileRead(tx *object.Tx, o *object.Object, offset int64, dst []byte) (n int, size int64, err error) {
	l, err := fileLayoutOf(tx, o)
	if err != nil {
		return 0, 0, err
	}
	if offset < 0 {
		return 0, l.size, badOffset(o, "read file", offset)
	}
	if offset >= l.size {
		return 0, l.size, nil
	}
	dst = dst[:min(int64(len(dst)), l.size-offset)]
	for n < len(dst) {
		index, start, room := l.at(offset)
		held, err := fileChunk(tx, o, index, room)
		if err != nil {
			return n, l.size, err
		}
		within := offset - start
		part := dst[n:min(int64(len(dst)), int64(n)+room-within)]
		copied := 0
		if within < int64(len(held)) {
			copied = copy(part, held[within:])
		}
		clear(part[copied:])
		n += len(part)
		offset += int64(len(part))
	}
	if from := offset - int64(n); l.size > residentFile && from/residentPart != offset/residentPart {
		fileUnneeded(tx, o, &l, from/residentPart*residentPart, offset/residentPart*residentPart)
	}
	return n, l.size, nil
}

// FileView is the whole content in place, where it lies in one piece; ok is
// false where it does not. It is valid until the transaction writes or ends.
func FileView(tx *object.Tx, o *object.Object) (content []byte, ok bool, err error) {
	l, err := fileLayoutOf(tx, o)
	if err != nil || l.size == 0 {
		return nil, true, err
	}
	index, _, room := l.at(0)
	if room < l.size {
		return nil, false, nil
	}
	held, err := fileChunk(tx, o, index, room)
	if err != nil || int64(len(held)) != l.size {
		return nil, false, err
	}
	return held, true, nil
}

// FileWrite writes data at an offset, or at the file's end for an offset of
// -1, and returns the offset behind it. With anew the file is emptied first.
// What lies between the end and an offset behind it is zeros. data must not
// alias what the transaction handed out.
func FileWrite(tx *object.Tx, o *object.Object, offset int64, data []byte, anew bool) (end int64, err error) {
	l, err := fileLayoutOf(tx, o)
	if err != nil {
		return 0, err
	}
	switch {
	case offset < -1:
		return 0, badOffset(o, "write file", offset)
	case offset == -1 && anew:
		offset = 0
	case offset == -1:
		offset = l.size
	}
	if end, err = fileEnd(o, "write file", offset, int64(len(data))); err != nil {
		return 0, err
	}
	if anew || (offset == 0 && l.whole && end >= l.size) {
		if err := fileEmpty(tx, o, &l); err != nil {
			return 0, err
		}
	}
	if len(data) == 0 {
		if !anew {
			return offset, nil
		}
		return offset, l.store(tx, o)
	}
	if l.whole && offset < l.first {
		if err := fileSplit(tx, o, &l, l.first); err != nil {
			return 0, err
		}
	}
	if err := fileFill(tx, o, &l, offset, data); err != nil {
		return 0, tx.Fail(err)
	}
	l.size = max(l.size, end)
	return end, l.store(tx, o)
}

// FileTruncate cuts the file, or makes it longer by zeros.
func FileTruncate(tx *object.Tx, o *object.Object, size int64) error {
	l, err := fileLayoutOf(tx, o)
	if err != nil {
		return err
	}
	if size < 0 {
		return badOffset(o, "truncate file", size)
	}
	if _, err := fileEnd(o, "truncate file", size, 0); err != nil {
		return err
	}
	switch {
	case size == l.size:
		return nil
	case size > l.size:
		l.size = size
		return l.store(tx, o)
	case size == 0:
		if err := fileEmpty(tx, o, &l); err != nil {
			return err
		}
		return l.store(tx, o)
	}
	if l.whole && size < l.first {
		if err := fileSplit(tx, o, &l, size); err != nil {
			return err
		}
	}
	if err := fileCut(tx, o, &l, size); err != nil {
		return tx.Fail(err)
	}
	l.size = size
	return l.store(tx, o)
}

// FileSet replaces the whole content. Up to 1 GiB of it then lie in one piece. data must not alias what the transaction handed out.
func FileSet(tx *object.Tx, o *object.Object, data []byte) error {
	l, err := fileLayoutOf(tx, o)
	if err != nil {
		return err
	}
	n := int64(len(data))
	if n == 0 || n > maxPiece {
		_, err := FileWrite(tx, o, 0, data, true)
		return err
	}
	// A chunk that stays under its key may stay in its pages as well.
	if _, _, room := l.at(0); l.size > room {
		if _, err := tx.DelRange(chunkRange(o, 1)); err != nil {
			return tx.Fail(err)
		}
	}
	if _, err := tx.PutEntry(tx.ItemKey(o, keys.TagChunk, 0), fileAlignment[:], data); err != nil {
		return tx.Fail(err)
	}
	l = fileLayout{size: n, chunk: l.chunk}
	if n > l.chunk {
		l.first, l.whole = n, true
	}
	return l.store(tx, o)
}

// fileChunk is what a chunk holds, nothing where it is missing. It aliases the
// store.
func fileChunk(tx *object.Tx, o *object.Object, index uint64, room int64) ([]byte, error) {
	dbkey := tx.ItemKey(o, keys.TagChunk, index)
	record, err := tx.Get(dbkey)
	if err == store.ErrNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	held, err := o.Value(dbkey, record)
	if err == nil && int64(len(held)) > room {
		return nil, errs.New(errs.Corrupt, "read", keys.Describe(dbkey), "it holds more than a chunk can. Check the namespace and restore the file from a backup.")
	}
	return held, err
}

// fileUnneeded gives the memory of a part that was read back to the system,
// where the store can.
func fileUnneeded(tx *object.Tx, o *object.Object, l *fileLayout, from, to int64) {
	u, ok := tx.Txn.(store.Unneeder)
	if !ok {
		return
	}
	var records [][]byte
	for from < to {
		index, start, room := l.at(from)
		record, err := tx.Get(tx.ItemKey(o, keys.TagChunk, index))
		if err == nil { // else there is nothing to give back, or reading has told
			cut := int64(len(record)) - room // what comes before the content
			lo, hi := max(0, from-start), max(0, min(int64(len(record)), to-start+max(0, cut)))
			records = append(records, record[min(lo, hi):hi])
		}
		from = start + room
	}
	u.Unneeded(records)
}

// fileScratch is memory for what a chunk holds beside what is written.
type fileScratch struct{ before, after []byte }

var fileScratches = sync.Pool{New: func() any { return new(fileScratch) }}

// fileFill stores data in chunks, none of which is the first part in one piece.
func fileFill(tx *object.Tx, o *object.Object, l *fileLayout, offset int64, data []byte) error {
	s := fileScratches.Get().(*fileScratch)
	defer fileScratches.Put(s)
	for len(data) > 0 {
		index, start, room := l.at(offset)
		within := offset - start
		part := data[:min(int64(len(data)), room-within)]
		behind := within + int64(len(part)) // where in the chunk the part ends
		s.before, s.after = s.before[:0], s.after[:0]
		if start < l.size && (within > 0 || start+behind < l.size) {
			held, err := fileChunk(tx, o, index, room)
			if err != nil {
				return err
			}
			s.before = append(s.before, held[:min(within, int64(len(held)))]...)
			if behind < int64(len(held)) {
				s.after = append(s.after, held[behind:]...)
			}
		}
		if gap := within - int64(len(s.before)); gap > 0 {
			s.before = append(s.before, make([]byte, gap)...)
		}
		if _, err := tx.PutEntry(tx.ItemKey(o, keys.TagChunk, index), nil, s.before, part, s.after); err != nil {
			return err
		}
		data = data[len(part):]
		offset += int64(len(part))
	}
	return nil
}

// fileSplit puts a first part that is in one piece into chunks, as far as it
// is to be kept.
func fileSplit(tx *object.Tx, o *object.Object, l *fileLayout, keep int64) error {
	if _, err := fileChunk(tx, o, 0, l.first); err != nil { // checks its sum
		return err
	}
	s := fileScratches.Get().(*fileScratch)
	defer fileScratches.Put(s)
	// The first chunk comes last: under its key all of it lies until then.
	for index := (keep - 1) / l.chunk; index >= 0; index-- {
		held, err := fileChunk(tx, o, 0, l.first)
		if err != nil {
			return tx.Fail(err)
		}
		start := min(index*l.chunk, int64(len(held)))
		s.before = append(s.before[:0], held[start:min(start+l.chunk, int64(len(held)))]...)
		if _, err := tx.PutEntry(tx.ItemKey(o, keys.TagChunk, uint64(index)), nil, s.before); err != nil {
			return tx.Fail(err)
		}
	}
	l.whole = false
	return l.store(tx, o)
}

// fileCut removes what lies from an offset on, which is before the end and
// not inside of a first part in one piece.
func fileCut(tx *object.Tx, o *object.Object, l *fileLayout, size int64) error {
	index, start, room := l.at(size)
	if size > start {
		held, err := fileChunk(tx, o, index, room)
		if err != nil {
			return err
		}
		if keep := size - start; int64(len(held)) > keep {
			kept := append([]byte(nil), held[:keep]...)
			if _, err := tx.PutEntry(tx.ItemKey(o, keys.TagChunk, index), nil, kept); err != nil {
				return err
			}
		}
		index++
	}
	_, err := tx.DelRange(chunkRange(o, index))
	return err
}

// fileEmpty removes all chunks.
func fileEmpty(tx *object.Tx, o *object.Object, l *fileLayout) error {
	if l.size > 0 {
		if _, err := tx.DelRange(chunkRange(o, 0)); err != nil {
			return tx.Fail(err)
		}
	}
	*l = fileLayout{chunk: l.chunk}
	return nil
}

// chunkRange is all chunks from one on.
func chunkRange(o *object.Object, index uint64) store.Range {
	return store.Range{
		Lo: keys.AppendItemKey(nil, o.Prefix, keys.TagChunk, index),
		Hi: store.After(keys.AppendTag(nil, o.Prefix, keys.TagChunk)),
	}
}

// fileEnd is offset + n, if a file can be as large.
func fileEnd(o *object.Object, op string, offset, n int64) (int64, error) {
	if offset > math.MaxInt64-n || offset+n > MaxFile {
		return 0, errs.Newf(errs.TooBig, op, o.Name, "%d bytes from offset %d on: a file has at most %d bytes; nothing was changed", n, offset, int64(MaxFile))
	}
	return offset + n, nil
}

func badOffset(o *object.Object, op string, offset int64) error {
	return errs.Newf(errs.InvalidArgument, op, o.Name, "%d: an offset or a size is not negative", offset)
}
