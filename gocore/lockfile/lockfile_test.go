package lockfile

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"parkit/gocore/errs"
)

func TestALockBelongsToOneProcessAndIsNotDroppedByALook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	if _, alive, err := Holder(path); err != nil || alive {
		t.Fatal(alive, err)
	}
	l, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		pid, alive, err := Holder(path)
		if err != nil || !alive || pid != os.Getpid() {
			t.Fatal(pid, alive, err)
		}
		if _, err := Take(path); !errs.Has(err, errs.WouldBlock) {
			t.Fatal(err)
		}
	}
	if err := Remove(path); !errs.Has(err, errs.WouldBlock) {
		t.Fatal("a held lock's file was removed:", err)
	}
	if !l.Release() || l.Release() {
		t.Fatal("released once, and once only")
	}
	if _, alive, err := Holder(path); err != nil || alive {
		t.Fatal(alive, err)
	}
	if err := Remove(path); err != nil {
		t.Fatal(err)
	}
}

const envPath = "PARKIT_LOCKFILE_TEST_PATH"

// TestMain is also another process, which holds a lock until it is killed.
func TestMain(m *testing.M) {
	path := os.Getenv(envPath)
	if path == "" {
		os.Exit(m.Run())
	}
	if _, err := Take(path); err != nil {
		panic(err)
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1)) // or the end of the test
}

// Properties: whoever asks again and again sees each change, also where another
// file has the name since, and does not drop a lock that it takes itself.
func TestWhoAsksAgainSeesEachChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	see := func(want bool) {
		t.Helper()
		for range 2 {
			if is, err := Held(path); err != nil || is != want {
				t.Fatal(is, err)
			}
		}
	}
	see(false)
	for range 2 {
		other := exec.Command(os.Args[0])
		other.Env = append(os.Environ(), envPath+"="+path)
		stdin, err := other.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := other.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		see(true)
		if len(held.peers) != 1 {
			t.Error("the file is opened for each look")
		}
		_ = other.Process.Kill() // it has not ended
		_ = other.Wait()
		_ = stdin.Close()
		see(false)
		lock, err := Take(path)
		if err != nil {
			t.Fatal(err)
		}
		see(true)
		if pid, alive := elsewhere(t, path); !alive || pid != os.Getpid() {
			t.Error("a look dropped the lock", pid, alive)
		}
		lock.Release()
		see(false)
		if err := Remove(path); err != nil { // the next one makes another file
			t.Fatal(err)
		}
	}
	Forget(filepath.Dir(path))
	if len(held.peers) != 0 {
		t.Error("files are left open")
	}
}

// elsewhere is what another process sees of a lock that this one holds.
func elsewhere(t *testing.T, path string) (pid int, alive bool) {
	t.Helper()
	other := exec.Command("cat", "/proc/locks")
	out, err := other.Output()
	if err != nil {
		t.Skip("no /proc/locks:", err)
	}
	at, _ := inodeOf(path)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) > 5 && strings.HasSuffix(fields[5], fmt.Sprintf(":%d", at.number)) {
			pid, _ = strconv.Atoi(fields[4])
			return pid, true
		}
	}
	return 0, false
}
