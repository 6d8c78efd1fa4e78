package coll_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// The steps of the model test, in the order of its table.

func (w *world) create(t *rapid.T) {
	name := rapid.SampledFrom(names).Draw(t, "name")
	var o *object.Object
	err := w.write(func(tx *object.Tx) (err error) {
		o, _, err = w.space.Create(tx, object.Descriptor{Name: name, Kind: object.KindDict, Versioned: true})
		return err
	})
	if w.current[name] != nil {
		if !errs.Has(err, errs.ObjectExists) {
			t.Fatalf("create of a name that is taken: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	w.handles = append(w.handles, o)
	w.current[name] = &dictModel{handle: o, entries: map[string]entryModel{}, changed: true, created: true}
	w.settle()
}

func (w *world) drop(t *rapid.T) {
	o, d := w.pick(t)
	err := w.write(func(tx *object.Tx) error { return tx.Drop(o) })
	if !expect(t, d, true, err) {
		return
	}
	delete(w.current, o.Name)
	w.settle()
}

func (w *world) set(t *rapid.T) {
	o, d := w.pick(t)
	k, value := drawKey(t), drawValue(t)
	err := w.write(func(tx *object.Tx) error { return coll.DictSet(tx, o, k.encoded, k.own, value) })
	if expect(t, d, true, err) {
		d.set(k, value)
		w.settle()
	}
}

func (w *world) insert(t *rapid.T) {
	o, d := w.pick(t)
	k, value := drawKey(t), drawValue(t)
	var existing []byte
	err := w.write(func(tx *object.Tx) error {
		found, err := coll.DictInsert(tx, o, k.encoded, k.own, value)
		existing = bytes.Clone(found)
		return err
	})
	if !expect(t, d, true, err) {
		return
	}
	if old, ok := d.entries[string(k.encoded)]; ok {
		if existing == nil || !bytes.Equal(existing, old.value) {
			t.Fatalf("insert found %x, not %x", existing, old.value)
		}
	} else {
		if existing != nil {
			t.Fatalf("insert found %x", existing)
		}
		d.set(k, value)
	}
	w.settle()
}

func (w *world) del(t *rapid.T) {
	o, d := w.pick(t)
	k := drawKey(t)
	err := w.write(func(tx *object.Tx) error { return coll.DictDel(tx, o, k.encoded) })
	if d == nil {
		expect(t, d, true, err)
		return
	}
	_, present := d.entries[string(k.encoded)]
	if expect(t, d, present, err) {
		delete(d.entries, string(k.encoded))
		d.changed = true
		w.settle()
	}
}

func (w *world) pop(t *rapid.T) {
	o, d := w.pick(t)
	k := drawKey(t)
	var taken coll.Taken
	err := w.write(func(tx *object.Tx) (err error) { taken, err = coll.DictPop(tx, o, k.encoded); return err })
	if d == nil {
		expect(t, d, true, err)
		return
	}
	old, present := d.entries[string(k.encoded)]
	if expect(t, d, present, err) {
		if !bytes.Equal(taken.Value(), old.value) {
			t.Fatalf("pop gave %x, not %x", taken.Value(), old.value)
		}
		delete(d.entries, string(k.encoded))
		d.changed = true
		w.settle()
	}
}

func (w *world) popItem(t *rapid.T) {
	o, d := w.pick(t)
	last := rapid.Bool().Draw(t, "last")
	var taken coll.Taken
	err := w.write(func(tx *object.Tx) (err error) {
		taken, err = coll.DictPopItem(tx, o, last)
		return err
	})
	if !expect(t, d, d != nil && len(d.entries) > 0, err) {
		return
	}
	order := d.ordered()
	want := order[0]
	if last {
		want = order[len(order)-1]
	}
	old := d.entries[want]
	key, own, value := taken.Place()[1:], taken.Own(), taken.Value()
	if !bytes.Equal(key, storedKey(o, []byte(want))) || !bytes.Equal(own, ownOf(o, want, old.own)) || !bytes.Equal(value, old.value) {
		t.Fatalf("popitem gave %x %x %x", key, own, value)
	}
	delete(d.entries, want)
	d.changed = true
	w.settle()
}

func (w *world) setMany(t *rapid.T) {
	o, d := w.pick(t)
	n := rapid.SampledFrom([]int{0, 1, 5, 16, 17, 40}).Draw(t, "n")
	var batch []coll.DictEntry
	for range n {
		k := drawKey(t)
		batch = append(batch, coll.DictEntry{Key: k.encoded, Own: k.own, Value: drawValue(t)})
	}
	err := w.write(func(tx *object.Tx) error { return coll.DictSetMany(tx, o, batch) })
	if n == 0 && err == nil {
		return // nothing to do is no reason to look
	}
	if expect(t, d, true, err) {
		for _, e := range batch {
			d.set(testKey{e.Key, e.Own}, e.Value)
		}
		w.settle()
	}
}

func (w *world) clear(t *rapid.T) {
	o, d := w.pick(t)
	err := w.write(func(tx *object.Tx) error { return coll.DictClear(tx, o) })
	if expect(t, d, true, err) {
		if len(d.entries) > 0 {
			d.entries = map[string]entryModel{}
			d.changed = true
		}
		w.settle()
	}
}

func (w *world) get(t *rapid.T) {
	o, d := w.pick(t)
	k := drawKey(t)
	var value []byte
	var contains bool
	err := w.read(t, func(tx *object.Tx) error {
		found, err := coll.DictGet(tx, o, k.encoded)
		value = bytes.Clone(found)
		if err == nil || err == store.ErrNotFound {
			var err error
			if contains, err = coll.DictContains(tx, o, k.encoded); err != nil {
				return err
			}
		}
		return err
	})
	w.compare(t, d, k, value, err)
	if contains != (err == nil) {
		t.Fatalf("contains is %v, get says %v", contains, err)
	}
}

func (w *world) peek(t *rapid.T) {
	o, _ := w.pick(t)
	k := drawKey(t)
	dst := make([]byte, 0, rapid.SampledFrom([]int{0, 16, 1000}).Draw(t, "room"))
	value, pin, err := coll.DictPeek(o, k.encoded, dst, false)
	w.compare(t, w.committed.of(o), k, value, err)
	if pin != nil {
		pin.Abort()
	}
}

func (w *world) compare(t *rapid.T, d *dictModel, k testKey, value []byte, err error) {
	if d == nil {
		expect(t, d, true, err)
		return
	}
	old, present := d.entries[string(k.encoded)]
	if expect(t, d, present, err) && !bytes.Equal(value, old.value) {
		t.Fatalf("got %x, not %x", value, old.value)
	}
}

func (w *world) scan(t *rapid.T) {
	o, d := w.pick(t)
	r := coll.KeyRange{Reverse: rapid.Bool().Draw(t, "reverse"), KeysOnly: rapid.Bool().Draw(t, "keys only"),
		LoOpen: rapid.Bool().Draw(t, "lo open"), HiOpen: rapid.Bool().Draw(t, "hi open")}
	if rapid.Bool().Draw(t, "has lo") {
		r.Lo = drawKey(t).encoded
	}
	if rapid.Bool().Draw(t, "has hi") {
		r.Hi = drawKey(t).encoded
	}
	var got []coll.DictEntry
	err := w.read(t, func(tx *object.Tx) error {
		for batch := make([]coll.DictEntry, rapid.IntRange(1, 9).Draw(t, "batch")); ; {
			n, err := coll.DictScan(tx, o, r, batch)
			if err != nil {
				return err
			}
			for _, e := range batch[:n] {
				got = append(got, coll.DictEntry{Key: bytes.Clone(e.Key), Own: bytes.Clone(e.Own), Value: bytes.Clone(e.Value)})
			}
			if n < len(batch) {
				return nil
			}
			r.After = got[len(got)-1].Key
		}
	})
	if !expect(t, d, true, err) {
		return
	}
	var want []coll.DictEntry
	for _, encoded := range d.ordered() {
		key := storedKey(o, []byte(encoded))
		if r.Lo != nil {
			if c := bytes.Compare(key, storedKey(o, r.Lo)); c < 0 || c == 0 && r.LoOpen {
				continue
			}
		}
		if r.Hi != nil {
			if c := bytes.Compare(key, storedKey(o, r.Hi)); c > 0 || c == 0 && r.HiOpen {
				continue
			}
		}
		e := d.entries[encoded]
		if r.KeysOnly {
			e.value = nil
		}
		want = append(want, coll.DictEntry{Key: key, Own: ownOf(o, encoded, e.own), Value: e.value})
	}
	if r.Reverse {
		slices.Reverse(want)
	}
	equal := slices.EqualFunc(got, want, func(a, b coll.DictEntry) bool {
		return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Own, b.Own) && bytes.Equal(a.Value, b.Value)
	})
	if !equal {
		t.Fatalf("scan %+v gave\n%s\nnot\n%s", r, show(got), show(want))
	}
}

func show(entries []coll.DictEntry) string {
	var text strings.Builder
	for _, e := range entries {
		fmt.Fprintf(&text, "  %.20x (%d) own %.20x value %d bytes\n", e.Key, len(e.Key), e.Own, len(e.Value))
	}
	return text.String()
}

func (w *world) begin(t *rapid.T) {
	if w.tx != nil {
		t.Skip("open")
	}
	tx, err := w.space.Begin(store.Write, store.Wait{Timeout: -1})
	if err != nil {
		t.Fatal(err)
	}
	w.tx = tx
}

func (w *world) savepoint(t *rapid.T) {
	w.need(t, 0)
	if err := w.tx.Savepoint(); err != nil {
		t.Fatal(err)
	}
	w.stack = append(w.stack, w.current.clone())
}

func (w *world) rollback(t *rapid.T) {
	w.need(t, 1)
	if err := w.tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	w.current = w.stack[len(w.stack)-1]
	w.stack = w.stack[:len(w.stack)-1]
}

func (w *world) release(t *rapid.T) {
	w.need(t, 1)
	if err := w.tx.Release(); err != nil {
		t.Fatal(err)
	}
	w.stack = w.stack[:len(w.stack)-1]
}

func (w *world) commit(t *rapid.T) {
	w.need(t, 0)
	if err := w.tx.Commit(); err != nil {
		t.Fatal(err)
	}
	w.tx, w.stack = nil, nil
	w.settle()
}

func (w *world) abort(t *rapid.T) {
	w.need(t, 0)
	w.tx.Abort()
	w.tx, w.stack = nil, nil
	w.current = w.committed.clone()
}

func (w *world) need(t *rapid.T, savepoints int) {
	if w.tx == nil || len(w.stack) < savepoints {
		t.Skip("no transaction")
	}
}

func (w *world) failing(t *rapid.T) {
	o, d := w.pick(t)
	if w.faults == nil || d == nil {
		t.Skip("no faults")
	}
	var batch []coll.DictEntry
	for _, k := range testKeys {
		batch = append(batch, coll.DictEntry{Key: k.encoded, Own: k.own, Value: []byte("failing")})
	}
	dropped := rapid.Bool().Draw(t, "drop")
	work := func(tx *object.Tx) error {
		if dropped {
			return tx.Drop(o)
		}
		return coll.DictSetMany(tx, o, batch)
	}
	n := rapid.IntRange(1, len(batch)/2).Draw(t, "write")
	w.faults.FailWrite(n, nil)
	defer w.faults.ClearFaults()
	var err error
	if w.tx == nil {
		err = w.space.Update(store.Wait{Timeout: -1}, work)
	} else {
		if err := w.tx.Savepoint(); err != nil {
			t.Fatal(err)
		}
		err = work(w.tx)
		w.faults.ClearFaults()
		end := w.tx.Release
		if err != nil {
			end = w.tx.Rollback
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
	if err != nil {
		return
	}
	if dropped {
		delete(w.current, o.Name)
	} else {
		for _, e := range batch {
			d.set(testKey{e.Key, e.Own}, e.Value)
		}
	}
	w.settle()
}
