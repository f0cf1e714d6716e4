/*
 * Hints about wrong values.
 */

#include "goim_hint.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>


#define GOIM_HINT_WORD  64              /* longer words are near nothing */

typedef struct {
    const char  *name;
    int64_t      factor;
} goim_hint_unit_t;


static size_t
goim_hint_min(size_t a, size_t b)
{
    return a < b ? a : b;
}


static int
goim_hint_same(char a, char b)
{
    return strncasecmp(&a, &b, 1) == 0;
}


/* Damerau and Levenshtein's, where no letter is moved twice; `rows` are those
   of the last two letters of a, and of this one. */

static size_t
goim_hint_distance(const char *a, size_t alen, const char *b, size_t blen)
{
    size_t  i, j, n, rows[3][GOIM_HINT_WORD + 1], *now, *last, *before;

    for (j = 0; j <= blen; j++) {
        rows[0][j] = j;
    }

    for (i = 1; i <= alen; i++) {
        now = rows[i % 3];
        last = rows[(i + 2) % 3];
        before = rows[(i + 1) % 3];

        now[0] = i;

        for (j = 1; j <= blen; j++) {
            n = last[j - 1] + !goim_hint_same(a[i - 1], b[j - 1]);
            n = goim_hint_min(n, last[j] + 1);
            n = goim_hint_min(n, now[j - 1] + 1);

            if (i > 1 && j > 1 && goim_hint_same(a[i - 1], b[j - 2])
                && goim_hint_same(a[i - 2], b[j - 1]))
            {
                n = goim_hint_min(n, before[j - 2] + 1);
            }

            now[j] = n;
        }
    }

    return rows[alen % 3][blen];
}


void
goim_hint_init(goim_hint_t *hint, const char *word, size_t len)
{
    hint->word = word;
    hint->len = len;
    hint->name = NULL;

    /* a letter of four */
    hint->distance = len < 7 ? 2 : (len + 1) / 4 + 1;
}


void
goim_hint_try(goim_hint_t *hint, const char *name)
{
    size_t  len, distance;

    len = strlen(name);

    if (hint->len == 0 || hint->len > GOIM_HINT_WORD || len > GOIM_HINT_WORD) {
        return;
    }

    distance = goim_hint_distance(hint->word, hint->len, name, len);

    if (distance < hint->distance && distance < len) {
        hint->distance = distance;
        hint->name = name;
    }
}


static char *
goim_hint_number(char *text, int64_t n, const goim_hint_unit_t *units)
{
    while (n == 0 ? units->factor > 1 : n % units->factor != 0) {
        units++;
    }

    snprintf(text, GOIM_HINT_NUMBER, "%lld%s",
             (long long) (n / units->factor), n ? units->name : "");

    return text;
}


char *
goim_hint_time(char text[GOIM_HINT_NUMBER], int64_t ms)
{
    static const goim_hint_unit_t  units[] = {
        { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 },
        { "ms", 1 }
    };

    return goim_hint_number(text, ms, units);
}


char *
goim_hint_size(char text[GOIM_HINT_NUMBER], int64_t bytes)
{
    static const goim_hint_unit_t  units[] = {
        { "m", 1048576 }, { "k", 1024 }, { "", 1 }
    };

    return goim_hint_number(text, bytes, units);
}
