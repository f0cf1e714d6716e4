/*
 * Whether pushes get through: every few seconds a canary goes to every
 * partition of the bus, through job, the nodes' streams and rings, to each
 * worker of each node, and back by RPC. The first thread sends them, any
 * may get them back; each hop's time is measured on the way.
 */

#include "canary.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_CANARY_RETRY       500        /* ms: the bus is away */
#define LOGIC_CANARY_TIMEOUT     4000       /* ms, to be taken by the bus */
#define LOGIC_CANARY_PARTITIONS  4096
#define LOGIC_CANARY_TRIES       64         /* numbers tried for a partition */
#define LOGIC_CANARY_KEY         24
#define LOGIC_CANARY_NONE        UINT32_MAX


struct logic_canary_s {
    logic_thread_t  *thread;
    struct event    *timer;
    uint32_t        *keys;          /* by partition: the number in a key that
                                       leads there */
    uint32_t         nkeys;
    uint32_t         writes;        /* not yet answered by the bus */
    uint32_t         failed;        /* of this round */
    int64_t          sent;          /* this round */
};

/* What all threads know of; times are of svc_now(), 0: never. Atomic. */
typedef struct {
    int64_t  taken;                 /* all of a round were, by the bus */
    int64_t  back;                  /* one came back, and in time */
    int      job;                   /* one is seen */
} logic_canaries_t;


static void logic_canary_tick(evutil_socket_t fd, short what, void *data);
static int logic_canary_keys(logic_canary_t *c, uint32_t n);
static void logic_canary_send(logic_canary_t *c);
static size_t logic_canary_pack(const void *what, uint8_t *payload);
static void logic_canary_produced(bus_result_t result, void *data);
static void logic_canary_back(const Goim__Canary *canary);


static char              logic_canary_id[GOIM_CANARY_ID + 1];
static logic_canaries_t  logic_canaries;


logic_canary_t *
logic_canary_new(logic_thread_t *t)
{
    uint8_t          id[GOIM_CANARY_ID / 2];
    logic_canary_t  *c;

    c = calloc(1, sizeof(logic_canary_t));
    if (c == NULL) {
        return NULL;
    }

    evutil_secure_rng_get_bytes(id, sizeof(id));
    bus_hex(logic_canary_id, id, sizeof(id));

    c->thread = t;
    c->timer = evtimer_new(t->base, logic_canary_tick, c);

    if (c->timer == NULL) {
        free(c);
        return NULL;
    }

    if (t->conf->canary > 0) {
        svc_timer(c->timer, 0);
    }

    return c;
}


void
logic_canary_stop(logic_thread_t *t)
{
    if (t->canary != NULL) {
        evtimer_del(t->canary->timer);
    }
}


int
logic_canary_busy(logic_thread_t *t)
{
    return t->canary != NULL && t->canary->writes > 0;
}


void
logic_canary_free(logic_thread_t *t)
{
    if (t->canary != NULL) {
        event_free(t->canary->timer);
        free(t->canary->keys);
        free(t->canary);
        t->canary = NULL;
    }
}


/* ---- out ---- */

/* No more than one round is on its way, and none while there is no bus. */

static void
logic_canary_tick(evutil_socket_t fd, short what, void *data)
{
    logic_canary_t  *c = data;

    uint32_t         n;
    logic_thread_t  *t;

    (void) fd;
    (void) what;

    t = c->thread;
    n = bus_producer_partitions(t->bus);

    __atomic_store_n(&logic_canaries.job, here_seen(t->here),
                     __ATOMIC_RELAXED);

    if (n == 0 || n > LOGIC_CANARY_PARTITIONS || c->writes > 0
        || bus_producer_down(t->bus) || !bus_producer_healthy(t->bus)
        || logic_canary_keys(c, n) != 0)
    {
        svc_timer(c->timer, LOGIC_CANARY_RETRY);
        return;
    }

    logic_canary_send(c);
    svc_timer(c->timer, t->conf->canary);
}


static size_t
logic_canary_key(char key[LOGIC_CANARY_KEY], uint32_t number)
{
    return (size_t) snprintf(key, LOGIC_CANARY_KEY, "canary-%" PRIu32, number);
}


/* A key for each partition, found by trying: the bus places by key alone. */

static int
logic_canary_keys(logic_canary_t *c, uint32_t n)
{
    char      key[LOGIC_CANARY_KEY];
    size_t    len;
    uint32_t  i, left, at, *keys;

    if (c->nkeys == n) {
        return 0;
    }

    keys = malloc(n * sizeof(uint32_t));
    if (keys == NULL) {
        return -1;
    }

    memset(keys, 0xff, n * sizeof(uint32_t));

    left = n;

    for (i = 0; left > 0 && i < n * LOGIC_CANARY_TRIES; i++) {
        len = logic_canary_key(key, i);
        at = goim_partition(key, len, n);

        if (keys[at] == LOGIC_CANARY_NONE) {
            keys[at] = i;
            left--;
        }
    }

    free(c->keys);
    c->keys = keys;
    c->nkeys = n;

    return 0;
}


