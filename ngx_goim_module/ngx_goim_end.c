
/*
 * Sessions that backends end: of a key, a user, a room, an address, a token.
 *
 * Nobody looks them up before, so none is left out whose mapping Redis has
 * lost.  Each worker looks for its own: by key at once, for the rest in a walk
 * over all, some a turn, for as many Ends as wait for one.  Who had asked to be
 * let in before an End came, and is let in after it, is compared then: so Ends
 * are kept for as long as logic may take to answer.
 */


#include "ngx_goim_room.h"


#define NGX_GOIM_END_LOOK       4096        /* sessions a turn, of which */
#define NGX_GOIM_END_CLOSE      512         /* are closed */
#define NGX_GOIM_END_BYTES      (16 * 1024 * 1024)
#define NGX_GOIM_END_GRACE      1000        /* ms */


typedef enum {
    NGX_GOIM_END_KEY, NGX_GOIM_END_MID, NGX_GOIM_END_ROOM, NGX_GOIM_END_ADDR,
    NGX_GOIM_END_JTI, NGX_GOIM_END_KINDS
} ngx_goim_end_kind_t;


typedef struct ngx_goim_end_s  ngx_goim_end_t;

typedef struct {
    ngx_goim_end_kind_t     kind;
    ngx_str_t               name;
    ngx_goim_end_t         *end;
} ngx_goim_target_t;


struct ngx_goim_end_s {
    ngx_queue_t             queue;          /* the newest first */
    uint64_t                session;        /* later ones go on */
    ngx_msec_t              came;
    Goim__End              *msg;
    size_t                  size;           /* bytes that it holds, about */
    ngx_uint_t              walked;
    ngx_uint_t              n;
    ngx_goim_target_t      *targets;        /* sorted */
};


/* under way: over all sessions, for all Ends that waited */
typedef struct {
    ngx_uint_t              n;
    ngx_goim_target_t      *targets;        /* NULL: none is */
    ngx_goim_member_t       marker;         /* it came this far */
} ngx_goim_walk_t;


static ngx_goim_end_t *ngx_goim_end_make(ngx_goim_record_t *rec);
static void ngx_goim_end_targets(ngx_goim_end_t *end, u_char *text);
static u_char *ngx_goim_end_addr(ngx_goim_end_t *end, u_char *text,
    ProtobufCBinaryData *addr);
static void ngx_goim_end_add(ngx_goim_end_t *end, ngx_goim_end_kind_t kind,
    void *data, size_t len);
static void ngx_goim_end_free(ngx_goim_end_t *end);
static void ngx_goim_end_keys(ngx_goim_end_t *end);
static ngx_uint_t ngx_goim_end_far(ngx_goim_end_t *end);
static ngx_goim_end_t *ngx_goim_end_of(ngx_goim_session_t *s,
    ngx_goim_target_t *targets, ngx_uint_t n);
static ngx_goim_target_t *ngx_goim_end_find(ngx_goim_target_t *targets,
    ngx_uint_t n, ngx_goim_end_kind_t kind, ngx_str_t *name);
static int ngx_libc_cdecl ngx_goim_end_cmp(const void *one, const void *two);
static int ngx_goim_end_order(const ngx_goim_target_t *t,
    ngx_goim_end_kind_t kind, const ngx_str_t *name);
static void ngx_goim_end_session(ngx_goim_session_t *s, ngx_goim_end_t *end);
static void ngx_goim_walk_handler(ngx_event_t *ev);
static ngx_int_t ngx_goim_walk_begin(void);
static ngx_int_t ngx_goim_walk(ngx_uint_t look, ngx_uint_t close);
static void ngx_goim_end_bound(void);
static void ngx_goim_end_forget(ngx_goim_end_t *end);


static ngx_queue_t      ngx_goim_ends;
static size_t           ngx_goim_ends_bytes;
static uint64_t         ngx_goim_ends_forgotten;    /* of these, the newest
                                                       session */
static ngx_goim_walk_t  ngx_goim_end_walk;
static ngx_event_t      ngx_goim_end_event;


