package storetest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

var spaceTests = []test{
	{"ANamespaceThatWasNeverMadeIsNotFound", func(t *testing.T, b store.Backend) {
		_, err := b.Open("memory/never", false)
		fails(t, err, errs.NamespaceNotFound)
		names, err := b.Namespaces()
		ok(t, err)
		equal(t, "namespaces", strings.Join(names, " "), "")
	}},
	{"NamespacesAreListedSorted", func(t *testing.T, b store.Backend) {
		for _, name := range []string{"memory/b", "memory/a/c", "memory/a/b", "memory/aa"} {
			space, err := b.Open(name, true)
			ok(t, err)
			ok(t, space.Close())
		}
		names, err := b.Namespaces()
		ok(t, err)
		want := []string{"memory/a/b", "memory/a/c", "memory/aa", "memory/b"}
		if !slices.Equal(names, want) {
			t.Errorf("got %q, want %q", names, want)
		}
	}},
	{"NamespacesAreApart", func(t *testing.T, b store.Backend) {
		one, err := b.Open("memory/x", true)
		ok(t, err)
		two, err := b.Open("memory/x/y", true) // below the other by name only
		ok(t, err)
		put(t, one, "k", "one")
		put(t, two, "k", "two")
		with(t, one, store.Read, func(txn store.Txn) { has(t, txn, "k", "one") })
		with(t, two, store.Read, func(txn store.Txn) { has(t, txn, "k", "two") })
		ok(t, one.Close())
		ok(t, two.Close())
	}},
	{"OpeningAgainGivesTheSameSpaceUntilTheLastClose", func(t *testing.T, b store.Backend) {
		one, err := b.Open(namespace, true)
		ok(t, err)
		two, err := b.Open(namespace, false)
		ok(t, err)
		if one != two {
			t.Fatalf("two openings of one namespace gave two spaces")
		}
		put(t, one, "k", "v")
		ok(t, one.Close())
		with(t, two, store.Read, func(txn store.Txn) { has(t, txn, "k", "v") })
		ok(t, two.Close())
		_, err = two.Stats()
		fails(t, err, errs.Stale)
	}},
	{"UseAfterCloseIsRefused", func(t *testing.T, b store.Backend) {
		space, err := b.Open(namespace, true)
		ok(t, err)
		put(t, space, "k", "v")
		ok(t, space.Close())
		space.Version(channelA) // has no error to return: must only be harmless
		for name, call := range spaceCalls(t, space) {
			if err := call(); !errs.Has(err, errs.Stale) {
				t.Errorf("%s after Close: got %v, want code stale", name, err)
			}
		}
	}},
	{"CloseIsRefusedWhileATransactionIsOpen", func(t *testing.T, b store.Backend) {
		space, err := b.Open(namespace, true)
		ok(t, err)
		put(t, space, "k", string(pattern(100)))
		// A backend may wait a moment for them to end, so not all kinds here.
		with(t, space, store.Write, func(txn store.Txn) {
			fails(t, space.Close(), errs.BadTransaction)
			has(t, txn, "k", string(pattern(100)))
		})
		value, pin, err := space.Peek([]byte("k"), nil)
		ok(t, err)
		fails(t, space.Close(), errs.BadTransaction)
		sameBytes(t, "pinned value", value, pattern(100))
		pin.Abort()
		ok(t, space.Close())
	}},
	{"CloseDuringUseDoesNoHarm", func(t *testing.T, b store.Backend) {
		for range 2 {
			closeDuringUse(t, b)
		}
	}},
	{"ContentOutlivesClose", func(t *testing.T, b store.Backend) {
		for round := range 3 {
			space, err := b.Open(namespace, round == 0)
			ok(t, err)
			if round > 0 {
				with(t, space, store.Read, func(txn store.Txn) {
					has(t, txn, "round", fmt.Sprint(round-1))
				})
			}
			put(t, space, "round", fmt.Sprint(round))
			with(t, space, store.Write, func(txn store.Txn) { putIn(t, txn, "round", "aborted") })
			ok(t, space.Close())
		}
	}},
	{"CloseWakesWhoSleepsThere", func(t *testing.T, b store.Backend) {
		space, err := b.Open(namespace, true)
		ok(t, err)
		results := make(chan error, 1)
		waiting := make(chan struct{})
		seen := space.Version(channelA)
		go func() {
			first := true
			_, err := space.WaitChange(t.Context(), channelA, seen, store.Wait{
				Timeout: patience,
				Interrupted: func() bool {
					if first {
						first = false
						close(waiting)
					}
					return false
				},
			})
			if errs.Has(err, errs.Stale) {
				err = nil
			} else {
				err = fmt.Errorf("got %v, want code stale", err)
			}
			results <- err
		}()
		<-waiting
		ok(t, space.Close())
		collect(t, results, 1)
	}},
	{"ALeaseIsHeldByOneUntilReleased", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		for range 2 {
			held, err := space.Lease("monitor")
			ok(t, err)
			_, err = space.Lease("monitor")
			fails(t, err, errs.WouldBlock)
			namesThisProcess(t, err)
			other, err := space.Lease("worker")
			ok(t, err)
			ok(t, other.Release())
			_, err = space.Lease("monitor")
			fails(t, err, errs.WouldBlock)
			ok(t, held.Release())
		}
	}},
	{"ALeaseIsSeenAndItsEndWatched", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		leased := func(name string, want bool) {
			t.Helper()
			is, err := space.Leased(name)
			ok(t, err)
			equal(t, name+" is held", is, want)
		}
		watch := func(name string) (gone chan error, cancel func()) {
			t.Helper()
			gone = make(chan error, 2)
			cancel, err := space.WatchLease(name, func() { gone <- nil })
			ok(t, err)
			return gone, cancel
		}
		leased("own-1", false)
		never, _ := watch("own-1")
		collect(t, never, 1)
		one, err := space.Lease("own-1")
		ok(t, err)
		two, err := space.Lease("own-2")
		ok(t, err)
		for range 2 { // to look at it must not drop it
			leased("own-1", true)
		}
		names, err := space.Leases("own-")
		ok(t, err)
		equal(t, "leases", fmt.Sprint(names), "[own-1 own-2]")
		first, _ := watch("own-1")
		second, _ := watch("own-1")
		cancelled, cancel := watch("own-2")
		cancel()
		ok(t, one.Release())
		collect(t, first, 1)
		collect(t, second, 1)
		leased("own-1", false)
		leased("own-2", true)
		ok(t, two.Release())
		leased("own-2", false)
		again, _ := watch("own-2") // after it the cancelled one would have been told
		collect(t, again, 1)
		equal(t, "calls", len(first)+len(second)+len(cancelled)+len(again), 0)
	}},
	{"TheLastCloseLetsGoOfLeases", func(t *testing.T, b store.Backend) {
		space, err := b.Open("memory/leases", true)
		ok(t, err)
		same, err := b.Open("memory/leases", false)
		ok(t, err)
		_, err = space.Lease("own-1")
		ok(t, err)
		ok(t, same.Close())
		is, err := space.Leased("own-1")
		ok(t, err)
		equal(t, "held while it is open", is, true)
		gone := make(chan error, 1)
		_, err = space.WatchLease("own-1", func() { gone <- nil })
		ok(t, err)
		ok(t, space.Close())
		collect(t, gone, 1)
		next, err := b.Open("memory/leases", false)
		ok(t, err)
		lease, err := next.Lease("own-1")
		ok(t, err)
		ok(t, lease.Release())
		ok(t, next.Close())
	}},
	{"ALeaseOfAnotherNamespaceIsAnother", func(t *testing.T, b store.Backend) {
		one := openSpace(t, b)
		two, err := b.Open("memory/other", true)
		ok(t, err)
		first, err := one.Lease("monitor")
		ok(t, err)
		second, err := two.Lease("monitor")
		ok(t, err)
		ok(t, first.Release())
		ok(t, second.Release())
		ok(t, two.Close())
	}},
	{"NowIsTheWallClock", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		if off := time.Since(space.Now()); off < -time.Minute || off > time.Minute {
			t.Errorf("Now is %v away from this process's clock", off)
		}
	}},
	{"StatsFollowTheContent", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		stats := func() store.Stats {
			s, err := space.Stats()
			ok(t, err)
			return s
		}
		put(t, space, "first", "")
		last := stats()
		for round := range 4 {
			write(t, space, func(txn store.Txn) {
				for i := range 50 {
					_, err := txn.Put(fmt.Appendf(nil, "%d %d", round, i), pattern(1000))
					ok(t, err)
				}
			})
			next := stats()
			equal(t, "new entries", next.Entries-last.Entries, 50)
			if next.LastCommit <= last.LastCommit || next.Used < last.Used || next.Used <= 0 || next.MapSize < next.Used {
				t.Errorf("after more entries %+v, before %+v", next, last)
			}
			last = next
		}
		if last.OldestRead != 0 {
			t.Errorf("oldest read is %v old with none open", last.OldestRead)
		}
		with(t, space, store.Read, func(store.Txn) {
			one := stats()
			two := stats()
			if one.Readers < 1 || one.OldestRead <= 0 || two.OldestRead < one.OldestRead {
				t.Errorf("with a reader open: %+v, then %+v", one, two)
			}
		})
		clearSpace(t, space)
		equal(t, "entries", stats().Entries, 0)
	}},
	{"TheSpaceGrowsPastItsMaxSize", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		ok(t, space.SetMaxSize(1<<20))
		for i := range 8 {
			put(t, space, fmt.Sprint(i), string(pattern(1<<20)))
		}
		with(t, space, store.Read, func(txn store.Txn) {
			for i := range 8 {
				has(t, txn, fmt.Sprint(i), string(pattern(1<<20)))
			}
		})
		fails(t, space.SetMaxSize(-1), errs.InvalidArgument)
	}},
	{"CompactKeepsTheContent", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		fillNumbers(t, space, 3000)
		write(t, space, func(txn store.Txn) {
			_, err := txn.DelRange(store.Range{Lo: []byte("000100")})
			ok(t, err)
		})
		freed, err := space.Compact(patient)
		ok(t, err)
		if freed < 0 {
			t.Errorf("gave back %d bytes", freed)
		}
		with(t, space, store.Read, func(txn store.Txn) {
			equal(t, "entries", len(scanAll(t, txn, store.Range{}, 64)), 100)
			has(t, txn, "000042", "value 42")
		})
		put(t, space, "000042", "after")
		with(t, space, store.Read, func(txn store.Txn) { has(t, txn, "000042", "after") })
	}},
	{"BackupIsAConsistentCopy", backsUp},
	{"CheckVerifiesEveryRecord", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		fillNumbers(t, space, 300)
		put(t, space, "000007", "damaged", "000009", "damaged")
		var seen []string
		reports := map[string]int{}
		err := space.Check(verifyNumbers(&seen), func(key []byte, err error) {
			if !errors.Is(err, errOnPurpose) {
				t.Errorf("reported %v, want what verify returned", err)
			}
			reports[string(key)]++
		})
		if err != nil {
			fails(t, err, errs.Corrupt)
		}
		slices.Sort(seen)
		equal(t, "records verified", len(slices.Compact(seen)), 300)
		if len(reports) != 2 || reports["000007"] != 1 || reports["000009"] != 1 {
			t.Errorf("reports: %v, want each damaged record once", reports)
		}
	}},
	{"CheckOfASoundSpaceReportsNothing", func(t *testing.T, b store.Backend) {
		space := openSpace(t, b)
		fillNumbers(t, space, 2000)
		write(t, space, func(txn store.Txn) {
			_, err := txn.DelRange(store.Range{Lo: []byte("000100"), Hi: []byte("001900")})
			ok(t, err)
		})
		var seen []string
		ok(t, space.Check(verifyNumbers(&seen), func(key []byte, err error) {
			t.Errorf("reported %q: %v", key, err)
		}))
		equal(t, "records verified", len(seen), 200)
	}},
	{"CheckFindsInjectedDamage", func(t *testing.T, b store.Backend) {
		damager, can := b.(Damager)
		if !can {
			t.Skip("the backend has no way to damage itself")
		}
		space := openSpace(t, b)
		fillNumbers(t, space, 300)
		ok(t, damager.Damage(namespace, []byte("000123")))
		var seen, reported []string
		if err := space.Check(verifyNumbers(&seen), func(key []byte, err error) {
			reported = append(reported, string(key))
		}); err != nil {
			fails(t, err, errs.Corrupt)
		}
		equal(t, "reported", strings.Join(reported, " "), "000123")
	}},
}

