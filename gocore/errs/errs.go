// Package errs is the one error type of the core: a code that callers test,
// the operation that failed, what it failed on, and the cause.
package errs

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
)

// Code says what kind of failure happened. Callers branch on codes, never on
// text. The numbers cross the boundary to Python: they are appended to, never
// reordered.
type Code int

const (
	OK Code = iota

	// Lookup.
	NotFound          // the key, task or record is not there
	ObjectNotFound    // no object of that name, or it was dropped
	ObjectExists      // create=True, bind=False and the name is taken
	NamespaceNotFound // the namespace has never been created in this site
	SiteNotFound      // no site at that path, or a uuid this process has not opened
	SiteNotSpecified  // no default site is set
	TypeMismatch      // the object is of another class than asked for

	// Arguments.
	InvalidArgument // refused before anything changed
	InvalidPath     // a namespace, object or site path that cannot be
	TooBig          // a key or value larger than the store can hold

	// Waiting.
	WouldBlock  // asked not to wait, and would have had to
	LockTimeout // the writer's turn did not come in time; the text names the holder
	Timeout     // any other wait that ran out
	Interrupted // the caller's interrupt check said stop
	Conflict    // the transaction lost against another one; run it again
	Fenced      // the claim or lease this write relied on is no longer held

	// The store.
	Full           // the disk or the map has no room
	Corrupt        // a checksum or a structure is wrong
	IO             // the system refused a read, a write or a flush
	Dead           // the environment failed and must be opened again
	ReadOnly       // a write in a read transaction, or in a read-only namespace
	TooManyReaders // no reader slot is free, even after the check for dead ones
	NewerFormat    // written by a newer parkit
	NotOwner       // the files belong to another user
	UnsafeFS       // a network or FUSE file system, which LMDB cannot use safely
	OtherPIDSpace  // processes of another pid namespace (container) have it open
	BadTransaction // used after its end, on another thread, or out of order
	Stale          // the handle is of another process or has been closed

	// Tasks.
	IllegalTransition // the task's state does not allow it
	PoolFailed        // the daemons could not be started; the text says why

	// Ours.
	Internal // a bug in parkit: a recovered panic, an impossible state

	// Later ones.
	LeaseLost    // an item that was taken by a lease is no longer held by it
	OriginalSite // the site is one of the original parkit, to be converted

	// codeCount is not a code: new ones go before it, and into names.
	codeCount
)

// names are what a person reads where an Error has no detail of its own.
var names = [codeCount]string{
	OK: "ok",

	NotFound:          "not found",
	ObjectNotFound:    "object not found",
	ObjectExists:      "object exists already",
	NamespaceNotFound: "namespace not found",
	SiteNotFound:      "site not found",
	SiteNotSpecified:  "no site specified",
	TypeMismatch:      "object is of another type",

	InvalidArgument: "invalid argument",
	InvalidPath:     "invalid path",
	TooBig:          "too big",

	WouldBlock:  "would have to wait",
	LockTimeout: "timed out waiting to write",
	Timeout:     "timed out",
	Interrupted: "interrupted",
	Conflict:    "conflicting transaction",
	Fenced:      "claim no longer held",

	Full:           "no room left",
	Corrupt:        "corrupt data",
	IO:             "input/output error",
	Dead:           "store failed",
	ReadOnly:       "read-only",
	TooManyReaders: "too many readers",
	NewerFormat:    "written by a newer parkit",
	NotOwner:       "owned by another user",
	UnsafeFS:       "unsafe file system",
	OtherPIDSpace:  "in use from another pid namespace",
	BadTransaction: "transaction used out of order",
	Stale:          "stale handle",

	IllegalTransition: "illegal task transition",
	PoolFailed:        "pool failed to start",

	Internal: "internal error",

	LeaseLost:    "lease no longer held",
	OriginalSite: "written by the original parkit",
}

// String is the code's name in words, for people: programs compare numbers.
func (c Code) String() string {
	if c < 0 || c >= codeCount {
		return "unknown error code " + strconv.Itoa(int(c))
	}
	return names[c]
}

// Codes lists every code in the order of their numbers, OK included, for the
// tests that hold another language's table against this one.
func Codes() []Code {
	codes := make([]Code, codeCount)
	for i := range codes {
		codes[i] = Code(i)
	}
	return codes
}

// Error is the only error type that leaves the core.
type Error struct {
	Code    Code
	Op      string // what was being done: "open namespace"
	Subject string // to what: a path, a key, a task id
	Detail  string // what happened and what to do, as a sentence
	Cause   error
}

// New makes an error. detail says what happened and what to do about it.
func New(code Code, op, subject, detail string) *Error {
	return &Error{Code: code, Op: op, Subject: subject, Detail: detail}
}

// Newf is New with a formatted detail.
func Newf(code Code, op, subject, format string, args ...any) *Error {
	return &Error{Code: code, Op: op, Subject: subject, Detail: fmt.Sprintf(format, args...)}
}

// Wrap puts a code and an operation on an error of the system or a library.
// A nil cause gives nil.
func Wrap(code Code, op, subject string, cause error) error {
	if cause == nil {
		return nil
	}
	detail := ""
	if errors.Is(cause, syscall.EMFILE) {
		detail = "this process has as many files open as it may; raise its limit (ulimit -n), or use fewer namespaces in one process: each that is open takes six"
	}
	return &Error{Code: code, Op: op, Subject: subject, Detail: detail, Cause: cause}
}

// Sentence says what happened and what to do, without the operation and what
// it was on.
func (e *Error) Sentence() string {
	text := e.Detail
	if text == "" {
		text = e.Code.String()
	}
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

func (e *Error) Error() string {
	text := e.Sentence()
	if e.Subject != "" {
		text = e.Subject + ": " + text
	}
	if e.Op != "" {
		text = e.Op + " " + text
	}
	return text
}

func (e *Error) Unwrap() error { return e.Cause }

// Is lets errors.Is match any two errors of one code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Op == "" && t.Subject == "" && t.Detail == ""
}

// CodeOf is the code of the first Error in err's chain; OK for nil, Internal
// for an error of any other type.
func CodeOf(err error) Code {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}

// Has reports whether err carries code.
func Has(err error, code Code) bool { return err != nil && CodeOf(err) == code }
