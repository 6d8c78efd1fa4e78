#define _GNU_SOURCE
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct {
	size_t mv_size;
	void *mv_data;
} MDB_val;

typedef struct MDB_cursor MDB_cursor;

typedef struct {
	unsigned int ms_psize;
	unsigned int ms_depth;
	size_t ms_branch_pages;
	size_t ms_leaf_pages;
	size_t ms_overflow_pages;
	size_t ms_entries;
} MDB_stat;

typedef struct {
	void *me_mapaddr;
	size_t me_mapsize;
	size_t me_last_pgno;
	size_t me_last_txnid;
	unsigned int me_maxreaders;
	unsigned int me_numreaders;
} MDB_envinfo;

enum { CURSOR_FIRST = 0, CURSOR_LAST = 6, CURSOR_NEXT = 8, CURSOR_PREV = 12, CURSOR_SET_RANGE = 17 };
enum { FLAG_RDONLY = 0x20000, FLAG_RESERVE = 0x10000 };
enum { ERR_NOTFOUND = -30798 };

int mdb_env_info(MDB_env *, MDB_envinfo *);
MDB_env *mdb_txn_env(MDB_txn *);
int mdb_txn_begin(MDB_env *, MDB_txn *, unsigned, MDB_txn **);
int mdb_txn_renew(MDB_txn *);
void mdb_txn_reset(MDB_txn *);
void mdb_txn_abort(MDB_txn *);
int mdb_txn_commit(MDB_txn *);
size_t mdb_txn_id(MDB_txn *);
int mdb_get(MDB_txn *, unsigned, MDB_val *, MDB_val *);
int mdb_put(MDB_txn *, unsigned, MDB_val *, MDB_val *, unsigned);
int mdb_del(MDB_txn *, unsigned, MDB_val *, MDB_val *);
int mdb_stat(MDB_txn *, unsigned, MDB_stat *);
int mdb_cursor_open(MDB_txn *, unsigned, MDB_cursor **);
void mdb_cursor_close(MDB_cursor *);
int mdb_cursor_get(MDB_cursor *, MDB_val *, MDB_val *, int);
int mdb_cursor_del(MDB_cursor *, unsigned);

// LMDB's reader copies the page that names a commit's roots without a lock. A
// thread that is put aside between choosing the page and copying it may copy
// while a later commit, the next but one, writes it. That one can only have
// begun when the one before it was published; so a copy is sound if that has
// not happened.
static int sound(pk_page *page, MDB_txn *txn)
{
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&page->published, memory_order_relaxed) <= mdb_txn_id(txn);
}

enum { RENEWALS = 100 }; // by then a count that is wrong is likelier than bad luck

int pk_renew(pk_page *page, MDB_txn *txn)
{
	int rc = mdb_txn_renew(txn);
	for (int i = 0; rc == 0 && !sound(page, txn) && i < RENEWALS; i++) {
		mdb_txn_reset(txn);
		rc = mdb_txn_renew(txn);
	}
	return rc;
}

int pk_begin_read(pk_page *page, MDB_env *env, MDB_txn **txn)
{
	int rc = mdb_txn_begin(env, NULL, FLAG_RDONLY, txn);
	if (rc || sound(page, *txn))
		return rc;
	mdb_txn_reset(*txn);
	if ((rc = pk_renew(page, *txn)))
		mdb_txn_abort(*txn);
	return rc;
}

void pk_reset(MDB_txn *txn) { mdb_txn_reset(txn); }
void pk_abort(MDB_txn *txn) { mdb_txn_abort(txn); }
uint64_t pk_txn_id(MDB_txn *txn) { return mdb_txn_id(txn); }

// MDB_txn is private, but its first four fields have been the same in every
// release of LMDB 0.9 (parent, child, next page, transaction number), the
// version is pinned, and the fourth is compared with mdb_txn_id at open.
uint64_t pk_next_page(MDB_txn *txn) { return ((size_t *)txn)[2]; }

pk_ref pk_get(MDB_txn *txn, unsigned dbi, const uint8_t *key, size_t kn)
{
	MDB_val k = {kn, (void *)key}, v = {0, NULL};
	int rc = mdb_get(txn, dbi, &k, &v);
	return (pk_ref){rc, v.mv_data, v.mv_size};
}

