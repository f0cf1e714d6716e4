/*
 * Clients of messages between people. Each line of a file is a client: its mid, a
 * blank, its auth packet.
 *
 *     people --port P --packets FILE [--at-once N] [--items N]
 *     people --port P --packets FILE --live RATE --seconds S
 *
 * The first logs all of them in, so many at once, and is over when each has so many
 * items of its inbox, whose numbers must grow; 0: when each is answered and, where it
 * recovers, told where it is. Then it prints how many came in which time, and in ms
 * from a client's connect() on, when it had its first item and its last.
 *
 * The second logs them in, one by one; then the first of each two sends to the other,
 * so many a second in all; it prints in ms how long a message was under way.
 *
 * It ends with its standard input.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/goim_frame.h"
#include "common/goim_packet.h"

#define MAX_CLIENTS  60000
#define BUF          (4 * 1024 * 1024)
#define TIMEOUT      300                /* s, of all of it */


enum { IDLE, UPGRADING, AUTH, READING, DONE };


typedef struct {
    int       fd, state, recovers;
    char     *mid, *packet;
    int       items, seq;
    double    began, first, last;
    size_t    kept;
    uint8_t  *part;
} client_t;


static struct {
    int          port, at_once, items, live, seconds;
    const char  *packets;
} opt = { .at_once = MAX_CLIENTS };

static client_t  clients[MAX_CLIENTS];
static int       nclients, ep, begun, over;
static double   *under_way;             /* ms of each message that came */
static long      came, sent;
static uint8_t   buf[BUF];


static double
now(void)
{
    struct timespec  ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);

    return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}


static void
die(const char *what)
{
    fprintf(stderr, "people: %s: %s\n", what, strerror(errno));
    exit(1);
}


/* ---- what is sent ---- */

static void
say(client_t *c, const void *data, size_t len)
{
    if (send(c->fd, data, len, MSG_NOSIGNAL) != (ssize_t) len) {
        die("send");
    }
}


/* Masked with zeroes: the bytes stay as they are. */

static void
say_packet(client_t *c, int32_t operation, const char *body, size_t len)
{
    size_t   n, head;
    uint8_t  frame[4096];

    n = GOIM_HEADER + len;
    head = n > 125 ? 8 : 6;

    if (n > sizeof(frame) - head) {
        die("a packet is too long");
    }

    frame[0] = 0x80 | GOIM_FRAME_BINARY;
    frame[1] = (uint8_t) (0x80 | n);

    if (n > 125) {
        frame[1] = 0x80 | 126;
        frame[2] = (uint8_t) (n >> 8);
        frame[3] = (uint8_t) n;
    }

    memset(frame + head - 4, 0, 4);
    goim_packet_header(frame + head, len, GOIM_VERSION, operation, 1);
    memcpy(frame + head + GOIM_HEADER, body, len);

    say(c, frame, head + n);
}


static void
begin(client_t *c)
{
    int                  one = 1;
    uint32_t             from;
    struct sockaddr_in   sin;
    struct epoll_event   ee;

    static const char  http[] =
        "GET /sub HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    c->began = now();
    c->fd = socket(AF_INET, SOCK_STREAM, 0);

    if (c->fd == -1) {
        die("socket");
    }

    /* there are too few ports for one address */

    from = INADDR_LOOPBACK + 1 + (uint32_t) (c - clients) % 1000;
    memset(&sin, 0, sizeof(sin));
    sin.sin_family = AF_INET;
    sin.sin_addr.s_addr = htonl(from);
    (void) setsockopt(c->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one,
                      sizeof(one));
    (void) setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    if (bind(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1) {
        die("bind");
    }

    sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sin.sin_port = htons((uint16_t) opt.port);

    if (connect(c->fd, (struct sockaddr *) &sin, sizeof(sin)) == -1) {
        die("connect");
    }

    memset(&ee, 0, sizeof(ee));
    ee.events = EPOLLIN;
    ee.data.ptr = c;

    if (epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &ee) == -1) {
        die("epoll_ctl");
    }

    c->state = UPGRADING;
    say(c, http, sizeof(http) - 1);
}


/* ---- what comes ---- */

static void
finish(client_t *c)
{
    c->last = now();
    c->state = DONE;
    over++;

    if (begun < nclients && !opt.live) {
        begin(&clients[begun++]);
    }
}


