package lmdbstore_test

import (
	"context"
	"errors"
	"testing"

	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// Linux before 5.16, and sandboxes, cannot wait for several counts at once.
func TestAnyChannelCanBeWaitedForWhereTheSystemCannot(t *testing.T) {
	lmdbstore.CannotWaitAny(true)
	defer lmdbstore.CannotWaitAny(false)
	s := open(t, t.TempDir(), lmdbstore.Profile{Memory: true})
	channels := []store.Channel{store.FirstShared + 1, store.FirstShared}
	results := make(chan error, 1)
	for range 20 {
		seen := []uint32{s.Version(channels[0]), s.Version(channels[1])}
		go func() { results <- s.WaitAny(t.Context(), channels, seen) }()
		touch(t, s)
		if err := <-results; err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		results <- s.WaitAny(ctx, channels, []uint32{s.Version(channels[0]), s.Version(channels[1])})
	}()
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
}
