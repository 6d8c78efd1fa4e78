/* See codec.h. The number format is described in gocore/keys/number.go, the
 * rest in key.go and value.go. */
#include "codec.h"

#include <stdint.h>
#include <string.h>

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

static struct {
    PyObject *dumps, *loads, *slow_key, *slow_value;
    PyObject *pickling_error, *five;
} py;

int
pk_codec_configure(PyObject *dumps, PyObject *loads, PyObject *slow_key, PyObject *slow_value)
{
    PyObject *pickle = PyImport_ImportModule("_pickle");
    if (pickle == NULL)
        return -1;
    PyObject *error = PyObject_GetAttrString(pickle, "PicklingError");
    Py_DECREF(pickle);
    PyObject *five = error == NULL ? NULL : PyLong_FromLong(5);
    if (five == NULL) {
        Py_XDECREF(error);
        return -1;
    }
    Py_XSETREF(py.pickling_error, error);
    Py_XSETREF(py.five, five);
    Py_INCREF(dumps);
    Py_XSETREF(py.dumps, dumps);
    Py_INCREF(loads);
    Py_XSETREF(py.loads, loads);
    Py_INCREF(slow_key);
    Py_XSETREF(py.slow_key, slow_key);
    Py_INCREF(slow_value);
    Py_XSETREF(py.slow_value, slow_value);
    return 0;
}

static int
configured(void)
{
    if (py.dumps != NULL)
        return 1;
    PyErr_SetString(PyExc_SystemError, "parkit's codec was used before it was configured");
    return 0;
}

/* ---- buffers ---- */

