package notify_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/notify"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
	"parkit/gocore/store/memstore"
)

const patience = 20 * time.Second

func spaces(t *testing.T, each func(t *testing.T, open func(name string) store.Space)) {
	backends := map[string]func() store.Backend{
		"memstore": func() store.Backend { return memstore.New(memstore.Options{}) },
		"lmdbstore": func() store.Backend {
			return lmdbstore.New(filepath.Join(t.TempDir(), "ns"), lmdbstore.Options{
				Profile: func(string) lmdbstore.Profile { return lmdbstore.Profile{Memory: true} },
			})
		},
	}
	for name, backend := range backends {
		t.Run(name, func(t *testing.T) {
			b := backend()
			each(t, func(name string) store.Space {
				space, err := b.Open(name, true)
				must(t, err)
				return space
			})
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func touch(t *testing.T, space store.Space, channels ...store.Channel) {
	t.Helper()
	must(t, space.Update(store.Wait{Timeout: patience}, func(txn store.Txn) error {
		for _, channel := range channels {
			txn.Touch(channel)
		}
		_, err := txn.Put([]byte("k"), []byte("v"))
		return err
	}))
}

// ear is a listener whose events can be waited for.
type ear struct {
	*notify.Listener
	t     *testing.T
	rung  chan struct{}
	heard map[uint64]error
}

func newEar(t *testing.T, hub *notify.Hub) *ear {
	e := &ear{t: t, rung: make(chan struct{}, 1), heard: map[uint64]error{}}
	e.Listener = hub.NewListener(func() {
		select {
		case e.rung <- struct{}{}:
		default:
		}
	})
	return e
}

// hear waits until the tokens, and no others, were heard of.
func (e *ear) hear(tokens ...uint64) {
	e.t.Helper()
	for {
		for _, event := range e.Take() {
			if _, twice := e.heard[event.Token]; twice {
				e.t.Fatalf("token %d was told twice", event.Token)
			}
			e.heard[event.Token] = event.Err
		}
		if len(e.heard) >= len(tokens) {
			break
		}
		select {
		case <-e.rung:
		case <-time.After(patience):
			e.t.Fatalf("heard of %v only, not of all of %v", e.heard, tokens)
		}
	}
	for _, token := range tokens {
		if err, ok := e.heard[token]; !ok || err != nil {
			e.t.Fatalf("token %d: heard %v, error %v", token, ok, err)
		}
	}
	if len(e.heard) != len(tokens) {
		e.t.Fatalf("heard of %v, not just of %v", e.heard, tokens)
	}
	clear(e.heard)
}

func (e *ear) watch(token uint64, space store.Space, channel store.Channel) {
	e.t.Helper()
	watching, err := e.Watch(token, space, channel, space.Version(channel))
	must(e.t, err)
	if !watching {
		e.t.Fatalf("token %d: the channel moved by itself", token)
	}
}

func TestEachWatchIsToldOnceAndOfItsChannelOnly(t *testing.T) {
	spaces(t, func(t *testing.T, open func(string) store.Space) {
		var hub notify.Hub
		a, b := newEar(t, &hub), newEar(t, &hub)
		one, two := open("one"), open("two")
		a.watch(1, one, 20)
		a.watch(2, one, 20)
		a.watch(3, one, 21)
		a.watch(4, two, 20)
		b.watch(1, one, 20)
		touch(t, one, 20)
		a.hear(1, 2)
		b.hear(1)
		touch(t, one, 20, 22)
		touch(t, one, 21)
		a.hear(3)
		touch(t, two, 20)
		a.hear(4)
		a.watch(1, one, 20) // the token is free again
		touch(t, one, 20)
		a.hear(1)
		if events := append(a.Take(), b.Take()...); len(events) != 0 {
			t.Errorf("heard of %v, which is over", events)
		}
	})
}

func TestAChangeBeforeTheWatchIsSeen(t *testing.T) {
	spaces(t, func(t *testing.T, open func(string) store.Space) {
		var hub notify.Hub
		a, space := newEar(t, &hub), open("one")
		seen := space.Version(20)
		a.watch(1, space, 21)
		touch(t, space, 20)
		watching, err := a.Watch(2, space, 20, seen)
		must(t, err)
		if watching {
			t.Error("a watch from an old count began")
		}
		a.watch(3, space, 20)
		touch(t, space, 21)
		a.hear(1)
	})
}

func TestWhatIsForgottenOrClosedIsNotHeardOf(t *testing.T) {
	spaces(t, func(t *testing.T, open func(string) store.Space) {
		var hub notify.Hub
		a, b, space := newEar(t, &hub), newEar(t, &hub), open("one")
		a.watch(1, space, 20)
		a.watch(2, space, 20)
		b.watch(1, space, 20)
		a.Forget(1)
		a.Forget(7)
		b.Close()
		touch(t, space, 20)
		a.hear(2)
		if events := b.Take(); len(events) != 0 {
			t.Errorf("a closed listener heard of %v", events)
		}
		if _, err := b.Watch(2, space, 20, space.Version(20)); !errs.Has(err, errs.Stale) {
			t.Errorf("a closed listener watches: %v", err)
		}
		b.Close()
	})
}

func TestBadWatchesAreRefused(t *testing.T) {
	spaces(t, func(t *testing.T, open func(string) store.Space) {
		var hub notify.Hub
		a, space := newEar(t, &hub), open("one")
		a.watch(1, space, 20)
		for _, try := range []struct {
			token   uint64
			channel store.Channel
		}{{1, 20}, {2, store.Channels}} {
			if _, err := a.Watch(try.token, space, try.channel, 0); !errs.Has(err, errs.InvalidArgument) {
				t.Errorf("%v: %v", try, err)
			}
		}
	})
}

func TestAClosedSpaceIsAnError(t *testing.T) {
	spaces(t, func(t *testing.T, open func(string) store.Space) {
		var hub notify.Hub
		a, space := newEar(t, &hub), open("one")
		a.watch(1, space, 20)
		must(t, space.Close())
		select {
		case <-a.rung:
		case <-time.After(patience):
			t.Fatal("nobody was told")
		}
		if events := a.Take(); len(events) != 1 || !errs.Has(events[0].Err, errs.Stale) {
			t.Errorf("heard of %v", events)
		}
		a.watch(2, open("one"), 20) // opened again it is another space
		touch(t, open("one"), 20)
		a.hear(2)
	})
}

// One goroutine a space, and none when nobody watches it.
func TestTheGoroutinesAreAsFewAsTheSpaces(t *testing.T) {
	spaces(t, func(t *testing.T, open func(string) store.Space) {
		var hub notify.Hub
		a := newEar(t, &hub)
		one, two := open("one"), open("two")
		before := runtime.NumGoroutine()
		for token := range uint64(1000) {
			a.watch(2*token, one, store.Channel(16+token%48))
			a.watch(2*token+1, two, store.AnyChange)
		}
		// Of each space one, and one that was just roused.
		if now := runtime.NumGoroutine(); now > before+4 {
			t.Errorf("%d goroutines more for 2,000 watches of two spaces", now-before)
		}
		for token := range uint64(2000) {
			a.Forget(token)
		}
		for end := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%d goroutines are left", runtime.NumGoroutine()-before)
			}
		}
	})
}

// Watchers come, go and are told while others commit: each hears of the next
// change after its look, or of none if it went.
func TestNothingIsMissedInACrowd(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	spaces(t, func(t *testing.T, open func(string) store.Space) {
		var hub notify.Hub
		space := open("one")
		const players, rounds = 6, 150
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		var all sync.WaitGroup
		for player := range players {
			all.Go(func() {
				r := rand.New(rand.NewPCG(seed, uint64(player)))
				rung := make(chan struct{}, 1)
				l := hub.NewListener(func() { rung <- struct{}{} })
				defer l.Close()
				// Players turn a wheel: each waits for the one before it.
				mine, next := store.Channel(16+player), store.Channel(16+(player+1)%players)
				key := fmt.Appendf(nil, "%d", player)
				for round := range rounds {
					for {
						seen := space.Version(mine)
						value, _, err := space.Peek(key, make([]byte, 0, 8))
						if err == nil && string(value) == fmt.Sprint(round) || player == 0 && round == 0 {
							break
						}
						if r.IntN(3) == 0 { // one that comes and goes
							if watching, _ := l.Watch(99, space, next, space.Version(next)); watching {
								l.Forget(99)
							}
						}
						watching, err := l.Watch(uint64(round), space, mine, seen)
						if err != nil {
							t.Error(err)
							return
						}
						if !watching {
							continue
						}
						for told := false; !told; {
							select {
							case <-rung:
							case <-ctx.Done():
								t.Errorf("player %d was not told in round %d", player, round)
								return
							}
							for _, event := range l.Take() {
								told = told || event.Token == uint64(round)
							}
						}
					}
					turn := round
					if player == players-1 {
						turn++
					}
					err := space.Update(store.Wait{Timeout: patience}, func(txn store.Txn) error {
						txn.Touch(next)
						_, err := txn.Put(fmt.Appendf(nil, "%d", (player+1)%players), fmt.Appendf(nil, "%d", turn))
						return err
					})
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		all.Wait()
	})
}
