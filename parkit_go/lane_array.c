/* The fast lane: arrays. */
#include "lane_python.h"

#include <stdlib.h>

#include "_cgo_export.h"

pk_entry
pk_item(const pk_value *v)
{
    return (pk_entry){NULL, NULL, v->head, v->body, 0, 0, (size_t)v->headlen, (size_t)v->bodylen};
}

static PyObject *
out_of_range(const char *text)
{
    PyErr_SetString(PyExc_IndexError, text);
    return NULL;
}

static PyObject *
array_get(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    unsigned char room[PK_ROOM];
    pk_words words = {0};
    pk_got got = {0};
    int rc;
    if (pk_arity("array_get", nargs, 2, 2) < 0)
        return NULL;
    Py_ssize_t index = PyNumber_AsSsize_t(args[1], PyExc_IndexError);
    if (index == -1 && PyErr_Occurred())
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkArrayGet(h, pk_open_scopes(), index, room, sizeof room, &got, w, &words));
    if (rc == PK_OK)
        return pk_take(&got);
    if (rc == PK_NOTFOUND)
        return out_of_range("array index out of range");
    return rc < 0 ? NULL : pk_raise(rc, &words);
}

static PyObject *
array_set(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_value value;
    int rc;
    if (pk_arity("array_set", nargs, 3, 3) < 0)
        return NULL;
    Py_ssize_t index = PyNumber_AsSsize_t(args[1], PyExc_IndexError);
    if ((index == -1 && PyErr_Occurred()) || pk_encode_value(args[2], &value) < 0)
        return NULL;
    pk_entry e = pk_item(&value);
    PK_CROSS(rc, args[0], h, w, pkArraySet(h, pk_open_scopes(), index, &e, w, &words));
    pk_value_free(&value);
    if (rc == PK_NOTFOUND)
        return out_of_range("array assignment index out of range");
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

static PyObject *
append(PyObject *obj, PyObject *item)
{
    pk_words words = {0};
    pk_value value;
    int rc;
    if (pk_encode_value(item, &value) < 0)
        return NULL;
    pk_entry e = pk_item(&value);
    PK_CROSS(rc, obj, h, w, pkArrayAppend(h, pk_open_scopes(), &e, w, &words));
    pk_value_free(&value);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

static PyObject *
array_append(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (pk_arity("array_append", nargs, 2, 2) < 0)
        return NULL;
    return append(args[0], args[1]);
}

static PyObject *
array_pop(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_got got = {0};
    pk_taken taken;
    int rc, last;
    if (pk_arity("array_pop", nargs, 2, 3) < 0 || (last = PyObject_IsTrue(args[1])) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkArrayPop(h, pk_open_scopes(), last, &got, &taken, w, &words));
    if (rc == PK_NOTFOUND)
        return out_of_range("pop from an empty array");
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return pk_hand_out(args[0], last ? PK_TO_LAST : PK_TO_FIRST, &got, &taken, NULL, nargs == 3 ? args[2] : NULL);
}

static PyObject *
array_clear(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_words words = {0};
    int rc;
    PK_CROSS(rc, obj, h, w, pkArrayClear(h, pk_open_scopes(), w, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

/* ---- Many at once ---- */

enum { COPY_BODY = 4096 }; /* up to here a body is copied; a larger one stays where it is */

static int
items_add(pk_items *all, PyObject *item)
{
    pk_value v;
    int rc = 0;
    if (pk_encode_value(item, &v) < 0)
        return -1;
    pk_entry *e = &all->entries[all->n];
    *e = (pk_entry){0};
    all->holds[all->n] = NULL;
    e->headlen = (size_t)v.headlen;
    e->bodylen = (size_t)v.bodylen;
    if (v.bodylen > COPY_BODY) {
        rc = pk_buf_append(&all->bytes, v.head, v.headlen);
        e->body = v.body;
        all->holds[all->n] = Py_XNewRef(v.hold);
    } else
        rc = pk_buf_append_value(&all->bytes, &v);
    pk_value_free(&v);
    all->n++;
    return rc;
}

int
pk_items_of(pk_items *all, PyObject *source)
{
    *all = (pk_items){0};
    pk_buf_init(&all->bytes);
    /* Pickling runs Python code, which may change a list. */
    PyObject *items = PySequence_Tuple(source);
    if (items == NULL)
        return -1;
    Py_ssize_t n = PyTuple_GET_SIZE(items);
    all->entries = PyMem_RawMalloc((size_t)(n + 1) * sizeof *all->entries);
    all->holds = PyMem_RawMalloc((size_t)(n + 1) * sizeof *all->holds);
    int rc = 0;
    if (all->entries == NULL || all->holds == NULL) {
        PyErr_NoMemory();
        rc = -1;
    }
    for (Py_ssize_t i = 0; rc == 0 && i < n; i++)
        rc = items_add(all, PyTuple_GET_ITEM(items, i));
    Py_DECREF(items);
    /* Only now, as the memory moves while it grows. */
    const unsigned char *p = all->bytes.p;
    for (Py_ssize_t i = 0; rc == 0 && i < all->n; i++) {
        pk_entry *e = &all->entries[i];
        e->head = p;
        p += e->headlen;
        if (e->body == NULL && e->bodylen) {
            e->body = p;
            p += e->bodylen;
        }
    }
    return rc;
}

void
pk_items_free(pk_items *all)
{
    for (Py_ssize_t i = 0; i < all->n; i++)
        Py_XDECREF(all->holds[i]);
    PyMem_RawFree(all->entries);
    PyMem_RawFree(all->holds);
    pk_buf_free(&all->bytes);
}

static PyObject *
array_extend(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_items all;
    if (pk_arity("array_extend", nargs, 2, 2) < 0)
        return NULL;
    int rc = pk_items_of(&all, args[1]);
    if (rc == 0)
        PK_CROSS(rc, args[0], h, w, pkArrayExtend(h, pk_open_scopes(), all.entries, all.n, w, &words));
    pk_items_free(&all);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

/* ---- Looking ---- */

static PyObject *
array_slice_length(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    Py_ssize_t start, stop, step;
    int64_t length = 0;
    int rc;
    if (pk_arity("array_slice_length", nargs, 2, 2) < 0 || PySlice_Unpack(args[1], &start, &stop, &step) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkArraySliceLength(h, pk_open_scopes(), start, stop, step, &length, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return PyLong_FromLongLong(length);
}

static PyObject *
sequence(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_words words = {0};
    uint64_t length, next, limit, pending;
    uint32_t flags;
    int rc;
    PK_CROSS(rc, obj, h, w, pkSequence(h, pk_open_scopes(), &length, &next, &limit, &pending, &flags, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return Py_BuildValue("KKKKI", (unsigned long long)length, (unsigned long long)next, (unsigned long long)limit,
                         (unsigned long long)pending, (unsigned int)flags);
}

/* array_wait(obj, position, timeout) */
static PyObject *
array_wait(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_wait wait;
    int64_t ns;
    int rc;
    if (pk_arity("array_wait", nargs, 3, 3) < 0 || pk_timeout(args[2], &ns) < 0)
        return NULL;
    unsigned long long position = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    do {
        int64_t h = pk_handle(args[0]);
        if (h < 0)
            return NULL;
        pk_wait_begin(&wait, ns);
        rc = pkArrayWait(h, pk_open_scopes(), position, &wait, &words);
        pk_wait_end(&wait);
    } while (rc == PK_STALE && pk_rebind(args[0]) == 0);
    if (rc)
        return PyErr_Occurred() && rc == PK_STALE ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

/* ---- Methods ---- */

static PyMethodDef type_methods[] = {
    {"append", append, METH_O, "Add an item at the end. A full array loses its first one."},
    {NULL, NULL, 0, NULL},
};

static PyObject *
array_install(PyObject *Py_UNUSED(module), PyObject *type)
{
    return pk_install(type, type_methods);
}

PyMethodDef pk_array_methods[] = {
    {"array_install", array_install, METH_O, "array_install(type)"},
    PK_FAST("array_get", array_get, "array_get(obj, index) -> value"),
    PK_FAST("array_set", array_set, "array_set(obj, index, value)"),
    PK_FAST("array_append", array_append, "array_append(obj, value)"),
    PK_FAST("array_pop", array_pop, "array_pop(obj, last[, decode]) -> value"),
    PK_FAST("array_extend", array_extend, "array_extend(obj, iterable)"),
    {"array_clear", array_clear, METH_O, "array_clear(obj)"},
    PK_FAST("array_wait", array_wait, "array_wait(obj, position, timeout)"),
    PK_FAST("array_slice_length", array_slice_length, "array_slice_length(obj, slice) -> int"),
    {"sequence", sequence, METH_O, "sequence(obj) -> (length, next, limit, pending, flags)"},
    {NULL, NULL, 0, NULL},
};
