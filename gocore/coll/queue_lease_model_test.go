package coll_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/owner"
	"parkit/gocore/store"
)

// hand is somebody who takes items: a process, as far as the queue can tell.
type hand struct {
	token owner.Token
	lease store.Lease
	dead  bool
}

func (h *hand) dies(t tb) {
	t.Helper()
	need(t, h.lease.Release())
	h.dead = true
}

func newLeaseQueue(t tb, backend store.Backend, flags uint32) (*clocked, *object.Space, *object.Object) {
	t.Helper()
	raw, err := backend.Open("leases", true)
	need(t, err)
	c := &clocked{Space: raw, now: began}
	space, err := object.Open(c, "leases")
	need(t, err)
	var o *object.Object
	need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) (err error) {
		o, _, err = space.Create(tx, object.Descriptor{Kind: object.KindQueue, Versioned: true})
		if err == nil {
			err = tx.SetLimit(o, 0) // a sequence
			tx.SetFlags(o, flags, 0)
		}
		return err
	}))
	return c, space, o
}

func newHand(t tb, space *object.Space) *hand {
	t.Helper()
	token, lease, err := owner.Take(space.Store())
	need(t, err)
	return &hand{token: token, lease: lease}
}

// leaseModel is what a queue with leases should hold.
type leaseModel struct {
	next    uint64
	bound   uint64
	pending int
	queued  []modelItem
	leased  []modelLease
	dead    []modelItem
}

type modelItem struct {
	pos      uint64
	rank     int
	number   uint64
	size     int
	attempts uint64
	why      string
}

type modelLease struct {
	coll.Lease
	item modelItem
	hand *hand // nil: parked
}

func (m leaseModel) clone() leaseModel {
	m.queued, m.leased, m.dead = slices.Clone(m.queued), slices.Clone(m.leased), slices.Clone(m.dead)
	return m
}

func (m *leaseModel) queue(item modelItem, flags uint32) {
	m.queued = append(m.queued, item)
	slices.SortFunc(m.queued, func(a, b modelItem) int {
		if flags == object.FlagLifo {
			a, b = b, a
		}
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.pos, b.pos))
	})
}

func (m *leaseModel) bury(item modelItem, why string) {
	item.pos, item.why = m.next, why
	m.next++
	m.pending--
	m.dead = append(m.dead, item)
}

// back is where an item goes when its lease has ended.
func (m *leaseModel) back(l modelLease, why string, flags uint32) {
	if l.hand != nil && m.bound > 0 && l.item.attempts >= m.bound {
		m.bury(l.item, why)
	} else {
		m.queue(l.item, flags)
	}
}

func (m *leaseModel) reclaim(now int64, flags uint32) {
	over := func(l modelLease) bool { return l.Deadline != 0 && l.Deadline <= now }
	gone := func(l modelLease) bool { return !over(l) && l.hand != nil && l.hand.dead }
	rest := slices.Clone(m.leased)
	slices.SortFunc(rest, func(a, b modelLease) int {
		return cmp.Or(cmp.Compare(a.Deadline, b.Deadline), cmp.Compare(a.ID, b.ID))
	})
	for _, l := range rest {
		if over(l) {
			m.back(l, "its lease was over", flags)
		}
	}
	slices.SortFunc(rest, func(a, b modelLease) int {
		return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.ID, b.ID))
	})
	for _, l := range rest {
		if gone(l) {
			m.back(l, "the process that held it ended", flags)
		}
	}
	m.leased = slices.DeleteFunc(slices.Clone(m.leased), func(l modelLease) bool { return over(l) || gone(l) })
}

func (m *leaseModel) first(flags uint32) (modelItem, bool) {
	if len(m.queued) == 0 {
		return modelItem{}, false
	}
	item := m.queued[0]
	m.queued = slices.Clone(m.queued[1:])
	return item, true
}

