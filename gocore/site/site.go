// Package site opens sites: directories that hold namespaces, with the file
// that says what they are. It knows where everything in a site lies, which
// paths are possible, and how a namespace's storage is to be opened.
//
// The layout of a site:
//
//	site.json                  what it is; read before anything else
//	ns/<segment>/…/@env/       the storage of a namespace; '@' cannot be part
//	                           of a segment, so nested namespaces never meet it
//	run/                       locks and files of the pool
//	log/                       output of the daemons
//
// Everything below the directory is for its owner only.
package site

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// Site is an opened site. It is safe for use by several goroutines.
type Site struct {
	UUID    string
	Path    string // absolute, as it was given at the first opening
	Created int64  // wall clock, ns
	Memory  bool   // every namespace takes the memory profile

	durable, memory Profile // as the environment said at the opening
	backend         store.Backend

	mu     sync.RWMutex // guards spaces and closed
	spaces map[string]*object.Space
	closed bool
}

// Options say how to open a site.
type Options struct {
	// Create makes the site when there is none. A directory that exists
	// already becomes the site, whatever else is in it.
	Create bool
	// Memory, for a site that is made by this call: all of its namespaces
	// take the memory profile. A site that exists keeps what it is.
	Memory bool
	// UUID, for a site that is made by this call: "" is a new one. A converted
	// site keeps the one it had.
	UUID string
	// Backend makes the storage for the site's ns directory; nil is LMDB.
	Backend func(s *Site) (store.Backend, error)
}

// Open opens the site at path, once a process however often it is called and
// by whatever path. Without create, a path that is no site is
// errs.SiteNotFound. Nothing is written to a site of a newer format
// (errs.NewerFormat) or of the original parkit (errs.OriginalSite), another user's (errs.NotOwner) or one on a file system
// that cannot be used safely (errs.UnsafeFS).
func Open(path string, create bool) (*Site, error) {
	return OpenWith(path, Options{Create: create})
}

// OpenWith is Open with all options.
func OpenWith(path string, options Options) (*Site, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return nil, errs.New(errs.InvalidPath, "open site", path, "this cannot be a path; give the path of a directory")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, errs.Wrap(errs.IO, "open site", path, err)
	}
	if options.Create {
		if err := refuseAmongNamespaces(absolute); err != nil {
			return nil, err
		}
	}
	opened.mu.Lock()
	defer opened.mu.Unlock()

	identity, err := prepare(absolute, options.Create)
	if err != nil {
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
		if !options.Create {
			return nil, notFound(absolute)
		}
		if about, err = establish(absolute, options); err != nil {
			return nil, err
		}
	}
	// The uuid is compared because an inode's number is given out again: the
	// directory may have been removed and another site made in its place.
	s := opened.byIdentity[identity]
	if s != nil && s.UUID == about.UUID && same(s.Path, absolute) {
		return s, nil
	}
	if err := refuseCopy(absolute, about.UUID); err != nil {
		return nil, err
	}
	return register(absolute, identity, about, options)
}

// ByUUID is the site of that uuid, opened earlier in this process;
// errs.SiteNotFound for any other.
func ByUUID(uuid string) (*Site, error) {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	if s := opened.byUUID[uuid]; s != nil {
		return s, nil
	}
	return nil, errs.New(errs.SiteNotFound, "find site", uuid, "this process has not opened a site of that uuid; open it by its path first")
}

// Opened lists the sites that this process has open.
func Opened() []*Site {
	opened.mu.Lock()
	defer opened.mu.Unlock()
	list := make([]*Site, 0, len(opened.byUUID))
	for _, s := range opened.byUUID {
		list = append(list, s)
	}
	return list
}

