/*
 * Who a client is.
 */

#include "token.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "common/goim_json.h"


/* where a field counts */
#define LOGIC_TOKEN_IAT  253402300800   /* s: the year 10000 */

#define LOGIC_TRUST   1u            /* a client's own token */
#define LOGIC_ANSWER  2u            /* the application's answer */
#define LOGIC_PACKET  4u            /* what is asked for beside a signed token */
#define LOGIC_CLAIMS  8u            /* what that says */

#define LOGIC_SAID    (LOGIC_ANSWER | LOGIC_CLAIMS)     /* by who may */
#define LOGIC_ALL     15u


typedef struct {
    logic_who_t     *who;
    logic_packet_t  *packet;        /* NULL: it is none */
    const char      *reason;
    unsigned         where;
    unsigned         guest:1;
} logic_token_t;

typedef int (*logic_field_pt)(logic_token_t *t, json_t *value);


static int logic_token_scan(logic_token_t *t, const void *data, size_t len,
    logic_who_t *who, const char **reason);
static int logic_token_id(json_t *claims, logic_who_t *who,
    const char **reason);
static int logic_token_said(const logic_token_t *t, const char **reason);
static int logic_token_member(const char *name, size_t name_len,
    const char *value, size_t len, void *data);
static int logic_token_name(char *buf, size_t size, const char *name,
    size_t len);
static int logic_token_mid(logic_token_t *t, json_t *value);
static int logic_token_key(logic_token_t *t, json_t *value);
static int logic_token_room(logic_token_t *t, json_t *value);
static int logic_token_accepts(logic_token_t *t, json_t *value);
static int logic_token_rooms(logic_token_t *t, json_t *value);
static int logic_token_ops(logic_token_t *t, json_t *value);
static int logic_token_send(logic_token_t *t, json_t *value);
static int logic_token_limits(logic_token_t *t, json_t *value);
static int logic_token_im(logic_token_t *t, json_t *value);
static int logic_token_platform(logic_token_t *t, json_t *value);
static int logic_token_data(logic_token_t *t, json_t *value);
static int logic_token_guest(logic_token_t *t, json_t *value);
static int logic_token_signed(logic_token_t *t, json_t *value);
static int logic_token_string(json_t *value, char *buf, size_t size,
    size_t *len);


/* The fields that count: nothing but these is judged. */

static const struct {
    const char      *name;
    unsigned         where;
    logic_field_pt   set;
    const char      *reason;
} logic_fields[] = {
    { "sub", LOGIC_CLAIMS, logic_token_mid,
      "sub is not a mid, a decimal number of 64 bits" },
    { "mid", LOGIC_TRUST | LOGIC_SAID, logic_token_mid,
      "mid is not an integer of 64 bits" },
    { "key", LOGIC_ALL, logic_token_key,
      "key is not a string of at most 256 bytes" },
    { "room_id", LOGIC_ALL, logic_token_room,
      "room_id is not a string of at most 256 bytes" },
    { "accepts", LOGIC_ALL, logic_token_accepts,
      "accepts is not a list of at most 128 operations" },
    { "platform", LOGIC_ALL, logic_token_platform, "platform is not a string" },
    { "rooms", LOGIC_SAID, logic_token_rooms,
      "rooms is not a list of at most 64 names, 4096 bytes" },
    { "ops", LOGIC_SAID, logic_token_ops,
      "ops is not a list of at most 128 operations or ranges" },
    { "send", LOGIC_SAID, logic_token_send,
      "send is not an object of rooms, ops and mids" },
    { "limits", LOGIC_SAID, logic_token_limits,
      "limits is not an object of rates and bursts" },
    { "im", LOGIC_SAID, logic_token_im, "im is not an object" },
    { "data", LOGIC_SAID, logic_token_data,
      "data is longer than 1024 bytes" },
    { "guest", LOGIC_SAID, logic_token_guest,
      "guest is neither true nor false" },
    { "token", LOGIC_PACKET, logic_token_signed, "token is not a string" }
};


int
logic_token_parse(const void *data, size_t len, logic_who_t *who,
    const char **reason)
{
    logic_token_t  t = { .where = LOGIC_TRUST };

    return logic_token_scan(&t, data, len, who, reason);
}


int
logic_token_answer(const void *data, size_t len, logic_who_t *who,
    const char **reason)
{
    logic_token_t  t = { .where = LOGIC_ANSWER };

    if (logic_token_scan(&t, data, len, who, reason) != 0) {
        return -1;
    }

    return logic_token_said(&t, reason);
}


