/*
 * Read, a node's call: items of a room's history. Where the room stands Redis
 * says each time; the items of a page below its head are kept here, as they
 * never change within their epoch.
 */

#include "read.h"

#include <stdlib.h>
#include <string.h>

#include "im.h"
#include "pages.h"
#include "svc/clock.h"

#define LOGIC_READS  256                        /* under way, in all threads */
#define LOGIC_PAGES  (64 * 1024 * 1024)         /* bytes */


typedef struct {
    logic_read_t         read;
    logic_call_t        *call;
    const logic_page_t  *page;                  /* NULL: not kept */
    char                 room[GOIM_ROOM_MAX + 1];
} logic_reading_t;


static int logic_read_valid(const Goim__Read *r);
static void logic_read_inbox(logic_call_t *call);
static int logic_read_begin(void);
static void logic_read_page(logic_read_t *rd);
static void logic_read_again(logic_reading_t *rg);
static size_t logic_read_items(logic_reading_t *rg,
    logic_page_item_t items[GOIM_NEWEST_MAX], uint64_t *from);
static void logic_read_keep(logic_reading_t *rg,
    const logic_page_item_t *items, size_t n);
static void logic_read_answer(logic_reading_t *rg,
    const logic_page_item_t *items, size_t n, uint64_t from);
static void logic_read_later(logic_call_t *call);
static void logic_read_end(logic_reading_t *rg);


static int             logic_reads;             /* atomic */
static logic_pages_t  *logic_pages;


int
logic_read_init(void)
{
    logic_pages = logic_pages_new(LOGIC_PAGES);

    return logic_pages == NULL ? -1 : 0;
}


void
logic_read_call(logic_call_t *call)
{
    Goim__Read        *msg;
    logic_read_t      *rd;
    logic_reading_t   *rg;

    msg = call->msg->read;

    if (!logic_read_valid(msg)) {
        logic_reply_code(call, GOIM__REPLY__CODE__MALFORMED, "read");
        return;
    }

    metrics_add(logic_m.reads, 1);

    if (logic_rpc_full(call) || logic_read_begin() != 0) {
        logic_read_later(call);
        return;
    }

    if (msg->mid != 0) {
        logic_read_inbox(call);
        return;
    }

    rg = calloc(1, sizeof(logic_reading_t));
    if (rg == NULL) {
        abort();
    }

    rg->call = call;
    memcpy(rg->room, msg->timeline.data, msg->timeline.len);

    rd = &rg->read;
    rd->thread = call->thread;
    rd->room = rg->room;
    rd->want = msg->epoch;
    rd->what = msg->epoch[0] != '\0' ? "after" : "last";
    rd->number = msg->epoch[0] != '\0' ? msg->after : msg->limit;
    rd->bytes = GOIM_PAGE_BYTES;
    rd->limit = msg->limit;
    rd->done = logic_read_page;

    if (msg->epoch[0] != '\0' && msg->limit > 0) {
        rg->page = logic_pages_get(logic_pages, &(logic_page_key_t) {
            rg->room, msg->epoch, msg->after, msg->limit });
    }

    if (rg->page != NULL) {
        rd->limit = 0;
    }

    logic_read(rd);
}


static void
logic_read_inbox(logic_call_t *call)
{
    Goim__Page   page = GOIM__PAGE__INIT;
    Goim__Reply  reply = GOIM__REPLY__INIT;

    if (call->thread->im != NULL) {
        logic_inbox_read(call);
        return;
    }

    logic_read_over();

    page.status = GOIM__PAGE__STATUS__NONE;
    reply.reply_case = GOIM__REPLY__REPLY_PAGE;
    reply.page = &page;

    logic_reply(call, &reply);
}


static int
logic_read_valid(const Goim__Read *r)
{
    const char  *p;

    if (r->mid == INT64_MIN || (r->timeline.len == 0) != (r->mid != 0)
        || r->timeline.len > GOIM_ROOM_MAX
        || (r->timeline.len > 0
            && memchr(r->timeline.data, '\0', r->timeline.len) != NULL)
        || strlen(r->epoch) > GOIM_EPOCH_MAX
        || r->after > GOIM_SEQ_MAX || r->limit > GOIM_NEWEST_MAX)
    {
        return 0;
    }

    for (p = r->epoch; *p != '\0'; p++) {
        if (*p < '!' || *p > '~') {
            return 0;
        }
    }

    return 1;
}


static int
logic_read_begin(void)
{
    if (__atomic_add_fetch(&logic_reads, 1, __ATOMIC_RELAXED)
        <= LOGIC_READS)
    {
        return 0;
    }

    logic_read_over();

    return -1;
}


void
logic_read_over(void)
{
    __atomic_sub_fetch(&logic_reads, 1, __ATOMIC_RELAXED);
}


/* Redis has answered. */

