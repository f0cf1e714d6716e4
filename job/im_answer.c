/*
 * Answers, to the threads of logic that asked.
 */

#include "im_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IM_ANSWERS       256                    /* in one entry */
#define IM_REPLIES       "10000"                /* of a thread of logic, */
#define IM_REPLIES_LIVE  "60000"                /* ms */


/* Those of the same thread go together. */

static void
im_answer(job_im_t *im, job_im_cmd_t **cmds, size_t n)
{
    char             key[GOIM_PREFIX_MAX + 128];
    size_t           i, len;
    uint8_t         *packed;
    svc_redis_t     *redis;
    Goim__ImReply    replies[IM_ANSWERS], *list[IM_ANSWERS];
    Goim__ImReplies  all = GOIM__IM_REPLIES__INIT;

    all.replies = list;

    for (i = 0; i < n && all.n_replies < IM_ANSWERS; i++) {

        if (cmds[i]->answered
            || strcmp(cmds[i]->c->logic, cmds[0]->c->logic) != 0)
        {
            continue;
        }

        cmds[i]->answered = 1;
        list[all.n_replies] = &replies[all.n_replies];
        goim__im_reply__init(list[all.n_replies]);
        list[all.n_replies]->request = cmds[i]->c->request;
        list[all.n_replies]->code = cmds[i]->code;
        list[all.n_replies]->message = (char *) (cmds[i]->message
                                                 ? cmds[i]->message : "");
        list[all.n_replies]->seq = cmds[i]->seq;
        list[all.n_replies++]->at = cmds[i]->at;
    }

    len = goim__im_replies__get_packed_size(&all);
    packed = job_realloc(NULL, len + 1);
    goim__im_replies__pack(&all, packed);

    redis = im->job->redis;
    snprintf(key, sizeof(key), "%s" IM_REPLY "%s", svc_redis_prefix(redis),
             cmds[0]->c->logic);

    (void) svc_redis_callf(redis, NULL, NULL, "XADD %s MAXLEN ~ " IM_REPLIES
                           " * r %b", key, packed, len);
    (void) svc_redis_callf(redis, NULL, NULL, "PEXPIRE %s " IM_REPLIES_LIVE,
                           key);
    free(packed);
}


void
job_im_answer(job_im_t *im, job_im_cmd_t **cmds, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        cmds[i]->answered = cmds[i]->c->logic[0] == '\0';
    }

    for (i = 0; i < n; i++) {
        if (!cmds[i]->answered) {
            im_answer(im, cmds + i, n - i);
        }
    }
}
