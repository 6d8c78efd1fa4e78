/* Keys from Python objects to bytes. The number format is described in
 * gocore/keys/number.go, the rest in key.go. */
#include "codec_internal.h"

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
    if (!pk_configured())
        return -1;
    if (depth > MAX_DEPTH)
        return too_deep();
    PyObject *made = PyObject_CallOneArg(pk_python.slow_key, o);
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
