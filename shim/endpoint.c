#include "shim/endpoint.h"

#include <string.h>

/* For one TCP and TLS connection; --connect-timeout is for all attempts together. */
#define CONNECTION_MS 10000

/* Whether the user gave `id` in a place that outranks that of `other`. */
static bool outranks(const pq_config *config, unsigned id, unsigned other)
{
    return pq_config_is_set(config, id) &&
           (!pq_config_is_set(config, other) ||
            pq_config_source(config, id) > pq_config_source(config, other));
}

static int need_text(const pq_config *config, unsigned id, const char **ret, pq_error *err)
{
    const pq_option *row = pq_config_row(config, id);
    *ret = pq_config_text(config, id);
    if (*ret != NULL)
        return 0;
    return pq_fail(err, PQ_E_CONFIG, "no %s was given (--%s or %s)", row->name, row->name,
                   row->environment);
}

/* An id behind the user's "!" is the one that counts, unless another was given more explicitly,
 * which pq_pve_new() refuses. */
static const char *token_id(const pq_config *config, const char *user)
{
    const char *id = pq_config_text(config, PQ_OPT_TOKEN_ID), *in_user = strchr(user, '!');
    if (in_user == NULL)
        return outranks(config, PQ_OPT_PASSWORD, PQ_OPT_TOKEN_ID) ? NULL : id;
    if (id == NULL || strcmp(id, in_user + 1) == 0 ||
        outranks(config, PQ_OPT_USER, PQ_OPT_TOKEN_ID))
        return NULL;
    return id;
}

static bool is_whole(const char *token_id)
{
    return token_id != NULL && strchr(token_id, '!') != NULL;
}

/* USER@REALM!TOKENID as token id names the user, too. */
static int read_identity(const pq_config *config, pq_pve_options *options, pq_error *err)
{
    const char *user = pq_config_text(config, PQ_OPT_USER);
    const char *id = pq_config_text(config, PQ_OPT_TOKEN_ID);
    if (!is_whole(id) || outranks(config, PQ_OPT_PASSWORD, PQ_OPT_TOKEN_ID)) {
        if (need_text(config, PQ_OPT_USER, &options->user, err) < 0)
            return -1;
        options->token_id = is_whole(id) ? NULL : token_id(config, options->user);
        return 0;
    }
    size_t length = (size_t)(strchr(id, '!') - id);
    bool same = user == NULL || strcmp(user, id) == 0 ||
                (strlen(user) == length && strncmp(user, id, length) == 0);
    if (!same)
        return pq_fail(err, PQ_E_CONFIG, "the API token '%s' is not one of the user '%s'", id,
                       user);
    options->user = id;
    return 0;
}

static int read_token(pq_config *config, pq_pve_options *options, pq_error *err)
{
    if (pq_config_secret(config, PQ_OPT_TOKEN_SECRET, &options->token_secret, err) < 0)
        return -1;
    if (pq_secret_is_set(options->token_secret))
        return 0;
    return pq_fail(err, PQ_E_CONFIG,
                   "no secret was given for the API token of '%s' (--token-secret-file or "
                   "PROXMOX_TOKEN_SECRET)",
                   options->user);
}

static int read_password(pq_config *config, pq_pve_options *options, pq_error *err)
{
    if (pq_config_secret(config, PQ_OPT_PASSWORD, &options->password, err) < 0 ||
        pq_config_secret(config, PQ_OPT_OTP, &options->otp, err) < 0)
        return -1;
    if (pq_secret_is_set(options->password))
        return 0;
    if (pq_config_is_set(config, PQ_OPT_TOKEN_SECRET))
        return pq_fail(err, PQ_E_CONFIG,
                       "an API token's secret was given, but not its id (--token-id or "
                       "PROXMOX_TOKEN_ID)");
    return pq_fail(err, PQ_E_CONFIG,
                   "neither password nor API token was given for '%s' (PROXMOX_PASSWORD, or "
                   "PROXMOX_TOKEN_ID and PROXMOX_TOKEN_SECRET)",
                   options->user);
}

int pq_endpoint_read(pq_config *config, pq_pve_options *ret, pq_error *err)
{
    pq_ms connect_timeout = pq_config_duration_ms(config, PQ_OPT_CONNECT_TIMEOUT);
    bool short_timeout = connect_timeout > 0 && connect_timeout < CONNECTION_MS;
    pq_pve_options options = {
        .port = (uint16_t)pq_config_int(config, PQ_OPT_PORT),
        .validate_certs = pq_config_bool(config, PQ_OPT_VALIDATE_CERTS),
        .ca_file = pq_config_text(config, PQ_OPT_CA_FILE),
        .fingerprint = pq_config_text(config, PQ_OPT_FINGERPRINT),
        .tls_min = pq_config_text(config, PQ_OPT_TLS_MIN),
        .proxy = pq_config_text(config, PQ_OPT_PROXY),
        .connect_timeout = short_timeout ? connect_timeout : CONNECTION_MS,
        .call_timeout = pq_config_duration_ms(config, PQ_OPT_CALL_TIMEOUT),
        .calls_per_node = (unsigned)pq_config_int(config, PQ_OPT_CALLS_PER_NODE),
        .calls_per_vm = (unsigned)pq_config_int(config, PQ_OPT_CALLS_PER_VM),
    };
    if (need_text(config, PQ_OPT_HOST, &options.host, err) < 0 ||
        read_identity(config, &options, err) < 0 ||
        pq_config_secret(config, PQ_OPT_PROXY_USERPWD, &options.proxy_userpwd, err) < 0)
        return -1;
    bool is_token = options.token_id != NULL || strchr(options.user, '!') != NULL;
    if ((is_token ? read_token : read_password)(config, &options, err) < 0)
        return -1;
    *ret = options;
    return 0;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

bool pq_endpoint_equal(const pq_pve_options *a, const pq_pve_options *b)
{
    return same_text(a->host, b->host) && a->port == b->port && same_text(a->user, b->user) &&
           same_text(a->token_id, b->token_id) &&
           pq_secret_equal(a->token_secret, b->token_secret) &&
           pq_secret_equal(a->password, b->password) && pq_secret_equal(a->otp, b->otp) &&
           a->validate_certs == b->validate_certs && same_text(a->ca_file, b->ca_file) &&
           same_text(a->fingerprint, b->fingerprint) && same_text(a->tls_min, b->tls_min) &&
           same_text(a->proxy, b->proxy) && pq_secret_equal(a->proxy_userpwd, b->proxy_userpwd) &&
           a->connect_timeout == b->connect_timeout && a->call_timeout == b->call_timeout &&
           a->calls_per_node == b->calls_per_node && a->calls_per_vm == b->calls_per_vm;
}
