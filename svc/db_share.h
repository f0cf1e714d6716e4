/*
 * Whether a file of SQLite can be shared (db_share.c).
 */

#ifndef SVC_DB_SHARE_H
#define SVC_DB_SHARE_H

#include <stddef.h>

/* An absolute path. 0, or -1: this process can't, or should not, and why. */
int db_share(const char *path, char *why, size_t size);

#endif
