/*
 * Places of partitions, in Redis.
 */

#include "done.h"

#include "clock.h"
#include "log.h"

#include "svc/lua/done_read.lua.h"
#include "svc/lua/done_save.lua.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define DONE_SAVE      50                   /* ms */
#define DONE_RETRY     200                  /* ms */
#define DONE_EXPIRE    "2592000"            /* s: 30 days */
#define DONE_KEY       512
#define DONE_KEY_N     (DONE_KEY + 64)      /* with a number and an epoch */


static svc_script_t  done_read_script = { .body = done_read_lua };
static svc_script_t  done_save_script = { .body = done_save_lua };


typedef struct {
    unsigned       known:1;         /* read, and this process's */
    unsigned       some:1;          /* it has a place, */
    unsigned       noted:1;         /* and what is kept belongs to that */
    unsigned       asked:1;         /* to be read */
    unsigned       wanted:1;        /* what is kept is to be read */
    unsigned       dirty:1;
    unsigned       saving:1;
    unsigned       turn;            /* grows with done_forget() */
    goim_offset_t  place;
} done_part_t;


struct done_s {
    struct event_base  *base;
    svc_redis_t        *r;
    lease_t            *lease;
    done_events_t       events;
    char                life_key[DONE_KEY];
    char                keys[DONE_KEY];         /* ...goim:{ */
    char                before[DONE_KEY];       /* ...goim:done:<epoch>, of
                                                   versions before */
    char                epoch[2 * BUS_EPOCH_LEN + 1];
    uint64_t            life;
    uint32_t            n;
    done_part_t        *parts;
    struct event       *timer;
    size_t              calls;
    log_once_t          log;
};


/* A call under way. */
typedef struct done_call_s  done_call_t;

struct done_call_s {
    done_t         *d;
    uint32_t        n;
    unsigned        turn;
    goim_offset_t   place;

    /* part is NULL: the partition has been forgotten since */
    void          (*answer)(const done_call_t *call, done_part_t *part,
                            redisReply *reply);
};


static void
done_key(done_t *d, uint32_t n, const char *of, char key[DONE_KEY_N])
{
    snprintf(key, DONE_KEY_N, "%s%u}:done%s%s", d->keys, n,
             of != NULL ? ":" : "", of != NULL ? of : "");
}


int
done_names(done_t *d, uint32_t n, bus_names_t *names)
{
    if (d->life == 0 || n >= d->n) {
        return -1;
    }

    names->partitions = d->n;
    names->lease = lease_name(d->lease, n);

    lease_key(d->lease, n, names->lease_key, BUS_NAME);
    snprintf(names->done_key, BUS_NAME, "%s%u}:done", d->keys, n);
    snprintf(names->done_field, sizeof(names->done_field), "%s", d->epoch);
    names->since[0] = '\0';

    return 0;
}


static done_call_t *
done_call(done_t *d, uint32_t n,
    void (*answer)(const done_call_t *, done_part_t *, redisReply *))
{
    done_call_t  *call;

    call = malloc(sizeof(done_call_t));
    if (call == NULL) {
        abort();
    }

    call->d = d;
    call->n = n;
    call->turn = d->parts[n].turn;
    call->place = d->parts[n].place;
    call->answer = answer;

    return call;
}


static void
done_answered(svc_redis_t *r, redisReply *reply, void *data)
{
    done_t       *d;
    done_call_t  *call;
    done_part_t  *part;

    (void) r;

    call = data;
    d = call->d;
    part = &d->parts[call->n];

    d->calls--;

    call->answer(call, part->turn == call->turn ? part : NULL, reply);
    free(call);

    if (d->calls == 0) {
        d->events.idle(d->events.data);
    }
}


static void
done_later(done_t *d, int64_t ms)
{
    if (!event_pending(d->timer, EV_TIMEOUT, NULL)) {
        svc_timer(d->timer, ms);
    }
}


