package site

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// Detached opens the site at path for keeping it: also one of which this
// process has a copy open. ByUUID does not find it, and nothing is written to
// it. Whoever asked closes it, and asks Usable before a namespace is opened.
func Detached(path string) (*Site, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, errs.Wrap(errs.IO, "open site", path, err)
	}
	info, err := os.Stat(absolute)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound(absolute)
	}
	if err != nil {
		return nil, errs.Wrap(errs.IO, "open site", path, err)
	}
	if err := checkOwner(absolute, info); err != nil {
		return nil, err
	}
	about, err := readAbout(absolute)
	if err != nil {
		return nil, err
	}
	if about == nil {
		if err := refuseOriginal(absolute); err != nil {
			return nil, err
		}
		return nil, notFound(absolute)
	}
	return newSite(absolute, about, Options{})
}

// Usable refuses a site on a file system on which its namespaces cannot be
// opened safely (errs.UnsafeFS).
func (s *Site) Usable() error { return checkFileSystem(s.Path) }

// Backend is the storage of the site's namespaces. What is opened through it is
// closed by who opened it; nothing of a namespace was looked at then, not even
// whether this code can read it.
func (s *Site) Backend() store.Backend { return s.backend }

// WriteAbout makes the directory at path a site like s, with the same uuid or,
// if fresh, one of its own. The directory is the caller's alone.
func (s *Site) WriteAbout(path string, fresh bool) error {
	a := &about{UUID: s.UUID, Format: Format, Created: s.Created, Memory: s.Memory}
	if fresh {
		a.UUID = object.NewUUID()
	}
	return writeAbout(path, a)
}

// Opened is a namespace that is open through this site, or nil.
func (s *Site) Opened(namespace string) *object.Space {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.spaces[namespace]
}
