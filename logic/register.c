/*
 * Nodes come and go: what comets say of themselves, and who is refused.
 */

#include "nodes.h"

#include "history.h"
#include "online.h"
#include "store.h"
#include "who.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "svc/log.h"
#include "svc/stream.h"


static void logic_registered(const registry_answer_t *a, void *data);
static void logic_deregistered(const registry_answer_t *a, void *data);


static int
logic_register_valid(const Goim__Register *r)
{
    size_t  i;

    if (!logic_zone_valid(r->server, r->zone)
        || r->instance[0] == '\0'
        || strlen(r->instance) > 2 * GOIM_NODE_TEXT
        || strlen(r->replaces) > 2 * GOIM_NODE_TEXT
        || strlen(r->region) > GOIM_NODE_TEXT
        || strlen(r->zone_name) > GOIM_NODE_TEXT
        || strlen(r->env) > GOIM_NODE_TEXT
        || strlen(r->hostname) > GOIM_NODE_TEXT
        || strlen(r->version) > GOIM_NODE_TEXT
        || strlen(r->redis_run_id) > GOIM_NODE_TEXT
        || strlen(r->redis_prefix) > GOIM_NODE_TEXT
        || r->weight > GOIM_WEIGHT_MAX
        || r->n_addrs > GOIM_NODE_ADDRS)
    {
        return 0;
    }

    for (i = 0; i < r->n_addrs; i++) {
        if (strlen(r->addrs[i]) > GOIM_NODE_TEXT
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


/*
 * Whether all that may be pushed goes into the node's zone. One that is known
 * is not sent away when logic is started anew with a higher max_body: pushes
 * are bounded by what it takes.
 */
static int
logic_register_fits(logic_thread_t *t, const Goim__Register *r, char *what,
    size_t size)
{
    if (r->max_body == 0 || r->seen != 0
        || r->max_body >= (uint64_t) t->conf->max_body)
    {
        return 1;
    }

    snprintf(what, size, "the node's zone takes messages of %" PRIu32 " at "
             "most, [http] max_body is %" PRId64, r->max_body,
             t->conf->max_body);

    return 0;
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
    registered.max_body = (uint32_t) call->thread->conf->max_body;

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

    if (!logic_register_fits(t, call->msg->register_, what, sizeof(what))
        || (svc_redis_is_up(t->redis)
            && !logic_register_same(t, call->msg->register_, what,
                                    sizeof(what))))
    {
        logic_register_other(call, what);
        return;
    }

    if (registry_register(call->thread->registry, call->msg->register_,
                          call->deadline, logic_registered, call)
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

    const registry_node_t  *nodes;

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

    if (registry_current(call->thread->registry)) {
        registered.nodes = (uint32_t) registry_nodes(call->thread->registry,
                                                     &nodes);
    }

    registered.stamp = (char *) logic_history_stamp(call->thread);

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

        registered.moves = conf->events_set[0] != '\0';
        logic_who_registered(call->thread, info);

        /* a new node is known here at once, elsewhere within a second */
        logic_nodes_again(call->thread);
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
    logic_who_left(call->thread, d->server, d->zone);
    store_await(call->thread->store, d->server, d->zone, 1);
    logic_reply_ok(call);
}
