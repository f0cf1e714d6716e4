/*
 * A file of the same name on another machine, or another name in another
 * configuration, looks like any other: empty, or as it was. So it says which one it
 * is.
 */

#include "im_same.h"

#include "im.h"
#include "log.h"

#include <string.h>


static void
im_same_compared(im_same_t *s, const char *job)
{
    log_text_t  t;

    if (strcmp(job, s->mine) == 0) {
        if (s->said) {
            log_write(LOG_NOTICE, "im: this is the database that job writes");
        }

        s->said = 0;

    } else if (!s->said) {
        log_write(LOG_ERROR, "im: this is not the database that job writes: "
                  "that is \"%s\", this \"%s\": another file, or one of "
                  "another machine", log_text(&t, job), s->mine);
        s->said = 1;
    }

    metrics_set(s->other, s->said);
}


static void
im_same_copied(svc_redis_t *r, redisReply *reply, void *data)
{
    im_same_t  *s = data;

    (void) r;

    s->looking = 0;

    if (svc_redis_class(reply) == SVC_REDIS_OK
        && reply->type == REDIS_REPLY_STRING)
    {
        im_same_compared(s, reply->str);
    }
}


/* Tables that job did not make yet have no instance. */

static void
im_same_read(const db_reply_t *reply, void *data)
{
    im_same_t         *s = data;
    const db_value_t  *v;

    s->looking = 0;

    if (reply->status != DB_OK || reply->rows[0].nrows != 1) {
        return;
    }

    v = reply->rows[0].values;

    if (v->type != DB_TEXT || v->len > GOIM_EPOCH_MAX) {
        return;
    }

    memcpy(s->mine, v->data, v->len);
    s->mine[v->len] = '\0';

    s->looking = svc_redis_callf(s->redis, im_same_copied, s, "HGET %s"
                                 IM_PLACES " " IM_INSTANCE,
                                 svc_redis_prefix(s->redis)) == 0;
}


void
im_same_look(im_same_t *s)
{
    static const db_stmt_t  instance = {
        "SELECT value FROM meta WHERE name = 'instance'", NULL, 0
    };

    if (!s->looking) {
        s->looking = 1;
        db_run(s->db, &instance, 1, 0, im_same_read, s);
    }
}
