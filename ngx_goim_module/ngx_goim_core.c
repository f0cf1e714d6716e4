
/*
 * The block goim { }: its directives, and the life of a worker.
 */


#include "ngx_goim_core.h"

#include <sys/eventfd.h>

#if (defined __GLIBC__)
#include <malloc.h>
#endif


#define NGX_GOIM_LEAVE_TICK     20          /* ms */

/* without a slot: ms until the next try, s between two lines about it */
#define NGX_GOIM_BEGIN_RETRY    1000
#define NGX_GOIM_BEGIN_SAY      60
#define NGX_GOIM_TRIM_ENDED     1024        /* sessions, at least */
#define NGX_GOIM_TRIM_WAIT      10          /* s */
#define NGX_GOIM_REAP           10          /* ticks */


static ngx_int_t ngx_goim_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_goim_init_process(ngx_cycle_t *cycle);
static void ngx_goim_begin(ngx_event_t *ev);
static void ngx_goim_exit_process(ngx_cycle_t *cycle);

static ngx_int_t ngx_goim_wake_listen(ngx_cycle_t *cycle);
static void ngx_goim_wake_handler(ngx_event_t *rev);
static void ngx_goim_tick(ngx_event_t *ev);
static void ngx_goim_tick_lease(void);
static void ngx_goim_tick_memory(void);
static void ngx_goim_leave_start(void);
static void ngx_goim_leave_timer(ngx_event_t *ev);
static ngx_uint_t ngx_goim_left(void);
static ngx_uint_t ngx_goim_last(void);


static ngx_core_module_t  ngx_goim_module_ctx = {
    ngx_string("goim"),
    ngx_goim_create_conf,
    ngx_goim_init_conf
};


ngx_module_t  ngx_goim_module = {
    NGX_MODULE_V1,
    &ngx_goim_module_ctx,                   /* module context */
    ngx_goim_commands,                      /* module directives */
    NGX_CORE_MODULE,                        /* module type */
    NULL,                                   /* init master */
    ngx_goim_init_module,                   /* init module */
    ngx_goim_init_process,                  /* init process */
    NULL,                                   /* init thread */
    NULL,                                   /* exit thread */
    ngx_goim_exit_process,                  /* exit process */
    NULL,                                   /* exit master */
    NGX_MODULE_V1_PADDING
};


const ngx_uint_t          NGX_GOIM_ABI = 1;

ngx_goim_conf_t          *ngx_goim_conf;
ngx_connection_t          ngx_goim_no_connection;

static ngx_connection_t  *ngx_goim_wake_connection;
static ngx_event_t        ngx_goim_tick_event;
static ngx_event_t        ngx_goim_leave_event;
static ngx_uint_t         ngx_goim_ticks;
static ngx_uint_t         ngx_goim_generation;
static ngx_msec_t         ngx_goim_empty_since;
static unsigned           ngx_goim_reading;


ngx_goim_conf_t *
ngx_goim_get_conf(ngx_cycle_t *cycle)
{
    ngx_goim_conf_t  *gcf;

    gcf = (ngx_goim_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_goim_module);

    return gcf && gcf->enabled ? gcf : NULL;
}


/* In the master, when a configuration is taken: workers of before know by the
   number that they have successors. */