// verifyNumbers verifies what fillNumbers wrote.
func verifyNumbers(seen *[]string) func(key, value []byte) error {
	return func(key, value []byte) error {
		*seen = append(*seen, string(key))
		if want := fmt.Sprintf("value %d", number([]byte(strings.TrimLeft(string(key), "0")))); string(value) != want {
			return fmt.Errorf("%w: %q holds %q", errOnPurpose, key, value)
		}
		return nil
	}
}

func spaceCalls(t *testing.T, space store.Space) map[string]func() error {
	nothing := func(store.Txn) error { return nil }
	return map[string]func() error{
		"Begin(Read)":  func() error { _, err := space.Begin(store.Read, store.Wait{}); return err },
		"Begin(Write)": func() error { _, err := space.Begin(store.Write, store.Wait{}); return err },
		"Update":       func() error { return space.Update(store.Wait{}, nothing) },
		"Peek":         func() error { _, _, err := space.Peek([]byte("k"), nil); return err },
		"WaitChange": func() error {
			_, err := space.WaitChange(t.Context(), channelA, 0, patient)
			return err
		},
		"WaitAny": func() error {
			return space.WaitAny(t.Context(), []store.Channel{channelA}, []uint32{space.Version(channelA)})
		},
		"Lease":      func() error { _, err := space.Lease("a"); return err },
		"Leased":     func() error { _, err := space.Leased("a"); return err },
		"Leases":     func() error { _, err := space.Leases("a"); return err },
		"WatchLease": func() error { _, err := space.WatchLease("a", func() {}); return err },
		"Backup":     func() error { return space.Backup(t.TempDir()) },
		"Check":      func() error { return space.Check(func(_, _ []byte) error { return nil }, func([]byte, error) {}) },
		"Stats":      func() error { _, err := space.Stats(); return err },
		"SetMaxSize": func() error { return space.SetMaxSize(1 << 30) },
		"Compact":    func() error { _, err := space.Compact(store.Wait{}); return err },
	}
}

