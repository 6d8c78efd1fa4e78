/* What the files of the codec share; codec.h is its interface. */
#ifndef PARKIT_CODEC_INTERNAL_H
#define PARKIT_CODEC_INTERNAL_H

#include "codec.h"

#include <stdint.h>
#include <string.h>

/* The numbers of gocore/keys. */
enum {
    TAG_NONE = 0x05,
    TAG_MINUS_INF = 0x10, TAG_NEGATIVE, TAG_ZERO, TAG_POSITIVE, TAG_PLUS_INF, TAG_NAN,
    TAG_STR = 0x20,
    TAG_BYTES = 0x28,
    TAG_TUPLE = 0x30,
    TAG_FROZENSET = 0x38,
    TAG_PICKLED = 0x40,

    END_OF_ITEMS = 0x00,
    ZERO_ESCAPED = 0xFF,
    ZERO_ENDS = 0x01,

    EXPONENT_BIAS = 0x2000,
    EXPONENT_SHORT = 0xEFFF,
    EXPONENT_LONG = 0xFFFF,
    EXPONENT_MAX = 1 << 27,

    MAX_DEPTH = 200,

    EXT_PICKLE = 1,
    EXT_KEY = 2,
};

/* The Python functions in use; all are set, or none. */
struct pk_python {
    PyObject *dumps, *loads, *slow_key, *slow_value;
    PyObject *pickling_error, *five;
};
extern struct pk_python pk_python;

/* 1, or 0 with an exception set. */
int pk_configured(void);
int pk_buf_grow(pk_buf *b, Py_ssize_t n);
PyObject *pk_load(const unsigned char *pickle, Py_ssize_t n);

/* Room for n more bytes. */
static inline int
buf_reserve(pk_buf *b, Py_ssize_t n)
{
    return b->cap - b->len >= n ? 0 : pk_buf_grow(b, n);
}

static inline int
buf_byte(pk_buf *b, int byte)
{
    if (buf_reserve(b, 1) < 0)
        return -1;
    b->p[b->len++] = (unsigned char)byte;
    return 0;
}

static inline unsigned char *
put_be(unsigned char *at, uint64_t u, int size)
{
    for (int shift = 8 * (size - 1); shift >= 0; shift -= 8)
        *at++ = (unsigned char)(u >> shift);
    return at;
}

static inline uint64_t
get_be(const unsigned char *at, int size)
{
    uint64_t u = 0;
    for (int i = 0; i < size; i++)
        u = u << 8 | at[i];
    return u;
}

#endif
