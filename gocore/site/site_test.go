package site

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// createVariable makes the test binary create the site that it names, and
// print its uuid, instead of running tests.
const createVariable = "PARKIT_TEST_CREATE_SITE"

func TestMain(m *testing.M) {
	if path := os.Getenv(createVariable); path != "" {
		_, _ = io.ReadAll(os.Stdin) // its end is the starting shot
		s, err := Open(path, true)
		if err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(1)
		}
		os.Stdout.WriteString(s.UUID)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, code errs.Code) {
	t.Helper()
	if !errs.Has(err, code) {
		t.Fatalf("%v, want code %v", err, code)
	}
}

// create opens a new site and closes it after the test.
func create(t *testing.T, path string) *Site {
	t.Helper()
	s, err := Open(path, true)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// listing is all there is below path, with sizes and times.
func listing(t *testing.T, path string) string {
	t.Helper()
	var text strings.Builder
	must(t, filepath.Walk(path, func(name string, info os.FileInfo, err error) error {
		if err == nil {
			text.WriteString(name + info.Mode().String() + info.ModTime().String() + "\n")
		}
		return err
	}))
	return text.String()
}

func TestSiteIsMadeForItsOwnerOnly(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "some", "where")
	_, err := Open(path, false)
	refused(t, err, errs.SiteNotFound)
	s := create(t, path)
	for _, directory := range []string{path, s.Root(), s.RunPath(), s.LogPath()} {
		info, err := os.Stat(directory)
		must(t, err)
		if !info.IsDir() || info.Mode().Perm() != 0o700 {
			t.Errorf("%s is %v", directory, info.Mode())
		}
	}
	info, err := os.Stat(filepath.Join(path, "site.json"))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("site.json is %v", info.Mode())
	}
	if leftovers, _ := filepath.Glob(filepath.Join(path, "*.tmp")); len(leftovers) > 0 {
		t.Errorf("left behind: %v", leftovers)
	}
}

func TestSiteIsOpenedOnceByAnyPath(t *testing.T) {
	base := t.TempDir()
	s := create(t, filepath.Join(base, "site"))
	link := filepath.Join(base, "link")
	must(t, os.Symlink(filepath.Join(base, "site"), link))
	for _, path := range []string{link, filepath.Join(base, "x", "..", "site"), filepath.Join(base, "site") + "/"} {
		again, err := Open(path, false)
		must(t, err)
		if again != s {
			t.Errorf("%s is opened twice", path)
		}
	}
	found, err := ByUUID(s.UUID)
	must(t, err)
	if found != s || !slices.Contains(Opened(), s) {
		t.Error("not found by its uuid")
	}
	_, err = ByUUID("no such uuid")
	refused(t, err, errs.SiteNotFound)
	must(t, s.Close())
	_, err = ByUUID(s.UUID)
	refused(t, err, errs.SiteNotFound)
	_, err = s.Space("default", true)
	refused(t, err, errs.Stale)
	reopened, err := Open(link, false)
	must(t, err)
	defer reopened.Close()
	if reopened == s || reopened.UUID != s.UUID || reopened.Created != s.Created {
		t.Error("the site is another one after it was closed")
	}
}

func TestSiteMadeInPlaceOfARemovedOneIsAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site")
	first := create(t, path)
	must(t, os.RemoveAll(path))
	second := create(t, path)
	if first == second || first.UUID == second.UUID {
		t.Error("the removed site is still there")
	}
}

