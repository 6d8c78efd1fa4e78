package lmdbstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// filled makes a namespace with entries of all sizes and closes it.
func filled(t *testing.T, memory bool) (root string) {
	t.Helper()
	root = newRoot(t)
	s := open(t, root, kind(memory))
	for n := range 60 {
		ok(t, s.Update(patient, func(txn store.Txn) error { return writeGroup(txn, "g", n, 0, groupKeys) }))
	}
	ok(t, s.Update(patient, func(txn store.Txn) error {
		_, err := txn.Put([]byte("large"), bytes.Repeat([]byte("large "), 4000))
		return err
	}))
	ok(t, s.Close())
	return root
}

// isCorrupt checks that a namespace is refused, and that nothing else happens.
func isCorrupt(t *testing.T, what, root string) {
	t.Helper()
	s, err := backend(root, kind(false)).Open(namespace, true)
	if err == nil {
		t.Errorf("%s: it was opened", what)
		ok(t, s.Close())
	} else if !errs.Has(err, errs.Corrupt) {
		t.Errorf("%s: %v", what, err)
	}
}

func TestATruncatedFileIsRefusedAtOpen(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		root := filled(t, memory)
		s := open(t, root, kind(memory))
		stats, err := s.Stats()
		ok(t, err)
		ok(t, s.Close())
		whole := make([]byte, stats.Used) // a memory namespace's file is as long as its map
		f, err := os.Open(dataFile(root))
		ok(t, err)
		_, err = io.ReadFull(f, whole)
		ok(t, err)
		ok(t, f.Close())
		for size := int64(0); size < stats.Used; size += 509 {
			ok(t, os.WriteFile(dataFile(root), whole[:size], 0o600))
			isCorrupt(t, fmt.Sprint(size, " bytes"), root)
		}
		for _, size := range []int64{4095, 4096, 8191, 8192, 8193, stats.Used - 1} {
			ok(t, os.WriteFile(dataFile(root), whole[:size], 0o600))
			isCorrupt(t, fmt.Sprint(size, " bytes"), root)
		}
		ok(t, os.Remove(dataFile(root)))
		isCorrupt(t, "no file", root)
		ok(t, os.WriteFile(dataFile(root), bytes.Repeat([]byte("no such thing "), 4096), 0o600))
		isCorrupt(t, "garbage", root)

		// Restored, it is as good as before.
		ok(t, os.WriteFile(dataFile(root), whole, 0o600))
		s = open(t, root, kind(memory))
		if got := len(get(t, s, "large")); got != 24000 {
			t.Errorf("%d bytes", got)
		}
		put(t, s, "k", "v")
		sound(t, s)
		ok(t, s.Close())
	})
}

// A transaction may free pages that it took from the end of the file, and never
// write them. Then LMDB's header names a last page beyond what it wrote.
func TestAFileThatEndsInUnwrittenPagesIsWhole(t *testing.T) {
	root := newRoot(t)
	for n := range 60 {
		s := open(t, root, kind(false))
		ok(t, s.Update(patient, func(txn store.Txn) error {
			if _, err := txn.Put([]byte("a"), value(n)); err != nil { // so that free pages are known
				return err
			}
			if _, err := txn.Put([]byte("large"), make([]byte, (n%9+1)*100_000)); err != nil {
				return err
			}
			if _, err := txn.Del([]byte("large")); err != nil {
				return err
			}
			_, err := txn.Put([]byte("b"), value(n))
			return err
		}))
		ok(t, s.Close())
	}
	s := open(t, root, kind(false))
	sound(t, s)
	ok(t, s.Close())
}

func TestAGarbagePageFileLosesNothing(t *testing.T) {
	both(t, func(t *testing.T, memory bool) {
		root := filled(t, memory)
		path := filepath.Join(root, namespace, lmdbstore.EnvDir, "page")
		random := seeded(t)
		for range 30 {
			page, err := os.ReadFile(path)
			ok(t, err)
			for range random.IntN(4) {
				page[random.IntN(8)] ^= byte(1 + random.IntN(255)) // its magic: else it is believed
			}
			if page[0] == 0 {
				clear(page)
			}
			ok(t, os.WriteFile(path, page[:random.IntN(len(page)+1)], 0o600))
			s := open(t, root, kind(!memory))
			put(t, s, "k", "v")
			if len(get(t, s, "large")) != 24000 || s.Durable() == memory {
				t.Fatalf("durable %v, %d bytes", s.Durable(), len(get(t, s, "large")))
			}
			ok(t, s.Close())
		}
	})
}

// Check tells of damage that LMDB would walk into.
func TestCheckFindsDamagedPages(t *testing.T) {
	root := filled(t, false)
	whole, err := os.ReadFile(dataFile(root))
	ok(t, err)
	random := seeded(t)
	found, harmless := 0, 0
	const pageSize, inUse = 4096, 40
	for range 200 {
		damaged := bytes.Clone(whole)
		at := (2+random.IntN(inUse))*pageSize + random.IntN(64) // where pages tell of themselves
		damaged[at] ^= 1 << random.IntN(8)
		ok(t, os.WriteFile(dataFile(root), damaged, 0o600))
		s, err := backend(root, kind(false)).Open(namespace, false)
		if errs.Has(err, errs.Corrupt) {
			found++
			continue
		}
		ok(t, err)
		intact := map[string]string{}
		err = s.Check(func(key, value []byte) error {
			intact[string(key)] = string(value)
			return nil
		}, func([]byte, error) {})
		ok(t, s.Close())
		switch {
		case err != nil:
			found++
			if !errs.Has(err, errs.Corrupt) {
				t.Errorf("byte %d: %v", at, err)
			}
		case len(intact) == groupKeys+keptNotes+1:
			harmless++ // in a value, which is not LMDB's to know, or in an unused part
		default:
			t.Errorf("byte %d: %d entries, and no word about it", at, len(intact))
		}
	}
	t.Logf("%d found, %d harmless to the structure", found, harmless)
	if found == 0 {
		t.Error("nothing was ever found")
	}
}