// Space opens a namespace of the site; errs.NamespaceNotFound when it was
// never made and create is not set, or the site was removed. It stays open until Release or Close.
func (s *Site) Space(namespace string, create bool) (*object.Space, error) {
	s.mu.RLock()
	space := s.spaces[namespace]
	s.mu.RUnlock()
	if space != nil {
		return space, nil
	}
	clean, err := ParseNamespace(namespace)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errs.New(errs.Stale, "open namespace", clean, "the site has been closed; open it again")
	}
	if space := s.spaces[clean]; space != nil {
		return space, nil
	}
	if err := s.present(errs.NamespaceNotFound, "open namespace", clean); err != nil {
		return nil, err
	}
	opened, err := s.backend.Open(clean, create)
	if err != nil {
		return nil, err
	}
	if space, err = object.Open(opened, clean); err != nil {
		return nil, errors.Join(err, opened.Close())
	}
	s.spaces[clean] = space
	return space, nil
}

// Release closes a namespace, so that the next use opens it anew: the way on
// after errs.Dead. Objects bound through it are stale from then on.
func (s *Site) Release(namespace string) error {
	s.mu.Lock()
	space := s.spaces[namespace]
	delete(s.spaces, namespace)
	s.mu.Unlock()
	if space == nil {
		return nil
	}
	return space.Close()
}

// LetGo closes a namespace if nothing is under way in it, and returns what was
// closed, or nil. It is for who only passed by: a process that walks over
// thousands of namespaces has no descriptors for all of them at once.
func (s *Site) LetGo(namespace string) *object.Space {
	s.mu.Lock()
	defer s.mu.Unlock()
	space := s.spaces[namespace]
	if space == nil || !space.Idle() {
		return nil
	}
	if err := space.Close(); err != nil {
		return nil // somebody came in between: it stays open
	}
	delete(s.spaces, namespace)
	return space
}

// Namespaces lists the namespaces that were ever made, sorted.
func (s *Site) Namespaces() ([]string, error) {
	if err := s.present(errs.SiteNotFound, "list namespaces", s.Path); err != nil {
		return nil, err
	}
	return s.backend.Namespaces()
}

// Profile is how the namespace's storage is opened.
func (s *Site) Profile(namespace string) Profile {
	if s.Memory || InMemory(namespace) {
		return s.memory
	}
	return s.durable
}

// Warnings are those of both profiles, read when the site was opened.
func (s *Site) Warnings() []string {
	list := append([]string(nil), s.memory.Warnings...)
	if !s.Memory {
		list = append(list, s.durable.Warnings...)
	}
	return list
}

// Root is the directory of all namespaces.
func (s *Site) Root() string { return filepath.Join(s.Path, "ns") }

// NamespacePath is where the storage of a namespace lies.
func (s *Site) NamespacePath(namespace string) string {
	return filepath.Join(s.Root(), filepath.FromSlash(namespace), "@env")
}

// RunPath is the directory for locks and for the pool's files.
func (s *Site) RunPath() string { return filepath.Join(s.Path, "run") }

// LogPath is the directory for the daemons' output.
func (s *Site) LogPath() string { return filepath.Join(s.Path, "log") }

// Close closes every namespace of the site and forgets the site. Whatever
// was bound through it is stale.
func (s *Site) Close() error {
	opened.mu.Lock()
	for identity, other := range opened.byIdentity {
		if other == s {
			delete(opened.byIdentity, identity)
		}
	}
	if opened.byUUID[s.UUID] == s {
		delete(opened.byUUID, s.UUID)
	}
	opened.mu.Unlock()

	s.mu.Lock()
	spaces := s.spaces
	s.spaces, s.closed = map[string]*object.Space{}, true
	s.mu.Unlock()
	var failures []error
	for _, space := range spaces {
		failures = append(failures, space.Close())
	}
	return errors.Join(failures...)
}

// SettleAll has every namespace that this process has opened write down what is
// in memory only, before the process ends. It begins nothing after the deadline,
// and leaves out what is being opened or closed, which may take any time.
func SettleAll(deadline time.Time) {
	if !opened.mu.TryLock() {
		return
	}
	sites := slices.Collect(maps.Values(opened.byUUID))
	opened.mu.Unlock()
	for _, s := range sites {
		if !s.mu.TryRLock() {
			continue
		}
		spaces := slices.Collect(maps.Values(s.spaces))
		s.mu.RUnlock()
		for _, space := range spaces {
			space.Settle(deadline)
		}
	}
}

