/*
 * How much devices have had of what was pushed to their users and stored: said by
 * nodes, kept by job, asked for at login.
 */

#include "im.h"

#include "session.h"

#include <stdlib.h>
#include <string.h>

#include "svc/clock.h"

#define LOGIC_PLACE_TIME  1000      /* ms that a login waits for the database, */
#define LOGIC_PLACE_MOST  10000     /* and so many runs of it before */


/* ---- at login ---- */

typedef struct {
    logic_thread_t     *thread;
    logic_im_place_pt   done;       /* NULL: told, as the time was up */
    void               *data;
    struct event       *timer;
} logic_place_t;


static void
logic_place_tell(logic_place_t *p, const char *epoch, uint64_t acked)
{
    logic_im_place_pt  done;

    done = p->done;

    if (done == NULL) {
        return;
    }

    p->done = NULL;
    event_free(p->timer);
    done(epoch, acked, p->data);
}


/* The session gets what comes, and what it missed at its next login. */

static void
logic_place_late(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;

    metrics_add(logic_m.places_unknown, 1);
    logic_place_tell(data, "", 0);
}


/* At most so many of the newest; a device that was never here lacks all. */

static void
logic_place_got(const db_reply_t *reply, void *data)
{
    char               epoch[GOIM_EPOCH_MAX + 1];
    int64_t            acked, oldest;
    logic_place_t     *p = data;
    const db_value_t  *v;

    if (reply->status != DB_OK || reply->rows[0].nrows != 1
        || reply->rows[0].values[0].len > GOIM_EPOCH_MAX)
    {
        if (p->done != NULL) {
            logic_place_late(-1, 0, p);
        }

    } else {
        v = reply->rows[0].values;
        memcpy(epoch, v[0].data, v[0].len);
        epoch[v[0].len] = '\0';

        oldest = v[1].n - p->thread->conf->im_offline_push;
        acked = v[2].n > oldest ? v[2].n : oldest > 0 ? oldest : 0;

        logic_place_tell(p, epoch, (uint64_t) acked);
    }

    free(p);
}


void
logic_im_place(logic_thread_t *t, const logic_who_t *who,
    logic_im_place_pt done, void *data)
{
    db_stmt_t       st;
    db_value_t      args[2];
    logic_place_t  *p;

    static const char  place[] =
        "SELECT e.value, COALESCE(a.pushes, 0), COALESCE(d.acked, 0) "
        "FROM meta AS e LEFT JOIN account AS a ON a.mid = $1 "
        "LEFT JOIN device AS d ON d.mid = $1 AND d.key = $2 "
        "WHERE e.name = 'epoch'";

    if (!db_up(t->im->db) || db_waiting(t->im->db) > LOGIC_PLACE_MOST) {
        metrics_add(logic_m.places_unknown, 1);
        done("", 0, data);
        return;
    }

    p = calloc(1, sizeof(logic_place_t));

    if (p == NULL || (p->timer = evtimer_new(t->base, logic_place_late, p))
                     == NULL)
    {
        abort();
    }

    p->thread = t;
    p->done = done;
    p->data = data;
    svc_timer(p->timer, LOGIC_PLACE_TIME);

    args[0] = db_int(who->mid);
    args[1] = db_text(who->key, who->key_len);
    st = (db_stmt_t) { place, args, 2 };

    db_run(t->im->db, &st, 1, 0, logic_place_got, p);
}


/* ---- what nodes say ---- */

/* One that is lost is told again by the next, or what it is about comes twice. */

static void
logic_im_ack(logic_thread_t *t, const Goim__Session *s)
{
    char             key[GOIM_KEY_MAX + 1];
    Goim__ImCommand  c = GOIM__IM_COMMAND__INIT;

    memcpy(key, s->key.data, s->key.len);
    key[s->key.len] = '\0';

    c.mid = s->mid;
    c.key = key;
    c.set = 8;
    c.seq = s->acked;
    c.epoch = s->epoch;

    logic_im_note(t, &c);
}


void
logic_im_acked(logic_thread_t *t, Goim__Session *const *sessions, size_t n)
{
    size_t                i;
    const Goim__Session  *s;

    for (i = 0; i < n && t->im != NULL; i++) {
        s = sessions[i];

        if (s->acked > 0 && s->acked <= GOIM_SEQ_MAX && s->mid > 0
            && s->key.len > 0 && s->key.len <= GOIM_KEY_MAX
            && memchr(s->key.data, '\0', s->key.len) == NULL
            && strlen(s->epoch) <= GOIM_EPOCH_MAX)
        {
            logic_im_ack(t, s);
        }
    }
}


void
logic_seen_call(logic_call_t *call)
{
    Goim__Seen  *seen;

    seen = call->msg->seen;

    if (seen->n_sessions > GOIM_SESSIONS_CALL) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "seen");
        return;
    }

    logic_im_acked(call->thread, seen->sessions, seen->n_sessions);
    logic_reply_ok(call);
}