func (i modelItem) value() []byte {
	return binary.BigEndian.AppendUint64(make([]byte, i.size), i.number)
}

func (i modelItem) rankKey(t tb, flags uint32) []byte {
	if flags != object.FlagRanked {
		return nil
	}
	rank := keys.Tuple{i.rank}
	if i.rank > 2 { // shortened in the database
		rank = append(rank, strings.Repeat("x", 600))
	}
	encoded, _, err := keys.EncodeKey(nil, rank)
	need(t, err)
	return encoded
}

// Properties: an item is queued, leased, parked, dead or done with, in one of
// these at a time; it comes back to its place when its lease ends, and only
// then; a lease that has ended settles nothing; what is undone leaves no trace.
func TestLeasedItemsAreWhereTheModelSays(t *testing.T) {
	for name, open := range backends(t) {
		for _, flags := range []uint32{0, object.FlagLifo, object.FlagRanked} {
			t.Run(fmt.Sprintf("%s/%d", name, flags), func(t *testing.T) {
				runtime.LockOSThread() // LMDB's write transactions belong to a thread
				defer runtime.UnlockOSThread()
				rapid.Check(t, func(t *rapid.T) { checkLeases(t, open(), flags) })
			})
		}
	}
}

type leaseCheck struct {
	flags uint32
	clock *clocked
	space *object.Space
	o     *object.Object
	m     leaseModel
	hands []*hand
	count uint64
	known []modelLease // all that ever were, to be settled again
}

func checkLeases(t *rapid.T, backend store.Backend, flags uint32) {
	c := &leaseCheck{flags: flags}
	c.clock, c.space, c.o = newLeaseQueue(t, backend, flags)
	defer func() { need(t, c.space.Close()) }()
	for range 3 {
		c.hands = append(c.hands, newHand(t, c.space))
	}
	bound := rapid.Uint64Range(0, 3).Draw(t, "attempts")
	need(t, c.space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return coll.QueueAttempts(tx, c.o, bound) }))
	c.m.bound = bound
	for range rapid.IntRange(1, 10).Draw(t, "transactions") {
		before := c.m.clone()
		tx, err := c.space.Begin(store.Write, store.Wait{Timeout: -1})
		need(t, err)
		defer tx.Abort() // where the test fails
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			if rapid.IntRange(0, 4).Draw(t, "nested") > 0 {
				c.step(t, tx)
				continue
			}
			inner := c.m.clone()
			need(t, tx.Savepoint())
			for range rapid.IntRange(1, 4).Draw(t, "inner") {
				c.step(t, tx)
			}
			if rapid.Bool().Draw(t, "keep inner") {
				need(t, tx.Release())
			} else {
				need(t, tx.Rollback())
				c.m = inner
			}
			c.compare(t, tx)
		}
		if rapid.IntRange(0, 3).Draw(t, "keep") > 0 {
			need(t, tx.Commit())
		} else {
			tx.Abort()
			c.m = before
		}
	}
}

