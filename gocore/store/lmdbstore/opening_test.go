package lmdbstore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// booted opens the namespace as a process of the given boot does.
func booted(root, boot string, memory bool) (store.Space, error) {
	return lmdbstore.New(root, lmdbstore.Options{
		Profile: func(string) lmdbstore.Profile { return kind(memory) },
		BootID:  boot,
	}).Open(namespace, true)
}

func init() {
	// opener ROOT KIND opens at each order but "stay", counts, and closes.
	roles["opener"] = func(p *player, args []string) error {
		for {
			order, err := p.hear()
			if err != nil {
				return nil
			}
			s, err := backend(args[0], kindOf(args[1])).Open(namespace, true)
			if err != nil {
				p.say("%v", err)
				continue
			}
			if err := s.Update(patient, func(txn store.Txn) error {
				_, err := txn.NextSeq([]byte("opened"))
				return err
			}); err != nil {
				return err
			}
			if order != "stay" {
				if err := s.Close(); err != nil {
					return err
				}
			}
			p.say("opened")
		}
	}
}

// A memory namespace is begun anew after a boot, a durable one is not. A page
// that was lost changes nothing of that.
func TestWhatARebootLeaves(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		for _, page := range []string{"kept", "removed", "garbage", "zero"} {
			root := newRoot(t)
			path := filepath.Join(root, namespace, lmdbstore.EnvDir, "page")
			lose := func() {
				switch page {
				case "removed":
					ok(t, os.Remove(path))
				case "garbage":
					ok(t, os.WriteFile(path, []byte(strings.Repeat("garbage ", 512)), 0o600))
				case "zero":
					ok(t, os.Truncate(path, 0))
				}
			}
			s, err := booted(root, "one", memory)
			ok(t, err)
			put(t, s, "k", "of boot one")
			ok(t, s.Close())
			lose()
			s, err = booted(root, "one", memory)
			ok(t, err)
			if got := get(t, s, "k"); got != "of boot one" {
				t.Errorf("page %s: in the same boot %q", page, got)
			}
			ok(t, s.Close())
			lose()
			s, err = booted(root, "two", memory)
			ok(t, err)
			want := "of boot one"
			if memory {
				want = ""
			}
			if got := get(t, s, "k"); got != want {
				t.Errorf("page %s: after a boot %q", page, got)
			}
			put(t, s, "k", "of boot two")
			ok(t, s.Close())
			s, err = booted(root, "two", memory)
			ok(t, err)
			if got := get(t, s, "k"); got != "of boot two" {
				t.Errorf("page %s: opened again %q", page, got)
			}
			ok(t, s.Close())
		}
	})
}

func TestNothingIsBegunAnewUnderAProcess(t *testing.T) {
	root := newRoot(t)
	other := start(t, nil, "opener", root, kindArg(true))
	other.tell("stay")
	other.expect("opened")
	// As a process that misjudged the boot: the other one's word counts.
	s, err := booted(root, "another boot", true)
	ok(t, err)
	if get(t, s, "opened") == "" {
		t.Error("its data are gone")
	}
	ok(t, s.Close())
	other.end()
}

func TestANamespaceStaysWhatItWasMadeAs(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		for _, removed := range []bool{false, true} { // the page, too
			root := newRoot(t)
			s := open(t, root, kind(memory))
			put(t, s, "k", "v")
			ok(t, s.Close())
			if removed {
				ok(t, os.Remove(filepath.Join(root, namespace, lmdbstore.EnvDir, "page")))
			}
			s = open(t, root, kind(!memory))
			if s.Durable() == memory || get(t, s, "k") != "v" {
				t.Errorf("page removed: %v: durable %v, value %q", removed, s.Durable(), get(t, s, "k"))
			}
			ok(t, s.Close())
		}
	})
}

func TestASymlinkLeadsToTheSameSpace(t *testing.T) {
	root := newRoot(t)
	one := opened(t, root, kind(false))
	link := filepath.Join(t.TempDir(), "link")
	ok(t, os.Symlink(root, link))
	two := opened(t, link, kind(false))
	if one != two {
		t.Fatal("one environment is open twice")
	}
	lease, err := one.Lease("l")
	ok(t, err)
	if _, err := two.Lease("l"); !errs.Has(err, errs.WouldBlock) {
		t.Errorf("its lease by the other way: %v", err)
	}
	ok(t, lease.Release())
	if _, err := one.Lease("../l"); !errs.Has(err, errs.InvalidArgument) {
		t.Errorf("a lease of a file elsewhere: %v", err)
	}
}

// A directory that is made in the place of a removed one is another namespace,
// whatever number the file system gives to it.
func TestARemovedNamespaceIsNotTakenForTheNextOne(t *testing.T) {
	root := newRoot(t)
	one := open(t, root, kind(false))
	put(t, one, "k", "v")
	for range 5 {
		ok(t, os.RemoveAll(root))
		two := open(t, root, kind(false))
		if one == two || get(t, two, "k") != "" {
			t.Fatal("the removed one was opened again")
		}
		put(t, two, "k", "w")
		ok(t, one.Close())
		one = two
	}
	ok(t, one.Close())
}

