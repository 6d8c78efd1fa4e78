/* What the lane's files on dicts share. */
#ifndef PARKIT_LANE_DICT_H
#define PARKIT_LANE_DICT_H

#include "lane_python.h"

/* An encoded key, and the key's own form where it needs one. */
typedef struct {
    pk_buf enc, own;
} dict_key;

static inline int
pk_key_begin(dict_key *k, PyObject *key)
{
    pk_buf_init(&k->enc);
    pk_buf_init(&k->own);
    if (pk_encode_key(key, &k->enc, &k->own) == 0)
        return 0;
    pk_buf_free(&k->enc);
    pk_buf_free(&k->own);
    return -1;
}

static inline void
pk_key_end(dict_key *k)
{
    pk_buf_free(&k->enc);
    pk_buf_free(&k->own);
}

static inline pk_entry
pk_entry_of(const dict_key *k, const pk_value *v)
{
    return (pk_entry){k->enc.p, k->own.len ? k->own.p : NULL, v->head, v->body,
                      (size_t)k->enc.len, (size_t)k->own.len, (size_t)v->headlen, (size_t)v->bodylen};
}

#endif
