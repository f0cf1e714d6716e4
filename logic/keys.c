/*
 * Keys of backends.
 *
 * Threads look at the table without a lock: each holds a reference to the one
 * that it saw last, and takes another when the version has moved.
 */

#include "keys.h"

#include "grants.h"

#include "common/goim_limits.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "svc/conf.h"

#define LOGIC_KEY_BLANK  " \t\r"


struct logic_keys_s {
    unsigned         refs;          /* under the lock */
    unsigned         version;
    size_t           n;
    logic_apikey_t  *keys;
};


const char *const  logic_scopes[] = { "push", "read", "control", "im", NULL };

static pthread_mutex_t  logic_keys_lock = PTHREAD_MUTEX_INITIALIZER;
static logic_keys_t    *logic_keys_now;         /* under the lock */
static unsigned         logic_keys_version;     /* atomic; 0: none yet */


static int logic_keys_read(logic_keys_t *t, char *text, char *err,
    size_t size);
static int logic_keys_line(logic_keys_t *t, char *line, char *err,
    size_t size);
static int logic_key_scopes(logic_apikey_t *key, char *list, char *err,
    size_t size);
static int logic_key_rooms(logic_apikey_t *key, char *rest, char *err,
    size_t size);
static size_t logic_key_visible(const char *text);
static void logic_keys_free(logic_keys_t *t);


int
logic_keys_load(const char *path, char *err, size_t size)
{
    int            rc;
    char           why[256];
    char          *text;
    logic_keys_t  *t, *old;

    text = conf_file(path, why, sizeof(why));

    if (text == NULL) {
        snprintf(err, size, "cannot be read: %s", why);
        return -1;
    }

    t = calloc(1, sizeof(logic_keys_t));

    if (t == NULL) {
        abort();
    }

    rc = logic_keys_read(t, text, err, size);

    OPENSSL_cleanse(text, strlen(text));
    free(text);

    if (rc != 0) {
        logic_keys_free(t);
        return -1;
    }

    pthread_mutex_lock(&logic_keys_lock);

    old = logic_keys_now;
    t->refs = 1;
    t->version = logic_keys_version + 1;
    logic_keys_now = t;
    __atomic_store_n(&logic_keys_version, t->version, __ATOMIC_RELEASE);

    pthread_mutex_unlock(&logic_keys_lock);

    logic_keys_release(old);

    return 0;
}


static int
logic_keys_read(logic_keys_t *t, char *text, char *err, size_t size)
{
    char      why[256];
    char     *line, *next;
    unsigned  n;

    n = 0;

    for (line = text; line != NULL; line = next) {
        n++;
        next = strchr(line, '\n');

        if (next != NULL) {
            *next++ = '\0';
        }

        if (logic_keys_line(t, line, why, sizeof(why)) != 0) {
            snprintf(err, size, "is wrong: line %u: %s", n, why);
            return -1;
        }
    }

    if (t->n == 0) {
        snprintf(err, size, "is wrong: there is no key in it");
        return -1;
    }

    return 0;
}


/* A word of the line, ended; *rest is what follows. NULL: there is none. */

static char *
logic_key_word(char **rest)
{
    char  *word;

    word = *rest + strspn(*rest, LOGIC_KEY_BLANK);

    if (*word == '\0') {
        return NULL;
    }

    *rest = word + strcspn(word, LOGIC_KEY_BLANK);

    if (**rest != '\0') {
        *(*rest)++ = '\0';
    }

    return word;
}


static int
logic_keys_line(logic_keys_t *t, char *line, char *err, size_t size)
{
    char            *name, *text, *scopes, *rest;
    size_t           i, len;
    logic_apikey_t  *key, *keys;

    rest = line;
    name = logic_key_word(&rest);

    if (name == NULL || *name == '#') {
        return 0;
    }

    text = logic_key_word(&rest);
    scopes = logic_key_word(&rest);

    if (scopes == NULL) {
        snprintf(err, size, "is not NAME KEY SCOPE[,SCOPE] [ROOMS...]");
        return -1;
    }

    len = logic_key_visible(name);

    if (len == 0 || len > LOGIC_KEY_NAME_MAX) {
        snprintf(err, size, "a name is not 1 to %d visible characters of "
                 "ASCII", LOGIC_KEY_NAME_MAX);
        return -1;
    }

    len = logic_key_visible(text);

    if (len < LOGIC_KEY_TEXT_MIN || len > LOGIC_KEY_TEXT_MAX) {
        snprintf(err, size, "the key of \"%s\" is not %d to %d visible "
                 "characters of ASCII", name, LOGIC_KEY_TEXT_MIN,
                 LOGIC_KEY_TEXT_MAX);
        return -1;
    }

    if (t->n == LOGIC_KEYS_MAX) {
        snprintf(err, size, "more than %d keys", LOGIC_KEYS_MAX);
        return -1;
    }

    keys = realloc(t->keys, (t->n + 1) * sizeof(logic_apikey_t));

    if (keys == NULL) {
        abort();
    }

    t->keys = keys;
    key = &keys[t->n++];
    memset(key, 0, sizeof(logic_apikey_t));

    key->name = strdup(name);

    if (key->name == NULL) {
        abort();
    }

    SHA256((unsigned char *) text, len, key->hash);

    for (i = 0; i + 1 < t->n; i++) {
        if (strcmp(keys[i].name, name) == 0
            || memcmp(keys[i].hash, key->hash, sizeof(key->hash)) == 0)
        {
            snprintf(err, size, "\"%s\" has the name or the key of another",
                     name);
            return -1;
        }
    }

    return logic_key_scopes(key, scopes, err, size) != 0
           || logic_key_rooms(key, rest, err, size) != 0 ? -1 : 0;
}