static int
buf_grow(pk_buf *b, Py_ssize_t n)
{
    if (n > PY_SSIZE_T_MAX / 2 - b->len) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t cap = b->cap * 2 > b->len + n ? b->cap * 2 : b->len + n;
    unsigned char *p = PyMem_RawRealloc(b->p == b->inl ? NULL : b->p, (size_t)cap);
    if (p == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    if (b->p == b->inl)
        memcpy(p, b->inl, (size_t)b->len);
    b->p = p;
    b->cap = cap;
    return 0;
}

/* Room for n more bytes. */
static inline int
buf_reserve(pk_buf *b, Py_ssize_t n)
{
    return b->cap - b->len >= n ? 0 : buf_grow(b, n);
}

static inline int
buf_byte(pk_buf *b, int byte)
{
    if (buf_reserve(b, 1) < 0)
        return -1;
    b->p[b->len++] = (unsigned char)byte;
    return 0;
}

int
pk_buf_append(pk_buf *b, const void *bytes, Py_ssize_t n)
{
    if (buf_reserve(b, n) < 0)
        return -1;
    if (n > 0)
        memcpy(b->p + b->len, bytes, (size_t)n);
    b->len += n;
    return 0;
}

int
pk_buf_append_value(pk_buf *b, const pk_value *v)
{
    if (pk_buf_append(b, v->head, v->headlen) < 0)
        return -1;
    return pk_buf_append(b, v->body, v->bodylen);
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

/* ---- keys: numbers ---- */

static unsigned char *
put_exponent(unsigned char *at, int flip, int64_t e)
{
    *at++ = flip ? TAG_NEGATIVE : TAG_POSITIVE;
    uint64_t mask = flip ? UINT64_MAX : 0;
    if (e + EXPONENT_BIAS <= EXPONENT_SHORT)
        return put_be(at, (uint64_t)(e + EXPONENT_BIAS) ^ mask, 2);
    at = put_be(at, EXPONENT_LONG ^ mask, 2);
    return put_be(at, (uint64_t)e ^ mask, 8);
}

/* m is the mantissa, its first bit at the top. */
static int
put_number64(pk_buf *b, int negative, uint64_t m, int64_t e)
{
    if (buf_reserve(b, 24) < 0)
        return -1;
    int flip = negative ? 0xFF : 0;
    unsigned char *at = put_exponent(b->p + b->len, flip, e);
    for (;;) {
        int group = (int)(m >> 57) << 1;
        m <<= 7;
        if (m == 0) {
            *at++ = (unsigned char)(group ^ flip);
            break;
        }
        *at++ = (unsigned char)((group | 1) ^ flip);
    }
    b->len = at - b->p;
    return 0;
}

static int
put_big_int(pk_buf *b, PyObject *o, int negative)
{
    /* Not abs(o): a subclass may have its own. */
    PyObject *absolute = PyLong_Type.tp_as_number->nb_absolute(o);
    if (absolute == NULL)
        return -1;
    int flip = negative ? 0xFF : 0;
    size_t bits = (size_t)_PyLong_NumBits(absolute);
    if (bits > EXPONENT_MAX) {
        Py_DECREF(absolute);
        PyErr_SetString(PyExc_OverflowError, "an int of more than 2**27 bits cannot be a key");
        return -1;
    }
    size_t n = (bits + 7) / 8;
    unsigned char *raw = PyMem_RawMalloc(n + 2);
    if (raw == NULL) {
        Py_DECREF(absolute);
        PyErr_NoMemory();
        return -1;
    }
#if PY_VERSION_HEX >= 0x030D0000
    int failed = _PyLong_AsByteArray((PyLongObject *)absolute, raw, n, 0, 0, 1);
#else
    int failed = _PyLong_AsByteArray((PyLongObject *)absolute, raw, n, 0, 0);
#endif
    Py_DECREF(absolute);
    raw[n] = raw[n + 1] = 0;
    size_t last = n;
    while (last > 0 && raw[last - 1] == 0)
        last--;
    size_t lead = 8 * n - bits;
    size_t width = last == 0 ? 0 : 8 * last - (size_t)__builtin_ctz(raw[last - 1]) - lead;
    size_t groups = (width + 6) / 7;
    if (failed < 0 || buf_reserve(b, (Py_ssize_t)groups + 16) < 0) {
        PyMem_RawFree(raw);
        return -1;
    }
    unsigned char *at = put_exponent(b->p + b->len, flip, (int64_t)bits);
    for (size_t i = 0, bit = lead; i < groups; i++, bit += 7) {
        unsigned window = (unsigned)raw[bit / 8] << 8 | raw[bit / 8 + 1];
        unsigned group = (window >> (9 - bit % 8) & 0x7F) << 1 | (i + 1 < groups);
        *at++ = (unsigned char)(group ^ (unsigned)flip);
    }
    b->len = at - b->p;
    PyMem_RawFree(raw);
    return 0;
}

static inline int
put_int(pk_buf *b, PyObject *o)
{
    int overflow;
    long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow != 0)
        return put_big_int(b, o, overflow < 0);
    if (v == 0)
        return buf_byte(b, TAG_ZERO);
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    int zeros = __builtin_clzll(u);
    return put_number64(b, v < 0, u << zeros, 64 - zeros);
}

static int
put_float(pk_buf *b, double v, int *inexact)
{
    uint64_t bits, m;
    memcpy(&bits, &v, sizeof bits);
    int negative = (int)(bits >> 63);
    int exponent = (int)(bits >> 52 & 0x7FF);
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    if (exponent == 0x7FF) {
        if (fraction != 0)
            return buf_byte(b, TAG_NAN);
        return buf_byte(b, negative ? TAG_MINUS_INF : TAG_PLUS_INF);
    }
    if (exponent == 0 && fraction == 0) {
        *inexact = 1;
        return buf_byte(b, TAG_ZERO);
    }
    int e;
    if (exponent == 0) {
        int zeros = __builtin_clzll(fraction);
        m = fraction << zeros;
        e = 64 - zeros - 1074;
    } else {
        m = UINT64_C(1) << 63 | fraction << 11;
        e = exponent - 1022;
    }
    if (e >= 64 - __builtin_ctzll(m))
        *inexact = 1; /* a whole number: the key gives back an int */
    return put_number64(b, negative, m, e);
}

/* ---- keys: strings ---- */

static int
put_string(pk_buf *b, int tag, const unsigned char *p, Py_ssize_t n, int nested)
{
    if (n > PY_SSIZE_T_MAX / 4) {
        PyErr_NoMemory();
        return -1;
    }
    if (buf_reserve(b, n + 3) < 0)
        return -1;
    b->p[b->len++] = (unsigned char)tag;
    if (!nested || n == 0 || memchr(p, 0, (size_t)n) == NULL) {
        memcpy(b->p + b->len, p, (size_t)n);
        b->len += n;
    } else {
        if (buf_reserve(b, 2 * n + 2) < 0)
            return -1;
        unsigned char *at = b->p + b->len;
        for (Py_ssize_t i = 0; i < n; i++) {
            if ((*at++ = p[i]) == 0)
                *at++ = ZERO_ESCAPED;
        }
        b->len = at - b->p;
    }
    if (nested) {
        b->p[b->len++] = 0;
        b->p[b->len++] = ZERO_ENDS;
    }
    return 0;
}

/* Written here and not by a codec: a surrogate is three bytes like any other. */
static int
put_wide_text(pk_buf *b, PyObject *o, int nested)
{
    Py_ssize_t n = PyUnicode_GET_LENGTH(o);
    int kind = PyUnicode_KIND(o);
    const void *data = PyUnicode_DATA(o);
    if (n > PY_SSIZE_T_MAX / 8) {
        PyErr_NoMemory();
        return -1;
    }
    if (buf_reserve(b, n * (kind == PyUnicode_1BYTE_KIND ? 2 : kind == PyUnicode_2BYTE_KIND ? 3 : 4) + 3) < 0)
        return -1;
    unsigned char *at = b->p + b->len;
    *at++ = TAG_STR;
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_UCS4 c = PyUnicode_READ(kind, data, i);
        if (c < 0x80) {
            *at++ = (unsigned char)c;
            if (c == 0 && nested)
                *at++ = ZERO_ESCAPED; /* two bytes, as much as was reserved for any */
        } else if (c < 0x800) {
            *at++ = (unsigned char)(0xC0 | c >> 6);
            *at++ = (unsigned char)(0x80 | (c & 0x3F));
        } else if (c < 0x10000) {
            *at++ = (unsigned char)(0xE0 | c >> 12);
            *at++ = (unsigned char)(0x80 | (c >> 6 & 0x3F));
            *at++ = (unsigned char)(0x80 | (c & 0x3F));
        } else {
            *at++ = (unsigned char)(0xF0 | c >> 18);
            *at++ = (unsigned char)(0x80 | (c >> 12 & 0x3F));
            *at++ = (unsigned char)(0x80 | (c >> 6 & 0x3F));
            *at++ = (unsigned char)(0x80 | (c & 0x3F));
        }
    }
    if (nested) {
        *at++ = 0;
        *at++ = ZERO_ENDS;
    }
    b->len = at - b->p;
    return 0;
}

