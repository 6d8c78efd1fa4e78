package coll_test

import (
	"path/filepath"
	"testing"
	"time"

	"parkit/gocore/coll"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/owner"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
	"parkit/gocore/store/memstore"
)

var soon = store.Wait{Timeout: time.Minute}

func claim(t *testing.T, o *object.Object, key []byte) (coll.Claim, string) {
	t.Helper()
	answer, value, err := coll.DictClaim(o, soon, key)
	must(t, err)
	return answer, string(value)
}

func claimsIn(t *testing.T, backend func(t *testing.T) store.Backend, test func(t *testing.T, o *object.Object, key []byte)) {
	t.Helper()
	_, o := newDict(t, backend(t))
	key, _ := encode(t, "key")
	test(t, o, key)
}

// bothBackends runs a test on a new dict of each backend.
func bothBackends(t *testing.T, test func(t *testing.T, o *object.Object, key []byte)) {
	t.Run("memory", func(t *testing.T) {
		claimsIn(t, func(*testing.T) store.Backend { return memstore.New(memstore.Options{}) }, test)
	})
	t.Run("lmdb", func(t *testing.T) {
		claimsIn(t, func(t *testing.T) store.Backend {
			return lmdbstore.New(filepath.Join(t.TempDir(), "s"), lmdbstore.Options{Profile: func(string) lmdbstore.Profile {
				return lmdbstore.Profile{Memory: true, NoSync: true, MapSize: 1 << 24}
			}})
		}, test)
	})
}

// claimAs puts another process's claim on a key.
func claimAs(t *testing.T, o *object.Object, key []byte, token owner.Token) {
	t.Helper()
	dbkey, _ := keys.AppendEntryKey(nil, o.Prefix, keys.TagClaim, key)
	payload := make([]byte, 8)
	for i := range payload {
		payload[i] = byte(token >> (8 * i))
	}
	update(t, o.Space, func(tx *object.Tx) error {
		_, err := tx.Put(dbkey, keys.SealPayload(dbkey, payload))
		return err
	})
}

func TestAClaimEndsWithTheValue(t *testing.T) {
	bothBackends(t, func(t *testing.T, o *object.Object, key []byte) {
		for range 2 { // the same process may ask again
			if answer, _ := claim(t, o, key); answer != coll.ClaimMine {
				t.Fatalf("answer %d", answer)
			}
		}
		seen := o.Space.Store().Version(o.Channel())
		update(t, o.Space, func(tx *object.Tx) error {
			_, err := coll.DictStore(tx, o, coll.DictEntry{Key: key, Value: []byte("v")}, 0, coll.StoreEnd)
			return err
		})
		if o.Space.Store().Version(o.Channel()) == seen {
			t.Error("nobody was woken")
		}
		if answer, value := claim(t, o, key); answer != coll.ClaimThere || value != "v" {
			t.Fatalf("answer %d, %q", answer, value)
		}
		update(t, o.Space, func(tx *object.Tx) error { return coll.DictDel(tx, o, key) })
		if answer, _ := claim(t, o, key); answer != coll.ClaimMine {
			t.Fatalf("answer %d", answer)
		}
		update(t, o.Space, func(tx *object.Tx) error { return coll.DictUnclaim(tx, o, key) })
		update(t, o.Space, func(tx *object.Tx) error { return coll.DictUnclaim(tx, o, key) })
		tx, err := o.Space.Begin(store.Read, store.Wait{})
		must(t, err)
		defer tx.Abort()
		var one [1]store.Entry
		if n, err := tx.Scan(store.Prefix(keys.AppendTag(nil, o.Prefix, keys.TagClaim)), one[:]); n != 0 || err != nil {
			t.Fatalf("%d claims are left, %v", n, err)
		}
	})
}

