/*
 * A step in Redis: where a room stands, and items of it. Which rooms have a
 * history is known here; the script says when that has changed, and who seems
 * to have none is looked up.
 */

#include "read.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_position.h"
#include "history.h"
#include "logic/lua/read.lua.h"
#include "svc/log.h"

#define LOGIC_READ_TRIES  3


static svc_script_t  logic_read_script = { .body = read_lua };


static void logic_read_ask(logic_read_t *rd);
static void logic_read_known(int ok, void *data);
static int logic_read_eval(logic_read_t *rd);
static void logic_read_got(svc_redis_t *r, redisReply *reply, void *data);
static int logic_read_fits(const redisReply *reply);
static int logic_read_sound(logic_read_t *rd);
static int logic_read_parses(const redisReply *packed);
static void logic_read_broken(logic_read_t *rd);
static void logic_read_failed(logic_read_t *rd, const char *error);


void
logic_read(logic_read_t *rd)
{
    rd->tries = 0;

    if (logic_history_home(rd->thread, rd->room) == 0) {
        logic_read_ask(rd);

    } else if (logic_read_eval(rd) != 0) {
        logic_read_failed(rd, "redis is away");
    }
}


static void
logic_read_ask(logic_read_t *rd)
{
    if (rd->tries++ == LOGIC_READ_TRIES
        || logic_history_ask(rd->thread, logic_read_known, rd) != 0)
    {
        logic_read_failed(rd, "redis is away");
    }
}


static void
logic_read_known(int ok, void *data)
{
    logic_read_t  *rd = data;

    if (!ok) {
        logic_read_failed(rd, "it is not known which rooms have a history");

    } else if (logic_history_home(rd->thread, rd->room) == 0) {
        rd->status = LOGIC_READ_NONE;
        rd->n = 0;
        rd->done(rd);

    } else if (logic_read_eval(rd) != 0) {
        logic_read_failed(rd, "redis is away");
    }
}


void
logic_read_key(logic_thread_t *t, char *key, const char *room,
    const char *what, const char *of)
{
    uint32_t  home;

    home = goim_partition(room, strlen(room), logic_history_home(t, room));

    snprintf(key, LOGIC_READ_KEY, "%sgoim:{%" PRIu32 "}:%s%s",
             svc_redis_prefix(t->redis), home, what, of);
}


static int
logic_read_eval(logic_read_t *rd)
{
    int              i;
    char             key[7][LOGIC_READ_KEY], number[5][24];
    char             word[HISTORY_WORD + 1];
    const char      *argv[17], *prefix;
    svc_redis_t     *r;
    logic_thread_t  *t;

    t = rd->thread;
    r = t->redis;
    prefix = svc_redis_prefix(r);

    snprintf(key[0], LOGIC_READ_KEY, "%sgoim:life", prefix);
    snprintf(key[1], LOGIC_READ_KEY, "%sgoim:history", prefix);
    logic_read_key(t, key[2], rd->room, "done", "");
    logic_read_key(t, key[3], rd->room, "meta:", rd->room);
    logic_read_key(t, key[4], rd->room, "items:", rd->room);
    logic_read_key(t, key[5], rd->room, "rooms", "");
    logic_read_key(t, key[6], rd->room, "judged", "");

    for (i = 0; i < 7; i++) {
        argv[i] = key[i];
    }

    snprintf(number[0], sizeof(number[0]), "%" PRIu64, svc_redis_life(r));
    snprintf(number[1], sizeof(number[1]), "%" PRIu64, rd->number);
    snprintf(number[2], sizeof(number[2]), "%" PRIu32, rd->limit);
    snprintf(number[3], sizeof(number[3]), "%" PRIu32, rd->bytes);
    snprintf(number[4], sizeof(number[4]), "%d", GOIM_RECORD_MAX);
    history_word(word);

    argv[7] = number[0];
    argv[8] = logic_history_of(t);
    argv[9] = rd->room;
    argv[10] = rd->want;
    argv[11] = rd->what;
    argv[12] = number[1];
    argv[13] = number[2];
    argv[14] = number[3];
    argv[15] = word;
    argv[16] = number[4];

    return svc_redis_eval(r, &logic_read_script, logic_read_got, rd, 7, 17,
                          argv, NULL);
}


