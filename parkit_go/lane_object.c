/* The fast lane: what all objects have. */
#include "lane_python.h"

#include "_cgo_export.h"

static PyObject *
object_counts(PyObject *obj, int which)
{
    uint64_t version, length;
    pk_words words = {0};
    int rc;
    PK_CROSS(rc, obj, h, w, pkObjectState(h, pk_open_scopes(), &version, &length, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return PyLong_FromUnsignedLongLong(which ? length : version);
}

static PyObject *
object_length(PyObject *Py_UNUSED(module), PyObject *obj)
{
    return object_counts(obj, 1);
}

static PyObject *
object_version(PyObject *Py_UNUSED(module), PyObject *obj)
{
    return object_counts(obj, 0);
}

static PyObject *
object_exists(PyObject *Py_UNUSED(module), PyObject *obj)
{
    int rc, exists = 0;
    pk_words words = {0};
    PK_CROSS(rc, obj, h, w, pkObjectExists(h, pk_open_scopes(), &exists, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return PyBool_FromLong(exists);
}

static PyObject *
object_channel(PyObject *Py_UNUSED(module), PyObject *obj)
{
    int rc, channel = 0;
    pk_words words = {0};
    PK_CROSS(rc, obj, h, w, pkObjectChannel(h, &channel, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return PyLong_FromLong(channel);
}

const char *
pk_attr_name(PyObject *name, Py_ssize_t *n)
{
    if (!PyUnicode_Check(name)) {
        PyErr_Format(PyExc_TypeError, "attribute name must be str, not %.200s", Py_TYPE(name)->tp_name);
        return NULL;
    }
    return PyUnicode_AsUTF8AndSize(name, n);
}

PyObject *
pk_no_attribute(PyObject *obj, PyObject *name)
{
    PyErr_Format(PyExc_AttributeError, "'%.100s' object has no attribute '%U'", Py_TYPE(obj)->tp_name, name);
    return NULL;
}

static PyObject *
attr_get(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_got got = {0};
    pk_words words = {0};
    Py_ssize_t n;
    int rc;
    if (pk_arity("attr_get", nargs, 2, 2) < 0)
        return NULL;
    const char *name = pk_attr_name(args[1], &n);
    if (name == NULL)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkAttrGet(h, pk_open_scopes(), (void *)name, n, &got, w, &words));
    if (rc == PK_NOTFOUND)
        return pk_no_attribute(args[0], args[1]);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return pk_take(&got);
}

static PyObject *
attr_set(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_value value;
    Py_ssize_t n;
    int rc;
    if (pk_arity("attr_set", nargs, 3, 3) < 0)
        return NULL;
    const char *name = pk_attr_name(args[1], &n);
    if (name == NULL || pk_encode_value(args[2], &value) < 0)
        return NULL;
    pk_entry e = {(const unsigned char *)name, NULL, value.head, value.body, (size_t)n, 0, (size_t)value.headlen, (size_t)value.bodylen};
    PK_CROSS(rc, args[0], h, w, pkAttrSet(h, pk_open_scopes(), &e, w, &words));
    pk_value_free(&value);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

static PyObject *
attr_del(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    Py_ssize_t n;
    int rc;
    if (pk_arity("attr_del", nargs, 2, 2) < 0)
        return NULL;
    const char *name = pk_attr_name(args[1], &n);
    if (name == NULL)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkAttrDel(h, pk_open_scopes(), (void *)name, n, w, &words));
    if (rc == PK_NOTFOUND)
        return pk_no_attribute(args[0], args[1]);
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

static PyObject *
attr_list(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_words words = {0};
    pk_batch batch = {0};
    int rc;
    PK_CROSS(rc, obj, h, w, pkAttrList(h, pk_open_scopes(), &batch, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    /* The names, each ended by a NUL, which no name holds. */
    PyObject *names = PyList_New(0);
    for (size_t at = 0; names != NULL && at < batch.n;) {
        const char *name = (const char *)batch.p + at;
        size_t n = strlen(name);
        PyObject *text = PyUnicode_DecodeUTF8(name, (Py_ssize_t)n, "strict");
        if (text == NULL || PyList_Append(names, text) < 0)
            Py_CLEAR(names);
        Py_XDECREF(text);
        at += n + 1;
    }
    free(batch.p);
    return names;
}

PyMethodDef pk_object_methods[] = {
    {"length", object_length, METH_O, "length(obj) -> int"},
    {"version", object_version, METH_O, "version(obj) -> int"},
    {"exists", object_exists, METH_O, "exists(obj) -> bool"},
    {"channel", object_channel, METH_O, "channel(obj) -> int"},
    PK_FAST("attr_get", attr_get, "attr_get(obj, name) -> value"),
    PK_FAST("attr_set", attr_set, "attr_set(obj, name, value)"),
    PK_FAST("attr_del", attr_del, "attr_del(obj, name)"),
    {"attr_list", attr_list, METH_O, "attr_list(obj) -> list[str]"},
    {NULL, NULL, 0, NULL},
};
