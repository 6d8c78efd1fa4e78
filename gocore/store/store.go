// Package store is what the core asks of a storage engine: one ordered
// keyspace a namespace, transactions on it, and a way to sleep until it
// changes. Collections, objects and tasks are written against this package;
// no handle or flag of an engine appears above it.
//
// Rules that hold for every backend, and that storetest checks:
//
//   - Keys are compared as bytes and are 1 to MaxKey bytes long. Another one is
//     refused by reads and writes alike, before anything changed: an empty one
//     with errs.InvalidArgument, a longer one with errs.TooBig. The bounds of a
//     Range are not keys: they may have any length.
//   - A Space has one serial order of commits: one writer, any number of
//     readers, each of which sees one commit and nothing later.
//   - A slice handed out by a transaction is valid until that transaction
//     writes or ends, and must not be written to. It is no argument for a
//     write of that transaction, but for Del's key: an engine may move the
//     bytes while it reads them.
//   - A write transaction begins, works and ends on one OS thread.
package store

import (
	"context"
	"time"

	"parkit/gocore/errs"
)

// ErrNotFound is returned, unwrapped, where a key is not there: a miss is
// too ordinary to make an error value for.
var ErrNotFound = errs.New(errs.NotFound, "", "", "")

// MaxKey is the longest key, in bytes, that a Space takes. keys.Entry keeps
// longer ones within it.
const MaxKey = 511

// Mode says what a transaction may do.
type Mode int

const (
	Read  Mode = iota // a frozen view of the last commit
	Write             // the one writer of the space
)

// Wait says how long to wait for something, and who may end the wait early.
// The zero Wait does not wait at all: what cannot be had at once fails with
// errs.WouldBlock. A wait that runs out fails with errs.LockTimeout where it is
// for the writer's turn, the holder's process in the text, else errs.Timeout.
type Wait struct {
	// Timeout bounds the wait; zero is "do not wait", negative is the
	// backend's default bound (DefaultLockTimeout for the writer's turn).
	Timeout time.Duration
	// Interrupted, when set, is asked at least every 50 ms during the wait,
	// on the waiting thread; true ends the wait with errs.Interrupted.
	Interrupted func() bool
	// Look is for how long WaitChange watches the count before it sleeps; zero
	// is not at all. It pays where a change comes sooner than the system wakes
	// a sleeper: whoever looks sees WakeOne without being woken.
	Look time.Duration
}

// DefaultLockTimeout bounds the wait for the writer's turn where the caller
// names no bound of its own.
const DefaultLockTimeout = 60 * time.Second

// Backend opens spaces. It is safe for use by several goroutines.
type Backend interface {
	// Open opens the space of a namespace, making it when create is set; a
	// namespace that was never made is errs.NamespaceNotFound. Opening the
	// same namespace twice gives the same Space, which counts its openers.
	// After the last Close it is another one, with the same content.
	Open(namespace string, create bool) (Space, error)
	// Namespaces lists the namespaces that exist, sorted.
	Namespaces() ([]string, error)
}

