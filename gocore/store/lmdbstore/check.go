package lmdbstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"parkit/gocore/errs"
)

// LMDB believes its own pages: a damaged one can lead it out of the map, or
// round in circles. So a check reads the file by itself, and believes nothing.

// Parts of a page, see struct MDB_page and MDB_node.
const (
	pageFlagsAt  = 10
	pageLowerAt  = 12 // and an overflow page's number of pages
	pageUpperAt  = 14
	pageHeader   = 16
	nodeFlagsAt  = 4
	nodeKeyLenAt = 6
	nodeHeader   = 8

	branchPage   = 0x01
	leafPage     = 0x02
	overflowPage = 0x04
	bigNode      = 0x01 // the value is on overflow pages

	maxDepth = 32
	noPage   = ^uint64(0)
)

// Parts of a page of roots that only a check reads.
const (
	metaFreeRootAt = 80
	metaEntriesAt  = 120
)

// maxFindings is how many damaged pages a check tells of.
const maxFindings = 20

// walker goes through the tree of one commit.
type walker struct {
	file     io.ReaderAt
	name     string
	pageSize uint64
	last     uint64
	seen     []uint64 // a bit a page
	entry    func(key, value []byte)
	entries  uint64
	findings []error
	previous []byte // the key before, to see that they rise
	numbers  bool   // keys are numbers of the machine's, not bytes in order
}

// Check reads every entry of the last commit and hands it to verify. What it
// cannot reach, because a page is damaged, is in the error that it returns.
func (s *Space) Check(verify func(key, value []byte) error, report func(key []byte, err error)) error {
	w := &walker{name: s.name, pageSize: s.pageSize}
	t, roots, err := s.beginCheck(w)
	if err != nil {
		return err
	}
	defer t.Abort() // keeps the pages as they are
	w.last = binary.NativeEndian.Uint64(roots[metaLastAt:])
	w.seen = make([]uint64, w.last/64+1)
	w.entry = func(key, value []byte) {
		if err := verify(key, value); err != nil {
			report(bytes.Clone(key), err)
		}
	}
	w.tree(binary.NativeEndian.Uint64(roots[metaRootAt:]))
	if counted := binary.NativeEndian.Uint64(roots[metaEntriesAt:]); counted != w.entries {
		w.damaged("%d entries were found where %d are counted", w.entries, counted)
	}
	// A free page that is in use too would be overwritten.
	w.numbers = true
	w.entry = func(_, value []byte) { w.free(value) }
	w.tree(binary.NativeEndian.Uint64(roots[metaFreeRootAt:]))
	return errors.Join(w.findings...)
}

// beginCheck begins a read transaction and reads the page of its roots.
func (s *Space) beginCheck(w *walker) (*Txn, []byte, error) {
	for {
		t, err := s.beginRead()
		if err != nil {
			return nil, nil, err
		}
		w.file = s.dataFile // compaction changes it, but not under a transaction
		roots := make([]byte, metaBytes)
		if _, err := w.file.ReadAt(roots, int64(t.ID()%2*s.pageSize)); err != nil {
			t.Abort()
			return nil, nil, ioFailure("check", s.name, err)
		}
		if binary.NativeEndian.Uint64(roots[metaTxnAt:]) == t.ID() {
			return t, roots, nil
		}
		t.Abort() // two commits later already
	}
}

func (w *walker) damaged(format string, args ...any) {
	if len(w.findings) < maxFindings {
		w.findings = append(w.findings, errs.Newf(errs.Corrupt, "check", w.name, format, args...))
	}
}

// claim notes that n pages from page on are in use; false when they cannot be.
func (w *walker) claim(page, n uint64) bool {
	if page < 2 || page > w.last || n > w.last-page+1 {
		w.damaged("page %d is named, of pages 2 to %d", page, w.last)
		return false
	}
	for p := page; p < page+n; p++ {
		if w.seen[p/64]&(1<<(p%64)) != 0 {
			w.damaged("page %d is used twice", p)
			return false
		}
		w.seen[p/64] |= 1 << (p % 64)
	}
	return true
}

func (w *walker) tree(root uint64) {
	if root != noPage {
		w.page(root, 0)
	}
}

