/*
 * goim's balancer.
 */

#include "balance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LOGIC_SCORE_MIN  1
#define LOGIC_SCORE_MAX  (1 << 20)


static int logic_place_cmp(const void *one, const void *two);


int
logic_balance_set(logic_balance_t *b, logic_place_t *places, size_t n)
{
    size_t           i, k;
    logic_place_t  **order;

    order = calloc(n + 1, sizeof(logic_place_t *));
    if (order == NULL) {
        return -1;
    }

    /* both sets are sorted by server */

    for (i = 0, k = 0; i < n; i++) {

        while (k < b->nplaces
               && strcmp(b->places[k].server, places[i].server) < 0)
        {
            k++;
        }

        if (k < b->nplaces
            && strcmp(b->places[k].server, places[i].server) == 0
            && b->places[k].seen == places[i].seen)
        {
            places[i].conns = b->places[k].conns;
        }
    }

    logic_places_free(b->places, b->nplaces);
    free(b->order);

    b->places = places;
    b->nplaces = n;
    b->order = order;

    return 0;
}


void
logic_places_free(logic_place_t *places, size_t n)
{
    size_t  i;

    for (i = 0; i < n; i++) {
        free(places[i].server);
        free(places[i].region);
        free(places[i].hostname);
        free(places[i].addrs);
    }

    free(places);
}


int64_t
logic_balance_score(int64_t weight, int64_t conns, int64_t total_weight,
    int64_t total_conns, double gain)
{
    double   f, r, d, m, whole, base;
    int64_t  score;

    if (total_conns == 0) {
        return 0;
    }

    f = (double) weight * gain;
    whole = (double) total_weight + floor(f) - (double) weight;
    r = whole > 0 ? f / whole : 0;
    d = r - 0.5 * (double) conns / (double) total_conns;
    m = d * (double) total_conns;

    base = floor(m) - m >= -0.5 ? floor(m) : ceil(m);
    score = (int64_t) floor(f + base);

    if (d < 0) {
        return score < LOGIC_SCORE_MIN ? LOGIC_SCORE_MIN : score;
    }

    return score > LOGIC_SCORE_MAX ? LOGIC_SCORE_MAX : score;
}


size_t
logic_balance_pick(logic_balance_t *b, const char *region, double gain,
    const logic_place_t **best)
{
    size_t          i, n;
    double          f;
    int64_t         weights, conns;
    logic_place_t  *p;

    n = 0;
    weights = 0;
    conns = 0;

    for (i = 0; i < b->nplaces; i++) {
        p = &b->places[i];

        if (!p->offline) {
            b->order[n++] = p;
            weights += p->weight;
            conns += p->conns;
        }
    }

    for (i = 0; i < n; i++) {
        p = b->order[i];

        /* who is from nowhere has no region of its own */
        f = region[0] != '\0' && strcmp(p->region, region) == 0 ? gain : 1;

        p->score = logic_balance_score(p->weight, p->conns, weights, conns,
                                       f);
    }

    if (n == 0) {
        return 0;
    }

    qsort(b->order, n, sizeof(logic_place_t *), logic_place_cmp);
    b->order[0]->conns++;

    if (n > LOGIC_BALANCE_BEST) {
        n = LOGIC_BALANCE_BEST;
    }

    for (i = 0; i < n; i++) {
        best[i] = b->order[i];
    }

    return n;
}


/* Best score first; of equals the one that stands first in the set. */

static int
logic_place_cmp(const void *one, const void *two)
{
    const logic_place_t  *a, *b;

    a = *(logic_place_t *const *) one;
    b = *(logic_place_t *const *) two;

    if (a->score != b->score) {
        return a->score > b->score ? -1 : 1;
    }

    return a < b ? -1 : a > b;
}
