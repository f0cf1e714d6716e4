
/*
 * The node's registration with logic, renewed by the worker that holds the
 * lease.
 */


#include "ngx_goim_core.h"


#define NGX_GOIM_REGISTER_RETRY  1000       /* ms */
#define NGX_GOIM_REGISTER_SOON   500
#define NGX_GOIM_REGISTER_SAY    60         /* s between two lines */
#define NGX_GOIM_REGISTER_OTHER  3          /* s before another Redis is one */

/* bytes of a ring's entry around a message */
#define NGX_GOIM_REGISTER_AROUND  (GOIM_RECORD_NAMES + 4096)


static void ngx_goim_register_call(void);
static ngx_int_t ngx_goim_register_info(Goim__Register *reg);
static ngx_uint_t ngx_goim_register_offline(void);
static void ngx_goim_register_changed(void);
static void ngx_goim_register_met(void);
static void ngx_goim_register_late(void);
static void ngx_goim_register_rooms(void);
static void ngx_goim_register_orphan(void);
static void ngx_goim_register_other(const char *error);
static void ngx_goim_register_small(size_t max);
static void ngx_goim_register_reply(void *data, const Goim__Reply *reply);
static void ngx_goim_register_bodies(size_t max);
static size_t ngx_goim_register_room(void);
static void ngx_goim_register_life(uint64_t life);
static void ngx_goim_register_announce(void);
static void ngx_goim_register_announced(void *data,
    const Goim__Reply *reply);
static ngx_int_t ngx_goim_register_refused(const Goim__Reply *reply);
static ngx_int_t ngx_goim_register_replace(const char *holder);
static void ngx_goim_register_timer(ngx_event_t *ev);
static void ngx_goim_register_again(ngx_msec_t delay);
static void ngx_goim_leave_reply(void *data, const Goim__Reply *reply);


typedef struct {
    ngx_event_t             timer;
    ngx_goim_call_t        *call;           /* Register under way */
    ngx_msec_t              sent;           /* when it was */
    ngx_uint_t              offline;        /* as it said */
    uint64_t                rooms;          /* with it */
    time_t                  said;
    time_t                  other;          /* since when Redis differs */
    size_t                  bodies;         /* too large, and said so */
    char                   *replaces;       /* a dead instance, or NULL */

    ngx_goim_call_t        *announce;       /* Announced under way */
    uint64_t                announcing;     /* its life */
    ngx_msec_t              announce_at;    /* not before */

    ngx_goim_call_t        *leave;
    ngx_uint_t              left;
    ngx_uint_t              logics;         /* that were connected */
    unsigned                started:1;
} ngx_goim_register_t;


static ngx_goim_register_t  ngx_goim_register;


void
ngx_goim_register_start(void)
{
    ngx_goim_register_t  *g;

    g = &ngx_goim_register;

    if (g->started) {
        return;
    }

    g->started = 1;
    g->timer.handler = ngx_goim_register_timer;
    g->timer.log = ngx_cycle->log;
    g->timer.data = &ngx_goim_no_connection;
    g->timer.cancelable = 1;

    ngx_goim_register_call();
}


void
ngx_goim_register_stop(void)
{
    ngx_goim_register_t  *g;

    g = &ngx_goim_register;
    g->started = 0;

    if (g->timer.timer_set) {
        ngx_del_timer(&g->timer);
    }

    if (g->call) {
        ngx_goim_logic_cancel(g->call);
        g->call = NULL;
    }

    if (g->announce) {
        ngx_goim_logic_cancel(g->announce);
        g->announce = NULL;
    }

    ngx_goim_online_end();
}


static void
ngx_goim_register_call(void)
{
    ngx_uint_t            peer;
    Goim__Call            call;
    Goim__Register        reg;
    ngx_goim_register_t  *g;

    g = &ngx_goim_register;

    if (ngx_goim_logic_starting() || ngx_goim_register_info(&reg) != NGX_OK) {
        ngx_goim_register_again(NGX_GOIM_TICK);
        return;
    }

    goim__call__init(&call);

    call.call_case = GOIM__CALL__CALL_REGISTER;
    call.register_ = &reg;

    if (g->replaces) {
        reg.replaces = g->replaces;
    }

    ngx_goim_renew_register(&reg);
    ngx_goim_vouch_register(&reg);
    g->rooms = reg.rooms;

    reg.seen = ngx_goim_zone->registration.seen;
    reg.redis_run_id = (char *) ngx_goim_reader_run_id();
    reg.redis_db = ngx_goim_conf->redis_db;

    if (ngx_goim_conf->redis_prefix.len) {
        reg.redis_prefix = (char *) ngx_goim_conf->redis_prefix.data;
    }

    peer = NGX_GOIM_LOGIC_ANY;
    g->sent = ngx_current_msec;
    g->offline = reg.offline;
    g->call = ngx_goim_logic_call(&call, &peer, ngx_goim_register_reply,
                                  NULL);
    if (reg.addrs) {
        ngx_free(reg.addrs);
    }

    if (g->call == NULL) {
        ngx_goim_register_again(NGX_GOIM_TICK);
    }
}


