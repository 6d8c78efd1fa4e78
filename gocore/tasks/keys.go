package tasks

import (
	"encoding/binary"
	"hash/crc32"
	"sync"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Every key of the task space begins with keyspace and one of the tags. Numbers
// are big endian, so that keys sort as the numbers do.
//
//	00 name                       format record, counters (8 bytes, the store's own)
//	01 id                         task record: everything that changes
//	02 asyncable(16) id           call: what never changes, with the arguments
//	03 id                         outcome: the pickled result or error
//	04 queue 00 priority id       ready: runs as soon as a worker is free
//	05 due id                     delayed: becomes ready at its due time
//	06 worker id                  running: the claims of a worker
//	07 asyncable(16) id           limited: not yet ended, of an asyncable with a limit
//	08 state id                   ended otherwise than finished
//	09 worker                     worker record
//	0A worker                     retired: this worker gets no further task
//	0B name                       settings of the pool
//
// Tags from 0C on are free for what is to come (attempts, schedules, unique keys).
// A call sorts by its asyncable, which makes it its own index: f.tasks() reads
// these keys, and no further one is written for it.
const (
	keyspace = 0x08

	tagMeta     = 0x00
	tagRecord   = 0x01
	tagCall     = 0x02
	tagOutcome  = 0x03
	tagReady    = 0x04
	tagDelayed  = 0x05
	tagRunning  = 0x06
	tagLimited  = 0x07
	tagEnded    = 0x08
	tagWorker   = 0x09
	tagRetired  = 0x0A
	tagSettings = 0x0B
)

var (
	keyFormat        = []byte{keyspace, tagMeta, 'f', 'o', 'r', 'm', 'a', 't'}
	keyTaskCounter   = []byte{keyspace, tagMeta, 'n', 't'}
	keyWorkerCounter = []byte{keyspace, tagMeta, 'n', 'w'}
)

const maxQueueName = 64

func appendID(b []byte, id uint64) []byte { return binary.BigEndian.AppendUint64(b, id) }

func keyOfID(b []byte, tag byte, id uint64) []byte {
	return appendID(append(b[:0], keyspace, tag), id)
}

func keyOfPair(b []byte, tag byte, first, id uint64) []byte {
	return appendID(appendID(append(b[:0], keyspace, tag), first), id)
}

func keyOfAsyncable(b []byte, tag byte, asyncable UUID, id uint64) []byte {
	return appendID(append(append(b[:0], keyspace, tag), asyncable[:]...), id)
}

func keyOfReady(b []byte, queue string, priority int8, id uint64) []byte {
	b = append(append(append(b[:0], keyspace, tagReady), queue...), 0)
	return appendID(append(b, rankOf(priority)), id)
}

func keyOfEnded(b []byte, s State, id uint64) []byte {
	return appendID(append(b[:0], keyspace, tagEnded, byte(s)), id)
}

func keyOfSetting(b []byte, name string) []byte {
	return append(append(b[:0], keyspace, tagSettings), name...)
}

// rankOf turns a priority into a byte that sorts the highest priority first.
func rankOf(priority int8) byte { return byte(127 - int(priority)) }

// lastID is the task id that every key but those of workers ends with.
func lastID(key []byte) uint64 {
	if len(key) < 10 {
		return 0
	}
	return binary.BigEndian.Uint64(key[len(key)-8:])
}

// splitReady takes a ready key apart; ok is false where it is none.
func splitReady(key []byte) (queue []byte, rank byte, id uint64, ok bool) {
	if len(key) < 12 || key[1] != tagReady || key[len(key)-10] != 0 {
		return nil, 0, 0, false
	}
	return key[2 : len(key)-10], key[len(key)-9], lastID(key), true
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A value is the CRC32C of its key and its content, little endian, then the
// content. With the key in the sum, a record that ended up under another key is
// as damaged as one with flipped bits.
const sealSize = 4

func crcOf(key, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, content)
}

// putSealed writes head and tail as one sealed value.
func putSealed(tx store.Txn, key, head, tail []byte) error {
	memory, _, err := tx.Reserve(key, sealSize+len(head)+len(tail))
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(memory, crc32.Update(crcOf(key, head), castagnoli, tail))
	copy(memory[sealSize+copy(memory[sealSize:], head):], tail)
	return nil
}

// putMark writes a sealed value without content: an index entry.
func putMark(tx store.Txn, key []byte) error {
	var value [sealSize]byte
	binary.LittleEndian.PutUint32(value[:], crc32.Checksum(key, castagnoli))
	_, err := tx.Put(key, value[:])
	return err
}

// unseal checks value and returns its content, which aliases it.
func unseal(key, value []byte) ([]byte, error) {
	if len(value) < sealSize || crcOf(key, value[sealSize:]) != binary.LittleEndian.Uint32(value) {
		return nil, damaged(key, "its checksum does not fit")
	}
	return value[sealSize:], nil
}

func damaged(key []byte, what string) error {
	return errs.Newf(errs.Corrupt, "read task record", hexOf(key),
		"%s: the file was damaged; restore it from a backup, or drop the task", what)
}

// Verify checks the seal of one entry of the task space; it is what
// store.Space.Check asks for. Keys of others are passed over.
func Verify(key, value []byte) error {
	if len(key) < 2 || key[0] != keyspace {
		return nil
	}
	if key[1] == tagMeta && string(key) != string(keyFormat) {
		return nil // a counter of the store
	}
	_, err := unseal(key, value)
	return err
}

// scratch holds the buffers of one operation, so that none is allocated.
type scratch struct {
	key, key2, val []byte
	entries        [1]store.Entry
	record         Record
}

var scratches = sync.Pool{New: func() any {
	return &scratch{key: make([]byte, 0, 96), key2: make([]byte, 0, 96), val: make([]byte, 0, 512)}
}}

func getScratch() *scratch { return scratches.Get().(*scratch) }

func (s *scratch) free() {
	s.entries[0] = store.Entry{}
	s.record = Record{}
	scratches.Put(s)
}
