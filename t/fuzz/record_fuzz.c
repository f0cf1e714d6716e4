/* LINK: job/record.c job/place.c common/goim_position.c proto/goim.pb-c.c */
/* LINK: svc/log.c */

/*
 * Records of the bus, from whoever may write there. What is good becomes a
 * delivery of one record that nodes take, with the names it may have; unpacked
 * it is not absurdly larger than it came.
 */

#include <stdlib.h>
#include <string.h>

#include "job/record.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
check(int good)
{
    if (!good) {
        abort();
    }
}


static void
check_record(const Goim__PushMsg *push, const Goim__Record *r)
{
    size_t  i;

    check(r->offset.len == GOIM_OFFSET_LEN && r->partition == 7);
    check(r->body.len == push->msg.len
          && (r->body.len == 0
              || memcmp(r->body.data, push->msg.data, r->body.len) == 0));

    switch (r->kind) {

    case GOIM__RECORD__KIND__KEYS:
        check((r->canary != NULL) == (r->n_keys == 0));
        break;

    case GOIM__RECORD__KIND__ROOM:
        check(r->room.len > 0 && r->room.len <= GOIM_ROOM_MAX);
        break;

    case GOIM__RECORD__KIND__ALL:
        check(r->speed == 0 || r->nodes == 3);
        break;

    default:
        abort();
    }

    for (i = 0; i < r->n_keys; i++) {
        check(r->keys[i].len > 0 && r->keys[i].len <= GOIM_KEY_MAX);
    }

    if (push->type == GOIM__PUSH_MSG__TYPE__PUSH) {
        check(r->n_keys + job_record_wrong(push) == push->n_keys);
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t           len, used;
    uint8_t         *packed;
    job_bad_t        bad;
    job_msg_t       *msg;
    job_arena_t      arena;
    Goim__PushMsg   *push;
    goim_offset_t    offset;
    Goim__Delivery  *delivery;

    job_arena_init(&arena);
    bad = job_record_parse(&arena, data, size, &push);
    check((int) bad >= 0 && bad < JOB_BAD_COUNT);

    if (bad == JOB_GOOD) {
        used = 0;
        goim_offset_set(&offset, 1, 2);
        msg = job_msg_new(7, &offset, NULL, 0, &used);
        bad = job_record_pack(&arena, push, msg, 3, 1000, &packed, &len);
        check(bad == JOB_GOOD || bad == JOB_BAD_SIZE);

        if (bad == JOB_GOOD) {
            delivery = goim__delivery__unpack(NULL, len, packed);
            check(delivery != NULL && delivery->n_records == 1);
            check_record(push, delivery->records[0]);
            goim__delivery__free_unpacked(delivery, NULL);
            free(packed);
        }

        job_msg_unref(msg);
        check(used == 0);
    }

    job_arena_free(&arena);

    return 0;
}
