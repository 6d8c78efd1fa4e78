package coll_test

import (
	"testing"
	"time"

	"parkit/gocore/coll"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
)

// newCache makes a dict with a clock of its own, in a space whose backend can
// be made to fail.
func newCache(t *testing.T, entries, size, eviction uint64) (*memstore.Backend, *clocked, *object.Object) {
	t.Helper()
	backend := memstore.New(memstore.Options{})
	raw, err := backend.Open("n", true)
	must(t, err)
	clock := &clocked{raw, began}
	space, err := object.Open(clock, "n")
	must(t, err)
	t.Cleanup(func() { must(t, space.Close()) })
	var o *object.Object
	update(t, space, func(tx *object.Tx) error {
		o, _, err = space.Create(tx, object.Descriptor{Name: "c", Kind: object.KindDict, Versioned: true})
		if err == nil && entries+size > 0 {
			err = coll.DictLimit(tx, o, entries, size, eviction)
		}
		return err
	})
	return backend, clock, o
}

// keep stores a value that lasts for ttl, 0 for ever.
func keep(t *testing.T, clock *clocked, o *object.Object, key string, ttl int64) {
	t.Helper()
	due := int64(0)
	if ttl > 0 {
		due = clock.now + ttl
	}
	encoded, own := encode(t, key)
	update(t, o.Space, func(tx *object.Tx) error {
		_, err := coll.DictStore(tx, o, coll.DictEntry{Key: encoded, Own: own, Value: []byte("v")}, due, coll.StoreSet)
		return err
	})
	if due != 0 {
		coll.DictExpires(o, due)
	}
}

func length(t *testing.T, o *object.Object) uint64 {
	t.Helper()
	state, err := o.PeekState()
	must(t, err)
	return state.Length
}

func TestTheTimerIsSetToTheEarliestEnd(t *testing.T) {
	alarms := coll.LimitCursors(t, 1<<20)
	_, clock, o := newCache(t, 0, 0, 0)
	keep(t, clock, o, "late", 500)
	keep(t, clock, o, "early", 200)
	keep(t, clock, o, "between", 300)
	if n := len(*alarms); n != 2 || !(*alarms)[0].Stopped || (*alarms)[1].After != 200 {
		t.Fatalf("%d alarms, the second %+v", n, (*alarms)[1])
	}
	clock.now += 300
	(*alarms)[1].Ring()
	if n := length(t, o); n != 1 {
		t.Fatalf("%d entries are left", n)
	}
	if last := (*alarms)[len(*alarms)-1]; len(*alarms) != 3 || last.After != 200 {
		t.Fatalf("the next alarm is %+v", last)
	}
}

func TestAnEndThatIsNotCommittedYetIsNotForgotten(t *testing.T) {
	alarms := coll.LimitCursors(t, 1<<20)
	_, clock, o := newCache(t, 0, 0, 0)
	encoded, _ := encode(t, "k")
	tx, err := o.Space.Begin(store.Write, store.Wait{Timeout: -1})
	must(t, err)
	_, err = coll.DictStore(tx, o, coll.DictEntry{Key: encoded, Value: []byte("v")}, clock.now+10, coll.StoreSet)
	must(t, err)
	coll.DictExpires(o, clock.now+10)
	clock.now += 10
	rung := make(chan struct{})
	go func() {
		defer close(rung)
		(*alarms)[0].Ring() // it waits for the turn
	}()
	must(t, tx.Commit())
	<-rung
	if n := length(t, o); n != 0 {
		t.Fatalf("%d entries are left", n)
	}
}

