/*
 * Who is where. Three keys in Redis, all with the same life:
 *
 *     sess_<key>   hash: holder = <server>/<zone>/<session>, mid, at (ms)
 *     key_<key>    the server, as goim keeps it
 *     mid_<mid>    hash: key -> server, as goim keeps it; mid over 0 only
 *
 * Each change compares the holder in the script that makes it, so a late
 * disconnect or a late renewal touches only what is its own.
 */

#include "kick.h"
#include "session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/log.h"

#define LOGIC_MISSING_SLICE  200        /* keys of a script */
#define LOGIC_MISSING_AGE    "10000"    /* ms: its login may be under way */


/* A key of a wrong type is replaced; any other error ends the script. */
#define LOGIC_LUA_TRY                                                        \
    "local broken, swept = 0, 0\n"                                           \
    "local function try(cmd, key, ...)\n"                                    \
    "  local r = redis.pcall(cmd, key, ...)\n"                               \
    "  if type(r) == 'table' and r.err then\n"                               \
    "    if string.find(r.err, 'WRONGTYPE', 1, true) then\n"                 \
    "      redis.call('DEL', key)\n"                                         \
    "      broken = broken + 1\n"                                            \
    "    end\n"                                                              \
    "    r = redis.call(cmd, key, ...)\n"                                    \
    "  end\n"                                                                \
    "  return r\n"                                                           \
    "end\n"

#define LOGIC_LUA_NOW                                                        \
    "local time = redis.call('TIME')\n"                                      \
    "local now = time[1] * 1000 + math.floor(time[2] / 1000)\n"

/*
 * Write all three. Keys of the same user whose session is gone, or is
 * another user's by now, are removed: nothing else would, as the hash lives
 * on with the user's other sessions.
 */
#define LOGIC_LUA_PUT                                                        \
    LOGIC_LUA_TRY LOGIC_LUA_NOW                                              \
    "local function put(holder, server, key, mid, ttl, prefix, at)\n"        \
    "  local lost = false\n"                                                 \
    "  if at then\n"                                                         \
    "    try('HSET', KEYS[1], 'holder', holder, 'mid', mid,\n"               \
    "        'at', string.format('%.0f', now))\n"                            \
    "  end\n"                                                                \
    "  redis.call('PEXPIRE', KEYS[1], ttl)\n"                                \
    "  if not try('SET', KEYS[2], server, 'PX', ttl, 'GET') then\n"          \
    "    lost = true\n"                                                      \
    "  end\n"                                                                \
    "  if KEYS[3] then\n"                                                    \
    "    if try('HSET', KEYS[3], key, server) == 1 then lost = true end\n"   \
    "    redis.call('PEXPIRE', KEYS[3], ttl)\n"                              \
    "    local n = redis.call('HLEN', KEYS[3])\n"                            \
    "    if n > 1 and n <= 64 then\n"                                        \
    "      for _, k in ipairs(redis.call('HKEYS', KEYS[3])) do\n"            \
    "        if k ~= key then\n"                                             \
    "          local m = try('HGET', prefix .. 'sess_' .. k, 'mid')\n"       \
    "          if (m and m ~= mid) or (not m\n"                              \
    "             and redis.call('EXISTS', prefix .. 'key_' .. k) == 0)\n"   \
    "          then\n"                                                       \
    "            redis.call('HDEL', KEYS[3], k)\n"                           \
    "            swept = swept + 1\n"                                        \
    "          end\n"                                                        \
    "        end\n"                                                          \
    "      end\n"                                                            \
    "    end\n"                                                              \
    "  end\n"                                                                \
    "  return lost\n"                                                        \
    "end\n"

/* ARGV: holder, server, key, mid, ttl, prefix */
static svc_script_t  logic_connect_script = { .body =
    LOGIC_LUA_PUT
    "local old = try('HMGET', KEYS[1], 'holder', 'mid')\n"
    "if old[2] and old[2] ~= ARGV[4] and old[2] ~= '0' then\n"
    "  try('HDEL', ARGV[6] .. 'mid_' .. old[2], ARGV[3])\n"
    "end\n"
    "put(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], true)\n"
    "return { old[1] or '', broken, swept }\n"
};

