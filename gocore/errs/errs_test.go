package errs

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestEveryCodeHasANameOfItsOwn(t *testing.T) {
	seen := map[string]Code{}
	for _, code := range Codes() {
		name := code.String()
		if name == "" {
			t.Errorf("code %d has no name: add it to names", int(code))
		}
		if other, ok := seen[name]; ok {
			t.Errorf("codes %d and %d share the name %q", int(other), int(code), name)
		}
		seen[name] = code
	}
	for _, code := range []Code{-1, codeCount} {
		if got, want := code.String(), fmt.Sprintf("unknown error code %d", int(code)); got != want {
			t.Errorf("Code(%d).String() = %q, want %q", int(code), got, want)
		}
	}
}

// The numbers cross to Python and into stored task records: one in each group
// is pinned, and the end, so that an insertion in the middle is noticed.
func TestCodesKeepTheirNumbers(t *testing.T) {
	for code, want := range map[Code]int{
		OK: 0, NotFound: 1, TypeMismatch: 7, InvalidArgument: 8, TooBig: 10,
		WouldBlock: 11, Fenced: 16, Full: 17, Stale: 28,
		IllegalTransition: 29, PoolFailed: 30, Internal: 31,
	} {
		if int(code) != want {
			t.Errorf("%v is %d, want %d", code, int(code), want)
		}
	}
}

func TestErrorTextNamesOperationSubjectAndCause(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{New(NotFound, "", "", ""), "not found"},
		{New(TooBig, "put", "key 0x01", "at most 511 bytes"), "put key 0x01: at most 511 bytes"},
		{Newf(Full, "put", "", "%d bytes left", 3), "put 3 bytes left"},
		{Wrap(IO, "open namespace", "/a/b", io.EOF), "open namespace /a/b: input/output error: EOF"},
	} {
		if got := c.err.Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestCodesAreFoundThroughWrapping(t *testing.T) {
	inner := Wrap(IO, "flush", "data", io.ErrUnexpectedEOF)
	outer := fmt.Errorf("while closing: %w", inner)
	if CodeOf(outer) != IO || !Has(outer, IO) || Has(outer, Full) {
		t.Errorf("code of %v is %v, want %v", outer, CodeOf(outer), IO)
	}
	if !errors.Is(outer, io.ErrUnexpectedEOF) {
		t.Errorf("%v does not unwrap to its cause", outer)
	}
	if CodeOf(nil) != OK || Has(nil, OK) || CodeOf(io.EOF) != Internal {
		t.Error("nil is OK and no error; a foreign error is Internal")
	}
	if Wrap(IO, "flush", "", nil) != nil {
		t.Error("a nil cause must give a nil error")
	}
}

func TestIsMatchesABareErrorOfTheSameCode(t *testing.T) {
	bare := New(Timeout, "", "", "")
	if !errors.Is(New(Timeout, "wait", "channel 3", "30 s are over"), bare) {
		t.Error("a bare error must match every error of its code")
	}
	if errors.Is(New(Timeout, "wait", "", ""), New(Timeout, "lock", "", "")) {
		t.Error("two particular errors must not match")
	}
}
