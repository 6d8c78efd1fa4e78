package lmdbstore_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// Tests that need other processes run this very binary again: in a role, which
// takes orders on its standard input and answers on its output, a line each.

const roleVariable = "PARKIT_TEST_ROLE"

// role is what another process does; args are those of start.
type role func(p *player, args []string) error

// player is the other process's end of the talk.
type player struct {
	in  *bufio.Reader
	mu  sync.Mutex
	out io.Writer
}

var roles = map[string]role{}

// patience bounds what is to happen: it is reached only by a failure.
const patience = 20 * time.Second

var patient = store.Wait{Timeout: patience}

func TestMain(m *testing.M) {
	if name := os.Getenv(roleVariable); name != "" {
		os.Exit(perform(name, os.Args[1:]))
	}
	flag.Parse()
	code := m.Run()
	for _, clean := range atEnd {
		clean()
	}
	os.Exit(code)
}

func perform(name string, args []string) int {
	act, ok := roles[name]
	if !ok {
		fmt.Fprintln(os.Stderr, "no role", name)
		return 2
	}
	if err := act(&player{in: bufio.NewReader(os.Stdin), out: os.Stdout}, args); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		return 1
	}
	return 0
}

// say answers with one line, in one write.
func (p *player) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = fmt.Fprintf(p.out, format+"\n", args...) // whoever does not listen has gone
}

// hear waits for an order; io.EOF when the other side has gone.
func (p *player) hear() (string, error) {
	line, err := p.in.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

// process is another process, as the test sees it.
type process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	out    *bufio.Reader
	stderr bytes.Buffer
	ended  bool
}

// start runs a role in another process. change may alter the command first.
func start(t testing.TB, change func(*exec.Cmd), name string, args ...string) *process {
	t.Helper()
	p, err := tryStart(t, change, name, args...)
	ok(t, err)
	return p
}

func tryStart(t testing.TB, change func(*exec.Cmd), name string, args ...string) (*process, error) {
	p := &process{t: t, name: name, cmd: exec.Command(os.Args[0], args...)}
	// With the race detector a process would sleep for a second before it ends.
	p.cmd.Env = append(os.Environ(), roleVariable+"="+name, "GORACE=atexit_sleep_ms=0")
	// It must not outlive a test that is killed.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stderr = &p.stderr
	if change != nil {
		change(p.cmd)
	}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	t.Cleanup(func() { p.kill() })
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	ok(p.t, p.cmd.Process.Signal(s))
}

// tell gives an order.
func (p *process) tell(order string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, order+"\n"); err != nil {
		p.t.Fatalf("%s does not listen: %v\n%s", p.name, err, p.stderr.String())
	}
}

// line is the next answer.
func (p *process) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.wait()
		p.t.Fatalf("%s has ended: %v, %v\n%s", p.name, err, p.cmd.ProcessState, p.stderr.String())
	}
	return strings.TrimSuffix(line, "\n")
}

// expect waits for an answer that must be want.
func (p *process) expect(want string) {
	p.t.Helper()
	if got := p.line(); got != want {
		p.t.Fatalf("%s says %q, not %q\n%s", p.name, got, want, p.stderr.String())
	}
}

func (p *process) wait() {
	if !p.ended {
		p.ended = true
		_ = p.cmd.Wait() // what it ended with is in ProcessState
	}
}

// kill ends it at once and returns what it still had said.
func (p *process) kill() []string {
	if p.ended {
		return nil
	}
	_ = p.cmd.Process.Kill() // it may have ended
	rest, _ := io.ReadAll(p.out)
	p.wait()
	var lines []string
	for line := range strings.Lines(string(rest)) {
		if line, whole := strings.CutSuffix(line, "\n"); whole {
			lines = append(lines, line)
		}
	}
	return lines
}

// end waits until it has ended by itself, and well.
func (p *process) end() {
	p.t.Helper()
	_ = p.stdin.Close() // the order to end
	rest, _ := io.ReadAll(p.out)
	p.wait()
	if !p.cmd.ProcessState.Success() {
		p.t.Errorf("%s ended with %v, having said %q\n%s", p.name, p.cmd.ProcessState, rest, p.stderr.String())
	}
}

// died waits until it was killed.
func (p *process) died() {
	p.t.Helper()
	_, _ = io.ReadAll(p.out)
	p.wait()
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		p.t.Fatalf("%s was to be killed, and ended with %v\n%s", p.name, p.cmd.ProcessState, p.stderr.String())
	}
}

func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// seeded is a source of chance whose seed a failure tells; PARKIT_TEST_SEED
// gives it again.
func seeded(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("PARKIT_TEST_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("PARKIT_TEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// both runs a test on a durable and on a memory namespace.
func both(t *testing.T, test func(t *testing.T, memory bool)) {
	t.Run("Durable", func(t *testing.T) { test(t, false) })
	t.Run("Memory", func(t *testing.T) { test(t, true) })
}

// backend opens namespaces below root.
func backend(root string, profile lmdbstore.Profile) *lmdbstore.Backend {
	return lmdbstore.New(root, lmdbstore.Options{Profile: func(string) lmdbstore.Profile { return profile }})
}

func kind(memory bool) lmdbstore.Profile { return lmdbstore.Profile{Memory: memory} }

// kindOf is kind, of a role's argument.
func kindOf(arg string) lmdbstore.Profile { return kind(arg == "memory") }

func kindArg(memory bool) string {
	if memory {
		return "memory"
	}
	return "durable"
}

const namespace = "n"

func open(t testing.TB, root string, profile lmdbstore.Profile) store.Space {
	t.Helper()
	s, err := backend(root, profile).Open(namespace, true)
	ok(t, err)
	return s
}

// opened is open until the end of the test.
func opened(t testing.TB, root string, profile lmdbstore.Profile) store.Space {
	t.Helper()
	s := open(t, root, profile)
	t.Cleanup(func() { ok(t, s.Close()) })
	return s
}

func newRoot(t testing.TB) string { return filepath.Join(t.TempDir(), "ns") }

func dataFile(root string) string {
	return filepath.Join(root, namespace, lmdbstore.EnvDir, "data.mdb")
}

func put(t testing.TB, s store.Space, key, value string) {
	t.Helper()
	ok(t, s.Update(patient, func(txn store.Txn) error {
		_, err := txn.Put([]byte(key), []byte(value))
		return err
	}))
}

func get(t testing.TB, s store.Space, key string) string {
	t.Helper()
	value, pin, err := s.Peek([]byte(key), nil)
	if errors.Is(err, store.ErrNotFound) {
		return ""
	}
	ok(t, err)
	text := string(value)
	if pin != nil {
		pin.Abort()
	}
	return text
}

// sound checks the structure of a space.
func sound(t testing.TB, s store.Space) {
	t.Helper()
	ok(t, s.Check(func(_, _ []byte) error { return nil }, func(key []byte, err error) { t.Errorf("%q: %v", key, err) }))
}
