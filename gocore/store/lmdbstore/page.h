// The page that all processes of a namespace share: whose turn it is to
// write, how far the changes have come, and who sleeps until they go on.
#ifndef PARKIT_PAGE_H
#define PARKIT_PAGE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { PK_CHANNELS = 64, PK_ONE_CHANNELS = 16, PK_PAGE_BYTES = 4096 };

typedef struct {
	uint64_t magic;            // set last when the page is made
	uint32_t memory;           // the namespace's promise: 1 memory, 0 durable
	uint32_t created;          // the environment was opened once
	char boot[40];             // boot the locks below were made in
	uint64_t pidns;            // pid namespace of the processes that have it open
	_Atomic uint64_t allocated; // bytes of the data file that have blocks behind them
	_Atomic uint64_t mapsize;   // memory: the largest map of any process; else the last one set

	pthread_mutex_t lock;      // the writer's turn
	pthread_mutex_t turn;      // who waits for it next; held while waiting
	_Atomic uint64_t starving; // when the next in line last said that it has waited long
	_Atomic int32_t holder_pid;
	_Atomic int32_t holder_tid;
	_Atomic uint64_t holder_since; // CLOCK_MONOTONIC, ns

	_Alignas(64) _Atomic uint64_t published; // last transaction whose changes were announced
	// Twice the count of changes; odd while somebody may sleep on it.
	_Alignas(64) _Atomic uint32_t seq[PK_CHANNELS];
	// Who watches a counter before sleeping on it. A committer that wants to
	// wake one takes one of these instead. One who died while watching is
	// left over: nobody is believed to watch for longer than until look_until.
	_Alignas(64) _Atomic uint32_t lookers[PK_ONE_CHANNELS];
	_Atomic uint64_t look_until[PK_ONE_CHANNELS]; // CLOCK_MONOTONIC, ns
} pk_page;

typedef struct {
	int32_t pid, tid;
	uint64_t held_ns;
} pk_holder;

// Where a test has the process die, see pk_die_at.
enum { PK_BEFORE_COMMIT = 1, PK_BEFORE_PUBLISH, PK_BEFORE_UNLOCK, PK_BEFORE_WAKE, PK_IN_LINE };
extern int pk_die_at;
extern int pk_cannot_wait_any; // a test has the system lack what pk_page_wait_any needs
void pk_die(void);
#define PK_POINT(point) \
	do { \
		if (__builtin_expect(pk_die_at == (point), 0)) \
			pk_die(); \
	} while (0)

int pk_page_init(pk_page *page, const char *boot);
int pk_page_valid(const pk_page *page, const char *boot);
int pk_page_known(const pk_page *page);

// 0 when the turn was taken, EBUSY when it is another's.
int pk_page_trylock(pk_page *page);
// Waits up to ns; *have_turn is kept between calls so that a waiter that stops
// to look at signals keeps its place at the head of the line.
int pk_page_lock(pk_page *page, int64_t ns, int *have_turn);
void pk_page_giveup(pk_page *page, int *have_turn);
void pk_page_unlock(pk_page *page);
pk_holder pk_page_holder(pk_page *page);

// pk_page_publish advances the counters of channels and of those in one, and
// returns on which of them somebody may sleep, for pk_page_wake.
uint64_t pk_page_publish(pk_page *page, uint64_t id, uint64_t channels, const uint8_t *one);
void pk_page_wake(pk_page *page, uint64_t asleep, uint64_t channels, const uint8_t *one);
// pk_page_rouse wakes who sleeps on channels, though nothing changed there.
void pk_page_rouse(pk_page *page, uint64_t channels);
// 0 when the count differs from seen, ETIMEDOUT, or EINTR after a signal or rouse.
// Watches the count for look_ns before it sleeps.
int pk_page_wait(pk_page *page, unsigned channel, uint32_t seen, int64_t ns, int64_t look_ns);

// pk_page_wait_any sleeps until one of n counts differs from the one seen, or
// bell is rung: 0, ETIMEDOUT, EINTR after a signal, a rouse or a ring, and ENOSYS where
// the system cannot wait for several (Linux before 5.16).
int pk_page_wait_any(pk_page *page, unsigned n, const uint8_t *channels, const uint32_t *seen, uint32_t *bell, int64_t ns);
// pk_ring wakes who sleeps with that bell, and whoever is about to.
void pk_ring(uint32_t *bell);

// Where these are, for atomic use from Go without a call.
uint64_t *pk_page_allocated(pk_page *page);
uint64_t *pk_page_mapsize(pk_page *page);
uint64_t *pk_page_published(pk_page *page);
uint32_t *pk_page_seq(pk_page *page);

#endif
