package coll_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

func newQueue(t tb, backend store.Backend, limit int, flags uint32) (*object.Space, *object.Object) {
	t.Helper()
	space, o := newSequence(t, backend, object.KindQueue, limit)
	need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
		tx.SetFlags(o, flags, 0)
		return nil
	}))
	return space, o
}

type queued struct {
	rank  int
	value []byte
}

// Properties: a queue gives what was put, in its order, items of one rank as
// they came; it is full and empty when the model is, refuses what the model
// refuses, and a savepoint or transaction that is undone leaves no trace.
func TestQueueGivesWhatWasPutInOrder(t *testing.T) {
	for name, open := range backends(t) {
		for _, flags := range []uint32{0, object.FlagLifo, object.FlagRanked} {
			t.Run(fmt.Sprintf("%s/%d", name, flags), func(t *testing.T) {
				runtime.LockOSThread() // LMDB's write transactions belong to a thread
				defer runtime.UnlockOSThread()
				rapid.Check(t, func(t *rapid.T) { checkQueue(t, open(), flags) })
			})
		}
	}
}

type queueModel struct {
	items   []queued
	pending int
	shut    bool
}

func checkQueue(t *rapid.T, backend store.Backend, flags uint32) {
	limit := rapid.SampledFrom([]int{0, 1, 4}).Draw(t, "limit")
	space, o := newQueue(t, backend, limit, flags)
	defer func() { need(t, space.Close()) }()
	var m queueModel
	count := 0
	step := func(tx *object.Tx) {
		switch rapid.SampledFrom([]string{"put", "put", "put", "take", "take", "done", "clear", "shut"}).Draw(t, "step") {
		case "put":
			count++
			v := binary.BigEndian.AppendUint64(make([]byte, rapid.SampledFrom([]int{0, 9, 9000}).Draw(t, "size")), uint64(count))
			rank := 0
			var encoded []byte
			if flags == object.FlagRanked {
				rank = rapid.IntRange(-2, 2).Draw(t, "rank")
				var err error
				encoded, _, err = keys.EncodeKey(nil, keys.Tuple{rank})
				need(t, err)
			}
			err := coll.QueuePut(tx, o, encoded, v[:3], v[3:])
			switch {
			case m.shut:
				wants(t, err, coll.ErrQueueShut)
			case limit > 0 && len(m.items) >= limit:
				wants(t, err, coll.ErrQueueFull)
			default:
				need(t, err)
				at := len(m.items)
				if flags == object.FlagRanked {
					at = 0
					for at < len(m.items) && m.items[at].rank <= rank {
						at++
					}
				}
				m.items = slices.Insert(slices.Clone(m.items), at, queued{rank, v})
				m.pending++
			}
		case "take":
			taken, err := coll.QueueTake(tx, o, nil)
			v := taken.Value()
			switch {
			case len(m.items) == 0 && m.shut:
				wants(t, err, coll.ErrQueueShut)
			case len(m.items) == 0:
				wants(t, err, store.ErrNotFound)
			default:
				need(t, err)
				at := 0
				if flags == object.FlagLifo {
					at = len(m.items) - 1
				}
				if !bytes.Equal(v, m.items[at].value) {
					t.Fatalf("took %x, want %x", v, m.items[at].value)
				}
				m.items = slices.Delete(slices.Clone(m.items), at, at+1)
			}
		case "done":
			err := coll.QueueDone(tx, o)
			if m.pending == len(m.items) {
				wants(t, err, coll.ErrNothingPending)
			} else {
				need(t, err)
				m.pending--
			}
		case "clear":
			if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
				need(t, coll.QueueClear(tx, o))
				m.pending -= len(m.items)
				m.items = nil
			}
		case "shut":
			if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
				m.shut = !m.shut
				need(t, coll.QueueShut(tx, o, m.shut))
			}
		}
		state, err := tx.State(o)
		need(t, err)
		if int(state.Length) != len(m.items) || int(state.Pending) != m.pending {
			t.Fatalf("%+v, want %d items, %d pending", state, len(m.items), m.pending)
		}
	}
	for range rapid.IntRange(1, 12).Draw(t, "transactions") {
		before := m
		tx, err := space.Begin(store.Write, store.Wait{Timeout: -1})
		need(t, err)
		defer tx.Abort() // where the test fails
		for range rapid.IntRange(0, 6).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "nested") > 0 {
				step(tx)
				continue
			}
			inner := m
			need(t, tx.Savepoint())
			for range rapid.IntRange(0, 4).Draw(t, "inner") {
				step(tx)
			}
			if rapid.Bool().Draw(t, "keep inner") {
				need(t, tx.Release())
			} else {
				need(t, tx.Rollback())
				m = inner
			}
		}
		if rapid.Bool().Draw(t, "keep") {
			need(t, tx.Commit())
		} else {
			tx.Abort()
			m = before
		}
	}
}

