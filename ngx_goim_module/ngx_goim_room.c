
/*
 * Who is where, in this worker: the rooms with their members, and the list of
 * all authenticated sessions, which is a room without a name.
 */


#include "ngx_goim_room.h"


/* The rooms that a session may enter: the one of its login, then those that
   logic names; of the latter one that ends in "*" is all that begin so. */

typedef struct {
    ngx_uint_t              n;
    ngx_str_t               name[1];
} ngx_goim_rooms_t;


static void ngx_goim_room_unlimit(ngx_goim_session_t *s);
static ngx_goim_room_t *ngx_goim_room_make(u_char *key, size_t len);
static void ngx_goim_room_join(ngx_goim_room_t *room,
    ngx_goim_member_t *member, ngx_goim_session_t *s);
static void ngx_goim_room_leave(ngx_goim_session_t *s);
static void ngx_goim_room_less(ngx_goim_room_t *room);


static ngx_goim_index_t  ngx_goim_rooms;

ngx_goim_room_t          ngx_goim_room_all;


ngx_int_t
ngx_goim_room_init(ngx_log_t *log)
{
    ngx_queue_init(&ngx_goim_room_all.members);
    ngx_queue_init(&ngx_goim_room_all.blocks);

    return ngx_goim_index_init(&ngx_goim_rooms, ngx_goim_zone->seed, log);
}


ngx_goim_room_t *
ngx_goim_room_find(u_char *key, size_t len)
{
    ngx_goim_entry_t  *e;

    e = ngx_goim_index_find(&ngx_goim_rooms, key, len);

    return e ? ngx_queue_data(e, ngx_goim_room_t, entry) : NULL;
}


uint32_t
ngx_goim_room_online(ngx_goim_room_t *room)
{
    uint32_t  n;

    n = ngx_goim_contrib_online(&room->contrib);

    return n ? n : room->count;
}


/* NGX_ERROR: no memory */

ngx_int_t
ngx_goim_room_limit(ngx_goim_session_t *s, const Goim__Connected *in)
{
    size_t                len;
    u_char               *p;
    ngx_uint_t            i;
    ngx_goim_rooms_t     *rooms;
    ProtobufCBinaryData   name;

    if (!in->limited) {
        ngx_goim_room_unlimit(s);
        return NGX_OK;
    }

    len = sizeof(ngx_goim_rooms_t) + in->n_rooms * sizeof(ngx_str_t)
          + in->room.len;

    for (i = 0; i < in->n_rooms; i++) {
        len += in->rooms[i].len;
    }

    rooms = ngx_alloc(len, ngx_cycle->log);
    if (rooms == NULL) {
        return NGX_ERROR;
    }

    rooms->n = in->n_rooms + 1;
    p = (u_char *) &rooms->name[rooms->n];

    for (i = 0; i < rooms->n; i++) {
        name = i ? in->rooms[i - 1] : in->room;

        rooms->name[i].len = name.len;
        rooms->name[i].data = p;

        if (name.len) {
            p = ngx_cpymem(p, name.data, name.len);
        }
    }

    ngx_goim_room_unlimit(s);
    s->rooms = rooms;

    return NGX_OK;
}


static void
ngx_goim_room_unlimit(ngx_goim_session_t *s)
{
    if (s->rooms) {
        ngx_free(s->rooms);
        s->rooms = NULL;
    }
}


/* Out of a room always. */