func TestWhoBindsLooksALittleLater(t *testing.T) {
	alarms := coll.LimitCursors(t, 1<<20)
	_, clock, o := newCache(t, 0, 0, 0)
	keep(t, clock, o, "k", 100)
	other := o.Space.Object(o.ID, o.Name) // as another process has it
	state, err := other.PeekState()
	must(t, err)
	coll.DictAttend(other, &state)
	if last := (*alarms)[1]; last.After != 100+25*time.Millisecond {
		t.Fatalf("it is set to %v", last.After)
	}
	// It finds nothing to do: no write is made.
	clock.now += 100
	(*alarms)[0].Ring()
	before, err := o.Space.Store().Stats()
	must(t, err)
	(*alarms)[1].Ring()
	if after, err := o.Space.Store().Stats(); err != nil || after.LastCommit != before.LastCommit {
		t.Fatalf("commit %d after %d, %v", after.LastCommit, before.LastCommit, err)
	}
}

func TestUsesAreWrittenAfterAWhile(t *testing.T) {
	alarms := coll.LimitCursors(t, 1<<20)
	_, clock, o := newCache(t, 2, 0, coll.EvictUsed)
	keep(t, clock, o, "a", 0)
	keep(t, clock, o, "b", 0)
	clock.now += 1000
	encoded, _ := encode(t, "a")
	_, pin, err := coll.DictPeek(o, encoded, make([]byte, 0, 100), false)
	if must(t, err); pin != nil {
		pin.Abort()
	}
	version := func() uint64 {
		state, err := o.PeekState()
		must(t, err)
		return state.Version
	}
	before := version()
	if len(*alarms) != 1 || (*alarms)[0].After != time.Second {
		t.Fatalf("alarms: %+v", *alarms)
	}
	(*alarms)[0].Ring()
	if after := version(); after != before {
		t.Fatalf("noting a use counts as a change: %d after %d", after, before)
	}
	// Another process knows what was written only.
	other := o.Space.Object(o.ID, o.Name)
	clock.now += 1000
	keep(t, clock, other, "c", 0)
	has := func(key string) bool {
		encoded, _ := encode(t, key)
		_, pin, err := coll.DictPeek(o, encoded, make([]byte, 0, 100), false)
		if pin != nil {
			pin.Abort()
		}
		return err == nil
	}
	if !has("a") || has("b") || !has("c") {
		t.Fatalf("a %v, b %v, c %v", has("a"), has("b"), has("c"))
	}
}

// inUse makes a cache that is full of two entries, and reads the older one.
func inUse(t *testing.T) (*[]*coll.Alarm, *clocked, *object.Object) {
	t.Helper()
	alarms := coll.LimitCursors(t, 1<<20)
	_, clock, o := newCache(t, 2, 0, coll.EvictUsed)
	keep(t, clock, o, "a", 0)
	keep(t, clock, o, "b", 0)
	clock.now += 1000
	if !reads(t, o, "a") {
		t.Fatal("it is not there")
	}
	return alarms, clock, o
}

func reads(t *testing.T, o *object.Object, key string) bool {
	t.Helper()
	encoded, _ := encode(t, key)
	_, pin, err := coll.DictPeek(o, encoded, make([]byte, 0, 100), false)
	if pin != nil {
		pin.Abort()
	}
	return err == nil
}

// givesWay stores one more as another process does, and reports which of the
// two gave way.
func givesWay(t *testing.T, clock *clocked, o *object.Object) string {
	t.Helper()
	other := o.Space.Object(o.ID, o.Name)
	clock.now += 1000
	keep(t, clock, other, "c", 0)
	a, b := reads(t, other, "a"), reads(t, other, "b")
	if a == b {
		t.Fatalf("a %v, b %v", a, b)
	}
	if a {
		return "b"
	}
	return "a"
}

func TestUsesAreWrittenAtTheEnd(t *testing.T) {
	_, clock, o := inUse(t)
	o.Space.Settle(time.Now().Add(time.Minute))
	if gone := givesWay(t, clock, o); gone != "b" {
		t.Fatalf("%s gave way", gone)
	}
}

