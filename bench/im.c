/*
 * Load client of messages between people: holds devices on WebSocket that follow
 * their inboxes, lets some of each group send, and says how long it took until
 * all devices of the group had each message.
 *
 *     im PORT
 *
 * Standard input: a line for each device, the number of its group, whom it sends
 * to, or "-", and the body of its auth packet; an empty line; then lines "COUNT
 * WINDOW" or "COUNT 0 RATE": so many messages in all, so many of a sender under
 * way; or so many a second in all. The answers: "ready", and each time
 *
 *     seconds 2.104 p50_ms 11.2 p99_ms 30.1
 *
 * Times are from when a message was to be sent until the last device had it. A
 * refusal, an item that does not follow the one before it: it ends with 1.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/goim_packet.h"

#define DEVICES  4096
#define SIZE     50                     /* of a payload */
#define PART     (70 * 1024)            /* a batch has 64 KB and a header */
#define STALL    30                     /* s without anything */


typedef struct {
    int        fd;
    int        group;
    int        ready;                   /* it knows where its inbox stands */
    int32_t    last;                    /* the newest item's number */
    long       sent, answered;
    char       to[128];                 /* empty: it does not send */
    size_t     kept;                    /* bytes of a frame that is not whole */
    uint8_t    part[PART];
} device_t;

typedef struct {
    int        n;                       /* devices, */
    int        nsenders;                /* of which so many send: */
    int        senders[DEVICES];
    long       sent, answered, all;     /* all: had by all devices */
    double    *at;                      /* of each message */
    uint16_t  *had;                     /* by so many devices */
} group_t;


static device_t  *devices[DEVICES];
static group_t   *groups[DEVICES];
static int        ndevices, ngroups, nready, ep, runs;
static double    *times;
static long       ntimes;


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


__attribute__((format(printf, 1, 2)))
static void
die(const char *fmt, ...)
{
    va_list  args;

    fprintf(stderr, "im: ");
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\n");

    exit(1);
}


static int
by_value(const void *a, const void *b)
{
    double  x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}


/* ---- to the server ---- */

static int
connect_to(int port)
{
    int                 fd, one;
    struct sockaddr_in  sin;

    one = 1;
    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((uint16_t) port);

    fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd == -1 || connect(fd, (struct sockaddr *) &sin, sizeof(sin)) == -1)
    {
        die("connect: %s", strerror(errno));
    }

    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    return fd;
}


static void
say(int fd, const void *data, size_t len)
{
    if (send(fd, data, len, MSG_NOSIGNAL) != (ssize_t) len) {
        die("send: %s", strerror(errno));
    }
}


/* masked with zeroes: the bytes stay as they are */

static void
packet(int fd, int32_t op, const char *body, size_t len)
{
    size_t   n, head;
    uint8_t  buf[4096];

    n = GOIM_HEADER + len;
    head = n < 126 ? 6 : 8;

    if (head + n > sizeof(buf)) {
        die("a packet of %zu bytes", n);
    }

    memset(buf, 0, head);
    buf[0] = 0x82;
    buf[1] = (uint8_t) (0x80 | (n < 126 ? n : 126));

    if (head == 8) {
        buf[2] = (uint8_t) (n >> 8);
        buf[3] = (uint8_t) n;
    }

    goim_packet_header(buf + head, len, GOIM_VERSION, op, 1);
    memcpy(buf + head + GOIM_HEADER, body, len);
    say(fd, buf, head + n);
}


static void
join(device_t *d, int port, const char *auth)
{
    size_t   n;
    uint8_t  buf[1024];

    static const char  http[] =
        "GET /sub HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    d->fd = connect_to(port);
    say(d->fd, http, sizeof(http) - 1);

    for (n = 0; n < 4 || memcmp(buf + n - 4, "\r\n\r\n", 4) != 0; n++) {
        if (n == sizeof(buf) || recv(d->fd, buf + n, 1, 0) != 1) {
            die("no answer to the upgrade");
        }
    }

    if (memcmp(buf, "HTTP/1.1 101", 12) != 0) {
        die("%.*s", (int) n, buf);
    }

    packet(d->fd, GOIM_OP_AUTH, auth, strlen(auth));
}


