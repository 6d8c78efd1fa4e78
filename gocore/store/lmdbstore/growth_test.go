package lmdbstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// small is a map that is soon full, and growSlowly has it grow in steps so
// small that it grows many times.
func small(memory bool) lmdbstore.Profile {
	return lmdbstore.Profile{Memory: memory, MapSize: 256 << 10}
}

func growSlowly(t *testing.T) {
	lmdbstore.GrowOften(128<<10, 64<<10)
	t.Cleanup(func() { lmdbstore.GrowAsEver() })
}

func init() {
	// grown ROOT KIND NAME reads its group in snapshots, each kept while it
	// writes twice more, until told to end.
	roles["grown"] = func(p *player, args []string) error {
		lmdbstore.GrowOften(128<<10, 64<<10)
		lmdbstore.SetRemapPatience(5 * time.Millisecond)
		s, err := backend(args[0], small(args[1] == "memory")).Open(namespace, true)
		if err != nil {
			return err
		}
		end := make(chan struct{})
		go func() {
			_, _ = p.hear()
			close(end)
		}()
		for n := 1; ; n++ {
			if err := writeUnderSnapshot(s, args[2], &n); err != nil {
				return err
			}
			p.say("%d", n)
			select {
			case <-end:
				return s.Close()
			default:
			}
		}
	}
}

func writeUnderSnapshot(s store.Space, group string, n *int) error {
	update := func() error {
		return s.Update(patient, func(txn store.Txn) error { return writeGroup(txn, group, *n, 0, groupKeys) })
	}
	if err := update(); err != nil {
		return err
	}
	snapshot, err := s.Begin(store.Read, store.Wait{})
	if err != nil {
		return err
	}
	defer snapshot.Abort()
	for range 2 {
		*n++
		// This process's map cannot change now. It lasts for a while.
		if err := update(); err != nil && !errs.Has(err, errs.Conflict) && !errs.Has(err, errs.Full) {
			return err
		} else if err != nil {
			*n--
		}
		if seen, err := readGroup(snapshot, group); err != nil || seen < 1 {
			return fmt.Errorf("the snapshot has %d: %w", seen, err)
		}
	}
	return nil
}

func TestTheMapGrowsAmidOthers(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		growSlowly(t)
		root := newRoot(t)
		s := opened(t, root, small(memory))
		var others []*member
		for i := range 4 {
			others = append(others, join(t, "grown", "", root, kindArg(memory), fmt.Sprint("g", i)))
		}
		size := func() int64 {
			stats, err := s.Stats()
			ok(t, err)
			return stats.MapSize
		}
		filling := bytes.Repeat([]byte("f"), 8<<10)
		n := 0
		for last, grown := size(), 0; grown < growths; {
			ok(t, s.Update(patient, func(txn store.Txn) error {
				_, err := txn.Put(fmt.Appendf(nil, "filling %06d", n), filling)
				return err
			}))
			n++
			if now := size(); now != last {
				last = now
				grown++
			}
		}
		for _, other := range others {
			for range len(other.lines) {
				other.goesOn(t, nil, soon)
			}
			other.goesOn(t, nil, patience) // on the map as it is now
			other.tell("end")
			for range other.lines {
				continue
			}
			other.wait()
			if !other.cmd.ProcessState.Success() {
				t.Errorf("%v: %v\n%s", other.args, other.cmd.ProcessState, other.stderr.String())
			}
		}
		sound(t, s)
		if got := get(t, s, "filling 000000"); got != "" && got != string(filling) {
			t.Error("the first filling is damaged")
		}
	})
}

