package parkit_go

import (
	"parkit/gocore/errs"
	"parkit/gocore/site"
)

type siteRequest struct {
	Path   string `json:"path"`
	Create bool   `json:"create"`
	Memory bool   `json:"memory"`
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
		s, err := site.OpenWith(r.Path, site.Options{Create: r.Create, Memory: r.Memory})
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

// SiteProfile is how namespaces are opened, durable or memory ones, as the
// environment variables say now.
func SiteProfile(memory bool) (string, error) {
	return bound("read profile", func() (string, error) {
		p, err := site.ProfileOf(memory)
		if err != nil {
			return "", err
		}
		return asJSON("read profile", map[string]any{
			"memory": p.Memory, "map_size": p.MapSize, "max_readers": p.MaxReaders, "sync": p.Sync, "metasync": p.MetaSync,
			"readonly": p.ReadOnly, "readahead": p.ReadAhead, "warnings": append([]string{}, p.Warnings...),
		})
	})
}
