package coll

import (
	"bytes"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// ErrNotPlain is what DictIncr answers, unwrapped, where the sum is Python's to
// find: of anything but ints and floats of 64 bits.
var ErrNotPlain = errs.New(errs.InvalidArgument, "count", "", "these are not numbers of 64 bits")

// DictIncr adds delta to the value of a key, or to initial where the key is not
// there, and returns the sum; all three are values as they are stored. An entry
// keeps its end. store.ErrNotFound where there is neither value nor initial.
func DictIncr(tx *object.Tx, o *object.Object, key, own, delta, initial []byte) ([]byte, error) {
	c, err := newCached(tx, o)
	if err != nil {
		return nil, err
	}
	scratch, shortened := tx.EntryKey(o, keys.TagDict, key)
	dbkey := bytes.Clone(scratch)
	old, err := c.look(dbkey)
	if err != nil {
		return nil, err
	}
	value := initial
	due := int64(0)
	if old.alive {
		value, own, due = old.value, bytes.Clone(old.own), old.stamps.Due
	}
	if value == nil {
		return nil, store.ErrNotFound
	}
	sum, err := add(value, delta)
	if err != nil {
		return nil, err
	}
	return sum, c.put(old, keys.OwnKey(own, key, shortened), due, shortened, sum)
}

func add(value, delta []byte) ([]byte, error) {
	left, err := keys.DecodeValue(value)
	if err != nil {
		return nil, err
	}
	right, err := keys.DecodeValue(delta)
	if err != nil {
		return nil, err
	}
	switch left := left.(type) {
	case int64:
		switch right := right.(type) {
		case int64:
			sum := left + right
			if (sum > left) != (right > 0) && right != 0 {
				return nil, ErrNotPlain // it has more bits
			}
			return keys.AppendValue(nil, sum)
		case float64:
			return keys.AppendValue(nil, float64(left)+right)
		}
	case float64:
		switch right := right.(type) {
		case int64:
			return keys.AppendValue(nil, left+float64(right))
		case float64:
			return keys.AppendValue(nil, left+right)
		}
	}
	return nil, ErrNotPlain
}
