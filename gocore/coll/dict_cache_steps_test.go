package coll_test

import (
	"bytes"
	"slices"

	"pgregory.net/rapid"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// The steps of the model test of caches, in the order of its table.

func (w *cacheWorld) store(t *rapid.T) {
	k, value := drawKey(t), drawValue(t)
	how := coll.StoreHow(rapid.IntRange(0, 2).Draw(t, "how"))
	e := cacheEntry{own: k.own, value: value}
	if rapid.Bool().Draw(t, "ends") {
		e.due = w.clock.now + rapid.Int64Range(1, 300).Draw(t, "ttl")
	}
	var done bool
	err := w.write(t, func(tx *object.Tx) (err error) {
		done, err = coll.DictStore(tx, w.o, coll.DictEntry{Key: k.encoded, Own: k.own, Value: value}, e.due, how)
		return err
	})
	if e.due != 0 && err == nil {
		coll.DictExpires(w.o, e.due)
	}
	old, there := w.current.alive(string(k.encoded), w.now())
	if how == coll.StoreAdd && there {
		if err != nil || done {
			t.Fatalf("add of a key that is there: %v %v", done, err)
		}
		return
	}
	if how == coll.StoreKeep && there {
		e.due = old.due
	}
	w.answer(t, w.put(k, e), err)
	if err == nil && !done {
		t.Fatal("was not stored")
	}
}

// answer compares an error with the one that the model gave.
func (w *cacheWorld) answer(t *rapid.T, want errs.Code, err error) {
	t.Helper()
	if want == 0 && err != nil || want != 0 && !errs.Has(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
	w.settle()
}

func (w *cacheWorld) set(t *rapid.T) {
	k, value := drawKey(t), drawValue(t)
	err := w.write(t, func(tx *object.Tx) error { return coll.DictSet(tx, w.o, k.encoded, k.own, value) })
	w.answer(t, w.put(k, cacheEntry{own: k.own, value: value}), err)
}

func (w *cacheWorld) insert(t *rapid.T) {
	k, value := drawKey(t), drawValue(t)
	var existing []byte
	err := w.write(t, func(tx *object.Tx) error {
		found, err := coll.DictInsert(tx, w.o, k.encoded, k.own, value)
		existing = bytes.Clone(found)
		return err
	})
	if old, ok := w.current.alive(string(k.encoded), w.now()); ok {
		if err != nil || !bytes.Equal(existing, old.value) {
			t.Fatalf("insert found %x, %v", existing, err)
		}
		return
	}
	w.answer(t, w.put(k, cacheEntry{own: k.own, value: value}), err)
}

func (w *cacheWorld) setMany(t *rapid.T) {
	var entries []coll.DictEntry
	var list []testKey
	for range rapid.IntRange(1, 20).Draw(t, "n") {
		k := drawKey(t)
		list = append(list, k)
		entries = append(entries, coll.DictEntry{Key: k.encoded, Own: k.own, Value: []byte{byte(len(list))}})
	}
	err := w.write(t, func(tx *object.Tx) error {
		if w.tx != nil {
			if err := tx.Savepoint(); err != nil {
				return err
			}
		}
		err := coll.DictSetMany(tx, w.o, entries)
		if w.tx == nil {
			return err
		}
		if err != nil {
			must(t, tx.Rollback())
			return err
		}
		return tx.Release()
	})
	before := w.current.clone()
	var want errs.Code
	for i, k := range list {
		if want = w.put(k, cacheEntry{own: k.own, value: entries[i].Value}); want != 0 {
			w.current = before
			break
		}
	}
	w.answer(t, want, err)
}

func (w *cacheWorld) touch(t *rapid.T) {
	k := drawKey(t)
	due := rapid.SampledFrom([]int64{0, 5, 200}).Draw(t, "ttl")
	if due != 0 {
		due += w.clock.now
	}
	err := w.write(t, func(tx *object.Tx) error { return coll.DictTouch(tx, w.o, k.encoded, due) })
	e, ok := w.current.alive(string(k.encoded), w.now())
	if !ok {
		if err != store.ErrNotFound {
			t.Fatalf("touch of nothing: %v", err)
		}
		return
	}
	e.due = due
	w.answer(t, w.put(k, e), err)
}

func (w *cacheWorld) del(t *rapid.T) {
	k := drawKey(t)
	pop := rapid.Bool().Draw(t, "pop")
	var taken coll.Taken
	err := w.write(t, func(tx *object.Tx) (err error) {
		if pop {
			taken, err = coll.DictPop(tx, w.o, k.encoded)
			return err
		}
		return coll.DictDel(tx, w.o, k.encoded)
	})
	e, ok := w.current.alive(string(k.encoded), w.now())
	if !ok {
		if err != store.ErrNotFound {
			t.Fatalf("removed nothing: %v", err)
		}
		return
	}
	if pop && (!bytes.Equal(taken.Value(), e.value) || taken.Due != e.due) {
		t.Fatalf("popped %x until %d, want %x until %d", taken.Value(), taken.Due, e.value, e.due)
	}
	w.current.remove(string(k.encoded))
	w.answer(t, 0, err)
}

func (w *cacheWorld) ordered() []string {
	var list []string
	for key := range w.current.entries {
		if _, ok := w.current.alive(key, w.now()); ok {
			list = append(list, key)
		}
	}
	slices.SortFunc(list, func(a, b string) int {
		return bytes.Compare(storedKey(w.o, []byte(a)), storedKey(w.o, []byte(b)))
	})
	return list
}

func (w *cacheWorld) popItem(t *rapid.T) {
	last := rapid.Bool().Draw(t, "last")
	var taken coll.Taken
	err := w.write(t, func(tx *object.Tx) (err error) {
		taken, err = coll.DictPopItem(tx, w.o, last)
		return err
	})
	list := w.ordered()
	if len(list) == 0 {
		if err != store.ErrNotFound {
			t.Fatalf("popped from nothing: %v", err)
		}
		return
	}
	want := list[0]
	if last {
		want = list[len(list)-1]
	}
	if err != nil || !bytes.Equal(taken.Place()[1:], storedKey(w.o, []byte(want))) {
		t.Fatalf("popped %x, %v; want %x", taken.Place(), err, want)
	}
	w.current.remove(want)
	w.settle()
}

func (w *cacheWorld) clear(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "really") != 0 {
		t.Skip()
	}
	w.current = cacheModel{entries: map[string]cacheEntry{}}
	w.answer(t, 0, w.write(t, func(tx *object.Tx) error { return coll.DictClear(tx, w.o) }))
}

func (w *cacheWorld) get(t *rapid.T) {
	k := drawKey(t)
	var value []byte
	var has bool
	var err error
	if w.tx != nil {
		value, err = coll.DictGet(w.tx, w.o, k.encoded)
		has, _ = coll.DictContains(w.tx, w.o, k.encoded)
	} else {
		var pin store.Txn
		value, pin, err = coll.DictPeek(w.o, k.encoded, make([]byte, 0, 100), false)
		if pin != nil {
			defer pin.Abort()
		}
		has = err == nil
	}
	e, ok := w.current.alive(string(k.encoded), w.now())
	if !ok {
		if err != store.ErrNotFound || has {
			t.Fatalf("got %x, %v of a key that is not there", value, err)
		}
		return
	}
	if err != nil || !has || !bytes.Equal(value, e.value) {
		t.Fatalf("got %x, %v, want %x", value, err, e.value)
	}
	if w.eviction == coll.EvictUsed && w.limit+w.size > 0 {
		// What an abort forgets is how far the order is not exact.
		w.current.use(string(k.encoded))
		w.settle()
	}
}

func (w *cacheWorld) due(t *rapid.T) {
	k := drawKey(t)
	var due int64
	err := w.write(t, func(tx *object.Tx) (err error) {
		due, err = coll.DictDue(tx, w.o, k.encoded)
		return err
	})
	if e, ok := w.current.alive(string(k.encoded), w.now()); ok {
		if err != nil || due != e.due {
			t.Fatalf("ends at %d, %v, want %d", due, err, e.due)
		}
	} else if err != store.ErrNotFound {
		t.Fatal(err)
	}
}

func (w *cacheWorld) sweep(t *rapid.T) {
	for more := true; more; {
		must(t, w.write(t, func(tx *object.Tx) (err error) {
			_, more, err = coll.DictSweep(tx, w.o)
			return err
		}))
	}
	w.forgetEnded()
	w.settle()
}

// forgetEnded is what a sweep does to the model.
func (w *cacheWorld) forgetEnded() {
	for key := range w.current.entries {
		if _, ok := w.current.alive(key, w.now()); !ok {
			w.current.remove(key)
		}
	}
}

// ring has the timers run that are due, and one that is not.
func (w *cacheWorld) ring(t *rapid.T) {
	if w.tx != nil {
		t.Skip("it would wait for the transaction")
	}
	for _, alarm := range *w.alarms {
		if !alarm.Stopped {
			alarm.Ring()
		}
	}
	*w.alarms = nil
}

func (w *cacheWorld) advance(t *rapid.T) {
	w.clock.now += rapid.SampledFrom([]int64{1, 10, 100}).Draw(t, "ns")
}

func (w *cacheWorld) begin(t *rapid.T) {
	if w.tx != nil {
		t.Skip()
	}
	tx, err := w.space.Begin(store.Write, store.Wait{Timeout: -1})
	must(t, err)
	w.tx = tx
	tx.Now() // the model asks for it as well
}

func (w *cacheWorld) end(t *rapid.T) {
	if w.tx == nil {
		t.Skip()
	}
	tx := w.tx
	w.tx = nil
	if w.eviction != coll.EvictUsed && rapid.Bool().Draw(t, "abort") {
		tx.Abort()
		w.current = w.committed.clone()
		return
	}
	must(t, tx.Commit())
	w.settle()
}