static void
logic_canary_send(logic_canary_t *c)
{
    char           key[LOGIC_CANARY_KEY];
    uint32_t       i;
    bus_message_t  m;
    Goim__Canary   canary = GOIM__CANARY__INIT;
    Goim__PushMsg  msg = GOIM__PUSH_MSG__INIT;

    c->failed = 0;
    c->sent = svc_now();

    canary.logic = logic_canary_id;
    canary.sent = (uint64_t) svc_date();
    canary.clock = (uint64_t) c->sent;

    msg.type = GOIM__PUSH_MSG__TYPE__CANARY;
    msg.canary = &canary;

    m.key = key;
    m.of = 0;
    m.len = goim__push_msg__get_packed_size(&msg);
    m.pack = logic_canary_pack;
    m.what = &msg;
    m.from = c->thread->from;
    m.headers = NULL;
    m.timeout = LOGIC_CANARY_TIMEOUT;
    m.cb = logic_canary_produced;
    m.data = c;

    for (i = 0; i < c->nkeys; i++) {

        if (c->keys[i] == LOGIC_CANARY_NONE) {
            continue;
        }

        m.key_len = logic_canary_key(key, c->keys[i]);
        c->writes++;

        metrics_add(logic_m.canaries, 1);
        bus_produce(c->thread->bus, &m);
    }
}


static size_t
logic_canary_pack(const void *what, uint8_t *payload)
{
    return goim__push_msg__pack(what, payload);
}


static void
logic_canary_produced(bus_result_t result, void *data)
{
    logic_canary_t  *c = data;

    int64_t  now;

    now = svc_now();
    c->writes--;

    if (result == BUS_OK) {
        metrics_observe(logic_m.hop[LOGIC_HOP_PRODUCE], now - c->sent);

    } else {
        c->failed++;
    }

    if (c->writes == 0 && c->failed == 0) {
        __atomic_store_n(&logic_canaries.taken, now, __ATOMIC_RELAXED);
    }
}


/* ---- back ---- */

void
logic_canary_call(logic_call_t *call)
{
    size_t           i;
    Goim__Reply      reply = GOIM__REPLY__INIT;
    Goim__Canaried   canaried = GOIM__CANARIED__INIT;
    Goim__Canaries  *canaries;

    canaries = call->msg->canaries;

    if (canaries->n_canaries > GOIM_CANARIES
        || !logic_zone_valid(canaries->server, canaries->zone))
    {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "Canaries");
        return;
    }

    for (i = 0; i < canaries->n_canaries; i++) {
        if (strcmp(canaries->canaries[i]->logic, logic_canary_id) == 0) {
            logic_canary_back(canaries->canaries[i]);
        }
    }

    canaried.logic = logic_canary_id;
    reply.reply_case = GOIM__REPLY__REPLY_CANARIED;
    reply.canaried = &canaried;

    logic_reply(call, &reply);
}


/* Clocks of machines differ a little, and what comes may hold any number: no
 * time is less than nothing, or more than what counts. */

static void
logic_canary_hop(logic_hop_t hop, uint64_t from, uint64_t to)
{
    uint64_t  ms;

    ms = to > from ? to - from : 0;

    metrics_observe(logic_m.hop[hop], (int64_t) (ms < 2 * GOIM_CANARY_LATE
                                                 ? ms : 2 * GOIM_CANARY_LATE));
}


static void
logic_canary_back(const Goim__Canary *canary)
{
    int64_t  now;

    now = svc_now();

    logic_canary_hop(LOGIC_HOP_BUS, canary->sent, canary->taken);
    logic_canary_hop(LOGIC_HOP_JOB, canary->taken, canary->appended);
    logic_canary_hop(LOGIC_HOP_STREAM, canary->appended, canary->read);
    logic_canary_hop(LOGIC_HOP_RING, canary->read, canary->came);
    logic_canary_hop(LOGIC_HOP_RPC, canary->came, (uint64_t) svc_date());
    logic_canary_hop(LOGIC_HOP_ALL, canary->clock, (uint64_t) now);

    /* one that was long on its way says nothing of those of now */

    if (canary->clock <= (uint64_t) now
        && (uint64_t) now - canary->clock <= GOIM_CANARY_LATE)
    {
        __atomic_store_n(&logic_canaries.back, now, __ATOMIC_RELAXED);
    }
}


static int
logic_canary_recent(int64_t *at)
{
    int64_t  t;

    t = __atomic_load_n(at, __ATOMIC_RELAXED);

    return t != 0 && svc_now() - t <= GOIM_CANARY_LATE;
}


const char *
logic_canary_missing(logic_thread_t *t, char *why, size_t size)
{
    size_t                  n;
    const registry_node_t  *nodes;

    if (!logic_canary_recent(&logic_canaries.taken)) {
        snprintf(why, size, "bus: %s has not taken a canary for every "
                 "partition in %d s", t->conf->bus.driver,
                 GOIM_CANARY_LATE / 1000);
        return why;
    }

    n = registry_nodes(t->registry, &nodes);

    if (n == 0 || logic_canary_recent(&logic_canaries.back)) {
        return NULL;
    }

    if (!__atomic_load_n(&logic_canaries.job, __ATOMIC_RELAXED)) {
        return "job: none is seen, and no canary came back";
    }

    if (metrics_get(logic_m.rpc_links) == 0) {
        return "rpc: no node is connected, and no canary came back";
    }

    snprintf(why, size, "stream: no canary came back in %d s from any of %zu "
             "nodes", GOIM_CANARY_LATE / 1000, n);

    return why;
}