/* What the node says of itself; addrs are to be freed. */

static ngx_int_t
ngx_goim_register_info(Goim__Register *reg)
{
    ngx_str_t        *addr;
    ngx_uint_t        i;
    ngx_goim_conf_t  *gcf;
    ngx_goim_stats_t  st;

    static u_char  hostname[NGX_MAXHOSTNAMELEN + 1];
    static u_char  read[sizeof(st.stream_id)];

    gcf = ngx_goim_conf;

    goim__register__init(reg);

    if (gcf->addrs.nelts) {
        reg->addrs = ngx_alloc(gcf->addrs.nelts * sizeof(char *),
                               ngx_cycle->log);
        if (reg->addrs == NULL) {
            return NGX_ERROR;
        }
    }

    addr = gcf->addrs.elts;

    for (i = 0; i < gcf->addrs.nelts; i++) {
        reg->addrs[i] = (char *) addr[i].data;
    }

    reg->n_addrs = gcf->addrs.nelts;

    ngx_memzero(&st, sizeof(st));
    ngx_goim_get_stats(&st);

    /* nginx keeps it without a final NUL */

    ngx_cpystrn(hostname, ngx_cycle->hostname.data,
                ngx_min(ngx_cycle->hostname.len, NGX_MAXHOSTNAMELEN) + 1);

    reg->server = (char *) gcf->server_id.data;
    reg->zone = (char *) ngx_goim_zone->id;
    reg->instance = (char *) ngx_goim_instance();
    reg->region = (char *) gcf->region.data;
    reg->zone_name = (char *) gcf->zone_name.data;
    reg->env = (char *) gcf->env.data;
    reg->hostname = (char *) hostname;
    reg->version = NGX_GOIM_VERSION;
    reg->weight = gcf->weight;
    reg->conn_count = st.sessions;
    reg->ip_count = st.addrs;
    reg->started = ngx_goim_zone->started;
    reg->life = ngx_goim_zone->announced;
    reg->max_body = ngx_goim_register_room();

    ngx_memcpy(read, st.stream_id, sizeof(read));
    reg->read = (char *) read;

    /* who is about to stop gets no new clients */

    reg->offline = ngx_goim_register_offline();

    return NGX_OK;
}


static void
ngx_goim_register_reply(void *data, const Goim__Reply *reply)
{
    const Goim__Registered  *in;

    ngx_goim_register.call = NULL;

    if (reply && reply->code == GOIM__REPLY__CODE__REFUSED) {
        ngx_goim_register_again(ngx_goim_register_refused(reply) == NGX_AGAIN
                                ? 1 : NGX_GOIM_REGISTER_RETRY);
        return;
    }

    ngx_goim_register.other = 0;

    if (reply == NULL || reply->code != GOIM__REPLY__CODE__OK
        || reply->reply_case != GOIM__REPLY__REPLY_REGISTERED
        || reply->registered->renew == 0)
    {
        ngx_goim_register_again(NGX_GOIM_REGISTER_RETRY);
        return;
    }

    in = reply->registered;
    ngx_goim_register_replace(NULL);

    if (!ngx_goim_lease_held()) {
        return;
    }

    if (!ngx_goim_registered()) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "goim: node \"%V\" is registered, zone %s",
                      &ngx_goim_conf->server_id, ngx_goim_zone->id);
    }

    ngx_goim_register_bodies(in->max_body);
    ngx_goim_lapse_check(in, ngx_goim_register.sent);

    ngx_goim_zone->registration.renew = in->renew;
    ngx_goim_zone->registration.ttl = in->ttl;
    ngx_goim_register_renewed(ngx_goim_register.sent);

    ngx_goim_zone->moves = in->moves;
    ngx_goim_register_life(in->life);
    ngx_goim_timelines_stamp(in->stamp);
    ngx_goim_vouch_registered(in, ngx_goim_register.sent,
                              ngx_goim_register.rooms);
    ngx_goim_register_again(in->renew);
    ngx_goim_auth_registered();

    if (!ngx_goim_register.left) {
        ngx_goim_online_start();
    }
}