/* The same arguments. 0 and who holds the key, 1: renewed, 2: restored */
static svc_script_t  logic_heartbeat_script = { .body =
    LOGIC_LUA_PUT
    "local holder = try('HGET', KEYS[1], 'holder')\n"
    "if holder and holder ~= ARGV[1] then\n"
    "  return { holder, broken, swept, 0 }\n"
    "end\n"
    "if not holder then\n"
    "  local server = try('GET', KEYS[2])\n"
    "  if server and server ~= ARGV[2] then\n"
    "    return { '', broken, swept, 0 }\n"
    "  end\n"
    "end\n"
    "local lost = put(ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5],\n"
    "                 ARGV[6], not holder)\n"
    "return { '', broken, swept, (lost or not holder) and 2 or 1 }\n"
};

/* ARGV: holder, server, key, prefix. 1: it was this session's */
static svc_script_t  logic_disconnect_script = { .body =
    LOGIC_LUA_TRY
    "local old = try('HMGET', KEYS[1], 'holder', 'mid')\n"
    "if old[1] ~= ARGV[1] then\n"
    "  return { '', broken, swept, 0 }\n"
    "end\n"
    "redis.call('DEL', KEYS[1])\n"
    "if try('GET', KEYS[2]) == ARGV[2] then\n"
    "  redis.call('DEL', KEYS[2])\n"
    "end\n"
    "if old[2] and old[2] ~= '0' then\n"
    "  local mid = ARGV[4] .. 'mid_' .. old[2]\n"
    "  if try('HGET', mid, ARGV[3]) == ARGV[2] then\n"
    "    redis.call('HDEL', mid, ARGV[3])\n"
    "  end\n"
    "end\n"
    "return { '', broken, swept, 1 }\n"
};

/*
 * ARGV: server, zone, prefix, age, keys. How many were removed: those of this
 * server and zone, and old enough not to be logging in just now.
 */
static svc_script_t  logic_missing_script = { .body =
    LOGIC_LUA_TRY LOGIC_LUA_NOW
    "local mine = ARGV[1] .. '/' .. ARGV[2] .. '/'\n"
    "for i = 5, #ARGV do\n"
    "  local sess = ARGV[3] .. 'sess_' .. ARGV[i]\n"
    "  local s = try('HMGET', sess, 'holder', 'mid', 'at')\n"
    "  if s[1] and string.sub(s[1], 1, #mine) == mine\n"
    "     and now - (tonumber(s[3]) or 0) > tonumber(ARGV[4])\n"
    "  then\n"
    "    redis.call('DEL', sess)\n"
    "    local key = ARGV[3] .. 'key_' .. ARGV[i]\n"
    "    if try('GET', key) == ARGV[1] then redis.call('DEL', key) end\n"
    "    if s[2] and s[2] ~= '0' then\n"
    "      local mid = ARGV[3] .. 'mid_' .. s[2]\n"
    "      if try('HGET', mid, ARGV[i]) == ARGV[1] then\n"
    "        redis.call('HDEL', mid, ARGV[i])\n"
    "      end\n"
    "    end\n"
    "    swept = swept + 1\n"
    "  end\n"
    "end\n"
    "return { '', broken, swept, 0 }\n"
};


typedef struct logic_op_s  logic_op_t;

struct logic_op_s {
    logic_call_t  *call;
    int          (*send)(logic_op_t *op);
    void         (*done)(logic_op_t *op, redisReply **field, size_t n);
    const char    *name;
    logic_who_t   *who;             /* Connect */
    size_t         next;            /* Missing: keys asked about */
    unsigned       again:1;
};


static void logic_op_start(logic_call_t *call, const char *name,
    int (*send)(logic_op_t *), void (*done)(logic_op_t *, redisReply **,
    size_t), logic_who_t *who);
static void logic_op_end(logic_op_t *op, Goim__Reply__Code code,
    const char *error);
static void logic_op_told(svc_redis_t *r, redisReply *reply, void *data);
static int logic_connect_send(logic_op_t *op);
static void logic_connect_done(logic_op_t *op, redisReply **field, size_t n);
static int logic_disconnect_send(logic_op_t *op);
static void logic_disconnect_done(logic_op_t *op, redisReply **field,
    size_t n);
static int logic_heartbeat_send(logic_op_t *op);
static void logic_heartbeat_done(logic_op_t *op, redisReply **field,
    size_t n);
static int logic_missing_send(logic_op_t *op);
static void logic_missing_done(logic_op_t *op, redisReply **field, size_t n);


/* ---- one script for a call --------------------------------------------- */

