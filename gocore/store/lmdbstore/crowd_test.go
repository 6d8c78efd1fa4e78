package lmdbstore_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// soon is within what others must go on after somebody died or was stopped.
const soon = time.Second

func init() {
	// reader ROOT KIND GROUPS reads them all in snapshots, and tells each round.
	roles["reader"] = func(p *player, args []string) error {
		s, err := backend(args[0], kindOf(args[1])).Open(namespace, true)
		if err != nil {
			return err
		}
		before := map[string]int{}
		for {
			txn, err := s.Begin(store.Read, store.Wait{})
			if err != nil {
				return err
			}
			for _, group := range strings.Split(args[2], ",") {
				n, err := readGroup(txn, group)
				if err != nil {
					return err
				}
				if n < before[group] {
					return fmt.Errorf("%s: saw %d after %d", group, n, before[group])
				}
				before[group] = n
			}
			txn.Abort()
			p.say("read")
		}
	}
	// waiter ROOT KIND sleeps until the writers' channel moves, and tells.
	roles["waiter"] = func(p *player, args []string) error {
		s, err := backend(args[0], kindOf(args[1])).Open(namespace, true)
		if err != nil {
			return err
		}
		for {
			seen := s.Version(store.FirstShared)
			p.say("awake")
			if _, err := s.WaitChange(context.Background(), store.FirstShared, seen, patient); err != nil {
				return err
			}
		}
	}
	// committer ROOT KIND POINT: at each order makes one commit; at the order
	// "die" it dies at POINT of it.
	roles["committer"] = func(p *player, args []string) error {
		s, err := backend(args[0], kindOf(args[1])).Open(namespace, true)
		if err != nil {
			return err
		}
		point, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		for {
			order, err := p.hear()
			if err != nil {
				return nil
			}
			if order == "die" {
				lmdbstore.DieAt(point)
			}
			err = s.Update(patient, func(txn store.Txn) error {
				txn.Touch(store.FirstShared)
				_, err := txn.Put([]byte("committed"), []byte(order))
				return err
			})
			if err != nil {
				return err
			}
			p.say("done")
		}
	}
	// holder ROOT KIND holds the turn from one order to the next.
	roles["holder"] = func(p *player, args []string) error {
		s, err := backend(args[0], kindOf(args[1])).Open(namespace, true)
		if err != nil {
			return err
		}
		runtime.LockOSThread()
		for {
			if _, err := p.hear(); err != nil {
				return nil
			}
			txn, err := s.Begin(store.Write, patient)
			if err != nil {
				return err
			}
			if _, err := txn.Put([]byte("held"), fmt.Append(nil, os.Getpid())); err != nil {
				return err
			}
			p.say("holding")
			if _, err := p.hear(); err != nil {
				return err
			}
			if err := txn.Commit(); err != nil {
				return err
			}
			p.say("done")
		}
	}
}

// member is one of a crowd. Each must be heard of again and again.
type member struct {
	*process
	args  []string
	group string // of a writer
	lines chan string
}

// goesOn waits for the next sign of life, and notes what a writer tells.
func (m *member) goesOn(t *testing.T, known acks, within time.Duration) {
	t.Helper()
	select {
	case line, open := <-m.lines:
		if !open {
			m.wait()
			t.Fatalf("%s has ended: %v\n%s", m.name, m.cmd.ProcessState, m.stderr.String())
		}
		if m.group != "" {
			known.note(t, line)
		}
	case <-time.After(within):
		t.Fatalf("nothing from the %s (%v) for %v", m.name, m.args, within)
	}
}

func join(t *testing.T, name, group string, args ...string) *member {
	m := &member{process: start(t, nil, name, args...), args: args, group: group, lines: make(chan string, 1<<16)}
	go func() {
		defer close(m.lines)
		for {
			line, err := m.out.ReadString('\n')
			if err != nil {
				return
			}
			m.lines <- strings.TrimSuffix(line, "\n")
		}
	}()
	return m
}

// leave kills a member and notes what it had said.
func (m *member) leave(t *testing.T, known acks) {
	_ = m.cmd.Process.Kill() // it may have ended
	for line := range m.lines {
		if m.group != "" {
			known.note(t, line)
		}
	}
	m.wait()
}

