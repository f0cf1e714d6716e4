
/*
 * Timelines of one worker: the time and the calls to logic that the rule asks
 * for, and what makes it doubt that all came by.
 */


#include "ngx_goim_follow.h"

#include "common/goim_hash.h"


#define NGX_GOIM_ANNOUNCING     5000    /* ms */


static void ngx_goim_timelines_announcing(void);
static ngx_str_t ngx_goim_timeline_epoch(ngx_goim_record_t *rec);
static void ngx_goim_timelines_handler(ngx_event_t *ev);
static void ngx_goim_timelines_wake(goim_timelines_t *w);
static void ngx_goim_timeline_free(goim_timeline_t *tl);
static int ngx_goim_timeline_read(goim_read_t *r);
static void ngx_goim_timeline_page(void *data, const Goim__Reply *reply);
static goim_read_status_e ngx_goim_timeline_items(goim_epoch_t *epoch,
    const Goim__Page *page, const goim_read_t *read, goim_run_t **run,
    uint64_t *first);
static uint32_t ngx_goim_timeline_rooms(goim_heads_t *h);
static int ngx_goim_timeline_heads(goim_heads_t *h);
static void ngx_goim_timeline_headed(void *data, const Goim__Reply *reply);
static void *ngx_goim_timelines_alloc(size_t size);
static void ngx_goim_timelines_release(void *p);


static const goim_timelines_ops_t  ngx_goim_timelines_ops = {
    ngx_goim_follow_send,
    ngx_goim_follow_tell,
    ngx_goim_follow_queued,
    ngx_goim_timeline_read,
    ngx_goim_timeline_heads,
    ngx_goim_timelines_wake,
    ngx_goim_run_free,
    ngx_goim_timeline_free,
    ngx_goim_timelines_alloc,
    ngx_goim_timelines_release
};


goim_timelines_t                 ngx_goim_timelines;

static ngx_queue_t               ngx_goim_followed;     /* timelines */
static ngx_event_t               ngx_goim_timelines_event;
static ngx_uint_t                ngx_goim_timelines_known;
static ngx_atomic_uint_t         ngx_goim_suspicions;
static uint64_t                  ngx_goim_timelines_life;
static ngx_msec_t                ngx_goim_timelines_asked;


void
ngx_goim_timelines_init(ngx_log_t *log)
{
    uint64_t      seed[2];
    ngx_event_t  *ev;

    ngx_queue_init(&ngx_goim_followed);

    ev = &ngx_goim_timelines_event;

    ev->handler = ngx_goim_timelines_handler;
    ev->log = log;
    ev->data = &ngx_goim_no_connection;
    ev->cancelable = 1;

    /* workers are not to ask for heads in one moment */

    seed[0] = ngx_goim_zone->seed[0] ^ (uint64_t) ngx_pid << 32;
    seed[1] = ngx_goim_zone->seed[1] ^ (uint64_t) ngx_random();

    goim_timelines_init(&ngx_goim_timelines, &ngx_goim_timelines_ops,
                        (uint32_t) ngx_current_msec, seed);

    ngx_goim_suspicions = ngx_goim_zone->suspicions;
}


/* ---- time ---- */

static void
ngx_goim_timelines_wake(goim_timelines_t *w)
{
    ngx_post_event(&ngx_goim_timelines_event, &ngx_posted_events);
}


static void
ngx_goim_timelines_handler(ngx_event_t *ev)
{
    uint32_t  next;

    ngx_goim_timelines_time();

    next = goim_timelines_run(&ngx_goim_timelines);

    /* one that is set is moved only by much */

    if (ev->timer_set) {
        ngx_del_timer(ev);
    }

    if (!ngx_queue_empty(&ngx_goim_followed)) {
        ngx_add_timer(ev, next);
    }
}


