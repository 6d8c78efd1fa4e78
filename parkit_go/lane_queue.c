/* The fast lane: queues. An operation is tried at once, as any other; only what
 * finds the queue full or empty crosses a second time, to wait. */
#include "lane_python.h"

#include <stdlib.h>

#include "_cgo_export.h"

/* The exceptions of Python's queue module, and our ShutDown. */
static PyObject *full, *empty, *shut_down;

static PyObject *
answer(int rc, pk_words *words, PyObject *none)
{
    switch (rc) {
    case PK_FULL:
        PyErr_SetNone(full);
        return NULL;
    case PK_SHUT:
        PyErr_SetNone(shut_down);
        return NULL;
    case PK_NOTHING:
        PyErr_SetString(PyExc_ValueError, "task_done() called too many times");
        return NULL;
    case PK_NOTFOUND:
        PyErr_SetNone(none);
        return NULL;
    }
    return rc < 0 ? NULL : pk_raise(rc, words);
}

PyObject *
pk_queue_answer(int rc, pk_words *words)
{
    return answer(rc, words, empty);
}

int
pk_patience(PyObject *block, PyObject *timeout, int64_t *ns, int *quick)
{
    *quick = block == Py_None && timeout == Py_None;
    *ns = 0;
    int wait = block == Py_None ? 1 : PyObject_IsTrue(block);
    if (wait <= 0)
        return wait;
    return pk_timeout(timeout, ns);
}

/* Whether it is to wait. In a transaction, where it would be in vain, only who
 * said nothing of waiting is answered at once; the wait refuses the others. */
static int
waits(PyObject *obj, int64_t ns, int quick)
{
    return ns != 0 && !(quick && pkInTransaction(pk_handle(obj), pk_open_scopes()));
}

/* queue_put(obj, item, rank, block, timeout) */
static PyObject *
queue_put(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_buf rank, own;
    pk_value value;
    int64_t ns;
    int quick, rc = 0;
    if (pk_arity("queue_put", nargs, 5, 5) < 0 || pk_patience(args[3], args[4], &ns, &quick) < 0)
        return NULL;
    pk_buf_init(&rank);
    pk_buf_init(&own);
    if (args[2] != Py_None)
        rc = pk_encode_key(args[2], &rank, &own);
    pk_buf_free(&own);
    if (rc < 0 || pk_encode_value(args[1], &value) < 0) {
        pk_buf_free(&rank);
        return NULL;
    }
    pk_entry e = pk_item(&value);
    e.key = rank.len ? rank.p : NULL;
    e.keylen = (size_t)rank.len;
    int waited = 0;
    if (ns == 0)
        PK_CROSS(rc, args[0], h, w, pkQueuePut(h, pk_open_scopes(), &e, w, &words));
    else /* the turn to write is waited for no longer than for room */
        PK_CROSS_WITHIN(rc, args[0], h, w, ns,
                        w ? (waited = 1, pkQueuePutWait(h, pk_open_scopes(), &e, quick, w, &words))
                          : pkQueuePut(h, pk_open_scopes(), &e, NULL, &words));
    if (rc == PK_FULL && !waited && waits(args[0], ns, quick)) {
        pk_wait wait;
        int64_t h = pk_handle(args[0]);
        pk_wait_begin(&wait, ns);
        rc = pkQueuePutWait(h, pk_open_scopes(), &e, quick, &wait, &words);
        pk_wait_end(&wait);
    }
    pk_value_free(&value);
    pk_buf_free(&rank);
    if (rc)
        return answer(rc, &words, full);
    Py_RETURN_NONE;
}

PyObject *
pk_queue_take(PyObject *obj, PyObject *block, PyObject *timeout, pk_lease *lease, PyObject *decode)
{
    unsigned char room[PK_ROOM];
    pk_words words = {0};
    pk_got got = {0};
    pk_taken taken;
    int64_t ns;
    int quick, rc;
    if (pk_patience(block, timeout, &ns, &quick) < 0)
        return NULL;
    int waited = 0;
    if (ns == 0)
        PK_CROSS(rc, obj, h, w, pkQueueGet(h, pk_open_scopes(), room, sizeof room, &got, &taken, lease, w, &words));
    else /* the turn to write is waited for no longer than for an item */
        PK_CROSS_WITHIN(rc, obj, h, w, ns,
                        w ? (waited = 1, pkQueueGetWait(h, pk_open_scopes(), room, sizeof room, &got, &taken, lease, quick, w,
                                                        &words))
                          : pkQueueGet(h, pk_open_scopes(), room, sizeof room, &got, &taken, lease, NULL, &words));
    if (rc == PK_NOTFOUND && !waited && waits(obj, ns, quick)) {
        pk_wait wait;
        int64_t h = pk_handle(obj);
        pk_wait_begin(&wait, ns);
        rc = pkQueueGetWait(h, pk_open_scopes(), room, sizeof room, &got, &taken, lease, quick, &wait, &words);
        pk_wait_end(&wait);
    }
    if (rc)
        return answer(rc, &words, empty);
    return pk_hand_out(obj, PK_TO_QUEUE, &got, &taken, lease, decode);
}

