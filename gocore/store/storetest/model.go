package storetest

import (
	"bytes"
	"maps"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

var modelTests = []test{
	{"RandomUseAgreesWithAMap", func(t *testing.T, b store.Backend) {
		// A write transaction spans many steps, all on this thread.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		space := openSpace(t, b)
		rapid.Check(t, func(rt *rapid.T) {
			clearSpace(rt, space)
			m := &machine{space: space, committed: map[string]string{}}
			defer m.endAll()
			rt.Repeat(map[string]func(*rapid.T){
				"":            m.compare,
				"begin write": m.beginWrite,
				"begin read":  m.beginRead,
				"end read":    m.endRead,
				"put":         m.put,
				"put many":    m.putMany,
				"reserve":     m.reserve,
				"del":         m.del,
				"del range":   m.delRange,
				"take first":  m.takeFirst,
				"savepoint":   m.savepoint,
				"rollback":    m.rollback,
				"release":     m.release,
				"commit":      m.commit,
				"abort":       m.abort,
				"peek":        m.peek,
			})
		})
	}},
}

// machine is a space in use, beside what maps say it must hold.
type machine struct {
	space     store.Space
	committed map[string]string

	writer  store.Txn
	working map[string]string   // what the writer sees
	saved   []map[string]string // working at each open savepoint, oldest first

	readers []reader
}

type reader struct {
	txn    store.Txn
	frozen map[string]string
}

var (
	// Few keys, so that they meet: short ones with the extremes among their
	// bytes, and long ones, of which a page holds seven.
	keyGen = rapid.Custom(func(t *rapid.T) []byte {
		key := rapid.SliceOfN(rapid.SampledFrom([]byte("\x00ab\xff")), 1, 3).Draw(t, "key")
		if rapid.IntRange(0, 9).Draw(t, "long") == 0 {
			key = append(bytes.Repeat([]byte("b"), store.MaxKey-len(key)), key...)
		}
		return key
	})
	// Mostly short values, some of half a page or of several.
	valueGen = rapid.Custom(func(t *rapid.T) []byte {
		n := rapid.SampledFrom([]int{0, 1, 3, 20, 20, 1500, 2500, 9000}).Draw(t, "length")
		return bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, n)
	})
	rangeGen = rapid.Custom(func(t *rapid.T) store.Range {
		r := store.Range{Reverse: rapid.Bool().Draw(t, "reverse")}
		if rapid.Bool().Draw(t, "bounded below") {
			r.Lo = keyGen.Draw(t, "lo")
		}
		if rapid.Bool().Draw(t, "bounded above") {
			r.Hi = keyGen.Draw(t, "hi")
		}
		return r
	})
)

func (m *machine) endAll() {
	if m.writer != nil {
		m.writer.Abort()
	}
	for _, r := range m.readers {
		r.txn.Abort()
	}
}

// compare holds every open transaction against its map, after every step.
func (m *machine) compare(t *rapid.T) {
	if m.writer != nil {
		compareTxn(t, "the writer", m.writer, m.working)
	}
	for _, r := range m.readers {
		compareTxn(t, "a reader", r.txn, r.frozen)
	}
}

func compareTxn(t *rapid.T, who string, txn store.Txn, want map[string]string) {
	r := rangeGen.Draw(t, "range to compare")
	got := scanAll(t, txn, r, rapid.IntRange(1, 9).Draw(t, "batch"))
	keys := inRange(want, r)
	if len(got) != len(keys) {
		t.Fatalf("%s sees %d entries of %+v, want %d", who, len(got), r, len(keys))
	}
	for i, e := range got {
		if string(e.Key) != keys[i] || string(e.Value) != want[keys[i]] {
			t.Fatalf("%s sees %s=%s as entry %d of %+v, want %s=%s", who, brief(e.Key), brief(e.Value),
				i, r, brief([]byte(keys[i])), brief([]byte(want[keys[i]])))
		}
	}
	key := keyGen.Draw(t, "key to compare")
	value, err := txn.Get(key)
	if expected, there := want[string(key)]; there {
		ok(t, err)
		sameBytes(t, who+"'s value", value, []byte(expected))
	} else {
		missing(t, err)
	}
}

