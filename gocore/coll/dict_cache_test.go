package coll_test

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
	"parkit/gocore/store/memstore"
)

// clocked is a space with a clock of the test's.
type clocked struct {
	store.Space
	now int64
}

func (c *clocked) Now() time.Time { return time.Unix(0, c.now) }

const began = int64(1_800_000_000_000_000_000)

// The model of a cache: entries with their ends, in the order of their use.
type cacheModel struct {
	entries map[string]cacheEntry
	order   []string // by use, the oldest first
}

type cacheEntry struct {
	own, value []byte
	due        int64
}

func (m cacheModel) clone() cacheModel {
	return cacheModel{maps.Clone(m.entries), slices.Clone(m.order)}
}

func (m *cacheModel) remove(key string) {
	delete(m.entries, key)
	m.order = slices.DeleteFunc(m.order, func(k string) bool { return k == key })
}

func (m *cacheModel) use(key string) {
	m.order = append(slices.DeleteFunc(m.order, func(k string) bool { return k == key }), key)
}

func (m *cacheModel) alive(key string, now int64) (cacheEntry, bool) {
	e, ok := m.entries[key]
	return e, ok && (e.due == 0 || e.due > now)
}

// cacheWorld is a dict and the model of it. Properties:
//
//   - every operation answers as the model does, also right after an end, and
//     whether what has ended was removed or not;
//   - the indexes, the length and the size agree with the entries;
//   - no commit holds more than the limit, and what gave way is what the model
//     says (exactly, since all uses are of one process).
type cacheWorld struct {
	clock              *clocked
	space              *object.Space
	o                  *object.Object
	tx                 *object.Tx
	committed, current cacheModel
	limit, size        uint64
	eviction           uint64
	alarms             *[]*coll.Alarm
}

// now is what the operation that follows takes for the time.
func (w *cacheWorld) now() int64 {
	if w.tx != nil {
		return w.tx.Now()
	}
	return w.clock.now
}

func (w *cacheWorld) write(t *rapid.T, fn func(tx *object.Tx) error) error {
	if w.tx != nil {
		return fn(w.tx)
	}
	return w.space.Update(store.Wait{Timeout: -1}, fn)
}

func (w *cacheWorld) settle() {
	if w.tx == nil {
		w.committed = w.current.clone()
	}
}

func (w *cacheWorld) sizeOf(k testKey, e cacheEntry) uint64 {
	stored := storedKey(w.o, k.encoded)
	extra := 0
	if e.due != 0 {
		extra += 8
	}
	if w.eviction != coll.EvictNone && w.limit+w.size > 0 {
		extra += 8
	}
	return uint64(len(stored) + keys.SealSize(len(ownOf(w.o, string(k.encoded), e.own)), extra+len(e.value)))
}

func keyOf(encoded string) testKey {
	for _, k := range testKeys {
		if string(k.encoded) == encoded {
			return k
		}
	}
	panic("no such key")
}

func (w *cacheWorld) total() (n, size uint64) {
	for key, e := range w.current.entries {
		n++
		size += w.sizeOf(keyOf(key), e)
	}
	return n, size
}

// over reports whether the model is over its limit.
func (w *cacheWorld) over() bool {
	n, size := w.total()
	return w.limit > 0 && n > w.limit || w.size > 0 && size > w.size
}

// put is what storing does to the model; the error that it must give, or 0.
func (w *cacheWorld) put(k testKey, e cacheEntry) errs.Code {
	key := string(k.encoded)
	if old, ok := w.current.alive(key, w.now()); ok {
		e.own = old.own
	}
	if w.size > 0 && w.sizeOf(k, e) > w.size {
		return errs.TooBig
	}
	before := w.current.clone()
	w.current.entries[key] = e
	w.current.use(key)
	if w.over() {
		for other := range before.entries {
			if _, ok := before.alive(other, w.now()); !ok && other != key {
				w.current.remove(other)
			}
		}
	}
	for w.over() {
		if w.eviction == coll.EvictNone {
			w.current = before
			return errs.Full
		}
		w.current.remove(w.current.order[0])
	}
	return 0
}

// check compares what there is with the model, and the indexes with both.
func (w *cacheWorld) check(t *rapid.T) {
	w.clock.now++ // no two uses at one time
	tx := w.tx
	if tx == nil {
		begun, err := w.space.Begin(store.Read, store.Wait{})
		must(t, err)
		defer begun.Abort()
		tx = begun
	}
	want := w.ordered()
	n, err := coll.DictLen(tx, w.o)
	if err != nil || int(n) != len(want) {
		t.Fatalf("length %d, %v, want %d", n, err, len(want))
	}
	for _, keysOnly := range []bool{false, true} {
		r := coll.KeyRange{KeysOnly: keysOnly}
		var found []string
		for dst := make([]coll.DictEntry, 3); ; {
			n, err := coll.DictScan(tx, w.o, r, dst)
			must(t, err)
			for _, e := range dst[:n] {
				found = append(found, string(e.Key))
			}
			if n < len(dst) {
				break
			}
			r.After = bytes.Clone(dst[n-1].Key)
		}
		for i := range want {
			if i >= len(found) || found[i] != string(storedKey(w.o, []byte(want[i]))) {
				t.Fatalf("scan (keys only: %v) found %q", keysOnly, found)
			}
		}
		if len(found) != len(want) {
			t.Fatalf("scan (keys only: %v) found %d, want %d", keysOnly, len(found), len(want))
		}
	}
	checkIndexes(t, tx, w.o)
	state, err := tx.State(w.o)
	must(t, err)
	if w.limit > 0 && state.Length > w.limit || w.size > 0 && state.Bytes > w.size {
		t.Fatalf("over the limit: %+v", *state)
	}
}

