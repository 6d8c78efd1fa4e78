// Package memstore is a store.Backend in memory, for tests. It keeps the
// promises of package store and holds callers to theirs: slices are scribbled
// over at the moment they stop being valid, writes, commits and flushes fail
// on request, and a crash loses exactly what a crash may lose.
//
// A namespace's data belong to the Backend and outlive its Spaces: closing and
// opening again, or Crash and opening again, is how a test restarts a process.
package memstore

import (
	"bytes"
	"sort"
	"sync"
	"time"

	"github.com/google/btree"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Options configure a Backend. The zero Options are fit for most tests.
type Options struct {
	// Durable makes every commit flush, and Space.Durable true.
	Durable bool
	// LockTimeout is the bound on the wait for the writer's turn where the
	// caller names none; zero is store.DefaultLockTimeout.
	LockTimeout time.Duration
	// Clock is what Space.Now returns; nil is time.Now.
	Clock func() time.Time
	// KeepSlices leaves slices that a transaction handed out readable after
	// they stop being valid. By default they are overwritten at that moment,
	// and a caller that wrote to one makes the transaction panic, so that a
	// mistake which an engine forgives on most days fails here every time.
	KeepSlices bool
	// RerunUpdates makes Update run fn, undo it and run it again, as a
	// backend that groups commits may.
	RerunUpdates bool
}

// Backend is a store.Backend in memory. Its Faults make it fail.
type Backend struct {
	Faults

	options Options

	mu    sync.Mutex
	disks map[string]*disk // by namespace
}

var _ store.Backend = (*Backend)(nil)

// disk is what of a namespace outlives its Space: the content, the lease
// table, which in another backend the kernel keeps, and the change counters.
type disk struct {
	committed *snapshot
	flushed   *snapshot
	open      *Space // nil while nobody has it open
	changes   changes
	leases    leases
}

// snapshot is the content after one commit. Nothing in it changes again.
type snapshot struct {
	tree  *btree.BTreeG[entry]
	id    uint64 // number of the commit
	bytes int64  // of keys and values
}

// entry is a key and its value; neither is ever written to once stored, except
// what Reserve handed out.
type entry struct{ key, value []byte }

func lessEntry(a, b entry) bool { return bytes.Compare(a.key, b.key) < 0 }

// degree is the btree's fan-out: small, as a commit copies a path of nodes.
const degree = 16

// New makes a backend without namespaces.
func New(options Options) *Backend {
	if options.LockTimeout == 0 {
		options.LockTimeout = store.DefaultLockTimeout
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	return &Backend{options: options, disks: make(map[string]*disk)}
}

func newDisk() *disk {
	empty := &snapshot{tree: btree.NewG(degree, lessEntry)}
	return &disk{committed: empty, flushed: empty, leases: leases{}}
}

// Open opens the space of namespace. Any text but the empty one is a namespace:
// what makes a good path is the site's business.
func (b *Backend) Open(namespace string, create bool) (store.Space, error) {
	if namespace == "" {
		return nil, errs.New(errs.InvalidPath, "open namespace", "",
			"the namespace is empty; give it a name")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.disks[namespace]
	if d == nil {
		if !create {
			return nil, errs.New(errs.NamespaceNotFound, "open namespace", namespace,
				"it was never created; create it first")
		}
		d = newDisk()
		b.disks[namespace] = d
	}
	if d.open == nil {
		d.open = newSpace(b, d, namespace)
	}
	d.open.openers++
	return d.open, nil
}

// Namespaces lists the namespaces that were ever made, sorted.
func (b *Backend) Namespaces() ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]string, 0, len(b.disks))
	for namespace := range b.disks {
		list = append(list, namespace)
	}
	sort.Strings(list)
	return list, nil
}

// CrashKind says what a simulated crash takes with it.
type CrashKind int

const (
	// ProcessDies loses what was not committed, the leases and every handle.
	ProcessDies CrashKind = iota
	// LoseUnsynced is a power cut: also the commits that were not flushed are
	// lost. In a durable backend there are none.
	LoseUnsynced
)

// Crash ends every open space as the death of the process would. Open
// transactions, and calls that wait, fail with errs.Dead. Opening a namespace
// again afterwards is the start of the next process.
func (b *Backend) Crash(kind CrashKind) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.disks {
		if d.open != nil {
			d.open.end(errs.New(errs.Dead, "use namespace", d.open.namespace,
				"the process was made to crash; open the namespace again"))
			d.open = nil
		}
		if kind == LoseUnsynced {
			d.committed = d.flushed
		}
		d.leases.drop(nil)
	}
}

// Flush makes every commit so far survive LoseUnsynced. Commits of a durable
// backend, and the last Close of a space, do it by themselves.
func (b *Backend) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.disks {
		if err := b.flush(d); err != nil {
			return err
		}
	}
	return nil
}

// flush needs b.mu.
func (b *Backend) flush(d *disk) error {
	if d.flushed == d.committed {
		return nil
	}
	if err := b.Faults.hit(flushFault); err != nil {
		return err
	}
	d.flushed = d.committed
	return nil
}

// Damage flips a bit in the stored value of key, as a failing disk would, or
// lengthens an empty value by a byte. Open read transactions do not see it.
func (b *Backend) Damage(namespace string, key []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.disks[namespace]
	if d == nil {
		return errs.New(errs.NamespaceNotFound, "damage", namespace, "it was never created")
	}
	e, ok := d.committed.tree.Get(entry{key: key})
	if !ok {
		return store.ErrNotFound
	}
	bad := bytes.Clone(e.value)
	if len(bad) == 0 {
		bad = []byte{0xFF}
	} else {
		bad[len(bad)/2] ^= 0x10
	}
	next := *d.committed
	next.tree = next.tree.Clone()
	next.tree.ReplaceOrInsert(entry{key: e.key, value: bad})
	d.committed, d.flushed = &next, &next
	return nil
}
