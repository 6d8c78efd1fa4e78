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