void
ngx_goim_end_init(ngx_log_t *log)
{
    ngx_queue_init(&ngx_goim_ends);

    ngx_goim_end_event.handler = ngx_goim_walk_handler;
    ngx_goim_end_event.log = log;
    ngx_goim_end_event.data = &ngx_goim_no_connection;
}


ngx_int_t
ngx_goim_end_came(ngx_goim_record_t *rec)
{
    ngx_goim_end_t  *end;

    end = ngx_goim_end_make(rec);
    if (end == NULL) {
        return NGX_ERROR;
    }

    ngx_queue_insert_head(&ngx_goim_ends, &end->queue);
    ngx_goim_ends_bytes += end->size;

    ngx_goim_end_keys(end);

    end->walked = !ngx_goim_end_far(end);

    if (!end->walked) {
        ngx_post_event(&ngx_goim_end_event, &ngx_posted_next_events);
    }

    ngx_goim_end_bound();

    return NGX_OK;
}


/* ---- an End and those whom it is for ---- */

static ngx_goim_end_t *
ngx_goim_end_make(ngx_goim_record_t *rec)
{
    size_t           len;
    ngx_uint_t       n;
    Goim__End       *msg;
    ngx_goim_end_t  *end;

    len = rec->end - rec->inner;
    msg = goim__end__unpack(NULL, len, (u_char *) rec + rec->inner);

    if (msg == NULL) {
        return NULL;
    }

    /* an address may be written in two ways */

    n = msg->n_keys + msg->n_mids + msg->n_rooms + 2 * msg->n_addrs
        + msg->n_jtis;
    len += sizeof(ngx_goim_end_t) + n * sizeof(ngx_goim_target_t)
           + 2 * msg->n_addrs * NGX_INET6_ADDRSTRLEN;

    end = ngx_alloc(len, ngx_cycle->log);

    if (end == NULL) {
        goim__end__free_unpacked(msg, NULL);
        return NULL;
    }

    end->session = rec->session;
    end->came = ngx_current_msec;
    end->msg = msg;
    end->size = len;
    end->n = 0;
    end->targets = (ngx_goim_target_t *) (end + 1);

    ngx_goim_end_targets(end, (u_char *) (end->targets + n));

    ngx_qsort(end->targets, end->n, sizeof(ngx_goim_target_t),
              ngx_goim_end_cmp);

    return end;
}


static void
ngx_goim_end_targets(ngx_goim_end_t *end, u_char *text)
{
    size_t      i;
    Goim__End  *m;

    m = end->msg;

    for (i = 0; i < m->n_keys; i++) {
        ngx_goim_end_add(end, NGX_GOIM_END_KEY, m->keys[i].data,
                         m->keys[i].len);
    }

    for (i = 0; i < m->n_mids; i++) {
        ngx_goim_end_add(end, NGX_GOIM_END_MID, &m->mids[i],
                         m->mids[i] > 0 ? sizeof(int64_t) : 0);
    }

    for (i = 0; i < m->n_rooms; i++) {
        ngx_goim_end_add(end, NGX_GOIM_END_ROOM, m->rooms[i].data,
                         m->rooms[i].len);
    }

    for (i = 0; i < m->n_addrs; i++) {
        text = ngx_goim_end_addr(end, text, &m->addrs[i]);
    }

    for (i = 0; i < m->n_jtis; i++) {
        ngx_goim_end_add(end, NGX_GOIM_END_JTI, m->jtis[i].data,
                         m->jtis[i].len);
    }
}


/* As nginx writes them; to a socket of IPv6 a client of IPv4 has another. */

