/*
 * Job's answers: a stream of this thread's own, read by a connection that waits
 * for it. What comes while it is lost stays there; who waited too long was told
 * so, and asks again with the same id.
 */

#include "im.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_IM_NAME   16              /* bytes of randomness */
#define LOGIC_IM_RETRY  100             /* ms */


struct logic_im_replies_s {
    logic_thread_t      *thread;
    void               (*answer)(logic_thread_t *t,
                                 const Goim__ImReply *reply);
    svc_redis_t         *redis;
    struct event        *retry;
    char                 name[2 * LOGIC_IM_NAME + 1];
    char                 key[GOIM_PREFIX_MAX + 64];
    char                 last[64];      /* id of the last one seen */
    char                 block[16];     /* ms */
};


static void logic_im_read(svc_redis_t *redis, void *data);


static void
logic_im_entry(logic_im_replies_t *r, const redisReply *entry)
{
    size_t             i;
    Goim__ImReplies   *all;
    const redisReply  *id, *fields;

    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2) {
        return;
    }

    id = entry->element[0];
    fields = entry->element[1];

    if (id->type != REDIS_REPLY_STRING || id->len >= sizeof(r->last)) {
        return;
    }

    memcpy(r->last, id->str, id->len + 1);

    if (fields->type != REDIS_REPLY_ARRAY || fields->elements < 2
        || fields->element[1]->type != REDIS_REPLY_STRING)
    {
        return;
    }

    all = goim__im_replies__unpack(NULL, fields->element[1]->len,
                                   (uint8_t *) fields->element[1]->str);
    if (all == NULL) {
        return;
    }

    for (i = 0; i < all->n_replies; i++) {
        r->answer(r->thread, all->replies[i]);
    }

    goim__im_replies__free_unpacked(all, NULL);
}


/* [[key, [[id, [field, value]], ...]]], or nil when the time is up */

static void
logic_im_came(svc_redis_t *redis, redisReply *reply, void *data)
{
    size_t               i;
    const redisReply    *entries;
    logic_im_replies_t  *r = data;

    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {

        if (svc_redis_is_up(redis)) {
            svc_timer(r->retry, LOGIC_IM_RETRY);
        }

        return;
    }

    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1
        && reply->element[0]->type == REDIS_REPLY_ARRAY
        && reply->element[0]->elements == 2
        && reply->element[0]->element[1]->type == REDIS_REPLY_ARRAY)
    {
        entries = reply->element[0]->element[1];

        for (i = 0; i < entries->elements; i++) {
            logic_im_entry(r, entries->element[i]);
        }
    }

    logic_im_read(redis, r);
}


static void
logic_im_read(svc_redis_t *redis, void *data)
{
    logic_im_replies_t  *r = data;

    (void) svc_redis_callf(redis, logic_im_came, r,
                           "XREAD COUNT 256 BLOCK %s STREAMS %s %s", r->block,
                           r->key, r->last);
}


static void
logic_im_on_retry(evutil_socket_t fd, short what, void *data)
{
    logic_im_replies_t  *r = data;

    (void) fd;
    (void) what;

    logic_im_read(r->redis, r);
}


logic_im_replies_t *
logic_im_replies_new(logic_thread_t *t,
    void (*answer)(logic_thread_t *t, const Goim__ImReply *reply))
{
    int                  n;
    uint8_t              random[LOGIC_IM_NAME];
    svc_redis_events_t   events;
    logic_im_replies_t  *r;

    r = calloc(1, sizeof(logic_im_replies_t));
    if (r == NULL) {
        return NULL;
    }

    evutil_secure_rng_get_bytes(random, sizeof(random));
    bus_hex(r->name, random, sizeof(random));

    r->thread = t;
    r->answer = answer;
    strcpy(r->last, "0");

    n = snprintf(r->key, sizeof(r->key), "%s" IM_REPLY "%s",
                 t->conf->redis.prefix, r->name);
    snprintf(r->block, sizeof(r->block), "%d",
             t->conf->redis.timeout > 2000 ? 1000
                                           : (int) t->conf->redis.timeout / 2);

    events.up = logic_im_read;
    events.down = NULL;
    events.data = r;

    r->retry = evtimer_new(t->base, logic_im_on_retry, r);
    r->redis = svc_redis_new(t->base, &t->conf->redis, &events);

    if (n >= (int) sizeof(r->key) || r->retry == NULL || r->redis == NULL) {
        logic_im_replies_free(r);
        return NULL;
    }

    return r;
}


void
logic_im_replies_free(logic_im_replies_t *r)
{
    if (r->redis != NULL) {
        svc_redis_free(r->redis);
    }

    if (r->retry != NULL) {
        event_free(r->retry);
    }

    free(r);
}


const char *
logic_im_replies_name(const logic_im_replies_t *r)
{
    return r->name;
}
