package parkit_go

import (
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/original"
	"parkit/gocore/store"
)

// Files of the original parkit that a conversion has open. A number is good
// until OriginalClose and in this copy of the library.
var originals table[*original.File]

// OriginalOpen opens the namespace of the original parkit in a directory, for
// reading only, and returns its number: original.Open.
func OriginalOpen(directory string) (int64, error) {
	return bound("read original", func() (int64, error) {
		file, err := original.Open(directory)
		if err != nil {
			return 0, err
		}
		return originals.add(file), nil
	})
}

// OriginalClose closes it, and reports whether somebody has written to it
// since it was opened.
func OriginalClose(number int64) (bool, error) {
	return bound("read original", func() (bool, error) {
		file, err := originalOf(number)
		if err != nil {
			return false, err
		}
		changed, err := file.Changed()
		if closing := file.Close(); err == nil {
			err = errs.Wrap(errs.IO, "read original", "", closing)
		}
		return changed, err
	})
}

type scanRequest struct {
	File     int64  `json:"file"`
	Database string `json:"database"` // none: the main one
	After    []byte `json:"after"`    // base64, as all bytes here
	Prefix   []byte `json:"prefix"`
	Entries  int    `json:"entries"`
	Bytes    int    `json:"bytes"`
	Value    int    `json:"value"`
}

type scanAnswer struct {
	// Entries are of key, value (null where it is longer than asked for), the
	// value's size and whether it is a database of its own.
	Entries [][4]any `json:"entries"`
	Done    bool     `json:"done"`
	Damaged []string `json:"damaged"`
}

// OriginalScan reads entries of a database: original.Database.Scan.
func OriginalScan(request string) (string, error) {
	return boundJSON("read original", request, func(r scanRequest) (answer scanAnswer, err error) {
		database, err := databaseOf(r.File, r.Database)
		if err != nil {
			return answer, err
		}
		damaged := func(err error) { answer.Damaged = append(answer.Damaged, sentenceOf(err)) }
		limits := original.Limits{Entries: r.Entries, Bytes: r.Bytes, Value: r.Value}
		entries, done := database.Scan(given(r.After), given(r.Prefix), limits, damaged)
		answer.Entries, answer.Done = make([][4]any, len(entries)), done
		for i, e := range entries {
			answer.Entries[i] = [4]any{e.Key, e.Value, e.Size, e.Tree}
		}
		return answer, nil
	})
}

type readRequest struct {
	File     int64  `json:"file"`
	Database string `json:"database"`
	Key      []byte `json:"key"`
	Offset   uint64 `json:"offset"`
	Length   uint64 `json:"length"`
}

// OriginalRead reads a part of one value: original.Database.Read.
func OriginalRead(request string) (string, error) {
	return boundJSON("read original", request, func(r readRequest) ([]byte, error) {
		database, err := databaseOf(r.File, r.Database)
		if err != nil {
			return nil, err
		}
		return database.Read(r.Key, r.Offset, r.Length)
	})
}

type versionRequest struct {
	Handle  int64  `json:"handle"`
	Version uint64 `json:"version"`
}

// ObjectSetVersion gives an object the number of changes that it had
// elsewhere: the version after the transaction that this is called in.
func ObjectSetVersion(request string) (string, error) {
	return boundJSON("set version", request, func(r versionRequest) (bool, error) {
		o, err := objectOf(r.Handle)
		if err != nil {
			return false, err
		}
		return true, inTx(o.Space, store.Write, func(tx *object.Tx) error { return tx.SetVersion(o, r.Version) })
	})
}

func originalOf(number int64) (*original.File, error) {
	if file, ok := originals.at(number); ok {
		return file, nil
	}
	return nil, errs.New(errs.Stale, "read original", "", "it was opened in another process; open it again")
}

func databaseOf(number int64, name string) (*original.Database, error) {
	file, err := originalOf(number)
	if err != nil {
		return nil, err
	}
	return file.Database(name)
}

// given is nil for what was left out of a request.
func given(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func sentenceOf(err error) string {
	if e, ok := err.(*errs.Error); ok {
		return e.Sentence()
	}
	return err.Error()
}