pk_ref pk_peek(pk_page *page, MDB_txn *txn, unsigned dbi, const uint8_t *key, size_t kn, uint8_t *dst, size_t cap)
{
	int rc = pk_renew(page, txn);
	if (rc)
		return (pk_ref){rc, NULL, 1};
	pk_ref found = pk_get(txn, dbi, key, kn);
	if (found.rc == 0 && found.n > cap) {
		found.rc = PK_PINNED;
		return found;
	}
	if (found.rc == 0)
		memcpy(dst, found.p, found.n);
	else
		found.n = 0;
	mdb_txn_reset(txn);
	return found;
}

pk_write pk_write_locked(MDB_env *env)
{
	pk_write w = {0, NULL, 0, 0};
	w.rc = mdb_txn_begin(env, NULL, 0, &w.txn);
	if (w.rc == 0) {
		w.next = pk_next_page(w.txn);
		w.id = mdb_txn_id(w.txn);
	}
	return w;
}

pk_write pk_write_begin(pk_page *page, MDB_env *env)
{
	if (pk_page_trylock(page))
		return (pk_write){PK_BUSY, NULL, 0, 0};
	pk_write w = pk_write_locked(env);
	if (w.rc)
		pk_page_unlock(page);
	return w;
}

uint64_t pk_last_commit(MDB_env *env)
{
	MDB_envinfo info;
	return mdb_env_info(env, &info) ? 0 : info.me_last_txnid;
}

uint64_t pk_free_pages(MDB_env *env, uint64_t before)
{
	enum { FREE_DBI = 0 };
	MDB_txn *txn;
	MDB_cursor *cur;
	MDB_val k, v;
	uint64_t n = 0;
	if (mdb_txn_begin(env, NULL, FLAG_RDONLY, &txn))
		return 0;
	if (mdb_cursor_open(txn, FREE_DBI, &cur) == 0) {
		// The key is the commit's number, the value their count and they.
		while (mdb_cursor_get(cur, &k, &v, CURSOR_NEXT) == 0 && *(size_t *)k.mv_data < before)
			n += *(size_t *)v.mv_data;
		mdb_cursor_close(cur);
	}
	mdb_txn_abort(txn);
	return n;
}

int pk_write_commit(pk_page *page, MDB_txn *txn, uint64_t channels, const uint8_t *one)
{
	MDB_env *env = mdb_txn_env(txn);
	uint64_t asleep = 0;
	PK_POINT(PK_BEFORE_COMMIT);
	int rc = mdb_txn_commit(txn);
	PK_POINT(PK_BEFORE_PUBLISH);
	// The counters move while the turn is still held: a process that dies
	// here leaves the turn to be inherited, and the heir publishes for it.
	// LMDB makes no commit of a transaction that wrote nothing, so that its
	// number says nothing.
	if (rc == 0)
		asleep = pk_page_publish(page, pk_last_commit(env), channels, one);
	PK_POINT(PK_BEFORE_UNLOCK);
	pk_page_unlock(page);
	PK_POINT(PK_BEFORE_WAKE);
	if (asleep || (one && rc == 0))
		pk_page_wake(page, asleep, channels, one);
	return rc;
}

void pk_write_abort(pk_page *page, MDB_txn *txn)
{
	mdb_txn_abort(txn);
	pk_page_unlock(page);
}

// The number of entries before and after tells whether the key was new, so
// that no second search is needed.
static size_t entries(MDB_txn *txn, unsigned dbi)
{
	MDB_stat st;
	return mdb_stat(txn, dbi, &st) ? 0 : st.ms_entries;
}

pk_stored pk_put(MDB_txn *txn, unsigned dbi, const uint8_t *key, size_t kn, const uint8_t *val, size_t vn, int reserve)
{
	MDB_val k = {kn, (void *)key}, v = {vn, (void *)val};
	size_t before = entries(txn, dbi);
	int rc = mdb_put(txn, dbi, &k, &v, reserve ? FLAG_RESERVE : 0);
	if (rc)
		return (pk_stored){rc, 0, NULL, pk_next_page(txn)};
	return (pk_stored){0, entries(txn, dbi) != before, v.mv_data, pk_next_page(txn)};
}

