/* The fast lane: scopes as context managers.
 *
 * __enter__ and __exit__ are in C for what Python does with Ctrl-C: it looks for
 * it as a Python function begins, so an __exit__ in Python may be left before its
 * first line, and the transaction would stay open. */
#include "lane_python.h"

/* Begins the scope that self asks for, and notes self as its owner. Returns the
 * space, or -1 with an exception set. */
static int64_t
begin_for(PyObject *self)
{
    for (int again = 0;; again++) {
        PyObject *asked = PyObject_CallMethod(self, "_parkit_scope", NULL), *seconds;
        pk_words words = {0};
        long long space;
        int64_t timeout;
        int mode, rc = -1;
        if (asked == NULL)
            return -1;
        if (PyArg_ParseTuple(asked, "LiO", &space, &mode, &seconds) && pk_timeout(seconds, &timeout) == 0) {
            rc = pk_scope_begin(space, mode, timeout, &words);
            if (rc == PK_OK) {
                pk_scopes *scopes = pk_this_thread();
                scopes->items[scopes->n - 1].owner = Py_NewRef(self);
            }
        }
        Py_DECREF(asked);
        if (rc == PK_OK)
            return space;
        if (rc != PK_STALE || again) {
            if (rc > 0)
                pk_raise(rc, &words);
            return -1;
        }
        /* Its storage failed, or was closed: once, to open it again. */
        pk_forget(&words);
        PyObject *done = PyObject_CallMethod(self, "_parkit_reopen", "L", space);
        if (done == NULL)
            return -1;
        Py_DECREF(done);
    }
}

/* The place of the innermost scope that self entered on this thread, or -1. */
static int32_t
place_of(PyObject *self)
{
    pk_scopes *scopes = pk_this_thread();
    int32_t i = scopes->n;
    while (i-- > 0 && scopes->items[i].owner != self)
        ;
    return i;
}

/* The place of the innermost scope of a space. */
static int32_t
innermost(int64_t space)
{
    pk_scopes *scopes = pk_this_thread();
    int32_t i = scopes->n;
    while (i-- > 0 && scopes->items[i].space != space)
        ;
    return i;
}

/* Ends the innermost scope of a space and lets go of its owner. */
static int
end_innermost(int64_t space, int commit)
{
    PyObject *owner = pk_this_thread()->items[innermost(space)].owner;
    int rc = pk_scope_end(space, commit);
    Py_XDECREF(owner);
    return rc;
}

/* Undoes the innermost scope of a space because of the exception that is set. */
static void
undo(int64_t space)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (end_innermost(space, 0) < 0)
        PyErr_Clear(); /* the first exception says what happened */
    PyErr_Restore(type, value, traceback);
}

/* Ends the scope that self entered. */
static PyObject *
leave(PyObject *self, int commit)
{
    int32_t place = place_of(self);
    if (place < 0)
        return PyObject_CallMethod(self, "_parkit_lost", NULL);
    int64_t space = pk_this_thread()->items[place].space;
    if (innermost(space) == place) {
        if (end_innermost(space, commit) < 0)
            return NULL;
        Py_RETURN_NONE;
    }
    /* Out of order, as generators and coroutines can be. What is inside goes with it. */
    int rc = 0;
    while (rc == 0 && innermost(space) >= place)
        rc = end_innermost(space, 0);
    return rc < 0 ? NULL : PyObject_CallMethod(self, "_parkit_disordered", NULL);
}

static int
check_exit(Py_ssize_t nargs, PyObject *const *args, int *commit)
{
    if (pk_arity("__exit__", nargs, 3, 3) < 0)
        return -1;
    *commit = args[0] == Py_None;
    return 0;
}

/* `with` takes __exit__ from the object as it begins: in a child that was forked
 * inside, it is still this one. The scope is the parent's. */
static int
parents(void)
{
    return pk_dead();
}

static PyObject *
enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (parents())
        return PyObject_CallMethod(self, "__enter__", NULL);
    return begin_for(self) < 0 ? NULL : Py_NewRef(self);
}

static PyObject *
leave_plain(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int commit;
    if (check_exit(nargs, args, &commit) < 0)
        return NULL;
    if (parents())
        Py_RETURN_NONE;
    return leave(self, commit);
}

/* Of a scope that has work to do inside: _parkit_begun() gives what `as` gets,
 * _parkit_finish() is called before a commit. What they raise undoes the scope. */
static PyObject *
enter_and_work(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    if (parents())
        return PyObject_CallMethod(self, "__enter__", NULL);
    int64_t space = begin_for(self);
    if (space < 0)
        return NULL;
    PyObject *value = PyObject_CallMethod(self, "_parkit_begun", NULL);
    if (value == NULL)
        undo(space);
    return value;
}

static PyObject *
work_and_leave(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    int commit;
    if (check_exit(nargs, args, &commit) < 0)
        return NULL;
    if (parents())
        Py_RETURN_NONE;
    int32_t place = place_of(self);
    if (commit && place >= 0 && innermost(pk_this_thread()->items[place].space) == place) {
        int64_t space = pk_this_thread()->items[place].space;
        PyObject *done = PyObject_CallMethod(self, "_parkit_finish", NULL);
        Py_XDECREF(done);
        if (done == NULL) {
            undo(space);
            return NULL;
        }
    }
    return leave(self, commit);
}

static PyMethodDef plain_methods[] = {
    {"__enter__", enter, METH_NOARGS, "Begin the scope on this thread."},
    PK_FAST("__exit__", leave_plain, "End the scope: commit it, or undo it because of an exception."),
};

static PyMethodDef working_methods[] = {
    {"__enter__", enter_and_work, METH_NOARGS, "Begin the scope on this thread."},
    PK_FAST("__exit__", work_and_leave, "End the scope: commit it, or undo it because of an exception."),
};

/* scope_install(type, works): give a class of scopes these methods, until the
 * library is loaded again. */
PyObject *
pk_scope_install(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *type;
    int works;
    if (!PyArg_ParseTuple(args, "O!p", &PyType_Type, &type, &works))
        return NULL;
    for (int i = 0; i < 2; i++) {
        PyMethodDef *def = works ? &working_methods[i] : &plain_methods[i];
        PyObject *method = PyDescr_NewMethod((PyTypeObject *)type, def);
        int rc = method == NULL ? -1 : PyObject_SetAttrString(type, def->ml_name, method);
        Py_XDECREF(method);
        if (rc < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}
