
/*
 * Which run of nginx this is, told to logic with each registration:
 *
 *     <host>/<machine>.<boot>.<pid namespace>/<master's pid>/<random>
 *
 * The random part stays through reloads and is handed on in a binary upgrade:
 * who has the same is the same instance.  The rest lets a successor on the
 * same machine find out that the instance it finds registered is dead.
 */


#include "ngx_goim_core.h"


#define NGX_GOIM_INSTANCE_ENV   "NGX_GOIM_INSTANCE"
#define NGX_GOIM_MACHINE_ID     32
#define NGX_GOIM_BOOT_ID        36


static ngx_int_t ngx_goim_instance_random(ngx_log_t *log);
static void ngx_goim_instance_file(const char *name, u_char *buf, size_t len);
static const u_char *ngx_goim_instance_part(const u_char **pos, u_char end,
    size_t *len);


/* kept by the master through reloads */

static u_char  ngx_goim_instance_id[2 * 8 + 1];

/* the worker's: <host>/<machine>.<boot>.<pid namespace>/<pid>/<random> */

static u_char  ngx_goim_instance_text[NGX_MAXHOSTNAMELEN + 160];
static pid_t   ngx_goim_instance_master;


ngx_int_t
ngx_goim_instance_init(ngx_cycle_t *cycle)
{
    size_t            len;
    u_char           *p;
    char             *inherited, *last;
    ngx_str_t        *env;
    ngx_core_conf_t  *ccf;

    if (ngx_goim_instance_id[0] == '\0') {
        inherited = getenv(NGX_GOIM_INSTANCE_ENV);
        last = inherited ? strrchr(inherited, '/') : NULL;

        if (last) {
            inherited = last + 1;
        }

        if (inherited
            && ngx_strlen(inherited) == sizeof(ngx_goim_instance_id) - 1)
        {
            ngx_cpystrn(ngx_goim_instance_id, (u_char *) inherited,
                        sizeof(ngx_goim_instance_id));

        } else if (ngx_goim_instance_random(cycle->log) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    /* as if by env NGX_GOIM_INSTANCE=... */

    len = sizeof(NGX_GOIM_INSTANCE_ENV "=") + sizeof(ngx_goim_instance_id);

    p = ngx_pnalloc(cycle->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(p, NGX_GOIM_INSTANCE_ENV "=%s%Z", ngx_goim_instance_id);

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    env = ngx_array_push(&ccf->env);
    if (env == NULL) {
        return NGX_ERROR;
    }

    env->data = p;
    env->len = sizeof(NGX_GOIM_INSTANCE_ENV) - 1;

    return NGX_OK;
}


static ngx_int_t
ngx_goim_instance_random(ngx_log_t *log)
{
    ssize_t   n;
    u_char    random[8];
    ngx_fd_t  fd;

    fd = ngx_open_file("/dev/urandom", NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    n = NGX_FILE_ERROR;

    if (fd != NGX_INVALID_FILE) {
        n = ngx_read_fd(fd, random, sizeof(random));
        (void) ngx_close_file(fd);
    }

    if (n != (ssize_t) sizeof(random)) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "goim: no random bytes in /dev/urandom");
        return NGX_ERROR;
    }

    *ngx_hex_dump(ngx_goim_instance_id, random, sizeof(random)) = '\0';

    return NGX_OK;
}


/* zeros: not known */

static void
ngx_goim_instance_file(const char *name, u_char *buf, size_t len)
{
    size_t    i;
    ssize_t   n;
    ngx_fd_t  fd;

    fd = ngx_open_file(name, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    n = NGX_FILE_ERROR;

    if (fd != NGX_INVALID_FILE) {
        n = ngx_read_fd(fd, buf, len);
        (void) ngx_close_file(fd);
    }

    for (i = 0; i < len && n == (ssize_t) len; i++) {
        if (!(buf[i] >= '0' && buf[i] <= '9')
            && !(buf[i] >= 'a' && buf[i] <= 'f') && buf[i] != '-')
        {
            n = NGX_FILE_ERROR;
        }
    }

    if (n != (ssize_t) len) {
        ngx_memset(buf, '0', len);
    }

    buf[len] = '\0';
}


/* A worker starts: only now the master has the pid that it keeps. */

void
ngx_goim_instance_start(ngx_cycle_t *cycle)
{
    struct stat  ns;
    u_char       machine[NGX_GOIM_MACHINE_ID + 1], boot[NGX_GOIM_BOOT_ID + 1];

    ngx_goim_instance_file("/etc/machine-id", machine, NGX_GOIM_MACHINE_ID);
    ngx_goim_instance_file("/proc/sys/kernel/random/boot_id", boot,
                           NGX_GOIM_BOOT_ID);

    if (stat("/proc/self/ns/pid", &ns) == -1) {
        ns.st_ino = 0;
    }

    ngx_goim_instance_master = (ngx_process == NGX_PROCESS_SINGLE)
                               ? ngx_pid : getppid();

    ngx_snprintf(ngx_goim_instance_text, sizeof(ngx_goim_instance_text),
                 "%V/%s.%s.%uL/%P/%s%Z", &cycle->hostname, machine, boot,
                 (uint64_t) ns.st_ino, ngx_goim_instance_master,
                 ngx_goim_instance_id);
}


u_char *
ngx_goim_instance(void)
{
    return ngx_goim_instance_text;
}


/* The master was killed: nobody tells these workers when to stop. */

ngx_uint_t
ngx_goim_instance_orphan(void)
{
    return ngx_process == NGX_PROCESS_WORKER
           && getppid() != ngx_goim_instance_master;
}


/* The text up to `end`; pos moves behind it. */

static const u_char *
ngx_goim_instance_part(const u_char **pos, u_char end, size_t *len)
{
    const u_char  *p, *start;

    start = *pos;

    for (p = start; *p != '\0' && *p != end; p++) { /* void */ }

    *len = p - start;
    *pos = *p ? p + 1 : p;

    return start;
}


/*
 * Whether the instance is surely dead: of this machine before its last boot,
 * or with a master that is no more, seen from the same pid namespace.  What
 * can't be told, is not.
 */

ngx_uint_t
ngx_goim_instance_dead(const char *holder)
{
    size_t         i, len, mine_len;
    ngx_int_t      pid;
    ngx_uint_t     same[4], known[4];
    const u_char  *p, *mine, *part, *own;

    static const u_char  ends[] = { '/', '.', '.', '/' };

    p = (const u_char *) holder;
    mine = ngx_goim_instance_text;

    /* host, machine, boot, pid namespace */

    for (i = 0; i < 4; i++) {
        part = ngx_goim_instance_part(&p, ends[i], &len);
        own = ngx_goim_instance_part(&mine, ends[i], &mine_len);

        if (len == 0) {
            return 0;
        }

        same[i] = len == mine_len && ngx_memcmp(part, own, len) == 0;
        known[i] = strspn((const char *) part, "0-") < len
                   && strspn((const char *) own, "0-") < mine_len;
    }

    if (!same[0] || !same[1] || !known[2]) {
        return 0;
    }

    if (!same[2]) {
        return known[1];
    }

    part = ngx_goim_instance_part(&p, '/', &len);
    pid = ngx_atoi((u_char *) part, len);

    return same[3] && known[3] && pid > 0
           && ngx_goim_process_dead((ngx_pid_t) pid);
}
