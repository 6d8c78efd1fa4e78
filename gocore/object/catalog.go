package object

import (
	"encoding/binary"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/store"
)

// objectCounter gives objects their ids.
var objectCounter = keys.CounterKey("object")

// listBatch is how many names are read at once.
const listBatch = 256

// Create makes an object. d says what it is; an empty Name makes it
// anonymous, and an empty UUID and a zero Created are filled in. The
// Descriptor returned is what was stored. errs.ObjectExists when the name is
// taken, errs.InvalidPath when it cannot be one.
func (s *Space) Create(tx *Tx, d Descriptor) (*Object, Descriptor, error) {
	if d.Name == "" {
		d.Name = anonymousName()
	}
	if err := CheckName(d.Name); err != nil {
		return nil, d, err
	}
	if err := tx.nameIsFree("create object", d.Name); err != nil {
		return nil, d, err
	}
	if d.UUID == "" {
		d.UUID = NewUUID()
	}
	if d.Created == 0 {
		d.Created = s.store.Now().UnixNano()
	}
	id, err := tx.NextSeq(objectCounter)
	if err != nil {
		return nil, d, err
	}
	d.ID = id
	if err := tx.putDescriptor(&d); err != nil {
		return nil, d, err
	}
	if _, err := tx.Put(keys.NameKey(d.Name), binary.BigEndian.AppendUint64(nil, id)); err != nil {
		return nil, d, tx.Fail(err)
	}
	o := s.Object(id, d.Name)
	tx.created = append(tx.created, o)
	// A rolled back Create may have left a slot of this id.
	slot := tx.find(id)
	if slot == nil {
		slot = tx.add(o)
	}
	tx.remember(slot)
	slot.object = o
	slot.state = NewState(&d)
	slot.known, slot.changed, slot.created, slot.dropped = true, true, true, false
	return o, d, nil
}

// NewState is the state with which an object of a descriptor begins.
func NewState(d *Descriptor) State {
	state := State{Flags: uint32(d.Kind)}
	if !d.Versioned {
		state.Flags |= FlagUnversioned
	}
	if d.Kind == KindArray || d.Kind == KindQueue || d.Kind == KindFile {
		state.Flags |= FlagSequence
	}
	if d.Kind == KindFile {
		state.Limit = FileChunk
	}
	return state
}

// Bind finds an object by name; errs.ObjectNotFound when there is none.
func (s *Space) Bind(tx *Tx, name string) (*Object, Descriptor, error) {
	if err := CheckName(name); err != nil {
		return nil, Descriptor{}, err
	}
	id, err := tx.idOf(name)
	if err == store.ErrNotFound {
		return nil, Descriptor{}, errs.New(errs.ObjectNotFound, "bind object", s.namespace+"/"+name, "there is no object of this name; create it first")
	}
	if err != nil {
		return nil, Descriptor{}, err
	}
	o := s.Object(id, name)
	d, err := tx.Describe(o)
	if err != nil {
		return nil, Descriptor{}, err
	}
	return o, d, nil
}

// Describe reads an object's descriptor; errs.ObjectNotFound when the object
// was dropped.
func (tx *Tx) Describe(o *Object) (Descriptor, error) {
	if err := o.Void(); err != nil {
		return Descriptor{}, err
	}
	key := keys.DescriptorKey(o.ID)
	record, err := tx.Get(key)
	if err == store.ErrNotFound {
		return Descriptor{}, o.gone()
	}
	if err != nil {
		return Descriptor{}, err
	}
	return decodeDescriptor(o.ID, key, record)
}

// SetMetadata replaces the object's metadata, JSON text that is stored as it
// is.
func (tx *Tx) SetMetadata(o *Object, json string) error {
	return tx.redescribe(o, func(d *Descriptor) { d.Metadata = json })
}

// SetExtra replaces the options of the object's class, JSON text that is
// stored as it is.
func (tx *Tx) SetExtra(o *Object, json string) error {
	return tx.redescribe(o, func(d *Descriptor) { d.Extra = json })
}

