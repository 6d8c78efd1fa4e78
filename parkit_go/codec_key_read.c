/* Keys from bytes to Python objects: the way back of codec_key_write.c. It
 * takes no more than what that writes, and reads no byte past the end. */
#include "codec_internal.h"

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
make_string(int tag, const unsigned char *p, Py_ssize_t n)
{
    if (tag == TAG_BYTES)
        return PyBytes_FromStringAndSize((const char *)p, n);
    if (tag == TAG_PICKLED)
        return pk_load(p, n);
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