func TestTheEndDoesNotWaitForTheTurnToWrite(t *testing.T) {
	_, clock, o := inUse(t)
	tx, err := o.Space.Begin(store.Write, store.Wait{Timeout: -1})
	must(t, err)
	settled := make(chan struct{})
	go func() {
		o.Space.Settle(time.Now().Add(20 * time.Millisecond))
		close(settled)
	}()
	select {
	case <-settled:
	case <-time.After(20 * time.Second):
		t.Fatal("it waits")
	}
	tx.Abort()
	if gone := givesWay(t, clock, o); gone != "a" {
		t.Fatalf("%s gave way", gone)
	}
}

func TestTheEndDoesNotWaitForWhatWaitsForTheTurnToWrite(t *testing.T) {
	alarms, clock, o := inUse(t)
	tx, err := o.Space.Begin(store.Write, store.Wait{Timeout: -1})
	must(t, err)
	written := make(chan struct{})
	go func() {
		(*alarms)[0].Ring()
		close(written)
	}()
	o.Space.Settle(time.Now().Add(20 * time.Millisecond))
	tx.Abort()
	<-written
	// Nothing holds it up from then on.
	clock.now += 1000
	reads(t, o, "a")
	o.Space.Settle(time.Now().Add(time.Minute))
	if gone := givesWay(t, clock, o); gone != "b" {
		t.Fatalf("%s gave way", gone)
	}
}

func TestADamagedEntryOfACacheIsHealedAndGivesWay(t *testing.T) {
	coll.LimitCursors(t, 1<<20)
	backend, clock, o := newCache(t, 2, 0, coll.EvictUsed)
	damage := func(key string) {
		encoded, _ := encode(t, key)
		dbkey, _ := keys.AppendEntryKey(nil, o.Prefix, keys.TagDict, encoded)
		must(t, backend.Damage("n", dbkey))
	}
	keep(t, clock, o, "a", 100)
	keep(t, clock, o, "b", 100)
	damage("a")
	keep(t, clock, o, "a", 200) // heals it; its old end and ticket lead nowhere
	clock.now += 150
	update(t, o.Space, func(tx *object.Tx) error {
		n, more, err := coll.DictSweep(tx, o)
		if n != 1 || more {
			t.Errorf("swept %d, %v", n, more)
		}
		return err
	})
	keep(t, clock, o, "c", 0)
	damage("a")
	keep(t, clock, o, "d", 0)
	keep(t, clock, o, "e", 0)
	if n := length(t, o); n != 2 {
		t.Fatalf("%d entries", n)
	}
	// The end of the damaged one could not be read, and is listed until it comes.
	clock.now += 200
	update(t, o.Space, func(tx *object.Tx) error { _, _, err := coll.DictSweep(tx, o); return err })
	tx, err := o.Space.Begin(store.Read, store.Wait{})
	must(t, err)
	defer tx.Abort()
	checkIndexes(t, tx, o)
}

func TestTheNthWriteOfACacheFailsAndChangesNothing(t *testing.T) {
	coll.LimitCursors(t, 1<<20)
	for _, eviction := range []uint64{coll.EvictUsed, coll.EvictStored} {
		for nth, failed := 1, true; failed; nth++ {
			backend, clock, o := newCache(t, 3, 0, eviction)
			for _, key := range []string{"a", "b", "c"} {
				keep(t, clock, o, key, 50)
			}
			clock.now += 40
			encoded, _ := encode(t, "d")
			backend.FailWrite(nth, nil)
			err := o.Space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
				_, err := coll.DictStore(tx, o, coll.DictEntry{Key: encoded, Value: []byte("v")}, clock.now+5, coll.StoreSet)
				return err
			})
			backend.ClearFaults()
			failed = err != nil
			tx, begun := o.Space.Begin(store.Read, store.Wait{})
			must(t, begun)
			checkIndexes(t, tx, o)
			has, err := coll.DictContains(tx, o, encoded)
			must(t, err)
			if has == failed {
				t.Fatalf("write %d: failed %v, and the entry is there: %v", nth, failed, has)
			}
			tx.Abort()
			if nth > 50 {
				t.Fatal("no write went through")
			}
		}
	}
}
