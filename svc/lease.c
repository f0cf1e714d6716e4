/*
 * Leases of partitions. A note in a stream that all members wait on makes the
 * others look at once; without it they look once a third of a lease's time.
 */

#include "lease_int.h"

#include "clock.h"

#include "svc/lua/lease_give.lua.h"
#include "svc/lua/lease_leave.lua.h"
#include "svc/lua/lease_tick.lua.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define LEASE_FIXED     12                  /* arguments before the lists */


static svc_script_t  lease_tick_script = { .body = lease_tick_lua };
static svc_script_t  lease_give_script = { .body = lease_give_lua };
static svc_script_t  lease_leave_script = { .body = lease_leave_lua };


/* A call under way. */
typedef struct {
    lease_t   *l;
    int64_t    sent;
    uint32_t   n;
    char       name[LEASE_NAME];
} lease_call_t;


static void lease_tick(lease_t *l);


int
lease_owned(lease_t *l, uint32_t n)
{
    return n < l->n && l->parts[n].owned;
}


int
lease_holds(lease_t *l, uint32_t n)
{
    return lease_owned(l, n) && lease_now() < l->parts[n].until;
}


const char *
lease_name(lease_t *l, uint32_t n)
{
    return l->parts[n].name;
}


void
lease_key(lease_t *l, uint32_t n, char *key, size_t size)
{
    snprintf(key, size, "%s%u}:lease%s", l->keys, n, l->scope);
}


static void
lease_check_end(lease_t *l)
{
    if (l->ending && l->calls == 0) {
        event_active(l->end, EV_TIMEOUT, 0);
    }
}


static lease_call_t *
lease_call(lease_t *l, uint32_t n)
{
    lease_call_t  *call;

    call = malloc(sizeof(lease_call_t));
    if (call == NULL) {
        abort();
    }

    call->l = l;
    call->n = n;
    call->sent = lease_now();
    strcpy(call->name, l->parts[n].name);

    return call;
}


/* ---- losing and giving up ---- */

static void
lease_drop(lease_t *l, uint32_t n)
{
    l->parts[n].owned = 0;
    l->owned--;
}


void
lease_lose(lease_t *l, uint32_t n, const char *why)
{
    if (!lease_owned(l, n)) {
        return;
    }

    metrics_add(l->fenced, 1);
    log_seldom(&l->log, LOG_WARN, "bus: partition %u is lost: %s", n, why);

    lease_drop(l, n);
    l->events.lost(n, l->events.data);
}


void
lease_lose_all(lease_t *l, const char *why)
{
    uint32_t  n;

    for (n = 0; n < l->n; n++) {
        lease_lose(l, n, why);
        l->parts[n].releasing = 0;
    }
}


static void
lease_given(svc_redis_t *r, redisReply *reply, void *data)
{
    lease_t       *l;
    lease_call_t  *call;

    (void) r;
    (void) reply;

    call = data;
    l = call->l;
    l->calls--;

    if (strcmp(l->parts[call->n].name, call->name) == 0) {
        l->parts[call->n].releasing = 0;
    }

    free(call);

    lease_check_end(l);
}


static void
lease_give(lease_t *l, uint32_t n)
{
    char           key[LEASE_KEY + 64];
    const char    *argv[4];
    lease_call_t  *call;

    lease_drop(l, n);
    l->events.giving(n, l->events.data);

    lease_key(l, n, key, sizeof(key));

    argv[0] = key;
    argv[1] = l->notes_key;
    argv[2] = l->parts[n].name;
    argv[3] = l->me;

    call = lease_call(l, n);

    if (svc_redis_eval(l->r, &lease_give_script, lease_given, call, 2, 4,
                       argv, NULL) != 0)
    {
        free(call);             /* it runs out by itself */
        return;
    }

    l->calls++;
    l->parts[n].releasing = 1;
}


/* ---- a turn ---- */

static void
lease_have(lease_t *l, const redisReply *p, const redisReply *fence,
    int64_t sent)
{
    char           name[LEASE_NAME];
    uint32_t       n;
    lease_part_t  *part;

    if (p->type != REDIS_REPLY_INTEGER || p->integer < 0
        || p->integer >= l->n || fence->type != REDIS_REPLY_STRING)
    {
        return;
    }

    n = (uint32_t) p->integer;
    part = &l->parts[n];

    if (part->releasing) {
        return;
    }

    snprintf(name, sizeof(name), "%s %.20s", l->me, fence->str);

    if (part->owned && strcmp(part->name, name) != 0) {
        lease_lose(l, n, "the lease had run out");
    }

    part->until = sent + LEASE_TIME - LEASE_MARGIN;
    part->look = l->look;

    if (!part->owned) {
        strcpy(part->name, name);
        part->owned = 1;
        l->owned++;
        l->events.taken(n, l->events.data);
    }
}