/* queue_get(obj, block, timeout[, decode]) */
static PyObject *
queue_get(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (pk_arity("queue_get", nargs, 3, 4) < 0)
        return NULL;
    return pk_queue_take(args[0], args[1], args[2], NULL, nargs == 4 ? args[3] : NULL);
}

static PyObject *
queue_join(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    uint64_t length, next, limit, pending;
    uint32_t flags;
    int64_t ns;
    int rc;
    if (pk_arity("queue_join", nargs, 2, 2) < 0 || pk_timeout(args[1], &ns) < 0)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkSequence(h, pk_open_scopes(), &length, &next, &limit, &pending, &flags, &words));
    if (rc == PK_OK && pending != 0) {
        pk_wait wait;
        int64_t h = pk_handle(args[0]);
        pk_wait_begin(&wait, ns);
        rc = pkQueueJoin(h, pk_open_scopes(), &wait, &words);
        pk_wait_end(&wait);
    }
    if (rc)
        return answer(rc, &words, empty);
    Py_RETURN_NONE;
}

static PyObject *
change(PyObject *obj, int what, uint64_t limit)
{
    pk_words words = {0};
    int rc;
    PK_CROSS(rc, obj, h, w, pkQueueChange(h, pk_open_scopes(), what, limit, w, &words));
    if (rc)
        return answer(rc, &words, empty);
    Py_RETURN_NONE;
}

static PyObject *
queue_done(PyObject *Py_UNUSED(module), PyObject *obj)
{
    return change(obj, PK_DONE, 0);
}

static PyObject *
queue_clear(PyObject *Py_UNUSED(module), PyObject *obj)
{
    return change(obj, PK_CLEAR, 0);
}

static PyObject *
queue_shut(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    int shut;
    if (pk_arity("queue_shut", nargs, 2, 2) < 0 || (shut = PyObject_IsTrue(args[1])) < 0)
        return NULL;
    return change(args[0], shut ? PK_SHUT_DOWN : PK_REOPEN, 0);
}

static PyObject *
set_number(const char *name, PyObject *const *args, Py_ssize_t nargs, int what)
{
    if (pk_arity(name, nargs, 2, 2) < 0)
        return NULL;
    unsigned long long number = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    return change(args[0], what, number);
}

static PyObject *
queue_limit(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return set_number("queue_limit", args, nargs, PK_LIMIT);
}

static PyObject *
queue_attempts(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    return set_number("queue_attempts", args, nargs, PK_ATTEMPTS);
}

static PyObject *
queue_blocking(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    int blocking;
    if (pk_arity("queue_blocking", nargs, 2, 2) < 0 || (blocking = PyObject_IsTrue(args[1])) < 0)
        return NULL;
    return change(args[0], PK_BLOCKING, (uint64_t)blocking);
}

static PyObject *
queue_errors(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (pk_arity("queue_errors", nargs, 3, 3) < 0)
        return NULL;
    Py_XSETREF(full, Py_NewRef(args[0]));
    Py_XSETREF(empty, Py_NewRef(args[1]));
    Py_XSETREF(shut_down, Py_NewRef(args[2]));
    Py_RETURN_NONE;
}

PyMethodDef pk_queue_methods[] = {
    PK_FAST("queue_errors", queue_errors, "queue_errors(Full, Empty, ShutDown)"),
    PK_FAST("queue_put", queue_put, "queue_put(obj, item, rank, block, timeout)"),
    PK_FAST("queue_get", queue_get, "queue_get(obj, block, timeout[, decode]) -> item"),
    PK_FAST("queue_join", queue_join, "queue_join(obj, timeout)"),
    {"queue_done", queue_done, METH_O, "queue_done(obj)"},
    {"queue_clear", queue_clear, METH_O, "queue_clear(obj)"},
    PK_FAST("queue_limit", queue_limit, "queue_limit(obj, limit)"),
    PK_FAST("queue_attempts", queue_attempts, "queue_attempts(obj, attempts)"),
    PK_FAST("queue_blocking", queue_blocking, "queue_blocking(obj, blocking)"),
    PK_FAST("queue_shut", queue_shut, "queue_shut(obj, shut)"),
    {NULL, NULL, 0, NULL},
};
