package coll_test

import (
	"testing"
	"time"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// Whoever follows an array is woken by an append, told when none comes, and
// when there is nothing to wait for any more.
func TestWaitingForItemsOfAnArray(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			space, o := newSequence(t, open(), object.KindArray, 0)
			defer func() { need(t, space.Close()) }()
			if err := coll.ArrayWait(o, store.Wait{Timeout: time.Millisecond}, 0); !errs.Has(err, errs.Timeout) {
				t.Fatalf("nothing was appended: %v", err)
			}
			for position := range uint64(20) {
				woken := make(chan error)
				go func() { woken <- coll.ArrayWait(o, store.Wait{Timeout: -1}, position) }()
				need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return coll.ArrayAppend(tx, o, []byte("x")) }))
				need(t, <-woken)
			}
			// One that was popped and one that came instead: the wait is for the
			// position, which is the same again.
			need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
				if _, err := coll.ArrayPop(tx, o, true); err != nil {
					return err
				}
				return coll.ArrayAppend(tx, o, []byte("y"))
			}))
			if err := coll.ArrayWait(o, store.Wait{Timeout: time.Millisecond}, 20); !errs.Has(err, errs.Timeout) {
				t.Fatalf("the position is the same: %v", err)
			}
			gone := make(chan error)
			go func() { gone <- coll.ArrayWait(o, store.Wait{Timeout: -1}, 20) }()
			need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return tx.Drop(o) }))
			if err := <-gone; !errs.Has(err, errs.ObjectNotFound) {
				t.Fatalf("the array was dropped: %v", err)
			}
		})
	}
}

func TestLengthOfASliceIsWhatItsCursorGives(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			space, o := newSequence(t, open(), object.KindArray, 0)
			defer func() { need(t, space.Close()) }()
			need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return coll.ArrayExtend(tx, o, items(7, 3)) }))
			state, err := o.PeekState()
			need(t, err)
			for start := int64(-9); start < 10; start++ {
				for stop := int64(-9); stop < 10; stop++ {
					for _, step := range []int64{1, -1, 2, -3, 1<<63 - 1} {
						s := coll.Slice{Start: start, Stop: stop, Step: step}
						c, err := coll.NewArrayCursor(o, nil, s)
						need(t, err)
						if got, want := coll.ArraySliceLength(&state, s), len(unpackValues(t, c)); got != int64(want) {
							t.Fatalf("%+v: %d, and has %d items", s, got, want)
						}
					}
				}
			}
			for _, step := range []int64{0, -1 << 63} {
				if _, err := coll.NewArrayCursor(o, nil, coll.Slice{Step: step}); !errs.Has(err, errs.InvalidArgument) {
					t.Errorf("step %d: %v", step, err)
				}
			}
		})
	}
}

// Every operation of a dropped array or queue says that it was dropped.
func TestNothingCanBeDoneWithWhatWasDropped(t *testing.T) {
	for name, open := range backends(t) {
		for _, op := range sequenceOps() {
			t.Run(name+"/"+op.name, func(t *testing.T) {
				space, o := op.made(t, open())
				defer func() { need(t, space.Close()) }()
				need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return tx.Drop(o) }))
				before := dump(t, space)
				run := func(tx *object.Tx) error { return op.run(tx, o) }
				if err := space.Update(store.Wait{Timeout: -1}, run); !errs.Has(err, errs.ObjectNotFound) {
					t.Errorf("the answer is %v", err)
				}
				sameContent(t, "afterwards", dump(t, space), before)
			})
		}
	}
}

func TestACursorOfADroppedArrayIsRefused(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			space, o := newSequence(t, open(), object.KindArray, 0)
			defer func() { need(t, space.Close()) }()
			need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return tx.Drop(o) }))
			if _, err := coll.NewArrayCursor(o, nil, coll.Everything); !errs.Has(err, errs.ObjectNotFound) {
				t.Errorf("cursor: %v", err)
			}
			if _, _, err := coll.NewArrayTail(o, nil, 0); !errs.Has(err, errs.ObjectNotFound) {
				t.Errorf("tail: %v", err)
			}
			stats, err := space.Store().Stats()
			need(t, err)
			if stats.OldestRead != 0 {
				t.Errorf("a transaction is open for %v", stats.OldestRead)
			}
		})
	}
}

// The bound of a queue may be lowered below what it holds: nothing is lost, and
// there is room when it was taken from.
func TestTheBoundOfAQueueCanBeLowered(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			space, o := newQueue(t, open(), 0, 0)
			defer func() { need(t, space.Close()) }()
			need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
				for rank := range 4 {
					need(t, putItem(tx, o, 0, rank, "item"))
				}
				need(t, coll.QueueLimit(tx, o, 2))
				wants(t, putItem(tx, o, 0, 0, "one too many"), coll.ErrQueueFull)
				return nil
			}))
			room := make(chan error)
			go func() { room <- coll.QueuePutWait(o, store.Wait{Timeout: -1}, nil, []byte("late")) }()
			for range 3 {
				_, err := coll.QueueTakeWait(o, store.Wait{Timeout: -1}, nil)
				need(t, err)
			}
			need(t, <-room)
			state, err := o.PeekState()
			need(t, err)
			if state.Length != 2 || state.Limit != 2 {
				t.Errorf("state %+v", state)
			}
		})
	}
}