int
logic_token_packet(const void *data, size_t len, logic_packet_t *packet,
    const char **reason)
{
    logic_token_t  t = { .where = LOGIC_PACKET, .packet = packet };

    memset(packet, 0, sizeof(*packet));

    if (logic_token_scan(&t, data, len, &packet->who, reason) == 0) {
        return 0;
    }

    free(packet->token);
    packet->token = NULL;

    return -1;
}


static int
logic_token_scan(logic_token_t *t, const void *data, size_t len,
    logic_who_t *who, const char **reason)
{
    goim_json_t  what;

    memset(who, 0, sizeof(*who));
    t->who = who;

    what = goim_json_scan(data, len, logic_token_member, t);

    if (what == GOIM_JSON_BAD) {
        *reason = t->reason != NULL ? t->reason
                  : len == 0 ? "empty" : "not JSON";
        return -1;
    }

    if (what == GOIM_JSON_OTHER
        || (what == GOIM_JSON_NULL && t->where == LOGIC_ANSWER))
    {
        *reason = "not a JSON object";
        return -1;
    }

    if (!logic_room_valid(who->room, who->room_len)) {
        *reason = "room_id is not type://id";
        return -1;
    }

    return 0;
}


int
logic_token_claims(json_t *claims, logic_who_t *who, const char **reason)
{
    int             named;
    size_t          i;
    json_t         *value;
    logic_token_t   t = { .where = LOGIC_CLAIMS, .who = who };

    memset(who, 0, sizeof(*who));

    value = json_object_get(claims, "mid");
    named = value != NULL && !json_is_null(value);

    for (i = 0; i < sizeof(logic_fields) / sizeof(logic_fields[0]); i++) {
        value = json_object_get(claims, logic_fields[i].name);

        if (value == NULL || json_is_null(value)
            || (logic_fields[i].where & LOGIC_CLAIMS) == 0
            || (named && strcmp(logic_fields[i].name, "sub") == 0))
        {
            continue;
        }

        if (logic_fields[i].set(&t, value) != 0) {
            *reason = logic_fields[i].reason;
            return -1;
        }
    }

    if (!logic_room_valid(who->room, who->room_len)) {
        *reason = "room_id is not type://id";
        return -1;
    }

    return logic_token_id(claims, who, reason) == 0
           ? logic_token_said(&t, reason) : -1;
}


/* By what it can be revoked. */

static int
logic_token_id(json_t *claims, logic_who_t *who, const char **reason)
{
    double   at;
    size_t   len;
    json_t  *iat, *jti;

    who->claimed = 1;

    iat = json_object_get(claims, "iat");
    jti = json_object_get(claims, "jti");

    if (iat != NULL) {
        at = json_number_value(iat);

        if (!json_is_number(iat) || at < 0 || at > LOGIC_TOKEN_IAT) {
            *reason = "the token's iat is not a time";
            return -1;
        }

        who->iat = (int64_t) at;
    }

    if (jti != NULL) {
        len = json_string_length(jti);

        if (len == 0 || len > GOIM_JTI_MAX) {
            *reason = "the token's jti is not a string of 1 to 256 bytes";
            return -1;
        }

        memcpy(who->jti, json_string_value(jti), len);
        who->jti_len = len;
    }

    return 0;
}


/* What it begins with remains allowed. */

static int
logic_token_said(const logic_token_t *t, const char **reason)
{
    size_t        i;
    logic_who_t  *who;

    who = t->who;
    who->may.rooms_limited = 1;

    for (i = 0; who->may.ops_limited && i < who->naccepts; i++) {
        (void) logic_grants_add_op(&who->may, who->accepts[i]);
    }

    /* what is sent says by whom */

    if (who->mid <= 0) {
        who->sends.any = 0;
        who->im = 0;
    }

    if (who->mid == 0 && who->key_len == 0 && !t->guest) {
        *reason = "neither mid nor key, and no guest";
        return -1;
    }

    return 0;
}


