package parkit_go

import (
	"strconv"

	"parkit/gocore/errs"
)

// ErrorCodes lists every code of the core's errors with its name in words, as a
// JSON object: Python's tests hold the table of exceptions against it.
func ErrorCodes() (string, error) {
	return bound("list error codes", func() (string, error) {
		codes := map[string]string{}
		for _, code := range errs.Codes() {
			codes[strconv.Itoa(int(code))] = code.String()
		}
		return asJSON("list error codes", codes)
	})
}

// ErrorProvoke fails with the error of a request, for the tests of what
// Python makes of it.
func ErrorProvoke(request string) (string, error) {
	type asked struct {
		Code                int
		Op, Subject, Detail string
	}
	return boundJSON("provoke error", request, func(r asked) (string, error) {
		return "", errs.New(errs.Code(r.Code), r.Op, r.Subject, r.Detail)
	})
}
