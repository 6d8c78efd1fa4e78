package coll_test

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
	"parkit/gocore/store/memstore"
)

// The model: what a namespace of dicts holds, in Go maps. Properties:
//
//   - every operation answers as the model does, inside and outside of
//     transactions, before and after savepoints are rolled back;
//   - a reader outside of the transaction sees the last commit;
//   - length and version are those of the model after each commit;
//   - a handle of a dict that is not there is ObjectNotFound, whatever the
//     reason: dropped, rolled back, aborted;
//   - a write that fails leaves nothing half done in what is committed.
type model map[string]*dictModel // by name

type dictModel struct {
	handle  *object.Object
	entries map[string]entryModel // by encoded key
	version uint64
	changed bool
	created bool // by this transaction, which the version does not count
}

type entryModel struct{ own, value []byte }

func (m model) clone() model {
	c := make(model, len(m))
	for name, d := range m {
		copied := *d
		copied.entries = maps.Clone(d.entries)
		c[name] = &copied
	}
	return c
}

func (m model) of(o *object.Object) *dictModel {
	for _, d := range m {
		if d.handle == o {
			return d
		}
	}
	return nil
}

// count makes the versions what a commit makes them.
func (m model) count() {
	for _, d := range m {
		if d.changed && !d.created {
			d.version++
		}
		d.changed, d.created = false, false
	}
}

// ordered are the encoded keys in the order of their stored form.
func (d *dictModel) ordered() []string {
	list := slices.Collect(maps.Keys(d.entries))
	slices.SortFunc(list, func(a, b string) int {
		return bytes.Compare(storedKey(d.handle, []byte(a)), storedKey(d.handle, []byte(b)))
	})
	return list
}

func storedKey(o *object.Object, encoded []byte) []byte {
	dbkey, _ := keys.AppendEntryKey(nil, o.Prefix, keys.TagDict, encoded)
	return dbkey[len(o.Prefix)+1:]
}

// ownOf is what the entry's record holds as its key.
func ownOf(o *object.Object, encoded string, own []byte) []byte {
	_, shortened := keys.AppendEntryKey(nil, o.Prefix, keys.TagDict, []byte(encoded))
	return keys.OwnKey(own, []byte(encoded), shortened)
}

// world is a namespace, the model of it, and at most one open transaction.
type world struct {
	space     *object.Space
	faults    *memstore.Backend // nil where the backend cannot be made to fail
	tx        *object.Tx
	committed model
	current   model
	stack     []model
	handles   []*object.Object
}

type testKey struct{ encoded, own []byte }

var names = []string{"a", "b", "ü"}

// testKeys has equal keys of several types, and keys too long to be stored.
var testKeys = func() []testKey {
	long := strings.Repeat("x", 700)
	values := []any{nil, 0, 1, true, 1.0, 2, 2.0, -3.5, 1 << 60, "", "a", "b", []byte("a"),
		keys.Tuple{1, "a"}, keys.Tuple{true, "a"}, long + "1", long + "2", long, strings.Repeat("y", 505), keys.Tuple{1.0, long}, keys.Tuple{true, long}}
	list := make([]testKey, 0, len(values))
	for _, v := range values {
		encoded, own, err := keys.EncodeKey(nil, v)
		if err != nil {
			panic(err)
		}
		list = append(list, testKey{encoded, own})
	}
	return list
}()

func drawKey(t *rapid.T) testKey { return rapid.SampledFrom(testKeys).Draw(t, "key") }

func drawValue(t *rapid.T) []byte {
	n := rapid.SampledFrom([]int{0, 1, 9, 40, 700, 5000, 20000}).Draw(t, "size")
	return bytes.Repeat([]byte{rapid.Byte().Draw(t, "value")}, n)
}

// pick draws a handle: most times one that is there.
func (w *world) pick(t *rapid.T) (*object.Object, *dictModel) {
	o := rapid.SampledFrom(w.handles).Draw(t, "handle")
	if d := w.current.of(o); d != nil || rapid.IntRange(0, 4).Draw(t, "dead") == 0 {
		return o, d
	}
	for _, name := range names { // not a range of the map: a run can be repeated
		if d := w.current[name]; d != nil {
			return d.handle, d
		}
	}
	return o, nil
}

// write runs one operation, in the open transaction or in one of its own.
func (w *world) write(fn func(tx *object.Tx) error) error {
	if w.tx != nil {
		return fn(w.tx)
	}
	err := w.space.Update(store.Wait{Timeout: -1}, fn)
	return err
}

