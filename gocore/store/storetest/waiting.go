package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Two channels that objects use, and one of the reserved ones.
const (
	channelA = store.FirstShared
	channelB = store.FirstShared + 1
	channelQ = store.FirstReserved
)

var waitingTests = []test{
	{"TouchAdvancesTheVersionWithTheCommit", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for _, touch := range []func(store.Txn, store.Channel){store.Txn.Touch, store.Txn.WakeOne} {
			for _, channel := range []store.Channel{channelA, channelQ, store.Channels - 1} {
				seen, other, any := space.Version(channel), space.Version(channelB), space.Version(store.AnyChange)
				write(t, space, func(txn store.Txn) {
					putIn(t, txn, "a", "1")
					touch(txn, channel)
					equal(t, "version before the commit", space.Version(channel), seen)
				})
				if space.Version(channel) == seen || space.Version(store.AnyChange) == any {
					t.Errorf("channel %d: the commit did not advance it and AnyChange", channel)
				}
				equal(t, "version of another channel", space.Version(channelB), other)
			}
		}
	}},
	{"AnAbortTouchesNothing", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1")
		seen, any := space.Version(channelA), space.Version(store.AnyChange)
		with(t, space, store.Write, func(txn store.Txn) {
			putIn(t, txn, "a", "2")
			txn.Touch(channelA)
			txn.WakeOne(channelA)
		})
		equal(t, "version", space.Version(channelA), seen)
		equal(t, "version of AnyChange", space.Version(store.AnyChange), any)
	}},
	{"ACommitWithoutTouchAdvancesAnyChangeOnly", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		seen, any := space.Version(channelA), space.Version(store.AnyChange)
		put(t, space, "a", "1")
		equal(t, "version", space.Version(channelA), seen)
		if space.Version(store.AnyChange) == any {
			t.Errorf("AnyChange did not advance")
		}
		version, err := space.WaitChange(t.Context(), store.AnyChange, any, patient)
		ok(t, err)
		equal(t, "version", version, space.Version(store.AnyChange))
	}},
	{"AChangeSeenLateNeedsNoWait", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		seen := space.Version(channelA)
		touchOnce(t, space, channelA)
		version, err := space.WaitChange(t.Context(), channelA, seen, store.Wait{})
		ok(t, err)
		equal(t, "version", version, space.Version(channelA))
	}},
	{"ASleeperIsWokenAndSeesTheCommit", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for round := range 20 {
			const sleepers = 5
			results := make(chan error, sleepers)
			seen := space.Version(channelA)
			for range sleepers {
				go func() {
					version, err := space.WaitChange(context.Background(), channelA, seen, patient)
					if err == nil && version == seen {
						err = errors.New("woken without a change")
					}
					if err == nil {
						var value []byte
						value, _, err = space.Peek([]byte("round"), make([]byte, 0, 8))
						if err == nil && number(value) != round {
							err = fmt.Errorf("woken before the commit: saw %q in round %d", value, round)
						}
					}
					results <- err
				}()
			}
			ok(t, space.Update(patient, func(txn store.Txn) error {
				txn.Touch(channelA)
				_, err := txn.Put([]byte("round"), text(round))
				return err
			}))
			collect(t, results, sleepers)
		}
	}},
	{"NoChangeInTimeIsATimeout", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		seen := space.Version(channelA)
		begun := time.Now()
		_, err := space.WaitChange(t.Context(), channelA, seen, store.Wait{Timeout: short})
		fails(t, err, errs.Timeout)
		if waited := time.Since(begun); waited < short {
			t.Errorf("gave up after %v of %v", waited, short)
		}
		_, err = space.WaitChange(t.Context(), channelA, seen, store.Wait{})
		fails(t, err, errs.WouldBlock)
	}},
	{"ADoneContextEndsTheWait", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for _, timeout := range []time.Duration{-1, patience} {
			for _, early := range []bool{true, false} {
				ctx, cancel := context.WithCancel(t.Context())
				results := make(chan error, 1)
				if early {
					cancel()
				}
				go func() {
					var err error
					for err == nil { // the end of an earlier wait may have moved the count
						_, err = space.WaitChange(ctx, channelA, space.Version(channelA), store.Wait{Timeout: timeout})
					}
					results <- err
				}()
				cancel()
				if err := <-results; !errors.Is(err, context.Canceled) {
					t.Errorf("got %v, want the context's error in the chain", err)
				} else {
					fails(t, err, errs.Interrupted)
				}
			}
		}
	}},
	{"AChangeOfAnyChannelWakes", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		channels := []store.Channel{channelA, channelB, store.AnyChange}
		for round := range 30 {
			// Of the last one, any change; of the first two, only their own.
			watched := channels[:2+round/20]
			seen := make([]uint32, len(watched))
			for i, channel := range watched {
				seen[i] = space.Version(channel)
			}
			changed := watched[round%len(watched)]
			results := make(chan error, 1)
			go func() { results <- space.WaitAny(context.Background(), watched, seen) }()
			if changed == store.AnyChange {
				changed = store.Channels - 1
			}
			touchOnce(t, space, changed)
			collect(t, results, 1)
			ok(t, space.WaitAny(t.Context(), watched, seen)) // it is seen late, too
		}
	}},
	{"AChangeOfAnotherChannelWakesNobody", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		ctx, cancel := context.WithTimeout(t.Context(), short)
		defer cancel()
		seen := []uint32{space.Version(channelA)}
		touchOnce(t, space, channelB)
		err := space.WaitAny(ctx, []store.Channel{channelA}, seen)
		fails(t, err, errs.Interrupted)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the context's error in the chain", err)
		}
	}},
	{"ADoneContextEndsTheWaitForAny", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for round := range 200 { // before it sleeps, while it falls asleep, and after
			ctx, cancel := context.WithCancel(t.Context())
			results := make(chan error, 1)
			go func() {
				results <- space.WaitAny(ctx, []store.Channel{channelA, channelB}, []uint32{space.Version(channelA), space.Version(channelB)})
			}()
			for range round % 20 {
				runtime.Gosched()
			}
			cancel()
			if err := <-results; !errors.Is(err, context.Canceled) {
				t.Errorf("got %v, want the context's error in the chain", err)
			}
		}
	}},
	{"AnInterruptEndsTheWait", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		asked := 0
		_, err := space.WaitChange(t.Context(), channelA, space.Version(channelA), store.Wait{
			Timeout:     patience,
			Interrupted: func() bool { asked++; return asked == 3 },
		})
		fails(t, err, errs.Interrupted)
	}},
	{"NoWakeUpIsLostInAPingPong", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		const pairs, rounds = 4, 100
		results := make(chan error, 2*pairs)
		for pair := range pairs {
			for side := range 2 {
				go func() { results <- pingPong(space, pair, side, rounds) }()
			}
		}
		collect(t, results, 2*pairs)
	}},
	{"WakeOneWakesEnough", func(t *testing.T, b store.Backend) {
		for _, channel := range []store.Channel{channelQ, channelA} {
			space := openSpace(t, b)
			for _, oneByOne := range []bool{false, true} {
				clearSpace(t, space)
				wakeOneFeedsAll(t, space, channel, oneByOne, 0)
				// Some watch, some sleep: a wake-up for one of either.
				clearSpace(t, space)
				wakeOneFeedsAll(t, space, channel, oneByOne, 50*time.Microsecond)
			}
		}
	}},
	{"WaitersThatGiveUpPassTheWakeUpOn", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		// Many sleepers whose time runs out just as single wake-ups come: each
		// of them must either report the change or leave it to the patient one.
		for range 15 {
			seen := space.Version(channelQ)
			const hasty = 6
			results := make(chan error, hasty+1)
			for i := range hasty {
				go func() {
					_, err := space.WaitChange(context.Background(), channelQ, seen,
						store.Wait{Timeout: time.Duration(i+1) * 300 * time.Microsecond, Look: time.Duration(i%3) * 100 * time.Microsecond})
					if errs.Has(err, errs.Timeout) {
						err = nil
					}
					results <- err
				}()
			}
			go func() {
				_, err := space.WaitChange(context.Background(), channelQ, seen, patient)
				results <- err
			}()
			for range hasty + 1 { // as many wake-ups as could be waiting
				write(t, space, func(txn store.Txn) {
					putIn(t, txn, "a", "1")
					txn.WakeOne(channelQ)
				})
			}
			collect(t, results, hasty+1)
		}
	}},
}

