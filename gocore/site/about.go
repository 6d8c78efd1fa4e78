package site

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/object"
)

// Format is the newest layout of a site that this code reads and writes.
const Format = 1

const aboutFile = "site.json"

// about is the content of site.json. Fields that are added must be such that
// older code may ignore them; anything else is a new Format.
type about struct {
	UUID    string `json:"uuid"`
	Format  int    `json:"format"`
	Created int64  `json:"created"` // wall clock, ns
	Memory  bool   `json:"memory"`
}

// readAbout reads what the site at path is; nil when there is no site.
func readAbout(path string) (*about, error) {
	name := filepath.Join(path, aboutFile)
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errs.Wrap(errs.IO, "open site", name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, errs.Wrap(errs.IO, "open site", name, err)
	}
	if err := checkOwner(name, info); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > 1<<16 {
		return nil, errs.New(errs.Corrupt, "open site", name, "this is not the file that describes a site; restore it from a backup")
	}
	text := make([]byte, info.Size())
	if _, err := file.ReadAt(text, 0); err != nil {
		return nil, errs.Wrap(errs.IO, "open site", name, err)
	}
	var a about
	if err := json.Unmarshal(text, &a); err != nil {
		return nil, errs.Newf(errs.Corrupt, "open site", name, "this cannot be read (%v); restore it from a backup", err)
	}
	if a.Format > Format {
		return nil, errs.Newf(errs.NewerFormat, "open site", path,
			"the site has format %d and this parkit knows formats up to %d; use a newer parkit", a.Format, Format)
	}
	if a.Format < 1 || a.UUID == "" {
		return nil, errs.New(errs.Corrupt, "open site", name, "the uuid or the format is missing; restore the file from a backup")
	}
	return &a, nil
}

// establish makes the directory at path a site. Of several processes that do
// so at once one writes the file, and all return its content.
func establish(path string, options Options) (*about, error) {
	directory, err := os.Open(path)
	if err != nil {
		return nil, errs.Wrap(errs.IO, "create site", path, err)
	}
	// Closing the directory lets go of the lock; so does the process's death.
	defer directory.Close()
	for {
		err = unix.Flock(int(directory.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errs.Wrap(errs.IO, "lock site", path, err)
	}
	if a, err := readAbout(path); err != nil || a != nil {
		return a, err
	}
	if entries, err := directory.Readdirnames(1); err != nil && len(entries) == 0 {
		// Empty, so nobody's ways are changed by closing it to others.
		if err := directory.Chmod(0o700); err != nil {
			return nil, errs.Wrap(errs.IO, "create site", path, err)
		}
	}
	a := &about{UUID: options.UUID, Format: Format, Created: now(), Memory: options.Memory}
	if a.UUID == "" {
		a.UUID = object.NewUUID()
	}
	if err := writeAbout(path, a); err != nil {
		return nil, err
	}
	return a, nil
}

func writeAbout(path string, a *about) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return errs.Wrap(errs.Internal, "create site", path, err)
	}
	// One name is enough under the lock, and leaves no litter of crashes.
	name := filepath.Join(path, aboutFile)
	if err := writeSynced(name+".tmp", append(text, '\n')); err != nil {
		return err
	}
	if err := os.Rename(name+".tmp", name); err != nil {
		return errs.Wrap(errs.IO, "create site", name, err)
	}
	return syncDirectory(path)
}

func writeSynced(name string, text []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return errs.Wrap(errs.IO, "create site", name, err)
	}
	_, err = file.Write(text)
	if err == nil {
		err = file.Sync()
	}
	return errs.Wrap(errs.IO, "create site", name, errors.Join(err, file.Close()))
}

// syncDirectory makes the entries of a directory last.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return nil // one may make entries in a directory that one may not read
	}
	if err != nil {
		return errs.Wrap(errs.IO, "flush directory", path, err)
	}
	return errs.Wrap(errs.IO, "flush directory", path, errors.Join(directory.Sync(), directory.Close()))
}
