package site

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"parkit/gocore/errs"
)

// MinReaders is the least number of reader slots; a slot costs 64 bytes.
const MinReaders = 4096

// Profile is how the storage of a namespace is opened.
type Profile struct {
	Memory     bool  // survives processes, not a reboot; never flushed
	MapSize    int64 // bytes reserved at open; zero is the backend's default. Grows by itself
	MaxReaders int   // zero is the backend's default
	Sync       bool  // flush the data of each commit
	MetaSync   bool  // flush the commit's page of roots too
	WriteMap   bool  // write through the memory map
	MapAsync   bool
	ReadOnly   bool
	ReadAhead  bool
	MemInit    bool // clear memory before it goes to the file
	// Warnings are sentences about settings that weaken the promise, or that
	// have no meaning here. They say what holds instead.
	Warnings []string
}

// ProfileOf is the profile of DEFAULT_LMDB_… or, where memory is set,
// MEMORY_LMDB_… environment variables over the built-in values. A variable
// that cannot be read is errs.InvalidArgument.
func ProfileOf(memory bool) (Profile, error) {
	return profileFrom(memory, os.LookupEnv)
}

type settings struct {
	prefix   string
	lookup   func(string) (string, bool)
	warnings []string
	err      error
}

func profileFrom(memory bool, lookup func(string) (string, bool)) (Profile, error) {
	s := &settings{prefix: "DEFAULT_LMDB_", lookup: lookup}
	p := Profile{Sync: true, MetaSync: true, ReadAhead: true}
	if memory {
		s.prefix = "MEMORY_LMDB_"
		p = Profile{Memory: true, ReadAhead: true}
	}
	p.MapSize = s.size("INITIAL_MAP_SIZE")
	p.MaxReaders = s.readers("MAX_READERS")
	s.flag("READONLY", &p.ReadOnly)
	s.flag("READAHEAD", &p.ReadAhead)
	if memory {
		// What a memory namespace is cannot be changed from outside: a process
		// that wrote in another way would corrupt it for all others.
		s.fixed("SYNC", false, "a memory namespace is never flushed; use a namespace outside memory/ for data that must last")
		s.fixed("METASYNC", false, "a memory namespace is never flushed; use a namespace outside memory/ for data that must last")
		s.fixed("WRITE_MAP", true, "a memory namespace is always written through the map")
		s.fixed("MAP_ASYNC", true, "a memory namespace is never flushed")
	} else {
		s.weakening("SYNC", &p.Sync, "a power cut can now lose commits that were reported done, and damage the namespace")
		s.weakening("METASYNC", &p.MetaSync, "a power cut can now lose commits that were reported done")
		s.fixed("WRITE_MAP", false, "the map of a durable namespace is never written through: a full disk would end the process; use a namespace under memory/")
		s.fixed("MAP_ASYNC", false, "a durable namespace is not written through the map")
	}
	s.fixed("MEMINIT", true, "memory is always cleared before it goes to the file")
	s.meaningless("MAX_DBS", "the number of objects in a namespace has no limit")
	s.meaningless("MAX_SPARE_TXNS", "transactions are kept for reuse as needed")
	p.Warnings = s.warnings
	if s.err != nil {
		return Profile{}, s.err
	}
	return p, nil
}

func (s *settings) get(name string) (string, bool) {
	text, ok := s.lookup(s.prefix + name)
	text = strings.TrimSpace(text)
	return text, ok && text != ""
}

func (s *settings) fail(name, text, want string) {
	if s.err == nil {
		s.err = errs.Newf(errs.InvalidArgument, "read setting", s.prefix+name, "%q is not %s; correct the environment variable or unset it", text, want)
	}
}

func (s *settings) warn(name, why string) {
	s.warnings = append(s.warnings, fmt.Sprintf("%s%s: %s", s.prefix, name, why))
}

// flag reads a truth value into target; it reports whether one was given.
func (s *settings) flag(name string, target *bool) bool {
	text, ok := s.get(name)
	if !ok {
		return false
	}
	switch strings.ToLower(text) {
	case "true", "1", "yes", "on":
		*target = true
	case "false", "0", "no", "off":
		*target = false
	default:
		s.fail(name, text, "true or false")
		return false
	}
	return true
}

func (s *settings) weakening(name string, target *bool, why string) {
	if s.flag(name, target) && !*target {
		s.warn(name, why)
	}
}

// fixed warns where a setting asks for another value than the one that holds.
func (s *settings) fixed(name string, value bool, why string) {
	asked := value
	if s.flag(name, &asked) && asked != value {
		s.warn(name, "ignored: "+why)
	}
}

func (s *settings) meaningless(name, why string) {
	if _, ok := s.get(name); ok {
		s.warn(name, "has no effect: "+why)
	}
}

func (s *settings) size(name string) int64 {
	text, ok := s.get(name)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n <= 0 {
		s.fail(name, text, "a positive number of bytes")
		return 0
	}
	return n
}

func (s *settings) readers(name string) int {
	text, ok := s.get(name)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 31)
	if err != nil || n <= 0 {
		s.fail(name, text, "a positive number of reader slots")
		return 0
	}
	if n < MinReaders {
		s.warn(name, fmt.Sprintf("raised to %d, the least number of reader slots", MinReaders))
		return MinReaders
	}
	return int(n)
}