/*
 * What logic lets push must fit into the ring.  A node of which it does not is
 * not let in (see ngx_goim_register_refused()); one that was there before
 * remains, and logic takes no longer messages than it does.
 */

static void
ngx_goim_register_bodies(size_t max)
{
    ngx_goim_register_t  *g;

    g = &ngx_goim_register;

    if (max > ngx_goim_register_room() && max > g->bodies) {
        g->bodies = max;

        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "goim: \"max_body\" of logic is %uz, zone \"%V\" takes "
                      "messages of %uz at most: no longer ones are pushed",
                      max, &ngx_goim_conf->shm_zone->shm.name,
                      ngx_goim_register_room());
    }
}


/* bytes of the longest message that goes into the ring */

static size_t
ngx_goim_register_room(void)
{
    size_t  max;

    max = ngx_goim_ring_max(ngx_goim_zone->ring);

    return max - ngx_min(max, NGX_GOIM_REGISTER_AROUND);
}


void
ngx_goim_register_renewed(ngx_msec_t sent)
{
    ngx_goim_registration_t  *reg;

    reg = &ngx_goim_zone->registration;

    reg->renewed = sent;
    ngx_memory_barrier();
    reg->confirmed = 1;
}


u_char *
ngx_goim_register_entry(size_t *len)
{
    u_char          *p;
    Goim__Node       node;
    ngx_time_t      *tp;
    Goim__Register   reg;

    if (ngx_goim_register_info(&reg) != NGX_OK) {
        return NULL;
    }

    tp = ngx_timeofday();

    goim__node__init(&node);

    node.info = &reg;
    node.seen = (uint64_t) tp->sec * 1000 + tp->msec;

    *len = goim__node__get_packed_size(&node);
    p = ngx_alloc(*len, ngx_cycle->log);

    if (p) {
        (void) goim__node__pack(&node, p);
    }

    if (reg.addrs) {
        ngx_free(reg.addrs);
    }

    return p;
}


/*
 * A new life of Redis may lack the sessions of this zone: each worker tells
 * logic of its own again, and when all have, logic is told that, too.  A zone
 * that has never heard of one has let nobody in.
 */

static void
ngx_goim_register_life(uint64_t life)
{
    if (life == 0 || life == ngx_goim_zone->life) {
        return;
    }

    if (ngx_goim_zone->life == 0) {
        ngx_goim_zone->announced = life;

    } else {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "goim: another life of Redis, sessions are announced "
                      "again");
        ngx_goim_zone->reported = 0;
        ngx_goim_suspect();
    }

    ngx_goim_zone->life = life;
}


static void
ngx_goim_register_announce(void)
{
    ngx_uint_t              peer;
    Goim__Call              call;
    Goim__Announced         announced;
    ngx_goim_register_t    *g;

    g = &ngx_goim_register;

    if (!g->started || g->announce
        || ngx_goim_zone->announced == ngx_goim_zone->life
        || (ngx_msec_int_t) (ngx_current_msec - g->announce_at) < 0
        || !ngx_goim_announced(ngx_goim_zone->life))
    {
        return;
    }

    goim__call__init(&call);
    goim__announced__init(&announced);

    call.call_case = GOIM__CALL__CALL_ANNOUNCED;
    call.announced = &announced;

    announced.server = (char *) ngx_goim_conf->server_id.data;
    announced.zone = (char *) ngx_goim_zone->id;
    announced.life = ngx_goim_zone->life;

    peer = NGX_GOIM_LOGIC_ANY;

    g->announcing = announced.life;
    g->announce_at = ngx_current_msec + NGX_GOIM_REGISTER_RETRY;
    g->announce = ngx_goim_logic_call(&call, &peer,
                                      ngx_goim_register_announced, NULL);
}


static void
ngx_goim_register_announced(void *data, const Goim__Reply *reply)
{
    ngx_goim_register.announce = NULL;

    if (reply && reply->code == GOIM__REPLY__CODE__OK) {
        ngx_goim_zone->announced = ngx_goim_register.announcing;
    }
}


