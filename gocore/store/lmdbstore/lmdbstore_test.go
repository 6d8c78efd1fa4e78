package lmdbstore_test

import (
	"path/filepath"
	"testing"

	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
	"parkit/gocore/store/storetest"
)

func TestDurableConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Backend {
		return lmdbstore.New(filepath.Join(t.TempDir(), "ns"), lmdbstore.Options{})
	})
}

func TestMemoryConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Backend {
		return lmdbstore.New(filepath.Join(t.TempDir(), "ns"), lmdbstore.Options{
			Profile: func(string) lmdbstore.Profile { return lmdbstore.Profile{Memory: true} },
		})
	})
}
