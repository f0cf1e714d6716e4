/*
 * goim's balancer: which nodes a new client should go to.
 */

#ifndef LOGIC_BALANCE_H
#define LOGIC_BALANCE_H

#include <stddef.h>
#include <stdint.h>

#define LOGIC_BALANCE_BEST  5       /* nodes of an answer, at most */

typedef struct {
    char     *server;
    char     *region;
    char     *hostname;
    char     *addrs;                /* with commas */
    int64_t   weight;
    int64_t   conns;
    int64_t   score;
    uint64_t  seen;                 /* when conns was told */
    int       offline;              /* never picked, not counted */
} logic_place_t;

typedef struct {
    logic_place_t   *places;
    size_t           nplaces;
    logic_place_t  **order;         /* scratch */
} logic_balance_t;

/*
 * Take a new set, sorted by server, and its strings; the old one is freed.
 * Where `seen` is the same as before, the connections given away since then
 * remain counted. -1: no memory, and nothing has changed.
 */
int logic_balance_set(logic_balance_t *b, logic_place_t *places, size_t n);

void logic_places_free(logic_place_t *places, size_t n);

/*
 * The best places, the best one first; its connections go up by one. gain:
 * for places in `region`.
 */
size_t logic_balance_pick(logic_balance_t *b, const char *region,
    double gain, const logic_place_t **best);

/* A place's score: goim's formula. */
int64_t logic_balance_score(int64_t weight, int64_t conns,
    int64_t total_weight, int64_t total_conns, double gain);

#endif
