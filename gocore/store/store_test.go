package store

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

var keyGen = rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 'a', 0xFE, 0xFF}), 1, 4)

func contains(r Range, key []byte) bool {
	return bytes.Compare(key, r.Lo) >= 0 && (len(r.Hi) == 0 || bytes.Compare(key, r.Hi) < 0)
}

func TestPrefixHoldsTheKeysThatBeginWithIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prefix := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 0xFE, 0xFF}), 0, 3).Draw(t, "prefix")
		key := keyGen.Draw(t, "key")
		if got, want := contains(Prefix(prefix), key), bytes.HasPrefix(key, prefix); got != want {
			t.Fatalf("%x in Prefix(%x): %v, want %v", key, prefix, got, want)
		}
	})
}

func TestAfter(t *testing.T) {
	for _, c := range []struct{ prefix, want []byte }{
		{nil, nil},
		{[]byte{0xFF, 0xFF}, nil},
		{[]byte{0}, []byte{1}},
		{[]byte{1, 0xFF}, []byte{2}},
		{[]byte{1, 0xFE, 0xFF}, []byte{1, 0xFF}},
	} {
		before := bytes.Clone(c.prefix)
		if got := After(c.prefix); !bytes.Equal(got, c.want) {
			t.Errorf("After(%x) = %x, want %x", c.prefix, got, c.want)
		}
		if !bytes.Equal(before, c.prefix) {
			t.Errorf("After changed its argument %x to %x", before, c.prefix)
		}
	}
}

func TestRestIsTheKeysBeyond(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Range{Lo: keyGen.Draw(t, "lo"), Hi: keyGen.Draw(t, "hi"), Reverse: rapid.Bool().Draw(t, "reverse"), KeysOnly: true}
		at, key := keyGen.Draw(t, "at"), keyGen.Draw(t, "key")
		if !contains(r, at) {
			t.Skip("only a key of the range is a place to go on from")
		}
		beyond := bytes.Compare(key, at)
		if r.Reverse {
			beyond = -beyond
		}
		rest := r.Rest(at)
		if got, want := contains(rest, key), contains(r, key) && beyond > 0; got != want {
			t.Fatalf("%x in the rest of %+v after %x: %v, want %v", key, r, at, got, want)
		}
		if rest.Reverse != r.Reverse || rest.KeysOnly != r.KeysOnly {
			t.Fatalf("the rest of %+v is %+v", r, rest)
		}
		kept := bytes.Clone(rest.Lo)
		at[0] ^= 0xFF // a slice of the store may become invalid
		if !bytes.Equal(kept, rest.Lo) {
			t.Fatalf("the rest aliases the key it was made from")
		}
	})
}

// Objects must spread over all shared channels, and over none that has a fixed
// use: ids are given out in sequence.
func TestChannelOfSpreadsIDs(t *testing.T) {
	const ids = 48_000
	counts := map[Channel]int{}
	for id := uint64(1); id <= ids; id++ {
		counts[ChannelOf(id)]++
	}
	shared := Channels - int(FirstShared)
	if len(counts) != shared {
		t.Errorf("%d channels are used, want %d", len(counts), shared)
	}
	for channel, n := range counts {
		if channel < FirstShared || channel >= Channels {
			t.Errorf("channel %d is not a shared one", channel)
		}
		if mean := ids / shared; n < mean/2 || n > 2*mean {
			t.Errorf("channel %d has %d of %d ids, the mean is %d", channel, n, ids, mean)
		}
	}
}
