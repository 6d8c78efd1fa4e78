package memstore

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Space is one opening of a namespace, shared by all who open it until the
// last of them closes it.
type Space struct {
	backend   *Backend
	disk      *disk
	namespace string
	openers   int // guarded by backend.mu
	turn      writerLock

	// ended is closed, after why is set, when the space is closed or crashes.
	ended chan struct{}
	why   error

	mu      sync.Mutex
	readers map[*txn]time.Time // open read transactions and their begin
}

var _ store.Space = (*Space)(nil)

func newSpace(b *Backend, d *disk, namespace string) *Space {
	return &Space{
		backend:   b,
		disk:      d,
		namespace: namespace,
		ended:     make(chan struct{}),
		readers:   make(map[*txn]time.Time),
	}
}

// end makes every further use of the space fail with why. It needs backend.mu.
func (s *Space) end(why error) {
	s.why = why
	close(s.ended)
}

// failed is the error of a space that has ended.
func (s *Space) failed() error {
	select {
	case <-s.ended:
		return s.why
	default:
		return nil
	}
}

// committed is the newest snapshot.
func (s *Space) committed() (*snapshot, error) {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if err := s.failed(); err != nil {
		return nil, err
	}
	return s.disk.committed, nil
}

// Begin starts a transaction.
func (s *Space) Begin(mode store.Mode, wait store.Wait) (store.Txn, error) {
	t, err := s.begin(mode, wait)
	if err != nil {
		return nil, err // not t: a nil *txn in the interface is not nil
	}
	return t, nil
}

func (s *Space) begin(mode store.Mode, wait store.Wait) (*txn, error) {
	if mode == store.Read {
		return s.beginRead()
	}
	if err := s.failed(); err != nil {
		return nil, err
	}
	switch result := s.turn.acquire(wait, s.backend.options.LockTimeout, s.ended); result {
	case ready:
	case gone:
		return nil, s.why
	default:
		return nil, s.turn.refusal(s.namespace, result, wait)
	}
	next, err := s.successor()
	if err != nil {
		s.turn.release()
		return nil, err
	}
	return &txn{space: s, write: true, snapshot: next}, nil
}

// beginRead holds backend.mu so that Close sees the reader or the reader sees
// the close.
func (s *Space) beginRead() (*txn, error) {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if err := s.failed(); err != nil {
		return nil, err
	}
	t := &txn{space: s, snapshot: *s.disk.committed}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers[t] = time.Now()
	return t, nil
}

// successor is a copy of the newest snapshot to write in. The lock keeps two
// Clones of one tree apart; readers need none, as they look at nothing that
// Clone changes in the original.
func (s *Space) successor() (snapshot, error) {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if err := s.failed(); err != nil {
		return snapshot{}, err
	}
	next := *s.disk.committed
	next.tree = next.tree.Clone()
	next.id++
	return next, nil
}

// Update runs fn in a write transaction of its own.
func (s *Space) Update(wait store.Wait, fn func(store.Txn) error) error {
	t, err := s.begin(store.Write, wait)
	if err != nil {
		return err
	}
	defer t.Abort() // also when fn panics
	if s.backend.options.RerunUpdates {
		if err := t.rehearse(fn); err != nil {
			return err
		}
	}
	if err := t.run(fn); err != nil {
		return err
	}
	return t.Commit()
}

// Peek reads one key.
func (s *Space) Peek(key, dst []byte) ([]byte, store.Txn, error) {
	t, err := s.begin(store.Read, store.Wait{})
	if err != nil {
		return nil, nil, err
	}
	value, err := t.find(key)
	if err != nil {
		t.Abort()
		return nil, nil, err
	}
	if len(value) <= cap(dst) {
		dst = append(dst[:0], value...)
		t.Abort()
		return dst, nil, nil
	}
	return t.hand(value), t, nil
}

// Version is the count of channel.
func (s *Space) Version(channel store.Channel) uint32 {
	return s.disk.changes.version(channel)
}

// WaitChange sleeps until the count of channel differs from seen.
func (s *Space) WaitChange(ctx context.Context, channel store.Channel, seen uint32, wait store.Wait) (uint32, error) {
	if err := s.failed(); err != nil {
		return seen, err
	}
	version, result := s.disk.changes.wait(ctx, channel, seen, wait, s.ended)
	subject := fmt.Sprintf("%s channel %d", s.namespace, channel)
	switch {
	case result == ready:
		return version, nil
	case result == gone:
		return version, s.why
	case result == interrupted:
		return version, errs.New(errs.Interrupted, "wait for a change of", subject,
			"the wait was interrupted; nothing changed")
	case result == done:
		return version, errs.Wrap(errs.Interrupted, "wait for a change of", subject, context.Cause(ctx))
	case wait.Timeout == 0:
		return version, errs.New(errs.WouldBlock, "wait for a change of", subject,
			"nothing changed; allow a wait")
	}
	return version, errs.New(errs.Timeout, "wait for a change of", subject,
		"nothing changed in "+wait.Timeout.String())
}

// WaitAny sleeps until the count of one of channels differs from the one seen.
func (s *Space) WaitAny(ctx context.Context, channels []store.Channel, seen []uint32) error {
	if err := s.failed(); err != nil {
		return err
	}
	switch s.disk.changes.waitAny(ctx, channels, seen, store.Wait{Timeout: -1}, s.ended) {
	case gone:
		return s.why
	case done:
		return errs.Wrap(errs.Interrupted, "wait for a change of", s.namespace, context.Cause(ctx))
	}
	return nil
}

// Durable reports Options.Durable.
func (s *Space) Durable() bool { return s.backend.options.Durable }

// Now is Options.Clock's time.
func (s *Space) Now() time.Time { return s.backend.options.Clock() }

// Stats counts keys' and values' bytes; there are no pages.
func (s *Space) Stats() (store.Stats, error) {
	now, err := s.committed()
	if err != nil {
		return store.Stats{}, err
	}
	stats := store.Stats{
		PageSize:   1,
		MapSize:    now.bytes,
		Used:       now.bytes,
		FileSize:   now.bytes,
		Entries:    int64(now.tree.Len()),
		LastCommit: now.id,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Readers = len(s.readers)
	for _, begun := range s.readers {
		stats.OldestRead = max(stats.OldestRead, time.Since(begun))
		stats.OldestReader = os.Getpid() // how far behind is not kept
	}
	return stats, nil
}

// SetMaxSize has nothing to do: memory is bounded by the machine.
func (s *Space) SetMaxSize(bytes int64) error {
	if bytes <= 0 {
		return errs.Newf(errs.InvalidArgument, "set the size of", s.namespace,
			"%d bytes; give a positive number", bytes)
	}
	return s.failed()
}

// Compact has nothing to give back: the garbage collector does.
func (s *Space) Compact(store.Wait) (int64, error) { return 0, s.failed() }

// Close lets go of one opening. The last one flushes; what it could not flush
// is still there for the next Open, unless the power is cut before.
func (s *Space) Close() error {
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	if err := s.failed(); err != nil {
		return err
	}
	if s.openers > 1 {
		s.openers--
		return nil
	}
	if s.turn.isHeld() || s.hasReaders() {
		return errs.New(errs.BadTransaction, "close namespace", s.namespace,
			"transactions are open on it; end them first")
	}
	s.openers = 0
	s.disk.open = nil
	s.disk.leases.drop(s)
	s.end(errs.New(errs.Stale, "use namespace", s.namespace,
		"it was closed; open it again"))
	return s.backend.flush(s.disk)
}

func (s *Space) hasReaders() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.readers) != 0
}
