/* The fast lane: dicts as caches, whose entries may have an end. */
#include "lane_dict.h"

#include "_cgo_export.h"

/* What an entry lasts for in nanoseconds, as the caller reckoned it: an int, or
 * None for ever. */
static int
ttl_of(PyObject *arg, int64_t *ttl)
{
    *ttl = -1;
    if (arg == Py_None)
        return 0;
    *ttl = PyLong_AsLongLong(arg);
    return *ttl == -1 && PyErr_Occurred() ? -1 : 0;
}

/* dict_store(obj, key, value, ttl, how) */
static PyObject *
dict_store(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_value value;
    dict_key k;
    int64_t ttl;
    int rc, stored = 0;
    if (pk_arity("dict_store", nargs, 5, 5) < 0 || ttl_of(args[3], &ttl) < 0)
        return NULL;
    long how = PyLong_AsLong(args[4]);
    if ((how == -1 && PyErr_Occurred()) || pk_key_begin(&k, args[1]) < 0)
        return NULL;
    if (pk_encode_value(args[2], &value) < 0) {
        pk_key_end(&k);
        return NULL;
    }
    pk_entry e = pk_entry_of(&k, &value);
    PK_CROSS(rc, args[0], h, w, pkDictStore(h, pk_open_scopes(), &e, ttl, (int)how, &stored, w, &words));
    pk_value_free(&value);
    pk_key_end(&k);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return PyBool_FromLong(stored);
}

/* dict_touch(obj, key, ttl) */
static PyObject *
dict_touch(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    dict_key k;
    int64_t ttl;
    int rc;
    if (pk_arity("dict_touch", nargs, 3, 3) < 0 || ttl_of(args[2], &ttl) < 0 || pk_key_begin(&k, args[1]) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkDictTouch(h, pk_open_scopes(), k.enc.p, k.enc.len, ttl, w, &words));
    pk_key_end(&k);
    if (rc == PK_OK || rc == PK_NOTFOUND)
        return PyBool_FromLong(rc == PK_OK);
    return rc < 0 ? NULL : pk_raise(rc, &words);
}

/* dict_due(obj, key) */
static PyObject *
dict_due(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    dict_key k;
    int64_t due = 0;
    int rc;
    if (pk_arity("dict_due", nargs, 2, 2) < 0 || pk_key_begin(&k, args[1]) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w, ((void)w, pkDictDue(h, pk_open_scopes(), k.enc.p, k.enc.len, &due, &words)));
    pk_key_end(&k);
    if (rc == PK_NOTFOUND)
        return pk_key_error(args[1]);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return PyLong_FromLongLong(due);
}

/* dict_sweep(obj) */
static PyObject *
dict_sweep(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_words words = {0};
    uint64_t count = 0;
    int rc, more = 0;
    PK_CROSS(rc, obj, h, w, pkDictSweep(h, pk_open_scopes(), &count, &more, w, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return Py_BuildValue("KN", (unsigned long long)count, PyBool_FromLong(more));
}

/* dict_volume(obj) */
static PyObject *
dict_volume(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_words words = {0};
    uint64_t volume = 0, entries, most, eviction;
    int rc;
    PK_CROSS(rc, obj, h, w, pkDictSize(h, pk_open_scopes(), &volume, &entries, &most, &eviction, w, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return PyLong_FromUnsignedLongLong(volume);
}

/* dict_limits(obj) */
static PyObject *
dict_limits(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_words words = {0};
    uint64_t entries = 0, most = 0, eviction = 0;
    int rc;
    PK_CROSS(rc, obj, h, w, pkDictSize(h, pk_open_scopes(), NULL, &entries, &most, &eviction, w, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return Py_BuildValue("KKK", (unsigned long long)entries, (unsigned long long)most, (unsigned long long)eviction);
}

/* dict_claim(obj, key) */
static PyObject *
dict_claim(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_got got = {0};
    dict_key k;
    int rc, answer = 0;
    if (pk_arity("dict_claim", nargs, 2, 2) < 0 || pk_key_begin(&k, args[1]) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkDictClaim(h, k.enc.p, k.enc.len, &answer, &got, w, &words));
    pk_key_end(&k);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    if (got.p == NULL)
        return Py_BuildValue("iO", answer, Py_None);
    PyObject *value = pk_take(&got);
    return value == NULL ? NULL : Py_BuildValue("iN", answer, value);
}

/* dict_unclaim(obj, key) */
static PyObject *
dict_unclaim(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    dict_key k;
    int rc;
    if (pk_arity("dict_unclaim", nargs, 2, 2) < 0 || pk_key_begin(&k, args[1]) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkDictUnclaim(h, pk_open_scopes(), k.enc.p, k.enc.len, w, &words));
    pk_key_end(&k);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

/* dict_incr(obj, key, delta, default): NotImplemented where the sum is Python's to
 * find. */
static PyObject *
dict_incr(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_got got = {0};
    pk_value delta, initial = {0};
    dict_key k;
    int rc = 0, plain = 0;
    if (pk_arity("dict_incr", nargs, 4, 4) < 0 || pk_key_begin(&k, args[1]) < 0)
        return NULL;
    if (pk_encode_value(args[2], &delta) < 0) {
        pk_key_end(&k);
        return NULL;
    }
    if (args[3] != Py_None && pk_encode_value(args[3], &initial) < 0) {
        pk_value_free(&delta);
        pk_key_end(&k);
        return NULL;
    }
    if (delta.bodylen == 0 && initial.bodylen == 0) { /* as those of all numbers */
        pk_entry e = pk_entry_of(&k, &delta);
        e.body = initial.head;
        e.bodylen = (size_t)initial.headlen;
        PK_CROSS(rc, args[0], h, w, pkDictIncr(h, pk_open_scopes(), &e, &plain, &got, w, &words));
    }
    pk_value_free(&initial);
    pk_value_free(&delta);
    pk_key_end(&k);
    if (!plain && (rc == PK_OK || rc == PK_NOTFOUND))
        Py_RETURN_NOTIMPLEMENTED;
    if (rc == PK_NOTFOUND)
        return pk_key_error(args[1]);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return pk_take(&got);
}

/* in_transaction() */
static PyObject *
in_transaction(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    pk_scopes *scopes = pk_open_scopes();
    for (int32_t i = 0; scopes != NULL && i < scopes->n; i++)
        if (scopes->items[i].mode != 0)
            Py_RETURN_TRUE;
    Py_RETURN_FALSE;
}

PyMethodDef pk_cache_methods[] = {
    PK_FAST("dict_incr", dict_incr, "dict_incr(obj, key, delta, default) -> sum"),
    {"in_transaction", in_transaction, METH_NOARGS, "in_transaction() -> bool"},
    PK_FAST("dict_claim", dict_claim, "dict_claim(obj, key) -> (answer, value)"),
    PK_FAST("dict_unclaim", dict_unclaim, "dict_unclaim(obj, key)"),
    PK_FAST("dict_store", dict_store, "dict_store(obj, key, value, ttl, how) -> stored"),
    PK_FAST("dict_touch", dict_touch, "dict_touch(obj, key, ttl) -> found"),
    PK_FAST("dict_due", dict_due, "dict_due(obj, key) -> ns"),
    {"dict_sweep", dict_sweep, METH_O, "dict_sweep(obj) -> (count, more)"},
    {"dict_volume", dict_volume, METH_O, "dict_volume(obj) -> bytes"},
    {"dict_limits", dict_limits, METH_O, "dict_limits(obj) -> (entries, bytes, eviction)"},
    {NULL, NULL, 0, NULL},
};