static inline int
put_text(pk_buf *b, PyObject *o, int nested)
{
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(o) < 0)
        return -1;
#endif
    if (PyUnicode_IS_ASCII(o))
        return put_string(b, TAG_STR, PyUnicode_DATA(o), PyUnicode_GET_LENGTH(o), nested);
    return put_wide_text(b, o, nested);
}

/* ---- keys: everything ---- */

static int put_key(pk_buf *b, PyObject *o, int nested, int depth, int *inexact);

static int
too_deep(void)
{
    PyErr_SetString(PyExc_ValueError, "a key's tuples nest deeper than 200");
    return -1;
}

static int
put_tuple(pk_buf *b, PyObject *o, int depth, int *inexact)
{
    if (depth > MAX_DEPTH)
        return too_deep();
    if (buf_byte(b, TAG_TUPLE) < 0)
        return -1;
    Py_ssize_t n = PyTuple_GET_SIZE(o);
    for (Py_ssize_t i = 0; i < n; i++) {
        if (put_key(b, PyTuple_GET_ITEM(o, i), 1, depth, inexact) < 0)
            return -1;
    }
    return buf_byte(b, END_OF_ITEMS);
}

static PyObject *
frozenset_items(PyObject *o, int depth, int *inexact)
{
    PyObject *items = PyList_New(0);
    PyObject *iterator = items == NULL ? NULL : PyFrozenSet_Type.tp_iter(o);
    PyObject *item;
    while (iterator != NULL && (item = PyIter_Next(iterator)) != NULL) {
        pk_buf part;
        pk_buf_init(&part);
        int failed = put_key(&part, item, 1, depth, inexact);
        Py_DECREF(item);
        PyObject *bytes = failed < 0 ? NULL : PyBytes_FromStringAndSize((const char *)part.p, part.len);
        pk_buf_free(&part);
        if (bytes == NULL || PyList_Append(items, bytes) < 0) {
            Py_XDECREF(bytes);
            break;
        }
        Py_DECREF(bytes);
    }
    Py_XDECREF(iterator);
    if (PyErr_Occurred() || PyList_Sort(items) < 0)
        Py_CLEAR(items);
    return items;
}

static int
put_frozenset(pk_buf *b, PyObject *o, int depth, int *inexact)
{
    if (depth > MAX_DEPTH)
        return too_deep();
    PyObject *items = frozenset_items(o, depth, inexact);
    if (items == NULL)
        return -1;
    int failed = buf_byte(b, TAG_FROZENSET);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(items) && failed == 0; i++) {
        PyObject *bytes = PyList_GET_ITEM(items, i);
        if (i > 0) {
            PyObject *last = PyList_GET_ITEM(items, i - 1);
            if (PyBytes_GET_SIZE(last) == PyBytes_GET_SIZE(bytes) &&
                memcmp(PyBytes_AS_STRING(last), PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes)) == 0)
                continue;
        }
        failed = pk_buf_append(b, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
    }
    Py_DECREF(items);
    return failed < 0 ? -1 : buf_byte(b, END_OF_ITEMS);
}