ngx_uint_t
ngx_goim_room_allowed(ngx_goim_session_t *s, const u_char *key, size_t len)
{
    ngx_str_t         *name;
    ngx_uint_t         i;
    ngx_goim_rooms_t  *rooms;

    rooms = s->rooms;

    if (rooms == NULL || len == 0) {
        return 1;
    }

    for (i = 0; i < rooms->n; i++) {
        name = &rooms->name[i];

        if (i > 0 && name->len && name->data[name->len - 1] == '*') {

            if (len >= name->len - 1
                && ngx_memcmp(key, name->data, name->len - 1) == 0)
            {
                return 1;
            }

        } else if (len == name->len
                   && ngx_memcmp(key, name->data, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


/* As a member already, so that the room is not taken off the list while we
   look. */

ngx_int_t
ngx_goim_room_change(ngx_goim_session_t *s, ngx_str_t *key,
    const ngx_goim_listing_t *listing, ngx_uint_t must)
{
    ngx_int_t         rc, fresh;
    ngx_goim_room_t  *room;

    if (s->room && s->room->key.len == key->len
        && ngx_memcmp(s->room->key.data, key->data, key->len) == 0)
    {
        return NGX_OK;
    }

    if (key->len == 0) {

        if (s->room) {
            ngx_goim_room_leave(s);
            ngx_goim_renew_moved(s);
        }

        return NGX_OK;
    }

    room = ngx_goim_room_find(key->data, key->len);

    if (room == NULL) {
        room = ngx_goim_room_make(key->data, key->len);

        if (room == NULL) {
            return NGX_ERROR;
        }
    }

    room->count++;
    ngx_goim_room_contribute(&room->key, room->count, &room->contrib,
                             &room->unplaced);

    fresh = listing ? ngx_goim_room_list(key, listing->life, listing->order)
                    : NGX_DECLINED;

    rc = ngx_goim_room_listed(&room->contrib, room->unplaced, must);

    /* The zone has no place to say that it is listed.  It will be for any room
       before this listing is old. */

    if (room->unplaced && fresh == NGX_OK) {
        rc = NGX_OK;
    }

    if (rc != NGX_OK) {
        ngx_goim_room_less(room);
        return rc;
    }

    if (s->room) {
        ngx_goim_room_leave(s);
    }

    room->count--;
    ngx_goim_room_join(room, &s->in_room, s);
    s->room = room;
    ngx_goim_renew_moved(s);

    return NGX_OK;
}


static ngx_goim_room_t *
ngx_goim_room_make(u_char *key, size_t len)
{
    ngx_goim_room_t  *room;

    room = ngx_calloc(sizeof(ngx_goim_room_t) + len, ngx_cycle->log);
    if (room == NULL) {
        return NULL;
    }

    room->key.len = len;
    room->key.data = (u_char *) room + sizeof(ngx_goim_room_t);
    ngx_memcpy(room->key.data, key, len);

    ngx_queue_init(&room->members);
    ngx_queue_init(&room->blocks);

    room->entry.key = &room->key;
    ngx_goim_index_add(&ngx_goim_rooms, &room->entry);

    return room;
}


/* under the zone's lock */

void
ngx_goim_room_contribute_all(void)
{
    ngx_uint_t         i;
    ngx_goim_room_t   *room;
    ngx_goim_entry_t  *e;

    for (i = 0; i <= ngx_goim_rooms.mask; i++) {

        for (e = ngx_goim_rooms.buckets[i]; e; e = e->next) {
            room = ngx_queue_data(e, ngx_goim_room_t, entry);

            room->contrib = NULL;
            room->unplaced = 0;

            ngx_goim_room_contribute_locked(&room->key, room->count,
                                            &room->contrib, &room->unplaced);
        }
    }
}


/*
 * At the head: a fan-out walks towards the tail, and who enters behind it is
 * not one of those whom its message was for.
 */

static void
ngx_goim_room_join(ngx_goim_room_t *room, ngx_goim_member_t *member,
    ngx_goim_session_t *s)
{
    member->session = s;
    ngx_queue_insert_head(&room->members, &member->queue);
    room->count++;
}


static void
ngx_goim_room_leave(ngx_goim_session_t *s)
{
    ngx_goim_room_t  *room;

    ngx_goim_follow_leave(s);

    room = s->room;
    s->room = NULL;

    ngx_queue_remove(&s->in_room.queue);
    s->in_room.session = NULL;

    ngx_goim_room_less(room);
}


/* It may be gone after that. */

static void
ngx_goim_room_less(ngx_goim_room_t *room)
{
    room->count--;

    ngx_goim_room_contribute(&room->key, room->count, &room->contrib,
                             &room->unplaced);

    if (room->count) {
        return;
    }

    ngx_goim_fanout_drop(room);
    ngx_goim_index_delete(&ngx_goim_rooms, &room->entry);
    ngx_free(room);
}


void
ngx_goim_room_enter(ngx_goim_session_t *s)
{
    ngx_goim_room_join(&ngx_goim_room_all, &s->in_all, s);
    ngx_goim_slot->authorized = ngx_goim_room_all.count;
}


void
ngx_goim_room_exit(ngx_goim_session_t *s)
{
    if (s->room) {
        ngx_goim_room_leave(s);
    }

    ngx_goim_inbox_leave(s);

    ngx_queue_remove(&s->in_all.queue);
    s->in_all.session = NULL;

    ngx_goim_room_all.count--;
    ngx_goim_slot->authorized = ngx_goim_room_all.count;
}
