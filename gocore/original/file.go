// Package original reads the files of the original parkit (0.0.10), of which
// each namespace is an LMDB environment with many named databases. It is what
// a conversion stands on, and writes nothing.
//
// It reads the file by itself instead of having LMDB open it: LMDB believes
// its pages, so that a damaged file could end the process; it wants its lock
// file, and the old site must not change by a byte. Every number that is read
// here is held against the file before it is followed, and what cannot be
// reached is told, not fatal.
package original

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"parkit/gocore/errs"
)

// DataFile is the file in a namespace's directory that holds everything.
const DataFile = "data.mdb"

// Parts of LMDB's file, see struct MDB_page, MDB_meta, MDB_db and MDB_node.
const (
	magic         = 0xBEEFC0DE
	formatVersion = 1 // of LMDB 0.9

	pageFlagsAt = 10
	pageLowerAt = 12 // and an overflow page's number of pages
	pageHeader  = 16

	metaAt      = pageHeader
	metaTreesAt = metaAt + 24
	treeBytes   = 48
	metaLastAt  = metaTreesAt + 2*treeBytes
	metaTxnAt   = metaLastAt + 8
	metaEnd     = metaTxnAt + 8

	treeFlagsAt   = 4
	treeDepthAt   = 6
	treeEntriesAt = 32
	treeRootAt    = 40

	nodeFlagsAt  = 4
	nodeKeyLenAt = 6
	nodeHeader   = 8

	branchPage   = 0x01
	leafPage     = 0x02
	overflowPage = 0x04
	metaPage     = 0x08

	bigNode  = 0x01 // the value is on overflow pages
	treeNode = 0x02 // the value is the root of a named database
	dupNode  = 0x04 // the key has several values

	reverseKeys = 0x02
	dupSort     = 0x04
	numberKeys  = 0x08

	noPage   = math.MaxUint64
	maxDepth = 32
)

// File is one environment, opened for reading only. It is safe for use by
// several goroutines.
type File struct {
	path     string
	file     io.ReaderAt
	close    func() error
	pageSize uint64
	last     uint64 // page
	commit   uint64
	main     tree
}

// tree is the root of a database.
type tree struct {
	name    string
	flags   uint16
	depth   int
	entries uint64
	root    uint64
}