// Drop removes the object: its data, its descriptor and its name. Whoever
// uses a handle of it afterwards gets errs.ObjectNotFound; who waits for a
// change of it is woken.
func (tx *Tx) Drop(o *Object) error {
	slot, err := tx.slot(o)
	if err != nil {
		return err
	}
	d, err := tx.Describe(o)
	if err != nil {
		return err
	}
	// Only in a damaged catalog does the name lead to another object; that
	// one must not lose its name.
	if id, err := tx.idOf(d.Name); err != nil && err != store.ErrNotFound {
		return err
	} else if err == nil && id == o.ID {
		if _, err := tx.Del(keys.NameKey(d.Name)); err != nil {
			return err
		}
	}
	if _, err := tx.Del(keys.DescriptorKey(o.ID)); err != nil {
		return tx.Fail(err)
	}
	if _, err := tx.DelRange(store.Prefix(o.Prefix)); err != nil {
		return tx.Fail(err)
	}
	tx.remember(slot)
	slot.dropped, slot.changed = true, true
	slot.state = State{}
	return nil
}

// Names lists the names of objects after the name after, in the order of
// their UTF-8, at most limit of them; a limit of zero or less is none.
func (tx *Tx) Names(after string, limit int) ([]string, error) {
	var names []string
	err := tx.eachName(after, limit, func(entries []store.Entry) error {
		for _, entry := range entries {
			names = append(names, keys.NameOf(entry.Key))
		}
		return nil
	})
	return names, err
}

// List is Names with the objects' descriptors.
func (tx *Tx) List(after string, limit int) ([]Descriptor, error) {
	var list []Descriptor
	var wanted, records [][]byte
	err := tx.eachName(after, limit, func(entries []store.Entry) error {
		wanted, records = wanted[:0], append(records[:0], make([][]byte, len(entries))...)
		for _, entry := range entries {
			id, err := parseID(entry.Key, entry.Value)
			if err != nil {
				return err
			}
			wanted = append(wanted, keys.DescriptorKey(id))
		}
		if err := tx.GetMany(wanted, records); err != nil {
			return err
		}
		for i, record := range records {
			if record == nil {
				return missingDescriptor(wanted[i])
			}
			id := binary.BigEndian.Uint64(entries[i].Value)
			d, err := decodeDescriptor(id, wanted[i], record)
			if err != nil {
				return err
			}
			list = append(list, d)
		}
		return nil
	})
	return list, err
}

// eachName calls fn with batches of the catalog's names, which are valid
// until fn returns.
func (tx *Tx) eachName(after string, limit int, fn func([]store.Entry) error) error {
	r := store.Prefix([]byte{keys.SpaceName})
	if after != "" {
		r = r.Rest(keys.NameKey(after))
	}
	size := listBatch
	if limit > 0 {
		size = min(size, limit)
	}
	for left, batch := limit, make([]store.Entry, size); ; {
		if limit > 0 {
			batch = batch[:min(len(batch), left)]
		}
		n, err := tx.Scan(r, batch)
		if err != nil {
			return err
		}
		if n > 0 {
			if err := fn(batch[:n]); err != nil {
				return err
			}
			r = r.Rest(batch[n-1].Key)
		}
		left -= n
		if n < len(batch) || limit > 0 && left <= 0 {
			return nil
		}
	}
}

func (tx *Tx) idOf(name string) (uint64, error) {
	key := keys.NameKey(name)
	raw, err := tx.Get(key)
	if err != nil {
		return 0, err
	}
	return parseID(key, raw)
}

func parseID(dbkey, raw []byte) (uint64, error) {
	if len(raw) != 8 {
		return 0, errs.New(errs.Corrupt, "read", keys.Describe(dbkey), "the record is damaged; check the namespace and restore it from a backup")
	}
	return binary.BigEndian.Uint64(raw), nil
}

func missingDescriptor(dbkey []byte) error {
	return errs.New(errs.Corrupt, "read", keys.Describe(dbkey), "a name leads to it, but it is missing; check the namespace and restore it from a backup")
}

func (tx *Tx) putDescriptor(d *Descriptor) error {
	key := keys.DescriptorKey(d.ID)
	record, err := d.encode(key)
	if err != nil {
		return err
	}
	_, err = tx.Put(key, record)
	return err
}

func (tx *Tx) redescribe(o *Object, change func(*Descriptor)) error {
	if _, err := tx.State(o); err != nil {
		return err
	}
	d, err := tx.Describe(o)
	if err != nil {
		return err
	}
	change(&d)
	if err := tx.putDescriptor(&d); err != nil {
		return err
	}
	tx.Changed(o, 0)
	return nil
}
