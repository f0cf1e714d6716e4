/*
 * The registry of nodes: what logic writes for the comets.
 */

#include "registry.h"

#include "log.h"
#include "stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define REGISTRY_KEY  1024


/*
 * KEYS: nodes, version, seen, zones of the server, its stream
 * ARGV: server, zone, instance, replaces, ttl (ms), packed field `info`,
 *       expiry of the stream (s)
 *
 * The zones of a server stand beside the packed nodes in a form that Lua can
 * read: zone -> "<seen> <instance>". Possible in a full Redis too, or the
 * nodes would seem to die just when they are needed to empty it.
 */
static svc_script_t  registry_register_script = {
    .body =
    "#!lua flags=allow-oom\n"
    "local replaced = 0\n"
    "local types = { 'hash', 'string', 'zset', 'hash' }\n"
    "for i, want in ipairs(types) do\n"
    "    local t = redis.call('TYPE', KEYS[i]).ok\n"
    "    if t ~= want and t ~= 'none' then\n"
    "        redis.call('DEL', KEYS[i])\n"
    "        replaced = 1\n"
    "    end\n"
    "end\n"
    "local t = redis.call('TIME')\n"
    "local now = t[1] * 1000 + math.floor(t[2] / 1000)\n"
    "local field = ARGV[1] .. '/' .. ARGV[2]\n"
    /* the last part tells instances apart */
    "local function id(instance)\n"
    "    return string.match(instance, '[^/]*$')\n"
    "end\n"
    "local holder, gone = nil, {}\n"
    "local zones = redis.call('HGETALL', KEYS[4])\n"
    "for i = 1, #zones, 2 do\n"
    "    local seen, instance = string.match(zones[i + 1], '^(%d+) (.*)$')\n"
    "    local own = zones[i] == ARGV[2]\n"
    "                or instance and id(instance) == id(ARGV[3])\n"
    "    local lives = instance and instance ~= ARGV[4]\n"
    "                  and now < tonumber(seen) + tonumber(ARGV[5])\n"
    "    if not own and lives then\n"
    "        holder = instance\n"
    "    elseif not own then\n"
    "        redis.call('HDEL', KEYS[4], zones[i])\n"
    "        gone[#gone + 1] = ARGV[1] .. '/' .. zones[i]\n"
    "    end\n"
    "end\n"
    "local old = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf',\n"
    "                       now - 3600000, 'LIMIT', 0, 100)\n"
    "for _, name in ipairs(old) do gone[#gone + 1] = name end\n"
    "local changed = false\n"
    "for _, name in ipairs(gone) do\n"
    "    if name ~= field then\n"
    "        redis.call('HDEL', KEYS[1], name)\n"
    "        redis.call('ZREM', KEYS[3], name)\n"
    "        changed = true\n"
    "    end\n"
    "end\n"
    "local ms = string.format('%.0f', now)\n"
    "if not holder then\n"
    "    if redis.call('HEXISTS', KEYS[1], field) == 0 then\n"
    "        changed = true\n"
    "    end\n"
    /* the field `seen` of goim.Node: a varint behind its tag */
    "    local seen, n = '\\16', now\n"
    "    while n >= 128 do\n"
    "        seen = seen .. string.char(n % 128 + 128)\n"
    "        n = math.floor(n / 128)\n"
    "    end\n"
    "    seen = seen .. string.char(n)\n"
    "    redis.call('HSETNX', KEYS[1], 'created', ms)\n"
    "    redis.call('HSET', KEYS[1], field, ARGV[6] .. seen)\n"
    "    redis.call('HSET', KEYS[4], ARGV[2], ms .. ' ' .. ARGV[3])\n"
    "    redis.call('EXPIRE', KEYS[4], 3600)\n"
    "    redis.call('ZADD', KEYS[3], ms, field)\n"
    "    redis.call('EXPIRE', KEYS[5], ARGV[7])\n"
    "end\n"
    "if changed then\n"
    /* one that was lost must not come back to a number known already */
    "    if redis.call('EXISTS', KEYS[2]) == 0\n"
    "       or type(redis.pcall('INCR', KEYS[2])) ~= 'number' then\n"
    "        redis.call('SET', KEYS[2], ms)\n"
    "    end\n"
    "end\n"
    "return holder and { 'REFUSED', holder } or { 'OK', replaced }\n"
};


/* KEYS: nodes, version, seen, zones of the server; ARGV: server, zone */
static svc_script_t  registry_deregister_script = {
    .body =
    "#!lua flags=allow-oom\n"
    "local field = ARGV[1] .. '/' .. ARGV[2]\n"
    "local had = redis.pcall('HDEL', KEYS[1], field)\n"
    "redis.pcall('ZREM', KEYS[3], field)\n"
    "redis.pcall('HDEL', KEYS[4], ARGV[2])\n"
    "if had == 1 and (redis.call('EXISTS', KEYS[2]) == 0\n"
    "   or type(redis.pcall('INCR', KEYS[2])) ~= 'number') then\n"
    "    local t = redis.call('TIME')\n"
    "    redis.call('SET', KEYS[2], string.format('%.0f',\n"
    "               t[1] * 1000 + math.floor(t[2] / 1000)))\n"
    "end\n"
    "return { 'OK', 0 }\n"
};


