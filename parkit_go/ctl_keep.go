package parkit_go

import (
	"parkit/gocore/errs"
	"parkit/gocore/keep"
	"parkit/gocore/object"
	"parkit/gocore/site"
	"parkit/gocore/store"
)

// keptSite is a site that is open in this process, by its uuid, or else the one
// at a path.
type keptSite struct {
	Site string `json:"site"`
	Path string `json:"path"`
}

// with calls fn with the site.
func (k *keptSite) with(fn func(*site.Site) error) error {
	if k.Path == "" {
		s, err := site.ByUUID(k.Site)
		if err != nil {
			return err
		}
		return fn(s)
	}
	s, err := site.Detached(k.Path)
	if err != nil {
		return err
	}
	defer s.Close()
	return fn(s)
}

// KeptNamespaces lists the namespaces of a site, also of one at a path.
func KeptNamespaces(request string) (string, error) {
	return boundJSON("list namespaces", request, func(r keptSite) (namespaces []string, err error) {
		err = r.with(func(s *site.Site) error {
			namespaces, err = s.Namespaces()
			return err
		})
		return append([]string{}, namespaces...), err
	})
}

// SiteIsMemory says whether all namespaces of a site are memory ones.
func SiteIsMemory(request string) (string, error) {
	return boundJSON("open site", request, func(r keptSite) (memory bool, err error) {
		err = r.with(func(s *site.Site) error {
			memory = s.Memory
			return nil
		})
		return memory, err
	})
}

type checkRequest struct {
	keptSite
	Namespace string `json:"namespace"`
	Repair    bool   `json:"repair"`
}

// NamespaceCheck checks a namespace, and repairs it if asked to.
func NamespaceCheck(request string) (string, error) {
	return boundJSON("check namespace", request, func(r checkRequest) (report keep.Report, err error) {
		report.Problems, report.Quarantine = []keep.Problem{}, []string{}
		err = r.with(func(s *site.Site) error {
			namespace, err := site.ParseNamespace(r.Namespace)
			if err != nil {
				return err
			}
			if r.Repair {
				if err := unscoped(s, namespace, "repair namespace"); err != nil {
					return err
				}
			}
			return keep.CheckNamespace(s, namespace, r.Repair, &report)
		})
		return report, err
	})
}

// unscoped refuses what takes the writer's turn by itself where this thread has
// it: it would wait for itself.
func unscoped(s *site.Site, namespace, op string) error {
	if own, err := site.ByUUID(s.UUID); err == nil && own.Path == s.Path {
		s = own
	}
	space := s.Opened(namespace)
	if space != nil && currentTx(space) != nil {
		return errs.New(errs.BadTransaction, op, namespace, "a transaction or snapshot of this thread is open on it; end that first")
	}
	return nil
}

// Quarantined lists what repairs set aside of a namespace.
func Quarantined(request string) (string, error) {
	return boundJSON("read quarantine", request, func(r checkRequest) (list []keep.Aside, err error) {
		err = r.with(func(s *site.Site) error {
			list, err = keep.Quarantined(s, r.Namespace)
			return err
		})
		return append([]keep.Aside{}, list...), err
	})
}

type backupRequest struct {
	keptSite
	Namespaces []string `json:"namespaces"`
	Target     string   `json:"target"`
	Fresh      bool     `json:"fresh"`
}

// SiteBackup writes a checked copy of namespaces of a site.
func SiteBackup(request string) (string, error) {
	return boundJSON("back up", request, func(r backupRequest) (report keep.Report, err error) {
		err = r.with(func(s *site.Site) error {
			report, err = keep.Backup(s, r.Namespaces, r.Target, r.Fresh)
			return err
		})
		return report, err
	})
}

// SiteRestore makes a site of a backup.
func SiteRestore(request string) (string, error) {
	return boundJSON("restore", request, func(r backupRequest) (keep.Report, error) {
		return keep.Restore(r.Path, r.Target, r.Fresh)
	})
}

type droppedAnswer struct {
	Dropped int    `json:"dropped"`
	Last    string `json:"last"` // none at the end
}

// SpaceDropHidden drops the hidden objects among at most Limit behind After.
// Call it in a transaction of the thread, as ObjectOpen.
func SpaceDropHidden(request string) (string, error) {
	return boundJSON("drop hidden objects", request, func(r listRequest) (answer droppedAnswer, err error) {
		space, err := spaceOf(r.Space)
		if err != nil {
			return answer, err
		}
		err = inTx(space, store.Write, func(tx *object.Tx) error {
			answer.Dropped, answer.Last, err = keep.DropHidden(tx, r.After, r.Limit)
			return err
		})
		return answer, err
	})
}

// SpaceCompact gives unused pages back to the file system, and returns how many
// bytes that was.
func SpaceCompact(space int64) (int64, error) {
	return bound("compact", func() (int64, error) {
		s, err := spaceOf(space)
		if err != nil {
			return 0, err
		}
		if currentTx(s) != nil {
			return 0, errs.New(errs.BadTransaction, "compact", s.Namespace(), "a transaction or snapshot of this thread is open on it; end that first")
		}
		return s.Store().Compact(store.Wait{Timeout: -1})
	})
}

type sizeRequest struct {
	Space int64  `json:"space"`
	Name  string `json:"name"` // none: all objects
}

// SpaceSizes says how many bytes objects take, by their names.
func SpaceSizes(request string) (string, error) {
	return boundJSON("measure objects", request, func(r sizeRequest) (map[string]int64, error) {
		sizes := map[string]int64{}
		err := readSpace(r.Space, func(tx *object.Tx) (err error) {
			if r.Name != "" {
				sizes[r.Name], err = keep.Size(tx, r.Name)
				return err
			}
			return keep.Sizes(tx, func(name string, bytes int64) { sizes[name] = bytes })
		})
		return sizes, err
	})
}

type transferRequest struct {
	Space     int64  `json:"space"`
	Name      string `json:"name"`
	Target    int64  `json:"target"`
	Other     string `json:"other"`
	Overwrite bool   `json:"overwrite"`
	Moving    bool   `json:"moving"`
}

// ObjectRename gives an object another name. Call it in a transaction of the
// thread, as ObjectOpen.
func ObjectRename(request string) (string, error) {
	return boundJSON("rename object", request, func(r transferRequest) (bool, error) {
		space, err := spaceOf(r.Space)
		if err != nil {
			return false, err
		}
		return true, inTx(space, store.Write, func(tx *object.Tx) error {
			return keep.Rename(tx, r.Name, r.Other, r.Overwrite)
		})
	})
}

// ObjectCopy makes a copy of an object, in the same or another namespace. Call
// it in a transaction of the thread on the target, as ObjectOpen.
func ObjectCopy(request string) (string, error) {
	return boundJSON("copy object", request, func(r transferRequest) (bool, error) {
		space, err := spaceOf(r.Space)
		if err != nil {
			return false, err
		}
		target, err := spaceOf(r.Target)
		if err != nil {
			return false, err
		}
		return true, inTx(target, store.Write, func(tx *object.Tx) error {
			return inTx(space, store.Read, func(from *object.Tx) error {
				_, _, err := keep.Copy(tx, from, r.Name, r.Other, r.Overwrite, r.Moving)
				return err
			})
		})
	})
}
