package object_test

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
)

var wait = store.Wait{Timeout: -1}

func open(t *testing.T, options memstore.Options) (*memstore.Backend, *object.Space) {
	t.Helper()
	// Explicit write transactions stay on the test's thread.
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	backend := memstore.New(options)
	raw, err := backend.Open("n", true)
	must(t, err)
	space, err := object.Open(raw, "n")
	must(t, err)
	return backend, space
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, code errs.Code) {
	t.Helper()
	if !errs.Has(err, code) {
		t.Fatalf("%v, want code %v", err, code)
	}
}

func create(t *testing.T, space *object.Space, name string) *object.Object {
	t.Helper()
	var o *object.Object
	must(t, space.Update(wait, func(tx *object.Tx) (err error) {
		o, _, err = space.Create(tx, object.Descriptor{Name: name, Kind: object.KindDict, Versioned: true})
		return err
	}))
	return o
}

func read(t *testing.T, space *object.Space, fn func(tx *object.Tx) error) {
	t.Helper()
	tx, err := space.Begin(store.Read, store.Wait{})
	must(t, err)
	defer tx.Abort()
	must(t, fn(tx))
}

func write(t *testing.T, space *object.Space) *object.Tx {
	t.Helper()
	tx, err := space.Begin(store.Write, wait)
	must(t, err)
	return tx
}

func version(t *testing.T, o *object.Object) uint64 {
	t.Helper()
	state, err := o.PeekState()
	must(t, err)
	return state.Version
}

func TestDescriptorIsStoredWhole(t *testing.T) {
	_, space := open(t, memstore.Options{RerunUpdates: true})
	want := object.Descriptor{Name: "ä name", Kind: object.KindQueue, Class: "m:Q", Bases: []string{"parkit:Queue", "x:Y"},
		Versioned: true, Metadata: `{"a": 1}`, Extra: `{"maxsize": 3}`}
	must(t, space.Update(wait, func(tx *object.Tx) error {
		_, stored, err := space.Create(tx, want)
		want.UUID, want.Created, want.ID = stored.UUID, stored.Created, stored.ID
		return err
	}))
	if want.UUID == "" || want.Created == 0 || want.ID == 0 {
		t.Fatalf("not filled in: %+v", want)
	}
	read(t, space, func(tx *object.Tx) error {
		_, d, err := space.Bind(tx, "ä name")
		if fmt.Sprint(d) != fmt.Sprint(want) {
			t.Errorf("bound %+v, not %+v", d, want)
		}
		return err
	})
}

func TestNamesArePossibleOrRefused(t *testing.T) {
	_, space := open(t, memstore.Options{})
	for _, name := range []string{"a/b", "/", "\xff", strings.Repeat("x", 256), strings.Repeat("ü", 128)} {
		err := space.Update(wait, func(tx *object.Tx) error {
			_, _, err := space.Create(tx, object.Descriptor{Name: name})
			return err
		})
		refused(t, err, errs.InvalidPath)
	}
	read(t, space, func(tx *object.Tx) error {
		_, _, err := space.Bind(tx, "")
		refused(t, err, errs.InvalidPath)
		return nil
	})
	for _, name := range []string{".", "a b\n", "\x00", strings.Repeat("x", 255), "__hidden__"} {
		create(t, space, name)
	}
	anonymous := create(t, space, "")
	if !regexp.MustCompile(`^__[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}__$`).MatchString(anonymous.Name) {
		t.Errorf("anonymous name %q", anonymous.Name)
	}
	err := space.Update(wait, func(tx *object.Tx) error {
		_, _, err := space.Create(tx, object.Descriptor{Name: "."})
		return err
	})
	refused(t, err, errs.ObjectExists)
}

func TestListsInPagesByName(t *testing.T) {
	_, space := open(t, memstore.Options{})
	var want []string
	must(t, space.Update(wait, func(tx *object.Tx) error {
		want = want[:0]
		for i := range 600 {
			name := fmt.Sprintf("%03d", (i*7)%600)
			if _, _, err := space.Create(tx, object.Descriptor{Name: name, Class: "c" + name}); err != nil {
				return err
			}
			want = append(want, name)
		}
		return nil
	}))
	slices.Sort(want)
	read(t, space, func(tx *object.Tx) error {
		all, err := tx.Names("", 0)
		if !slices.Equal(all, want) {
			t.Errorf("all names: %d", len(all))
		}
		if err != nil {
			return err
		}
		for _, limit := range []int{1, 255, 256, 257, 299, 600, 601} {
			var got []string
			for after := ""; ; {
				page, err := tx.List(after, limit)
				if err != nil {
					return err
				}
				for _, d := range page {
					if d.Class != "c"+d.Name || d.ID == 0 {
						t.Fatalf("wrong descriptor %+v", d)
					}
					got = append(got, d.Name)
				}
				if len(page) < limit {
					break
				}
				after = got[len(got)-1]
			}
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: %d names", limit, len(got))
			}
		}
		return nil
	})
}

