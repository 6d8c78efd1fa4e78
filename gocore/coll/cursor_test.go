package coll_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
	"parkit/gocore/store/memstore"
)

// everyBackend runs a test on a dict of each.
func everyBackend(t *testing.T, test func(t *testing.T, space *object.Space, o *object.Object)) {
	for name, backend := range map[string]func(t *testing.T) store.Backend{
		"Memory": func(*testing.T) store.Backend { return memstore.New(memstore.Options{}) },
		"LMDB": func(t *testing.T) store.Backend {
			return lmdbstore.New(filepath.Join(t.TempDir(), "ns"), lmdbstore.Options{
				Profile: func(string) lmdbstore.Profile { return lmdbstore.Profile{Memory: true, MapSize: 1 << 24} },
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			space, o := newDict(t, backend(t))
			test(t, space, o)
		})
	}
}

// entries is what a dict holds, by encoded key.
type entries map[string]string

// set puts n entries whose values are so long, and returns them.
func set(t testing.TB, space *object.Space, o *object.Object, n, size int) entries {
	t.Helper()
	model := entries{}
	update(t, space, func(tx *object.Tx) error {
		for i := range n {
			key, _ := encode(t, fmt.Sprintf("key %05d", i))
			value := strings.Repeat(fmt.Sprint(i, " "), size/len(fmt.Sprint(i, " "))+1)
			model[string(key)] = value
			if err := coll.DictSet(tx, o, key, nil, []byte(value)); err != nil {
				return err
			}
		}
		return nil
	})
	return model
}

// unpack adds what a cursor returned to found, where none of it may be yet.
func unpack(t testing.TB, packed []byte, found entries) {
	t.Helper()
	for len(packed) > 0 {
		key, own, value := binary.NativeEndian.Uint32(packed), binary.NativeEndian.Uint32(packed[4:]), binary.NativeEndian.Uint32(packed[8:])
		packed = packed[12:]
		name := string(packed[:key])
		if _, twice := found[name]; twice {
			t.Fatalf("%q came twice", name)
		}
		found[name] = string(packed[key+own : key+own+value])
		packed = packed[key+own+value:]
	}
}

// rest takes all that a cursor still has.
func rest(t testing.TB, c *coll.Cursor, found entries) {
	t.Helper()
	for {
		packed, last, err := c.Next()
		must(t, err)
		unpack(t, packed, found)
		if last {
			return
		}
	}
}

func same(t testing.TB, found, want entries) {
	t.Helper()
	if !maps.Equal(found, want) {
		t.Fatalf("%d entries came, of %d, or others", len(found), len(want))
	}
}

// disturb changes the dict: nothing of it may be seen by who goes through it.
func disturb(t testing.TB, tx *object.Tx, o *object.Object, random *rand.Rand) error {
	for range 20 {
		key, _ := encode(t, fmt.Sprintf("key %05d", random.IntN(3000)))
		var err error
		if random.IntN(2) == 0 {
			err = coll.DictSet(tx, o, key, nil, []byte("new"))
		} else if err = coll.DictDel(tx, o, key); err == store.ErrNotFound {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// oldest is how long a read transaction has been open; 0 if none is.
func oldest(t testing.TB, space *object.Space) time.Duration {
	t.Helper()
	stats, err := space.Store().Stats()
	must(t, err)
	return stats.OldestRead
}

func newRandom(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// A cursor goes through the dict of one moment, whatever is done to it
// meanwhile, and whenever what is left is set aside.
func TestACursorSeesOneMoment(t *testing.T) {
	everyBackend(t, func(t *testing.T, space *object.Space, o *object.Object) {
		random := newRandom(t)
		for round := range 30 {
			alarms := coll.LimitCursors(t, random.IntN(100_000))
			want := set(t, space, o, random.IntN(2500), random.IntN(300))
			update(t, space, func(tx *object.Tx) error { // what earlier rounds left
				for i := len(want); i < 3000; i++ {
					key, _ := encode(t, fmt.Sprintf("key %05d", i))
					if err := coll.DictDel(tx, o, key); err != nil && err != store.ErrNotFound {
						return err
					}
				}
				return nil
			})
			c, err := coll.NewDictCursor(o, nil, coll.KeyRange{Reverse: round%2 == 0})
			must(t, err)
			found := entries{}
			for last := false; !last; {
				var packed []byte
				packed, last, err = c.Next()
				must(t, err)
				update(t, space, func(tx *object.Tx) error { return disturb(t, tx, o, random) })
				if n := len(*alarms); n > 0 && random.IntN(3) == 0 {
					(*alarms)[random.IntN(n)].Ring() // the right one, or one that is too late
				}
				if random.IntN(20) == 0 {
					must(t, c.Drain())
				}
				unpack(t, packed, found) // it is valid until now
			}
			c.Close()
			same(t, found, want)
		}
		if age := oldest(t, space); age != 0 {
			t.Errorf("a transaction is still open, for %v", age)
		}
	})
}

// In a scope a cursor sees what the scope sees when it is made, and gives it
// beyond the scope's end.
func TestACursorOutlivesItsScope(t *testing.T) {
	everyBackend(t, func(t *testing.T, space *object.Space, o *object.Object) {
		random := newRandom(t)
		for _, mode := range []store.Mode{store.Read, store.Write} {
			for _, commit := range []bool{false, true} {
				coll.LimitCursors(t, 50_000)
				want := set(t, space, o, 2000, 50)
				runtime.LockOSThread()
				tx, err := space.Begin(mode, store.Wait{Timeout: -1})
				must(t, err)
				key, _ := encode(t, "of the transaction")
				if mode == store.Write {
					must(t, coll.DictSet(tx, o, key, nil, []byte("x")))
					want[string(key)] = "x"
				}
				c, err := coll.NewDictCursor(o, tx, coll.KeyRange{})
				must(t, err)
				found := entries{}
				packed, last, err := c.Next()
				must(t, err)
				if last {
					t.Fatal("all of it came at once")
				}
				if mode == store.Write {
					must(t, disturb(t, tx, o, random))
				}
				must(t, c.Drain())
				if commit {
					must(t, tx.Commit())
				} else {
					tx.Abort()
				}
				runtime.UnlockOSThread()
				update(t, space, func(tx *object.Tx) error {
					if err := disturb(t, tx, o, random); err != nil {
						return err
					}
					if err := coll.DictDel(tx, o, key); err != nil && err != store.ErrNotFound {
						return err
					}
					return nil
				})
				unpack(t, packed, found)
				rest(t, c, found)
				c.Close()
				same(t, found, want)
				update(t, space, func(tx *object.Tx) error { return coll.DictClear(tx, o) })
			}
		}
	})
}

// A cursor that nobody asks lets go of its transaction, and one that is asked
// does not.
func TestADawdlingLoopKeepsNoTransaction(t *testing.T) {
	everyBackend(t, func(t *testing.T, space *object.Space, o *object.Object) {
		alarms := coll.LimitCursors(t, 1<<20)
		want := set(t, space, o, 3000, 10)
		c, err := coll.NewDictCursor(o, nil, coll.KeyRange{})
		must(t, err)
		defer c.Close()
		found := entries{}
		for range 3 {
			packed, _, err := c.Next()
			must(t, err)
			unpack(t, packed, found)
		}
		if n := len(*alarms); n != 3 || (*alarms)[0].After <= 0 {
			t.Fatalf("%d alarms for 3 calls", n)
		}
		for i, alarm := range *alarms {
			if wait := i == 2; alarm.Stopped == wait {
				t.Errorf("alarm %d was stopped: %v", i, alarm.Stopped)
			}
		}
		(*alarms)[1].Ring() // it was about to ring as the next call came
		if oldest(t, space) == 0 {
			t.Error("it let go though it had been asked again")
		}
		(*alarms)[2].Ring()
		if age := oldest(t, space); age != 0 {
			t.Errorf("nobody asks, and it keeps a transaction for %v", age)
		}
		rest(t, c, found)
		same(t, found, want)
		if len(*alarms) != 3 {
			t.Error("without a transaction there is nothing to let go")
		}
	})
}

// What the caller reads stays what it is while the rest is set aside.
func TestWhatACursorGaveIsNotWrittenOver(t *testing.T) {
	everyBackend(t, func(t *testing.T, space *object.Space, o *object.Object) {
		alarms := coll.LimitCursors(t, 1<<20)
		set(t, space, o, 2000, 50)
		c, err := coll.NewDictCursor(o, nil, coll.KeyRange{})
		must(t, err)
		defer c.Close()
		packed, _, err := c.Next()
		must(t, err)
		before := bytes.Clone(packed)
		(*alarms)[0].Ring()
		if !bytes.Equal(packed, before) {
			t.Error("it was written over")
		}
	})
}

// What does not fit into memory goes to a file that nobody finds.
func TestWhatIsSetAsideGoesToAFile(t *testing.T) {
	everyBackend(t, func(t *testing.T, space *object.Space, o *object.Object) {
		want := set(t, space, o, 3000, 500)
		for _, memory := range []int{0, 1, 400_000, 1 << 30} {
			scratch := t.TempDir()
			t.Setenv("TMPDIR", scratch)
			coll.LimitCursors(t, memory)
			c, err := coll.NewDictCursor(o, nil, coll.KeyRange{})
			must(t, err)
			must(t, c.Drain())
			if age := oldest(t, space); age != 0 {
				t.Errorf("a transaction is open for %v", age)
			}
			if left, err := os.ReadDir(scratch); err != nil || len(left) != 0 {
				t.Errorf("memory for %d bytes: %v, %v in the directory for scratch", memory, left, err)
			}
			if files := scratchFiles(t, scratch); (files > 0) != (memory < 1<<20) {
				t.Errorf("memory for %d bytes: %d files are open", memory, files)
			}
			found := entries{}
			rest(t, c, found)
			same(t, found, want)
			c.Close()
			if files := scratchFiles(t, scratch); files != 0 {
				t.Errorf("%d files are still open", files)
			}
		}
	})
}

// scratchFiles counts this process's open files of a directory.
func scratchFiles(t *testing.T, dir string) int {
	t.Helper()
	links, err := filepath.Glob("/proc/self/fd/*")
	must(t, err)
	n := 0
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, dir+"/parkit-iteration-") {
			n++
		}
	}
	return n
}

// Where no file can be made, what fits into memory is given, and then the error.
func TestAFailureOfSettingAsideIsToldInItsPlace(t *testing.T) {
	everyBackend(t, func(t *testing.T, space *object.Space, o *object.Object) {
		t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "not there"))
		alarms := coll.LimitCursors(t, 300_000)
		want := set(t, space, o, 3000, 500)
		c, err := coll.NewDictCursor(o, nil, coll.KeyRange{})
		must(t, err)
		defer c.Close()
		found := entries{}
		packed, _, err := c.Next()
		must(t, err)
		(*alarms)[0].Ring()
		unpack(t, packed, found)
		for err == nil {
			var last bool
			packed, last, err = c.Next()
			unpack(t, packed, found)
			if last && err == nil {
				t.Fatal("it came to an end without a word")
			}
		}
		if !errs.Has(err, errs.IO) || len(found) == 0 || len(found) >= len(want) {
			t.Errorf("%d entries, then %v", len(found), err)
		}
		for range 2 {
			if packed, last, again := c.Next(); again != err || !last || len(packed) != 0 {
				t.Errorf("afterwards %d bytes, %v, %v", len(packed), last, again)
			}
		}
		if age := oldest(t, space); age != 0 {
			t.Errorf("a transaction is open for %v", age)
		}
	})
}

// A damaged entry is told of after those before it, set aside or not.
func TestADamagedEntryEndsACursor(t *testing.T) {
	for _, aside := range []bool{false, true} {
		backend := memstore.New(memstore.Options{})
		space, o := newDict(t, backend)
		coll.LimitCursors(t, 1<<20)
		set(t, space, o, 600, 10)
		const at = 333
		key, _ := encode(t, fmt.Sprintf("key %05d", at))
		dbkey, _ := keys.AppendEntryKey(nil, o.Prefix, keys.TagDict, key)
		must(t, backend.Damage("n", dbkey))
		c, err := coll.NewDictCursor(o, nil, coll.KeyRange{})
		must(t, err)
		if aside {
			if err := c.Drain(); !errs.Has(err, errs.Corrupt) {
				t.Errorf("drained: %v", err)
			}
		}
		found := entries{}
		for err == nil {
			var packed []byte
			packed, _, err = c.Next()
			unpack(t, packed, found)
		}
		if !errs.Has(err, errs.Corrupt) || len(found) != at {
			t.Errorf("aside %v: %d entries, then %v", aside, len(found), err)
		}
		if _, _, again := c.Next(); again != err {
			t.Errorf("afterwards %v", again)
		}
		c.Close()
	}
}

// Of large values a cursor reads few at a time.
func TestLargeValuesComeOneByOne(t *testing.T) {
	everyBackend(t, func(t *testing.T, space *object.Space, o *object.Object) {
		coll.LimitCursors(t, 1<<20)
		want := set(t, space, o, 60, 300_000)
		c, err := coll.NewDictCursor(o, nil, coll.KeyRange{})
		must(t, err)
		defer c.Close()
		found := entries{}
		for last := false; !last; {
			var packed []byte
			packed, last, err = c.Next()
			must(t, err)
			before := len(found)
			unpack(t, packed, found)
			if n := len(found) - before; n > 1 {
				t.Fatalf("%d of them at once", n)
			}
		}
		same(t, found, want)
	})
}

// A cursor over a dropped object is refused, and a closed one gives no more.
func TestACursorHasAnEnd(t *testing.T) {
	everyBackend(t, func(t *testing.T, space *object.Space, o *object.Object) {
		coll.LimitCursors(t, 0)
		set(t, space, o, 2000, 100)
		for _, drained := range []bool{false, true} {
			c, err := coll.NewDictCursor(o, nil, coll.KeyRange{})
			must(t, err)
			if drained {
				must(t, c.Drain())
			}
			_, _, err = c.Next()
			must(t, err)
			c.Close()
			if packed, last, err := c.Next(); len(packed) != 0 || !last || err != nil {
				t.Errorf("after Close: %d bytes, %v, %v", len(packed), last, err)
			}
			must(t, c.Drain())
			c.Close()
		}
		update(t, space, func(tx *object.Tx) error { return tx.Drop(o) })
		if _, err := coll.NewDictCursor(o, nil, coll.KeyRange{}); !errs.Has(err, errs.ObjectNotFound) {
			t.Errorf("of a dropped object: %v", err)
		}
		if age := oldest(t, space); age != 0 {
			t.Errorf("a transaction is open for %v", age)
		}
	})
}
