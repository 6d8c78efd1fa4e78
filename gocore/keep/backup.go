package keep

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/site"
	"parkit/gocore/store/lmdbstore"
)

// The files of a namespace that a backup has, and one that tells a namespace
// that was ever opened where it lies.
const (
	dataFile = "data.mdb"
	openFile = "page"
)

// Backup writes a copy of namespaces of a site to the directory path, which
// must not exist nor lie in a site: a site by itself, with the same uuid or, if fresh, one of its
// own. Others may write meanwhile: each namespace is as one commit left it, and
// different ones may be of different moments. The copy is checked before it
// gets its name: errs.Corrupt, and no copy, where something is damaged.
func Backup(s *site.Site, namespaces []string, path string, fresh bool) (Report, error) {
	return build("back up", s, namespaces, path, fresh, func(namespace, target string) error {
		space, err := s.Backend().Open(namespace, false)
		if err != nil {
			return err
		}
		return errors.Join(space.Backup(target), space.Close())
	})
}

// Restore makes a site at path, which must not exist, of a backup or of any
// other site: Backup of all its namespaces. A backup that was never opened is
// only read from.
func Restore(backup, path string, fresh bool) (Report, error) {
	s, err := site.Detached(backup)
	if err != nil {
		return Report{}, err
	}
	defer s.Close()
	namespaces, err := s.Namespaces()
	if err != nil {
		return Report{}, err
	}
	return build("restore", s, namespaces, path, fresh, func(namespace, target string) error {
		if data := filepath.Join(s.NamespacePath(namespace), dataFile); neverOpened(data) {
			return copyFile(data, target)
		}
		if err := s.Usable(); err != nil {
			return err
		}
		space, err := s.Backend().Open(namespace, false)
		if err != nil {
			return err
		}
		return errors.Join(space.Backup(target), space.Close())
	})
}

// build makes a site at path of what fill puts into the directory of each
// namespace. Before it is checked, the site has another name.
func build(op string, s *site.Site, namespaces []string, path string, fresh bool, fill func(namespace, target string) error) (report Report, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return report, errs.Wrap(errs.IO, op, path, err)
	}
	taken := errs.New(errs.InvalidPath, op, path, "there is something of this name already, and nothing is overwritten; choose another path")
	if _, err := os.Lstat(path); err == nil {
		return report, taken
	}
	if err := site.RefuseInside(op, path); err != nil {
		return report, err
	}
	tmp, done, err := unfinished(op, path)
	if err != nil {
		return report, err
	}
	defer done()
	root := filepath.Join(tmp, "ns")
	if err := os.Mkdir(root, 0o700); err != nil {
		return report, errs.Wrap(errs.IO, op, path, err)
	}
	for _, namespace := range namespaces {
		target := filepath.Join(root, filepath.FromSlash(namespace), lmdbstore.EnvDir)
		if err := fill(namespace, target); err != nil {
			return report, err
		}
		if err := Check(Namespace{Name: namespace, Walk: walkFile(filepath.Join(target, dataFile), namespace)}, &report); err != nil {
			return report, err
		}
	}
	if !report.Sound() {
		p := report.Problems[0]
		return report, errs.Newf(errs.Corrupt, op, p.Namespace+"/"+p.Object,
			"%s: %s. No copy was made, since it would be damaged too (%d problems in all); repair the namespace with check(…, repair=True), then do it again", p.Key, p.What, len(report.Problems))
	}
	if err := s.WriteAbout(tmp, fresh); err != nil {
		return report, err
	}
	if err := syncTree(tmp); err != nil {
		return report, errs.Wrap(errs.IO, op, path, err)
	}
	err = unix.Renameat2(unix.AT_FDCWD, tmp, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // a file system without it
		err = os.Rename(tmp, path)
	}
	if errors.Is(err, fs.ErrExist) {
		return report, taken
	}
	if err != nil {
		return report, errs.Wrap(errs.IO, op, path, err)
	}
	return report, errs.Wrap(errs.IO, op, path, syncDirectory(filepath.Dir(path)))
}

func walkFile(path, namespace string) func(func(key, value []byte) error, func(key []byte, err error)) error {
	return func(verify func(key, value []byte) error, report func(key []byte, err error)) error {
		return lmdbstore.CheckFile(path, namespace, verify, report)
	}
}

func copyFile(from, directory string) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return errs.Wrap(errs.IO, "restore", directory, err)
	}
	source, err := os.Open(from)
	if err != nil {
		return errs.Wrap(errs.IO, "restore", from, err)
	}
	defer source.Close()
	name := filepath.Join(directory, dataFile)
	target, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return errs.Wrap(errs.IO, "restore", name, err)
	}
	_, err = io.Copy(target, source)
	if err == nil {
		err = target.Sync()
	}
	return errs.Wrap(errs.IO, "restore", name, errors.Join(err, target.Close()))
}

// syncTree makes the entries of all directories last; files were flushed by
// those who wrote them.
func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		return syncDirectory(path)
	})
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
