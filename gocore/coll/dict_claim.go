package coll

import (
	"encoding/binary"
	"maps"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/owner"
	"parkit/gocore/store"
)

// A claim says that a process computes the value of a key. Others wait for the
// value on the dict's channel. A claim of a process that died is cleared away
// by those who wait, whom its death wakes, and they announce that on the
// channel: so whoever waits there, in whatever way, has only one thing to wait
// for.

// Claim is the answer of DictClaim.
type Claim int

const (
	ClaimThere  Claim = iota // the key has a value
	ClaimMine                // this process is to compute it
	ClaimOthers              // another process does
)

// DictClaim claims a key that has no value, in a transaction of its own. With
// ClaimThere the value is a copy. After ClaimOthers the channel moves when the
// value is there, or the claim is not any more.
//
// A claim is a process's: that of another thread of this one is ClaimMine too.
func DictClaim(o *object.Object, wait store.Wait, key []byte) (Claim, []byte, error) {
	mine, err := owner.Own(o.Space.Store())
	if err != nil {
		return 0, nil, err
	}
	var answer Claim
	var value []byte
	var holder owner.Token
	look := func(tx *object.Tx) (err error) {
		answer, value, holder, err = claimed(tx, o, key, mine)
		return err
	}
	// Who was woken in vain finds it out without the turn to write.
	tx, err := o.Space.Begin(store.Read, store.Wait{})
	if err != nil {
		return 0, nil, err
	}
	err = look(tx)
	tx.Abort()
	if err == nil && answer == ClaimMine {
		err = o.Space.Update(wait, func(tx *object.Tx) error {
			if err := look(tx); err != nil || answer != ClaimMine {
				return err
			}
			attendantOf(o).keep(key)
			dbkey := claimKey(o, key)
			_, err := tx.Put(dbkey, keys.SealPayload(dbkey, binary.LittleEndian.AppendUint64(nil, uint64(mine))))
			return err
		})
	}
	if err == nil && answer == ClaimOthers {
		attendantOf(o).watch(holder)
	}
	return answer, value, err
}

func claimed(tx *object.Tx, o *object.Object, key []byte, mine owner.Token) (Claim, []byte, owner.Token, error) {
	value, err := DictGet(tx, o, key)
	if err == nil {
		return ClaimThere, append([]byte{}, value...), 0, nil
	}
	if err != store.ErrNotFound {
		return 0, nil, 0, err
	}
	holder, err := claimHolder(tx, claimKey(o, key))
	if err != nil {
		return 0, nil, 0, err
	}
	if holder == 0 || holder == mine {
		return ClaimMine, nil, 0, nil
	}
	return ClaimOthers, nil, holder, nil
}

func claimKey(o *object.Object, key []byte) []byte {
	dbkey, _ := keys.AppendEntryKey(nil, o.Prefix, keys.TagClaim, key)
	return dbkey
}

// claimHolder is whose claim it is; 0 where there is none, or a damaged one.
func claimHolder(tx *object.Tx, dbkey []byte) (owner.Token, error) {
	record, err := tx.Get(dbkey)
	if err == store.ErrNotFound {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	payload, err := keys.OpenPayload(dbkey, record)
	if err != nil || len(payload) != 8 {
		return 0, nil
	}
	return owner.Token(binary.LittleEndian.Uint64(payload)), nil
}

// DictUnclaim gives up this process's claim on a key, and wakes who waits.
func DictUnclaim(tx *object.Tx, o *object.Object, key []byte) error {
	if _, err := tx.State(o); err != nil {
		return err
	}
	mine, err := owner.Own(o.Space.Store())
	if err != nil {
		return err
	}
	dbkey := claimKey(o, key)
	holder, err := claimHolder(tx, dbkey)
	if err != nil || holder != mine {
		return err
	}
	if _, err := tx.Del(dbkey); err != nil {
		return err
	}
	tx.Touch(o.Channel())
	return nil
}

// DictUnclaimSoon gives up this process's claim on a key, in a transaction of its
// own. It does not wait for the turn to write: where another has it, the claim
// goes when the turn is free, unless it was claimed again by then, or with this
// process.
func DictUnclaimSoon(o *object.Object, key []byte) error {
	err := o.Space.Update(store.Wait{}, func(tx *object.Tx) error { return DictUnclaim(tx, o, key) })
	if errs.Has(err, errs.WouldBlock) {
		attendantOf(o).letGo(string(key))
		return nil
	}
	return err
}

// letGo has a claim given up when the turn to write is free.
func (a *attendant) letGo(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.given == nil {
		a.given = make(map[string]uint64)
	}
	a.gifts++
	a.given[key] = a.gifts
	a.paused.Store(false)
	if !a.giving {
		a.giving = true
		go a.giveUp()
	}
}

// keep says that a key was claimed again. Call it with the turn to write.
func (a *attendant) keep(key []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.given, string(key))
}

