/*
 * Keys of backends for the HTTP API ([api] keys): a file of lines
 *
 *     NAME KEY SCOPE[,SCOPE...] [ROOMS...]
 *
 * read at start and again by SIGHUP. What may be said of a key is its name; the
 * keys themselves are not kept, only their SHA-256.
 */

#ifndef LOGIC_KEYS_H
#define LOGIC_KEYS_H

#include <stddef.h>
#include <stdint.h>

#define LOGIC_KEYS_MAX       1000
#define LOGIC_KEY_TEXT_MIN   32         /* visible characters of ASCII */
#define LOGIC_KEY_TEXT_MAX   512
#define LOGIC_KEY_NAME_MAX   64
#define LOGIC_KEY_ROOMS_MAX  64         /* patterns of one */

/* what a key is for; a bit each */
typedef enum {
    LOGIC_SCOPE_PUSH    = 1,
    LOGIC_SCOPE_READ    = 2,
    LOGIC_SCOPE_CONTROL = 4,
    LOGIC_SCOPE_IM      = 8
} logic_scope_t;

/* of logic_scope_t, by bit, and NULL */
extern const char *const  logic_scopes[];

typedef struct {
    char       *name;
    uint8_t     hash[32];
    unsigned    scopes;
    char      **rooms;          /* patterns */
    size_t      nrooms;         /* 0: all rooms, and what is for no room */
} logic_apikey_t;

typedef struct logic_keys_s  logic_keys_t;

/*
 * From now on these keys are valid, for all threads. -1 with a message that
 * follows "FILE ": what was valid stays so.
 */
int logic_keys_load(const char *path, char *err, size_t size);

/*
 * The key with that text; NULL: there is none. *keys is a thread's own, NULL at
 * first: what is returned lives until the next call with it.
 */
const logic_apikey_t *logic_keys_find(logic_keys_t **keys, const char *text,
    size_t len);

void logic_keys_release(logic_keys_t *keys);

/* Whether the key is good for the room. */
int logic_key_room(const logic_apikey_t *key, const char *room, size_t len);

#endif
