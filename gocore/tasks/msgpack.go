package tasks

import (
	"encoding/binary"
	"math"
)

// Records are msgpack maps from small numbers to values. They are written and
// read here by hand: the library's encoder costs more than the store's own
// write of the record, and every task is coded half a dozen times. A test reads
// these records with the library.
//
// A reader skips numbers it does not know, so a record can grow fields without
// a new format version; a field is never given another meaning.

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 0x80:
		return append(b, byte(v))
	case v <= math.MaxUint8:
		return append(b, 0xCC, byte(v))
	case v <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xCD), uint16(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xCE), uint32(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xCF), v)
}

func appendInt(b []byte, v int64) []byte {
	if v >= 0 {
		return appendUint(b, uint64(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xD3), uint64(v))
}

func appendStr(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xA0|byte(n))
	case n <= math.MaxUint8:
		b = append(b, 0xD9, byte(n))
	case n <= math.MaxUint16:
		b = binary.BigEndian.AppendUint16(append(b, 0xDA), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xDB), uint32(n))
	}
	return append(b, s...)
}

// appendBinHead writes what comes before n raw bytes.
func appendBinHead(b []byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(b, 0xC4, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xC5), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xC6), uint32(n))
}

// fieldWriter writes a map whose size is known only at its end. Fields that
// have their zero value are left out.
type fieldWriter struct {
	b     []byte
	start int
	count uint16
}

func newFields(b []byte) fieldWriter {
	return fieldWriter{b: append(b, 0xDE, 0, 0), start: len(b)}
}

func (w *fieldWriter) uint(field byte, v uint64) {
	if v != 0 {
		w.b = appendUint(append(w.b, field), v)
		w.count++
	}
}

func (w *fieldWriter) int(field byte, v int64) {
	if v != 0 {
		w.b = appendInt(append(w.b, field), v)
		w.count++
	}
}

func (w *fieldWriter) str(field byte, s string) {
	if s != "" {
		w.b = appendStr(append(w.b, field), s)
		w.count++
	}
}

func (w *fieldWriter) bin(field byte, p []byte) {
	w.binHead(field, len(p))
	w.b = append(w.b, p...)
}

// binHead begins a field of n raw bytes that the caller puts after the map:
// so it must be the last field.
func (w *fieldWriter) binHead(field byte, n int) {
	w.b = appendBinHead(append(w.b, field), n)
	w.count++
}

func (w *fieldWriter) done() []byte {
	binary.BigEndian.PutUint16(w.b[w.start+1:], w.count)
	return w.b
}

// fieldReader reads what fieldWriter, or any msgpack library, wrote. After the
// first fault bad is set and everything reads as zero.
type fieldReader struct {
	b   []byte
	bad bool
}

func (r *fieldReader) take(n uint64) []byte {
	if r.bad || uint64(len(r.b)) < n {
		r.bad, r.b = true, nil
		return nil
	}
	p := r.b[:n:n]
	r.b = r.b[n:]
	return p
}

func (r *fieldReader) byte() byte {
	if p := r.take(1); p != nil {
		return p[0]
	}
	return 0xC1 // never used in msgpack
}

func (r *fieldReader) big(n uint64) (v uint64) {
	for _, c := range r.take(n) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (r *fieldReader) mapLen() int {
	switch c := r.byte(); {
	case c&0xF0 == 0x80:
		return int(c & 0x0F)
	case c == 0xDE:
		return int(r.big(2))
	}
	r.bad = true
	return 0
}

func (r *fieldReader) int() int64 {
	switch c := r.byte(); {
	case c < 0x80:
		return int64(c)
	case c >= 0xE0:
		return int64(int8(c))
	case c >= 0xCC && c <= 0xCF:
		return int64(r.big(1 << (c - 0xCC)))
	case c == 0xD0:
		return int64(int8(r.big(1)))
	case c == 0xD1:
		return int64(int16(r.big(2)))
	case c == 0xD2:
		return int64(int32(r.big(4)))
	case c == 0xD3:
		return int64(r.big(8))
	}
	r.bad = true
	return 0
}

func (r *fieldReader) uint() uint64 { return uint64(r.int()) }

// bytes reads a string or raw bytes; the result aliases the record.
func (r *fieldReader) bytes() []byte {
	switch c := r.byte(); {
	case c&0xE0 == 0xA0:
		return r.take(uint64(c & 0x1F))
	case c == 0xC4 || c == 0xD9:
		return r.take(r.big(1))
	case c == 0xC5 || c == 0xDA:
		return r.take(r.big(2))
	case c == 0xC6 || c == 0xDB:
		return r.take(r.big(4))
	}
	r.bad = true
	return nil
}

func (r *fieldReader) str() string { return string(r.bytes()) }

// skip passes over one value of any type. depth bounds hostile nesting.
func (r *fieldReader) skip(depth int) {
	if r.bad || depth > 32 {
		r.bad = true
		return
	}
	many := func(n uint64) {
		for ; n > 0 && !r.bad; n-- {
			r.skip(depth + 1)
		}
	}
	switch c := r.byte(); {
	case c < 0x80 || c >= 0xE0 || c == 0xC0 || c == 0xC2 || c == 0xC3:
	case c&0xF0 == 0x80:
		many(2 * uint64(c&0x0F))
	case c&0xF0 == 0x90:
		many(uint64(c & 0x0F))
	case c&0xE0 == 0xA0:
		r.take(uint64(c & 0x1F))
	case c == 0xC4 || c == 0xD9:
		r.take(r.big(1))
	case c == 0xC5 || c == 0xDA:
		r.take(r.big(2))
	case c == 0xC6 || c == 0xDB:
		r.take(r.big(4))
	case c >= 0xC7 && c <= 0xC9:
		r.take(r.big(1<<(c-0xC7)) + 1)
	case c == 0xCA:
		r.take(4)
	case c == 0xCB:
		r.take(8)
	case c >= 0xCC && c <= 0xCF:
		r.take(1 << (c - 0xCC))
	case c >= 0xD0 && c <= 0xD3:
		r.take(1 << (c - 0xD0))
	case c >= 0xD4 && c <= 0xD8:
		r.take(1<<(c-0xD4) + 1)
	case c == 0xDC:
		many(r.big(2))
	case c == 0xDD:
		many(r.big(4))
	case c == 0xDE:
		many(2 * r.big(2))
	case c == 0xDF:
		many(2 * r.big(4))
	default:
		r.bad = true
	}
}
