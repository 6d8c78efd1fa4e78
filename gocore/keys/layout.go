// Package keys is the one place that knows what parkit's bytes look like: the
// database keys of a namespace (this file), the frame round every record
// (record.go), the encoding in which user keys sort as Python sorts them
// (key.go, number.go) and that of values (value.go). The C codec of the fast
// lane writes the same bytes; testdata/vectors.json holds both to it.
package keys

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// FormatVersion is the version of everything this package describes; it is
// stored under FormatKey.
const FormatVersion = 1

// The first byte of a database key. 0x20+n begins the data of the objects
// whose id takes n bytes, so that objects sort by id.
const (
	SpaceNamespace  = 0x01 // 01 <word>       -> the namespace's own records
	SpaceName       = 0x02 // 02 <name utf8>  -> object id, 8 bytes big-endian
	SpaceDescriptor = 0x03 // 03 <id, 8 BE>   -> crc | msgpack map
	SpaceCounter    = 0x04 // 04 <name>       -> 8 bytes big-endian
	SpaceTask       = 0x08 // 08 ...          -> the tasks package's own
	SpaceObject     = 0x20 // 20+n <id, n BE> <tag> ...
)

// The byte after an object's prefix.
const (
	TagState  byte = 0x00 // nothing follows -> state record
	TagAttr   byte = 0x01 // name utf8       -> entry record
	TagDict   byte = 0x02 // encoded key     -> entry record
	TagItem   byte = 0x03 // position, 8 BE  -> entry record
	TagRank   byte = 0x04 // encoded tuple, position -> entry record
	TagLease  byte = 0x05 // owner, 8 BE, lease, 8 BE -> a Held in an entry record; 8 zeros, deadline, lease -> owner, 8 BE, likewise
	TagDead   byte = 0x06 // number, 8 BE    -> a Held in an entry record
	TagChunk  byte = 0x07 // index, 8 BE     -> entry record, a part of a file
	TagExpiry byte = 0x08 // due time, 8 BE, stored key -> payload: stored key (dict: what ends when)
	TagUse    byte = 0x09 // see UseTicket and UseOrder (dict: order of use)
	TagClaim  byte = 0x0A // encoded key -> payload: owner's token, 8 LE (dict: who computes what)
	TagFree   byte = 0x0B // first of the tags that other collections take
)

const (
	// MaxKey is the longest database key; it equals store.MaxKey.
	MaxKey = 511
	// MaxPrefix is the longest object prefix.
	MaxPrefix = 9
	// MaxName bounds the names of objects, attributes and counters, in bytes,
	// so that their keys always fit without being shortened.
	MaxName = 500
	// hashSize is how much of the SHA-256 stands for the rest of a long key.
	hashSize = 16
)

// FormatKey is where a namespace keeps its format version.
func FormatKey() []byte { return NamespaceKey("format") }

// NamespaceKey is the key of one of the namespace's own records.
func NamespaceKey(word string) []byte { return join(SpaceNamespace, word) }

// NameKey is where the id of the object called name is kept.
// A name longer than MaxName is the caller's to refuse.
func NameKey(name string) []byte { return join(SpaceName, name) }

// NameOf is the name in a key that NameKey made.
func NameOf(dbkey []byte) string { return string(dbkey[1:]) }

// CounterKey is where a counter is kept.
func CounterKey(name string) []byte { return join(SpaceCounter, name) }

// DescriptorKey is where the descriptor of an object is kept.
func DescriptorKey(id uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{SpaceDescriptor}, id)
}

// TaskPrefix begins every key of the tasks package.
func TaskPrefix() []byte { return []byte{SpaceTask} }

func join(space byte, text string) []byte {
	return append(append(make([]byte, 0, 1+len(text)), space), text...)
}

// ObjectPrefix begins every key of an object's data. Ids start at 1.
func ObjectPrefix(id uint64) []byte {
	return AppendObjectPrefix(make([]byte, 0, MaxPrefix), id)
}

