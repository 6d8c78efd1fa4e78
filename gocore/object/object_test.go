package object_test

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
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
	if version(t, renewed) != 0 {
		t.Error("the new object has a version of its own")
	}
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
