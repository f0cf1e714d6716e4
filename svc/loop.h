/*
 * What a service's process is: options, configuration, signals, threads.
 *
 *     NAME --config FILE [--test] | --version | --help
 *
 * Exit codes: 0 stopped by a signal or --test passed, 1 could not start, could
 * not go on or --test failed, 2 wrong options. SIGTERM and SIGINT drain, a second one (or
 * the drain time) ends at once; SIGHUP opens the log again; SIGPIPE is
 * ignored.
 */

#ifndef SVC_LOOP_H
#define SVC_LOOP_H

#include <event2/event.h>

#include "conf.h"

#define SVC_VERSION  "0.1.0"

typedef struct {
    const char           *name;         /* "logic" */
    const char           *summary;      /* a line for --help */
    const conf_schema_t  *schema;
    void                 *conf;
    const char          **log;          /* in conf: log file and level */
    const char          **log_level;    /* a word of log_names */

    /* with --test: -1: what is wrong here and now, though the configuration is
       not; may be NULL */
    int   (*warn)(char *why, size_t size);

    /* on the main loop; -1 (said in the log): the process exits with 1 */
    int   (*start)(struct event_base *base);

    /* stop taking work; call svc_loop_done() when nothing is left */
    void  (*drain)(void);

    /* at SIGHUP, when the log was opened again; may be NULL */
    void  (*reload)(void);

    /* after the loop ended, before exit */
    void  (*stop)(void);

    const int64_t        *drain_time;   /* in conf: ms */
} svc_t;

int svc_main(const svc_t *svc, int argc, char **argv);

/* The drained service may end now. From any thread. */
void svc_loop_done(void);

/* It cannot do what it is for: it drains and exits with 1; `why` is logged.
 * From any thread. */
void svc_loop_fail(const char *why);

#endif