// Space is one namespace's ordered keyspace.
type Space interface {
	// Begin starts a transaction. A read transaction never waits.
	// A write transaction waits for its turn as wait says; nobody who waits is
	// passed over for ever.
	Begin(mode Mode, wait Wait) (Txn, error)

	// Update runs fn in a write transaction and commits it; an error of fn
	// aborts it and is returned unchanged. wait is for the writer's turn, not
	// for the flush. fn must not end the transaction. Calls that wait at once
	// may be committed, and flushed, together: fn may then run on another
	// thread than the caller's, and may run a second time after the first
	// run's effects were undone.
	// In a space that is not Durable each has a commit of its own.
	Update(wait Wait, fn func(Txn) error) error

	// Peek reads one key in a transaction of its own. A value that fits into
	// dst's capacity is copied there, and pin is nil. A longer one is
	// returned in place with the transaction that holds it still, which the
	// caller must Abort. A key that is not there is (nil, nil, errs.NotFound
	// as ErrNotFound).
	Peek(key, dst []byte) (value []byte, pin Txn, err error)

	// Version is the count that Touch(object) advances. WaitChange sleeps
	// until the count of channel differs from seen, and returns it.
	// The version is the truth: wake-ups may be merged, never lost. When ctx is
	// done first, the error is errs.Interrupted around ctx's own.
	Version(channel Channel) uint32
	WaitChange(ctx context.Context, channel Channel, seen uint32, wait Wait) (uint32, error)

	// WaitAny sleeps until the count of one of channels differs from the one
	// in seen at its place. When ctx is done first, the error is as of
	// WaitChange; it is seen at once. Not for channels that WakeOne is used
	// on: who sleeps here would take the wake-up of one who waits alone.
	WaitAny(ctx context.Context, channels []Channel, seen []uint32) error

	// Durable reports whether a returned commit survives a power cut.
	Durable() bool

	// Lease takes a named lock that the kernel drops when this process dies;
	// errs.WouldBlock, with the holder's process in the text, when it is held,
	// be it by this process. The last Close lets go of it too.
	Lease(name string) (Lease, error)
	// Leased reports whether anybody, this process included, holds a lease;
	// what a dead holder left of it is cleared away.
	Leased(name string) (bool, error)
	// Leases lists the leases whose names begin with prefix, sorted: those that
	// are held, and perhaps some that dead holders left.
	Leases(prefix string) ([]string, error)
	// WatchLease calls gone once, from a goroutine of its own, when nobody holds
	// the lease: soon if nobody does now. cancel ends the watch; a call that has
	// begun goes on.
	WatchLease(name string, gone func()) (cancel func(), err error)

	// Now is the wall clock of this space.
	Now() time.Time

	// Backup writes a consistent copy of the space to the directory path, which
	// it makes; others may write meanwhile.
	Backup(path string) error

	// Check verifies the structure and every record's checksum by way of
	// verify, and calls report once a damaged record with verify's error. Both
	// may be left with slices that are valid during the call only. The error
	// returned is about the structure, or kept the check from its end.
	Check(verify func(key, value []byte) error, report func(key []byte, err error)) error

	// Stats says how large the space is.
	Stats() (Stats, error)

	// SetMaxSize changes the bound on the space's size; the space still grows by
	// itself past it.
	SetMaxSize(bytes int64) error

	// Compact gives pages that are no longer used back to the file system and
	// returns how many bytes that was.
	Compact(wait Wait) (int64, error)

	// Close lets go of one opening. The last one closes the space: whoever
	// waits there, and every later use, gets errs.Stale. While transactions are
	// open it is refused with errs.BadTransaction, and the space stays open.
	Close() error
}

// Lease is a named lock held until Release, to be called once, the last Close of
// its space or the death of the process.
type Lease interface{ Release() error }

// Stats are a space's sizes, in bytes unless said.
type Stats struct {
	PageSize   int64
	MapSize    int64         // address space reserved for it
	Used       int64         // up to the last page in use
	FileSize   int64         // blocks that the file system gave to it
	Entries    int64         // number of keys
	Readers    int           // reader slots in use
	OldestRead time.Duration // age of the oldest open read transaction of this process
	// OldestReader is the process with the oldest open read transaction of all,
	// 0 where none is open, and Behind how many commits came after what it sees.
	OldestReader int
	Behind       uint64
	LastCommit   uint64
	Depth        int
}

