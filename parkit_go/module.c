/* The second Python module in the library: the fast lane, which carries every
 * operation on data past gopy. gopy makes its own PyInit_ function; this one
 * stands beside it in the same file. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include "_cgo_export.h"

static PyObject *
lane_ping(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(ignored))
{
    return PyLong_FromLongLong(parkitLanePing());
}

static PyMethodDef lane_methods[] = {
    {"ping", lane_ping, METH_NOARGS,
     "ping() -> int. One call through C into Go and back; proves that Go's runtime runs."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef lane_module = {
    PyModuleDef_HEAD_INIT, "lane", "parkit's fast lane.", -1, lane_methods,
};

PyMODINIT_FUNC
PyInit_lane(void)
{
    return PyModule_Create(&lane_module);
}
