package site

import (
	"os"

	"parkit/gocore/errs"
)

// unsafeFSVariable, set to 1, lets a site be on a file system that is refused
// otherwise. It is for those who know that only one machine uses the site.
const unsafeFSVariable = "PARKIT_ALLOW_UNSAFE_FS"

// fileSystemKind is unsafeFileSystem except in tests.
var fileSystemKind = unsafeFileSystem

// checkFileSystem refuses file systems on which LMDB's shared memory map or
// its locks do not hold: those of a network, and those run by a user process.
func checkFileSystem(path string) error {
	if os.Getenv(unsafeFSVariable) == "1" {
		return nil
	}
	kind, err := fileSystemKind(path)
	if err != nil {
		return errs.Wrap(errs.IO, "look at the file system of", path, err)
	}
	if kind == "" {
		return nil
	}
	return errs.Newf(errs.UnsafeFS, "open site", path,
		"this is a %s file system, on which a site can be damaged without notice; put the site on a local disk, "+
			"or set %s=1 if you know that only this machine uses it", kind, unsafeFSVariable)
}