// Writers, readers and waiters are killed at random; the others must go on,
// see no torn state, and nothing that was acknowledged may be lost.
func TestACrowdGoesOnAfterKills(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		random := seeded(t)
		root := newRoot(t)
		s := opened(t, root, kind(memory))
		const writers = 4
		var groups []string
		for i := range writers {
			groups = append(groups, fmt.Sprint("w", i))
		}
		all := strings.Join(groups, ",")
		known := acks{}
		var crowd []*member
		for _, group := range groups {
			crowd = append(crowd, join(t, "writer", group, root, kindArg(memory), group, honest))
		}
		for range 4 {
			crowd = append(crowd, join(t, "reader", "", root, kindArg(memory), all))
		}
		for range 2 {
			crowd = append(crowd, join(t, "waiter", "", root, kindArg(memory)))
		}
		var longest time.Duration
		for range crowdKills / 2 {
			i := random.IntN(len(crowd))
			victim := crowd[i]
			victim.leave(t, known)
			for _, other := range crowd {
				if other == victim {
					continue
				}
				for range len(other.lines) { // said before
					other.goesOn(t, known, soon)
				}
				begun := time.Now()
				other.goesOn(t, known, 3*soon) // of which the machine's other load takes its part
				longest = max(longest, time.Since(begun))
			}
			crowd[i] = join(t, victim.name, victim.group, victim.args...)
			crowd[i].goesOn(t, known, patience)
		}
		t.Logf("after a kill others went on within %v", longest)
		for _, m := range crowd {
			m.leave(t, known)
		}
		lost, err := known.losses(s, groups)
		ok(t, err)
		if lost != "" {
			t.Error(lost)
		}
		sound(t, s)
	})
}

// A commit that nobody announced, because its writer died, is announced by
// the next writer, and by those who sleep if there is none.
func TestNoWakeUpDiesWithItsCommitter(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		for point, committed := range map[int]bool{
			lmdbstore.BeforeCommit: false, lmdbstore.BeforePublish: true, lmdbstore.BeforeUnlock: true, lmdbstore.BeforeWake: true,
		} {
			for _, heir := range []bool{false, true} {
				root := newRoot(t)
				s := opened(t, root, kind(memory))
				c := start(t, nil, "committer", root, kindArg(memory), fmt.Sprint(point))
				c.tell("first")
				c.expect("done")
				seen := s.Version(store.FirstShared)
				woken := make(chan error, 1)
				go func() {
					_, err := s.WaitChange(context.Background(), store.FirstShared, seen, patient)
					woken <- err
				}()
				waitUntilAsleep(t, os.Getpid(), onCount)
				begun := time.Now()
				c.tell("die")
				c.died()
				if heir {
					ok(t, s.Update(patient, func(txn store.Txn) error { _, err := txn.Put([]byte("heir"), nil); return err }))
				}
				if !committed && !heir {
					// Nobody has anything to tell; the turn must be free all the same.
					put(t, s, "a", "b")
					touch(t, s)
				}
				ok(t, <-woken)
				if took := time.Since(begun); took > 2*soon {
					t.Errorf("point %d, heir %v: woken after %v", point, heir, took)
				}
				want := "first"
				if committed {
					want = "die"
				}
				if got := get(t, s, "committed"); got != want {
					t.Errorf("point %d: %q was committed last, want %q", point, got, want)
				}
				sound(t, s)
			}
		}
	})
}

func touch(t *testing.T, s store.Space) {
	t.Helper()
	ok(t, s.Update(patient, func(txn store.Txn) error {
		txn.Touch(store.FirstShared)
		_, err := txn.Put([]byte("touched"), nil)
		return err
	}))
}

