package lmdbstore_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"

	"parkit/gocore/store"
)

// What is not needed any more can be looked at all the same, also by a
// transaction that has it in memory of its own.
func TestWhatIsUnneededStaysAsItIs(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		s := opened(t, newRoot(t), kind(memory))
		content := func(i int) []byte { return bytes.Repeat([]byte{byte(i + 1)}, 100_000+i*5000) }
		look := func(txn store.Txn) {
			t.Helper()
			var values [][]byte
			for i := range 8 {
				value, err := txn.Get(fmt.Appendf(nil, "key%d", i))
				ok(t, err)
				values = append(values, value[7:])
			}
			txn.(store.Unneeder).Unneeded(values)
			txn.(store.Unneeder).Unneeded(nil)
			for i, value := range values {
				if !bytes.Equal(value, content(i)[7:]) {
					t.Errorf("value %d changed", i)
				}
			}
		}
		txn, err := s.Begin(store.Write, store.Wait{Timeout: -1})
		ok(t, err)
		for i := range 8 {
			_, err := txn.Put(fmt.Appendf(nil, "key%d", i), content(i))
			ok(t, err)
		}
		look(txn)
		ok(t, txn.Commit())
		txn, err = s.Begin(store.Read, store.Wait{})
		ok(t, err)
		defer txn.Abort()
		look(txn)
	})
}
