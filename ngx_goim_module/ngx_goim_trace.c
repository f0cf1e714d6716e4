
/*
 * Which mids are traced, and the lines of their sessions.
 */


#include "ngx_goim_room.h"


#define NGX_GOIM_TRACE_LINE     8192
#define NGX_GOIM_TRACE_TEXT     256         /* bytes before escaping */
#define NGX_GOIM_TRACE_ACCEPTS  32          /* operations shown */
#define NGX_GOIM_TRACE_POSITION (NGX_INT64_LEN * 3 + sizeof(" position=/-"))


static void ngx_goim_trace_commit(ngx_goim_trace_zone_t *trace,
    const ngx_goim_mids_t *mids);
static void ngx_goim_trace_session(ngx_goim_session_t *s);
static u_char *ngx_goim_trace_escape(u_char *p, u_char *last,
    const u_char *data, size_t len);
static const char *ngx_goim_trace_kind(const ngx_goim_record_t *rec);
static u_char *ngx_goim_trace_position(u_char *p,
    const ngx_goim_record_t *rec);
static void ngx_goim_trace_out(u_char *line, size_t len);


static ngx_goim_mids_t    ngx_goim_trace_mids;      /* as this worker has */
static ngx_atomic_uint_t  ngx_goim_trace_version;   /* taken them up */


/* ---- the node's list ---- */

void
ngx_goim_trace_configure(ngx_goim_conf_t *gcf)
{
    ngx_slab_pool_t        *shpool;
    ngx_goim_zone_t        *zone;
    ngx_goim_trace_zone_t  *trace;

    zone = gcf->shm_zone->data;
    shpool = (ngx_slab_pool_t *) gcf->shm_zone->shm.addr;
    trace = &zone->trace;

    /* a reload for other reasons leaves alone what was set since */

    if (ngx_goim_mids_equal(&trace->conf, &gcf->trace)) {
        return;
    }

    ngx_shmtx_lock(&shpool->mutex);

    trace->conf = gcf->trace;
    ngx_goim_trace_commit(trace, &gcf->trace);

    ngx_shmtx_unlock(&shpool->mutex);
}


void
ngx_goim_trace_get(ngx_goim_mids_t *mids)
{
    ngx_goim_trace_zone_t  *trace;

    trace = &ngx_goim_zone->trace;

    ngx_goim_lock();

    *mids = trace->list[trace->version % 2];

    ngx_goim_unlock();
}


void
ngx_goim_trace_set(const ngx_goim_mids_t *mids)
{
    uint64_t  mask[NGX_GOIM_RING_MASK];

    ngx_goim_lock();

    ngx_goim_trace_commit(&ngx_goim_zone->trace, mids);

    ngx_goim_unlock();

    /* others see it when they look at the ring: now, this one included */

    if (ngx_goim_slot) {
        ngx_memset(mask, 0xff, sizeof(mask));
        ngx_goim_wake(mask);
    }
}


static void
ngx_goim_trace_commit(ngx_goim_trace_zone_t *trace,
    const ngx_goim_mids_t *mids)
{
    trace->list[(trace->version + 1) % 2] = *mids;

    ngx_memory_barrier();

    trace->version++;
}


/* ---- a worker's sessions ---- */

void
ngx_goim_trace_init(void)
{
    ngx_goim_trace_version = 0;
    ngx_goim_trace_mids.n = 0;

    ngx_goim_trace_look();
}


void
ngx_goim_trace_look(void)
{
    ngx_queue_t            *q;
    ngx_goim_member_t      *member;
    ngx_goim_trace_zone_t  *trace;

    trace = &ngx_goim_zone->trace;

    if (trace->version == ngx_goim_trace_version) {
        return;
    }

    ngx_goim_lock();

    ngx_goim_trace_version = trace->version;
    ngx_goim_trace_mids = trace->list[trace->version % 2];

    ngx_goim_unlock();

    if (ngx_goim_conf->trace_log == NULL) {
        ngx_goim_trace_mids.n = 0;
    }

    for (q = ngx_queue_head(&ngx_goim_room_all.members);
         q != ngx_queue_sentinel(&ngx_goim_room_all.members);
         q = ngx_queue_next(q))
    {
        member = ngx_queue_data(q, ngx_goim_member_t, queue);

        if (member->session) {
            ngx_goim_trace_session(member->session);
        }
    }
}


static void
ngx_goim_trace_session(ngx_goim_session_t *s)
{
    ngx_uint_t  traced;

    traced = ngx_goim_trace_has(s->mid);

    if (traced == s->traced) {
        return;
    }

    ngx_goim_trace(s, "untraced");

    s->traced = traced;

    if (traced) {
        ngx_goim_trace_state(s, "traced");
    }
}


ngx_uint_t
ngx_goim_trace_has(int64_t mid)
{
    ngx_uint_t  i;

    if (ngx_goim_trace_mids.n == 0) {
        return 0;
    }

    i = ngx_goim_mids_place(&ngx_goim_trace_mids, mid);

    return i < ngx_goim_trace_mids.n && ngx_goim_trace_mids.mid[i] == mid;
}


/* ---- lines ---- */

void
ngx_goim_trace_write(uint64_t id, int64_t mid, const u_char *key, size_t len,
    const char *fmt, ...)
{
    u_char      *p, *last;
    va_list      args;
    u_char       line[NGX_GOIM_TRACE_LINE];
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    last = line + sizeof(line) - 1;

    /* 1970-09-28T12:00:00+06:00, with ms behind the seconds */

    p = ngx_slprintf(line, last, "%*s.%03M%*s %P %uL %L \"", (size_t) 19,
                     ngx_cached_http_log_iso8601.data, tp->msec,
                     (size_t) 6, ngx_cached_http_log_iso8601.data + 19,
                     ngx_pid, id, mid);
    p = ngx_goim_trace_escape(p, last, key, len);
    p = ngx_slprintf(p, last, "\" ");

    va_start(args, fmt);
    p = ngx_vslprintf(p, last, fmt, args);
    va_end(args);

    *p++ = '\n';

    ngx_goim_trace_out(line, p - line);
}