// identity tells directories apart whatever path leads to them.
type identity struct{ device, inode uint64 }

var opened = struct {
	mu         sync.Mutex // held through Open: opening is rare, and must happen once
	byIdentity map[identity]*Site
	byUUID     map[string]*Site
}{byIdentity: map[identity]*Site{}, byUUID: map[string]*Site{}}

func register(path string, id identity, about *about, options Options) (*Site, error) {
	s, err := newSite(path, about, options)
	if err != nil {
		return nil, err
	}
	for _, directory := range []string{s.Root(), s.RunPath(), s.LogPath()} {
		if err := privateDirectory(directory); err != nil {
			return nil, err
		}
	}
	opened.byIdentity[id] = s
	opened.byUUID[s.UUID] = s
	return s, nil
}

func newSite(path string, about *about, options Options) (*Site, error) {
	s := &Site{UUID: about.UUID, Path: path, Created: about.Created, Memory: about.Memory, spaces: map[string]*object.Space{}}
	var err error
	if s.durable, err = ProfileOf(false); err != nil {
		return nil, err
	}
	if s.memory, err = ProfileOf(true); err != nil {
		return nil, err
	}
	make := options.Backend
	if make == nil {
		make = defaultBackend
	}
	if s.backend, err = make(s); err != nil {
		return nil, err
	}
	return s, nil
}

// refuseCopy keeps two directories with one uuid from being open at once: a
// reference to the uuid would lead to either. A site that was moved is not a
// copy.
func refuseCopy(path, uuid string) error {
	other := opened.byUUID[uuid]
	if other == nil {
		return nil
	}
	there, err := readAbout(other.Path)
	if err != nil || there == nil || there.UUID != uuid {
		return nil
	}
	if same(path, other.Path) {
		return nil
	}
	return errs.Newf(errs.InvalidPath, "open site", path,
		"this is a copy of the site %s, which this process has open; open the copy in another process", other.Path)
}

// same reports whether two paths lead to one directory that exists.
func same(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

func notFound(path string) error {
	return errs.New(errs.SiteNotFound, "open site", path, "there is no site here; check the path, or create the site")
}

// prepare makes the directory where create allows it, checks that it can be
// a site, and says which directory it is.
func prepare(path string, create bool) (identity, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if !create {
			return identity{}, notFound(path)
		}
		// What the directory will be on is known before it is made, so that
		// nothing is left behind where it is refused.
		if err := checkFileSystem(nearest(path)); err != nil {
			return identity{}, err
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			return identity{}, errs.Wrap(errs.IO, "create site", path, err)
		}
		if err := syncDirectory(filepath.Dir(path)); err != nil {
			return identity{}, err
		}
		info, err = os.Stat(path)
	}
	if errors.Is(err, syscall.ENOTDIR) || err == nil && !info.IsDir() {
		return identity{}, errs.New(errs.InvalidPath, "open site", path, "this is not a directory; a site is one")
	}
	if err != nil {
		return identity{}, errs.Wrap(errs.IO, "open site", path, err)
	}
	if err := checkOwner(path, info); err != nil {
		return identity{}, err
	}
	if err := checkFileSystem(path); err != nil {
		return identity{}, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	return identity{uint64(stat.Dev), uint64(stat.Ino)}, nil
}

// nearest is the longest part of path that exists.
func nearest(path string) string {
	for {
		if _, err := os.Stat(path); err == nil {
			return path
		}
		parent := filepath.Dir(path)
		if parent == path {
			return path
		}
		path = parent
	}
}

func checkOwner(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(stat.Uid) == os.Geteuid() {
		return nil
	}
	return errs.Newf(errs.NotOwner, "open site", path,
		"this belongs to user %d and the process runs as user %d; use a site of your own", stat.Uid, os.Geteuid())
}

func privateDirectory(path string) error {
	err := os.Mkdir(path, 0o700)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return errs.Wrap(errs.IO, "open site", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return errs.Wrap(errs.IO, "open site", path, err)
	}
	return checkOwner(path, info)
}

func now() int64 { return time.Now().UnixNano() }
