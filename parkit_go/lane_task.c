/* The fast lane: tasks, for those who submit them and those who run them. */
#include "lane_python.h"
#include "lane_task.h"

#include <stdlib.h>

#include "_cgo_export.h"

volatile int pk_task_stopped;

/* Calls CALL with a wait w of NULL, and again without the GIL where that would
 * have had to wait. */
#define TASK_CROSS(rc, timeout, w, CALL)         \
    do {                                         \
        pk_wait room_, *w = NULL;                \
        rc = CALL;                               \
        if (rc == PK_AGAIN) {                    \
            w = &room_;                          \
            pk_wait_begin(w, timeout);           \
            rc = CALL;                           \
            pk_wait_end(w);                      \
        }                                        \
    } while (0)

static int
number_of(PyObject *arg, int64_t *number)
{
    *number = PyLong_AsLongLong(arg);
    return *number == -1 && PyErr_Occurred() ? -1 : 0;
}

static int
id_of(PyObject *arg, uint64_t *id)
{
    *id = PyLong_AsUnsignedLongLong(arg);
    return *id == (uint64_t)-1 && PyErr_Occurred() ? -1 : 0;
}

/* The site and the task that most functions begin with. */
static int
task_of(PyObject *const *args, int64_t *number, uint64_t *id)
{
    return number_of(args[0], number) < 0 || id_of(args[1], id) < 0 ? -1 : 0;
}

/* The bytes of what was found, or None, as bytes; frees it. */
static PyObject *
raw(pk_got *got)
{
    if (got->p == NULL)
        Py_RETURN_NONE;
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)got->p, (Py_ssize_t)got->n);
    free((void *)got->p);
    return bytes;
}

static PyObject *
task_submit(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t number, due = 0;
    uint64_t id = 0;
    char *spec, *payload;
    Py_ssize_t specn, payloadn;
    int rc;
    if (pk_arity("task_submit", nargs, 3, 4) < 0 || number_of(args[0], &number) < 0 ||
        PyBytes_AsStringAndSize(args[1], &spec, &specn) < 0 || PyBytes_AsStringAndSize(args[2], &payload, &payloadn) < 0 ||
        (nargs > 3 && number_of(args[3], &due) < 0))
        return NULL;
    pk_entry e = {.key = (unsigned char *)spec, .keylen = (size_t)specn, .body = (unsigned char *)payload, .bodylen = (size_t)payloadn};
    TASK_CROSS(rc, -1, w, pkTaskSubmit(number, pk_open_scopes(), &e, due, &id, w, &words));
    if (rc)
        return pk_raise(rc, &words);
    if (id == 0)
        Py_RETURN_NONE;
    return PyLong_FromUnsignedLongLong(id);
}

static PyObject *
task_wait(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_got got = {0};
    int64_t number, timeout;
    uint64_t id;
    int rc, state = 0;
    if (pk_arity("task_wait", nargs, 3, 3) < 0 || task_of(args, &number, &id) < 0 || pk_timeout(args[2], &timeout) < 0)
        return NULL;
    TASK_CROSS(rc, timeout, w, pkTaskWait(number, pk_open_scopes(), id, &state, &got, w, &words));
    if (rc)
        return pk_raise(rc, &words);
    return Py_BuildValue("(iN)", state, raw(&got));
}

static PyObject *
task_state(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t number;
    uint64_t id;
    int state = 0;
    if (pk_arity("task_state", nargs, 2, 2) < 0 || task_of(args, &number, &id) < 0)
        return NULL;
    int rc = pkTaskState(number, pk_open_scopes(), id, &state, &words);
    return rc ? pk_raise(rc, &words) : PyLong_FromLong(state);
}

static PyObject *
task_args(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_got got = {0};
    int64_t number;
    uint64_t id;
    if (pk_arity("task_args", nargs, 2, 2) < 0 || task_of(args, &number, &id) < 0)
        return NULL;
    int rc = pkTaskArgs(number, pk_open_scopes(), id, &got, &words);
    return rc ? pk_raise(rc, &words) : raw(&got);
}

