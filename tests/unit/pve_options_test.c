/* What an endpoint and its agents can be made from. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/support/pve_support.h"

#define COUNT(rows) (sizeof(rows) / sizeof(rows)[0])

TestSuite(pve_options, .init = pve_support_setup, .fini = pve_support_teardown);

static void expect_no_pve(pq_code code, const char *part)
{
    pq_error err = {0};
    cr_assert_null(pq_pve_new(pve_test.loop, &pve_test.options, &err), "accepted, not '%s'", part);
    cr_expect_eq(err.code, code);
    cr_expect_not_null(strstr(err.text, part), "'%s' is not in: %s", part, err.text);
    cr_expect_null(strstr(err.text, "CANARY"));
}

Test(pve_options, options_that_make_no_sense)
{
    const pq_pve_options good = pve_test.options;
    static const char *const hosts[] = {NULL, "", "a b", "a\r\nX: y"};
    static const char *const users[] = {NULL, "", "root", "root@pam\r\nX: y!t", "a b@pam!t"};
    for (size_t i = 0; i < COUNT(hosts); i++) {
        pve_test.options.host = hosts[i];
        expect_no_pve(PQ_E_CONFIG, "host");
    }
    pve_test.options = good;
    for (size_t i = 0; i < COUNT(users); i++) {
        pve_test.options.user = users[i];
        expect_no_pve(PQ_E_CONFIG, "API user");
    }
    pve_test.options = good;
    pve_test.options.token_id = "x";
    expect_no_pve(PQ_E_CONFIG, "two API token ids");
    pve_test.options.user = "root@pam";
    pve_test.options.token_id = "x\n";
    expect_no_pve(PQ_E_CONFIG, "token's id");
    pve_test.options.token_id = NULL;
    expect_no_pve(PQ_E_CONFIG, "no password or API token");
    pve_test.options = good;
    pve_test.options.token_secret = NULL;
    expect_no_pve(PQ_E_CONFIG, "no API token secret");
}

Test(pve_options, vms_and_nodes_that_cannot_be)
{
    static const struct {
        const char *vm, *node;
    } rows[] = {{"", NULL},     {NULL, NULL},       {"99", NULL}, {"1234567890", NULL},
                {"100", "a/b"}, {"100", "../pve1"}, {"100", ""},  {"web", "pve 1"}};
    pq_error err;
    pve_test.options.user = "root@pam";
    pve_test.options.token_id = "test";
    pve_test.pve = pq_pve_new(pve_test.loop, &pve_test.options, &err);
    cr_assert_not_null(pve_test.pve, "%s", err.text);
    for (size_t i = 0; i < COUNT(rows); i++) {
        pq_error refused = {0};
        cr_expect_null(pq_pve_agent(pve_test.pve, rows[i].vm, rows[i].node, &refused));
        cr_expect_eq(refused.code, PQ_E_USAGE);
    }
}
