package coll

import (
	"bytes"
	"encoding/binary"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/owner"
	"parkit/gocore/store"
)

// A leased item is in the hands of a process until that says what became of it:
// QueueAck, QueueNack, QueueBury. If the process ends first, or the lease's time
// is over, the item comes back to the place where it was, so that it is taken
// before all that came after it; after State.Attempts leases it becomes a dead
// letter instead.
//
//	       QueueLease ──▶ leased ── QueueAck ──▶ done with
//	           ▲            │
//	 QueuePut ─┴─▶ queued ◀─┤ QueueNack, time over, owner dead
//	                 ▲      │    … for the last time, or QueueBury
//	 QueueRetryDead ─┴─ dead letter
//
// Each step is one transaction, so an item is in exactly one of these places
// whatever process dies when. Nobody moves items of leases that have ended but
// those who next want to know: who takes, waits or asks for the length (Reclaim).

// DefaultAttempts is how often an item is leased where nobody set another bound.
const DefaultAttempts = 10

// Why an item is a dead letter, where its holder does not say.
const (
	whyDied = "the process that held it ended"
	whyOver = "its lease was over"
)

// Lease names an item in somebody's hands.
type Lease struct {
	Owner    owner.Token
	ID       uint64
	Attempts uint64 // how often the item was leased, with this one
	Deadline int64  // wall clock, ns; 0 for none
}

// Terms are what a lease is given for: to whom, and for how long; zero is as
// long as the owner lives.
type Terms struct {
	Owner owner.Token
	For   time.Duration
}

func errLeaseLost(o *object.Object) error {
	return errs.New(errs.LeaseLost, "end lease", o.Name,
		"the item is not held by this lease any more: its time was over, it was settled already, or its process had ended; another one may have it")
}

// QueueLease takes the next item as QueueTake does, but by a lease.
func QueueLease(tx *object.Tx, o *object.Object, terms Terms, dst []byte) (Lease, []byte, error) {
	state, err := takeable(tx, o)
	if err != nil {
		return Lease{}, nil, err
	}
	dbkey, own, value, err := nextItem(tx, o, state, dst)
	if err != nil {
		return Lease{}, nil, err
	}
	attempts, own := keys.SplitAttempts(own)
	held := keys.Held{
		Attempts: attempts + 1,
		Place:    bytes.Clone(dbkey[len(o.Prefix):]),
		Own:      bytes.Clone(own),
		Value:    value,
	}
	lease := Lease{Owner: terms.Owner, ID: state.Next, Attempts: held.Attempts}
	if terms.For > 0 {
		lease.Deadline = o.Space.Store().Now().Add(terms.For).UnixNano()
	}
	if _, err := tx.Del(dbkey); err != nil {
		return Lease{}, nil, err
	}
	if err := putLease(tx, o, lease, &held); err != nil {
		return Lease{}, nil, tx.Fail(err)
	}
	tx.Alter(o, func(s *object.State) {
		withLeases(s)
		s.Length--
		s.Leased++
		s.Next++
	})
	return lease, value, nil
}

// withLeases prepares a state for leases.
func withLeases(s *object.State) {
	if s.Flags&object.FlagLeases == 0 {
		s.Flags |= object.FlagLeases
		s.Attempts = DefaultAttempts
	}
}

func putLease(tx *object.Tx, o *object.Object, lease Lease, held *keys.Held) error {
	held.Time = lease.Deadline
	if _, err := tx.PutEntry(keys.AppendLeaseKey(nil, o.Prefix, uint64(lease.Owner), lease.ID), nil, keys.AppendHeld(nil, held), held.Value); err != nil {
		return err
	}
	if lease.Deadline == 0 {
		return nil
	}
	_, err := tx.PutEntry(keys.AppendDeadlineKey(nil, o.Prefix, lease.Deadline, lease.ID), nil, binary.BigEndian.AppendUint64(nil, uint64(lease.Owner)))
	return err
}

// leaseOf is what a lease holds, in the transaction's memory; errs.LeaseLost for
// one that was settled.
func leaseOf(tx *object.Tx, o *object.Object, lease Lease) (keys.Held, error) {
	key := keys.AppendLeaseKey(nil, o.Prefix, uint64(lease.Owner), lease.ID)
	record, err := tx.Get(key)
	if err == store.ErrNotFound {
		return keys.Held{}, errLeaseLost(o)
	}
	if err != nil {
		return keys.Held{}, err
	}
	return keys.OpenHeld(key, record)
}

// valid is leaseOf for a lease that has not ended. One whose time is over may
// not be settled, though nobody may have taken note of it yet.
func valid(tx *object.Tx, o *object.Object, lease Lease) (keys.Held, error) {
	if _, err := tx.State(o); err != nil {
		return keys.Held{}, err
	}
	held, err := leaseOf(tx, o, lease)
	if err == nil && held.Time != 0 && held.Time <= o.Space.Store().Now().UnixNano() {
		err = errLeaseLost(o)
	}
	return held, err
}

