
/*
 * Canaries: each logic sends them through everything that a push goes through,
 * to each worker of the newest generation, which answers that logic.  So logic
 * knows that pushes get through, and the node that its workers follow.
 */


#include "ngx_goim_core.h"


typedef struct {
    u_char                  logic[GOIM_CANARY_ID + 1];
    Goim__Canary            canary;
} ngx_goim_canary_t;


static ngx_int_t ngx_goim_canary_init(void);
static ngx_uint_t ngx_goim_canary_stranger(u_char *id);
static void ngx_goim_canary_tell(ngx_uint_t peer);
static void ngx_goim_canary_told(void *data, const Goim__Reply *reply);


/* what came and is to be told */
static ngx_goim_canary_t   ngx_goim_canaries[GOIM_CANARIES];
static ngx_uint_t          ngx_goim_canary_n;

/* who answered last at each logic of the configuration */
static u_char            (*ngx_goim_canary_ids)[GOIM_CANARY_ID + 1];


/* ---- into the ring ---- */

ngx_int_t
ngx_goim_canary_valid(Goim__Record *r)
{
    size_t  len;

    len = ngx_strlen(r->canary->logic);

    return r->kind == GOIM__RECORD__KIND__KEYS && r->n_keys == 0
           && len > 0 && len <= GOIM_CANARY_ID ? NGX_OK : NGX_ERROR;
}


static uint64_t
ngx_goim_canary_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}


/*
 * A worker that has one already goes on owing it.  Fields that are not known
 * here would make it longer than NGX_GOIM_CANARY, and no worker knows them
 * either.
 */

u_char *
ngx_goim_canary_put(u_char *p, const Goim__Canary *canary, uint64_t *mask)
{
    size_t            len;
    ngx_uint_t        i;
    Goim__Canary      known;
    ngx_goim_slot_t  *slot;

    for (i = 0; i < ngx_goim_zone->nslots; i++) {
        slot = &ngx_goim_zone->slots[i];

        if (slot->pid && slot->generation == ngx_goim_zone->generation) {
            (void) ngx_atomic_cmp_set(&slot->canary, 0, ngx_current_msec);
            mask[i / 64] |= (uint64_t) 1 << i % 64;
        }
    }

    known = *canary;
    known.base.n_unknown_fields = 0;
    known.read = ngx_goim_canary_now();

    len = goim__canary__get_packed_size(&known);

    *p++ = (u_char) (len >> 8);
    *p++ = (u_char) len;

    return p + goim__canary__pack(&known, p);
}


/* ---- out of it, and back to logic ---- */

static ngx_int_t
ngx_goim_canary_init(void)
{
    if (ngx_goim_canary_ids == NULL) {
        ngx_goim_canary_ids = ngx_pcalloc(ngx_cycle->pool,
                                          (ngx_goim_conf->logic.nelts + 1)
                                          * sizeof(*ngx_goim_canary_ids));
    }

    return ngx_goim_canary_ids ? NGX_OK : NGX_ERROR;
}


void
ngx_goim_canary_came(ngx_str_t *packed)
{
    Goim__Canary       *canary;
    ngx_goim_canary_t  *c;

    ngx_goim_slot->canary = 0;

    if (ngx_goim_canary_n == GOIM_CANARIES) {
        return;
    }

    canary = goim__canary__unpack(NULL, packed->len, packed->data);
    if (canary == NULL) {
        return;
    }

    c = &ngx_goim_canaries[ngx_goim_canary_n++];

    (void) ngx_cpystrn(c->logic, (u_char *) canary->logic, sizeof(c->logic));

    goim__canary__init(&c->canary);

    c->canary.logic = (char *) c->logic;
    c->canary.sent = canary->sent;
    c->canary.clock = canary->clock;
    c->canary.taken = canary->taken;
    c->canary.appended = canary->appended;
    c->canary.read = canary->read;
    c->canary.came = ngx_goim_canary_now();

    goim__canary__free_unpacked(canary, NULL);
}


/*
 * Each to the logic that sent it.  Which one of the configuration that is,
 * answers tell: as long as nobody has answered to that id, all are asked.
 */

void
ngx_goim_canary_report(void)
{
    ngx_uint_t  i;

    if (ngx_goim_canary_n == 0 || ngx_goim_canary_init() != NGX_OK) {
        return;
    }

    for (i = 0; i < ngx_goim_conf->logic.nelts; i++) {
        ngx_goim_canary_tell(i);
    }

    ngx_goim_canary_n = 0;
}


static ngx_uint_t
ngx_goim_canary_stranger(u_char *id)
{
    ngx_uint_t  i;

    for (i = 0; i < ngx_goim_conf->logic.nelts; i++) {
        if (ngx_strcmp(ngx_goim_canary_ids[i], id) == 0) {
            return 0;
        }
    }

    return 1;
}


static void
ngx_goim_canary_tell(ngx_uint_t peer)
{
    ngx_uint_t       i;
    Goim__Call       call;
    Goim__Canaries   canaries;
    Goim__Canary    *list[GOIM_CANARIES];

    goim__call__init(&call);
    goim__canaries__init(&canaries);

    call.call_case = GOIM__CALL__CALL_CANARIES;
    call.canaries = &canaries;

    canaries.server = (char *) ngx_goim_conf->server_id.data;
    canaries.zone = (char *) ngx_goim_zone->id;
    canaries.canaries = list;

    for (i = 0; i < ngx_goim_canary_n; i++) {

        if (ngx_strcmp(ngx_goim_canary_ids[peer], ngx_goim_canaries[i].logic)
            == 0
            || ngx_goim_canary_stranger(ngx_goim_canaries[i].logic))
        {
            list[canaries.n_canaries++] = &ngx_goim_canaries[i].canary;
        }
    }

    if (canaries.n_canaries) {
        (void) ngx_goim_logic_call(&call, &peer, ngx_goim_canary_told,
                                   ngx_goim_canary_ids[peer]);
    }
}


static void
ngx_goim_canary_told(void *data, const Goim__Reply *reply)
{
    u_char  *id = data;

    if (reply && reply->reply_case == GOIM__REPLY__REPLY_CANARIED) {
        (void) ngx_cpystrn(id, (u_char *) reply->canaried->logic,
                           GOIM_CANARY_ID + 1);
    }
}


/* ---- what the node knows of itself ---- */

/*
 * The last hop first: a worker that does not follow holds up the reader.  A
 * worker that leaves is none of the newest, or the node goes down.
 */

const char *
ngx_goim_canary_unready(void)
{
    ngx_uint_t        i;
    ngx_msec_t        at;
    ngx_goim_slot_t  *slot;

    for (i = 0; i < ngx_goim_zone->nslots; i++) {
        slot = &ngx_goim_zone->slots[i];
        at = slot->canary;

        if (slot->pid && !slot->leaving && at
            && slot->generation == ngx_goim_zone->generation
            && (ngx_msec_int_t) (ngx_current_msec - at) > GOIM_CANARY_LATE)
        {
            return "ring";
        }
    }

    at = ngx_goim_zone->lease.answered;

    if (at == 0
        || (ngx_msec_int_t) (ngx_current_msec - at) > GOIM_CANARY_LATE)
    {
        return "stream";
    }

    return ngx_goim_registered() ? "" : "rpc";
}
