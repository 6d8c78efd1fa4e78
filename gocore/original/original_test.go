package original

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"sort"
	"testing"

	"github.com/PowerDNS/lmdb-go/lmdb"

	"parkit/gocore/errs"
)

type pair struct{ key, value []byte }

// written has LMDB itself write databases as the original's were, with
// overwritten and deleted entries between, and returns what is in each.
func written(t *testing.T, directory string) map[string][]pair {
	t.Helper()
	seed := rand.Int63()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	env, err := lmdb.NewEnv()
	must(t, err)
	defer env.Close()
	must(t, env.SetMaxDBs(16))
	must(t, env.SetMapSize(1<<30))
	must(t, env.Open(directory, lmdb.NoSync, 0o600))
	content := map[string]map[string][]byte{"small": {}, "numbers": {}, "large": {}, "empty": {}}
	for round := 0; round < 4; round++ {
		must(t, env.Update(func(txn *lmdb.Txn) error {
			main, err := txn.OpenRoot(0)
			if err != nil {
				return err
			}
			if err := txn.Put(main, []byte("__uuid__"), []byte("a uuid"), 0); err != nil {
				return err
			}
			for name, entries := range content {
				flags := uint(lmdb.Create)
				if name == "numbers" {
					flags |= 0x08 // MDB_INTEGERKEY
				}
				dbi, err := txn.OpenDBI(name, flags)
				if err != nil {
					return err
				}
				if err := change(txn, dbi, name, entries, random); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	sorted := map[string][]pair{}
	for name, entries := range content {
		list := []pair{}
		for key, value := range entries {
			list = append(list, pair{[]byte(key), value})
		}
		sort.Slice(list, func(i, j int) bool {
			a, b := list[i].key, list[j].key
			if name == "numbers" {
				return binary.NativeEndian.Uint64(a) < binary.NativeEndian.Uint64(b)
			}
			return bytes.Compare(a, b) < 0
		})
		sorted[name] = list
	}
	return sorted
}

func change(txn *lmdb.Txn, dbi lmdb.DBI, name string, entries map[string][]byte, random *rand.Rand) error {
	count, most := 3000, 60
	switch name {
	case "large":
		count, most = 40, 200_000
	case "empty":
		count = 0
	}
	for i := 0; i < count; i++ {
		key := make([]byte, 1+random.Intn(200))
		random.Read(key)
		if name == "numbers" {
			key = binary.NativeEndian.AppendUint64(nil, uint64(random.Intn(5000)*77))
		}
		value := make([]byte, random.Intn(most))
		random.Read(value)
		if err := txn.Put(dbi, key, value, 0); err != nil {
			return err
		}
		entries[string(key)] = value
	}
	for key := range entries {
		if random.Intn(4) == 0 {
			if err := txn.Del(dbi, []byte(key), nil); err != nil {
				return err
			}
			delete(entries, key)
		}
	}
	return nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, directory string) *File {
	t.Helper()
	file, err := Open(directory)
	must(t, err)
	t.Cleanup(func() { _ = file.Close() })
	return file
}

func scanned(t *testing.T, d *Database, prefix []byte, limits Limits) []Entry {
	t.Helper()
	var all []Entry
	for after, done := []byte(nil), false; !done; {
		var batch []Entry
		batch, done = d.Scan(after, prefix, limits, func(err error) { t.Fatal(err) })
		all = append(all, batch...)
		if len(batch) > limits.Entries || !done && len(batch) == 0 {
			t.Fatalf("a scan gave %d entries and done %v", len(batch), done)
		}
		if len(batch) > 0 {
			after = batch[len(batch)-1].Key
		}
	}
	return all
}

func TestReadsWhatLMDBWrote(t *testing.T) {
	directory := t.TempDir()
	content := written(t, directory)
	file := opened(t, directory)
	for name, want := range content {
		d, err := file.Database(name)
		must(t, err)
		if d.Len() != uint64(len(want)) {
			t.Errorf("%s says that it has %d entries, not %d", name, d.Len(), len(want))
		}
		for _, limits := range []Limits{{1 << 20, 1 << 30, 1 << 30}, {7, 1 << 30, 100}, {1000, 5000, 1 << 30}} {
			got := scanned(t, d, nil, limits)
			if len(got) != len(want) {
				t.Fatalf("%s: %d entries were read, not %d", name, len(got), len(want))
			}
			for i, entry := range got {
				if !bytes.Equal(entry.Key, want[i].key) || entry.Size != uint64(len(want[i].value)) {
					t.Fatalf("%s: entry %d is another", name, i)
				}
				value := entry.Value
				if long := len(want[i].value) > limits.Value; long != (value == nil) {
					t.Fatalf("%s: entry %d of %d bytes was handed over: %v", name, i, entry.Size, !long)
				} else if long {
					value = inPieces(t, d, entry)
				}
				if !bytes.Equal(value, want[i].value) {
					t.Fatalf("%s: value %d is another", name, i)
				}
			}
		}
	}
	main, err := file.Database("")
	must(t, err)
	if got := scanned(t, main, nil, Limits{100, 1 << 20, 1 << 20}); len(got) != 5 || string(got[0].Key) != "__uuid__" || got[0].Tree || !got[1].Tree {
		t.Errorf("the main database has %v", got)
	}
}

func inPieces(t *testing.T, d *Database, entry Entry) (value []byte) {
	t.Helper()
	for uint64(len(value)) < entry.Size {
		piece, err := d.Read(entry.Key, uint64(len(value)), 3000)
		must(t, err)
		if len(piece) == 0 {
			t.Fatal("a piece is empty")
		}
		value = append(value, piece...)
	}
	if rest, err := d.Read(entry.Key, entry.Size, 10); err != nil || len(rest) != 0 {
		t.Errorf("behind the end there is %d bytes, %v", len(rest), err)
	}
	return value
}

func TestScansKeysOfAPrefixOnly(t *testing.T) {
	directory := t.TempDir()
	content := written(t, directory)
	d, err := opened(t, directory).Database("small")
	must(t, err)
	for first := 0; first < 256; first += 5 {
		prefix, want := []byte{byte(first)}, 0
		for _, p := range content["small"] {
			if bytes.HasPrefix(p.key, prefix) {
				want++
			}
		}
		if got := scanned(t, d, prefix, Limits{3, 1 << 20, 10}); len(got) != want {
			t.Errorf("%d entries begin with %d, not %d", len(got), first, want)
		}
	}
}

func TestKnowsWhetherItWasWrittenTo(t *testing.T) {
	directory := t.TempDir()
	written(t, directory)
	file := opened(t, directory)
	if changed, err := file.Changed(); changed || err != nil {
		t.Errorf("changed: %v, %v", changed, err)
	}
	written(t, directory)
	if changed, err := file.Changed(); !changed || err != nil {
		t.Errorf("changed: %v, %v", changed, err)
	}
}

func TestChangesNothingAndMakesNoFile(t *testing.T) {
	directory := t.TempDir()
	written(t, directory)
	must(t, os.Remove(filepath.Join(directory, "lock.mdb")))
	before, err := os.ReadFile(filepath.Join(directory, DataFile))
	must(t, err)
	must(t, os.Chmod(filepath.Join(directory, DataFile), 0o400))
	must(t, os.Chmod(directory, 0o500))
	defer os.Chmod(directory, 0o700)
	d, err := opened(t, directory).Database("small")
	must(t, err)
	scanned(t, d, nil, Limits{1000, 1 << 20, 1 << 20})
	after, err := os.ReadFile(filepath.Join(directory, DataFile))
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the file has changed")
	}
	if names, err := os.ReadDir(directory); err != nil || len(names) != 1 {
		t.Errorf("the directory has %v, %v", names, err)
	}
}

// Whatever is damaged, reading ends, without a panic, and gives no entry that
// was never there twice or out of order.
func TestEndsOnDamagedPages(t *testing.T) {
	directory := t.TempDir()
	content := written(t, directory)
	path := filepath.Join(directory, DataFile)
	sound, err := os.ReadFile(path)
	must(t, err)
	seed := rand.Int63()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewSource(seed))
	told, less := 0, 0
	for round := 0; round < 150; round++ {
		file := bytes.Clone(sound)
		switch round % 3 {
		case 0: // bytes
			for i := 0; i < 1+random.Intn(200); i++ {
				file[random.Intn(len(file))] ^= byte(1 + random.Intn(255))
			}
		case 1: // a page that is another one
			pages := len(file) / 4096
			for i := 0; i < 1+random.Intn(20); i++ {
				from, to := random.Intn(pages), 2+random.Intn(pages-2)
				copy(file[to*4096:(to+1)*4096], file[from*4096:])
				binary.LittleEndian.PutUint64(file[to*4096:], uint64(to)) // and says that it is right
			}
		case 2: // cut off
			file = file[:random.Intn(len(file))]
		}
		must(t, os.WriteFile(path, file, 0o600))
		f, err := Open(directory)
		if err != nil {
			if !errs.Has(err, errs.Corrupt) && !errs.Has(err, errs.NewerFormat) {
				t.Fatalf("opening: %v", err)
			}
			told++
			continue
		}
		for name, want := range content {
			d, err := f.Database(name)
			if err != nil {
				told++
				continue
			}
			count := readable(t, d, func(err error) {
				told++
				if !errs.Has(err, errs.Corrupt) {
					t.Fatalf("scanning: %v", err)
				}
			})
			if count < len(want) {
				less++
			}
		}
		must(t, f.Close())
	}
	if told == 0 || less == 0 {
		t.Errorf("damage was told of %d times, and %d databases gave less", told, less)
	}
}

func readable(t *testing.T, d *Database, report func(error)) (count int) {
	t.Helper()
	var last []byte
	for done := false; !done; {
		var batch []Entry
		batch, done = d.Scan(last, nil, Limits{500, 1 << 20, 1 << 20}, report)
		for _, entry := range batch {
			if last != nil && d.tree.compare(entry.Key, last) <= 0 {
				t.Fatal("an entry came twice, or out of order")
			}
			last = entry.Key
			count++
		}
		if !done && len(batch) == 0 {
			t.Fatal("a scan gave nothing, and is not done")
		}
	}
	return count
}

func TestPassesOverADamagedPageAndGivesTheRest(t *testing.T) {
	directory := t.TempDir()
	content := written(t, directory)
	d, err := opened(t, directory).Database("numbers")
	must(t, err)
	if d.tree.depth < 2 {
		t.Fatalf("the tree has %d levels", d.tree.depth)
	}
	root, err := d.file.page(d.tree.root, branchPage)
	must(t, err)
	children := d.file.nodes(d.tree.root, root, false, func(err error) { t.Fatal(err) })
	path := filepath.Join(directory, DataFile)
	file, err := os.ReadFile(path)
	must(t, err)
	copy(file[children[1].page*4096:], "no page at all")
	must(t, os.WriteFile(path, file, 0o600))

	d, err = opened(t, directory).Database("numbers")
	must(t, err)
	damage := map[string]bool{}
	count := readable(t, d, func(err error) { damage[err.Error()] = true })
	if want := len(content["numbers"]); count == 0 || count >= want || len(damage) != 1 {
		t.Errorf("%d of %d entries were read, and told: %v", count, want, damage)
	}
}

func TestSaysWhatItCannotOpen(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "nothing"))
	if !errs.Has(err, errs.NamespaceNotFound) {
		t.Errorf("nothing there: %v", err)
	}
	directory := t.TempDir()
	for text, code := range map[string]errs.Code{"": errs.Corrupt, "text": errs.Corrupt, fmt.Sprintf("%9000d", 1): errs.Corrupt} {
		must(t, os.WriteFile(filepath.Join(directory, DataFile), []byte(text), 0o600))
		if _, err := Open(directory); !errs.Has(err, code) {
			t.Errorf("a file of %d bytes: %v", len(text), err)
		}
	}
	newer := t.TempDir()
	written(t, newer)
	path := filepath.Join(newer, DataFile)
	file, err := os.ReadFile(path)
	must(t, err)
	file[metaAt+4], file[4096+metaAt+4] = 2, 2
	must(t, os.WriteFile(path, file, 0o600))
	if _, err := Open(newer); !errs.Has(err, errs.NewerFormat) {
		t.Errorf("a newer format: %v", err)
	}
	sound := t.TempDir()
	written(t, sound)
	if _, err := opened(t, sound).Database("other"); !errs.Has(err, errs.NotFound) {
		t.Errorf("another database: %v", err)
	}
}