func TestCloseIsRefusedUnderTransactions(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		s := open(t, newRoot(t), kind(memory))
		put(t, s, "k", "v")
		txn, err := s.Begin(store.Read, store.Wait{})
		ok(t, err)
		if err := s.Close(); !errs.Has(err, errs.BadTransaction) {
			t.Errorf("closed under a snapshot: %v", err)
		}
		if value, err := txn.Get([]byte("k")); err != nil || string(value) != "v" {
			t.Errorf("the snapshot has %q, %v", value, err)
		}
		txn.Abort()
		put(t, s, "k", "w")
		ok(t, s.Close())
		for name, err := range map[string]error{
			"update": s.Update(store.Wait{}, func(store.Txn) error { return nil }),
			"close":  s.Close(),
		} {
			if !errs.Has(err, errs.Stale) {
				t.Errorf("%s after close: %v", name, err)
			}
		}
	})
}

// Processes that open at the same moment all get in, whichever is first.
func TestProcessesOpenAtTheSameMoment(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		const processes, rounds = 4, 50
		root := newRoot(t)
		var openers []*process
		for range processes {
			openers = append(openers, start(t, nil, "opener", root, kindArg(memory)))
		}
		for round := range rounds {
			if round%5 == 0 {
				ok(t, os.RemoveAll(root)) // the first of them makes it
			}
			for _, o := range openers {
				o.tell("open")
			}
			for _, o := range openers {
				o.expect("opened")
			}
			s := open(t, root, kind(memory))
			if n := get(t, s, "opened"); len(n) != 8 || int(n[7]) != processes*(round%5+1) {
				t.Fatalf("round %d: counted %q", round, n)
			}
			ok(t, s.Close())
		}
		for _, o := range openers {
			o.end()
		}
	})
}

// A process that was stopped while it prepares holds others up, but not for
// ever; one that was killed does not.
func TestOpeningSurvivesKills(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		random := seeded(t)
		root := newRoot(t)
		for range 30 {
			if random.IntN(3) == 0 {
				ok(t, os.RemoveAll(root))
			}
			o := start(t, nil, "opener", root, kindArg(memory))
			o.tell("open")
			for range random.IntN(3000) {
				_ = time.Now() // a moment that is no sleep
			}
			o.kill()
			s := open(t, root, kind(memory))
			put(t, s, "k", "v")
			sound(t, s)
			ok(t, s.Close())
		}
	})
}

func TestAnotherContainerIsRefused(t *testing.T) {
	root := newRoot(t)
	s := open(t, root, kind(false))
	o, err := tryStart(t, func(cmd *exec.Cmd) { cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID }, "opener", root, kindArg(false))
	if err != nil {
		t.Skipf("no pid namespace is to be had: %v", err)
	}
	o.tell("open")
	if got := o.line(); !strings.Contains(got, "another container") {
		t.Errorf("from another pid namespace: %q", got)
	}
	put(t, s, "k", "v") // and no harm is done
	ok(t, s.Close())
	o.tell("stay")
	o.expect("opened")
	if _, err := backend(root, kind(false)).Open(namespace, false); !errs.Has(err, errs.OtherPIDSpace) {
		t.Errorf("the other way round: %v", err)
	}
	o.end()
}

func TestLeftDirectoriesAreNoNamespaces(t *testing.T) {
	root := newRoot(t)
	s := opened(t, root, kind(false))
	_ = s
	ok(t, os.MkdirAll(filepath.Join(root, "unfinished", lmdbstore.EnvDir), 0o700))
	b := backend(root, kind(false))
	names, err := b.Namespaces()
	ok(t, err)
	if len(names) != 1 || names[0] != namespace {
		t.Errorf("namespaces %q", names)
	}
	if _, err := b.Open("unfinished", false); !errs.Has(err, errs.NamespaceNotFound) {
		t.Errorf("opened: %v", err)
	}
}

// What Backup wrote is a namespace, once it is where one is looked for.
func TestABackupIsANamespace(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		s := opened(t, newRoot(t), kind(memory))
		put(t, s, "k", "v")
		root := newRoot(t)
		ok(t, s.Backup(filepath.Join(root, namespace, lmdbstore.EnvDir)))
		restored, err := backend(root, kind(false)).Open(namespace, false)
		ok(t, err)
		if !restored.Durable() || get(t, restored, "k") != "v" {
			t.Errorf("durable %v, value %q", restored.Durable(), get(t, restored, "k"))
		}
		put(t, restored, "k", "w")
		sound(t, restored)
		ok(t, restored.Close())
	})
}
