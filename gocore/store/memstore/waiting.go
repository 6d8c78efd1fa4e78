package memstore

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// interruptEvery is how often a waiting call asks Wait.Interrupted.
const interruptEvery = 50 * time.Millisecond

// outcome says what ended a wait.
type outcome int

const (
	ready outcome = iota
	timedOut
	interrupted
	done // the context's
	gone // the space was closed or crashed
)

// await sleeps until signal fires or something else ends the wait. A negative
// bound is none. It runs on the caller's goroutine, and so does Interrupted.
func await(ctx context.Context, signal, ended <-chan struct{}, bound time.Duration, isInterrupted func() bool) outcome {
	var timeout, ask <-chan time.Time
	if bound >= 0 {
		timer := time.NewTimer(bound)
		defer timer.Stop()
		timeout = timer.C
	}
	if isInterrupted != nil {
		if isInterrupted() {
			return interrupted
		}
		ticker := time.NewTicker(interruptEvery)
		defer ticker.Stop()
		ask = ticker.C
	}
	for {
		select {
		case <-signal:
			return ready
		case <-ended:
			return gone
		case <-ctx.Done():
			return done
		case <-timeout:
			return timedOut
		case <-ask:
			if isInterrupted() {
				return interrupted
			}
		}
	}
}

// writerLock is the writer's turn of a space, handed on in the order of
// asking.
type writerLock struct {
	mu     sync.Mutex
	held   bool
	holder string
	since  time.Time
	queue  []chan struct{} // of those who wait; a send is the turn itself
}

// acquire takes the turn, or says why not.
func (l *writerLock) acquire(wait store.Wait, standard time.Duration, ended <-chan struct{}) outcome {
	l.mu.Lock()
	if !l.held {
		l.take()
		l.mu.Unlock()
		return ready
	}
	if wait.Timeout == 0 {
		l.mu.Unlock()
		return timedOut
	}
	turn := make(chan struct{}, 1)
	l.queue = append(l.queue, turn)
	l.mu.Unlock()

	bound := wait.Timeout
	if bound < 0 {
		bound = standard
	}
	result := await(context.Background(), turn, ended, bound, wait.Interrupted)
	l.mu.Lock()
	defer l.mu.Unlock()
	if result == ready {
		l.take()
		return ready
	}
	for i, other := range l.queue {
		if other == turn {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
			return result
		}
	}
	// The turn came while the wait ended for another reason: pass it on.
	l.handOn()
	return result
}

// take needs l.mu.
func (l *writerLock) take() {
	l.held = true
	l.holder = thisGoroutine()
	l.since = time.Now()
}

func (l *writerLock) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handOn()
}

func (l *writerLock) isHeld() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// handOn needs l.mu. The lock stays held when somebody waits, so that nobody
// who comes later gets in between.
func (l *writerLock) handOn() {
	l.holder, l.since = "a writer that is about to begin", time.Now()
	if len(l.queue) == 0 {
		l.held = false
		return
	}
	next := l.queue[0]
	l.queue = l.queue[1:]
	next <- struct{}{}
}

// refusal is the error for an outcome of acquire other than ready.
func (l *writerLock) refusal(namespace string, result outcome, wait store.Wait) error {
	l.mu.Lock()
	holder := fmt.Sprintf("%s has been writing for %s", l.holder, time.Since(l.since).Round(time.Millisecond))
	l.mu.Unlock()
	switch {
	case result == interrupted:
		return errs.New(errs.Interrupted, "begin", namespace,
			"the wait for the writer's turn was interrupted; "+holder)
	case wait.Timeout == 0:
		return errs.New(errs.WouldBlock, "begin", namespace,
			holder+"; wait for the turn, or try again later")
	}
	return errs.New(errs.LockTimeout, "begin", namespace,
		"the writer's turn did not come in time; "+holder)
}

// thisGoroutine describes the caller's goroutine to a person: Go gives it no
// name but the number in a stack trace.
func thisGoroutine() string {
	var buffer [64]byte
	head, _, _ := bytes.Cut(buffer[:runtime.Stack(buffer[:], false)], []byte(" ["))
	return fmt.Sprintf("%s of process %d", head, os.Getpid())
}

// changes are the counters of a namespace's channels and who sleeps on them.
type changes struct {
	mu       sync.Mutex
	channels [store.Channels]struct {
		version  uint32
		sleepers []chan struct{} // in the order they came; a send wakes
	}
}

func (c *changes) version(channel store.Channel) uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.channels[channel].version
}

// touch advances the channel and wakes sleepers: all of them, or the first one.
func (c *changes) touch(channel store.Channel, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := &c.channels[channel]
	ch.version++
	woken := len(ch.sleepers)
	if !all {
		woken = min(1, woken)
	}
	for _, sleeper := range ch.sleepers[:woken] {
		sleeper <- struct{}{}
	}
	ch.sleepers = append(ch.sleepers[:0], ch.sleepers[woken:]...)
}

// wait sleeps until the channel's version differs from seen. A sleeper that
// was woken and gave up in the same moment reports the change, so that a
// WakeOne spent on it is not lost.
func (c *changes) wait(ctx context.Context, channel store.Channel, seen uint32, wait store.Wait, ended <-chan struct{}) (uint32, outcome) {
	result := c.waitAny(ctx, []store.Channel{channel}, []uint32{seen}, wait, ended)
	version := c.version(channel)
	if version != seen {
		result = ready
	}
	return version, result
}

// waitAny is wait on several channels.
func (c *changes) waitAny(ctx context.Context, channels []store.Channel, seen []uint32, wait store.Wait, ended <-chan struct{}) outcome {
	for {
		wake := make(chan struct{}, len(channels)) // one may come from each
		c.mu.Lock()
		if c.moved(channels, seen) {
			c.mu.Unlock()
			return ready
		}
		if wait.Timeout == 0 {
			c.mu.Unlock()
			return timedOut
		}
		for _, channel := range channels {
			ch := &c.channels[channel]
			ch.sleepers = append(ch.sleepers, wake)
		}
		c.mu.Unlock()

		result := await(ctx, wake, ended, wait.Timeout, wait.Interrupted)
		c.mu.Lock()
		for _, channel := range channels {
			ch := &c.channels[channel]
			ch.sleepers = slices.DeleteFunc(ch.sleepers, func(other chan struct{}) bool { return other == wake })
		}
		moved := c.moved(channels, seen)
		c.mu.Unlock()
		if moved {
			return ready
		}
		if result != ready {
			return result
		}
	}
}

// moved needs c.mu.
func (c *changes) moved(channels []store.Channel, seen []uint32) bool {
	for i, channel := range channels {
		if c.channels[channel].version != seen[i] {
			return true
		}
	}
	return false
}