static void
lease_looked(lease_t *l, const redisReply *reply, int64_t sent)
{
    size_t       i;
    uint32_t     n;
    long long    share;
    redisReply  *mine;

    l->look++;
    share = reply->element[0]->integer;
    mine = reply->element[2];

    lease_saw_members(l, reply->element[1]);
    lease_saw_others(l, reply->element[3]);

    for (i = 0; i + 1 < mine->elements; i += 2) {
        lease_have(l, mine->element[i], mine->element[i + 1], sent);
    }

    for (n = l->n; n > 0; n--) {

        if (!l->parts[n - 1].owned) {
            continue;
        }

        if (l->parts[n - 1].look != l->look) {
            lease_lose(l, n - 1, "another has the lease");

        } else if ((long long) l->owned > share) {
            lease_give(l, n - 1);
        }
    }

    if (l->events.looked != NULL) {
        l->events.looked(l->events.data);
    }
}


static int
lease_is_look(const redisReply *reply)
{
    return svc_redis_class(reply) == SVC_REDIS_OK
           && reply->type == REDIS_REPLY_ARRAY && reply->elements == 4
           && reply->element[0]->type == REDIS_REPLY_INTEGER
           && reply->element[1]->type == REDIS_REPLY_ARRAY
           && reply->element[2]->type == REDIS_REPLY_ARRAY
           && reply->element[3]->type == REDIS_REPLY_ARRAY;
}


static void
lease_ticked(svc_redis_t *r, redisReply *reply, void *data)
{
    int64_t        sent;
    lease_t       *l;
    lease_call_t  *call;

    (void) r;

    call = data;
    l = call->l;
    sent = call->sent;
    free(call);

    l->calls--;
    l->ticking = 0;

    if (l->ending) {
        lease_check_end(l);
        return;
    }

    if (lease_is_look(reply)) {
        lease_looked(l, reply, sent);
        svc_timer(l->tick, lease_next(l));

    } else if (reply != NULL && reply->type == REDIS_REPLY_ERROR) {
        log_seldom(&l->log, LOG_ERROR, "bus: cannot renew leases: %s",
                   reply->str);
    }

    if (l->again) {
        l->again = 0;
        lease_tick(l);
    }
}


/* The lists of what is over, behind the first arguments; their number. */
static int
lease_argue(lease_t *l, const char **argv, char (*number)[12], size_t *nover)
{
    int       argc;
    size_t    i;
    uint32_t  n;

    argc = LEASE_FIXED;
    *nover = 0;

    for (i = 0; i < l->nmembers; i++) {
        if (lease_over(l, &l->members[i])) {
            argv[argc++] = l->members[i].name;
            argv[argc++] = l->members[i].value;
            (*nover)++;
        }
    }

    for (n = 0; n < l->n; n++) {
        if (!l->parts[n].owned && lease_over(l, &l->parts[n].other)) {
            snprintf(number[n], sizeof(number[n]), "%u", n);
            argv[argc++] = number[n];
            argv[argc++] = l->parts[n].other.value;
        }
    }

    return argc;
}


static void
lease_tick(lease_t *l)
{
    int            argc;
    char           life[24], turn[24], n[12], over[24];
    char         (*number)[12];
    size_t         nover;
    const char   **argv;
    lease_call_t  *call;

    if (l->ticking) {
        l->again = 1;
        return;
    }

    if (!l->ready || l->ending || l->n == 0) {
        return;
    }

    argv = malloc((LEASE_FIXED + 2 * (l->nmembers + l->n)) * sizeof(char *));
    number = malloc(l->n * sizeof(*number));

    if (argv == NULL || number == NULL) {
        abort();
    }

    argc = lease_argue(l, argv, number, &nover);

    snprintf(life, sizeof(life), "%" PRIu64, l->life);
    snprintf(turn, sizeof(turn), "%" PRIu64, ++l->turn);
    snprintf(n, sizeof(n), "%u", l->n);
    snprintf(over, sizeof(over), "%zu", nover);

    argv[0] = l->life_key;
    argv[1] = l->members_key;
    argv[2] = l->notes_key;
    argv[3] = life;
    argv[4] = l->keys;
    argv[5] = l->scope;
    argv[6] = l->before;
    argv[7] = l->whole ? "1" : "0";
    argv[8] = l->me;
    argv[9] = turn;
    argv[10] = n;
    argv[11] = over;

    call = lease_call(l, 0);

    if (svc_redis_eval(l->r, &lease_tick_script, lease_ticked, call, 3, argc,
                       argv, NULL) == 0)
    {
        l->ticking = 1;
        l->calls++;

    } else {
        free(call);
    }

    free(argv);
    free(number);
}


