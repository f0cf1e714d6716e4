#include "test_room.h"


goim_timelines_t  w;
room_t            rooms[ROOMS];
goim_read_t      *reads[GOIM_READS_MAX];
uint32_t          nreads;
uint32_t          asked;
uint32_t          at_head;
uint32_t          asked_heads;
int               refuse;
int               no_memory;
uint32_t          freed;


/* ---- what goes out ---- */

static session_t *
session_of(goim_follow_t *f)
{
    return goim_link_data(f, session_t, follow);
}


static int
on_send(goim_follow_t *f, goim_run_t *run, uint32_t from, uint32_t to)
{
    session_t  *s;

    s = session_of(f);
    assert_int_equal(run->items[from].seq, s->at + 1);

    s->at = run->items[to - 1].seq;
    s->sent += to - from;
    s->queued += run->items[to - 1].end - (from ? run->items[from - 1].end : 0);

    return 0;
}


static int
on_tell(goim_follow_t *f, const goim_told_t *told)
{
    session_t  *s;

    s = session_of(f);
    s->told++;
    s->recovered = told->recovered;
    s->at = told->seq;

    return 0;
}


static size_t
on_queued(goim_follow_t *f)
{
    return session_of(f)->queued;
}


static int
on_read(goim_read_t *r)
{
    asked++;

    if (refuse) {
        return -1;
    }

    assert_true(nreads < GOIM_READS_MAX);
    reads[nreads++] = r;

    return 0;
}


static int
on_heads(goim_heads_t *h)
{
    (void) h;

    asked_heads++;

    return refuse ? -1 : 0;
}


static void
on_wake(goim_timelines_t *t)
{
    (void) t;
}


static void
on_run_free(goim_run_t *run)
{
    free(run);
}


static void
on_timeline_free(goim_timeline_t *tl)
{
    (void) tl;
    freed++;
}


static void *
on_alloc(size_t size)
{
    return no_memory ? NULL : malloc(size);
}


static const goim_timelines_ops_t  ops = {
    .send = on_send,
    .tell = on_tell,
    .queued = on_queued,
    .read = on_read,
    .heads = on_heads,
    .wake = on_wake,
    .run_free = on_run_free,
    .timeline_free = on_timeline_free,
    .alloc = on_alloc,
    .free = free,
};


/* ---- a room ---- */

int
room_setup(void **state)
{
    char                   word[16];
    uint32_t               i;
    static const uint64_t  seed[2] = { 1, 2 };

    (void) state;

    nreads = asked = at_head = asked_heads = freed = 0;
    refuse = no_memory = 0;

    goim_timelines_init(&w, &ops, 1000, seed);

    for (i = 0; i < ROOMS; i++) {
        snprintf(word, sizeof(word), "epoch-%u", i);
        rooms[i].epoch = goim_epoch_get(&w.epochs, word, strlen(word));
        rooms[i].first = 1;
        rooms[i].head = 0;
        rooms[i].size = 1;
        goim_timeline_open(&w, &rooms[i].timeline, 1);
    }

    return 0;
}


int
room_teardown(void **state)
{
    uint32_t  i;

    (void) state;

    for (i = 0; i < ROOMS; i++) {
        goim_timeline_close(&rooms[i].timeline);
        goim_epoch_unref(&w.epochs, rooms[i].epoch);
    }

    while (nreads) {
        goim_read_answer(reads[--nreads], GOIM_READ_LATER, NULL, 0, 0, NULL);
    }

    assert_int_equal(freed, ROOMS);
    assert_int_equal(w.epochs.count, 0);
    goim_timelines_free(&w);

    return 0;
}


goim_run_t *
run_new(room_t *room, uint64_t first, uint64_t last)
{
    uint32_t          i;
    goim_run_t       *run;
    goim_run_item_t  *items;

    run = calloc(1, sizeof(goim_run_t)
                    + (last - first + 1) * sizeof(goim_run_item_t));
    items = (goim_run_item_t *) (run + 1);

    run->refs = 1;
    run->n = last - first + 1;
    run->epoch = room->epoch;
    run->follows = first - 1;
    run->items = items;

    for (i = 0; i < run->n; i++) {
        items[i].seq = first + i;
        items[i].end = (i + 1) * room->size;
    }

    run->held = run->n * room->size;

    return run;
}


void
arrives(room_t *room, uint64_t seq, session_t *s, uint32_t n)
{
    uint32_t     i;
    goim_run_t  *run;

    run = run_new(room, seq, seq);
    goim_timeline_arrived(&room->timeline, run);

    for (i = 0; i < n; i++) {
        if (s[i].follow.timeline == &room->timeline) {
            assert_int_equal(goim_follow_run(&s[i].follow, run), 0);
        }
    }

    goim_run_unref(&w, run);
}


void
answer_at(room_t *room, uint64_t first, uint64_t head)
{
    uint64_t      from, to;
    goim_run_t   *page;
    goim_read_t  *r;

    assert_true(nreads > 0);
    r = reads[0];
    memmove(reads, reads + 1, --nreads * sizeof(reads[0]));

    page = NULL;
    from = to = 0;

    if (r->epoch == room->epoch && r->after < head && r->after >= first - 1) {
        from = r->after + 1;
        to = from + r->limit - 1 < head ? from + r->limit - 1 : head;

    } else if (r->epoch == NULL && r->limit && head >= first) {
        from = head - first < r->limit ? first : head - r->limit + 1;
        to = head;
    }

    if (from) {
        page = run_new(room, from, to);
    }

    at_head += page == NULL || to == head;

    goim_read_answer(r, GOIM_READ_OK, room->epoch, first, head, page);

    if (page) {
        goim_run_unref(&w, page);
    }
}


void
answer(room_t *room)
{
    answer_at(room, room->first, room->head);
}


void
pass(uint32_t ms)
{
    while (ms--) {
        w.now++;
        (void) goim_timelines_run(&w);
    }
}


void
join(session_t *s, room_t *room, uint64_t seq)
{
    memset(s, 0, sizeof(session_t));
    goim_follow_join(&s->follow, &room->timeline, room->epoch, seq, 0);
}


void
join_live(session_t *s, room_t *room)
{
    uint32_t  n;

    n = asked;
    join(s, room, room->head);
    pass(GOIM_READ_PACE + GOIM_WHEEL_STEP);
    assert_int_equal(asked, n + 1);
    answer(room);
    assert_int_equal(s->follow.state, GOIM_FOLLOW_LIVE);
    pass(GOIM_SHORT_MAX + 1);
    assert_int_equal(nreads, 0);
}


void
answer_heads(goim_epoch_t *epoch, uint64_t head)
{
    uint32_t  i;

    for (i = 0; i < w.heads.n; i++) {
        if (w.heads.of[i] == &rooms[0].timeline) {
            goim_heads_answer(&w.heads, i, GOIM_HEAD_OK, epoch, head);

        } else {
            goim_heads_answer(&w.heads, i, GOIM_HEAD_NONE, NULL, 0);
        }
    }

    goim_heads_done(&w.heads);
}