// Open opens the environment in a directory; errs.NamespaceNotFound where
// there is none, errs.Corrupt where both pages of roots are damaged,
// errs.NewerFormat where a newer LMDB wrote it.
func Open(directory string) (*File, error) {
	path := filepath.Join(directory, DataFile)
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return nil, errs.New(errs.NamespaceNotFound, "read original", path, "there is no such file, so this is no namespace of the original parkit; check the path")
	}
	if err != nil {
		return nil, errs.Wrap(errs.IO, "read original", path, err)
	}
	f := &File{path: path, file: file, close: file.Close}
	if err := f.readRoots(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error { return f.close() }

// Changed reports whether somebody has written to the environment since it
// was opened: then what was read may be of two moments.
func (f *File) Changed() (bool, error) {
	now := &File{path: f.path, file: f.file}
	if err := now.readRoots(); err != nil {
		return false, err
	}
	return now.commit != f.commit, nil
}

// readRoots takes the newer of the two pages of roots.
func (f *File) readRoots() error {
	found := f.damaged("neither of its two pages of roots can be read")
	f.pageSize = 0
	newest := uint64(0)
	at := int64(0)
	for i := 0; i < 2; i++ {
		raw := make([]byte, metaEnd)
		if _, err := f.file.ReadAt(raw, at); err != nil {
			break
		}
		le := binary.LittleEndian
		size := uint64(le.Uint32(raw[metaTreesAt:])) // kept where the tree of free pages has nothing to say
		at = int64(size)
		if le.Uint16(raw[pageFlagsAt:])&metaPage == 0 || le.Uint32(raw[metaAt:]) != magic ||
			size < 512 || size > 1<<16 || size&(size-1) != 0 {
			if at == 0 || f.pageSize == 0 {
				at = 4096 // the usual size: the second page may still say it
			}
			continue
		}
		if version := le.Uint32(raw[metaAt+4:]) & 0xFFFF; version != formatVersion {
			found = errs.Newf(errs.NewerFormat, "read original", f.path, "LMDB's format is %d and this parkit reads format %d; copy it with the LMDB that wrote it", version, formatVersion)
			continue
		}
		commit := le.Uint64(raw[metaTxnAt:])
		if f.pageSize != 0 && commit < newest {
			continue
		}
		main, err := f.parseTree("", raw[metaTreesAt+treeBytes:])
		if err != nil {
			continue
		}
		f.pageSize, f.last, f.commit, f.main = size, le.Uint64(raw[metaLastAt:]), commit, main
		newest = commit
	}
	if f.pageSize == 0 {
		return found
	}
	return nil
}

func (f *File) parseTree(name string, raw []byte) (tree, error) {
	if len(raw) < treeBytes {
		return tree{}, f.damaged("the root of database %q is cut short", name)
	}
	le := binary.LittleEndian
	t := tree{
		name: name, flags: le.Uint16(raw[treeFlagsAt:]), depth: int(le.Uint16(raw[treeDepthAt:])),
		entries: le.Uint64(raw[treeEntriesAt:]), root: le.Uint64(raw[treeRootAt:]),
	}
	if t.depth > maxDepth || (t.depth == 0) != (t.root == noPage) {
		return tree{}, f.damaged("the root of database %q is damaged", name)
	}
	if t.flags&dupSort != 0 {
		return tree{}, f.damaged("database %q has several values a key, which the original parkit never made", name)
	}
	return t, nil
}

func (t *tree) compare(a, b []byte) int {
	switch {
	case t.flags&numberKeys != 0:
		// Numbers of the machine's: compared from their last byte.
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		for i := len(a) - 1; i >= 0; i-- {
			if a[i] != b[i] {
				return int(a[i]) - int(b[i])
			}
		}
		return 0
	case t.flags&reverseKeys != 0:
		for i := 1; i <= min(len(a), len(b)); i++ {
			if x, y := a[len(a)-i], b[len(b)-i]; x != y {
				return int(x) - int(y)
			}
		}
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}

// page reads a page of one kind.
func (f *File) page(number uint64, kind uint16) ([]byte, error) {
	if number < 2 || number > f.last {
		return nil, f.damaged("page %d is named, of pages 2 to %d", number, f.last)
	}
	p := make([]byte, f.pageSize)
	if _, err := f.file.ReadAt(p, int64(number*f.pageSize)); err != nil {
		return nil, f.damaged("page %d cannot be read: %v", number, err)
	}
	if at := binary.LittleEndian.Uint64(p); at != number {
		return nil, f.damaged("page %d says that it is page %d", number, at)
	}
	if flags := binary.LittleEndian.Uint16(p[pageFlagsAt:]) & 0x6F; flags != kind {
		return nil, f.damaged("page %d is of another kind (%#x) than its place", number, flags)
	}
	return p, nil
}

// node is a part of a page.
type node struct {
	key  []byte
	data []byte // of a leaf, unless big
	size uint64 // of a leaf's value
	big  uint64 // first overflow page
	tree bool
	page uint64 // of a branch
}

// nodes takes a page apart. Nodes that do not fit into it are left out, and
// told of.
func (f *File) nodes(number uint64, p []byte, leaf bool, report func(error)) []node {
	le := binary.LittleEndian
	lower := uint64(le.Uint16(p[pageLowerAt:]))
	if lower < pageHeader || lower > uint64(len(p)) {
		report(f.damaged("page %d has no list of entries", number))
		return nil
	}
	list := make([]node, 0, (lower-pageHeader)/2)
	for at := uint64(pageHeader); at+1 < lower; at += 2 {
		start := uint64(le.Uint16(p[at:]))
		if start < lower || start+nodeHeader > uint64(len(p)) {
			report(f.damaged("an entry of page %d is outside of it", number))
			continue
		}
		raw := p[start:]
		flags, keyLen := le.Uint16(raw[nodeFlagsAt:]), uint64(le.Uint16(raw[nodeKeyLenAt:]))
		if nodeHeader+keyLen > uint64(len(raw)) {
			report(f.damaged("a key of page %d is outside of it", number))
			continue
		}
		n := node{key: raw[nodeHeader : nodeHeader+keyLen : nodeHeader+keyLen]}
		low := uint64(le.Uint32(raw))
		if !leaf {
			n.page = low | uint64(flags)<<32
			list = append(list, n)
			continue
		}
		n.size, n.tree = low, flags&treeNode != 0
		rest := raw[nodeHeader+keyLen:]
		stored := n.size
		if flags&bigNode != 0 {
			stored = 8
		}
		if flags&dupNode != 0 || stored > uint64(len(rest)) {
			report(f.damaged("a value of page %d is outside of it", number))
			continue
		}
		if flags&bigNode != 0 {
			n.big = le.Uint64(rest)
		} else {
			n.data = rest[:n.size:n.size]
		}
		list = append(list, n)
	}
	return list
}

// read copies a part of a leaf's value.
func (f *File) read(n *node, offset, length uint64) ([]byte, error) {
	if offset > n.size {
		offset = n.size
	}
	length = min(length, n.size-offset)
	if n.big == 0 {
		return bytes.Clone(n.data[offset : offset+length]), nil
	}
	if n.big < 2 || n.big > f.last {
		return nil, f.damaged("a value is on page %d, of pages 2 to %d", n.big, f.last)
	}
	head := make([]byte, pageHeader)
	if _, err := f.file.ReadAt(head, int64(n.big*f.pageSize)); err != nil {
		return nil, f.damaged("page %d cannot be read: %v", n.big, err)
	}
	pages := uint64(binary.LittleEndian.Uint32(head[pageLowerAt:]))
	if binary.LittleEndian.Uint16(head[pageFlagsAt:])&0x6F != overflowPage || binary.LittleEndian.Uint64(head) != n.big ||
		pages > f.last-n.big+1 || pageHeader+n.size > pages*f.pageSize {
		return nil, f.damaged("page %d does not hold the value that it should", n.big)
	}
	out := make([]byte, length)
	if _, err := f.file.ReadAt(out, int64(n.big*f.pageSize+pageHeader+offset)); err != nil {
		return nil, f.damaged("a value from page %d on cannot be read: %v", n.big, err)
	}
	return out, nil
}

func (f *File) damaged(format string, args ...any) error {
	return errs.Newf(errs.Corrupt, "read original", f.path, format, args...)
}

// Recognised reports whether the original parkit made the file, as that of a
// site or of a namespace of one, rather than another program that uses LMDB.
func (f *File) Recognised() bool {
	main := &Database{f, f.main}
	for _, key := range []string{"__uuid__", "__name__"} {
		if n, err := main.find([]byte(key)); err == nil && n != nil {
			return true
		}
	}
	return false
}
