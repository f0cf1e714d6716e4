/*
 * Clients that recover: they come, are told their position, look at what comes,
 * and come back, as the SDK's do.
 */

#include "follow.h"

#include <stdarg.h>

#include "common/goim_frame.h"
#include "common/goim_packet.h"

#define BUF  (2 * 1024 * 1024)


static uint8_t  buf[BUF];


/* what should not be, the first ones in words */

__attribute__((format(printf, 3, 4)))
static void
amiss(long *counter, const client_t *c, const char *fmt, ...)
{
    va_list      args;
    static int   said;

    (*counter)++;

    if (said++ < 20) {
        va_start(args, fmt);
        fprintf(stderr, "follow: client %d, ", (int) (c - clients));
        vfprintf(stderr, fmt, args);
        fprintf(stderr, "\n");
        va_end(args);
    }
}


/* ---- connections ---- */

/* A lost connection, or one that was not made: when it tries again. */

static void
come_back(client_t *c)
{
    int     i;
    double  wait;

    if (c->state == OPEN) {
        fig.lost++;
        c->failures = 0;
    }

    if (c->fd != -1) {
        close(c->fd);
        c->fd = -1;
    }

    wait = opt.base / 1e3;

    for (i = 1; i < c->failures && wait < 300; i++) {
        wait *= 1.8;
    }

    wait = c->again ? at_random(opt.again / 1e3)
           : c->failures ? wait * 0.7 + at_random(wait * 0.6)
           : at_random(wait);

    c->failures++;
    c->moved++;
    c->again = 0;
    c->kept = 0;
    c->state = WAITING;
    c->due = now() + wait;
}


static int
say(client_t *c, const void *data, size_t len)
{
    return send(c->fd, data, len, MSG_NOSIGNAL) == (ssize_t) len ? 0 : -1;
}


/* A packet in a frame, masked with zeroes: the bytes stay as they are. */

static int
say_packet(client_t *c, int32_t operation, const char *body, size_t len)
{
    size_t   head;
    uint8_t  frame[512];

    head = 2;
    frame[0] = 0x80 | GOIM_FRAME_BINARY;
    frame[1] = (uint8_t) (0x80 | (GOIM_HEADER + len));

    if (GOIM_HEADER + len > 125) {
        frame[1] = 0x80 | 126;
        frame[2] = (uint8_t) ((GOIM_HEADER + len) >> 8);
        frame[3] = (uint8_t) (GOIM_HEADER + len);
        head = 4;
    }

    memset(frame + head, 0, 4);
    head += 4;
    goim_packet_header(frame + head, len, GOIM_VERSION, operation, 1);
    memcpy(frame + head + GOIM_HEADER, body, len);

    return say(c, frame, head + GOIM_HEADER + len);
}


static void
begin(client_t *c)
{
    int  i;

    i = (int) (c - clients);
    c->state = CONNECTING;
    c->due = now() + 10;
    c->fd = connect_to(opt.ports[(i + c->moved) % opt.nports], i,
                       (uint32_t) i);

    if (c->fd == -1) {
        come_back(c);
    }
}


static int
upgrade(client_t *c)
{
    static const char  http[] =
        "GET /sub HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    c->state = UPGRADING;

    return say(c, http, sizeof(http) - 1);
}


static int
authenticate(client_t *c)
{
    int   i, room, len;
    char  was[128], json[256];

    i = (int) (c - clients);
    room = i % opt.rooms;
    was[0] = '\0';

    if (c->epoch[0]) {
        snprintf(was, sizeof(was), "\"live://%d\":{\"epoch\":\"%s\","
                 "\"seq\":%llu}", room, c->epoch,
                 (unsigned long long) c->seq);
    }

    len = snprintf(json, sizeof(json), "{\"mid\":%d,\"key\":\"f%d\","
                   "\"room_id\":\"live://%d\",\"recover\":{%s}}", i + 1, i,
                   room, was);

    c->state = AUTH;

    return say_packet(c, GOIM_OP_AUTH, json, (size_t) len);
}


/* ---- what comes ---- */

static void
item(client_t *c, const goim_packet_t *p)
{
    int            room;
    char           text[64];
    size_t         len;
    unsigned long  n;

    len = p->body_len < sizeof(text) - 1 ? p->body_len : sizeof(text) - 1;
    memcpy(text, p->body, len);
    text[len] = '\0';

    fig.delivered++;

    if (sscanf(text, "%d %lu ", &room, &n) != 2
        || room != (int) (c - clients) % opt.rooms)
    {
        amiss(&fig.wrong, c, "a message of somebody else: %s", text);
        return;
    }

    if ((uint64_t) p->sequence != c->seq + 1) {
        amiss((uint64_t) p->sequence <= c->seq ? &fig.repeats : &fig.holes, c,
              "item %d follows %llu", p->sequence, (unsigned long long) c->seq);
    }

    if (n != c->n + 1 && !c->told) {
        amiss(n <= c->n ? &fig.repeats : &fig.holes, c,
              "message %lu follows %llu", n, (unsigned long long) c->n);
    }

    c->told = 0;
    c->n = n;
    c->seq = (uint64_t) p->sequence;
}