func (c *leaseCheck) step(t *rapid.T, tx *object.Tx) {
	now := c.clock.now
	switch what := rapid.SampledFrom([]string{
		"put", "put", "put", "take", "lease", "lease", "lease", "lease", "settle", "settle", "settle",
		"die", "clock", "retry", "retry all", "clear dead", "clear", "reclaim", "done",
	}).Draw(t, "step"); what {
	case "put":
		c.count++
		item := modelItem{pos: c.m.next, number: c.count, size: rapid.SampledFrom([]int{0, 1, 9000}).Draw(t, "size")}
		if c.flags == object.FlagRanked {
			item.rank = rapid.IntRange(-1, 3).Draw(t, "rank")
			if item.rank > 2 { // no two shortened ones alike: they would be in no order
				item.rank += int(c.count)
			}
		}
		need(t, coll.QueuePut(tx, c.o, item.rankKey(t, c.flags), item.value()))
		c.m.next++
		c.m.pending++
		c.m.queue(item, c.flags)
	case "take":
		c.m.reclaim(now, c.flags)
		taken, err := coll.QueueTake(tx, c.o, nil)
		c.took(t, taken.Value(), err)
	case "lease":
		c.m.reclaim(now, c.flags)
		h := rapid.SampledFrom(c.hands).Draw(t, "hand")
		hold := time.Duration(rapid.SampledFrom([]int{0, 0, 5, 10}).Draw(t, "hold"))
		lease, value, err := coll.QueueLease(tx, c.o, coll.Terms{Owner: h.token, For: hold}, nil)
		item, ok := c.took(t, value, err)
		if !ok {
			return
		}
		item.attempts++
		l := modelLease{coll.Lease{Owner: h.token, ID: c.m.next, Attempts: item.attempts}, item, h}
		if hold > 0 {
			l.Deadline = now + int64(hold)
		}
		if l.Lease != lease {
			t.Fatalf("lease %+v, want %+v", lease, l.Lease)
		}
		c.m.next++
		c.m.leased = append(c.m.leased, l)
		c.known = append(c.known, l)
	case "settle":
		c.settle(t, tx, now)
	case "die":
		if rapid.IntRange(0, 2).Draw(t, "really") == 0 {
			i := rapid.IntRange(0, len(c.hands)-1).Draw(t, "who")
			c.hands[i].dies(t)
			c.hands[i] = newHand(t, c.space)
		}
	case "clock":
		c.clock.now += rapid.Int64Range(1, 8).Draw(t, "later")
	case "retry":
		if len(c.m.dead) == 0 {
			wants(t, coll.QueueRetryDead(tx, c.o, 1<<40), store.ErrNotFound)
			return
		}
		i := rapid.IntRange(0, len(c.m.dead)-1).Draw(t, "which")
		need(t, coll.QueueRetryDead(tx, c.o, c.m.dead[i].pos))
		c.revive(i)
	case "retry all":
		n, err := coll.QueueRetryAllDead(tx, c.o)
		need(t, err)
		if n != len(c.m.dead) {
			t.Fatalf("%d put back, want %d", n, len(c.m.dead))
		}
		for len(c.m.dead) > 0 {
			c.revive(0)
		}
	case "clear dead":
		id, want := uint64(0), len(c.m.dead)
		if want > 0 && rapid.Bool().Draw(t, "one") {
			id, want = c.m.dead[0].pos, 1
			c.m.dead = slices.Clone(c.m.dead[1:])
		} else {
			c.m.dead = nil
		}
		n, err := coll.QueueClearDead(tx, c.o, id)
		need(t, err)
		if n != want {
			t.Fatalf("%d removed, want %d", n, want)
		}
	case "clear":
		if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
			need(t, coll.QueueClear(tx, c.o))
			c.m.pending -= len(c.m.queued)
			c.m.queued = nil
		}
	case "reclaim":
		c.m.reclaim(now, c.flags)
		need(t, coll.Reclaim(tx, c.o))
		ended, err := coll.Reclaimable(tx, c.o)
		need(t, err)
		if ended {
			t.Fatal("something is left to be given back")
		}
	case "done":
		err := coll.QueueDone(tx, c.o)
		if c.m.pending == len(c.m.queued)+len(c.m.leased) {
			wants(t, err, coll.ErrNothingPending)
		} else {
			need(t, err)
			c.m.pending--
		}
	}
	c.compare(t, tx)
}

// took compares what was taken with the model's first item.
func (c *leaseCheck) took(t *rapid.T, value []byte, err error) (modelItem, bool) {
	item, ok := c.m.first(c.flags)
	if !ok {
		wants(t, err, store.ErrNotFound)
		return item, false
	}
	need(t, err)
	if !bytes.Equal(value, item.value()) {
		t.Fatalf("took %d bytes, ending with %x; want item %d", len(value), value[max(0, len(value)-8):], item.number)
	}
	return item, true
}

