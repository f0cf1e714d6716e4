/*
 * The application is told of messages for users without a session: those that job
 * has noted (job/im_offline.c) are looked at again when they have waited
 * (offline_look.c), and told (offline.c). All logics share them.
 */

#ifndef LOGIC_OFFLINE_H
#define LOGIC_OFFLINE_H

#include <jansson.h>

#include "logic.h"

#include "svc/im.h"

#define LOGIC_OFFLINE_BATCH  100

/* A user and a conversation that are looked at. */
typedef struct {
    logic_offline_t  *offline;
    char             *who;          /* as Redis has it */
    int64_t           mid;
    char              conv[GOIM_IM_CONV + 1];
    char              upto[24];     /* seq of the last message of those, */
    int64_t           count;        /* and how many they are */
    json_t           *told;         /* what is; NULL: nothing */
} logic_offline_one_t;

struct logic_offline_s {
    logic_thread_t       *thread;
    logic_hook_t         *hook;
    struct event         *timer;
    logic_offline_one_t   list[LOGIC_OFFLINE_BATCH];
    size_t                n;
    size_t                calls;    /* that look */
    unsigned              failures; /* of the application, in a row */
    unsigned              full:1;   /* more may be due */
    unsigned              unknown:1;    /* whether they are to be told of */
    unsigned              busy:1;
    unsigned              stopped:1;
};


/* The thread's part, where the application is told: t->offline stays NULL else. */
int logic_offline_start(logic_thread_t *t);

/* No more are begun; whether some are under way. */
void logic_offline_stop(logic_thread_t *t);
int logic_offline_busy(const logic_thread_t *t);

void logic_offline_free(logic_thread_t *t);


/* ---- offline_look.c ---- */

/* What is to be told of those of the list, by the database and the sessions. */
void logic_offline_look(logic_offline_t *o);

/* It is known; or -1: it is to be looked at again. */
void logic_offline_looked(logic_offline_t *o, int rc);

#endif
