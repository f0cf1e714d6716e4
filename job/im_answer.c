/*
 * Answers, to the threads of logic that asked.
 */

#include "im_answer.h"

#include <stdio.h>
#include <stdlib.h>

#define IM_REPLIES       "10000"                /* of a thread of logic, */
#define IM_REPLIES_LIVE  "60000"                /* ms */


void
job_im_answer(job_im_t *im, const job_im_cmd_t *cmd, int code,
    const char *message)
{
    char           key[GOIM_PREFIX_MAX + 128];
    uint8_t       *packed;
    size_t         len;
    svc_redis_t   *redis;
    Goim__ImReply  reply = GOIM__IM_REPLY__INIT;

    if (cmd->c->logic[0] == '\0') {
        return;
    }

    reply.request = cmd->c->request;
    reply.code = code;
    reply.message = (char *) (message ? message : "");
    reply.seq = cmd->seq;
    reply.at = cmd->at;

    len = goim__im_reply__get_packed_size(&reply);
    packed = job_realloc(NULL, len + 1);
    goim__im_reply__pack(&reply, packed);

    redis = im->job->redis;
    snprintf(key, sizeof(key), "%s" IM_REPLY "%s", svc_redis_prefix(redis),
             cmd->c->logic);

    (void) svc_redis_callf(redis, NULL, NULL, "XADD %s MAXLEN ~ " IM_REPLIES
                           " * r %b", key, packed, len);
    (void) svc_redis_callf(redis, NULL, NULL, "PEXPIRE %s " IM_REPLIES_LIVE,
                           key);
    free(packed);
}