static PyObject *
task_read(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_task t = {0};
    int64_t number;
    uint64_t id;
    if (pk_arity("task_read", nargs, 2, 2) < 0 || task_of(args, &number, &id) < 0)
        return NULL;
    int rc = pkTaskRead(number, pk_open_scopes(), id, &t, &words);
    if (rc)
        return pk_raise(rc, &words);
    PyObject *fields = Py_BuildValue(
        "{s:i,s:y#,s:s#,s:K,s:L,s:L,s:L,s:L,s:L,s:K,s:i,s:I,s:I,s:I,s:K,s:s#,s:i,s:s#}", "state", t.state, "asyncable",
        (char *)t.asyncable, (Py_ssize_t)sizeof t.asyncable, "name", t.name, (Py_ssize_t)t.namelen, "code_version",
        (unsigned long long)t.code_version, "created", (long long)t.created, "due", (long long)t.due, "start",
        (long long)t.start, "end", (long long)t.end, "backoff", (long long)t.backoff, "worker",
        (unsigned long long)t.worker, "pid", (int)t.pid, "attempt", (unsigned)t.attempt, "retries", (unsigned)t.retries,
        "flags", (unsigned)t.flags, "token", (unsigned long long)t.token, "queue", t.queue, (Py_ssize_t)t.queuelen,
        "priority", t.priority, "detail", t.detail, (Py_ssize_t)t.detaillen);
    free(t.name);
    free(t.queue);
    free(t.detail);
    return fields;
}

static PyObject *
task_cancel(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t number;
    uint64_t id;
    int rc, was = 0;
    if (pk_arity("task_cancel", nargs, 2, 2) < 0 || task_of(args, &number, &id) < 0)
        return NULL;
    TASK_CROSS(rc, -1, w, pkTaskCancel(number, pk_open_scopes(), id, &was, w, &words));
    return rc ? pk_raise(rc, &words) : PyLong_FromLong(was);
}

static PyObject *
task_drop(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t number;
    uint64_t id;
    int rc;
    if (pk_arity("task_drop", nargs, 2, 2) < 0 || task_of(args, &number, &id) < 0)
        return NULL;
    TASK_CROSS(rc, -1, w, pkTaskDrop(number, pk_open_scopes(), id, w, &words));
    if (rc)
        return pk_raise(rc, &words);
    Py_RETURN_NONE;
}

/* ---- What a worker does ---- */

static PyObject *
worker_register(PyObject *Py_UNUSED(module), PyObject *arg)
{
    pk_words words = {0};
    int64_t number;
    uint64_t id = 0;
    if (number_of(arg, &number) < 0)
        return NULL;
    PyThreadState *thread = PyEval_SaveThread();
    int rc = pkWorkerRegister(number, &id, &words);
    PyEval_RestoreThread(thread);
    return rc ? pk_raise(rc, &words) : PyLong_FromUnsignedLongLong(id);
}

static PyObject *
worker_stop(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    pk_task_stopped = 1;
    Py_RETURN_NONE;
}

/* (id, token, attempt, asyncable, code_version, name, args), or None. */
static PyObject *
claim_tuple(pk_claim *claim)
{
    if (claim->id == 0)
        Py_RETURN_NONE;
    PyObject *tuple = Py_BuildValue("(KKIy#Ks#N)", (unsigned long long)claim->id, (unsigned long long)claim->token,
                                    (unsigned)claim->attempt, (char *)claim->asyncable, (Py_ssize_t)sizeof claim->asyncable,
                                    (unsigned long long)claim->code_version, claim->name, (Py_ssize_t)claim->namelen,
                                    raw(&claim->args));
    free(claim->name);
    return tuple;
}

static PyObject *
claim(int64_t number, pk_claim *next, int64_t timeout)
{
    pk_words words = {0};
    pk_wait wait;
    pk_wait_begin(&wait, timeout);
    int rc = pkTaskClaim(number, next, &wait, &words);
    pk_wait_end(&wait);
    return rc ? pk_raise(rc, &words) : claim_tuple(next);
}

static PyObject *
task_claim(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_claim next = {0};
    int64_t number, timeout;
    if (pk_arity("task_claim", nargs, 2, 2) < 0 || number_of(args[0], &number) < 0 || pk_timeout(args[1], &timeout) < 0)
        return NULL;
    return claim(number, &next, timeout);
}

