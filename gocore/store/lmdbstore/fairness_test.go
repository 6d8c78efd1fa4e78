package lmdbstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"parkit/gocore/store"
)

func init() {
	// timed ROOT KIND WAIT-FOR-NONE: told to begin it updates until told to
	// end, and tells how many updates it made and, in µs, how long the median
	// and the longest took.
	roles["timed"] = func(p *player, args []string) error {
		s, err := backend(args[0], kindOf(args[1])).Open(namespace, true)
		if err != nil {
			return err
		}
		p.say("ready")
		if _, err := p.hear(); err != nil {
			return err
		}
		end := make(chan struct{})
		go func() {
			_, _ = p.hear()
			close(end)
		}()
		var took []time.Duration
		for n := 0; ; n++ {
			begun := time.Now()
			err := s.Update(patient, func(txn store.Txn) error {
				_, err := txn.Put([]byte(args[2]), value(n))
				return err
			})
			if err != nil {
				return err
			}
			took = append(took, time.Since(begun))
			select {
			case <-end:
				slices.Sort(took)
				p.say("%d %d %d", len(took), took[len(took)/2].Microseconds(), took[len(took)-1].Microseconds())
				return nil
			default:
			}
		}
	}
	// echo ROOT KIND answers each odd number of the test's with the next one.
	roles["echo"] = func(p *player, args []string) error {
		s, err := backend(args[0], kindOf(args[1])).Open(namespace, true)
		if err != nil {
			return err
		}
		p.say("ready")
		return bat(s, 1, -1)
	}
}

// bat adds 1 to the ball whenever it is on this side, until the number is last.
func bat(s store.Space, side, last int) error {
	const channel = store.FirstShared
	dst := make([]byte, 0, 32)
	for {
		seen := s.Version(channel)
		ball, _, err := s.Peek([]byte("ball"), dst)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		n := 0
		if err == nil {
			n = number(ball)
		}
		switch {
		case n == last:
			return nil
		case n%2 == side:
			err = s.Update(patient, func(txn store.Txn) error {
				txn.Touch(channel)
				_, err := txn.Put([]byte("ball"), fmt.Append(nil, n+1, " "))
				return err
			})
		default:
			_, err = s.WaitChange(context.Background(), channel, seen, patient)
		}
		if err != nil {
			return err
		}
	}
}

// Processes that write without a pause all get their turn: nobody waits for
// more than a bounded time, and none gets all.
func TestEveryProcessGetsItsTurn(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		const processes = 8
		root := newRoot(t)
		s := opened(t, root, kind(memory))
		var crowd []*process
		for i := range processes {
			p := start(t, nil, "timed", root, kindArg(memory), fmt.Sprint("p", i))
			p.expect("ready")
			crowd = append(crowd, p)
		}
		for _, p := range crowd {
			p.tell("begin")
		}
		// This one is polite, and asks now and then.
		var longest time.Duration
		for begun := time.Now(); time.Since(begun) < soon; {
			asked := time.Now()
			put(t, s, "polite", "x")
			longest = max(longest, time.Since(asked))
			readFor(t, s, 2*time.Millisecond)
		}
		for _, p := range crowd {
			p.tell("end")
		}
		for i, p := range crowd {
			var updates, median, most int
			if _, err := fmt.Sscan(p.line(), &updates, &median, &most); err != nil {
				t.Fatal(err)
			}
			t.Logf("process %d: %d updates, median %d µs, longest %d µs", i, updates, median, most)
			if updates < 20 || most > 1_500_000 {
				t.Errorf("process %d made %d updates and waited for %d µs", i, updates, most)
			}
			p.end()
		}
		t.Logf("the polite one waited for %v at most", longest)
		if longest > soon {
			t.Errorf("the polite one waited for %v", longest)
		}
	})
}

// readFor reads for a while: a pause that is no sleep.
func readFor(t *testing.T, s store.Space, pause time.Duration) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < pause; {
		get(t, s, "polite")
	}
}

func TestAPingPongBetweenProcesses(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		root := newRoot(t)
		s := opened(t, root, kind(memory))
		p := start(t, nil, "echo", root, kindArg(memory))
		p.expect("ready")
		rounds := 3000
		if !memory {
			rounds = 200
		}
		begun := time.Now()
		ok(t, bat(s, 0, 2*rounds))
		t.Logf("%v there and back", time.Since(begun)/time.Duration(rounds))
	})
}