static void
done_complain(done_t *d, const redisReply *reply, const char *what)
{
    if (svc_redis_class(reply) == SVC_REDIS_ERROR) {
        log_seldom(&d->log, LOG_ERROR, "bus: cannot %s the place: %s", what,
                   reply->str);
    }
}


/* ---- reading ---- */

/*
 * "<high>-<low>", or "<low>" as the Kafka bus had it once, and behind a blank
 * the note. The note, or NULL: that is no place.
 */
static const char *
done_parse(char *text, goim_offset_t *place)
{
    char      *end;
    uint64_t   high, low;

    if (text[0] < '0' || text[0] > '9') {
        return NULL;
    }

    errno = 0;
    high = 0;
    low = strtoull(text, &end, 10);

    if (*end == '-') {
        high = low;
        low = strtoull(end + 1, &end, 10);
    }

    if (errno != 0 || (*end != '\0' && *end != ' ')) {
        return NULL;
    }

    goim_offset_set(place, high, low);

    return *end == ' ' ? end + 1 : end;
}


static void
done_was_read(const done_call_t *call, done_part_t *part, redisReply *reply)
{
    done_t      *d;
    const char  *note;

    d = call->d;

    if (part == NULL) {
        return;
    }

    if (svc_redis_class(reply) != SVC_REDIS_OK
        || reply->type != REDIS_REPLY_STRING)
    {
        done_complain(d, reply, "read");
        part->asked = 1;
        done_later(d, DONE_RETRY);
        return;
    }

    note = done_parse(reply->str, &part->place);
    part->known = 1;
    part->some = (note != NULL);
    part->noted = (note != NULL && *note != '\0');

    if (note == NULL) {
        note = reply->str[0] == ' ' ? reply->str + 1 : "";
    }

    d->events.read(call->n, part->some ? &part->place : NULL, note,
                   d->events.data);
}


static void
done_ask(done_t *d, uint32_t n)
{
    char          life[24], number[12], before[DONE_KEY_N];
    char          done[DONE_KEY_N], kept[DONE_KEY_N];
    const char   *argv[9];
    done_call_t  *call;

    snprintf(life, sizeof(life), "%" PRIu64, d->life);
    snprintf(number, sizeof(number), "%u", n);
    snprintf(before, sizeof(before), "%s:%u", d->before, n);
    done_key(d, n, NULL, done);
    done_key(d, n, d->epoch, kept);

    argv[0] = d->life_key;
    argv[1] = done;
    argv[2] = kept;
    argv[3] = d->before;
    argv[4] = before;
    argv[5] = life;
    argv[6] = d->epoch;
    argv[7] = number;
    argv[8] = DONE_EXPIRE;

    call = done_call(d, n, done_was_read);

    if (svc_redis_eval(d->r, &done_read_script, done_answered, call, 5, 9,
                       argv, NULL) != 0)
    {
        free(call);
        done_later(d, DONE_RETRY);
        return;
    }

    d->parts[n].asked = 0;
    d->calls++;
}


void
done_read(done_t *d, uint32_t n)
{
    done_forget(d, n);

    d->parts[n].asked = 1;

    done_ask(d, n);
}


/* ---- reading what is kept with a place ---- */

static void
done_was_loaded(const done_call_t *call, done_part_t *part,
    redisReply *reply)
{
    done_t             *d;
    svc_redis_class_t   class;

    d = call->d;

    if (part == NULL) {
        return;
    }

    class = svc_redis_class(reply);

    if (class != SVC_REDIS_OK && class != SVC_REDIS_TYPE) {
        done_complain(d, reply, "read what is kept with");
        part->wanted = 1;
        done_later(d, DONE_RETRY);

    } else if (part->noted && reply->type == REDIS_REPLY_STRING) {
        d->events.loaded(call->n, reply->str, reply->len, d->events.data);

    } else {
        d->events.loaded(call->n, NULL, 0, d->events.data);
    }
}


