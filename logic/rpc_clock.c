/*
 * The clocks have nothing in common, but the call that took least on its way
 * tells how far they are apart; what another one took more is its age, wherever
 * it lay. They drift, so a measure is good for a minute or two. What was held
 * back comes all at once: where nothing comes but late calls for some time, the
 * comet's clock has stood still, as that of a machine that sleeps does, and the
 * measure begins anew.
 */

#include "rpc_clock.h"

#include "svc/clock.h"

#define LOGIC_RPC_BUDGET  60000                 /* ms, of a call without one */
#define LOGIC_RPC_CLOCK   60000                 /* ms that a measure is good */
#define LOGIC_RPC_AGES    (UINT32_MAX + UINT64_C(1))
#define LOGIC_RPC_LATE    2000                  /* ms of nothing but late calls */


static void
logic_rpc_clock_begin(logic_rpc_clock_t *c, int64_t ahead, int64_t now)
{
    c->ahead[0] = ahead;
    c->ahead[1] = ahead;
    c->ahead_since = now;
    c->late_since = 0;
}


/* What a call took more on its way than the fastest; a comet may say any
   number. */

static uint64_t
logic_rpc_clock_age(logic_rpc_clock_t *c, int64_t ahead, int64_t now)
{
    int64_t   least;
    uint64_t  age;

    if (c->ahead_since == 0) {
        logic_rpc_clock_begin(c, ahead, now);

    } else if (now - c->ahead_since >= LOGIC_RPC_CLOCK) {
        c->ahead[1] = c->ahead[0];
        c->ahead[0] = ahead;
        c->ahead_since = now;

    } else if (ahead < c->ahead[0]) {
        c->ahead[0] = ahead;
    }

    least = c->ahead[0] < c->ahead[1] ? c->ahead[0] : c->ahead[1];
    age = (uint64_t) ahead - (uint64_t) least;

    return age < LOGIC_RPC_AGES ? age : LOGIC_RPC_AGES;
}


int64_t
logic_rpc_clock_deadline(logic_rpc_clock_t *c, uint64_t sent, uint32_t budget)
{
    int64_t   now, ahead;
    uint64_t  age;

    now = svc_now();

    if (budget == 0) {
        return now + LOGIC_RPC_BUDGET;
    }

    ahead = (int64_t) ((uint64_t) now - sent);
    age = logic_rpc_clock_age(c, ahead, now);

    if (age < budget) {
        c->late_since = 0;

    } else if (c->late_since == 0) {
        c->late_since = now;

    } else if (now - c->late_since >= LOGIC_RPC_LATE) {
        logic_rpc_clock_begin(c, ahead, now);
        age = 0;
    }

    return now - (int64_t) age + budget;
}
