/*
 * What the application is told: [events] of sessions, [offline] of messages for
 * who has none.
 */

#include "conf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/goim_limits.h"
#include "svc/conf.h"


static int logic_conf_secret(const char *section, const char *secret, char *err,
    size_t size);
static int logic_conf_events_types(logic_conf_t *lcf, char *err, size_t size);


const char *const  logic_event_names[] = {
    "connect", "disconnect", "join", "leave", "message", NULL
};


int
logic_conf_events(logic_conf_t *lcf, char *err, size_t size)
{
    lcf->events_hook.connections = 1;       /* in order: one at a time */
    lcf->events_hook.waiting = 1;

    if (logic_conf_hook("events", "url", &lcf->events_hook, err, size) != 0) {
        return -1;
    }

    if (lcf->events_hook.url[0] == '\0') {
        return 0;
    }

    if (logic_conf_secret("events", lcf->events_secret, err, size) != 0) {
        return -1;
    }

    return logic_conf_events_types(lcf, err, size);
}


/* what requests are signed with */

static int
logic_conf_secret(const char *section, const char *secret, char *err,
    size_t size)
{
    size_t  len;

    len = strlen(secret);

    if (len >= GOIM_SECRET_MIN && len <= GOIM_SECRET_MAX) {
        return 0;
    }

    snprintf(err, size, "[%s] url needs secret_file, a file with %d to %d bytes",
             section, GOIM_SECRET_MIN, GOIM_SECRET_MAX);

    return -1;
}


int
logic_conf_offline(logic_conf_t *lcf, char *err, size_t size)
{
    lcf->offline_hook.connections = 1;
    lcf->offline_hook.waiting = 1;

    if (logic_conf_hook("offline", "url", &lcf->offline_hook, err, size) != 0) {
        return -1;
    }

    if (lcf->offline_hook.url[0] == '\0') {
        return 0;
    }

    if (lcf->im_db[0] == '\0') {
        snprintf(err, size, "[offline] url without [im] db: nothing is stored "
                 "that somebody could be told of");
        return -1;
    }

    return logic_conf_secret("offline", lcf->offline_secret, err, size);
}


/* As lib/who.lua has them: first letters, and how many may wait. */

static int
logic_conf_events_types(logic_conf_t *lcf, char *err, size_t size)
{
    size_t       i, len;
    unsigned     types;
    const char  *list, *word;
    char         letters[8], *p;

    types = 0;
    list = lcf->events_list;

    while ((word = logic_conf_word(&list, &len)) != NULL) {

        for (i = 0; logic_event_names[i] != NULL; i++) {
            if (strlen(logic_event_names[i]) == len
                && strncmp(word, logic_event_names[i], len) == 0)
            {
                types |= 1u << i;
                break;
            }
        }

        if (logic_event_names[i] == NULL) {
            snprintf(err, size, "[events] types = \"%.64s\" is wrong: \"%.*s\" "
                     "is none of connect, disconnect, join, leave, message",
                     lcf->events_list, (int) (len < 64 ? len : 64), word);
            conf_hint(err, size, word, len, logic_event_names);
            return -1;
        }
    }

    p = letters;

    for (i = 0; logic_event_names[i] != NULL; i++) {
        if (types & 1u << i) {
            *p++ = logic_event_names[i][0];
        }
    }

    *p = '\0';

    snprintf(lcf->events_set, sizeof(lcf->events_set), "%s %" PRId64, letters,
             lcf->events_max);

    return 0;
}
