/* NGINX */
/* LINK: ngx_goim_module/ngx_goim_intake.c ngx_goim_module/ngx_goim_record.c */
/* LINK: ngx_goim_module/ngx_goim_ring.c ngx_goim_module/ngx_goim_canary.c */
/* LINK: common/goim_crc32c.c common/goim_frame.c common/goim_packet.c */
/* LINK: common/goim_position.c proto/goim.pb-c.c */

/*
 * Entries of a node's stream, as Redis's answer has them: the input is that
 * answer; or a delivery, in entries that are right. What comes into the ring
 * are whole records, each inside its entry and each of its parts inside it.
 */

#include "ngx_goim_reader.h"
#include "common/goim_frame.h"

#include <ngx_md5.h>

#include <stdlib.h>
#include <string.h>


#define RING    8192     /* so that little fills it */
#define SESSION "a key"


/* ---- what the intake is linked with ---- */

volatile ngx_cycle_t   *ngx_cycle;
volatile ngx_msec_t     ngx_current_msec = 1000;
volatile ngx_time_t    *ngx_cached_time;

ngx_goim_conf_t        *ngx_goim_conf;
ngx_goim_zone_t        *ngx_goim_zone;
ngx_goim_slot_t        *ngx_goim_slot;
uint64_t               *ngx_goim_counters;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_entry(const ngx_goim_ring_entry_t *e, const u_char *data);


static void
check(int good)
{
    if (!good) {
        abort();
    }
}


ngx_int_t
ngx_goim_zone_publish(ngx_goim_ring_entry_t *e, u_char *data)
{
    check_entry(e, data);
    ngx_goim_ring_publish(ngx_goim_zone->ring, e);

    return NGX_OK;
}


/* as nginx does: how far it gets with what is none does not matter here */

uint32_t
ngx_utf8_decode(u_char **p, size_t n)
{
    size_t    len, i;
    uint32_t  c;

    c = **p;
    len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

    if (c < 0xc2 || c > 0xf4 || n < len) {
        (*p)++;
        return 0xffffffff;
    }

    for (c &= 0x3f >> (len - 1), i = 1; i < len; i++) {
        c = c << 6 | ((*p)[i] & 0x3f);
    }

    *p += len;

    return c;
}


ngx_int_t
ngx_goim_zone_resume(uint64_t *id, ngx_log_t *log)
{
    (void) log;

    id[0] = 1;
    id[1] = 0;

    return NGX_OK;
}


ngx_uint_t
ngx_goim_seen(const uint8_t *epoch, uint32_t partition,
    const goim_offset_t *offset)
{
    check(partition < GOIM_PARTITIONS);

    return (epoch[0] ^ offset->b[0]) & 1;
}


void
ngx_goim_room_mask(ngx_str_t *room, uint64_t *mask)
{
    mask[0] |= room->len % 2;
}


ngx_uint_t
ngx_goim_key_mask(ngx_str_t *key, uint64_t *mask, ngx_uint_t *slot)
{
    if (key->len != sizeof(SESSION) - 1
        || memcmp(key->data, SESSION, key->len) != 0)
    {
        return 0;
    }

    mask[0] |= 1;
    *slot = 0;

    return 1;
}


/* The bytes are looked at, so that those that are nobody's show. */

void
ngx_goim_missing(ngx_str_t *key)
{
    u_char  *copy;

    copy = malloc(key->len + 1);
    check(copy != NULL);
    memcpy(copy, key->len > 0 ? (void *) key->data : "", key->len);
    copy[key->len] = 'x';
    check(memchr(copy, 'x', key->len + 1) != NULL);
    free(copy);
}


ngx_goim_positions_t *
ngx_goim_positions(const uint8_t *epoch)
{
    (void) epoch;
    return NULL;
}


uint32_t
ngx_goim_pace_whole(Goim__Record *r)
{
    return r->sessions;
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    (void) log;
    return malloc(size);
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
}


/* any digest will do */

void
ngx_md5_init(ngx_md5_t *md5)
{
    md5->bytes = 0;
}


void
ngx_md5_update(ngx_md5_t *md5, const void *data, size_t size)
{
    size_t  i;

    for (i = 0; i < size; i++) {
        md5->bytes = (md5->bytes ^ ((const u_char *) data)[i]) * 31;
    }
}


void
ngx_md5_final(u_char result[16], ngx_md5_t *md5)
{
    memset(result, (int) md5->bytes, 16);
}


ngx_int_t
ngx_goim_reader_parse_id(const char *p, size_t len, uint64_t *id)
{
    id[0] = len;
    id[1] = len > 0 ? (u_char) p[0] : 0;

    return len > 0 && p[len - 1] != '-' ? NGX_OK : NGX_ERROR;
}


void ngx_goim_lock(void) { }
void ngx_goim_unlock(void) { }
void ngx_goim_wake(uint64_t *mask) { }
ngx_uint_t ngx_goim_lease_held(void) { return 1; }
ngx_uint_t ngx_goim_reader_behind(void) { return 0; }
ngx_uint_t ngx_goim_registered(void) { return 1; }
u_char *ngx_cpystrn(u_char *dst, u_char *src, size_t n) { return dst; }
void *ngx_pcalloc(ngx_pool_t *pool, size_t size) { return NULL; }

ngx_goim_call_t *
ngx_goim_logic_call(struct Goim__Call *call, ngx_uint_t *peer,
    ngx_goim_logic_pt cb, void *data)
{
    return NULL;
}