void
ngx_goim_timelines_tick(void)
{
    ngx_uint_t            known;
    ngx_queue_t          *q;
    ngx_atomic_uint_t     suspicions;
    ngx_goim_timeline_t  *tl;

    ngx_goim_timelines_announcing();

    known = ngx_goim_registered();
    suspicions = ngx_goim_zone->suspicions;

    if (known == ngx_goim_timelines_known
        && suspicions == ngx_goim_suspicions)
    {
        return;
    }

    ngx_goim_timelines_time();

    for (q = ngx_queue_head(&ngx_goim_followed);
         q != ngx_queue_sentinel(&ngx_goim_followed);
         q = ngx_queue_next(q))
    {
        tl = ngx_queue_data(q, ngx_goim_timeline_t, queue);
        goim_timeline_known(&tl->timeline, known);
    }

    ngx_goim_timelines_known = known;

    if (suspicions != ngx_goim_suspicions) {
        ngx_goim_suspicions = suspicions;
        ngx_goim_timelines_suspect();
    }
}


/*
 * Redis that has lost its data knows no keys of users until this worker has
 * announced its sessions again: what is stored for them until then comes to
 * nobody, and shows in the heads, which are asked for meanwhile, and once more
 * when all are known.
 */

static void
ngx_goim_timelines_announcing(void)
{
    uint64_t  life;

    life = ngx_goim_slot->announced;

    if (life == ngx_goim_timelines_life
        && (life == ngx_goim_zone->life
            || ngx_current_msec - ngx_goim_timelines_asked
               < NGX_GOIM_ANNOUNCING))
    {
        return;
    }

    ngx_goim_timelines_life = life;
    ngx_goim_timelines_asked = ngx_current_msec;

    ngx_goim_timelines_suspect();
}


void
ngx_goim_timelines_suspect(void)
{
    if (!ngx_queue_empty(&ngx_goim_followed)) {
        ngx_goim_timelines_time();
        goim_timelines_suspect(&ngx_goim_timelines);
    }
}


/*
 * Other types of rooms have a history now: who is in such a room is told, and
 * does not wait for the heads that are asked for anyway.
 */

void
ngx_goim_timelines_stamp(const char *word)
{
    uint64_t  stamp;

    if (word[0] == '\0') {
        return;
    }

    stamp = goim_hash(ngx_goim_zone->seed, word, ngx_strlen(word)) | 1;

    if (ngx_goim_zone->stamp && ngx_goim_zone->stamp != stamp) {
        ngx_goim_suspect();
    }

    ngx_goim_zone->stamp = stamp;
}


static void *
ngx_goim_timelines_alloc(size_t size)
{
    return ngx_alloc(size, ngx_cycle->log);
}


static void
ngx_goim_timelines_release(void *p)
{
    ngx_free(p);
}


/* ---- a timeline comes and goes ---- */

ngx_goim_timeline_t *
ngx_goim_timeline_join(ngx_goim_room_t *room)
{
    ngx_goim_timeline_t  *tl;

    tl = room->timeline;

    if (tl == NULL) {
        tl = ngx_calloc(sizeof(ngx_goim_timeline_t), ngx_cycle->log);
        if (tl == NULL) {
            return NULL;
        }

        tl->room = room;
        ngx_goim_timeline_open(tl);

        room->timeline = tl;
    }

    tl->followers++;

    return tl;
}


void
ngx_goim_timeline_open(ngx_goim_timeline_t *tl)
{
    ngx_queue_insert_tail(&ngx_goim_followed, &tl->queue);

    goim_timeline_open(&ngx_goim_timelines, &tl->timeline,
                       ngx_goim_registered());
}


void
ngx_goim_timeline_leave(ngx_goim_timeline_t *tl)
{
    if (--tl->followers) {
        return;
    }

    if (tl->room) {
        tl->room->timeline = NULL;
        tl->room = NULL;

    } else {
        ngx_goim_inbox_gone(tl);
    }

    ngx_goim_hold_free(tl);
    ngx_queue_remove(&tl->queue);

    goim_timeline_close(&tl->timeline);
}


static void
ngx_goim_timeline_free(goim_timeline_t *tl)
{
    ngx_free(tl);
}


/* ---- live items ---- */

/* the name behind the room's */

static ngx_str_t
ngx_goim_timeline_epoch(ngx_goim_record_t *rec)
{
    u_char     *p;
    ngx_str_t   epoch;

    p = (u_char *) (rec + 1);
    p += 2 + (p[0] << 8 | p[1]);

    epoch.len = p[0] << 8 | p[1];
    epoch.data = p + 2;

    return epoch;
}


