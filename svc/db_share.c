/*
 * SQLite: whether logic and job can share a file. Both read it and write it, and
 * two more beside it, "-wal" and "-shm", the latter as memory that they share: what
 * another user has, or another machine, is of no use.
 */

#include "db_share.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>


static const char *
db_share_user(uid_t uid, char name[64])
{
    char            buf[1024];
    struct passwd   pw, *found;

    if (getpwuid_r(uid, &pw, buf, sizeof(buf), &found) != 0 || found == NULL) {
        snprintf(name, 64, "%u", (unsigned) uid);

    } else {
        snprintf(name, 64, "%s", pw.pw_name);
    }

    return name;
}


/* 0: this process may do that, or it is not there. */

static int
db_share_may(const char *path, int mode, const char *what, char *why,
    size_t size)
{
    char         owner[64], me[64];
    struct stat  st;

    if (faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0) {
        return 0;
    }

    if (errno == ENOENT) {
        return 0;
    }

    if (errno != EACCES || stat(path, &st) != 0) {
        snprintf(why, size, "%s \"%s\": %s", what, path, strerror(errno));
        return -1;
    }

    snprintf(why, size, "%s \"%s\" is of user %s with mode %03o, and this is "
             "user %s: logic and job need one user", what, path,
             db_share_user(st.st_uid, owner), (unsigned) st.st_mode & 0777,
             db_share_user(geteuid(), me));

    return -1;
}


/* Where no memory is shared between machines, and perhaps not within one. */

static const char *
db_share_network(const char *folder)
{
    size_t         i;
    struct statfs  fs;

    static const struct {
        unsigned long  type;
        const char    *name;
    } types[] = {
        { 0x6969, "NFS" }, { 0x517b, "SMB" }, { 0xff534d42, "CIFS" },
        { 0xfe534d42, "SMB" }, { 0x00c36400, "Ceph" }, { 0x5346414f, "AFS" },
        { 0x01021997, "9P" }, { 0x7461636f, "OCFS2" }, { 0x01161970, "GFS2" },
        { 0x0bd00bd0, "Lustre" }
    };

    if (statfs(folder, &fs) != 0) {
        return NULL;
    }

    for (i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if ((unsigned long) fs.f_type == types[i].type
            || ((unsigned long) fs.f_type & 0xffffffff) == types[i].type)
        {
            return types[i].name;
        }
    }

    return NULL;
}


int
db_share(const char *path, char *why, size_t size)
{
    int          rc;
    char        *folder, *beside;
    size_t       i;
    const char  *network;

    static const char *const  ends[] = { "", "-wal", "-shm" };

    folder = strndup(path, (size_t) (strrchr(path, '/') - path) + 1);
    beside = malloc(strlen(path) + 8);

    if (folder == NULL || beside == NULL) {
        abort();
    }

    rc = 0;

    if (access(folder, F_OK) != 0 && errno == ENOENT) {
        snprintf(why, size, "there is no folder \"%s\"", folder);
        rc = -1;
    }

    for (i = 0; rc == 0 && i < sizeof(ends) / sizeof(ends[0]); i++) {
        sprintf(beside, "%s%s", path, ends[i]);
        rc = db_share_may(beside, R_OK | W_OK, "the file", why, size);
    }

    if (rc == 0) {
        rc = db_share_may(folder, W_OK | X_OK, "the folder", why, size);
    }

    network = rc == 0 ? db_share_network(folder) : NULL;

    if (network != NULL) {
        snprintf(why, size, "\"%s\" is on %s, where SQLite has no memory that "
                 "processes share: it is for a disk of this machine", folder,
                 network);
        rc = -1;
    }

    free(folder);
    free(beside);

    return rc;
}
