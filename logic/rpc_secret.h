/*
 * The secret of nodes (rpc_secret.c).
 */

#ifndef LOGIC_RPC_SECRET_H
#define LOGIC_RPC_SECRET_H

#include "logic.h"

/* Of a configuration: -1 with a message. */
int logic_rpc_secret_check(const logic_conf_t *lcf, char *err, size_t size);

/* Of a Hello: NULL when it may go on, else why not. */
const char *logic_rpc_secret_wrong(const logic_conf_t *lcf,
    const uint8_t *secret, size_t len);

#endif