func TestAClaimOfAnotherProcessIsWaitedForUntilItDies(t *testing.T) {
	bothBackends(t, func(t *testing.T, o *object.Object, key []byte) {
		other, life, err := owner.Take(o.Space.Store())
		must(t, err)
		claimAs(t, o, key, other)
		seen := o.Space.Store().Version(o.Channel())
		if answer, _ := claim(t, o, key); answer != coll.ClaimOthers {
			t.Fatalf("answer %d", answer)
		}
		update(t, o.Space, func(tx *object.Tx) error { return coll.DictUnclaim(tx, o, key) })
		if answer, _ := claim(t, o, key); answer != coll.ClaimOthers {
			t.Fatal("another process's claim was given up")
		}
		must(t, life.Release())
		for answer := coll.ClaimOthers; answer != coll.ClaimMine; {
			if seen, err = o.Space.Store().WaitChange(t.Context(), o.Channel(), seen, soon); err != nil {
				t.Fatal(err)
			}
			answer, _ = claim(t, o, key)
		}
	})
}

func TestAClaimThatADeadProcessLeftIsFoundOut(t *testing.T) {
	bothBackends(t, func(t *testing.T, o *object.Object, key []byte) {
		claimAs(t, o, key, 12345) // nobody's
		for {
			seen := o.Space.Store().Version(o.Channel())
			if answer, _ := claim(t, o, key); answer == coll.ClaimMine {
				return
			}
			_, err := o.Space.Store().WaitChange(t.Context(), o.Channel(), seen, soon)
			must(t, err)
		}
	})
}

// claims is how many claims there are on keys of a dict.
func claims(t *testing.T, o *object.Object) int {
	t.Helper()
	tx, err := o.Space.Begin(store.Read, store.Wait{})
	must(t, err)
	defer tx.Abort()
	var some [10]store.Entry
	n, err := tx.Scan(store.Prefix(keys.AppendTag(nil, o.Prefix, keys.TagClaim)), some[:])
	must(t, err)
	return n
}

// holding runs fn while another has the turn to write.
func holding(t *testing.T, o *object.Object, fn func()) {
	t.Helper()
	held, release, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		ended <- o.Space.Update(soon, func(*object.Tx) error {
			close(held)
			<-release
			return nil
		})
	}()
	<-held
	fn()
	close(release)
	must(t, <-ended)
}

func TestAClaimIsGivenUpWithoutAWaitForTheTurn(t *testing.T) {
	bothBackends(t, func(t *testing.T, o *object.Object, key []byte) {
		claim(t, o, key)
		seen := o.Space.Store().Version(o.Channel())
		holding(t, o, func() {
			must(t, coll.DictUnclaimSoon(o, key)) // hangs for ever if it waits
		})
		for claims(t, o) > 0 {
			var err error
			if seen, err = o.Space.Store().WaitChange(t.Context(), o.Channel(), seen, soon); err != nil {
				t.Fatal(err)
			}
		}
		// Where the turn is free it is done when the call returns.
		claim(t, o, key)
		must(t, coll.DictUnclaimSoon(o, key))
		if n := claims(t, o); n != 0 {
			t.Fatalf("%d claims are left", n)
		}
	})
}

func TestAClaimThatWasMadeAgainIsNotGivenUp(t *testing.T) {
	bothBackends(t, func(t *testing.T, o *object.Object, key []byte) {
		other, _ := encode(t, "other")
		for range 20 { // which of the two comes first is the scheduler's
			claim(t, o, other)
			again := make(chan error, 1)
			holding(t, o, func() {
				must(t, coll.DictUnclaimSoon(o, key))
				must(t, coll.DictUnclaimSoon(o, other))
				go func() {
					_, _, err := coll.DictClaim(o, soon, key)
					again <- err
				}()
			})
			must(t, <-again)
			for seen := o.Space.Store().Version(o.Channel()); claims(t, o) > 1; {
				var err error
				if seen, err = o.Space.Store().WaitChange(t.Context(), o.Channel(), seen, soon); err != nil {
					t.Fatal(err)
				}
			}
			update(t, o.Space, func(*object.Tx) error { return nil })
			if n := claims(t, o); n != 1 {
				t.Fatalf("%d claims are left of the one that was made again", n)
			}
			must(t, coll.DictUnclaimSoon(o, key))
			for seen := o.Space.Store().Version(o.Channel()); claims(t, o) > 0; {
				var err error
				if seen, err = o.Space.Store().WaitChange(t.Context(), o.Channel(), seen, soon); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}
