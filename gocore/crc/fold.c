#include "fold.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

// Bytes are polynomials over GF(2), the first bit of the first byte the highest
// power. 16 of them, read as they lie in memory, are a register whose bit i is
// the coefficient of x^(127-i). Of the sum only the remainder by CRC-32C's polynomial
// counts; so a register S that stands d bits before another one is folded
// into that by adding S * x^d mod P, that is lo * x^(d+64) + hi * x^d of its
// halves. PCLMULQDQ's product of two such halves is one bit short of being
// such a register, hence the constants are x^(d+63) and x^(d-1), which TestConstants
// computes.
#define FOLD_2048 0xE9A5D8BE00000000, 0x1426A81500000000
#define FOLD_512 0x1C19243B00000000, 0x75BBA45B00000000
#define FOLD_128 0x3743F7BD00000000, 0x3171D43000000000

#define WIDE __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,vpclmulqdq,pclmul,sse4.2")))

static inline WIDE __m512i
fold(__m512i s, __m512i k, __m512i next)
{
	__m512i lo = _mm512_clmulepi64_epi128(s, k, 0x00), hi = _mm512_clmulepi64_epi128(s, k, 0x11);
	return _mm512_ternarylogic_epi64(lo, hi, next, 0x96);
}

static inline WIDE __m128i
fold_128(__m128i s, __m128i k, __m128i next)
{
	return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(s, k, 0x00), _mm_clmulepi64_si128(s, k, 0x11)), next);
}

int pk_crc_folds(void)
{
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
	       __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.2");
}

// From this size on what is copied is not kept in the cache: it would push out
// more than it is worth. Such stores want whole, aligned lines.
enum { STREAMED = 1 << 20 };

static inline WIDE void put(uint8_t *dst, __m512i d, int stream)
{
	if (stream)
		_mm512_stream_si512((void *)dst, d);
	else
		_mm512_storeu_si512(dst, d);
}

// Sums, and copies, bytes one by one.
static inline WIDE uint64_t bytewise(uint64_t sum, uint8_t *dst, const uint8_t *src, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t byte = src[i];
		if (dst)
			dst[i] = byte;
		sum = _mm_crc32_u8((uint32_t)sum, byte);
	}
	return sum;
}

WIDE uint32_t pk_crc_fold(uint32_t crc, uint8_t *dst, const uint8_t *src, size_t n)
{
	uint64_t sum = (uint32_t)~crc;
	int stream = dst && n >= STREAMED;
	if (stream) {
		size_t before = -(uintptr_t)dst & 63;
		sum = bytewise(sum, dst, src, before);
		dst += before;
		src += before;
		n -= before;
	}
	if (n >= 256) {
		static const uint64_t k2048[2] = {FOLD_2048}, k512[2] = {FOLD_512}, k128[2] = {FOLD_128};
		__m512i k = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)k2048));
		__m512i d[4], s[4];
		for (int i = 0; i < 4; i++) {
			s[i] = _mm512_loadu_si512(src + 64 * i);
			if (dst)
				put(dst + 64 * i, s[i], stream);
		}
		// What came before is added to the first bytes.
		s[0] = _mm512_xor_si512(s[0], _mm512_zextsi128_si512(_mm_cvtsi64_si128((long long)sum)));
		src += 256;
		n -= 256;
		if (dst)
			dst += 256;
		for (; n >= 256; n -= 256, src += 256) {
			for (int i = 0; i < 4; i++)
				d[i] = _mm512_loadu_si512(src + 64 * i);
			if (dst) {
				for (int i = 0; i < 4; i++)
					put(dst + 64 * i, d[i], stream);
				dst += 256;
			}
			for (int i = 0; i < 4; i++)
				s[i] = fold(s[i], k, d[i]);
		}
		k = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)k512));
		__m512i one = fold(fold(fold(s[0], k, s[1]), k, s[2]), k, s[3]);
		__m128i small = _mm_loadu_si128((const __m128i *)k128), last = _mm512_extracti32x4_epi32(one, 0);
		last = fold_128(last, small, _mm512_extracti32x4_epi32(one, 1));
		last = fold_128(last, small, _mm512_extracti32x4_epi32(one, 2));
		last = fold_128(last, small, _mm512_extracti32x4_epi32(one, 3));
		sum = _mm_crc32_u64(0, (uint64_t)_mm_extract_epi64(last, 0));
		sum = _mm_crc32_u64(sum, (uint64_t)_mm_extract_epi64(last, 1));
	}
	for (; n >= 8; n -= 8, src += 8) {
		uint64_t word;
		memcpy(&word, src, 8);
		if (dst) {
			memcpy(dst, &word, 8);
			dst += 8;
		}
		sum = _mm_crc32_u64(sum, word);
	}
	if (stream)
		_mm_sfence();
	return ~(uint32_t)bytewise(sum, dst, src, n);
}

#else

int pk_crc_folds(void) { return 0; }

uint32_t pk_crc_fold(uint32_t crc, uint8_t *dst, const uint8_t *src, size_t n)
{
	(void)dst, (void)src, (void)n;
	return crc; // never called
}

#endif
