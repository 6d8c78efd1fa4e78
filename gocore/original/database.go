package original

import (
	"bytes"
	"strconv"

	"parkit/gocore/errs"
)

// Database is one of the named databases of a File, or the main one, in which
// the named ones are listed.
type Database struct {
	file *File
	tree tree
}

// Entry is what a Scan found.
type Entry struct {
	Key   []byte
	Value []byte // nil where it is longer than the Scan hands over
	Size  uint64 // of the value
	Tree  bool   // the entry is a named database of the main one
}

// Limits bound what one Scan hands over.
type Limits struct {
	Entries int
	Bytes   int // of keys and values together, but for the entry that exceeds it
	Value   int // a longer value is left to Read
}

// Database finds a named database; "" is the main one. errs.NotFound when it
// is not there.
func (f *File) Database(name string) (*Database, error) {
	main := &Database{f, f.main}
	if name == "" {
		return main, nil
	}
	n, err := main.find([]byte(name))
	if err != nil {
		return nil, err
	}
	if n == nil || !n.tree {
		return nil, errs.New(errs.NotFound, "read original", f.path, "there is no database "+strconv.Quote(name))
	}
	t, err := f.parseTree(name, n.data)
	if err != nil {
		return nil, err
	}
	return &Database{f, t}, nil
}

// Len is how many entries the database says it has.
func (d *Database) Len() uint64 { return d.tree.entries }

// Scan hands over the entries after the key after (nil: from the first on)
// whose keys begin with prefix, in order, and says whether they were the
// last. Entries on damaged pages are passed over; the error of each page goes
// to report.
func (d *Database) Scan(after, prefix []byte, limits Limits, report func(error)) (entries []Entry, done bool) {
	w := &walk{Database: d, after: after, prefix: prefix, limits: limits, report: report}
	if d.tree.root != noPage {
		w.descend(d.tree.root, 1, nil, nil)
	}
	return w.found, !w.full
}

// Read copies a part of the value of a key; errs.NotFound when there is none.
func (d *Database) Read(key []byte, offset, length uint64) ([]byte, error) {
	n, err := d.find(key)
	if err != nil {
		return nil, err
	}
	if n == nil {
		return nil, errs.New(errs.NotFound, "read original", d.file.path, "the key is not there")
	}
	return d.file.read(n, offset, length)
}

// find is the leaf's node of a key; nil when there is none.
func (d *Database) find(key []byte) (found *node, err error) {
	number := d.tree.root
	for depth := 1; number != noPage; depth++ {
		leaf := depth == d.tree.depth
		p, err := d.file.page(number, kindOf(leaf))
		if err != nil {
			return nil, err
		}
		var damage error
		nodes := d.file.nodes(number, p, leaf, func(e error) { damage = e })
		if damage != nil {
			return nil, damage
		}
		number = noPage
		for i := range nodes {
			switch c := d.tree.compare(nodes[i].key, key); {
			case leaf && c == 0:
				return &nodes[i], nil
			case !leaf && (i == 0 || c <= 0):
				number = nodes[i].page
			}
		}
	}
	return nil, nil
}

// walk is one Scan under way.
type walk struct {
	*Database
	after, prefix []byte
	limits        Limits
	report        func(error)
	found         []Entry
	bytes         int
	full          bool
}

// descend goes through what is below a page, whose keys are not below low and
// below high (nil: no bound). A page that was damaged into another one of the
// file has keys outside of these bounds: so it is noticed, and a circle ends.
func (w *walk) descend(number uint64, depth int, low, high []byte) {
	leaf := depth == w.tree.depth
	p, err := w.file.page(number, kindOf(leaf))
	if err != nil {
		w.report(err)
		return
	}
	nodes := w.file.nodes(number, p, leaf, w.report)
	first := 0
	if !leaf {
		first = 1 // the first key of a branch is not written down
	}
	for i := first; i < len(nodes); i++ {
		key := nodes[i].key
		if low != nil && w.tree.compare(key, low) < 0 || high != nil && w.tree.compare(key, high) >= 0 ||
			i > first && w.tree.compare(key, nodes[i-1].key) <= 0 {
			w.report(w.file.damaged("the entries of page %d are out of order", number))
			return
		}
	}
	for i := range nodes {
		if w.full {
			return
		}
		n := &nodes[i]
		if leaf {
			w.take(n)
			continue
		}
		from, to := low, high
		if i > 0 {
			from = n.key
		}
		if i+1 < len(nodes) {
			to = nodes[i+1].key
		}
		if to != nil && (w.after != nil && w.tree.compare(to, w.after) <= 0 || w.prefix != nil && bytes.Compare(to, w.prefix) < 0) {
			continue // all of it is before what is wanted
		}
		if from != nil && w.past(from) {
			return
		}
		w.descend(n.page, depth+1, from, to)
	}
}

// past reports whether neither a key nor one behind it can have the prefix.
func (w *walk) past(key []byte) bool {
	return w.prefix != nil && bytes.Compare(key, w.prefix) > 0 && !bytes.HasPrefix(key, w.prefix)
}

func (w *walk) take(n *node) {
	if w.after != nil && w.tree.compare(n.key, w.after) <= 0 || !bytes.HasPrefix(n.key, w.prefix) {
		return
	}
	if len(w.found) >= w.limits.Entries || w.bytes >= w.limits.Bytes {
		w.full = true
		return
	}
	entry := Entry{Key: n.key, Size: n.size, Tree: n.tree}
	if n.size <= uint64(w.limits.Value) {
		value, err := w.file.read(n, 0, n.size)
		if err != nil {
			w.report(err)
			return
		}
		entry.Value = value
		w.bytes += len(value)
	}
	w.bytes += len(n.key)
	w.found = append(w.found, entry)
}

func kindOf(leaf bool) uint16 {
	if leaf {
		return leafPage
	}
	return branchPage
}