// removeLease removes what putLease stored. If it is wanted any more, held is a
// copy afterwards.
func removeLease(tx *object.Tx, o *object.Object, lease Lease, held *keys.Held, wanted bool) error {
	if wanted {
		held.Place, held.Own, held.Value = bytes.Clone(held.Place), bytes.Clone(held.Own), bytes.Clone(held.Value)
	}
	if _, err := tx.Del(keys.AppendLeaseKey(nil, o.Prefix, uint64(lease.Owner), lease.ID)); err != nil {
		return err
	}
	if held.Time == 0 {
		return nil
	}
	if _, err := tx.Del(keys.AppendDeadlineKey(nil, o.Prefix, held.Time, lease.ID)); err != nil {
		return tx.Fail(err)
	}
	return nil
}

// takeBack ends a lease that is valid.
func takeBack(tx *object.Tx, o *object.Object, lease Lease) (keys.Held, error) {
	held, err := valid(tx, o, lease)
	if err == nil {
		err = removeLease(tx, o, lease, &held, true)
	}
	return held, err
}

// QueueAck says that a leased item is done with. Here and below a lease that
// does not hold its item any more is errs.LeaseLost, and nothing changes.
func QueueAck(tx *object.Tx, o *object.Object, lease Lease) error {
	held, err := valid(tx, o, lease)
	if err == nil {
		err = removeLease(tx, o, lease, &held, false)
	}
	if err != nil {
		return err
	}
	tx.Alter(o, func(s *object.State) {
		s.Leased--
		s.Pending--
	})
	return nil
}

// QueueNack gives a leased item back, to be taken again after a delay. It makes
// it a dead letter at once, with why, if that was the last attempt.
func QueueNack(tx *object.Tx, o *object.Object, lease Lease, delay time.Duration, why string) error {
	held, err := takeBack(tx, o, lease)
	if err != nil {
		return err
	}
	state, err := tx.State(o)
	if err != nil {
		return tx.Fail(err)
	}
	if spent(state, &held) {
		return bury(tx, o, &held, why)
	}
	if delay <= 0 {
		return restore(tx, o, &held)
	}
	parked := Lease{Owner: owner.Nobody, ID: lease.ID, Deadline: o.Space.Store().Now().Add(delay).UnixNano()}
	if err := putLease(tx, o, parked, &held); err != nil {
		return tx.Fail(err)
	}
	tx.Changed(o, 0)
	return nil
}

// QueueUnlease gives a leased item back as if it had not been taken.
func QueueUnlease(tx *object.Tx, o *object.Object, lease Lease) error {
	held, err := takeBack(tx, o, lease)
	if err != nil {
		return err
	}
	held.Attempts--
	return restore(tx, o, &held)
}

// QueueUnleaseAll is QueueUnlease for all items that are in somebody's hands,
// of a copy of a queue: they are held of the original. What waits for its time
// goes on to wait.
func QueueUnleaseAll(tx *object.Tx, o *object.Object) error {
	state, err := tx.State(o)
	if err != nil || state.Leased == 0 {
		return err
	}
	begin := keys.AppendTag(nil, o.Prefix, keys.TagLease)
	r := store.Prefix(begin)
	r.KeysOnly = true
	for {
		var one [1]store.Entry
		n, err := tx.Scan(r, one[:])
		if err != nil || n == 0 {
			return err
		}
		r = r.Rest(one[0].Key)
		holder, _, id, ok := keys.SplitLeaseKey(one[0].Key[len(begin):])
		if !ok || holder == 0 || owner.Token(holder) == owner.Nobody {
			continue
		}
		err = QueueUnlease(tx, o, Lease{Owner: owner.Token(holder), ID: id})
		if err != nil && !errs.Has(err, errs.LeaseLost) { // whose time is over comes back by itself
			return err
		}
	}
}

// QueueBury makes a leased item a dead letter.
func QueueBury(tx *object.Tx, o *object.Object, lease Lease, why string) error {
	held, err := takeBack(tx, o, lease)
	if err != nil {
		return err
	}
	return bury(tx, o, &held, why)
}

// QueueExtend has a lease end after a time from now, zero for with its owner
// only, and returns it as it is then.
func QueueExtend(tx *object.Tx, o *object.Object, lease Lease, hold time.Duration) (Lease, error) {
	held, err := takeBack(tx, o, lease)
	if err != nil {
		return lease, err
	}
	lease.Deadline = 0
	if hold > 0 {
		lease.Deadline = o.Space.Store().Now().Add(hold).UnixNano()
	}
	if err := putLease(tx, o, lease, &held); err != nil {
		return lease, tx.Fail(err)
	}
	tx.Changed(o, 0)
	return lease, nil
}

// QueueAttempts sets how often an item may be leased; 0 is no bound.
func QueueAttempts(tx *object.Tx, o *object.Object, attempts uint64) error {
	if _, err := tx.State(o); err != nil {
		return err
	}
	tx.Alter(o, func(s *object.State) {
		withLeases(s)
		s.Attempts = attempts
	})
	return nil
}

