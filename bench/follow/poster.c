/*
 * Pushes to the clients' rooms, evenly, each with an id and repeated until it is
 * accepted.
 */

#include "follow.h"

#define POSTERS  16


/* One push at a time; it has every POSTERS-th room, so a room's are in order. */

typedef struct {
    int        fd;
    int        room;
    int        next;
    int        waits;           /* for an answer */
    int        again;           /* the same one once more */
    double     due;             /* the next one's time; when waiting: its end */
    int        api;
    size_t     got;
    char       answer[4096];
} poster_t;


static uint64_t  accepted[MAX_ROOMS];    /* the newest of each room */
static poster_t  posters[POSTERS];
static double    interval;          /* between pushes of a poster */


/* what was not answered well is said once more, elsewhere */

static void
push_failed(poster_t *p)
{
    if (p->fd != -1) {
        close(p->fd);
        p->fd = -1;
    }

    p->api++;
    p->waits = 0;
    p->again = 1;
    p->due = now() + 0.1;
    fig.repeated++;
}


static void
push(poster_t *p)
{
    int                  len, id;
    char                 request[2048], body[1024];
    unsigned long long   n;

    id = (int) (p - posters);

    if (p->fd == -1) {
        p->fd = connect_to(opt.apis[p->api % opt.napis], 0,
                           (uint32_t) (MAX_CLIENTS + id));
        p->got = 0;

        if (p->fd == -1) {
            push_failed(p);
            return;
        }
    }

    if (!p->again) {
        p->room = id + p->next * POSTERS;

        if (p->room >= opt.rooms) {
            p->next = 0;
            p->room = id;
        }

        p->next++;
    }

    n = accepted[p->room] + 1;

    len = snprintf(body, sizeof(body), "%d %llu ", p->room, n);
    memset(body + len, 'x', (size_t) opt.size);

    len = snprintf(request, sizeof(request),
                   "POST /goim/push/room?operation=1000&type=live&room=%d"
                   "&id=%d-%llu HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
                   "\r\n%.*s", p->room, p->room, n, opt.size, opt.size, body);

    p->waits = 1;
    p->again = 0;

    /* a connection that is being made takes it a little later */

    if (send(p->fd, request, (size_t) len, MSG_NOSIGNAL) != len) {
        p->waits = 0;
        p->again = 1;

        if (errno != EAGAIN) {
            push_failed(p);
        }

        return;
    }

    p->due = (p->due > now() - 1 ? p->due : now()) + interval;
}


void
poster_event(uint32_t id, uint32_t events)
{
    char      *body;
    ssize_t    n;
    poster_t  *p;

    p = &posters[id];

    if (p->fd == -1 || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) {
        return;
    }

    n = recv(p->fd, p->answer + p->got, sizeof(p->answer) - 1 - p->got, 0);

    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            push_failed(p);
        }
        return;
    }

    p->got += (size_t) n;
    p->answer[p->got] = '\0';
    body = strstr(p->answer, "\r\n\r\n");

    if (body == NULL || strchr(body, '}') == NULL) {
        return;
    }

    p->got = 0;

    if (!p->waits || strstr(body, "\"code\":0,") == NULL) {
        push_failed(p);
        return;
    }

    p->waits = 0;
    accepted[p->room]++;
    fig.pushed++;
}


void
posters_time(double t)
{
    int        i;
    poster_t  *p;

    for (i = 0; i < POSTERS && i < opt.rooms; i++) {
        p = &posters[i];

        if (p->waits) {
            if (t > p->due + 15) {
                push_failed(p);
            }

        } else if (t >= p->due && (interval > 0 || p->again)) {
            push(p);
        }
    }
}


void
posters_rate(int rate)
{
    int  i, n;

    n = opt.rooms < POSTERS ? opt.rooms : POSTERS;
    interval = rate ? (double) n / rate : 0;

    for (i = 0; i < n; i++) {
        if (!posters[i].waits) {
            posters[i].due = now() + at_random(interval);
        }
    }
}


/* All that is accepted, or under way and will be. */

void
posters_mark(uint64_t *mark)
{
    int  i;

    memcpy(mark, accepted, sizeof(accepted));

    for (i = 0; i < POSTERS && i < opt.rooms; i++) {
        mark[posters[i].room] += posters[i].waits || posters[i].again;
    }
}


/* Without a rate: those that do not know yet whether their push was taken. */

int
posters_left(void)
{
    int  i, n;

    for (i = n = 0; i < POSTERS && interval == 0; i++) {
        n += posters[i].waits || posters[i].again;
    }

    return n;
}


void
posters_init(void)
{
    int  i;

    for (i = 0; i < POSTERS; i++) {
        posters[i].fd = -1;
        posters[i].api = i;
    }
}