static int
put_by_python(pk_buf *b, PyObject *o, int nested, int depth, int *inexact)
{
    if (!configured())
        return -1;
    if (depth > MAX_DEPTH)
        return too_deep();
    PyObject *made = PyObject_CallOneArg(py.slow_key, o);
    if (made == NULL)
        return -1;
    int failed = -1;
    if (PyBytes_CheckExact(made)) {
        failed = put_string(b, TAG_PICKLED, (unsigned char *)PyBytes_AS_STRING(made), PyBytes_GET_SIZE(made), nested);
    } else if (PyTuple_CheckExact(made) && PyTuple_GET_SIZE(made) == 1) {
        *inexact = 1;
        failed = put_key(b, PyTuple_GET_ITEM(made, 0), nested, depth + 1, inexact);
    } else {
        PyErr_SetString(PyExc_SystemError, "slow_key returned neither bytes nor a tuple of one");
    }
    Py_DECREF(made);
    return failed;
}

static int
put_other(pk_buf *b, PyObject *o, int nested, int depth, int *inexact)
{
    if (o == Py_None)
        return buf_byte(b, TAG_NONE);
    if (PyBool_Check(o)) {
        *inexact = 1;
        return put_int(b, o);
    }
    if (PyFrozenSet_CheckExact(o))
        return put_frozenset(b, o, depth + 1, inexact);
    /* What a dict refuses, with the words a dict has for it. */
    if (PyObject_Hash(o) == -1 && PyErr_Occurred())
        return -1;
    int lost = 1;
    int failed;
    if (PyUnicode_Check(o))
        failed = put_text(b, o, nested);
    else if (PyLong_Check(o))
        failed = put_int(b, o);
    else if (PyFloat_Check(o))
        failed = put_float(b, PyFloat_AS_DOUBLE(o), &lost);
    else if (PyBytes_Check(o))
        failed = put_string(b, TAG_BYTES, (unsigned char *)PyBytes_AS_STRING(o), PyBytes_GET_SIZE(o), nested);
    else if (PyTuple_Check(o))
        failed = put_tuple(b, o, depth + 1, &lost);
    else if (PyFrozenSet_Check(o))
        failed = put_frozenset(b, o, depth + 1, &lost);
    else
        return put_by_python(b, o, nested, depth, inexact);
    *inexact = 1;
    return failed;
}

static int
put_key(pk_buf *b, PyObject *o, int nested, int depth, int *inexact)
{
    PyTypeObject *type = Py_TYPE(o);
    if (type == &PyUnicode_Type)
        return put_text(b, o, nested);
    if (type == &PyLong_Type)
        return put_int(b, o);
    if (type == &PyTuple_Type)
        return put_tuple(b, o, depth + 1, inexact);
    if (type == &PyBytes_Type)
        return put_string(b, TAG_BYTES, (unsigned char *)PyBytes_AS_STRING(o), PyBytes_GET_SIZE(o), nested);
    if (type == &PyFloat_Type)
        return put_float(b, PyFloat_AS_DOUBLE(o), inexact);
    return put_other(b, o, nested, depth, inexact);
}

int
pk_encode_key(PyObject *key, pk_buf *enc, pk_buf *own)
{
    Py_ssize_t start = enc->len;
    int inexact = 0;
    if (put_key(enc, key, 0, 0, &inexact) == 0) {
        if (!inexact)
            return 0;
        pk_value value;
        if (pk_encode_value(key, &value) == 0) {
            int failed = pk_buf_append_value(own, &value);
            pk_value_free(&value);
            if (failed == 0)
                return 0;
        }
    }
    enc->len = start;
    return -1;
}

/* ---- keys: reading ---- */

typedef struct {
    const unsigned char *at, *end;
} reader;

static PyObject *get_key(reader *r, int nested, int depth);

static PyObject *
damaged_key(void)
{
    PyErr_SetString(PyExc_ValueError, "damaged key: these bytes are not an encoded key");
    return NULL;
}

static PyObject *
negated(PyObject *o, int negative)
{
    if (o == NULL || !negative)
        return o;
    PyObject *made = PyLong_Type.tp_as_number->nb_negative(o);
    Py_DECREF(o);
    return made;
}

