#define _GNU_SOURCE
#include "page.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(pk_page) <= PK_PAGE_BYTES, "the page outgrew its file");

// The size of the lock is in the magic: a C library that lays it out
// otherwise must not believe a page made by this one.
static const uint64_t magic = 0x7061726b69743031ULL ^ sizeof(pthread_mutex_t);

enum { STARVING_AFTER_NS = 2000000 };

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

// A time good enough to tell how long somebody has held the turn.
static uint64_t roughly_now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ULL + (uint64_t)ts.tv_nsec;
}

// Kept, because asking is a system call. A forked child has its own copy of
// the library, and of this.
static int process_id(void)
{
	static int id;
	if (!id)
		id = (int)getpid();
	return id;
}

static int thread_id(void)
{
	static __thread int id;
	if (!id)
		id = (int)syscall(SYS_gettid);
	return id;
}

static int make_mutex(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);
	if (!rc)
		rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	if (!rc)
		rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	if (!rc)
		rc = pthread_mutex_init(mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	return rc;
}

int pk_page_init(pk_page *page, const char *boot, int memory)
{
	memset(page, 0, sizeof *page);
	int rc = make_mutex(&page->lock);
	if (!rc)
		rc = make_mutex(&page->turn);
	if (rc)
		return rc;
	page->memory = (uint32_t)memory;
	strncpy(page->boot, boot, sizeof page->boot - 1);
	atomic_thread_fence(memory_order_release);
	page->magic = magic;
	return 0;
}

int pk_page_known(const pk_page *page) { return page->magic == magic; }

int pk_page_valid(const pk_page *page, const char *boot)
{
	return page->magic == magic && strncmp(page->boot, boot, sizeof page->boot) == 0;
}

static void inherited(pk_page *page)
{
	// The holder died. What it committed may not have been announced, so
	// everybody looks again.
	pk_page_publish(page, atomic_load(&page->published), ~0ULL, NULL);
	pk_page_wake(page, ~0ULL, NULL);
}

static int taken(pk_page *page, int rc)
{
	if (rc == EOWNERDEAD) {
		pthread_mutex_consistent(&page->lock);
		inherited(page);
		rc = 0;
	}
	if (rc == 0) {
		atomic_store_explicit(&page->holder_since, roughly_now_ns(), memory_order_relaxed);
		atomic_store_explicit(&page->holder_tid, thread_id(), memory_order_relaxed);
		atomic_store_explicit(&page->holder_pid, process_id(), memory_order_relaxed);
	}
	return rc;
}

int pk_page_trylock(pk_page *page)
{
	if (atomic_load_explicit(&page->starving, memory_order_relaxed))
		return EBUSY;
	return taken(page, pthread_mutex_trylock(&page->lock));
}

static int lock_until(pthread_mutex_t *mutex, uint64_t deadline)
{
	struct timespec ts = {(time_t)(deadline / 1000000000ULL), (long)(deadline % 1000000000ULL)};
	return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &ts);
}

int pk_page_lock(pk_page *page, int64_t ns, int *have_turn)
{
	uint64_t start = now_ns(), deadline = start + (uint64_t)ns;
	if (!*have_turn) {
		int rc = lock_until(&page->turn, deadline);
		if (rc == EOWNERDEAD)
			rc = pthread_mutex_consistent(&page->turn);
		if (rc)
			return rc;
		*have_turn = 1;
	}
	// First in line: after a short while nobody may overtake any more.
	int rc = ETIMEDOUT;
	if (!atomic_load(&page->starving)) {
		uint64_t soon = start + STARVING_AFTER_NS;
		rc = lock_until(&page->lock, soon < deadline ? soon : deadline);
		if (rc == ETIMEDOUT && soon < deadline)
			atomic_store(&page->starving, 1);
	}
	if (rc == ETIMEDOUT)
		rc = lock_until(&page->lock, deadline);
	rc = taken(page, rc);
	if (rc == 0)
		pk_page_giveup(page, have_turn);
	return rc;
}

void pk_page_giveup(pk_page *page, int *have_turn)
{
	if (!*have_turn)
		return;
	*have_turn = 0;
	atomic_store(&page->starving, 0);
	pthread_mutex_unlock(&page->turn);
}

void pk_page_unlock(pk_page *page)
{
	atomic_store_explicit(&page->holder_pid, 0, memory_order_relaxed);
	pthread_mutex_unlock(&page->lock);
}

pk_holder pk_page_holder(pk_page *page)
{
	pk_holder h = {atomic_load(&page->holder_pid), atomic_load(&page->holder_tid), 0};
	uint64_t since = atomic_load(&page->holder_since), now = roughly_now_ns();
	h.held_ns = now > since ? now - since : 0;
	return h;
}

