/*
 * Jobs come, go, are killed and stand still while records flow through the
 * bus: what a comet makes of their appends (it drops, record by record, what
 * it has seen of a partition) is each acknowledged record, once, in the order
 * of its key. Each job is a process of its own that works as goim-job does:
 * one append in flight, repeated until it is acknowledged, then done.
 *
 * The driver is redis, or kafka with GOIM_BUS_KAFKA (an address).
 */

#include "test_redis.h"

#include "svc/bus.h"


#define PARTITIONS  8
#define KEYS        50
#define BATCH       200
#define QUEUE       20000


static test_redis_t         redis;
static struct event_base   *base;
static svc_redis_conf_t     redis_conf;
static svc_redis_t         *r;
static bus_conf_t           conf;
static char                 topic[64];
static char                *props[9];


/* ---- a job ---- */

typedef struct {
    uint32_t       partition;
    goim_offset_t  offset;
    int            gone;            /* revoked meanwhile */
    char           text[32];
} rec_t;

static bus_consumer_t  *job;
static rec_t            queue[QUEUE];
static size_t           first, count, flying;
static int              stopping;
static struct event    *again_ev;


static void job_append(void);


static void
job_answer(svc_redis_t *own, redisReply *reply, void *data)
{
    size_t          i, n;
    rec_t          *q;
    struct timeval  tv = { 0, 50000 };

    (void) own;
    (void) data;

    n = flying;
    flying = 0;

    if (svc_redis_class(reply) != SVC_REDIS_OK) {
        event_add(again_ev, &tv);
        return;
    }

    for (i = 0; i < n; i++) {
        q = &queue[first];
        first = (first + 1) % QUEUE;
        count--;

        if (!q->gone) {
            bus_done(job, q->partition, &q->offset);
        }
    }

    if (count < QUEUE / 4) {
        bus_resume(job);
    }

    job_append();
}


static void
job_append(void)
{
    int          argc;
    char         text[BATCH][96];
    size_t       i, j;
    rec_t       *q;
    const char  *argv[3 + 2 * BATCH];

    static const char  hex[] = "0123456789abcdef";

    if (flying || count == 0 || stopping) {
        return;
    }

    argc = 0;
    argv[argc++] = "XADD";
    argv[argc++] = "p:effects";
    argv[argc++] = "*";

    for (i = 0; i < count && i < BATCH; i++) {
        q = &queue[(first + i) % QUEUE];

        /* what is another's by now is left out, and what may be */

        if (q->gone || !bus_consumer_holds(job, q->partition)) {
            q->gone = 1;
            continue;
        }

        j = (size_t) sprintf(text[i], "%u ", q->partition);

        for (size_t b = 0; b < GOIM_OFFSET_LEN; b++) {
            text[i][j++] = hex[q->offset.b[b] >> 4];
            text[i][j++] = hex[q->offset.b[b] & 15];
        }

        sprintf(text[i] + j, " %s", q->text);
        argv[argc++] = "r";
        argv[argc++] = text[i];
    }

    if (argc == 3) {
        argv[argc++] = "-";
        argv[argc++] = "-";
    }

    flying = i;

    if (svc_redis_call(r, job_answer, NULL, argc, argv, NULL) != 0) {
        flying = 0;
        event_add(again_ev, &(struct timeval) { 0, 50000 });
    }
}


static void
job_again(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;

    job_append();
}


static void
job_record(bus_consumer_t *c, const bus_record_t *rec, void *data)
{
    rec_t  *q;

    (void) data;

    if (count == QUEUE) {
        _exit(3);
    }

    q = &queue[(first + count++) % QUEUE];
    q->partition = rec->partition;
    q->offset = rec->offset;
    q->gone = 0;
    snprintf(q->text, sizeof(q->text), "%.*s", (int) rec->len,
             (const char *) rec->payload);

    if (count > QUEUE / 2) {
        bus_pause(c);
    }

    event_active(again_ev, EV_TIMEOUT, 0);
}


static void
job_revoked(bus_consumer_t *c, uint32_t partition, void *data)
{
    size_t  i;

    (void) c;
    (void) data;

    for (i = 0; i < count; i++) {
        if (queue[(first + i) % QUEUE].partition == partition) {
            queue[(first + i) % QUEUE].gone = 1;
        }
    }
}


