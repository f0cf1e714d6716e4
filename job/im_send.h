/*
 * What commands between people have made, to the sessions (im_send.c); and what
 * they are.
 */

#ifndef JOB_IM_SEND_H
#define JOB_IM_SEND_H

#include "job.h"

#include "svc/db.h"
#include "svc/im.h"
#include "svc/im_same.h"

#define JOB_IM_BATCH   1000                 /* commands of a transaction, */
#define JOB_IM_BYTES   (4 * 1024 * 1024)    /* bytes of them, */
#define JOB_IM_ROWS    5000                 /* rows written, about, */
#define JOB_IM_SENT    (16 * 1024 * 1024)   /* bytes brought to members; or one */
#define JOB_IM_KEYS    256                  /* of a record */


typedef struct job_im_cmd_s   job_im_cmd_t;
typedef struct job_im_conv_s  job_im_conv_t;
typedef struct job_im_send_s  job_im_send_t;
typedef struct job_im_dead_s  job_im_dead_t;
typedef struct job_im_place_s  job_im_place_t;

typedef enum { IM_MEMBER, IM_ADMIN, IM_OWNER } job_im_role_t;
typedef enum { IM_CLOSED, IM_ASK, IM_OPEN } job_im_rule_t;      /* of joining */

/* a member, as a transaction finds it */
typedef struct {
    int64_t         mid;
    uint64_t        read, read_n;
    job_im_role_t   role;
    int64_t         muted;          /* until then, Unix time, ms */
    char           *ext;            /* NULL: no command asks for it */
    char           *own;            /* ... for these two */
    int64_t         notify;
    unsigned        moved:1;        /* its cursor, by what it sent */
} job_im_member_t;

/* a conversation that a batch is about */
struct job_im_conv_s {
    const char       *id;           /* a command's */
    im_type_t         type;
    int64_t           low, high;    /* of a pair */
    uint64_t          seq, n;       /* so far */
    int64_t           newest;       /* of the batch: when it was taken */
    job_im_member_t  *members;      /* by mid; none: there is no such group */
    size_t            nmembers;
    job_im_rule_t     rule;
    char             *ext;
    int64_t          *asking;       /* to join, by mid */
    size_t            nasking;
    size_t            at;           /* its first statement */
    size_t            asked;        /* that of who asks, if asks */
    unsigned          used:1;       /* by a command that is carried out */
    unsigned          asks:1;       /* a command is about joining */
    unsigned          mute_all:1;   /* only who has a role sends */
    unsigned          create:1;     /* it may be made by the batch */
    unsigned          changed:1;
};

/* whom an item goes to */
typedef struct {
    job_im_cmd_t     *cmd;
    int64_t           mid;
    uint64_t          seq;          /* in the inbox */
    uint64_t          gap;          /* so many before it are no more */
    uint64_t          push;         /* among what is pushed to mid and stored */
} job_im_entry_t;

struct job_im_cmd_s {
    job_im_cmd_t     *next;
    uint32_t          partition;
    goim_offset_t     offset;
    size_t            size;
    Goim__ImCommand  *c;
    size_t            turn;         /* in the batch */
    job_im_conv_t    *conv;
    size_t            to;           /* its statements of these names */
    size_t            ext;
    size_t            place;        /* that of its partition's place */
    char              id[GOIM_IM_LOGIC + 24];       /* im_cid() */

    /* what came of it */
    unsigned          old:1;        /* at or under the place: carried out */
    unsigned          repeat:1;     /* as one before it, of the same id */
    unsigned          asks:1;       /* JOIN: it is asked for */
    unsigned          answered:1;
    int32_t           code;
    const char       *message;
    uint64_t          seq, n;
    int64_t           at;
    char             *own;          /* the entry's line, for READ and SETTINGS,
                                       where there is one */
    size_t            row;          /* its statement, and 1; 0: none */
    size_t            entry;        /* which one that is, with row */
};

typedef struct {
    char              epoch[GOIM_EPOCH_MAX + 1];    /* of inboxes */
    job_im_cmd_t    **cmds;
    size_t            ncmds;
    job_im_conv_t    *convs;        /* by id */
    size_t            nconvs;
    int64_t          *mids;         /* accounts, in order, */
    uint64_t         *seqs;         /* and the newest number of each, */
    uint64_t         *was;          /* what that was before, */
    uint64_t         *pushes;       /* and of its stored pushes: 0, none yet in
                                       this batch */
    size_t            nmids;
    size_t            before;       /* statement: what was done before */
    job_im_entry_t   *entries;
    size_t            nentries, size_entries;
    size_t            nplaces;      /* statements of them */
} job_im_batch_t;


struct job_im_s {
    job_t            *job;
    bus_conf_t        bus;
    bus_consumer_t   *consumer;
    db_t             *db;
    struct event     *timer;
    int64_t           delay;        /* ms, before the same again, */
    char              said[128];    /* and why */

    job_im_cmd_t     *head;         /* wait, */
    job_im_cmd_t    **tail;
    size_t            bytes;        /* of them and of the batch */
    size_t            most;         /* commands a batch: fewer after one was
                                       refused, until there is one alone */
    job_im_batch_t    batch;
    job_im_send_t    *send;
    job_im_place_t   *place;
    uint32_t          owned;        /* partitions, and */
    unsigned          connections;  /* of the database, when it was compared */
    unsigned          idle;         /* looks without any; then: */
    im_same_t         same;
    struct event     *tick;
    void            (*drained)(job_t *job);

    /* what comes next */
    void            (*done)(job_im_t *im, const db_reply_t *reply);
    void            (*sent)(job_im_t *im);
    void            (*buried)(job_im_t *im);
    void            (*again)(job_im_t *im);     /* later */
    void            (*strange)(job_im_t *im);   /* is it the same database? */
    void            (*compared)(job_im_t *im);
    void            (*failed_db)(job_im_t *im, const db_reply_t *reply);
    void            (*forget)(job_im_t *im, uint32_t partition);

    job_im_dead_t    *dead;
    char             *why;          /* the batch's command is given up */
    unsigned          ready:1;      /* the tables are there */
    unsigned          comparing:1;
    unsigned          kept:1;       /* what is given up is */
    unsigned          busy:1;       /* with the batch */
    unsigned          failed:1;     /* what was tried last: again later */
    unsigned          paused:1;
    unsigned          draining:1;
    unsigned          freeing:1;

    metric_t         *commands, *batches, *refused, *repeats, *given_up, *bad,
                     *retries, *entries, *partitions;
};


/* The id of the command's item, by which a repeat is known, and its kind. They live
 * as long as cmd. */
const char *im_cid(job_im_cmd_t *cmd);
const char *im_kind(const job_im_cmd_t *cmd);

/* Bring im->batch's entries to the sessions; then im->sent(). */
void job_im_send(job_im_t *im);
void job_im_send_free(job_im_t *im);

#endif