ngx_str_t *
ngx_goim_trace_text(const void *data, size_t len)
{
    u_char             *p, *last;
    ngx_str_t          *text;
    static u_char       bytes[2][NGX_GOIM_TRACE_TEXT * 4 + 3];
    static ngx_str_t    texts[2];
    static ngx_uint_t   turn;

    turn = 1 - turn;
    text = &texts[turn];
    text->data = bytes[turn];
    last = bytes[turn] + sizeof(bytes[turn]);

    p = ngx_goim_trace_escape(text->data, last, data,
                              ngx_min(len, NGX_GOIM_TRACE_TEXT));

    if (len > NGX_GOIM_TRACE_TEXT) {
        p = ngx_cpymem(p, "...", 3);
    }

    text->len = p - text->data;

    return text;
}


ngx_str_t *
ngx_goim_trace_room(ngx_goim_session_t *s)
{
    return s->room ? ngx_goim_trace_text(s->room->key.data, s->room->key.len)
                   : ngx_goim_trace_text(NULL, 0);
}


/* no byte from outside ends a line, or a value */

static u_char *
ngx_goim_trace_escape(u_char *p, u_char *last, const u_char *data, size_t len)
{
    size_t  i;

    for (i = 0; i < len && last - p >= 4; i++) {

        if (data[i] < 0x20 || data[i] > 0x7e || data[i] == '"'
            || data[i] == '\\')
        {
            p = ngx_sprintf(p, "\\x%02Xd", (uint32_t) data[i]);

        } else {
            *p++ = data[i];
        }
    }

    return p;
}


void
ngx_goim_trace_state(ngx_goim_session_t *s, const char *step)
{
    u_char      *p, *last;
    u_char       accepts[NGX_GOIM_TRACE_ACCEPTS * (NGX_INT32_LEN + 1) + 3];
    ngx_uint_t   i;

    p = accepts;
    last = accepts + sizeof(accepts);

    for (i = 0; i < ngx_min(s->naccepts, NGX_GOIM_TRACE_ACCEPTS); i++) {
        p = ngx_slprintf(p, last, "%s%D", i ? "," : "", s->accepts[i]);
    }

    if (s->naccepts > NGX_GOIM_TRACE_ACCEPTS) {
        p = ngx_slprintf(p, last, "...");
    }

    ngx_goim_trace(s, "%s addr=%V front=%V room=\"%V\" accepts=%*s "
                      "heartbeat=%M logic=%ui",
                   step, &s->addr, &s->front->name, ngx_goim_trace_room(s),
                   (size_t) (p - accepts), accepts, s->heartbeat, s->peer);
}


void
ngx_goim_trace_packets(ngx_goim_session_t *s, const char *step,
    const u_char *data, size_t len, const ngx_goim_record_t *rec)
{
    u_char         *p, position[NGX_GOIM_TRACE_POSITION];
    const u_char   *last;
    goim_packet_t   packet;

    p = position;
    last = data + len;

    while (goim_packet_parse(&packet, data, last - data, NGX_MAX_INT32_VALUE)
           == GOIM_PACKET_OK)
    {
        data += packet.length;

        if (data == last) {
            p = ngx_goim_trace_position(position, rec);
        }

        ngx_goim_trace(s, "%s kind=%s op=%D bytes=%uz%*s", step,
                       ngx_goim_trace_kind(rec), packet.operation,
                       packet.body_len, (size_t) (p - position), position);
    }
}


void
ngx_goim_trace_record(ngx_goim_session_t *s, const char *step,
    const ngx_goim_record_t *rec)
{
    u_char  *p, position[NGX_GOIM_TRACE_POSITION];

    p = ngx_goim_trace_position(position, rec);

    ngx_goim_trace(s, "%s kind=%s op=%D%*s", step, ngx_goim_trace_kind(rec),
                   rec->operation, (size_t) (p - position), position);
}


static const char *
ngx_goim_trace_kind(const ngx_goim_record_t *rec)
{
    switch (rec->kind) {

    case GOIM__RECORD__KIND__KEYS:
        return "keys";

    case GOIM__RECORD__KIND__ROOM:
        return "room";

    default:
        return "all";
    }
}


/* Kafka's offsets are numbers, Redis's ids pairs of them */

static u_char *
ngx_goim_trace_position(u_char *p, const ngx_goim_record_t *rec)
{
    uint64_t  high, low;

    if (!rec->positioned) {
        return p;
    }

    goim_offset_get(&rec->offset, &high, &low);

    p = ngx_sprintf(p, " position=%uD/", rec->partition);

    if (high) {
        p = ngx_sprintf(p, "%uL-", high);
    }

    return ngx_sprintf(p, "%uL", low);
}


/* One write a line: O_APPEND keeps lines of several workers apart. */

static void
ngx_goim_trace_out(u_char *line, size_t len)
{
    ssize_t           n;
    ngx_err_t         err;
    ngx_open_file_t  *file;
    static time_t     said;

    file = ngx_goim_conf->trace_log;

    n = ngx_write_fd(file->fd, line, len);

    if (n == (ssize_t) len) {
        return;
    }

    err = n == -1 ? ngx_errno : 0;

    if (ngx_time() - said > 59) {
        said = ngx_time();

        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, err,
                      "goim: " ngx_write_fd_n " to \"%V\" failed, lines of "
                      "the trace are lost", &file->name);
    }
}
