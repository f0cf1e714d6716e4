/* LINK: common/goim_position.c */

/*
 * Answers of Redis to who reads the bus. What is handed over is of a partition
 * that was asked for, above what came before it, and lies in the answer;
 * whatever else comes is left out.
 */

#include "svc/bus_redis_read.c"


#define PARTS  8


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static bus_redis_consumer_t  consumer;
static bus_redis_part_t      parts[PARTS];
static goim_offset_t         last[PARTS];


static void
check(int good)
{
    if (!good) {
        abort();
    }
}


/* ---- what reading is linked with ---- */

int
svc_redis_call(svc_redis_t *r, svc_redis_pt cb, void *data, int argc,
    const char **argv, const size_t *argvlen)
{
    int  i;

    (void) r;
    (void) cb;
    (void) data;
    (void) argvlen;

    /* as it would be copied */

    for (i = 0; i < argc; i++) {
        check(strlen(argv[i]) < BUS_REDIS_KEY);
    }

    return 0;
}


int
svc_redis_callf(svc_redis_t *r, svc_redis_pt cb, void *data,
    const char *fmt, ...)
{
    (void) r;
    (void) cb;
    (void) data;
    (void) fmt;

    return 0;
}


int
lease_holds(lease_t *l, uint32_t n)
{
    (void) l;

    return n % 4 != 3;
}


void lease_noted(lease_t *l, const redisReply *entries)
    { (void) l; (void) entries; }
int svc_redis_is_up(svc_redis_t *r) { (void) r; return 1; }
uint64_t svc_redis_life(svc_redis_t *r) { (void) r; return 1; }
void svc_redis_reconnect(svc_redis_t *r) { (void) r; }
void bus_redis_mend(bus_redis_consumer_t *c) { (void) c; }
void bus_redis_check_end(bus_redis_consumer_t *c) { (void) c; }
void metrics_add(metric_t *m, int64_t n) { (void) m; (void) n; }

svc_redis_class_t
svc_redis_class(const redisReply *reply)
{
    return reply->str[0] == 'W' ? SVC_REDIS_TYPE : SVC_REDIS_ERROR;
}


/* What is said is looked at. */

void
log_seldom(log_once_t *state, log_level_t level, const char *fmt, ...)
{
    char     line[1024];
    va_list  args;

    (void) state;
    (void) level;

    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
}


/* never used */
metric_t *metrics_counter(const char *name, const char *labels,
    const char *help) { (void) name; (void) labels; (void) help; return NULL; }
const svc_redis_conf_t *svc_redis_conf(svc_redis_t *r)
    { (void) r; return NULL; }
svc_redis_t *svc_redis_new(struct event_base *base,
    const svc_redis_conf_t *conf, const svc_redis_events_t *events)
    { (void) base; (void) conf; (void) events; return NULL; }


static void
taken(bus_consumer_t *c, const bus_record_t *rec, void *data)
{
    void  *copy;

    (void) data;

    check(c == &consumer.base && rec->partition < PARTS
          && parts[rec->partition].ready && parts[rec->partition].asked
          && lease_holds(NULL, rec->partition));

    check(memcmp(&rec->offset, &last[rec->partition], sizeof(goim_offset_t))
          > 0);
    last[rec->partition] = rec->offset;

    copy = malloc(rec->len + 1);
    check(copy != NULL && rec->payload != NULL && rec->from == NULL);
    memcpy(copy, rec->payload, rec->len);
    free(copy);
}


static void
begin(void)
{
    uint32_t  i;

    memset(&consumer, 0, sizeof(consumer));
    memset(parts, 0, sizeof(parts));
    memset(last, 0, sizeof(last));

    strcpy(consumer.bus.base, "goim:bus:");
    strcpy(consumer.notes_key, "goim:bus:notes");
    consumer.bus.n = PARTS;
    consumer.bus.ready = 1;
    consumer.life = 1;
    consumer.parts = parts;
    consumer.count = 1;
    consumer.record_size = BUS_REDIS_RECORD;
    consumer.base.events.record = taken;

    /* some are another's, or were not asked for */

    for (i = 0; i < PARTS; i++) {
        parts[i].c = &consumer;
        parts[i].n = i;
        parts[i].stream = (char *) "goim:bus:n";
        parts[i].ready = i != 1;
        parts[i].asked = i != 1 && i != 2;
        consumer.owned += (uint32_t) parts[i].ready;
    }
}


/* hiredis makes as much room as an array announces: not what is tried here. */

static int
large(const uint8_t *data, size_t size)
{
    size_t  i, digits;

    digits = 0;

    for (i = 0; i < size; i++) {
        if (data[i] == '*') {
            for (digits = 0; i + 1 < size && data[i + 1] >= '0'
                             && data[i + 1] <= '9'; i++)
            {
                digits++;
            }

            if (digits > 4) {
                return 1;
            }
        }
    }

    return 0;
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void                      *reply;
    redisReader               *reader;
    static struct event_base  *loop;

    if (large(data, size)) {
        return 0;
    }

    if (loop == NULL) {
        loop = event_base_new();
        check(loop != NULL);
    }

    begin();

    consumer.loop = loop;
    consumer.retry = evtimer_new(loop, bus_redis_on_retry, &consumer);
    check(consumer.retry != NULL);

    reader = redisReaderCreate();
    check(reader != NULL);
    redisReaderFeed(reader, (const char *) data, size);

    while (redisReaderGetReply(reader, &reply) == REDIS_OK && reply != NULL) {
        consumer.reading = 1;
        bus_redis_on_read(NULL, reply, &consumer);
        freeReplyObject(reply);

        check(memchr(consumer.note, '\0', sizeof(consumer.note)) != NULL);
        check(consumer.count >= 1 && consumer.count <= BUS_REDIS_READ_MAX);
    }

    bus_redis_on_read(NULL, NULL, &consumer);

    redisReaderFree(reader);
    event_free(consumer.retry);

    return 0;
}
