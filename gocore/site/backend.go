package site

import (
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// defaultBackend keeps the site's namespaces in LMDB.
func defaultBackend(s *Site) (store.Backend, error) {
	return lmdbstore.New(s.Root(), lmdbstore.Options{
		Profile: func(namespace string) lmdbstore.Profile {
			p := s.Profile(namespace)
			return lmdbstore.Profile{
				Memory:      p.Memory,
				MapSize:     p.MapSize,
				MaxReaders:  p.MaxReaders,
				NoSync:      !p.Sync && !p.Memory,
				NoMetaSync:  !p.MetaSync && !p.Memory,
				NoReadAhead: !p.ReadAhead,
				ReadOnly:    p.ReadOnly,
			}
		},
	}), nil
}