func wants(t tb, err, want error) {
	t.Helper()
	if err != want {
		t.Fatalf("%v, want %v", err, want)
	}
}

// Properties: with several who put and several who take, at a bound, all items
// come out once, those of one producer in order, and everybody ends.
func TestWaitingOnAQueueLosesNoWakeUp(t *testing.T) {
	const producers, takers, each = 3, 4, 400
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			space, o := newQueue(t, open(), 2, 0)
			forever := store.Wait{Timeout: -1}
			var wg sync.WaitGroup
			for p := range producers {
				wg.Go(func() {
					for i := range each {
						if err := coll.QueuePutWait(o, forever, nil, []byte{byte(p)}, binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
							t.Error(err)
						}
					}
				})
			}
			var mu sync.Mutex
			seen := map[string]int{}
			for range takers {
				wg.Go(func() {
					last := map[byte]int{}
					for {
						taken, err := coll.QueueTakeWait(o, forever, nil)
						v := taken.Value()
						if err == coll.ErrQueueShut {
							return
						}
						if err != nil {
							t.Error(err)
							return
						}
						n := int(binary.BigEndian.Uint32(v[1:])) + 1
						if n <= last[v[0]] {
							t.Errorf("producer %d: %d after %d", v[0], n, last[v[0]])
						}
						last[v[0]] = n
						mu.Lock()
						seen[string(v)]++
						mu.Unlock()
						need(t, space.Update(forever, func(tx *object.Tx) error { return coll.QueueDone(tx, o) }))
					}
				})
			}
			for {
				mu.Lock()
				n := len(seen)
				mu.Unlock()
				if n == producers*each {
					break
				}
				channel := o.Channel()
				at := space.Store().Version(channel)
				_, _ = space.Store().WaitChange(t.Context(), channel, at, store.Wait{Timeout: 10 * time.Millisecond})
			}
			need(t, coll.QueueJoin(o, forever))
			need(t, space.Update(forever, func(tx *object.Tx) error { return coll.QueueShut(tx, o, true) }))
			wg.Wait()
			for item, n := range seen {
				if n != 1 {
					t.Errorf("%x came out %d times", item, n)
				}
			}
		})
	}
}

func TestAWaitOnAQueueRunsOut(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			space, o := newQueue(t, open(), 1, 0)
			short := store.Wait{Timeout: time.Millisecond}
			_, err := coll.QueueTakeWait(o, short, make([]byte, 0, 8))
			wants(t, err, store.ErrNotFound)
			need(t, coll.QueuePutWait(o, short, nil, []byte("a")))
			wants(t, coll.QueuePutWait(o, short, nil, []byte("b")), coll.ErrQueueFull)
			if err := coll.QueueJoin(o, short); !errs.Has(err, errs.Timeout) {
				t.Fatal(err)
			}
			stop := store.Wait{Timeout: -1, Interrupted: func() bool { return true }}
			if err := coll.QueueJoin(o, stop); !errs.Has(err, errs.Interrupted) {
				t.Fatal(err)
			}
			need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return tx.Drop(o) }))
			if _, err := coll.QueueTakeWait(o, short, make([]byte, 0, 8)); !errs.Has(err, errs.ObjectNotFound) {
				t.Fatal(err)
			}
		})
	}
}
