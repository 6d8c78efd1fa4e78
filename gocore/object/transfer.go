package object

import (
	"encoding/binary"
	"slices"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/store"
)

// renamedMark is there in a namespace in which an object was ever renamed.
// Only then is an object that is not under its name looked for by its uuid.
var renamedMark = keys.NamespaceKey("renamed")

// copyBatch bounds what a copy within one transaction holds in memory, in
// bytes, but for one record.
const copyBatch = 1 << 20

// Rename gives an object another name; errs.ObjectExists when that is taken.
// Handles stay good: data hang on the id. References by the old name are
// followed by Find.
func (tx *Tx) Rename(o *Object, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if _, err := tx.State(o); err != nil {
		return err
	}
	d, err := tx.Describe(o)
	if err != nil || d.Name == name {
		return err
	}
	if err := tx.nameIsFree("rename object", name); err != nil {
		return err
	}
	if _, err := tx.Put(renamedMark, keys.SealPayload(renamedMark, nil)); err != nil {
		return err
	}
	if id, err := tx.idOf(d.Name); err == nil && id == o.ID {
		if _, err := tx.Del(keys.NameKey(d.Name)); err != nil {
			return tx.Fail(err)
		}
	}
	d.Name = name
	if err := tx.putDescriptor(&d); err != nil {
		return tx.Fail(err)
	}
	if _, err := tx.Put(keys.NameKey(name), binary.BigEndian.AppendUint64(nil, o.ID)); err != nil {
		return tx.Fail(err)
	}
	tx.Changed(o, 0)
	return nil
}

// Find is Bind for a reference, which has the object's uuid too: an object
// that was renamed is found under its new name. Where there is no object of
// that uuid it answers as Bind, and the caller compares the uuid.
func (s *Space) Find(tx *Tx, name, uuid string) (*Object, Descriptor, error) {
	o, d, err := s.Bind(tx, name)
	if err == nil && d.UUID == uuid || err != nil && !errs.Has(err, errs.ObjectNotFound) {
		return o, d, err
	}
	switch _, unmarked := tx.Get(renamedMark); unmarked {
	case nil:
	case store.ErrNotFound:
		return o, d, err
	default:
		return nil, Descriptor{}, unmarked
	}
	r := store.Prefix([]byte{keys.SpaceDescriptor})
	for batch := make([]store.Entry, listBatch); ; {
		n, scanned := tx.Scan(r, batch)
		if scanned != nil {
			return nil, Descriptor{}, scanned
		}
		for _, entry := range batch[:n] {
			found, decoded := DecodeDescriptor(entry.Key, entry.Value)
			if decoded == nil && found.UUID == uuid {
				return s.Object(found.ID, found.Name), found, nil
			}
		}
		if n < len(batch) {
			return o, d, err
		}
		r = r.Rest(batch[n-1].Key)
	}
}

// Copy makes an object of another one, which from reads, with everything it
// holds: whatever has a tag comes along. from may be tx itself, or a
// transaction of another namespace. d is the descriptor of the copy; its Name
// must be free (errs.ObjectExists). A damaged record is errs.Corrupt. version
// is where the count of the copy's changes begins. Records of the tags in
// without are left out.
func (tx *Tx) Copy(from *Tx, o *Object, d Descriptor, version uint64, without ...byte) (*Object, error) {
	state, err := from.State(o)
	if err != nil {
		return nil, err
	}
	source := *state
	if err := tx.idsAsLong(o.Prefix); err != nil {
		return nil, err
	}
	made, _, err := tx.space.Create(tx, d)
	if err != nil {
		return nil, err
	}
	if err := tx.copyRecords(from, o, made, without); err != nil {
		return nil, tx.Fail(err)
	}
	slot := tx.find(made.ID)
	slot.state = source
	slot.state.Version = version
	return made, nil
}

