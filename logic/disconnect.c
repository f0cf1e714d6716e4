/*
 * Sessions that backends end: of keys, users, a room, addresses. Where these
 * are is not looked up, as Redis may have lost it: what is to end goes to all
 * nodes, through the bus as pushes do, and each looks for its own.
 */

#include "disconnect.h"

#include "access.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "common/goim_answer.h"


#define LOGIC_END_NAMES  256        /* of a record: 64 KB at most */


static int logic_disconnect_code(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end);
static int logic_disconnect_reason(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end);
static int logic_disconnect_names(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end);
static int logic_disconnect_room(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end);
static int logic_disconnect_keys(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end, size_t n);
static int logic_disconnect_mids(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end, size_t n);
static int logic_disconnect_addrs(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end, size_t n);
static void logic_disconnect_done(logic_thread_t *t, logic_end_t end,
    const char *message, void *data);


void
logic_disconnect_http(logic_thread_t *t, http_request_t *req,
    logic_query_t *q)
{
    Goim__End  end = GOIM__END__INIT;

    if (logic_disconnect_names(t, req, q, &end) == 0
        && logic_disconnect_code(t, req, q, &end) == 0
        && logic_disconnect_reason(t, req, q, &end) == 0)
    {
        logic_disconnect(t, &end, logic_disconnect_done, req);
    }
}


/*
 * Clients know by the code alone whether to come back, as not all are told
 * more. So `again` chooses one, and must not say something else than `code`.
 */

static int
logic_disconnect_code(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end)
{
    int      says;
    int64_t  code, again;

    if (logic_http_number(t, req, q, "again", 0, 0, 1, &again) != 0) {
        return -1;
    }

    if (logic_query_find(q, "code") == NULL) {
        end->code = again ? GOIM_END_MIN : GOIM_END_STAY;
        return 0;
    }

    if (logic_http_number(t, req, q, "code", 1, GOIM_END_MIN, GOIM_END_MAX,
                          &code)
        != 0)
    {
        return -1;
    }

    says = code < GOIM_END_STAY && code != GOIM_EXPIRED;

    if (logic_query_find(q, "again") != NULL && says != again) {
        logic_http_bad(t, req, "again: code %lld says %d: clients come back "
                       "after %d to %d, but %d", (long long) code, says,
                       GOIM_END_MIN, GOIM_END_STAY - 1, GOIM_EXPIRED);
        return -1;
    }

    end->code = (uint32_t) code;

    return 0;
}


static int
logic_disconnect_reason(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end)
{
    size_t              i;
    json_t             *text;
    const logic_arg_t  *arg;

    arg = logic_query_find(q, "reason");

    if (arg == NULL) {
        end->reason = (char *) "disconnected";
        return 0;
    }

    text = json_stringn(arg->value, arg->len);

    for (i = 0; i < arg->len; i++) {
        if ((uint8_t) arg->value[i] < ' ' || arg->value[i] == 0x7f) {
            break;
        }
    }

    if (text == NULL || i < arg->len || arg->len > GOIM_END_REASON) {
        json_decref(text);
        logic_http_bad(t, req, "reason: not up to %d bytes of UTF-8 without "
                       "control characters", GOIM_END_REASON);
        return -1;
    }

    json_decref(text);
    end->reason = (char *) arg->value;

    return 0;
}


/* ---- whom ---- */

static int
logic_disconnect_names(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end)
{
    size_t  keys, mids, addrs;

    keys = logic_query_count(q, "keys");
    mids = logic_query_count(q, "mids");
    addrs = logic_query_count(q, "addrs");

    if ((keys > 0) + (mids > 0) + (addrs > 0)
        + (logic_query_find(q, "room") != NULL
           || logic_query_find(q, "type") != NULL)
        != 1)
    {
        logic_http_bad(t, req, "one of keys, mids, addrs, or type and room is "
                       "required");
        return -1;
    }

    if (keys + mids + addrs > LOGIC_DISCONNECT_MAX) {
        logic_http_bad(t, req, "%s: more than %d", keys > 0 ? "keys"
                       : mids > 0 ? "mids" : "addrs", LOGIC_DISCONNECT_MAX);
        return -1;
    }

    if (keys + mids + addrs == 0) {
        return logic_disconnect_room(t, req, q, end);
    }

    if (logic_access_all(t, req, q->key) != 0) {
        return -1;
    }

    return keys > 0 ? logic_disconnect_keys(t, req, q, end, keys)
           : mids > 0 ? logic_disconnect_mids(t, req, q, end, mids)
           : logic_disconnect_addrs(t, req, q, end, addrs);
}


/* n things of size bytes; NULL: the request is answered */

static void *
logic_disconnect_alloc(logic_thread_t *t, http_request_t *req, size_t n,
    size_t size)
{
    void  *p;

    p = http_alloc(req, n * size);

    if (p == NULL) {
        logic_http_failed(t, req, "no memory");
    }

    return p;
}