/* ---- from the server ---- */

/* its line begins with the conversation, and has {"id":"PID.RUN.K"} */

static void
item(device_t *d, const goim_packet_t *m)
{
    long         k;
    char         line[512];
    size_t       len;
    group_t     *g;
    const char  *id;

    if (d->last != 0 && m->sequence != d->last + 1) {
        die("item %d behind %d", m->sequence, d->last);
    }

    d->last = m->sequence;
    g = groups[d->group];

    len = m->body_len < sizeof(line) ? m->body_len : sizeof(line) - 1;
    memcpy(line, m->body, len);
    line[len] = '\0';
    id = strstr(line, "\"id\":\"");
    id = id ? strchr(id, '.') : NULL;

    if (id == NULL || sscanf(id, ".%*d.%ld", &k) != 1 || k < 0 || k >= g->sent)
    {
        die("an item that nobody sent: %s", line);
    }

    if (++g->had[k] == g->n) {
        times[ntimes++] = now() - g->at[k];
        g->all++;
    }
}


static void
message(device_t *d, const uint8_t *p, size_t len)
{
    size_t         at;
    goim_packet_t  m;

    for (at = 0; at < len; at += m.length) {

        if (goim_packet_parse(&m, p + at, len - at, PART) != GOIM_PACKET_OK) {
            die("no packet");
        }

        switch (m.operation) {

        case GOIM_OP_RAW:
            message(d, m.body, m.body_len);
            break;

        case GOIM_OP_ITEM:
            item(d, &m);
            break;

        case GOIM_OP_SEND_REPLY:
            if (m.body_len < 10 || memcmp(m.body, "{\"code\":0,", 10) != 0) {
                die("refused: %.*s", (int) m.body_len, m.body);
            }

            d->answered++;
            groups[d->group]->answered++;
            break;

        case GOIM_OP_POSITION:
            nready += !d->ready;
            d->ready = 1;
        }
    }
}


static void
frames(device_t *d, const uint8_t *p, size_t len)
{
    size_t  head, n;

    for ( ; len >= 2; p += head + n, len -= head + n) {
        n = p[1];
        head = n < 126 ? 2 : n == 126 ? 4 : 10;

        if (len < head) {
            break;
        }

        if (n == 126) {
            n = (size_t) p[2] << 8 | p[3];

        } else if (n == 127) {
            n = (size_t) p[6] << 24 | (size_t) p[7] << 16 | (size_t) p[8] << 8
                | p[9];
        }

        if (len < head + n) {
            break;
        }

        if (p[0] != 0x82) {
            die("closed: %.*s", (int) n, p + head);
        }

        message(d, p + head, n);
    }

    if (len > PART) {
        die("a message over %d bytes", PART);
    }

    memmove(d->part, p, len);
    d->kept = len;
}


static void
receive(int timeout)
{
    int                 i, n;
    ssize_t             got;
    device_t           *d;
    struct epoll_event  events[256];

    static double   heard;
    static uint8_t  buf[2 * PART];

    n = epoll_wait(ep, events, 256, timeout);

    if (n > 0 || heard == 0) {
        heard = now();

    } else if (now() - heard > STALL) {
        die("nothing comes");
    }

    for (i = 0; i < n; i++) {
        d = events[i].data.ptr;

        memcpy(buf, d->part, d->kept);
        got = recv(d->fd, buf + d->kept, PART, MSG_DONTWAIT);

        if (got <= 0) {
            die("a device was closed");
        }

        frames(d, buf, d->kept + (size_t) got);
    }
}


/* ---- a run ---- */