static void
item(client_t *c, const goim_packet_t *p)
{
    double          t;
    const uint8_t  *text;

    if (p->sequence != 0 && p->sequence <= c->seq) {
        fprintf(stderr, "people: %s has %d, then %d\n", c->mid, c->seq,
                p->sequence);
        exit(1);
    }

    c->seq = p->sequence;

    if (c->items++ == 0) {
        c->first = now();
    }

    if (opt.live && under_way != NULL) {
        text = memchr(p->body, '\n', p->body_len);

        if (text != NULL && sscanf((const char *) text + 1, "%lf", &t) == 1) {
            under_way[came++] = (now() - t) * 1e3;
        }

    } else if (c->items == opt.items) {
        finish(c);
    }
}


static void
packet(client_t *c, const goim_packet_t *p)
{
    size_t          at;
    goim_packet_t   q;

    switch (p->operation) {

    case GOIM_OP_AUTH_REPLY:
        c->state = READING;

        if (opt.items == 0 && !c->recovers) {
            finish(c);
        }

        return;

    case GOIM_OP_POSITION:
        if (c->state == READING && opt.items == 0) {
            finish(c);
        }

        return;

    case GOIM_OP_ITEM:
        item(c, p);
        return;

    case GOIM_OP_SEND_REPLY:
        if (p->body_len < 9 || memcmp(p->body, "{\"code\":0", 9) != 0) {
            fprintf(stderr, "people: %.*s\n", (int) p->body_len, p->body);
            exit(1);
        }

        return;

    case GOIM_OP_DISCONNECT:
        fprintf(stderr, "people: %s: %.*s\n", c->mid, (int) p->body_len,
                p->body);
        exit(1);

    case GOIM_OP_RAW:
        for (at = 0; at < p->body_len; at += q.length) {
            if (goim_packet_parse(&q, p->body + at, p->body_len - at, BUF)
                != GOIM_PACKET_OK)
            {
                die("a broken batch");
            }

            packet(c, &q);
        }
    }
}


/* Whole frames at the start of the bytes; how much they are. */

static size_t
frames(client_t *c, const uint8_t *data, size_t len)
{
    size_t          head, n, done;
    const uint8_t  *p;
    goim_packet_t   pkt;

    for (done = 0; len - done >= 2; done += head + n) {
        p = data + done;
        head = p[1] == 126 ? 4 : p[1] == 127 ? 10 : 2;

        if (len - done < head) {
            break;
        }

        n = p[1] == 126 ? (size_t) p[2] << 8 | p[3]
            : p[1] == 127 ? (size_t) p[6] << 24 | (size_t) p[7] << 16
                            | (size_t) p[8] << 8 | p[9]
            : p[1];

        if (len - done < head + n) {
            break;
        }

        if ((p[0] & 0x0f) == GOIM_FRAME_CLOSE) {
            fprintf(stderr, "people: %s is closed: %.*s\n", c->mid,
                    n > 2 ? (int) n - 2 : 0, p + head + 2);
            exit(1);
        }

        if (goim_packet_parse(&pkt, p + head, n, BUF) != GOIM_PACKET_OK) {
            die("a broken packet");
        }

        packet(c, &pkt);
    }

    return done;
}


static void
receive(client_t *c)
{
    size_t          len, done;
    ssize_t         got;
    const uint8_t  *end;

    memcpy(buf, c->part, c->kept);
    got = recv(c->fd, buf + c->kept, BUF - c->kept, MSG_DONTWAIT);

    if (got == -1 && errno == EAGAIN) {
        return;
    }

    if (got <= 0) {
        die("a client was closed");
    }

    len = c->kept + (size_t) got;
    done = 0;

    if (c->state == UPGRADING) {
        end = memmem(buf, len, "\r\n\r\n", 4);

        if (end != NULL) {
            done = (size_t) (end + 4 - buf);
            c->state = AUTH;
            say_packet(c, GOIM_OP_AUTH, c->packet, strlen(c->packet));
        }
    }

    if (c->state > UPGRADING) {
        done += frames(c, buf + done, len - done);
    }

    c->kept = len - done;
    c->part = realloc(c->part, c->kept + 1);
    memcpy(c->part, buf + done, c->kept);
}


static void
wait_ms(int ms)
{
    int                 i, n;
    struct epoll_event  events[512];

    n = epoll_wait(ep, events, 512, ms);

    for (i = 0; i < n; i++) {
        receive(events[i].data.ptr);
    }
}


