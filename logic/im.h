/*
 * Messages between people. One table of commands (im_do.c) with two doors to it:
 * the HTTP API (im_http.c) and the sockets of clients (im_call.c). What changes
 * something goes to job by a bus of its own (im.c), whose answers come by a stream
 * (im_reply.c); what is stored is read from the database (im_read.c).
 */

#ifndef LOGIC_IM_H
#define LOGIC_IM_H

#include <jansson.h>

#include "query.h"
#include "rpc.h"
#include "token.h"

#include "common/goim_packet.h"
#include "svc/db.h"
#include "svc/im.h"


typedef struct logic_im_ask_s  logic_im_ask_t;

/* The answer; of `data`, which may be NULL, the reference is taken. */
typedef void (*logic_im_told_pt)(void *door, int code, const char *message,
    json_t *data);

/* A command on its way in. Each is answered once, from inside, too. */
typedef struct {
    logic_thread_t       *thread;
    http_request_t       *req;          /* NULL: by a socket */
    int64_t               mid;          /* who acts */
    const logic_query_t  *q;            /* parameters, and the payload */
    size_t                max;          /* bytes that it may have */
    int                   names;        /* the parameter mid names who acts */
    double                rate;         /* of what the user sends; 0: any */
    int64_t               burst;
    const char           *about;        /* the application's data of who acts */
    const char           *name;         /* of the command */
    int64_t               until;        /* by svc_now(): answered by then */
    logic_im_told_pt      told;
    void                 *door;
} logic_im_do_t;


/* [im] without db: 0, and t->im stays NULL */
int logic_im_start(logic_thread_t *t, char *err, size_t size);
void logic_im_free(logic_thread_t *t);

/* How many wait for an answer. */
size_t logic_im_busy(const logic_thread_t *t);

/* im_do.c: -1: there is no such command, nothing was answered */
int logic_im_do(const logic_im_do_t *d, const char *name);