static PyObject *
get_big_int(const unsigned char *groups, size_t n, int flip, size_t e)
{
    size_t size = (e + 7) / 8;
    unsigned char *raw = PyMem_RawCalloc(size + 2, 1);
    if (raw == NULL)
        return PyErr_NoMemory();
    for (size_t i = 0, bit = 8 * size - e; i < n; i++, bit += 7) {
        unsigned window = (unsigned)((groups[i] ^ flip) >> 1) << (9 - bit % 8);
        raw[bit / 8] |= (unsigned char)(window >> 8);
        raw[bit / 8 + 1] |= (unsigned char)window;
    }
    PyObject *made = _PyLong_FromByteArray(raw, size, 0, 0);
    PyMem_RawFree(raw);
    return negated(made, flip);
}

static PyObject *
get_fraction(uint64_t m, int64_t e, int negative)
{
    uint64_t bits;
    if (e > -1022) {
        bits = (uint64_t)(e + 1022) << 52 | (m << 1) >> 12;
    } else {
        int shift = (int)(-1010 - e);
        if (shift > 63 || m >> shift << shift != m)
            return damaged_key();
        bits = m >> shift;
    }
    bits |= (uint64_t)negative << 63;
    double v;
    memcpy(&v, &bits, sizeof v);
    return PyFloat_FromDouble(v);
}

static PyObject *
get_number(reader *r, int negative)
{
    unsigned flip = negative ? 0xFF : 0;
    const unsigned char *p = r->at;
    if (r->end - p < 3)
        return damaged_key();
    int64_t e = (int64_t)(get_be(p, 2) ^ (negative ? 0xFFFF : 0));
    p += 2;
    if (e > EXPONENT_SHORT) {
        if (e != EXPONENT_LONG || r->end - p < 9)
            return damaged_key();
        uint64_t wide = get_be(p, 8) ^ (negative ? UINT64_MAX : 0);
        p += 8;
        if (wide > EXPONENT_MAX || wide <= EXPONENT_SHORT - EXPONENT_BIAS)
            return damaged_key();
        e = (int64_t)wide;
    } else {
        e -= EXPONENT_BIAS;
    }
    uint64_t m = 0;
    int place = 57;
    const unsigned char *q = p;
    unsigned group;
    do {
        if (q == r->end)
            return damaged_key();
        group = *q++ ^ flip;
        m |= place >= 0 ? (uint64_t)(group >> 1) << place : place >= -6 ? (uint64_t)(group >> 1) >> -place : 0;
        place -= 7;
    } while (group & 1);
    if ((*p ^ flip) < 0x80 || group == 0)
        return damaged_key();
    r->at = q;
    int64_t width = 7 * (int64_t)(q - p) - __builtin_ctz(group >> 1);
    if (e < width)
        return width > 53 ? damaged_key() : get_fraction(m, e, negative);
    if (e > 64)
        return get_big_int(p, (size_t)(q - p), (int)flip, (size_t)e);
    uint64_t u = m >> (64 - e);
    if (u < UINT64_C(1) << 63)
        return PyLong_FromLongLong(negative ? -(long long)u : (long long)u);
    return negated(PyLong_FromUnsignedLongLong(u), negative);
}

static PyObject *
get_pickle(const unsigned char *p, Py_ssize_t n)
{
    if (!configured())
        return NULL;
    if (n <= PK_COPY_LIMIT) {
        PyObject *bytes = PyBytes_FromStringAndSize((const char *)p, n);
        if (bytes == NULL)
            return NULL;
        PyObject *made = PyObject_CallOneArg(py.loads, bytes);
        Py_DECREF(bytes);
        return made;
    }
    PyObject *view = PyMemoryView_FromMemory((char *)p, n, PyBUF_READ);
    if (view == NULL)
        return NULL;
    PyObject *made = PyObject_CallOneArg(py.loads, view);
    /* Nobody may read p through the view once this returns: should one still
     * hold it, release fails, and that is the error to report. */
    PyObject *type = NULL, *value = NULL, *trace = NULL;
    PyErr_Fetch(&type, &value, &trace);
    PyObject *released = PyObject_CallMethod(view, "release", NULL);
    Py_DECREF(view);
    if (released != NULL) {
        Py_DECREF(released);
        PyErr_Restore(type, value, trace);
        return made;
    }
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(trace);
    Py_XDECREF(made);
    return NULL;
}

static PyObject *
make_string(int tag, const unsigned char *p, Py_ssize_t n)
{
    if (tag == TAG_BYTES)
        return PyBytes_FromStringAndSize((const char *)p, n);
    if (tag == TAG_PICKLED)
        return get_pickle(p, n);
    return PyUnicode_DecodeUTF8((const char *)p, n, "surrogatepass");
}

