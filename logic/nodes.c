/*
 * Nodes: registered by comets, read from the registry.
 */

#include "nodes.h"

#include "online.h"
#include "store.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"
#include "svc/stream.h"

#define LOGIC_NODES_POLL     1000       /* ms */
#define LOGIC_NODES_OFFLINE  65536      /* put offline by hand, at most */
#define LOGIC_NODE_ADDRS     64


struct logic_nodes_s {
    logic_thread_t   *thread;
    struct event     *poll;
    logic_balance_t   balance;
    char            **offline;          /* put there by hand, sorted */
    size_t            noffline;
};

typedef struct {
    logic_thread_t         *thread;
    http_request_t         *req;
    int                     offline;
    unsigned                again:1;
    char                    server[GOIM_SERVER_MAX + 1];
} logic_change_t;


static void logic_nodes_poll(evutil_socket_t fd, short what, void *data);
static void logic_nodes_read(registry_t *g, int ok, void *data);
static void logic_nodes_offline_read(svc_redis_t *r, redisReply *reply,
    void *data);
static int logic_offline_cmp(const void *one, const void *two);
static void logic_nodes_update(logic_nodes_t *n);
static int logic_place_make(logic_nodes_t *n, const registry_node_t *node,
    logic_place_t *place);
static int logic_node_offline(logic_nodes_t *n, const registry_node_t *node);
static char *logic_node_addrs(const Goim__Register *info);
static json_t *logic_node_json(logic_nodes_t *n, const registry_node_t *node);
static int logic_change_send(logic_change_t *c);
static void logic_change_done(svc_redis_t *r, redisReply *reply, void *data);
static void logic_registered(const registry_answer_t *a, void *data);
static void logic_deregistered(const registry_answer_t *a, void *data);


int
logic_nodes_init(logic_thread_t *t)
{
    logic_nodes_t  *n;

    n = calloc(1, sizeof(logic_nodes_t));
    if (n == NULL) {
        return -1;
    }

    n->thread = t;
    n->poll = evtimer_new(t->base, logic_nodes_poll, n);

    if (n->poll == NULL) {
        free(n);
        return -1;
    }

    t->nodes = n;
    svc_timer(n->poll, 0);

    return 0;
}


void
logic_nodes_free(logic_thread_t *t)
{
    size_t          i;
    logic_nodes_t  *n;

    n = t->nodes;

    for (i = 0; i < n->noffline; i++) {
        free(n->offline[i]);
    }

    free(n->offline);
    free(n->balance.order);
    logic_places_free(n->balance.places, n->balance.nplaces);
    event_free(n->poll);
    free(n);
}


/* ---- the set as this thread knows it ----------------------------------- */

static void
logic_nodes_poll(evutil_socket_t fd, short what, void *data)
{
    logic_nodes_t  *n = data;

    char             key[LOGIC_KEY_BUF];
    size_t           len;
    logic_thread_t  *t;

    (void) fd;
    (void) what;

    t = n->thread;
    len = logic_redis_key(t, key, "goim:", "offline", 7);

    svc_redis_callf(t->redis, logic_nodes_offline_read, n, "SMEMBERS %b",
                    key, len);
    registry_read(t->registry, logic_nodes_read, n);
    logic_retire_poll(t);

    svc_timer(n->poll, LOGIC_NODES_POLL);
}


void
logic_nodes_up(logic_thread_t *t)
{
    logic_nodes_poll(-1, 0, t->nodes);
}


static void
logic_nodes_read(registry_t *g, int ok, void *data)
{
    const registry_node_t  *nodes;

    /* a set that may yet be half filled is better than none */

    if (ok || registry_nodes(g, &nodes) > 0) {
        logic_nodes_update(data);
    }

    metrics_set(logic_m.nodes_silent, (int64_t) registry_silent(g));
}


static void
logic_nodes_offline_read(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_nodes_t  *n = data;

    char    **list;
    size_t    i, used;

    (void) r;

    if (reply == NULL) {
        return;
    }

    if (reply->type != REDIS_REPLY_ARRAY
        || reply->elements > LOGIC_NODES_OFFLINE)
    {
        logic_redis_said("nodes: goim:offline", reply);
        return;
    }

    list = calloc(reply->elements + 1, sizeof(char *));
    if (list == NULL) {
        return;
    }

    used = 0;

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type == REDIS_REPLY_STRING) {
            list[used] = strdup(reply->element[i]->str);
            used += list[used] != NULL;
        }
    }

    qsort(list, used, sizeof(char *), logic_offline_cmp);

    for (i = 0; i < n->noffline; i++) {
        free(n->offline[i]);
    }

    free(n->offline);

    n->offline = list;
    n->noffline = used;
}


static int
logic_offline_cmp(const void *one, const void *two)
{
    return strcmp(*(char *const *) one, *(char *const *) two);
}


