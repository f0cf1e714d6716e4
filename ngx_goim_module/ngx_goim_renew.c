
/*
 * Sessions that live on: logic is told now and then, many a call, or it
 * forgets where they are.  And all of them in a new life of Redis, which may
 * have lost them: they are announced again, in a few seconds and spread.
 *
 * A session waits here for its turn, and stays in a list of the call while
 * that is under way; it leaves by itself when it ends.
 */


#include "ngx_goim_core.h"
#include "ngx_goim_room.h"


#define NGX_GOIM_RENEW_CALLS    2           /* under way, a logic */
#define NGX_GOIM_RENEW_REST     1000        /* ms, after one that failed */

#define NGX_GOIM_ANNOUNCE_TIME  100         /* ticks for all sessions */
#define NGX_GOIM_ANNOUNCE_MIN   2048        /* sessions a tick, at least */


/* those that one logic knows */
typedef struct {
    ngx_queue_t             due;
    ngx_uint_t              calls;
    ngx_msec_t              rest;           /* until then */
} ngx_goim_renew_peer_t;


typedef struct {
    ngx_queue_t             sessions;
    ngx_goim_renew_peer_t  *peer;
} ngx_goim_renew_t;


static void ngx_goim_renew_flush(ngx_goim_renew_peer_t *p, ngx_uint_t peer);
static ngx_int_t ngx_goim_renew_call(ngx_goim_renew_peer_t *p,
    ngx_uint_t peer);
static void ngx_goim_renew_reply(void *data, const Goim__Reply *reply);
static void ngx_goim_renew_done(ngx_goim_renew_t *r, uint64_t life);
static void ngx_goim_renew_failed(ngx_goim_renew_t *r, const char *why);
static void ngx_goim_announce(void);


static ngx_goim_renew_peer_t  *ngx_goim_renew_peers;    /* logics, and any */

/* a round through all sessions */
static struct {
    uint64_t                life;
    ngx_uint_t              left;
    ngx_uint_t              found;          /* not known in this life */
} ngx_goim_round;


ngx_int_t
ngx_goim_renew_init(void)
{
    ngx_uint_t  i, n;

    n = ngx_goim_conf->logic.nelts + 1;

    ngx_goim_renew_peers = ngx_pcalloc(ngx_cycle->pool,
                                       n * sizeof(ngx_goim_renew_peer_t));
    if (ngx_goim_renew_peers == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        ngx_queue_init(&ngx_goim_renew_peers[i].due);
        ngx_goim_renew_peers[i].rest = ngx_current_msec;
    }

    return NGX_OK;
}


void
ngx_goim_renew(ngx_goim_session_t *s)
{
    ngx_uint_t  peer;

    if (s->renewing) {
        return;
    }

    peer = ngx_min(s->peer, ngx_goim_conf->logic.nelts);

    ngx_queue_insert_tail(&ngx_goim_renew_peers[peer].due, &s->wait);
    s->renewing = 1;
}


/* Its room is another one: logic wants to know where it tells the application. */

void
ngx_goim_renew_moved(ngx_goim_session_t *s)
{
    if (s->since == 0) {
        return;
    }

    s->moves++;

    if (ngx_goim_zone->moves) {
        ngx_goim_renew(s);
    }
}


void
ngx_goim_renew_forget(ngx_goim_session_t *s)
{
    if (!s->renewing) {
        return;
    }

    ngx_queue_remove(&s->wait);
    s->renewing = 0;
}


void
ngx_goim_renew_tick(void)
{
    ngx_uint_t  i;

    ngx_goim_announce();

    for (i = 0; i <= ngx_goim_conf->logic.nelts; i++) {
        ngx_goim_renew_flush(&ngx_goim_renew_peers[i], i);
    }
}


static void
ngx_goim_renew_flush(ngx_goim_renew_peer_t *p, ngx_uint_t peer)
{
    while (!ngx_queue_empty(&p->due) && p->calls < NGX_GOIM_RENEW_CALLS
           && (ngx_msec_int_t) (ngx_current_msec - p->rest) >= 0
           && ngx_goim_renew_call(p, peer) == NGX_OK)
    {
        /* void */
    }
}


static ngx_int_t
ngx_goim_renew_call(ngx_goim_renew_peer_t *p, ngx_uint_t peer)
{
    ngx_uint_t           n;
    Goim__Call           call;
    ngx_queue_t         *q;
    Goim__Renew          renew;
    ngx_goim_renew_t    *r;
    ngx_goim_session_t  *s;

    static Goim__Session   sessions[GOIM_SESSIONS_CALL];
    static Goim__Session  *list[GOIM_SESSIONS_CALL];

    r = ngx_alloc(sizeof(ngx_goim_renew_t), ngx_cycle->log);
    if (r == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_init(&r->sessions);
    r->peer = p;

    for (n = 0; n < GOIM_SESSIONS_CALL && !ngx_queue_empty(&p->due); n++) {
        q = ngx_queue_head(&p->due);
        s = ngx_queue_data(q, ngx_goim_session_t, wait);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&r->sessions, q);

        goim__session__init(&sessions[n]);
        sessions[n].mid = s->mid;
        sessions[n].session = s->id;
        sessions[n].key.data = s->key.data;
        sessions[n].key.len = s->key.len;
        sessions[n].moves = s->moves;
        sessions[n].age = ngx_current_msec - s->since;

        if (s->room) {
            sessions[n].room.data = s->room->key.data;
            sessions[n].room.len = s->room->key.len;
        }

        s->told = s->moves;
        list[n] = &sessions[n];
    }

    goim__call__init(&call);
    goim__renew__init(&renew);

    call.call_case = GOIM__CALL__CALL_RENEW;
    call.renew = &renew;

    renew.server = (char *) ngx_goim_conf->server_id.data;
    renew.zone = (char *) ngx_goim_zone->id;
    renew.worker = ngx_goim_slot->number;
    renew.sessions = list;
    renew.n_sessions = n;

    p->calls++;

    if (ngx_goim_logic_call(&call, &peer, ngx_goim_renew_reply, r) == NULL) {
        ngx_goim_renew_failed(r, "no logic");
        return NGX_DECLINED;
    }

    for (q = ngx_queue_head(&r->sessions);
         q != ngx_queue_sentinel(&r->sessions);
         q = ngx_queue_next(q))
    {
        s = ngx_queue_data(q, ngx_goim_session_t, wait);

        s->peer = peer;
        ngx_goim_trace(s, "renew logic=%ui", peer);
    }

    return NGX_OK;
}


