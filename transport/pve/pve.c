#include "transport/pve/pve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/log.h"
#include "transport/pve/pve_internal.h"

#define DEFAULT_PORT 8006

/* pvedaemon has 3 workers, each for one call at a time. */
#define DEFAULT_CALLS 3

/* pveproxy gives up on a call after 30 s; a 401 and a busy worker come on top. */
#define DEFAULT_CALL_TIMEOUT_MS 60000

#define DEFAULT_CONNECT_TIMEOUT_MS 10000

/* ---- options ---- */

/* What goes into a header must not end its line, nor be split. */
static bool is_header_text(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || *text == 0x7F)
            return false;
    return true;
}

static int copy(char **ret, const char *text, pq_error *err)
{
    if (text == NULL)
        return 0;
    *ret = strdup(text);
    return *ret != NULL ? 0 : pq_fail(err, PQ_E_NOMEM, "out of memory");
}

static int join(char **ret, pq_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int join(char **ret, pq_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vasprintf(ret, format, args);
    va_end(args);
    if (length >= 0)
        return 0;
    *ret = NULL;
    return pq_fail(err, PQ_E_NOMEM, "out of memory");
}

/* USER@REALM for a password, USER@REALM!TOKENID for a token. */
static int set_user(pq_pve *pve, const pq_pve_options *options, bool *ret_token, pq_error *err)
{
    const char *user = options->user;
    const char *token_id = options->token_id;
    if (user == NULL || user[0] == '\0')
        return pq_fail(err, PQ_E_CONFIG, "no API user was given");
    bool in_user = strchr(user, '!') != NULL;
    if (strchr(user, '@') == NULL || !is_header_text(user))
        return pq_fail(err, PQ_E_CONFIG, "the API user must have the form USER@REALM");
    if (token_id != NULL && (token_id[0] == '\0' || !is_header_text(token_id)))
        return pq_fail(err, PQ_E_CONFIG, "the API token's id is not valid");
    if (in_user && token_id != NULL)
        return pq_fail(err, PQ_E_CONFIG, "two API token ids were given, one with the user");
    *ret_token = in_user || token_id != NULL;
    if (token_id != NULL)
        return join(&pve->strings.user, err, "%s!%s", user, token_id);
    return copy(&pve->strings.user, user, err);
}

static int set_login(pq_pve *pve, const pq_pve_options *options, pq_ms timeout, pq_error *err)
{
    bool is_token = false;
    if (set_user(pve, options, &is_token, err) < 0)
        return -1;
    const pq_secret *secret = is_token ? options->token_secret : options->password;
    if (!pq_secret_is_set(secret))
        return pq_fail(err, PQ_E_CONFIG, "no %s was given",
                       is_token ? "API token secret" : "password or API token");
    if (is_token && !is_header_text(pq_secret_text(secret)))
        return pq_fail(err, PQ_E_CONFIG, "the API token's secret has blanks or control characters");
    return pq_auth_init(&pve->auth, pve->loop, pve->pool, pve->strings.authority, pve->strings.user,
                        is_token, secret, options->otp, timeout, err);
}

static int set_strings(pq_pve *pve, const pq_pve_options *options, uint16_t port, pq_error *err)
{
    pq_pve_strings *strings = &pve->strings;
    const char *host = options->host;
    if (host == NULL || host[0] == '\0' || !is_header_text(host))
        return pq_fail(err, PQ_E_CONFIG, "no host was given, or one that is not valid");
    bool ipv6 = strchr(host, ':') != NULL;
    if (copy(&strings->host, host, err) < 0 || copy(&strings->ca_file, options->ca_file, err) < 0 ||
        copy(&strings->fingerprint, options->fingerprint, err) < 0 ||
        copy(&strings->tls_min, options->tls_min, err) < 0 ||
        copy(&strings->proxy, options->proxy, err) < 0)
        return -1;
    return join(&strings->authority, err, ipv6 ? "[%s]:%u" : "%s:%u", host, port);
}

static int set_stream(pq_pve *pve, const pq_pve_options *options, pq_error *err)
{
    uint16_t port = options->port != 0 ? options->port : DEFAULT_PORT;
    const pq_secret *proxy_userpwd = options->proxy_userpwd;
    if (set_strings(pve, options, port, err) < 0)
        return -1;
    if (pq_secret_is_set(proxy_userpwd) &&
        pq_secret_set(&pve->proxy_userpwd, proxy_userpwd->text, proxy_userpwd->length, err) < 0)
        return -1;
    pve->stream = (pq_stream_options){
        .host = pve->strings.host,
        .port = port,
        .tls = true,
        .verify = options->validate_certs,
        .ca_file = pve->strings.ca_file,
        .fingerprint = pve->strings.fingerprint,
        .tls_min = pve->strings.tls_min,
        .proxy = pve->strings.proxy,
        .proxy_userpwd = pq_secret_is_set(&pve->proxy_userpwd) ? &pve->proxy_userpwd : NULL,
        .connect_timeout =
            options->connect_timeout > 0 ? options->connect_timeout : DEFAULT_CONNECT_TIMEOUT_MS,
    };
    return 0;
}

/* Once in a process: a playbook has hundreds of endpoints' worth of calls. */
static void warn_of_no_checks(const pq_pve *pve)
{
    static bool warned;
    if (warned || pve->stream.verify || pve->stream.fingerprint != NULL)
        return;
    warned = true;
    pq_log(PQ_LOG_WARNING,
           "certificate checks are off: whoever answers at %s gets the credentials; "
           "pin the node's certificate with --fingerprint instead",
           pve->strings.authority);
}

/* ---- the endpoint ---- */

static int init(pq_pve *pve, const pq_pve_options *options, pq_error *err)
{
    pq_ms timeout = options->call_timeout > 0 ? options->call_timeout : DEFAULT_CALL_TIMEOUT_MS;
    pve->calls_per_node = options->calls_per_node > 0 ? options->calls_per_node : DEFAULT_CALLS;
    pve->calls_per_vm = options->calls_per_vm > 0 ? options->calls_per_vm : DEFAULT_CALLS;
    if (set_stream(pve, options, err) < 0)
        return -1;
    pve->pool = pq_http_pool_new(pve->loop, &pve->stream, err);
    if (pve->pool == NULL || set_login(pve, options, timeout, err) < 0)
        return -1;
    pve->api = (pq_api){
        .pool = pve->pool,
        .auth = &pve->auth,
        .host = pve->strings.authority,
        .timeout = timeout,
    };
    pq_locate_init(&pve->locate, pve->loop, &pve->api);
    warn_of_no_checks(pve);
    return 0;
}

pq_pve *pq_pve_new(pq_loop *loop, const pq_pve_options *options, pq_error *err)
{
    pq_pve *pve = calloc(1, sizeof *pve);
    if (pve == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    pve->loop = loop;
    if (init(pve, options, err) < 0) {
        pq_pve_free(pve);
        return NULL;
    }
    return pve;
}

void pq_pve_free(pq_pve *pve)
{
    if (pve == NULL)
        return;
    pq_locate_done(&pve->locate);
    pq_auth_done(&pve->auth);
    pq_http_pool_free(pve->pool);
    while (pve->nodes != NULL) {
        pq_node *node = pve->nodes;
        pve->nodes = node->next;
        free(node);
    }
    pq_secret_done(&pve->proxy_userpwd);
    free(pve->strings.host);
    free(pve->strings.user);
    free(pve->strings.ca_file);
    free(pve->strings.fingerprint);
    free(pve->strings.tls_min);
    free(pve->strings.proxy);
    free(pve->strings.authority);
    free(pve);
}

pq_locate *pq_pve_locate(pq_pve *pve)
{
    return &pve->locate;
}

pq_node *pq_pve_node(pq_pve *pve, const char *name, pq_error *err)
{
    for (pq_node *node = pve->nodes; node != NULL; node = node->next)
        if (strcmp(node->name, name) == 0)
            return node;
    pq_node *node = calloc(1, sizeof *node);
    if (node == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    snprintf(node->name, sizeof node->name, "%s", name);
    pq_limits_init(&node->limits);
    node->queue_end = &node->queue;
    node->next = pve->nodes;
    pve->nodes = node;
    return node;
}
