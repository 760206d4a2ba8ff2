/*
 * From options to an endpoint and an identity.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "shim/command/commands.h"
#include "shim/endpoint.h"

static pq_error err;

/* A configuration from "name=value" arguments. Secrets come from files there; see `secret`. */
static pq_config *config_of(char **items)
{
    pq_config *config = pq_config_new(pq_own_options, PQ_OWN_OPTION_COUNT, &err);
    size_t count = 0;
    pq_operands operands;
    cr_assert_not_null(config);
    while (items[count] != NULL)
        count++;
    cr_assert_eq(pq_config_parse_args(config, count, items, 0, 0, &operands, &err), 0, "%s",
                 err.text);
    return config;
}

#define ITEMS(...) ((char **)(const char *[]){__VA_ARGS__, NULL})

static void set(pq_config *config, const char *key, const char *text)
{
    cr_assert_eq(pq_config_set_request(config, key, text, &err), 0, "%s", err.text);
}

static void expect_failure(pq_config *config, const char *part)
{
    pq_pve_options options;
    cr_assert_eq(pq_endpoint_read(config, &options, &err), -1);
    cr_expect_eq(err.code, PQ_E_CONFIG);
    cr_expect_not_null(strstr(err.text, part), "%s", err.text);
    pq_config_free(config);
}

Test(endpoint, says_what_is_missing)
{
    expect_failure(config_of((char *[]){NULL}), "PROXMOX_HOST");
    expect_failure(config_of(ITEMS("--host=pve1")), "PROXMOX_USER");
    expect_failure(config_of(ITEMS("--host=pve1", "--user=root@pam")), "PROXMOX_PASSWORD");
    expect_failure(config_of(ITEMS("--host=pve1", "--user=root@pam!ci")), "PROXMOX_TOKEN_SECRET");
    expect_failure(config_of(ITEMS("--host=pve1", "--user=root@pam", "--token-id=ci")),
                   "PROXMOX_TOKEN_SECRET");
}

Test(endpoint, secret_without_token_id)
{
    pq_config *config = config_of(ITEMS("--host=pve1", "--user=root@pam"));
    set(config, "token_secret", "s3cret");
    expect_failure(config, "PROXMOX_TOKEN_ID");
}

Test(endpoint, token_behind_the_user)
{
    pq_config *config = config_of(ITEMS("--host=pve1", "--user=root@pam!ci", "--port=443"));
    pq_pve_options options;
    set(config, "token_secret", "s3cret");
    cr_assert_eq(pq_endpoint_read(config, &options, &err), 0, "%s", err.text);
    cr_expect_str_eq(options.host, "pve1");
    cr_expect_eq(options.port, 443);
    cr_expect_str_eq(options.user, "root@pam!ci");
    cr_expect_null(options.token_id);
    cr_expect_str_eq(pq_secret_text(options.token_secret), "s3cret");
    cr_expect_null(options.password);
    cr_expect(options.validate_certs);
    pq_config_free(config);
}

Test(endpoint, token_id_that_names_its_user)
{
    pq_config *config = config_of(ITEMS("--host=pve1", "--token-id=root@pam!ci"));
    pq_pve_options options;
    set(config, "token_secret", "s3cret");
    cr_assert_eq(pq_endpoint_read(config, &options, &err), 0, "%s", err.text);
    cr_expect_str_eq(options.user, "root@pam!ci");
    cr_expect_null(options.token_id);
    pq_config_free(config);

    config = config_of(ITEMS("--host=pve1", "--user=root@pam", "--token-id=root@pam!ci"));
    set(config, "token_secret", "s3cret");
    cr_assert_eq(pq_endpoint_read(config, &options, &err), 0, "%s", err.text);
    cr_expect_str_eq(options.user, "root@pam!ci");
    pq_config_free(config);

    config = config_of(ITEMS("--host=pve1", "--user=joe@pve", "--token-id=root@pam!ci"));
    expect_failure(config, "joe@pve");
}

Test(endpoint, token_named_twice_is_one_token)
{
    pq_config *config = config_of(ITEMS("--host=pve1", "--user=root@pam!ci", "--token-id=ci"));
    pq_pve_options options;
    set(config, "token_secret", "s3cret");
    cr_assert_eq(pq_endpoint_read(config, &options, &err), 0, "%s", err.text);
    cr_expect_null(options.token_id);
    pq_config_free(config);
}

/* A request's password says more than a token that the environment or a file names. */
Test(endpoint, what_outranks_decides_between_password_and_token)
{
    pq_config *config = config_of(ITEMS("--host=pve1", "--user=root@pam", "--token-id=ci"));
    pq_pve_options options;
    set(config, "password", "s3cret");
    cr_assert_eq(pq_endpoint_read(config, &options, &err), 0, "%s", err.text);
    cr_expect_null(options.token_id);
    cr_expect_str_eq(pq_secret_text(options.password), "s3cret");
    pq_config_free(config);
}

Test(endpoint, short_timeout_is_one_for_connections_too)
{
    pq_config *config =
        config_of(ITEMS("--host=pve1", "--user=root@pam!ci", "--connect-timeout=3"));
    pq_pve_options options;
    set(config, "token_secret", "s3cret");
    cr_assert_eq(pq_endpoint_read(config, &options, &err), 0);
    cr_expect_eq(options.connect_timeout, 3000);
    set(config, "connect_timeout", "300");
    cr_assert_eq(pq_endpoint_read(config, &options, &err), 0);
    cr_expect_eq(options.connect_timeout, 10000);
    pq_config_free(config);
}

Test(endpoint, any_difference_makes_another_endpoint)
{
    static const char *const changes[][2] = {
        {"host", "pve2"},
        {"port", "443"},
        {"user", "lab@pve!ci"},
        {"token_secret", "other"},
        {"proxy", ""},
        {"validate_certs", "no"},
        {"ca_file", "/ca.pem"},
        {"tls_min", "1.3"},
        {"call_timeout", "7"},
        {"calls_per_node", "1"},
        {"calls_per_vm", "1"},
        {"connect_timeout", "1"},
        {"proxy_userpwd", "a:b"},
        {"fingerprint", "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"},
    };
    pq_config *config = config_of(ITEMS("--host=pve1", "--user=root@pam!ci"));
    pq_pve_options a, b;
    set(config, "token_secret", "s3cret");
    cr_assert_eq(pq_endpoint_read(config, &a, &err), 0);
    pq_config *same = pq_config_copy(config, &err);
    cr_assert_eq(pq_endpoint_read(same, &b, &err), 0);
    cr_expect(pq_endpoint_equal(&a, &b));
    pq_config_free(same);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        pq_config *other = pq_config_copy(config, &err);
        set(other, changes[i][0], changes[i][1]);
        cr_assert_eq(pq_endpoint_read(other, &b, &err), 0, "%s", err.text);
        cr_expect_not(pq_endpoint_equal(&a, &b), "%s", changes[i][0]);
        pq_config_free(other);
    }
    pq_config_free(config);
}
