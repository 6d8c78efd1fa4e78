package object

import (
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/store"
)

// GetAttr reads a shared attribute. The value aliases the store: it is valid
// until the transaction writes or ends. store.ErrNotFound when there is no
// such attribute, errs.ObjectNotFound when there is no such object.
func (tx *Tx) GetAttr(o *Object, name string) ([]byte, error) {
	if err := checkAttr(name); err != nil {
		return nil, err
	}
	if err := o.Void(); err != nil {
		return nil, err
	}
	key := keys.AppendAttrKey(tx.scratch.key[:0], o.Prefix, name)
	record, err := tx.Get(key)
	if err == store.ErrNotFound {
		if _, err := tx.State(o); err != nil {
			return nil, err
		}
		return nil, store.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	if err := tx.Affords(record); err != nil {
		return nil, err
	}
	return o.Value(key, record)
}

// SetAttr sets a shared attribute to a value, which may be in parts.
func (tx *Tx) SetAttr(o *Object, name string, value ...[]byte) error {
	if err := checkAttr(name); err != nil {
		return err
	}
	if _, err := tx.State(o); err != nil {
		return err
	}
	key := keys.AppendAttrKey(tx.scratch.key[:0], o.Prefix, name)
	if _, err := tx.PutEntry(key, nil, value...); err != nil {
		return err
	}
	tx.Changed(o, 0)
	return nil
}

// DelAttr removes a shared attribute; store.ErrNotFound when it is not there.
func (tx *Tx) DelAttr(o *Object, name string) error {
	if err := checkAttr(name); err != nil {
		return err
	}
	if _, err := tx.State(o); err != nil {
		return err
	}
	found, err := tx.Del(keys.AppendAttrKey(tx.scratch.key[:0], o.Prefix, name))
	if err != nil {
		return err
	}
	if !found {
		return store.ErrNotFound
	}
	tx.Changed(o, 0)
	return nil
}

// Attrs lists the names of the shared attributes, sorted.
func (tx *Tx) Attrs(o *Object) ([]string, error) {
	if _, err := tx.State(o); err != nil {
		return nil, err
	}
	begin := keys.AppendTag(nil, o.Prefix, keys.TagAttr)
	r := store.Prefix(begin)
	r.KeysOnly = true
	var names []string
	for batch := make([]store.Entry, 32); ; {
		n, err := tx.Scan(r, batch)
		if err != nil {
			return nil, err
		}
		for _, entry := range batch[:n] {
			names = append(names, string(entry.Key[len(begin):]))
		}
		if n < len(batch) {
			return names, nil
		}
		r = r.Rest(batch[n-1].Key)
	}
}

func checkAttr(name string) error {
	if name != "" && len(name) <= MaxName {
		return nil
	}
	return errs.Newf(errs.InvalidArgument, "use attribute", name[:min(len(name), 80)],
		"the name of an attribute is not empty and at most %d bytes in UTF-8", MaxName)
}
