/*
 * The bodies of operation 6, which a node sends by itself: its last words
 * before it closes, why it refuses what a packet asked for, what is about to
 * happen.
 *
 *     {"code":1012,"reason":"...","again":true}
 *     {"code":-403,"reason":"...","operation":12,"seq":3}
 *     {"code":-403,"reason":"...","operation":14,"seq":0,"operations":[1000]}
 *     {"code":-4003,"in":60}
 *
 * A code that is not positive closes nothing.
 */

#ifndef GOIM_ANSWER_H
#define GOIM_ANSWER_H

#include <stddef.h>
#include <stdint.h>

#include "common/goim_limits.h"


/* of refusals */
#define GOIM_BAD        (-400)      /* the packet is wrong */
#define GOIM_FORBIDDEN  (-403)      /* not granted */
#define GOIM_LARGE      (-413)
#define GOIM_OFTEN      (-429)
#define GOIM_LATER      (-503)      /* it can't be done now */
#define GOIM_UNKNOWN    (-504)      /* it may have been done */

#define GOIM_EXPIRES    (-4003)     /* the token is about to; then it closes */
#define GOIM_EXPIRED    4003

/* with which backends end sessions: below GOIM_END_STAY a client comes back,
   with 4003 when it has another token, else it does not */
#define GOIM_END_MIN    4000
#define GOIM_END_STAY   4500
#define GOIM_END_MAX    4999
#define GOIM_END_REASON 123         /* bytes, as a close frame has them */

#define GOIM_ANSWER_REASON  128     /* bytes of a reason that are written */
#define GOIM_ANSWER_MAX     (6 * GOIM_ANSWER_REASON + 96)
#define GOIM_ANSWER_OPS     (GOIM_ANSWER_MAX + 12 * GOIM_ACCEPTS_MAX)

/* Each writes to buf, of GOIM_ANSWER_MAX bytes: the length. Of a reason, which
 * is UTF-8, whole characters are written. */

/* again: come back at once */
size_t goim_answer_bye(char *buf, unsigned code, const char *reason,
    int again);

size_t goim_answer_refused(char *buf, int code, const char *reason,
    int32_t operation, int32_t sequence);

/* Operations that are accepted no longer, though nothing asked for that: buf has
 * GOIM_ANSWER_OPS bytes, n is GOIM_ACCEPTS_MAX at most. */
size_t goim_answer_lost(char *buf, const char *reason, const int32_t *ops,
    size_t n);

size_t goim_answer_expires(char *buf, uint64_t seconds);

#endif
