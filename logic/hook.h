/*
 * HTTP requests to the application: POSTs to one URL, over so many kept
 * connections, with a bounded queue before them and one time limit for all.
 */

#ifndef LOGIC_HOOK_H
#define LOGIC_HOOK_H

#include <event2/event.h>

#include <stddef.h>

#include "conf.h"

#define LOGIC_HOOK_BODY     (64 * 1024)     /* bytes of an answer */
#define LOGIC_HOOK_HEADERS  (16 * 1024)     /* of its headers, 1xx ones too */

typedef struct {
    int          status;            /* of HTTP; 0: no answer */
    const char  *error;             /* status 0: why */
    const char  *body;              /* valid during the callback */
    size_t       len;
} logic_answer_t;

typedef void (*logic_hook_pt)(const logic_answer_t *answer, void *data);

typedef struct logic_hook_s  logic_hook_t;

/* Once a process, before there are threads; -1: it cannot be. */
int logic_hook_setup(void);

logic_hook_t *logic_hook_new(struct event_base *base,
    const logic_hook_conf_t *conf);

/* Whoever waits is told status 0. */
void logic_hook_free(logic_hook_t *h);

/*
 * POST. query: appended to the URL's, "" for none; header: name, value, ...,
 * NULL; a value that is empty or cannot be a header's is left out. Everything
 * is copied. The callback does not come from inside. -1: too many wait, no
 * callback.
 */
int logic_hook_post(logic_hook_t *h, const char *query,
    const char *const *header, const void *body, size_t len,
    logic_hook_pt cb, void *data);

/* JSON, signed (hook_sign.c). */
int logic_hook_signed(logic_hook_t *h, const char *secret, const char *body,
    size_t len, logic_hook_pt cb, void *data);

/* GET. */
int logic_hook_get(logic_hook_t *h, const char *const *header,
    logic_hook_pt cb, void *data);

/* As it may stand in a query: at most three times len; how much. */
size_t logic_hook_escape(char *out, const void *data, size_t len);

size_t logic_hook_busy(const logic_hook_t *h);

#endif