ngx_uint_t
ngx_goim_timeline_continues(ngx_goim_room_t *room, ngx_goim_block_t *block,
    ngx_goim_record_t *rec)
{
    ngx_str_t  epoch;

    if (room->timeline == NULL || (!block->numbered && rec->seq == 0)) {
        return 1;
    }

    if (block->epoch == NULL || rec->seq != block->seq + block->records) {
        return 0;
    }

    epoch = ngx_goim_timeline_epoch(rec);

    return epoch.len == block->epoch->len
           && ngx_memcmp(epoch.data, block->epoch->word, epoch.len) == 0;
}


void
ngx_goim_timeline_begin(ngx_goim_room_t *room, ngx_goim_block_t *block,
    ngx_goim_record_t *rec)
{
    ngx_str_t  epoch;

    block->numbered = rec->seq != 0;
    block->seq = rec->seq;

    if (room && room->timeline && block->numbered) {
        epoch = ngx_goim_timeline_epoch(rec);
        block->epoch = goim_epoch_get(&ngx_goim_timelines.epochs, epoch.data,
                                      epoch.len);
    }
}


/* Without memory for it who follows is behind. */

void
ngx_goim_timeline_end(ngx_goim_room_t *room, ngx_goim_block_t *block)
{
    if (room->timeline == NULL || block->epoch == NULL) {
        return;
    }

    block->run = ngx_goim_run_block(block);

    if (block->run) {
        ngx_goim_timelines_time();
        goim_timeline_arrived(&room->timeline->timeline, block->run);
    }
}


void
ngx_goim_timeline_block_free(ngx_goim_block_t *block)
{
    goim_epoch_unref(&ngx_goim_timelines.epochs, block->epoch);

    if (block->run) {
        goim_run_unref(&ngx_goim_timelines, block->run);
    }
}


/* ---- Reads ---- */

static int
ngx_goim_timeline_read(goim_read_t *r)
{
    ngx_uint_t            peer;
    Goim__Call            call;
    Goim__Read            read;
    ngx_goim_timeline_t  *tl;
    char                  epoch[GOIM_EPOCH_MAX + 1];

    tl = (ngx_goim_timeline_t *) r->timeline;

    goim__call__init(&call);
    goim__read__init(&read);

    call.call_case = GOIM__CALL__CALL_READ;
    call.read = &read;

    if (tl->room) {
        read.timeline.data = tl->room->key.data;
        read.timeline.len = tl->room->key.len;

    } else {
        read.mid = tl->mid;
    }

    read.after = r->after;
    read.limit = r->limit;

    if (r->epoch) {
        *ngx_cpymem(epoch, r->epoch->word, r->epoch->len) = '\0';
        read.epoch = epoch;
    }

    peer = NGX_GOIM_LOGIC_ANY;

    if (ngx_goim_logic_call(&call, &peer, ngx_goim_timeline_page, r) == NULL) {
        return -1;
    }

    ngx_goim_count(history_reads, 1);

    return 0;
}


static void
ngx_goim_timeline_page(void *data, const Goim__Reply *reply)
{
    goim_read_t  *r = data;

    uint64_t             first;
    goim_run_t          *run;
    const Goim__Page    *page;
    goim_epoch_t        *epoch;
    goim_read_status_e   status;

    ngx_goim_timelines_time();

    run = NULL;
    epoch = NULL;
    page = NULL;
    first = 0;
    status = GOIM_READ_LATER;

    if (reply && reply->code == GOIM__REPLY__CODE__OK
        && reply->reply_case == GOIM__REPLY__REPLY_PAGE)
    {
        page = reply->page;

        if (page->status == GOIM__PAGE__STATUS__NONE) {
            status = GOIM_READ_NONE;

        } else {

            /* beyond the head: where that is, the rule sees by itself */

            epoch = goim_epoch_get(&ngx_goim_timelines.epochs, page->epoch,
                                   ngx_strlen(page->epoch));
        }
    }

    if (epoch) {
        first = page->first;

        if (r->timeline) {
            ((ngx_goim_timeline_t *) r->timeline)->first = first;
        }

        status = ngx_goim_timeline_items(epoch, page, r, &run, &first);
    }

    if (status == GOIM_READ_LATER) {
        ngx_goim_count(history_later, 1);
    }

    goim_read_answer(r, status, epoch, first, page ? page->head : 0, run);

    if (run) {
        goim_run_unref(&ngx_goim_timelines, run);
    }

    goim_epoch_unref(&ngx_goim_timelines.epochs, epoch);
}


