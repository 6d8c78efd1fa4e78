#define _GNU_SOURCE
#include "page.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(pk_page) <= PK_PAGE_BYTES, "the page outgrew its file");

// The size of the lock is in the magic: a C library that lays it out
// otherwise must not believe a page made by this one.
static const uint64_t magic = 0x7061726b69743032ULL ^ sizeof(pthread_mutex_t);

#define MS 1000000ULL

// The next in line lets others overtake it for STARVING_AFTER. Then it says
// every STARVING_STEP that nobody may, and is believed for STARVING_FRESH: so
// that one that was stopped or killed in line holds nobody up for longer.
// LINE_STEP is how long the others in line trust the one at its head.
static const uint64_t STARVING_AFTER = 2 * MS, STARVING_STEP = 10 * MS, STARVING_FRESH = 40 * MS, LINE_STEP = 50 * MS;

int pk_die_at, pk_cannot_wait_any;

void pk_die(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

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

int pk_page_init(pk_page *page, const char *boot)
{
	memset(page, 0, sizeof *page);
	int rc = make_mutex(&page->lock);
	if (!rc)
		rc = make_mutex(&page->turn);
	if (rc)
		return rc;
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
	uint64_t asleep = pk_page_publish(page, atomic_load(&page->published), ~0ULL, NULL);
	pk_page_wake(page, asleep, ~0ULL, NULL);
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

// somebody_starves reports whether the next in line, alive and waiting, has
// asked that nobody overtake it.
static int somebody_starves(pk_page *page)
{
	uint64_t said = atomic_load_explicit(&page->starving, memory_order_relaxed);
	return said && now_ns() - said < STARVING_FRESH;
}

int pk_page_trylock(pk_page *page)
{
	if (somebody_starves(page))
		return EBUSY;
	return taken(page, pthread_mutex_trylock(&page->lock));
}

static int lock_until(pthread_mutex_t *mutex, uint64_t deadline)
{
	struct timespec ts = {(time_t)(deadline / 1000000000ULL), (long)(deadline % 1000000000ULL)};
	return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &ts);
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a < b ? a : b; }

// in_line waits to be the next in line; 0 when it is, or the turn itself was
// taken (*have_turn tells), ETIMEDOUT at the deadline.
static int in_line(pk_page *page, uint64_t deadline, int *have_turn)
{
	for (;;) {
		uint64_t now = now_ns();
		int rc = lock_until(&page->turn, earlier(deadline, now + LINE_STEP));
		if (rc == EOWNERDEAD)
			rc = pthread_mutex_consistent(&page->turn);
		if (rc == 0)
			*have_turn = 1;
		if (rc != ETIMEDOUT)
			return rc;
		now = now_ns();
		// The next in line may have been stopped, before or after it was
		// woken: then nobody waits for it, and all look for themselves.
		if (!somebody_starves(page) && now < deadline)
			rc = taken(page, lock_until(&page->lock, earlier(deadline, now + LINE_STEP)));
		if (rc != ETIMEDOUT || now >= deadline)
			return rc;
	}
}

// at_head waits as the next in line.
static int at_head(pk_page *page, uint64_t start, uint64_t deadline)
{
	uint64_t until = start + STARVING_AFTER;
	for (;;) {
		PK_POINT(PK_IN_LINE);
		int rc = lock_until(&page->lock, earlier(until, deadline));
		uint64_t now = now_ns();
		if (rc != ETIMEDOUT || now >= deadline)
			return taken(page, rc);
		atomic_store(&page->starving, now);
		until = now + STARVING_STEP;
	}
}

int pk_page_lock(pk_page *page, int64_t ns, int *have_turn)
{
	uint64_t start = now_ns(), deadline = start + (uint64_t)ns;
	if (!*have_turn) {
		int rc = in_line(page, deadline, have_turn);
		if (rc || !*have_turn)
			return rc;
		start = now_ns();
	}
	int rc = at_head(page, start, deadline);
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

uint64_t pk_page_publish(pk_page *page, uint64_t id, uint64_t channels, const uint8_t *one)
{
	uint64_t asleep = 0;
	// Before the next transaction can begin: readers rely on that, see
	// engine.c.
	atomic_store_explicit(&page->published, id, memory_order_release);
	channels |= 1;
	if (one)
		for (unsigned i = 0; i < PK_ONE_CHANNELS; i++)
			if (one[i])
				channels |= 1ULL << i;
	for (; channels; channels &= channels - 1) {
		unsigned i = (unsigned)__builtin_ctzll(channels);
		if (atomic_fetch_add(&page->seq[i], 2) & 1)
			asleep |= 1ULL << i;
	}
	return asleep;
}

// wake_all clears the mark first: who comes to sleep in between finds that the
// counter is not what it was, and sets it again. So a mark that a killed
// sleeper left costs one call and no more.
static void wake_all(pk_page *page, unsigned i)
{
	atomic_fetch_and(&page->seq[i], ~1U);
	futex(&page->seq[i], FUTEX_WAKE, INT_MAX, NULL);
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

// Nobody looks until then, as the processors have other work: see look.
static _Atomic uint64_t busy_until;
enum { LONG_YIELD_NS = 30000, BUSY_NS = 5000000 };

// Watches the count for a while; true when it differs from seen. The processor
// is offered to others all the time: the one who is to make the change may be
// waiting for this very one. Where somebody else takes it for long, a sleeper
// is the better off, as the system lets who is woken run before who has yielded.
static int look(pk_page *page, unsigned channel, uint32_t seen, int64_t ns)
{
	uint64_t now = now_ns(), end = now + (uint64_t)ns;
	if (now < atomic_load_explicit(&busy_until, memory_order_relaxed))
		return 0;
	int counted = channel < PK_ONE_CHANNELS;
	if (counted) {
		atomic_store(&page->look_until[channel], end);
		atomic_fetch_add(&page->lookers[channel], 1);
	}
	while (atomic_load(&page->seq[channel]) >> 1 == seen && now < end) {
		uint64_t before = now;
		sched_yield();
		now = now_ns();
		if (now - before > LONG_YIELD_NS && atomic_load(&page->seq[channel]) >> 1 == seen) {
			atomic_store_explicit(&busy_until, now + BUSY_NS, memory_order_relaxed);
			break;
		}
	}
	if (counted) // before the last look at the count: see take_lookers
		take_lookers(page, channel, 1);
	return atomic_load(&page->seq[channel]) >> 1 != seen;
}

void pk_page_wake(pk_page *page, uint64_t asleep, uint64_t channels, const uint8_t *one)
{
	channels |= 1;
	for (uint64_t all = asleep & channels; all; all &= all - 1)
		wake_all(page, (unsigned)__builtin_ctzll(all));
	if (!one)
		return;
	for (unsigned i = 0; i < PK_ONE_CHANNELS; i++) {
		if (!one[i] || channels >> i & 1)
			continue;
		unsigned n = one[i] - take_lookers(page, i, one[i]);
		// More may sleep there than are woken, so the mark stays until a
		// call finds fewer.
		if (n && asleep >> i & 1 && futex(&page->seq[i], FUTEX_WAKE, n, NULL) < (long)n)
			wake_all(page, i);
	}
}

void pk_page_rouse(pk_page *page, uint64_t channels)
{
	for (; channels; channels &= channels - 1)
		futex(&page->seq[__builtin_ctzll(channels)], FUTEX_WAKE, INT_MAX, NULL);
}

int pk_page_wait(pk_page *page, unsigned channel, uint32_t seen, int64_t ns, int64_t look_ns)
{
	if (look_ns && look(page, channel, seen, look_ns))
		return 0;
	_Atomic uint32_t *word = &page->seq[channel];
	struct timespec ts = {ns / 1000000000, ns % 1000000000};
	uint32_t marked = atomic_fetch_or(word, 1) | 1;
	int err = 0;
	if (marked >> 1 == seen && futex(word, FUTEX_WAIT, marked, &ts))
		err = errno;
	if (atomic_load(word) >> 1 != seen)
		return 0;
	return err == ETIMEDOUT ? ETIMEDOUT : EINTR;
}

// What <linux/futex.h> has from Linux 5.16.
struct waiter {
	uint64_t value, address;
	uint32_t flags, reserved;
};
enum { SYS_WAITV = 449, WORD = 2 /* of 32 bits */ };

int pk_page_wait_any(pk_page *page, unsigned n, const uint8_t *channels, const uint32_t *seen, uint32_t *bell, int64_t ns)
{
	struct waiter waiters[PK_CHANNELS + 1];
	if (pk_cannot_wait_any)
		return ENOSYS;
	for (unsigned i = 0; i < n; i++) {
		_Atomic uint32_t *word = &page->seq[channels[i]];
		uint32_t marked = atomic_fetch_or(word, 1) | 1;
		if (marked >> 1 != seen[i])
			return 0;
		waiters[i] = (struct waiter){marked, (uintptr_t)word, WORD, 0};
	}
	waiters[n] = (struct waiter){0, (uintptr_t)bell, WORD | FUTEX_PRIVATE_FLAG, 0};
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += (time_t)(ns / 1000000000), ts.tv_nsec += (long)(ns % 1000000000);
	if (ts.tv_nsec >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	int err = syscall(SYS_WAITV, waiters, n + 1, 0, &ts, CLOCK_MONOTONIC) < 0 ? errno : 0;
	for (unsigned i = 0; i < n; i++)
		if (atomic_load(&page->seq[channels[i]]) >> 1 != seen[i])
			return 0;
	if (err == EPERM) // what a filter of system calls may say of one that it does not know
		err = ENOSYS;
	return err == ETIMEDOUT || err == ENOSYS ? err : EINTR;
}

void pk_ring(uint32_t *bell)
{
	atomic_store((_Atomic uint32_t *)bell, 1);
	futex((_Atomic uint32_t *)bell, FUTEX_WAKE_PRIVATE, INT_MAX, NULL);
}

uint64_t *pk_page_allocated(pk_page *page) { return (uint64_t *)&page->allocated; }
uint64_t *pk_page_mapsize(pk_page *page) { return (uint64_t *)&page->mapsize; }
uint64_t *pk_page_published(pk_page *page) { return (uint64_t *)&page->published; }
uint32_t *pk_page_seq(pk_page *page) { return (uint32_t *)page->seq; }