static void
logic_nodes_update(logic_nodes_t *n)
{
    size_t                  i, count;
    logic_place_t          *places;
    const registry_node_t  *nodes;

    count = registry_nodes(n->thread->registry, &nodes);

    places = calloc(count + 1, sizeof(logic_place_t));
    if (places == NULL) {
        return;
    }

    for (i = 0; i < count; i++) {
        if (logic_place_make(n, &nodes[i], &places[i]) != 0) {
            logic_places_free(places, count);
            return;
        }
    }

    if (logic_balance_set(&n->balance, places, count) != 0) {
        logic_places_free(places, count);
    }
}


/* The newest zone describes the node; all its zones hold connections. */

static int
logic_place_make(logic_nodes_t *n, const registry_node_t *node,
    logic_place_t *place)
{
    size_t                 i;
    const Goim__Register  *info;

    info = node->zone[0]->info;

    place->server = strdup(node->server);
    place->region = strdup(info->region);
    place->hostname = strdup(info->hostname[0] != '\0' ? info->hostname
                                                       : node->server);
    place->addrs = logic_node_addrs(info);
    place->weight = info->weight;
    place->offline = logic_node_offline(n, node);

    for (i = 0; i < node->zones; i++) {
        place->conns += node->zone[i]->info->conn_count;
        place->seen += node->zone[i]->seen;
    }

    return place->server == NULL || place->region == NULL
           || place->hostname == NULL || place->addrs == NULL ? -1 : 0;
}


static int
logic_node_offline(logic_nodes_t *n, const registry_node_t *node)
{
    return node->zone[0]->info->offline
           || (n->noffline > 0
               && bsearch(&node->server, n->offline, n->noffline,
                          sizeof(char *), logic_offline_cmp)
                  != NULL);
}


static char *
logic_node_addrs(const Goim__Register *info)
{
    char    *text, *p;
    size_t   i, len;

    len = 1;

    for (i = 0; i < info->n_addrs; i++) {
        len += strlen(info->addrs[i]) + 1;
    }

    text = malloc(len);
    if (text == NULL) {
        return NULL;
    }

    text[0] = '\0';

    for (i = 0, p = text; i < info->n_addrs; i++) {
        p += sprintf(p, "%s%s", i > 0 ? "," : "", info->addrs[i]);
    }

    return text;
}


/* ---- what backends ask ------------------------------------------------- */

logic_balance_t *
logic_nodes_balance(logic_thread_t *t)
{
    return &t->nodes->balance;
}


void
logic_nodes_instances(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    size_t                  i, n;
    json_t                 *list, *item;
    const registry_node_t  *nodes;

    (void) q;

    if (!registry_current(t->registry)) {
        logic_http_failed(t, req, "redis is away");
        return;
    }

    list = json_array();
    n = registry_nodes(t->registry, &nodes);

    for (i = 0; i < n; i++) {
        item = logic_node_json(t->nodes, &nodes[i]);

        if (item != NULL) {
            json_array_append_new(list, item);
        }
    }

    logic_http_answer(t, req, 200, 0, "", list);
}


static json_t *
logic_node_json(logic_nodes_t *n, const registry_node_t *node)
{
    char                   conns[24], ips[24], weight[24], *addrs;
    size_t                 i;
    json_t                *list, *item;
    uint64_t               nconns, nips;
    const Goim__Register  *info;

    info = node->zone[0]->info;
    nconns = 0;
    nips = 0;

    for (i = 0; i < node->zones; i++) {
        nconns += node->zone[i]->info->conn_count;
        nips += node->zone[i]->info->ip_count;
    }

    snprintf(conns, sizeof(conns), "%" PRIu64, nconns);
    snprintf(ips, sizeof(ips), "%" PRIu64, nips);
    snprintf(weight, sizeof(weight), "%" PRIu32, info->weight);

    list = json_array();

    for (i = 0; i < info->n_addrs; i++) {
        json_array_append_new(list, json_string(info->addrs[i]));
    }

    addrs = logic_node_addrs(info);

    item = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:I,"
                     " s:{s:s, s:s, s:s, s:s, s:s}}",
        "server", node->server,
        "region", info->region,
        "zone", info->zone_name,
        "env", info->env,
        "appid", "goim.comet",
        "hostname", info->hostname,
        "addrs", list,
        "version", info->version,
        "latest_timestamp",
        (json_int_t) node->zone[0]->seen * 1000000,
        "metadata",
        "addrs", addrs != NULL ? addrs : "",
        "conn_count", conns,
        "ip_count", ips,
        "offline", logic_node_offline(n, node) ? "true" : "false",
        "weight", weight);

    free(addrs);

    return item;
}


/* ---- offline by hand --------------------------------------------------- */

