package coll_test

import (
	"bytes"
	"math"
	"runtime"
	"testing"

	"pgregory.net/rapid"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// fileModel is a file beside a slice of what it should hold. Properties: every
// operation answers as the slice does, inside and outside of transactions,
// before and after savepoints are rolled back; the content is the same read at
// once, in parts and in place; what is refused changes nothing.
type fileModel struct {
	space *object.Space
	o     *object.Object
	chunk int
	piece int
	tx    *object.Tx
	held  []byte
	stack [][]byte
	count byte
}

func newFile(t tb, backend store.Backend, chunk int) (*object.Space, *object.Object) {
	t.Helper()
	space, o := newSequence(t, backend, object.KindFile, chunk)
	return space, o
}

func (m *fileModel) update(fn func(tx *object.Tx) error) error {
	if m.tx != nil {
		return fn(m.tx)
	}
	return m.space.Update(store.Wait{Timeout: -1}, fn)
}

func (m *fileModel) look(t *rapid.T, fn func(tx *object.Tx)) {
	if m.tx != nil {
		fn(m.tx)
		return
	}
	tx, err := m.space.Begin(store.Read, store.Wait{})
	need(t, err)
	defer tx.Abort()
	fn(tx)
}

// size is a size around the bounds of chunks.
func (m *fileModel) size(t *rapid.T, label string) int {
	chunks := rapid.IntRange(0, 4).Draw(t, label+" in chunks")
	return max(0, chunks*m.chunk+rapid.IntRange(-2, 2).Draw(t, label+" beside"))
}

// place is an offset around the bounds of chunks, of the first part and of the
// file.
func (m *fileModel) place(t *rapid.T) int {
	switch rapid.IntRange(0, 2).Draw(t, "near") {
	case 0:
		return max(0, len(m.held)+rapid.IntRange(-3, 3).Draw(t, "from the end"))
	case 1:
		return rapid.IntRange(0, len(m.held)).Draw(t, "inside")
	}
	return m.size(t, "offset")
}

func (m *fileModel) data(t *rapid.T) []byte {
	m.count++
	data := make([]byte, m.size(t, "data"))
	for i := range data {
		data[i] = m.count + byte(i*7)
	}
	return data
}

// write is what a slice does.
func (m *fileModel) write(offset int, data []byte) {
	if len(data) == 0 {
		return
	}
	held := append([]byte(nil), m.held...)
	if grown := offset + len(data); grown > len(held) {
		held = append(held, make([]byte, grown-len(held))...)
	}
	copy(held[offset:], data)
	m.held = held
}

func (m *fileModel) check(t *rapid.T) {
	m.look(t, func(tx *object.Tx) {
		state, err := tx.State(m.o)
		need(t, err)
		if state.Length != uint64(len(m.held)) {
			t.Fatalf("size %d, want %d", state.Length, len(m.held))
		}
		dst := bytes.Repeat([]byte{0xEE}, len(m.held)+3)
		n, size, err := coll.FileRead(tx, m.o, 0, dst)
		need(t, err)
		if n != len(m.held) || size != int64(n) || !bytes.Equal(dst[:n], m.held) {
			t.Fatalf("read %d of %d bytes, want %d; equal: %v", n, size, len(m.held), bytes.Equal(dst[:n], m.held))
		}
		view, ok, err := coll.FileView(tx, m.o)
		need(t, err)
		if ok && !bytes.Equal(view, m.held) {
			t.Fatalf("the view is of %d bytes, want %d", len(view), len(m.held))
		}
	})
}

func (m *fileModel) steps() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": m.check,
		"write": func(t *rapid.T) {
			offset, data := m.place(t), m.data(t)
			var end int64
			need(t, m.update(func(tx *object.Tx) (err error) {
				end, err = coll.FileWrite(tx, m.o, int64(offset), data, false)
				return err
			}))
			if end != int64(offset+len(data)) {
				t.Fatalf("end %d, want %d", end, offset+len(data))
			}
			m.write(offset, data)
		},
		"append": func(t *rapid.T) {
			data := m.data(t)
			var end int64
			need(t, m.update(func(tx *object.Tx) (err error) {
				end, err = coll.FileWrite(tx, m.o, -1, data, false)
				return err
			}))
			m.write(len(m.held), data)
			if end != int64(len(m.held)) {
				t.Fatalf("end %d, want %d", end, len(m.held))
			}
		},
		"write anew": func(t *rapid.T) {
			offset, data := rapid.IntRange(-1, 3).Draw(t, "offset"), m.data(t)
			need(t, m.update(func(tx *object.Tx) error {
				_, err := coll.FileWrite(tx, m.o, int64(offset), data, true)
				return err
			}))
			m.held = nil
			m.write(max(offset, 0), data)
		},
		"truncate": func(t *rapid.T) {
			size := m.place(t)
			need(t, m.update(func(tx *object.Tx) error { return coll.FileTruncate(tx, m.o, int64(size)) }))
			m.held = append(append([]byte(nil), m.held[:min(size, len(m.held))]...), make([]byte, max(0, size-len(m.held)))...)
		},
		"set": func(t *rapid.T) {
			data := m.data(t)
			need(t, m.update(func(tx *object.Tx) error { return coll.FileSet(tx, m.o, data) }))
			m.held = data
			m.look(t, func(tx *object.Tx) {
				if _, ok, err := coll.FileView(tx, m.o); ok != (len(data) <= max(m.piece, m.chunk)) || err != nil {
					t.Fatalf("%d bytes that were set are in one piece: %v, %v", len(data), ok, err)
				}
			})
		},
		"read a part": func(t *rapid.T) {
			offset, dst := m.place(t), make([]byte, m.size(t, "read"))
			m.look(t, func(tx *object.Tx) {
				n, _, err := coll.FileRead(tx, m.o, int64(offset), dst)
				need(t, err)
				want := m.held[min(offset, len(m.held)):]
				want = want[:min(len(want), len(dst))]
				if !bytes.Equal(dst[:n], want) {
					t.Fatalf("%d bytes from %d on, want %d; or other ones", n, offset, len(want))
				}
			})
		},
		"refused": func(t *rapid.T) {
			offset := rapid.SampledFrom([]int64{-2, math.MinInt64, coll.MaxFile, math.MaxInt64, math.MaxInt64 - 1}).Draw(t, "offset")
			write := m.update(func(tx *object.Tx) error {
				_, err := coll.FileWrite(tx, m.o, offset, []byte("xx"), offset%2 == 0)
				return err
			})
			truncate := m.update(func(tx *object.Tx) error { return coll.FileTruncate(tx, m.o, offset|1) })
			for _, err := range []error{write, truncate} {
				if !errs.Has(err, errs.InvalidArgument) && !errs.Has(err, errs.TooBig) {
					t.Fatalf("offset %d: %v", offset, err)
				}
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
			m.stack = append(m.stack, m.held)
		},
		"end": func(t *rapid.T) {
			if m.tx == nil {
				t.Skip()
			}
			keep := rapid.Bool().Draw(t, "keep")
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
				m.held = m.stack[len(m.stack)-1]
			}
			m.stack = m.stack[:len(m.stack)-1]
		},
	}
}

func TestAFileHoldsWhatASliceDoes(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			runtime.LockOSThread() // LMDB's write transactions belong to a thread
			defer runtime.UnlockOSThread()
			rapid.Check(t, func(t *rapid.T) {
				m := &fileModel{chunk: rapid.SampledFrom([]int{4, 7, 100, 5000}).Draw(t, "chunk")}
				m.piece = rapid.SampledFrom([]int{1 << 30, 1 << 30, 5 * m.chunk / 2}).Draw(t, "piece")
				defer coll.LimitPieces(int64(m.piece))()
				m.space, m.o = newFile(t, open(), m.chunk)
				defer func() {
					if m.tx != nil {
						m.tx.Abort()
					}
					need(t, m.space.Close())
				}()
				t.Repeat(m.steps())
			})
		})
	}
}
