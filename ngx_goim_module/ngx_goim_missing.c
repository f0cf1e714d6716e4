
/*
 * Keys that were pushed to here and are not here, told to logic once a second,
 * so that what logic has stored for them goes away.  What cannot be told is
 * forgotten: the next push to such a key tells it again.
 */


#include "ngx_goim_core.h"


#define NGX_GOIM_MISSING_MAX    1000        /* keys a call */
#define NGX_GOIM_MISSING_EVERY  1000        /* ms */


static ngx_pool_t           *ngx_goim_missing_pool;     /* NULL: no keys */
static ProtobufCBinaryData  *ngx_goim_missing_keys;
static ngx_uint_t            ngx_goim_missing_n;
static ngx_msec_t            ngx_goim_missing_since;


static ngx_int_t ngx_goim_missing_add(ngx_str_t *key);
static void ngx_goim_missing_told(void *data, const Goim__Reply *reply);


void
ngx_goim_missing(ngx_str_t *key)
{
    ngx_goim_count(key_missing, 1);

    if (ngx_goim_missing_add(key) != NGX_OK) {
        ngx_goim_count(missing_untold, 1);
    }
}


static ngx_int_t
ngx_goim_missing_add(ngx_str_t *key)
{
    ngx_uint_t            i;
    ngx_pool_t           *pool;
    ProtobufCBinaryData  *keys;

    keys = ngx_goim_missing_keys;

    for (i = 0; i < ngx_goim_missing_n; i++) {

        if (keys[i].len == key->len
            && ngx_memcmp(keys[i].data, key->data, key->len) == 0)
        {
            return NGX_OK;
        }
    }

    if (ngx_goim_missing_n == NGX_GOIM_MISSING_MAX
        || key->len > GOIM_KEY_MAX)
    {
        return NGX_DECLINED;
    }

    pool = ngx_goim_missing_pool;

    if (pool == NULL) {
        pool = ngx_create_pool(NGX_DEFAULT_POOL_SIZE, ngx_cycle->log);
        if (pool == NULL) {
            return NGX_ERROR;
        }

        keys = ngx_palloc(pool, NGX_GOIM_MISSING_MAX
                                * sizeof(ProtobufCBinaryData));
        if (keys == NULL) {
            ngx_destroy_pool(pool);
            return NGX_ERROR;
        }

        ngx_goim_missing_pool = pool;
        ngx_goim_missing_keys = keys;
        ngx_goim_missing_since = ngx_current_msec;
    }

    keys[i].len = key->len;
    keys[i].data = ngx_pnalloc(pool, key->len);

    if (keys[i].data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(keys[i].data, key->data, key->len);
    ngx_goim_missing_n++;

    return NGX_OK;
}


void
ngx_goim_missing_report(void)
{
    ngx_uint_t     peer;
    Goim__Call     call;
    Goim__Missing  missing;

    if (ngx_goim_missing_pool == NULL
        || ngx_current_msec - ngx_goim_missing_since < NGX_GOIM_MISSING_EVERY)
    {
        return;
    }

    goim__call__init(&call);
    goim__missing__init(&missing);

    call.call_case = GOIM__CALL__CALL_MISSING;
    call.missing = &missing;

    missing.server = (char *) ngx_goim_conf->server_id.data;
    missing.zone = (char *) ngx_goim_zone->id;
    missing.keys = ngx_goim_missing_keys;
    missing.n_keys = ngx_goim_missing_n;

    peer = NGX_GOIM_LOGIC_ANY;

    if (ngx_goim_logic_call(&call, &peer, ngx_goim_missing_told,
                            (void *) (uintptr_t) ngx_goim_missing_n)
        == NULL)
    {
        ngx_goim_count(missing_untold, ngx_goim_missing_n);
    }

    ngx_destroy_pool(ngx_goim_missing_pool);

    ngx_goim_missing_pool = NULL;
    ngx_goim_missing_n = 0;
}


static void
ngx_goim_missing_told(void *data, const Goim__Reply *reply)
{
    if (reply == NULL || reply->code != GOIM__REPLY__CODE__OK) {
        ngx_goim_count(missing_untold, (uintptr_t) data);
    }
}