static PyObject *
task_finish(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_claim next = {0};
    int64_t number, timeout;
    uint64_t id, token;
    char *payload;
    Py_ssize_t n;
    int rc, finished, final;
    if (pk_arity("task_finish", nargs, 7, 7) < 0 || task_of(args, &number, &id) < 0 || id_of(args[2], &token) < 0 ||
        (finished = PyObject_IsTrue(args[3])) < 0 || PyBytes_AsStringAndSize(args[4], &payload, &n) < 0 ||
        (final = PyObject_IsTrue(args[5])) < 0 || pk_timeout(args[6], &timeout) < 0)
        return NULL;
    TASK_CROSS(rc, -1, w, pkTaskFinish(number, id, token, finished, final, payload, (size_t)n, &next, w, &words));
    if (rc)
        return pk_raise(rc, &words);
    return next.id || timeout == 0 ? claim_tuple(&next) : claim(number, &next, timeout);
}

static PyObject *
task_release(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    int64_t number;
    uint64_t id, token;
    int rc;
    if (pk_arity("task_release", nargs, 3, 3) < 0 || task_of(args, &number, &id) < 0 || id_of(args[2], &token) < 0)
        return NULL;
    TASK_CROSS(rc, -1, w, pkTaskRelease(number, id, token, w, &words));
    if (rc)
        return pk_raise(rc, &words);
    Py_RETURN_NONE;
}

/* ---- The pool ---- */

static PyObject *
pool_start(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_wait wait;
    int64_t number;
    int started = 0;
    if (pk_arity("pool_start", nargs, 2, 2) < 0 || number_of(args[0], &number) < 0)
        return NULL;
    Py_ssize_t n;
    const char *request = PyUnicode_AsUTF8AndSize(args[1], &n);
    if (request == NULL)
        return NULL;
    pk_wait_begin(&wait, -1);
    int rc = pkPoolStart(number, (void *)request, (size_t)n, &started, &wait, &words);
    pk_wait_end(&wait);
    return rc ? pk_raise(rc, &words) : PyBool_FromLong(started);
}

static PyObject *
pool_stop(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_wait wait;
    int64_t number, grace;
    int stopped = 0;
    if (pk_arity("pool_stop", nargs, 2, 2) < 0 || number_of(args[0], &number) < 0 || pk_timeout(args[1], &grace) < 0)
        return NULL;
    pk_wait_begin(&wait, grace);
    int rc = pkPoolStop(number, &stopped, &wait, &words);
    pk_wait_end(&wait);
    return rc ? pk_raise(rc, &words) : PyBool_FromLong(stopped);
}

PyMethodDef pk_task_methods[] = {
    PK_FAST("task_submit", task_submit, "task_submit(tasks, spec, args[, due]) -> id, or None at the limit"),
    PK_FAST("task_wait", task_wait, "task_wait(tasks, id, timeout) -> (state, outcome or None)"),
    PK_FAST("task_state", task_state, "task_state(tasks, id) -> int"),
    PK_FAST("task_args", task_args, "task_args(tasks, id) -> bytes"),
    PK_FAST("task_read", task_read, "task_read(tasks, id) -> dict of what is known of the task"),
    PK_FAST("task_cancel", task_cancel, "task_cancel(tasks, id) -> the state before"),
    PK_FAST("task_drop", task_drop, "task_drop(tasks, id)"),
    {"worker_register", worker_register, METH_O, "worker_register(tasks) -> this process's id as a worker"},
    {"worker_stop", worker_stop, METH_NOARGS, "worker_stop(). No further task is claimed; a claim that waits gives None"},
    PK_FAST("task_claim", task_claim, "task_claim(tasks, timeout) -> (id, token, attempt, asyncable, code_version, name, args) or None"),
    PK_FAST("task_finish", task_finish,
            "task_finish(tasks, id, token, finished, outcome, final, timeout) -> the next claim, as task_claim"),
    PK_FAST("task_release", task_release, "task_release(tasks, id, token)"),
    PK_FAST("pool_start", pool_start, "pool_start(tasks, request) -> bool: started by this call"),
    PK_FAST("pool_stop", pool_stop, "pool_stop(tasks, grace) -> bool: there was something to stop"),
    {NULL, NULL, 0, NULL},
};
