/* Between Python objects and the bytes that are stored: the order-preserving
 * encoding of keys and the encoding of values. gocore/keys is the same in Go;
 * its testdata/vectors.json holds both to one another.
 *
 * Every function wants the GIL. Those that return int give 0, or -1 with an
 * exception set. */
#ifndef PARKIT_CODEC_H
#define PARKIT_CODEC_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Bytes that grow. Short ones live in the struct itself, so p must be read
 * again after the struct was moved: do not copy it. */
typedef struct {
    unsigned char *p;
    Py_ssize_t len, cap;
    unsigned char inl[512];
} pk_buf;

/* A value in two parts: its head, and a body that lies in an object's own
 * memory, so that a large one is copied only once, into the store. The body
 * stays as it is until pk_value_free, also while the GIL is released. */
typedef struct {
    unsigned char head[16];
    Py_ssize_t headlen;
    const unsigned char *body; /* NULL where bodylen is 0 */
    Py_ssize_t bodylen;
    PyObject *hold;
} pk_value;

static inline void
pk_buf_init(pk_buf *b)
{
    b->p = b->inl;
    b->len = 0;
    b->cap = (Py_ssize_t)sizeof b->inl;
}

/* May be called without the GIL. */
static inline void
pk_buf_free(pk_buf *b)
{
    if (b->p != b->inl) {
        PyMem_RawFree(b->p);
        b->p = b->inl;
    }
}

static inline void
pk_value_free(pk_value *v)
{
    Py_CLEAR(v->hold);
}

/* Appends n bytes. */
int pk_buf_append(pk_buf *b, const void *bytes, Py_ssize_t n);
/* Appends head and body. */
int pk_buf_append_value(pk_buf *b, const pk_value *v);

/* The Python functions used where C does not do:
 *   dumps(obj, 5) -> bytes and loads(buffer) -> obj, those of pickle;
 *   slow_key(obj) -> bytes, a pickle that is the same for equal objects, or
 *                    (other,), an object of an easier type that is equal to obj;
 *   slow_value(obj) -> bytes, for what dumps refused.
 * They replace those given before. */
int pk_codec_configure(PyObject *dumps, PyObject *loads, PyObject *slow_key, PyObject *slow_value);

/* Appends the encoding of key to enc. own, which must be empty, is left empty where
 * pk_decode_key makes the same key of enc alone, and else gets the key's value
 * encoding. TypeError for what a dict would not take as a key either.
 * After a failure enc holds as much as it did before. */
int pk_encode_key(PyObject *key, pk_buf *enc, pk_buf *own);

/* ownlen is 0 where the record holds no key. ValueError for damaged bytes. */
PyObject *pk_decode_key(const unsigned char *enc, Py_ssize_t n, const unsigned char *own, Py_ssize_t ownlen);

/* out needs no initialisation; after success, pk_value_free it. */
int pk_encode_value(PyObject *v, pk_value *out);

/* ValueError for damaged bytes, and whatever unpickling raises.
 *
 * Pickles run Python code, which may use the store. Up to PK_COPY_LIMIT bytes
 * are copied before that; of a longer p, the caller must see to it that it stays
 * as it is until the return (a page that the same write transaction may write
 * to again does not). */
PyObject *pk_decode_value(const unsigned char *p, Py_ssize_t n);

/* The length of the head of a value that is bytes, which follow; else 0. */
Py_ssize_t pk_bytes_head(const unsigned char *p, Py_ssize_t n);
#define PK_COPY_LIMIT (64 * 1024)

#endif