func (c *leaseCheck) revive(i int) {
	item := c.m.dead[i]
	c.m.dead = slices.Delete(slices.Clone(c.m.dead), i, i+1)
	item.pos, item.attempts, item.why = c.m.next, 0, ""
	c.m.next++
	c.m.pending++
	c.m.queue(item, c.flags)
}

func (c *leaseCheck) settle(t *rapid.T, tx *object.Tx, now int64) {
	if len(c.known) == 0 {
		return
	}
	l := rapid.SampledFrom(c.known).Draw(t, "which lease")
	at := slices.IndexFunc(c.m.leased, func(x modelLease) bool { return x.ID == l.ID && x.Owner == l.Owner })
	holds := at >= 0 && (c.m.leased[at].Deadline == 0 || c.m.leased[at].Deadline > now)
	how := rapid.SampledFrom([]string{"ack", "nack", "nack later", "unlease", "bury", "extend"}).Draw(t, "how")
	var err error
	extended := l.Lease
	switch how {
	case "ack":
		err = coll.QueueAck(tx, c.o, l.Lease)
	case "nack":
		err = coll.QueueNack(tx, c.o, l.Lease, 0, "tried")
	case "nack later":
		err = coll.QueueNack(tx, c.o, l.Lease, 4, "tried")
	case "unlease":
		err = coll.QueueUnlease(tx, c.o, l.Lease)
	case "bury":
		err = coll.QueueBury(tx, c.o, l.Lease, "bad")
	case "extend":
		extended, err = coll.QueueExtend(tx, c.o, l.Lease, 7)
	}
	if !holds {
		if !errs.Has(err, errs.LeaseLost) {
			t.Fatalf("%s of a lost lease: %v", how, err)
		}
		return
	}
	need(t, err)
	l = c.m.leased[at]
	c.m.leased = slices.Delete(slices.Clone(c.m.leased), at, at+1)
	spent := c.m.bound > 0 && l.item.attempts >= c.m.bound
	switch {
	case how == "ack":
		c.m.pending--
	case how == "unlease":
		l.item.attempts--
		c.m.queue(l.item, c.flags)
	case how == "bury":
		c.m.bury(l.item, "bad")
	case how == "extend":
		l.Lease = extended
		if l.Deadline != now+7 {
			t.Fatalf("extended to %d at %d", l.Deadline, now)
		}
		c.m.leased = append(c.m.leased, l)
	case spent:
		c.m.bury(l.item, "tried")
	case how == "nack":
		c.m.queue(l.item, c.flags)
	default:
		c.m.leased = append(c.m.leased, modelLease{coll.Lease{Owner: owner.Nobody, ID: l.ID, Deadline: now + 4}, l.item, nil})
	}
}

func (c *leaseCheck) compare(t *rapid.T, tx *object.Tx) {
	state, err := tx.State(c.o)
	need(t, err)
	got := fmt.Sprint(state.Length, state.Leased, state.Dead, state.Pending, state.Next, state.Attempts)
	want := fmt.Sprint(len(c.m.queued), len(c.m.leased), len(c.m.dead), c.m.pending, c.m.next, c.m.bound)
	if got != want {
		t.Fatalf("the state is %s, want %s", got, want)
	}
	letters, err := coll.QueueDead(tx, c.o, 0, len(c.m.dead)+1)
	need(t, err)
	for i, letter := range letters {
		want := c.m.dead[i]
		if letter.ID != want.pos || letter.Attempts != want.attempts || letter.Why != want.why || !bytes.Equal(letter.Value, want.value()) {
			t.Fatalf("dead letter %d: %d, %q after %d attempts; want %+v", i, letter.ID, letter.Why, letter.Attempts, want)
		}
	}
	if len(letters) != len(c.m.dead) {
		t.Fatalf("%d dead letters, want %d", len(letters), len(c.m.dead))
	}
}
