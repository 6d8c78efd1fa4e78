package parkit_go

import (
	"os"
	"strings"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/site"
)

type siteRequest struct {
	Path   string `json:"path"`
	Create bool   `json:"create"`
	Memory bool   `json:"memory"`
	UUID   string `json:"uuid"` // of a site that is made; none: a new one
	// Environment holds what Python's os.environ has of settings.
	Environment map[string]string `json:"environment"`
}

type siteAnswer struct {
	UUID    string `json:"uuid"`
	Path    string `json:"path"`
	Created int64  `json:"created"`
	Memory  bool   `json:"memory"`
	// Warnings are about settings in the environment that weaken a promise.
	Warnings []string `json:"warnings"`
}

// SiteOpen opens a site, or makes it: site.OpenWith. A site that is open
// already is looked up.
func SiteOpen(request string) (string, error) {
	return boundJSON("open site", request, func(r siteRequest) (siteAnswer, error) {
		if err := adopt(r.Environment); err != nil {
			return siteAnswer{}, err
		}
		s, err := site.OpenWith(r.Path, site.Options{Create: r.Create, Memory: r.Memory, UUID: r.UUID})
		if err != nil {
			return siteAnswer{}, err
		}
		return siteAnswer{UUID: s.UUID, Path: s.Path, Created: s.Created, Memory: s.Memory, Warnings: s.Warnings()}, nil
	})
}

// SiteClose closes a site and all its namespaces; whatever was bound through
// it is stale. False where it was not open.
func SiteClose(uuid string) (bool, error) {
	return bound("close site", func() (bool, error) {
		s, err := site.ByUUID(uuid)
		if errs.Has(err, errs.SiteNotFound) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return true, s.Close()
	})
}

// SiteAround is the site whose directory a path lies in; none where it lies in
// none.
func SiteAround(path string) (string, error) {
	return bound("look for a site", func() (string, error) { return site.Around(path), nil })
}

// SitesSettle writes down what is in memory only, before the process ends. It
// waits for others no longer than so many ms.
func SitesSettle(patience int) (bool, error) {
	return bound("settle", func() (bool, error) {
		site.SettleAll(time.Now().Add(time.Duration(patience) * time.Millisecond))
		return true, nil
	})
}

// SiteNamespaces lists the namespaces of a site that exist, sorted.
func SiteNamespaces(uuid string) (string, error) {
	return bound("list namespaces", func() (string, error) {
		s, err := site.ByUUID(uuid)
		if err != nil {
			return "", err
		}
		namespaces, err := s.Namespaces()
		if err != nil {
			return "", err
		}
		return asJSON("list namespaces", append([]string{}, namespaces...))
	})
}

type profileRequest struct {
	Memory      bool              `json:"memory"`
	Environment map[string]string `json:"environment"`
}

type profileAnswer struct {
	Memory     bool     `json:"memory"`
	MapSize    int64    `json:"map_size"`
	MaxReaders int      `json:"max_readers"`
	Sync       bool     `json:"sync"`
	MetaSync   bool     `json:"metasync"`
	ReadOnly   bool     `json:"readonly"`
	ReadAhead  bool     `json:"readahead"`
	Warnings   []string `json:"warnings"`
}

// SiteProfile is how namespaces are opened, durable or memory ones, as the
// environment says now.
func SiteProfile(request string) (string, error) {
	return boundJSON("read profile", request, func(r profileRequest) (profileAnswer, error) {
		if err := adopt(r.Environment); err != nil {
			return profileAnswer{}, err
		}
		p, err := site.ProfileOf(r.Memory)
		return profileAnswer{
			Memory: p.Memory, MapSize: p.MapSize, MaxReaders: p.MaxReaders, Sync: p.Sync, MetaSync: p.MetaSync,
			ReadOnly: p.ReadOnly, ReadAhead: p.ReadAhead, Warnings: append([]string{}, p.Warnings...),
		}, err
	})
}

// settingPrefixes begin the names of the environment variables that are read
// on this side.
var settingPrefixes = []string{"PARKIT_", "DEFAULT_LMDB_", "MEMORY_LMDB_"}

// adopt makes Go's environment what Python's is, as far as settings go: Go
// copied it when the library was loaded, and sees nothing of later changes.
func adopt(environment map[string]string) error {
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		if now, set := environment[name]; isSetting(name) && (!set || now != value) {
			if err := os.Unsetenv(name); err != nil {
				return errs.Wrap(errs.InvalidArgument, "read setting", name, err)
			}
		}
	}
	for name, value := range environment {
		if _, set := os.LookupEnv(name); !set && isSetting(name) {
			if err := os.Setenv(name, value); err != nil {
				return errs.Wrap(errs.InvalidArgument, "read setting", name, err)
			}
		}
	}
	return nil
}

func isSetting(name string) bool {
	for _, prefix := range settingPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
