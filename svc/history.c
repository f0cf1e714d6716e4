/*
 * Which rooms have a history.
 */

#include "history.h"

#include "conf.h"

#include <event2/util.h>

#include "common/goim_limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


#define HISTORY_KEEP_MAX   100000
#define HISTORY_TTL_MIN    1000                     /* ms */
#define HISTORY_TTL_MAX    2592000000               /* 30 days */
#define HISTORY_DEDUP_MAX  86400000


static int
history_visible(const char *text, size_t max)
{
    size_t  i;

    for (i = 0; text[i] > ' ' && text[i] <= '~'; i++) {
        if (i == max) {
            return 0;
        }
    }

    return i > 0 && text[i] == '\0';
}


int
history_id(const char *id)
{
    return history_visible(id, HISTORY_ID_MAX);
}


void
history_word(char word[HISTORY_WORD + 1])
{
    int      i;
    uint8_t  bytes[HISTORY_WORD / 2];

    evutil_secure_rng_get_bytes(bytes, sizeof(bytes));

    for (i = 0; i < HISTORY_WORD / 2; i++) {
        snprintf(word + 2 * i, 3, "%02x", bytes[i]);
    }
}


/* Where it stands, or is to stand. */
static size_t
history_place(const history_t *h, const char *name)
{
    size_t  i;

    for (i = 0; i < h->n && strcmp(h->types[i].name, name) < 0; i++) {
        /* void */
    }

    return i;
}


static int
history_put(history_t *h, const char *name, uint32_t keep, int64_t ttl)
{
    size_t           i;
    history_type_t  *type;

    i = history_place(h, name);
    type = &h->types[i];

    if (h->n == HISTORY_TYPES
        || (i < h->n && strcmp(type->name, name) == 0))
    {
        return -1;
    }

    memmove(type + 1, type, (h->n - i) * sizeof(history_type_t));
    h->n++;

    snprintf(type->name, sizeof(type->name), "%s", name);
    type->keep = keep;
    type->ttl = ttl;

    return 0;
}


/* ---- configuration ---- */

int
history_add(history_t *h, const char *name, const char *value, char *err,
    size_t size)
{
    char      *end;
    int64_t    ttl;
    uint64_t   keep;

    if (!history_visible(name, HISTORY_TYPE_MAX) || strpbrk(name, ":/")) {
        snprintf(err, size, "is not a room type: at most %d visible "
                 "characters, no \":\" or \"/\"", HISTORY_TYPE_MAX);
        return -1;
    }

    if (strcmp(name, GOIM_ROOM_OWN) == 0) {
        snprintf(err, size, "is no application's room type");
        return -1;
    }

    keep = value[0] >= '0' && value[0] <= '9' ? strtoull(value, &end, 10) : 0;

    if (keep == 0 || keep > HISTORY_KEEP_MAX || *end != ' '
        || conf_msec(end + strspn(end, " "), &ttl) != 0
        || ttl < HISTORY_TTL_MIN || ttl > HISTORY_TTL_MAX)
    {
        snprintf(err, size, "is not \"NUMBER TIME\": 1 to %d items, kept for "
                 "1s to 30d", HISTORY_KEEP_MAX);
        return -1;
    }

    if (history_put(h, name, (uint32_t) keep, ttl) != 0) {
        snprintf(err, size, "more than %d room types", HISTORY_TYPES);
        return -1;
    }

    return 0;
}


/* ---- as text ---- */

void
history_text(const history_t *h, char text[HISTORY_TEXT])
{
    size_t  i, len;

    text[0] = '\0';

    if (h->n == 0) {
        return;
    }

    len = (size_t) sprintf(text, "dedup %" PRId64 "\n", h->dedup);

    for (i = 0; i < h->n; i++) {
        len += (size_t) sprintf(text + len, "%s %" PRIu32 " %" PRId64 "\n",
                                h->types[i].name, h->types[i].keep,
                                h->types[i].ttl);
    }
}


static int
history_parse_line(history_t *h, const char *line)
{
    char      name[HISTORY_TYPE_MAX + 1];
    int64_t   ttl;
    uint64_t  keep;

    if (sscanf(line, "%64s %" SCNu64 " %" SCNd64 "\n", name, &keep, &ttl) != 3
        || keep == 0 || keep > HISTORY_KEEP_MAX
        || ttl < HISTORY_TTL_MIN || ttl > HISTORY_TTL_MAX)
    {
        return -1;
    }

    return history_put(h, name, (uint32_t) keep, ttl);
}


int
history_parse(history_t *h, const char *text)
{
    const char  *line;

    memset(h, 0, sizeof(history_t));

    if (text[0] == '\0') {
        return 0;
    }

    if (sscanf(text, "dedup %" SCNd64 "\n", &h->dedup) != 1
        || h->dedup < 1000 || h->dedup > HISTORY_DEDUP_MAX)
    {
        goto wrong;
    }

    for (line = strchr(text, '\n'); line != NULL && line[1] != '\0';
         line = strchr(line + 1, '\n'))
    {
        if (history_parse_line(h, line + 1) != 0) {
            goto wrong;
        }
    }

    return 0;

wrong:

    memset(h, 0, sizeof(history_t));

    return -1;
}


const history_type_t *
history_find(const history_t *h, const char *room)
{
    size_t       i, len;
    const char  *end;
    char         name[HISTORY_TYPE_MAX + 1];

    end = strstr(room, "://");
    len = end != NULL ? (size_t) (end - room) : 0;

    if (h->n == 0 || len == 0 || len > HISTORY_TYPE_MAX) {
        return NULL;
    }

    memcpy(name, room, len);
    name[len] = '\0';

    i = history_place(h, name);

    return i < h->n && strcmp(h->types[i].name, name) == 0 ? &h->types[i]
                                                           : NULL;
}
