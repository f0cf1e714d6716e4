/*
 * Who says who a client is: [auth] of the configuration.
 */

#include "conf.h"
#include "jwt_keys.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "svc/conf.h"


static int logic_conf_jwt(logic_conf_t *lcf, char *err, size_t size);
static int logic_conf_algorithms(logic_conf_t *lcf, char *err, size_t size);
static int logic_conf_keys(logic_conf_t *lcf, char *err, size_t size);
static int logic_conf_pass(logic_conf_t *lcf, char *err, size_t size);


/* of logic_auth_t */
const char *const  logic_auth_names[] = { "trust", "http", "jwt", NULL };

const char *const  logic_pass_names[] = {
    "query", "Origin", "User-Agent", "Authorization", "X-Request-Id", NULL
};


int
logic_conf_auth(logic_conf_t *lcf, char *err, size_t size)
{
    int  i;

    /* no default: whichever it was, somebody would not have meant it */

    if (lcf->auth_mode[0] == '\0') {
        snprintf(err, size, "[auth] mode is missing: choose \"jwt\" (signed "
                 "tokens), \"http\" (your service decides) or \"trust\" (any "
                 "client may be anyone and enter any room, as with goim)");
        return -1;
    }

    for (i = 0; strcmp(lcf->auth_mode, logic_auth_names[i]) != 0; i++) {
        /* it is one of them */
    }

    lcf->auth = (logic_auth_t) i;

    if (lcf->auth == LOGIC_AUTH_HTTP && lcf->auth_hook.url[0] == '\0') {
        snprintf(err, size, "[auth] mode = \"http\" needs [auth] url");
        return -1;
    }

    if (logic_conf_pass(lcf, err, size) != 0) {
        return -1;
    }

    return lcf->auth == LOGIC_AUTH_JWT ? logic_conf_jwt(lcf, err, size) : 0;
}


static int
logic_conf_jwt(logic_conf_t *lcf, char *err, size_t size)
{
    if (logic_conf_algorithms(lcf, err, size) != 0
        || logic_conf_keys(lcf, err, size) != 0)
    {
        return -1;
    }

    lcf->jwt.issuer = lcf->issuer;
    lcf->jwt.audience = lcf->audience;

    lcf->jwks_hook.ca = lcf->auth_hook.ca;
    lcf->jwks_hook.timeout = lcf->auth_hook.timeout;
    lcf->jwks_hook.connections = 1;
    lcf->jwks_hook.waiting = 1;

    if (logic_conf_hook("auth", "jwks", &lcf->jwks_hook, err, size) != 0) {
        return -1;
    }

    /* who is in between could say which keys are good */

    if (lcf->jwks_hook.url[0] != '\0'
        && strncmp(lcf->jwks_hook.url, "https://", 8) != 0)
    {
        snprintf(err, size, "[auth] jwks = \"%.128s\" is not https",
                 lcf->jwks_hook.url);
        return -1;
    }

    if (lcf->secret_file[0] == '\0' && lcf->nkey_files == 0
        && lcf->jwks_hook.url[0] == '\0')
    {
        snprintf(err, size, "[auth] mode = \"jwt\" needs keys: secret_file, "
                 "keys or jwks");
        return -1;
    }

    return logic_jwt_keys_check(lcf, err, size);
}


const char *
logic_conf_word(const char **list, size_t *len)
{
    const char  *word;

    word = *list + strspn(*list, ", \t");
    *len = strcspn(word, ", \t");
    *list = word + *len;

    return *len > 0 ? word : NULL;
}


static int
logic_conf_algorithms(logic_conf_t *lcf, char *err, size_t size)
{
    int          i;
    size_t       len;
    const char  *list, *word;

    list = lcf->algorithms;

    while ((word = logic_conf_word(&list, &len)) != NULL) {

        for (i = 0; logic_alg_names[i] != NULL; i++) {
            if (strlen(logic_alg_names[i]) == len
                && strncmp(word, logic_alg_names[i], len) == 0)
            {
                lcf->jwt.algs |= 1u << i;
                break;
            }
        }

        if (logic_alg_names[i] == NULL) {
            snprintf(err, size, "[auth] algorithms = \"%.64s\" is wrong: "
                     "\"%.*s\" is none of HS256, RS256, ES256, EdDSA",
                     lcf->algorithms, (int) (len < 64 ? len : 64), word);
            conf_hint(err, size, word, len, logic_alg_names);
            return -1;
        }
    }

    if (lcf->jwt.algs == 0) {
        snprintf(err, size, "[auth] mode = \"jwt\" needs algorithms: HS256, "
                 "RS256, ES256, EdDSA");
        return -1;
    }

    return 0;
}


static int
logic_conf_keys(logic_conf_t *lcf, char *err, size_t size)
{
    size_t       len;
    const char  *list, *word;

    list = lcf->key_list;

    while ((word = logic_conf_word(&list, &len)) != NULL) {

        if (lcf->nkey_files == LOGIC_KEY_FILES) {
            snprintf(err, size, "[auth] keys = \"%.64s\" is more than %d "
                     "files", lcf->key_list, LOGIC_KEY_FILES);
            return -1;
        }

        lcf->key_files[lcf->nkey_files] = strndup(word, len);

        if (lcf->key_files[lcf->nkey_files++] == NULL) {
            snprintf(err, size, "no memory");
            return -1;
        }
    }

    return 0;
}


static int
logic_conf_pass(logic_conf_t *lcf, char *err, size_t size)
{
    size_t       i, len;
    const char  *list, *p;

    list = lcf->pass_list;

    while ((p = logic_conf_word(&list, &len)) != NULL) {

        for (i = 0; logic_pass_names[i] != NULL; i++) {
            if (strlen(logic_pass_names[i]) == len
                && strncasecmp(p, logic_pass_names[i], len) == 0)
            {
                lcf->pass |= 1u << i;
                break;
            }
        }

        if (logic_pass_names[i] == NULL) {
            snprintf(err, size, "[auth] pass = \"%.64s\" is wrong: \"%.*s\" is "
                     "none of query, Origin, User-Agent, Authorization, "
                     "X-Request-Id", lcf->pass_list,
                     (int) (len < 64 ? len : 64), p);
            conf_hint(err, size, p, len, logic_pass_names);
            return -1;
        }
    }

    return 0;
}