/*
 * NGX_AGAIN: the holder is dead, its place is taken.  Only who has never been
 * registered takes one: an instance that has lost its place was replaced.
 */

static ngx_int_t
ngx_goim_register_refused(const Goim__Reply *reply)
{
    size_t       max;
    const char  *holder;

    max = 0;
    holder = "unknown";

    if (reply->reply_case == GOIM__REPLY__REPLY_REGISTERED) {
        holder = reply->registered->holder;
        max = reply->registered->max_body;
    }

    if (*holder == '\0') {

        if (max > ngx_goim_register_room()) {
            ngx_goim_register_small(max);

        } else {
            ngx_goim_register_other(reply->error);
        }

        return NGX_OK;
    }

    ngx_goim_zone->registration.confirmed = 0;

    if (ngx_goim_zone->registration.renew == 0
        && ngx_goim_instance_dead(holder)
        && (ngx_goim_register.replaces == NULL
            || ngx_strcmp(ngx_goim_register.replaces, holder) != 0))
    {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "goim: \"server_id\" %V was held by %V, which is dead",
                      &ngx_goim_conf->server_id,
                      ngx_goim_trace_string(holder));

        return ngx_goim_register_replace(holder);
    }

    if (ngx_time() - ngx_goim_register.said < NGX_GOIM_REGISTER_SAY) {
        return NGX_OK;
    }

    ngx_goim_register.said = ngx_time();

    if (ngx_goim_instance_orphan()) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "goim: \"server_id\" %V is held by a successor (%V)",
                      &ngx_goim_conf->server_id,
                      ngx_goim_trace_string(holder));
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, ngx_cycle->log, 0,
                  "goim: \"server_id\" %V is held by another live instance "
                  "(%V): no client is let in", &ngx_goim_conf->server_id,
                  ngx_goim_trace_string(holder));

    return NGX_OK;
}


/*
 * Logic has another Redis than this node, another database or prefix: what is
 * pushed would never arrive.  While Redis restarts or fails over the two may
 * differ for a moment.
 */

static void
ngx_goim_register_other(const char *error)
{
    ngx_goim_register_t  *g;

    g = &ngx_goim_register;

    if (g->other == 0) {
        g->other = ngx_time();
    }

    if (ngx_time() - g->other < NGX_GOIM_REGISTER_OTHER
        || ngx_time() - g->said < NGX_GOIM_REGISTER_SAY)
    {
        return;
    }

    g->said = ngx_time();

    ngx_log_error(NGX_LOG_EMERG, ngx_cycle->log, 0,
                  "goim: \"redis\" is not the one of logic, no client is let "
                  "in: %V", ngx_goim_trace_string(error));
}


static void
ngx_goim_register_small(size_t max)
{
    size_t  enough;

    if (ngx_time() - ngx_goim_register.said < NGX_GOIM_REGISTER_SAY) {
        return;
    }

    ngx_goim_register.said = ngx_time();

    /* half of the zone is ring, an entry a quarter of that */

    enough = (max + NGX_GOIM_REGISTER_AROUND) * 8 / 1048576 + 1;

    ngx_log_error(NGX_LOG_EMERG, ngx_cycle->log, 0,
                  "goim: \"max_body\" of logic is %uz, zone \"%V\" takes "
                  "messages of %uz at most, no client is let in: make the "
                  "zone %uzm, or \"max_body\" less", max,
                  &ngx_goim_conf->shm_zone->shm.name,
                  ngx_goim_register_room(), enough);
}