/* ---- what comes into the ring ---- */

static const u_char *
check_name(const u_char *p, const u_char *end)
{
    size_t  len;

    check(end - p >= 2);
    len = (size_t) (p[0] << 8 | p[1]);
    p += 2;
    check((size_t) (end - p) >= len);

    return p + len;
}


static void
check_record(const ngx_goim_record_t *rec)
{
    uint32_t       i, head;
    const u_char  *p, *end;

    if (rec->kind == NGX_GOIM_RECORD_NONE) {
        check(rec->len == sizeof(ngx_goim_record_t));
        return;
    }

    head = rec->kind == GOIM__RECORD__KIND__KICK
           || rec->kind == NGX_GOIM_RECORD_END ? 0 : GOIM_HEADER;

    check(rec->frame <= rec->inner && rec->inner + head <= rec->end
          && rec->end <= rec->len && rec->len - rec->end < 8);

    p = (const u_char *) (rec + 1);
    end = (const u_char *) rec + rec->frame;

    if (rec->kind == GOIM__RECORD__KIND__KEYS && rec->seq != 0) {
        p = check_name(p, end);
    }

    for (i = 0; i < rec->nnames; i++) {
        if (rec->kind == GOIM__RECORD__KIND__KEYS) {
            check(end - p >= 2);
            p += 2;
        }

        p = check_name(p, end);
    }

    if (rec->kind == GOIM__RECORD__KIND__ROOM && rec->seq != 0) {
        p = check_name(p, end);
    }

    check(p == end);
}


static void
check_entry(const ngx_goim_ring_entry_t *e, const u_char *data)
{
    uint32_t                  i;
    const u_char             *p, *end;
    const ngx_goim_record_t  *rec;

    p = data;
    end = data + e->used;

    for (i = 0; i < e->records; i++) {
        check((size_t) (end - p) >= sizeof(ngx_goim_record_t));
        rec = (const ngx_goim_record_t *) p;
        check(rec->len % 8 == 0 && (size_t) (end - p) >= rec->len);
        check_record(rec);
        p += rec->len;
    }

    check(p == end);
}


/* ---- the input ---- */

static void
begin(void)
{
    static ngx_log_t        log;
    static ngx_time_t       now;
    static ngx_cycle_t      cycle;
    static ngx_goim_conf_t  conf;
    static uint64_t         counters[NGX_GOIM_C_COUNT];

    cycle.log = &log;
    ngx_cycle = &cycle;
    ngx_cached_time = &now;
    ngx_goim_conf = &conf;
    ngx_goim_counters = counters;

    ngx_goim_zone = calloc(1, sizeof(ngx_goim_zone_t));
    check(ngx_goim_zone != NULL);

    ngx_goim_zone->nslots = 2;
    ngx_goim_zone->slots[0].pid = 1;
    ngx_goim_zone->slots[1].pid = 2;
    ngx_goim_slot = &ngx_goim_zone->slots[0];

    ngx_goim_zone->ring = calloc(1, sizeof(ngx_goim_ring_t) + RING);
    check(ngx_goim_zone->ring != NULL);
    ngx_goim_ring_init(ngx_goim_zone->ring, sizeof(ngx_goim_ring_t) + RING);

    check(ngx_goim_intake_start() == NGX_OK);
}


/* hiredis makes as much room as an array announces, which the module bounds. */

static int
large(const uint8_t *data, size_t size)
{
    size_t  i, digits;

    digits = 0;

    for (i = 0; i < size; i++) {
        digits = data[i] >= '0' && data[i] <= '9' ? digits + 1 : 0;

        if (digits > 4) {
            return 1;
        }
    }

    return 0;
}


/* Redis's answer, or more of them: an array's members are entries. */

static void
answer(const uint8_t *data, size_t size)
{
    void         *reply;
    size_t        i;
    redisReply   *r;
    redisReader  *reader;

    reader = redisReaderCreate();
    check(reader != NULL);
    redisReaderFeed(reader, (const char *) data, size);

    while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
        r = reply;

        for (i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
            (void) ngx_goim_intake_entry(r->element[i]);
        }

        freeReplyObject(reply);
    }

    redisReaderFree(reader);
}


static void
delivery(const uint8_t *data, size_t size)
{
    redisReply   id, field, value, fields, entry, *pair[2], *two[2];

    memset(&entry, 0, sizeof(entry));
    fields = field = value = id = entry;

    id.type = field.type = value.type = REDIS_REPLY_STRING;
    id.str = (char *) "1-1";
    id.len = 3;
    field.str = (char *) "d";
    field.len = 1;

    /* as hiredis has it: a copy, and a NUL behind it */

    value.str = malloc(size + 1);
    check(value.str != NULL);
    memcpy(value.str, data, size);
    value.str[size] = '\0';
    value.len = size;

    pair[0] = &field;
    pair[1] = &value;
    fields.type = entry.type = REDIS_REPLY_ARRAY;
    fields.elements = entry.elements = 2;
    fields.element = pair;
    two[0] = &id;
    two[1] = &fields;
    entry.element = two;

    (void) ngx_goim_intake_entry(&entry);

    free(value.str);
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (ngx_goim_zone == NULL) {
        begin();
    }

    if (size > 0 && data[0] == '*') {
        if (!large(data, size)) {
            answer(data, size);
        }

    } else {
        delivery(data, size);
    }

    ngx_goim_intake_wake();

    return 0;
}
