package owner_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"parkit/gocore/owner"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
	"parkit/gocore/store/memstore"
)

const (
	envRoot = "PARKIT_OWNER_TEST_ROOT"
	envExec = "PARKIT_OWNER_TEST_EXEC"
	// patience bounds what only a failure delays.
	patience = 20 * time.Second
)

// TestMain is also the other process of these tests: it says its token and
// lives until it is killed, or until it is told to become another program.
func TestMain(m *testing.M) {
	root := os.Getenv(envRoot)
	if root == "" {
		os.Exit(m.Run())
	}
	if os.Getenv(envExec) == "" {
		space, err := backend(root).Open("house", true)
		if err != nil {
			panic(err)
		}
		token, err := owner.Own(space)
		if err != nil {
			panic(err)
		}
		fmt.Println(uint64(token))
	}
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if line == "" {
		return
	}
	// The same process as another program, which has not locked anything.
	panic(syscall.Exec(os.Args[0], os.Args, append(os.Environ(), envExec+"=1")))
}

func backend(root string) store.Backend {
	return lmdbstore.New(root, lmdbstore.Options{
		Profile: func(string) lmdbstore.Profile { return lmdbstore.Profile{Memory: true} },
	})
}

type child struct {
	*exec.Cmd
	stdin io.WriteCloser
	token owner.Token
}

func begin(t *testing.T, root string) *child {
	t.Helper()
	c := &child{Cmd: exec.Command(os.Args[0])}
	c.Env = append(os.Environ(), envRoot+"="+root, "GORACE=atexit_sleep_ms=0")
	c.Stderr = os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	c.stdin, err = c.StdinPipe()
	need(t, err)
	out, err := c.StdoutPipe()
	need(t, err)
	need(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	need(t, err)
	n, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
	need(t, err)
	c.token = owner.Token(n)
	return c
}

func need(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func alive(t *testing.T, space store.Space, token owner.Token, want bool) {
	t.Helper()
	is, err := owner.Alive(space, token)
	need(t, err)
	if is != want {
		t.Fatalf("owner %016x lives: %v, want %v", uint64(token), is, want)
	}
}

func watch(space store.Space, token owner.Token) (gone chan time.Time, cancel func()) {
	gone = make(chan time.Time, 2)
	return gone, owner.Watch(space, token, func() { gone <- time.Now() })
}

func await(t *testing.T, gone chan time.Time) time.Time {
	t.Helper()
	select {
	case at := <-gone:
		return at
	case <-time.After(patience):
		t.Fatal("nobody was told")
		return time.Time{}
	}
}

func open(t *testing.T, b store.Backend) store.Space {
	t.Helper()
	space, err := b.Open("house", true)
	need(t, err)
	return space
}

// Properties: a killed process is dead for all who ask and all who watch, at
// once and by an event, whether it was reaped or not; the living are not.
func TestAKilledOwnerIsGone(t *testing.T) {
	root := t.TempDir()
	space := open(t, backend(root))
	one, two := begin(t, root), begin(t, root)
	if one.token == two.token {
		t.Fatal("two processes with one token")
	}
	first, _ := watch(space, one.token)
	second, _ := watch(space, one.token)
	cancelled, cancel := watch(space, one.token)
	cancel()
	other, _ := watch(space, two.token)
	alive(t, space, one.token, true)
	alive(t, space, two.token, true)
	at := time.Now()
	need(t, one.Process.Kill()) // it stays a zombie until the end of the test
	for _, gone := range []chan time.Time{first, second} {
		if after := await(t, gone).Sub(at); after > time.Second {
			t.Errorf("told after %s", after)
		}
	}
	alive(t, space, one.token, false)
	alive(t, space, two.token, true)
	late, _ := watch(space, one.token)
	await(t, late)
	if len(cancelled)+len(other)+len(first)+len(second) != 0 {
		t.Error("told what is not so, or twice")
	}
	files, err := filepath.Glob(filepath.Join(root, "house", lmdbstore.EnvDir, "lease-own-*"))
	need(t, err)
	if len(files) != 1 {
		t.Errorf("files of owners: %v, want that of the living one", files)
	}
	need(t, two.Process.Kill())
	await(t, other)
	need(t, space.Close())
}

// A process that turns into another program lives on and holds nothing any more.
func TestAnOwnerThatTurnsIntoAnotherProgramIsGone(t *testing.T) {
	root := t.TempDir()
	space := open(t, backend(root))
	c := begin(t, root)
	gone, _ := watch(space, c.token)
	alive(t, space, c.token, true)
	_, err := io.WriteString(c.stdin, "exec\n")
	need(t, err)
	await(t, gone)
	alive(t, space, c.token, false)
	need(t, space.Close())
}

// What dead owners left, about whom nobody asks, goes when the next owner comes.
func TestTheNextOwnerClearsTheDeadAway(t *testing.T) {
	root := t.TempDir()
	c := begin(t, root)
	need(t, c.Process.Kill())
	_ = c.Wait() // killed
	space := open(t, backend(root))
	mine, err := owner.Own(space)
	need(t, err)
	names, err := space.Leases("own-")
	need(t, err)
	if want := fmt.Sprintf("[own-%016x]", uint64(mine)); fmt.Sprint(names) != want {
		t.Errorf("left: %v, want %s", names, want)
	}
	need(t, space.Close())
}

func TestAProcessHasOneTokenANamespaceUntilItClosesIt(t *testing.T) {
	for name, b := range map[string]store.Backend{
		"memstore": memstore.New(memstore.Options{}), "lmdbstore": backend(t.TempDir()),
	} {
		t.Run(name, func(t *testing.T) {
			space := open(t, b)
			other, err := b.Open("garden", true)
			need(t, err)
			token, err := owner.Own(space)
			need(t, err)
			again, err := owner.Own(space)
			need(t, err)
			elsewhere, err := owner.Own(other)
			need(t, err)
			if token == 0 || again != token || elsewhere == token {
				t.Fatal(token, again, elsewhere)
			}
			alive(t, space, token, true)
			alive(t, space, elsewhere, false) // nobody in this namespace
			alive(t, space, 0, false)
			gone, _ := watch(space, token)
			need(t, space.Close())
			await(t, gone)
			unwatched, _ := watch(space, token)
			await(t, unwatched)
			space = open(t, b)
			alive(t, space, token, false)
			next, err := owner.Own(space)
			need(t, err)
			if next == token {
				t.Error("the token of a closed namespace came back")
			}
			need(t, space.Close())
			need(t, other.Close())
		})
	}
}

func TestASimulatedCrashEndsOwners(t *testing.T) {
	b := memstore.New(memstore.Options{})
	space := open(t, b)
	token, err := owner.Own(space)
	need(t, err)
	gone, _ := watch(space, token)
	b.Crash(memstore.ProcessDies)
	await(t, gone)
	alive(t, open(t, b), token, false)
}
