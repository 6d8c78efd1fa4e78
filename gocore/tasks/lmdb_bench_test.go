package tasks

import (
	"context"
	"testing"

	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

func lmdbTasks(t testing.TB, memory bool) *Store {
	backend := lmdbstore.New(t.TempDir(), lmdbstore.Options{
		Profile: func(string) lmdbstore.Profile { return lmdbstore.Profile{Memory: memory} },
	})
	space, err := backend.Open("__task__", true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := space.Close(); err != nil {
			t.Error(err)
		}
	})
	s, err := Open(space)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// BenchmarkLife measures each step of a task's life in a transaction of its
// own, without any process but this one, in a memory namespace of LMDB.
func BenchmarkLife(b *testing.B) {
	wait := store.Wait{Timeout: -1}
	ctx := context.Background()
	args, result := make([]byte, 100), make([]byte, 100)
	w := Worker{ID: 1, PID: 1}
	steps := map[string]func(*testing.B, *Store){
		"submit": func(b *testing.B, s *Store) {
			for b.Loop() {
				if _, _, err := s.Submit(&Spec{Name: "f", Args: args}, wait); err != nil {
					b.Fatal(err)
				}
			}
		},
		"submit+claim+finish+result": func(b *testing.B, s *Store) {
			for b.Loop() {
				id, _, err := s.Submit(&Spec{Name: "f", Args: args}, wait)
				if err != nil {
					b.Fatal(err)
				}
				claim, err := s.Claim(ctx, w, wait)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Finish(w, claim.Ticket, Outcome{State: Finished, Payload: result}, false, wait); err != nil {
					b.Fatal(err)
				}
				if _, _, err := s.Result(id); err != nil {
					b.Fatal(err)
				}
			}
		},
		"claim+finish in one": func(b *testing.B, s *Store) {
			specs := make([]Spec, 10000)
			for i := range specs {
				specs[i] = Spec{Name: "f", Args: args}
			}
			var claim *Claim
			for b.Loop() {
				if claim == nil {
					b.StopTimer()
					if _, err := s.SubmitMany(specs, wait); err != nil {
						b.Fatal(err)
					}
					var err error
					if claim, err = s.Claim(ctx, w, wait); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				ended, err := s.Finish(w, claim.Ticket, Outcome{State: Finished, Payload: result}, true, wait)
				if err != nil {
					b.Fatal(err)
				}
				claim = ended.Next
			}
		},
	}
	for name, step := range steps {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			step(b, lmdbTasks(b, true))
		})
	}
}