// AppendObjectPrefix appends ObjectPrefix(id) to dst.
func AppendObjectPrefix(dst []byte, id uint64) []byte {
	n := max(1, (bits.Len64(id)+7)/8)
	dst = append(dst, SpaceObject+byte(n))
	for shift := 8 * (n - 1); shift >= 0; shift -= 8 {
		dst = append(dst, byte(id>>shift))
	}
	return dst
}

// SplitObjectKey takes a key of an object's data apart; ok is false for any
// other key. rest aliases dbkey.
func SplitObjectKey(dbkey []byte) (id uint64, tag byte, rest []byte, ok bool) {
	if len(dbkey) == 0 || dbkey[0] <= SpaceObject || dbkey[0] > SpaceObject+8 {
		return 0, 0, nil, false
	}
	n := int(dbkey[0] - SpaceObject)
	if len(dbkey) < n+2 {
		return 0, 0, nil, false
	}
	for _, b := range dbkey[1 : n+1] {
		id = id<<8 | uint64(b)
	}
	return id, dbkey[n+1], dbkey[n+2:], true
}

// StateKey is where the state record of an object is kept.
func StateKey(prefix []byte) []byte { return AppendTag(nil, prefix, TagState) }

// AppendAttrKey appends the key of an attribute. A name longer than MaxName
// is the caller's to refuse.
func AppendAttrKey(dst, prefix []byte, name string) []byte {
	return append(append(append(dst, prefix...), TagAttr), name...)
}

// AppendTag appends what begins all keys of one kind within an object.
func AppendTag(dst, prefix []byte, tag byte) []byte {
	return append(append(dst, prefix...), tag)
}

// AppendEntryKey appends the database key of the user key encoded. A key that
// would be MaxKey bytes or longer keeps its first bytes and ends with a hash
// of all of encoded, MaxKey bytes in all; its record must then hold the key
// itself (see OwnKey). Every key of MaxKey bytes is a shortened one, so no user key
// can be made that meets the shortened form of another.
//
// Shortened keys that agree in all the bytes kept sort by their hash, also
// against a bound given to a scan. A key had from a scan is not encoded but
// stored form: put it back together with AppendStoredKey, never with this.
func AppendEntryKey(dst, prefix []byte, tag byte, encoded []byte) (key []byte, shortened bool) {
	dst = append(append(dst, prefix...), tag)
	if len(prefix)+1+len(encoded) < MaxKey {
		return append(dst, encoded...), false
	}
	sum := sha256.Sum256(encoded)
	dst = append(dst, encoded[:MaxKey-hashSize-1-len(prefix)]...)
	return append(dst, sum[:hashSize]...), true
}

// AppendStoredKey appends the database key whose part after the tag is
// stored, as a scan read it; a shortened key is left as it is.
func AppendStoredKey(dst, prefix []byte, tag byte, stored []byte) []byte {
	return append(append(append(dst, prefix...), tag), stored...)
}

// PositionSize is the size of a position in the key of an item.
const PositionSize = 8

// AppendItemKey appends the database key of the item at a position.
func AppendItemKey(dst, prefix []byte, tag byte, position uint64) []byte {
	return binary.BigEndian.AppendUint64(append(append(dst, prefix...), tag), position)
}

// Position is the position at the end of a key that AppendItemKey made.
func Position(dbkey []byte) uint64 {
	return binary.BigEndian.Uint64(dbkey[len(dbkey)-PositionSize:])
}

// Shortened reports whether a database key of an entry was shortened.
func Shortened(dbkey []byte) bool { return len(dbkey) == MaxKey }

// OwnKey is what the record of an entry holds as its key: own where there is
// one, else encoded in a value's clothes where the database key was shortened,
// else nil.
func OwnKey(own, encoded []byte, shortened bool) []byte {
	if len(own) > 0 || !shortened {
		return own
	}
	return appendExt(make([]byte, 0, len(encoded)+6), ExtKey, encoded)
}