// Txn is a transaction on a Space, for one goroutine at a time. Used after its
// end: errs.BadTransaction. A write in a read transaction: errs.ReadOnly.
type Txn interface {
	// Get returns the value of key; ErrNotFound when there is none.
	Get(key []byte) ([]byte, error)
	// GetMany gets several keys; a missing one gives a nil element, an empty
	// value one that is not nil.
	GetMany(keys [][]byte, values [][]byte) error
	// Put stores value under key and reports whether the key was new.
	Put(key, value []byte) (fresh bool, err error)
	// Reserve stores an entry of n bytes under key and returns its memory to
	// be filled, all of it, before the next call on this transaction.
	Reserve(key []byte, n int) (memory []byte, fresh bool, err error)
	// PutMany stores several entries and returns how many keys were new. Of
	// entries with one key the last one stays.
	PutMany(entries []Entry) (fresh int, err error)
	// Del removes key and reports whether it was there.
	Del(key []byte) (bool, error)
	// DelRange removes all keys of the range and returns how many there were.
	DelRange(r Range) (int, error)
	// Scan fills dst with the first entries of the range, in the range's
	// direction, and returns how many; fewer than len(dst) means the range is
	// at its end. To go on, scan r.Rest(last key).
	Scan(r Range, dst []Entry) (int, error)
	// TakeFirst removes the first entry of the range, in the range's
	// direction, and returns a copy of it; ErrNotFound when there is none.
	TakeFirst(r Range) (Entry, error)
	// NextSeq returns 1, 2, 3, … for each counter. No two commits carry the
	// same number; what an aborted transaction drew may be drawn again.
	// counter is the key of an ordinary entry, the last number in 8 bytes,
	// big-endian.
	NextSeq(counter []byte) (uint64, error)
	// Touch says that what channel stands for changed: its version advances
	// with the commit, and all who wait on it are woken.
	Touch(channel Channel)
	// WakeOne is Touch for a channel whose waiters are alike: one more of them
	// is woken a call, and others may be. Whoever is woken and does not find
	// what it waited for waits again.
	WakeOne(channel Channel)
	// Savepoint marks a point to come back to; they nest. Rollback undoes
	// everything since the newest one and removes it, Release only removes it;
	// without one they are errs.BadTransaction. What Touch announced stays.
	// Commit releases those that are open.
	Savepoint() error
	Rollback() error
	Release() error
	// Commit makes the writes visible, and durable where the space is; after
	// an error nothing was committed, and the transaction has ended too.
	// Abort forgets the writes. Abort after the end does nothing.
	Commit() error
	Abort()
	// ID is the number of the commit that a read transaction sees, and of a
	// write transaction the one that its commit will have. Numbers rise.
	ID() uint64
}

// Unneeder is a Txn whose memory counts as this process's once it was looked
// at, and that can give it back.
type Unneeder interface {
	// Unneeded says that values which the transaction handed out are hardly
	// looked at again. They stay valid, and are only slower to look at.
	Unneeded(values [][]byte)
}

// Entry is a key and its value.
type Entry struct{ Key, Value []byte }

// Range is the keys k with Lo <= k < Hi; an empty Hi is no bound. Reverse
// runs from high to low. KeysOnly leaves Entry.Value nil.
type Range struct {
	Lo, Hi   []byte
	Reverse  bool
	KeysOnly bool
}

// Rest is what is left of r after key.
func (r Range) Rest(key []byte) Range {
	if r.Reverse {
		r.Hi = append([]byte(nil), key...)
		return r
	}
	r.Lo = append(append(make([]byte, 0, len(key)+1), key...), 0)
	return r
}

// Prefix is the range of all keys that begin with prefix.
func Prefix(prefix []byte) Range {
	return Range{Lo: prefix, Hi: After(prefix)}
}

// After is the smallest key greater than every key that begins with prefix;
// nil when there is none.
func After(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xFF {
			hi := append([]byte(nil), prefix[:i+1]...)
			hi[i]++
			return hi
		}
	}
	return nil
}

// Channel is something to wait on: one of Channels counters that a space's
// processes share. Objects are spread over them; a few have a fixed use.
type Channel uint8

const (
	// AnyChange advances with every commit.
	AnyChange Channel = 0
	// FirstReserved to FirstShared-1 are for fixed uses (tasks to run, ...).
	FirstReserved Channel = 1
	FirstShared   Channel = 16
	Channels              = 64
)

// ChannelOf is the channel of an object or task id.
func ChannelOf(id uint64) Channel {
	return FirstShared + Channel((id*0x9E3779B97F4A7C15>>32)%uint64(Channels-int(FirstShared)))
}