typedef struct {
    registry_pt   cb;
    void         *data;
    char          server[256];
} registry_call_t;


static void
registry_answer(svc_redis_t *r, redisReply *reply, void *data)
{
    const char        *holder;
    registry_call_t   *call;
    registry_result_t  result;

    static log_once_t  errors;

    (void) r;

    call = data;
    holder = "";
    result = REGISTRY_AGAIN;

    if (svc_redis_class(reply) != SVC_REDIS_OK) {

        if (reply != NULL) {
            log_seldom(&errors, LOG_ERROR, "registry: server \"%s\": %s",
                       call->server, reply->str);
        }

    } else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2
               && reply->element[0]->type == REDIS_REPLY_STRING)
    {
        if (strcmp(reply->element[0]->str, "OK") == 0) {
            result = REGISTRY_OK;

            if (reply->element[1]->type == REDIS_REPLY_INTEGER
                && reply->element[1]->integer != 0)
            {
                log_write(LOG_ERROR, "registry: a key was of another type "
                          "and has been replaced");
            }

        } else {
            result = REGISTRY_REFUSED;

            if (reply->element[1]->type == REDIS_REPLY_STRING) {
                holder = reply->element[1]->str;
            }
        }
    }

    call->cb(result, holder, call->data);
    free(call);
}


static int
registry_eval(svc_redis_t *r, svc_script_t *script, const char *server,
    int nkeys, int nargs, const char **args, const size_t *lens,
    registry_pt cb, void *data)
{
    int               i, rc;
    char              keys[5][REGISTRY_KEY];
    size_t            len[16];
    const char       *argv[16], *prefix;
    registry_call_t  *call;

    if (!svc_redis_is_up(r)) {
        return -1;
    }

    prefix = svc_redis_prefix(r);

    if (strlen(prefix) + strlen(server) + 64 > REGISTRY_KEY) {
        return -1;
    }

    snprintf(keys[0], REGISTRY_KEY, "%sgoim:nodes", prefix);
    snprintf(keys[1], REGISTRY_KEY, "%sgoim:nodes:version", prefix);
    snprintf(keys[2], REGISTRY_KEY, "%sgoim:nodes:seen", prefix);
    snprintf(keys[3], REGISTRY_KEY, "%sgoim:nodes:zones:%s", prefix, server);
    snprintf(keys[4], REGISTRY_KEY, "%sgoim:node:%s", prefix, server);

    for (i = 0; i < nkeys; i++) {
        argv[i] = keys[i];
        len[i] = strlen(keys[i]);
    }

    for (i = 0; i < nargs; i++) {
        argv[nkeys + i] = args[i];
        len[nkeys + i] = lens[i];
    }

    call = malloc(sizeof(registry_call_t));
    if (call == NULL) {
        abort();
    }

    call->cb = cb;
    call->data = data;
    snprintf(call->server, sizeof(call->server), "%s", server);

    rc = svc_redis_eval(r, script, registry_answer, call, nkeys,
                        nkeys + nargs, argv, len);
    if (rc != 0) {
        free(call);
    }

    return rc;
}


int
registry_register(svc_redis_t *r, const Goim__Register *info, int64_t ttl,
    registry_pt cb, void *data)
{
    int          i, rc;
    char         ms[24], expire[24];
    size_t       len, lens[7];
    uint8_t     *packed;
    Goim__Node   node = GOIM__NODE__INIT;
    const char  *args[7];

    /* `seen` is left out here, the script adds it */

    node.info = (Goim__Register *) info;
    len = goim__node__get_packed_size(&node);

    packed = malloc(len + 1);
    if (packed == NULL) {
        abort();
    }

    goim__node__pack(&node, packed);

    snprintf(ms, sizeof(ms), "%lld", (long long) ttl);
    snprintf(expire, sizeof(expire), "%d", SVC_STREAM_EXPIRE);

    args[0] = info->server;
    args[1] = info->zone;
    args[2] = info->instance;
    args[3] = info->replaces;
    args[4] = ms;
    args[5] = (char *) packed;
    args[6] = expire;

    for (i = 0; i < 7; i++) {
        lens[i] = (i == 5) ? len : strlen(args[i]);
    }

    rc = registry_eval(r, &registry_register_script, info->server, 5, 7, args,
                       lens, cb, data);

    free(packed);

    return rc;
}


int
registry_deregister(svc_redis_t *r, const char *server, const char *zone,
    registry_pt cb, void *data)
{
    size_t       lens[2];
    const char  *args[2];

    args[0] = server;
    args[1] = zone;
    lens[0] = strlen(server);
    lens[1] = strlen(zone);

    return registry_eval(r, &registry_deregister_script, server, 4, 2, args,
                         lens, cb, data);
}
