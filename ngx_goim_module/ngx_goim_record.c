
/*
 * From a record of the node's stream to a record of the ring: checked, framed
 * once for all workers, and addressed to those who have somebody it is for.
 */


#include "ngx_goim_core.h"
#include "common/goim_frame.h"




static uint16_t ngx_goim_record_kind(Goim__Record *r);
static ngx_int_t ngx_goim_record_end(Goim__Record *r);
static u_char *ngx_goim_record_address(u_char *p, Goim__Record *r,
    uint32_t *n, uint64_t *mask);
static u_char *ngx_goim_record_keys(u_char *p, Goim__Record *r, uint32_t *n,
    uint64_t *mask);
static u_char *ngx_goim_record_kick(u_char *p, Goim__Record *r, uint32_t *n,
    uint64_t *mask);
static void ngx_goim_record_all(uint64_t *mask);
static u_char *ngx_goim_record_name(u_char *p, const void *name, size_t len);
static u_char *ngx_goim_record_frame(u_char *p, Goim__Record *r,
    ngx_goim_record_t *rec);
static ngx_uint_t ngx_goim_record_numbered(Goim__Record *r);
static ngx_uint_t ngx_goim_record_wanted(uint64_t *mask);


ngx_int_t
ngx_goim_record_valid(Goim__Record *r)
{
    size_t  i;

    if (r->offset.len != 0 && r->offset.len != GOIM_OFFSET_LEN) {
        return NGX_ERROR;
    }

    if (r->offset.len && r->partition >= GOIM_PARTITIONS) {
        return NGX_ERROR;
    }

    /* names as the ring can hold them; what is longer than names may be is
       nobody's, and no reason to leave out the others */

    if (r->n_keys > GOIM_RECORD_KEYS || r->room.len > 65535
        || r->zone.len > 65535)
    {
        return NGX_ERROR;
    }

    for (i = 0; i < r->n_keys; i++) {
        if (r->keys[i].len > 65535) {
            return NGX_ERROR;
        }
    }

    if (r->canary) {
        return ngx_goim_canary_valid(r);
    }

    if (r->end) {
        return ngx_goim_record_end(r);
    }

    switch (r->kind) {

    case GOIM__RECORD__KIND__KEYS:
    case GOIM__RECORD__KIND__ROOM:
    case GOIM__RECORD__KIND__ALL:
        return NGX_OK;

    case GOIM__RECORD__KIND__KICK:
        return r->n_keys == 1 ? NGX_OK : NGX_ERROR;

    default:
        return NGX_ERROR;
    }
}


/* The reason goes to clients and logs. */

static ngx_int_t
ngx_goim_record_end(Goim__Record *r)
{
    size_t      len;
    u_char     *p, *last;
    uint32_t    c;
    Goim__End  *end;

    end = r->end;
    len = ngx_strlen(end->reason);

    if (end->code < GOIM_END_MIN || end->code > GOIM_END_MAX
        || len > GOIM_END_REASON
        || end->n_keys + end->n_mids + end->n_rooms + end->n_addrs
           + end->n_jtis > GOIM_RECORD_KEYS)
    {
        return NGX_ERROR;
    }

    p = (u_char *) end->reason;
    last = p + len;

    while (p < last) {
        c = *p < 0x80 ? *p++ : ngx_utf8_decode(&p, last - p);

        if (c < 0x20 || c == 0x7f || c > 0x10ffff
            || (c >= 0xd800 && c <= 0xdfff))
        {
            return NGX_ERROR;
        }
    }

    return (r->kind == GOIM__RECORD__KIND__KEYS && r->n_keys == 0)
           || (r->kind == GOIM__RECORD__KIND__KICK && r->n_keys == 1)
           ? NGX_OK : NGX_ERROR;
}


