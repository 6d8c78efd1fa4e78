package memstore_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
)

const namespace = "memory/faults"

func open(t *testing.T, options memstore.Options) (*memstore.Backend, store.Space) {
	t.Helper()
	backend := memstore.New(options)
	return backend, reopen(t, backend)
}

func reopen(t *testing.T, backend *memstore.Backend) store.Space {
	t.Helper()
	space, err := backend.Open(namespace, true)
	if err != nil {
		t.Fatal(err)
	}
	return space
}

func put(space store.Space, key, value string) error {
	return space.Update(store.Wait{}, func(txn store.Txn) error {
		_, err := txn.Put([]byte(key), []byte(value))
		return err
	})
}

func mustPut(t *testing.T, space store.Space, key, value string) {
	t.Helper()
	if err := put(space, key, value); err != nil {
		t.Fatal(err)
	}
}

func begin(t *testing.T, space store.Space, mode store.Mode) store.Txn {
	t.Helper()
	txn, err := space.Begin(mode, store.Wait{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(txn.Abort)
	return txn
}

// wantContent checks the keys that a new reader sees.
func wantContent(t *testing.T, space store.Space, want string) {
	t.Helper()
	txn := begin(t, space, store.Read)
	defer txn.Abort()
	dst := make([]store.Entry, 100)
	n, err := txn.Scan(store.Range{KeysOnly: true}, dst)
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]string, n)
	for i, e := range dst[:n] {
		keys[i] = string(e.Key)
	}
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("content is %q, want %q", got, want)
	}
}

func wantCode(t *testing.T, err error, code errs.Code) {
	t.Helper()
	if !errs.Has(err, code) {
		t.Errorf("got error %v, want code %q", err, code)
	}
}

func TestTheNthWriteFailsAndChangesNothing(t *testing.T) {
	backend, space := open(t, memstore.Options{})
	full := errs.New(errs.Full, "put", "", "the disk is full, said the test")
	txn := begin(t, space, store.Write)
	backend.FailWrite(3, full)
	fresh, err := txn.PutMany([]store.Entry{{Key: []byte("a")}, {Key: []byte("b")}, {Key: []byte("c")}, {Key: []byte("d")}})
	if fresh != 2 || err != error(full) {
		t.Errorf("got %d new keys and %v, want 2 and the injected error", fresh, err)
	}
	for name, write := range map[string]func() error{
		"Reserve":   func() error { _, _, err := txn.Reserve([]byte("e"), 1); return err },
		"Del":       func() error { _, err := txn.Del([]byte("a")); return err },
		"DelRange":  func() error { _, err := txn.DelRange(store.Range{}); return err },
		"TakeFirst": func() error { _, err := txn.TakeFirst(store.Range{}); return err },
		"NextSeq":   func() error { _, err := txn.NextSeq([]byte("f")); return err },
	} {
		backend.FailWrite(1, nil)
		if err := write(); !errs.Has(err, errs.IO) {
			t.Errorf("%s: got %v, want code IO", name, err)
		}
	}
	if err := txn.Commit(); err != nil {
		t.Fatal(err)
	}
	wantContent(t, space, "a b")
}

func TestAFailedCommitCommitsNothing(t *testing.T) {
	for _, durable := range []bool{false, true} {
		backend, space := open(t, memstore.Options{Durable: durable})
		mustPut(t, space, "a", "")
		seen := space.Version(store.FirstShared)
		fail := backend.FailCommit
		if durable {
			fail = backend.FailFlush
		}
		fail(1, nil)
		txn := begin(t, space, store.Write)
		if _, err := txn.Put([]byte("b"), nil); err != nil {
			t.Fatal(err)
		}
		txn.Touch(store.FirstShared)
		wantCode(t, txn.Commit(), errs.IO)
		wantCode(t, txn.Commit(), errs.BadTransaction)
		wantContent(t, space, "a")
		if space.Version(store.FirstShared) != seen {
			t.Error("a failed commit woke waiters")
		}
		fail(2, nil)
		mustPut(t, space, "c", "")
		wantCode(t, put(space, "d", ""), errs.IO)
		mustPut(t, space, "e", "") // a fault fires once
		wantContent(t, space, "a c e")
	}
}

func TestClearFaultsTakesThemBack(t *testing.T) {
	backend, space := open(t, memstore.Options{Durable: true})
	backend.FailWrite(1, nil)
	backend.FailCommit(1, nil)
	backend.FailFlush(1, nil)
	backend.ClearFaults()
	mustPut(t, space, "a", "")
}