static void
job_freed(void *data)
{
    (void) data;

    _exit(0);
}


static void
job_stop(evutil_socket_t fd, short what, void *data)
{
    (void) fd;
    (void) what;
    (void) data;

    stopping = 1;
    bus_consumer_free(job, job_freed, NULL);
}


/* a SIGTERM that comes before there is a handler waits for it */
static void
hold_sigterm(int how)
{
    sigset_t  set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(how, &set, NULL);
}


static void
job_main(void)
{
    char                   err[256];
    struct event          *term;
    bus_consumer_events_t  events = { job_record, job_revoked, NULL };

    prctl(PR_SET_PDEATHSIG, SIGKILL);

    base = event_base_new();
    r = svc_redis_new(base, &redis_conf, NULL);
    again_ev = evtimer_new(base, job_again, NULL);
    term = evsignal_new(base, SIGTERM, job_stop, NULL);
    event_add(term, NULL);
    hold_sigterm(SIG_UNBLOCK);

    job = bus_consumer_new(base, &conf, r, &events, err, sizeof(err));

    if (job == NULL) {
        log_write(LOG_ERROR, "%s", err);
        _exit(2);
    }

    event_base_dispatch(base);
    _exit(4);
}


/* ---- the others ---- */

#define JOBS  3

static pid_t  jobs[JOBS];


static void
job_start(int i)
{
    fflush(NULL);
    hold_sigterm(SIG_BLOCK);
    jobs[i] = fork();

    if (jobs[i] == 0) {
        job_main();
    }

    hold_sigterm(SIG_UNBLOCK);
}


static void
job_end(int i, int sig)
{
    int  status;

    kill(jobs[i], sig);
    kill(jobs[i], SIGCONT);
    waitpid(jobs[i], &status, 0);
    jobs[i] = 0;

    if (sig == SIGTERM && status != 0) {
        fail_msg("a job that was asked to stop ended with %d", status);
    }
}


static int      *results;       /* of number * KEYS + key; -1: none yet */
static size_t    nsent, nanswered, nok;


static void
produced(bus_result_t result, void *data)
{
    results[(size_t) data] = (int) result;
    nanswered++;
    nok += (result == BUS_OK);
}


static void
produce(bus_producer_t *p, int rounds)
{
    int   i, k;
    char  key[16], text[32];

    for (i = 0; i < rounds; i++) {
        results = realloc(results, (nsent + KEYS) * sizeof(int));
        assert_non_null(results);

        for (k = 0; k < KEYS; k++, nsent++) {
            results[nsent] = -1;
            sprintf(key, "k%d", k);
            sprintf(text, "%zu", nsent);
            bus_produce(p, key, strlen(key), text, strlen(text), 10000,
                        produced, (void *) nsent);
        }
    }
}


static int
all_answered(void *data)
{
    (void) data;

    return nanswered == nsent;
}


/* ---- a comet ---- */

static char    *came;           /* how often each record counted */
static char     last_offset[PARTITIONS][33];
static char     last_id[64];
static long     last_of_key[KEYS];
static size_t   ncame, ndropped;


static void
comet_take(const char *text)
{
    char      offset[33];
    size_t    n;
    unsigned  partition;

    if (sscanf(text, "%u %32s %zu", &partition, offset, &n) != 3
        || partition >= PARTITIONS || n >= nsent)
    {
        return;                 /* "-" */
    }

    if (strcmp(offset, last_offset[partition]) <= 0) {
        ndropped++;
        return;
    }

    strcpy(last_offset[partition], offset);

    if (results[n] == BUS_FAILED) {
        fail_msg("record %zu came, but was said not to be written", n);
    }

    if (came[n]++ != 0) {
        fail_msg("record %zu came twice", n);
    }

    if (last_of_key[n % KEYS] >= (long) n) {
        fail_msg("record %zu came after %ld", n, last_of_key[n % KEYS]);
    }

    last_of_key[n % KEYS] = (long) n;
    ncame += (results[n] == BUS_OK);
}


