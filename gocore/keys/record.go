package keys

import (
	"encoding/binary"

	"parkit/gocore/crc"
	"parkit/gocore/errs"
)

// Every record below begins with a CRC-32C, little-endian, of its database key
// followed by the rest of the record: a record that was damaged, or that
// turned up under another key, does not pass.
//
//	entry       crc | flags u8 | [FlagOwnKey: uvarint n | n bytes]
//	            [FlagExpiry: due u64 LE] [FlagEvictable: ticket u64 LE] | value
//	state       crc | flags u32 LE | version u64 LE | length u64 LE
//	            [StateSequence: next u64 LE | limit u64 LE | pending u64 LE
//	            [StateLeases: leased | dead | attempts, u64 LE each]]
//	            [StateCache: next | limit | due | bytes | most bytes | eviction, u64 LE each]
//	descriptor  crc | payload

// Flags of an entry record.
const (
	// FlagOwnKey: the record holds the key itself, as a value, because the
	// database key does not give it back.
	FlagOwnKey byte = 0x01
	// FlagMetadata is reserved; this version refuses it.
	FlagMetadata byte = 0x02
	// FlagExpiry: the entry of a dict has an end, in ns since 1970. From then
	// on it is as if it were not there.
	FlagExpiry byte = 0x04
	// FlagEvictable: the entry of a dict has a ticket, by which its place in
	// the order of eviction is found.
	FlagEvictable byte = 0x08

	knownFlags = FlagOwnKey | FlagExpiry | FlagEvictable
)

const (
	crcSize = 4
	// EntryOverhead is what a record without a key of its own adds to a value.
	EntryOverhead = crcSize + 1
	// StateSize is the size of a state record.
	StateSize = 24
	// SequenceStateSize is the size of one with StateSequence.
	SequenceStateSize = 48
	// LeasesStateSize is the size of one with StateLeases.
	LeasesStateSize = 72
	// CacheStateSize is the size of one with StateCache.
	CacheStateSize = 72
	// MaxStateSize is that of the largest.
	MaxStateSize = 72
	// stampSize is the size of a due time or a ticket in an entry record.
	stampSize = 8
	// large is from which size on a part of a value is summed while it is
	// copied, so that it is read from memory once.
	large = 4 << 10
)

// SealSize is the size of the entry record of a value of value bytes with a
// key of own bytes, 0 for none.
func SealSize(own, value int) int {
	if own == 0 {
		return EntryOverhead + value
	}
	return EntryOverhead + uvarintSize(own) + own + value
}

// Seal writes an entry record into dst, which must be SealSize long. The
// value may come in parts. FlagOwnKey is set by it, by whether own is empty.
func Seal(dst, dbkey []byte, flags byte, own []byte, value ...[]byte) {
	at := EntryOverhead
	if len(own) > 0 {
		flags |= FlagOwnKey
		at += binary.PutUvarint(dst[at:], uint64(len(own)))
		at += copy(dst[at:], own)
	}
	dst[crcSize] = flags
	sum := crc.Update(0, dbkey)
	done := crcSize
	for _, part := range value {
		if len(part) < large {
			at += copy(dst[at:], part)
			continue
		}
		sum = crc.Copy(crc.Update(sum, dst[done:at]), dst[at:], part)
		at += len(part)
		done = at
	}
	binary.LittleEndian.PutUint32(dst, crc.Update(sum, dst[done:at]))
}

// Open checks an entry record and takes it apart; own is nil where it has
// none. own and value alias record. errs.Corrupt names the key.
func Open(dbkey, record []byte) (flags byte, own, value []byte, err error) {
	if len(record) < EntryOverhead || !sumHolds(dbkey, record) {
		return 0, nil, nil, damaged(dbkey)
	}
	return Split(dbkey, record)
}

// Split is Open without the check of the sum, for a record that the caller
// has checked since it last changed.
func Split(dbkey, record []byte) (flags byte, own, value []byte, err error) {
	if len(record) < EntryOverhead {
		return 0, nil, nil, damaged(dbkey)
	}
	flags, value = record[crcSize], record[EntryOverhead:]
	if flags == 0 {
		return 0, nil, value, nil
	}
	if flags&^knownFlags != 0 {
		return 0, nil, nil, errs.Newf(errs.NewerFormat, "read", Describe(dbkey),
			"the record has flags %#02x that this parkit does not know; use the newer parkit that wrote it", flags)
	}
	if flags&FlagOwnKey != 0 {
		n, size := binary.Uvarint(value)
		if size <= 0 || n == 0 || n > uint64(len(value)-size) {
			return 0, nil, nil, damaged(dbkey)
		}
		end := size + int(n)
		own, value = value[size:end:end], value[end:]
	}
	stamps := stampsSize(flags)
	if len(value) < stamps {
		return 0, nil, nil, damaged(dbkey)
	}
	return flags, own, value[stamps:], nil
}

