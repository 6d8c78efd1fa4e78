package coll_test

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"parkit/gocore/coll"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
)

// Properties: whatever bytes the keys have in common and wherever they end, each
// has one entry, and that the last value that came for it.
func TestManyEntriesOfAnyKeysInOneCall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw, err := memstore.New(memstore.Options{}).Open("n", true)
		need(t, err)
		space, err := object.Open(raw, "n")
		need(t, err)
		defer func() { need(t, space.Close()) }()
		tail := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 0, 1, 255}), 0, 12)
		begin := append([]byte("k"), tail.Draw(t, "begin")...)
		var entries []coll.DictEntry
		want := map[string]string{}
		for i, end := range rapid.SliceOfN(tail, 17, 60).Draw(t, "keys") {
			key := append(bytes.Clone(begin), end...)
			entries = append(entries, coll.DictEntry{Key: key, Value: []byte(fmt.Sprint(i))})
			want[string(key)] = fmt.Sprint(i)
		}
		var d *object.Object
		need(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) (err error) {
			if d, _, err = space.Create(tx, object.Descriptor{Name: "d", Kind: object.KindDict}); err != nil {
				return err
			}
			return coll.DictSetMany(tx, d, entries)
		}))
		tx, err := space.Begin(store.Read, store.Wait{})
		need(t, err)
		defer tx.Abort()
		found := make([]coll.DictEntry, len(entries)+1)
		n, err := coll.DictScan(tx, d, coll.KeyRange{}, found)
		need(t, err)
		if n != len(want) {
			t.Fatalf("%d entries, not %d", n, len(want))
		}
		for _, e := range found[:n] {
			if value, ok := want[string(e.Key)]; !ok || value != string(e.Value) {
				t.Fatalf("%x has %q, not %q", e.Key, e.Value, value)
			}
		}
	})
}
