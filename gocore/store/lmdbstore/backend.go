// Package lmdbstore keeps each namespace in an LMDB environment of its own.
//
// An environment is a directory with three files: LMDB's data.mdb and
// lock.mdb, and page, which all processes map: the writer's turn, the change
// counters and what LMDB itself does not write down (see page.h). All entries
// live in LMDB's one unnamed database, so that a commit touches one tree.
//
// What the package adds to LMDB, and why, stands where it is done:
//
//	page.c    a turn to write that is fair, timed and names its holder
//	space.go  one environment a process, growth, reboot, damage at open
//	reader.go read transactions that are kept and renewed
//	update.go waiting writers that share one flush
//	room.go   space made before it is needed
package lmdbstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// EnvDir is the name of the directory that holds a namespace's environment.
// '@' cannot be part of a namespace, so none can collide with it.
const EnvDir = "@env"

// Defaults of a Profile.
const (
	DefaultMapSize    = 64 << 30
	DefaultMaxReaders = 4096
)

// Profile is how one namespace is kept.
type Profile struct {
	// Memory asks for the memory promise: commits survive every process but
	// not the machine's boot, and are not flushed. What a namespace was made
	// with is what it stays.
	Memory bool
	// MapSize is the address space reserved at open, in bytes; zero is
	// DefaultMapSize. The file is as small as its content all the same.
	MapSize int64
	// MaxReaders is the number of reader slots; zero is DefaultMaxReaders.
	MaxReaders int
	// NoSync gives up the durable promise: commits are not flushed.
	NoSync bool
	// NoMetaSync flushes data but not the page that makes it current, so that
	// a power cut may undo the last commits.
	NoMetaSync bool
	// NoReadAhead suits random reads of data larger than memory.
	NoReadAhead bool
	// ReadOnly refuses writes.
	ReadOnly bool
}

// Options are those of a Backend.
type Options struct {
	// Profile chooses how a namespace is kept; nil keeps all durably.
	Profile func(namespace string) Profile
	// BootID replaces the system's boot id, for tests.
	BootID string
}

// Backend is a directory of namespaces.
type Backend struct {
	root string
	opts Options
}

// New is a backend over the directory root, which is made at the first
// namespace's creation.
func New(root string, opts Options) *Backend {
	if opts.Profile == nil {
		opts.Profile = func(string) Profile { return Profile{} }
	}
	if opts.BootID == "" {
		opts.BootID = bootID()
	}
	return &Backend{root: root, opts: opts}
}

// identity tells environments apart however they are reached.
type identity struct{ dev, ino uint64 }

// registry holds the environments that are open in this process. LMDB must
// not have one twice: closing either would drop the locks of both.
var registry = struct {
	sync.Mutex
	open map[identity]*Space
}{open: map[identity]*Space{}}

// Open opens a namespace, or returns the Space that this process has of it.
func (b *Backend) Open(namespace string, create bool) (store.Space, error) {
	dir := filepath.Join(b.root, filepath.FromSlash(namespace), EnvDir)
	profile := b.opts.Profile(namespace)
	if create {
		if err := makeDirs(b.root, dir); err != nil {
			return nil, errs.Wrap(errs.IO, "create namespace", namespace, err)
		}
	}
	registry.Lock()
	defer registry.Unlock()
	id, err := identify(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.NamespaceNotFound, "open namespace", namespace, "there is no such namespace; create it first")
	}
	if err != nil {
		return nil, errs.Wrap(errs.IO, "open namespace", namespace, err)
	}
	if s := registry.open[id]; s != nil && !s.dead.Load() {
		s.openers++
		return s, nil
	}
	s, err := openSpace(namespace, dir, id, profile, b.opts.BootID, create)
	if err != nil {
		return nil, err
	}
	registry.open[id] = s
	return s, nil
}

// Namespaces lists the namespaces that exist, sorted.
func (b *Backend) Namespaces() ([]string, error) {
	var names []string
	err := filepath.WalkDir(b.root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == EnvDir:
			name, err := filepath.Rel(b.root, filepath.Dir(path))
			if err != nil {
				return err
			}
			names = append(names, filepath.ToSlash(name))
			return fs.SkipDir
		}
		return nil
	})
	sort.Strings(names)
	return names, errs.Wrap(errs.IO, "list namespaces", b.root, err)
}

// makeDirs makes dir and what is missing above it, for the owner alone, and
// flushes each directory that got a new entry: a namespace whose commit was
// promised must not vanish with its name.
func makeDirs(root, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir && !strings.EqualFold(dir, root) {
		if err := makeDirs(root, parent); err != nil {
			return err
		}
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return err
	}
	return syncDir(parent)
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func identify(path string) (identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return identity{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return identity{uint64(st.Dev), st.Ino}, nil
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(id))
}
