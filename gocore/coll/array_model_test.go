package coll_test

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"parkit/gocore/coll"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
	"parkit/gocore/store/memstore"
)

// arrayModel is an array beside a slice of what it should hold. Properties:
// every operation answers as the slice does, inside and outside of
// transactions, before and after savepoints are rolled back; a full array
// holds the last items; positions go on rising past those that were dropped.
type arrayModel struct {
	space   *object.Space
	o       *object.Object
	limit   int
	tx      *object.Tx
	items   [][]byte
	stack   [][][]byte // items at begin and at each savepoint
	counter int
}

func newSequence(t tb, backend store.Backend, kind object.Kind, limit int) (*object.Space, *object.Object) {
	t.Helper()
	raw, err := backend.Open("arrays", true)
	need(t, err)
	space, err := object.Open(raw, "arrays")
	need(t, err)
	var o *object.Object
	need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) (err error) {
		if o, _, err = space.Create(tx, object.Descriptor{Kind: kind, Versioned: true}); err != nil {
			return err
		}
		return tx.SetLimit(o, uint64(limit))
	}))
	return space, o
}

type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

func need(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

func (m *arrayModel) update(t *rapid.T, fn func(tx *object.Tx) error) error {
	if m.tx != nil {
		return fn(m.tx)
	}
	return m.space.Update(store.Wait{Timeout: -1}, fn)
}

func (m *arrayModel) look(t *rapid.T, fn func(tx *object.Tx)) {
	if m.tx != nil {
		fn(m.tx)
		return
	}
	tx, err := m.space.Begin(store.Read, store.Wait{})
	need(t, err)
	defer tx.Abort()
	fn(tx)
}

func (m *arrayModel) value(t *rapid.T) []byte {
	m.counter++
	n := rapid.SampledFrom([]int{4, 4, 4, 40, 700, 20000}).Draw(t, "size")
	value := bytes.Repeat([]byte{byte(m.counter)}, n)
	binary.BigEndian.PutUint32(value, uint32(m.counter))
	return value
}

func (m *arrayModel) added(values ...[]byte) {
	m.items = append(slices.Clip(m.items), values...)
	if m.limit > 0 && len(m.items) > m.limit {
		m.items = m.items[len(m.items)-m.limit:]
	}
}

// python is what Python's list gives for a slice.
func (m *arrayModel) python(s coll.Slice) (picked [][]byte) {
	for i := range int64(len(m.items)) {
		at := i
		if s.Step < 0 {
			at = int64(len(m.items)) - 1 - i
		}
		start, stop := s.Start, s.Stop
		if start < 0 {
			start += int64(len(m.items))
		}
		if stop < 0 {
			stop += int64(len(m.items))
		}
		if s.Step > 0 {
			start = max(start, 0)
			if at >= start && at < stop && (at-start)%s.Step == 0 {
				picked = append(picked, m.items[at])
			}
		} else {
			start = min(start, int64(len(m.items))-1)
			stop = max(stop, -1)
			if s.Stop < 0 && s.Stop < -int64(len(m.items)) {
				stop = -1
			}
			if at <= start && at > stop && (start-at)%-s.Step == 0 {
				picked = append(picked, m.items[at])
			}
		}
	}
	return picked
}

func unpackValues(t tb, c *coll.Cursor) (values [][]byte) {
	t.Helper()
	defer c.Close()
	for {
		packed, last, err := c.Next()
		need(t, err)
		for len(packed) > 0 {
			n := binary.NativeEndian.Uint32(packed[8:])
			values = append(values, bytes.Clone(packed[12:12+n]))
			packed = packed[12+n:]
		}
		if last {
			return values
		}
	}
}

func (m *arrayModel) steps() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": func(t *rapid.T) {
			m.look(t, func(tx *object.Tx) {
				state, err := tx.State(m.o)
				need(t, err)
				if state.Length != uint64(len(m.items)) {
					t.Fatalf("length %d, want %d", state.Length, len(m.items))
				}
			})
		},
		"append": func(t *rapid.T) {
			v := m.value(t)
			need(t, m.update(t, func(tx *object.Tx) error { return coll.ArrayAppend(tx, m.o, v[:2], v[2:]) }))
			m.added(v)
		},
		"extend": func(t *rapid.T) {
			var values [][]byte
			var items []coll.Item
			for range rapid.SampledFrom([]int{0, 1, 2, 5, 30, 600}).Draw(t, "n") {
				m.counter++
				v := binary.BigEndian.AppendUint32(nil, uint32(m.counter))
				if rapid.IntRange(0, 99).Draw(t, "large") == 0 {
					v = append(v, make([]byte, 30000)...)
				}
				values = append(values, v)
				items = append(items, coll.Item{Head: v[:1], Value: v[1:]})
			}
			need(t, m.update(t, func(tx *object.Tx) error { return coll.ArrayExtend(tx, m.o, items) }))
			m.added(values...)
		},
		"pop": func(t *rapid.T) {
			last := rapid.Bool().Draw(t, "last")
			var got []byte
			err := m.update(t, func(tx *object.Tx) error {
				taken, err := coll.ArrayPop(tx, m.o, last)
				got = taken.Value()
				return err
			})
			if len(m.items) == 0 {
				if err != store.ErrNotFound {
					t.Fatalf("pop of an empty array: %v", err)
				}
				return
			}
			need(t, err)
			at := 0
			if last {
				at = len(m.items) - 1
			}
			if !bytes.Equal(got, m.items[at]) {
				t.Fatalf("pop %x, want %x", got, m.items[at])
			}
			m.items = slices.Delete(slices.Clone(m.items), at, at+1)
		},
		"index": func(t *rapid.T) {
			i := rapid.IntRange(-len(m.items)-2, len(m.items)+2).Draw(t, "i")
			at := i
			if i < 0 {
				at += len(m.items)
			}
			there := at >= 0 && at < len(m.items)
			if rapid.Bool().Draw(t, "set") {
				v := m.value(t)
				err := m.update(t, func(tx *object.Tx) error { return coll.ArraySet(tx, m.o, int64(i), v) })
				if there {
					need(t, err)
					m.items = slices.Clone(m.items)
					m.items[at] = v
				} else if err != store.ErrNotFound {
					t.Fatalf("set %d of %d: %v", i, len(m.items), err)
				}
				return
			}
			m.look(t, func(tx *object.Tx) {
				got, err := coll.ArrayGet(tx, m.o, int64(i))
				if !there {
					if err != store.ErrNotFound {
						t.Fatalf("get %d of %d: %v", i, len(m.items), err)
					}
					return
				}
				need(t, err)
				if !bytes.Equal(got, m.items[at]) {
					t.Fatalf("get %d: %x, want %x", i, got, m.items[at])
				}
			})
		},
		"slice": func(t *rapid.T) {
			near := rapid.IntRange(-len(m.items)-3, len(m.items)+3)
			s := coll.Slice{
				Start: int64(near.Draw(t, "start")), Stop: int64(near.Draw(t, "stop")),
				Step: rapid.SampledFrom([]int64{1, -1, 2, -3, 7, -1 << 40, 1<<63 - 1}).Draw(t, "step"),
			}
			c, err := coll.NewArrayCursor(m.o, m.tx, s)
			need(t, err)
			got, want := unpackValues(t, c), m.python(s)
			if !slices.EqualFunc(got, want, bytes.Equal) {
				t.Fatalf("slice %v of %d: %d items, want %d", s, len(m.items), len(got), len(want))
			}
		},
		"tail": func(t *rapid.T) {
			m.look(t, func(tx *object.Tx) {
				state, err := tx.State(m.o)
				need(t, err)
				first := int(state.Next) - len(m.items)
				position := max(0, rapid.IntRange(first-3, int(state.Next)+3).Draw(t, "position"))
				c, next, err := coll.NewArrayTail(m.o, tx, uint64(position))
				need(t, err)
				want := m.items[min(max(position-first, 0), len(m.items)):]
				if got := unpackValues(t, c); next != state.Next || !slices.EqualFunc(got, want, bytes.Equal) {
					t.Fatalf("tail from %d: %d items up to %d, want %d up to %d", position, len(got), next, len(want), state.Next)
				}
			})
		},
		"clear": func(t *rapid.T) {
			if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
				need(t, m.update(t, func(tx *object.Tx) error { return coll.ArrayClear(tx, m.o) }))
				m.items = nil
			}
		},
		"begin or mark": func(t *rapid.T) {
			if m.tx == nil {
				tx, err := m.space.Begin(store.Write, store.Wait{Timeout: -1})
				need(t, err)
				m.tx = tx
			} else {
				need(t, m.tx.Savepoint())
			}
			m.stack = append(m.stack, m.items)
		},
		"end": func(t *rapid.T) {
			if m.tx == nil {
				t.Skip()
			}
			keep := rapid.Bool().Draw(t, "keep")
			m.end(t, keep)
		},
	}
}

