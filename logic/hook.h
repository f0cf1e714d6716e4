/*
 * HTTP requests to the application (hook.c).
 */

#ifndef LOGIC_HOOK_H
#define LOGIC_HOOK_H

#include "logic.h"

/* status 0: no answer. body is valid during the call. */
typedef void (*logic_hook_pt)(int status, const char *body, size_t len,
    void *data);

logic_hook_t *logic_hook_new(logic_thread_t *t,
    const logic_hook_conf_t *conf);

/* Whoever waits is told status 0. */
void logic_hook_free(logic_hook_t *h);

/*
 * POST. query: appended to the path, "" for none; header: name, value, ...,
 * NULL; a value that is no header's is left out. Everything is copied. The
 * callback does not come from inside. -1: too many wait, no callback.
 */
int logic_hook_post(logic_hook_t *h, const char *query,
    const char *const *header, const void *body, size_t len,
    logic_hook_pt cb, void *data);

size_t logic_hook_busy(const logic_hook_t *h);

#endif