static int
logic_disconnect_room(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end)
{
    char        *key;
    size_t       len;
    const char  *type, *room;

    len = logic_http_room(t, req, q, &type, &room);

    if (len == 0) {
        return -1;
    }

    end->rooms = logic_disconnect_alloc(t, req, 1,
                                        sizeof(ProtobufCBinaryData));
    key = end->rooms == NULL ? NULL
                             : logic_disconnect_alloc(t, req, 1, len + 1);

    if (key == NULL) {
        return -1;
    }

    stpcpy(stpcpy(stpcpy(key, type), "://"), room);

    end->rooms[0].data = (uint8_t *) key;
    end->rooms[0].len = len;
    end->n_rooms = 1;

    return 0;
}


static int
logic_disconnect_keys(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end, size_t n)
{
    size_t        i;
    logic_arg_t  *arg;

    end->keys = logic_disconnect_alloc(t, req, n, sizeof(ProtobufCBinaryData));

    if (end->keys == NULL) {
        return -1;
    }

    for (i = 0; i < q->nargs; i++) {
        arg = &q->args[i];

        if (strcmp(arg->name, "keys") != 0) {
            continue;
        }

        if (arg->len == 0 || arg->len > GOIM_KEY_MAX) {
            logic_http_bad(t, req, "keys: not 1 to %d bytes", GOIM_KEY_MAX);
            return -1;
        }

        end->keys[end->n_keys].data = (uint8_t *) arg->value;
        end->keys[end->n_keys++].len = arg->len;
    }

    return 0;
}


static int
logic_disconnect_mids(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end, size_t n)
{
    size_t  i;

    end->mids = logic_disconnect_alloc(t, req, n, sizeof(int64_t));

    if (end->mids == NULL) {
        return -1;
    }

    for (i = 0; i < q->nargs; i++) {

        if (strcmp(q->args[i].name, "mids") != 0) {
            continue;
        }

        if (logic_query_number(&q->args[i], 1, INT64_MAX,
                               &end->mids[end->n_mids])
            != 0)
        {
            logic_http_bad(t, req, "mids: not a number over 0");
            return -1;
        }

        end->n_mids++;
    }

    return 0;
}


static int
logic_disconnect_addrs(logic_thread_t *t, http_request_t *req,
    logic_query_t *q, Goim__End *end, size_t n)
{
    size_t                i;
    uint8_t              *p;
    logic_arg_t          *arg;
    ProtobufCBinaryData  *addr;

    static const uint8_t  mapped[12] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
    };

    end->addrs = logic_disconnect_alloc(t, req, n,
                                        sizeof(ProtobufCBinaryData));
    p = end->addrs == NULL ? NULL : logic_disconnect_alloc(t, req, n, 16);

    if (p == NULL) {
        return -1;
    }

    for (i = 0; i < q->nargs; i++) {
        arg = &q->args[i];

        if (strcmp(arg->name, "addrs") != 0) {
            continue;
        }

        addr = &end->addrs[end->n_addrs++];
        addr->data = p;
        p += 16;

        if (inet_pton(AF_INET, arg->value, addr->data) == 1) {
            addr->len = 4;

        } else if (inet_pton(AF_INET6, arg->value, addr->data) == 1) {
            addr->len = 16;

            if (memcmp(addr->data, mapped, sizeof(mapped)) == 0) {
                addr->data += sizeof(mapped);
                addr->len = 4;
            }

        } else {
            logic_http_bad(t, req, "addrs: not an address of IPv4 or IPv6");
            return -1;
        }
    }

    return 0;
}


/* ---- to the bus ---- */

/* Of a list the names from i on, as many as go into a record. */
#define LOGIC_END_PART(list)                                                 \
    if (end->n_##list > i) {                                                 \
        part.list += i;                                                      \
        part.n_##list = end->n_##list - i;                                   \
                                                                             \
        if (part.n_##list > LOGIC_END_NAMES) {                               \
            part.n_##list = LOGIC_END_NAMES;                                 \
        }                                                                    \
    }


void
logic_disconnect(logic_thread_t *t, Goim__End *end, logic_push_pt done,
    void *data)
{
    size_t         i, n;
    Goim__End      part;
    Goim__PushMsg  msg = GOIM__PUSH_MSG__INIT;
    logic_push_t  *p;

    static const char  key[] = "disconnect";

    n = end->n_keys + end->n_mids + end->n_rooms + end->n_addrs + end->n_jtis;

    p = logic_push_begin(t, LOGIC_PUSH_END, 0, "", 0,
                         n * sizeof(ProtobufCBinaryData), done, data);
    if (p == NULL) {
        return;
    }

    msg.type = GOIM__PUSH_MSG__TYPE__END;
    msg.end = &part;

    for (i = 0; i < n; i += LOGIC_END_NAMES) {
        part = *end;

        LOGIC_END_PART(keys);
        LOGIC_END_PART(mids);
        LOGIC_END_PART(rooms);
        LOGIC_END_PART(addrs);
        LOGIC_END_PART(jtis);

        logic_push_produce(p, &msg, key, sizeof(key) - 1);
    }

    logic_push_settle(p);
}


static void
logic_disconnect_done(logic_thread_t *t, logic_end_t end,
    const char *message, void *data)
{
    logic_http_answer(t, data, 200, logic_push_code(end), message, NULL);
}