static int
logic_key_scopes(logic_apikey_t *key, char *list, char *err, size_t size)
{
    char      *word, *save;
    unsigned   i;

    for (word = strtok_r(list, ",", &save); word != NULL;
         word = strtok_r(NULL, ",", &save))
    {
        for (i = 0; logic_scopes[i] != NULL; i++) {
            if (strcmp(word, logic_scopes[i]) == 0) {
                key->scopes |= 1u << i;
                break;
            }
        }

        if (logic_scopes[i] == NULL) {
            snprintf(err, size, "\"%.64s\" is none of push, read, control",
                     word);
            conf_hint(err, size, word, strlen(word), logic_scopes);
            return -1;
        }
    }

    if (key->scopes == 0) {
        snprintf(err, size, "\"%s\" is for nothing", key->name);
        return -1;
    }

    return 0;
}


static int
logic_key_rooms(logic_apikey_t *key, char *rest, char *err, size_t size)
{
    char  *word, **rooms;

    while ((word = logic_key_word(&rest)) != NULL) {

        if (strlen(word) > GOIM_ROOM_MAX || strstr(word, "://") == NULL
            || key->nrooms == LOGIC_KEY_ROOMS_MAX)
        {
            snprintf(err, size, "\"%.64s\" is not one of at most %d rooms "
                     "like live://1 or live://*", word, LOGIC_KEY_ROOMS_MAX);
            return -1;
        }

        rooms = realloc(key->rooms, (key->nrooms + 1) * sizeof(char *));

        if (rooms == NULL) {
            abort();
        }

        key->rooms = rooms;
        key->rooms[key->nrooms] = strdup(word);

        if (key->rooms[key->nrooms++] == NULL) {
            abort();
        }
    }

    return 0;
}


/* Its length; 0: it has other characters too. */

static size_t
logic_key_visible(const char *text)
{
    size_t  n;

    for (n = 0; text[n] != '\0'; n++) {
        if (text[n] <= ' ' || text[n] >= 0x7f) {
            return 0;
        }
    }

    return n;
}


/*
 * Hashes are compared, all of them and whole: the time says nothing of how near
 * a guess was.
 */

const logic_apikey_t *
logic_keys_find(logic_keys_t **keys, const char *text, size_t len)
{
    size_t                 i;
    uint8_t                hash[32];
    logic_keys_t          *t;
    const logic_apikey_t  *found;

    t = *keys;

    if (t == NULL
        || t->version != __atomic_load_n(&logic_keys_version,
                                         __ATOMIC_ACQUIRE))
    {
        logic_keys_release(t);

        pthread_mutex_lock(&logic_keys_lock);

        t = logic_keys_now;

        if (t != NULL) {
            t->refs++;
        }

        pthread_mutex_unlock(&logic_keys_lock);

        *keys = t;
    }

    if (t == NULL || len > LOGIC_KEY_TEXT_MAX) {
        return NULL;
    }

    SHA256((const unsigned char *) text, len, hash);
    found = NULL;

    for (i = 0; i < t->n; i++) {
        if (CRYPTO_memcmp(hash, t->keys[i].hash, sizeof(hash)) == 0) {
            found = &t->keys[i];
        }
    }

    return found;
}


void
logic_keys_release(logic_keys_t *keys)
{
    unsigned  refs;

    if (keys == NULL) {
        return;
    }

    pthread_mutex_lock(&logic_keys_lock);
    refs = --keys->refs;
    pthread_mutex_unlock(&logic_keys_lock);

    if (refs == 0) {
        logic_keys_free(keys);
    }
}


static void
logic_keys_free(logic_keys_t *t)
{
    size_t           i, j;
    logic_apikey_t  *key;

    for (i = 0; i < t->n; i++) {
        key = &t->keys[i];

        for (j = 0; j < key->nrooms; j++) {
            free(key->rooms[j]);
        }

        free(key->rooms);
        free(key->name);
    }

    free(t->keys);
    free(t);
}


int
logic_key_room(const logic_apikey_t *key, const char *room, size_t len)
{
    size_t  i;

    for (i = 0; i < key->nrooms; i++) {
        if (logic_room_like(key->rooms[i], strlen(key->rooms[i]), room,
                            len)) {
            return 1;
        }
    }

    return key->nrooms == 0;
}
