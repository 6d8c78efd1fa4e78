package parkit_go

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"

	"parkit/gocore/errs"
)

// panicked holds the first panic that reached the boundary. After one, nothing is
// known about the core's locks and transactions, so every later call is refused.
var panicked atomic.Pointer[string]

// bound runs the body of a function that gopy exports: it refuses to run after a
// panic, turns a panic into an error (Go would abort the interpreter), and gives the
// error the form in which it crosses. Every exported function is one call of it.
func bound[T any](op string, body func() (T, error)) (result T, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = afterPanic(op, cause, debug.Stack())
		}
		if err != nil {
			var zero T
			result, err = zero, crossing(op, err)
		}
	}()
	if err := refusal(op); err != nil {
		return result, err
	}
	return body()
}

// refusal is nil while no panic has reached the boundary.
func refusal(op string) error {
	if first := panicked.Load(); first != nil {
		return errs.New(errs.Internal, op, "", "parkit refuses further work in this process after an internal error; "+
			"start the process again. The error was: "+*first)
	}
	return nil
}

// afterPanic records the panic and describes it. Standard error gets the stack at
// once, since whoever catches the exception may not show it.
func afterPanic(op string, cause any, stack []byte) error {
	text := fmt.Sprint(cause)
	first := op + ": " + text
	if panicked.CompareAndSwap(nil, &first) {
		fmt.Fprintf(os.Stderr, "parkit: panic in %s: %s\n%s", op, text, stack)
	}
	return errs.New(errs.Internal, op, "", "a bug in parkit: "+text+
		"; parkit refuses further work in this process. Please report it with the stack on standard error")
}

// crossed is an error as it crosses to Python.
type crossed struct{ text string }

func (c crossed) Error() string { return c.text }

// separated keeps the bar that separates the parts, and a NUL, which would end the
// C string, out of a part; Python's side turns them back.
var separated = strings.NewReplacer("%", "%25", "|", "%7C", "\x00", "%00")

// crossing writes err as "code|operation|subject|detail"; the detail comes last and
// may hold bars. An error that is not of the core is one of its bugs.
func crossing(op string, err error) error {
	var known *errs.Error
	if !errors.As(err, &known) {
		known = &errs.Error{Code: errs.Internal, Op: op, Detail: err.Error()}
	}
	detail := known.Detail
	if known.Cause != nil {
		if detail != "" {
			detail += ": "
		}
		detail += known.Cause.Error()
	}
	text := strings.Join([]string{
		strconv.Itoa(int(known.Code)),
		separated.Replace(known.Op),
		separated.Replace(known.Subject),
		strings.ReplaceAll(detail, "\x00", "\\0"),
	}, "|")
	// gopy makes a str of it, which must be UTF-8; a path need not be.
	return crossed{strings.ToValidUTF8(text, "\uFFFD")}
}

// Panic provokes a panic of the named kind, for the tests; it does so only where
// PARKIT_TEST_HOOKS is 1 in the environment.
func Panic(kind string) (string, error) {
	return bound("panic", func() (string, error) {
		if os.Getenv("PARKIT_TEST_HOOKS") != "1" {
			return "", errs.New(errs.InvalidArgument, "panic", kind,
				"this is a hook of parkit's tests; it works with PARKIT_TEST_HOOKS=1 only")
		}
		switch kind {
		case "text":
			panic("on purpose")
		case "error":
			panic(errs.New(errs.Corrupt, "panic", kind, "an error on purpose"))
		case "index":
			return "", errors.New([]string{}[len(kind)])
		case "map":
			counts := map[bool]map[string]int{}
			counts[true][kind] = 1
		}
		return "", errs.New(errs.InvalidArgument, "panic", kind, "unknown kind of panic: text, error, index or map")
	})
}