static int
logic_token_member(const char *name, size_t name_len, const char *value,
    size_t len, void *data)
{
    logic_token_t  *t = data;

    int      rc;
    char     buf[16];
    size_t   i;
    json_t  *json;

    if (value[0] == 'n' || logic_token_name(buf, sizeof(buf), name, name_len)
                           != 0)
    {
        /* null is as good as nothing */
        return 0;
    }

    for (i = 0; i < sizeof(logic_fields) / sizeof(logic_fields[0]); i++) {

        if (strcasecmp(buf, logic_fields[i].name) != 0
            || (logic_fields[i].where & t->where) == 0)
        {
            continue;
        }

        t->reason = logic_fields[i].reason;

        json = json_loadb(value, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

        /* goim takes any text here, and looks at none */

        if (json == NULL && value[0] == '"'
            && logic_fields[i].set == logic_token_platform)
        {
            t->reason = NULL;
            return 0;
        }

        rc = json != NULL ? logic_fields[i].set(t, json) : -1;
        json_decref(json);

        if (rc == 0) {
            t->reason = NULL;
        }

        return rc;
    }

    return 0;
}


/* With its escapes resolved; -1: too long for any that counts. */

static int
logic_token_name(char *buf, size_t size, const char *name, size_t len)
{
    int      rc;
    size_t   n;
    json_t  *json;

    if (memchr(name, '\\', len) == NULL) {

        if (len >= size) {
            return -1;
        }

        memcpy(buf, name, len);
        buf[len] = '\0';

        return 0;
    }

    /* the quotes are around it */

    json = json_loadb(name - 1, len + 2, JSON_DECODE_ANY | JSON_ALLOW_NUL,
                      NULL);
    rc = json != NULL ? logic_token_string(json, buf, size, &n) : -1;
    json_decref(json);

    return rc;
}


static int
logic_token_mid(logic_token_t *t, json_t *value)
{
    char        *end;
    const char  *s;

    if (json_is_integer(value)) {
        t->who->mid = json_integer_value(value);
        return 0;
    }

    /* JavaScript has no integers of 64 bits: an application's comes as text */

    if ((t->where & LOGIC_SAID) == 0 || !json_is_string(value)) {
        return -1;
    }

    s = json_string_value(value);

    if (s[0] == '\0' || strspn(s, "-0123456789") != json_string_length(value))
    {
        return -1;
    }

    errno = 0;
    t->who->mid = strtoll(s, &end, 10);

    return errno == 0 && *end == '\0' ? 0 : -1;
}


static int
logic_token_key(logic_token_t *t, json_t *value)
{
    return logic_token_string(value, t->who->key, sizeof(t->who->key),
                              &t->who->key_len);
}


static int
logic_token_room(logic_token_t *t, json_t *value)
{
    if (t->packet != NULL) {
        t->packet->has_room = 1;
    }

    return logic_token_string(value, t->who->room, sizeof(t->who->room),
                              &t->who->room_len);
}


static int
logic_token_guest(logic_token_t *t, json_t *value)
{
    t->guest = json_is_true(value);

    return json_is_boolean(value) ? 0 : -1;
}


static int
logic_token_string(json_t *value, char *buf, size_t size, size_t *len)
{
    size_t       n;
    const char  *s;

    if (!json_is_string(value)) {
        return -1;
    }

    s = json_string_value(value);
    n = json_string_length(value);

    if (n >= size || memchr(s, '\0', n) != NULL) {
        return -1;
    }

    memcpy(buf, s, n);
    buf[n] = '\0';
    *len = n;

    return 0;
}


static int
logic_token_accepts(logic_token_t *t, json_t *value)
{
    size_t        i;
    json_t       *item;
    json_int_t    n;
    logic_who_t  *who;

    who = t->who;

    if (!json_is_array(value) || json_array_size(value) > GOIM_ACCEPTS_MAX) {
        return -1;
    }

    who->naccepts = 0;

    if (t->packet != NULL) {
        t->packet->has_accepts = 1;
    }

    json_array_foreach(value, i, item) {
        n = json_integer_value(item);

        /* null in a list of Go leaves a zero */

        if ((!json_is_integer(item) && !json_is_null(item))
            || n < INT32_MIN || n > INT32_MAX)
        {
            return -1;
        }

        who->accepts[who->naccepts++] = (int32_t) n;
    }

    return 0;
}


static int
logic_token_rooms(logic_token_t *t, json_t *value)
{
    return logic_grants_rooms(&t->who->may, value);
}


static int
logic_token_ops(logic_token_t *t, json_t *value)
{
    return logic_grants_ops(&t->who->may, value);
}


static int
logic_token_send(logic_token_t *t, json_t *value)
{
    return logic_grants_send(&t->who->sends, value);
}


static int
logic_token_limits(logic_token_t *t, json_t *value)
{
    return logic_grants_limits(&t->who->limits, value);
}


/* One that is longer than any known is none of them. In claims it may be anything,
   beside them it does not count. */

static int
logic_token_platform(logic_token_t *t, json_t *value)
{
    const char  *text;

    text = json_string_value(value);

    if (text == NULL) {
        return t->where == LOGIC_CLAIMS ? 0 : -1;
    }

    if (strlen(text) <= LOGIC_PLATFORM_MAX && t->where != LOGIC_PACKET) {
        strcpy(t->who->platform, text);
    }

    return 0;
}


logic_class_t
logic_class(const char *platform)
{
    size_t  i;

    static const struct {
        const char     *name;
        logic_class_t   class;
    } platforms[] = {
        { "mobile", LOGIC_CLASS_MOBILE }, { "android", LOGIC_CLASS_MOBILE },
        { "ios", LOGIC_CLASS_MOBILE }, { "harmony", LOGIC_CLASS_MOBILE },
        { "desktop", LOGIC_CLASS_DESKTOP }, { "windows", LOGIC_CLASS_DESKTOP },
        { "macos", LOGIC_CLASS_DESKTOP }, { "linux", LOGIC_CLASS_DESKTOP },
        { "web", LOGIC_CLASS_WEB }
    };

    for (i = 0; i < sizeof(platforms) / sizeof(platforms[0]); i++) {
        if (strcasecmp(platform, platforms[i].name) == 0) {
            return platforms[i].class;
        }
    }

    return LOGIC_CLASS_NONE;
}


static int
logic_token_im(logic_token_t *t, json_t *value)
{
    t->who->im = json_is_object(value);

    return t->who->im ? 0 : -1;
}


/* Whatever it is; as text that a header may hold. */

static int
logic_token_data(logic_token_t *t, json_t *value)
{
    size_t  len;

    len = json_dumpb(value, t->who->data, GOIM_DATA_MAX,
                     JSON_COMPACT | JSON_ENSURE_ASCII | JSON_ENCODE_ANY);

    if (len == 0 || len > GOIM_DATA_MAX) {
        return -1;
    }

    t->who->data[len] = '\0';

    return 0;
}


static int
logic_token_signed(logic_token_t *t, json_t *value)
{
    if (!json_is_string(value)
        || strlen(json_string_value(value)) != json_string_length(value))
    {
        return -1;
    }

    free(t->packet->token);
    t->packet->token = strdup(json_string_value(value));

    return t->packet->token != NULL ? 0 : -1;
}


int
logic_token_bound(logic_who_t *who, const logic_packet_t *packet,
    const char **reason)
{
    size_t              i;
    const logic_who_t  *asks;

    asks = &packet->who;

    if (asks->key_len > 0 && who->key_len == 0) {
        memcpy(who->key, asks->key, asks->key_len + 1);
        who->key_len = asks->key_len;
        who->guarded = 1;

    } else if (asks->key_len > 0 && strcmp(asks->key, who->key) != 0) {
        *reason = "key is not the token's";
        return -1;
    }

    if (packet->has_room) {
        if (asks->room_len > 0 && strcmp(asks->room, who->room) != 0
            && !logic_grants_has_room(&who->may, asks->room, asks->room_len))
        {
            *reason = "room_id is none of the token's rooms";
            return -1;
        }

        /* a name that ends so is one room's, and would be many */

        if (who->room_len > 0 && who->room[who->room_len - 1] != '*') {
            (void) logic_grants_add_room(&who->may, who->room,
                                         who->room_len);
        }

        memcpy(who->room, asks->room, asks->room_len + 1);
        who->room_len = asks->room_len;
    }

    if (packet->has_accepts) {
        for (i = 0; i < asks->naccepts; i++) {
            if (!logic_grants_has_op(&who->may, asks->accepts[i])) {
                *reason = "accepts has none of the token's ops";
                return -1;
            }
        }

        memcpy(who->accepts, asks->accepts, sizeof(who->accepts));
        who->naccepts = asks->naccepts;
    }

    return 0;
}


int
logic_token_same(const logic_who_t *who, const logic_packet_t *packet,
    int64_t mid, const void *key, size_t len, const char **reason)
{
    size_t              i;
    const logic_who_t  *says[] = { who, &packet->who };

    if (who->mid != mid) {
        *reason = "the token is another mid's";
        return -1;
    }

    for (i = 0; i < 2; i++) {
        if (says[i]->key_len > 0
            && (says[i]->key_len != len
                || memcmp(says[i]->key, key, len) != 0))
        {
            *reason = "the key is another one";
            return -1;
        }
    }

    return 0;
}


int
logic_room_valid(const char *room, size_t len)
{
    const char  *sep;

    if (len == 0) {
        return 1;
    }

    sep = memmem(room, len, "://", 3);

    return sep != NULL && sep > room && sep + 3 < room + len;
}


int
logic_key_make(logic_who_t *who)
{
    uint8_t  b[16];

    if (getrandom(b, sizeof(b), 0) != (ssize_t) sizeof(b)) {
        return -1;
    }

    b[6] = (uint8_t) (0x40 | (b[6] & 0x0f));
    b[8] = (uint8_t) (0x80 | (b[8] & 0x3f));

    who->key_len = (size_t) snprintf(who->key, sizeof(who->key),
        "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
        "%02x%02x%02x%02x%02x%02x",
        b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10],
        b[11], b[12], b[13], b[14], b[15]);

    return 0;
}
