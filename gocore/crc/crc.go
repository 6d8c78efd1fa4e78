// Package crc makes CRC-32C sums, and copies while it does so: of a value of
// megabytes the sum is then all but free.
//
// The standard library takes one instruction for eight bytes. Where the
// processor multiplies polynomials 64 bytes at a time (AVX-512 with VPCLMULQDQ), large
// pieces are summed that way, and stored in passing.
package crc

/*
#include "fold.h"
#cgo noescape pk_crc_fold
#cgo nocallback pk_crc_fold
*/
import "C"

import (
	"hash/crc32"
	"unsafe"
)

const (
	// folded is from which size on a call of C pays.
	folded = 4 << 10
	// piece is how much is copied before it is summed where that cannot be done
	// at once: it is still in the cache then.
	piece = 64 << 10
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	folds      = C.pk_crc_folds() != 0
)

// Update is the sum of what had the sum crc so far, with p behind it.
func Update(crc uint32, p []byte) uint32 {
	if !folds || len(p) < folded {
		return crc32.Update(crc, castagnoli, p)
	}
	return fold(crc, nil, p)
}

// Copy copies src to dst, which is at least as long, and is Update of what was
// copied. src may change meanwhile: the sum is of what dst holds.
func Copy(crc uint32, dst, src []byte) uint32 {
	dst = dst[:len(src)]
	if folds && len(src) >= folded {
		return fold(crc, dst, src)
	}
	for done := 0; done < len(src); {
		end := min(done+piece, len(src))
		copy(dst[done:end], src[done:end])
		crc = crc32.Update(crc, castagnoli, dst[done:end])
		done = end
	}
	return crc
}

func fold(crc uint32, dst, src []byte) uint32 {
	to, from := (*C.uint8_t)(unsafe.SliceData(dst)), (*C.uint8_t)(unsafe.SliceData(src))
	return uint32(C.pk_crc_fold(C.uint32_t(crc), to, from, C.size_t(len(src))))
}
