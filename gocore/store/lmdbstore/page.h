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
	_Atomic uint64_t mapsize;   // what the last process to grow the map made it

	pthread_mutex_t lock;      // the writer's turn
	pthread_mutex_t turn;      // who waits for it next; held while waiting
	_Atomic uint32_t starving; // the next in line has waited long: nobody overtakes
	_Atomic int32_t holder_pid;
	_Atomic int32_t holder_tid;
	_Atomic uint64_t holder_since; // CLOCK_MONOTONIC, ns

	_Alignas(64) _Atomic uint64_t published; // last transaction whose changes were announced
	_Alignas(64) _Atomic uint32_t seq[PK_CHANNELS];
	_Alignas(64) _Atomic uint32_t waiters[PK_CHANNELS];
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

int pk_page_init(pk_page *page, const char *boot, int memory);
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

void pk_page_publish(pk_page *page, uint64_t id, uint64_t channels, const uint8_t *one);
void pk_page_wake(pk_page *page, uint64_t channels, const uint8_t *one);
uint32_t pk_page_seq(pk_page *page, unsigned channel);
// 0 when the counter differs from seen, ETIMEDOUT, or EINTR after a signal.
// Watches the counter for look_ns before it sleeps.
int pk_page_wait(pk_page *page, unsigned channel, uint32_t seen, int64_t ns, int64_t look_ns);
uint64_t pk_page_published(pk_page *page);
void pk_page_reset_waiters(pk_page *page);
// Where allocated is, for atomic use from Go without a call.
uint64_t *pk_page_allocated(pk_page *page);
uint64_t pk_page_get_mapsize(pk_page *page);
void pk_page_set_mapsize(pk_page *page, uint64_t bytes);
void pk_page_set_pidns(pk_page *page, uint64_t pidns);
void pk_page_set_created(pk_page *page);

#endif
