/* The fast lane: what C and Go share about tasks. */
#ifndef PARKIT_LANE_TASK_H
#define PARKIT_LANE_TASK_H

#include "lane.h"

/* A task that a worker took. name and args are memory of their own, which
 * C frees. An id of 0 is none. */
typedef struct {
    uint64_t id, token, code_version;
    uint32_t attempt;
    unsigned char asyncable[16];
    char *name;
    size_t namelen;
    pk_got args;
} pk_claim;

/* What is known of a task. name, queue and detail are malloc'ed. */
typedef struct {
    uint64_t id, token, code_version, worker;
    int64_t created, due, start, end, backoff;
    uint32_t attempt, retries, flags;
    int32_t pid;
    int state, priority;
    unsigned char asyncable[16];
    char *name, *queue, *detail;
    size_t namelen, queuelen, detaillen;
} pk_task;

/* Set once this process is to take no further task; a claim that waits ends
 * within 50 ms. */
extern volatile int pk_task_stopped;

#endif
