package memstore

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"

	"github.com/google/btree"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// A backup is one file: magic, then a uvarint length and the bytes of each key
// and value in turn, and the CRC32C of all that in 4 bytes, little-endian.
const (
	backupFile  = "memstore.backup"
	backupMagic = "parkit memstore 1\n"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Backup writes the last commit to a new file in the directory path, which it
// makes when it is missing.
func (s *Space) Backup(path string) error {
	now, err := s.committed()
	if err != nil {
		return err
	}
	data := []byte(backupMagic)
	now.tree.Ascend(func(e entry) bool {
		data = append(binary.AppendUvarint(data, uint64(len(e.key))), e.key...)
		data = append(binary.AppendUvarint(data, uint64(len(e.value))), e.value...)
		return true
	})
	data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(data, castagnoli))
	if err := os.MkdirAll(path, 0o700); err != nil {
		return errs.Wrap(errs.IO, "back up to", path, err)
	}
	name := filepath.Join(path, backupFile)
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return errs.Wrap(errs.IO, "back up to", path, err)
	}
	_, err = file.Write(data)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return errs.Wrap(errs.IO, "back up to", path, err)
}

// OpenBackup opens what Backup wrote, in a new backend of the same options.
func (b *Backend) OpenBackup(path string) (store.Space, error) {
	data, err := os.ReadFile(filepath.Join(path, backupFile))
	if err != nil {
		return nil, errs.Wrap(errs.IO, "open backup", path, err)
	}
	restored, err := parseBackup(path, data)
	if err != nil {
		return nil, err
	}
	copied := New(b.options)
	d := newDisk()
	d.committed, d.flushed = restored, restored
	copied.disks[path] = d
	return copied.Open(path, false)
}

func parseBackup(path string, data []byte) (*snapshot, error) {
	damaged := errs.New(errs.Corrupt, "open backup", path,
		"the file is damaged or cut short; use another backup")
	body := len(data) - 4
	if body < len(backupMagic) || string(data[:len(backupMagic)]) != backupMagic ||
		binary.LittleEndian.Uint32(data[body:]) != crc32.Checksum(data[:body], castagnoli) {
		return nil, damaged
	}
	rest := data[len(backupMagic):body]
	next := func() ([]byte, bool) {
		n, used := binary.Uvarint(rest)
		if used <= 0 || n > uint64(len(rest)-used) {
			return nil, false
		}
		field := rest[used : used+int(n)]
		rest = rest[used+int(n):]
		return field, true
	}
	s := &snapshot{tree: btree.NewG(degree, lessEntry), id: 1}
	for len(rest) > 0 {
		key, okKey := next()
		value, okValue := next()
		if !okKey || !okValue {
			return nil, damaged
		}
		s.tree.ReplaceOrInsert(entry{key: bytes.Clone(key), value: bytes.Clone(value)})
		s.bytes += int64(len(key) + len(value))
	}
	return s, nil
}

// Check calls verify for every record of the last commit. The structure is the
// Go heap's and needs no check.
func (s *Space) Check(verify func(key, value []byte) error, report func(key []byte, err error)) error {
	t, err := s.begin(store.Read, store.Wait{})
	if err != nil {
		return err
	}
	defer t.Abort()
	t.tree.Ascend(func(e entry) bool {
		key := t.hand(e.key)
		if bad := verify(key, t.hand(e.value)); bad != nil {
			report(key, bad)
		}
		t.expire()
		return true
	})
	return nil
}
