/* The codec's buffers, its calls into Python, and values, which are those of
 * gocore/keys/value.go. */
#include "codec_internal.h"

struct pk_python pk_python;

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
    Py_XSETREF(pk_python.pickling_error, error);
    Py_XSETREF(pk_python.five, five);
    Py_INCREF(dumps);
    Py_XSETREF(pk_python.dumps, dumps);
    Py_INCREF(loads);
    Py_XSETREF(pk_python.loads, loads);
    Py_INCREF(slow_key);
    Py_XSETREF(pk_python.slow_key, slow_key);
    Py_INCREF(slow_value);
    Py_XSETREF(pk_python.slow_value, slow_value);
    return 0;
}

int
pk_configured(void)
{
    if (pk_python.dumps != NULL)
        return 1;
    PyErr_SetString(PyExc_SystemError, "parkit's codec was used before it was configured");
    return 0;
}

/* ---- buffers ---- */

int
pk_buf_grow(pk_buf *b, Py_ssize_t n)
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
    if (!pk_configured())
        return -1;
    PyObject *arguments[] = {v, pk_python.five};
    PyObject *pickle = PyObject_Vectorcall(pk_python.dumps, arguments, 2, NULL);
    if (pickle == NULL &&
        (PyErr_ExceptionMatches(pk_python.pickling_error) || PyErr_ExceptionMatches(PyExc_TypeError) ||
         PyErr_ExceptionMatches(PyExc_AttributeError))) {
        PyErr_Clear();
        pickle = PyObject_CallOneArg(pk_python.slow_value, v);
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

PyObject *
pk_load(const unsigned char *p, Py_ssize_t n)
{
    if (!pk_configured())
        return NULL;
    if (n <= PK_COPY_LIMIT) {
        PyObject *bytes = PyBytes_FromStringAndSize((const char *)p, n);
        if (bytes == NULL)
            return NULL;
        PyObject *made = PyObject_CallOneArg(pk_python.loads, bytes);
        Py_DECREF(bytes);
        return made;
    }
    PyObject *view = PyMemoryView_FromMemory((char *)p, n, PyBUF_READ);
    if (view == NULL)
        return NULL;
    PyObject *made = PyObject_CallOneArg(pk_python.loads, view);
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
        return pk_load(p + 1, n - 1);
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

Py_ssize_t
pk_bytes_head(const unsigned char *p, Py_ssize_t n)
{
    if (n < 2 || *p < 0xC4 || *p > 0xC6)
        return 0;
    int width = 1 << (*p - 0xC4);
    return n > width && (uint64_t)(n - 1 - width) == get_be(p + 1, width) ? 1 + width : 0;
}
