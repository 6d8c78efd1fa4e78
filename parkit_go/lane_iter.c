/* The fast lane: iterators over dicts and arrays. Go hands over entries in batches; an
 * iterator takes them apart one by one. */
#include "lane_python.h"

#include "_cgo_export.h"

typedef struct {
    PyObject_HEAD
    uintptr_t cursor; /* Go's, 0 when it has nothing more */
    pk_batch batch;
    size_t at;
    int what;
} iterator;

static uint32_t
length_at(const unsigned char *p)
{
    uint32_t n;
    memcpy(&n, p, sizeof n);
    return n;
}

/* The key (0), value (1) or both (2) of a packed entry; *next is where the next
 * one begins. */
static PyObject *
unpack(const unsigned char *p, int what, const unsigned char **next)
{
    uint32_t nkey = length_at(p), nown = length_at(p + 4), nvalue = length_at(p + 8);
    const unsigned char *key = p + 12, *own = key + nkey, *value = own + nown;
    *next = value + nvalue;
    PyObject *k = NULL, *v = NULL;
    if (what != 1 && (k = pk_decode_key(key, nkey, own, nown)) == NULL)
        return NULL;
    if (what == 0)
        return k;
    if ((v = pk_decode_value(value, nvalue)) == NULL || what == 1) {
        Py_XDECREF(k);
        return v;
    }
    PyObject *item = PyTuple_New(2);
    if (item == NULL) {
        Py_DECREF(k);
        Py_DECREF(v);
        return NULL;
    }
    PyTuple_SET_ITEM(item, 0, k);
    PyTuple_SET_ITEM(item, 1, v);
    return item;
}

static int
refill(iterator *it)
{
    pk_words words = {0};
    if (pk_dead()) {
        pk_words text = {0};
        text.detail = strdup("the iterator belongs to the parent process; iterate again in this one");
        pk_raise(PK_STALE, &text);
        return -1;
    }
    it->at = 0;
    it->batch.n = 0;
    int rc = pkCursorNext(it->cursor, &it->batch, &words);
    if (rc) {
        pk_raise(rc, &words);
        return -1;
    }
    return 0;
}

static PyObject *
iterator_next(PyObject *self)
{
    iterator *it = (iterator *)self;
    if (it->at >= it->batch.n) {
        if (it->cursor == 0 || it->batch.done || refill(it) < 0 || it->at >= it->batch.n)
            return NULL;
    }
    const unsigned char *next;
    PyObject *result = unpack(it->batch.p + it->at, it->what, &next);
    it->at = (size_t)(next - it->batch.p);
    return result;
}

static void
iterator_dealloc(PyObject *self)
{
    iterator *it = (iterator *)self;
    PyTypeObject *type = Py_TYPE(self);
    /* In a forked child Go's half is dead: what it held is the parent's. */
    if (it->cursor && !pk_dead())
        pkCursorClose(it->cursor);
    free(it->batch.p);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot iterator_slots[] = {
    {Py_tp_dealloc, iterator_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, iterator_next},
    {0, NULL},
};

static PyType_Spec iterator_spec = {
    "parkit.iterator", sizeof(iterator), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, iterator_slots,
};

static PyTypeObject *iterator_type;

int
pk_iter_ready(PyObject *module)
{
    iterator_type = (PyTypeObject *)PyType_FromSpec(&iterator_spec);
    if (iterator_type == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "iterator", (PyObject *)iterator_type);
}

static iterator *
new_iterator(int what)
{
    iterator *it = PyObject_New(iterator, iterator_type);
    if (it != NULL) {
        it->cursor = 0;
        it->batch = (pk_batch){NULL, 0, 0, 0};
        it->at = 0;
        it->what = what;
    }
    return it;
}

/* dict_iter(obj, what, flags, lo, hi) */
static PyObject *
dict_iter(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_buf lo, hi, own;
    if (pk_arity("dict_iter", nargs, 5, 5) < 0)
        return NULL;
    long what = PyLong_AsLong(args[1]), flags = PyLong_AsLong(args[2]);
    if (PyErr_Occurred())
        return NULL;
    int rc = 0;
    pk_buf_init(&lo);
    pk_buf_init(&hi);
    pk_buf_init(&own);
    if (flags & 2)
        rc = pk_encode_key(args[3], &lo, &own);
    own.len = 0;
    if (rc == 0 && flags & 4)
        rc = pk_encode_key(args[4], &hi, &own);
    pk_buf_free(&own);
    iterator *it = NULL;
    if (rc == 0 && (it = new_iterator((int)what)) != NULL) {
        PK_CROSS(rc, args[0], h, w,
                 pkDictCursor(h, pk_open_scopes(), (int)what, (int)flags, lo.p, lo.len, hi.p, hi.len, &it->cursor,
                              &it->batch, &words));
        if (rc) {
            if (rc > 0)
                pk_raise(rc, &words);
            Py_CLEAR(it);
        }
    }
    pk_buf_free(&lo);
    pk_buf_free(&hi);
    return (PyObject *)it;
}

/* array_iter(obj, slice) */
static PyObject *
array_iter(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    Py_ssize_t start, stop, step;
    int rc;
    if (pk_arity("array_iter", nargs, 2, 2) < 0 || PySlice_Unpack(args[1], &start, &stop, &step) < 0)
        return NULL;
    iterator *it = new_iterator(1);
    if (it == NULL)
        return NULL;
    PK_CROSS(rc, args[0], h, w,
             pkArrayCursor(h, pk_open_scopes(), start, stop, step, &it->cursor, &it->batch, &words));
    if (rc) {
        if (rc > 0)
            pk_raise(rc, &words);
        Py_CLEAR(it);
    }
    return (PyObject *)it;
}

/* array_tail(obj, position) */
static PyObject *
array_tail(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    uint64_t next = 0;
    int rc;
    if (pk_arity("array_tail", nargs, 2, 2) < 0)
        return NULL;
    unsigned long long position = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    iterator *it = new_iterator(1);
    if (it == NULL)
        return NULL;
    PK_CROSS(rc, args[0], h, w,
             pkArrayTail(h, pk_open_scopes(), position, &next, &it->cursor, &it->batch, &words));
    if (rc) {
        if (rc > 0)
            pk_raise(rc, &words);
        Py_DECREF(it);
        return NULL;
    }
    return Py_BuildValue("NK", it, (unsigned long long)next);
}

PyMethodDef pk_iter_methods[] = {
    PK_FAST("array_tail", array_tail, "array_tail(obj, position) -> (iterator, next position)"),
    PK_FAST("array_iter", array_iter, "array_iter(obj, slice) -> iterator"),
    PK_FAST("dict_iter", dict_iter, "dict_iter(obj, what, flags, lo, hi) -> iterator"),
    {NULL, NULL, 0, NULL},
};