func (m *arrayModel) end(t *rapid.T, keep bool) {
	switch {
	case len(m.stack) > 1 && keep:
		need(t, m.tx.Release())
	case len(m.stack) > 1:
		need(t, m.tx.Rollback())
	case keep:
		need(t, m.tx.Commit())
		m.tx = nil
	default:
		m.tx.Abort()
		m.tx = nil
	}
	if !keep {
		m.items = m.stack[len(m.stack)-1]
	}
	m.stack = m.stack[:len(m.stack)-1]
}

func backends(t *testing.T) map[string]func() store.Backend {
	return map[string]func() store.Backend{
		"memstore": func() store.Backend { return memstore.New(memstore.Options{RerunUpdates: true}) },
		"lmdbstore": func() store.Backend {
			return lmdbstore.New(filepath.Join(t.TempDir(), "ns"), lmdbstore.Options{
				Profile: func(string) lmdbstore.Profile { return lmdbstore.Profile{Memory: true} },
			})
		},
	}
}

func TestArrayDoesWhatASliceDoes(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			runtime.LockOSThread() // LMDB's write transactions belong to a thread
			defer runtime.UnlockOSThread()
			rapid.Check(t, func(t *rapid.T) {
				m := &arrayModel{limit: rapid.SampledFrom([]int{0, 0, 1, 3, 100}).Draw(t, "limit")}
				m.space, m.o = newSequence(t, open(), object.KindArray, m.limit)
				defer func() {
					for m.tx != nil {
						m.tx.Abort()
						m.tx = nil
					}
					need(t, m.space.Close())
				}()
				t.Repeat(m.steps())
			})
		})
	}
}