static void
logic_op_start(logic_call_t *call, const char *name,
    int (*send)(logic_op_t *), void (*done)(logic_op_t *, redisReply **,
    size_t), logic_who_t *who)
{
    logic_op_t  *op;

    op = calloc(1, sizeof(logic_op_t));
    if (op == NULL) {
        free(who);
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "no memory");
        return;
    }

    op->call = call;
    op->name = name;
    op->send = send;
    op->done = done;
    op->who = who;

    if (send(op) != 0) {
        logic_op_end(op, GOIM__REPLY__CODE__FAILED, "redis is away");
    }
}


static void
logic_op_end(logic_op_t *op, Goim__Reply__Code code, const char *error)
{
    if (code != GOIM__REPLY__CODE__OK) {
        if (op->who != NULL) {
            metrics_add(logic_m.connect_failed, 1);
        }

        logic_reply_code(op->call, code, error);
    }

    free(op->who);
    free(op);
}


static void
logic_op_told(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_op_t  *op = data;

    (void) r;

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements < 3
        || reply->element[0]->type != REDIS_REPLY_STRING)
    {
        /* a script that Redis had forgotten is sent along this time */

        if (reply != NULL && reply->type == REDIS_REPLY_ERROR
            && strncmp(reply->str, "NOSCRIPT", 8) == 0 && !op->again)
        {
            op->again = 1;

            if (op->send(op) == 0) {
                return;
            }
        }

        logic_redis_said(op->name, reply);
        logic_op_end(op, GOIM__REPLY__CODE__FAILED, "redis did not do it");
        return;
    }

    op->again = 0;

    if (reply->element[1]->integer > 0) {
        static log_once_t  once;

        metrics_add(logic_m.broken, reply->element[1]->integer);
        log_seldom(&once, LOG_ERROR, "%s: a key of a wrong type in Redis was "
                   "replaced", op->name);
    }

    op->done(op, reply->element, reply->elements);
}


/*
 * KEYS sess_ and key_, and mid_ when mid is over 0; then args. -1: not
 * connected.
 */

static int
logic_op_eval(logic_op_t *op, svc_script_t *script, const void *key,
    size_t key_len, int64_t mid, size_t nargs, const char **args,
    const size_t *lens)
{
    int              n, nkeys;
    char             keys[3][LOGIC_KEY_BUF], text[24];
    size_t           len[10];
    const char      *argv[10];
    logic_thread_t  *t;

    t = op->call->thread;
    nkeys = mid > 0 ? 3 : 2;

    len[0] = logic_redis_key(t, keys[0], "sess_", key, key_len);
    len[1] = logic_redis_key(t, keys[1], "key_", key, key_len);

    n = snprintf(text, sizeof(text), "%" PRId64, mid);
    len[2] = logic_redis_key(t, keys[2], "mid_", text, (size_t) n);

    for (n = 0; n < nkeys; n++) {
        argv[n] = keys[n];
    }

    memcpy(argv + nkeys, args, nargs * sizeof(char *));
    memcpy(len + nkeys, lens, nargs * sizeof(size_t));

    return svc_redis_eval(t->redis, script, logic_op_told, op, nkeys,
                          nkeys + (int) nargs, argv, len);
}


/* Connect and Heartbeat have the same arguments. */

static int
logic_op_put(logic_op_t *op, svc_script_t *script, const char *server,
    const char *zone, uint64_t session, const void *key, size_t key_len,
    int64_t mid)
{
    char             holder[LOGIC_HOLDER_BUF], m[24], ttl[24];
    size_t           len[6];
    const char      *argv[6];
    logic_thread_t  *t;

    t = op->call->thread;

    argv[0] = holder;
    len[0] = (size_t) snprintf(holder, sizeof(holder), "%s/%s/%" PRIu64,
                               server, zone, session);
    argv[1] = server;
    len[1] = strlen(server);
    argv[2] = key;
    len[2] = key_len;
    argv[3] = m;
    len[3] = (size_t) snprintf(m, sizeof(m), "%" PRId64, mid > 0 ? mid : 0);
    argv[4] = ttl;
    len[4] = (size_t) snprintf(ttl, sizeof(ttl), "%" PRId64, t->conf->ttl);
    argv[5] = t->conf->redis.prefix;
    len[5] = t->prefix_len;

    return logic_op_eval(op, script, key, key_len, mid, 6, argv, len);
}


