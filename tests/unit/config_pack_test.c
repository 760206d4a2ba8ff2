/*
 * A configuration on its way to another process.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "shim/command/commands.h"
#include "transport/config/pack.h"

static pq_error err;

static const char file_text[] = "[defaults]\n"
                                "host = pve1\n"
                                "[vm web]\n"
                                "vmid = 100\n"
                                "node = pve2\n"
                                "password = section-secret\n"
                                "ca_file = web.pem\n";

static pq_config *new_config(void)
{
    pq_config *config = pq_config_new(pq_own_options, PQ_OWN_OPTION_COUNT, &err);
    pq_config_text_file file = {
        .name = "/etc/x", .source = PQ_SOURCE_USER_FILE, .mode = 0600, .owned = true};
    cr_assert_not_null(config);
    cr_assert_eq(pq_config_parse_file(config, &file, file_text, sizeof file_text - 1, &err), 0,
                 "%s", err.text);
    return config;
}

static void set(pq_config *config, const char *key, const char *text)
{
    cr_assert_eq(pq_config_set_request(config, key, text, &err), 0, "%s", err.text);
}

static pq_config *there_and_back(const pq_config *config)
{
    pq_buf bytes = {0};
    cr_assert_eq(pq_config_pack(config, &bytes, &err), 0, "%s", err.text);
    pq_config *other =
        pq_config_unpack(pq_own_options, PQ_OWN_OPTION_COUNT, bytes.data, bytes.length, &err);
    cr_assert_not_null(other, "%s", err.text);
    pq_buf_wipe(&bytes);
    return other;
}

Test(pack, everything_arrives)
{
    pq_config *config = new_config();
    set(config, "port", "443");
    set(config, "token_secret", "s3cret");
    set(config, "validate_certs", "no");
    pq_config *other = there_and_back(config);
    pq_buf one = {0}, two = {0};
    pq_config_print(config, &one, &err);
    pq_config_print(other, &two, &err);
    cr_expect_str_eq(one.data, two.data);
    cr_expect_eq(pq_config_int(other, PQ_OPT_PORT), 443);
    cr_expect_not(pq_config_bool(other, PQ_OPT_VALIDATE_CERTS));
    const pq_secret *secret;
    cr_assert_eq(pq_config_secret(other, PQ_OPT_TOKEN_SECRET, &secret, &err), 0);
    cr_expect_str_eq(pq_secret_text(secret), "s3cret");
    cr_expect_not(pq_config_is_set(other, PQ_OPT_PASSWORD));
    pq_buf_done(&one);
    pq_buf_done(&two);
    pq_config_free(config);
    pq_config_free(other);
}

Test(pack, sections_and_the_rank_of_values_arrive)
{
    pq_config *config = new_config();
    set(config, "ca_file", "/mine.pem");
    pq_config *other = there_and_back(config);
    pq_config_free(config);
    const char *vm;
    const pq_secret *secret;
    cr_assert_eq(pq_config_select_vm(other, "web", &vm, &err), 0, "%s", err.text);
    cr_expect_str_eq(vm, "100");
    cr_expect_str_eq(pq_config_text(other, PQ_OPT_NODE), "pve2");
    cr_expect_str_eq(pq_config_text(other, PQ_OPT_CA_FILE), "/mine.pem", "a request goes first");
    cr_assert_eq(pq_config_secret(other, PQ_OPT_PASSWORD, &secret, &err), 0);
    cr_expect_str_eq(pq_secret_text(secret), "section-secret");
    pq_config_free(other);
}

Test(pack, repeated_options_arrive)
{
    const char *items[] = {"--env=A=1", "--env=B=2"};
    pq_config *config = new_config();
    pq_operands operands;
    cr_assert_eq(
        pq_config_parse_args(config, 2, (char **)items, PQ_COMMAND_BIT(EXEC), 1, &operands, &err),
        0, "%s", err.text);
    pq_config *other = there_and_back(config);
    size_t count;
    const char *const *list = pq_config_list(other, PQ_OPT_ENV, &count);
    cr_assert_eq(count, 2);
    cr_expect_str_eq(list[0], "A=1");
    cr_expect_str_eq(list[1], "B=2");
    pq_config_free(config);
    pq_config_free(other);
}

/* Whatever is missing or too much is noticed, and nothing is read behind the end. */
Test(pack, damaged_bytes)
{
    pq_config *config = new_config();
    pq_buf bytes = {0};
    set(config, "token_secret", "s3cret");
    cr_assert_eq(pq_config_pack(config, &bytes, &err), 0);
    for (size_t length = 0; length < bytes.length; length++) {
        char *part = malloc(length + 1);
        memcpy(part, bytes.data, length);
        cr_expect_null(pq_config_unpack(pq_own_options, PQ_OWN_OPTION_COUNT, part, length, &err));
        cr_expect_eq(err.code, PQ_E_PROTOCOL);
        free(part);
    }
    for (size_t at = 0; at < bytes.length; at++) {
        bytes.data[at] = (char)(bytes.data[at] ^ 0x80);
        pq_config_free(
            pq_config_unpack(pq_own_options, PQ_OWN_OPTION_COUNT, bytes.data, bytes.length, &err));
        bytes.data[at] = (char)(bytes.data[at] ^ 0x80);
    }
    pq_buf_add_byte(&bytes, 0, &err);
    cr_expect_null(
        pq_config_unpack(pq_own_options, PQ_OWN_OPTION_COUNT, bytes.data, bytes.length, &err));
    pq_buf_wipe(&bytes);
    pq_config_free(config);
}

Test(pack, relative_paths_get_their_beginning)
{
    const char *items[] = {"--ca-file=a/ca.pem", "--password-file=pw", "--trace=/tmp/t"};
    pq_config *config = new_config();
    pq_operands operands;
    const char *vm;
    cr_assert_eq(pq_config_parse_args(config, 3, (char **)items, 0, 0, &operands, &err), 0, "%s",
                 err.text);
    cr_assert_eq(pq_config_resolve_paths(config, "/work", &err), 0);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_CA_FILE), "/work/a/ca.pem");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_PASSWORD), "/work/pw");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_TRACE), "/tmp/t");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_REMOTE_TMP), "/tmp");
    pq_config_free(config);

    config = new_config();
    cr_assert_eq(pq_config_resolve_paths(config, "/work", &err), 0);
    cr_assert_eq(pq_config_select_vm(config, "web", &vm, &err), 0, "%s", err.text);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_CA_FILE), "/work/web.pem");
    pq_config_free(config);
}

Test(pack, a_path_can_become_too_long)
{
    const char *items[] = {"--ca-file=ca.pem"};
    pq_config *config = new_config();
    pq_operands operands;
    static char cwd[4096];
    memset(cwd, 'x', sizeof cwd - 1);
    cwd[0] = '/';
    cr_assert_eq(pq_config_parse_args(config, 1, (char **)items, 0, 0, &operands, &err), 0);
    cr_expect_eq(pq_config_resolve_paths(config, NULL, &err), 0);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_CA_FILE), "ca.pem");
    cr_expect_eq(pq_config_resolve_paths(config, cwd, &err), -1);
    cr_expect_eq(err.code, PQ_E_USAGE);
    pq_config_free(config);
}