func TestADeadProcessLosesWhatItDidNotCommit(t *testing.T) {
	backend, space := open(t, memstore.Options{})
	mustPut(t, space, "committed", "")
	if _, err := space.Lease("monitor"); err != nil {
		t.Fatal(err)
	}
	writer, reader := begin(t, space, store.Write), begin(t, space, store.Read)
	if _, err := writer.Put([]byte("uncommitted"), nil); err != nil {
		t.Fatal(err)
	}
	asleep := make(chan error)
	seen := space.Version(store.FirstShared)
	go func() {
		_, err := space.WaitChange(context.Background(), store.FirstShared, seen, store.Wait{Timeout: -1})
		asleep <- err
	}()
	queued := make(chan error)
	go func() {
		_, err := space.Begin(store.Write, store.Wait{Timeout: -1})
		queued <- err
	}()
	backend.Crash(memstore.ProcessDies)
	wantCode(t, <-asleep, errs.Dead)
	wantCode(t, <-queued, errs.Dead)
	_, err := reader.Get([]byte("committed"))
	wantCode(t, err, errs.Dead)
	wantCode(t, writer.Commit(), errs.Dead)
	wantCode(t, put(space, "late", ""), errs.Dead)
	wantCode(t, space.Close(), errs.Dead)

	space = reopen(t, backend)
	wantContent(t, space, "committed")
	mustPut(t, space, "next", "") // the dead writer's turn is free
	lease, err := space.Lease("monitor")
	if err != nil {
		t.Fatalf("the dead process still holds its lease: %v", err)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestAPowerCutLosesWhatWasNotFlushed(t *testing.T) {
	for _, c := range []struct {
		durable bool
		want    string
	}{{false, "flushed"}, {true, "flushed later"}} {
		backend, space := open(t, memstore.Options{Durable: c.durable})
		mustPut(t, space, "flushed", "")
		if err := backend.Flush(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, space, "later", "")
		if space.Durable() != c.durable {
			t.Errorf("Durable is %v", space.Durable())
		}
		backend.Crash(memstore.LoseUnsynced)
		wantContent(t, reopen(t, backend), c.want)
	}
}

func TestTheLastCloseFlushes(t *testing.T) {
	backend, space := open(t, memstore.Options{})
	mustPut(t, space, "a", "")
	if err := space.Close(); err != nil {
		t.Fatal(err)
	}
	backend.Crash(memstore.LoseUnsynced)
	wantContent(t, reopen(t, backend), "a")
}

func TestSlicesAreSpoiledWhenTheirTimeIsOver(t *testing.T) {
	_, space := open(t, memstore.Options{})
	mustPut(t, space, "key", "value")
	spoiled := func(when string, slice []byte) {
		t.Helper()
		if bytes.Count(slice, []byte{0xDB}) != len(slice) {
			t.Errorf("after %s a slice still reads %q", when, slice)
		}
	}
	txn := begin(t, space, store.Write)
	value, err := txn.Get([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := txn.Get([]byte("key")); err != nil || string(value) != "value" {
		t.Errorf("a read spoiled %q (%v)", value, err)
	}
	if _, err := txn.Put([]byte("other"), nil); err != nil {
		t.Fatal(err)
	}
	spoiled("a write", value)
	memory, _, err := txn.Reserve([]byte("reserved"), 4)
	if err != nil {
		t.Fatal(err)
	}
	copy(memory, "full")
	if value, err = txn.Get([]byte("reserved")); err != nil || string(value) != "full" {
		t.Errorf("reserved memory became %q (%v)", value, err)
	}
	spoiled("the next call", memory)
	txn.Abort()
	spoiled("the end", value)

	value, pin, err := space.Peek([]byte("key"), nil)
	if err != nil {
		t.Fatal(err)
	}
	pin.Abort()
	spoiled("the pin's end", value)
}

func TestAWriteRefusesSlicesOfItsOwnTransaction(t *testing.T) {
	_, space := open(t, memstore.Options{})
	mustPut(t, space, "key", "value")
	txn := begin(t, space, store.Write)
	dst := make([]store.Entry, 1)
	if _, err := txn.Scan(store.Range{}, dst); err != nil {
		t.Fatal(err)
	}
	_, err := txn.Put([]byte("other"), dst[0].Value[1:])
	wantCode(t, err, errs.InvalidArgument)
	_, err = txn.PutMany([]store.Entry{{Key: dst[0].Key}})
	wantCode(t, err, errs.InvalidArgument)
	_, err = txn.DelRange(store.Range{Lo: dst[0].Key})
	wantCode(t, err, errs.InvalidArgument)
	if was, err := txn.Del(dst[0].Key); err != nil || !was {
		t.Errorf("Del takes such a key: got %v and %v", was, err)
	}
}

func TestWritingToASliceOfATransactionPanics(t *testing.T) {
	_, space := open(t, memstore.Options{})
	mustPut(t, space, "key", "value")
	txn := begin(t, space, store.Read)
	value, err := txn.Get([]byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	value[0] = 'V'
	defer func() {
		if recover() == nil {
			t.Error("nobody noticed")
		}
		value[0] = 'v' // for the transaction's clean-up
	}()
	txn.Abort()
}

func TestUpdateRefusesAFunctionThatEndsItsTransaction(t *testing.T) {
	_, space := open(t, memstore.Options{})
	err := space.Update(store.Wait{}, func(txn store.Txn) error { return txn.Commit() })
	wantCode(t, err, errs.BadTransaction)
	err = space.Update(store.Wait{}, func(txn store.Txn) error { txn.Abort(); return nil })
	wantCode(t, err, errs.BadTransaction)
	mustPut(t, space, "a", "") // the turn is free
}

func TestRerunUpdatesRunsTwiceButCountsOnce(t *testing.T) {
	_, space := open(t, memstore.Options{RerunUpdates: true})
	runs := 0
	err := space.Update(store.Wait{}, func(txn store.Txn) error {
		runs++
		if err := txn.Savepoint(); err != nil { // left open
			return err
		}
		fresh, err := txn.Put([]byte("a"), nil)
		if err == nil && !fresh {
			err = errors.New("the first run was not undone")
		}
		return err
	})
	if err != nil || runs != 2 {
		t.Errorf("%d runs, error %v", runs, err)
	}
	wantContent(t, space, "a")
}

func TestADamagedBackupIsRefused(t *testing.T) {
	backend, space := open(t, memstore.Options{})
	mustPut(t, space, "key", "value")
	dir := t.TempDir()
	if err := space.Backup(dir); err != nil {
		t.Fatal(err)
	}
	wantCode(t, space.Backup(dir), errs.IO) // no backup is overwritten
	name := filepath.Join(dir, "memstore.backup")
	good, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 1
		for _, data := range [][]byte{bad, good[:i]} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := backend.OpenBackup(dir)
			wantCode(t, err, errs.Corrupt)
		}
	}
}
