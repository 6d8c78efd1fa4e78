package parkit_go

/*
#include "lane.h"
*/
import "C"

import (
	"time"

	"parkit/gocore/coll"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// dueOf is when what lasts for ttl ns from now ends; 0 for a negative ttl, which
// is none.
func dueOf(o *object.Object, ttl C.int64_t) int64 {
	if ttl < 0 {
		return 0
	}
	return o.Space.Store().Now().Add(time.Duration(ttl)).UnixNano()
}

// expiring runs a write that gives an entry an end, and sees to it.
func expiring(handle C.int64_t, scopes *C.pk_scopes, ttl C.int64_t, wait *C.pk_wait, words *C.pk_words, change func(tx *object.Tx, o *object.Object, due int64) error) C.int {
	var due int64
	rc := written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		due = dueOf(o, ttl)
		return change(tx, o, due)
	})
	if o, ok := objects.at(int64(handle)); ok && rc == C.PK_OK && due != 0 {
		coll.DictExpires(o.Object, due)
	}
	return rc
}

// pkDictStore sets an entry with an end; how is a coll.StoreHow.
//
//export pkDictStore
func pkDictStore(handle C.int64_t, scopes *C.pk_scopes, e *C.pk_entry, ttl C.int64_t, how C.int, stored *C.int, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write dict", words, &rc)
	return expiring(handle, scopes, ttl, wait, words, func(tx *object.Tx, o *object.Object, due int64) error {
		entry := coll.DictEntry{Key: bytesOf(e.key, e.keylen), Own: bytesOf(e.own, e.ownlen), Head: bytesOf(e.head, e.headlen), Value: bytesOf(e.body, e.bodylen)}
		done, err := coll.DictStore(tx, o, entry, due, coll.StoreHow(how))
		*stored = 0
		if done {
			*stored = 1
		}
		return err
	})
}

//export pkDictTouch
func pkDictTouch(handle C.int64_t, scopes *C.pk_scopes, key *C.uchar, n C.size_t, ttl C.int64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write dict", words, &rc)
	return expiring(handle, scopes, ttl, wait, words, func(tx *object.Tx, o *object.Object, due int64) error {
		return coll.DictTouch(tx, o, bytesOf(key, n), due)
	})
}

//export pkDictDue
func pkDictDue(handle C.int64_t, scopes *C.pk_scopes, key *C.uchar, n C.size_t, due *C.int64_t, words *C.pk_words) (rc C.int) {
	defer guarded("read dict", words, &rc)
	return read(handle, scopes, words, func(tx *object.Tx, o *object.Object) error {
		found, err := coll.DictDue(tx, o, bytesOf(key, n))
		*due = C.int64_t(found)
		return err
	})
}

// pkDictSweep removes some of the entries that have ended, and says whether
// there are more.
//
//export pkDictSweep
func pkDictSweep(handle C.int64_t, scopes *C.pk_scopes, count *C.uint64_t, more *C.int, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("sweep dict", words, &rc)
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		n, others, err := coll.DictSweep(tx, o)
		*count, *more = C.uint64_t(n), 0
		if others {
			*more = 1
		}
		return err
	})
}

// pkDictSize is what a dict takes and may take.
//
//export pkDictSize
func pkDictSize(handle C.int64_t, scopes *C.pk_scopes, volume, entries, most, eviction *C.uint64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("measure dict", words, &rc)
	if volume != nil && wait == nil {
		return C.PK_AGAIN // it may look at every entry: let other threads run meanwhile
	}
	return read(handle, scopes, words, func(tx *object.Tx, o *object.Object) error {
		state, err := tx.State(o)
		if err != nil {
			return err
		}
		*entries, *most, *eviction = C.uint64_t(state.Limit), C.uint64_t(state.MostBytes), C.uint64_t(state.Eviction)
		if volume == nil {
			return nil
		}
		total, err := coll.DictVolume(tx, o)
		*volume = C.uint64_t(total)
		return err
	})
}

// pkDictClaim claims a key; the answer is a coll.Claim. It may write, so that
// it wants to be called without the GIL where that waits.
//
//export pkDictClaim
func pkDictClaim(handle C.int64_t, key *C.uchar, n C.size_t, answer *C.int, got *C.pk_got, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("claim", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if wait == nil {
		return C.PK_AGAIN
	}
	if panicked.Load() != nil {
		return failed(refusal("claim"), words)
	}
	claim, value, err := coll.DictClaim(o.Object, waitOf(wait), bytesOf(key, n))
	*answer = C.int(claim)
	if err == nil && claim == coll.ClaimThere {
		copied(got, value)
	}
	return failed(err, words)
}

// pkDictUnclaim gives up a claim. It does not wait for the turn to write: who
// was interrupted waits no more.
//
//export pkDictUnclaim
func pkDictUnclaim(handle C.int64_t, scopes *C.pk_scopes, key *C.uchar, n C.size_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("end claim", words, &rc)
	o, ok := objects.at(int64(handle))
	if !ok {
		return C.PK_STALE
	}
	if panicked.Load() != nil {
		return failed(refusal("end claim"), words)
	}
	if tx := txIn(scopes, o.space); tx != nil && tx.Mode() == store.Write {
		return failed(coll.DictUnclaim(tx, o.Object, bytesOf(key, n)), words)
	}
	if wait == nil && o.Space.Store().Durable() {
		return C.PK_AGAIN // it will wait for a flush
	}
	return failed(coll.DictUnclaimSoon(o.Object, bytesOf(key, n)), words)
}

// pkDictIncr adds to a value; plain is 0 where that is Python's to do.
//
//export pkDictIncr
func pkDictIncr(handle C.int64_t, scopes *C.pk_scopes, e *C.pk_entry, plain *C.int, got *C.pk_got, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("count in dict", words, &rc)
	var sum []byte
	*plain = 1
	rc = written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) (err error) {
		sum, err = coll.DictIncr(tx, o, bytesOf(e.key, e.keylen), bytesOf(e.own, e.ownlen), bytesOf(e.head, e.headlen), bytesOf(e.body, e.bodylen))
		if err == coll.ErrNotPlain {
			*plain = 0
			return store.ErrNotFound // which has no words, and undoes nothing
		}
		return err
	})
	if rc == C.PK_OK {
		copied(got, sum)
	}
	return rc
}
