package lmdbstore

/*
#include "engine.h"
*/
import "C"

import (
	"context"
	"runtime"
	"syscall"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Version is the count of changes of a channel.
func (s *Space) Version(channel store.Channel) uint32 {
	return uint32(C.pk_page_seq(s.page, C.uint(channel)))
}

// WaitChange sleeps until the count of channel differs from seen.
func (s *Space) WaitChange(ctx context.Context, channel store.Channel, seen uint32, wait store.Wait) (uint32, error) {
	if err := s.alive("wait"); err != nil {
		return seen, err
	}
	p := newPatience(wait)
	look := wait.Look
	if runtime.NumCPU() == 1 {
		look = 0
	}
	if ctx.Done() != nil {
		// Moving the counter, rather than waking alone, also reaches a
		// waiter that is about to sleep.
		defer context.AfterFunc(ctx, func() { s.announce(1 << channel) })()
	}
	for {
		now := s.Version(channel)
		if err := ctx.Err(); err != nil { // looked at last: its end moves the counter
			return seen, errs.Wrap(errs.Interrupted, "wait", s.name, err)
		}
		if now != seen {
			return now, nil
		}
		if err := s.alive("wait"); err != nil {
			return seen, err
		}
		if p.wait.Interrupted != nil && p.wait.Interrupted() {
			return seen, errs.New(errs.Interrupted, "wait", s.name, "interrupted")
		}
		if wait.Timeout == 0 {
			return seen, errs.New(errs.WouldBlock, "wait", s.name, "nothing has changed yet")
		}
		if !time.Now().Before(p.deadline) {
			return seen, errs.Newf(errs.Timeout, "wait", s.name, "nothing changed within %v", wait.Timeout)
		}
		rc := C.pk_page_wait(s.page, C.uint(channel), C.uint32_t(seen), C.int64_t(p.step()), C.int64_t(look))
		look = 0
		if syscall.Errno(rc) == syscall.ETIMEDOUT {
			s.announceForgotten()
		}
	}
}

// announce moves the given channels' counters and wakes who sleeps on them.
func (s *Space) announce(channels C.uint64_t) {
	C.pk_page_publish(s.page, C.pk_page_published(s.page), channels, nil)
	C.pk_page_wake(s.page, channels, nil)
}

// announceForgotten announces a commit whose writer died before it could: the
// last one that LMDB knows of is newer than the last one announced, and nobody
// has the writer's turn to be just about to announce it.
func (s *Space) announceForgotten() {
	if _, err := s.enter(false); err != nil { // the environment must stay
		return // and WaitChange sees for itself that it did not
	}
	defer s.readers.leave(nil)
	info, err := s.env.Info()
	if err != nil || uint64(info.LastTxnID) <= uint64(C.pk_page_published(s.page)) {
		return
	}
	runtime.LockOSThread() // the turn belongs to a thread
	defer runtime.UnlockOSThread()
	if C.pk_page_trylock(s.page) != 0 {
		return
	}
	defer C.pk_page_unlock(s.page)
	if info, err = s.env.Info(); err == nil && uint64(info.LastTxnID) > uint64(C.pk_page_published(s.page)) {
		C.pk_page_publish(s.page, C.uint64_t(info.LastTxnID), ^C.uint64_t(0), nil)
		C.pk_page_wake(s.page, ^C.uint64_t(0), nil)
	}
}
