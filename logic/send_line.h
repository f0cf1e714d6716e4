/*
 * What a client sends: a line of JSON that says where it goes, and behind the
 * line's end the payload, any bytes.
 *
 *     {"to":"live://1","operation":1000,"id":"a1"}
 *     {"mids":[7,8],"operation":1000}
 */

#ifndef LOGIC_SEND_LINE_H
#define LOGIC_SEND_LINE_H

#include <stddef.h>
#include <stdint.h>

#include "common/goim_limits.h"
#include "svc/history.h"

#define LOGIC_SEND_LINE  4096       /* bytes of the line */
#define LOGIC_SEND_MIDS  100        /* users that it names */


typedef struct {
    char         room[GOIM_ROOM_MAX + 1];
    size_t       room_len;          /* 0: it is for mids */
    int64_t      mids[LOGIC_SEND_MIDS];     /* over 0 */
    size_t       nmids;
    int32_t      operation;
    char         id[HISTORY_ID_MAX + 1];    /* "": none */

    const char  *payload;           /* within the data */
    size_t       len;
} logic_send_line_t;

/*
 * Names are exact and stand once, others are ignored. 0, or -1 and *reason.
 */
int logic_send_line(const void *data, size_t len, logic_send_line_t *line,
    const char **reason);

#endif
