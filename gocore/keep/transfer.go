package keep

import (
	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/site"
	"parkit/gocore/store"
)

// Rename gives the object called name another name in its namespace. With
// overwrite an object of that name is dropped in the same transaction.
func Rename(tx *object.Tx, name, other string, overwrite bool) error {
	o, _, err := tx.Space().Bind(tx, name)
	if err != nil || name == other {
		return err
	}
	if err := object.CheckName(other); err != nil {
		return err
	}
	if overwrite {
		if err := dropNamed(tx, other); err != nil {
			return err
		}
	}
	return tx.Rename(o, other)
}

// Copy makes an object called other, in the transaction's namespace, of the
// one called name in from's; from may be tx. What the copy is: everything that
// the object holds, a uuid of its own, and a version that begins anew. With
// moving it is to take the other's place: it keeps uuid and version.
func Copy(tx, from *object.Tx, name, other string, overwrite, moving bool) (*object.Object, object.Descriptor, error) {
	o, d, err := from.Space().Bind(from, name)
	if err != nil {
		return nil, d, err
	}
	state, err := from.State(o)
	if err != nil {
		return nil, d, err
	}
	version := state.Version
	if from == tx && name == other {
		return nil, d, errs.New(errs.InvalidArgument, "copy object", name, "the copy would have the name of the object itself; give it another one")
	}
	if overwrite {
		if err := dropNamed(tx, other); err != nil {
			return nil, d, err
		}
	}
	d.ID, d.Name = 0, other
	if !moving {
		d.UUID, d.Created, version = "", 0, 0
	}
	made, err := tx.Copy(from, o, d, version, keys.TagClaim) // a claim is on the original
	if err != nil {
		return nil, d, err
	}
	if settle := settlers[d.Kind]; settle != nil {
		if err := settle(tx, made); err != nil {
			return nil, d, tx.Fail(err)
		}
	}
	d, err = tx.Describe(made)
	return made, d, err
}

// settlers put a copy right where what it was made of holds something that
// cannot be held twice.
var settlers = map[object.Kind]func(tx *object.Tx, o *object.Object) error{
	object.KindQueue: coll.QueueUnleaseAll,
}

func dropNamed(tx *object.Tx, name string) error {
	o, _, err := tx.Space().Bind(tx, name)
	if errs.Has(err, errs.ObjectNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return tx.Drop(o)
}

// DropHidden drops the hidden objects among those whose names come after
// after, of at most limit objects, and returns how many and which name it came
// to; none at the end.
func DropHidden(tx *object.Tx, after string, limit int) (dropped int, last string, err error) {
	names, err := tx.Names(after, limit)
	if err != nil {
		return 0, "", err
	}
	for _, name := range names {
		if !site.Hidden(name) {
			continue
		}
		if err := dropNamed(tx, name); err != nil {
			return dropped, "", err
		}
		dropped++
	}
	if len(names) < limit {
		return dropped, "", nil
	}
	return dropped, names[len(names)-1], nil
}

// Size is how many bytes the keys and records of an object take, with its
// descriptor and its name. What a storage needs beside them is not in it.
func Size(tx *object.Tx, name string) (int64, error) {
	o, _, err := tx.Space().Bind(tx, name)
	if err != nil {
		return 0, err
	}
	return size(tx, o)
}

// Sizes calls fn with the name and Size of each object, sorted by name.
func Sizes(tx *object.Tx, fn func(name string, bytes int64)) error {
	for after := ""; ; {
		list, err := tx.List(after, 256)
		if err != nil || len(list) == 0 {
			return err
		}
		for i := range list {
			d := &list[i]
			n, err := size(tx, tx.Space().Object(d.ID, d.Name))
			if err != nil {
				return err
			}
			fn(d.Name, n)
			after = d.Name
		}
	}
}

func size(tx *object.Tx, o *object.Object) (bytes int64, err error) {
	for _, key := range [][]byte{keys.NameKey(o.Name), keys.DescriptorKey(o.ID)} {
		record, err := tx.Get(key)
		if err != nil {
			return 0, err
		}
		bytes += int64(len(key) + len(record))
	}
	r := store.Prefix(o.Prefix)
	for batch := make([]store.Entry, 256); ; {
		n, err := tx.Scan(r, batch)
		if err != nil {
			return 0, err
		}
		for _, e := range batch[:n] {
			bytes += int64(len(e.Key) + len(e.Value))
		}
		if n < len(batch) {
			return bytes, nil
		}
		r = r.Rest(batch[n-1].Key)
	}
}
