// Package lmdbstore keeps each namespace in an LMDB environment of its own.
//
// An environment is a directory with three files: LMDB's data.mdb and
// lock.mdb, and page, which all processes map: the writer's turn, the change
// counters and what LMDB itself does not write down (see page.h). All entries
// live in LMDB's one unnamed database, so that a commit touches one tree.
//
// What the package adds to LMDB, and why, stands where it is done:
//
//	page.c     a turn to write that is fair, timed and names its holder
//	space.go   one environment a process
//	attach.go  the first process to come prepares: reboot, mode, damage
//	file.go    a data file that is whole, with blocks before they are needed
//	room.go    a map that grows before it is full
//	reader.go  read transactions that are kept and renewed
//	gate.go    waiting writers of one process that share a flush
//	check.go   damage found without walking into it
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
	"time"

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
	for begin := time.Now(); ; time.Sleep(attachStep) {
		s, err := b.tryOpen(namespace, create)
		// A creation that failed may remove a directory in which another begins.
		if !create || !errs.Has(err, errs.NamespaceNotFound) || time.Since(begin) > attachTimeout {
			return s, err
		}
	}
}

func (b *Backend) tryOpen(namespace string, create bool) (store.Space, error) {
	const op = "open namespace"
	dir := filepath.Join(b.root, filepath.FromSlash(namespace), EnvDir)
	profile := b.opts.Profile(namespace)
	if create {
		if err := os.MkdirAll(dir, 0o700); errors.Is(err, fs.ErrNotExist) {
			return nil, errs.New(errs.NamespaceNotFound, op, namespace, "its directory is being removed; create it again")
		} else if err != nil {
			return nil, ioFailure("create namespace", namespace, err)
		}
	}
	registry.Lock()
	defer registry.Unlock()
	// Held while the space is open, else the directory's number could be
	// given to another one after somebody removed this one.
	dirFile, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errs.New(errs.NamespaceNotFound, op, namespace, "there is no such namespace in the site; check the path, or create it")
	}
	if err != nil {
		return nil, ioFailure(op, namespace, err)
	}
	id, err := identify(dirFile)
	if err != nil {
		_ = dirFile.Close() // nothing was written
		return nil, errs.Wrap(errs.IO, op, namespace, err)
	}
	if s := registry.open[id]; s != nil {
		if !s.dead.Load() {
			s.openers++
			_ = dirFile.Close()
			return s, nil
		}
		if err := s.retire(); err != nil {
			_ = dirFile.Close()
			return nil, err
		}
	}
	s := &Space{name: namespace, dir: dir, id: id, dirFile: dirFile, profile: profile, openers: 1}
	if err := s.open(b.root, b.opts.BootID, create); err != nil {
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
			if !isEnvironment(path) {
				return fs.SkipDir
			}
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

// isEnvironment tells a namespace from a directory in which its making, or
// its removal, was not finished.
func isEnvironment(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, pageName))
	if paged := err == nil; !paged || sizeOf(filepath.Join(dir, dataName)) > 0 {
		_, err := os.Stat(filepath.Join(dir, dataName))
		return err == nil
	}
	// Data that were there and are lost are damage, which is to be told.
	return wasOpened(filepath.Join(dir, pageName))
}

// syncDirs flushes dir and the directories above it up to the one that holds
// root: a namespace whose commit was promised must not vanish with its name,
// whoever made the directory.
func syncDirs(root, dir string) error {
	root = filepath.Clean(root)
	for dir = filepath.Clean(dir); ; dir = filepath.Dir(dir) {
		above := len(dir) < len(root)
		if err := syncDir(dir); err != nil && !(above && errors.Is(err, fs.ErrPermission)) {
			return err
		}
		if above || dir == filepath.Dir(dir) {
			return nil
		}
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) { // a file system that has no use for it
		return nil
	}
	return err
}

func identify(file *os.File) (identity, error) {
	info, err := file.Stat()
	if err != nil {
		return identity{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return identity{uint64(st.Dev), st.Ino}, nil
}

// bootID names the machine's boot; empty where the system does not tell.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
