/*
 * PostgreSQL: libpq in the loop. A run is a pipeline: its statements, those
 * that are new to the connection prepared before, and a Sync; without a
 * transaction of several runs that is one transaction by itself.
 */

#include "db_pg.h"

#include "log.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PG_RETRY_MIN  100               /* ms */
#define PG_RETRY_MAX  2000
#define PG_CONNECT    5000              /* ms */

/* What was sent and is answered, in this order. */
typedef enum {
    PG_BEGIN, PG_PREPARE, PG_EXEC, PG_END, PG_SYNC
} pg_kind_t;

typedef struct {
    pg_kind_t    kind;
    size_t       at;                    /* of the run's statements */
} pg_sent_t;

typedef struct {
    db_t               *db;
    struct event_base  *base;
    char               *conninfo;
    PGconn             *conn;           /* NULL: none */
    int                 up;             /* and connected */
    struct event       *ev;             /* of its socket */
    int                 fd;
    short               what;           /* that ev waits for */
    struct event       *timer;          /* to connect, or give up on it */
    int64_t             delay;
    int                 said;           /* that it is away */
    struct event       *over;           /* the run is, by that */

    db_run_t           *run;            /* under way, or NULL */
    pg_sent_t          *sent;           /* in the run's arena */
    size_t              nsent, answered;
    int                 open;           /* a transaction of several runs is */
    int                 undoing;        /* the run has failed, and so it ends */
    char                known[DB_STATEMENTS];   /* prepared, as s<id> */
} db_pg_t;


static void db_pg_ready(evutil_socket_t fd, short what, void *data);


static int
db_pg_check(const char *conninfo, char *err, size_t size)
{
    char              *why;
    PQconninfoOption  *opts;

    opts = PQconninfoParse(conninfo, &why);

    if (opts == NULL) {
        snprintf(err, size, "no connection string of PostgreSQL: %s",
                 why ? why : "no memory");
        err[strcspn(err, "\n")] = '\0';
        PQfreemem(why);
        return -1;
    }

    PQconninfoFree(opts);

    return 0;
}


/* ---- the connection ---- */

static void
db_pg_wait(db_pg_t *g, short what)
{
    int  fd;

    fd = PQsocket(g->conn);

    if (fd == g->fd && what == g->what) {
        return;
    }

    if (g->ev != NULL) {
        event_free(g->ev);
        g->ev = NULL;
    }

    g->fd = fd;
    g->what = what;

    if (fd == -1) {
        return;
    }

    g->ev = event_new(g->base, fd, (short) (what | EV_PERSIST), db_pg_ready,
                      g);
    if (g->ev == NULL) {
        abort();
    }

    event_add(g->ev, NULL);
}


static void
db_pg_timer(db_pg_t *g, int64_t ms)
{
    struct timeval  tv;

    tv.tv_sec = ms / 1000;
    tv.tv_usec = ms % 1000 * 1000;
    event_add(g->timer, &tv);
}


static void
db_pg_drop(db_pg_t *g)
{
    if (g->ev != NULL) {
        event_free(g->ev);
        g->ev = NULL;
    }

    PQfinish(g->conn);

    g->conn = NULL;
    g->fd = -1;
    g->up = 0;
    g->open = 0;
    memset(g->known, 0, sizeof(g->known));
}


/* The callback may close the handle: nothing of it is touched afterwards. */

static void
db_pg_end(db_pg_t *g)
{
    db_run_t  *run;

    run = g->run;
    g->run = NULL;
    db_finished(g->db, run);
}


static void
db_pg_on_over(evutil_socket_t fd, short what, void *data)
{
    db_pg_t  *g;

    (void) fd;
    (void) what;

    g = data;

    if (g->run != NULL) {
        db_pg_end(g);
    }
}


/* Libpq's messages have several lines, and a newline at the end. */

