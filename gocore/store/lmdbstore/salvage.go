package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"
	"unsafe"

	"github.com/PowerDNS/lmdb-go/lmdb"
	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// salvageBatch is how much a salvage writes in one transaction, in bytes.
const salvageBatch = 32 << 20

// maxPages bounds what is believed of a data file's own word on its length.
const maxPages = 1 << 48

// Salvaged says what a salvage could read.
type Salvaged struct {
	Entries  int      // that were reached from the roots
	Found    int      // beside them, on pages to which no way leads any more
	Missing  int      // of those that the roots count; negative where more were found
	Findings []string // what was damaged
	Kept     string   // where the damaged data file is now
}

// Salvage writes what can still be read of a namespace's data file into a new
// one, which takes its place; the damaged one stays beside it under another
// name. It needs the namespace for itself: errs.WouldBlock while a process, be
// it this one, has it open.
//
// What is reached from the roots is taken as it is. Of pages to which no way
// leads, because one above them is damaged, only entries are taken that sound
// accepts, and of which no other was reached.
func (b *Backend) Salvage(namespace string, sound func(key, value []byte) bool) (Salvaged, error) {
	const op = "salvage"
	dir := filepath.Join(b.root, filepath.FromSlash(namespace), EnvDir)
	registry.Lock() // nobody of this process opens it meanwhile
	defer registry.Unlock()
	s := &Space{name: namespace, dir: dir}
	if err := s.aloneForSalvage(op); err != nil {
		return Salvaged{}, err
	}
	defer s.detach()
	data := filepath.Join(dir, dataName)
	file, err := os.Open(data)
	if err != nil {
		return Salvaged{}, ioFailure(op, namespace, err)
	}
	defer file.Close()
	tmp := filepath.Join(dir, "compact")
	if err := errors.Join(os.RemoveAll(tmp), os.Mkdir(tmp, 0o700)); err != nil {
		return Salvaged{}, ioFailure(op, namespace, err)
	}
	defer os.RemoveAll(tmp)
	result, err := salvageTo(tmp, file, namespace, sound)
	if err != nil {
		return Salvaged{}, err
	}
	result.Kept = fmt.Sprintf("%s.damaged-%d", data, time.Now().UnixNano())
	// Whatever happens in between, one of the two has the name.
	if err := os.Link(data, result.Kept); err != nil {
		return Salvaged{}, ioFailure(op, namespace, err)
	}
	// Blocks that a memory namespace had are the old file's.
	blocks := int64(unsafe.Offsetof(C.pk_page{}.allocated))
	if _, err := s.pageFile.WriteAt(make([]byte, 8), blocks); err != nil {
		return Salvaged{}, ioFailure(op, namespace, err)
	}
	if err := os.Rename(filepath.Join(tmp, dataName), data); err != nil {
		return Salvaged{}, ioFailure(op, namespace, err)
	}
	return result, ioFailure(op, namespace, syncDir(dir))
}

// aloneForSalvage opens the page's file and locks it against everybody.
func (s *Space) aloneForSalvage(op string) error {
	busy := errs.New(errs.WouldBlock, op, s.name, "it is open, in this process or another; repair it when nobody has it open, by the site's path")
	dirFile, err := os.Open(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return errs.New(errs.NamespaceNotFound, op, s.name, "there is no such namespace")
	}
	if err != nil {
		return ioFailure(op, s.name, err)
	}
	s.dirFile = dirFile
	id, err := identify(dirFile)
	if err != nil {
		s.detach()
		return ioFailure(op, s.name, err)
	}
	if registry.open[id] != nil {
		s.detach()
		return busy
	}
	err = s.openPage(false)
	if err == nil {
		if err = s.lockAs(unix.F_WRLCK, presence); heldByOther(err) {
			err = busy
		}
	}
	if err == nil {
		err = s.pageFile.Truncate(C.PK_PAGE_BYTES)
	}
	if err != nil {
		s.detach()
	}
	var known *errs.Error
	if errors.As(err, &known) {
		return err
	}
	return ioFailure(op, s.name, err)
}

