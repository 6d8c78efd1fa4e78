package keys

import (
	"encoding/binary"
	"math"
)

// Held is an item of a queue that is not in the queue at the moment: it was
// leased, or is a dead letter. In an entry record it is the value:
//
//	attempts uvarint | time 8 LE | place, own, why: each uvarint n, n bytes | value
type Held struct {
	Attempts uint64 // how often it was leased
	// Time is the deadline of a lease, 0 for none, and when a dead letter died;
	// wall clock, ns.
	Time  int64
	Place []byte // its key in the queue, from the tag on
	Own   []byte // what its record there held as the key
	Why   string // of a dead letter: why it died
	Value []byte
}

// AppendHeld appends all of a Held but its value.
func AppendHeld(dst []byte, h *Held) []byte {
	dst = binary.AppendUvarint(dst, h.Attempts)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Time))
	for _, part := range [...]string{string(h.Place), string(h.Own), h.Why} {
		dst = append(binary.AppendUvarint(dst, uint64(len(part))), part...)
	}
	return dst
}

// OpenHeld checks the record of a Held and takes it apart; what it gives aliases
// the record. errs.Corrupt names the key.
func OpenHeld(dbkey, record []byte) (Held, error) {
	_, _, p, err := Open(dbkey, record)
	if err != nil {
		return Held{}, err
	}
	var h Held
	n, size := binary.Uvarint(p)
	if size <= 0 || len(p) < size+8 {
		return Held{}, damaged(dbkey)
	}
	h.Attempts, h.Time = n, int64(binary.LittleEndian.Uint64(p[size:]))
	p = p[size+8:]
	var why []byte
	for _, part := range [...]*[]byte{&h.Place, &h.Own, &why} {
		n, size := binary.Uvarint(p)
		if size <= 0 || n > uint64(len(p)-size) {
			return Held{}, damaged(dbkey)
		}
		end := size + int(n)
		*part, p = p[size:end:end], p[end:]
	}
	h.Why, h.Value = string(why), p
	return h, nil
}

// The keys of leases: an owner's leases lie together, and before those of all
// owners, under the owner 0, the deadlines, so that the next one is found first.

// AppendLeaseKey appends the database key of a leased item.
func AppendLeaseKey(dst, prefix []byte, owner, lease uint64) []byte {
	dst = binary.BigEndian.AppendUint64(AppendTag(dst, prefix, TagLease), owner)
	return binary.BigEndian.AppendUint64(dst, lease)
}

// AppendDeadlineKey appends the key of the note of a lease's deadline; its
// record holds the owner.
func AppendDeadlineKey(dst, prefix []byte, deadline int64, lease uint64) []byte {
	return binary.BigEndian.AppendUint64(AppendLeaseKey(dst, prefix, 0, uint64(deadline)), lease)
}

// SplitLeaseKey takes what follows TagLease apart. An owner of 0 is a deadline's.
func SplitLeaseKey(rest []byte) (owner uint64, deadline int64, lease uint64, ok bool) {
	if len(rest) != 16 && len(rest) != 24 {
		return 0, 0, 0, false
	}
	owner, lease = binary.BigEndian.Uint64(rest), binary.BigEndian.Uint64(rest[len(rest)-8:])
	if (owner == 0) != (len(rest) == 24) {
		return 0, 0, 0, false
	}
	if owner == 0 {
		deadline = int64(binary.BigEndian.Uint64(rest[8:]))
	}
	return owner, deadline, lease, true
}

// An item that came back into its queue has its attempts, an int, in the place
// of the record's own key, before the key that is there where the database key
// was shortened.

// AppendAttempts is what the record of an item holds as its key. The result may
// be own itself.
func AppendAttempts(attempts uint64, own []byte) []byte {
	if attempts == 0 {
		return own
	}
	return append(appendValueInt(nil, int64(min(attempts, math.MaxInt64))), own...)
}

// SplitAttempts takes apart what AppendAttempts made.
func SplitAttempts(own []byte) (attempts uint64, key []byte) {
	if len(own) == 0 {
		return 0, nil
	}
	n := 1
	switch own[0] {
	case 0xCC:
		n = 2
	case 0xCD:
		n = 3
	case 0xCE:
		n = 5
	case 0xCF:
		n = 9
	default:
		if own[0] >= 0x80 {
			return 0, own
		}
	}
	v, _ := readValue(own[:min(n, len(own))])
	if count, ok := v.(int64); ok {
		return uint64(count), own[n:]
	}
	return 0, own
}

// EncodedOf is the encoded key that OwnKey put into a record, and ok is false for any
// other own key.
func EncodedOf(own []byte) (encoded []byte, ok bool) {
	if len(own) < 2 || own[0] < 0xC7 || own[0] > 0xC9 {
		return nil, false // shortened keys are long
	}
	body, ok := readBody(own[1:], 1<<(own[0]-0xC7), 1)
	if !ok || body[0] != ExtKey {
		return nil, false
	}
	return body[1:], true
}