static PyObject *
get_string(reader *r, int tag, int nested)
{
    const unsigned char *start = r->at;
    if (!nested) {
        r->at = r->end;
        return make_string(tag, start, r->end - start);
    }
    const unsigned char *zero = start;
    int escapes = 0;
    for (;;) {
        zero = memchr(zero, 0, (size_t)(r->end - zero));
        if (zero == NULL || r->end - zero < 2)
            return damaged_key();
        if (zero[1] == ZERO_ENDS)
            break;
        if (zero[1] != ZERO_ESCAPED)
            return damaged_key();
        escapes = 1;
        zero += 2;
    }
    r->at = zero + 2;
    if (!escapes)
        return make_string(tag, start, zero - start);
    unsigned char *plain = PyMem_RawMalloc((size_t)(zero - start));
    if (plain == NULL)
        return PyErr_NoMemory();
    Py_ssize_t n = 0;
    for (const unsigned char *p = start; p < zero; p++) {
        if ((plain[n++] = *p) == 0)
            p++;
    }
    PyObject *made = make_string(tag, plain, n);
    PyMem_RawFree(plain);
    return made;
}

static PyObject *
get_items(reader *r, int depth)
{
    if (depth > MAX_DEPTH)
        return damaged_key();
    PyObject *few[8];
    Py_ssize_t n = 0;
    PyObject *many = NULL, *made = NULL;
    for (;;) {
        if (r->at == r->end) {
            damaged_key();
            goto done;
        }
        if (*r->at == END_OF_ITEMS)
            break;
        PyObject *item = get_key(r, 1, depth);
        if (item == NULL)
            goto done;
        if (n < 8 && many == NULL) {
            few[n++] = item;
            continue;
        }
        if (many == NULL)
            many = PyList_New(0);
        int failed = many == NULL ? -1 : PyList_Append(many, item);
        Py_DECREF(item);
        if (failed < 0)
            goto done;
    }
    r->at++;
    Py_ssize_t more = many == NULL ? 0 : PyList_GET_SIZE(many);
    made = PyTuple_New(n + more);
    if (made == NULL)
        goto done;
    for (Py_ssize_t i = 0; i < n; i++)
        PyTuple_SET_ITEM(made, i, few[i]);
    for (Py_ssize_t i = 0; i < more; i++)
        PyTuple_SET_ITEM(made, n + i, Py_NewRef(PyList_GET_ITEM(many, i)));
    n = 0;
done:
    for (Py_ssize_t i = 0; i < n; i++)
        Py_DECREF(few[i]);
    Py_XDECREF(many);
    return made;
}

static PyObject *
get_key(reader *r, int nested, int depth)
{
    if (r->at == r->end)
        return damaged_key();
    int tag = *r->at++;
    switch (tag) {
    case TAG_STR:
    case TAG_BYTES:
    case TAG_PICKLED:
        return get_string(r, tag, nested);
    case TAG_POSITIVE:
    case TAG_NEGATIVE:
        return get_number(r, tag == TAG_NEGATIVE);
    case TAG_ZERO:
        return PyLong_FromLong(0);
    case TAG_NONE:
        Py_RETURN_NONE;
    case TAG_PLUS_INF:
        return PyFloat_FromDouble(Py_HUGE_VAL);
    case TAG_MINUS_INF:
        return PyFloat_FromDouble(-Py_HUGE_VAL);
    case TAG_NAN:
        return PyFloat_FromDouble(Py_NAN);
    case TAG_TUPLE:
        return get_items(r, depth + 1);
    case TAG_FROZENSET: {
        PyObject *items = get_items(r, depth + 1);
        if (items == NULL)
            return NULL;
        PyObject *made = PyFrozenSet_New(items);
        Py_DECREF(items);
        return made;
    }
    }
    return damaged_key();
}

PyObject *
pk_decode_key(const unsigned char *enc, Py_ssize_t n, const unsigned char *own, Py_ssize_t ownlen)
{
    if (ownlen > 0)
        return pk_decode_value(own, ownlen);
    reader r = {enc, enc + n};
    PyObject *made = get_key(&r, 0, 0);
    if (made != NULL && r.at != r.end) {
        Py_DECREF(made);
        return damaged_key();
    }
    return made;
}

/* ---- values ---- */

static int
set_head(pk_value *out, int tag, uint64_t u, int size)
{
    out->head[0] = (unsigned char)tag;
    put_be(out->head + 1, u, size);
    out->headlen = 1 + size;
    return 0;
}

