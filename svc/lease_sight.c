/*
 * Leases: what others have, and since when it has been like that.
 */

#include "lease_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>


#define LEASE_MEMBERS   1024                /* known at most */


int64_t
lease_now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);

    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}


static void
lease_saw(lease_t *l, lease_sight_t *s, const redisReply *value)
{
    if (strcmp(s->value, value->str) != 0) {
        snprintf(s->value, sizeof(s->value), "%s", value->str);
        s->since = lease_now();
    }

    s->look = l->look;
}


static void
lease_saw_member(lease_t *l, const redisReply *name, const redisReply *turn)
{
    size_t  i;

    if (strcmp(name->str, l->me) == 0) {
        return;
    }

    for (i = 0; i < l->nmembers; i++) {
        if (strcmp(l->members[i].name, name->str) == 0) {
            lease_saw(l, &l->members[i], turn);
            return;
        }
    }

    if (l->nmembers == LEASE_MEMBERS) {
        return;
    }

    l->members = realloc(l->members,
                         (l->nmembers + 1) * sizeof(lease_sight_t));
    if (l->members == NULL) {
        abort();
    }

    memset(&l->members[i], 0, sizeof(lease_sight_t));
    snprintf(l->members[i].name, LEASE_NAME, "%s", name->str);
    l->nmembers++;

    lease_saw(l, &l->members[i], turn);
}


static int
lease_is_text(const redisReply *e)
{
    return e->type == REDIS_REPLY_STRING && e->len < LEASE_NAME
           && strlen(e->str) == e->len;
}


void
lease_saw_members(lease_t *l, const redisReply *list)
{
    size_t  i, kept;

    for (i = 0; i + 1 < list->elements; i += 2) {
        if (lease_is_text(list->element[i])
            && lease_is_text(list->element[i + 1]))
        {
            lease_saw_member(l, list->element[i], list->element[i + 1]);
        }
    }

    for (i = 0, kept = 0; i < l->nmembers; i++) {
        if (l->members[i].look == l->look) {
            l->members[kept++] = l->members[i];
        }
    }

    l->nmembers = kept;
}


void
lease_saw_others(lease_t *l, const redisReply *list)
{
    size_t       i;
    redisReply  *e;

    for (i = 0; i + 1 < list->elements; i += 2) {
        e = list->element[i];

        if (e->type == REDIS_REPLY_INTEGER && e->integer >= 0
            && e->integer < l->n && lease_is_text(list->element[i + 1]))
        {
            lease_saw(l, &l->parts[e->integer].other, list->element[i + 1]);
        }
    }
}


int
lease_over(const lease_t *l, const lease_sight_t *s)
{
    return s->look == l->look && s->value[0] != '\0'
           && lease_now() >= s->since + LEASE_TIME;
}


int64_t
lease_next(lease_t *l)
{
    size_t    i;
    int64_t   next, now;

    now = lease_now();
    next = now + LEASE_TICK;

    for (i = 0; i < l->nmembers; i++) {
        if (l->members[i].since + LEASE_TIME < next) {
            next = l->members[i].since + LEASE_TIME;
        }
    }

    for (i = 0; i < l->n; i++) {
        if (l->parts[i].other.look == l->look
            && l->parts[i].other.value[0] != '\0'
            && l->parts[i].other.since + LEASE_TIME < next)
        {
            next = l->parts[i].other.since + LEASE_TIME;
        }
    }

    /* who is over and stays cannot be helped oftener */

    return next - now > LEASE_TICK / 8 ? next - now : LEASE_TICK / 8;
}
