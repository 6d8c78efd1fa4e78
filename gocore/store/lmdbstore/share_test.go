package lmdbstore_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// together has updates wait behind a transaction begun by hand, which owner
// works in, until all of them do; then that one commits. It returns what the
// updates came to and how many commits were made.
func together(t *testing.T, s store.Space, owner func(store.Txn), updates ...func(store.Txn) error) (results []error, commits uint64) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := s.Stats()
	ok(t, err)
	txn, err := s.Begin(store.Write, patient)
	ok(t, err)
	owner(txn)
	results = make([]error, len(updates))
	var all sync.WaitGroup
	for i, update := range updates {
		all.Go(func() {
			done := false
			defer func() {
				if done {
					return
				}
				if recovered := recover(); recovered != nil {
					results[i] = fmt.Errorf("%w: %v", errPanic, recovered)
				} else {
					results[i] = errGone
				}
			}()
			results[i] = s.Update(patient, update)
			done = true
		})
		waitForQueue(t, s, i+1)
	}
	ok(t, txn.Commit())
	all.Wait()
	after, err := s.Stats()
	ok(t, err)
	return results, after.LastCommit - before.LastCommit
}

var (
	errPanic = errors.New("it panicked")
	errGone  = errors.New("its goroutine ended")
)

func waitForQueue(t *testing.T, s store.Space, n int) {
	t.Helper()
	for begun := time.Now(); lmdbstore.Queued(s) != n; runtime.Gosched() {
		if time.Since(begun) > patience {
			t.Fatalf("%d wait, not %d", lmdbstore.Queued(s), n)
		}
	}
}

func setting(key string) func(store.Txn) error {
	return func(txn store.Txn) error { _, err := txn.Put([]byte(key), []byte(key)); return err }
}