/* The head of a str, bin or ext: fix+n up to fixmax, else wide, wide+1, wide+2. */
static int
set_sized(pk_value *out, int fix, int fixmax, int wide, Py_ssize_t n)
{
    if (n <= fixmax)
        return set_head(out, fix + (int)n, 0, 0);
    if (n <= 0xFF)
        return set_head(out, wide, (uint64_t)n, 1);
    if (n <= 0xFFFF)
        return set_head(out, wide + 1, (uint64_t)n, 2);
    if ((uint64_t)n <= UINT32_MAX)
        return set_head(out, wide + 2, (uint64_t)n, 4);
    PyErr_Format(PyExc_OverflowError, "a value of %zd bytes is too large: the limit is 4 GiB", n);
    return -1;
}

static int
set_body(pk_value *out, PyObject *hold, const void *p, Py_ssize_t n)
{
    Py_INCREF(hold);
    out->hold = hold;
    out->body = p;
    out->bodylen = n;
    return 0;
}

static int
set_pickle(pk_value *out, PyObject *pickle)
{
    if (!PyBytes_Check(pickle)) {
        PyErr_SetString(PyExc_SystemError, "a pickling function returned something else than bytes");
        return -1;
    }
    Py_ssize_t n = PyBytes_GET_SIZE(pickle);
    int tag = n == 1 ? 0xD4 : n == 2 ? 0xD5 : n == 4 ? 0xD6 : n == 8 ? 0xD7 : n == 16 ? 0xD8 : 0;
    if ((tag != 0 ? set_head(out, tag, 0, 0) : set_sized(out, 0, -1, 0xC7, n)) < 0)
        return -1;
    out->head[out->headlen++] = EXT_PICKLE;
    return set_body(out, pickle, PyBytes_AS_STRING(pickle), n);
}

static int
set_by_pickling(pk_value *out, PyObject *v)
{
    if (!configured())
        return -1;
    PyObject *arguments[] = {v, py.five};
    PyObject *pickle = PyObject_Vectorcall(py.dumps, arguments, 2, NULL);
    if (pickle == NULL &&
        (PyErr_ExceptionMatches(py.pickling_error) || PyErr_ExceptionMatches(PyExc_TypeError) ||
         PyErr_ExceptionMatches(PyExc_AttributeError))) {
        PyErr_Clear();
        pickle = PyObject_CallOneArg(py.slow_value, v);
    }
    if (pickle == NULL)
        return -1;
    int failed = set_pickle(out, pickle);
    Py_DECREF(pickle);
    return failed;
}

static int
set_int(pk_value *out, PyObject *o)
{
    int overflow;
    long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow == 0) {
        if (v >= -32 && v < 128)
            return set_head(out, (int)(v & 0xFF), 0, 0);
        uint64_t u = (uint64_t)v;
        if (v > 0)
            return v <= 0xFF         ? set_head(out, 0xCC, u, 1)
                   : v <= 0xFFFF     ? set_head(out, 0xCD, u, 2)
                   : v <= UINT32_MAX ? set_head(out, 0xCE, u, 4)
                                     : set_head(out, 0xCF, u, 8);
        return v >= INT8_MIN    ? set_head(out, 0xD0, u, 1)
               : v >= INT16_MIN ? set_head(out, 0xD1, u, 2)
               : v >= INT32_MIN ? set_head(out, 0xD2, u, 4)
                                : set_head(out, 0xD3, u, 8);
    }
    if (overflow > 0) {
        uint64_t u = PyLong_AsUnsignedLongLong(o);
        if (!(u == UINT64_MAX && PyErr_Occurred()))
            return set_head(out, 0xCF, u, 8);
        PyErr_Clear();
    }
    return set_by_pickling(out, o);
}

static int
set_text(pk_value *out, PyObject *o)
{
#if PY_VERSION_HEX < 0x030C0000
    if (PyUnicode_READY(o) < 0)
        return -1;
#endif
    if (PyUnicode_IS_ASCII(o)) {
        Py_ssize_t n = PyUnicode_GET_LENGTH(o);
        if (set_sized(out, 0xA0, 31, 0xD9, n) < 0)
            return -1;
        return set_body(out, o, PyUnicode_DATA(o), n);
    }
    /* Not PyUnicode_AsUTF8: it would leave a second copy of the text with o. */
    PyObject *utf8 = PyUnicode_AsUTF8String(o);
    if (utf8 == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError))
            return -1;
        PyErr_Clear();
        return set_by_pickling(out, o);
    }
    Py_ssize_t n = PyBytes_GET_SIZE(utf8);
    int failed = set_sized(out, 0xA0, 31, 0xD9, n);
    if (failed == 0)
        set_body(out, utf8, PyBytes_AS_STRING(utf8), n);
    Py_DECREF(utf8);
    return failed;
}