// salvageTo reads file and writes a new data file to the directory dir.
func salvageTo(dir string, file *os.File, name string, sound func(key, value []byte) bool) (result Salvaged, err error) {
	info, err := file.Stat()
	if err != nil {
		return result, ioFailure("salvage", name, err)
	}
	target, err := newRescue(dir, info.Size())
	if err != nil {
		return result, errs.Wrap(errs.IO, "salvage", name, err)
	}
	defer target.close()
	roots, free, counted, known := bestRoots(file, info.Size())
	if !known {
		result.Findings = append(result.Findings, "neither page of roots can be used: every page was looked at, so older values may be among what was found")
	}
	w := &walker{file: file, name: name, pageSize: roots.pageSize, last: roots.last, salvage: true}
	w.seen = make([]uint64, w.last/64+1)
	w.entry = func(key, value []byte) {
		if target.put(key, value) {
			result.Entries++
		}
	}
	lost := !known
	if known {
		w.tree(roots.root)
		lost = len(w.findings) > 0
		w.numbers = true
		w.entry = func(_, value []byte) { w.free(value) }
		before := len(w.findings)
		w.tree(free)
		if lost && len(w.findings) > before {
			result.Findings = append(result.Findings, "the list of free pages is damaged too, so older values may be among what was found")
		}
	}
	if lost {
		// Pages that nothing leads to and that are not free hang below a damaged one.
		w.numbers = true // of no order
		w.entry = func(key, value []byte) {
			if len(key) > 0 && len(key) <= store.MaxKey && sound(key, value) && target.put(key, value) {
				result.Found++
			}
		}
		findings := w.findings
		w.eachLostPage()
		w.findings = findings // of such pages much may be wrong, and says nothing
	}
	for _, err := range w.findings {
		var e *errs.Error
		if errors.As(err, &e) {
			result.Findings = append(result.Findings, e.Detail)
		}
	}
	if known {
		result.Missing = int(counted) - result.Entries - result.Found
	}
	return result, errs.Wrap(errs.IO, "salvage", name, target.finish())
}

// bestRoots is the newest page of roots that can be one; known is false where
// there is none, and every page is to be looked at.
func bestRoots(file *os.File, size int64) (best meta, free, counted uint64, known bool) {
	pageSize := uint64(os.Getpagesize())
	best.pageSize = pageSize
	for i := range uint64(2) {
		var b [metaBytes]byte
		if _, err := file.ReadAt(b[:], int64(i*pageSize)); err != nil {
			continue
		}
		m := meta{
			pageSize: uint64(binary.NativeEndian.Uint32(b[metaPsizeAt:])), root: binary.NativeEndian.Uint64(b[metaRootAt:]),
			last: binary.NativeEndian.Uint64(b[metaLastAt:]), txn: binary.NativeEndian.Uint64(b[metaTxnAt:]),
		}
		if binary.NativeEndian.Uint32(b[metaMagicAt:]) != metaMagic || m.pageSize != pageSize || m.last > maxPages ||
			m.root != noPage && m.root > m.last || known && m.txn < best.txn {
			continue
		}
		best, known = m, true
		free, counted = binary.NativeEndian.Uint64(b[metaFreeRootAt:]), binary.NativeEndian.Uint64(b[metaEntriesAt:])
	}
	// What the file has not cannot be read, whatever the roots say.
	if end := uint64(size) / pageSize; !known || best.last >= end {
		best.last = max(end, 2) - 1
	}
	return best, free, counted, known
}

