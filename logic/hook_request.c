/*
 * What a request to the application is made of.
 */

#include "hook_int.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>


int
logic_job_url(logic_job_t *job, const char *query)
{
    size_t       n;
    const char  *url;

    url = job->hook->conf->url;
    n = strlen(url) + strlen(query) + 2;

    job->url = malloc(n);
    if (job->url == NULL) {
        return -1;
    }

    snprintf(job->url, n, "%s%s%s", url,
             query[0] == '\0' ? "" : strchr(url, '?') != NULL ? "&" : "?",
             query);

    return 0;
}


int
logic_job_header(logic_job_t *job, const char *const *header)
{
    int                   rc;
    char                 *line;
    const unsigned char  *p;

    /* nobody is asked whether he wants the body */

    if (logic_header_append(&job->header, "Expect:") != 0) {
        return -1;
    }

    for ( /* void */ ; header[0] != NULL; header += 2) {

        p = (const unsigned char *) header[1];

        while (*p == '\t' || (*p >= ' ' && *p != 0x7f)) {
            p++;
        }

        if (*p != '\0' || header[1][0] == '\0') {
            continue;
        }

        if (asprintf(&line, "%s: %s", header[0], header[1]) == -1) {
            return -1;
        }

        rc = logic_header_append(&job->header, line);
        free(line);

        if (rc != 0) {
            return -1;
        }
    }

    return 0;
}


int
logic_header_append(struct curl_slist **list, const char *line)
{
    struct curl_slist  *longer;

    longer = curl_slist_append(*list, line);
    if (longer == NULL) {
        return -1;
    }

    *list = longer;

    return 0;
}


void
logic_job_free(logic_job_t *job)
{
    if (job->timer != NULL) {
        event_free(job->timer);
    }

    curl_slist_free_all(job->header);
    curl_slist_free_all(job->resolve);
    free(job->url);
    free(job->body);
    free(job->answer);
    free(job);
}


size_t
logic_hook_escape(char *out, const void *data, size_t len)
{
    char           *p;
    size_t          i;
    const uint8_t  *s;

    static const char  hex[] = "0123456789ABCDEF";

    p = out;
    s = data;

    for (i = 0; i < len; i++) {

        if ((s[i] >= '0' && s[i] <= '9')
            || ((s[i] | 0x20) >= 'a' && (s[i] | 0x20) <= 'z')
            || s[i] == '-' || s[i] == '.' || s[i] == '_' || s[i] == '~')
        {
            *p++ = (char) s[i];
            continue;
        }

        *p++ = '%';
        *p++ = hex[s[i] >> 4];
        *p++ = hex[s[i] & 15];
    }

    return (size_t) (p - out);
}
