package object_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
)

func TestVersionCountsTransactionsThatChange(t *testing.T) {
	_, space := open(t, memstore.Options{RerunUpdates: true})
	o, other := create(t, space, "o"), create(t, space, "other")
	set := func(tx *object.Tx) error { return tx.SetAttr(o, "x", []byte("1")) }
	must(t, space.Update(wait, set))
	must(t, space.Update(wait, func(tx *object.Tx) error { return tx.SetMetadata(o, "{}") }))
	if got := version(t, o); got != 2 {
		t.Errorf("version %d after two updates", got)
	}
	tx := write(t, space)
	for range 5 {
		must(t, set(tx))
	}
	must(t, tx.DelAttr(o, "x"))
	if err := tx.DelAttr(o, "x"); err != store.ErrNotFound {
		t.Errorf("deleted twice: %v", err)
	}
	must(t, tx.Commit())
	if got := version(t, o); got != 3 {
		t.Errorf("version %d after a transaction", got)
	}
	tx = write(t, space)
	must(t, tx.Savepoint())
	must(t, set(tx))
	must(t, tx.Rollback())
	must(t, tx.SetAttr(other, "y", nil))
	must(t, tx.Commit())
	if got := version(t, o); got != 3 {
		t.Errorf("version %d: what was rolled back is no change", got)
	}
	if got := version(t, other); got != 1 {
		t.Errorf("version %d of the other object", got)
	}
}

func TestUnversionedObjectsCountNothing(t *testing.T) {
	_, space := open(t, memstore.Options{})
	var o *object.Object
	must(t, space.Update(wait, func(tx *object.Tx) (err error) {
		o, _, err = space.Create(tx, object.Descriptor{Name: "o"})
		return err
	}))
	before := space.Store().Version(o.Channel())
	must(t, space.Update(wait, func(tx *object.Tx) error { return tx.SetAttr(o, "x", nil) }))
	if version(t, o) != 0 || space.Store().Version(o.Channel()) == before {
		t.Error("an unversioned object keeps version 0 and still wakes who waits for it")
	}
}

func TestStatesOfManyObjectsFollowSavepoints(t *testing.T) {
	_, space := open(t, memstore.Options{})
	var list []*object.Object
	for i := range 12 {
		list = append(list, create(t, space, fmt.Sprint(i)))
	}
	tx := write(t, space)
	grow := func(n int) {
		for i, o := range list {
			if _, err := tx.State(o); err != nil {
				t.Fatal(err)
			}
			tx.Changed(o, n*(i+1))
		}
	}
	length := func(n int) {
		t.Helper()
		for i, o := range list {
			state, err := tx.State(o)
			must(t, err)
			if state.Length != uint64(n*(i+1)) {
				t.Fatalf("length of %d is %d, want %d", i, state.Length, n*(i+1))
			}
		}
	}
	grow(1)
	must(t, tx.Savepoint())
	grow(10)
	must(t, tx.Savepoint())
	grow(100)
	must(t, tx.Release())
	must(t, tx.Savepoint())
	grow(1000)
	must(t, tx.Rollback())
	length(111)
	must(t, tx.Rollback())
	length(1)
	refused(t, tx.Rollback(), errs.BadTransaction)
	must(t, tx.Commit())
	for i, o := range list {
		state, err := o.PeekState()
		must(t, err)
		if state.Length != uint64(i+1) || state.Version != 1 {
			t.Errorf("committed state %+v of %d", state, i)
		}
	}
}

func TestHandleOfACreationThatCameToNothingStaysDead(t *testing.T) {
	_, space := open(t, memstore.Options{})
	made := func(tx *object.Tx, name string) *object.Object {
		o, _, err := space.Create(tx, object.Descriptor{Name: name, Versioned: true})
		must(t, err)
		return o
	}
	tx := write(t, space)
	must(t, tx.Savepoint())
	rolledBack := made(tx, "a")
	must(t, tx.Rollback())
	next := made(tx, "b")
	if _, err := tx.State(next); err != nil {
		t.Fatal(err)
	}
	tx.Abort()
	tx = write(t, space)
	must(t, tx.Savepoint())
	besides := made(tx, "a")
	must(t, tx.Rollback())
	kept := made(tx, "e")
	if besides.ID != kept.ID {
		t.Log("an id was not given out again; the test shows less")
	}
	_, err := tx.State(besides)
	refused(t, err, errs.ObjectNotFound)
	must(t, tx.Commit())
	_, err = besides.PeekState()
	refused(t, err, errs.ObjectNotFound)
	_, err = kept.PeekState()
	must(t, err)
	failed := errors.New("failed")
	var undone *object.Object
	if err := space.Update(wait, func(tx *object.Tx) error { undone = made(tx, "c"); return failed }); err != failed {
		t.Fatal(err)
	}
	alive := create(t, space, "d")
	read(t, space, func(tx *object.Tx) error {
		for _, o := range []*object.Object{rolledBack, next, undone} {
			_, err := tx.State(o)
			refused(t, err, errs.ObjectNotFound)
			_, err = o.PeekState()
			refused(t, err, errs.ObjectNotFound)
			_, err = tx.GetAttr(o, "x")
			refused(t, err, errs.ObjectNotFound)
			_, err = tx.Describe(o)
			refused(t, err, errs.ObjectNotFound)
		}
		_, err := tx.State(alive)
		return err
	})
}