// giveUp gives up the claims that letGo noted.
func (a *attendant) giveUp() {
	a.work.Lock()
	defer a.work.Unlock()
	for {
		a.mu.Lock()
		if a.paused.Load() {
			a.given = nil // the claims are this process's no more when the namespace is closed
		}
		a.giving = len(a.given) > 0
		more := a.giving
		a.mu.Unlock()
		if !more {
			return
		}
		var done map[string]uint64
		err := a.o.Space.Update(a.wait(), func(tx *object.Tx) error {
			a.mu.Lock()
			done = maps.Clone(a.given)
			a.mu.Unlock()
			for key := range done {
				if err := DictUnclaim(tx, a.o, []byte(key)); err != nil {
					return err
				}
			}
			return nil
		})
		if errs.Has(err, errs.LockTimeout) {
			continue // which was a wait
		}
		// After any other failure, as of a full disk, the claims end with the
		// process, or with the next value that it stores.
		a.mu.Lock()
		for key, gift := range a.given {
			if err != nil || done[key] == gift {
				delete(a.given, key)
			}
		}
		a.mu.Unlock()
	}
}

// watch has this process clear away the claims of a process when that dies.
func (a *attendant) watch(holder owner.Token) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watched[holder] != nil {
		return
	}
	if a.watched == nil {
		a.watched = make(map[owner.Token]func())
	}
	a.paused.Store(false)
	a.watched[holder] = owner.Watch(a.o.Space.Store(), holder, func() { a.bury(holder) })
}

// bury clears away the claims of a process that is dead. Claims are few: what
// is computed at the moment.
func (a *attendant) bury(holder owner.Token) {
	a.mu.Lock()
	delete(a.watched, holder)
	a.mu.Unlock()
	a.work.Lock()
	defer a.work.Unlock()
	if a.paused.Load() {
		return
	}
	for errs.Has(a.forget(holder), errs.LockTimeout) && !a.paused.Load() {
		// It was a wait. After any other failure who waits looks again in a while,
		// and watches again.
	}
}

// forget removes the claims of a process.
func (a *attendant) forget(holder owner.Token) error {
	return a.o.Space.Update(a.wait(), func(tx *object.Tx) error {
		r := store.Prefix(keys.AppendTag(nil, a.o.Prefix, keys.TagClaim))
		for batch := make([]store.Entry, sweepBatch); ; {
			n, err := tx.Scan(r, batch)
			if err != nil {
				return err
			}
			var theirs [][]byte
			for _, e := range batch[:n] {
				payload, err := keys.OpenPayload(e.Key, e.Value)
				if err == nil && len(payload) == 8 && binary.LittleEndian.Uint64(payload) == uint64(holder) {
					theirs = append(theirs, append([]byte(nil), e.Key...))
				}
			}
			more := n == len(batch)
			if more {
				r = r.Rest(batch[n-1].Key)
			}
			for _, key := range theirs {
				if _, err := tx.Del(key); err != nil {
					return err
				}
				tx.Touch(a.o.Channel())
			}
			if !more {
				return nil
			}
		}
	})
}
