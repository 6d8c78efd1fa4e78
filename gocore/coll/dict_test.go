package coll_test

import (
	"bytes"
	"fmt"
	"testing"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
)

func must(t interface {
	Helper()
	Fatal(...any)
}, err error,
) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newDict makes a dict in a namespace of its own.
func newDict(t testing.TB, backend store.Backend) (*object.Space, *object.Object) {
	t.Helper()
	raw, err := backend.Open("n", true)
	must(t, err)
	space, err := object.Open(raw, "n")
	must(t, err)
	t.Cleanup(func() { must(t, space.Close()) })
	var o *object.Object
	must(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
		o, _, err = space.Create(tx, object.Descriptor{Name: "d", Kind: object.KindDict, Versioned: true})
		return err
	}))
	return space, o
}

func update(t testing.TB, space *object.Space, fn func(tx *object.Tx) error) {
	t.Helper()
	must(t, space.Update(store.Wait{Timeout: -1}, fn))
}

func encode(t testing.TB, v any) (encoded, own []byte) {
	t.Helper()
	encoded, own, err := keys.EncodeKey(nil, v)
	must(t, err)
	return encoded, own
}

func TestDamagedEntryIsNeverAValue(t *testing.T) {
	backend := memstore.New(memstore.Options{})
	space, o := newDict(t, backend)
	key, own := encode(t, "key")
	other, _ := encode(t, "other")
	update(t, space, func(tx *object.Tx) error {
		if err := coll.DictSet(tx, o, other, nil, []byte("fine")); err != nil {
			return err
		}
		return coll.DictSet(tx, o, key, own, bytes.Repeat([]byte("value"), 100))
	})
	dbkey, _ := keys.AppendEntryKey(nil, o.Prefix, keys.TagDict, key)
	must(t, backend.Damage("n", dbkey))
	corrupt := func(what string, err error) {
		t.Helper()
		if !errs.Has(err, errs.Corrupt) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, room := range []int{0, 4096} {
		_, pin, err := coll.DictPeek(o, key, make([]byte, 0, room), false)
		corrupt("peek", err)
		if pin != nil {
			t.Error("peek left a transaction open")
		}
	}
	reads := map[string]func(tx *object.Tx) error{
		"get":    func(tx *object.Tx) error { _, err := coll.DictGet(tx, o, key); return err },
		"insert": func(tx *object.Tx) error { _, err := coll.DictInsert(tx, o, key, nil, nil); return err },
		"pop":    func(tx *object.Tx) error { _, err := coll.DictPop(tx, o, key); return err },
		"popitem": func(tx *object.Tx) error {
			_, err := coll.DictPopItem(tx, o, false) // "key" comes before "other"
			return err
		},
		"scan": func(tx *object.Tx) error {
			n, err := coll.DictScan(tx, o, coll.KeyRange{Reverse: true}, make([]coll.DictEntry, 5))
			if n != 1 {
				t.Errorf("%d entries before the damaged one", n)
			}
			return err
		},
	}
	for name, read := range reads {
		corrupt(name, space.Update(store.Wait{Timeout: -1}, read))
	}
	// What was damaged can be listed, replaced and removed.
	update(t, space, func(tx *object.Tx) error {
		n, err := coll.DictScan(tx, o, coll.KeyRange{KeysOnly: true}, make([]coll.DictEntry, 5))
		if n != 2 {
			t.Errorf("%d keys", n)
		}
		return err
	})
	update(t, space, func(tx *object.Tx) error { return coll.DictSet(tx, o, key, nil, []byte("new")) })
	value, _, err := coll.DictPeek(o, key, make([]byte, 0, 64), false)
	must(t, err)
	if string(value) != "new" {
		t.Errorf("value %q", value)
	}
	must(t, backend.Damage("n", dbkey))
	update(t, space, func(tx *object.Tx) error { return coll.DictDel(tx, o, key) })
	state, err := o.PeekState()
	must(t, err)
	if state.Length != 1 {
		t.Errorf("length %d", state.Length)
	}
}

func TestFirstKeyKeepsItsForm(t *testing.T) {
	space, o := newDict(t, memstore.New(memstore.Options{}))
	canonical, _ := encode(t, 1)
	_, boolean := encode(t, true)
	_, float := encode(t, 1.0)
	form := func(want []byte) {
		t.Helper()
		update(t, space, func(tx *object.Tx) error {
			var entries [2]coll.DictEntry
			n, err := coll.DictScan(tx, o, coll.KeyRange{KeysOnly: true}, entries[:])
			if n != 1 || !bytes.Equal(entries[0].Own, want) {
				t.Errorf("%d entries, own key %x, want %x", n, entries[0].Own, want)
			}
			return err
		})
	}
	set := func(own []byte) {
		t.Helper()
		update(t, space, func(tx *object.Tx) error { return coll.DictSet(tx, o, canonical, own, []byte("v")) })
	}
	set(boolean)
	set(nil)
	form(boolean)
	set(float)
	form(boolean)
	update(t, space, func(tx *object.Tx) error { return coll.DictClear(tx, o) })
	set(nil)
	set(boolean)
	form(nil)
	many := make([]coll.DictEntry, 20)
	for i := range many {
		many[i] = coll.DictEntry{Key: canonical, Own: float, Value: []byte{byte(i)}}
	}
	update(t, space, func(tx *object.Tx) error { return coll.DictDel(tx, o, canonical) })
	many[0].Own = boolean
	update(t, space, func(tx *object.Tx) error { return coll.DictSetMany(tx, o, many) })
	form(boolean)
	value, _, err := coll.DictPeek(o, canonical, make([]byte, 0, 64), false)
	must(t, err)
	if len(value) != 1 || value[0] != 19 {
		t.Errorf("value %x", value)
	}
}

func TestManyEntriesInOneCall(t *testing.T) {
	space, o := newDict(t, memstore.New(memstore.Options{RerunUpdates: true}))
	const n = 3000
	entries := make([]coll.DictEntry, n)
	for i := range entries {
		key, own := encode(t, (i*7919)%n)
		size := i % 100
		if i%500 == 0 {
			size = 100_000
		}
		entries[i] = coll.DictEntry{Key: key, Own: own, Value: bytes.Repeat([]byte{byte(i)}, size)}
	}
	for range 2 { // fresh, and again over what is there
		update(t, space, func(tx *object.Tx) error { return coll.DictSetMany(tx, o, entries) })
	}
	state, err := o.PeekState()
	must(t, err)
	if state.Length != n || state.Version != 2 {
		t.Errorf("state %+v", state)
	}
	for _, e := range entries {
		value, pin, err := coll.DictPeek(o, e.Key, make([]byte, 0, 64), false)
		must(t, err)
		if !bytes.Equal(value, e.Value) {
			t.Fatalf("value of %x has %d bytes, not %d", e.Key, len(value), len(e.Value))
		}
		if pin != nil {
			pin.Abort()
		}
	}
}

func TestHalfDoneSetManyIsNotCommitted(t *testing.T) {
	backend := memstore.New(memstore.Options{})
	space, o := newDict(t, backend)
	var entries []coll.DictEntry
	for i := range 50 {
		key, _ := encode(t, i)
		entries = append(entries, coll.DictEntry{Key: key, Value: []byte(fmt.Sprint(i))})
	}
	backend.FailWrite(20, nil)
	err := space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
		if err := coll.DictSetMany(tx, o, entries); !errs.Has(err, errs.IO) {
			t.Errorf("set many: %v", err)
		}
		return nil // as one who does not look at errors
	})
	if !errs.Has(err, errs.IO) {
		t.Errorf("update: %v", err)
	}
	state, err := o.PeekState()
	must(t, err)
	if state.Length != 0 || state.Version != 0 {
		t.Errorf("state %+v", state)
	}
}