static u_char *
ngx_goim_end_addr(ngx_goim_end_t *end, u_char *text,
    ProtobufCBinaryData *addr)
{
    size_t   len;
    u_char  *p;

    p = addr->data;

    if (addr->len == 4) {
        len = ngx_sprintf(text, "%ud.%ud.%ud.%ud", p[0], p[1], p[2], p[3])
              - text;
        ngx_goim_end_add(end, NGX_GOIM_END_ADDR, text, len);
        text += len;

        len = ngx_sprintf(text, "::ffff:%ud.%ud.%ud.%ud", p[0], p[1], p[2],
                          p[3])
              - text;
        ngx_goim_end_add(end, NGX_GOIM_END_ADDR, text, len);
        text += len;
    }

#if (NGX_HAVE_INET6)

    if (addr->len == 16) {
        len = ngx_inet6_ntop(p, text, NGX_INET6_ADDRSTRLEN);
        ngx_goim_end_add(end, NGX_GOIM_END_ADDR, text, len);
        text += len;
    }

#endif

    return text;
}


static void
ngx_goim_end_add(ngx_goim_end_t *end, ngx_goim_end_kind_t kind, void *data,
    size_t len)
{
    ngx_goim_target_t  *t;

    if (len == 0) {
        return;
    }

    t = &end->targets[end->n++];

    t->kind = kind;
    t->name.data = data;
    t->name.len = len;
    t->end = end;
}


static void
ngx_goim_end_free(ngx_goim_end_t *end)
{
    ngx_queue_remove(&end->queue);
    ngx_goim_ends_bytes -= end->size;

    goim__end__free_unpacked(end->msg, NULL);
    ngx_free(end);
}


/* ---- whom it is for ---- */

static void
ngx_goim_end_keys(ngx_goim_end_t *end)
{
    ngx_uint_t           i;
    ngx_goim_session_t  *s;
    ngx_goim_target_t   *t;

    for (i = 0; i < end->n; i++) {
        t = &end->targets[i];

        if (t->kind != NGX_GOIM_END_KEY) {
            break;
        }

        s = ngx_goim_session_find(t->name.data, t->name.len);

        if (s && s->id <= end->session) {
            ngx_goim_end_session(s, end);
        }
    }
}


/* whether others than those of its keys may be here */

static ngx_uint_t
ngx_goim_end_far(ngx_goim_end_t *end)
{
    ngx_uint_t          i;
    ngx_goim_target_t  *t;

    for (i = 0; i < end->n; i++) {
        t = &end->targets[i];

        switch (t->kind) {

        case NGX_GOIM_END_KEY:
            break;

        case NGX_GOIM_END_ROOM:
            if (ngx_goim_room_find(t->name.data, t->name.len)) {
                return 1;
            }

            break;

        default:
            return 1;
        }
    }

    return 0;
}


static ngx_goim_end_t *
ngx_goim_end_of(ngx_goim_session_t *s, ngx_goim_target_t *targets,
    ngx_uint_t n)
{
    ngx_str_t             name[NGX_GOIM_END_KINDS];
    ngx_goim_target_t    *t;
    ngx_goim_end_kind_t   kind;

    name[NGX_GOIM_END_KEY] = s->key;
    name[NGX_GOIM_END_MID].data = (u_char *) &s->mid;
    name[NGX_GOIM_END_MID].len = sizeof(int64_t);
    ngx_str_null(&name[NGX_GOIM_END_ROOM]);
    name[NGX_GOIM_END_ADDR] = s->addr;
    ngx_str_null(&name[NGX_GOIM_END_JTI]);

    if (s->room) {
        name[NGX_GOIM_END_ROOM] = s->room->key;
    }

    if (s->jti) {
        name[NGX_GOIM_END_JTI] = *s->jti;
    }

    for (kind = NGX_GOIM_END_KEY; kind < NGX_GOIM_END_KINDS; kind++) {
        t = ngx_goim_end_find(targets, n, kind, &name[kind]);

        if (t && s->id <= t->end->session) {
            return t->end;
        }
    }

    return NULL;
}


/* the first of that name, which is of the newest End */

static ngx_goim_target_t *
ngx_goim_end_find(ngx_goim_target_t *targets, ngx_uint_t n,
    ngx_goim_end_kind_t kind, ngx_str_t *name)
{
    ngx_uint_t  low, high, mid;

    low = 0;
    high = n;

    while (low < high) {
        mid = low + (high - low) / 2;

        if (ngx_goim_end_order(&targets[mid], kind, name) < 0) {
            low = mid + 1;

        } else {
            high = mid;
        }
    }

    return low < n && ngx_goim_end_order(&targets[low], kind, name) == 0
           ? &targets[low] : NULL;
}