void
logic_nodes_offline(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    int64_t             offline;
    const char         *server;
    logic_change_t     *c;

    server = logic_http_need(t, req, q, "server");

    if (server == NULL) {
        return;
    }

    if (logic_query_find(q, "offline") == NULL) {
        logic_http_bad(t, req, "offline: required, 0 or 1");
        return;
    }

    if (logic_http_number(t, req, q, "offline", 0, 0, 1, &offline) != 0) {
        return;
    }

    if (strlen(server) > GOIM_SERVER_MAX
        || (offline && registry_find(t->registry, server) == NULL))
    {
        logic_http_answer(t, req, 404, -404, "server: no such node", NULL);
        return;
    }

    c = calloc(1, sizeof(logic_change_t));
    if (c == NULL) {
        logic_http_failed(t, req, "no memory");
        return;
    }

    c->thread = t;
    c->req = req;
    c->offline = (int) offline;
    strcpy(c->server, server);

    if (logic_change_send(c) != 0) {
        free(c);
        logic_http_failed(t, req, "redis is away");
    }
}


static int
logic_change_send(logic_change_t *c)
{
    char    key[LOGIC_KEY_BUF];
    size_t  len;

    len = logic_redis_key(c->thread, key, "goim:", "offline", 7);

    return svc_redis_callf(c->thread->redis, logic_change_done, c,
                           c->offline ? "SADD %b %s" : "SREM %b %s", key,
                           len, c->server);
}


static void
logic_change_done(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_change_t  *c = data;

    char             key[LOGIC_KEY_BUF];
    size_t           len;
    log_text_t       text;
    logic_thread_t  *t;

    t = c->thread;

    if (svc_redis_class(reply) == SVC_REDIS_TYPE && !c->again) {
        log_write(LOG_ERROR, "nodes: goim:offline is no set, replaced");
        metrics_add(logic_m.broken, 1);

        c->again = 1;
        len = logic_redis_key(t, key, "goim:", "offline", 7);

        if (svc_redis_callf(r, NULL, NULL, "DEL %b", key, len) == 0
            && logic_change_send(c) == 0)
        {
            return;
        }
    }

    if (svc_redis_class(reply) != SVC_REDIS_OK) {
        logic_redis_said("nodes: offline", reply);
        logic_http_failed(t, c->req, "redis did not do it");

    } else {
        log_write(LOG_NOTICE, "nodes: \"%s\" is %s by request",
                  log_text(&text, c->server),
                  c->offline ? "offline" : "no longer offline");

        /* the other threads and logics see it within a second */
        logic_nodes_poll(-1, 0, t->nodes);

        logic_http_answer(t, c->req, 200, 0, "",
                          json_pack("{s:s, s:b}", "server", c->server,
                                    "offline", c->offline));
    }

    free(c);
}


/* ---- comets ------------------------------------------------------------ */

static int
logic_register_valid(const Goim__Register *r)
{
    size_t  i;

    if (!logic_zone_valid(r->server, r->zone)
        || r->instance[0] == '\0'
        || strlen(r->instance) > 2 * LOGIC_NODE_TEXT
        || strlen(r->replaces) > 2 * LOGIC_NODE_TEXT
        || strlen(r->region) > LOGIC_NODE_TEXT
        || strlen(r->zone_name) > LOGIC_NODE_TEXT
        || strlen(r->env) > LOGIC_NODE_TEXT
        || strlen(r->hostname) > LOGIC_NODE_TEXT
        || strlen(r->version) > LOGIC_NODE_TEXT
        || strlen(r->redis_run_id) > LOGIC_NODE_TEXT
        || strlen(r->redis_prefix) > LOGIC_NODE_TEXT
        || r->n_addrs > LOGIC_NODE_ADDRS)
    {
        return 0;
    }

    for (i = 0; i < r->n_addrs; i++) {
        if (strlen(r->addrs[i]) > LOGIC_NODE_TEXT
            || strchr(r->addrs[i], ',') != NULL)
        {
            return 0;
        }
    }

    return 1;
}


/*
 * Whether the node reads from the Redis that its messages are written to: the
 * same run of it, the same database and prefix. Else *what says what differs.
 */
static int
logic_register_same(logic_thread_t *t, const Goim__Register *r, char *what,
    size_t size)
{
    log_text_t               text;
    const svc_redis_conf_t  *conf;

    conf = &t->conf->redis;

    if (r->redis_run_id[0] == '\0') {
        return 1;
    }

    if (strcmp(r->redis_run_id, svc_redis_run_id(t->redis)) != 0) {
        snprintf(what, size, "the node has Redis with run_id %.64s, logic "
                 "%s with run_id %s", log_text(&text, r->redis_run_id),
                 conf->addr, svc_redis_run_id(t->redis));
        return 0;
    }

    if (r->redis_db != (uint32_t) conf->db) {
        snprintf(what, size, "the node has Redis's database %" PRIu32
                 ", logic %" PRId64, r->redis_db, conf->db);
        return 0;
    }

    if (strcmp(r->redis_prefix, conf->prefix) != 0) {
        snprintf(what, size, "the node has prefix \"%.64s\", logic \"%s\"",
                 log_text(&text, r->redis_prefix), conf->prefix);
        return 0;
    }

    return 1;
}


