// Package parkit_go is the boundary between Python and the core. What gopy binds
// is written here: functions over integers, floats, bools and text, each of which
// returns (value, error) and is one call of bound (guard.go). The fast lane in lane*.go
// and the C files stands beside it.
package parkit_go

// NDEBUG is for the checks in Python's headers; Python itself is built so.
// Symbols that libpython provides stay undefined in the library: the interpreter
// that loads it has them already, so one library serves a static and a shared Python.

/*
#cgo CFLAGS: -DNDEBUG
#cgo linux LDFLAGS: -Wl,--unresolved-symbols=ignore-all
#cgo darwin LDFLAGS: -undefined dynamic_lookup
*/
import "C"

//export parkitLanePing
func parkitLanePing() C.longlong { return 1 }

// Version is the version of this library; the Python package compares it with its
// own and refuses to work with a library of another build.
func Version() (string, error) {
	return bound("version", func() (string, error) { return version, nil })
}

const version = "0.1.0"
