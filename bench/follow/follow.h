/*
 * The load client whose clients recover: its parts. follow.c says what it is.
 */

#ifndef FOLLOW_H
#define FOLLOW_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CLIENTS  60000
#define MAX_ROOMS    10000
#define MAX_PORTS    16
#define MAX_SECONDS  3600       /* that logins are counted for */


enum { WAITING, CONNECTING, UPGRADING, AUTH, JOINED, OPEN };


typedef struct {
    int        fd;
    int        state;
    int        again;           /* it was told to come back at once */
    int        failures;
    int        moved;           /* each time to the next node */
    double     due;             /* WAITING: when it tries; else its deadline */
    char       epoch[40];
    uint64_t   seq;             /* its position */
    uint64_t   n;               /* the newest message of its room that it has */
    int        told;            /* something may be missing, it knows */
    size_t     kept;            /* bytes of a frame that is not whole */
    uint8_t   *part;
} client_t;


/* since the last report */

typedef struct {
    long    delivered, logins, told, recovered, refused, lost, again;
    long    holes, repeats, wrong, pushed, repeated;
    double  began;
    long    second[MAX_SECONDS];
} figures_t;


typedef struct {
    int   ports[MAX_PORTS], nports, apis[MAX_PORTS], napis;
    int   clients, rooms, size, again, base, arrive;
} options_t;


extern options_t   opt;
extern client_t   *clients;
extern figures_t   fig;
extern int         ep;


double now(void);
double at_random(double seconds);
void die(const char *what);

/*
 * A socket from the i-th address (clients have one each, or there are too few
 * ports), whose events are told with `id`; -1: that can't be reached.
 */
int connect_to(int port, int i, uint32_t id);

void client_event(client_t *c, uint32_t events);
void clients_time(double t);

/* how many are not in their rooms, or lack what the mark says */
int clients_away(void);
int clients_short(const uint64_t *mark);

void posters_init(void);
void posters_rate(int rate);
void posters_time(double t);
void poster_event(uint32_t id, uint32_t events);
void posters_mark(uint64_t *mark);
int posters_left(void);

#endif
