/* The fast lane: views of the store's memory.
 *
 * A view belongs to a snapshot and keeps that snapshot's transaction open, also
 * after the scope has ended, so that what it shows is never written over. It
 * may be freed by any thread. In a forked child it shows the parent's memory,
 * which is as it was for as long as the parent has the view, too. */
#include "lane_python.h"

#include <stdlib.h>

#include "_cgo_export.h"

typedef struct {
    PyObject_HEAD
    uintptr_t number; /* Go's, 0 before it has one */
    const unsigned char *p;
    Py_ssize_t n;
} view;

static int
view_buffer(PyObject *self, Py_buffer *buffer, int flags)
{
    view *v = (view *)self;
    return PyBuffer_FillInfo(buffer, self, v->n ? (void *)v->p : (void *)"", v->n, 1, flags);
}

/* A program that keeps views without knowing it keeps the space of what is
 * deleted meanwhile. */
static void
warn(const char *path, int64_t late)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    char *seconds = PyOS_double_to_string((double)late / 1e9, 'f', 6, 0, NULL);
    if (seconds == NULL || PyErr_ResourceWarning(NULL, 1,
                                                 "a view of %s was kept for %s s after the end of its snapshot, which "
                                                 "stayed open for it; let go of it inside, or take a copy",
                                                 path, seconds) < 0)
        PyErr_WriteUnraisable(NULL);
    PyMem_Free(seconds);
    PyErr_Restore(type, value, traceback);
}

static void
view_dealloc(PyObject *self)
{
    view *v = (view *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (v->number && !pk_dead()) {
        int64_t late = 0;
        char *path = NULL;
        pkViewEnd(v->number, &late, &path);
        if (path != NULL)
            warn(path, late);
        free(path);
    }
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot view_slots[] = {
    {Py_tp_dealloc, view_dealloc},
    {Py_bf_getbuffer, view_buffer},
    {0, NULL},
};

static PyType_Spec view_spec = {
    "parkit.View", sizeof(view), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, view_slots,
};

static PyTypeObject *view_type;

int
pk_view_ready(PyObject *module)
{
    view_type = (PyTypeObject *)PyType_FromSpec(&view_spec);
    if (view_type == NULL)
        return -1;
    return PyModule_AddObjectRef(module, "View", (PyObject *)view_type);
}

static view *
new_view(void)
{
    view *v = PyObject_New(view, view_type);
    if (v != NULL) {
        v->number = 0;
        v->p = NULL;
        v->n = 0;
    }
    return v;
}

static void
show(view *v, const pk_seen *seen)
{
    v->number = seen->number;
    v->p = seen->p;
    v->n = (Py_ssize_t)seen->n;
}

static PyObject *
file_view(PyObject *Py_UNUSED(module), PyObject *obj)
{
    pk_words words = {0};
    pk_seen seen = {0};
    int rc;
    view *v = new_view(); /* first, so that what is seen has an owner at once */
    if (v == NULL)
        return NULL;
    PK_CROSS(rc, obj, h, w, pkFileView(h, pk_open_scopes(), &seen, w, &words));
    if (rc == PK_OK) {
        show(v, &seen);
        return (PyObject *)v;
    }
    Py_DECREF(v);
    if (rc == PK_NOTFOUND)
        Py_RETURN_NONE;
    return rc < 0 ? NULL : pk_raise(rc, &words);
}

/* attr_view(obj, name): an attribute's value is stored with a head. */
static PyObject *
attr_view(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t nargs)
{
    pk_words words = {0};
    pk_seen seen = {0};
    Py_ssize_t n;
    int rc;
    if (pk_arity("attr_view", nargs, 2, 2) < 0)
        return NULL;
    const char *name = pk_attr_name(args[1], &n);
    view *v = name ? new_view() : NULL;
    if (v == NULL)
        return NULL;
    PK_CROSS(rc, args[0], h, w, pkAttrView(h, pk_open_scopes(), (void *)name, n, &seen, &words));
    if (rc == PK_OK) {
        show(v, &seen);
        Py_ssize_t head = pk_bytes_head(v->p, v->n);
        v->p += head;
        v->n -= head;
        if (head > 0)
            return (PyObject *)v;
        rc = PK_NOTFOUND; /* not bytes: it is had as any value is */
    }
    Py_DECREF(v);
    if (rc == PK_NOTFOUND)
        Py_RETURN_NONE;
    return rc < 0 ? NULL : pk_raise(rc, &words);
}

PyMethodDef pk_view_methods[] = {
    {"file_view", file_view, METH_O, "file_view(obj) -> View | None"},
    PK_FAST("attr_view", attr_view, "attr_view(obj, name) -> View | None"),
    {NULL, NULL, 0, NULL},
};
