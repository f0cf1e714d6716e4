
/*
 * The operations a session accepts: a sorted list; and those that it may
 * accept, as logic said.
 */


#include "ngx_goim_core.h"


typedef struct {
    ngx_uint_t  n;
    int32_t     op[1];                  /* from, to, from, to */
} ngx_goim_ops_t;


static ngx_uint_t ngx_goim_sub_place(ngx_goim_session_t *s, int32_t op);


ngx_uint_t
ngx_goim_session_accepts(ngx_goim_session_t *s, int32_t op)
{
    ngx_uint_t  i;

    i = ngx_goim_sub_place(s, op);

    return i < s->naccepts && s->accepts[i] == op;
}


/* where op is, or would be */

static ngx_uint_t
ngx_goim_sub_place(ngx_goim_session_t *s, int32_t op)
{
    ngx_uint_t  low, high, middle;

    low = 0;
    high = s->naccepts;

    while (low < high) {
        middle = (low + high) / 2;

        if (s->accepts[middle] < op) {
            low = middle + 1;

        } else {
            high = middle;
        }
    }

    return low;
}


ngx_int_t
ngx_goim_sub_add(ngx_goim_session_t *s, int32_t op)
{
    int32_t     *accepts;
    ngx_uint_t   i;

    i = ngx_goim_sub_place(s, op);

    if (i < s->naccepts && s->accepts[i] == op) {
        return NGX_OK;
    }

    if (s->naccepts == GOIM_ACCEPTS_MAX) {
        return NGX_DECLINED;
    }

    accepts = ngx_alloc((s->naccepts + 1) * sizeof(int32_t), ngx_cycle->log);
    if (accepts == NULL) {
        return NGX_ERROR;
    }

    if (s->accepts) {
        ngx_memcpy(accepts, s->accepts, i * sizeof(int32_t));
        ngx_memcpy(accepts + i + 1, s->accepts + i,
                   (s->naccepts - i) * sizeof(int32_t));
        ngx_free(s->accepts);
    }

    accepts[i] = op;
    s->accepts = accepts;
    s->naccepts++;

    return NGX_OK;
}


void
ngx_goim_sub_remove(ngx_goim_session_t *s, int32_t op)
{
    ngx_uint_t  i;

    i = ngx_goim_sub_place(s, op);

    if (i < s->naccepts && s->accepts[i] == op) {
        s->naccepts--;
        ngx_memmove(s->accepts + i, s->accepts + i + 1,
                    (s->naccepts - i) * sizeof(int32_t));
    }
}


ngx_uint_t
ngx_goim_sub_new(ngx_goim_session_t *s, const int32_t *ops, ngx_uint_t n)
{
    ngx_uint_t  i, j, count;

    count = 0;

    for (i = 0; i < n; i++) {

        for (j = 0; j < i && ops[j] != ops[i]; j++) { /* void */ }

        count += j == i && !ngx_goim_session_accepts(s, ops[i]);
    }

    return count;
}


/* NGX_ERROR: no memory */

ngx_int_t
ngx_goim_sub_limit(ngx_goim_session_t *s, const Goim__Connected *in)
{
    ngx_goim_ops_t  *ops;

    ops = NULL;

    if (in->ops_limited) {
        ops = ngx_alloc(sizeof(ngx_goim_ops_t) + in->n_ops * sizeof(int32_t),
                        ngx_cycle->log);
        if (ops == NULL) {
            return NGX_ERROR;
        }

        ops->n = in->n_ops;

        if (in->n_ops) {
            ngx_memcpy(ops->op, in->ops, in->n_ops * sizeof(int32_t));
        }
    }

    if (s->ops) {
        ngx_free(s->ops);
    }

    s->ops = ops;

    return NGX_OK;
}


ngx_uint_t
ngx_goim_sub_allowed(ngx_goim_session_t *s, int32_t op)
{
    ngx_uint_t       i;
    ngx_goim_ops_t  *ops;

    ops = s->ops;

    if (ops == NULL) {
        return 1;
    }

    for (i = 0; i + 1 < ops->n; i += 2) {
        if (op >= ops->op[i] && op <= ops->op[i + 1]) {
            return 1;
        }
    }

    return 0;
}
