/* The fast lane's module: what it needs to know of Python, and what its other
 * files share. */
#include "lane_python.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <structmember.h> /* PyMemberDef, before Python 3.12 */

#include "_cgo_export.h"

static struct {
    PyTypeObject *object_type;
    Py_ssize_t handle_offset;
    PyObject *make_error, *rebind;
    int64_t generation;
    unsigned long main_thread;
} known;

/* A forked child has C's half of the library, but Go's is dead there. */
static int dead;

static void
after_fork(void)
{
    dead = 1;
}

int
pk_dead(void)
{
    return dead;
}

int64_t
pk_handle(PyObject *obj)
{
    if (dead) { /* a bound method that was kept over a fork */
        pk_words words = {NULL, strdup(Py_TYPE(obj)->tp_name),
                          strdup("this method is of the process that was forked; take it from the object again")};
        pk_raise(PK_STALE, &words);
        return -1;
    }
    if (known.object_type == NULL || !PyObject_TypeCheck(obj, known.object_type)) {
        PyErr_Format(PyExc_TypeError, "expected a persistent object, not %.200s", Py_TYPE(obj)->tp_name);
        return -1;
    }
    PyObject *slot = *(PyObject **)((char *)obj + known.handle_offset);
    if (slot == NULL || !PyLong_CheckExact(slot))
        return 0; /* no handle: stale for every table */
    return PyLong_AsLongLong(slot);
}

int
pk_rebind(PyObject *obj)
{
    PyObject *done = PyObject_CallOneArg(known.rebind, obj);
    Py_XDECREF(done);
    return done == NULL ? -1 : 0;
}

int
pk_arity(const char *name, Py_ssize_t got, Py_ssize_t least, Py_ssize_t most)
{
    if (got >= least && got <= most)
        return 0;
    PyErr_Format(PyExc_TypeError, "%s() takes %zd to %zd arguments, not %zd", name, least, most, got);
    return -1;
}

PyObject *
pk_raise(int code, pk_words *words)
{
    if (!PyErr_Occurred()) { /* a signal handler's exception comes first */
        PyObject *error = PyObject_CallFunction(known.make_error, "isss", code, words->op ? words->op : "",
                                                words->subject ? words->subject : "",
                                                words->detail ? words->detail : "");
        if (error != NULL) {
            PyErr_SetObject((PyObject *)Py_TYPE(error), error);
            Py_DECREF(error);
        }
    }
    pk_forget(words);
    return NULL;
}

void
pk_forget(pk_words *words)
{
    free(words->op);
    free(words->subject);
    free(words->detail);
    *words = (pk_words){NULL, NULL, NULL};
}

PyObject *
pk_key_error(PyObject *key)
{
    PyObject *args = PyTuple_Pack(1, key); /* or a tuple key would become the arguments */
    if (args != NULL) {
        PyErr_SetObject(PyExc_KeyError, args);
        Py_DECREF(args);
    }
    return NULL;
}

PyObject *
pk_decode_got(const pk_got *got)
{
    Py_ssize_t head, n = (Py_ssize_t)got->n;
    if (n <= PK_VALUE_HELD || (head = pk_bytes_head(got->p, n)) == 0)
        return pk_decode_value(got->p, n);
    PyObject *value = PyBytes_FromStringAndSize(NULL, n - head);
    if (value == NULL)
        return NULL;
    void *to = PyBytes_AS_STRING(value);
    Py_BEGIN_ALLOW_THREADS
    memcpy(to, got->p + head, (size_t)(n - head));
    Py_END_ALLOW_THREADS
    return value;
}

PyObject *
pk_take(pk_got *got)
{
    PyObject *value;
    if (got->unstable && got->n > PK_COPY_LIMIT) {
        unsigned char *copy = PyMem_RawMalloc(got->n);
        if (copy == NULL)
            return PyErr_NoMemory();
        memcpy(copy, got->p, got->n);
        value = pk_decode_value(copy, (Py_ssize_t)got->n);
        PyMem_RawFree(copy);
    } else
        value = pk_decode_got(got);
    if (got->pin)
        pkUnpin(got->pin);
    if (got->owned)
        free((void *)got->p);
    return value;
}