static void
comet_read(void)
{
    size_t       i, j;
    redisReply  *reply, *e;

    do {
        reply = test_cmd(&redis, "XRANGE p:effects %s + COUNT 1000", last_id);

        for (i = 0; i < reply->elements; i++) {
            e = reply->element[i]->element[1];
            snprintf(last_id, sizeof(last_id), "(%s",
                     reply->element[i]->element[0]->str);

            for (j = 1; j < e->elements; j += 2) {
                comet_take(e->element[j]->str);
            }
        }

        i = reply->elements;
        freeReplyObject(reply);
    } while (i > 0);
}


static int
healthy(void *data)
{
    return bus_producer_partitions(data) == PARTITIONS
           && bus_producer_healthy(data);
}


static void
test_churn(void **state)
{
    int              i, k, step;
    char             err[256];
    int64_t          end;
    unsigned         seed;
    bus_producer_t  *p;

    (void) state;

    seed = getenv("GOIM_SEED") ? (unsigned) atoi(getenv("GOIM_SEED"))
                               : (unsigned) getpid();
    srand(seed);
    fprintf(stderr, "GOIM_SEED=%u\n", seed);

    test_redis_start(&redis);
    test_redis_conf(&redis_conf, redis.addr);
    base = event_base_new();
    r = svc_redis_new(base, &redis_conf, NULL);
    test_wait(base, test_redis_up, r);

    p = bus_producer_new(base, &conf, r, err, sizeof(err));
    assert_non_null(p);
    test_wait(base, healthy, p);

    for (i = 0; i < JOBS; i++) {
        job_start(i);
    }

    for (step = 0; step < 24; step++) {
        produce(p, 10);
        i = rand() % JOBS;

        switch (rand() % 6) {

        case 0:
            job_end(i, SIGKILL);
            job_start(i);
            break;

        case 1:
            job_end(i, SIGTERM);
            job_start(i);
            break;

        case 2:
            /* longer than a lease; another may be standing already */
            kill(jobs[i], SIGSTOP);
            break;

        case 3:
            for (k = 0; k < JOBS; k++) {
                kill(jobs[k], SIGCONT);
            }

            break;

        case 4:
            if (rand() % 3 == 0) {
                test_redis_kill(&redis, SIGKILL);
                test_redis_spawn(&redis);
            }

            break;

        default:
            break;
        }

        for (k = 0; k < 10; k++) {
            produce(p, 2);
            test_run(base, 20 + rand() % 80);
        }
    }

    for (k = 0; k < JOBS; k++) {
        kill(jobs[k], SIGCONT);
    }

    if (!test_until(base, all_answered, NULL, TEST_BOUND)) {
        fail_msg("%zu of %zu are answered", nanswered, nsent);
    }

    came = calloc(nsent, 1);
    strcpy(last_id, "-");
    memset(last_of_key, -1, sizeof(last_of_key));

    for (end = svc_now() + 2 * TEST_BOUND; ncame < nok; /* void */ ) {
        comet_read();

        if (svc_now() > end) {
            fail_msg("%zu of %zu acknowledged records came", ncame, nok);
        }

        test_run(base, 50);
    }

    fprintf(stderr, "%zu records, %zu acknowledged, %zu appended again\n",
            nsent, nok, ndropped);
    assert_in_range(nok, nsent / 2, nsent);

    for (i = 0; i < JOBS; i++) {
        job_end(i, SIGTERM);
    }

    bus_producer_free(p);
    svc_redis_free(r);
    event_base_free(base);
    test_redis_end(&redis);
    free(came);
    free(results);
}


int
main(void)
{
    const struct CMUnitTest  tests[] = {
        cmocka_unit_test(test_churn),
    };

    signal(SIGPIPE, SIG_IGN);
    evthread_use_pthreads();
    log_open(NULL, LOG_INFO);

    snprintf(topic, sizeof(topic), "goim-churn-%d", (int) getpid());
    conf.driver = (char *) (getenv("GOIM_BUS_KAFKA") ? "kafka" : "redis");
    conf.partitions = PARTITIONS;
    conf.topic = topic;
    conf.group = topic;
    conf.generation = 1;
    conf.timeout = 10000;
    conf.props = props;
    props[0] = (char *) "bootstrap.servers";
    props[1] = getenv("GOIM_BUS_KAFKA");
    props[2] = (char *) "session.timeout.ms";
    props[3] = (char *) "3000";
    props[4] = (char *) "heartbeat.interval.ms";
    props[5] = (char *) "500";

    return cmocka_run_group_tests(tests, NULL, NULL);
}