func TestVersionCountsTransactionsThatChange(t *testing.T) {
	_, space := open(t, memstore.Options{RerunUpdates: true})
	o, other := create(t, space, "o"), create(t, space, "other")
	set := func(tx *object.Tx) error { return tx.SetAttr(o, "x", []byte("1")) }
	must(t, space.Update(wait, set))
	must(t, space.Update(wait, func(tx *object.Tx) error { return tx.SetMetadata(o, "{}") }))
	if got := version(t, o); got != 3 {
		t.Errorf("version %d after three updates", got)
	}
	tx := write(t, space)
	for range 5 {
		must(t, set(tx))
	}
	must(t, tx.DelAttr(o, "x"))
	if err := tx.DelAttr(o, "x"); err != store.ErrNotFound {
		t.Errorf("deleted twice: %v", err)
	}
	must(t, tx.Commit())
	if got := version(t, o); got != 4 {
		t.Errorf("version %d after a transaction", got)
	}
	tx = write(t, space)
	must(t, tx.Savepoint())
	must(t, set(tx))
	must(t, tx.Rollback())
	must(t, tx.SetAttr(other, "y", nil))
	must(t, tx.Commit())
	if got := version(t, o); got != 4 {
		t.Errorf("version %d: what was rolled back is no change", got)
	}
	if got := version(t, other); got != 2 {
		t.Errorf("version %d of the other object", got)
	}
}

func TestUnversionedObjectsCountNothing(t *testing.T) {
	_, space := open(t, memstore.Options{})
	var o *object.Object
	must(t, space.Update(wait, func(tx *object.Tx) (err error) {
		o, _, err = space.Create(tx, object.Descriptor{Name: "o"})
		return err
	}))
	before := space.Store().Version(o.Channel())
	must(t, space.Update(wait, func(tx *object.Tx) error { return tx.SetAttr(o, "x", nil) }))
	if version(t, o) != 0 || space.Store().Version(o.Channel()) == before {
		t.Error("an unversioned object keeps version 0 and still wakes who waits for it")
	}
}

func TestAttributes(t *testing.T) {
	backend, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	long := strings.Repeat("n", object.MaxName)
	must(t, space.Update(wait, func(tx *object.Tx) error {
		for _, name := range []string{"b", "a\x00b", "a", long} {
			if err := tx.SetAttr(o, name, []byte("value of "+name)); err != nil {
				return err
			}
		}
		refused(t, tx.SetAttr(o, "", nil), errs.InvalidArgument)
		refused(t, tx.SetAttr(o, long+"n", nil), errs.InvalidArgument)
		return nil
	}))
	read(t, space, func(tx *object.Tx) error {
		names, err := tx.Attrs(o)
		if !slices.Equal(names, []string{"a", "a\x00b", "b", long}) {
			t.Errorf("attributes %q", names)
		}
		if err != nil {
			return err
		}
		value, err := tx.GetAttr(o, "a\x00b")
		if string(value) != "value of a\x00b" {
			t.Errorf("value %q", value)
		}
		if _, err := tx.GetAttr(o, "c"); err != store.ErrNotFound {
			t.Errorf("missing attribute: %v", err)
		}
		return err
	})
	must(t, backend.Damage("n", keys.AppendAttrKey(nil, o.Prefix, "a")))
	read(t, space, func(tx *object.Tx) error {
		_, err := tx.GetAttr(o, "a")
		refused(t, err, errs.Corrupt)
		return nil
	})
	must(t, space.Update(wait, func(tx *object.Tx) error { return tx.Drop(o) }))
	read(t, space, func(tx *object.Tx) error {
		_, err := tx.GetAttr(o, "b")
		refused(t, err, errs.ObjectNotFound)
		_, err = tx.Attrs(o)
		refused(t, err, errs.ObjectNotFound)
		_, err = tx.Describe(o)
		refused(t, err, errs.ObjectNotFound)
		return nil
	})
	stats, err := space.Store().Stats()
	must(t, err)
	if stats.Entries != 2 { // the format and the counter of ids
		t.Errorf("%d entries are left after the drop", stats.Entries)
	}
}

