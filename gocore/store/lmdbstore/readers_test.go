package lmdbstore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

func init() {
	// snapshots ROOT KIND COUNT holds so many until it ends.
	roles["snapshots"] = func(p *player, args []string) error {
		s, err := backend(args[0], kindOf(args[1])).Open(namespace, false)
		if err != nil {
			return err
		}
		var count int
		if _, err := fmt.Sscan(args[2], &count); err != nil {
			return err
		}
		for range count {
			if _, err := s.Begin(store.Read, store.Wait{}); err != nil {
				return err
			}
		}
		p.say("holding")
		_, _ = p.hear()
		return nil
	}
}

func slots(t *testing.T, s store.Space) int {
	t.Helper()
	stats, err := s.Stats()
	ok(t, err)
	return stats.Readers
}

func TestManyReadersAtOnceLeaveFewSlotsTaken(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		s := opened(t, newRoot(t), kind(memory))
		put(t, s, "k", "v")
		const many = 500
		var began, ended sync.WaitGroup
		began.Add(many)
		release := make(chan struct{})
		results := make(chan error, many)
		for range many {
			ended.Go(func() {
				txn, err := s.Begin(store.Read, store.Wait{})
				began.Done()
				<-release
				if err == nil {
					_, err = txn.Get([]byte("k"))
					txn.Abort()
				}
				results <- err
			})
		}
		began.Wait()
		if n := slots(t, s); n != many {
			t.Errorf("%d slots are taken by %d readers", n, many)
		}
		close(release)
		ended.Wait()
		for range many {
			ok(t, <-results)
		}
		if n := slots(t, s); n > lmdbstore.MaxIdle {
			t.Errorf("%d slots are still taken", n)
		}
	})
}

// A killed reader's slot keeps old pages alive, and others from a slot.
func TestSlotsOfKilledReadersAreUsedAgain(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		const most = 8
		root := newRoot(t)
		profile := kind(memory)
		profile.MaxReaders = most
		s := opened(t, root, profile)
		put(t, s, "k", "v")
		for range 10 {
			other := start(t, nil, "snapshots", root, kindArg(memory), fmt.Sprint(most-1))
			other.expect("holding")
			other.kill()
			var held []store.Txn
			for {
				txn, err := s.Begin(store.Read, store.Wait{})
				if errs.Has(err, errs.TooManyReaders) {
					break
				}
				ok(t, err)
				held = append(held, txn)
			}
			if len(held) != most {
				t.Errorf("only %d of %d slots were to be had", len(held), most)
			}
			if _, _, err := s.Peek([]byte("k"), nil); !errs.Has(err, errs.TooManyReaders) {
				t.Errorf("a read without a slot: %v", err)
			}
			put(t, s, "k", "v") // writers need none
			for _, txn := range held {
				txn.Abort()
			}
			if get(t, s, "k") != "v" {
				t.Error("it does not go on")
			}
		}
	})
}

// Pages that only a dead process still sees are used again, so that the file
// does not grow for ever.
func TestADeadReaderKeepsNoPages(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		root := newRoot(t)
		s := opened(t, root, kind(memory))
		rewrite := func(times int) int64 {
			for range times {
				ok(t, s.Update(patient, func(txn store.Txn) error {
					_, err := txn.Put([]byte("k"), make([]byte, 20<<10))
					return err
				}))
			}
			stats, err := s.Stats()
			ok(t, err)
			return stats.Used
		}
		rewrite(5)
		other := start(t, nil, "snapshots", root, kindArg(memory), "3")
		other.expect("holding")
		grown := rewrite(200)
		if grown < 200*20<<10 {
			t.Fatalf("%d bytes: the reader held nothing", grown)
		}
		other.kill()
		again, err := backend(root, kind(memory)).Open(namespace, false) // the same space
		ok(t, err)
		ok(t, again.Close())
		sweep(t, s)
		if now := rewrite(200); now > grown+1<<20 {
			t.Errorf("it grew from %d to %d bytes after the reader had died", grown, now)
		}
	})
}

// sweep makes as many commits as it takes until dead readers are looked for.
func sweep(t *testing.T, s store.Space) {
	t.Helper()
	for range lmdbstore.ReaderCheckEvery {
		err := s.Update(patient, func(store.Txn) error { return errNothing })
		if !errors.Is(err, errNothing) {
			t.Fatal(err)
		}
	}
}

var errNothing = errors.New("nothing was to be done")

// Readers that begin while commits follow on each other see each commit whole:
// LMDB copies its roots without a lock.
func TestReadersBeginAmidCommits(t *testing.T) {
	root := newRoot(t)
	s := opened(t, root, kind(true))
	var crowd []*member
	known := acks{}
	for _, group := range []string{"x", "y"} {
		crowd = append(crowd, join(t, "writer", group, root, kindArg(true), group, honest))
	}
	for _, m := range crowd {
		m.goesOn(t, known, patience)
	}
	var last uint64
	for begun := time.Now(); time.Since(begun) < soon; {
		for range 100 {
			txn, err := s.Begin(store.Read, store.Wait{})
			ok(t, err)
			if txn.ID() < last {
				t.Fatalf("commit %d after %d", txn.ID(), last)
			}
			last = txn.ID()
			for _, group := range []string{"x", "y"} {
				if n, err := readGroup(txn, group); err != nil || n < 0 {
					t.Fatalf("commit %d: %d, %v", last, n, err)
				}
			}
			txn.Abort()
		}
	}
	for _, m := range crowd {
		m.leave(t, known)
	}
	lost, err := known.losses(s, []string{"x", "y"})
	ok(t, err)
	if lost != "" {
		t.Error(lost)
	}
}
