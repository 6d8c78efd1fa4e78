package lmdbstore_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// shim is the library of testdata/shim.c, compiled once.
var shim = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "parkit-shim-")
	if err != nil {
		return "", err
	}
	atEnd = append(atEnd, func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "shim.so")
	out, err := exec.Command("cc", "-shared", "-fPIC", "-O2", "-o", path, "testdata/shim.c", "-ldl").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// atEnd is what is to be done after all tests.
var atEnd []func()

// withShim starts a role behind the shim.
func withShim(t testing.TB, settings []string, name string, args ...string) *process {
	t.Helper()
	path, err := shim()
	if err != nil {
		t.Skipf("the shim cannot be compiled: %v", err)
	}
	return start(t, func(cmd *exec.Cmd) {
		cmd.Env = append(append(cmd.Env, "LD_PRELOAD="+path), settings...)
	}, name, args...)
}

// What the shim notes, and acks, which a role adds.
const (
	shimWrite = 1 + iota
	shimWriteThrough
	shimSync
	shimSize
	shimAck
)

// event is one of the shim's records.
type event struct {
	kind   uint32
	offset int64
	data   []byte
}

func (e event) end() int64 { return e.offset + int64(len(e.data)) }

func readLog(t testing.TB, path string) []event {
	t.Helper()
	b, err := os.ReadFile(path)
	ok(t, err)
	var events []event
	for len(b) >= 16 {
		n := int(binary.NativeEndian.Uint32(b[4:]))
		events = append(events, event{binary.NativeEndian.Uint32(b), int64(binary.NativeEndian.Uint64(b[8:])), b[16 : 16+n]})
		b = b[16+n:]
	}
	return events
}

// ack adds a record to a log, in one write, so that it stands where it belongs.
func ack(log *os.File, text string) error {
	b := binary.NativeEndian.AppendUint32(nil, shimAck)
	b = binary.NativeEndian.AppendUint32(b, uint32(len(text)))
	b = binary.NativeEndian.AppendUint64(b, 0)
	_, err := log.Write(append(b, text...))
	return err
}
