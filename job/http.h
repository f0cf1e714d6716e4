/*
 * For operators: /metrics and /health (http.c).
 */

#ifndef JOB_HTTP_H
#define JOB_HTTP_H

#include "job.h"

/* "" for none, else host:port */
int job_http_check(const char *addr, char *err, size_t size);

int job_http_start(job_t *job, char *err, size_t size);
void job_http_stop(job_t *job);

#endif
