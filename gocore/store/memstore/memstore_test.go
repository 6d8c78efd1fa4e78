package memstore_test

import (
	"testing"

	"parkit/gocore/store"
	"parkit/gocore/store/memstore"
	"parkit/gocore/store/storetest"
)

func TestConformance(t *testing.T) {
	for name, options := range map[string]memstore.Options{
		"Standard": {},
		"Durable":  {Durable: true},
		"Lenient":  {KeepSlices: true},
		"Rerun":    {RerunUpdates: true},
	} {
		t.Run(name, func(t *testing.T) {
			storetest.Run(t, func(*testing.T) store.Backend { return memstore.New(options) })
		})
	}
}
