// Package storetest is the one conformance suite of package store: Run holds a
// backend to every promise that store.go makes. A backend's own tests call it
// and add only what the interface does not say.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// BackupOpener is a backend that can open what its spaces' Backup wrote, or a
// test's wrapper round one. Without it the content of a backup is not tested.
type BackupOpener interface {
	OpenBackup(path string) (store.Space, error)
}

// Damager is a backend that can harm the stored value of a key. Without it
// Check is tried on records that were stored wrong.
type Damager interface {
	Damage(namespace string, key []byte) error
}

// test is one promise: its name states it.
type test struct {
	name string
	run  func(t *testing.T, backend store.Backend)
}

// Run tests the backends that open makes; each test asks for a new, empty one
// and uses it in its own goroutines only.
func Run(t *testing.T, open func(t *testing.T) store.Backend) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Entries", entryTests},
		{"Ranges", rangeTests},
		{"Transactions", transactionTests},
		{"Savepoints", savepointTests},
		{"Snapshots", snapshotTests},
		{"Writers", writerTests},
		{"Update", updateTests},
		{"Waiting", waitingTests},
		{"Spaces", spaceTests},
		{"Model", modelTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(t, open(t)) })
			}
		})
	}
}

// namespace is the one that tests of a single space use.
const namespace = "memory/suite"

// patience bounds waits that are to succeed: it is reached only by a failure.
const patience = 10 * time.Second

// patient waits for the writer's turn as long as a test may.
var patient = store.Wait{Timeout: patience}

// tb is what testing.T and rapid.T share.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func openSpace(t *testing.T, backend store.Backend) store.Space {
	t.Helper()
	space, err := backend.Open(namespace, true)
	ok(t, err)
	t.Cleanup(func() { ok(t, space.Close()) })
	return space
}

// with runs fn in a transaction which it aborts afterwards if fn did not end
// it, on one thread, as a write transaction must.
func with(t tb, space store.Space, mode store.Mode, fn func(txn store.Txn)) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	txn, err := space.Begin(mode, patient)
	ok(t, err)
	defer txn.Abort()
	fn(txn)
}

// write commits what fn does.
func write(t tb, space store.Space, fn func(txn store.Txn)) {
	t.Helper()
	with(t, space, store.Write, func(txn store.Txn) {
		fn(txn)
		ok(t, txn.Commit())
	})
}

// put commits entries given as "key", "value", ….
func put(t tb, space store.Space, pairs ...string) {
	t.Helper()
	write(t, space, func(txn store.Txn) { putIn(t, txn, pairs...) })
}

func putIn(t tb, txn store.Txn, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		_, err := txn.Put([]byte(pairs[i]), []byte(pairs[i+1]))
		ok(t, err)
	}
}

func ok(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

// fails checks that err carries one of codes.
func fails(t tb, err error, codes ...errs.Code) {
	t.Helper()
	for _, code := range codes {
		if errs.Has(err, code) {
			return
		}
	}
	t.Fatalf("got error %v (code %d), want one of: %v", err, int(errs.CodeOf(err)), codes)
}

// missing checks that err is store.ErrNotFound itself.
func missing(t tb, err error) {
	t.Helper()
	if err != error(store.ErrNotFound) {
		t.Fatalf("got error %v, want store.ErrNotFound, unwrapped", err)
	}
}

func equal[T comparable](t tb, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func sameBytes(t tb, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%s: got %s, want %s", what, brief(got), brief(want))
	}
}

func brief(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%q… (%d bytes)", b[:40], len(b))
	}
	return fmt.Sprintf("%q", b)
}

// has checks the value of key.
func has(t tb, txn store.Txn, key, want string) {
	t.Helper()
	got, err := txn.Get([]byte(key))
	if err != nil {
		t.Fatalf("get %s: %v", brief([]byte(key)), err)
	}
	sameBytes(t, "value of "+brief([]byte(key)), got, []byte(want))
}

func hasNot(t tb, txn store.Txn, key string) {
	t.Helper()
	_, err := txn.Get([]byte(key))
	missing(t, err)
}

// content is the range of txn as "key=value key=value …".
func content(t tb, txn store.Txn, r store.Range) string {
	t.Helper()
	var list []string
	for _, e := range scanAll(t, txn, r, 7) {
		list = append(list, string(e.Key)+"="+string(e.Value))
	}
	return strings.Join(list, " ")
}

// scanAll copies the whole range, in batches.
func scanAll(t tb, txn store.Txn, r store.Range, batch int) []store.Entry {
	t.Helper()
	var all []store.Entry
	dst := make([]store.Entry, batch)
	for {
		n, err := txn.Scan(r, dst)
		ok(t, err)
		for _, e := range dst[:n] {
			if len(all) > 0 {
				// Else a backend that repeats a key would keep us here for ever.
				order := bytes.Compare(all[len(all)-1].Key, e.Key)
				if order == 0 || (order > 0) != r.Reverse {
					t.Fatalf("scan of %+v: %s comes after %s", r, brief(e.Key), brief(all[len(all)-1].Key))
				}
			}
			all = append(all, store.Entry{Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)})
		}
		if n < batch {
			return all
		}
		r = r.Rest(all[len(all)-1].Key)
	}
}

// number and text keep counters readable in failures.
func number(value []byte) int {
	n, _ := strconv.Atoi(string(value))
	return n
}

func text(n int) []byte { return []byte(strconv.Itoa(n)) }

// namesThisProcess checks that the text of err lets a person find the holder.
func namesThisProcess(t tb, err error) {
	t.Helper()
	if pid := strconv.Itoa(os.Getpid()); !strings.Contains(err.Error(), pid) {
		t.Errorf("the text must name the holder's process, %s: %v", pid, err)
	}
}

// collect waits for n results of goroutines and joins their errors.
func collect(t *testing.T, results <-chan error, n int) {
	t.Helper()
	timeout := time.After(2 * patience)
	var all []error
	for i := range n {
		select {
		case err := <-results:
			all = append(all, err)
		case <-timeout:
			t.Fatalf("only %d of %d goroutines came to an end; errors so far: %v", i, n, errors.Join(all...))
		}
	}
	ok(t, errors.Join(all...))
}