static void
done_ask_kept(done_t *d, uint32_t n)
{
    char          key[DONE_KEY_N];
    done_call_t  *call;
    done_part_t  *part;

    part = &d->parts[n];

    if (part->dirty || part->saving) {
        return;                 /* it is of another place yet */
    }

    call = done_call(d, n, done_was_loaded);
    done_key(d, n, d->epoch, key);

    if (svc_redis_callf(d->r, done_answered, call, "GET %s", key) != 0) {
        free(call);
        done_later(d, DONE_RETRY);
        return;
    }

    part->wanted = 0;
    d->calls++;
}


void
done_load(done_t *d, uint32_t n)
{
    if (d->parts[n].known) {
        d->parts[n].wanted = 1;

        done_save(d, n);
        done_ask_kept(d, n);
    }
}


/* ---- saving ---- */

static void
done_was_saved(const done_call_t *call, done_part_t *part,
    redisReply *reply)
{
    int      ok;
    done_t  *d;

    d = call->d;
    ok = (svc_redis_class(reply) == SVC_REDIS_OK && reply->str != NULL);

    if (ok && strcmp(reply->str, "OK") == 0) {
        d->events.saved(call->n, &call->place, d->events.data);
    }

    if (part == NULL) {
        return;
    }

    part->saving = 0;

    if (!ok) {
        done_complain(d, reply, "save");
        part->dirty = 1;
        done_later(d, DONE_RETRY);

    } else if (strcmp(reply->str, "FENCED") == 0) {
        d->events.fenced(call->n, d->events.data);

    } else if (part->dirty) {
        done_later(d, DONE_SAVE);

    } else if (part->wanted) {
        done_ask_kept(d, call->n);
    }
}


/* Arguments of done_save.lua: keys, then what is fixed, then the pieces. */
#define DONE_SAVE_KEYS  4
#define DONE_SAVE_ARGS  (DONE_SAVE_KEYS + 5)


static int
done_save_call(done_t *d, uint32_t n, const char *lease,
    const char *place, const done_kept_t *kept)
{
    int           i, argc, rc;
    char          life[24], done[DONE_KEY_N], extra[DONE_KEY_N];
    char          at[DONE_PIECES][24];
    size_t        len[DONE_SAVE_ARGS + 2 * DONE_PIECES];
    const char   *argv[DONE_SAVE_ARGS + 2 * DONE_PIECES];
    done_call_t  *call;

    snprintf(life, sizeof(life), "%" PRIu64, d->life);
    done_key(d, n, NULL, done);
    done_key(d, n, d->epoch, extra);

    argv[0] = d->life_key;
    argv[1] = done;
    argv[2] = lease;
    argv[3] = extra;
    argv[4] = life;
    argv[5] = d->epoch;
    argv[6] = place;
    argv[7] = DONE_EXPIRE;
    argv[8] = lease_name(d->lease, n);

    for (argc = 0; argc < DONE_SAVE_ARGS; argc++) {
        len[argc] = strlen(argv[argc]);
    }

    for (i = 0; i < DONE_PIECES; i++) {

        if (kept->piece[i].len > 0) {
            len[argc] = (size_t) snprintf(at[i], sizeof(at[i]), "%zu",
                                          kept->piece[i].at);
            argv[argc++] = at[i];
            len[argc] = kept->piece[i].len;
            argv[argc++] = kept->piece[i].data;
        }
    }

    call = done_call(d, n, done_was_saved);

    rc = svc_redis_eval(d->r, &done_save_script, done_answered, call,
                        DONE_SAVE_KEYS, argc, argv, len);

    if (rc != 0) {
        free(call);
    }

    return rc;
}


