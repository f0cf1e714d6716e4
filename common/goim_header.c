#include "goim_header.h"

#include <string.h>
#include <strings.h>

#include "goim_limits.h"


/* not to be had; with a hyphen at the end: those that begin like it. "query"
   is a word of [auth] pass */

static const char *const  goim_header_names[] = {
    "Connection", "Content-", "Cookie", "Expect", "Host", "HTTP2-Settings",
    "Keep-Alive", "Proxy-", "query", "Sec-WebSocket-", "TE", "Trailer",
    "Transfer-Encoding", "Upgrade", "X-Goim-"
};


int
goim_header_passes(const char *name, size_t len)
{
    size_t       i, n;
    const char  *p;

    if (len == 0 || len > GOIM_HEADER_MAX) {
        return 0;
    }

    for (p = name; p < name + len; p++) {
        if (*p <= ' ' || *p >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", *p)) {
            return 0;
        }
    }

    for (i = 0; i < sizeof(goim_header_names) / sizeof(goim_header_names[0]);
         i++)
    {
        p = goim_header_names[i];
        n = strlen(p);

        if (len >= n && strncasecmp(name, p, n) == 0
            && (len == n || p[n - 1] == '-'))
        {
            return 0;
        }
    }

    return 1;
}