func TestStatesOfManyObjectsFollowSavepoints(t *testing.T) {
	_, space := open(t, memstore.Options{})
	var list []*object.Object
	for i := range 12 {
		list = append(list, create(t, space, fmt.Sprint(i)))
	}
	tx := write(t, space)
	grow := func(n int) {
		for i, o := range list {
			if _, err := tx.State(o); err != nil {
				t.Fatal(err)
			}
			tx.Changed(o, n*(i+1))
		}
	}
	length := func(n int) {
		t.Helper()
		for i, o := range list {
			state, err := tx.State(o)
			must(t, err)
			if state.Length != uint64(n*(i+1)) {
				t.Fatalf("length of %d is %d, want %d", i, state.Length, n*(i+1))
			}
		}
	}
	grow(1)
	must(t, tx.Savepoint())
	grow(10)
	must(t, tx.Savepoint())
	grow(100)
	must(t, tx.Release())
	must(t, tx.Savepoint())
	grow(1000)
	must(t, tx.Rollback())
	length(111)
	must(t, tx.Rollback())
	length(1)
	refused(t, tx.Rollback(), errs.BadTransaction)
	must(t, tx.Commit())
	for i, o := range list {
		state, err := o.PeekState()
		must(t, err)
		if state.Length != uint64(i+1) || state.Version != 2 {
			t.Errorf("committed state %+v of %d", state, i)
		}
	}
}

func TestHandleOfACreationThatCameToNothingStaysDead(t *testing.T) {
	_, space := open(t, memstore.Options{})
	made := func(tx *object.Tx, name string) *object.Object {
		o, _, err := space.Create(tx, object.Descriptor{Name: name, Versioned: true})
		must(t, err)
		return o
	}
	tx := write(t, space)
	must(t, tx.Savepoint())
	rolledBack := made(tx, "a")
	must(t, tx.Rollback())
	next := made(tx, "b")
	if _, err := tx.State(next); err != nil {
		t.Fatal(err)
	}
	tx.Abort()
	tx = write(t, space)
	must(t, tx.Savepoint())
	besides := made(tx, "a")
	must(t, tx.Rollback())
	kept := made(tx, "e")
	if besides.ID != kept.ID {
		t.Log("an id was not given out again; the test shows less")
	}
	_, err := tx.State(besides)
	refused(t, err, errs.ObjectNotFound)
	must(t, tx.Commit())
	_, err = besides.PeekState()
	refused(t, err, errs.ObjectNotFound)
	_, err = kept.PeekState()
	must(t, err)
	failed := errors.New("failed")
	var undone *object.Object
	if err := space.Update(wait, func(tx *object.Tx) error { undone = made(tx, "c"); return failed }); err != failed {
		t.Fatal(err)
	}
	alive := create(t, space, "d")
	read(t, space, func(tx *object.Tx) error {
		for _, o := range []*object.Object{rolledBack, next, undone} {
			_, err := tx.State(o)
			refused(t, err, errs.ObjectNotFound)
			_, err = o.PeekState()
			refused(t, err, errs.ObjectNotFound)
			_, err = tx.GetAttr(o, "x")
			refused(t, err, errs.ObjectNotFound)
			_, err = tx.Describe(o)
			refused(t, err, errs.ObjectNotFound)
		}
		_, err := tx.State(alive)
		return err
	})
}

func TestDropFreesTheNameAndNotTheHandle(t *testing.T) {
	_, space := open(t, memstore.Options{})
	old := create(t, space, "o")
	before := space.Store().Version(old.Channel())
	tx := write(t, space)
	must(t, tx.Drop(old))
	refused(t, tx.Drop(old), errs.ObjectNotFound)
	renewed, _, err := space.Create(tx, object.Descriptor{Name: "o", Versioned: true})
	must(t, err)
	must(t, tx.SetAttr(renewed, "x", nil))
	must(t, tx.Commit())
	if space.Store().Version(old.Channel()) == before {
		t.Error("a drop wakes nobody")
	}
	_, err = old.PeekState()
	refused(t, err, errs.ObjectNotFound)
	if version(t, renewed) != 1 {
		t.Error("the new object has a version of its own")
	}
}

func TestRolledBackDropLeavesTheObject(t *testing.T) {
	_, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	tx := write(t, space)
	must(t, tx.SetAttr(o, "x", []byte("1")))
	must(t, tx.Savepoint())
	must(t, tx.Drop(o))
	must(t, tx.Rollback())
	value, err := tx.GetAttr(o, "x")
	must(t, err)
	if string(value) != "1" {
		t.Errorf("value %q", value)
	}
	must(t, tx.Commit())
	if version(t, o) != 2 {
		t.Error("the change before the drop counts")
	}
}

func TestUpdateKeepsItsTransactionToItself(t *testing.T) {
	_, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	misuses := map[string]func(tx *object.Tx) error{
		"commit":    func(tx *object.Tx) error { return tx.Commit() },
		"abort":     func(tx *object.Tx) error { tx.Abort(); return nil },
		"savepoint": func(tx *object.Tx) error { return tx.Savepoint() },
	}
	for name, misuse := range misuses {
		err := space.Update(wait, func(tx *object.Tx) error {
			if err := tx.SetAttr(o, name, nil); err != nil {
				return err
			}
			return misuse(tx)
		})
		refused(t, err, errs.BadTransaction)
	}
	if version(t, o) != 1 {
		t.Error("a misused update was committed")
	}
}

