// The few calls of LMDB that the hot path needs, bundled so that one user
// operation costs as few crossings from Go to C as possible. The LMDB that
// they reach is the one that lmdb-go carries; its symbols are resolved when
// the program is linked.
#ifndef PARKIT_ENGINE_H
#define PARKIT_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "page.h"

typedef struct MDB_env MDB_env;
typedef struct MDB_txn MDB_txn;

// Keys and values are pointers to bytes, not to void: cgo then need not look for
// Go pointers behind them at every call.

// A reference into the store: rc is LMDB's, p and n what was found.
typedef struct {
	int rc;
	void *p;
	size_t n;
} pk_ref;

// What the beginning of a write transaction found.
typedef struct {
	int rc;          // LMDB's or the system's; PK_BUSY when the turn is another's
	MDB_txn *txn;
	uint64_t next;   // first page that no commit has used yet
	uint64_t id;     // of the commit that it will make
} pk_write;

typedef struct {
	int rc;
	int fresh;
	void *p;
	uint64_t next; // first page that nothing uses yet
} pk_stored;

// An entry in the store. Addresses, not pointers, so that an array of pairs can
// live on a goroutine's stack and cgo need not look through it.
typedef struct {
	uintptr_t k;
	size_t kn;
	uintptr_t v;
	size_t vn;
} pk_pair;

enum { PK_BUSY = 1 << 20, PK_PINNED = (1 << 20) + 1 };
enum { PK_REVERSE = 1 };

// pk_begin_read and pk_renew give a read transaction the last commit, whole.
int pk_begin_read(pk_page *page, MDB_env *env, MDB_txn **txn);
int pk_renew(pk_page *page, MDB_txn *txn);
void pk_reset(MDB_txn *txn);
void pk_abort(MDB_txn *txn);
uint64_t pk_txn_id(MDB_txn *txn);
uint64_t pk_next_page(MDB_txn *txn);
uint64_t pk_last_commit(MDB_env *env);
// pk_free_pages counts the pages that commits before one freed, and that
// nobody uses yet as of the last commit.
uint64_t pk_free_pages(MDB_env *env, uint64_t before);

// pk_peek renews txn, reads key, and either copies the value to dst and resets
// txn, or (PK_PINNED) returns it in place and leaves txn open.
pk_ref pk_peek(pk_page *page, MDB_txn *txn, unsigned dbi, const uint8_t *key, size_t kn, uint8_t *dst, size_t cap);
pk_ref pk_get(MDB_txn *txn, unsigned dbi, const uint8_t *key, size_t kn);

// pk_write_begin takes the writer's turn if it is free and begins.
pk_write pk_write_begin(pk_page *page, MDB_env *env);
// pk_write_locked begins for a thread that has the turn already.
pk_write pk_write_locked(MDB_env *env);
// pk_write_commit commits, publishes the changes and passes the turn on; on an
// error nothing was committed and the turn has been passed on all the same.
int pk_write_commit(pk_page *page, MDB_txn *txn, uint64_t channels, const uint8_t *one);
void pk_write_abort(pk_page *page, MDB_txn *txn);

pk_stored pk_put(MDB_txn *txn, unsigned dbi, const uint8_t *key, size_t kn, const uint8_t *val, size_t vn, int reserve);
pk_stored pk_del(MDB_txn *txn, unsigned dbi, const uint8_t *key, size_t kn);
long pk_del_range(MDB_txn *txn, unsigned dbi, const uint8_t *lo, size_t lon, const uint8_t *hi, size_t hin);
int pk_scan(MDB_txn *txn, unsigned dbi, const uint8_t *lo, size_t lon, const uint8_t *hi, size_t hin, int flags, pk_pair *out, int max);

// pk_allocate puts blocks behind the bytes from to to of a file, whose size it
// keeps or extends; 0 or the system's error, EOPNOTSUPP where the file system
// cannot. These go through the C library so that tests see and fail them as they
// do LMDB's own.
int pk_allocate(int fd, int64_t from, int64_t to, int keep_size);
int pk_extend(int fd, int64_t size);
// Takes pages of the map out of the process's working set.
void pk_unneeded(uintptr_t at, size_t n);
int pk_flush(int fd);
extern int pk_cannot_allocate; // for tests: every file system cannot

#endif