/* parameters, for commands; NULL, -1: answered */
void logic_im_answer(const logic_im_do_t *d, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const char *logic_im_conv(const logic_im_do_t *d);
const char *logic_im_need(const logic_im_do_t *d, const char *name);
int logic_im_number(const logic_im_do_t *d, const char *name, int required,
    int64_t max, int64_t *value);

/* from 1 on; where it is missing the value stays as it is */
int logic_im_positive(const logic_im_do_t *d, const char *name, int64_t max,
    int64_t *value);

/* im.c: how often, the application's word, then the bus. c is complete but for
   where the answer goes, and copied */
void logic_im_ask(const logic_im_do_t *d, Goim__ImCommand *c);

/* im_read.c */
void logic_im_sync(const logic_im_do_t *d);
void logic_im_history(const logic_im_do_t *d);
void logic_im_convs(const logic_im_do_t *d);
void logic_im_group_get(const logic_im_do_t *d);
void logic_im_group_members(const logic_im_do_t *d);

/* {"body":…}, or, where it is no UTF-8, {"base64":…} */
json_t *logic_im_payload(const void *data, size_t len);

/* What follows a number in the inbox of $1, at most $3 entries: one row at least, if
   there are tables. */
#define LOGIC_INBOX(condition)                                               \
    "SELECT e.value, COALESCE(a.seq, 0), COALESCE(a.first, 1), i.seq, "      \
    "i.conv, i.key, b.read, b.read_n, b.notify, b.own, "                     \
    "m.seq, m.n, m.mid, m.cid, m.kind, m.at, m.body, m.operation "           \
    "FROM meta AS e LEFT JOIN account AS a ON a.mid = $1 "                   \
    "LEFT JOIN (SELECT seq, conv, cseq, key FROM inbox WHERE mid = $1 "      \
    "AND seq > " condition " ORDER BY seq LIMIT $3) AS i ON 1 = 1 "          \
    "LEFT JOIN message AS m ON m.conv = i.conv AND m.seq = i.cseq "          \
    "LEFT JOIN member AS b ON b.conv = i.conv AND b.mid = $1 "               \
    "AND i.key IS NOT NULL "                                                 \
    "WHERE e.name = 'epoch' ORDER BY i.seq"

/* columns of a row: of the inbox, then of an entry and its item */
enum {
    INBOX_EPOCH,
    INBOX_HEAD,
    INBOX_FIRST,
    INBOX_SEQ,
    INBOX_CONV,
    INBOX_KEY,                      /* of what is no item, and of pushes */
    INBOX_MEMBER,                   /* what im_state() takes */
    INBOX_OWN = INBOX_MEMBER + 3,
    INBOX_ITEM,
    INBOX_MID = INBOX_ITEM + 2,
    INBOX_TEXT = INBOX_ITEM + 6,
    INBOX_OPERATION,

    /* or of a stored push */
    INBOX_PUSH = INBOX_SEQ + 1,
    INBOX_BODY
};

/* im_inbox.c: a node's Read of an inbox, or of what was pushed and stored, which is
   valid and counted; heads of at most GOIM_HEADS_CALL: a row each, epoch and
   newest number */
void logic_inbox_read(logic_call_t *call);
void logic_inbox_heads(logic_thread_t *t, const int64_t *mids, size_t n,
    db_done_pt done, void *data);

/* im_seen.c: how much a session's key has had of what was pushed to its mid and
   stored; `done` comes in time, with "" where it is not known, or from inside */
typedef void (*logic_im_place_pt)(const char *epoch, uint64_t acked,
    void *data);
void logic_im_place(logic_thread_t *t, const logic_who_t *who,
    logic_im_place_pt done, void *data);

/* what nodes say of that; nobody waits */
void logic_im_acked(logic_thread_t *t, Goim__Session *const *sessions,
    size_t n);

/* im_device.c */
void logic_im_device(const logic_im_do_t *d);
void logic_im_devices(const logic_im_do_t *d);
void logic_im_kick(const logic_im_do_t *d);

/* what device.c and ticket.c take as text: "" where it is missing; NULL: answered */
const char *logic_im_text(const logic_im_do_t *d, const char *name, size_t max);
const char *logic_im_key(const logic_im_do_t *d);

/* im_ticket.c: [im] ticket_key and public_url: 0, or -1 and why not; the key of a
   thread, NULL: no memory */
int logic_im_ticket_check(const logic_conf_t *lcf, char *err, size_t size);
logic_jwk_t *logic_im_ticket_key(const logic_conf_t *lcf);
void logic_im_ticket(const logic_im_do_t *d);

/* A command about a device, with its mid and key: nobody waits for an answer, or
   knows whether it is carried out. */
void logic_im_note(logic_thread_t *t, Goim__ImCommand *c);

/* A device has logged in. */
void logic_im_seen(logic_thread_t *t, const logic_who_t *who);

/* im_call.c: a Receive of a session that may; its operation is 4, 18 or 22. 0: it
   is not for here, and nothing was answered */
int logic_im_call(logic_call_t *call, const logic_limits_t *limits);

/* im_signal.c: what is stored nowhere; the call is answered */
void logic_im_signal(logic_call_t *call, const logic_limits_t *limits);

/* Whether nobody else may send this operation. */
static inline int
logic_im_own(const logic_thread_t *t, int32_t operation)
{
    return t->im != NULL && operation >= GOIM_OP_COMMAND
           && operation <= GOIM_OP_SIGNAL;
}


/* im_reply.c: answers to requests of this thread */

typedef struct logic_im_replies_s  logic_im_replies_t;

logic_im_replies_t *logic_im_replies_new(logic_thread_t *t,
    void (*answer)(logic_thread_t *t, const Goim__ImReply *reply));
void logic_im_replies_free(logic_im_replies_t *r);

/* what job is told of it */
const char *logic_im_replies_name(const logic_im_replies_t *r);


LIST_HEAD(logic_im_asks_s, logic_im_ask_s);

#define LOGIC_IM_ASKS  1024         /* buckets, a power of two */
#define LOGIC_IM_TIME  4000         /* ms, at most, until it is answered -504 */

struct logic_im_s {
    bus_conf_t               bus_conf;
    struct event            *look;          /* of the first thread: is it the
                                               database that job writes? */
    bus_producer_t          *bus;
    db_t                    *db;
    logic_im_replies_t      *replies;
    logic_jwk_t             *ticket;        /* signs them; NULL: there are none */
    uint64_t                 request;       /* the last one's number */
    size_t                   asked;
    struct logic_inbox_s    *inboxes;       /* to be read, the first */
    struct logic_inbox_s   **inboxes_last;
    int                      reads;         /* some are being read */
    struct logic_im_asks_s   asks[LOGIC_IM_ASKS];
};

#endif