static void
logic_read_got(svc_redis_t *r, redisReply *reply, void *data)
{
    logic_read_t  *rd = data;

    redisReply  **e;

    (void) r;

    if (reply != NULL && reply->type == REDIS_REPLY_STRING) {

        if (strcmp(reply->str, "HISTORY") == 0) {
            logic_read_ask(rd);             /* it has just changed */

        } else {
            logic_read_failed(rd, "no job numbers this room yet");
        }

        return;
    }

    if (!logic_read_fits(reply)) {
        logic_redis_said("history: read", reply);
        logic_read_failed(rd, "redis did not answer");
        return;
    }

    e = reply->element;

    rd->status = strcmp(e[0]->str, "CANNOT") == 0 ? LOGIC_READ_CANNOT
                 : strcmp(e[0]->str, "LATER") == 0 ? LOGIC_READ_LATER
                                                   : LOGIC_READ_OK;
    rd->epoch = e[1]->str;
    rd->first = (uint64_t) e[2]->integer;
    rd->head = (uint64_t) e[3]->integer;
    rd->n = (reply->elements - 4) / 2;
    rd->items = &e[4];

    if (!logic_read_sound(rd) || strcmp(e[0]->str, "BROKEN") == 0) {
        logic_read_broken(rd);
    }

    rd->done(rd);
}


static int
logic_read_fits(const redisReply *reply)
{
    size_t  i;

    static const int  types[] = {
        REDIS_REPLY_STRING, REDIS_REPLY_STRING, REDIS_REPLY_INTEGER,
        REDIS_REPLY_INTEGER
    };

    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY
        || reply->elements < 4 || reply->elements % 2 != 0)
    {
        return 0;
    }

    for (i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type
            != (i < 4 ? types[i] : i % 2 == 0 ? REDIS_REPLY_INTEGER
                                              : REDIS_REPLY_STRING))
        {
            return 0;
        }
    }

    for (i = 6; i < reply->elements; i += 2) {
        if (reply->element[i]->integer
            != reply->element[i - 2]->integer + 1)
        {
            return 0;
        }
    }

    return reply->element[1]->len <= GOIM_EPOCH_MAX;
}


/*
 * Who is given items gets all from the first one on.  One that nobody can read
 * is not kept any more, and neither is what was before it.
 */

static int
logic_read_sound(logic_read_t *rd)
{
    size_t  i;

    for (i = rd->n; i > 0; i--) {

        if (!logic_read_parses(rd->items[2 * i - 1])) {
            rd->first = (uint64_t) rd->items[2 * i - 2]->integer + 1;
            rd->items += 2 * i;
            rd->n -= i;

            return 0;
        }
    }

    return 1;
}


static int
logic_read_parses(const redisReply *packed)
{
    int            rc;
    Goim__Record  *record;

    record = goim__record__unpack(NULL, packed->len,
                                  (const uint8_t *) packed->str);
    if (record == NULL) {
        return 0;
    }

    rc = (record->kind == GOIM__RECORD__KIND__ROOM);
    goim__record__free_unpacked(record, NULL);

    return rc;
}


static void
logic_read_broken(logic_read_t *rd)
{
    static log_once_t  said;

    log_text_t  text;

    metrics_add(logic_m.reads_broken, 1);
    log_seldom(&said, LOG_ERROR, "history of room %s: an item before %" PRIu64
               " is missing or none; who lacks it is told so",
               log_text(&text, rd->room), rd->first);

    if (strcmp(rd->what, "after") == 0) {
        rd->status = LOGIC_READ_CANNOT;
        rd->n = 0;
    }
}


static void
logic_read_failed(logic_read_t *rd, const char *error)
{
    rd->status = LOGIC_READ_FAILED;
    rd->error = error;
    rd->n = 0;

    rd->done(rd);
}
