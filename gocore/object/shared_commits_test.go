package object_test

import (
	"path/filepath"
	"sync"
	"testing"

	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// What is remembered of the last update must not be believed where another
// update may be part of the same commit: every profile counts all changes.
func TestUpdatesOfManyThreadsAllCountInEveryProfile(t *testing.T) {
	for name, profile := range map[string]lmdbstore.Profile{
		"memory":      {Memory: true},
		"no sync":     {NoSync: true},
		"no metasync": {NoMetaSync: true},
	} {
		t.Run(name, func(t *testing.T) {
			backend := lmdbstore.New(filepath.Join(t.TempDir(), "ns"), lmdbstore.Options{Profile: func(string) lmdbstore.Profile { return profile }})
			opened, err := backend.Open("n", true)
			must(t, err)
			space, err := object.Open(opened, "n")
			must(t, err)
			o := create(t, space, "counted")
			const threads, rounds = 8, 300
			var done sync.WaitGroup
			for range threads {
				done.Go(func() {
					for range rounds {
						err := space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
							if _, err := tx.State(o); err != nil {
								return err
							}
							tx.Changed(o, 1)
							return nil
						})
						if err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			done.Wait()
			state, err := o.PeekState()
			must(t, err)
			if state.Length != threads*rounds {
				t.Errorf("counted %d, want %d", state.Length, threads*rounds)
			}
			must(t, space.Close())
		})
	}
}
