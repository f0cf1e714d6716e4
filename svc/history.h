/*
 * Which rooms have a history: [history] of job's configuration, a line a room
 * type, as a text that stands in Redis (goim:history) for everybody.
 *
 *     dedup 300000
 *     live 300 600000
 *
 * Types by name, how many items are kept and for how long (ms).
 */

#ifndef SVC_HISTORY_H
#define SVC_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#define HISTORY_TYPES      64
#define HISTORY_TYPE_MAX   64               /* bytes of a type's name */
#define HISTORY_TEXT       (HISTORY_TYPES * (HISTORY_TYPE_MAX + 32) + 64)

#define HISTORY_ID_MAX     64               /* bytes of a push's id */


typedef struct {
    char      name[HISTORY_TYPE_MAX + 1];
    uint32_t  keep;
    int64_t   ttl;              /* ms */
} history_type_t;

typedef struct {
    size_t          n;
    history_type_t  types[HISTORY_TYPES];   /* by name */
    int64_t         dedup;                  /* ms */
} history_t;


/* A type's line of the section: -1 with what is wrong. */
int history_add(history_t *h, const char *name, const char *value, char *err,
    size_t size);

/* The same text for the same section; "" for one without a type. */
void history_text(const history_t *h, char text[HISTORY_TEXT]);

/* From what stands in Redis: -1 and none when it is wrong. */
int history_parse(history_t *h, const char *text);

/* Of a room's key, "type://id"; NULL: it has none. */
const history_type_t *history_find(const history_t *h, const char *room);

/* Whether it may be a push's id: 1 to 64 visible characters of ASCII. */
int history_id(const char *id);

/* Random visible characters, for a stamp or an epoch. */
#define HISTORY_WORD  16
void history_word(char word[HISTORY_WORD + 1]);

#endif
