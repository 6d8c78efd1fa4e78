package keep_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keep"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/site"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
	"parkit/gocore/store/memstore"
	"parkit/gocore/tasks"
)

var wait = store.Wait{Timeout: -1}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, code errs.Code) {
	t.Helper()
	if !errs.Has(err, code) {
		t.Fatalf("%v, want code %v", err, code)
	}
}

// over runs a test over every backend.
func over(t *testing.T, test func(t *testing.T, backend store.Backend)) {
	for _, b := range []struct {
		name    string
		backend func(t *testing.T) store.Backend
	}{
		{"Memory", func(t *testing.T) store.Backend { return memstore.New(memstore.Options{}) }},
		{"LMDB", func(t *testing.T) store.Backend { return lmdbstore.New(t.TempDir(), lmdbstore.Options{}) }},
	} {
		t.Run(b.name, func(t *testing.T) {
			runtime.LockOSThread()
			t.Cleanup(runtime.UnlockOSThread)
			test(t, b.backend(t))
		})
	}
}

func open(t *testing.T, backend store.Backend, namespace string) *object.Space {
	t.Helper()
	raw, err := backend.Open(namespace, true)
	must(t, err)
	space, err := object.Open(raw, namespace)
	must(t, err)
	t.Cleanup(func() { _ = space.Close() })
	return space
}

func update(t *testing.T, space *object.Space, fn func(tx *object.Tx) error) {
	t.Helper()
	must(t, space.Update(wait, fn))
}

func make_(t *testing.T, space *object.Space, d object.Descriptor, fill func(tx *object.Tx, o *object.Object) error) *object.Object {
	t.Helper()
	var o *object.Object
	update(t, space, func(tx *object.Tx) (err error) {
		d.Versioned = true
		if o, _, err = space.Create(tx, d); err == nil && fill != nil {
			err = fill(tx, o)
		}
		return err
	})
	return o
}

