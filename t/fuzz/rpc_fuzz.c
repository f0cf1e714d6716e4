/* LINK: common/goim_rpc.c proto/goim.pb-c.c */

/*
 * What comes over a link between comet and logic: frames, and the messages
 * in them. A message that unpacks packs again.
 */

#include <stdlib.h>

#include "common/goim_rpc.h"
#include "proto/goim.pb-c.h"


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void           *out;
    size_t          n, used;
    Goim__Call     *call;
    Goim__Reply    *reply;
    const uint8_t  *frame;

    while (goim_rpc_parse(data, size, GOIM_RPC_MAX, &frame, &n, &used) == GOIM_RPC_OK) {

        if (used > size || frame + n != data + used) {
            abort();
        }

        call = goim__call__unpack(NULL, n, frame);

        if (call != NULL) {
            out = malloc(goim__call__get_packed_size(call) + 1);
            goim__call__pack(call, out);
            free(out);
            goim__call__free_unpacked(call, NULL);
        }

        reply = goim__reply__unpack(NULL, n, frame);

        if (reply != NULL) {
            out = malloc(goim__reply__get_packed_size(reply) + 1);
            goim__reply__pack(reply, out);
            free(out);
            goim__reply__free_unpacked(reply, NULL);
        }

        data += used;
        size -= used;
    }

    return 0;
}
