/* The fast lane: files. */
#include "lane_python.h"

#include <stdlib.h>

#include "_cgo_export.h"

static int
as_offset(PyObject *number, int64_t *offset)
{
    PyObject *index = PyNumber_Index(number);
    if (index == NULL)
        return -1;
    *offset = PyLong_AsLongLong(index);
    Py_DECREF(index);
    return *offset == -1 && PyErr_Occurred() ? -1 : 0;
}

/* Reads into memory; a code, negative with an exception set. */
static int
read_into(PyObject *obj, int64_t offset, void *memory, size_t n, size_t *done, int64_t *size, pk_words *out)
{
    pk_words words = {0};
    int rc;
    PK_CROSS(rc, obj, h, w, pkFileRead(h, pk_open_scopes(), offset, memory, n, done, size, w, &words));
    *out = words;
    return rc;
}

/* file_read(obj, offset, n, writable): up to n bytes, all there are where n is negative. */
static PyObject *
file_read(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t offset, wanted, size = 0;
    size_t done = 0;
    if (pk_arity("file_read", nargs, 4, 4) < 0 || as_offset(args[1], &offset) < 0 || as_offset(args[2], &wanted) < 0)
        return NULL;
    int writable = PyObject_IsTrue(args[3]);
    if (writable < 0)
        return NULL;
    int rc = read_into(args[0], offset, NULL, 0, &done, &size, &words);
    for (;;) {
        if (rc)
            return rc < 0 ? NULL : pk_raise(rc, &words);
        int64_t left = size > offset ? size - offset : 0;
        int64_t n = wanted < 0 || wanted > left ? left : wanted;
        PyObject *result = writable ? PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)n)
                                    : PyBytes_FromStringAndSize(NULL, (Py_ssize_t)n);
        if (result == NULL || n == 0)
            return result;
        void *memory = writable ? PyByteArray_AS_STRING(result) : PyBytes_AS_STRING(result);
        rc = read_into(args[0], offset, memory, (size_t)n, &done, &size, &words);
        if (rc == PK_OK && (int64_t)done == n && (wanted >= 0 || offset + n == size))
            return result;
        Py_DECREF(result); /* it has another size meanwhile: once more */
    }
}

static PyObject *
file_readinto(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t offset, size = 0;
    size_t done = 0;
    Py_buffer buffer;
    if (pk_arity("file_readinto", nargs, 3, 3) < 0 || as_offset(args[1], &offset) < 0 ||
        PyObject_GetBuffer(args[2], &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    int rc = read_into(args[0], offset, buffer.buf, (size_t)buffer.len, &done, &size, &words);
    PyBuffer_Release(&buffer);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return PyLong_FromSize_t(done);
}

/* A description in JSON, or None. */
static int
as_about(PyObject *about, const char **text, Py_ssize_t *n)
{
    *text = NULL;
    *n = 0;
    if (about == Py_None)
        return 0;
    if (!PyUnicode_Check(about)) {
        PyErr_Format(PyExc_TypeError, "expected str or None, not %.200s", Py_TYPE(about)->tp_name);
        return -1;
    }
    *text = PyUnicode_AsUTF8AndSize(about, n);
    return *text == NULL ? -1 : 0;
}

/* file_write(obj, offset, data, about): with about, the content is replaced. */
static PyObject *
file_write(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t offset, end = 0;
    const char *about;
    Py_ssize_t aboutlen;
    Py_buffer data;
    int rc;
    if (pk_arity("file_write", nargs, 4, 4) < 0 || as_offset(args[1], &offset) < 0 ||
        as_about(args[3], &about, &aboutlen) < 0 || PyObject_GetBuffer(args[2], &data, PyBUF_SIMPLE) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w,
             pkFileWrite(h, pk_open_scopes(), offset, data.buf, (size_t)data.len, about != NULL, (void *)about, aboutlen,
                         &end, w, &words));
    PyBuffer_Release(&data);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return PyLong_FromLongLong(end);
}

/* file_set(obj, data, about) */
static PyObject *
file_set(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    const char *about;
    Py_ssize_t aboutlen;
    Py_buffer data;
    int rc;
    if (pk_arity("file_set", nargs, 3, 3) < 0 || as_about(args[2], &about, &aboutlen) < 0 ||
        PyObject_GetBuffer(args[1], &data, PyBUF_SIMPLE) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w,
             pkFileSet(h, pk_open_scopes(), data.buf, (size_t)data.len, (void *)about, aboutlen, w, &words));
    PyBuffer_Release(&data);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

static PyObject *
file_truncate(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t size;
    int rc;
    if (pk_arity("file_truncate", nargs, 2, 2) < 0 || as_offset(args[1], &size) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkFileTruncate(h, pk_open_scopes(), size, w, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

static PyObject *
file_about(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_words words = {0};
    pk_got got = {0};
    int rc;
    PK_CROSS(rc, obj, h, w, pkFileAbout(h, pk_open_scopes(), &got, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    PyObject *text = PyUnicode_DecodeUTF8((const char *)got.p, (Py_ssize_t)got.n, NULL);
    free((void *)got.p);
    return text;
}

PyMethodDef pk_file_methods[] = {
    {"file_about", file_about, METH_O, "file_about(obj) -> str"},
    PK_FAST("file_read", file_read, "file_read(obj, offset, n, writable) -> bytes | bytearray"),
    PK_FAST("file_readinto", file_readinto, "file_readinto(obj, offset, buffer) -> int"),
    PK_FAST("file_write", file_write, "file_write(obj, offset, data, about) -> int, the offset behind it"),
    PK_FAST("file_set", file_set, "file_set(obj, data, about)"),
    PK_FAST("file_truncate", file_truncate, "file_truncate(obj, size)"),
    {NULL, NULL, 0, NULL},
};