func dictOf(keys_ ...any) func(tx *object.Tx, o *object.Object) error {
	return func(tx *object.Tx, o *object.Object) error {
		for i, k := range keys_ {
			encoded, own, err := keys.EncodeKey(nil, k)
			if err == nil {
				err = coll.DictSet(tx, o, encoded, own, []byte(fmt.Sprint("value ", i)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

func items(n int) func(tx *object.Tx, o *object.Object) error {
	return func(tx *object.Tx, o *object.Object) error {
		for i := range n {
			var err error
			if state, _ := tx.State(o); state.Kind() == object.KindQueue {
				err = coll.QueuePut(tx, o, nil, []byte(fmt.Sprint("item ", i)))
			} else {
				err = coll.ArrayAppend(tx, o, []byte(fmt.Sprint("item ", i)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// everything makes one object of each kind.
func everything(t *testing.T, space *object.Space) {
	t.Helper()
	make_(t, space, object.Descriptor{Name: "object", Class: "parkit.object:Object"}, func(tx *object.Tx, o *object.Object) error {
		return tx.SetAttr(o, "colour", []byte("red"))
	})
	make_(t, space, object.Descriptor{Name: "dict", Kind: object.KindDict, Class: "parkit.dict:Dict", Metadata: `{"a":1}`},
		dictOf(nil, 1, 2.0, "a", strings.Repeat("x", 700), strings.Repeat("y", 503), keys.Tuple{true, "b"}))
	make_(t, space, object.Descriptor{Name: "array", Kind: object.KindArray, Class: "parkit.array:Array"}, items(9))
	make_(t, space, object.Descriptor{Name: "queue", Kind: object.KindQueue, Class: "parkit.queue:Queue"}, items(9))
	make_(t, space, object.Descriptor{Name: "lifo", Kind: object.KindQueue, Class: "parkit.queue:LifoQueue"}, func(tx *object.Tx, o *object.Object) error {
		tx.SetFlags(o, object.FlagLifo, 0)
		return items(5)(tx, o)
	})
	make_(t, space, object.Descriptor{Name: "ranked", Kind: object.KindQueue, Class: "parkit.queue:PriorityQueue"}, func(tx *object.Tx, o *object.Object) error {
		tx.SetFlags(o, object.FlagRanked, 0)
		for i := range 6 {
			rank, _, err := keys.EncodeKey(nil, keys.Tuple{6 - i, strings.Repeat("r", i*100)})
			if err == nil {
				err = coll.QueuePut(tx, o, rank, []byte(fmt.Sprint("item ", i)))
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// contents is all that is stored of an object, in words: attributes, entries
// and items, and the counts.
func contents(t *testing.T, space *object.Space, name string) string {
	t.Helper()
	var out strings.Builder
	tx, err := space.Begin(store.Read, store.Wait{})
	must(t, err)
	defer tx.Abort()
	o, d, err := space.Bind(tx, name)
	must(t, err)
	state, err := tx.State(o)
	must(t, err)
	fmt.Fprintf(&out, "%s %s length %d next %d limit %d pending %d\n", d.Class, d.Metadata, state.Length, state.Next, state.Limit, state.Pending)
	names, err := tx.Attrs(o)
	must(t, err)
	for _, name := range names {
		value, err := tx.GetAttr(o, name)
		must(t, err)
		fmt.Fprintf(&out, "attribute %s %s\n", name, value)
	}
	if d.Kind == object.KindDict {
		for _, e := range entries(t, tx, o) {
			fmt.Fprintf(&out, "%x %x %s\n", sum(e), e.Own, e.Value)
		}
	}
	if d.Kind == object.KindArray {
		for i := range int64(state.Length) {
			value, err := coll.ArrayGet(tx, o, i)
			must(t, err)
			fmt.Fprintf(&out, "%s\n", value)
		}
	}
	return out.String()
}

// sum is what of an entry's stored key does not depend on the object's id.
func sum(e coll.DictEntry) []byte {
	if len(e.Key) > 400 {
		return e.Key[:400]
	}
	return e.Key
}

func entries(t *testing.T, tx *object.Tx, o *object.Object) (list []coll.DictEntry) {
	t.Helper()
	batch := make([]coll.DictEntry, 100)
	n, err := coll.DictScan(tx, o, coll.KeyRange{}, batch)
	must(t, err)
	for _, e := range batch[:n] {
		list = append(list, coll.DictEntry{Key: bytes.Clone(e.Key), Own: bytes.Clone(e.Own), Value: bytes.Clone(e.Value)})
	}
	return list
}

func take(t *testing.T, space *object.Space, name string) (list []string) {
	t.Helper()
	update(t, space, func(tx *object.Tx) error {
		list = nil
		o, _, err := space.Bind(tx, name)
		if err != nil {
			return err
		}
		for {
			taken, err := coll.QueueTake(tx, o, nil)
			if err == store.ErrNotFound {
				return nil
			}
			if err != nil {
				return err
			}
			list = append(list, string(taken.Value()))
		}
	})
	return list
}

var kinds = []string{"object", "dict", "array", "queue", "lifo", "ranked"}

func report(t *testing.T, space *object.Space) keep.Report {
	t.Helper()
	var r keep.Report
	must(t, keep.Check(keep.Namespace{Name: space.Namespace(), Space: space.Store()}, &r))
	return r
}

func sound(t *testing.T, space *object.Space) {
	t.Helper()
	for _, p := range report(t, space).Problems {
		t.Errorf("%+v", p)
	}
}

func repair(t *testing.T, space *object.Space) (r keep.Report, aside []keep.Aside) {
	t.Helper()
	structure, err := keep.Repair(keep.Namespace{Name: space.Namespace(), Space: space.Store()}, &r, func(list []keep.Aside) error {
		aside = append(aside, list...)
		return nil
	})
	must(t, err)
	if structure {
		t.Fatal("the storage is said to be damaged")
	}
	for _, p := range r.Problems {
		if p.Done == "" {
			t.Errorf("nothing was done about %+v", p)
		}
	}
	return r, aside
}

func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// ---- Copies ----

func TestACopyHoldsWhatTheObjectHolds(t *testing.T) {
	over(t, func(t *testing.T, backend store.Backend) {
		from, to := open(t, backend, "from"), open(t, backend, "to")
		everything(t, from)
		for _, target := range []*object.Space{from, to} {
			for _, name := range kinds {
				update(t, target, func(tx *object.Tx) error { return copyInto(tx, from, name, name+" copy", false) })
				if got, want := contents(t, target, name+" copy"), contents(t, from, name); got != want {
					t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
				}
			}
			sound(t, target)
			for _, name := range []string{"queue", "lifo", "ranked"} {
				got := take(t, target, name+" copy")
				if len(got) == 0 {
					t.Errorf("%s: empty", name)
				}
				update(t, target, func(tx *object.Tx) error { return copyInto(tx, from, name, name+" copy 2", false) })
				if again := take(t, target, name+" copy 2"); strings.Join(got, " ") != strings.Join(again, " ") {
					t.Errorf("%s: %s, then %s", name, got, again)
				}
			}
		}
	})
}

func copyInto(tx *object.Tx, from *object.Space, name, other string, moving bool) error {
	source := tx
	if tx.Space() != from {
		var err error
		if source, err = from.Begin(store.Read, store.Wait{}); err != nil {
			return err
		}
		defer source.Abort()
	}
	_, _, err := keep.Copy(tx, source, name, other, false, moving)
	return err
}

// Prefixes of objects differ in length with their ids, so that a key may have
// to be shortened in one place and not in the other.
func TestLongKeysSurviveIDsOfOtherLengths(t *testing.T) {
	over(t, func(t *testing.T, backend store.Backend) {
		few, many := open(t, backend, "few"), open(t, backend, "many")
		update(t, many, func(tx *object.Tx) error {
			for range 70000 {
				if _, err := tx.NextSeq(keys.CounterKey("object")); err != nil {
					return err
				}
			}
			return nil
		})
		var long []any
		for n := 480; n < 530; n++ {
			long = append(long, strings.Repeat("k", n), keys.Tuple{true, strings.Repeat("t", n)})
		}
		make_(t, few, object.Descriptor{Name: "d", Kind: object.KindDict}, dictOf(long...))
		update(t, many, func(tx *object.Tx) error { return copyInto(tx, few, "d", "up", false) })
		update(t, few, func(tx *object.Tx) error { return copyInto(tx, many, "up", "down", false) })
		for _, place := range []struct {
			space *object.Space
			name  string
		}{{many, "up"}, {few, "down"}} {
			tx, err := place.space.Begin(store.Read, store.Wait{})
			must(t, err)
			o, _, err := place.space.Bind(tx, place.name)
			must(t, err)
			for i, k := range long {
				encoded, own, err := keys.EncodeKey(nil, k)
				must(t, err)
				got, err := coll.DictGet(tx, o, encoded)
				must(t, err)
				if string(got) != fmt.Sprint("value ", i) {
					t.Errorf("%s: key %d is %q", place.name, i, got)
				}
				// Its own key can be had back from a scan.
				_, shortened := keys.AppendEntryKey(nil, o.Prefix, keys.TagDict, encoded)
				if shortened {
					want := keys.OwnKey(own, encoded, true)
					found := false
					for _, e := range entries(t, tx, o) {
						found = found || bytes.Equal(e.Own, want)
					}
					if !found {
						t.Errorf("%s: key %d was lost", place.name, i)
					}
				}
			}
			tx.Abort()
			sound(t, place.space)
		}
	})
}

func TestACopyIsRefusedWhereTheNameIsTakenOrARecordDamaged(t *testing.T) {
	over(t, func(t *testing.T, backend store.Backend) {
		space := open(t, backend, "n")
		everything(t, space)
		err := space.Update(wait, func(tx *object.Tx) error { return copyInto(tx, space, "dict", "array", false) })
		refused(t, err, errs.ObjectExists)
		err = space.Update(wait, func(tx *object.Tx) error { return copyInto(tx, space, "none", "x", false) })
		refused(t, err, errs.ObjectNotFound)
		err = space.Update(wait, func(tx *object.Tx) error { return copyInto(tx, space, "dict", "a/b", false) })
		refused(t, err, errs.InvalidPath)
		damage(t, space, "array", keys.TagItem, 3)
		err = space.Update(wait, func(tx *object.Tx) error { return copyInto(tx, space, "array", "x", false) })
		refused(t, err, errs.Corrupt)
		update(t, space, func(tx *object.Tx) error {
			_, _, err := keep.Copy(tx, tx, "queue", "array", true, false)
			return err
		})
		sound(t, space)
		if got := len(take(t, space, "array")); got != 9 {
			t.Errorf("%d items", got)
		}
	})
}

func TestARenamedObjectIsFoundByItsHandleAndItsUUID(t *testing.T) {
	over(t, func(t *testing.T, backend store.Backend) {
		space := open(t, backend, "n")
		o := make_(t, space, object.Descriptor{Name: "a", Kind: object.KindDict}, dictOf("k"))
		var uuid string
		update(t, space, func(tx *object.Tx) error {
			d, err := tx.Describe(o)
			uuid = d.UUID
			if err != nil {
				return err
			}
			return keep.Rename(tx, "a", "b", false)
		})
		make_(t, space, object.Descriptor{Name: "a"}, nil)
		update(t, space, func(tx *object.Tx) error {
			if _, err := tx.State(o); err != nil {
				return err
			}
			for _, name := range []string{"a", "b", "c"} {
				found, d, err := space.Find(tx, name, uuid)
				if err != nil || found.ID != o.ID || d.Name != "b" {
					t.Errorf("%s: %+v, %v", name, d, err)
				}
			}
			refused(t, keep.Rename(tx, "b", "a", false), errs.ObjectExists)
			refused(t, keep.Rename(tx, "c", "d", false), errs.ObjectNotFound)
			refused(t, keep.Rename(tx, "b", "x/y", true), errs.InvalidPath)
			return keep.Rename(tx, "b", "a", true)
		})
		sound(t, space)
		if got := report(t, space).Objects; got != 1 {
			t.Errorf("%d objects", got)
		}
	})
}

// ---- Damage ----

// damage flips a bit in the n-th record of a tag of an object.
func damage(t *testing.T, space *object.Space, name string, tag byte, n int) {
	t.Helper()
	update(t, space, func(tx *object.Tx) error {
		o, _, err := space.Bind(tx, name)
		if err != nil {
			return err
		}
		list := make([]store.Entry, n+1)
		got, err := tx.Scan(store.Prefix(keys.AppendTag(nil, o.Prefix, tag)), list)
		if err != nil || got <= n {
			return fmt.Errorf("%d records: %w", got, err)
		}
		flip(tx, list[n])
		return nil
	})
}

func flip(tx store.Txn, e store.Entry) {
	key, record := bytes.Clone(e.Key), bytes.Clone(e.Value)
	record[len(record)-1] ^= 4
	if _, err := tx.Put(key, record); err != nil {
		panic(err)
	}
}

func TestADamagedRecordIsNamedAndSetAside(t *testing.T) {
	over(t, func(t *testing.T, backend store.Backend) {
		for _, c := range []struct {
			name string
			tag  byte
			n    int
			key  string
			left int
		}{
			{"object", keys.TagAttr, 0, "colour", 0},
			{"dict", keys.TagDict, 3, `entry "a"`, 6},
			{"array", keys.TagItem, 0, "position 0", 8},
			{"array", keys.TagItem, 4, "position 4", 8},
			{"array", keys.TagItem, 8, "position 8", 8},
			{"queue", keys.TagItem, 4, "position 4", 8},
			{"lifo", keys.TagItem, 4, "position 4", 4},
			{"ranked", keys.TagRank, 2, "item of rank", 5},
		} {
			space := open(t, backend, fmt.Sprint("n-", c.name, c.n))
			everything(t, space)
			sound(t, space)
			before := map[string]string{}
			for _, name := range kinds {
				before[name] = contents(t, space, name)
			}
			damage(t, space, c.name, c.tag, c.n)
			found := report(t, space)
			if len(found.Problems) == 0 || found.Problems[0].Object != c.name || !strings.Contains(found.Problems[0].Key, c.key) {
				t.Errorf("%s %d: %+v", c.name, c.n, found.Problems)
			}
			_, aside := repair(t, space)
			if len(aside) != 1 || aside[0].Object != c.name || len(aside[0].Record) == 0 || len(aside[0].DBKey) == 0 || aside[0].Reason == "" {
				t.Errorf("%s %d: set aside %+v", c.name, c.n, aside)
			}
			sound(t, space)
			for _, name := range kinds {
				if name != c.name && contents(t, space, name) != before[name] {
					t.Errorf("%s is not as before", name)
				}
			}
			if c.name == "array" {
				if got := strings.Count(contents(t, space, c.name), "item"); got != c.left {
					t.Errorf("%s %d: %d items", c.name, c.n, got)
				}
				update(t, space, func(tx *object.Tx) error {
					o, _, err := space.Bind(tx, "array")
					if err != nil {
						return err
					}
					return coll.ArrayAppend(tx, o, []byte("more"))
				})
			}
			if c.tag == keys.TagRank || c.name == "queue" || c.name == "lifo" {
				if got := take(t, space, c.name); len(got) != c.left {
					t.Errorf("%s %d: %q", c.name, c.n, got)
				}
			}
			sound(t, space)
		}
	})
}

func TestALostCatalogIsMadeAnew(t *testing.T) {
	type world struct {
		space *object.Space
		id    uint64
	}
	cases := map[string]struct {
		harm func(w world, tx store.Txn) error
		name string // under which the dict is afterwards
	}{
		"descriptor damaged": {func(w world, tx store.Txn) error { return flipKey(tx, keys.DescriptorKey(w.id)) }, "dict"},
		"descriptor missing": {func(w world, tx store.Txn) error { return del(tx, keys.DescriptorKey(w.id)) }, "dict"},
		"name missing":       {func(w world, tx store.Txn) error { return del(tx, keys.NameKey("dict")) }, "dict"},
		"name damaged": {func(w world, tx store.Txn) error {
			_, err := tx.Put(keys.NameKey("dict"), []byte("short"))
			return err
		}, "dict"},
		"name leads elsewhere": {func(w world, tx store.Txn) error {
			_, err := tx.Put(keys.NameKey("dict"), []byte{0, 0, 0, 0, 0, 0, 0, 1})
			return err
		}, "dict"},
		"state damaged": {func(w world, tx store.Txn) error { return flipKey(tx, keys.StateKey(keys.ObjectPrefix(w.id))) }, "dict"},
		"state missing": {func(w world, tx store.Txn) error { return del(tx, keys.StateKey(keys.ObjectPrefix(w.id))) }, "dict"},
		"name and descriptor missing": {func(w world, tx store.Txn) error {
			if err := del(tx, keys.NameKey("dict")); err != nil {
				return err
			}
			return del(tx, keys.DescriptorKey(w.id))
		}, "recovered-2"},
		"all but the entries missing": {func(w world, tx store.Txn) error {
			for _, key := range [][]byte{keys.NameKey("dict"), keys.DescriptorKey(w.id), keys.StateKey(keys.ObjectPrefix(w.id))} {
				if err := del(tx, key); err != nil {
					return err
				}
			}
			return nil
		}, "recovered-2"},
		"format damaged": {func(w world, tx store.Txn) error { return flipKey(tx, keys.FormatKey()) }, "dict"},
		"counter damaged": {func(w world, tx store.Txn) error {
			_, err := tx.Put(keys.CounterKey("object"), []byte("x"))
			return err
		}, "dict"},
		"counter too low": {func(w world, tx store.Txn) error {
			_, err := tx.Put(keys.CounterKey("object"), []byte{0, 0, 0, 0, 0, 0, 0, 1})
			return err
		}, "dict"},
		"an unknown key": {func(w world, tx store.Txn) error { _, err := tx.Put([]byte{0x77}, []byte("x")); return err }, "dict"},
	}
	over(t, func(t *testing.T, backend store.Backend) {
		for title, c := range cases {
			t.Run(title, func(t *testing.T) {
				space := open(t, backend, strings.ReplaceAll(title, " ", "-"))
				everything(t, space)
				want := contents(t, space, "dict")
				w := world{space, 2}
				must(t, space.Store().Update(wait, func(tx store.Txn) error { return c.harm(w, tx) }))
				if found := report(t, space); found.Sound() {
					t.Error("it is said to be sound")
				}
				repair(t, space)
				sound(t, space)
				got := contents(t, space, c.name)
				if !strings.Contains(title, "descriptor") && !strings.HasPrefix(title, "all") && got != want {
					t.Errorf("\n%s\nwant\n%s", got, want)
				}
				if strings.Count(got, "value") != 7 {
					t.Errorf("entries were lost:\n%s", got)
				}
				for _, name := range kinds {
					if name != "dict" {
						contents(t, space, name)
					}
				}
				made := make_(t, space, object.Descriptor{Name: "new", Kind: object.KindDict}, dictOf(1))
				if made.ID != 7 {
					t.Errorf("the next id is %d", made.ID)
				}
				sound(t, space)
			})
		}
	})
}

func flipKey(tx store.Txn, key []byte) error {
	record, err := tx.Get(key)
	if err == nil {
		flip(tx, store.Entry{Key: key, Value: record})
	}
	return err
}

func del(tx store.Txn, key []byte) error {
	_, err := tx.Del(key)
	return err
}

func TestALengthThatIsWrongIsSaid(t *testing.T) {
	over(t, func(t *testing.T, backend store.Backend) {
		space := open(t, backend, "n")
		everything(t, space)
		update(t, space, func(tx *object.Tx) error {
			o, _, err := space.Bind(tx, "dict")
			if err == nil {
				_, err = tx.State(o)
				tx.Changed(o, 5)
			}
			return err
		})
		found := report(t, space)
		if len(found.Problems) != 1 || found.Problems[0].What != "the length is said to be 12 and is 7" {
			t.Errorf("%+v", found.Problems)
		}
		if _, aside := repair(t, space); len(aside) != 0 {
			t.Errorf("set aside %+v", aside)
		}
		sound(t, space)
	})
}

// A repair whose quarantine cannot be written changes nothing.
func TestNothingIsRemovedThatIsNotKept(t *testing.T) {
	over(t, func(t *testing.T, backend store.Backend) {
		space := open(t, backend, "n")
		everything(t, space)
		damage(t, space, "dict", keys.TagDict, 2)
		before := report(t, space)
		var r keep.Report
		full := errs.New(errs.Full, "set aside", "", "no room")
		_, err := keep.Repair(keep.Namespace{Name: "n", Space: space.Store()}, &r, func([]keep.Aside) error { return full })
		refused(t, err, errs.Full)
		if after := report(t, space); after.Records != before.Records || len(after.Problems) != len(before.Problems) {
			t.Errorf("%+v, and before %+v", after, before)
		}
	})
}

func TestTasksAreBroughtBackIntoStep(t *testing.T) {
	over(t, func(t *testing.T, backend store.Backend) {
		random := seeded(t)
		for round := range 30 {
			space := open(t, backend, fmt.Sprint(site.TaskNamespace, round))
			store_, err := tasks.Open(space.Store())
			must(t, err)
			for i := range 12 {
				_, _, err := store_.Submit(&tasks.Spec{Name: "f", Args: []byte("args"), Queue: fmt.Sprint("q", i%2)}, wait)
				must(t, err)
			}
			must(t, tasks.Inspect(space.Store()))
			must(t, space.Store().Update(wait, func(tx store.Txn) error {
				var all [200]store.Entry
				n, err := tx.Scan(store.Prefix(keys.TaskPrefix()), all[:])
				if err != nil {
					return err
				}
				e := all[random.IntN(n)]
				if round%2 == 0 {
					return del(tx, bytes.Clone(e.Key))
				}
				if len(e.Value) > 8 || len(e.Value) < 8 { // not a counter
					flip(tx, e)
				}
				return nil
			}))
			var r keep.Report
			ns := keep.Namespace{Name: space.Namespace(), Space: space.Store(), Tasks: true}
			_, err = keep.Repair(ns, &r, func([]keep.Aside) error { return nil })
			must(t, err)
			must(t, tasks.Inspect(space.Store()))
			again, err := tasks.Open(space.Store())
			must(t, err)
			left, err := again.List(tasks.Filter{}, 0, 100)
			must(t, err)
			if len(left) < 11 {
				t.Errorf("%d tasks are left", len(left))
			}
			_, _, err = again.Submit(&tasks.Spec{Name: "f"}, wait)
			must(t, err)
			must(t, tasks.Inspect(space.Store()))
		}
	})
}