// While this process has a snapshot its map cannot grow. Where there is room
// all the same nobody waits for it; where there is none the writer is told.
func TestASnapshotDelaysGrowthOnlyWhereItMust(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		growSlowly(t)
		lmdbstore.SetRemapPatience(50 * time.Millisecond)
		defer lmdbstore.SetRemapPatience(2 * time.Second)
		s := opened(t, newRoot(t), small(memory))
		put(t, s, "before", "x")
		snapshot, err := s.Begin(store.Read, store.Wait{})
		ok(t, err)
		fill := func(wait store.Wait, n int) error {
			return s.Update(wait, func(txn store.Txn) error {
				_, err := txn.Put(fmt.Appendf(nil, "%06d", n), make([]byte, 8<<10))
				return err
			})
		}
		n := 0
		for err == nil {
			err = fill(patient, n)
			n++
		}
		if n < 10 || (!errs.Has(err, errs.Conflict) && !errs.Has(err, errs.Full)) {
			t.Errorf("write %d: %v", n, err)
		}
		// Interrupted and short waits end in time, and no wait at all says so.
		lmdbstore.SetRemapPatience(patience)
		begun := time.Now()
		if err := fill(store.Wait{Timeout: 50 * time.Millisecond}, n); err == nil || time.Since(begun) > soon {
			t.Errorf("a short wait: %v after %v", err, time.Since(begun))
		}
		var asked time.Time
		err = fill(store.Wait{Timeout: patience, Interrupted: func() bool {
			if asked.IsZero() {
				asked = time.Now()
				return false
			}
			return true
		}}, n)
		if took := time.Since(asked); !errs.Has(err, errs.Interrupted) || took > 100*time.Millisecond {
			t.Errorf("interrupted after %v: %v", took, err)
		}
		// Deletions find room.
		ok(t, s.Update(store.Wait{Timeout: -1}, func(txn store.Txn) error { _, err := txn.Del([]byte("before")); return err }))
		if value, err := snapshot.Get([]byte("before")); err != nil || string(value) != "x" {
			t.Errorf("the snapshot has %q, %v", value, err)
		}
		snapshot.Abort()
		for range 40 {
			ok(t, fill(patient, n))
			n++
		}
		sound(t, s)
	})
}

func TestATransactionMayBeLargerThanTheMap(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		s := opened(t, newRoot(t), small(memory))
		large := func(txn store.Txn) error {
			for i := range 30 {
				if _, err := txn.Put(fmt.Appendf(nil, "large %d", i), bytes.Repeat([]byte{byte(i)}, 1<<20)); err != nil {
					return err
				}
			}
			return nil
		}
		ok(t, s.Update(patient, large))
		ok(t, s.Update(patient, func(txn store.Txn) error { _, err := txn.DelRange(store.Prefix([]byte("large"))); return err }))

		// One that is begun by hand is told, and has the room the next time.
		ok(t, s.SetMaxSize(64<<20))
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var err error
		for attempt := range 4 {
			var txn store.Txn
			txn, err = s.Begin(store.Write, patient)
			ok(t, err)
			if err = large(txn); err == nil {
				_, err = txn.Put([]byte("huge"), make([]byte, 40<<20))
			}
			if err == nil {
				err = txn.Commit()
			}
			txn.Abort()
			if err == nil {
				break
			}
			if !errs.Has(err, errs.Full) || !strings.Contains(err.Error(), "run it again") {
				t.Fatalf("attempt %d: %v", attempt, err)
			}
		}
		ok(t, err)
		sound(t, s)
	})
}

// Processes whose maps differ write to one memory namespace: the file must be
// long enough for all of them, or one dies of a SIGBUS.
func TestMapsOfSeveralSizesShareAFile(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		root := newRoot(t)
		s := opened(t, root, lmdbstore.Profile{Memory: memory, MapSize: 64 << 20})
		put(t, s, "k", "v")
		other := start(t, nil, "sized", root, kindArg(memory), fmt.Sprint(1<<20))
		other.expect("open")
		fill := func(n int) {
			ok(t, s.Update(patient, func(txn store.Txn) error {
				_, err := txn.Put(fmt.Appendf(nil, "here %d", n), make([]byte, 1<<20))
				return err
			}))
		}
		for n := range 20 {
			fill(n)
			other.tell("put")
			other.expect("done")
		}
		if memory {
			other.tell("shrink") // would cut the file under this process's map
			if got := other.line(); !strings.Contains(got, "other processes") {
				t.Errorf("shrinking: %q", got)
			}
			fill(20)
		}
		other.end()
		err := s.SetMaxSize(48 << 20)
		ok(t, err)
		for n := range 20 {
			fill(100 + n)
		}
		sound(t, s)
	})
}

func init() {
	// sized ROOT KIND SIZE writes a megabyte at each order "put".
	roles["sized"] = func(p *player, args []string) error {
		var size int64
		if _, err := fmt.Sscan(args[2], &size); err != nil {
			return err
		}
		s, err := backend(args[0], lmdbstore.Profile{Memory: args[1] == "memory", MapSize: size}).Open(namespace, true)
		if err != nil {
			return err
		}
		p.say("open")
		for n := 0; ; n++ {
			order, err := p.hear()
			switch {
			case err != nil:
				return nil
			case order == "shrink":
				err = s.SetMaxSize(60 << 20)
				if err == nil {
					err = errors.New("no error")
				}
				p.say("%v", err)
				continue
			}
			if err := s.Update(patient, func(txn store.Txn) error {
				_, err := txn.Put(fmt.Appendf(nil, "there %d", n), make([]byte, 1<<20))
				return err
			}); err != nil {
				return err
			}
			p.say("done")
		}
	}
}
