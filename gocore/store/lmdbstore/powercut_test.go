package lmdbstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// recorded is one run of a writer: what reached the file, when it was flushed,
// and when which commit was acknowledged.
type recorded struct {
	events []event
	groups []string
}

func init() {
	// logged ROOT SYNC LOG GROUPS UPDATES: each group has a thread that writes
	// it so often, and notes in LOG that it is committed.
	roles["logged"] = func(p *player, args []string) error {
		profile := lmdbstore.Profile{NoSync: args[1] == "no sync", NoMetaSync: args[1] == "no metasync"}
		s, err := backend(args[0], profile).Open(namespace, true)
		if err != nil {
			return err
		}
		log, err := os.OpenFile(args[2], os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		var updates int
		if _, err := fmt.Sscan(args[4], &updates); err != nil {
			return err
		}
		groups := strings.Split(args[3], ",")
		results := make(chan error)
		for _, group := range groups {
			go func() {
				for n := 1; n <= updates; n++ {
					err := s.Update(patient, func(txn store.Txn) error {
						// Now and then something large comes and goes, so
						// that pages are freed and used again.
						if n%5 == 0 {
							if _, err := txn.Put([]byte(group+"/large"), make([]byte, n*613%20_000)); err != nil {
								return err
							}
						}
						return writeGroup(txn, group, n, 0, groupKeys)
					})
					if err == nil {
						err = ack(log, fmt.Sprint(group, " ", n))
					}
					if err != nil {
						results <- err
						return
					}
				}
				results <- nil
			}()
		}
		for range groups {
			if err := <-results; err != nil {
				return err
			}
		}
		return s.Close()
	}
}

// record has a writer run behind the shim.
func record(t *testing.T, how string, groups string, updates int) *recorded {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	withShim(t, []string{"PARKIT_SHIM_LOG=" + log}, "logged", newRoot(t), how, log, groups, fmt.Sprint(updates)).end()
	return &recorded{events: readLog(t, log), groups: strings.Split(groups, ",")}
}

// crashes goes through moments of a run in which the power may fail: what was
// flushed before is in whole, what was not is pending.
type crashes struct {
	run     *recorded
	random  *rand.Rand
	next    int // the first event that is not in whole, pending or known
	whole   []byte
	pending []event
	known   acks
	file    []byte // the image, used again
}

// to goes on to the moment before the event at.
func (c *crashes) to(at int) {
	for ; c.next < at; c.next++ {
		switch e := c.run.events[c.next]; e.kind {
		case shimWriteThrough: // only itself, not what was written before
			c.whole = apply(c.whole, e)
		case shimSync:
			for _, e := range c.pending {
				c.whole = apply(c.whole, e)
			}
			c.pending = nil
		case shimAck:
			var group string
			var n int
			if _, err := fmt.Sscan(string(e.data), &group, &n); err != nil {
				panic(err)
			}
			c.known[group] = n
		default:
			c.pending = append(c.pending, e)
		}
	}
}

// apply does to a file what an event says.
func apply(file []byte, e event) []byte {
	if n := e.end() - int64(len(file)); n > 0 {
		file = append(file, make([]byte, n)...)
	}
	copy(file[e.offset:], e.data)
	return file
}

// image is what is found on the disk after the power failed: of what was not
// flushed, anything in any order, down to single sectors.
func (c *crashes) image() []byte {
	c.file = append(c.file[:0], c.whole...)
	pending := slices.Clone(c.pending)
	if c.next < len(c.run.events) { // what was just being done
		if e := c.run.events[c.next]; e.kind == shimWrite || e.kind == shimWriteThrough || e.kind == shimSize {
			pending = append(pending, e)
		}
	}
	likely := []float64{0, 0.1, 0.5, 0.9, 1}[c.random.IntN(5)]
	torn := c.random.IntN(2) == 0
	if c.random.IntN(2) == 0 {
		c.random.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] })
	}
	for _, e := range pending {
		switch {
		case !torn || len(e.data) == 0:
			if c.random.Float64() < likely {
				c.file = apply(c.file, e)
			}
		default:
			for at := e.offset; at < e.end(); {
				end := min((at/sector+1)*sector, e.end())
				if c.random.Float64() < likely {
					c.file = apply(c.file, event{offset: at, data: e.data[at-e.offset : end-e.offset]})
				}
				at = end
			}
		}
	}
	return c.file
}