static void
lease_on_tick(evutil_socket_t fd, short what, void *data)
{
    lease_t   *l;
    uint32_t   n;

    (void) fd;
    (void) what;

    l = data;

    svc_timer(l->tick, LEASE_TICK);

    for (n = 0; n < l->n; n++) {
        if (l->parts[n].owned && !lease_holds(l, n)) {
            lease_lose(l, n, "the lease was not renewed");
        }
    }

    lease_tick(l);
}


void
lease_noted(lease_t *l, const redisReply *entries)
{
    size_t             i;
    const redisReply  *fields;

    for (i = 0; i < entries->elements; i++) {

        if (entries->element[i]->type != REDIS_REPLY_ARRAY
            || entries->element[i]->elements != 2)
        {
            continue;
        }

        fields = entries->element[i]->element[1];

        if (fields->type != REDIS_REPLY_ARRAY || fields->elements != 2
            || fields->element[1]->type != REDIS_REPLY_STRING
            || strcmp(fields->element[1]->str, l->me) != 0)
        {
            lease_tick(l);
            return;
        }
    }
}


/* ---- beginning and end ---- */

static void
lease_grow(lease_t *l, uint32_t n)
{
    if (n <= l->n) {
        return;
    }

    l->parts = realloc(l->parts, n * sizeof(lease_part_t));
    if (l->parts == NULL) {
        abort();
    }

    memset(l->parts + l->n, 0, (n - l->n) * sizeof(lease_part_t));
    l->n = n;
}


void
lease_begin(lease_t *l, const uint8_t epoch[BUS_EPOCH_LEN], uint32_t n,
    uint64_t life)
{
    char      scope[sizeof(l->scope)];
    uint32_t  i;

    scope[0] = ':';
    bus_hex(scope + 1, epoch, BUS_EPOCH_LEN);

    lease_grow(l, n);

    if (l->life != life || strcmp(l->scope, scope) != 0) {

        /* nor is what was seen a measure of what stands there now */

        lease_lose_all(l, "Redis is another one");

        for (i = 0; i < l->n; i++) {
            l->parts[i].other.value[0] = '\0';
        }

        l->nmembers = 0;
        l->life = life;
        strcpy(l->scope, scope);
        snprintf(l->members_key, LEASE_KEY, "%sgoim:bus:members%s",
                 svc_redis_prefix(l->r), scope);
    }

    l->ready = 1;

    lease_tick(l);
}


void
lease_pause(lease_t *l)
{
    l->ready = 0;
}


static void
lease_left(svc_redis_t *r, redisReply *reply, void *data)
{
    lease_t  *l;

    (void) r;
    (void) reply;

    l = data;
    l->calls--;

    lease_check_end(l);
}


void
lease_end(lease_t *l)
{
    uint32_t     n;
    const char  *argv[3];

    event_del(l->tick);

    for (n = 0; n < l->n; n++) {
        if (l->parts[n].owned) {
            lease_give(l, n);
        }
    }

    argv[0] = l->members_key;
    argv[1] = l->notes_key;
    argv[2] = l->me;

    if (l->scope[0] != '\0'
        && svc_redis_eval(l->r, &lease_leave_script, lease_left, l, 2, 3,
                          argv, NULL) == 0)
    {
        l->calls++;
    }

    l->ending = 1;
    lease_check_end(l);
}


static void
lease_on_end(evutil_socket_t fd, short what, void *data)
{
    lease_t  *l;

    (void) fd;
    (void) what;

    l = data;
    l->events.ended(l->events.data);
}


lease_t *
lease_new(struct event_base *base, svc_redis_t *r, const char *before,
    int whole, const lease_events_t *events)
{
    lease_t     *l;
    const char  *prefix;

    l = calloc(1, sizeof(lease_t));
    if (l == NULL) {
        abort();
    }

    prefix = svc_redis_prefix(r);

    l->base = base;
    l->r = r;
    l->whole = whole;
    l->events = *events;

    snprintf(l->life_key, LEASE_KEY, "%sgoim:life", prefix);
    snprintf(l->notes_key, LEASE_KEY, "%sgoim:bus:notes", prefix);
    snprintf(l->keys, LEASE_KEY, "%sgoim:{", prefix);
    snprintf(l->before, LEASE_KEY, "%s", before);
    bus_job_name(l->me, sizeof(l->me));

    l->fenced = metrics_counter("goim_bus_partitions_lost_total", NULL,
        "Partitions that were lost without having been given up.");

    l->tick = evtimer_new(base, lease_on_tick, l);
    l->end = evtimer_new(base, lease_on_end, l);

    if (l->tick == NULL || l->end == NULL) {
        abort();
    }

    svc_timer(l->tick, LEASE_TICK);

    return l;
}


void
lease_free(lease_t *l)
{
    event_free(l->tick);
    event_free(l->end);
    free(l->members);
    free(l->parts);
    free(l);
}
