package parkit_go

import (
	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// described is a descriptor as Python gets it.
type described struct {
	UUID      string   `json:"uuid"`
	Name      string   `json:"name"`
	Kind      int      `json:"kind"`
	Class     string   `json:"class"`
	Bases     []string `json:"bases"`
	Created   int64    `json:"created"`
	Versioned bool     `json:"versioned"`
	Metadata  string   `json:"metadata"` // JSON in itself, as is Extra
	Extra     string   `json:"extra"`
}

func describe(d *object.Descriptor) described {
	return described{
		UUID: d.UUID, Name: d.Name, Kind: int(d.Kind), Class: d.Class, Bases: append([]string{}, d.Bases...),
		Created: d.Created, Versioned: d.Versioned, Metadata: d.Metadata, Extra: d.Extra,
	}
}

type objectRequest struct {
	Space  int64  `json:"space"`
	Name   string `json:"name"` // none: an anonymous object, which is created
	Create bool   `json:"create"`
	Bind   bool   `json:"bind"`
	// Reference is the uuid of an object that is looked for: it is found also if
	// it was renamed.
	Reference string `json:"reference"`

	// What an object that is created is.
	Kind      int      `json:"kind"`
	Class     string   `json:"class"`
	Bases     []string `json:"bases"`
	Versioned bool     `json:"versioned"`
	Metadata  string   `json:"metadata"`
	Extra     string   `json:"extra"`
	Limit     uint64   `json:"limit"`    // of a sequence's length; 0 is none
	Flags     uint32   `json:"flags"`    // object.FlagsGiven
	Attempts  *uint64  `json:"attempts"` // of a queue's items; 0 is no bound
	// Cache limits a dict: entries, bytes (0 is none), eviction.
	Cache []uint64 `json:"cache"`
	// Of one that was made elsewhere before; else a new one's.
	UUID string `json:"uuid"`
	Born int64  `json:"born"` // ns
}

type objectAnswer struct {
	Handle  int64 `json:"handle"`
	Created bool  `json:"created"`
	described
}

// ObjectOpen binds an object, or creates it, as its request says. Whether the
// class that is stored suits is for Python to say. Where it may create it
// wants a transaction of the calling thread, because waiting for the writer's
// turn in here could not be interrupted; the handle is good for as long as that
// transaction is not undone.
func ObjectOpen(request string) (string, error) {
	return boundJSON("open object", request, func(r objectRequest) (answer objectAnswer, err error) {
		space, err := spaceOf(r.Space)
		if err != nil {
			return answer, err
		}
		mode := store.Read
		if r.Create || r.Name == "" {
			mode = store.Write
		}
		err = inTx(space, mode, func(tx *object.Tx) error {
			answer, err = openObject(tx, space, &r)
			return err
		})
		return answer, err
	})
}

func openObject(tx *object.Tx, space *object.Space, r *objectRequest) (answer objectAnswer, err error) {
	var o *object.Object
	var d object.Descriptor
	create := r.Name == ""
	if !create && r.Reference != "" {
		o, d, err = space.Find(tx, r.Name, r.Reference)
	} else if !create && r.Bind {
		o, d, err = space.Bind(tx, r.Name)
		create = r.Create && errs.Has(err, errs.ObjectNotFound)
	} else if !create {
		create = r.Create
	}
	if create {
		o, d, err = space.Create(tx, object.Descriptor{
			Name: r.Name, Kind: object.Kind(r.Kind), Class: r.Class, Bases: r.Bases,
			Versioned: r.Versioned, Metadata: r.Metadata, Extra: r.Extra, UUID: r.UUID, Created: r.Born,
		})
		if err == nil && r.Limit > 0 {
			err = tx.SetLimit(o, r.Limit)
		}
		if err == nil {
			tx.SetFlags(o, r.Flags&object.FlagsGiven, 0)
		}
		if err == nil && len(r.Cache) == 3 {
			err = coll.DictLimit(tx, o, r.Cache[0], r.Cache[1], r.Cache[2])
		}
		if err == nil && r.Attempts != nil {
			err = coll.QueueAttempts(tx, o, *r.Attempts)
		}
	}
	if err != nil {
		return answer, err
	}
	handle := addObject(o)
	if d.Kind == object.KindDict {
		if err := attend(tx, handle); err != nil {
			return answer, err
		}
	}
	return objectAnswer{Handle: handle, Created: create, described: describe(&d)}, nil
}

// attend has this process see to the entries of a dict that have an end.
func attend(tx *object.Tx, handle int64) error {
	o, err := objectOf(handle)
	if err != nil {
		return err
	}
	state, err := tx.State(o)
	if err == nil {
		coll.DictAttend(o, state)
	}
	return err
}

// ObjectDescribe is what an object is, now.
func ObjectDescribe(handle int64) (string, error) {
	return bound("describe object", func() (string, error) {
		o, err := objectOf(handle)
		if err != nil {
			return "", err
		}
		var answer described
		err = inTx(o.Space, store.Read, func(tx *object.Tx) error {
			d, err := tx.Describe(o)
			answer = describe(&d)
			return err
		})
		if err != nil {
			return "", err
		}
		return asJSON("describe object", answer)
	})
}

type metadataRequest struct {
	Handle   int64  `json:"handle"`
	Metadata string `json:"metadata"`
}

// ObjectSetMetadata replaces an object's metadata. Call it in a transaction of
// the thread, as ObjectOpen.
func ObjectSetMetadata(request string) (string, error) {
	return boundJSON("set metadata", request, func(r metadataRequest) (bool, error) {
		o, err := objectOf(r.Handle)
		if err != nil {
			return false, err
		}
		return true, inTx(o.Space, store.Write, func(tx *object.Tx) error { return tx.SetMetadata(o, r.Metadata) })
	})
}

// ObjectDrop removes an object and all it holds. Call it in a transaction of
// the thread, as ObjectOpen.
func ObjectDrop(handle int64) (bool, error) {
	return bound("drop object", func() (bool, error) {
		o, err := objectOf(handle)
		if err != nil {
			return false, err
		}
		return true, inTx(o.Space, store.Write, func(tx *object.Tx) error { return tx.Drop(o) })
	})
}