// page goes through the part of a tree below a page.
func (w *walker) page(number uint64, depth int) {
	if !w.claim(number, 1) {
		return
	}
	p := make([]byte, w.pageSize)
	if _, err := w.file.ReadAt(p, int64(number*w.pageSize)); err != nil {
		w.damaged("page %d cannot be read: %v", number, err)
		return
	}
	flags := binary.NativeEndian.Uint16(p[pageFlagsAt:])
	lower, upper := binary.NativeEndian.Uint16(p[pageLowerAt:]), binary.NativeEndian.Uint16(p[pageUpperAt:])
	kind := flags & (branchPage | leafPage | overflowPage)
	if binary.NativeEndian.Uint64(p) != number || (kind != branchPage && kind != leafPage) || depth > maxDepth ||
		lower < pageHeader || lower > upper || uint64(upper) > w.pageSize || lower%2 != 0 {
		w.damaged("page %d is not a page of a tree", number)
		return
	}
	for at := uint64(pageHeader); at < uint64(lower); at += 2 {
		begin := uint64(binary.NativeEndian.Uint16(p[at:]))
		if begin < uint64(upper) || begin+nodeHeader > w.pageSize {
			w.damaged("an entry of page %d lies outside of it", number)
			return
		}
		node := p[begin:]
		size := uint64(binary.NativeEndian.Uint16(node)) | uint64(binary.NativeEndian.Uint16(node[2:]))<<16
		flags := binary.NativeEndian.Uint16(node[nodeFlagsAt:])
		keyEnd := nodeHeader + uint64(binary.NativeEndian.Uint16(node[nodeKeyLenAt:]))
		if keyEnd > uint64(len(node)) {
			w.damaged("a key of page %d reaches past its end", number)
			return
		}
		if kind == branchPage {
			w.page(size|uint64(flags)<<32, depth+1)
			continue
		}
		w.leaf(number, node[nodeHeader:keyEnd:keyEnd], node[keyEnd:], size, flags)
	}
}

// leaf hands an entry over, once it is known to be whole.
func (w *walker) leaf(number uint64, key, rest []byte, size uint64, flags uint16) {
	if !w.numbers && w.previous != nil && bytes.Compare(key, w.previous) <= 0 {
		w.damaged("the keys of page %d are out of order", number)
	}
	w.previous = append(w.previous[:0], key...)
	w.entries++
	switch {
	case flags == 0 && size <= uint64(len(rest)):
		w.entry(key, rest[:size:size])
	case flags == bigNode && len(rest) >= 8:
		if value, ok := w.overflow(binary.NativeEndian.Uint64(rest), size); ok {
			w.entry(key, value)
		}
	default:
		w.damaged("a value of page %d is damaged", number)
	}
}

// overflow reads a value that has pages of its own. It may have more than it
// needs, from a longer one that it replaced.
func (w *walker) overflow(number, size uint64) ([]byte, bool) {
	var head [pageHeader]byte
	if number > w.last {
		return nil, w.claim(number, 1)
	}
	if _, err := w.file.ReadAt(head[:], int64(number*w.pageSize)); err != nil {
		w.damaged("page %d cannot be read: %v", number, err)
		return nil, false
	}
	pages := uint64(binary.NativeEndian.Uint32(head[pageLowerAt:]))
	if !w.claim(number, pages) {
		return nil, false
	}
	if binary.NativeEndian.Uint64(head[:]) != number || binary.NativeEndian.Uint16(head[pageFlagsAt:])&overflowPage == 0 ||
		pageHeader+size > pages*w.pageSize {
		w.damaged("page %d is not the value that it should be", number)
		return nil, false
	}
	value := make([]byte, size)
	if _, err := w.file.ReadAt(value, int64(number*w.pageSize+pageHeader)); err != nil {
		w.damaged("page %d cannot be read: %v", number, err)
		return nil, false
	}
	return value, true
}

// free goes through a list of free pages.
func (w *walker) free(list []byte) {
	if len(list) < 8 || binary.NativeEndian.Uint64(list) > uint64(len(list)/8-1) {
		w.damaged("a list of free pages is damaged")
		return
	}
	for i := range binary.NativeEndian.Uint64(list) {
		w.claim(binary.NativeEndian.Uint64(list[8+8*i:]), 1)
	}
}