// verdict tells what is wrong with an image; empty if nothing is.
func (c *crashes) verdict(root string, goOn bool) (string, error) {
	if err := os.WriteFile(dataFile(root), c.image(), 0o600); err != nil {
		return "", err
	}
	defer os.Remove(filepath.Join(filepath.Dir(dataFile(root)), "page"))
	s, err := backend(root, lmdbstore.Profile{MaxReaders: 16, NoSync: true}).Open(namespace, false)
	if errs.Has(err, errs.NamespaceNotFound) && len(c.known) == 0 {
		return "", nil // never made
	}
	if err != nil {
		return fmt.Sprintf("corrupt: %v", err), nil
	}
	defer s.Close()
	// Not by LMDB, which might follow a damaged page out of the map.
	entries := map[string]int{}
	err = s.Check(func(key, value []byte) error { entries[string(key)] = number(value); return nil }, func([]byte, error) {})
	if err != nil {
		return fmt.Sprintf("corrupt: %v", err), nil
	}
	for _, group := range c.run.groups {
		n := entries[string(groupKey(group, 0))]
		for i := range groupKeys {
			if entries[string(groupKey(group, i))] != n {
				return fmt.Sprintf("torn: %s", group), nil
			}
		}
		for i := max(1, n-keptNotes+1); i <= n; i++ {
			if entries[string(noteKey(group, i))] != i {
				return fmt.Sprintf("torn: note %d of %s", i, group), nil
			}
		}
		if n < c.known[group] {
			return fmt.Sprintf("lost: %s has %d where %d was acknowledged", group, n, c.known[group]), nil
		}
	}
	if goOn {
		err := s.Update(patient, func(txn store.Txn) error { return writeGroup(txn, "after", 1, 0, groupKeys) })
		return "", errors.Join(err, s.Check(func(_, _ []byte) error { return nil }, func([]byte, error) {}))
	}
	return "", nil
}

// cut cuts the power at random moments and returns what was found, by kind.
func cut(t *testing.T, run *recorded, cuts int, random *rand.Rand) map[string]int {
	t.Helper()
	root := newRoot(t)
	ok(t, os.MkdirAll(filepath.Dir(dataFile(root)), 0o700))
	moments := make([]int, cuts)
	for i := range moments {
		moments[i] = random.IntN(len(run.events) + 1)
		if i < cuts/5 {
			moments[i] %= 12 // while it is being made
		}
	}
	slices.Sort(moments)
	c := &crashes{run: run, random: random, known: acks{}}
	found := map[string]int{}
	for i, moment := range moments {
		c.to(moment)
		verdict, err := c.verdict(root, i%20 == 0)
		ok(t, err)
		kind, _, _ := strings.Cut(verdict, ":")
		if found[kind]++; kind != "" && found[kind] == 1 {
			t.Logf("at event %d of %d: %s", moment, len(run.events), verdict)
		}
	}
	return found
}

func TestAPowerCutLosesNothingAcknowledged(t *testing.T) {
	random := seeded(t)
	for _, groups := range []string{"a", "a,b,c,d"} { // a thread by itself, and some that share flushes
		run := record(t, "sync", groups, 150)
		if found := cut(t, run, powerCuts/2, random); found[""] != powerCuts/2 {
			t.Errorf("of %d images: %v", powerCuts/2, found)
		}
	}
}

// The test above is worth something only if it finds what goes wrong where less
// is flushed. (Without a flush of the roots alone, only commits are lost.)
func TestPowerCutsFindWhatIsNotFlushed(t *testing.T) {
	random := seeded(t)
	for how, want := range map[string][]string{"no sync": {"corrupt", "lost"}, "no metasync": {"lost"}} {
		found := cut(t, record(t, how, "a", 100), 200, random)
		t.Logf("%s: of 200 images %v", how, found)
		for _, kind := range want {
			if found[kind] == 0 {
				t.Errorf("%s: nothing %s was found", how, kind)
			}
		}
	}
}
