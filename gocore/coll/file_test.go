package coll_test

import (
	"bytes"
	"testing"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
)

func fileContent(t *testing.T, space *object.Space, o *object.Object) ([]byte, error) {
	t.Helper()
	tx, err := space.Begin(store.Read, store.Wait{})
	must(t, err)
	defer tx.Abort()
	state, err := tx.State(o)
	must(t, err)
	content := make([]byte, state.Length)
	n, _, err := coll.FileRead(tx, o, 0, content)
	return content[:n], err
}

// patterned is n bytes of which no two pieces of a chunk's size are alike.
func patterned(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i) ^ byte(i>>8)*3 ^ byte(i>>16)*7
	}
	return data
}

func TestContentThatWasSetIsAppendedToWithoutBeingMoved(t *testing.T) {
	for name, open := range backends(t) {
		t.Run(name, func(t *testing.T) {
			space, o := newFile(t, open(), 1000)
			defer space.Close()
			data := patterned(5500)
			update(t, space, func(tx *object.Tx) error { return coll.FileSet(tx, o, data[:5000]) })
			update(t, space, func(tx *object.Tx) error {
				_, err := coll.FileWrite(tx, o, -1, data[5000:], false)
				return err
			})
			tx, err := space.Begin(store.Read, store.Wait{})
			must(t, err)
			defer tx.Abort()
			record, err := tx.Get(keys.AppendItemKey(nil, o.Prefix, keys.TagChunk, 0))
			must(t, err)
			if len(record) != 64-16+5000 {
				t.Errorf("the first chunk has %d bytes", len(record))
			}
			if got, err := fileContent(t, space, o); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

func TestADamagedChunkIsNeverRead(t *testing.T) {
	backend := memstore.New(memstore.Options{})
	space, o := newFile(t, backend, 1000)
	defer space.Close()
	for name, size := range map[string]int{"small": 10, "whole": 300_000} {
		data := patterned(size)
		update(t, space, func(tx *object.Tx) error { return coll.FileSet(tx, o, data) })
		if got, err := fileContent(t, space, o); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%s: %d bytes, %v", name, len(got), err)
		}
		must(t, backend.Damage("arrays", keys.AppendItemKey(nil, o.Prefix, keys.TagChunk, 0)))
		if n, err := fileContent(t, space, o); !errs.Has(err, errs.Corrupt) || len(n) != 0 {
			t.Errorf("%s: read %d bytes, %v", name, len(n), err)
		}
		for what, change := range map[string]func(tx *object.Tx) error{
			"view":     func(tx *object.Tx) error { _, _, err := coll.FileView(tx, o); return err },
			"write":    func(tx *object.Tx) error { _, err := coll.FileWrite(tx, o, 3, []byte("x"), false); return err },
			"truncate": func(tx *object.Tx) error { return coll.FileTruncate(tx, o, 3) },
		} {
			if err := space.Update(store.Wait{Timeout: -1}, change); !errs.Has(err, errs.Corrupt) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		// It can be replaced.
		update(t, space, func(tx *object.Tx) error {
			_, err := coll.FileWrite(tx, o, 0, data, false)
			return err
		})
		if got, err := fileContent(t, space, o); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s: replaced, %d bytes, %v", name, len(got), err)
		}
	}
}

func TestAFileOperationThatFailsChangesNothing(t *testing.T) {
	old, data := patterned(5500), bytes.Repeat([]byte("new"), 1200)
	for name, change := range map[string]func(tx *object.Tx, o *object.Object) error{
		"set": func(tx *object.Tx, o *object.Object) error { return coll.FileSet(tx, o, data) },
		"write": func(tx *object.Tx, o *object.Object) error {
			_, err := coll.FileWrite(tx, o, 900, data, false)
			return err
		},
		"anew": func(tx *object.Tx, o *object.Object) error {
			_, err := coll.FileWrite(tx, o, 0, data, true)
			return err
		},
		"append": func(tx *object.Tx, o *object.Object) error {
			_, err := coll.FileWrite(tx, o, -1, data, false)
			return err
		},
		"truncate": func(tx *object.Tx, o *object.Object) error { return coll.FileTruncate(tx, o, 2500) },
		"empty":    func(tx *object.Tx, o *object.Object) error { return coll.FileTruncate(tx, o, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			backend := memstore.New(memstore.Options{})
			space, o := newFile(t, backend, 1000)
			defer space.Close()
			update(t, space, func(tx *object.Tx) error { return coll.FileSet(tx, o, old[:5000]) })
			update(t, space, func(tx *object.Tx) error {
				_, err := coll.FileWrite(tx, o, -1, old[5000:], false)
				return err
			})
			failures := 0
			for n := 1; ; n++ {
				backend.Faults.FailWrite(n, nil)
				err := space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return change(tx, o) })
				if err == nil {
					break
				}
				failures++
				if got, err := fileContent(t, space, o); err != nil || !bytes.Equal(got, old) {
					t.Fatalf("after failure %d: %d bytes, %v", n, len(got), err)
				}
				// Half-done work is not committed either where a transaction goes on.
				backend.Faults.FailWrite(n, nil)
				if err := space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
					_ = change(tx, o)
					return nil
				}); err == nil {
					if got, err := fileContent(t, space, o); err != nil || !bytes.Equal(got, old) {
						t.Fatalf("failure %d was let pass: %d bytes, %v", n, len(got), err)
					}
				}
			}
			backend.Faults.ClearFaults()
			if failures < 2 {
				t.Errorf("only %d writes could fail", failures)
			}
		})
	}
}

func TestAFileIsRefusedWhereThereIsNone(t *testing.T) {
	space, o := newSequence(t, memstore.New(memstore.Options{}), object.KindArray, 0)
	defer space.Close()
	err := space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error { return coll.FileSet(tx, o, []byte("x")) })
	if !errs.Has(err, errs.TypeMismatch) {
		t.Error(err)
	}
}
