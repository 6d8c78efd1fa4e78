package object

import (
	"bytes"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
)

func TestALargeRecordIsCheckedOnceWhereItLies(t *testing.T) {
	s := &Space{namespace: "n"}
	o := s.Object(1, "o")
	dbkey := keys.AppendItemKey(nil, o.Prefix, keys.TagChunk, 0)
	sealed := func(n int, fill byte) []byte {
		record := make([]byte, keys.SealSize(0, n))
		keys.Seal(record, dbkey, 0, nil, bytes.Repeat([]byte{fill}, n))
		return record
	}
	valued := func(record []byte) error {
		value, err := o.Value(dbkey, record)
		if err == nil && !bytes.Equal(value, record[keys.EntryOverhead:]) {
			t.Fatal("the value is another one")
		}
		return err
	}
	large, small := sealed(checkedFrom, 1), sealed(checkedFrom/2, 1)
	large[len(large)-1]++
	if !errs.Has(valued(large), errs.Corrupt) {
		t.Fatal("damage was not seen at the first look")
	}
	large[len(large)-1]--
	for _, record := range [][]byte{large, small, large} {
		if err := valued(record); err != nil {
			t.Fatal(err)
		}
	}
	small[len(small)-1]++
	if !errs.Has(valued(small), errs.Corrupt) {
		t.Error("a small record was not checked again")
	}
	// In another place, of another length or under another sum it is another record.
	moved := bytes.Clone(large)
	moved[len(moved)-1]++
	if !errs.Has(valued(moved), errs.Corrupt) {
		t.Error("a record in another place was not checked")
	}
	if !errs.Has(valued(large[:len(large)-1]), errs.Corrupt) {
		t.Error("a shorter record was not checked")
	}
	copy(large, sealed(checkedFrom, 2))
	large[len(large)-1]++
	if !errs.Has(valued(large), errs.Corrupt) {
		t.Error("a record that was written anew was not checked")
	}
}