int
pk_encode_value(PyObject *v, pk_value *out)
{
    out->hold = NULL;
    out->body = NULL;
    out->bodylen = 0;
    PyTypeObject *type = Py_TYPE(v);
    if (type == &PyUnicode_Type)
        return set_text(out, v);
    if (type == &PyLong_Type)
        return set_int(out, v);
    if (type == &PyFloat_Type) {
        double d = PyFloat_AS_DOUBLE(v);
        uint64_t u;
        memcpy(&u, &d, sizeof u);
        return set_head(out, 0xCB, u, 8);
    }
    if (type == &PyBytes_Type) {
        Py_ssize_t n = PyBytes_GET_SIZE(v);
        if (set_sized(out, 0, -1, 0xC4, n) < 0)
            return -1;
        return set_body(out, v, PyBytes_AS_STRING(v), n);
    }
    if (v == Py_None)
        return set_head(out, 0xC0, 0, 0);
    if (type == &PyBool_Type)
        return set_head(out, v == Py_True ? 0xC3 : 0xC2, 0, 0);
    return set_by_pickling(out, v);
}

static PyObject *
damaged_value(void)
{
    PyErr_SetString(PyExc_ValueError, "damaged value: these bytes are not an encoded value");
    return NULL;
}

static PyObject *
get_number_value(int tag, const unsigned char *p, Py_ssize_t n)
{
    /* 0xCA float32, 0xCB float64, 0xCC..0xCF uint 8..64, 0xD0..0xD3 int 8..64 */
    int size = tag < 0xCC ? 4 << (tag - 0xCA) : 1 << ((tag - 0xCC) & 3);
    if (n != size)
        return damaged_value();
    uint64_t u = get_be(p, size);
    if (tag == 0xCB) {
        double d;
        memcpy(&d, &u, sizeof d);
        return PyFloat_FromDouble(d);
    }
    if (tag == 0xCA) {
        uint32_t narrow = (uint32_t)u;
        float f;
        memcpy(&f, &narrow, sizeof f);
        return PyFloat_FromDouble(f);
    }
    if (tag <= 0xCF)
        return PyLong_FromUnsignedLongLong(u);
    int shift = 64 - 8 * size;
    return PyLong_FromLongLong((int64_t)(u << shift) >> shift);
}

static PyObject *
get_ext(const unsigned char *p, Py_ssize_t n)
{
    if (p[0] == EXT_PICKLE)
        return get_pickle(p + 1, n - 1);
    if (p[0] == EXT_KEY)
        return pk_decode_key(p + 1, n - 1, NULL, 0);
    return damaged_value();
}

PyObject *
pk_decode_value(const unsigned char *p, Py_ssize_t n)
{
    if (n <= 0)
        return damaged_value();
    int tag = *p++;
    n--;
    if (tag < 0x80 || tag >= 0xE0)
        return n == 0 ? PyLong_FromLong((signed char)tag) : damaged_value();
    if ((tag & 0xE0) == 0xA0)
        return n == (tag & 31) ? PyUnicode_DecodeUTF8((const char *)p, n, NULL) : damaged_value();
    if (tag >= 0xCA && tag <= 0xD3)
        return get_number_value(tag, p, n);
    if (tag >= 0xD4 && tag <= 0xD8)
        return n == 1 + ((Py_ssize_t)1 << (tag - 0xD4)) ? get_ext(p, n) : damaged_value();
    switch (tag) {
    case 0xC0:
        return n == 0 ? Py_NewRef(Py_None) : damaged_value();
    case 0xC2:
    case 0xC3:
        return n == 0 ? Py_NewRef(tag == 0xC3 ? Py_True : Py_False) : damaged_value();
    case 0xC4: case 0xC5: case 0xC6: /* bin */
    case 0xC7: case 0xC8: case 0xC9: /* ext: its type stands behind the size */
    case 0xD9: case 0xDA: case 0xDB: /* str */
        break;
    default:
        return damaged_value();
    }
    int ext = tag >= 0xC7 && tag <= 0xC9;
    int width = 1 << (tag >= 0xD9 ? tag - 0xD9 : ext ? tag - 0xC7 : tag - 0xC4);
    if (n < width + ext || (uint64_t)(n - width - ext) != get_be(p, width))
        return damaged_value();
    p += width;
    n -= width;
    if (ext)
        return get_ext(p, n);
    if (tag >= 0xD9)
        return PyUnicode_DecodeUTF8((const char *)p, n, NULL);
    return PyBytes_FromStringAndSize((const char *)p, n);
}
