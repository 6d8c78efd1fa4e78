/* The fast lane: what its C files share with each other and with Go.
 *
 * A lane function encodes its arguments, crosses to Go once, and makes Python
 * objects of what comes back. It holds the GIL on the first attempt, which never
 * waits; where the core says PK_AGAIN it lets go of the GIL and crosses again,
 * and then may wait. */
#ifndef PARKIT_LANE_H
#define PARKIT_LANE_H

#include <stddef.h>
#include <stdint.h>

/* What an exported Go function returns: 0, one of these, or a code of errs. */
enum {
    PK_OK = 0,
    PK_NOTFOUND = 1, /* errs.NotFound */
    PK_AGAIN = 1000, /* would wait: call again without the GIL */
    PK_STALE = 1001, /* the handle is of another process: rebind it */
    PK_FULL = 1002,  /* what a queue answers: it is full, */
    PK_SHUT = 1003,  /* it was shut down, */
    PK_NOTHING = 1004, /* no item can be done with */
};

/* What pkQueueChange does. */
enum { PK_DONE, PK_CLEAR, PK_SHUT_DOWN, PK_REOPEN, PK_LIMIT, PK_ATTEMPTS, PK_BLOCKING };

/* What pkQueueSettle does with a lease, and pkQueueRevive with dead letters. */
enum { PK_ACK, PK_NACK, PK_UNLEASE, PK_BURY, PK_EXTEND };
enum { PK_RETRY, PK_FORGET };

/* A lease of a queue's item. */
typedef struct {
    int64_t hold_ns; /* what is asked for: how long it is held, 0 for no bound */
    uint64_t owner, id, attempts;
    int64_t deadline; /* wall clock, ns; 0 for none */
} pk_lease;

/* How far a queue has come. */
typedef struct {
    uint64_t length, limit, pending, leased, dead, attempts;
    uint32_t flags;
} pk_queue;

/* The words of an error, malloc'ed by Go and freed by pk_raise. */
typedef struct {
    char *op, *subject, *detail;
} pk_words;

/* A value that was found: in the caller's room, in the store, which pin keeps as
 * it is until pkUnpin, or in malloc'ed memory (owned). */
typedef struct {
    const unsigned char *p;
    size_t n;
    uintptr_t pin;
    int owned;
    int unstable; /* in a page that this thread's own transaction may write to */
} pk_got;

/* What was removed beside a value: behind that lie so many bytes of the key it
 * had, from the tag on, and of its own key. */
typedef struct {
    size_t place, own;
    int64_t due; /* when a dict's entry ends, 0 for never */
} pk_taken;

/* Where pkPutBack puts it; PK_TO_DICT_BOTH is C's, for an entry whose key is handed out too. */
enum { PK_TO_QUEUE, PK_TO_FIRST, PK_TO_LAST, PK_TO_DICT, PK_TO_DICT_BOTH };

/* Memory of the store that a view shows, until pkViewEnd(number). */
typedef struct {
    const unsigned char *p;
    size_t n;
    uintptr_t number;
} pk_seen;

/* Up to so many bytes a value that stays where it is is copied without letting go of the GIL. */
enum { PK_VALUE_HELD = 1024 * 1024 };

/* Up to so many bytes a file is read and written without letting go of the GIL. */
enum { PK_COPY_HELD = 64 * 1024 };

/* A call that may wait: on which thread state, whether that thread gets Python's
 * signals, and for how long (negative: the default bound). */
typedef struct {
    void *thread;
    int main;
    int64_t timeout_ns;
} pk_wait;

/* The scopes (transactions and snapshots) that a thread has open, innermost last. */
typedef struct {
    int64_t space;
    int32_t mode; /* 0 snapshot, 1 transaction */
    int32_t role; /* what its end does: PK_ROOT ends the transaction, ... */
    void *tx;     /* pinned by Go */
    void *owner;  /* the PyObject that was entered, a reference of ours; or NULL */
} pk_scope;

enum { PK_ROOT = 0, PK_SAVEPOINT = 1, PK_JOINED = 2 };

typedef struct {
    int32_t n, cap;
    pk_scope *items;
} pk_scopes;

/* Entries packed one behind another: three lengths (key, own, value; uint32), then
 * the bytes of each. */
typedef struct {
    unsigned char *p; /* malloc'ed */
    size_t n, cap;
    int done; /* nothing comes after these */
} pk_batch;

/* One entry of an update, all memory the caller's. */
typedef struct {
    const unsigned char *key, *own, *head, *body;
    size_t keylen, ownlen, headlen, bodylen;
} pk_entry;

pk_scopes *pk_this_thread(void);
int pk_interrupted(pk_wait *wait);
int pk_watch_thread_end(void);

#endif