static const char *
db_pg_line(char *to, size_t size, const char *text)
{
    char  *p;

    snprintf(to, size, "%s", text && *text ? text : "connection lost");

    for (p = to; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\t') {
            *p = p[1] == '\0' ? '\0' : ' ';
        }
    }

    return to;
}


/* The connection is lost, or was never had: later again. */

static void
db_pg_lost(db_pg_t *g, const char *why)
{
    char  text[400];

    db_pg_line(text, sizeof(text), why);

    if (!g->said) {
        log_write(LOG_ERROR, "postgresql: %s", text);
        g->said = 1;
    }

    db_pg_drop(g);
    db_set_up(g->db, 0);

    g->delay = g->delay ? g->delay * 2 : PG_RETRY_MIN;
    if (g->delay > PG_RETRY_MAX) {
        g->delay = PG_RETRY_MAX;
    }

    db_pg_timer(g, g->delay);

    if (g->run != NULL) {
        db_failed(g->run, DB_AWAY, g->run->n, "%s", text);
        event_active(g->over, EV_TIMEOUT, 0);
    }
}


static void db_pg_send(db_pg_t *g);


static void
db_pg_connecting(db_pg_t *g)
{
    switch (PQconnectPoll(g->conn)) {

    case PGRES_POLLING_READING:
        db_pg_wait(g, EV_READ);
        return;

    case PGRES_POLLING_WRITING:
        db_pg_wait(g, EV_WRITE);
        return;

    case PGRES_POLLING_OK:
        break;

    default:
        db_pg_lost(g, PQerrorMessage(g->conn));
        return;
    }

    event_del(g->timer);

    if (PQsetnonblocking(g->conn, 1) != 0 || PQenterPipelineMode(g->conn) != 1)
    {
        db_pg_lost(g, PQerrorMessage(g->conn));
        return;
    }

    log_write(LOG_NOTICE, "postgresql: connected to %s", PQhost(g->conn));

    g->up = 1;
    g->said = 0;
    g->delay = 0;
    db_pg_wait(g, EV_READ);
    db_connected(g->db);

    if (g->run != NULL) {
        db_pg_send(g);
    }
}


static void
db_pg_notice(void *data, const char *text)
{
    char  line[400];

    (void) data;

    log_write(LOG_INFO, "postgresql: %s",
              db_pg_line(line, sizeof(line), text));
}


static void
db_pg_on_timer(evutil_socket_t fd, short what, void *data)
{
    db_pg_t  *g;

    (void) fd;
    (void) what;

    g = data;

    if (g->conn != NULL) {
        db_pg_lost(g, g->up ? "no answer" : "no answer while connecting");
        return;
    }

    g->conn = PQconnectStart(g->conninfo);

    if (g->conn == NULL || PQstatus(g->conn) == CONNECTION_BAD) {
        db_pg_lost(g, g->conn ? PQerrorMessage(g->conn) : "no memory");
        return;
    }

    PQsetNoticeProcessor(g->conn, db_pg_notice, NULL);
    db_pg_timer(g, db_patient(g->db) < PG_CONNECT ? db_patient(g->db)
                                                  : PG_CONNECT);
    db_pg_wait(g, EV_WRITE);
}


/* ---- sending ---- */

static void
db_pg_sent(db_pg_t *g, pg_kind_t kind, size_t at)
{
    g->sent[g->nsent].kind = kind;
    g->sent[g->nsent].at = at;
    g->nsent++;
}


