/*
 * The bodies of operation 6.
 */

#include "common/goim_answer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/goim_json.h"
#include "common/goim_packet.h"


static char *goim_answer_head(char *p, int64_t code, const char *reason);


size_t
goim_answer_bye(char *buf, unsigned code, const char *reason, int again)
{
    char  *p;

    p = goim_answer_head(buf, code, reason);
    p += sprintf(p, ",\"again\":%s}", again ? "true" : "false");

    return (size_t) (p - buf);
}


size_t
goim_answer_refused(char *buf, int code, const char *reason,
    int32_t operation, int32_t sequence)
{
    char  *p;

    p = goim_answer_head(buf, code, reason);
    p += sprintf(p, ",\"operation\":%" PRId32 ",\"seq\":%" PRId32 "}",
                 operation, sequence);

    return (size_t) (p - buf);
}


size_t
goim_answer_lost(char *buf, const char *reason, const int32_t *ops, size_t n)
{
    char    *p;
    size_t   i;

    p = goim_answer_head(buf, GOIM_FORBIDDEN, reason);
    p += sprintf(p, ",\"operation\":%d,\"seq\":0,\"operations\":[",
                 GOIM_OP_SUB);

    for (i = 0; i < n; i++) {
        p += sprintf(p, "%s%" PRId32, i ? "," : "", ops[i]);
    }

    p += sprintf(p, "]}");

    return (size_t) (p - buf);
}


size_t
goim_answer_expires(char *buf, uint64_t seconds)
{
    return (size_t) sprintf(buf, "{\"code\":%d,\"in\":%" PRIu64 "}",
                            GOIM_EXPIRES, seconds);
}


static char *
goim_answer_head(char *p, int64_t code, const char *reason)
{
    size_t  len;

    len = strlen(reason);

    if (len > GOIM_ANSWER_REASON) {

        for (len = GOIM_ANSWER_REASON;
             len > 0 && ((unsigned char) reason[len] & 0xc0) == 0x80;
             len--)
        {
            /* void */
        }
    }

    p += sprintf(p, "{\"code\":%" PRId64 ",\"reason\":", code);

    return goim_json_write(p, reason, len);
}
