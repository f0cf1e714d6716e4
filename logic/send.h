/*
 * What clients send: checked, shown to the application (send_before.c),
 * published as a push whose sender is the client's mid.
 */

#ifndef LOGIC_SEND_H
#define LOGIC_SEND_H

#include "common/goim_answer.h"

#include "grants.h"
#include "hook.h"
#include "logic.h"
#include "query.h"
#include "rpc.h"
#include "send_line.h"
#include "token.h"

typedef struct {
    int          code;              /* 0, or of common/goim_answer.h */
    const char  *reason;            /* valid during the callback */
    int64_t      after;             /* OFTEN: ms until the next may work */
} logic_sent_t;

typedef void (*logic_send_pt)(const logic_sent_t *sent, void *data);

typedef struct {
    int64_t               mid;      /* over 0 */
    const char           *key;      /* the session's */
    size_t                key_len;  /* 0: there is none */
    const char           *about;    /* the application's data of it */
    const logic_sends_t  *may;
    const logic_limits_t *limits;   /* of its user */
    const void           *data;     /* first line and payload; lent until the
                                       callback */
    size_t                len;
    int64_t               deadline; /* by svc_now(): nothing is sent later */
} logic_send_ask_t;

/* The callback comes once, from inside, too. */
void logic_send(logic_thread_t *t, const logic_send_ask_t *ask,
    logic_send_pt done, void *data);

/* {"code":0}, {"code":-403,"reason":"..."}, {"code":-429,"after":200, ...}; to
   be freed. */
char *logic_send_answer(const logic_sent_t *sent);


/* ---- what is asked of every message ---- */

/* how often the user may send, in s, and how much at once */
double logic_send_limit(const logic_thread_t *t, const logic_limits_t *limits,
    int64_t *burst);

/* after: 0: now; ms until the user may send; -1: it is not known */
typedef void (*logic_rate_pt)(int64_t after, void *data);

/* send_rate.c; the callback may come from inside. rate 0: any number */
void logic_rate(logic_thread_t *t, int64_t mid, double rate, int64_t burst,
    logic_rate_pt cb, void *data);

/* what the application says */
typedef struct {
    int          code;              /* 0, FORBIDDEN, or LATER: it said nothing */
    const char  *reason;
    char        *payload;           /* in place of what it was asked about, to be
                                       freed by who is told; or NULL */
    size_t       len;
} logic_judged_t;

typedef void (*logic_judge_pt)(const logic_judged_t *judged, void *data);

/* send_before.c; there is t->before. about: the application's data of the user;
   max: bytes of another payload. The callback may come from inside. */
void logic_before(logic_thread_t *t, const char *query, const char *about,
    const void *payload, size_t len, size_t max, logic_judge_pt cb, void *data);


/* ---- one of them ---- */

typedef struct {
    logic_thread_t      *thread;
    logic_send_line_t    line;
    int64_t              mid;
    char                 sender[24];
    char                 key[GOIM_KEY_MAX + 1];
    size_t               key_len;
    char                 about[GOIM_DATA_MAX + 1];
    const char          *payload;   /* lent, or */
    char                *owned;     /* in there */
    size_t               len;
    double               rate;      /* its user's */
    int64_t              burst;
    int64_t              deadline;
    logic_send_pt        done;
    void                *data;
} logic_send_t;

/* Answer, and let go of it. */
void logic_send_end(logic_send_t *s, int code, const char *reason);
void logic_send_often(logic_send_t *s, int64_t after);

/* The steps behind each other: each goes on with the next, or ends it. */
void logic_send_rate(logic_send_t *s);          /* send_rate.c */
void logic_send_before(logic_send_t *s);        /* send_before.c */
void logic_send_publish(logic_send_t *s);
void logic_events_message(logic_send_t *s);     /* events_message.c */


/* ---- from whom: send_call.c, send_http.c ---- */

/* What a session may send, packed for its node; NULL: nothing, or no memory.
   To be freed. */
uint8_t *logic_send_pack(const logic_who_t *who, size_t *len);

/* A Receive with `send`. */
void logic_send_call(logic_call_t *call);

/* A request with the user's own token. */
void logic_send_http(logic_thread_t *t, http_request_t *req,
    logic_query_t *q);

#endif
