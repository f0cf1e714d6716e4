#include "common/goim_recover.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/goim_json.h"


typedef struct {
    goim_recover_pt   entry;
    void             *data;
    const char       *reason;
    int               n;
    goim_recover_t    r;            /* the one that is read */
    unsigned          has_seq:1;
    unsigned          has_epoch:1;
    char              name[GOIM_ROOM_MAX];
    char              epoch[GOIM_EPOCH_MAX];
} goim_recover_parse_t;


static int goim_recover_entry(const char *name, size_t name_len,
    const char *value, size_t len, void *data);
static int goim_recover_member(const char *name, size_t name_len,
    const char *value, size_t len, void *data);
static int goim_recover_epoch(goim_recover_parse_t *p, const char *value,
    size_t len);
static int goim_recover_number(const char *value, size_t len, uint64_t max,
    uint64_t *n);


int
goim_recover_parse(const void *text, size_t len, goim_recover_pt entry,
    void *data, const char **reason)
{
    goim_recover_parse_t  p;

    memset(&p, 0, sizeof(goim_recover_parse_t));
    p.entry = entry;
    p.data = data;
    p.reason = "recover is not a map";

    if (goim_json_scan(text, len, goim_recover_entry, &p) != GOIM_JSON_OBJECT) {
        *reason = p.reason;
        return -1;
    }

    return p.n;
}


static int
goim_recover_entry(const char *name, size_t name_len, const char *value,
    size_t len, void *data)
{
    int                    n;
    goim_json_t            what;
    goim_recover_parse_t  *p = data;

    if (p->n == GOIM_RECOVER_MAX) {
        p->reason = "recover has more than 64 entries";
        return -1;
    }

    n = goim_json_string(name, name_len, p->name, GOIM_ROOM_MAX);

    if (n < 1) {
        p->reason = "recover has a name that is not of 1 to 256 bytes";
        return -1;
    }

    memset(&p->r, 0, sizeof(goim_recover_t));
    p->r.name = p->name;
    p->r.name_len = (size_t) n;
    p->r.epoch = p->epoch;
    p->has_seq = 0;
    p->has_epoch = 0;

    p->reason = "recover has an entry that is not a map";
    what = goim_json_scan(value, len, goim_recover_member, p);

    if (what != GOIM_JSON_OBJECT && what != GOIM_JSON_NULL) {
        return -1;
    }

    if (p->has_seq != p->has_epoch) {
        p->reason = "recover has a position without epoch, or without seq";
        return -1;
    }

    p->n++;
    p->entry(&p->r, p->data);
    p->reason = "recover is not a map";

    return 0;
}


static int
goim_recover_member(const char *name, size_t name_len, const char *value,
    size_t len, void *data)
{
    int                    n;
    char                   buf[8];
    uint64_t               last;
    goim_recover_parse_t  *p = data;

    n = goim_json_string(name, name_len, buf, sizeof(buf));

    if (n == 5 && memcmp(buf, "epoch", 5) == 0) {
        p->has_epoch = 1;
        return goim_recover_epoch(p, value, len);
    }

    if (n == 3 && memcmp(buf, "seq", 3) == 0) {
        p->has_seq = 1;

        if (goim_recover_number(value, len, GOIM_SEQ_MAX, &p->r.seq) == 0) {
            return 0;
        }

        p->reason = "recover has a seq that is no integer from 0 to 2^53 - 1";
        return -1;
    }

    if (n == 4 && memcmp(buf, "last", 4) == 0) {

        if (goim_recover_number(value, len, GOIM_NEWEST_MAX, &last) == 0) {
            p->r.last = (uint32_t) last;
            return 0;
        }

        p->reason = "recover has a last that is no integer from 0 to 1000";
        return -1;
    }

    return 0;
}


static int
goim_recover_epoch(goim_recover_parse_t *p, const char *value, size_t len)
{
    int  i, n;

    n = -1;

    if (len >= 2 && value[0] == '"') {
        n = goim_json_string(value + 1, len - 2, p->epoch, GOIM_EPOCH_MAX);
    }

    for (i = 0; i < n; i++) {
        if (p->epoch[i] <= ' ' || p->epoch[i] > '~') {
            n = -1;
        }
    }

    if (n < 1) {
        p->reason = "recover has an epoch that is not of 1 to 32 visible "
                    "characters";
        return -1;
    }

    p->r.epoch_len = (size_t) n;

    return 0;
}


static int
goim_recover_number(const char *value, size_t len, uint64_t max, uint64_t *n)
{
    size_t  i;

    *n = 0;

    for (i = 0; i < len; i++) {

        if (value[i] < '0' || value[i] > '9') {
            return -1;
        }

        *n = *n * 10 + (uint64_t) (value[i] - '0');

        if (*n > max) {
            return -1;
        }
    }

    return 0;
}


/* ---- what is told ---- */

size_t
goim_told_write(char *buf, const goim_told_entry_t *entries, size_t n)
{
    char               *p;
    size_t              i;
    const goim_told_t  *told;

    p = buf;
    *p++ = '{';

    for (i = 0; i < n; i++) {
        told = entries[i].told;

        if (i) {
            *p++ = ',';
        }

        p = goim_json_write(p, entries[i].name, entries[i].name_len);
        *p++ = ':';

        if (told->epoch == NULL) {
            memcpy(p, "null", 4);
            p += 4;
            continue;
        }

        memcpy(p, "{\"epoch\":", 9);
        p = goim_json_write(p + 9, told->epoch->word, told->epoch->len);
        p += sprintf(p, ",\"seq\":%" PRIu64 ",\"first\":%" PRIu64,
                     told->seq, told->first);

        if (told->recovered == GOIM_RECOVERED_TRUE) {
            p += sprintf(p, ",\"head\":%" PRIu64 ",\"recovered\":true",
                         told->head);

        } else if (told->recovered != GOIM_RECOVERED_NONE) {
            p += sprintf(p, ",\"recovered\":false");
        }

        *p++ = '}';
    }

    *p++ = '}';

    return (size_t) (p - buf);
}
