/* The fast lane: dicts. */
#include "lane_dict.h"

#include "_cgo_export.h"

/* The value of a key, NULL without an exception where there is none. */
static PyObject *
lookup(PyObject *obj, PyObject *key)
{
    unsigned char room[PK_ROOM];
    pk_got got;
    pk_words words = {0};
    dict_key k;
    int rc;
    if (pk_key_begin(&k, key) < 0)
        return NULL;
    PK_CROSS(rc, obj, h, w, pkDictGet(h, pk_open_scopes(), k.enc.p, k.enc.len, room, sizeof room, &got, w, &words));
    pk_key_end(&k);
    if (rc == PK_OK)
        return pk_take(&got);
    return rc < 0 || rc == PK_NOTFOUND ? NULL : pk_raise(rc, &words);
}

static PyObject *
getitem(PyObject *obj, PyObject *key)
{
    PyObject *value = lookup(obj, key);
    return value == NULL && !PyErr_Occurred() ? pk_key_error(key) : value;
}

static PyObject *
dict_get(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (pk_arity("dict_get", nargs, 2, 2) < 0)
        return NULL;
    return getitem(args[0], args[1]);
}

static PyObject *
dict_get_default(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (pk_arity("dict_get_default", nargs, 3, 3) < 0)
        return NULL;
    PyObject *value = lookup(args[0], args[1]);
    return value == NULL && !PyErr_Occurred() ? Py_NewRef(args[2]) : value;
}

static PyObject *
contains(PyObject *obj, PyObject *key)
{
    unsigned char room[PK_ROOM];
    pk_words words = {0};
    dict_key k;
    int rc;
    if (pk_key_begin(&k, key) < 0)
        return NULL;
    PK_CROSS(rc, obj, h, w, pkDictContains(h, pk_open_scopes(), k.enc.p, k.enc.len, room, sizeof room, w, &words));
    pk_key_end(&k);
    if (rc == PK_OK || rc == PK_NOTFOUND)
        return PyBool_FromLong(rc == PK_OK);
    return rc < 0 ? NULL : pk_raise(rc, &words);
}

static PyObject *
dict_contains(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (pk_arity("dict_contains", nargs, 2, 2) < 0)
        return NULL;
    return contains(args[0], args[1]);
}