// inRange lists the keys of r in its direction.
func inRange(content map[string]string, r store.Range) []string {
	var keys []string
	for key := range content {
		if key >= string(r.Lo) && (len(r.Hi) == 0 || key < string(r.Hi)) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	if r.Reverse {
		slices.Reverse(keys)
	}
	return keys
}

// needWriter skips a step that has no writer, mostly by making one.
func (m *machine) needWriter(t *rapid.T) store.Txn {
	if m.writer == nil {
		m.beginWrite(t)
	}
	return m.writer
}

func (m *machine) beginWrite(t *rapid.T) {
	if m.writer != nil {
		t.Skip("a writer is open")
	}
	txn, err := m.space.Begin(store.Write, store.Wait{})
	ok(t, err)
	m.writer, m.working, m.saved = txn, maps.Clone(m.committed), nil
}

func (m *machine) beginRead(t *rapid.T) {
	if len(m.readers) == 3 {
		t.Skip("enough readers are open")
	}
	txn, err := m.space.Begin(store.Read, store.Wait{})
	ok(t, err)
	m.readers = append(m.readers, reader{txn: txn, frozen: m.committed}) // which is never changed in place
}

func (m *machine) endRead(t *rapid.T) {
	if len(m.readers) == 0 {
		t.Skip("no reader is open")
	}
	i := rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader")
	m.readers[i].txn.Abort()
	m.readers = slices.Delete(m.readers, i, i+1)
}

func (m *machine) put(t *rapid.T) {
	txn := m.needWriter(t)
	key, value := keyGen.Draw(t, "key"), valueGen.Draw(t, "value")
	_, there := m.working[string(key)]
	fresh, err := txn.Put(key, value)
	ok(t, err)
	equal(t, "fresh", fresh, !there)
	m.working[string(key)] = string(value)
}

func (m *machine) putMany(t *rapid.T) {
	txn := m.needWriter(t)
	var entries []store.Entry
	want := 0
	for range rapid.IntRange(0, 8).Draw(t, "entries") {
		e := store.Entry{Key: keyGen.Draw(t, "key"), Value: valueGen.Draw(t, "value")}
		entries = append(entries, e)
		if _, there := m.working[string(e.Key)]; !there {
			want++
		}
		m.working[string(e.Key)] = string(e.Value)
	}
	fresh, err := txn.PutMany(entries)
	ok(t, err)
	equal(t, "fresh", fresh, want)
}

func (m *machine) reserve(t *rapid.T) {
	txn := m.needWriter(t)
	key, value := keyGen.Draw(t, "key"), valueGen.Draw(t, "value")
	_, there := m.working[string(key)]
	memory, fresh, err := txn.Reserve(key, len(value))
	ok(t, err)
	equal(t, "fresh", fresh, !there)
	equal(t, "length", copy(memory, value), len(value))
	equal(t, "length", len(memory), len(value))
	m.working[string(key)] = string(value)
}

func (m *machine) del(t *rapid.T) {
	txn := m.needWriter(t)
	key := keyGen.Draw(t, "key")
	_, there := m.working[string(key)]
	was, err := txn.Del(key)
	ok(t, err)
	equal(t, "was there", was, there)
	delete(m.working, string(key))
}

func (m *machine) delRange(t *rapid.T) {
	txn := m.needWriter(t)
	r := rangeGen.Draw(t, "range")
	keys := inRange(m.working, r)
	n, err := txn.DelRange(r)
	ok(t, err)
	equal(t, "count", n, len(keys))
	for _, key := range keys {
		delete(m.working, key)
	}
}

func (m *machine) takeFirst(t *rapid.T) {
	txn := m.needWriter(t)
	r := rangeGen.Draw(t, "range")
	keys := inRange(m.working, r)
	e, err := txn.TakeFirst(r)
	if len(keys) == 0 {
		missing(t, err)
		return
	}
	ok(t, err)
	sameBytes(t, "key", e.Key, []byte(keys[0]))
	sameBytes(t, "value", e.Value, []byte(m.working[keys[0]]))
	delete(m.working, keys[0])
}

func (m *machine) savepoint(t *rapid.T) {
	ok(t, m.needWriter(t).Savepoint())
	m.saved = append(m.saved, maps.Clone(m.working))
}

func (m *machine) rollback(t *rapid.T) {
	txn := m.needWriter(t)
	if len(m.saved) == 0 {
		fails(t, txn.Rollback(), errs.BadTransaction)
		return
	}
	ok(t, txn.Rollback())
	m.working = m.saved[len(m.saved)-1]
	m.saved = m.saved[:len(m.saved)-1]
}

func (m *machine) release(t *rapid.T) {
	txn := m.needWriter(t)
	if len(m.saved) == 0 {
		fails(t, txn.Release(), errs.BadTransaction)
		return
	}
	ok(t, txn.Release())
	m.saved = m.saved[:len(m.saved)-1]
}

func (m *machine) commit(t *rapid.T) {
	ok(t, m.needWriter(t).Commit())
	m.committed = m.working
	m.writer, m.working, m.saved = nil, nil, nil
}

func (m *machine) abort(t *rapid.T) {
	m.needWriter(t).Abort()
	m.writer, m.working, m.saved = nil, nil, nil
}

func (m *machine) peek(t *rapid.T) {
	key := keyGen.Draw(t, "key")
	value, pin, err := m.space.Peek(key, make([]byte, 0, 100))
	want, there := m.committed[string(key)]
	if !there {
		missing(t, err)
		return
	}
	ok(t, err)
	sameBytes(t, "value", value, []byte(want))
	equal(t, "pinned", pin != nil, len(want) > 100)
	if pin != nil {
		pin.Abort()
	}
}