static void
ngx_goim_renew_reply(void *data, const Goim__Reply *reply)
{
    ngx_goim_renew_t  *r = data;

    ngx_goim_renew_peer_t  *p;

    p = r->peer;

    if (reply && reply->code == GOIM__REPLY__CODE__OK
        && reply->reply_case == GOIM__REPLY__REPLY_RENEWED)
    {
        ngx_goim_renew_done(r, reply->renewed->life);
        ngx_goim_renew_flush(p, p - ngx_goim_renew_peers);
        return;
    }

    ngx_goim_renew_failed(r, reply ? "logic refused" : "logic did not answer");
}


static void
ngx_goim_renew_done(ngx_goim_renew_t *r, uint64_t life)
{
    ngx_queue_t         *q;
    ngx_goim_session_t  *s;

    while (!ngx_queue_empty(&r->sessions)) {
        q = ngx_queue_head(&r->sessions);
        s = ngx_queue_data(q, ngx_goim_session_t, wait);

        ngx_queue_remove(q);

        s->renewing = 0;
        s->life = life;
        s->renew = ngx_current_msec + ngx_goim_jitter(s->renew_interval);

        if (s->moves != s->told && ngx_goim_zone->moves) {
            ngx_goim_renew(s);
        }
    }

    r->peer->calls--;
    ngx_free(r);
}


/* again, soon: what is not renewed in time is not found any more */

static void
ngx_goim_renew_failed(ngx_goim_renew_t *r, const char *why)
{
    ngx_queue_t            *q;
    ngx_goim_session_t     *s;
    ngx_goim_renew_peer_t  *p;

    p = r->peer;

    while (!ngx_queue_empty(&r->sessions)) {
        q = ngx_queue_head(&r->sessions);
        s = ngx_queue_data(q, ngx_goim_session_t, wait);

        ngx_goim_trace(s, "renew failed=\"%s\"", why);

        ngx_queue_remove(q);
        s->renewing = 0;
        ngx_goim_renew(s);
    }

    p->rest = ngx_current_msec + NGX_GOIM_RENEW_REST;
    p->calls--;
    ngx_free(r);
}


/*
 * Round after round through all sessions, until one finds none that this life
 * of Redis does not know.  Who comes in between was stored in it, or says
 * itself that he was not.
 */

static void
ngx_goim_announce(void)
{
    uint64_t             life;
    ngx_uint_t           i, n;
    ngx_queue_t         *q;
    ngx_goim_session_t  *s;

    life = ngx_goim_zone->life;

    if (ngx_goim_slot->announced == life) {
        return;
    }

    if (ngx_goim_round.life != life || ngx_goim_round.left == 0) {
        ngx_goim_round.life = life;
        ngx_goim_round.left = ngx_goim_attached();
        ngx_goim_round.found = 0;
    }

    n = ngx_max(ngx_goim_attached() / NGX_GOIM_ANNOUNCE_TIME,
                NGX_GOIM_ANNOUNCE_MIN);

    for (i = 0; i < n && ngx_goim_round.left; i++) {

        if (ngx_queue_empty(&ngx_goim_sessions)) {
            ngx_goim_round.left = 0;
            break;
        }

        q = ngx_queue_head(&ngx_goim_sessions);
        s = ngx_queue_data(q, ngx_goim_session_t, attached);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ngx_goim_sessions, q);
        ngx_goim_round.left--;

        if (s->authorized && s->life != life) {
            ngx_goim_round.found++;
            ngx_goim_renew(s);
        }
    }

    if (ngx_goim_round.left == 0 && ngx_goim_round.found == 0) {
        ngx_goim_slot->announced = life;
    }
}


/* whether all workers have; who is dead is taken away by the reader */

ngx_uint_t
ngx_goim_announced(uint64_t life)
{
    ngx_uint_t        i;
    ngx_goim_slot_t  *slot;

    for (i = 0; i < ngx_goim_zone->nslots; i++) {
        slot = &ngx_goim_zone->slots[i];

        if (slot->pid && slot->announced != life) {
            return 0;
        }
    }

    return 1;
}


/* Who is not among them has died, but for those that are newer still. */

void
ngx_goim_renew_register(Goim__Register *reg)
{
    ngx_uint_t        i;
    ngx_goim_slot_t  *slot;

    static uint64_t  workers[NGX_GOIM_SLOTS];

    ngx_goim_lock();

    for (i = 0; i < ngx_goim_zone->nslots; i++) {
        slot = &ngx_goim_zone->slots[i];

        if (slot->pid) {
            workers[reg->n_workers++] = slot->number;
        }
    }

    reg->workers = workers;
    reg->worker = ngx_goim_zone->worker;

    ngx_goim_unlock();
}
