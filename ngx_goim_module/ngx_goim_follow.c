
/*
 * A session that recovers: where it says that it was, where it is told to be,
 * and what it gets between these.
 */


#include "ngx_goim_follow.h"

#include "common/goim_json.h"


/* which room's entry is looked for, and where it goes */

typedef struct {
    const u_char           *room;       /* NULL: any */
    size_t                  len;
    ngx_goim_was_t         *was;        /* NULL: nobody wants to know */
    ngx_str_t              *name;       /* where it is copied; or NULL */
} ngx_goim_said_t;


static void ngx_goim_follow_entry(const goim_recover_t *entry, void *data);
static void ngx_goim_follow_refused(ngx_goim_session_t *s,
    const char *reason);
static int ngx_goim_follow_moved(goim_follow_t *f, goim_run_t *run,
    uint64_t seq);
static ngx_uint_t ngx_goim_follow_placeless(ngx_goim_follower_t *f);
static ngx_int_t ngx_goim_follow_position(ngx_goim_session_t *s,
    const u_char *body, size_t len);


/* ---- what it says ---- */

static void
ngx_goim_follow_entry(const goim_recover_t *entry, void *data)
{
    ngx_goim_said_t  *said = data;

    if (said->was == NULL
        || (said->room
            && (entry->name_len != said->len
                || ngx_memcmp(entry->name, said->room, said->len) != 0)))
    {
        return;
    }

    if (said->name) {
        said->name->len = entry->name_len;
        ngx_memcpy(said->name->data, entry->name, entry->name_len);
    }

    ngx_goim_was_free(said->was);

    said->was->seq = entry->seq;
    said->was->newest = entry->last;

    /* one without memory is told that it could not be recovered, or gets what
       it asks for */

    if (entry->epoch_len) {
        said->was->epoch = goim_epoch_get(&ngx_goim_timelines.epochs,
                                          entry->epoch, entry->epoch_len);
    }
}


static void
ngx_goim_follow_refused(ngx_goim_session_t *s, const char *reason)
{
    ngx_goim_count(recover_refused, 1);

    ngx_log_error(NGX_LOG_WARN, s->connection->log, 0, "goim: %s", reason);
}


ngx_int_t
ngx_goim_follow_auth(ngx_goim_session_t *s, const u_char *body, size_t len)
{
    size_t                n;
    const char           *text, *reason;
    ngx_goim_said_t       said;
    ngx_goim_follower_t  *f;

    n = goim_json_member(body, len, "recover", &text);

    if (n == 0) {
        return NGX_OK;
    }

    ngx_memzero(&said, sizeof(ngx_goim_said_t));

    if (goim_recover_parse(text, n, ngx_goim_follow_entry, &said, &reason)
        < 0)
    {
        ngx_goim_follow_refused(s, reason);
        ngx_goim_close(s, 1008, "auth refused");
        return NGX_ERROR;
    }

    f = ngx_calloc(sizeof(ngx_goim_follower_t), ngx_cycle->log);

    if (f == NULL) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    f->session = s;
    s->follow = f;

    return NGX_OK;
}


void
ngx_goim_follow_said(const u_char *body, size_t len, const u_char *name,
    size_t name_len, ngx_goim_was_t *was)
{
    size_t            n;
    const char       *text, *reason;
    ngx_goim_said_t   said;

    ngx_memzero(was, sizeof(ngx_goim_was_t));

    n = name_len ? goim_json_member(body, len, "recover", &text) : 0;

    if (n == 0) {
        return;
    }

    said.room = name;
    said.len = name_len;
    said.was = was;
    said.name = NULL;

    (void) goim_recover_parse(text, n, ngx_goim_follow_entry, &said, &reason);
}


ngx_int_t
ngx_goim_follow_map(ngx_goim_session_t *s, goim_packet_t *p, ngx_str_t *room,
    ngx_goim_was_t *was, const char **reason)
{
    int               n;
    ngx_goim_said_t   said;

    static u_char  name[GOIM_ROOM_MAX];

    ngx_memzero(was, sizeof(ngx_goim_was_t));

    room->data = name;
    room->len = 0;

    said.room = NULL;
    said.len = 0;
    said.was = was;
    said.name = room;

    n = goim_recover_parse(p->body, p->body_len, ngx_goim_follow_entry, &said,
                           reason);
    if (n == 1) {
        return NGX_OK;
    }

    if (n >= 0) {
        *reason = "a change of room names one";
    }

    ngx_goim_was_free(was);
    ngx_goim_follow_refused(s, *reason);

    return NGX_DECLINED;
}


