/* The fast lane: leases of a queue's items, and dead letters. */
#include "lane_python.h"

#include <stdlib.h>
#include <string.h>

#include "_cgo_export.h"

/* Seconds as nanoseconds; None is 0. */
static int
duration(PyObject *seconds, int64_t *ns)
{
    *ns = 0;
    if (seconds == Py_None)
        return 0;
    if (pk_timeout(seconds, ns) < 0)
        return -1;
    if (*ns == 0) { /* not the same as none at all */
        double s = PyFloat_AsDouble(seconds);
        *ns = s > 0;
    }
    return 0;
}

static PyObject *
lease_object(const pk_lease *lease)
{
    return Py_BuildValue("(KKKL)", (unsigned long long)lease->owner, (unsigned long long)lease->id,
                         (unsigned long long)lease->attempts, (long long)lease->deadline);
}

/* queue_lease(obj, block, timeout, hold[, decode]) */
static PyObject *
queue_lease(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_lease lease = {0};
    if (pk_arity("queue_lease", nargs, 4, 5) < 0 || duration(args[3], &lease.hold_ns) < 0)
        return NULL;
    PyObject *item = pk_queue_take(args[0], args[1], args[2], &lease, nargs == 5 ? args[4] : NULL);
    if (item == NULL)
        return NULL;
    PyObject *named = lease_object(&lease);
    PyObject *both = named == NULL ? NULL : PyTuple_Pack(2, item, named);
    Py_XDECREF(named);
    Py_DECREF(item);
    return both;
}

/* queue_settle(obj, what, lease, seconds, why) */
static PyObject *
queue_settle(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_lease lease = {0};
    unsigned long long owner, id, attempts;
    long long deadline;
    Py_ssize_t whylen;
    int rc;
    if (pk_arity("queue_settle", nargs, 5, 5) < 0)
        return NULL;
    long what = PyLong_AsLong(args[1]);
    const char *why = PyUnicode_AsUTF8AndSize(args[4], &whylen);
    if (PyErr_Occurred() || duration(args[3], &lease.hold_ns) < 0 ||
        !PyArg_ParseTuple(args[2], "KKKL", &owner, &id, &attempts, &deadline))
        return NULL;
    lease.owner = owner;
    lease.id = id;
    lease.attempts = attempts;
    lease.deadline = deadline;
    PK_CROSS(rc, args[0], h, w, pkQueueSettle(h, pk_open_scopes(), (int)what, &lease, (char *)why, (size_t)whylen, w, &words));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    return lease_object(&lease);
}

static int
state_of(PyObject *obj, pk_queue *state)
{
    pk_words words = {0};
    int rc;
    PK_CROSS(rc, obj, h, w, pkQueueState(h, pk_open_scopes(), state, w, &words));
    if (rc > 0)
        pk_raise(rc, &words);
    return rc ? -1 : 0;
}

static PyObject *
queue_length(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_queue state;
    if (state_of(obj, &state) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(state.length);
}

static PyObject *
queue_state(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_queue state;
    if (state_of(obj, &state) < 0)
        return NULL;
    return Py_BuildValue("(KKKKKKI)", (unsigned long long)state.length, (unsigned long long)state.limit,
                         (unsigned long long)state.pending, (unsigned long long)state.leased,
                         (unsigned long long)state.dead, (unsigned long long)state.attempts, (unsigned)state.flags);
}

static PyObject *
queue_attend(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_words words = {0};
    int rc;
    PK_CROSS(rc, obj, h, w, ((void)w, pkQueueAttend(h, &words)));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    Py_RETURN_NONE;
}

static uint64_t
number(const unsigned char **p)
{
    uint64_t n;
    memcpy(&n, *p, sizeof n);
    *p += sizeof n;
    return n;
}

/* queue_dead(obj, after) -> list of (number, attempts, when, why, item) */
static PyObject *
queue_dead(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_got got = {0};
    int rc;
    if (pk_arity("queue_dead", nargs, 2, 2) < 0)
        return NULL;
    unsigned long long after = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    PK_CROSS(rc, args[0], h, w, ((void)w, pkQueueDead(h, pk_open_scopes(), after, &got, &words)));
    if (rc)
        return rc < 0 ? NULL : pk_raise(rc, &words);
    PyObject *list = PyList_New(0);
    const unsigned char *p = got.p, *end = p + got.n;
    while (list != NULL && p < end) {
        uint64_t id = number(&p), attempts = number(&p);
        int64_t when = (int64_t)number(&p);
        uint64_t whylen = number(&p), n = number(&p);
        PyObject *why = PyUnicode_DecodeUTF8((const char *)p, (Py_ssize_t)whylen, "replace");
        PyObject *item = why == NULL ? NULL : PyBytes_FromStringAndSize((const char *)p + whylen, (Py_ssize_t)n);
        PyObject *letter = item == NULL ? NULL
                                        : Py_BuildValue("(KKLOO)", (unsigned long long)id, (unsigned long long)attempts,
                                                        (long long)when, why, item);
        Py_XDECREF(why);
        Py_XDECREF(item);
        if (letter == NULL || PyList_Append(list, letter) < 0)
            Py_CLEAR(list);
        Py_XDECREF(letter);
        p += whylen + n;
    }
    free((void *)got.p);
    return list;
}

/* queue_revive(obj, what, number) -> how many */
static PyObject *
queue_revive(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    uint64_t count = 0;
    int rc;
    if (pk_arity("queue_revive", nargs, 3, 3) < 0)
        return NULL;
    long what = PyLong_AsLong(args[1]);
    unsigned long long id = PyErr_Occurred() ? 0 : PyLong_AsUnsignedLongLong(args[2]);
    if (PyErr_Occurred())
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkQueueRevive(h, pk_open_scopes(), (int)what, id, &count, w, &words));
    if (rc)
        return pk_queue_answer(rc, &words);
    return PyLong_FromUnsignedLongLong(count);
}

PyMethodDef pk_lease_methods[] = {
    PK_FAST("queue_lease", queue_lease, "queue_lease(obj, block, timeout, hold[, decode]) -> (item, lease)"),
    PK_FAST("queue_settle", queue_settle, "queue_settle(obj, what, lease, seconds, why) -> lease"),
    {"queue_attend", queue_attend, METH_O, "queue_attend(obj)"},
    {"queue_length", queue_length, METH_O, "queue_length(obj) -> int"},
    {"queue_state", queue_state, METH_O, "queue_state(obj) -> (length, limit, pending, leased, dead, attempts, flags)"},
    PK_FAST("queue_dead", queue_dead, "queue_dead(obj, after) -> [(number, attempts, when, why, item)]"),
    PK_FAST("queue_revive", queue_revive, "queue_revive(obj, what, number) -> int"),
    {NULL, NULL, 0, NULL},
};