func TestUpdatesShareACommit(t *testing.T) {
	s := opened(t, newRoot(t), kind(false))
	const many = 100
	var updates []func(store.Txn) error
	for i := range many {
		updates = append(updates, setting(fmt.Sprint("k", i)))
	}
	results, commits := together(t, s, func(txn store.Txn) { ok(t, setting("owner")(txn)) }, updates...)
	for i, err := range results {
		if err != nil || get(t, s, fmt.Sprint("k", i)) == "" {
			t.Errorf("update %d: %v", i, err)
		}
	}
	if commits != 1 || get(t, s, "owner") == "" {
		t.Errorf("%d commits for an explicit transaction and %d updates", commits, many)
	}

	// And by themselves, without anybody who holds them up.
	before, err := s.Stats()
	ok(t, err)
	const callers, rounds = 32, 40
	done := make(chan error, callers)
	for caller := range callers {
		go func() {
			for range rounds {
				if err := s.Update(patient, setting(fmt.Sprint("c", caller))); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range callers {
		ok(t, <-done)
	}
	after, err := s.Stats()
	ok(t, err)
	commits = after.LastCommit - before.LastCommit
	t.Logf("%d updates of %d threads in %d commits", callers*rounds, callers, commits)
	if commits > callers*rounds/4 {
		t.Errorf("%d commits for %d updates of %d threads", commits, callers*rounds, callers)
	}
}

func TestWithoutAFlushNothingIsShared(t *testing.T) {
	s := opened(t, newRoot(t), lmdbstore.Profile{NoSync: true})
	before, err := s.Stats()
	ok(t, err)
	done := make(chan error, 8)
	for i := range 8 {
		go func() { done <- s.Update(patient, setting(fmt.Sprint(i))) }()
	}
	for range 8 {
		ok(t, <-done)
	}
	after, err := s.Stats()
	ok(t, err)
	if commits := after.LastCommit - before.LastCommit; commits != 8 {
		t.Errorf("%d commits for 8 updates", commits)
	}
}

// Whatever a guest does is its own affair.
func TestABadGuestHarmsNobodyElse(t *testing.T) {
	onPurpose := errors.New("on purpose")
	write := func(txn store.Txn, keys ...string) {
		for _, key := range keys {
			_, _ = txn.Put([]byte(key), []byte("left by the guest")) // what it must not leave
		}
	}
	for name, test := range map[string]struct {
		guest func(store.Txn) error
		want  func(error) bool
		kept  bool // what it wrote
	}{
		"fails": {func(txn store.Txn) error {
			write(txn, "a", "b")
			return onPurpose
		}, func(err error) bool { return err == onPurpose }, false},
		"fails in a savepoint": {func(txn store.Txn) error {
			write(txn, "a")
			ok(t, txn.Savepoint())
			write(txn, "b")
			ok(t, txn.Savepoint())
			return onPurpose
		}, func(err error) bool { return err == onPurpose }, false},
		"ends with savepoints open": {func(txn store.Txn) error {
			write(txn, "a")
			ok(t, txn.Savepoint())
			write(txn, "b")
			return nil
		}, func(err error) bool { return err == nil }, true},
		"rolls back what is not its own": {func(txn store.Txn) error {
			write(txn, "a", "b")
			return errors.Join(txn.Rollback(), txn.Release())
		}, func(err error) bool { return err != nil }, false},
		"commits": {func(txn store.Txn) error {
			write(txn, "a", "b")
			_ = txn.Commit() // and does not even look
			return nil
		}, func(err error) bool { return errs.Has(err, errs.BadTransaction) }, false},
		"aborts": {func(txn store.Txn) error {
			write(txn, "a", "b")
			txn.Abort()
			return nil
		}, func(err error) bool { return errs.Has(err, errs.BadTransaction) }, false},
		"panics": {func(txn store.Txn) error {
			write(txn, "a", "b")
			panic("on purpose")
		}, func(err error) bool { return errors.Is(err, errPanic) }, false},
		"writes a lot": {func(txn store.Txn) error {
			write(txn, "a", "b")
			_, err := txn.Put([]byte("a lot"), make([]byte, 50<<20))
			return err
		}, func(err error) bool { return err == nil }, true},
		"writes too much and hides it": {func(txn store.Txn) error {
			write(txn, "a", "b")
			for range 100 {
				_, _ = txn.Put([]byte("a lot"), make([]byte, 100<<10)) // an error here must not be lost
			}
			return nil
		}, func(err error) bool { return err == nil }, true},
		"removes a lot": {func(txn store.Txn) error {
			write(txn, "a", "b")
			_, err := txn.DelRange(store.Prefix([]byte("stock")))
			return err
		}, func(err error) bool { return err == nil }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := opened(t, newRoot(t), lmdbstore.Profile{MapSize: 4 << 20})
			ok(t, s.Update(patient, func(txn store.Txn) error {
				for i := range 100 {
					if _, err := txn.Put(fmt.Appendf(nil, "stock %d", i), make([]byte, 20<<10)); err != nil {
						return err
					}
				}
				return nil
			}))
			results, _ := together(t, s, func(txn store.Txn) { ok(t, setting("owner")(txn)) },
				setting("before"), test.guest, setting("after"))
			if !test.want(results[1]) {
				t.Errorf("the guest got %v", results[1])
			}
			for _, i := range []int{0, 2} {
				if results[i] != nil {
					t.Errorf("guest %d got %v", i, results[i])
				}
			}
			for _, key := range []string{"owner", "before", "after"} {
				if get(t, s, key) != key {
					t.Errorf("%s: %q", key, get(t, s, key))
				}
			}
			for _, key := range []string{"a", "b"} {
				if kept := get(t, s, key) != ""; kept != test.kept {
					t.Errorf("%s was kept: %v", key, kept)
				}
			}
			put(t, s, "a", "next") // nobody has kept the turn
			sound(t, s)
		})
	}
}

// A guest that ends the goroutine which runs it ends its own as well, and the
// others are told.
func TestAGuestThatEndsItsGoroutineHangsNobody(t *testing.T) {
	s := opened(t, newRoot(t), kind(false))
	release := make(chan struct{})
	inside := make(chan struct{})
	leader := make(chan bool, 1)
	go func() { // the one who is ended
		returned := false
		defer func() { leader <- returned }()
		_ = s.Update(patient, func(txn store.Txn) error {
			close(inside)
			<-release
			return setting("leader")(txn)
		})
		returned = true
	}()
	<-inside
	results := make(chan error, 2)
	go func() {
		defer func() { results <- nil }()
		_ = s.Update(patient, func(store.Txn) error { runtime.Goexit(); return nil })
	}()
	waitForQueue(t, s, 1)
	go func() { results <- s.Update(patient, setting("other")) }()
	waitForQueue(t, s, 2)
	close(release)
	<-leader
	for range 2 {
		select {
		case err := <-results:
			ok(t, err)
		case <-time.After(patience):
			t.Fatal("a guest was never told")
		}
	}
	if get(t, s, "other") != "other" {
		t.Error("the other guest's update is lost")
	}
	put(t, s, "k", "v")
}

func TestAPanicFreesTheTurnInEveryPlace(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		s := opened(t, newRoot(t), kind(memory))
		for range 3 {
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was lost")
					}
				}()
				_ = s.Update(patient, func(txn store.Txn) error {
					_ = setting("left")(txn)
					ok(t, txn.Savepoint())
					panic("on purpose")
				})
			}()
			ok(t, s.Update(store.Wait{}, setting("k")))
		}
		if get(t, s, "left") != "" {
			t.Error("what it wrote was committed")
		}
	})
}

// Who gives up in the queue is not run later, nor keeps others waiting.
func TestAWaiterThatGivesUpIsNotRun(t *testing.T) {
	s := opened(t, newRoot(t), kind(false))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	txn, err := s.Begin(store.Write, patient)
	ok(t, err)
	results := make(chan error, 2)
	go func() { results <- s.Update(store.Wait{Timeout: 30 * time.Millisecond}, setting("gave up")) }()
	if err := <-results; !errs.Has(err, errs.LockTimeout) {
		t.Errorf("it got %v", err)
	}
	go func() { results <- s.Update(patient, setting("stayed")) }()
	waitForQueue(t, s, 1)
	ok(t, txn.Commit())
	ok(t, <-results)
	if get(t, s, "gave up") != "" || get(t, s, "stayed") == "" {
		t.Errorf("gave up: %q, stayed: %q", get(t, s, "gave up"), get(t, s, "stayed"))
	}
}
