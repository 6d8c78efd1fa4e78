package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// short is a bound that is meant to run out.
const short = 30 * time.Millisecond

var writerTests = []test{
	{"OnlyOneWriterAtATime", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		const writers, rounds = 8, 25
		var inside atomic.Int32
		results := make(chan error, writers)
		for range writers {
			go func() { results <- countByHand(space, rounds, &inside) }()
		}
		collect(t, results, writers)
		with(t, space, store.Read, func(txn store.Txn) { has(t, txn, "n", fmt.Sprint(writers*rounds)) })
	}},
	{"AReadTransactionNeverWaits", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1")
		holding(t, space, func() {
			with(t, space, store.Read, func(txn store.Txn) { has(t, txn, "a", "1") })
			_, _, err := space.Peek([]byte("a"), make([]byte, 0, 8))
			ok(t, err)
		})
	}},
	{"WithoutAWaitItWouldBlock", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		holding(t, space, func() {
			for name, err := range attempts(space, store.Wait{}) {
				if !errs.Has(err, errs.WouldBlock) {
					t.Errorf("%s: got %v, want code would block", name, err)
				}
			}
		})
		for name, err := range attempts(space, store.Wait{}) {
			if err != nil {
				t.Errorf("%s of a free space: %v", name, err)
			}
		}
	}},
	{"ATimeoutNamesTheHolder", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		holding(t, space, func() {
			for _, attempt := range []func(store.Space, store.Wait) error{beginOnce, updateOnce} {
				begun := time.Now()
				err := attempt(space, store.Wait{Timeout: short})
				fails(t, err, errs.LockTimeout)
				namesThisProcess(t, err)
				if waited := time.Since(begun); waited < short {
					t.Errorf("gave up after %v of %v", waited, short)
				}
			}
		})
		put(t, space, "a", "1") // who gave up does not keep the turn
	}},
	{"AnInterruptEndsTheWait", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		holding(t, space, func() {
			for _, attempt := range []func(store.Space, store.Wait) error{beginOnce, updateOnce} {
				for _, timeout := range []time.Duration{-1, patience} {
					asked := 0
					err := attempt(space, store.Wait{Timeout: timeout, Interrupted: func() bool {
						asked++
						return asked == 3
					}})
					fails(t, err, errs.Interrupted)
				}
			}
		})
		put(t, space, "a", "1")
	}},
	{"AWaiterGetsTheTurnWhenTheHolderEnds", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for _, timeout := range []time.Duration{-1, patience} {
			for _, commit := range []bool{false, true} {
				results := make(chan error, 1)
				with(t, space, store.Write, func(txn store.Txn) {
					waiting := make(chan struct{})
					go func() {
						first := true
						results <- beginOnce(space, store.Wait{Timeout: timeout, Interrupted: func() bool {
							if first {
								first = false
								close(waiting)
							}
							return false
						}})
					}()
					<-waiting
					if commit {
						ok(t, txn.Commit())
					}
				})
				collect(t, results, 1)
			}
		}
	}},
	{"NobodyIsStarved", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		// Some write without a pause; another one must not wait for many of
		// their turns once it stands in the queue.
		const greedy, turns, bound = 4, 30, 200
		stop := make(chan struct{})
		results := make(chan error, greedy)
		defer func() {
			close(stop)
			collect(t, results, greedy)
		}()
		var taken atomic.Int64
		for range greedy {
			go func() {
				for {
					if err := beginOnce(space, patient); err != nil {
						results <- err
						return
					}
					taken.Add(1)
					select {
					case <-stop:
						results <- nil
						return
					default:
					}
				}
			}()
		}
		for range turns {
			queued := int64(-1) // turns taken when the wait was under way
			ok(t, beginOnce(space, store.Wait{Timeout: patience, Interrupted: func() bool {
				if queued < 0 {
					queued = taken.Load()
				}
				return false
			}}))
			if passed := taken.Load() - queued; queued >= 0 && passed > bound {
				t.Fatalf("%d turns went to those who came later", passed)
			}
		}
	}},
	{"WhoGivesUpDoesNotKeepTheTurn", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		// The turn comes to the waiter while it decides to give up.
		for _, attempt := range []func(store.Space, store.Wait) error{beginOnce, updateOnce} {
			for giveUpAt := 1; giveUpAt <= 3; giveUpAt++ {
				with(t, space, store.Write, func(txn store.Txn) {
					endNow, ended := make(chan struct{}), make(chan struct{})
					results := make(chan error, 1)
					go func() {
						asked := 0
						results <- attempt(space, store.Wait{Timeout: -1, Interrupted: func() bool {
							asked++
							if asked == giveUpAt {
								close(endNow)
								<-ended
							}
							return asked >= giveUpAt
						}})
					}()
					<-endNow
					txn.Abort()
					close(ended)
					if err := <-results; err != nil {
						fails(t, err, errs.Interrupted)
					}
				})
				ok(t, beginOnce(space, store.Wait{Timeout: short}))
			}
		}
	}},
	{"WritersOfOtherNamespacesDoNotMeet", func(t *testing.T, b store.Backend) {
		one := openSpace(t, b)
		two, err := b.Open("memory/other", true)
		ok(t, err)
		holding(t, one, func() { ok(t, beginOnce(two, store.Wait{})) })
		ok(t, two.Close())
	}},
}

// beginOnce begins a write transaction by hand, writes and commits.
func beginOnce(space store.Space, wait store.Wait) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	txn, err := space.Begin(store.Write, wait)
	if err != nil {
		return err
	}
	defer txn.Abort()
	if _, err := txn.Put([]byte("once"), nil); err != nil {
		return err
	}
	return txn.Commit()
}