static void
next(group_t *g, device_t *d, double at)
{
    int   n;
    char  line[256];

    n = snprintf(line, sizeof(line), "{\"to\":\"%s\",\"id\":\"%d.%d.%ld\"}\n"
                 "%0*d", d->to, (int) getpid(), runs, g->sent, SIZE, 0);

    g->at[g->sent++] = at;
    d->sent++;
    packet(d->fd, GOIM_OP_SEND, line, (size_t) n);
}


/* with a rate: when it is due, whatever is under way */

static void
run(long each, int window, double rate)
{
    int        i, k, over;
    double     start, due;
    group_t   *g;
    device_t  *d;

    runs++;
    ntimes = 0;

    for (i = 0; i < ndevices; i++) {
        devices[i]->sent = devices[i]->answered = 0;
    }

    for (i = 0; i < ngroups; i++) {
        g = groups[i];
        g->sent = g->answered = g->all = 0;
        g->at = realloc(g->at, (size_t) each * sizeof(double));
        g->had = realloc(g->had, (size_t) each * sizeof(uint16_t));
        memset(g->had, 0, (size_t) each * sizeof(uint16_t));
    }

    times = realloc(times, (size_t) (each * ngroups) * sizeof(double));
    start = now();

    do {
        over = 1;

        for (i = 0; i < ngroups; i++) {
            g = groups[i];
            due = start + ((double) g->sent * ngroups + i) / (rate ? rate : 1);

            while (rate && g->sent < each && due <= now()) {
                next(g, devices[g->senders[g->sent % g->nsenders]], due);
                due += ngroups / rate;
            }

            for (k = 0; rate == 0 && k < g->nsenders; k++) {
                d = devices[g->senders[k]];

                while (g->sent < each && d->sent - d->answered < window) {
                    next(g, d, now());
                }
            }

            over &= g->all == each && g->answered == each;
        }

        receive(over ? 0 : rate ? 1 : 100);

    } while (!over);

    due = now() - start;
    qsort(times, (size_t) ntimes, sizeof(double), by_value);

    printf("seconds %.3f p50_ms %.2f p99_ms %.2f\n", due,
           times[ntimes / 2] * 1e3, times[ntimes * 99 / 100] * 1e3);
    fflush(stdout);
}


int
main(int argc, char **argv)
{
    int                 n, port, group, window;
    char                line[8192], to[128];
    long                count;
    double              rate;
    device_t           *d;
    struct epoll_event  ee;

    port = argc == 2 ? atoi(argv[1]) : 0;
    ep = epoll_create1(0);

    while (fgets(line, sizeof(line), stdin) && line[0] != '\n') {
        line[strcspn(line, "\n")] = '\0';

        if (sscanf(line, "%d %127s %n", &group, to, &n) != 2 || group < 0
            || group > ngroups || ndevices == DEVICES)
        {
            die("no device: %s", line);
        }

        if (group == ngroups) {
            groups[ngroups++] = calloc(1, sizeof(group_t));
        }

        d = calloc(1, sizeof(device_t));
        d->group = group;
        groups[group]->n++;

        if (strcmp(to, "-") != 0) {
            strcpy(d->to, to);
            groups[group]->senders[groups[group]->nsenders++] = ndevices;
        }

        devices[ndevices++] = d;

        join(d, port, line + n);

        memset(&ee, 0, sizeof(ee));
        ee.events = EPOLLIN;
        ee.data.ptr = d;

        if (epoll_ctl(ep, EPOLL_CTL_ADD, d->fd, &ee) == -1) {
            die("epoll_ctl: %s", strerror(errno));
        }
    }

    while (nready < ndevices) {
        receive(100);
    }

    puts("ready");
    fflush(stdout);

    while (fgets(line, sizeof(line), stdin)) {
        rate = 0;

        if (sscanf(line, "%ld %d %lf", &count, &window, &rate) < 2
            || count < ngroups || count > 10000000)
        {
            die("no run: %s", line);
        }

        run(count / ngroups, window, rate);
    }

    return 0;
}