// backsUp copies a space while it changes: the copy must hold one commit, all
// of it, and be a space of its own.
func backsUp(t *testing.T, b store.Backend) {
	space := openSpace(t, b)
	fillNumbers(t, space, 500)
	pair := func(n int) error {
		return space.Update(patient, func(txn store.Txn) error {
			if _, err := txn.Put([]byte("x"), text(n)); err != nil {
				return err
			}
			_, err := txn.Put([]byte("y"), text(n))
			return err
		})
	}
	ok(t, pair(1))
	results := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for n := 2; ; n++ {
			if err := pair(n); err != nil {
				results <- err
				return
			}
			select {
			case <-stop:
				results <- nil
				return
			default:
			}
		}
	}()
	path := filepath.Join(t.TempDir(), "new", "copy")
	err := space.Backup(path)
	close(stop)
	collect(t, results, 1)
	ok(t, err)

	opener, can := b.(BackupOpener)
	if !can {
		t.Skip("the backend has no way to open a backup")
	}
	restored, err := opener.OpenBackup(path)
	ok(t, err)
	with(t, restored, store.Read, func(txn store.Txn) {
		x, err := txn.Get([]byte("x"))
		ok(t, err)
		has(t, txn, "y", string(x))
		equal(t, "entries", len(scanAll(t, txn, store.Range{Hi: []byte("x")}, 100)), 500)
		has(t, txn, "000499", "value 499")
	})
	put(t, restored, "x", "copy")
	with(t, space, store.Read, func(txn store.Txn) {
		x, err := txn.Get([]byte("x"))
		ok(t, err)
		if string(x) == "copy" {
			t.Errorf("a write to the copy reached the original")
		}
	})
	ok(t, restored.Close())
}