func TestSiteIsMadeWithTheUUIDThatItHadElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "site")
	const uuid = "0b6a5f3e-5d5b-4c8e-9d0c-0a3a5a1f2b11"
	s, err := OpenWith(path, Options{Create: true, UUID: uuid})
	if err != nil {
		t.Fatal(err)
	}
	if s.UUID != uuid {
		t.Errorf("its uuid is %s", s.UUID)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// One that exists keeps its own.
	s, err = OpenWith(path, Options{Create: true, UUID: "another"})
	if err != nil || s.UUID != uuid {
		t.Fatalf("opened again its uuid is %v, %v", s, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestProcessesThatCreateAtOnceAgree(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "site")
	self, err := os.Executable()
	must(t, err)
	const processes = 6
	var outputs [processes]bytes.Buffer
	var commands [processes]*exec.Cmd
	var shots [processes]io.Closer
	for i := range processes {
		command := exec.Command(self)
		command.Env = append(os.Environ(), createVariable+"="+path)
		command.Stdout = &outputs[i]
		shots[i], err = command.StdinPipe()
		must(t, err)
		must(t, command.Start())
		commands[i] = command
	}
	for _, shot := range shots {
		must(t, shot.Close())
	}
	for i, command := range commands {
		if err := command.Wait(); err != nil {
			t.Errorf("%v: %s", err, &outputs[i])
		}
	}
	s, err := Open(path, false)
	must(t, err)
	defer s.Close()
	for i := range outputs {
		if outputs[i].String() != s.UUID {
			t.Errorf("a process saw uuid %s, the site has %s", &outputs[i], s.UUID)
		}
	}
}

func TestPathsThatCannotBeASite(t *testing.T) {
	base := t.TempDir()
	file := filepath.Join(base, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, path := range []string{"", "a\x00b", file, filepath.Join(file, "below")} {
		for _, create := range []bool{false, true} {
			_, err := Open(path, create)
			refused(t, err, errs.InvalidPath)
		}
	}
	_, err := Open(base, false)
	refused(t, err, errs.SiteNotFound)
}

func TestNewerSiteIsLeftAlone(t *testing.T) {
	path := t.TempDir()
	must(t, os.WriteFile(filepath.Join(path, "site.json"), []byte(`{"uuid": "u", "format": 2, "engine": {"x": 1}}`), 0o600))
	before := listing(t, path)
	_, err := Open(path, true)
	refused(t, err, errs.NewerFormat)
	if listing(t, path) != before {
		t.Error("something was written")
	}
}

func TestBrokenSiteFileIsRefused(t *testing.T) {
	for _, text := range []string{"", "{", `[]`, `{}`, `{"uuid": "", "format": 1}`, `{"uuid": "u"}`, `{"uuid": "u", "format": "1"}`} {
		path := t.TempDir()
		must(t, os.WriteFile(filepath.Join(path, "site.json"), []byte(text), 0o600))
		_, err := Open(path, true)
		refused(t, err, errs.Corrupt)
	}
}

func TestSiteOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	for _, given := range []string{".", "site.json", "ns"} {
		path := filepath.Join(t.TempDir(), "site")
		s, err := Open(path, true)
		must(t, err)
		must(t, s.Close())
		must(t, os.Chown(filepath.Join(path, given), 12345, -1))
		_, err = Open(path, true)
		refused(t, err, errs.NotOwner)
	}
}

func TestUnsafeFileSystemIsRefusedUnlessAllowed(t *testing.T) {
	defer func() { fileSystemKind = unsafeFileSystem }()
	fileSystemKind = func(string) (string, error) { return "NFS", nil }
	path := filepath.Join(t.TempDir(), "a", "site")
	_, err := Open(path, true)
	refused(t, err, errs.UnsafeFS)
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Error("a directory was left behind")
	}
	t.Setenv(unsafeFSVariable, "1")
	create(t, path)
}

func TestCopyOfAnOpenSiteIsRefused(t *testing.T) {
	base := t.TempDir()
	original, copied := filepath.Join(base, "original"), filepath.Join(base, "copy")
	s := create(t, original)
	must(t, os.CopyFS(copied, os.DirFS(original)))
	_, err := Open(copied, false)
	refused(t, err, errs.InvalidPath)
	must(t, s.Close())
	again, err := Open(copied, false)
	must(t, err)
	must(t, again.Close())
}

func TestMovedSiteIsOpenedWhereItIs(t *testing.T) {
	base := t.TempDir()
	old := create(t, filepath.Join(base, "old"))
	must(t, os.Rename(filepath.Join(base, "old"), filepath.Join(base, "new")))
	_, err := Open(filepath.Join(base, "old"), false)
	refused(t, err, errs.SiteNotFound)
	moved := create(t, filepath.Join(base, "new"))
	if moved.UUID != old.UUID || moved.Path != filepath.Join(base, "new") {
		t.Errorf("the moved site is %+v", moved)
	}
	_, err = moved.Space("a", true)
	must(t, err)
	found, err := ByUUID(old.UUID)
	must(t, err)
	if found != moved {
		t.Error("the uuid leads to where the site was")
	}
}

func TestNamespacesOfASite(t *testing.T) {
	s := create(t, t.TempDir())
	_, err := s.Space("a", false)
	refused(t, err, errs.NamespaceNotFound)
	_, err = s.Space("../a", true)
	refused(t, err, errs.InvalidPath)
	for _, namespace := range []string{"a", "a/b", "a/b/c/d", "memory/x", "", "A"} {
		space, err := s.Space(namespace, true)
		must(t, err)
		again, err := s.Space("/"+namespace+"/", false)
		must(t, err)
		if again != space {
			t.Errorf("%s is opened twice", namespace)
		}
		must(t, space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
			_, _, err := space.Create(tx, object.Descriptor{Name: "b"})
			return err
		}))
		if _, err := os.Stat(s.NamespacePath(space.Namespace())); err != nil {
			t.Error(err)
		}
		if space.Store().Durable() != (namespace != "memory/x") {
			t.Errorf("%s is durable: %v", namespace, space.Store().Durable())
		}
	}
	list, err := s.Namespaces()
	must(t, err)
	if !slices.Equal(list, []string{"A", "a", "a/b", "a/b/c/d", "default", "memory/x"}) {
		t.Errorf("namespaces %q", list)
	}
	must(t, s.Release("a/b"))
	space, err := s.Space("a/b", false)
	must(t, err)
	tx, err := space.Begin(store.Read, store.Wait{})
	must(t, err)
	defer tx.Abort()
	if _, _, err := space.Bind(tx, "b"); err != nil {
		t.Error(err)
	}
}

