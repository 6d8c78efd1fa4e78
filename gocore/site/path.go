package site

import (
	"fmt"
	"strings"

	"parkit/gocore/errs"
	"parkit/gocore/object"
)

// Namespaces with a fixed use.
const (
	DefaultNamespace  = "default"   // where a path without a namespace leads
	MemoryNamespace   = "memory"    // first segment of the namespaces that are not flushed
	ModuleNamespace   = "module"    // asyncables
	TaskNamespace     = "__task__"  // tasks
	ScheduleNamespace = "__sched__" // schedules
)

// maxSegment is what file systems take as the name of one directory.
const maxSegment = 255

// maxNamespace keeps the path of a namespace's files well under the system's
// limit for a path.
const maxNamespace = 1024

// ParsePath splits the path of an object into the namespace and the name.
// Empty segments drop out. A path of one segment is in DefaultNamespace; no
// path, and MemoryNamespace alone, give an empty name: an anonymous object.
func ParsePath(path string) (namespace, name string, err error) {
	segments := split(path)
	switch {
	case len(segments) == 0:
		return DefaultNamespace, "", nil
	case len(segments) == 1 && segments[0] == MemoryNamespace:
		return MemoryNamespace, "", nil
	}
	last := len(segments) - 1
	name = segments[last]
	if err := object.CheckName(name); err != nil {
		return "", "", err
	}
	if last == 0 {
		return DefaultNamespace, name, nil
	}
	if err := checkSegments(path, segments[:last]); err != nil {
		return "", "", err
	}
	return strings.Join(segments[:last], "/"), name, nil
}

// ParseNamespace brings the path of a namespace into its one spelling: no
// empty segments, no slash at either end. An empty path is DefaultNamespace.
func ParseNamespace(path string) (string, error) {
	segments := split(path)
	if len(segments) == 0 {
		return DefaultNamespace, nil
	}
	if err := checkSegments(path, segments); err != nil {
		return "", err
	}
	return strings.Join(segments, "/"), nil
}

// Reserved reports whether parkit keeps things of its own in the namespace;
// what a user stores there may meet them.
func Reserved(namespace string) bool {
	first, _, _ := strings.Cut(namespace, "/")
	switch first {
	case ModuleNamespace, TaskNamespace, ScheduleNamespace:
		return true
	}
	return false
}

// InMemory reports whether the namespace takes the memory profile on a site
// that is not a memory site as a whole.
func InMemory(namespace string) bool {
	return namespace == MemoryNamespace || strings.HasPrefix(namespace, MemoryNamespace+"/")
}

// Hidden reports whether the name is left out of listings.
func Hidden(name string) bool {
	return len(name) >= 4 && strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__")
}

func split(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

func checkSegments(path string, segments []string) error {
	length := 0
	for _, segment := range segments {
		length += len(segment) + 1
		if why := segmentFault(segment); why != "" {
			return errs.New(errs.InvalidPath, "parse namespace", path, why)
		}
	}
	if length > maxNamespace {
		return errs.Newf(errs.InvalidPath, "parse namespace", path,
			"a namespace is at most %d bytes long; use fewer or shorter segments", maxNamespace-1)
	}
	return nil
}

func segmentFault(segment string) string {
	if segment == "." || segment == ".." {
		return fmt.Sprintf("%q cannot be a segment of a namespace; paths are not relative", segment)
	}
	if len(segment) > maxSegment {
		return fmt.Sprintf("a segment of a namespace is at most %d bytes long; use a shorter one", maxSegment)
	}
	for i := 0; i < len(segment); i++ {
		c := segment[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '.':
		default:
			return fmt.Sprintf("%q cannot be a segment of a namespace; use ASCII letters, digits, '_', '-' and '.'", segment)
		}
	}
	return ""
}
