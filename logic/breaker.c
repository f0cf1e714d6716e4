/*
 * An application that fails one login after another is left alone for a time:
 * it may recover, and its clients are told at once. Then one login tries it.
 */

#include "breaker.h"

#include "counters.h"

#include <pthread.h>

#include "svc/clock.h"
#include "svc/log.h"


static pthread_mutex_t   logic_breaker_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t           logic_breaker_failed;      /* in a row */
static int64_t           logic_breaker_until;       /* not before, if open */
static const void       *logic_breaker_probe;       /* who tries it; or NULL */


int
logic_breaker_ask(const logic_conf_t *conf, const void *who)
{
    int  rc;

    if (conf->auth_failures == 0) {
        return 0;
    }

    rc = 0;

    pthread_mutex_lock(&logic_breaker_lock);

    if (logic_breaker_failed >= conf->auth_failures) {

        if (logic_breaker_probe != NULL || svc_now() < logic_breaker_until) {
            rc = -1;

        } else {
            logic_breaker_probe = who;
        }
    }

    pthread_mutex_unlock(&logic_breaker_lock);

    if (rc != 0) {
        metrics_add(logic_m.auth_refused, 1);
    }

    return rc;
}


void
logic_breaker_told(const logic_conf_t *conf, const void *who, int good)
{
    int  was, is;

    if (conf->auth_failures == 0) {
        return;
    }

    pthread_mutex_lock(&logic_breaker_lock);

    was = logic_breaker_failed >= conf->auth_failures;

    if (good) {
        logic_breaker_failed = 0;

    } else if (!was) {
        logic_breaker_failed++;
    }

    is = logic_breaker_failed >= conf->auth_failures;

    if (is && (!was || logic_breaker_probe == who)) {
        logic_breaker_until = svc_now() + conf->auth_pause;
    }

    if (logic_breaker_probe == who) {
        logic_breaker_probe = NULL;
    }

    if (is != was) {
        metrics_set(logic_m.auth_paused, is);
    }

    pthread_mutex_unlock(&logic_breaker_lock);

    if (is && !was) {
        log_write(LOG_ERROR, "auth: the application failed %lld times in a "
                  "row: logins are refused until it answers",
                  (long long) conf->auth_failures);

    } else if (was && !is) {
        log_write(LOG_NOTICE, "auth: the application answers again");
    }
}


void
logic_breaker_unasked(const void *who)
{
    pthread_mutex_lock(&logic_breaker_lock);

    if (logic_breaker_probe == who) {
        logic_breaker_probe = NULL;
    }

    pthread_mutex_unlock(&logic_breaker_lock);
}