static ngx_int_t
ngx_goim_init_module(ngx_cycle_t *cycle)
{
    ngx_goim_conf_t  *gcf;
    ngx_goim_zone_t  *zone;

    gcf = ngx_goim_get_conf(cycle);

    if (gcf && gcf->shm_zone->data) {
        zone = gcf->shm_zone->data;
        zone->generation++;

        ngx_goim_trace_configure(gcf);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_goim_init_process(ngx_cycle_t *cycle)
{
    ngx_goim_conf_t  *gcf;

    gcf = ngx_goim_get_conf(cycle);

    if (gcf == NULL
        || (ngx_process != NGX_PROCESS_WORKER
            && ngx_process != NGX_PROCESS_SINGLE))
    {
        return NGX_OK;
    }

    ngx_goim_conf = gcf;
    ngx_goim_zone = gcf->shm_zone->data;
    ngx_goim_shpool = (ngx_slab_pool_t *) gcf->shm_zone->shm.addr;
    ngx_goim_no_connection.fd = (ngx_socket_t) -1;

    ngx_goim_lock_init(ngx_goim_attach_contribute);

    ngx_goim_instance_start(cycle);
    ngx_goim_attach_init();
    ngx_goim_auth_init();
    ngx_goim_lapse_init();
    ngx_goim_end_init(cycle->log);
    ngx_goim_queue_init();

    if (ngx_goim_session_init(cycle->log) != NGX_OK
        || ngx_goim_disconnect_init() != NGX_OK
        || ngx_goim_renew_init() != NGX_OK
        || ngx_goim_room_init(cycle->log) != NGX_OK
        || ngx_goim_enter_init(cycle->log) != NGX_OK
        || ngx_goim_inboxes_init(cycle->log) != NGX_OK
        || ngx_goim_fanout_init(cycle->log) != NGX_OK
        || ngx_goim_logic_init(gcf, ngx_goim_zone->id) != NGX_OK
        || ngx_goim_wake_listen(cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_goim_timelines_init(cycle->log);
    ngx_goim_pushes_init();

    ngx_goim_trace_init();

    ngx_goim_tick_event.handler = ngx_goim_begin;
    ngx_goim_tick_event.log = cycle->log;
    ngx_goim_tick_event.data = &ngx_goim_no_connection;
    ngx_goim_tick_event.cancelable = 1;

    ngx_goim_leave_event.handler = ngx_goim_leave_timer;
    ngx_goim_leave_event.log = cycle->log;
    ngx_goim_leave_event.data = &ngx_goim_no_connection;

    ngx_goim_generation = ngx_goim_zone->generation;
    ngx_goim_begin(&ngx_goim_tick_event);

    return NGX_OK;
}


/*
 * A worker lets clients in as soon as it has a slot.  While leaving workers of
 * before have all of them it asks again; not when it is about to leave itself.
 */

static void
ngx_goim_begin(ngx_event_t *ev)
{
    static time_t  said;

    if (ngx_exiting || ngx_goim_generation != ngx_goim_zone->generation) {
        return;
    }

    if (ngx_goim_slot_take(ev->log) == NGX_OK) {
        ev->handler = ngx_goim_tick;
        ngx_add_timer(ev, 1);
        return;
    }

    if (said == 0 || ngx_time() - said >= NGX_GOIM_BEGIN_SAY) {
        said = ngx_time();

        ngx_log_error(NGX_LOG_ERR, ev->log, 0,
                      "goim: all %d worker slots of the zone are taken, this "
                      "worker lets nobody in until one is free",
                      NGX_GOIM_SLOTS);
    }

    ngx_add_timer(ev, ngx_goim_jitter(NGX_GOIM_BEGIN_RETRY));
}


/* The slot is free for a successor's count, the links are closed: a socket
   left open would be an alert. */

static void
ngx_goim_exit_process(ngx_cycle_t *cycle)
{
    if (ngx_goim_conf == NULL) {
        return;
    }

    if (ngx_goim_slot && ngx_goim_last()) {
        (void) ngx_goim_register_leave();
    }

    if (ngx_goim_reading) {
        ngx_goim_reader_stop();
        ngx_goim_reading = 0;
    }

    ngx_goim_logic_close();

    if (ngx_goim_wake_connection) {
        ngx_close_connection(ngx_goim_wake_connection);
        ngx_goim_wake_connection = NULL;
    }

    if (ngx_goim_slot) {
        ngx_goim_lock();
        ngx_goim_slot_release(ngx_goim_slot_n);
        ngx_goim_unlock();
    }
}


static ngx_int_t
ngx_goim_wake_listen(ngx_cycle_t *cycle)
{
    ngx_fd_t           fd;
    ngx_connection_t  *c;

    /* a worker has one; a descriptor that this process may close */

    fd = dup(ngx_goim_conf->eventfds[ngx_worker % ngx_goim_conf->workers]);

    if (fd == -1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno, "dup() failed");
        return NGX_ERROR;
    }

    c = ngx_get_connection(fd, cycle->log);

    if (c == NULL) {
        (void) close(fd);
        return NGX_ERROR;
    }

    c->read->handler = ngx_goim_wake_handler;
    c->read->log = cycle->log;
    c->write->log = cycle->log;

    /* its handler is called when a shutdown begins */

    c->idle = 1;
    ngx_goim_wake_connection = c;

    return ngx_add_event(c->read, NGX_READ_EVENT,
                         ngx_event_flags & NGX_USE_CLEAR_EVENT
                         ? NGX_CLEAR_EVENT : NGX_LEVEL_EVENT);
}


static void
ngx_goim_wake_handler(ngx_event_t *rev)
{
    uint64_t           n;
    ngx_connection_t  *c;

    c = rev->data;

    if (c->close) {
        ngx_close_connection(c);
        ngx_goim_wake_connection = NULL;
        ngx_goim_leave_start();
        return;
    }

    while (read(c->fd, &n, sizeof(uint64_t)) == sizeof(uint64_t)) {
        /* void */
    }

    if (ngx_goim_slot) {
        ngx_goim_deliver_follow();
    }
}


/*
 * Those of this generation have an eventfd that we know; others poll.  Who
 * was told and has not looked yet need not be told again.
 */

void
ngx_goim_wake(uint64_t *mask)
{
    uint64_t          one;
    ngx_uint_t        i;
    ngx_goim_slot_t  *slot;

    one = 1;

    for (i = 0; i < NGX_GOIM_SLOTS; i++) {

        if (!(mask[i / 64] & (uint64_t) 1 << i % 64)) {
            continue;
        }

        slot = &ngx_goim_zone->slots[i];

        if (slot == ngx_goim_slot || slot->pid == 0
            || slot->generation != ngx_goim_slot->generation
            || slot->worker >= ngx_goim_conf->workers)
        {
            continue;
        }

        if (ngx_atomic_cmp_set(&slot->notified, 0, 1)
            && write(ngx_goim_conf->eventfds[slot->worker], &one,
                     sizeof(uint64_t)) == -1
            && ngx_errno != NGX_EAGAIN)
        {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                          "goim: write() to an eventfd failed");
        }
    }

    if (mask[ngx_goim_slot_n / 64] & (uint64_t) 1 << ngx_goim_slot_n % 64) {
        ngx_goim_deliver_follow();
    }
}


static void
ngx_goim_tick(ngx_event_t *ev)
{
    ngx_goim_slot_beat();
    ngx_goim_lock_tick();
    ngx_goim_tick_lease();
    ngx_goim_auth_registered();
    ngx_goim_disconnect_retry();
    ngx_goim_renew_tick();
    ngx_goim_missing_report();
    ngx_goim_canary_report();
    ngx_goim_zone_say(ev->log);
    ngx_goim_register_tick();
    ngx_goim_enter_tick();
    ngx_goim_vouch_tick();
    ngx_goim_lapse_tick();
    ngx_goim_end_tick();
    ngx_goim_drain_tick();
    ngx_goim_timelines_tick();

    /* a wake-up can get lost with the worker that owed it */

    ngx_goim_deliver_follow();

    if (++ngx_goim_ticks % NGX_GOIM_REAP == 0) {

        if (ngx_goim_reading) {
            ngx_goim_slot_reap(ev->log);
        }

        ngx_goim_tick_memory();
    }

    ngx_add_timer(ev, NGX_GOIM_TICK);
}


/*
 * What many sessions held goes back to the system when more have ended than are
 * left: free memory between what is still used stays in the heap otherwise.
 * That takes a while, so it is done when no more are ending, or seldom.
 */

static void
ngx_goim_tick_memory(void)
{
    uint64_t           closed;
    static uint64_t    trimmed, before;
    static ngx_uint_t  waited;

    closed = ngx_goim_slot->counters[NGX_GOIM_C_closed];

    if (closed - trimmed < NGX_GOIM_TRIM_ENDED + ngx_goim_attached()) {
        return;
    }

    if ((closed != before || ngx_goim_disconnect_pending())
        && ++waited < NGX_GOIM_TRIM_WAIT)
    {
        before = closed;
        return;
    }

    trimmed = closed;
    waited = 0;

#if (defined __GLIBC__)
    (void) malloc_trim(0);
#endif
}


static void
ngx_goim_tick_lease(void)
{
    ngx_uint_t  taken;

    if (ngx_goim_reading && !ngx_goim_lease_held()) {
        ngx_goim_reading = 0;
        ngx_goim_reader_stop();
    }

    if (ngx_goim_slot->leaving == NGX_GOIM_LEFT
        || ngx_goim_lease_try(ngx_goim_tick_event.log, &taken) != NGX_OK
        || !taken)
    {
        return;
    }

    ngx_goim_reading = 1;
    ngx_goim_reader_start();
}


/*
 * A shutdown begins.  With a newer generation its workers take over at once;
 * without one, this is a stop, and who has sessions goes on serving them.
 */

static void
ngx_goim_leave_start(void)
{
    if (ngx_goim_slot == NULL) {
        return;
    }

    ngx_goim_slot->leaving = NGX_GOIM_LEAVING;

    if (ngx_goim_slot->generation != ngx_goim_zone->generation
        && ngx_goim_reading)
    {
        ngx_goim_reading = 0;
        ngx_goim_reader_stop();
        ngx_goim_lease_release();
    }

    ngx_add_timer(&ngx_goim_leave_event, NGX_GOIM_LEAVE_TICK);
}


/* the one timer that keeps an exiting worker alive */

static void
ngx_goim_leave_timer(ngx_event_t *ev)
{
    ngx_goim_slot_beat();
    ngx_goim_deliver_follow();
    ngx_goim_timelines_tick();
    ngx_goim_drain_tick();

    if (!ngx_goim_left()) {
        ngx_add_timer(ev, NGX_GOIM_LEAVE_TICK);
        return;
    }

    if (ngx_goim_reading) {
        ngx_goim_reading = 0;
        ngx_goim_reader_stop();
        ngx_goim_lease_release();
    }

    if (ngx_goim_tick_event.timer_set) {
        ngx_del_timer(&ngx_goim_tick_event);
    }
}


/* No sessions, and logic knows it, or had its time to. */

static ngx_uint_t
ngx_goim_left(void)
{
    ngx_msec_t  heard;
    ngx_uint_t  late;

    if (ngx_goim_attached()) {
        ngx_goim_empty_since = 0;
        return 0;
    }

    if (ngx_goim_empty_since == 0) {
        ngx_goim_empty_since = ngx_current_msec;
    }

    /* as long as logic goes on taking what it is told */

    heard = ngx_goim_disconnect_heard();

    if ((ngx_msec_int_t) (heard - ngx_goim_empty_since) < 0) {
        heard = ngx_goim_empty_since;
    }

    late = ngx_current_msec - heard > ngx_goim_conf->logic_timeout;

    if (ngx_goim_disconnect_pending() && !late) {
        return 0;
    }

    return !ngx_goim_last() || ngx_goim_register_leave() == NGX_OK || late;
}


/* whether the last worker of a node that stops is this one */

static ngx_uint_t
ngx_goim_last(void)
{
    ngx_uint_t        i, last;
    ngx_goim_slot_t  *slot;

    last = ngx_goim_slot->generation == ngx_goim_zone->generation;

    ngx_goim_lock();

    ngx_goim_slot->leaving = NGX_GOIM_LEFT;

    for (i = 0; i < NGX_GOIM_SLOTS && last; i++) {
        slot = &ngx_goim_zone->slots[i];

        if (slot->pid && slot->leaving != NGX_GOIM_LEFT
            && !ngx_goim_process_dead(slot->pid))
        {
            last = 0;
        }
    }

    ngx_goim_unlock();

    return last;
}