func TestMemorySiteIsInMemoryThroughout(t *testing.T) {
	path := t.TempDir()
	s, err := OpenWith(path, Options{Create: true, Memory: true})
	must(t, err)
	must(t, s.Close())
	s = create(t, path)
	if !s.Memory || !s.Profile("default").Memory {
		t.Error("the site has forgotten that it is a memory site")
	}
	space, err := s.Space("default", true)
	must(t, err)
	if space.Store().Durable() {
		t.Error("a namespace of it is durable")
	}
}

func TestWhatIsInUseIsNotLetGoOf(t *testing.T) {
	s := create(t, filepath.Join(t.TempDir(), "site"))
	space, err := s.Space("a", true)
	must(t, err)
	held := func(what string) {
		t.Helper()
		if s.LetGo("a") != nil {
			t.Fatalf("let go of with %s", what)
		}
	}
	txn, err := space.Store().Begin(store.Read, store.Wait{Timeout: -1})
	must(t, err)
	held("a snapshot")
	txn.Abort()
	lease, err := space.Store().Lease("own-x")
	must(t, err)
	held("a lease")
	must(t, lease.Release())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	seen := space.Store().Version(store.AnyChange)
	go func() {
		ended <- space.Store().WaitAny(ctx, []store.Channel{store.AnyChange}, []uint32{seen})
	}()
	for space.Idle() { // until it waits
		runtime.Gosched()
	}
	held("one who waits")
	cancel()
	refused(t, <-ended, errs.Interrupted)
	if s.LetGo("a") != space || s.Opened("a") != nil || s.LetGo("a") != nil {
		t.Error("it is open still")
	}
	again, err := s.Space("a", false)
	must(t, err)
	if again == space {
		t.Error("it is the one that was closed")
	}
}