// Describe says in words what is kept under a database key, for errors.
func Describe(dbkey []byte) string {
	if id, tag, rest, ok := SplitObjectKey(dbkey); ok {
		switch tag {
		case TagState:
			return fmt.Sprintf("state of object %d", id)
		case TagAttr:
			return fmt.Sprintf("attribute %q of object %d", clip(rest), id)
		case TagDict:
			return fmt.Sprintf("entry %s of object %d", describeEncoded(rest), id)
		case TagItem:
			if len(rest) == PositionSize {
				return fmt.Sprintf("item at position %d of object %d", Position(rest), id)
			}
		case TagExpiry:
			if len(rest) >= 8 {
				return fmt.Sprintf("expiry of entry %s of object %d", describeEncoded(rest[8:]), id)
			}
		case TagUse:
			return fmt.Sprintf("use %x of object %d", clip(rest), id)
		case TagClaim:
			return fmt.Sprintf("claim on entry %s of object %d", describeEncoded(rest), id)
		case TagRank:
			return fmt.Sprintf("item of rank %x of object %d", clip(rest), id)
		case TagChunk:
			if len(rest) == PositionSize {
				return fmt.Sprintf("chunk %d of file %d", Position(rest), id)
			}
		case TagLease:
			return fmt.Sprintf("leased item %x of object %d", clip(rest), id)
		case TagDead:
			return fmt.Sprintf("dead letter %x of object %d", clip(rest), id)
		}
		return fmt.Sprintf("record %02x %x of object %d", tag, clip(rest), id)
	}
	if len(dbkey) == 0 {
		return "empty key"
	}
	switch dbkey[0] {
	case SpaceNamespace:
		return fmt.Sprintf("namespace record %q", clip(dbkey[1:]))
	case SpaceName:
		return fmt.Sprintf("name %q", clip(dbkey[1:]))
	case SpaceCounter:
		return fmt.Sprintf("counter %q", clip(dbkey[1:]))
	case SpaceDescriptor:
		if len(dbkey) == 9 {
			return fmt.Sprintf("descriptor of object %d", binary.BigEndian.Uint64(dbkey[1:]))
		}
	case SpaceTask:
		return fmt.Sprintf("task record %x", clip(dbkey[1:]))
	}
	return fmt.Sprintf("key %x", clip(dbkey))
}

func describeEncoded(encoded []byte) string {
	if v, err := DecodeKey(encoded); err == nil {
		switch v := v.(type) {
		case nil:
			return "None"
		case string:
			return fmt.Sprintf("%q", clip([]byte(v)))
		case []byte:
			return fmt.Sprintf("b%q", clip(v))
		case int64, float64:
			return fmt.Sprint(v)
		}
	}
	return fmt.Sprintf("%x", clip(encoded))
}

func clip(p []byte) []byte {
	if len(p) > 64 {
		return p[:64]
	}
	return p
}

// LeadingNumber is the number, 8 bytes BE, that the rest of an index key begins
// with; 0 where it is shorter.
func LeadingNumber(rest []byte) uint64 {
	if len(rest) < 8 {
		return 0
	}
	return binary.BigEndian.Uint64(rest)
}

// CarryKey appends the database key under which a record of an object lies
// that lay under dbkey in an object of another prefix, which must not be
// longer than the new one: of a shortened key only what is kept is known.
// encoded is what the record must then hold as its key, nil for nothing; it
// aliases dbkey.
func CarryKey(dst, prefix, oldPrefix, dbkey []byte) (key, encoded []byte) {
	rest := dbkey[len(oldPrefix):]
	if Shortened(dbkey) {
		dst = append(append(dst, prefix...), rest[:MaxKey-hashSize-len(prefix)]...)
		return append(dst, dbkey[MaxKey-hashSize:]...), nil
	}
	key, shortened := AppendEntryKey(dst, prefix, rest[0], rest[1:])
	if !shortened {
		return key, nil
	}
	return key, rest[1:]
}