func TestRolledBackDropLeavesTheObject(t *testing.T) {
	_, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	tx := write(t, space)
	must(t, tx.SetAttr(o, "x", []byte("1")))
	must(t, tx.Savepoint())
	must(t, tx.Drop(o))
	must(t, tx.Rollback())
	value, err := tx.GetAttr(o, "x")
	must(t, err)
	if string(value) != "1" {
		t.Errorf("value %q", value)
	}
	must(t, tx.Commit())
	if version(t, o) != 1 {
		t.Error("the change before the drop counts")
	}
}

func TestUpdateKeepsItsTransactionToItself(t *testing.T) {
	_, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	misuses := map[string]func(tx *object.Tx) error{
		"commit":    func(tx *object.Tx) error { return tx.Commit() },
		"abort":     func(tx *object.Tx) error { tx.Abort(); return nil },
		"savepoint": func(tx *object.Tx) error { return tx.Savepoint() },
	}
	for name, misuse := range misuses {
		err := space.Update(wait, func(tx *object.Tx) error {
			if err := tx.SetAttr(o, name, nil); err != nil {
				return err
			}
			return misuse(tx)
		})
		refused(t, err, errs.BadTransaction)
	}
	if version(t, o) != 0 {
		t.Error("a misused update was committed")
	}
}

func TestHalfDoneWorkIsNotCommitted(t *testing.T) {
	backend, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	must(t, space.Update(wait, func(tx *object.Tx) error { return tx.SetAttr(o, "x", []byte("1")) }))
	tx := write(t, space)
	backend.FailWrite(3, nil) // the name, the descriptor, the data
	refused(t, tx.Drop(o), errs.IO)
	refused(t, tx.Commit(), errs.IO)
	if version(t, o) != 1 {
		t.Error("half a drop was committed")
	}
	tx = write(t, space)
	must(t, tx.Savepoint())
	backend.FailWrite(3, nil)
	refused(t, tx.Drop(o), errs.IO)
	must(t, tx.Rollback())
	must(t, tx.Commit())
	// A savepoint from after the failure does not undo it.
	tx = write(t, space)
	must(t, tx.Savepoint())
	backend.FailWrite(3, nil)
	refused(t, tx.Drop(o), errs.IO)
	must(t, tx.Release())
	must(t, tx.Savepoint())
	must(t, tx.Rollback())
	refused(t, tx.Commit(), errs.IO)
	backend.FailCommit(1, nil)
	refused(t, space.Update(wait, func(tx *object.Tx) error { return tx.Drop(o) }), errs.IO)
	if version(t, o) != 1 {
		t.Error("a failed commit changed the object")
	}
}

func TestTransactionAfterItsEnd(t *testing.T) {
	_, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	tx := write(t, space)
	must(t, tx.SetAttr(o, "x", nil))
	must(t, tx.Commit())
	_, err := tx.State(o)
	refused(t, err, errs.BadTransaction)
	refused(t, tx.Commit(), errs.BadTransaction)
	tx.Abort()
}

func TestObjectOfAnotherNamespaceIsRefused(t *testing.T) {
	backend, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	raw, err := backend.Open("other", true)
	must(t, err)
	other, err := object.Open(raw, "other")
	must(t, err)
	stranger := create(t, other, "o")
	tx := write(t, space)
	defer tx.Abort()
	_, err = tx.State(o)
	must(t, err)
	_, err = tx.State(stranger)
	refused(t, err, errs.BadTransaction)
}

func TestUpdatesOfManyGoroutinesAllCount(t *testing.T) {
	_, space := open(t, memstore.Options{RerunUpdates: true})
	o := create(t, space, "o")
	const goroutines, rounds = 8, 50
	var group sync.WaitGroup
	for g := range goroutines {
		group.Go(func() {
			for i := range rounds {
				err := space.Update(wait, func(tx *object.Tx) error {
					if _, err := tx.State(o); err != nil {
						return err
					}
					tx.Changed(o, 1)
					_, err := tx.Put([]byte(fmt.Sprintf("\x01%d/%d", g, i)), []byte("x"))
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	state, err := o.PeekState()
	must(t, err)
	if state.Length != goroutines*rounds || state.Version != goroutines*rounds {
		t.Errorf("state %+v", state)
	}
}