size_t
ngx_goim_record_length(Goim__Record *r)
{
    size_t  i, len;

    len = sizeof(ngx_goim_record_t) + 2 + r->room.len + 2 + r->zone.len;

    for (i = 0; i < r->n_keys; i++) {
        len += 2 + 2 + r->keys[i].len;
    }

    if (r->canary) {
        len += NGX_GOIM_CANARY;
    }

    if (r->end) {
        len += goim__end__get_packed_size(r->end);
    }

    if (ngx_goim_record_numbered(r)) {
        len += 2 + ngx_strlen(r->timeline);
    }

    len += NGX_GOIM_HEAD + GOIM_HEADER * 2 + r->body.len;

    return ngx_align(len, 8);
}


size_t
ngx_goim_record_put(u_char *start, Goim__Record *r, uint64_t *mask)
{
    u_char             *p;
    ngx_goim_record_t  *rec;

    rec = (ngx_goim_record_t *) start;
    ngx_memzero(rec, sizeof(ngx_goim_record_t));

    if (r->offset.len) {
        rec->positioned = 1;
        rec->partition = r->partition;
        ngx_memcpy(rec->offset.b, r->offset.data, GOIM_OFFSET_LEN);
    }

    p = ngx_goim_record_address(start + sizeof(ngx_goim_record_t), r,
                                &rec->nnames, mask);

    if (ngx_goim_record_wanted(mask)) {
        rec->kind = ngx_goim_record_kind(r);
        rec->operation = r->operation;
        rec->speed = r->speed;
        rec->whole = r->speed ? ngx_goim_pace_whole(r) : 0;
        rec->session = rec->kind == NGX_GOIM_RECORD_END
                       ? ngx_goim_zone->session
                       : r->kind == GOIM__RECORD__KIND__KEYS
                         ? (uint64_t) r->mid : r->session;
        rec->seq = ngx_goim_record_numbered(r) ? r->seq : 0;
        rec->gap = r->gap;
        rec->followers = r->followers != 0;
        rec->unnumbered = r->kind == GOIM__RECORD__KIND__ROOM && r->seq == 0
                          && r->timeline[0] != '\0';

        p = ngx_goim_record_frame(p, r, rec);

    } else {
        rec->kind = NGX_GOIM_RECORD_NONE;
        p = start + sizeof(ngx_goim_record_t);
    }

    rec->len = ngx_align(p - start, 8);
    ngx_memzero(p, start + rec->len - p);

    return rec->len;
}


static uint16_t
ngx_goim_record_kind(Goim__Record *r)
{
    if (r->canary) {
        return NGX_GOIM_RECORD_CANARY;
    }

    return r->end && r->kind == GOIM__RECORD__KIND__KEYS
           ? NGX_GOIM_RECORD_END : r->kind;
}


/* the names go to p; mask: the slots of those who have them */

static u_char *
ngx_goim_record_address(u_char *p, Goim__Record *r, uint32_t *n,
    uint64_t *mask)
{
    ngx_str_t  room;

    ngx_memzero(mask, NGX_GOIM_RING_MASK * sizeof(uint64_t));

    if (r->canary) {
        *n = 1;
        return ngx_goim_canary_put(p, r->canary, mask);
    }

    switch (ngx_goim_record_kind(r)) {

    case NGX_GOIM_RECORD_END:

        /* one who is on its way in may be any worker's */

        ngx_goim_record_all(mask);

        *n = 0;

        return p;

    case GOIM__RECORD__KIND__ROOM:
        room.data = r->room.data;
        room.len = r->room.len;

        ngx_goim_lock();
        ngx_goim_room_mask(&room, mask);
        ngx_goim_unlock();

        *n = 1;

        p = ngx_goim_record_name(p, r->room.data, r->room.len);

        return ngx_goim_record_numbered(r)
               ? ngx_goim_record_name(p, r->timeline, ngx_strlen(r->timeline))
               : p;

    case GOIM__RECORD__KIND__ALL:

        ngx_goim_record_all(mask);

        *n = 0;

        return p;

    case GOIM__RECORD__KIND__KICK:
        return ngx_goim_record_kick(p, r, n, mask);

    default: /* KEYS */
        return ngx_goim_record_keys(p, r, n, mask);
    }
}


