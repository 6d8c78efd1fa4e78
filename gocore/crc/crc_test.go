package crc

import (
	"bytes"
	"hash/crc32"
	"math/bits"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// sizes are about the bounds of what is done at a time.
func sizes(rng *rand.Rand) []int {
	found := []int{0, 1, 7, 8, 9, 255, 256, 257, 511, 512, 513, 4095, 4096, 4097, 65535, 65536, 65537, 1 << 20, 1<<20 + 777}
	for range 200 {
		found = append(found, rng.IntN(20_000))
	}
	return found
}

func random(rng *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	return p
}

func TestSumsAreTheStandardLibrarys(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d; the processor folds: %v", seed, folds)
	rng := rand.New(rand.NewPCG(seed, 1))
	before := folds
	defer func() { folds = before }()
	for _, folds = range []bool{before, false} {
		for _, n := range sizes(rng) {
			begin, off := rng.Uint32(), rng.IntN(64)
			src := random(rng, n+off)[off:]
			want := crc32.Update(begin, castagnoli, src)
			if got := Update(begin, src); got != want {
				t.Fatalf("Update of %d bytes: %08x, want %08x", n, got, want)
			}
			dst := make([]byte, n+20)
			if got := Copy(begin, dst[3:], src); got != want {
				t.Fatalf("Copy of %d bytes: %08x, want %08x", n, got, want)
			}
			if !bytes.Equal(dst[3:3+n], src) || !bytes.Equal(dst[3+n:], make([]byte, 17)) {
				t.Fatalf("Copy of %d bytes copied others", n)
			}
		}
	}
}

func TestShortPiecesAreFoldedRight(t *testing.T) {
	if !folds {
		t.Skip("this processor does not fold")
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for n := range 1500 {
		src, dst := random(rng, n), make([]byte, n)
		if got, want := fold(7, dst, src), crc32.Update(7, castagnoli, src); got != want || !bytes.Equal(dst, src) {
			t.Fatalf("%d bytes: %08x, want %08x", n, got, want)
		}
	}
}

// x^n mod P, in a register of 32 bits whose bit 31 is that of x^31.
func power(n int) uint32 {
	r := uint64(1)
	for range n {
		if r <<= 1; r>>32 != 0 {
			r ^= 0x11EDC6F41
		}
	}
	return uint32(r)
}

func TestConstants(t *testing.T) {
	source, err := os.ReadFile("fold.c")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`#define FOLD_(\d+) (\w+), (\w+)`).FindAllSubmatch(source, -1)
	if len(found) != 3 {
		t.Fatalf("%d constants", len(found))
	}
	for _, line := range found {
		d, _ := strconv.Atoi(string(line[1]))
		for i, n := range []int{d + 63, d - 1} {
			got, err := strconv.ParseUint(string(line[2+i]), 0, 64)
			if want := uint64(bits.Reverse32(power(n))) << 32; err != nil || got != want {
				t.Errorf("fold of %d bits, constant %d: %x, want %x", d, i, got, want)
			}
		}
	}
}

func BenchmarkCopy(b *testing.B) {
	src, dst := make([]byte, 8<<20), make([]byte, 8<<20)
	before := folds
	defer func() { folds = before }()
	run := func(name string, fn func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(8 << 20)
			for b.Loop() {
				fn()
			}
		})
	}
	run("memmove", func() { copy(dst, src) })
	run("folded", func() { folds = before; Copy(0, dst, src) })
	run("plain", func() { folds = false; Copy(0, dst, src) })
	run("sum folded", func() { folds = before; Update(0, src) })
	run("sum plain", func() { folds = false; Update(0, src) })
}