func (w *world) read(t *rapid.T, fn func(tx *object.Tx) error) error {
	if w.tx != nil {
		return fn(w.tx)
	}
	tx, err := w.space.Begin(store.Read, store.Wait{})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Abort()
	return fn(tx)
}

// settle is called after each operation that went well.
func (w *world) settle() {
	if w.tx == nil {
		w.current.count()
		w.committed = w.current.clone()
	}
}

// expect compares an error with what the model says; it reports whether the
// operation was to go on.
func expect(t *rapid.T, d *dictModel, present bool, err error) bool {
	t.Helper()
	switch {
	case d == nil:
		if !errs.Has(err, errs.ObjectNotFound) {
			t.Fatalf("on a dict that is not there: %v", err)
		}
		return false
	case !present:
		if err != store.ErrNotFound {
			t.Fatalf("on a key that is not there: %v", err)
		}
		return false
	case err != nil:
		t.Fatal(err)
	}
	return true
}

func (d *dictModel) set(k testKey, value []byte) {
	own := k.own
	if old, ok := d.entries[string(k.encoded)]; ok {
		own = old.own
	}
	d.entries[string(k.encoded)] = entryModel{own: own, value: value}
	d.changed = true
}

// peek reads past the open transaction.
// failing runs a large change of which one write fails, in a savepoint or a
// transaction of its own, and expects that nothing of it is left.
// check compares every state with the model.
func (w *world) check(t *rapid.T) {
	err := w.read(t, func(tx *object.Tx) error {
		for _, o := range w.handles {
			state, err := tx.State(o)
			d := w.current.of(o)
			if !expect(t, d, true, err) {
				continue
			}
			if state.Length != uint64(len(d.entries)) || state.Version != d.version || state.Kind() != object.KindDict {
				t.Fatalf("%s: state %+v, want length %d version %d", o.Name, *state, len(d.entries), d.version)
			}
		}
		for _, name := range names {
			o, _, err := w.space.Bind(tx, name)
			if expect(t, w.current[name], true, err) && o.ID != w.current[name].handle.ID {
				t.Fatalf("%s is bound to %d", name, o.ID)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range w.handles {
		state, err := o.PeekState()
		if d := w.committed.of(o); expect(t, d, true, err) && (state.Version != d.version || int(state.Length) != len(d.entries)) {
			t.Fatalf("%s: committed state %+v, want length %d version %d", o.Name, state, len(d.entries), d.version)
		}
	}
}

func (w *world) run(t *rapid.T, spaces store.Space) {
	// A write transaction stays on its thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	space, err := object.Open(spaces, "model")
	if err != nil {
		t.Fatal(err)
	}
	w.space, w.committed, w.current = space, model{}, model{}
	defer func() {
		if w.tx != nil {
			w.tx.Abort()
		}
		if err := space.Close(); err != nil {
			t.Error(err)
		}
	}()
	w.create(t)
	t.Repeat(map[string]func(*rapid.T){
		"create": w.create, "drop": w.drop, "set": w.set, "set again": w.set, "insert": w.insert,
		"del": w.del, "pop": w.pop, "popitem": w.popItem, "set many": w.setMany, "clear": w.clear,
		"get": w.get, "peek": w.peek, "scan": w.scan, "begin": w.begin, "savepoint": w.savepoint,
		"rollback": w.rollback, "release": w.release, "commit": w.commit, "abort": w.abort,
		"failing": w.failing, "": w.check,
	})
}

func TestDictIsAMapInMemory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		backend := memstore.New(memstore.Options{RerunUpdates: rapid.Bool().Draw(t, "rerun")})
		space, err := backend.Open("model", true)
		if err != nil {
			t.Fatal(err)
		}
		(&world{faults: backend}).run(t, space)
	})
}

func TestDictIsAMapInLMDB(t *testing.T) {
	root, round := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		memory := rapid.Bool().Draw(t, "memory")
		backend := lmdbstore.New(filepath.Join(root, fmt.Sprint(round)), lmdbstore.Options{
			Profile: func(string) lmdbstore.Profile {
				return lmdbstore.Profile{Memory: memory, NoSync: true, MapSize: 1 << 24}
			},
		})
		space, err := backend.Open("model", true)
		if err != nil {
			t.Fatal(err)
		}
		(&world{}).run(t, space)
	})
}