static int
ngx_goim_end_order(const ngx_goim_target_t *t, ngx_goim_end_kind_t kind,
    const ngx_str_t *name)
{
    if (t->kind != kind) {
        return t->kind < kind ? -1 : 1;
    }

    if (t->name.len != name->len) {
        return t->name.len < name->len ? -1 : 1;
    }

    return ngx_memcmp(t->name.data, name->data, name->len);
}


static int ngx_libc_cdecl
ngx_goim_end_cmp(const void *one, const void *two)
{
    int                       rc;
    const ngx_goim_target_t  *a, *b;

    a = one;
    b = two;
    rc = ngx_goim_end_order(a, b->kind, &b->name);

    if (rc != 0) {
        return rc;
    }

    return a->end->session > b->end->session ? -1
           : a->end->session < b->end->session;
}


static void
ngx_goim_end_session(ngx_goim_session_t *s, ngx_goim_end_t *end)
{
    ngx_goim_count(ended, 1);
    ngx_goim_close(s, end->msg->code, end->msg->reason);
}


/* ---- who was let in meanwhile ---- */

/*
 * A session's number is of when it asked.  A token's id says that it is one
 * that is no longer taken, whenever it was asked for.
 */

ngx_int_t
ngx_goim_end_meanwhile(ngx_goim_session_t *s, ngx_uint_t renewed)
{
    ngx_queue_t     *q;
    ngx_goim_end_t  *end;

    if (s->id <= ngx_goim_ends_forgotten && !renewed) {
        ngx_goim_count(auth_failed, 1);
        ngx_goim_close(s, 1013, "auth failed, try again");
        return NGX_ERROR;
    }

    for (q = ngx_queue_head(&ngx_goim_ends);
         q != ngx_queue_sentinel(&ngx_goim_ends);
         q = ngx_queue_next(q))
    {
        end = ngx_queue_data(q, ngx_goim_end_t, queue);

        if (renewed
            ? s->jti && ngx_goim_end_find(end->targets, end->n,
                                          NGX_GOIM_END_JTI, s->jti)
            : ngx_goim_end_of(s, end->targets, end->n) != NULL)
        {
            ngx_goim_end_session(s, end);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* ---- the walk ---- */

static void
ngx_goim_walk_handler(ngx_event_t *ev)
{
    ngx_int_t  rc;

    rc = ngx_goim_walk(NGX_GOIM_END_LOOK, NGX_GOIM_END_CLOSE);

    /* without memory the next tick tries again */

    if (rc == NGX_AGAIN) {
        ngx_post_event(ev, &ngx_posted_next_events);
    }
}


/* NGX_OK: nothing is left to do; NGX_AGAIN; NGX_ERROR: no memory */

static ngx_int_t
ngx_goim_walk(ngx_uint_t look, ngx_uint_t close)
{
    ngx_int_t            rc;
    ngx_queue_t         *q;
    ngx_goim_end_t      *end;
    ngx_goim_walk_t     *walk;
    ngx_goim_member_t   *member;
    ngx_goim_session_t  *s;

    walk = &ngx_goim_end_walk;

    if (walk->targets == NULL) {
        rc = ngx_goim_walk_begin();

        if (rc != NGX_AGAIN) {
            return rc;
        }
    }

    q = ngx_queue_next(&walk->marker.queue);
    ngx_queue_remove(&walk->marker.queue);

    while (q != ngx_queue_sentinel(&ngx_goim_room_all.members)) {

        if (look == 0 || close == 0) {
            ngx_queue_insert_tail(q, &walk->marker.queue);
            return NGX_AGAIN;
        }

        member = ngx_queue_data(q, ngx_goim_member_t, queue);
        s = member->session;
        end = s ? ngx_goim_end_of(s, walk->targets, walk->n) : NULL;
        look--;

        if (end == NULL) {
            q = ngx_queue_next(q);
            continue;
        }

        ngx_queue_insert_after(q, &walk->marker.queue);
        ngx_goim_end_session(s, end);
        close--;

        q = ngx_queue_next(&walk->marker.queue);
        ngx_queue_remove(&walk->marker.queue);
    }

    ngx_free(walk->targets);
    walk->targets = NULL;

    return NGX_AGAIN;
}


/* Who comes in from now on is before the marker. */

static ngx_int_t
ngx_goim_walk_begin(void)
{
    ngx_uint_t           n;
    ngx_queue_t         *q;
    ngx_goim_end_t      *end;
    ngx_goim_walk_t     *walk;
    ngx_goim_target_t   *t;

    n = 0;

    for (q = ngx_queue_head(&ngx_goim_ends);
         q != ngx_queue_sentinel(&ngx_goim_ends);
         q = ngx_queue_next(q))
    {
        end = ngx_queue_data(q, ngx_goim_end_t, queue);
        n += end->walked ? 0 : end->n;
    }

    if (n == 0) {
        return NGX_OK;
    }

    t = ngx_alloc(n * sizeof(ngx_goim_target_t), ngx_cycle->log);
    if (t == NULL) {
        return NGX_ERROR;
    }

    walk = &ngx_goim_end_walk;
    walk->targets = t;
    walk->n = n;

    for (q = ngx_queue_head(&ngx_goim_ends);
         q != ngx_queue_sentinel(&ngx_goim_ends);
         q = ngx_queue_next(q))
    {
        end = ngx_queue_data(q, ngx_goim_end_t, queue);

        if (!end->walked) {
            end->walked = 1;
            ngx_memcpy(t, end->targets, end->n * sizeof(ngx_goim_target_t));
            t += end->n;
        }
    }

    ngx_qsort(walk->targets, n, sizeof(ngx_goim_target_t), ngx_goim_end_cmp);
    ngx_queue_insert_head(&ngx_goim_room_all.members, &walk->marker.queue);

    return NGX_AGAIN;
}


/* ---- how long they are kept ---- */

void
ngx_goim_end_tick(void)
{
    ngx_queue_t     *q;
    ngx_goim_end_t  *end;

    if (ngx_queue_empty(&ngx_goim_ends)) {
        return;
    }

    if (!ngx_goim_end_event.posted) {
        ngx_post_event(&ngx_goim_end_event, &ngx_posted_next_events);
    }

    /* what the walk is for lies in them */

    while (ngx_goim_end_walk.targets == NULL
           && !ngx_queue_empty(&ngx_goim_ends))
    {
        q = ngx_queue_last(&ngx_goim_ends);
        end = ngx_queue_data(q, ngx_goim_end_t, queue);

        if (!end->walked
            || ngx_current_msec - end->came
               < ngx_goim_conf->logic_timeout + NGX_GOIM_END_GRACE)
        {
            return;
        }

        ngx_goim_end_forget(end);
    }
}


/* Too many of them: those who are here are looked for at once, and who is let
   in meanwhile has to come again. */

static void
ngx_goim_end_bound(void)
{
    ngx_int_t     rc;
    ngx_queue_t  *q;

    if (ngx_goim_ends_bytes <= NGX_GOIM_END_BYTES) {
        return;
    }

    do {
        rc = ngx_goim_walk(NGX_MAX_INT_T_VALUE, NGX_MAX_INT_T_VALUE);
    } while (rc == NGX_AGAIN);

    while (rc == NGX_OK && ngx_goim_ends_bytes > NGX_GOIM_END_BYTES / 2) {
        q = ngx_queue_last(&ngx_goim_ends);
        ngx_goim_end_forget(ngx_queue_data(q, ngx_goim_end_t, queue));
    }
}


static void
ngx_goim_end_forget(ngx_goim_end_t *end)
{
    ngx_goim_ends_forgotten = ngx_max(ngx_goim_ends_forgotten, end->session);
    ngx_goim_end_free(end);
}