// closeDuringUse closes the space under goroutines that use it. Close may be
// refused while they have transactions; each of their calls must work, or get
// errs.Stale, and nothing may crash.
func closeDuringUse(t *testing.T, b store.Backend) {
	t.Helper()
	space, err := b.Open(namespace, true)
	ok(t, err)
	put(t, space, "k", string(pattern(100)))
	uses := []func() error{
		func() error { return beginOnce(space, patient) },
		func() error { return updateOnce(space, patient) },
		func() error {
			_, pin, err := space.Peek([]byte("k"), nil)
			if err == nil {
				pin.Abort()
			}
			return err
		},
		func() error {
			_, err := space.WaitChange(context.Background(), store.AnyChange, space.Version(store.AnyChange), patient)
			return err
		},
		func() error {
			return space.WaitAny(context.Background(), []store.Channel{store.AnyChange}, []uint32{space.Version(store.AnyChange)})
		},
		func() error { _, err := space.Stats(); return err },
	}
	results := make(chan error, len(uses))
	used := make(chan struct{}, len(uses))
	closing := make(chan struct{})
	for _, use := range uses {
		go func() {
			left := 3 // calls from the moment that the space is being closed
			for round := 0; left > 0; round++ {
				select {
				case <-closing:
					left--
				default:
				}
				if err := use(); errs.Has(err, errs.Stale) {
					break
				} else if err != nil {
					results <- err
					return
				}
				if round == 3 {
					used <- struct{}{}
				}
			}
			results <- nil
		}()
	}
	for range uses {
		select {
		case <-used:
		case err := <-results:
			t.Fatalf("a user ended before the close: %v", err)
		}
	}
	close(closing)
	for deadline := time.Now().Add(patience); ; {
		err := space.Close()
		if err == nil {
			break
		}
		fails(t, err, errs.BadTransaction)
		if time.Now().After(deadline) {
			t.Fatalf("still refused after its users have ended: %v", err)
		}
		runtime.Gosched()
	}
	collect(t, results, len(uses))
}
