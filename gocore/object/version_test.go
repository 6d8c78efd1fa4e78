package object_test

import (
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store/memstore"
)

func TestVersionOfElsewhereIsCountedOn(t *testing.T) {
	_, space := open(t, memstore.Options{})
	o := create(t, space, "o")
	for _, version := range []uint64{0, 1, 77, 1 << 40} {
		must(t, space.Update(wait, func(tx *object.Tx) error { return tx.SetVersion(o, version) }))
		if state, err := o.PeekState(); err != nil || state.Version != version {
			t.Errorf("the version is %d, not %d; %v", state.Version, version, err)
		}
		must(t, space.Update(wait, func(tx *object.Tx) error { tx.Changed(o, 0); return nil }))
		if state, err := o.PeekState(); err != nil || state.Version != version+1 {
			t.Errorf("after a change the version is %d, not %d; %v", state.Version, version+1, err)
		}
	}
	must(t, space.Update(wait, func(tx *object.Tx) error {
		must(t, tx.Savepoint())
		must(t, tx.SetVersion(o, 5))
		return tx.Rollback()
	}))
	if state, err := o.PeekState(); err != nil || state.Version != 1<<40+1 {
		t.Errorf("what was rolled back left the version at %d; %v", state.Version, err)
	}
	must(t, space.Update(wait, func(tx *object.Tx) error { return tx.Drop(o) }))
	refused(t, space.Update(wait, func(tx *object.Tx) error { return tx.SetVersion(o, 5) }), errs.ObjectNotFound)
}

func TestVersionIsSetOfObjectsThatDoNotCount(t *testing.T) {
	_, space := open(t, memstore.Options{})
	must(t, space.Update(wait, func(tx *object.Tx) error {
		o, _, err := space.Create(tx, object.Descriptor{Name: "o"})
		if err != nil {
			return err
		}
		return tx.SetVersion(o, 3)
	}))
	read(t, space, func(tx *object.Tx) error {
		o, _, err := space.Bind(tx, "o")
		if err != nil {
			return err
		}
		state, err := tx.State(o)
		if err == nil && state.Version != 3 {
			t.Errorf("the version is %d", state.Version)
		}
		return err
	})
}