static void
position(client_t *c, const goim_packet_t *p)
{
    int                  recovered;
    char                 text[512], epoch[40], *at;
    size_t               len;
    unsigned long long   seq;

    len = p->body_len < sizeof(text) - 1 ? p->body_len : sizeof(text) - 1;
    memcpy(text, p->body, len);
    text[len] = '\0';

    at = strstr(text, "\"epoch\"");

    if (at == NULL
        || sscanf(at, "\"epoch\":\"%39[^\"]\",\"seq\":%llu", epoch, &seq) != 2)
    {
        amiss(&fig.wrong, c, "no position: %s", text);
        return;
    }

    recovered = strstr(text, "\"recovered\":true") != NULL;

    if (recovered) {
        fig.recovered++;

        if (seq != c->seq || strcmp(epoch, c->epoch) != 0) {
            amiss(&fig.wrong, c, "recovers from elsewhere: %s", text);
        }

    } else if (c->epoch[0]) {
        fig.told++;
        c->told = 1;
    }

    strcpy(c->epoch, epoch);
    c->seq = seq;

    if (c->state == JOINED) {
        c->state = OPEN;
        (void) say_packet(c, GOIM_OP_HEARTBEAT, "", 0);
    }
}


static void
packet(client_t *c, const goim_packet_t *p)
{
    double         t;
    goim_packet_t  q;
    const uint8_t *at, *end;

    switch (p->operation) {

    case GOIM_OP_AUTH_REPLY:
        t = now() - fig.began;
        fig.second[t < MAX_SECONDS ? (int) t : MAX_SECONDS - 1]++;
        fig.logins++;
        c->state = JOINED;
        return;

    case GOIM_OP_POSITION:
        position(c, p);
        return;

    case GOIM_OP_DISCONNECT:
        if (memmem(p->body, p->body_len, "\"code\":1012", 11)) {
            c->again = 1;
            fig.again++;
        }
        return;

    case GOIM_OP_RAW:
        end = p->body + p->body_len;

        for (at = p->body; at < end; at += q.length) {
            if (goim_packet_parse(&q, at, (size_t) (end - at), BUF)
                != GOIM_PACKET_OK)
            {
                amiss(&fig.wrong, c, "a broken batch");
                return;
            }
            item(c, &q);
        }
    }
}


/* Whole frames at the start of the bytes; how much they are, 0 at the end. */

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
            (void) say(c, "\x88\x80\0\0\0\0", 6);

        } else if (goim_packet_parse(&pkt, p + head, n, BUF)
                   == GOIM_PACKET_OK)
        {
            packet(c, &pkt);

        } else {
            amiss(&fig.wrong, c, "a broken packet");
        }
    }

    return done;
}


/* The answer to the upgrade: its length, 0: not all of it, -1: a refusal. */

static ssize_t
upgraded(const uint8_t *data, size_t len)
{
    const uint8_t  *end;

    end = memmem(data, len, "\r\n\r\n", 4);

    if (end == NULL) {
        return 0;
    }

    return memcmp(data, "HTTP/1.1 101", 12) == 0 ? end + 4 - data : -1;
}


/* -1: the connection is over. */

static int
receive(client_t *c)
{
    size_t   len, done;
    ssize_t  got, n;

    for ( ;; ) {
        if (c->kept) {
            memcpy(buf, c->part, c->kept);
        }

        got = recv(c->fd, buf + c->kept, BUF - c->kept, 0);

        if (got <= 0) {
            return got == -1 && errno == EAGAIN ? 0 : -1;
        }

        len = c->kept + (size_t) got;
        done = 0;

        if (c->state == UPGRADING) {
            n = upgraded(buf, len);

            if (n < 0) {
                fig.refused++;
                return -1;
            }

            done = (size_t) n;

            if (n > 0 && authenticate(c) == -1) {
                return -1;
            }
        }

        if (c->state > UPGRADING) {
            done += frames(c, buf + done, len - done);
        }

        c->kept = len - done;
        free(c->part);
        c->part = NULL;

        if (c->kept) {
            c->part = malloc(c->kept);

            if (c->part == NULL) {
                die("follow: malloc");
            }

            memcpy(c->part, buf + done, c->kept);
        }
    }
}


void
client_event(client_t *c, uint32_t events)
{
    if (c->fd == -1) {
        return;
    }

    if (c->state == CONNECTING && (events & EPOLLOUT) && upgrade(c) == -1) {
        come_back(c);
        return;
    }

    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) && receive(c) == -1) {
        come_back(c);
    }
}


void
clients_time(double t)
{
    client_t  *c;

    for (c = clients; c < clients + opt.clients; c++) {
        if (c->state == OPEN || t < c->due) {
            continue;
        }

        if (c->state == WAITING) {
            begin(c);

        } else {
            come_back(c);
        }
    }
}


int
clients_away(void)
{
    int  i, n;

    for (i = n = 0; i < opt.clients; i++) {
        n += clients[i].state != OPEN;
    }

    return n;
}


int
clients_short(const uint64_t *mark)
{
    int  i, n;

    for (i = n = 0; i < opt.clients; i++) {
        n += clients[i].state != OPEN || clients[i].n < mark[i % opt.rooms];
    }

    return n;
}