/* ---- runs ---- */

static int
by_value(const void *a, const void *b)
{
    double  x = *(const double *) a, y = *(const double *) b;

    return x < y ? -1 : x > y;
}


static void
print(const char *name, double *ms, long n)
{
    if (n == 0) {
        return;
    }

    qsort(ms, (size_t) n, sizeof(double), by_value);
    printf(" %s_p50 %.1f %s_p99 %.1f %s_max %.1f", name, ms[n / 2], name,
           ms[n * 99 / 100], name, ms[n - 1]);
}


static void
logins(void)
{
    int     i;
    double  start, seconds;
    static double  first[MAX_CLIENTS], last[MAX_CLIENTS];

    start = now();

    while (begun < nclients && begun < opt.at_once) {
        begin(&clients[begun++]);
        wait_ms(0);
    }

    while (over < nclients && now() - start < TIMEOUT) {
        wait_ms(100);
    }

    seconds = now() - start;

    for (i = 0; i < nclients; i++) {
        first[i] = (clients[i].first - clients[i].began) * 1e3;
        last[i] = (clients[i].last - clients[i].began) * 1e3;
    }

    printf("clients %d over %d seconds %.2f a_second %.0f", nclients, over,
           seconds, over / seconds);

    if (opt.items > 0) {
        print("first", first, nclients);
    }

    print("last", last, nclients);
    printf("\n");
}


static void
live(void)
{
    int     i, len;
    long    most;
    char    body[256];
    double  start, due;

    for (i = 0; i < nclients; i++) {
        begin(&clients[i]);

        while (clients[i].state < READING) {
            wait_ms(1000);
        }
    }

    printf("ready 1\n");
    fflush(stdout);

    most = (long) opt.live * opt.seconds;
    under_way = calloc((size_t) most + 1, sizeof(double));
    start = now();

    for (sent = 0; sent < most; sent++) {
        i = (int) (2 * sent % nclients) & ~1;
        len = snprintf(body, sizeof(body), "{\"to\":\"%s\",\"id\":\"%ld.%.0f\"}"
                       "\n%.9f", clients[i + 1].mid, sent, start * 1e6, now());
        say_packet(&clients[i], GOIM_OP_SEND, body, (size_t) len);

        for (due = start + (double) (sent + 1) / opt.live; now() < due; ) {
            wait_ms(1);
        }
    }

    for (due = now() + 30; came < sent && now() < due; ) {
        wait_ms(10);
    }

    printf("sent %ld came %ld", sent, came);
    print("ms", under_way, came);
    printf("\n");
}


static void
read_packets(void)
{
    char    *line, *blank;
    FILE    *f;
    size_t   size;
    ssize_t  n;

    f = fopen(opt.packets, "r");
    line = NULL;
    size = 0;

    if (f == NULL) {
        die(opt.packets);
    }

    while (nclients < MAX_CLIENTS && (n = getline(&line, &size, f)) > 1) {
        line[n - 1] = '\0';
        blank = strchr(line, ' ');

        if (blank == NULL) {
            die("a line without a packet");
        }

        *blank = '\0';
        clients[nclients].mid = strdup(line);
        clients[nclients].packet = strdup(blank + 1);
        clients[nclients].recovers = strstr(blank + 1, "im://inbox") != NULL;
        nclients++;
    }

    free(line);
    fclose(f);
}


int
main(int argc, char **argv)
{
    int                   c;
    static struct option  options[] = {
        { "port", 1, 0, 'p' }, { "packets", 1, 0, 'f' },
        { "at-once", 1, 0, 'o' }, { "items", 1, 0, 'i' },
        { "live", 1, 0, 'l' }, { "seconds", 1, 0, 's' }, { 0, 0, 0, 0 }
    };

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'p': opt.port = atoi(optarg); break;
        case 'f': opt.packets = optarg; break;
        case 'o': opt.at_once = atoi(optarg); break;
        case 'i': opt.items = atoi(optarg); break;
        case 'l': opt.live = atoi(optarg); break;
        case 's': opt.seconds = atoi(optarg); break;
        default: return 2;
        }
    }

    if (opt.packets == NULL) {
        return 2;
    }

    read_packets();
    ep = epoll_create1(0);

    if (opt.live) {
        live();

    } else {
        logins();
    }

    fflush(stdout);

    while (read(STDIN_FILENO, buf, 1) > 0) {
        /* void */
    }

    return 0;
}
