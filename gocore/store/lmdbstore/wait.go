package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"context"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Version is the count of changes of a channel.
func (s *Space) Version(channel store.Channel) uint32 {
	count := atomic.LoadUint32(&s.seq[channel%store.Channels]) >> 1
	runtime.KeepAlive(s) // and with it the mapping
	return count
}

// WaitChange sleeps until the count of channel differs from seen.
func (s *Space) WaitChange(ctx context.Context, channel store.Channel, seen uint32, wait store.Wait) (uint32, error) {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	channel %= store.Channels
	p := newPatience(wait)
	look := wait.Look
	if runtime.NumCPU() == 1 {
		look = 0
	}
	if ctx.Done() != nil {
		// The count stays what it is, for others wait on it. Whoever is just
		// about to sleep is missed, and looks again after signalStep.
		defer context.AfterFunc(ctx, func() { C.pk_page_rouse(s.page, 1<<channel) })()
	}
	for {
		now := s.Version(channel)
		if err := ctx.Err(); err != nil {
			return seen, errs.Wrap(errs.Interrupted, "wait", s.name, err)
		}
		if err := s.alive("wait"); err != nil {
			return seen, err
		}
		if now != seen {
			return now, nil
		}
		if err := p.interrupted("wait", s); err != nil {
			return seen, err
		}
		if wait.Timeout == 0 {
			return seen, errs.New(errs.WouldBlock, "wait", s.name, "nothing has changed yet")
		}
		if !time.Now().Before(p.deadline) {
			return seen, errs.Newf(errs.Timeout, "wait", s.name, "nothing changed within %v", time.Since(p.begun).Round(time.Millisecond))
		}
		step := p.step()
		if ctx.Done() != nil {
			step = min(step, signalStep)
		}
		rc := C.pk_page_wait(s.page, C.uint(channel), C.uint32_t(seen), C.int64_t(step), C.int64_t(look))
		look = 0
		if syscall.Errno(rc) == syscall.ETIMEDOUT {
			s.announceForgotten()
		}
	}
}

// anyStep is how long WaitAny trusts that whoever commits announces it.
const anyStep = time.Second

// WaitAny sleeps until the count of one of channels differs from the one seen.
func (s *Space) WaitAny(ctx context.Context, channels []store.Channel, seen []uint32) error {
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	bell := new(C.uint32_t) // Go's memory: it is there also for one who rings late
	defer context.AfterFunc(ctx, func() { C.pk_ring(bell) })()
	for {
		latest := s.Version(store.AnyChange)
		for i, channel := range channels {
			if s.Version(channel) != seen[i] {
				return nil
			}
		}
		if err := ctx.Err(); err != nil {
			return errs.Wrap(errs.Interrupted, "wait", s.name, err)
		}
		if err := s.alive("wait"); err != nil {
			return err
		}
		rc := C.pk_page_wait_any(s.page, C.uint(len(channels)), (*C.uint8_t)(unsafe.SliceData(channels)),
			(*C.uint32_t)(unsafe.SliceData(seen)), bell, C.int64_t(anyStep))
		if syscall.Errno(rc) == syscall.ENOSYS { // then for any change, and for the bell by looking
			rc = C.pk_page_wait(s.page, C.uint(store.AnyChange), C.uint32_t(latest), C.int64_t(signalStep), 0)
		}
		if syscall.Errno(rc) == syscall.ETIMEDOUT {
			s.announceForgotten()
		}
	}
}

// announceForgotten announces a commit whose writer died before it could: the
// last one that LMDB knows of is newer than the last one announced, and nobody
// has the writer's turn to be just about to announce it.
func (s *Space) announceForgotten() {
	if _, err := s.enter(false); err != nil { // the environment must stay
		return // and WaitChange sees for itself that it did not
	}
	defer s.readers.leave(nil)
	forgotten := func() bool { return uint64(C.pk_last_commit(s.raw)) > atomic.LoadUint64(s.published) }
	if !forgotten() {
		return
	}
	runtime.LockOSThread() // the turn belongs to a thread
	defer runtime.UnlockOSThread()
	if C.pk_page_trylock(s.page) != 0 {
		return
	}
	defer C.pk_page_unlock(s.page)
	if forgotten() {
		asleep := C.pk_page_publish(s.page, C.pk_last_commit(s.raw), ^C.uint64_t(0), nil)
		C.pk_page_wake(s.page, asleep, ^C.uint64_t(0), nil)
	}
}
