package coll_test

import (
	"math"
	"testing"

	"parkit/gocore/coll"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

func TestCountingAddsAndKeepsTheEnd(t *testing.T) {
	coll.LimitCursors(t, 1<<20)
	_, clock, o := newCache(t, 0, 0, 0)
	key, own := encode(t, "n")
	value := func(v any) []byte {
		if v == nil {
			return nil
		}
		p, err := keys.AppendValue(nil, v)
		must(t, err)
		return p
	}
	incr := func(delta, initial any) (sum any, err error) {
		err = o.Space.Update(store.Wait{}, func(tx *object.Tx) error {
			p, err := coll.DictIncr(tx, o, key, own, value(delta), value(initial))
			if err == nil {
				sum, err = keys.DecodeValue(p)
			}
			return err
		})
		return sum, err
	}
	if _, err := incr(1, nil); err != store.ErrNotFound {
		t.Fatal(err)
	}
	for _, step := range []struct{ delta, want any }{
		{1, int64(11)}, {-20, int64(-9)}, {0, int64(-9)}, {0.5, -8.5}, {1, -7.5}, {math.Inf(1), math.Inf(1)},
	} {
		if sum, err := incr(step.delta, 10); err != nil || sum != step.want {
			t.Fatalf("%v added: %v, %v", step.delta, sum, err)
		}
	}
	due := clock.now + 100
	set := func(v any) {
		update(t, o.Space, func(tx *object.Tx) error {
			_, err := coll.DictStore(tx, o, coll.DictEntry{Key: key, Own: own, Value: value(v)}, due, coll.StoreSet)
			return err
		})
	}
	for _, v := range []any{math.MaxInt64, "text", true} {
		set(v)
		if _, err := incr(1, nil); err != coll.ErrNotPlain {
			t.Fatalf("%v and 1: %v", v, err)
		}
	}
	set(math.MinInt64)
	if _, err := incr(-1, nil); err != coll.ErrNotPlain {
		t.Fatal(err)
	}
	set(1)
	if sum, err := incr(1, 10); err != nil || sum != int64(2) {
		t.Fatal(sum, err)
	}
	clock.now = due
	if sum, err := incr(1, 10); err != nil || sum != int64(11) {
		t.Fatalf("after its end: %v, %v", sum, err)
	}
}