void
ngx_goim_was_free(ngx_goim_was_t *was)
{
    goim_epoch_unref(&ngx_goim_timelines.epochs, was->epoch);
    was->epoch = NULL;
}


/* ---- its room ---- */

/*
 * Who enters the room where it is goes on from where it is, if it says nothing
 * else.
 */

ngx_int_t
ngx_goim_follow_enter(ngx_goim_session_t *s, ngx_goim_was_t *was)
{
    goim_follow_t        *place;
    ngx_goim_timeline_t  *tl;

    if (s->follow == NULL || s->room == NULL) {
        ngx_goim_was_free(was);
        return NGX_OK;
    }

    place = &s->follow->place;
    tl = (ngx_goim_timeline_t *) place->timeline;

    ngx_goim_timelines_time();

    if (tl) {

        if (was->epoch == NULL && was->newest == 0 && place->epoch) {
            was->epoch = goim_epoch_ref(place->epoch);
            was->seq = place->last;
        }

        goim_follow_leave(place);

    } else {
        tl = ngx_goim_timeline_join(s->room);

        if (tl == NULL) {
            ngx_goim_was_free(was);
            return NGX_ERROR;
        }
    }

    /*
     * Where it begins without a position is read after it has become a member.
     * Its answer goes out behind that: what is pushed then is not in what was
     * read, and comes.
     */

    goim_follow_join(place, &tl->timeline, was->epoch, was->seq, was->newest);
    ngx_goim_was_free(was);
    ngx_goim_follow_hold(s);

    return NGX_OK;
}


void
ngx_goim_follow_hold(ngx_goim_session_t *s)
{
    if (ngx_goim_follow_placeless(s->follow)
        || ngx_goim_follow_placeless(s->inbox))
    {
        ngx_goim_queue_hold(s);

    } else {
        ngx_goim_queue_release(s);
    }
}


static ngx_uint_t
ngx_goim_follow_placeless(ngx_goim_follower_t *f)
{
    return f && f->place.timeline && f->place.joining
           && f->place.epoch == NULL;
}


void
ngx_goim_follow_leave(ngx_goim_session_t *s)
{
    ngx_goim_timeline_t  *tl;

    if (s->follow == NULL || s->follow->place.timeline == NULL) {
        return;
    }

    tl = (ngx_goim_timeline_t *) s->follow->place.timeline;

    ngx_goim_timelines_time();

    goim_follow_leave(&s->follow->place);
    ngx_goim_timeline_leave(tl);
    ngx_goim_follow_hold(s);
}


ngx_int_t
ngx_goim_follow_nowhere(ngx_goim_session_t *s)
{
    if (s->follow == NULL || s->room) {
        return NGX_OK;
    }

    return ngx_goim_follow_position(s, (u_char *) "{}", 2);
}


/* ---- what it gets ---- */

void
ngx_goim_follow_block(ngx_goim_session_t *s, ngx_goim_block_t *block)
{
    goim_follow_t  *place;

    place = &s->follow->place;

    if (place->timeline == NULL) {
        return;
    }

    ngx_goim_timelines_time();

    if (block->run) {
        (void) goim_follow_run(place, block->run);

    } else {
        goim_follow_lost(place);
    }
}


/* Numbers of an inbox have gaps; it is told so that it misses nothing there. */

int
ngx_goim_follow_send(goim_follow_t *f, goim_run_t *run, uint32_t from,
    uint32_t to)
{
    uint32_t  end;
    uint64_t  last;

    last = f->last;

    if (ngx_goim_follows_pushes((ngx_goim_follower_t *) f)) {
        return ngx_goim_pushes_send(f, run, from, to);
    }

    while (from < to) {

        if (run->items[from].seq != last + 1
            && ngx_goim_follow_moved(f, run, run->items[from].seq - 1) != 0)
        {
            return GOIM_GONE;
        }

        for (end = from + 1;
             end < to && run->items[end].seq == run->items[end - 1].seq + 1;
             end++)
        {
            /* void */
        }

        if (ngx_goim_follow_part(f, run, from, end) != 0) {
            return GOIM_GONE;
        }

        last = run->items[end - 1].seq;
        from = end;
    }

    return 0;
}