/* Keys that nobody here has are reported to logic, which takes them for ours. */

static u_char *
ngx_goim_record_keys(u_char *p, Goim__Record *r, uint32_t *n, uint64_t *mask)
{
    size_t      i;
    ngx_str_t   key;
    ngx_uint_t  slot;

    *n = 0;

    if (ngx_goim_record_numbered(r)) {
        p = ngx_goim_record_name(p, r->timeline, ngx_strlen(r->timeline));
    }

    for (i = 0; i < r->n_keys; i++) {
        key.data = r->keys[i].data;
        key.len = r->keys[i].len;

        if (ngx_goim_key_mask(&key, mask, &slot)) {
            *p++ = (u_char) (slot >> 8);
            *p++ = (u_char) slot;
            p = ngx_goim_record_name(p, key.data, key.len);
            (*n)++;

        } else {
            ngx_goim_missing(&key);
        }
    }

    return p;
}


/* Its session may not know yet that the key is its own, so all look. */

static u_char *
ngx_goim_record_kick(u_char *p, Goim__Record *r, uint32_t *n, uint64_t *mask)
{
    ngx_goim_record_all(mask);

    *n = 2;

    p = ngx_goim_record_name(p, r->keys[0].data, r->keys[0].len);

    return ngx_goim_record_name(p, r->zone.data, r->zone.len);
}


static void
ngx_goim_record_all(uint64_t *mask)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_goim_zone->nslots; i++) {
        if (ngx_goim_zone->slots[i].pid) {
            mask[i / 64] |= (uint64_t) 1 << i % 64;
        }
    }
}


static u_char *
ngx_goim_record_name(u_char *p, const void *name, size_t len)
{
    *p++ = (u_char) (len >> 8);
    *p++ = (u_char) len;

    return len ? ngx_cpymem(p, name, len) : p;
}


/* a WebSocket frame around operation 9 around the packet: bare fronts take
   the packet alone */

static u_char *
ngx_goim_record_frame(u_char *p, Goim__Record *r, ngx_goim_record_t *rec)
{
    size_t  len;

    len = GOIM_HEADER + r->body.len;

    rec->frame = p - (u_char *) rec;

    if (r->kind == GOIM__RECORD__KIND__KICK
        || rec->kind == NGX_GOIM_RECORD_END)
    {
        rec->inner = rec->frame;
        p += r->end ? goim__end__pack(r->end, p) : 0;
        rec->end = p - (u_char *) rec;

        return p;
    }

    p += goim_frame_head(p, GOIM_FRAME_BINARY, GOIM_HEADER + len);
    p = goim_packet_header(p, len, GOIM_VERSION, GOIM_OP_RAW, 0);

    rec->inner = p - (u_char *) rec;
    p = goim_packet_header(p, r->body.len, GOIM_VERSION, r->operation, 0);

    if (r->body.len) {
        p = ngx_cpymem(p, r->body.data, r->body.len);
    }

    rec->end = p - (u_char *) rec;

    return p;
}


/* What no job says counts as none: its item is sent all the same. */

static ngx_uint_t
ngx_goim_record_numbered(Goim__Record *r)
{
    size_t  len;

    if (r->canary || r->end || r->seq == 0 || r->seq > GOIM_SEQ_MAX
        || (r->kind != GOIM__RECORD__KIND__ROOM
            && (r->kind != GOIM__RECORD__KIND__KEYS || r->mid == 0
                || r->mid == INT64_MIN)))
    {
        return 0;
    }

    len = ngx_strlen(r->timeline);

    return len > 0 && len <= GOIM_EPOCH_MAX;
}


static ngx_uint_t
ngx_goim_record_wanted(uint64_t *mask)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_GOIM_RING_MASK; i++) {
        if (mask[i]) {
            return 1;
        }
    }

    return 0;
}
