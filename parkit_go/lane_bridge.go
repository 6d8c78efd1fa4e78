package parkit_go

/*
#include <stdlib.h>
#include "lane.h"
*/
import "C"

import (
	"encoding/binary"
	"errors"
	"sync"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/notify"
	"parkit/gocore/store"
)

// bridges are the listeners of event loops, by their number. A listener wakes its
// loop by an eventfd that the loop watches.
var bridges struct {
	mu   sync.Mutex
	hub  notify.Hub
	open map[int64]*bridge
	last int64
}

type bridge struct {
	*notify.Listener
	descriptor int
}

func bridgeOf(number C.int64_t) (*bridge, error) {
	bridges.mu.Lock()
	defer bridges.mu.Unlock()
	if b := bridges.open[int64(number)]; b != nil {
		return b, nil
	}
	return nil, errs.New(errs.Stale, "wait", "", "the event loop was closed, or is of another process")
}

//export pkBridgeOpen
func pkBridgeOpen(descriptor C.int, number *C.int64_t, words *C.pk_words) (rc C.int) {
	defer guarded("wait", words, &rc)
	fd := int(descriptor)
	listener := bridges.hub.NewListener(func() {
		// It fails only where the counter is at its end, and then the loop is awake.
		_, _ = unix.Write(fd, binary.NativeEndian.AppendUint64(nil, 1))
	})
	bridges.mu.Lock()
	defer bridges.mu.Unlock()
	if bridges.open == nil {
		bridges.open = map[int64]*bridge{}
	}
	bridges.last++
	// As with handles, a number of another copy of the library is never one of this.
	*number = C.int64_t(bridges.last | generation.Load()<<generationShift)
	bridges.open[int64(*number)] = &bridge{listener, fd}
	return C.PK_OK
}

//export pkBridgeClose
func pkBridgeClose(number C.int64_t) {
	var words C.pk_words
	var rc C.int
	defer guarded("wait", &words, &rc)
	b, err := bridgeOf(number)
	if err != nil {
		return // closed already
	}
	bridges.mu.Lock()
	delete(bridges.open, int64(number))
	bridges.mu.Unlock()
	b.Close()
}

//export pkBridgeWatch
func pkBridgeWatch(number C.int64_t, token C.uint64_t, space C.int64_t, channel C.int, seen C.uint32_t, watching *C.int, words *C.pk_words) (rc C.int) {
	defer guarded("wait", words, &rc)
	b, err := bridgeOf(number)
	if err != nil {
		return failed(err, words)
	}
	s, err := spaceOf(int64(space))
	if err != nil {
		return failed(err, words)
	}
	if channel < 0 || channel >= store.Channels {
		return failed(errs.Newf(errs.InvalidArgument, "wait", "", "there is no channel %d", channel), words)
	}
	began, err := b.Watch(uint64(token), s.Store(), store.Channel(channel), uint32(seen))
	*watching = 0
	if began {
		*watching = 1
	}
	return failed(err, words)
}

//export pkBridgeForget
func pkBridgeForget(number C.int64_t, token C.uint64_t) {
	var words C.pk_words
	var rc C.int
	defer guarded("wait", &words, &rc)
	if b, err := bridgeOf(number); err == nil { // of one that was closed nothing is left
		b.Forget(uint64(token))
	}
}

// pkBridgeTake packs the events: token (8 bytes), code (4; 0 for a change), and of
// an error op, subject and detail, each ended by a NUL.
//
//export pkBridgeTake
func pkBridgeTake(number C.int64_t, batch *C.pk_batch, words *C.pk_words) (rc C.int) {
	defer guarded("wait", words, &rc)
	b, err := bridgeOf(number)
	if err != nil {
		return failed(err, words)
	}
	// First the signal, then the events: of those that come in between there is a signal again.
	if _, err := unix.Read(b.descriptor, make([]byte, 8)); err != nil && !errors.Is(err, unix.EAGAIN) {
		return failed(errs.Wrap(errs.IO, "wait", "eventfd", err), words)
	}
	var packed []byte
	for _, event := range b.Take() {
		packed = binary.NativeEndian.AppendUint64(packed, event.Token)
		if event.Err == nil {
			packed = binary.NativeEndian.AppendUint32(packed, 0)
			continue
		}
		known := asError(event.Err)
		packed = binary.NativeEndian.AppendUint32(packed, uint32(known.Code))
		for _, part := range []string{known.Op, known.Subject, known.Sentence()} {
			packed = append(append(packed, part...), 0)
		}
	}
	batch.p, batch.n = (*C.uchar)(C.CBytes(packed)), C.size_t(len(packed))
	return C.PK_OK
}
