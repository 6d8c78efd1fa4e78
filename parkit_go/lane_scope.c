/* The fast lane: the transactions and snapshots that a thread has open, and
 * waiting for changes. */
#include "lane_python.h"

#include <pthread.h>
#include <stdlib.h>

#include "_cgo_export.h"

static __thread pk_scopes scopes;

/* LMDB's transactions and their locks belong to a thread: one that ends inside
 * a transaction must end the transaction as well, while it still can. */
static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
thread_ended(void *value)
{
    pk_scopes *left = value;
    if (left->n && !pk_dead())
        pkAbortScopes(left);
    free(left->items);
    *left = (pk_scopes){0, 0, NULL};
}

static void
make_key(void)
{
    pthread_key_create(&thread_end, thread_ended);
}

int
pk_watch_thread_end(void)
{
    pthread_once(&once, make_key);
    return pthread_setspecific(thread_end, &scopes);
}

pk_scopes *
pk_this_thread(void)
{
    return &scopes;
}

pk_scopes *
pk_open_scopes(void)
{
    return scopes.n ? &scopes : NULL;
}

static int
space_of(PyObject *id, int64_t *space)
{
    *space = PyLong_AsLongLong(id);
    return *space == -1 && PyErr_Occurred() ? -1 : 0;
}

int
pk_scope_begin(int64_t space, int mode, int64_t timeout, pk_words *words)
{
    int rc = pkBegin(space, mode, NULL, words);
    if (rc == PK_AGAIN) {
        pk_wait wait;
        pk_wait_begin(&wait, timeout);
        rc = pkBegin(space, mode, &wait, words);
        pk_wait_end(&wait);
    }
    return rc;
}

int
pk_scope_end(int64_t space, int commit)
{
    pk_words words = {0};
    int rc = pkEnd(space, commit, 0, &words);
    if (rc == PK_AGAIN) { /* a flush: let others run meanwhile */
        PyThreadState *thread = PyEval_SaveThread();
        rc = pkEnd(space, commit, 1, &words);
        PyEval_RestoreThread(thread);
    }
    if (rc)
        pk_raise(rc, &words);
    return rc ? -1 : 0;
}

static PyObject *
scope_begin(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    int64_t space, timeout;
    if (pk_arity("begin", nargs, 3, 3) < 0 || space_of(args[0], &space) < 0 || pk_timeout(args[2], &timeout) < 0)
        return NULL;
    int mode = PyObject_IsTrue(args[1]);
    if (mode < 0)
        return NULL;
    pk_words words = {0};
    int rc = pk_scope_begin(space, mode, timeout, &words);
    if (rc)
        return pk_raise(rc, &words);
    Py_RETURN_NONE;
}

static PyObject *
scope_end(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    int64_t space;
    int commit;
    if (pk_arity("end", nargs, 2, 2) < 0 || space_of(args[0], &space) < 0 || (commit = PyObject_IsTrue(args[1])) < 0)
        return NULL;
    if (pk_scope_end(space, commit) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *
scope_kind(PyObject *Py_UNUSED(module), PyObject *id)
{
    int64_t space;
    if (space_of(id, &space) < 0)
        return NULL;
    for (int32_t i = scopes.n; i-- > 0;)
        if (scopes.items[i].space == space)
            return PyLong_FromLong(scopes.items[i].mode + 1);
    return PyLong_FromLong(0);
}

static PyObject *
change_count(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t space;
    uint32_t count;
    if (pk_arity("change_count", nargs, 2, 2) < 0 || space_of(args[0], &space) < 0)
        return NULL;
    long channel = PyLong_AsLong(args[1]);
    if (channel == -1 && PyErr_Occurred())
        return NULL;
    int rc = pkChangeCount(space, (int)channel, &count, &words);
    if (rc)
        return pk_raise(rc, &words);
    return PyLong_FromUnsignedLong(count);
}

static PyObject *
wait_change(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t space, timeout;
    if (pk_arity("wait_change", nargs, 4, 4) < 0 || space_of(args[0], &space) < 0 || pk_timeout(args[3], &timeout) < 0)
        return NULL;
    long channel = PyLong_AsLong(args[1]);
    uint32_t count = (uint32_t)PyLong_AsUnsignedLong(args[2]);
    if (PyErr_Occurred())
        return NULL;
    pk_wait wait;
    int timed_out = 0;
    pk_wait_begin(&wait, timeout);
    int rc = pkWaitChange(space, (int)channel, &count, &timed_out, &wait, &words);
    pk_wait_end(&wait);
    if (rc)
        return pk_raise(rc, &words);
    return timed_out ? PyLong_FromLong(-1) : PyLong_FromUnsignedLong(count);
}

PyMethodDef pk_scope_methods[] = {
    PK_FAST("begin", scope_begin, "begin(space, mode, timeout)"),
    PK_FAST("end", scope_end, "end(space, commit)"),
    {"scope", scope_kind, METH_O, "scope(space) -> int: 0 none, 1 snapshot, 2 transaction"},
    PK_FAST("change_count", change_count, "change_count(space, channel) -> int"),
    PK_FAST("wait_change", wait_change, "wait_change(space, channel, seen, timeout) -> int, -1 when the time ran out"),
    {"scope_install", pk_scope_install, METH_VARARGS, "scope_install(type, works)"},
    {NULL, NULL, 0, NULL},
};