func touchOnce(t tb, space store.Space, channel store.Channel) {
	t.Helper()
	write(t, space, func(txn store.Txn) {
		putIn(t, txn, "touched", "")
		txn.Touch(channel)
	})
}

// pingPong advances a number when it is this side's turn, and else sleeps until
// the other side has. A lost wake-up shows as a timeout.
func pingPong(space store.Space, pair, side, rounds int) error {
	key := fmt.Appendf(nil, "pair %d", pair)
	channel := store.ChannelOf(uint64(pair))
	dst := make([]byte, 0, 20)
	for {
		seen := space.Version(channel)
		value, _, err := space.Peek(key, dst)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		n := number(value)
		if n >= 2*rounds {
			return nil
		}
		if n%2 == side {
			err = space.Update(patient, func(txn store.Txn) error {
				txn.Touch(channel)
				_, err := txn.Put(key, text(n+1))
				return err
			})
		} else {
			_, err = space.WaitChange(context.Background(), channel, seen, patient)
		}
		if err != nil {
			return fmt.Errorf("pair %d side %d at %d: %w", pair, side, n, err)
		}
	}
}

// wakeOneFeedsAll puts items in one commit or several, with one WakeOne an
// item; takers that sleep on channel must take all of them, each once. With
// oneByOne the next batch comes when the last one is gone, so that most often
// all takers sleep again and only the wake-up can rouse them. Every other taker
// looks before it sleeps.
func wakeOneFeedsAll(t *testing.T, space store.Space, channel store.Channel, oneByOne bool, look time.Duration) {
	t.Helper()
	const takers, items = 6, 120
	queue := store.Prefix([]byte("item"))
	var taken atomic.Int32
	gone := make(chan struct{}, items) // one for each item taken
	results := make(chan error, takers)
	take := func(wait store.Wait) error {
		for {
			seen := space.Version(channel)
			if taken.Load() == items {
				return nil
			}
			err := space.Update(patient, func(txn store.Txn) error {
				_, err := txn.TakeFirst(queue)
				return err
			})
			switch {
			case err == nil:
				gone <- struct{}{}
				if taken.Add(1) == items {
					err = space.Update(patient, func(txn store.Txn) error {
						txn.Touch(channel) // the end: all of them
						_, err := txn.Put([]byte("end"), nil)
						return err
					})
				}
			case errors.Is(err, store.ErrNotFound):
				_, err = space.WaitChange(context.Background(), channel, seen, wait)
			}
			if err != nil {
				return fmt.Errorf("%d of %d taken: %w", taken.Load(), items, err)
			}
		}
	}
	for i := range takers {
		wait := patient
		wait.Look = time.Duration(i%2) * look
		go func() { results <- take(wait) }()
	}
	for next, batch := 0, 1; next < items; batch = batch%4 + 1 {
		ok(t, space.Update(patient, func(txn store.Txn) error {
			for i := next; i < min(next+batch, items); i++ {
				if _, err := txn.Put(fmt.Appendf(nil, "item %04d", i), nil); err != nil {
					return err
				}
				txn.WakeOne(channel)
			}
			return nil
		}))
		for range min(batch, items-next) {
			if !oneByOne {
				break
			}
			select {
			case <-gone:
			case <-time.After(patience):
				t.Fatalf("nobody came for an item; %d of %d are taken", taken.Load(), items)
			}
		}
		next += batch
	}
	collect(t, results, takers)
	equal(t, "items taken", int(taken.Load()), items)
}