// eachLostPage takes what can be one from each page that was not reached, or
// that turned out to be damaged. What is free was reached by its list.
func (w *walker) eachLostPage() {
	bad := map[uint64]bool{}
	for _, number := range w.bad {
		bad[number] = true
	}
	page := make([]byte, w.pageSize)
	for number := uint64(2); number <= w.last; number++ {
		if w.seen[number/64]&(1<<(number%64)) != 0 && !bad[number] {
			continue
		}
		if n, _ := w.file.ReadAt(page, int64(number*w.pageSize)); n < pageHeader {
			continue
		} else {
			clear(page[n:])
		}
		w.eachEntryOf(number, page)
	}
}

// eachEntryOf hands over what entries a page has. Where its table of them is
// not whole, they are looked for wherever it could point: but not below where
// the entries begin, where those lie that were deleted.
func (w *walker) eachEntryOf(number uint64, p []byte) {
	lower, upper := uint64(binary.NativeEndian.Uint16(p[pageLowerAt:])), uint64(binary.NativeEndian.Uint16(p[pageUpperAt:]))
	if lower < pageHeader || lower > w.pageSize || !wholeTable(p, lower) {
		if upper < pageHeader || upper > w.pageSize {
			upper = pageHeader
		}
		lower = w.pageSize
	} else {
		upper = pageHeader
	}
	for at := uint64(pageHeader); at+2 <= lower; at += 2 {
		begin := uint64(binary.NativeEndian.Uint16(p[at:]))
		if n, ok := nodeAt(p, begin); ok && begin >= upper {
			w.leaf(number, n)
		}
	}
}

// wholeTable reports whether a leaf's table, up to lower, leads to entries that
// lie without gaps up to the page's end.
func wholeTable(p []byte, lower uint64) bool {
	first, filled := uint64(len(p)), uint64(0)
	for at := uint64(pageHeader); at+2 <= lower; at += 2 {
		begin := uint64(binary.NativeEndian.Uint16(p[at:]))
		n, ok := nodeAt(p, begin)
		if !ok || begin < pageHeader {
			return false
		}
		first, filled = min(first, begin), filled+n.length(true)
	}
	return filled == uint64(len(p))-first
}

// rescue is the data file that a salvage writes.
type rescue struct {
	env  *lmdb.Env
	txn  *lmdb.Txn
	dbi  lmdb.DBI
	size int
	err  error
	dir  string
}

// newRescue makes the file; its transactions are of the calling thread until
// close.
func newRescue(dir string, size int64) (*rescue, error) {
	runtime.LockOSThread()
	r := &rescue{dir: dir}
	var err error
	if r.env, err = lmdb.NewEnv(); err == nil {
		err = r.env.SetMapSize(2*size + 4*salvageBatch)
	}
	if err == nil {
		err = r.env.Open(dir, lmdb.NoSync|lmdb.NoLock, 0o600)
	}
	if err == nil {
		err = r.begin()
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *rescue) begin() (err error) {
	if r.txn, err = r.env.BeginTxn(nil, 0); err == nil {
		r.dbi, err = r.txn.OpenRoot(0)
	}
	r.size = 0
	return err
}

// put stores an entry, unless there is one under its key; it reports
// whether the key was new.
func (r *rescue) put(key, value []byte) bool {
	if r.err != nil || len(key) == 0 || len(key) > store.MaxKey {
		return false
	}
	err := r.txn.Put(r.dbi, key, value, lmdb.NoOverwrite)
	if lmdb.IsErrno(err, lmdb.KeyExist) {
		return false
	}
	if r.err = err; err != nil {
		return false
	}
	if r.size += len(key) + len(value); r.size >= salvageBatch {
		if r.err = r.txn.Commit(); r.err == nil {
			r.err = r.begin()
		}
	}
	return true
}

func (r *rescue) finish() error {
	if r.err != nil {
		return r.err
	}
	err := r.txn.Commit()
	r.txn = nil
	if err == nil {
		err = r.env.Sync(true)
	}
	return err
}

func (r *rescue) close() {
	if r.txn != nil {
		r.txn.Abort()
	}
	if r.env != nil {
		_ = r.env.Close() // finish has synced it, or it is thrown away
	}
	runtime.UnlockOSThread()
}