static void
logic_register_other(logic_call_t *call, const char *what)
{
    Goim__Reply       reply = GOIM__REPLY__INIT;
    Goim__Registered  registered = GOIM__REGISTERED__INIT;

    static log_once_t  other;

    log_text_t  t;

    log_seldom(&other, LOG_ERROR, "register: \"%s\" refused: %s",
               log_text(&t, call->msg->register_->server), what);
    metrics_add(logic_m.registers_refused, 1);

    reply.code = GOIM__REPLY__CODE__REFUSED;
    reply.error = (char *) what;
    reply.reply_case = GOIM__REPLY__REPLY_REGISTERED;
    reply.registered = &registered;

    logic_reply(call, &reply);
}


void
logic_register_call(logic_call_t *call)
{
    char             what[512];
    logic_thread_t  *t;

    if (!logic_register_valid(call->msg->register_)) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "register");
        return;
    }

    /* the last word of a comet that waits no more is its Deregister */

    if (logic_rpc_gone(call)) {
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "gone");
        return;
    }

    metrics_add(logic_m.registers, 1);

    t = call->thread;

    if (svc_redis_is_up(t->redis)
        && !logic_register_same(t, call->msg->register_, what, sizeof(what)))
    {
        logic_register_other(call, what);
        return;
    }

    if (registry_register(call->thread->registry, call->msg->register_,
                          logic_registered, call)
        != 0)
    {
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "redis is away");
    }
}


static void
logic_registered(const registry_answer_t *a, void *data)
{
    logic_call_t  *call = data;

    log_text_t           server, instance, holder;
    Goim__Register      *info;
    const logic_conf_t  *conf;

    Goim__Reply       reply = GOIM__REPLY__INIT;
    Goim__Registered  registered = GOIM__REGISTERED__INIT;

    info = call->msg->register_;
    conf = call->thread->conf;

    if (a->result == REGISTRY_AGAIN) {
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED,
                         "redis did not do it");
        return;
    }

    registered.renew = (uint32_t) conf->node_renew;
    registered.ttl = (uint32_t) conf->node_ttl;
    registered.max_body = (uint32_t) conf->max_body;
    registered.seen = a->seen;
    registered.missed = a->missed;
    registered.lapsed = a->lapsed;

    if (a->result == REGISTRY_REFUSED) {
        log_write(LOG_ERROR, "register: \"%s\" refused to instance \"%s\": "
                  "\"%s\" has it", log_text(&server, info->server),
                  log_text(&instance, info->instance),
                  log_text(&holder, a->holder));
        metrics_add(logic_m.registers_refused, 1);

        registered.holder = (char *) a->holder;
        reply.code = GOIM__REPLY__CODE__REFUSED;
        reply.error = (char *) "another instance has this server_id";

    } else {
        svc_stream_read(call->thread->redis, info->server, info->zone,
                        info->read);

        /* its sessions may be unknown in this life of Redis */

        registered.life = svc_redis_life(call->thread->redis);

        if (info->life != 0 && info->life != registered.life) {
            store_await(call->thread->store, info->server, info->zone, 0);
        }

        /* a new node is known here at once, elsewhere within a second */
        registry_read(call->thread->registry, logic_nodes_read,
                      call->thread->nodes);
    }

    reply.reply_case = GOIM__REPLY__REPLY_REGISTERED;
    reply.registered = &registered;

    logic_reply(call, &reply);
}


void
logic_deregister_call(logic_call_t *call)
{
    Goim__Deregister  *d;

    d = call->msg->deregister;

    if (!logic_zone_valid(d->server, d->zone)) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "deregister");
        return;
    }

    if (registry_deregister(call->thread->registry, d->server, d->zone,
                            logic_deregistered, call)
        != 0)
    {
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "redis is away");
    }
}


static void
logic_deregistered(const registry_answer_t *a, void *data)
{
    logic_call_t  *call = data;

    char               name[LOGIC_NAME_MAX + 1];
    Goim__Deregister  *d;

    d = call->msg->deregister;

    if (a->result != REGISTRY_OK) {
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED,
                         "redis did not do it");
        return;
    }

    snprintf(name, sizeof(name), "%s/%s", d->server, d->zone);
    logic_retire(call->thread, name);
    store_await(call->thread->store, d->server, d->zone, 1);
    logic_reply_ok(call);
}
