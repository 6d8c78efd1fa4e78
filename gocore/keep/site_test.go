package keep_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keep"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/site"
	"parkit/gocore/store"
)

func newSite(t *testing.T) *site.Site {
	t.Helper()
	s, err := site.Open(filepath.Join(t.TempDir(), "site"), true)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func dataOf(s *site.Site, namespace string) string {
	return filepath.Join(s.NamespacePath(namespace), "data.mdb")
}

func TestABackupIsASiteAndIsChecked(t *testing.T) {
	s := newSite(t)
	space, err := s.Space("a/b", true)
	must(t, err)
	everything(t, space)
	target := filepath.Join(t.TempDir(), "copy")
	copied, err := keep.Backup(s, []string{"a/b"}, target, false)
	must(t, err)
	if copied.Objects != 6 || copied.Namespaces != 1 {
		t.Errorf("%+v", copied)
	}
	_, err = keep.Backup(s, []string{"a/b"}, target, false)
	refused(t, err, errs.InvalidPath)
	again := filepath.Join(t.TempDir(), "again")
	_, err = keep.Restore(target, again, true)
	must(t, err)
	other, err := site.Open(again, false)
	must(t, err)
	defer other.Close()
	if other.UUID == s.UUID {
		t.Error("the uuid is the same")
	}
	there, err := other.Space("a/b", false)
	must(t, err)
	for _, name := range kinds {
		if got, want := contents(t, there, name), contents(t, space, name); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
	damage(t, space, "dict", keys.TagDict, 1)
	_, err = keep.Backup(s, []string{"a/b"}, filepath.Join(t.TempDir(), "bad"), false)
	refused(t, err, errs.Corrupt)
	if left, err := os.ReadDir(filepath.Dir(target)); err != nil || len(left) != 1 {
		t.Errorf("%v is left beside the backup, %v", left, err)
	}
}

// written is a namespace on a disk with entries of many sizes, closed again.
func written(t *testing.T, entries int) (s *site.Site, data string, whole []byte) {
	t.Helper()
	s = newSite(t)
	space, err := s.Space("n", true)
	must(t, err)
	for _, name := range []string{"d", "e"} {
		make_(t, space, object.Descriptor{Name: name, Kind: object.KindDict, Class: "parkit.dict:Dict"}, func(tx *object.Tx, o *object.Object) error {
			for i := range entries {
				encoded, _, err := keys.EncodeKey(nil, fmt.Sprint("key ", i))
				if err == nil {
					err = coll.DictSet(tx, o, encoded, nil, valueOf(i))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	must(t, s.Release("n"))
	data = dataOf(s, "n")
	whole, err = os.ReadFile(data)
	must(t, err)
	return s, data, whole
}

func valueOf(i int) []byte {
	return []byte(strings.Repeat(fmt.Sprint("value ", i, " "), 1+i*i%997))
}

// readAll reads both dicts by keys, and says how many values there are, and of
// which one is wrong.
func readAll(t *testing.T, s *site.Site, entries int) (right int, wrong string) {
	t.Helper()
	space, err := s.Space("n", false)
	must(t, err)
	tx, err := space.Begin(store.Read, store.Wait{})
	must(t, err)
	defer func() {
		tx.Abort()
		must(t, s.Release("n"))
	}()
	list, err := tx.List("", 0)
	must(t, err)
	for _, d := range list {
		if d.Kind != object.KindDict {
			continue
		}
		o := space.Object(d.ID, d.Name)
		counted := uint64(0)
		for i := range entries {
			encoded, _, err := keys.EncodeKey(nil, fmt.Sprint("key ", i))
			must(t, err)
			value, err := coll.DictGet(tx, o, encoded)
			switch {
			case err == store.ErrNotFound:
				continue
			case err != nil:
				return right, fmt.Sprint(d.Name, " ", i, ": ", err)
			case string(value) != string(valueOf(i)):
				return right, fmt.Sprint(d.Name, " ", i)
			}
			counted++
		}
		if state, err := tx.State(o); err != nil || state.Length != counted {
			return right, fmt.Sprintf("%s has %d entries and a length of %+v, %v", d.Name, counted, state, err)
		}
		right += int(counted)
	}
	return right, ""
}

// Of bytes that were changed anywhere in a data file, a check tells, or all is
// right; a repair leaves a namespace that is sound, in which nothing is wrong,
// and of which one changed byte took one entry, or those that shared a list
// with it.
func TestBytesChangedAnywhereAreToldAndRepaired(t *testing.T) {
	const entries, rounds = 300, 80
	s, data, whole := written(t, entries)
	random := seeded(t)
	told, harmless, rebuilt, most := 0, 0, 0, 0
	for round := range rounds {
		damaged := []byte(string(whole))
		at := random.IntN(len(whole))
		if round%3 == 0 { // where pages tell of themselves
			at = at/4096*4096 + random.IntN(48)
		}
		damaged[at] ^= byte(1 + random.IntN(255))
		must(t, os.WriteFile(data, damaged, 0o600))
		var found keep.Report
		must(t, keep.CheckNamespace(s, "n", false, &found))
		if found.Sound() {
			harmless++
		} else {
			told++
		}
		var repaired keep.Report
		must(t, keep.CheckNamespace(s, "n", true, &repaired))
		for _, p := range repaired.Problems {
			if p.Done == "" {
				t.Errorf("byte %d: nothing was done about %+v", at, p)
			}
			if strings.Contains(p.What, "heck the namespace") {
				t.Errorf("byte %d: who checks is told to check: %s", at, p.What)
			}
			if strings.Contains(p.Key, "storage") && strings.Contains(p.What, "reached") {
				rebuilt++
			}
		}
		var after keep.Report
		must(t, keep.CheckNamespace(s, "n", false, &after))
		for _, p := range after.Problems {
			t.Errorf("byte %d, after a repair: %+v", at, p)
		}
		right, wrong := readAll(t, s, entries)
		if wrong != "" {
			t.Errorf("byte %d: %s", at, wrong)
		}
		lost := 2*entries - right
		most = max(most, lost)
		if found.Sound() && lost != 0 || lost > 1 && at >= 8192 {
			t.Errorf("byte %d: %d entries were lost: %+v", at, lost, repaired.Problems)
		}
		for _, pattern := range []string{"data.mdb.*", "quarantine-*"} {
			files, err := filepath.Glob(filepath.Join(filepath.Dir(data), pattern))
			must(t, err)
			for _, file := range files {
				must(t, os.Remove(file))
			}
		}
	}
	t.Logf("%d told, %d harmless, %d files made anew; at most %d entries lost", told, harmless, rebuilt, most)
	if told == 0 { // which of so many bytes are in structure is chance
		t.Error("nothing was damaged")
	}
}

// A file that was cut short, or whose beginning is gone, gives what it has.
func TestAFileThatCannotBeOpenedIsSalvaged(t *testing.T) {
	const entries = 300
	s, data, whole := written(t, entries)
	for name, c := range map[string]struct {
		harm  func(file []byte) []byte
		least int
	}{
		"cut short": {func(file []byte) []byte { return file[:len(file)/2] }, entries / 4},
		"no beginning": {func(file []byte) []byte {
			clear(file[:8192])
			return file
		}, 2 * entries},
		"one beginning": {func(file []byte) []byte {
			clear(file[:4096])
			return file
		}, entries},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, os.WriteFile(data, c.harm([]byte(string(whole))), 0o600))
			var found, repaired, after keep.Report
			must(t, keep.CheckNamespace(s, "n", false, &found))
			if found.Sound() {
				t.Error("it is said to be sound")
			}
			must(t, keep.CheckNamespace(s, "n", true, &repaired))
			must(t, keep.CheckNamespace(s, "n", false, &after))
			if !after.Sound() {
				t.Errorf("after a repair: %+v", after.Problems)
			}
			right, wrong := readAll(t, s, entries)
			if wrong != "" || right < c.least {
				t.Errorf("%d entries are right; wrong: %q; %+v", right, wrong, repaired.Problems)
			}
			kept, err := filepath.Glob(data + ".damaged-*")
			must(t, err)
			if len(kept) == 0 {
				t.Error("the damaged file was not kept")
			}
		})
	}
}

func TestASalvageNeedsTheNamespaceForItself(t *testing.T) {
	s, data, whole := written(t, 300)
	for at := 2 * 4096; at < len(whole); at += 4096 {
		if whole[at+10] == 2 && whole[at+11] == 0 { // a leaf is no longer one
			whole[at+10] = 1
		}
	}
	must(t, os.WriteFile(data, whole, 0o600))
	held, err := s.Backend().Open("n", false)
	must(t, err)
	var r keep.Report
	must(t, keep.CheckNamespace(s, "n", true, &r))
	last := r.Problems[len(r.Problems)-1]
	if last.Done != "" || !strings.Contains(last.What, "it is open") {
		t.Errorf("%+v", last)
	}
	must(t, held.Close())
	r = keep.Report{}
	must(t, keep.CheckNamespace(s, "n", true, &r))
	if right, wrong := readAll(t, s, 300); right != 600 || wrong != "" {
		t.Errorf("%d, %s", right, wrong)
	}
}

func TestWhatWasSetAsideCanBeListed(t *testing.T) {
	s := newSite(t)
	space, err := s.Space("n", true)
	must(t, err)
	everything(t, space)
	for range 2 {
		damage(t, space, "dict", keys.TagDict, 0)
		var r keep.Report
		must(t, keep.CheckNamespace(s, "n", true, &r))
		if len(r.Quarantine) != 1 {
			t.Errorf("%+v", r)
		}
	}
	list, err := keep.Quarantined(s, "n")
	must(t, err)
	if len(list) != 2 || list[0].Object != "dict" || list[0].Time >= list[1].Time || keys.Verify(list[0].DBKey, list[0].Record) == nil {
		t.Errorf("%+v", list)
	}
	refused(t, keys.Verify(list[0].DBKey, list[0].Record), errs.Corrupt)
}

// unopenable makes a namespace with data whose page is no file.
func unopenable(t *testing.T, s *site.Site, namespace string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(s.NamespacePath(namespace), "page"), 0o700))
	must(t, os.WriteFile(dataOf(s, namespace), make([]byte, 8192), 0o600))
}

func TestANamespaceThatCannotBeOpenedIsAProblemOfItsOwn(t *testing.T) {
	s := newSite(t)
	unopenable(t, s, "bad")
	for _, repair := range []bool{false, true} {
		var report keep.Report
		must(t, keep.CheckNamespace(s, "bad", repair, &report))
		if len(report.Problems) != 1 || report.Problems[0].Namespace != "bad" || !strings.Contains(report.Problems[0].What, "cannot be opened") || report.Problems[0].Done != "" {
			t.Errorf("%+v", report)
		}
	}
	// A backup without it would not be whole.
	target := filepath.Join(t.TempDir(), "copy")
	_, err := keep.Backup(s, []string{"bad"}, target, false)
	refused(t, err, errs.IO)
	// What was never made is no namespace.
	must(t, os.MkdirAll(s.NamespacePath("unmade"), 0o700))
	must(t, os.WriteFile(filepath.Join(s.NamespacePath("unmade"), "page"), make([]byte, 8192), 0o600))
	must(t, os.WriteFile(filepath.Join(s.NamespacePath("unmade"), "lock.mdb"), nil, 0o600))
	if names, err := s.Namespaces(); err != nil || strings.Join(names, " ") != "bad" {
		t.Errorf("namespaces %q, %v", names, err)
	}
}
