package tasks

import (
	"encoding/hex"
	"errors"
	"strconv"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// UUID is a 16-byte identity: of an asyncable, or of a task.
type UUID [16]byte

// String is the usual form with hyphens.
func (u UUID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], u[0:4])
	hex.Encode(b[9:13], u[4:6])
	hex.Encode(b[14:18], u[6:8])
	hex.Encode(b[19:23], u[8:10])
	hex.Encode(b[24:36], u[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// Spec is what is asked for by a submission.
type Spec struct {
	Asyncable   UUID   // whose function is called
	Name        string // of the function, for people
	CodeVersion uint64 // of the function's code, as its asyncable counts them
	Args        []byte // opaque; copied
	Queue       string // "" is the default queue; no NUL, at most 64 bytes
	Priority    int8   // higher runs first; 0 is usual
	Due         int64  // not before this time (ns); 0 is at once

	// Retries is how often the task may run again; with RetryOnCrash after the
	// death of its worker, with RetryOnFailure after an exception.
	Retries        uint32
	RetryOnCrash   bool
	RetryOnFailure bool
	// Backoff is the wait before the first retry after an exception, doubled
	// for each further one up to an hour; 0 is none. A crash never waits.
	Backoff int64

	// Limit refuses the submission while that many tasks of the asyncable,
	// submitted with a limit, have not ended; 0 is no limit.
	Limit int
}

// Record is what is known of a task, without its arguments and its outcome.
type Record struct {
	ID        uint64
	State     State
	Asyncable UUID
	Queue     string
	Priority  int8
	Created   int64 // ns
	Due       int64 // ns; 0 unless it had, or has, to wait
	Start     int64 // ns, of the last attempt; 0 before the first
	End       int64 // ns; 0 until it ended
	Token     uint64
	Attempt   uint32 // of the current or last run; 1 is the first
	Retries   uint32
	Worker    uint64 // that runs it, or ran it last
	PID       int    // of that worker
	Detail    string // of the last crash: how the worker ended
	Flags     Flags

	// Of the call; empty in what Claimed, Crash and Cancel look at.
	Name        string
	CodeVersion uint64
	Backoff     int64
}

// Flags are a record's yes-or-no properties. The numbers are stored.
type Flags uint32

const (
	FlagRetryOnCrash    Flags = 1 << iota
	FlagRetryOnFailure        //
	FlagLimited               // counts against its asyncable's limit
	FlagCancelRequested       // Cancel was called while it ran
	FlagOutcome               // a result or an error is stored
)

// Fields of the task record (01).
const (
	fieldState = 1 + iota
	fieldAsyncable
	fieldQueue
	fieldPriority
	fieldCreated
	fieldDue
	fieldStart
	fieldEnd
	fieldToken
	fieldAttempt
	fieldRetries
	fieldWorker
	fieldPID
	fieldDetail
	fieldFlags
)

// Fields of the call (02).
const (
	callName = 1 + iota
	callCodeVersion
	callBackoff
	callArgs // last: the arguments follow the map's head in place
)

func (r *Record) encode(b []byte) []byte {
	w := newFields(b[:0])
	w.uint(fieldState, uint64(r.State))
	w.bin(fieldAsyncable, r.Asyncable[:])
	w.str(fieldQueue, r.Queue)
	w.int(fieldPriority, int64(r.Priority))
	w.int(fieldCreated, r.Created)
	w.int(fieldDue, r.Due)
	w.int(fieldStart, r.Start)
	w.int(fieldEnd, r.End)
	w.uint(fieldToken, r.Token)
	w.uint(fieldAttempt, uint64(r.Attempt))
	w.uint(fieldRetries, uint64(r.Retries))
	w.uint(fieldWorker, r.Worker)
	w.int(fieldPID, int64(r.PID))
	w.str(fieldDetail, r.Detail)
	w.uint(fieldFlags, uint64(r.Flags))
	return w.done()
}

// decode fills r from a sealed value; it copies what it keeps.
func (r *Record) decode(id uint64, key, value []byte) error {
	content, err := unseal(key, value)
	if err != nil {
		return err
	}
	*r = Record{ID: id}
	f := fieldReader{b: content}
	for n := f.mapLen(); n > 0 && !f.bad; n-- {
		switch f.uint() {
		case fieldState:
			r.State = State(f.uint())
		case fieldAsyncable:
			copy(r.Asyncable[:], f.bytes())
		case fieldQueue:
			r.Queue = f.str()
		case fieldPriority:
			r.Priority = int8(f.int())
		case fieldCreated:
			r.Created = f.int()
		case fieldDue:
			r.Due = f.int()
		case fieldStart:
			r.Start = f.int()
		case fieldEnd:
			r.End = f.int()
		case fieldToken:
			r.Token = f.uint()
		case fieldAttempt:
			r.Attempt = uint32(f.uint())
		case fieldRetries:
			r.Retries = uint32(f.uint())
		case fieldWorker:
			r.Worker = f.uint()
		case fieldPID:
			r.PID = int(f.int())
		case fieldDetail:
			r.Detail = f.str()
		case fieldFlags:
			r.Flags = Flags(f.uint())
		default:
			f.skip(0)
		}
	}
	if f.bad || r.State < Submitted || r.State > Cancelled {
		return damaged(key, "it is not a task record")
	}
	return nil
}

// decodeCall fills r's fields of the call and returns the arguments, which
// alias value.
func (r *Record) decodeCall(key, value []byte) (args []byte, err error) {
	content, err := unseal(key, value)
	if err != nil {
		return nil, err
	}
	f := fieldReader{b: content}
	for n := f.mapLen(); n > 0 && !f.bad; n-- {
		switch f.uint() {
		case callName:
			r.Name = f.str()
		case callCodeVersion:
			r.CodeVersion = f.uint()
		case callBackoff:
			r.Backoff = f.int()
		case callArgs:
			args = f.bytes()
		default:
			f.skip(0)
		}
	}
	if f.bad {
		return nil, damaged(key, "it is not the call of a task")
	}
	return args, nil
}

// get reads the task's record into r, without the call.
func (r *Record) get(tx store.Txn, sc *scratch, id uint64) error {
	sc.key = keyOfID(sc.key, tagRecord, id)
	value, err := tx.Get(sc.key)
	if err != nil {
		return missing(err, id)
	}
	return r.decode(id, sc.key, value)
}

// getCall reads the call of r; the arguments live as long as tx lets them.
func (r *Record) getCall(tx store.Txn, sc *scratch) (args []byte, err error) {
	sc.key = keyOfAsyncable(sc.key, tagCall, r.Asyncable, r.ID)
	value, err := tx.Get(sc.key)
	if errors.Is(err, store.ErrNotFound) {
		return nil, damaged(sc.key, "the call of the task is missing")
	}
	if err != nil {
		return nil, err
	}
	return r.decodeCall(sc.key, value)
}

// put writes the record, without the call.
func (r *Record) put(tx store.Txn, sc *scratch) error {
	sc.key = keyOfID(sc.key, tagRecord, r.ID)
	sc.val = r.encode(sc.val)
	return putSealed(tx, sc.key, sc.val, nil)
}

// step moves the record along the table, or refuses.
func (r *Record) step(e Event) error {
	to, ok := r.State.next(e)
	if !ok {
		return errs.Newf(errs.IllegalTransition, e.String()+" task", subject(r.ID),
			"it is %s, and that allows no %s", r.State, e)
	}
	r.State = to
	return nil
}

func subject(id uint64) string { return "task " + strconv.FormatUint(id, 10) }

func hexOf(key []byte) string { return "key " + hex.EncodeToString(key) }

// missing names the task in the store's bare miss.
func missing(err error, id uint64) error {
	if errors.Is(err, store.ErrNotFound) {
		return errs.New(errs.NotFound, "find task", subject(id), "there is no such task; it may have been dropped")
	}
	return err
}