void
done_save(done_t *d, uint32_t n)
{
    char          lease[DONE_KEY_N], place[44 + DONE_NOTE];
    uint64_t      high, low;
    done_kept_t   kept;
    done_part_t  *part;

    part = &d->parts[n];

    if (!part->known || !part->dirty) {
        return;
    }

    memset(&kept, 0, sizeof(kept));

    if (d->events.keep != NULL) {
        d->events.keep(n, &part->place, &kept, d->events.data);
    }

    goim_offset_get(&part->place, &high, &low);

    snprintf(place, sizeof(place), "%" PRIu64 "-%" PRIu64 "%s%s", high, low,
             kept.note[0] != '\0' ? " " : "", kept.note);
    lease_key(d->lease, n, lease, sizeof(lease));

    if (done_save_call(d, n, lease, place, &kept) != 0) {
        done_later(d, DONE_RETRY);
        return;
    }

    d->calls++;
    part->noted = (kept.note[0] != '\0');
    part->dirty = 0;
    part->saving = 1;
}


void
done_move(done_t *d, uint32_t n, const goim_offset_t *offset)
{
    done_part_t  *part;

    part = &d->parts[n];

    if (!part->known
        || (part->some && goim_offset_cmp(offset, &part->place) <= 0))
    {
        return;
    }

    part->place = *offset;
    part->some = 1;
    part->dirty = 1;

    done_later(d, DONE_SAVE);
}


int
done_place(done_t *d, uint32_t n, goim_offset_t *place)
{
    if (n >= d->n || !d->parts[n].known || !d->parts[n].some) {
        return -1;
    }

    *place = d->parts[n].place;

    return 0;
}


static void
done_on_timer(evutil_socket_t fd, short what, void *data)
{
    done_t    *d;
    uint32_t   n;

    (void) fd;
    (void) what;

    d = data;

    for (n = 0; n < d->n; n++) {

        if (d->parts[n].asked) {
            done_ask(d, n);

        } else if (!d->parts[n].saving) {
            done_save(d, n);

            if (d->parts[n].wanted) {
                done_ask_kept(d, n);
            }
        }
    }
}


/* ---- beginning and end ---- */

void
done_forget(done_t *d, uint32_t n)
{
    done_part_t  *part;

    part = &d->parts[n];

    part->turn++;
    part->known = 0;
    part->some = 0;
    part->noted = 0;
    part->asked = 0;
    part->wanted = 0;
    part->dirty = 0;
    part->saving = 0;
}


static void
done_grow(done_t *d, uint32_t n)
{
    if (n <= d->n) {
        return;
    }

    d->parts = realloc(d->parts, n * sizeof(done_part_t));
    if (d->parts == NULL) {
        abort();
    }

    memset(d->parts + d->n, 0, (n - d->n) * sizeof(done_part_t));
    d->n = n;
}


void
done_begin(done_t *d, const uint8_t epoch[BUS_EPOCH_LEN], uint32_t n,
    uint64_t life)
{
    done_grow(d, n);

    bus_hex(d->epoch, epoch, BUS_EPOCH_LEN);
    snprintf(d->before, DONE_KEY, "%sgoim:done:%s", svc_redis_prefix(d->r),
             d->epoch);

    d->life = life;

    svc_timer(d->timer, 0);
}


int
done_busy(done_t *d)
{
    return d->calls > 0;
}


done_t *
done_new(struct event_base *base, svc_redis_t *r, lease_t *lease,
    const done_events_t *events)
{
    done_t      *d;
    const char  *prefix;

    d = calloc(1, sizeof(done_t));
    if (d == NULL) {
        abort();
    }

    prefix = svc_redis_prefix(r);

    d->base = base;
    d->r = r;
    d->lease = lease;
    d->events = *events;
    snprintf(d->life_key, DONE_KEY, "%sgoim:life", prefix);
    snprintf(d->keys, DONE_KEY, "%sgoim:{", prefix);

    d->timer = evtimer_new(base, done_on_timer, d);

    if (d->timer == NULL) {
        abort();
    }

    return d;
}


void
done_free(done_t *d)
{
    event_free(d->timer);
    free(d->parts);
    free(d);
}
