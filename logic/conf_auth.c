/*
 * Who says who a client is: [auth] of the configuration.
 */

#include "conf.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "svc/conf.h"


static int logic_conf_pass(logic_conf_t *lcf, char *err, size_t size);


/* of logic_auth_t */
const char *const  logic_auth_names[] = { "trust", "http", NULL };

const char *const  logic_pass_names[] = {
    "query", "Origin", "User-Agent", "Authorization", "X-Request-Id", NULL
};


int
logic_conf_auth(logic_conf_t *lcf, char *err, size_t size)
{
    int  i;

    /* no default: whichever it was, somebody would not have meant it */

    if (lcf->auth_mode[0] == '\0') {
        snprintf(err, size, "[auth] mode is missing: choose \"http\" (your "
                 "service decides who a client is) or \"trust\" (any client "
                 "may be anyone and enter any room, as with goim)");
        return -1;
    }

    for (i = 0; strcmp(lcf->auth_mode, logic_auth_names[i]) != 0; i++) {
        /* it is one of them */
    }

    lcf->auth = (logic_auth_t) i;

    if (lcf->auth == LOGIC_AUTH_HTTP && lcf->auth_hook.url[0] == '\0') {
        snprintf(err, size, "[auth] mode = \"http\" needs [auth] url");
        return -1;
    }

    return logic_conf_pass(lcf, err, size);
}


static int
logic_conf_pass(logic_conf_t *lcf, char *err, size_t size)
{
    size_t       i, len;
    const char  *p;

    for (p = lcf->pass_list + strspn(lcf->pass_list, ", \t"); *p != '\0';
         p += len, p += strspn(p, ", \t"))
    {
        len = strcspn(p, ", \t");

        for (i = 0; logic_pass_names[i] != NULL; i++) {
            if (strlen(logic_pass_names[i]) == len
                && strncasecmp(p, logic_pass_names[i], len) == 0)
            {
                lcf->pass |= 1u << i;
                break;
            }
        }

        if (logic_pass_names[i] == NULL) {
            snprintf(err, size, "[auth] pass = \"%.64s\" is wrong: \"%.*s\" is "
                     "none of query, Origin, User-Agent, Authorization, "
                     "X-Request-Id", lcf->pass_list,
                     (int) (len < 64 ? len : 64), p);
            conf_hint(err, size, p, len, logic_pass_names);
            return -1;
        }
    }

    return 0;
}
