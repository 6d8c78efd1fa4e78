package coll_test

import (
	"sync"
	"testing"
	"time"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/owner"
	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
)

// Properties: who waits is woken by the death of an owner and by a deadline,
// without anybody writing, and gets the item that came back, in its place.
func TestWhoWaitsGetsWhatComesBack(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			space, o := newQueue(t, open(), 0, 0)
			forever := store.Wait{Timeout: -1}
			update := func(fn func(*object.Tx) error) {
				t.Helper()
				need(t, space.Update(forever, fn))
			}
			for i := range 2 {
				update(func(tx *object.Tx) error { return coll.QueuePut(tx, o, nil, []byte{byte(i)}) })
			}
			h := newHand(t, space)
			lease := func(hold time.Duration) (l coll.Lease) {
				t.Helper()
				l, _, err := coll.QueueLeaseWait(o, forever, coll.Terms{Owner: h.token, For: hold}, nil)
				need(t, err)
				return l
			}
			lease(0)
			lease(0)
			got := make(chan byte, 3)
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					taken, err := coll.QueueTakeWait(o, forever, nil)
					if err != nil {
						t.Error(err)
						return
					}
					got <- taken.Value()[0]
				})
			}
			if _, err := coll.QueueTakeWait(o, store.Wait{Timeout: time.Millisecond}, nil); err != store.ErrNotFound {
				t.Fatal("an item that is held was given away:", err)
			}
			h.dies(t)
			wg.Wait()
			if a, b := <-got, <-got; a+b != 1 {
				t.Fatal(a, b)
			}
			// A deadline ends a wait too, and the last attempt ends one for the
			// queue to be done with.
			update(func(tx *object.Tx) error { return coll.QueueAttempts(tx, o, 2) })
			update(func(tx *object.Tx) error {
				for range 2 {
					need(t, coll.QueueDone(tx, o))
				}
				return coll.QueuePut(tx, o, nil, []byte{7})
			})
			h = newHand(t, space)
			first := lease(time.Millisecond)
			second := lease(0)
			if first.Attempts != 1 || second.Attempts != 2 {
				t.Fatal(first, second)
			}
			if err := space.Update(forever, func(tx *object.Tx) error { return coll.QueueAck(tx, o, first) }); !errs.Has(err, errs.LeaseLost) {
				t.Fatal("a lease that was over settled the item of another one:", err)
			}
			joined := make(chan error, 1)
			go func() { joined <- coll.QueueJoin(o, forever) }()
			h.dies(t)
			need(t, <-joined)
			update(func(tx *object.Tx) error {
				letters, err := coll.QueueDead(tx, o, 0, 2)
				if len(letters) != 1 || letters[0].Attempts != 2 {
					t.Errorf("dead letters: %+v", letters)
				}
				return err
			})
			if _, err := coll.QueueTakeWait(o, store.Wait{Timeout: time.Millisecond}, nil); err != store.ErrNotFound {
				t.Fatal(err)
			}
			need(t, space.Close())
		})
	}
}

// A taker that finds only an item that had its last attempt makes it a dead
// letter, and that stays although there is nothing to take.
func TestAnEmptyTakeKeepsTheDeadLettersItMade(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			space, o := newQueue(t, open(), 0, 0)
			forever := store.Wait{Timeout: -1}
			h := newHand(t, space)
			need(t, space.Update(forever, func(tx *object.Tx) error {
				need(t, coll.QueueAttempts(tx, o, 1))
				need(t, coll.QueuePut(tx, o, nil, []byte{1}))
				_, _, err := coll.QueueLease(tx, o, coll.Terms{Owner: h.token}, nil)
				return err
			}))
			h.dies(t)
			wants(t, coll.Updated(o, forever, func(tx *object.Tx) error {
				_, err := coll.QueueTake(tx, o, nil)
				return err
			}), store.ErrNotFound)
			state, err := o.PeekState()
			need(t, err)
			if state.Dead != 1 || state.Leased != 0 || state.Pending != 0 {
				t.Fatalf("%+v", state)
			}
			need(t, space.Close())
		})
	}
}

// After a reboot nobody who held anything lives.
func TestAfterARebootEverythingLeasedIsBack(t *testing.T) {
	backend := memstore.New(memstore.Options{Durable: true})
	_, o := newQueue(t, backend, 0, 0)
	forever := store.Wait{Timeout: -1}
	token, err := owner.Own(o.Space.Store())
	need(t, err)
	for i := range 3 {
		need(t, coll.QueuePutWait(o, forever, nil, []byte{byte(i)}))
	}
	for range 2 {
		_, _, err := coll.QueueLeaseWait(o, forever, coll.Terms{Owner: token, For: time.Hour}, nil)
		need(t, err)
	}
	backend.Crash(memstore.LoseUnsynced)
	raw, err := backend.Open("arrays", false)
	need(t, err)
	space, err := object.Open(raw, "arrays")
	need(t, err)
	again := space.Object(o.ID, o.Name)
	for i := range 3 {
		taken, err := coll.QueueTakeWait(again, store.Wait{}, nil)
		need(t, err)
		if taken.Value()[0] != byte(i) {
			t.Fatalf("took %d, want %d", taken.Value()[0], i)
		}
	}
	need(t, space.Close())
}

// Who waits for any change of a queue hears of a death too, where somebody
// attends to it; and the attendant ends with the leases, and with the space.
func TestAnAttendantTellsOfDeathsToThoseWhoOnlyWaitForAChange(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			space, o := newQueue(t, open(), 0, 0)
			forever := store.Wait{Timeout: -1}
			need(t, coll.QueueAttend(o)) // there is nothing to do
			for round := range 3 {
				h := newHand(t, space)
				need(t, space.Update(forever, func(tx *object.Tx) error { return coll.QueuePut(tx, o, nil, []byte{1}) }))
				_, _, err := coll.QueueLeaseWait(o, forever, coll.Terms{Owner: h.token}, nil)
				need(t, err)
				seen := space.Store().Version(o.Channel())
				need(t, coll.QueueAttend(o))
				need(t, coll.QueueAttend(o))
				if round == 2 {
					break // it runs when the space is closed
				}
				h.dies(t)
				if _, err := space.Store().WaitChange(t.Context(), o.Channel(), seen, store.Wait{Timeout: 20 * time.Second}); err != nil {
					t.Fatal(err)
				}
				if _, err := coll.QueueTakeWait(o, store.Wait{}, nil); err != nil {
					t.Fatal(err)
				}
			}
			need(t, space.Close())
			if err := coll.QueueAttend(o); !errs.Has(err, errs.Stale) {
				t.Error(err)
			}
		})
	}
}
