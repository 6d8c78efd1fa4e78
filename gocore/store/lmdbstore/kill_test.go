package lmdbstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"parkit/gocore/store"
)

// The keys that one transaction of a writer sets, all to the same number; and
// how many of its notes it keeps, one a transaction, so that pages come and go.
const (
	groupKeys = 10
	keptNotes = 40
)

// Ways in which a writer may be broken, to show that the tests would tell.
const (
	honest       = "honest"
	acksTooEarly = "acks too early"
	commitsTwice = "commits twice"
)

func groupKey(group string, i int) []byte { return fmt.Appendf(nil, "%s/key %d", group, i) }

func noteKey(group string, n int) []byte { return fmt.Appendf(nil, "%s/note %09d", group, n) }

// value is a number with a filling of a length that depends on it.
func value(n int) []byte {
	return fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", n*37%900))
}

func number(value []byte) int {
	text, _, _ := strings.Cut(string(value), " ")
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

// writeGroup is one transaction of a writer.
func writeGroup(txn store.Txn, group string, n, from, to int) error {
	for i := from; i < to; i++ {
		if _, err := txn.Put(groupKey(group, i), value(n)); err != nil {
			return err
		}
	}
	if _, err := txn.Put(noteKey(group, n), value(n)); err != nil {
		return err
	}
	_, err := txn.Del(noteKey(group, n-keptNotes))
	txn.Touch(store.FirstShared)
	return err
}

// readGroup is the number that a group holds; -1 if it is torn.
func readGroup(txn store.Txn, group string) (int, error) {
	last := 0
	for i := range groupKeys {
		found, err := txn.Get(groupKey(group, i))
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return 0, err
		}
		n := 0
		if err == nil {
			n = number(found)
		}
		if i > 0 && n != last {
			return -1, nil
		}
		last = n
	}
	notes, err := txn.Scan(store.Prefix(fmt.Appendf(nil, "%s/note", group)), make([]store.Entry, keptNotes+1))
	if err != nil {
		return 0, err
	}
	if notes != min(last, keptNotes) {
		return -1, nil
	}
	return last, nil
}

func init() {
	// writer ROOT KIND GROUPS HOW: each group has a thread that writes it again
	// and again, and tells "GROUP NUMBER" when that is committed.
	roles["writer"] = func(p *player, args []string) error {
		s, err := backend(args[0], kindOf(args[1])).Open(namespace, true)
		if err != nil {
			return err
		}
		results := make(chan error)
		for _, group := range strings.Split(args[2], ",") {
			go func() { results <- writeGroups(p, s, group, args[3]) }()
		}
		return <-results
	}
}

func writeGroups(p *player, s store.Space, group, how string) error {
	n := 0
	err := s.Update(patient, func(txn store.Txn) (err error) {
		n, err = readGroup(txn, group)
		return err
	})
	for ; err == nil; n++ {
		err = s.Update(patient, func(txn store.Txn) error {
			to := groupKeys
			if how == commitsTwice {
				to = groupKeys / 2
			}
			err := writeGroup(txn, group, n+1, 0, to)
			if how == acksTooEarly {
				p.say("%s %d", group, n+1)
			}
			return err
		})
		if err == nil && how == commitsTwice {
			err = s.Update(patient, func(txn store.Txn) error {
				return writeGroup(txn, group, n+1, groupKeys/2, groupKeys)
			})
		}
		if err == nil && how != acksTooEarly {
			p.say("%s %d", group, n+1)
		}
	}
	return err
}

// acks are the numbers that a writer said were committed.
type acks map[string]int

func (a acks) note(t testing.TB, line string) {
	t.Helper()
	group, text, _ := strings.Cut(line, " ")
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("a writer says %q", line)
	}
	a[group] = max(a[group], n)
}

// losses tells how a space differs from what was acknowledged. A thread may
// have committed once more than it could tell.
func (a acks) losses(s store.Space, groups []string) (string, error) {
	txn, err := s.Begin(store.Read, store.Wait{})
	if err != nil {
		return "", err
	}
	defer txn.Abort()
	for _, group := range groups {
		n, err := readGroup(txn, group)
		switch {
		case err != nil:
			return "", err
		case n < 0:
			return "torn: " + group, nil
		case n < a[group]:
			return fmt.Sprintf("lost: %s has %d where %d was acknowledged", group, n, a[group]), nil
		case n > a[group]+1:
			return fmt.Sprintf("%s has %d where %d was the last acknowledged", group, n, a[group]), nil
		}
		a[group] = n
	}
	return "", nil
}

// killWriters kills writers at random points and returns what the space lost
// by the first kill that cost something.
func killWriters(t *testing.T, memory bool, kills int, how string, random *rand.Rand) string {
	t.Helper()
	root := newRoot(t)
	groups := []string{"a", "b", "c"}
	known := acks{}
	// Now this process has it open meanwhile, now the writer is alone.
	s := open(t, root, kind(memory))
	defer func() { ok(t, s.Close()) }()
	for range kills {
		stay := random.IntN(2) == 0
		if !stay {
			ok(t, s.Close())
		}
		threads := groups[:1+random.IntN(len(groups))]
		w := start(t, nil, "writer", root, kindArg(memory), strings.Join(threads, ","), how)
		for range 1 + random.IntN(25) {
			known.note(t, w.line())
		}
		for _, line := range w.kill() {
			known.note(t, line)
		}
		if !stay {
			s = open(t, root, kind(memory))
		}
		lost, err := known.losses(s, groups)
		ok(t, err)
		if lost != "" {
			return lost
		}
	}
	sound(t, s)
	return ""
}

func TestKilledWritersLoseNothing(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		if lost := killWriters(t, memory, kills, honest, seeded(t)); lost != "" {
			t.Error(lost)
		}
	})
}

// The test above is worth something only if it can fail.
func TestKillsFindBrokenWriters(t *testing.T) {
	random := seeded(t)
	for how, want := range map[string]string{acksTooEarly: "lost", commitsTwice: "torn"} {
		if lost := killWriters(t, true, 100, how, random); !strings.HasPrefix(lost, want) {
			t.Errorf("a writer that %s: found %q", how, lost)
		}
	}
}