static void
logic_read_page(logic_read_t *rd)
{
    size_t             n;
    uint64_t           from;
    logic_call_t      *call;
    logic_reading_t   *rg;
    logic_page_item_t  items[GOIM_NEWEST_MAX];

    rg = (logic_reading_t *) rd;
    call = rg->call;

    if (rd->status == LOGIC_READ_FAILED) {
        logic_reply_code(call, GOIM__REPLY__CODE__FAILED, rd->error);
        logic_read_end(rg);
        return;
    }

    if (rd->status == LOGIC_READ_OK && rg->page != NULL
        && rd->number + rg->page->n >= rd->head)
    {
        logic_read_again(rg);
        return;
    }

    if (logic_rpc_full(call)) {
        logic_read_later(call);
        logic_read_end(rg);
        return;
    }

    from = 0;
    n = rd->status == LOGIC_READ_OK ? logic_read_items(rg, items, &from) : 0;

    logic_read_answer(rg, items, n, from);
    logic_read_end(rg);
}


/* Redis went back: what is kept is not below its head. */

static void
logic_read_again(logic_reading_t *rg)
{
    logic_page_unref(rg->page);
    rg->page = NULL;

    if (rg->call->deadline <= svc_now()) {
        metrics_add(logic_m.late, 1);
        logic_reply_code(rg->call, GOIM__REPLY__CODE__FAILED, "too late");
        logic_read_end(rg);
        return;
    }

    rg->read.limit = rg->call->msg->read->limit;
    logic_read(&rg->read);
}


static size_t
logic_read_items(logic_reading_t *rg,
    logic_page_item_t items[GOIM_NEWEST_MAX], uint64_t *from)
{
    size_t         i;
    logic_read_t  *rd;

    rd = &rg->read;

    if (rg->page != NULL) {
        metrics_add(logic_m.page_hits, 1);

        *from = rd->number + 1;
        memcpy(items, rg->page->items,
               rg->page->n * sizeof(logic_page_item_t));

        return rg->page->n;
    }

    if (rd->limit > 0) {
        metrics_add(logic_m.page_misses, 1);
    }

    for (i = 0; i < rd->n && i < GOIM_NEWEST_MAX; i++) {
        items[i].data = (const uint8_t *) rd->items[2 * i + 1]->str;
        items[i].len = rd->items[2 * i + 1]->len;
    }

    *from = i > 0 ? (uint64_t) rd->items[0]->integer : 0;

    logic_read_keep(rg, items, i);

    return i;
}


static void
logic_read_keep(logic_reading_t *rg, const logic_page_item_t *items, size_t n)
{
    logic_read_t  *rd;

    rd = &rg->read;

    if (n == 0 || rd->want[0] == '\0' || rd->number + n >= rd->head) {
        return;
    }

    logic_pages_put(logic_pages, &(logic_page_key_t) {
        rd->room, rd->want, rd->number, rd->limit }, items, n);

    metrics_set(logic_m.page_bytes,
                (int64_t) logic_pages_bytes(logic_pages));
}


static void
logic_read_answer(logic_reading_t *rg, const logic_page_item_t *items,
    size_t n, uint64_t from)
{
    size_t         i;
    Goim__Item     item[GOIM_NEWEST_MAX], *list[GOIM_NEWEST_MAX];
    logic_read_t  *rd;

    static const Goim__Page__Status  status[] = {
        [LOGIC_READ_OK] = GOIM__PAGE__STATUS__OK,
        [LOGIC_READ_CANNOT] = GOIM__PAGE__STATUS__CANNOT,
        [LOGIC_READ_LATER] = GOIM__PAGE__STATUS__LATER,
        [LOGIC_READ_NONE] = GOIM__PAGE__STATUS__NONE
    };

    Goim__Page   page = GOIM__PAGE__INIT;
    Goim__Reply  reply = GOIM__REPLY__INIT;

    rd = &rg->read;
    page.status = status[rd->status];

    if (rd->status != LOGIC_READ_NONE) {
        page.epoch = (char *) rd->epoch;
        page.first = rd->first;
        page.head = rd->head;
    }

    for (i = 0; i < n; i++) {
        goim__item__init(&item[i]);
        item[i].seq = from + i;
        item[i].record.data = (uint8_t *) items[i].data;
        item[i].record.len = items[i].len;
        list[i] = &item[i];
    }

    page.n_items = n;
    page.items = list;

    reply.reply_case = GOIM__REPLY__REPLY_PAGE;
    reply.page = &page;

    logic_reply(rg->call, &reply);
}


/* too much at once */

static void
logic_read_later(logic_call_t *call)
{
    Goim__Page   page = GOIM__PAGE__INIT;
    Goim__Reply  reply = GOIM__REPLY__INIT;

    metrics_add(logic_m.reads_later, 1);

    page.status = GOIM__PAGE__STATUS__LATER;
    reply.reply_case = GOIM__REPLY__REPLY_PAGE;
    reply.page = &page;

    logic_reply(call, &reply);
}


static void
logic_read_end(logic_reading_t *rg)
{
    if (rg->page != NULL) {
        logic_page_unref(rg->page);
    }

    logic_read_over();
    free(rg);
}
