/* LINK: logic/send_line.c logic/token.c logic/grants.c common/goim_json.c */
/* LINK: svc/history.c svc/conf.c svc/conf_value.c svc/log.c */

/*
 * What a client sends: its first line. What is taken is within the bounds that
 * are promised, and the payload is what stands behind the line.
 */

#include <stdlib.h>
#include <string.h>

#include "logic/send_line.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static void
judge(const logic_send_line_t *line, const char *data, size_t size)
{
    size_t  i;

    if (line->payload <= data || line->payload[-1] != '\n'
        || line->payload + line->len != data + size
        || memchr(data, '\n', (size_t) (line->payload - 1 - data)) != NULL)
    {
        abort();
    }

    if ((line->room_len == 0) == (line->nmids == 0)
        || line->room_len > GOIM_ROOM_MAX
        || strlen(line->room) != line->room_len
        || line->nmids > LOGIC_SEND_MIDS
        || strlen(line->id) > HISTORY_ID_MAX
        || (line->operation >= 0 && line->operation <= 23))
    {
        abort();
    }

    for (i = 0; i < line->nmids; i++) {
        if (line->mids[i] <= 0) {
            abort();
        }
    }
}


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int                 rc;
    char               *copy;
    const char         *reason;
    logic_send_line_t  *line;

    /* copies of their size, so that a byte too far is seen */

    copy = malloc(size > 0 ? size : 1);
    line = malloc(sizeof(logic_send_line_t));

    if (copy == NULL || line == NULL) {
        abort();
    }

    memcpy(copy, data, size);
    reason = NULL;
    rc = logic_send_line(copy, size, line, &reason);

    if (rc == 0) {
        judge(line, copy, size);

    } else if (reason == NULL) {
        abort();
    }

    free(line);
    free(copy);

    return 0;
}