func spent(state *object.State, held *keys.Held) bool {
	return state.Attempts > 0 && held.Attempts >= state.Attempts
}

// restore puts an item that was leased back to its place.
func restore(tx *object.Tx, o *object.Object, held *keys.Held) error {
	if err := putAt(tx, o, held.Place, keys.AppendAttempts(held.Attempts, held.Own), held.Value); err != nil {
		return err
	}
	tx.Alter(o, func(s *object.State) {
		s.Length++
		s.Leased--
	})
	return nil
}

// bury puts an item that was leased to the dead letters.
func bury(tx *object.Tx, o *object.Object, held *keys.Held, why string) error {
	state, err := tx.State(o)
	if err != nil {
		return tx.Fail(err)
	}
	held.Why, held.Time = why, o.Space.Store().Now().UnixNano()
	if _, err := tx.PutEntry(keys.AppendItemKey(nil, o.Prefix, keys.TagDead, state.Next), nil, keys.AppendHeld(nil, held), held.Value); err != nil {
		return tx.Fail(err)
	}
	tx.Alter(o, func(s *object.State) {
		s.Leased--
		s.Pending--
		s.Dead++
		s.Next++
	})
	return nil
}

// Reclaim gives back the items of leases that have ended. A damaged one among
// them is errs.Corrupt.
func Reclaim(tx *object.Tx, o *object.Object) error {
	state, err := tx.State(o)
	if err != nil {
		return err
	}
	given := 0
	_, _, err = walk(tx, o, func(lease Lease, why string) (bool, error) {
		given++
		held, err := leaseOf(tx, o, lease)
		if err == nil {
			err = removeLease(tx, o, lease, &held, true)
		}
		switch {
		case errs.Has(err, errs.LeaseLost): // only its deadline is there
			return false, lost(keys.AppendLeaseKey(nil, o.Prefix, uint64(lease.Owner), lease.ID))
		case err != nil:
			return false, err
		case lease.Owner != owner.Nobody && spent(state, &held):
			return true, bury(tx, o, &held, why)
		}
		return true, restore(tx, o, &held)
	})
	if err != nil && given > 0 {
		return tx.Fail(err)
	}
	return err
}

// Reclaimable reports whether Reclaim would have something to do.
func Reclaimable(tx *object.Tx, o *object.Object) (bool, error) {
	found, err := survey(tx, o)
	return found.ended, err
}

// outlook is what the leases of a queue say about its future.
type outlook struct {
	ended  bool          // one has ended: the rest is not known
	next   int64         // deadline, wall clock, ns; 0 for none
	owners []owner.Token // who hold items
}

func survey(tx *object.Tx, o *object.Object) (found outlook, err error) {
	found.next, found.owners, err = walk(tx, o, func(Lease, string) (bool, error) {
		found.ended = true
		return false, nil
	})
	return found, err
}

// walk calls ended for each lease that has: it removes the lease and returns
// true, or returns false to end the walk. Of those that have not, it returns
// the next deadline and the owners. It looks at one deadline and one lease of
// each owner that lives.
func walk(tx *object.Tx, o *object.Object, ended func(lease Lease, why string) (bool, error)) (next int64, owners []owner.Token, err error) {
	space := o.Space.Store()
	now := space.Now().UnixNano()
	r := store.Prefix(keys.AppendTag(nil, o.Prefix, keys.TagLease))
	for {
		var one [1]store.Entry
		n, err := tx.Scan(r, one[:])
		if err != nil || n == 0 {
			return next, owners, err
		}
		key := one[0].Key
		raw, deadline, id, ok := keys.SplitLeaseKey(key[len(o.Prefix)+1:])
		if !ok {
			return next, owners, errs.New(errs.Corrupt, "read", keys.Describe(key), "no lease has such a key; check the namespace")
		}
		token, why := owner.Token(raw), whyDied
		over := false
		if raw == 0 {
			if over = deadline <= now; over {
				_, _, value, err := keys.Open(key, one[0].Value)
				if err == nil && len(value) != 8 {
					err = lost(key)
				}
				if err != nil {
					return next, owners, err
				}
				token, why = owner.Token(binary.BigEndian.Uint64(value)), whyOver
			} else {
				next = deadline
			}
		} else if token != owner.Nobody {
			alive, err := owner.Alive(space, token)
			if err != nil {
				return next, owners, err
			}
			if over = !alive; alive {
				owners = append(owners, token)
			}
		}
		if !over { // to the next owner
			if token == owner.Nobody {
				return next, owners, nil
			}
			r.Lo = keys.AppendLeaseKey(nil, o.Prefix, raw+1, 0)
			continue
		}
		more, err := ended(Lease{Owner: token, ID: id}, why)
		if err != nil || !more {
			return next, owners, err
		}
	}
}
