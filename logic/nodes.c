/*
 * Nodes: registered by comets, read from the registry.
 */

#include "nodes.h"

#include "online.h"
#include "who.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"
#include "svc/log.h"

#define LOGIC_NODES_POLL     1000       /* ms */
#define LOGIC_NODES_OFFLINE  65536      /* put offline by hand, at most */


struct logic_nodes_s {
    logic_thread_t   *thread;
    struct event     *poll;
    logic_balance_t   balance;
    char            **offline;          /* put there by hand, sorted */
    size_t            noffline;
    size_t            max_body;         /* that all nodes take */
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
static size_t logic_nodes_least(logic_nodes_t *n,
    const registry_node_t *nodes, size_t count);
static int logic_node_offline(logic_nodes_t *n, const registry_node_t *node);
static char *logic_node_addrs(const Goim__Register *info);
static json_t *logic_node_json(logic_nodes_t *n, const registry_node_t *node);
static int logic_change_send(logic_change_t *c);
static void logic_change_done(svc_redis_t *r, redisReply *reply, void *data);


int
logic_nodes_init(logic_thread_t *t)
{
    logic_nodes_t  *n;

    n = calloc(1, sizeof(logic_nodes_t));
    if (n == NULL) {
        return -1;
    }

    n->thread = t;
    n->max_body = (size_t) t->conf->max_body;
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
    logic_who_poll(t);

    svc_timer(n->poll, LOGIC_NODES_POLL);
}


void
logic_nodes_up(logic_thread_t *t)
{
    logic_nodes_poll(-1, 0, t->nodes);
}


void
logic_nodes_again(logic_thread_t *t)
{
    registry_read(t->registry, logic_nodes_read, t->nodes);
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
    n->max_body = logic_nodes_least(n, nodes, count);

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


/* What is longer than a node takes would be lost for its clients. */

static size_t
logic_nodes_least(logic_nodes_t *n, const registry_node_t *nodes,
    size_t count)
{
    size_t       i, z, max;
    uint32_t     takes;
    log_text_t   text;
    const char  *least;

    static log_once_t  small;

    least = NULL;
    max = (size_t) n->thread->conf->max_body;

    for (i = 0; i < count; i++) {
        for (z = 0; z < nodes[i].zones; z++) {
            takes = nodes[i].zone[z]->info->max_body;

            if (takes != 0 && takes < max) {
                max = takes;
                least = nodes[i].server;
            }
        }
    }

    if (least != NULL) {
        log_seldom(&small, LOG_WARN, "nodes: [http] max_body is %lld, the "
                   "zone of \"%s\" takes messages of %zu at most: no longer "
                   "ones are pushed", (long long) n->thread->conf->max_body,
                   log_text(&text, least), max);
    }

    return max;
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

size_t
logic_nodes_max_body(logic_thread_t *t)
{
    return t->nodes->max_body;
}


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
