package lmdbstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"

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
	bad      []uint64 // pages of a tree that are damaged
	salvage  bool     // what can be read is wanted, not what is wrong
	previous []byte   // the key before, to see that they rise
	numbers  bool     // keys are numbers of the machine's, not bytes in order
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
	return w.run(roots, verify, report)
}

// CheckFile is Check for a data file that nobody has open, such as a backup's.
// It takes no locks and needs nothing but the file.
func CheckFile(path, name string, verify func(key, value []byte) error, report func(key []byte, err error)) error {
	f, err := os.Open(path)
	if err != nil {
		return ioFailure("check", name, err)
	}
	defer f.Close()
	newest, err := readMeta(f, name)
	if err != nil {
		return err
	}
	if end := (newest.last + 1) * newest.pageSize; newest.last > maxPages || newest.txn > 0 && end > uint64(sizeOf(path)) {
		return errs.Newf(errs.Corrupt, "check", name, "the file has fewer bytes than the %d that were written", end)
	}
	roots := make([]byte, metaBytes)
	if _, err := f.ReadAt(roots, int64(newest.txn%2*newest.pageSize)); err != nil {
		return ioFailure("check", name, err)
	}
	w := &walker{file: f, name: name, pageSize: newest.pageSize, last: newest.last}
	if binary.NativeEndian.Uint64(roots[metaTxnAt:]) != newest.txn {
		return errs.New(errs.Corrupt, "check", name, "its pages of roots are not where they should be")
	}
	return w.run(roots, verify, report)
}

// run goes through the trees that a page of roots leads to.
func (w *walker) run(roots []byte, verify func(key, value []byte) error, report func(key []byte, err error)) error {
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

func (w *walker) badPage(number uint64, format string, args ...any) {
	w.bad = append(w.bad, number)
	w.damaged(format, args...)
}

// inside reports whether pages can be where they are said to be.
func (w *walker) inside(page, n uint64) bool {
	if page < 2 || page > w.last || n > w.last-page+1 {
		w.damaged("page %d is named, of pages 2 to %d", page, w.last)
		return false
	}
	return true
}

// claim notes that n pages from page on are in use; false when they cannot be.
func (w *walker) claim(page, n uint64) bool {
	if !w.inside(page, n) {
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

// page goes through the part of a tree below a page. It is looked at before it
// is claimed: the number may be wrong, and the page another's.
func (w *walker) page(number uint64, depth int) {
	if !w.inside(number, 1) {
		return
	}
	p := make([]byte, w.pageSize)
	if _, err := w.file.ReadAt(p, int64(number*w.pageSize)); err != nil {
		w.badPage(number, "page %d cannot be read: %v", number, err)
		return
	}
	flags := binary.NativeEndian.Uint16(p[pageFlagsAt:])
	lower, upper := uint64(binary.NativeEndian.Uint16(p[pageLowerAt:])), uint64(binary.NativeEndian.Uint16(p[pageUpperAt:]))
	kind := flags & (branchPage | leafPage | overflowPage)
	if binary.NativeEndian.Uint64(p) != number || (kind != branchPage && kind != leafPage) || depth > maxDepth ||
		lower < pageHeader || lower > upper || upper > w.pageSize || lower%2 != 0 {
		w.badPage(number, "page %d is not a page of a tree", number)
		return
	}
	if !w.claim(number, 1) {
		return
	}
	filled := uint64(0)
	for at := uint64(pageHeader); at < lower; at += 2 {
		begin := uint64(binary.NativeEndian.Uint16(p[at:]))
		if begin < upper {
			w.badPage(number, "an entry of page %d lies outside of it", number)
			return
		}
		n, ok := nodeAt(p, begin)
		if !ok {
			w.badPage(number, "a key of page %d reaches past its end", number)
			return
		}
		filled += n.length(kind == leafPage)
		if kind == branchPage {
			w.page(n.size|uint64(n.flags)<<32, depth+1)
			continue
		}
		w.leaf(number, n)
	}
	// Entries lie without gaps. So one that nothing points to shows.
	if filled != w.pageSize-upper {
		w.badPage(number, "page %d has entries that nothing leads to", number)
	}
}

// node is an entry of a page. Of a branch, flags and size are the number of the
// page below.
type node struct {
	size  uint64
	flags uint16
	key   []byte
	rest  []byte // of the page
}

// nodeAt is the node that begins at a byte of a page; ok is false where its key
// would reach past the end.
func nodeAt(p []byte, begin uint64) (n node, ok bool) {
	if begin+nodeHeader > uint64(len(p)) {
		return n, false
	}
	raw := p[begin:]
	end := nodeHeader + uint64(binary.NativeEndian.Uint16(raw[nodeKeyLenAt:]))
	if end > uint64(len(raw)) {
		return n, false
	}
	return node{
		size:  uint64(binary.NativeEndian.Uint16(raw)) | uint64(binary.NativeEndian.Uint16(raw[2:]))<<16,
		flags: binary.NativeEndian.Uint16(raw[nodeFlagsAt:]),
		key:   raw[nodeHeader:end:end], rest: raw[end:],
	}, true
}

// length is what the node takes in its page.
func (n *node) length(leaf bool) uint64 {
	length := nodeHeader + uint64(len(n.key))
	switch {
	case leaf && n.flags&bigNode != 0:
		length += 8
	case leaf:
		length += n.size
	}
	return length + length%2
}

// leaf hands an entry over, once it is known to be whole.
func (w *walker) leaf(number uint64, n node) {
	key, rest, size, flags := n.key, n.rest, n.size, n.flags
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
	// Looked at before it is claimed: the number may be wrong, and the page another's.
	if binary.NativeEndian.Uint64(head[:]) != number || binary.NativeEndian.Uint16(head[pageFlagsAt:])&overflowPage == 0 ||
		pageHeader+size > pages*w.pageSize {
		w.damaged("page %d is not the value that it should be", number)
		return nil, false
	}
	if w.salvage {
		// The rest may be another's, if it is the number that is damaged.
		pages = (pageHeader + size + w.pageSize - 1) / w.pageSize
	}
	if !w.claim(number, pages) {
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