PyObject *
pk_install(PyObject *type, PyMethodDef *methods)
{
    if (!PyType_Check(type)) {
        PyErr_SetString(PyExc_TypeError, "expected a class");
        return NULL;
    }
    for (PyMethodDef *def = methods; def->ml_name != NULL; def++) {
        PyObject *method = PyDescr_NewMethod((PyTypeObject *)type, def);
        int rc = method == NULL ? -1 : PyObject_SetAttrString(type, def->ml_name, method);
        Py_XDECREF(method);
        if (rc < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}

void
pk_wait_begin(pk_wait *wait, int64_t timeout_ns)
{
    wait->main = PyThread_get_thread_ident() == known.main_thread;
    wait->timeout_ns = timeout_ns;
    wait->thread = PyEval_SaveThread();
}

void
pk_wait_end(pk_wait *wait)
{
    PyEval_RestoreThread(wait->thread);
}

/* Called by Go during a wait, on the thread that waits. */
int
pk_interrupted(pk_wait *wait)
{
    PyEval_RestoreThread(wait->thread);
    int stop = PyErr_CheckSignals() != 0;
    wait->thread = PyEval_SaveThread();
    return stop;
}

int
pk_timeout(PyObject *seconds, int64_t *ns)
{
    *ns = -1;
    if (seconds == Py_None)
        return 0;
    double s = PyFloat_AsDouble(seconds);
    if (s == -1.0 && PyErr_Occurred())
        return -1;
    if (!(s >= 0)) {
        PyErr_SetString(PyExc_ValueError, "a timeout is a number of seconds, not below zero");
        return -1;
    }
    *ns = s > 1e9 ? INT64_MAX / 4 : (int64_t)(s * 1e9);
    return 0;
}

/* ---- The module ---- */

static PyObject *
lane_configure(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *type, *dumps, *loads, *slow_key, *slow_value, *make_error, *rebind;
    long long generation;
    if (!PyArg_ParseTuple(args, "O!OOOOOOL", &PyType_Type, &type, &dumps, &loads, &slow_key, &slow_value, &make_error,
                          &rebind, &generation))
        return NULL;
    PyObject *slot = PyObject_GetAttrString(type, "_handle");
    if (slot == NULL)
        return NULL;
    if (!Py_IS_TYPE(slot, &PyMemberDescr_Type)) {
        Py_DECREF(slot);
        PyErr_SetString(PyExc_TypeError, "object_type must have a slot '_handle'");
        return NULL;
    }
    Py_ssize_t offset = ((PyMemberDescrObject *)slot)->d_member->offset;
    Py_DECREF(slot);
    PyObject *threading = PyImport_ImportModule("threading");
    PyObject *main = threading ? PyObject_CallMethod(threading, "main_thread", NULL) : NULL;
    PyObject *ident = main ? PyObject_GetAttrString(main, "ident") : NULL;
    unsigned long thread = ident ? PyLong_AsUnsignedLong(ident) : 0;
    Py_XDECREF(ident);
    Py_XDECREF(main);
    Py_XDECREF(threading);
    if (PyErr_Occurred() || pk_codec_configure(dumps, loads, slow_key, slow_value) < 0)
        return NULL;
    known.main_thread = thread;
    known.handle_offset = offset;
    known.generation = generation;
    Py_XSETREF(known.object_type, (PyTypeObject *)Py_NewRef(type));
    Py_XSETREF(known.make_error, Py_NewRef(make_error));
    Py_XSETREF(known.rebind, Py_NewRef(rebind));
    if ((errno = pkConfigure(generation)) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *
lane_encode_key(PyObject *Py_UNUSED(module), PyObject *key)
{
    pk_buf enc, own;
    PyObject *result = NULL;
    pk_buf_init(&enc);
    pk_buf_init(&own);
    if (pk_encode_key(key, &enc, &own) == 0)
        result = own.len ? Py_BuildValue("(y#y#)", enc.p, enc.len, own.p, own.len)
                         : Py_BuildValue("(y#O)", enc.p, enc.len, Py_None);
    pk_buf_free(&enc);
    pk_buf_free(&own);
    return result;
}

static PyObject *
lane_decode_key(PyObject *Py_UNUSED(module), PyObject *args)
{
    const char *enc, *own = NULL;
    Py_ssize_t n, ownlen = 0;
    if (!PyArg_ParseTuple(args, "y#z#", &enc, &n, &own, &ownlen))
        return NULL;
    return pk_decode_key((const unsigned char *)enc, n, (const unsigned char *)own, ownlen);
}

static PyObject *
lane_encode_value(PyObject *Py_UNUSED(module), PyObject *value)
{
    pk_value out;
    if (pk_encode_value(value, &out) < 0)
        return NULL;
    PyObject *result = PyBytes_FromStringAndSize(NULL, out.headlen + out.bodylen);
    if (result != NULL) {
        memcpy(PyBytes_AS_STRING(result), out.head, (size_t)out.headlen);
        if (out.bodylen)
            memcpy(PyBytes_AS_STRING(result) + out.headlen, out.body, (size_t)out.bodylen);
    }
    pk_value_free(&out);
    return result;
}

static PyObject *
lane_decode_value(PyObject *Py_UNUSED(module), PyObject *data)
{
    char *p;
    Py_ssize_t n;
    if (PyBytes_AsStringAndSize(data, &p, &n) < 0)
        return NULL;
    return pk_decode_value((unsigned char *)p, n);
}

static PyObject *
lane_ping(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLongLong(pkPing());
}

static PyMethodDef lane_methods[] = {
    {"configure", lane_configure, METH_VARARGS, "configure(object_type, dumps, loads, slow_key, slow_value, make_error, rebind, generation)"},
    {"encode_key", lane_encode_key, METH_O, "encode_key(key) -> (bytes, bytes | None)"},
    {"decode_key", lane_decode_key, METH_VARARGS, "decode_key(bytes, bytes | None) -> key"},
    {"encode_value", lane_encode_value, METH_O, "encode_value(value) -> bytes"},
    {"decode_value", lane_decode_value, METH_O, "decode_value(bytes) -> value"},
    {"ping", lane_ping, METH_NOARGS, "ping() -> int. One call through C into Go and back."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef lane_module = {
    PyModuleDef_HEAD_INIT, "lane", "parkit's fast lane.", -1, lane_methods,
};

PyMODINIT_FUNC
PyInit_lane(void)
{
    PyObject *module = PyModule_Create(&lane_module);
    if (module == NULL)
        return NULL;
    PyMethodDef *parts[] = {
        pk_object_methods, pk_dict_methods, pk_cache_methods, pk_array_methods, pk_queue_methods,
        pk_lease_methods, pk_taken_methods, pk_iter_methods,
        pk_scope_methods, pk_task_methods, pk_bridge_methods, pk_file_methods, pk_view_methods,
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (PyModule_AddFunctions(module, parts[i]) < 0)
            goto failed;
    if (pk_iter_ready(module) < 0 || pk_view_ready(module) < 0)
        goto failed;
    if (pthread_atfork(NULL, NULL, after_fork) != 0) {
        PyErr_NoMemory();
        goto failed;
    }
    return module;
failed:
    Py_DECREF(module);
    return NULL;
}
