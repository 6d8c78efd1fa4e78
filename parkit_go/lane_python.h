/* What the lane's C files share and Go need not see. */
#ifndef PARKIT_LANE_PYTHON_H
#define PARKIT_LANE_PYTHON_H

#include "codec.h"
#include "lane.h"

/* Room on the stack for a value to be copied to; a larger one is read in place. */
enum { PK_ROOM = 2048 };

#define PK_FAST(name, cfunc, doc) {name, (PyCFunction)(void (*)(void))cfunc, METH_FASTCALL, doc}

/* The handle in an object's slot, 0 with an exception set. */
int64_t pk_handle(PyObject *obj);
/* Has Python open the object again in this process; -1 with an exception set. */
int pk_rebind(PyObject *obj);
/* The thread's scopes, NULL where it has none open. */
pk_scopes *pk_open_scopes(void);
/* Raises the exception of a code and frees the words. Returns NULL. */
PyObject *pk_raise(int code, pk_words *words);
/* KeyError(key). Returns NULL. */
PyObject *pk_key_error(PyObject *key);
/* The object of a value, which must stay while other threads run: large bytes are copied without the GIL. */
PyObject *pk_decode_got(const pk_got *got);
/* The object of a value that was found; lets go of its pin. */
PyObject *pk_take(pk_got *got);
/* 1 in a forked child whose copy of the library this is not. */
int pk_dead(void);
/* Checks the number of arguments. */
int pk_arity(const char *name, Py_ssize_t got, Py_ssize_t least, Py_ssize_t most);
/* Fills in a wait and lets go of the GIL; pk_wait_end takes it again. */
void pk_wait_begin(pk_wait *wait, int64_t timeout_ns);
void pk_wait_end(pk_wait *wait);
/* Nanoseconds of a timeout in seconds; None is -1 (the default). */
int pk_timeout(PyObject *seconds, int64_t *ns);

/* Frees the words of an error that is not raised. */
void pk_forget(pk_words *words);

/* Runs CALL, an expression that uses the handle h, the wait w and the caller's
 * words, until it neither asks for another handle nor to be called without the
 * GIL. */
#define PK_CROSS(rc, obj, h, w, CALL) PK_CROSS_WITHIN(rc, obj, h, w, -1, CALL)

/* The same for a wait of NS nanoseconds. */
#define PK_CROSS_WITHIN(rc, obj, h, w, NS, CALL)                               \
    do {                                                                       \
        pk_wait room_, *w = NULL;                                              \
        int rebound_ = 0;                                                      \
        for (;;) {                                                             \
            int64_t h = pk_handle(obj);                                        \
            if (h < 0) {                                                       \
                rc = -1;                                                       \
                break;                                                         \
            }                                                                  \
            rc = CALL;                                                         \
            if (rc == PK_AGAIN) {                                              \
                w = &room_;                                                    \
                pk_wait_begin(w, NS);                                          \
                rc = CALL;                                                     \
                pk_wait_end(w);                                                \
                w = NULL;                                                      \
            }                                                                  \
            if (rc != PK_STALE || rebound_)                                    \
                break;                                                         \
            rebound_ = 1;                                                      \
            pk_forget(&words);                                                 \
            if (pk_rebind(obj) < 0) {                                          \
                rc = -1;                                                       \
                break;                                                         \
            }                                                                  \
        }                                                                      \
    } while (0)

/* Begins a scope on this thread; a code, with words, as of the exported functions. */
int pk_scope_begin(int64_t space, int mode, int64_t timeout, pk_words *words);
/* Ends the innermost scope of a space; -1 with an exception set. A scope that
 * cannot be committed has ended too. */
int pk_scope_end(int64_t space, int commit);
PyObject *pk_scope_install(PyObject *module, PyObject *args);

/* The encoded items of an update. */
typedef struct {
    pk_buf bytes;
    pk_entry *entries;
    PyObject **holds; /* keep bodies alive */
    Py_ssize_t n;
} pk_items;

/* Encodes the items of an iterable; pk_items_free them, also after a failure. */
int pk_items_of(pk_items *all, PyObject *source);
void pk_items_free(pk_items *all);
/* An entry without a key. */
pk_entry pk_item(const pk_value *value);
/* Gives a class methods in C. Returns None. */
PyObject *pk_install(PyObject *type, PyMethodDef *methods);

/* A name of an attribute as UTF-8; NULL with an exception set. */
const char *pk_attr_name(PyObject *name, Py_ssize_t *n);
/* AttributeError. Returns NULL. */
PyObject *pk_no_attribute(PyObject *obj, PyObject *name);
/* block and timeout of a queue's put and get: *ns as pk_timeout, 0 for "do not
 * wait". A block of None is true; without a timeout either, *quick, it is not in
 * a transaction, where nothing can come, and of a queue that says so. */
int pk_patience(PyObject *block, PyObject *timeout, int64_t *ns, int *quick);
/* The exception of what a queue answers. Returns NULL. */
PyObject *pk_queue_answer(int rc, pk_words *words);
/* Takes an item, by a lease unless that is NULL. */
PyObject *pk_queue_take(PyObject *obj, PyObject *block, PyObject *timeout, pk_lease *lease, PyObject *decode);
/* The object of what was removed, or, unless decode is NULL, what that makes of
 * it; frees what got owns. If it cannot be had, it is put back, or its lease
 * ended, and the exception goes on. */
PyObject *pk_hand_out(PyObject *obj, int where, pk_got *got, pk_taken *taken, pk_lease *lease, PyObject *decode);

extern PyMethodDef pk_dict_methods[];
extern PyMethodDef pk_cache_methods[];
extern PyMethodDef pk_array_methods[];
extern PyMethodDef pk_queue_methods[];
extern PyMethodDef pk_lease_methods[];
extern PyMethodDef pk_object_methods[];
extern PyMethodDef pk_scope_methods[];
extern PyMethodDef pk_taken_methods[];
extern PyMethodDef pk_iter_methods[];
extern PyMethodDef pk_task_methods[];
extern PyMethodDef pk_bridge_methods[];
extern PyMethodDef pk_file_methods[];
extern PyMethodDef pk_view_methods[];
int pk_iter_ready(PyObject *module);
int pk_view_ready(PyObject *module);

#endif
