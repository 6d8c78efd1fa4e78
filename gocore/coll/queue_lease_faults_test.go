package coll_test

import (
	"fmt"
	"testing"
	"time"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// leased is a queue of three items, of which there are besides: two leased, one of
// them with a deadline, by somebody who can die; and two dead letters.
type leasedQueue struct {
	space  *object.Space
	o      *object.Object
	hand   *hand
	leases []coll.Lease
}

func newLeased(t tb, backend store.Backend, flags uint32) leasedQueue {
	t.Helper()
	space, o := newQueue(t, backend, 0, flags)
	q := leasedQueue{space: space, o: o, hand: newHand(t, space)}
	need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
		q.leases = nil
		if err := coll.QueueAttempts(tx, o, 2); err != nil {
			return err
		}
		for rank := range 7 {
			if err := putItem(tx, o, flags, rank, fmt.Sprint("item ", rank)); err != nil {
				return err
			}
		}
		for i := range 4 {
			lease, _, err := coll.QueueLease(tx, o, coll.Terms{Owner: q.hand.token, For: time.Duration(i%2) * time.Hour}, nil)
			if err != nil {
				return err
			}
			if i < 2 {
				err = coll.QueueBury(tx, o, lease, "bad")
			} else {
				q.leases = append(q.leases, lease)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}))
	return q
}

func TestWhicheverCallOfTheStoreFailsALeaseIsAsBefore(t *testing.T) {
	type run = func(q leasedQueue, tx *object.Tx) error
	settle := func(settle func(*object.Tx, *object.Object, coll.Lease) error) run {
		return func(q leasedQueue, tx *object.Tx) error { return settle(tx, q.o, q.leases[1]) }
	}
	for name, run := range map[string]run{
		"lease": func(q leasedQueue, tx *object.Tx) error {
			_, _, err := coll.QueueLease(tx, q.o, coll.Terms{Owner: q.hand.token, For: time.Hour}, nil)
			return err
		},
		"ack":     settle(coll.QueueAck),
		"unlease": settle(coll.QueueUnlease),
		"nack": settle(func(tx *object.Tx, o *object.Object, l coll.Lease) error {
			return coll.QueueNack(tx, o, l, 0, "tried")
		}),
		"nack for later": settle(func(tx *object.Tx, o *object.Object, l coll.Lease) error {
			return coll.QueueNack(tx, o, l, time.Hour, "tried")
		}),
		"bury": settle(func(tx *object.Tx, o *object.Object, l coll.Lease) error {
			return coll.QueueBury(tx, o, l, "bad")
		}),
		"extend": settle(func(tx *object.Tx, o *object.Object, l coll.Lease) error {
			_, err := coll.QueueExtend(tx, o, l, time.Minute)
			return err
		}),
		"attempts":  func(q leasedQueue, tx *object.Tx) error { return coll.QueueAttempts(tx, q.o, 7) },
		"blocking":  func(q leasedQueue, tx *object.Tx) error { return coll.QueueBlocking(tx, q.o, false) },
		"retry all": func(q leasedQueue, tx *object.Tx) error { _, err := coll.QueueRetryAllDead(tx, q.o); return err },
		"forget":    func(q leasedQueue, tx *object.Tx) error { _, err := coll.QueueClearDead(tx, q.o, 0); return err },
		"reclaim": func(q leasedQueue, tx *object.Tx) error {
			if !q.hand.dead {
				return errs.New(errs.Internal, "test", "", "nobody died")
			}
			return coll.Reclaim(tx, q.o)
		},
	} {
		for backend, open := range backends(t) {
			for _, flags := range []uint32{0, object.FlagRanked} {
				t.Run(fmt.Sprintf("%s/%s/%x", backend, name, flags), func(t *testing.T) {
					trap := &trap{}
					q := newLeased(t, trappedBackend{open(), trap}, flags)
					defer func() { need(t, q.space.Close()) }()
					if name == "reclaim" {
						q.hand.dies(t)
					}
					checkEachCall(t, q.space, trap, func(tx *object.Tx) error { return run(q, tx) })
				})
			}
		}
	}
}

// A damaged record of a lease is named by all who need it, and stays: nobody gets
// the item of another one, and nobody waits for ever.
func TestADamagedLeaseIsNamed(t *testing.T) {
	for backend, open := range backends(t) {
		t.Run(backend, func(t *testing.T) {
			forever := store.Wait{Timeout: -1}
			q := newLeased(t, open(), 0)
			lease := q.leases[0]
			spoil(t, q.space, keys.AppendLeaseKey(nil, q.o.Prefix, uint64(lease.Owner), lease.ID), false)
			damaged := func(what string, err error) {
				t.Helper()
				if !errs.Has(err, errs.Corrupt) {
					t.Errorf("%s: %v", what, err)
				}
			}
			damaged("ack", q.space.Update(forever, func(tx *object.Tx) error { return coll.QueueAck(tx, q.o, lease) }))
			q.hand.dies(t)
			damaged("reclaim", q.space.Update(forever, func(tx *object.Tx) error { return coll.Reclaim(tx, q.o) }))
			_, err := coll.QueueTakeWait(q.o, forever, nil)
			damaged("take", err)
			need(t, q.space.Close())
		})
		t.Run(backend+"/dead letter", func(t *testing.T) {
			q := newLeased(t, open(), 0)
			need(t, q.space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
				letters, err := coll.QueueDead(tx, q.o, 0, 1)
				if err != nil {
					return err
				}
				key := keys.AppendItemKey(nil, q.o.Prefix, keys.TagDead, letters[0].ID)
				held := keys.Held{Place: []byte{keys.TagRank, 1}}
				_, err = tx.PutEntry(key, nil, keys.AppendHeld(nil, &held))
				return err
			}))
			err := q.space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
				_, err := coll.QueueRetryAllDead(tx, q.o)
				return err
			})
			if !errs.Has(err, errs.Corrupt) {
				t.Error(err)
			}
			need(t, q.space.Close())
		})
	}
}
