package parkit_go

import (
	"parkit/gocore/errs"
	"parkit/gocore/object"
	"parkit/gocore/site"
	"parkit/gocore/store"
)

// PathParse splits the path of an object into its namespace and its name; no
// name is an anonymous object.
func PathParse(request string) (string, error) {
	return boundJSON("parse path", request, func(path string) ([2]string, error) {
		namespace, name, err := site.ParsePath(path)
		return [2]string{namespace, name}, err
	})
}

type spaceRequest struct {
	Site      string `json:"site"`
	Namespace string `json:"namespace"`
	Create    bool   `json:"create"`
}

type spaceAnswer struct {
	Space     int64  `json:"space"`
	Namespace string `json:"namespace"` // in its one spelling
	Fresh     bool   `json:"fresh"`     // it was not open in this process
}

// SpaceOpen opens a namespace of a site that is open.
func SpaceOpen(request string) (string, error) {
	return boundJSON("open namespace", request, func(r spaceRequest) (spaceAnswer, error) {
		s, err := site.ByUUID(r.Site)
		if err != nil {
			return spaceAnswer{}, err
		}
		fresh := s.Opened(r.Namespace) == nil
		space, err := s.Space(r.Namespace, r.Create)
		if err != nil {
			return spaceAnswer{}, err
		}
		// One whose flush failed can be had only by opening it again.
		if _, err := space.Store().Stats(); errs.Has(err, errs.Dead) {
			if err := s.Release(r.Namespace); err != nil {
				return spaceAnswer{}, err
			}
			if space, err = s.Space(r.Namespace, false); err != nil {
				return spaceAnswer{}, err
			}
		}
		return spaceAnswer{
			Space: addSpaceAt(s.NamespacePath(space.Namespace()), space), Namespace: space.Namespace(), Fresh: fresh,
		}, nil
	})
}

// SpaceLetGo closes a namespace if nothing of this process is under way in it,
// and says whether it did.
func SpaceLetGo(request string) (string, error) {
	return boundJSON("let go of namespace", request, func(r spaceRequest) (bool, error) {
		s, err := site.ByUUID(r.Site)
		if err != nil {
			return false, err
		}
		space := s.LetGo(r.Namespace)
		if space != nil {
			forgetSpace(s.NamespacePath(r.Namespace), space)
		}
		return space != nil, nil
	})
}

// SpaceStats says how large a namespace is, in bytes, and whether it is
// durable.
func SpaceStats(space int64) (string, error) {
	return bound("read sizes", func() (string, error) {
		s, err := spaceOf(space)
		if err != nil {
			return "", err
		}
		stats, err := s.Store().Stats()
		if err != nil {
			return "", err
		}
		return asJSON("read sizes", map[string]any{
			"page_size": stats.PageSize, "map_size": stats.MapSize, "used": stats.Used, "file_size": stats.FileSize,
			"entries": stats.Entries, "durable": s.Store().Durable(), "depth": stats.Depth, "commits": stats.LastCommit,
			"readers": stats.Readers, "oldest_read": stats.OldestRead.Seconds(), "oldest_reader": stats.OldestReader,
			"behind": stats.Behind,
		})
	})
}

// SpaceSetMaxSize bounds a namespace's size, a multiple of its page size.
func SpaceSetMaxSize(space, bytes int64) (bool, error) {
	return bound("set maximum size", func() (bool, error) {
		s, err := spaceOf(space)
		if err != nil {
			return false, err
		}
		stats, err := s.Store().Stats()
		if err != nil {
			return false, err
		}
		if bytes <= 0 || bytes%stats.PageSize != 0 {
			return false, errs.Newf(errs.InvalidArgument, "set maximum size", s.Namespace(),
				"%d is not a multiple of the page size, %d bytes", bytes, stats.PageSize)
		}
		return true, s.Store().SetMaxSize(bytes)
	})
}

type listRequest struct {
	Space int64  `json:"space"`
	After string `json:"after"`
	Limit int    `json:"limit"`
}

// SpaceNames lists the names of objects behind After, sorted, at most Limit.
func SpaceNames(request string) (string, error) {
	return boundJSON("list names", request, func(r listRequest) (names []string, err error) {
		err = readSpace(r.Space, func(tx *object.Tx) error {
			names, err = tx.Names(r.After, r.Limit)
			return err
		})
		return append([]string{}, names...), err
	})
}

// SpaceObjects is SpaceNames with what the objects are.
func SpaceObjects(request string) (string, error) {
	return boundJSON("list objects", request, func(r listRequest) ([]described, error) {
		answer := []described{}
		err := readSpace(r.Space, func(tx *object.Tx) error {
			list, err := tx.List(r.After, r.Limit)
			for i := range list {
				answer = append(answer, describe(&list[i]))
			}
			return err
		})
		return answer, err
	})
}

func readSpace(number int64, fn func(*object.Tx) error) error {
	space, err := spaceOf(number)
	if err != nil {
		return err
	}
	return inTx(space, store.Read, fn)
}
