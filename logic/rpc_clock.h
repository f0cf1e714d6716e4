/*
 * Until when a comet waits for the answer to its call, by our clock
 * (rpc_clock.c).
 */

#ifndef LOGIC_RPC_CLOCK_H
#define LOGIC_RPC_CLOCK_H

#include <stdint.h>

/* One a connection, zeroed at first. */
typedef struct {
    /* how much our clock is ahead of the comet's at least, as seen in this
       minute and the one before */
    int64_t   ahead[2];
    int64_t   ahead_since;      /* 0: never seen */
    int64_t   late_since;       /* 0: the last was in time */
} logic_rpc_clock_t;

/*
 * A call that the comet sent when its clock showed `sent`, and for whose
 * answer it waits `budget` ms; 0: it did not say. The time by svc_now() after
 * which nobody waits any more.
 */
int64_t logic_rpc_clock_deadline(logic_rpc_clock_t *c, uint64_t sent,
    uint32_t budget);

#endif