/* ---- Connect ----------------------------------------------------------- */

void
logic_session_connect(logic_call_t *call, logic_who_t *who)
{
    if (who->key_len == 0 && logic_key_make(who) != 0) {
        free(who);
        metrics_add(logic_m.connect_failed, 1);
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, "no random bytes");
        return;
    }

    logic_op_start(call, "connect", logic_connect_send, logic_connect_done,
                   who);
}


static int
logic_connect_send(logic_op_t *op)
{
    Goim__Connect  *c;

    c = op->call->msg->connect;

    return logic_op_put(op, &logic_connect_script, c->server, c->zone,
                        c->session, op->who->key, op->who->key_len,
                        op->who->mid);
}


static void
logic_connect_done(logic_op_t *op, redisReply **field, size_t n)
{
    char                 holder[LOGIC_HOLDER_BUF], *p;
    int                  len;
    size_t               i;
    logic_who_t         *who;
    Goim__Connect       *c;
    ProtobufCBinaryData  rooms[GOIM_ROOMS_MAX];
    const logic_conf_t  *conf;

    Goim__Reply      reply = GOIM__REPLY__INIT;
    Goim__Connected  connected = GOIM__CONNECTED__INIT;

    who = op->who;
    c = op->call->msg->connect;
    conf = op->call->thread->conf;

    metrics_add(logic_m.connects, 1);

    if (n > 2) {
        metrics_add(logic_m.swept, field[2]->integer);
    }

    len = snprintf(holder, sizeof(holder), "%s/%s/%" PRIu64, c->server,
                   c->zone, c->session);

    if (field[0]->len > 0
        && (field[0]->len != (size_t) len
            || memcmp(field[0]->str, holder, field[0]->len) != 0))
    {
        logic_kick(op->call->thread, field[0]->str, field[0]->len, who->key,
                   who->key_len);
    }

    connected.mid = who->mid;
    connected.key.data = (uint8_t *) who->key;
    connected.key.len = who->key_len;
    connected.room.data = (uint8_t *) who->room;
    connected.room.len = who->room_len;
    connected.n_accepts = who->naccepts;
    connected.accepts = who->accepts;
    connected.heartbeat = (uint32_t) (conf->heartbeat * conf->heartbeat_max);
    connected.renew = (uint32_t) (conf->ttl / 3);

    for (i = 0, p = who->rooms; i < who->nrooms; i++) {
        rooms[i].data = (uint8_t *) p;
        rooms[i].len = who->rooms_len[i];
        p += rooms[i].len;
    }

    connected.limited = who->limited;
    connected.n_rooms = who->nrooms;
    connected.rooms = rooms;

    reply.reply_case = GOIM__REPLY__REPLY_CONNECTED;
    reply.connected = &connected;

    logic_reply(op->call, &reply);
    logic_op_end(op, GOIM__REPLY__CODE__OK, NULL);
}


/* ---- Disconnect -------------------------------------------------------- */

void
logic_disconnect_call(logic_call_t *call)
{
    Goim__Disconnect  *d;

    d = call->msg->disconnect;

    if (!logic_zone_valid(d->server, d->zone) || d->key.len == 0
        || d->key.len > GOIM_KEY_MAX)
    {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "disconnect");
        return;
    }

    logic_op_start(call, "disconnect", logic_disconnect_send,
                   logic_disconnect_done, NULL);
}


static int
logic_disconnect_send(logic_op_t *op)
{
    char               holder[LOGIC_HOLDER_BUF];
    size_t             len[4];
    const char        *argv[4];
    Goim__Disconnect  *d;

    d = op->call->msg->disconnect;

    argv[0] = holder;
    len[0] = (size_t) snprintf(holder, sizeof(holder), "%s/%s/%" PRIu64,
                               d->server, d->zone, d->session);
    argv[1] = d->server;
    len[1] = strlen(d->server);
    argv[2] = (const char *) d->key.data;
    len[2] = d->key.len;
    argv[3] = op->call->thread->conf->redis.prefix;
    len[3] = op->call->thread->prefix_len;

    return logic_op_eval(op, &logic_disconnect_script, d->key.data,
                         d->key.len, 0, 4, argv, len);
}