// checkIndexes compares the indexes of a cache, and its state, with its entries.
func checkIndexes(t fataler, tx *object.Tx, o *object.Object) {
	scan := func(tag byte) map[string][]byte {
		all := map[string][]byte{}
		r := store.Prefix(keys.AppendTag(nil, o.Prefix, tag))
		for batch := make([]store.Entry, 50); ; {
			n, err := tx.Scan(r, batch)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range batch[:n] {
				all[string(e.Key)] = bytes.Clone(e.Value)
			}
			if n < len(batch) {
				return all
			}
			r = r.Rest(batch[n-1].Key)
		}
	}
	state, err := tx.State(o)
	if err != nil {
		t.Fatal(err)
	}
	entries, ends, uses := scan(keys.TagDict), scan(keys.TagExpiry), scan(keys.TagUse)
	var size uint64
	ending, ticketed := 0, 0
	for key, record := range entries {
		stored := key[len(o.Prefix)+1:]
		size += uint64(len(stored) + len(record))
		flags, _, value, err := keys.Open([]byte(key), record)
		if err != nil {
			t.Fatal(err)
		}
		stamps := keys.StampsOf(flags, record, value)
		if stamps.Due != 0 {
			ending++
			index := coll.ExpiryKey(o, stamps.Due, []byte(stored))
			if payload, err := keys.OpenPayload(index, ends[string(index)]); err != nil || string(payload) != stored {
				t.Fatalf("the end of %q is not listed: %v", stored, err)
			}
			if state.Due == 0 || state.Due > stamps.Due {
				t.Fatalf("state says %d, an entry ends at %d", state.Due, stamps.Due)
			}
		}
		if stamps.Ticket != 0 {
			ticketed++
			index := coll.TicketKey(o, stamps.Ticket)
			payload, err := keys.OpenPayload(index, uses[string(index)])
			if err != nil || string(payload[8:]) != stored {
				t.Fatalf("the ticket of %q is not listed: %v", stored, err)
			}
			order := coll.OrderKey(o, int64(keys.LeadingNumber(payload)), stamps.Ticket)
			if _, ok := uses[string(order)]; !ok {
				t.Fatalf("the use of %q is not listed", stored)
			}
		}
	}
	if len(ends) != ending || len(uses) != 2*ticketed {
		t.Fatalf("%d ends and %d uses are listed, of %d and %d", len(ends), len(uses), ending, 2*ticketed)
	}
	if int(state.Length) != len(entries) {
		t.Fatalf("length %d of %d", state.Length, len(entries))
	}
	if (state.Limit > 0 || state.MostBytes > 0) && state.Bytes != size {
		t.Fatalf("%d bytes of %d", state.Bytes, size)
	}
}

type fataler interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

func (w *cacheWorld) run(t *rapid.T, raw store.Space) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w.clock = &clocked{raw, began}
	space, err := object.Open(w.clock, "cache")
	must(t, err)
	w.space = space
	w.limit = rapid.SampledFrom([]uint64{0, 0, 1, 5}).Draw(t, "limit")
	w.size = rapid.SampledFrom([]uint64{0, 0, 2000, 9000}).Draw(t, "bytes")
	w.eviction = rapid.Uint64Range(coll.EvictNone, coll.EvictStored).Draw(t, "eviction")
	must(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
		w.o, _, err = space.Create(tx, object.Descriptor{Name: "c", Kind: object.KindDict, Versioned: true})
		if err == nil && w.limit+w.size > 0 {
			err = coll.DictLimit(tx, w.o, w.limit, w.size, w.eviction)
		}
		return err
	}))
	w.current = cacheModel{entries: map[string]cacheEntry{}}
	w.settle()
	defer func() {
		if w.tx != nil {
			w.tx.Abort()
		}
		if err := space.Close(); err != nil {
			t.Error(err)
		}
	}()
	t.Repeat(map[string]func(*rapid.T){
		"store": w.store, "store again": w.store, "set": w.set, "insert": w.insert, "set many": w.setMany, "touch": w.touch,
		"del": w.del, "popitem": w.popItem, "clear": w.clear, "get": w.get, "due": w.due, "sweep": w.sweep,
		"ring": w.ring, "advance": w.advance, "begin": w.begin, "end": w.end, "": w.check,
	})
}

func TestCacheIsAMapWithEndsInMemory(t *testing.T) {
	alarms := coll.LimitCursors(t, 1<<20)
	rapid.Check(t, func(t *rapid.T) {
		space, err := memstore.New(memstore.Options{}).Open("cache", true)
		must(t, err)
		*alarms = nil
		(&cacheWorld{alarms: alarms}).run(t, space)
	})
}

func TestCacheIsAMapWithEndsInLMDB(t *testing.T) {
	alarms := coll.LimitCursors(t, 1<<20)
	root, round := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		round++
		backend := lmdbstore.New(filepath.Join(root, fmt.Sprint(round)), lmdbstore.Options{
			Profile: func(string) lmdbstore.Profile {
				return lmdbstore.Profile{Memory: true, NoSync: true, MapSize: 1 << 24}
			},
		})
		space, err := backend.Open("cache", true)
		must(t, err)
		*alarms = nil
		(&cacheWorld{alarms: alarms}).run(t, space)
	})
}