// expected is what the dict of the test of flipped bits holds.
func expected(i int) (key, val []byte) {
	key, _, _ = keys.EncodeKey(nil, fmt.Sprint("key ", i))
	return key, bytes.Repeat([]byte{byte(i)}, 1+i*i%7000)
}

const flippedEntries = 120

func init() {
	// flipped FILE ROOT: at each order "BYTE BIT" reads a copy of FILE with that
	// bit flipped, and tells how many values were right, refused, and wrong.
	roles["flipped"] = func(p *player, args []string) error {
		whole, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		for n := 0; ; n++ {
			order, err := p.hear()
			if err != nil {
				return nil
			}
			var at, bit int
			if _, err := fmt.Sscan(order, &at, &bit); err != nil {
				return err
			}
			root := filepath.Join(args[1], fmt.Sprint(n))
			damaged := bytes.Clone(whole)
			damaged[at] ^= 1 << bit
			if err := os.MkdirAll(filepath.Dir(dataFile(root)), 0o700); err != nil {
				return err
			}
			if err := os.WriteFile(dataFile(root), damaged, 0o600); err != nil {
				return err
			}
			p.say("%s", readFlipped(root))
			if err := os.RemoveAll(root); err != nil {
				return err
			}
		}
	}
}

// readFlipped reads a damaged dict by key and by going through it.
func readFlipped(root string) string {
	raw, err := backend(root, kind(false)).Open(namespace, false)
	if err != nil {
		return "refused"
	}
	space, err := object.Open(raw, namespace)
	if err != nil {
		return "refused"
	}
	tx, err := space.Begin(store.Read, store.Wait{})
	if err != nil {
		return "refused"
	}
	o, _, err := space.Bind(tx, "d")
	if err != nil {
		return "refused"
	}
	answer := "right"
	for i := range flippedEntries {
		key, want := expected(i)
		got, err := coll.DictGet(tx, o, key)
		if err != nil {
			if !errors.Is(err, store.ErrNotFound) { // a flipped key is not there
				answer = "refused"
			} else if answer == "right" {
				answer = "missing"
			}
		} else if !bytes.Equal(got, want) {
			return fmt.Sprintf("wrong: entry %d", i)
		}
	}
	found := map[string][]byte{}
	for r := (coll.KeyRange{}); ; {
		batch := make([]coll.DictEntry, 16)
		n, err := coll.DictScan(tx, o, r, batch)
		for _, e := range batch[:n] {
			found[string(e.Key)] = bytes.Clone(e.Value)
			r.After = bytes.Clone(e.Key)
		}
		if err != nil {
			answer = "refused"
			break
		}
		if n < len(batch) {
			break
		}
		if len(found) > 2*flippedEntries {
			return "wrong: it goes round in circles"
		}
	}
	for i := range flippedEntries {
		key, want := expected(i)
		if got, there := found[string(key)]; there && !bytes.Equal(got, want) {
			return fmt.Sprintf("wrong: entry %d of a scan", i)
		}
		delete(found, string(key))
	}
	if len(found) > 0 {
		return fmt.Sprintf("wrong: %d entries that were never put", len(found))
	}
	return answer
}

// A flipped bit never gives a wrong value, be it that it ends the process:
// LMDB's pages have no checksums, so a damaged one can lead it astray.
func TestFlippedBitsGiveNoWrongValue(t *testing.T) {
	root := newRoot(t)
	raw := open(t, root, kind(false))
	space, err := object.Open(raw, namespace)
	ok(t, err)
	ok(t, space.Update(patient, func(tx *object.Tx) error {
		o, _, err := space.Create(tx, object.Descriptor{Name: "d", Kind: object.KindDict})
		for i := 0; i < flippedEntries && err == nil; i++ {
			key, val := expected(i)
			err = coll.DictSet(tx, o, key, nil, val)
		}
		return err
	}))
	stats, err := raw.Stats()
	ok(t, err)
	ok(t, space.Close())
	random := seeded(t)
	counts := map[string]int{}
	var p *process
	for range flippedBits {
		if p == nil {
			p = start(t, nil, "flipped", dataFile(root), t.TempDir())
		}
		at := random.Int64N(stats.Used)
		p.tell(fmt.Sprint(at, " ", random.IntN(8)))
		answer, err := p.out.ReadString('\n')
		if errors.Is(err, io.EOF) {
			p.wait()
			p, answer = nil, "ended the process"
		} else {
			ok(t, err)
		}
		answer = strings.TrimSpace(answer)
		if strings.HasPrefix(answer, "wrong") {
			t.Errorf("byte %d: %s", at, answer)
		}
		counts[answer]++
	}
	t.Logf("of %d flips: %v", flippedBits, counts)
}