// A holder that was stopped keeps its turn, and is named; nobody waits longer
// than they said, and when it goes on everybody does.
func TestAStoppedHolderIsNamed(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		root := newRoot(t)
		s := opened(t, root, kind(memory))
		holder := start(t, nil, "holder", root, kindArg(memory))
		holder.tell("hold")
		holder.expect("holding")
		holder.signal(syscall.SIGSTOP)

		write := func(wait store.Wait) error {
			return s.Update(wait, func(txn store.Txn) error { _, err := txn.Put([]byte("k"), nil); return err })
		}
		begin := func(wait store.Wait) error {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			txn, err := s.Begin(store.Write, wait)
			if err == nil {
				txn.Abort()
			}
			return err
		}
		for _, attempt := range []func(store.Wait) error{write, begin} {
			err := attempt(store.Wait{Timeout: 120 * time.Millisecond})
			if !errs.Has(err, errs.LockTimeout) || !strings.Contains(err.Error(), fmt.Sprintf("process %d ", holder.pid())) {
				t.Errorf("got %v, want a timeout that names process %d", err, holder.pid())
			}
			if err := attempt(store.Wait{}); !errs.Has(err, errs.WouldBlock) {
				t.Errorf("without a wait: %v", err)
			}
			var asked time.Time
			err = attempt(store.Wait{Timeout: patience, Interrupted: func() bool {
				if asked.IsZero() {
					asked = time.Now() // the interrupt comes right after it was asked for
					return false
				}
				return true
			}})
			if took := time.Since(asked); !errs.Has(err, errs.Interrupted) || took > 100*time.Millisecond {
				t.Errorf("interrupted after %v: %v", took, err)
			}
		}
		waiting := make(chan error, 2)
		for _, attempt := range []func(store.Wait) error{write, begin} {
			go func() { waiting <- attempt(patient) }()
		}
		if got := get(t, s, "held"); got != "" {
			t.Errorf("a reader sees %q", got)
		}
		holder.signal(syscall.SIGCONT)
		holder.tell("commit")
		holder.expect("done")
		for range 2 {
			ok(t, <-waiting)
		}
		if got := get(t, s, "held"); got != fmt.Sprint(holder.pid()) {
			t.Errorf("the holder's commit left %q", got)
		}
		holder.end()
	})
}

// One that was stopped, or killed, while it was next in line must not keep the
// turn from others, who do not need it.
func TestAStoppedWaiterHoldsNobodyUp(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		for _, killed := range []bool{false, true} {
			root := newRoot(t)
			s := opened(t, root, kind(memory))
			holder := start(t, nil, "holder", root, kindArg(memory))
			holder.tell("hold")
			holder.expect("holding")
			point := 0
			if killed {
				point = lmdbstore.InLine
			}
			next := start(t, nil, "committer", root, kindArg(memory), fmt.Sprint(point))
			if killed {
				next.tell("die")
				next.died()
			} else {
				next.tell("wait")
				waitUntilAsleep(t, next.pid(), onLock)
				next.signal(syscall.SIGSTOP)
			}
			holder.tell("commit")
			holder.expect("done")
			begun := time.Now()
			for range 100 {
				put(t, s, "k", "v")
			}
			for { // those who do not wait at all must get it as well
				err := s.Update(store.Wait{}, func(txn store.Txn) error { _, err := txn.Put([]byte("k"), nil); return err })
				if err == nil {
					break
				}
				if !errs.Has(err, errs.WouldBlock) || time.Since(begun) > 2*soon {
					t.Fatalf("killed %v: after %v without a wait: %v", killed, time.Since(begun), err)
				}
				runtime.Gosched()
			}
			// Others that contend, too.
			holder.tell("hold")
			holder.expect("holding")
			waiting := make(chan error, 1)
			go func() {
				waiting <- s.Update(patient, func(txn store.Txn) error { _, err := txn.Put([]byte("k"), nil); return err })
			}()
			holder.tell("commit")
			holder.expect("done")
			ok(t, <-waiting)
			if took := time.Since(begun); took > 2*soon {
				t.Errorf("killed %v: others took %v", killed, took)
			}
			if !killed {
				next.signal(syscall.SIGCONT)
				next.expect("done")
			}
		}
	})
}

// How a thread sleeps on shared memory: on a channel's count, and on a lock of
// the C library's. Go's own sleeps are private.
const (
	onCount = "0x0" // FUTEX_WAIT
	onLock  = "0x9" // FUTEX_WAIT_BITSET
)

// waitUntilAsleep waits until a thread of a process sleeps; the kernel tells in
// which call.
func waitUntilAsleep(t *testing.T, pid int, how string) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); runtime.Gosched() {
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		ok(t, err)
		for _, task := range tasks {
			call, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/syscall", pid, task.Name()))
			if fields := strings.Fields(string(call)); err == nil && len(fields) > 3 && fields[0] == fmt.Sprint(syscall.SYS_FUTEX) && fields[2] == how {
				return
			}
		}
	}
	t.Fatal("it does not sleep")
}