pk_stored pk_del(MDB_txn *txn, unsigned dbi, const uint8_t *key, size_t kn)
{
	MDB_val k = {kn, (void *)key};
	int rc = mdb_del(txn, dbi, &k, NULL);
	return (pk_stored){rc, 0, NULL, pk_next_page(txn)};
}

static int before(const MDB_val *a, const void *b, size_t bn)
{
	size_t n = a->mv_size < bn ? a->mv_size : bn;
	int c = memcmp(a->mv_data, b, n);
	return c ? c < 0 : a->mv_size < bn;
}

long pk_del_range(MDB_txn *txn, unsigned dbi, const uint8_t *lo, size_t lon, const uint8_t *hi, size_t hin)
{
	MDB_cursor *cur;
	int rc = mdb_cursor_open(txn, dbi, &cur);
	if (rc)
		return rc > 0 ? -rc : rc;
	long n = 0;
	MDB_val k = {lon, (void *)lo}, v;
	// After a deletion the cursor stands before the next entry, and NEXT
	// gives just that one.
	rc = mdb_cursor_get(cur, &k, &v, lon ? CURSOR_SET_RANGE : CURSOR_FIRST);
	for (; rc == 0; rc = mdb_cursor_get(cur, &k, &v, CURSOR_NEXT)) {
		if (hin && !before(&k, hi, hin))
			break;
		if ((rc = mdb_cursor_del(cur, 0)))
			break;
		n++;
	}
	mdb_cursor_close(cur);
	if (rc && rc != ERR_NOTFOUND)
		return rc > 0 ? -rc : rc;
	return n;
}

int pk_scan(MDB_txn *txn, unsigned dbi, const uint8_t *lo, size_t lon, const uint8_t *hi, size_t hin, int flags, pk_pair *out, int max)
{
	MDB_cursor *cur;
	int rc = mdb_cursor_open(txn, dbi, &cur);
	if (rc)
		return rc > 0 ? -rc : rc;
	int n = 0, step = CURSOR_NEXT;
	MDB_val k, v;
	if (flags & PK_REVERSE) {
		step = CURSOR_PREV;
		rc = ERR_NOTFOUND;
		if (hin) {
			k = (MDB_val){hin, (void *)hi};
			rc = mdb_cursor_get(cur, &k, &v, CURSOR_SET_RANGE);
		}
		rc = mdb_cursor_get(cur, &k, &v, rc == 0 ? CURSOR_PREV : CURSOR_LAST);
	} else {
		k = (MDB_val){lon, (void *)lo};
		rc = mdb_cursor_get(cur, &k, &v, lon ? CURSOR_SET_RANGE : CURSOR_FIRST);
	}
	for (; rc == 0 && n < max; rc = n < max ? mdb_cursor_get(cur, &k, &v, step) : 0) {
		if (flags & PK_REVERSE ? before(&k, lo, lon) : (hin && !before(&k, hi, hin)))
			break;
		out[n++] = (pk_pair){(uintptr_t)k.mv_data, k.mv_size, (uintptr_t)v.mv_data, v.mv_size};
	}
	mdb_cursor_close(cur);
	if (rc && rc != ERR_NOTFOUND)
		return rc > 0 ? -rc : rc;
	return n;
}

int pk_cannot_allocate;

int pk_allocate(int fd, int64_t from, int64_t to, int keep_size)
{
	if (pk_cannot_allocate)
		return EOPNOTSUPP;
	int rc;
	do
		rc = fallocate(fd, keep_size ? FALLOC_FL_KEEP_SIZE : 0, from, to - from) ? errno : 0;
	while (rc == EINTR);
	return rc;
}

int pk_extend(int fd, int64_t size) { return ftruncate(fd, size) ? errno : 0; }

void pk_unneeded(uintptr_t at, size_t n) { madvise((void *)at, n, MADV_DONTNEED); }

int pk_flush(int fd) { return fdatasync(fd) ? errno : 0; }