static ngx_int_t
ngx_goim_register_replace(const char *holder)
{
    size_t                len;
    ngx_goim_register_t  *g;

    g = &ngx_goim_register;

    if (g->replaces) {
        ngx_free(g->replaces);
        g->replaces = NULL;
    }

    if (holder == NULL) {
        return NGX_OK;
    }

    len = ngx_strlen(holder) + 1;
    g->replaces = ngx_alloc(len, ngx_cycle->log);

    if (g->replaces == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(g->replaces, holder, len);

    return NGX_AGAIN;
}


void
ngx_goim_register_tick(void)
{
    ngx_goim_register_changed();
    ngx_goim_register_met();
    ngx_goim_register_late();
    ngx_goim_register_rooms();
    ngx_goim_register_announce();
    ngx_goim_register_orphan();
}


static ngx_uint_t
ngx_goim_register_offline(void)
{
    return ngx_goim_conf->offline || ngx_goim_zone->drain || ngx_exiting;
}


/* what sends clients elsewhere is not left to the next renewal */

static void
ngx_goim_register_changed(void)
{
    ngx_goim_register_t  *g;

    g = &ngx_goim_register;

    if (g->started && g->call == NULL && ngx_goim_registered()
        && g->offline != ngx_goim_register_offline())
    {
        ngx_goim_register_again(1);
    }
}


/*
 * A logic that has just begun may have begun with an empty Redis, and take it
 * for a new installation: it hears at once that it is none.  Nodes don't do
 * that all at the same time.
 */

static void
ngx_goim_register_met(void)
{
    ngx_uint_t            logics;
    ngx_goim_register_t  *g;

    g = &ngx_goim_register;
    logics = ngx_goim_logic_up();

    if (logics > g->logics && g->started && g->call == NULL
        && ngx_goim_registered())
    {
        ngx_goim_register_again(ngx_random() % NGX_GOIM_REGISTER_SOON);
    }

    g->logics = logics;
}


/*
 * Logic cannot be told, or cannot tell Redis.  As long as Redis is in reach
 * of this worker the node is there, and says so itself.  Once its time has
 * passed that is no use: others took it for gone, and only logic can say what
 * it missed.
 */

static void
ngx_goim_register_late(void)
{
    ngx_goim_registration_t  *reg;

    reg = &ngx_goim_zone->registration;

    if (ngx_goim_register.started && ngx_goim_registered()
        && ngx_current_msec - reg->renewed >= reg->renew + reg->renew / 4
        && ngx_goim_lease_held())
    {
        ngx_goim_reader_renew();
    }
}


/* That all rooms are listed, or not any more, is told soon. */

static void
ngx_goim_register_rooms(void)
{
    ngx_goim_register_t  *g;

    g = &ngx_goim_register;

    if (g->started && g->call == NULL && ngx_goim_registered()
        && ngx_goim_vouch_news()
        && ngx_current_msec - g->sent >= NGX_GOIM_REGISTER_RETRY)
    {
        if (g->timer.timer_set) {
            ngx_del_timer(&g->timer);
        }

        ngx_goim_register_call();
    }
}


/*
 * A worker without a master whose node is another's now can let nobody in, and
 * is told to stop by nobody: it stops by itself, as on QUIT.  Its sessions stay
 * as long as they would then.
 */

static void
ngx_goim_register_orphan(void)
{
    if (ngx_quit || ngx_exiting || ngx_goim_zone->registration.confirmed
        || ngx_goim_zone->registration.renew == 0
        || !ngx_goim_instance_orphan())
    {
        return;
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "goim: this worker's master is gone and its node was "
                  "replaced: it takes no connections any more");

    ngx_quit = 1;
}


static void
ngx_goim_register_again(ngx_msec_t delay)
{
    if (ngx_goim_register.started) {
        ngx_add_timer(&ngx_goim_register.timer, delay);
    }
}


static void
ngx_goim_register_timer(ngx_event_t *ev)
{
    ngx_goim_register_call();
}


/* ---- a clean stop ---- */

ngx_int_t
ngx_goim_register_leave(void)
{
    ngx_uint_t            peer;
    Goim__Call            call;
    Goim__Deregister      dereg;
    ngx_goim_register_t  *g;

    g = &ngx_goim_register;

    if (g->left || !ngx_goim_zone->registration.confirmed) {
        return g->leave ? NGX_AGAIN : NGX_OK;
    }

    g->left = 1;
    ngx_goim_zone->registration.confirmed = 0;
    ngx_goim_register_stop();

    goim__call__init(&call);
    goim__deregister__init(&dereg);

    call.call_case = GOIM__CALL__CALL_DEREGISTER;
    call.deregister = &dereg;

    dereg.server = (char *) ngx_goim_conf->server_id.data;
    dereg.zone = (char *) ngx_goim_zone->id;

    peer = NGX_GOIM_LOGIC_ANY;

    g->leave = ngx_goim_logic_call(&call, &peer, ngx_goim_leave_reply, NULL);

    return g->leave ? NGX_AGAIN : NGX_OK;
}


static void
ngx_goim_leave_reply(void *data, const Goim__Reply *reply)
{
    ngx_goim_register.leave = NULL;

    if (reply && reply->code == GOIM__REPLY__CODE__OK) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "goim: node \"%V\" left the registry",
                      &ngx_goim_conf->server_id);
    }
}