static int
ngx_goim_follow_moved(goim_follow_t *f, goim_run_t *run, uint64_t seq)
{
    goim_told_t  told;

    ngx_memzero(&told, sizeof(goim_told_t));

    told.epoch = run->epoch;
    told.seq = seq;
    told.first = ((ngx_goim_timeline_t *) f->timeline)->first;

    return ngx_goim_follow_tell(f, &told);
}


int
ngx_goim_follow_part(goim_follow_t *f, goim_run_t *run, uint32_t from,
    uint32_t to)
{
    ngx_int_t               rc;
    ngx_goim_session_t     *s;
    const ngx_goim_part_t  *part;

    s = ((ngx_goim_follower_t *) f)->session;

    part = ngx_goim_run_part(run, from, to);

    if (part == NULL) {
        ngx_goim_close(s, 1011, "no memory");
        return GOIM_GONE;
    }

    rc = ngx_goim_send_always(s, part->buf,
                              s->front->framed ? part->frame
                              : s->follow ? part->bare : part->inner,
                              part->buf->len);
    if (rc != NGX_OK) {
        return GOIM_GONE;
    }

    ngx_goim_count(pushed, to - from);

    ngx_goim_trace(s, "items from=%uL to=%uL bytes=%uD",
                   run->items[from].seq, run->items[to - 1].seq,
                   part->buf->len - part->inner);

    return 0;
}


/* What the socket takes does not wait. */

size_t
ngx_goim_follow_queued(goim_follow_t *f)
{
    ngx_goim_session_t  *s;

    s = ((ngx_goim_follower_t *) f)->session;

    if (s->queued > GOIM_FOLLOW_QUEUE / 2 && s->connection->write->ready) {

        /* an error shows again when the turn ends */

        (void) ngx_goim_queue_flush(s);
    }

    return s->queued;
}


void
ngx_goim_follow_drained(ngx_goim_session_t *s)
{
    if (s->queued <= GOIM_FOLLOW_QUEUE / 2) {
        ngx_goim_timelines_time();

        if (s->follow) {
            goim_follow_drained(&s->follow->place);
        }

        if (s->inbox) {
            goim_follow_drained(&s->inbox->place);
        }
    }
}


/* ---- what it is told ---- */

int
ngx_goim_follow_tell(goim_follow_t *f, const goim_told_t *told)
{
    size_t                len;
    ngx_str_t             inbox, *name;
    ngx_goim_session_t   *s;
    goim_told_entry_t     entry;
    ngx_goim_timeline_t  *tl;

    static char  body[GOIM_TOLD_MAX + GOIM_TOLD_AROUND];

    s = ((ngx_goim_follower_t *) f)->session;
    tl = (ngx_goim_timeline_t *) f->timeline;

    if (tl->mid < 0) {
        return 0;               /* it did not ask, and would not understand */
    }

    ngx_str_set(&inbox, GOIM_INBOX);
    name = tl->room ? &tl->room->key : &inbox;

    entry.name = (char *) name->data;
    entry.name_len = name->len;
    entry.told = told;

    len = goim_told_write(body, &entry, 1);

    if (told->recovered == GOIM_RECOVERED_TRUE) {
        ngx_goim_count(recovered, 1);

    } else if (told->recovered != GOIM_RECOVERED_NONE) {
        ngx_goim_count(unrecovered, 1);
    }

    if (ngx_goim_follow_position(s, (u_char *) body, len) != NGX_OK) {
        return GOIM_GONE;
    }

    ngx_goim_follow_hold(s);

    return 0;
}


static ngx_int_t
ngx_goim_follow_position(ngx_goim_session_t *s, const u_char *body,
    size_t len)
{
    ngx_int_t        rc;
    ngx_goim_buf_t  *b;

    b = ngx_goim_packet(s, GOIM_VERSION, GOIM_OP_POSITION, 0, body, len);

    if (b == NULL) {
        ngx_goim_close(s, 1011, "no memory");
        return NGX_ERROR;
    }

    rc = ngx_goim_send_always(s, b, 0, b->len);
    ngx_goim_buf_unref(b);

    if (rc == NGX_OK) {
        ngx_goim_trace(s, "position at=\"%V\"",
                       ngx_goim_trace_text(body, len));
    }

    return rc;
}