func stampsSize(flags byte) int {
	size := 0
	if flags&FlagExpiry != 0 {
		size += stampSize
	}
	if flags&FlagEvictable != 0 {
		size += stampSize
	}
	return size
}

// Stamps are what stands before the value in the record of a dict's entry.
type Stamps struct {
	Due    int64  // ns since 1970; 0 is no end
	Ticket uint64 // 0 is none
}

// Append appends the stamps as they stand in a record, and says with which
// flags.
func (s Stamps) Append(dst []byte) (_ []byte, flags byte) {
	if s.Due != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(s.Due))
		flags |= FlagExpiry
	}
	if s.Ticket != 0 {
		dst = binary.LittleEndian.AppendUint64(dst, s.Ticket)
		flags |= FlagEvictable
	}
	return dst, flags
}

// StampsOf are the stamps of an entry record that Open or Split has taken
// apart: into value, and with these flags.
func StampsOf(flags byte, record, value []byte) (s Stamps) {
	at := len(record) - len(value) - stampsSize(flags)
	if flags&FlagExpiry != 0 {
		s.Due = int64(binary.LittleEndian.Uint64(record[at:]))
		at += stampSize
	}
	if flags&FlagEvictable != 0 {
		s.Ticket = binary.LittleEndian.Uint64(record[at:])
	}
	return s
}

// FlagsOf are the flags of an entry record, unchecked.
func FlagsOf(record []byte) byte {
	if len(record) < EntryOverhead {
		return 0
	}
	return record[crcSize]
}

// StateSequence is the flag of a state with positions: the object is a sequence.
const StateSequence uint32 = 1 << 10

// StateLeases is the flag, beside StateSequence, of a queue of which items were
// leased.
const StateLeases uint32 = 1 << 14

// StateCache is the flag of the state of a dict whose entries may have an end,
// or whose size has a limit.
const StateCache uint32 = 1 << 15

// State is an object's state record. Next and Limit are stored with
// StateSequence and StateCache, Pending with the first, and of the groups behind
// it one with StateLeases and one with StateCache. An object has the first or the
// last of these flags at most.
type State struct {
	Flags   uint32
	Version uint64
	Length  uint64
	Next    uint64
	Limit   uint64
	Pending uint64

	Leased   uint64
	Dead     uint64
	Attempts uint64

	Due       int64
	Bytes     uint64
	MostBytes uint64
	Eviction  uint64
}

// PutState writes a state record into dst, which must have room for
// MaxStateSize, and returns its size.
func PutState(dst, dbkey []byte, s State) int {
	n := stateSize(s.Flags)
	dst = dst[:n]
	binary.LittleEndian.PutUint32(dst[4:], s.Flags)
	binary.LittleEndian.PutUint64(dst[8:], s.Version)
	binary.LittleEndian.PutUint64(dst[16:], s.Length)
	if n > StateSize {
		binary.LittleEndian.PutUint64(dst[24:], s.Next)
		binary.LittleEndian.PutUint64(dst[32:], s.Limit)
	}
	switch {
	case s.Flags&StateSequence != 0:
		binary.LittleEndian.PutUint64(dst[40:], s.Pending)
		if s.Flags&StateLeases != 0 {
			binary.LittleEndian.PutUint64(dst[48:], s.Leased)
			binary.LittleEndian.PutUint64(dst[56:], s.Dead)
			binary.LittleEndian.PutUint64(dst[64:], s.Attempts)
		}
	case s.Flags&StateCache != 0:
		binary.LittleEndian.PutUint64(dst[40:], uint64(s.Due))
		binary.LittleEndian.PutUint64(dst[48:], s.Bytes)
		binary.LittleEndian.PutUint64(dst[56:], s.MostBytes)
		binary.LittleEndian.PutUint64(dst[64:], s.Eviction)
	}
	binary.LittleEndian.PutUint32(dst, sum(dbkey, dst[crcSize:]))
	return n
}

