package keep

import (
	"crypto/rand"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"parkit/gocore/errs"
	"parkit/gocore/lockfile"
)

// A copy is made in a hidden directory beside its place. A lock file beside that
// says that its maker lives: it is there, and held, before the directory is.
const lockSuffix = ".lock"

// aboutFile is what a copy has beside its namespaces.
const aboutFile = "site.json"

// unfinishedName is what the directory of a copy to be is called.
var unfinishedName = regexp.MustCompile(`^\..+\.unfinished-[0-9a-f]{8}$`)

// unfinished makes the directory in which a copy for path is made, and removes
// those that dead makers left beside it. Call done when the copy has its name,
// or is not to be.
func unfinished(op, path string) (tmp string, done func(), err error) {
	clearUnfinished(filepath.Dir(path))
	var lock *lockfile.Lock
	for {
		var raw [4]byte
		rand.Read(raw[:]) // ends the process rather than fail
		tmp = filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".unfinished-"+hex.EncodeToString(raw[:]))
		if lock, err = lockfile.Take(tmp + lockSuffix); err == nil {
			break
		}
		// One that clears away may have it, since for a moment nobody held it.
		if !errs.Has(err, errs.WouldBlock) {
			return "", nil, err
		}
	}
	done = func() { remove(tmp, lock) }
	if err := os.Mkdir(tmp, 0o700); err != nil {
		done()
		return "", nil, errs.Wrap(errs.IO, op, path, err)
	}
	return tmp, done, nil
}

// clearUnfinished removes what makers left that are dead. What cannot be removed,
// another user's say, stays: it is no reason not to make a copy.
func clearUnfinished(directory string) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return
	}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), lockSuffix)
		if !unfinishedName.MatchString(name) {
			continue
		}
		tmp := filepath.Join(directory, name)
		if !isUnfinished(tmp) {
			continue
		}
		// Nobody can begin to make one there while it is held here.
		if lock, err := lockfile.Take(tmp + lockSuffix); err == nil {
			remove(tmp, lock)
		}
	}
}

func remove(tmp string, lock *lockfile.Lock) {
	if os.RemoveAll(tmp) == nil { // nothing is there where it got its name
		_ = os.Remove(tmp + lockSuffix)
	}
	lock.Release()
}

// isUnfinished reports whether a directory, if it is there, holds no more than
// a copy to be does.
func isUnfinished(directory string) bool {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return os.IsNotExist(err)
	}
	return !slices.ContainsFunc(entries, func(entry os.DirEntry) bool {
		return entry.Name() != "ns" && !strings.HasPrefix(entry.Name(), aboutFile)
	})
}