static long futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

void pk_page_publish(pk_page *page, uint64_t id, uint64_t channels, const uint8_t *one)
{
	atomic_store_explicit(&page->published, id, memory_order_relaxed);
	channels |= 1;
	if (one)
		for (unsigned i = 0; i < PK_ONE_CHANNELS; i++)
			if (one[i])
				channels |= 1ULL << i;
	while (channels) {
		unsigned i = (unsigned)__builtin_ctzll(channels);
		channels &= channels - 1;
		atomic_fetch_add(&page->seq[i], 1);
	}
}

// Takes up to n lookers of a channel and returns how many: they see the change
// by themselves, or see at the end of their look that they were counted on.
static unsigned take_lookers(pk_page *page, unsigned channel, unsigned n)
{
	uint32_t have = atomic_load(&page->lookers[channel]);
	if (!have)
		return 0;
	if (now_ns() > atomic_load(&page->look_until[channel])) {
		atomic_compare_exchange_strong(&page->lookers[channel], &have, 0);
		return 0;
	}
	for (;;) {
		unsigned take = have < n ? have : n;
		if (!take || atomic_compare_exchange_weak(&page->lookers[channel], &have, have - take))
			return take;
	}
}

// Watches the counter for a while; true when it differs from seen. The processor
// is offered to others all the time: the one who is to make the change may be
// waiting for this very one.
static int look(pk_page *page, unsigned channel, uint32_t seen, int64_t ns)
{
	uint64_t end = now_ns() + (uint64_t)ns;
	int counted = channel < PK_ONE_CHANNELS;
	if (counted) {
		atomic_store(&page->look_until[channel], end);
		atomic_fetch_add(&page->lookers[channel], 1);
	}
	while (atomic_load(&page->seq[channel]) == seen && now_ns() < end)
		sched_yield();
	if (counted) // before the last look at the counter: see take_lookers
		take_lookers(page, channel, 1);
	return atomic_load(&page->seq[channel]) != seen;
}

void pk_page_wake(pk_page *page, uint64_t channels, const uint8_t *one)
{
	channels |= 1;
	for (uint64_t left = channels; left; left &= left - 1) {
		unsigned i = (unsigned)__builtin_ctzll(left);
		if (atomic_load(&page->waiters[i]))
			futex(&page->seq[i], FUTEX_WAKE, INT_MAX, NULL);
	}
	if (one)
		for (unsigned i = 0; i < PK_ONE_CHANNELS; i++)
			if (one[i] && !(channels >> i & 1)) {
				unsigned n = one[i] - take_lookers(page, i, one[i]);
				if (n && atomic_load(&page->waiters[i]))
					futex(&page->seq[i], FUTEX_WAKE, n, NULL);
			}
}

uint32_t pk_page_seq(pk_page *page, unsigned channel) { return atomic_load(&page->seq[channel]); }

int pk_page_wait(pk_page *page, unsigned channel, uint32_t seen, int64_t ns, int64_t look_ns)
{
	if (look_ns && look(page, channel, seen, look_ns))
		return 0;
	struct timespec ts = {ns / 1000000000, ns % 1000000000};
	atomic_fetch_add(&page->waiters[channel], 1);
	long rc = 0;
	int err = 0;
	if (atomic_load(&page->seq[channel]) == seen) {
		rc = futex(&page->seq[channel], FUTEX_WAIT, seen, &ts);
		err = rc ? errno : 0;
	}
	atomic_fetch_sub(&page->waiters[channel], 1);
	if (atomic_load(&page->seq[channel]) != seen)
		return 0;
	return err == ETIMEDOUT ? ETIMEDOUT : EINTR;
}

uint64_t pk_page_published(pk_page *page) { return atomic_load(&page->published); }

void pk_page_reset_waiters(pk_page *page)
{
	for (unsigned i = 0; i < PK_CHANNELS; i++)
		atomic_store(&page->waiters[i], 0);
	for (unsigned i = 0; i < PK_ONE_CHANNELS; i++)
		atomic_store(&page->lookers[i], 0);
	atomic_store(&page->starving, 0);
}

uint64_t *pk_page_allocated(pk_page *page) { return (uint64_t *)&page->allocated; }
uint64_t pk_page_get_mapsize(pk_page *page) { return atomic_load(&page->mapsize); }
void pk_page_set_mapsize(pk_page *page, uint64_t bytes) { atomic_store(&page->mapsize, bytes); }
void pk_page_set_pidns(pk_page *page, uint64_t pidns) { page->pidns = pidns; }
void pk_page_set_created(pk_page *page) { page->created = 1; }
