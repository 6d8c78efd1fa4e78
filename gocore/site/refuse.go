package site

import (
	"os"
	"path/filepath"
	"strings"

	"parkit/gocore/errs"
	"parkit/gocore/original"
)

// refuseOriginal refuses a directory without a site.json that is a site of the
// original parkit, or a namespace of one: a site that was made there would look
// like the old one with nothing in it.
func refuseOriginal(path string) error {
	file, err := original.Open(path)
	if err != nil {
		return nil // no such file, or none of LMDB's: whatever it is, it is not the original's
	}
	recognised := file.Recognised()
	if err := file.Close(); err != nil {
		return errs.Wrap(errs.IO, "open site", path, err)
	}
	if !recognised {
		return nil
	}
	return errs.New(errs.OriginalSite, "open site", path,
		"the original parkit wrote what is here, and this one reads it only to convert it: run parkit convert OLD NEW, or call parkit.convert_site(OLD, NEW), and open the new site")
}

// present refuses a site that was removed since it was opened, or in whose
// place there is another: what was written to it would go nowhere.
func (s *Site) present(code errs.Code, op, what string) error {
	about, err := readAbout(s.Path)
	if err != nil {
		return err
	}
	if about == nil || about.UUID != s.UUID {
		return errs.Newf(code, op, what,
			"the site at %s was removed or moved after this process opened it; open the site that is meant", s.Path)
	}
	return nil
}

// Around is the site whose directory path lies in, at whatever depth and by
// whatever links; "" where it lies in none. Nothing needs to be at path.
func Around(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	above, err := filepath.EvalSymlinks(nearest(filepath.Dir(absolute)))
	if err != nil {
		return ""
	}
	for {
		if info, err := os.Stat(filepath.Join(above, aboutFile)); err == nil && info.Mode().IsRegular() {
			return above
		}
		parent := filepath.Dir(above)
		if parent == above {
			return ""
		}
		above = parent
	}
}

// RefuseInside refuses a path in the directory of a site, for what is to stay
// when the site goes and is no part of it.
func RefuseInside(op, path string) error {
	around := Around(path)
	if around == "" {
		return nil
	}
	return errs.Newf(errs.InvalidPath, op, path,
		"this is in the directory of the site %s, and would be taken for a part of it and go with it; choose a path outside", around)
}

// refuseAmongNamespaces refuses to make a site where another has its
// namespaces: its own would be listed among them.
func refuseAmongNamespaces(path string) error {
	if _, err := os.Lstat(filepath.Join(path, aboutFile)); err == nil {
		return nil // it is there; that this is not how it should be is too late to say
	}
	around := Around(path)
	if around == "" {
		return nil
	}
	above, err := filepath.EvalSymlinks(nearest(path))
	if err != nil {
		return errs.Wrap(errs.IO, "create site", path, err)
	}
	root := filepath.Join(around, "ns")
	if above != root && !strings.HasPrefix(above, root+string(filepath.Separator)) {
		return nil
	}
	return RefuseInside("create site", path)
}
