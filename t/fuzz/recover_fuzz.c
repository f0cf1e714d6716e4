/* LINK: common/goim_recover.c common/goim_json.c common/goim_epoch.c */
/* LINK: common/goim_hash.c */

/*
 * Maps of positions: what is taken lies within its bounds, and is the same when
 * the client comes with what it is told.
 */

#include <stdlib.h>
#include <string.h>

#include "common/goim_json.h"
#include "common/goim_recover.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


typedef struct {
    char             name[GOIM_ROOM_MAX];
    goim_told_t      told;
} kept_t;

static goim_epochs_t      words;
static kept_t             kept[GOIM_RECOVER_MAX];
static goim_told_entry_t  entries[GOIM_RECOVER_MAX];
static size_t             n, again;


static void
keep(const goim_recover_t *r, void *data)
{
    (void) data;

    if (n == GOIM_RECOVER_MAX || r->name_len < 1
        || r->name_len > GOIM_ROOM_MAX || r->epoch_len > GOIM_EPOCH_MAX
        || r->seq > GOIM_SEQ_MAX || r->last > GOIM_NEWEST_MAX)
    {
        abort();
    }

    memset(&kept[n], 0, sizeof(kept_t));
    memcpy(kept[n].name, r->name, r->name_len);

    if (r->epoch_len) {
        kept[n].told.epoch = goim_epoch_get(&words, r->epoch, r->epoch_len);
        kept[n].told.seq = r->seq;
    }

    entries[n].name = kept[n].name;
    entries[n].name_len = r->name_len;
    entries[n].told = &kept[n].told;
    n++;
}


static void
compare(const goim_recover_t *r, void *data)
{
    const goim_told_t        *told;
    const goim_told_entry_t  *e;

    (void) data;

    e = &entries[again++];
    told = e->told;

    if (r->name_len != e->name_len || memcmp(r->name, e->name, e->name_len)
        || r->seq != told->seq || r->last != 0
        || r->epoch_len != (told->epoch ? told->epoch->len : 0)
        || (r->epoch_len && memcmp(r->epoch, told->epoch->word, r->epoch_len)))
    {
        abort();
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                    rc;
    char                  *copy;
    size_t                 len, i;
    const char            *reason;
    static char            buf[GOIM_RECOVER_MAX * GOIM_TOLD_MAX
                               + GOIM_TOLD_AROUND];
    static const uint64_t  seed[2] = { 1, 2 };

    copy = malloc(size);
    if (copy == NULL) {
        return 0;
    }

    memcpy(copy, data, size);

    goim_epochs_init(&words, malloc, free, seed);
    n = again = 0;
    reason = NULL;

    rc = goim_recover_parse(copy, size, keep, NULL, &reason);

    if (rc < 0 ? reason == NULL : (size_t) rc != n) {
        abort();
    }

    len = goim_told_write(buf, entries, n);

    if (goim_recover_parse(buf, len, compare, NULL, &reason) != (int) n
        || again != n)
    {
        abort();
    }

    for (i = 0; i < n; i++) {
        goim_epoch_unref(&words, (goim_epoch_t *) kept[i].told.epoch);
    }

    goim_epochs_free(&words);
    free(copy);

    return 0;
}
