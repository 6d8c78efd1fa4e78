/* The fast lane: telling event loops of changes, for python/parkit/_bridge.py. Nothing here waits. */
#include "lane_python.h"

#include "_cgo_export.h"

static int
number_of(PyObject *obj, int64_t *number)
{
    *number = PyLong_AsLongLong(obj);
    return *number == -1 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *
bridge_open(PyObject *Py_UNUSED(module), PyObject *descriptor)
{
    pk_words words = {0};
    int64_t number;
    long fd = PyLong_AsLong(descriptor);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    int rc = pkBridgeOpen((int)fd, &number, &words);
    return rc ? pk_raise(rc, &words) : PyLong_FromLongLong(number);
}

static PyObject *
bridge_close(PyObject *Py_UNUSED(module), PyObject *bridge)
{
    int64_t number;
    if (number_of(bridge, &number) < 0)
        return NULL;
    pkBridgeClose(number);
    Py_RETURN_NONE;
}

/* bridge_watch(bridge, token, space, channel, seen) */
static PyObject *
bridge_watch(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t number, space;
    int watching;
    if (pk_arity("bridge_watch", nargs, 5, 5) < 0 || number_of(args[0], &number) < 0 || number_of(args[2], &space) < 0)
        return NULL;
    uint64_t token = PyLong_AsUnsignedLongLong(args[1]);
    long channel = PyErr_Occurred() ? 0 : PyLong_AsLong(args[3]);
    unsigned long seen = PyErr_Occurred() ? 0 : PyLong_AsUnsignedLong(args[4]);
    if (PyErr_Occurred())
        return NULL;
    int rc = pkBridgeWatch(number, token, space, (int)channel, (uint32_t)seen, &watching, &words);
    return rc ? pk_raise(rc, &words) : PyBool_FromLong(watching);
}

static PyObject *
bridge_forget(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    int64_t number;
    if (pk_arity("bridge_forget", nargs, 2, 2) < 0 || number_of(args[0], &number) < 0)
        return NULL;
    uint64_t token = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    pkBridgeForget(number, token);
    Py_RETURN_NONE;
}

/* One event, see pkBridgeTake; *p moves behind it. */
static PyObject *
event_of(const unsigned char **p)
{
    uint64_t token;
    uint32_t code;
    memcpy(&token, *p, sizeof token);
    memcpy(&code, *p + sizeof token, sizeof code);
    *p += sizeof token + sizeof code;
    if (code == 0)
        return Py_BuildValue("(KO)", (unsigned long long)token, Py_None);
    const char *words[3];
    for (int i = 0; i < 3; i++) {
        words[i] = (const char *)*p;
        *p += strlen(words[i]) + 1;
    }
    return Py_BuildValue("(K(isss))", (unsigned long long)token, (int)code, words[0], words[1], words[2]);
}

static PyObject *
bridge_take(PyObject *Py_UNUSED(module), PyObject *bridge)
{
    pk_words words = {0};
    pk_batch batch = {0};
    int64_t number;
    if (number_of(bridge, &number) < 0)
        return NULL;
    int rc = pkBridgeTake(number, &batch, &words);
    if (rc)
        return pk_raise(rc, &words);
    PyObject *events = PyList_New(0);
    for (const unsigned char *p = batch.p, *end = p + batch.n; events != NULL && p < end;) {
        PyObject *event = event_of(&p);
        if (event == NULL || PyList_Append(events, event) < 0)
            Py_CLEAR(events);
        Py_XDECREF(event);
    }
    free(batch.p);
    return events;
}

PyMethodDef pk_bridge_methods[] = {
    {"bridge_open", bridge_open, METH_O, "bridge_open(eventfd) -> int"},
    {"bridge_close", bridge_close, METH_O, "bridge_close(bridge)"},
    PK_FAST("bridge_watch", bridge_watch, "bridge_watch(bridge, token, space, channel, seen) -> bool"),
    PK_FAST("bridge_forget", bridge_forget, "bridge_forget(bridge, token)"),
    {"bridge_take", bridge_take, METH_O, "bridge_take(bridge) -> list"},
    {NULL, NULL, 0, NULL},
};
