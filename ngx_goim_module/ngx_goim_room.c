
/*
 * Who is where, in this worker: the rooms with their members, and the list of
 * all authenticated sessions, which is a room without a name.
 */


#include "ngx_goim_room.h"


static ngx_goim_room_t *ngx_goim_room_make(u_char *key, size_t len);
static void ngx_goim_room_join(ngx_goim_room_t *room,
    ngx_goim_member_t *member, ngx_goim_session_t *s);
static void ngx_goim_room_leave(ngx_goim_session_t *s);


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
    return room->share ? ngx_goim_share_online(room->share) : room->count;
}


ngx_int_t
ngx_goim_room_change(ngx_goim_session_t *s, u_char *key, size_t len)
{
    ngx_goim_room_t  *room;

    if (s->room && s->room->key.len == len
        && ngx_memcmp(s->room->key.data, key, len) == 0)
    {
        return NGX_OK;
    }

    if (len == 0) {

        if (s->room) {
            ngx_goim_room_leave(s);
        }

        return NGX_OK;
    }

    room = ngx_goim_room_find(key, len);

    if (room == NULL) {
        room = ngx_goim_room_make(key, len);

        if (room == NULL) {
            return NGX_ERROR;
        }
    }

    if (s->room) {
        ngx_goim_room_leave(s);
    }

    if (room->share) {
        room->share->count++;

    } else if (room->count == 0) {
        (void) ngx_goim_share_join(NGX_GOIM_ROOMS, &room->key, 0,
                                   &room->share);

        if (room->share == NULL) {
            ngx_goim_slot->unshared++;
        }
    }

    ngx_goim_room_join(room, &s->in_room, s);
    s->room = room;

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

    room = s->room;
    s->room = NULL;

    ngx_queue_remove(&s->in_room.queue);
    s->in_room.session = NULL;
    room->count--;

    if (room->share) {
        ngx_goim_share_leave(room->share);
    }

    if (room->count) {
        return;
    }

    if (room->share == NULL) {
        ngx_goim_slot->unshared--;
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

    ngx_queue_remove(&s->in_all.queue);
    s->in_all.session = NULL;

    ngx_goim_room_all.count--;
    ngx_goim_slot->authorized = ngx_goim_room_all.count;
}