// idsAsLong has the next object's id take as many bytes as that of an object
// of this prefix: keys that were shortened can lose more bytes, not get some back.
func (tx *Tx) idsAsLong(prefix []byte) error {
	least := uint64(1) << (8 * (len(prefix) - 2))
	raw, err := tx.Get(objectCounter)
	if err != nil && err != store.ErrNotFound {
		return err
	}
	if len(raw) == 8 && binary.BigEndian.Uint64(raw)+1 >= least || least == 1 {
		return nil
	}
	_, err = tx.Put(objectCounter, binary.BigEndian.AppendUint64(nil, least-1))
	return err
}

// copyRecords copies all but the state.
func (tx *Tx) copyRecords(from *Tx, o, made *Object, without []byte) error {
	same := from == tx
	var key, held []byte
	r := store.Prefix(o.Prefix)
	r.Lo = append(append([]byte(nil), o.stateKey...), 0)
	for batch := make([]store.Entry, 64); ; {
		n, err := from.Scan(r, batch)
		if err != nil {
			return err
		}
		more := n == len(batch)
		if same {
			// A write moves what the transaction has handed out.
			size, kept := 0, 0
			for kept = 0; kept < n && (kept == 0 || size < copyBatch); kept++ {
				size += len(batch[kept].Key) + len(batch[kept].Value)
			}
			more = more || kept < n
			n = kept
			held = append(held[:0], make([]byte, 0, size)...)
			for i := range batch[:n] {
				at := len(held)
				held = append(append(held, batch[i].Key...), batch[i].Value...)
				batch[i].Key, batch[i].Value = held[at:at+len(batch[i].Key)], held[at+len(batch[i].Key):]
			}
		}
		for _, entry := range batch[:n] {
			if slices.Contains(without, entry.Key[len(o.Prefix)]) {
				continue
			}
			var encoded []byte
			key, encoded = keys.CarryKey(key[:0], made.Prefix, o.Prefix, entry.Key)
			if err := tx.carry(key, entry, encoded); err != nil {
				return err
			}
		}
		if !more || n == 0 {
			return nil
		}
		r = r.Rest(batch[n-1].Key)
	}
}

// carry stores an entry under another key, with a key of its own if encoded
// is given.
func (tx *Tx) carry(key []byte, entry store.Entry, encoded []byte) error {
	record := entry.Value
	if encoded != nil {
		if !keys.SumHolds(entry.Key, record) {
			return keys.Carry(nil, key, entry.Key, record) // says what is damaged
		}
		record = keys.WithOwnKey(record, encoded)
		_, err := tx.Put(key, keys.SealPayload(key, record[4:]))
		return err
	}
	memory, _, err := tx.Reserve(key, len(record))
	if err != nil {
		return err
	}
	return keys.Carry(memory, key, entry.Key, record)
}

func (tx *Tx) nameIsFree(op, name string) error {
	switch _, err := tx.Get(keys.NameKey(name)); err {
	case nil:
		return errs.New(errs.ObjectExists, op, tx.space.namespace+"/"+name, "an object of this name exists; bind it, or choose another name")
	case store.ErrNotFound:
		return nil
	default:
		return err
	}
}

// DecodeDescriptor reads the record under a descriptor's key.
func DecodeDescriptor(dbkey, record []byte) (Descriptor, error) {
	if len(dbkey) != 9 {
		return Descriptor{}, errs.New(errs.Corrupt, "read", keys.Describe(dbkey), "this is no key of a descriptor")
	}
	return decodeDescriptor(binary.BigEndian.Uint64(dbkey[1:]), dbkey, record)
}

// Record is the descriptor as it is stored under keys.DescriptorKey(d.ID).
func (d *Descriptor) Record() ([]byte, error) { return d.encode(keys.DescriptorKey(d.ID)) }

// ParseState reads the record under a state's key.
func ParseState(dbkey, record []byte) (State, error) {
	raw, err := keys.ParseState(dbkey, record)
	return stateOf(raw), err
}

// Record is the state as it is stored under dbkey.
func (s *State) Record(dbkey []byte) []byte {
	record := make([]byte, keys.MaxStateSize)
	return record[:keys.PutState(record, dbkey, s.record())]
}