func TestHalfDoneWorkIsNotCommitted(t *testing.T) {
	backend, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	must(t, space.Update(wait, func(tx *object.Tx) error { return tx.SetAttr(o, "x", []byte("1")) }))
	tx := write(t, space)
	backend.FailWrite(3, nil) // the name, the descriptor, the data
	refused(t, tx.Drop(o), errs.IO)
	refused(t, tx.Commit(), errs.IO)
	if version(t, o) != 2 {
		t.Error("half a drop was committed")
	}
	tx = write(t, space)
	must(t, tx.Savepoint())
	backend.FailWrite(3, nil)
	refused(t, tx.Drop(o), errs.IO)
	must(t, tx.Rollback())
	must(t, tx.Commit())
	// A savepoint from after the failure does not undo it.
	tx = write(t, space)
	must(t, tx.Savepoint())
	backend.FailWrite(3, nil)
	refused(t, tx.Drop(o), errs.IO)
	must(t, tx.Release())
	must(t, tx.Savepoint())
	must(t, tx.Rollback())
	refused(t, tx.Commit(), errs.IO)
	backend.FailCommit(1, nil)
	refused(t, space.Update(wait, func(tx *object.Tx) error { return tx.Drop(o) }), errs.IO)
	if version(t, o) != 2 {
		t.Error("a failed commit changed the object")
	}
}

func TestTransactionAfterItsEnd(t *testing.T) {
	_, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	tx := write(t, space)
	must(t, tx.SetAttr(o, "x", nil))
	must(t, tx.Commit())
	_, err := tx.State(o)
	refused(t, err, errs.BadTransaction)
	refused(t, tx.Commit(), errs.BadTransaction)
	tx.Abort()
}

func TestObjectOfAnotherNamespaceIsRefused(t *testing.T) {
	backend, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	raw, err := backend.Open("other", true)
	must(t, err)
	other, err := object.Open(raw, "other")
	must(t, err)
	stranger := create(t, other, "o")
	tx := write(t, space)
	defer tx.Abort()
	_, err = tx.State(o)
	must(t, err)
	_, err = tx.State(stranger)
	refused(t, err, errs.BadTransaction)
}

func TestNewerFormatIsLeftAlone(t *testing.T) {
	backend := memstore.New(memstore.Options{})
	raw, err := backend.Open("n", true)
	must(t, err)
	payload, err := msgpack.Marshal(map[string]any{"format": keys.FormatVersion + 1, "new": []string{"field"}})
	must(t, err)
	must(t, raw.Update(wait, func(txn store.Txn) error {
		_, err := txn.Put(keys.FormatKey(), keys.SealPayload(keys.FormatKey(), payload))
		return err
	}))
	before, err := raw.Stats()
	must(t, err)
	_, err = object.Open(raw, "n")
	refused(t, err, errs.NewerFormat)
	after, err := raw.Stats()
	must(t, err)
	if before.LastCommit != after.LastCommit {
		t.Error("the namespace was written to")
	}
}

func TestDamageIsNamed(t *testing.T) {
	backend, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	must(t, backend.Damage("n", keys.DescriptorKey(o.ID)))
	must(t, backend.Damage("n", keys.StateKey(o.Prefix)))
	read(t, space, func(tx *object.Tx) error {
		_, _, err := space.Bind(tx, "o")
		refused(t, err, errs.Corrupt)
		_, err = tx.List("", 0)
		refused(t, err, errs.Corrupt)
		_, err = tx.State(o)
		refused(t, err, errs.Corrupt)
		names, err := tx.Names("", 0)
		if !slices.Equal(names, []string{"o"}) {
			t.Errorf("names %q", names)
		}
		return err
	})
	must(t, backend.Damage("n", keys.FormatKey()))
	_, err := object.Open(space.Store(), "n")
	refused(t, err, errs.Corrupt)
}

func TestUpdatesOfManyGoroutinesAllCount(t *testing.T) {
	_, space := open(t, memstore.Options{RerunUpdates: true})
	o := create(t, space, "o")
	const goroutines, rounds = 8, 50
	var group sync.WaitGroup
	for g := range goroutines {
		group.Go(func() {
			for i := range rounds {
				err := space.Update(wait, func(tx *object.Tx) error {
					if _, err := tx.State(o); err != nil {
						return err
					}
					tx.Changed(o, 1)
					_, err := tx.Put([]byte(fmt.Sprintf("\x01%d/%d", g, i)), []byte("x"))
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	state, err := o.PeekState()
	must(t, err)
	if state.Length != goroutines*rounds || state.Version != goroutines*rounds+1 {
		t.Errorf("state %+v", state)
	}
}