/*
 * An item that nobody can read would be asked for for ever.  It is given up with
 * those before it, as if they were no longer kept: who lacks them is told so.
 */

static goim_read_status_e
ngx_goim_timeline_items(goim_epoch_t *epoch, const Goim__Page *page,
    const goim_read_t *read, goim_run_t **run, uint64_t *first)
{
    if (page->status != GOIM__PAGE__STATUS__OK || page->n_items == 0) {
        return GOIM_READ_OK;
    }

    if (ngx_goim_run_page(epoch, page, read, run, first) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: a page of a room's history is broken, it is "
                      "asked for again");

        return GOIM_READ_LATER;
    }

    if (*first != page->first) {
        ngx_goim_count(history_broken, 1);

        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "goim: item %uL of a room's history is broken, who "
                      "lacks it is told so", *first - 1);
    }

    return GOIM_READ_OK;
}


/* ---- heads ---- */

/* rooms first, as they are answered; how many they are */

static uint32_t
ngx_goim_timeline_rooms(goim_heads_t *h)
{
    uint32_t          i, n;
    goim_timeline_t  *tl;

    for (i = 0, n = 0; i < h->n; i++) {
        tl = h->of[i];

        if (((ngx_goim_timeline_t *) tl)->room) {
            h->of[i] = h->of[n];
            h->of[n++] = tl;
        }
    }

    return n;
}


static int
ngx_goim_timeline_heads(goim_heads_t *h)
{
    uint32_t              i, rooms;
    ngx_uint_t            peer;
    Goim__Call            call;
    Goim__Heads           heads;
    ngx_goim_timeline_t  *tl;

    static int64_t              mids[GOIM_HEADS_MAX];
    static ProtobufCBinaryData  names[GOIM_HEADS_MAX];

    goim__call__init(&call);
    goim__heads__init(&heads);

    call.call_case = GOIM__CALL__CALL_HEADS;
    call.heads = &heads;

    rooms = ngx_goim_timeline_rooms(h);

    for (i = 0; i < rooms; i++) {
        tl = (ngx_goim_timeline_t *) h->of[i];

        names[i].data = tl->room->key.data;
        names[i].len = tl->room->key.len;
    }

    for (i = rooms; i < h->n; i++) {
        mids[i - rooms] = ((ngx_goim_timeline_t *) h->of[i])->mid;
    }

    heads.timelines = names;
    heads.n_timelines = rooms;
    heads.mids = mids;
    heads.n_mids = h->n - rooms;

    peer = NGX_GOIM_LOGIC_ANY;

    return ngx_goim_logic_call(&call, &peer, ngx_goim_timeline_headed, h)
           ? 0 : -1;
}


static void
ngx_goim_timeline_headed(void *data, const Goim__Reply *reply)
{
    goim_heads_t  *h = data;

    uint32_t             i;
    goim_epoch_t        *epoch;
    const Goim__Head    *head;
    goim_head_status_e   status;

    ngx_goim_timelines_time();

    if (reply && reply->code == GOIM__REPLY__CODE__OK
        && reply->reply_case == GOIM__REPLY__REPLY_HEADED)
    {
        for (i = 0; i < h->n && i < reply->headed->n_heads; i++) {
            head = reply->headed->heads[i];

            epoch = goim_epoch_get(&ngx_goim_timelines.epochs, head->epoch,
                                   ngx_strlen(head->epoch));

            status = head->none ? GOIM_HEAD_NONE
                     : head->epoch[0] == '\0' ? GOIM_HEAD_GONE
                     : GOIM_HEAD_OK;

            if (h->of[i] && !head->later && (epoch || status != GOIM_HEAD_OK)) {
                goim_heads_answer(h, i, status, epoch, head->seq);
            }

            goim_epoch_unref(&ngx_goim_timelines.epochs, epoch);
        }
    }

    goim_heads_done(h);
}