static int
db_pg_exec(db_pg_t *g, size_t at)
{
    int                i, n, lens[DB_ARGS], formats[DB_ARGS];
    Oid                types[DB_ARGS];
    char               name[32];
    uint64_t           ints[DB_ARGS];
    const char        *values[DB_ARGS];
    const db_stmt_t   *st;
    const db_value_t  *v;

    st = &g->run->stmts[at];
    n = (int) st->nargs;

    for (i = 0; i < n; i++) {
        v = &st->args[i];
        formats[i] = 1;
        values[i] = v->data;
        lens[i] = (int) v->len;
        types[i] = v->type == DB_TEXT ? PG_TEXT
                   : v->type == DB_BYTES ? PG_BYTEA : PG_INT8;

        if (v->type == DB_INT) {
            ints[i] = htobe64((uint64_t) v->n);
            values[i] = (const char *) &ints[i];
            lens[i] = 8;

        } else if (v->type == DB_NULL) {
            values[i] = NULL;
            types[i] = 0;
        }
    }

    snprintf(name, sizeof(name), "s%u", g->run->ids[at]);

    if (!g->known[g->run->ids[at]]) {
        if (PQsendPrepare(g->conn, name, st->sql, n, types) != 1) {
            return -1;
        }

        db_pg_sent(g, PG_PREPARE, at);
        g->known[g->run->ids[at]] = 1;
    }

    if (PQsendQueryPrepared(g->conn, name, n, values, lens, formats, 1) != 1) {
        return -1;
    }

    db_pg_sent(g, PG_EXEC, at);

    return 0;
}


static int
db_pg_simple(db_pg_t *g, pg_kind_t kind, const char *sql)
{
    db_pg_sent(g, kind, g->run->n);

    return PQsendQueryParams(g->conn, sql, 0, NULL, NULL, NULL, NULL, 1) == 1
           ? 0 : -1;
}


static int
db_pg_send_all(db_pg_t *g)
{
    int        open;
    size_t     i;
    db_run_t  *run;

    run = g->run;
    open = g->open;

    if (run->n == 0) {
        if (open && db_pg_simple(g, PG_END, "ROLLBACK") != 0) {
            return -1;
        }

    } else {
        if (!open && run->more && db_pg_simple(g, PG_BEGIN, "BEGIN") != 0) {
            return -1;
        }

        for (i = 0; i < run->n; i++) {
            if (db_pg_exec(g, i) != 0) {
                return -1;
            }
        }

        if (open && !run->more && db_pg_simple(g, PG_END, "COMMIT") != 0) {
            return -1;
        }
    }

    db_pg_sent(g, PG_SYNC, run->n);

    return PQpipelineSync(g->conn) == 1 ? 0 : -1;
}


static void db_pg_flush(db_pg_t *g);


static void
db_pg_send(db_pg_t *g)
{
    g->nsent = 0;
    g->answered = 0;
    g->undoing = 0;
    g->sent = db_alloc(&g->run->arena,
                       (2 * g->run->n + 3) * sizeof(pg_sent_t));

    if (db_pg_send_all(g) != 0) {
        db_pg_lost(g, PQerrorMessage(g->conn));
        return;
    }

    db_pg_timer(g, db_patient(g->db));
    db_pg_flush(g);
}


static void
db_pg_flush(db_pg_t *g)
{
    int  rc;

    rc = PQflush(g->conn);

    if (rc == -1) {
        db_pg_lost(g, PQerrorMessage(g->conn));
        return;
    }

    db_pg_wait(g, rc == 1 ? EV_READ | EV_WRITE : EV_READ);
}


/* ---- answers ---- */

/* A statement whose preparation failed, or came after what did, is not known. */

static void
db_pg_unknown(db_pg_t *g, const pg_sent_t *sent)
{
    if (sent->kind == PG_PREPARE) {
        g->known[g->run->ids[sent->at]] = 0;
    }
}


static void
db_pg_answer(db_pg_t *g, const pg_sent_t *sent, PGresult *res)
{
    char         text[400];
    db_run_t    *run;
    const char  *state;

    run = g->run;

    switch (PQresultStatus(res)) {

    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        if (sent->kind == PG_EXEC && run->reply.status == DB_OK) {
            db_pg_rows(run, sent->at, res);
        }

        if (sent->kind == PG_BEGIN) {
            g->open = 1;

        } else if (sent->kind == PG_END) {
            g->open = 0;
        }

        return;

    case PGRES_PIPELINE_ABORTED:
        db_pg_unknown(g, sent);
        return;

    default:
        db_pg_unknown(g, sent);
        state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
        db_pg_line(text, sizeof(text),
                   PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY));
        db_failed(run, db_pg_status(state), sent->at, "%s (%s)", text,
                  state ? state : "no code");
    }
}