func updateOnce(space store.Space, wait store.Wait) error {
	return space.Update(wait, func(txn store.Txn) error {
		_, err := txn.Put([]byte("once"), nil)
		return err
	})
}

func attempts(space store.Space, wait store.Wait) map[string]error {
	return map[string]error{
		"Begin":  beginOnce(space, wait),
		"Update": updateOnce(space, wait),
	}
}

// holding runs fn while another goroutine, on a thread of its own, holds the
// writer's turn.
func holding(t *testing.T, space store.Space, fn func()) {
	t.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		txn, err := space.Begin(store.Write, patient)
		close(held)
		if err == nil {
			<-release
			txn.Abort()
		}
		result <- err
	}()
	<-held
	defer func() {
		close(release)
		collect(t, result, 1)
	}()
	fn()
}

// countByHand adds 1 to the entry "n" rounds times.
func countByHand(space store.Space, rounds int, inside *atomic.Int32) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	once := func() error {
		txn, err := space.Begin(store.Write, patient)
		if err != nil {
			return err
		}
		defer txn.Abort()
		if n := inside.Add(1); n != 1 {
			return fmt.Errorf("%d writers at a time", n)
		}
		value, err := txn.Get([]byte("n"))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		next := text(number(value) + 1)
		runtime.Gosched()
		if _, err := txn.Put([]byte("n"), next); err != nil {
			return err
		}
		inside.Add(-1)
		return txn.Commit()
	}
	for range rounds {
		if err := once(); err != nil {
			return err
		}
	}
	return nil
}

var errOnPurpose = errors.New("on purpose")

var updateTests = []test{
	{"UpdateCommits", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		ok(t, updateOnce(space, patient))
		with(t, space, store.Read, func(txn store.Txn) { has(t, txn, "once", "") })
	}},
	{"AnErrorUndoesAndComesBackUnchanged", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1")
		err := space.Update(patient, func(txn store.Txn) error {
			if _, err := txn.Put([]byte("a"), []byte("2")); err != nil {
				return err
			}
			txn.Touch(store.FirstShared)
			return errOnPurpose
		})
		if err != errOnPurpose {
			t.Fatalf("got %v, want fn's own error", err)
		}
		with(t, space, store.Write, func(txn store.Txn) { has(t, txn, "a", "1") })
	}},
	{"APanicUndoesAndFreesTheTurn", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		put(t, space, "a", "1")
		err := func() (err error) {
			defer func() {
				if recover() != nil {
					err = errOnPurpose
				}
			}()
			return space.Update(patient, func(txn store.Txn) error {
				_, _ = txn.Put([]byte("a"), []byte("2"))
				panic("on purpose")
			})
		}()
		if err == nil {
			t.Fatalf("the panic was lost: it must go on, or become an error")
		}
		with(t, space, store.Write, func(txn store.Txn) { has(t, txn, "a", "1") })
	}},
	{"SavepointsWorkInside", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		ok(t, space.Update(patient, func(txn store.Txn) error {
			steps := []func() error{
				txn.Savepoint,
				func() error { _, err := txn.Put([]byte("a"), nil); return err },
				txn.Savepoint,
				func() error { _, err := txn.Put([]byte("b"), nil); return err },
				txn.Rollback,
				txn.Release,
				txn.Savepoint, // left open
				func() error { _, err := txn.Put([]byte("c"), nil); return err },
			}
			for _, step := range steps {
				if err := step(); err != nil {
					return err
				}
			}
			return nil
		}))
		with(t, space, store.Read, func(txn store.Txn) {
			equal(t, "content", content(t, txn, store.Range{}), "a= c=")
		})
	}},
	{"ManyUpdatesAtOnceAreEachDoneOnce", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		const callers, rounds = 64, 12
		results := make(chan error, callers)
		for caller := range callers {
			go func() { results <- updateManyTimes(space, caller, rounds) }()
		}
		collect(t, results, callers)
		with(t, space, store.Read, func(txn store.Txn) {
			good := callers * (rounds - rounds/3)
			has(t, txn, "n", fmt.Sprint(good))
			equal(t, "entries", len(scanAll(t, txn, store.Range{Lo: []byte("own")}, 100)), good)
			equal(t, "of failed ones", content(t, txn, store.Prefix([]byte("junk"))), "")
		})
	}},
}

// updateManyTimes adds 1 to the entry "n" and an entry of its own, but fails
// every third time after having written. Its function may run twice and on any
// thread, so it touches nothing outside but its own result.
func updateManyTimes(space store.Space, caller, rounds int) error {
	for round := range rounds {
		failing := round%3 == 2
		var counted int
		err := space.Update(patient, func(txn store.Txn) error {
			value, err := txn.Get([]byte("n"))
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			counted = number(value) + 1
			if _, err := txn.Put([]byte("n"), text(counted)); err != nil {
				return err
			}
			name := "own"
			if failing {
				name = "junk"
			}
			fresh, err := txn.Put(fmt.Appendf(nil, "%s %d %d", name, caller, round), nil)
			if err == nil && !fresh {
				err = errors.New("ran again on top of its own first run")
			}
			if err == nil && failing {
				err = errOnPurpose
			}
			return err
		})
		if failing != (err == errOnPurpose) || (!failing && err != nil) {
			return fmt.Errorf("caller %d round %d: %w", caller, round, err)
		}
		// What Update returned from is there for all to see.
		value, _, err := space.Peek([]byte("n"), make([]byte, 0, 20))
		if !failing && (err != nil || number(value) < counted) {
			return fmt.Errorf("saw %q after %d was committed: %w", value, counted, err)
		}
	}
	return nil
}