static PyObject *
setitem(PyObject *obj, PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_value value;
    dict_key k;
    int rc;
    if (pk_arity("__setitem__", nargs, 2, 2) < 0 || pk_key_begin(&k, args[0]) < 0)
        return NULL;
    if (pk_encode_value(args[1], &value) < 0) {
        pk_key_end(&k);
        return NULL;
    }
    pk_entry e = pk_entry_of(&k, &value);
    PK_CROSS(rc, obj, h, w, pkDictSet(h, pk_open_scopes(), &e, w, &words));
    pk_value_free(&value);
    pk_key_end(&k);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

static PyObject *
dict_set(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (pk_arity("dict_set", nargs, 3, 3) < 0)
        return NULL;
    return setitem(args[0], args + 1, 2);
}

static PyObject *
dict_setdefault(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_value value;
    pk_got got = {0};
    dict_key k;
    int rc;
    if (pk_arity("dict_setdefault", nargs, 3, 3) < 0 || pk_key_begin(&k, args[1]) < 0)
        return NULL;
    if (pk_encode_value(args[2], &value) < 0) {
        pk_key_end(&k);
        return NULL;
    }
    pk_entry e = pk_entry_of(&k, &value);
    PK_CROSS(rc, args[0], h, w, pkDictInsert(h, pk_open_scopes(), &e, &got, w, &words));
    pk_value_free(&value);
    pk_key_end(&k);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    if (got.p == NULL)
        return Py_NewRef(args[2]);
    return pk_take(&got);
}

static PyObject *
delitem(PyObject *obj, PyObject *key)
{
    pk_words words = {0};
    dict_key k;
    int rc;
    if (pk_key_begin(&k, key) < 0)
        return NULL;
    PK_CROSS(rc, obj, h, w, pkDictDel(h, pk_open_scopes(), k.enc.p, k.enc.len, w, &words));
    pk_key_end(&k);
    if (rc == PK_NOTFOUND)
        return pk_key_error(key);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

static PyObject *
dict_del(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (pk_arity("dict_del", nargs, 2, 2) < 0)
        return NULL;
    return delitem(args[0], args[1]);
}

static PyObject *
dict_pop(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_got got = {0};
    pk_taken taken;
    dict_key k;
    int rc;
    if (pk_arity("dict_pop", nargs, 2, 4) < 0 || pk_key_begin(&k, args[1]) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkDictPop(h, pk_open_scopes(), k.enc.p, k.enc.len, &got, &taken, w, &words));
    pk_key_end(&k);
    if (rc == PK_NOTFOUND)
        return nargs >= 3 ? Py_NewRef(args[2]) : pk_key_error(args[1]);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return pk_hand_out(args[0], PK_TO_DICT, &got, &taken, NULL, nargs == 4 ? args[3] : NULL);
}

static PyObject *
dict_popitem(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_got got = {0};
    pk_taken taken;
    int rc, last;
    if (pk_arity("dict_popitem", nargs, 2, 3) < 0 || (last = PyObject_IsTrue(args[1])) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkDictPopItem(h, pk_open_scopes(), last, &got, &taken, w, &words));
    if (rc == PK_NOTFOUND) {
        PyErr_SetString(PyExc_KeyError, "popitem(): dictionary is empty");
        return NULL;
    }
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return pk_hand_out(args[0], PK_TO_DICT_BOTH, &got, &taken, NULL, nargs == 3 ? args[2] : NULL);
}

static PyObject *
dict_clear(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_words words = {0};
    int rc;
    PK_CROSS(rc, obj, h, w, pkDictClear(h, pk_open_scopes(), w, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

/* ---- Many at once ---- */

/* The encoded pairs of an update. Places in bytes are kept as offsets until all
 * pairs are there, because the memory moves as it grows. */
typedef struct {
    pk_buf bytes;
    pk_entry *entries;
    PyObject **holds; /* keep bodies alive */
    Py_ssize_t n, cap;
} pairs;

enum { COPY_BODY = 4096 }; /* up to here a body is copied; a larger one stays where it is */

static int
pairs_add(pairs *all, PyObject *key, PyObject *value)
{
    if (all->n == all->cap) {
        Py_ssize_t cap = all->cap ? 2 * all->cap : 64;
        pk_entry *entries = PyMem_RawRealloc(all->entries, (size_t)cap * sizeof *entries);
        if (entries != NULL)
            all->entries = entries;
        PyObject **holds = PyMem_RawRealloc(all->holds, (size_t)cap * sizeof *holds);
        if (holds != NULL)
            all->holds = holds;
        if (entries == NULL || holds == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        all->cap = cap;
    }
    pk_buf own;
    pk_value v;
    Py_ssize_t start = all->bytes.len;
    pk_buf_init(&own);
    if (pk_encode_key(key, &all->bytes, &own) < 0)
        return -1;
    pk_entry e = {0};
    e.keylen = (size_t)(all->bytes.len - start);
    e.ownlen = (size_t)own.len;
    int rc = own.len ? pk_buf_append(&all->bytes, own.p, own.len) : 0;
    pk_buf_free(&own);
    if (rc < 0 || pk_encode_value(value, &v) < 0)
        return -1;
    e.headlen = (size_t)v.headlen;
    e.bodylen = (size_t)v.bodylen;
    PyObject *hold = NULL;
    if (v.bodylen > COPY_BODY) {
        rc = pk_buf_append(&all->bytes, v.head, v.headlen);
        e.body = v.body;
        hold = Py_XNewRef(v.hold);
    } else
        rc = pk_buf_append_value(&all->bytes, &v);
    pk_value_free(&v);
    if (rc < 0) {
        Py_XDECREF(hold);
        return -1;
    }
    all->holds[all->n] = hold;
    all->entries[all->n++] = e;
    return 0;
}

static void
pairs_place(pairs *all)
{
    const unsigned char *p = all->bytes.p;
    for (Py_ssize_t i = 0; i < all->n; i++) {
        pk_entry *e = &all->entries[i];
        e->key = p;
        p += e->keylen;
        e->own = e->ownlen ? p : NULL;
        p += e->ownlen;
        e->head = p;
        p += e->headlen;
        if (e->body == NULL && e->bodylen) {
            e->body = p;
            p += e->bodylen;
        }
    }
}

static void
pairs_free(pairs *all)
{
    for (Py_ssize_t i = 0; i < all->n; i++)
        Py_XDECREF(all->holds[i]);
    PyMem_RawFree(all->entries);
    PyMem_RawFree(all->holds);
    pk_buf_free(&all->bytes);
}

static int
pairs_of_sequence(pairs *all, PyObject *source)
{
    PyObject *items = PySequence_Fast(source, "update() takes a mapping or an iterable of pairs");
    if (items == NULL)
        return -1;
    int rc = 0;
    for (Py_ssize_t i = 0; rc == 0 && i < PySequence_Fast_GET_SIZE(items); i++) {
        PyObject *item = PySequence_Fast_GET_ITEM(items, i);
        PyObject *pair = PySequence_Fast(item, "");
        if (pair == NULL) {
            if (PyErr_ExceptionMatches(PyExc_TypeError))
                PyErr_Format(PyExc_TypeError, "cannot convert dictionary update sequence element #%zd to a sequence", i);
            rc = -1;
        } else if (PySequence_Fast_GET_SIZE(pair) != 2) {
            PyErr_Format(PyExc_ValueError, "dictionary update sequence element #%zd has length %zd; 2 is required", i,
                         PySequence_Fast_GET_SIZE(pair));
            rc = -1;
        } else
            rc = pairs_add(all, PySequence_Fast_GET_ITEM(pair, 0), PySequence_Fast_GET_ITEM(pair, 1));
        Py_XDECREF(pair);
    }
    Py_DECREF(items);
    return rc;
}

static int
pairs_of_dict(pairs *all, PyObject *source)
{
    PyObject *key, *value;
    Py_ssize_t at = 0, size = PyDict_GET_SIZE(source);
    int rc = 0;
    while (rc == 0 && PyDict_Next(source, &at, &key, &value)) {
        /* Pickling runs Python code, which may change the dict. */
        Py_INCREF(key);
        Py_INCREF(value);
        rc = pairs_add(all, key, value);
        Py_DECREF(key);
        Py_DECREF(value);
        if (rc == 0 && PyDict_GET_SIZE(source) != size) {
            PyErr_SetString(PyExc_RuntimeError, "dictionary changed size during iteration");
            rc = -1;
        }
    }
    return rc;
}

static PyObject *
dict_update(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pairs all = {0};
    int rc;
    if (pk_arity("dict_update", nargs, 2, 2) < 0)
        return NULL;
    pk_buf_init(&all.bytes);
    rc = PyDict_CheckExact(args[1]) ? pairs_of_dict(&all, args[1]) : pairs_of_sequence(&all, args[1]);
    if (rc == 0 && all.n > 0) {
        pairs_place(&all);
        PK_CROSS(rc, args[0], h, w, pkDictUpdate(h, pk_open_scopes(), all.entries, all.n, w, &words));
    }
    pairs_free(&all);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

/* ---- Methods ---- */

/* What a dict's users call most, as methods in C: a Python method that calls the
 * lane costs a frame more. */
static PyMethodDef type_methods[] = {
    {"__getitem__", getitem, METH_O, "d[key]: the value of key. Raises KeyError where there is none."},
    PK_FAST("__setitem__", setitem, "d[key] = value: set the value of key."),
    {"__delitem__", delitem, METH_O, "del d[key]: remove key. Raises KeyError where it is not there."},
    {"__contains__", contains, METH_O, "key in d: whether key is there."},
    {NULL, NULL, 0, NULL},
};

/* dict_install(type): give a class of dicts these methods, until the library is
 * loaded again. */
static PyObject *
dict_install(PyObject *Py_UNUSED(module), PyObject *type)
{
    return pk_install(type, type_methods);
}

PyMethodDef pk_dict_methods[] = {
    {"dict_install", dict_install, METH_O, "dict_install(type)"},
    PK_FAST("dict_get", dict_get, "dict_get(obj, key) -> value"),
    PK_FAST("dict_get_default", dict_get_default, "dict_get_default(obj, key, default) -> value"),
    PK_FAST("dict_contains", dict_contains, "dict_contains(obj, key) -> bool"),
    PK_FAST("dict_set", dict_set, "dict_set(obj, key, value)"),
    PK_FAST("dict_setdefault", dict_setdefault, "dict_setdefault(obj, key, default) -> value"),
    PK_FAST("dict_del", dict_del, "dict_del(obj, key)"),
    PK_FAST("dict_pop", dict_pop, "dict_pop(obj, key[, default[, decode]]) -> value"),
    PK_FAST("dict_popitem", dict_popitem, "dict_popitem(obj, last[, decode]) -> (key, value)"),
    PK_FAST("dict_update", dict_update, "dict_update(obj, dict or sequence of pairs)"),
    {"dict_clear", dict_clear, METH_O, "dict_clear(obj)"},
    {NULL, NULL, 0, NULL},
};
