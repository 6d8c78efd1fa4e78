package coll_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"parkit/gocore/coll"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

const benchEntries = 10_000

// benchDict is a dict of numbers in a memory namespace of LMDB.
func benchDict(b *testing.B) (*object.Space, *object.Object, [][]byte) {
	space, o := newDict(b, lmdbstore.New(filepath.Join(b.TempDir(), "ns"), lmdbstore.Options{
		Profile: func(string) lmdbstore.Profile { return lmdbstore.Profile{Memory: true} },
	}))
	encoded := make([][]byte, benchEntries)
	entries := make([]coll.DictEntry, benchEntries)
	for i := range encoded {
		encoded[i], _ = encode(b, fmt.Sprintf("key%06d", i))
		entries[i] = coll.DictEntry{Key: encoded[i], Value: []byte("a value of 25 bytes or so")}
	}
	update(b, space, func(tx *object.Tx) error { return coll.DictSetMany(tx, o, entries) })
	b.ReportAllocs()
	return space, o, encoded
}

func BenchmarkDictPeek(b *testing.B) {
	_, o, encoded := benchDict(b)
	dst := make([]byte, 0, 256)
	for i := 0; b.Loop(); i++ {
		if _, _, err := coll.DictPeek(o, encoded[i*7919%benchEntries], dst, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDictSet(b *testing.B) {
	space, o, encoded := benchDict(b)
	value := []byte("another value of 25 bytes")
	var key []byte
	set := func(tx *object.Tx) error { return coll.DictSet(tx, o, key, nil, value) }
	for i := 0; b.Loop(); i++ {
		key = encoded[i*7919%benchEntries]
		if err := space.Update(store.Wait{Timeout: -1}, set); err != nil {
			b.Fatal(err)
		}
	}
}

// inTransaction runs fn in one write transaction.
func inTransaction(b *testing.B, space *object.Space, fn func(tx *object.Tx)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tx, err := space.Begin(store.Write, store.Wait{Timeout: -1})
	must(b, err)
	defer tx.Abort()
	fn(tx)
}

func BenchmarkDictSetInTransaction(b *testing.B) {
	space, o, encoded := benchDict(b)
	value := []byte("another value of 25 bytes")
	inTransaction(b, space, func(tx *object.Tx) {
		for i := 0; b.Loop(); i++ {
			if err := coll.DictSet(tx, o, encoded[i*7919%benchEntries], nil, value); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDictGetInTransaction(b *testing.B) {
	space, o, encoded := benchDict(b)
	inTransaction(b, space, func(tx *object.Tx) {
		for i := 0; b.Loop(); i++ {
			if _, err := coll.DictGet(tx, o, encoded[i*7919%benchEntries]); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDictSetMany(b *testing.B) {
	space, o, encoded := benchDict(b)
	entries := make([]coll.DictEntry, benchEntries)
	for i := range entries {
		entries[i] = coll.DictEntry{Key: encoded[i*7919%benchEntries], Value: []byte("a value of 25 bytes or so")}
	}
	for b.Loop() {
		update(b, space, func(tx *object.Tx) error { return coll.DictSetMany(tx, o, entries) })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEntries, "ns/entry")
}

func BenchmarkDictScan(b *testing.B) {
	space, o, _ := benchDict(b)
	batch := make([]coll.DictEntry, 256)
	tx, err := space.Begin(store.Read, store.Wait{})
	must(b, err)
	defer tx.Abort()
	for b.Loop() {
		r := coll.KeyRange{}
		for {
			n, err := coll.DictScan(tx, o, r, batch)
			if err != nil {
				b.Fatal(err)
			}
			if n < len(batch) {
				break
			}
			r.After = batch[n-1].Key
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEntries, "ns/entry")
}
