package object

import (
	"bytes"

	"github.com/vmihailenco/msgpack/v5"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
)

// Kind is what an object's data look like. The numbers are stored: they are
// appended to, never reordered.
type Kind uint8

const (
	KindObject Kind = iota // attributes only
	KindDict
	KindArray
	KindQueue
	KindFile
	KindAsyncable
)

// Descriptor is what an object is, apart from its data. It changes rarely.
type Descriptor struct {
	ID   uint64 `msgpack:"-"` // the database key says it
	UUID string `msgpack:"uuid"`
	Name string `msgpack:"name"`
	Kind Kind   `msgpack:"kind"`
	// Class is the Python class as "module:qualname", Bases those of its
	// persistent bases. Neither is ever imported by the core.
	Class   string   `msgpack:"class"`
	Bases   []string `msgpack:"bases"`
	Created int64    `msgpack:"created"` // wall clock, ns
	// Versioned objects count their changes in State.Version.
	Versioned bool   `msgpack:"versioned"`
	Metadata  string `msgpack:"metadata"` // JSON; not looked into by the core
	Extra     string `msgpack:"extra"`    // JSON; the class's own options
}

func (d *Descriptor) encode(dbkey []byte) ([]byte, error) {
	var payload bytes.Buffer
	encoder := msgpack.NewEncoder(&payload)
	encoder.UseCompactInts(true)
	if err := encoder.Encode(d); err != nil {
		return nil, errs.Wrap(errs.Internal, "encode", keys.Describe(dbkey), err)
	}
	return keys.SealPayload(dbkey, payload.Bytes()), nil
}

func decodeDescriptor(id uint64, dbkey, record []byte) (Descriptor, error) {
	payload, err := keys.OpenPayload(dbkey, record)
	if err != nil {
		return Descriptor{}, err
	}
	var d Descriptor
	if err := msgpack.Unmarshal(payload, &d); err != nil {
		return Descriptor{}, errs.Wrap(errs.Corrupt, "read", keys.Describe(dbkey), err)
	}
	d.ID = id
	return d, nil
}