// ParseState checks and reads a state record.
func ParseState(dbkey, record []byte) (State, error) {
	if len(record) < StateSize || !sumHolds(dbkey, record) {
		return State{}, damaged(dbkey)
	}
	s := State{
		Flags:   binary.LittleEndian.Uint32(record[4:]),
		Version: binary.LittleEndian.Uint64(record[8:]),
		Length:  binary.LittleEndian.Uint64(record[16:]),
	}
	if len(record) != stateSize(s.Flags) {
		return State{}, damaged(dbkey)
	}
	if len(record) > StateSize {
		s.Next = binary.LittleEndian.Uint64(record[24:])
		s.Limit = binary.LittleEndian.Uint64(record[32:])
	}
	switch {
	case s.Flags&StateSequence != 0:
		s.Pending = binary.LittleEndian.Uint64(record[40:])
		if s.Flags&StateLeases != 0 {
			s.Leased = binary.LittleEndian.Uint64(record[48:])
			s.Dead = binary.LittleEndian.Uint64(record[56:])
			s.Attempts = binary.LittleEndian.Uint64(record[64:])
		}
	case s.Flags&StateCache != 0:
		s.Due = int64(binary.LittleEndian.Uint64(record[40:]))
		s.Bytes = binary.LittleEndian.Uint64(record[48:])
		s.MostBytes = binary.LittleEndian.Uint64(record[56:])
		s.Eviction = binary.LittleEndian.Uint64(record[64:])
	}
	return s, nil
}

func stateSize(flags uint32) int {
	switch {
	case flags&(StateSequence|StateLeases) == StateSequence|StateLeases:
		return LeasesStateSize
	case flags&StateSequence != 0:
		return SequenceStateSize
	case flags&StateCache != 0:
		return CacheStateSize
	}
	return StateSize
}

// SealPayload is the record of a descriptor, or of anything else that is only
// a payload behind its sum.
func SealPayload(dbkey, payload []byte) []byte {
	record := make([]byte, crcSize+len(payload))
	copy(record[crcSize:], payload)
	binary.LittleEndian.PutUint32(record, sum(dbkey, payload))
	return record
}

// OpenPayload checks a record of SealPayload; payload aliases it.
func OpenPayload(dbkey, record []byte) (payload []byte, err error) {
	if len(record) < crcSize || !sumHolds(dbkey, record) {
		return nil, damaged(dbkey)
	}
	return record[crcSize:], nil
}

// Verify checks one record of the keyspace by what its key says it is. Task
// records are the tasks package's to check.
func Verify(dbkey, record []byte) error {
	if _, tag, _, ok := SplitObjectKey(dbkey); ok {
		switch tag {
		case TagState:
			_, err := ParseState(dbkey, record)
			return err
		case TagAttr, TagDict, TagItem, TagRank, TagLease, TagDead, TagChunk:
			_, _, _, err := Open(dbkey, record)
			return err
		}
		_, err := OpenPayload(dbkey, record)
		return err
	}
	if len(dbkey) == 0 {
		return damaged(dbkey)
	}
	switch dbkey[0] {
	case SpaceName, SpaceCounter:
		if len(record) != 8 {
			return damaged(dbkey)
		}
	case SpaceDescriptor:
		_, err := OpenPayload(dbkey, record)
		return err
	}
	return nil
}

func sum(dbkey, rest []byte) uint32 {
	return crc.Update(crc.Update(0, dbkey), rest)
}

func sumHolds(dbkey, record []byte) bool {
	return sum(dbkey, record[crcSize:]) == binary.LittleEndian.Uint32(record)
}

func damaged(dbkey []byte) error {
	return errs.New(errs.Corrupt, "read", Describe(dbkey),
		"the record is damaged: its checksum or its structure is wrong. Check the namespace and restore the entry from a backup.")
}

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// Carry writes into dst, which must be as long as record, the record that
// stands for record under another database key. All records begin with their
// sum, so this is good for each kind of them. A damaged one is errs.Corrupt.
func Carry(dst, newKey, oldKey, record []byte) error {
	if len(record) < crcSize || !sumHolds(oldKey, record) {
		return damaged(oldKey)
	}
	copy(dst, record)
	binary.LittleEndian.PutUint32(dst, sum(newKey, record[crcSize:]))
	return nil
}

// WithOwnKey is an entry's record with a key of its own, for a database key
// that was not shortened where the record comes from and is here. The sum is
// not made: Carry does. A record that has one is returned as it is.
func WithOwnKey(record, encoded []byte) []byte {
	if len(record) < EntryOverhead || record[crcSize]&FlagOwnKey != 0 {
		return record
	}
	own := OwnKey(nil, encoded, true)
	grown := append(make([]byte, 0, len(record)+len(own)+binary.MaxVarintLen32), record[:crcSize]...)
	grown = append(grown, record[crcSize]|FlagOwnKey)
	grown = append(binary.AppendUvarint(grown, uint64(len(own))), own...)
	return append(grown, record[EntryOverhead:]...)
}

// SumHolds reports whether a record that begins with its sum is undamaged.
func SumHolds(dbkey, record []byte) bool { return len(record) >= crcSize && sumHolds(dbkey, record) }
