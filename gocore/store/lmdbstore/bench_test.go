package lmdbstore_test

import (
	"encoding/binary"
	"path/filepath"
	"runtime"
	"testing"

	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

func benchSpace(b *testing.B, memory bool) store.Space {
	backend := lmdbstore.New(filepath.Join(b.TempDir(), "ns"), lmdbstore.Options{
		Profile: func(string) lmdbstore.Profile { return lmdbstore.Profile{Memory: memory} },
	})
	s, err := backend.Open("bench", true)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	err = s.Update(store.Wait{Timeout: -1}, func(t store.Txn) error {
		for i := range uint64(10000) {
			if _, err := t.Put(benchKey(i), []byte("a value of some bytes")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func benchKey(i uint64) []byte { return binary.BigEndian.AppendUint64([]byte{0x21}, i) }

func BenchmarkPeek(b *testing.B) {
	s := benchSpace(b, true)
	var buf [256]byte
	key := benchKey(77)
	for b.Loop() {
		if _, _, err := s.Peek(key, buf[:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	s := benchSpace(b, true)
	key, value := benchKey(77), []byte("another value of some")
	for b.Loop() {
		err := s.Update(store.Wait{}, func(t store.Txn) error {
			_, err := t.Put(key, value)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdateDurable(b *testing.B) {
	s := benchSpace(b, false)
	key, value := benchKey(77), []byte("another value of some")
	for b.Loop() {
		err := s.Update(store.Wait{Timeout: -1}, func(t store.Txn) error {
			_, err := t.Put(key, value)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdateDurableEightThreads(b *testing.B) {
	s := benchSpace(b, false)
	value := []byte("another value of some")
	b.SetParallelism(8 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		key := benchKey(78)
		for pb.Next() {
			err := s.Update(store.Wait{Timeout: -1}, func(t store.Txn) error {
				_, err := t.Put(key, value)
				return err
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
}

func BenchmarkPutInTransaction(b *testing.B) {
	s := benchSpace(b, true)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t, err := s.Begin(store.Write, store.Wait{})
	if err != nil {
		b.Fatal(err)
	}
	defer t.Abort()
	key, value := benchKey(77), []byte("another value of some")
	for b.Loop() {
		if _, err := t.Put(key, value); err != nil {
			b.Fatal(err)
		}
	}
}