static void
db_pg_undo(db_pg_t *g)
{
    g->nsent = 0;
    g->answered = 0;
    g->undoing = 1;

    if (db_pg_simple(g, PG_END, "ROLLBACK") != 0
        || PQpipelineSync(g->conn) != 1)
    {
        db_pg_lost(g, PQerrorMessage(g->conn));
        return;
    }

    db_pg_sent(g, PG_SYNC, g->run->n);
    db_pg_flush(g);
}


/* All is answered. A transaction that has failed and is open is ended before
   its callback. */

static void
db_pg_synced(db_pg_t *g)
{
    PGTransactionStatusType  status;

    status = PQtransactionStatus(g->conn);

    if (status == PQTRANS_IDLE) {
        g->open = 0;

    } else if (g->undoing) {
        db_pg_lost(g, "a transaction that does not end");
        return;

    } else if (g->run->reply.status != DB_OK) {
        db_pg_undo(g);
        return;
    }

    event_del(g->timer);
    db_pg_end(g);
}


static void
db_pg_answers(db_pg_t *g)
{
    int               sync;
    PGresult         *res;
    const pg_sent_t  *sent;

    while (g->run != NULL && g->answered < g->nsent && !PQisBusy(g->conn)) {

        res = PQgetResult(g->conn);

        if (res == NULL) {
            continue;                   /* the end of one's results */
        }

        sent = &g->sent[g->answered++];
        sync = PQresultStatus(res) == PGRES_PIPELINE_SYNC;

        if (sync != (sent->kind == PG_SYNC)) {
            PQclear(res);
            db_pg_lost(g, "answers in another order");
            return;
        }

        if (!sync) {
            db_pg_answer(g, sent, res);
        }

        PQclear(res);

        if (sync) {
            db_pg_synced(g);
            return;
        }
    }
}


static void
db_pg_ready(evutil_socket_t fd, short what, void *data)
{
    db_pg_t  *g;

    (void) fd;

    g = data;

    if (!g->up) {
        db_pg_connecting(g);
        return;
    }

    if (PQconsumeInput(g->conn) != 1) {
        db_pg_lost(g, PQerrorMessage(g->conn));
        return;
    }

    if (g->run != NULL && (what & EV_READ)) {
        db_pg_timer(g, db_patient(g->db));
    }

    if (what & EV_WRITE) {
        db_pg_flush(g);
    }

    if (g->up) {
        db_pg_answers(g);
    }
}


/* ---- the driver ---- */

static void
db_pg_start(void *driver, db_run_t *run)
{
    db_pg_t  *g;

    g = driver;
    g->run = run;

    if (g->up) {
        db_pg_send(g);
    }
}


static void *
db_pg_open(db_t *db, struct event_base *base, const char *conninfo)
{
    db_pg_t  *g;

    g = calloc(1, sizeof(db_pg_t));
    if (g == NULL) {
        abort();
    }

    g->db = db;
    g->base = base;
    g->fd = -1;
    g->conninfo = strdup(conninfo);
    g->timer = evtimer_new(base, db_pg_on_timer, g);
    g->over = evtimer_new(base, db_pg_on_over, g);

    if (g->conninfo == NULL || g->timer == NULL || g->over == NULL) {
        abort();
    }

    db_pg_timer(g, 0);

    return g;
}


static void
db_pg_close(void *driver)
{
    db_pg_t  *g;

    g = driver;

    db_pg_drop(g);
    event_free(g->timer);
    event_free(g->over);
    free(g->conninfo);
    free(g);
}


const db_driver_t  db_pg = {
    "postgresql",
    0,
    db_pg_check,
    db_pg_open,
    db_pg_start,
    db_pg_close
};