static void
logic_disconnect_done(logic_op_t *op, redisReply **field, size_t n)
{
    Goim__Reply         reply = GOIM__REPLY__INIT;
    Goim__Disconnected  disconnected = GOIM__DISCONNECTED__INIT;

    disconnected.had = n > 3 && field[3]->integer == 1;

    metrics_add(disconnected.had ? logic_m.disconnects
                                 : logic_m.stale_disconnects, 1);

    reply.reply_case = GOIM__REPLY__REPLY_DISCONNECTED;
    reply.disconnected = &disconnected;

    logic_reply(op->call, &reply);
    logic_op_end(op, GOIM__REPLY__CODE__OK, NULL);
}


/* ---- Heartbeat --------------------------------------------------------- */

void
logic_heartbeat_call(logic_call_t *call)
{
    Goim__Heartbeat  *h;

    h = call->msg->heartbeat;

    if (!logic_zone_valid(h->server, h->zone) || h->key.len == 0
        || h->key.len > GOIM_KEY_MAX)
    {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "heartbeat");
        return;
    }

    logic_op_start(call, "heartbeat", logic_heartbeat_send,
                   logic_heartbeat_done, NULL);
}


static int
logic_heartbeat_send(logic_op_t *op)
{
    Goim__Heartbeat  *h;

    h = op->call->msg->heartbeat;

    return logic_op_put(op, &logic_heartbeat_script, h->server, h->zone,
                        h->session, h->key.data, h->key.len, h->mid);
}


static void
logic_heartbeat_done(logic_op_t *op, redisReply **field, size_t n)
{
    char              holder[LOGIC_HOLDER_BUF];
    int               len;
    Goim__Heartbeat  *h;

    h = op->call->msg->heartbeat;

    metrics_add(logic_m.heartbeats, 1);
    metrics_add(logic_m.swept, field[2]->integer);

    if (n > 3 && field[3]->integer == 2) {
        metrics_add(logic_m.restored, 1);
    }

    if (field[0]->len > 0) {
        /* replaced without having noticed: the kick has been lost */

        len = snprintf(holder, sizeof(holder), "%s/%s/%" PRIu64, h->server,
                       h->zone, h->session);
        logic_kick(op->call->thread, holder, (size_t) len, h->key.data,
                   h->key.len);
    }

    logic_reply_ok(op->call);
    logic_op_end(op, GOIM__REPLY__CODE__OK, NULL);
}


/* ---- Missing ----------------------------------------------------------- */

void
logic_missing_call(logic_call_t *call)
{
    Goim__Missing  *m;

    m = call->msg->missing;

    if (!logic_zone_valid(m->server, m->zone)) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "missing");
        return;
    }

    metrics_add(logic_m.missing, (int64_t) m->n_keys);

    if (m->n_keys == 0) {
        logic_reply_ok(call);
        return;
    }

    logic_op_start(call, "missing", logic_missing_send, logic_missing_done,
                   NULL);
}


static int
logic_missing_send(logic_op_t *op)
{
    size_t           i, n;
    size_t           len[4 + LOGIC_MISSING_SLICE];
    const char      *argv[4 + LOGIC_MISSING_SLICE];
    Goim__Missing   *m;
    logic_thread_t  *t;

    m = op->call->msg->missing;
    t = op->call->thread;

    argv[0] = m->server;
    len[0] = strlen(m->server);
    argv[1] = m->zone;
    len[1] = strlen(m->zone);
    argv[2] = t->conf->redis.prefix;
    len[2] = t->prefix_len;
    argv[3] = LOGIC_MISSING_AGE;
    len[3] = sizeof(LOGIC_MISSING_AGE) - 1;

    n = 4;

    for (i = op->next; i < m->n_keys && n < 4 + LOGIC_MISSING_SLICE; i++) {
        argv[n] = (const char *) m->keys[i].data;
        len[n++] = m->keys[i].len;
    }

    return svc_redis_eval(t->redis, &logic_missing_script, logic_op_told, op,
                          0, (int) n, argv, len);
}


static void
logic_missing_done(logic_op_t *op, redisReply **field, size_t n)
{
    (void) n;

    metrics_add(logic_m.missing_removed, field[2]->integer);

    op->next += LOGIC_MISSING_SLICE;

    if (op->next < op->call->msg->missing->n_keys) {

        if (op->send(op) != 0) {
            logic_op_end(op, GOIM__REPLY__CODE__FAILED, "redis is away");
        }

        return;
    }

    logic_reply_ok(op->call);
    logic_op_end(op, GOIM__REPLY__CODE__OK, NULL);
}
