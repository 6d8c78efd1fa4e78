/* The fast lane: what was taken and then cannot be handed out is put back. */
#include "lane_python.h"

#include <stdlib.h>

#include "_cgo_export.h"

/* What tells of it in the exception: put_back(error, failure, leased), why(error). */
static PyObject *put_back, *why_of;

/* The exception that is set, or None; nothing is set then. */
static PyObject *
caught(void)
{
    PyObject *type, *error, *trace;
    PyErr_Fetch(&type, &error, &trace);
    if (type == NULL)
        return Py_NewRef(Py_None);
    PyErr_NormalizeException(&type, &error, &trace);
    if (trace != NULL)
        PyException_SetTraceback(error, trace);
    Py_XDECREF(trace);
    Py_DECREF(type);
    return error;
}

static void
set_bytes(PyObject *error, const char *name, const unsigned char *p, size_t n)
{
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)p, (Py_ssize_t)n);
    if (bytes == NULL || PyObject_SetAttrString(error, name, bytes) < 0)
        PyErr_Clear(); /* an exception of a kind that takes no attributes: error itself says more */
    Py_XDECREF(bytes);
}

/* Whether an exception is no error of the work, but its end. */
static int
ends(PyObject *error)
{
    return error != Py_None && PyObject_IsInstance(error, PyExc_Exception) == 0;
}

/* Raises error, a reference that it takes over, with a word on what became of what was taken. */
static void
raise_told(PyObject *error, PyObject *failure, int leased)
{
    PyObject *told = put_back == NULL
                         ? NULL
                         : PyObject_CallFunction(put_back, "OOO", error, failure, leased ? Py_True : Py_False);
    Py_XDECREF(told);
    PyObject *other = caught();
    if (ends(other) && !ends(error)) { /* Ctrl-C while it was told goes on, before an error */
        PyException_SetContext(other, error);
        error = other;
    } else
        Py_DECREF(other);
    /* Not PyErr_SetObject, which would chain it anew. */
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(error)), error, PyException_GetTraceback(error));
}

/* The exception of a crossing's code, None for none; nothing is set then. */
static PyObject *
failure_of(int rc, pk_words *words)
{
    if (rc > 0)
        pk_raise(rc, words);
    return caught();
}

/* The wait for the turn to write does not look at signals, or a second Ctrl-C would lose the item. */
static int
deaf(pk_wait *wait)
{
    if (wait != NULL)
        wait->main = 0;
    return 0;
}

static void
give_back(PyObject *obj, int where, pk_got *got, pk_taken *taken)
{
    pk_words words = {0};
    int rc;
    PyObject *error = caught();
    PK_CROSS(rc, obj, h, w, (deaf(w), pkPutBack(h, pk_open_scopes(), where, got, taken, w, &words)));
    PyObject *failure = failure_of(rc, &words);
    if (failure != Py_None) {
        set_bytes(error, "parkit_raw", got->p, got->n);
        set_bytes(error, "parkit_raw_key", got->p + got->n, taken->place + taken->own);
    }
    raise_told(error, failure, 0);
    Py_DECREF(failure);
}

/* Ends a lease whose item cannot be read: an attempt, if it is an error that was raised. */
static void
end_lease(PyObject *obj, pk_lease *lease)
{
    pk_words words = {0};
    Py_ssize_t n = 0;
    int rc;
    PyObject *error = caught();
    PyObject *text = why_of == NULL ? NULL : PyObject_CallOneArg(why_of, error);
    const char *why = text == NULL ? NULL : PyUnicode_AsUTF8AndSize(text, &n);
    PyErr_Clear();
    lease->hold_ns = 0; /* no delay */
    PK_CROSS(rc, obj, h, w,
             (deaf(w), pkQueueSettle(h, pk_open_scopes(), ends(error) ? PK_UNLEASE : PK_NACK, lease, (char *)why, (size_t)n, w,
                                     &words)));
    PyObject *failure = failure_of(rc, &words);
    Py_XDECREF(text);
    raise_told(error, failure, 1);
    Py_DECREF(failure);
}

/* The key and the value of a dict's entry. */
static PyObject *
entry_of(const pk_got *got, const pk_taken *taken)
{
    const unsigned char *key = got->p + got->n + 1; /* behind the tag */
    Py_ssize_t n = (Py_ssize_t)taken->place - 1;
    PyObject *k = pk_decode_key(key, n, key + n, (Py_ssize_t)taken->own);
    PyObject *v = k == NULL ? NULL : pk_decode_got(got);
    PyObject *both = v == NULL ? NULL : PyTuple_Pack(2, k, v);
    Py_XDECREF(k);
    Py_XDECREF(v);
    return both;
}

PyObject *
pk_hand_out(PyObject *obj, int where, pk_got *got, pk_taken *taken, pk_lease *lease, PyObject *decode)
{
    PyObject *value = NULL;
    if (!PyErr_Occurred()) /* as a signal that came while the turn was waited for may have left it */
        value = where == PK_TO_DICT_BOTH ? entry_of(got, taken) : pk_decode_got(got);
    if (value != NULL && decode != NULL)
        Py_SETREF(value, PyObject_CallOneArg(decode, value));
    /* What has come by now has the item put back; a moment later it would be in nobody's hands. */
    if (value != NULL && PyErr_CheckSignals() != 0)
        Py_CLEAR(value);
    if (value == NULL) {
        if (lease != NULL)
            end_lease(obj, lease);
        else
            give_back(obj, where == PK_TO_DICT_BOTH ? PK_TO_DICT : where, got, taken);
    }
    if (got->owned)
        free((void *)got->p);
    return value;
}

static PyObject *
taken_tellers(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    if (pk_arity("taken_tellers", nargs, 2, 2) < 0)
        return NULL;
    Py_XSETREF(put_back, Py_NewRef(args[0]));
    Py_XSETREF(why_of, Py_NewRef(args[1]));
    Py_RETURN_NONE;
}

PyMethodDef pk_taken_methods[] = {
    PK_FAST("taken_tellers", taken_tellers, "taken_tellers(put_back, why)"),
    {NULL, NULL, 0, NULL},
};
