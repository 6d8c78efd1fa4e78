package lmdbstore_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

const failingUpdates = 6

func init() {
	// faulty ROOT opens, updates until something fails and beyond, tells what
	// came of each, closes, opens again and looks.
	roles["faulty"] = func(p *player, args []string) error {
		b := backend(args[0], kind(false))
		s, err := b.Open(namespace, true)
		for attempt := 0; err != nil; attempt++ {
			if attempt == 3 {
				return fmt.Errorf("after failed openings: %w", err)
			}
			p.say("open failed %d %v", errs.CodeOf(err), err)
			s, err = b.Open(namespace, true)
		}
		update := func(n int) error {
			return s.Update(patient, func(txn store.Txn) error { return writeGroup(txn, "g", n, 0, groupKeys) })
		}
		committed, broken, tried := 0, false, 0
		for range 2 * failingUpdates {
			tried = committed + 1
			err := update(tried)
			switch {
			case err == nil && broken:
				return fmt.Errorf("a commit succeeded on a handle whose flush had failed")
			case err == nil:
				committed = tried
			default:
				p.say("update failed %d %v", errs.CodeOf(err), err)
				if _, dead := s.Stats(); dead != nil {
					broken = true
				}
			}
			if !broken && err != nil { // usable: then the state is the old one
				if n, err := groupOf(s); err != nil || n != committed {
					return fmt.Errorf("after a failure it holds %d of %d: %w", n, committed, err)
				}
			}
		}
		if broken {
			if err := update(tried); !errs.Has(err, errs.Dead) {
				return fmt.Errorf("on a dead handle: %w", err)
			}
		}
		if s, err = b.Open(namespace, false); err != nil { // with the old one still to be closed
			return fmt.Errorf("opening again: %w", err)
		}
		n, err := groupOf(s)
		if err != nil || n < committed || n > tried {
			return fmt.Errorf("opened again it holds %d, committed %d, tried %d: %w", n, committed, tried, err)
		}
		if err := update(n + 1); err != nil {
			p.say("last failed %d %v", errs.CodeOf(err), err) // the call that was to fail was one of its own
			if s, err = b.Open(namespace, false); err != nil {
				return fmt.Errorf("opening at last: %w", err)
			}
		}
		if err := s.Check(func(_, _ []byte) error { return nil }, func([]byte, error) {}); err != nil {
			return err
		}
		p.say("done %v", broken)
		return nil
	}
}

func groupOf(s store.Space) (int, error) {
	txn, err := s.Begin(store.Read, store.Wait{})
	if err != nil {
		return 0, err
	}
	defer txn.Abort()
	return readGroup(txn, "g")
}

// Any call of the system may fail: then the old state is whole, the handle
// goes on or is clearly dead, and after a failed flush it never says that it
// has committed.
func TestFailingCallsLoseNothing(t *testing.T) {
	for call, all := range map[string]map[string]syscall.Errno{
		"write": {"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC, "short": 0},
		"meta":  {"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC, "short": 0},
		"sync":  {"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC},
		"size":  {"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC},
	} {
		for name, number := range all {
			t.Run(call+" "+name, func(t *testing.T) {
				failures, dead, times := 0, 0, 1
				if number == syscall.ENOSPC && (call == "sync" || call == "size") {
					times = 3 // every open file is told of it; less is asked for next
				}
				for n := 1; ; n++ {
					p := withShim(t, []string{fmt.Sprintf("PARKIT_SHIM_FAIL=%s:%d:%d:%d", call, n, times, number)}, "faulty", newRoot(t))
					failed, failedUpdate := false, false
					line := p.line()
					for ; !strings.HasPrefix(line, "done"); line = p.line() {
						var what string
						var code int
						if _, err := fmt.Sscan(line, &what, new(string), &code); err != nil {
							t.Fatalf("call %d: %q", n, line)
						}
						failed = failed || what != "last"
						failedUpdate = failedUpdate || what == "update"
						if number == syscall.ENOSPC && what == "update" && errs.Code(code) != errs.Full && errs.Code(code) != errs.Dead {
							t.Errorf("call %d: %s", n, line)
						}
					}
					p.end()
					if line == "done true" {
						dead++
					}
					if call == "sync" && failedUpdate && line != "done true" {
						t.Errorf("call %d: the handle lives on after a failed flush", n)
					}
					if failed {
						failures++
					} else if n > 6*failingUpdates { // past the last call
						break
					}
				}
				t.Logf("%d calls failed, the handle was dead after %d", failures, dead)
				if failures == 0 {
					t.Error("no call failed")
				}
			})
		}
	}
}
