/* Sources and their order, configuration files, requests. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/support/config_support.h"

/* ---- precedence ---- */

static void give(pq_config *config, pq_source source, int port)
{
    static char text[64], number[16];
    const char *variables[] = {"PROXMOX_PORT", number, NULL};
    pq_error err;

    snprintf(number, sizeof number, "%d", port);
    switch (source) {
    case PQ_SOURCE_DEFAULT:
        break;
    case PQ_SOURCE_SYSTEM_FILE:
    case PQ_SOURCE_USER_FILE:
        snprintf(text, sizeof text, "port = %d\n", port);
        must_parse(config, source, text);
        break;
    case PQ_SOURCE_SYSTEM_VM:
    case PQ_SOURCE_USER_VM:
        snprintf(text, sizeof text, "[vm web]\nport = %d\n", port);
        must_parse(config, source - 1, text);
        break;
    case PQ_SOURCE_ENVIRONMENT:
        must_load(config, variables);
        break;
    case PQ_SOURCE_COMMAND_LINE:
        snprintf(text, sizeof text, "--port %d", port);
        must_take_args(config, text);
        break;
    case PQ_SOURCE_REQUEST:
        cr_assert_eq(pq_config_set_request(config, "port", number, &err), 0, "%s", err.text);
    }
}

static int port_of(pq_source source)
{
    return source == PQ_SOURCE_DEFAULT ? 8006 : 1000 + (int)source;
}

static void check_pair(pq_source first, pq_source second)
{
    pq_source winner = first > second ? first : second;
    pq_config *config = must_new();
    const char *vm;
    pq_error err;

    give(config, first, port_of(first));
    give(config, second, port_of(second));
    cr_assert_eq(pq_config_select_vm(config, "web", &vm, &err), 0, "%s", err.text);
    cr_expect_eq(pq_config_int(config, PQ_OPT_PORT), port_of(winner), "%d then %d", first, second);
    cr_expect_eq(pq_config_source(config, PQ_OPT_PORT), winner, "%d then %d", first, second);
    pq_config_free(config);
}

Test(config, the_higher_source_wins_in_any_order)
{
    for (pq_source first = PQ_SOURCE_DEFAULT; first <= PQ_SOURCE_REQUEST; first++) {
        for (pq_source second = PQ_SOURCE_DEFAULT; second <= PQ_SOURCE_REQUEST; second++)
            check_pair(first, second);
    }
}

Test(config, the_last_value_of_a_source_wins)
{
    pq_config *config = must_new();
    must_parse(config, PQ_SOURCE_USER_FILE, "host = one\nhost = two\n");
    must_take_args(config, "--port 1 --port 2");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_HOST), "two");
    cr_expect_eq(pq_config_int(config, PQ_OPT_PORT), 2);
    pq_config_free(config);
}

Test(config, a_bad_value_fails_even_if_it_would_not_win)
{
    pq_config *config = must_new();
    const char *variables[] = {"PROXMOX_PORT", "none", NULL};
    pq_error err = {0};
    must_take_args(config, "--port 1");
    cr_expect_eq(pq_config_load(config, "/nonexistent", get_test_variable, variables, &err), -1);
    must_be_error(&err, PQ_E_CONFIG, "PROXMOX_PORT: 'none' is not a whole number from 1 to 65535");
    cr_expect_eq(pq_config_int(config, PQ_OPT_PORT), 1);
    pq_config_free(config);
}

Test(config, an_empty_variable_is_not_set_unless_empty_is_a_value)
{
    pq_config *config = must_new();
    const char *variables[] = {"PROXMOX_NODE", "", "PROXMOX_PROXY", "", NULL};
    must_load(config, variables);
    cr_expect_not(pq_config_is_set(config, PQ_OPT_NODE));
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_PROXY), "");
    pq_config_free(config);
}

/* ---- sections ---- */

static const char vm_file[] = "node = pve0\n"
                              "[vm web]\n"
                              "vmid = 100\n"
                              "node = pve1\n"
                              "[vm db]\n"
                              "node = pve2\n"
                              "[defaults]\n"
                              "host = h\n";

static void expect_selection(const char *name, const char *vm, const char *node)
{
    pq_config *config = must_new();
    const char *got;
    pq_error err;
    must_parse(config, PQ_SOURCE_USER_FILE, vm_file);
    cr_assert_eq(pq_config_select_vm(config, name, &got, &err), 0, "%s", err.text);
    cr_expect_str_eq(got, vm);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_NODE), node);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_HOST), "h");
    pq_config_free(config);
}

Test(config, a_section_holds_for_its_vm_only)
{
    expect_selection("web", "100", "pve1");
    expect_selection("db", "db", "pve2");
    expect_selection("100", "100", "pve0");
}

Test(config, the_named_vm_goes_before_every_vmid)
{
    pq_config *config = must_new();
    const char *variables[] = {"PROXMOX_VMID", "200", NULL}, *vm;
    pq_error err;
    must_parse(config, PQ_SOURCE_SYSTEM_FILE, "[vm web]\nvmid = 99\n");
    must_parse(config, PQ_SOURCE_USER_FILE, vm_file);
    must_load(config, variables);
    cr_assert_eq(pq_config_select_vm(config, "web", &vm, &err), 0, "%s", err.text);
    cr_expect_str_eq(vm, "100");
    pq_config_free(config);
}

Test(config, the_default_vm_may_be_a_section)
{
    pq_config *config = must_new();
    const char *variables[] = {"PROXMOX_VMID", "web", NULL}, *vm;
    pq_error err = {0};
    cr_expect_eq(pq_config_select_vm(config, NULL, &vm, &err), -1);
    must_be_error(&err, PQ_E_USAGE, "no VM");
    must_parse(config, PQ_SOURCE_USER_FILE, vm_file);
    must_load(config, variables);
    cr_assert_eq(pq_config_select_vm(config, NULL, &vm, &err), 0, "%s", err.text);
    cr_expect_str_eq(vm, "100");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_NODE), "pve1");
    pq_config_free(config);
}

/* ---- the syntax of files ---- */

Test(config, file_syntax)
{
    pq_config *config = must_new();
    must_parse(config, PQ_SOURCE_USER_FILE,
               "\xef\xbb\xbf# comment\r\n"
               "; comment\r\n"
               "host=pve1\r\n"
               "  port : 1\n"
               "\tnode = pve2 ; comment\n"
               "ca-file = /x;y\n"
               "proxy =\n"
               "calls-per-vm = 5");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_HOST), "pve1");
    cr_expect_eq(pq_config_int(config, PQ_OPT_PORT), 1);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_NODE), "pve2");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_CA_FILE), "/x;y");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_PROXY), "");
    cr_expect_eq(pq_config_int(config, PQ_OPT_CALLS_PER_VM), 5);
    pq_config_free(config);
}

Test(config, file_errors_name_file_and_line)
{
    char line[5100];

    must_not_parse("\nhots = x\n", PQ_E_CONFIG, "test.conf:2: unknown key 'hots'");
    must_not_parse("host = x\n[web]\nnode = y\n", PQ_E_CONFIG,
                   "test.conf:3: in unknown section [web]");
    must_not_parse("[vm ]\nnode = y\n", PQ_E_CONFIG, "test.conf:2: in unknown section");
    must_not_parse("host\nport = x\n", PQ_E_CONFIG, "test.conf:1: not `key = value`");
    must_not_parse("[vm web\nport = 1\n", PQ_E_CONFIG, "test.conf:1: not `key = value`");
    must_not_parse("host = h\nport = x\nnonsense\n", PQ_E_CONFIG,
                   "test.conf:2: port: 'x' is not a whole number");
    must_not_parse("[vm web]\n\nnode = -\n", PQ_E_CONFIG, "test.conf:3: node: '-' is not");
    must_not_parse("help = true\n", PQ_E_CONFIG, "unknown key 'help'");
    must_not_parse("host_file = /x\n", PQ_E_CONFIG, "unknown key 'host_file'");
    must_not_parse("password_fd = 3\n", PQ_E_CONFIG, "unknown key 'password_fd'");
    must_not_parse("node =\n", PQ_E_CONFIG, "test.conf:1: node: the value is empty");
    snprintf(line, sizeof line, "# x\nca_file = /%05000d\n", 1);
    must_not_parse(line, PQ_E_CONFIG, "test.conf:2: the line has more than");
    snprintf(line, sizeof line, "[vm %060d]\nnode = a\n", 1);
    must_not_parse(line, PQ_E_CONFIG, "test.conf:1: the section's name has more than 49 bytes");
}

Test(config, a_nul_byte_in_a_file_is_refused)
{
    pq_config *config = must_new();
    pq_config_text_file file = {.name = "f", .source = PQ_SOURCE_USER_FILE, .mode = 0600};
    pq_error err = {0};
    cr_expect_eq(pq_config_parse_file(config, &file, "host = a\nno\0de = x\n", 19, &err), -1);
    must_be_error(&err, PQ_E_CONFIG, "f:2: a NUL byte");
    pq_config_free(config);
}

/* ---- files on disk ---- */

static int load_files(pq_config *config, const char *system_file, const char *xdg, pq_error *err)
{
    const char *variables[] = {"HOME", test_directory(), xdg != NULL ? "XDG_CONFIG_HOME" : NULL,
                               xdg, NULL};
    return pq_config_load(config, system_file, get_test_variable, variables, err);
}

Test(config, both_files_are_read_and_home_is_expanded)
{
    pq_config *config = must_new();
    const char *system_file = must_write("system.conf", 0644, "host = s\nport = 1\n");
    char expected[128];
    pq_error err;

    must_write("pve-qga-run.conf", 0644, "host = u\nca_file = ~/ca.pem\n");
    cr_assert_eq(load_files(config, system_file, test_directory(), &err), 0, "%s", err.text);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_HOST), "u");
    cr_expect_eq(pq_config_int(config, PQ_OPT_PORT), 1);
    snprintf(expected, sizeof expected, "%s/ca.pem", test_directory());
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_CA_FILE), expected);
    pq_config_free(config);
}

Test(config, without_xdg_the_users_file_is_in_dot_config)
{
    pq_config *config = must_new();
    char path[128];
    pq_error err;

    snprintf(path, sizeof path, "%s/.config", test_directory());
    cr_assert_eq(mkdir(path, 0700), 0);
    must_write(".config/pve-qga-run.conf", 0644, "host = dot\n");
    cr_assert_eq(load_files(config, "/nonexistent", "relative", &err), 0, "%s", err.text);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_HOST), "dot");
    pq_config_free(config);
}

Test(config, a_named_file_replaces_both_and_must_exist)
{
    pq_config *config = must_new();
    const char *system_file = must_write("system.conf", 0644, "host = s\n");
    char arguments[200];
    pq_error err = {0};

    must_write("pve-qga-run.conf", 0644, "host = u\n");
    snprintf(arguments, sizeof arguments, "--config %s",
             must_write("own.conf", 0644, "port = 7\n"));
    must_take_args(config, arguments);
    cr_assert_eq(load_files(config, system_file, test_directory(), &err), 0, "%s", err.text);
    cr_expect_eq(pq_config_int(config, PQ_OPT_PORT), 7);
    cr_expect_not(pq_config_is_set(config, PQ_OPT_HOST));
    must_take_args(config, "--config /nonexistent/x");
    cr_expect_eq(load_files(config, system_file, NULL, &err), -1);
    must_be_error(&err, PQ_E_IO, "'/nonexistent/x': No such file");
    pq_config_free(config);
}

static void expect_unusable_file(const char *path, const char *part)
{
    pq_config *config = must_new();
    pq_error err = {0};
    cr_expect_eq(load_files(config, path, NULL, &err), -1);
    must_be_error(&err, PQ_E_CONFIG, part);
    pq_config_free(config);
}

Test(config, files_that_others_write_or_that_are_no_files_are_refused)
{
    static char big[PQ_CONFIG_FILE_MAX + 2];
    char fifo[128];

    memset(big, '\n', sizeof big - 1);
    expect_unusable_file(must_write("open.conf", 0666, "host = x\n"), "everyone can write it");
    expect_unusable_file(must_write("big.conf", 0600, big), "more than 1048576 bytes");
    expect_unusable_file(test_directory(), "not a regular file");
    snprintf(fifo, sizeof fifo, "%s/fifo", test_directory());
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    expect_unusable_file(fifo, "not a regular file");
}

/* ---- copies and requests ---- */

Test(config, a_copy_has_everything_and_changes_alone)
{
    pq_config *config = must_new(), *copy;
    const char *const *items, *vm;
    const pq_secret *secret;
    size_t count;
    pq_error err;

    must_parse(config, PQ_SOURCE_USER_FILE, vm_file);
    must_parse(config, PQ_SOURCE_USER_FILE, "password = s3cret\n");
    must_take_args(config, "--env A=1 --env B=2 -v");
    copy = pq_config_copy(config, &err);
    cr_assert_not_null(copy, "%s", err.text);
    cr_assert_eq(pq_config_set_request(copy, "host", "other", &err), 0, "%s", err.text);
    cr_assert_eq(pq_config_select_vm(copy, "web", &vm, &err), 0, "%s", err.text);
    cr_expect_str_eq(vm, "100");
    cr_expect_str_eq(pq_config_text(copy, PQ_OPT_HOST), "other");
    cr_expect_str_eq(pq_config_text(copy, PQ_OPT_NODE), "pve1");
    items = pq_config_list(copy, OPT_ENV, &count);
    cr_assert_eq(count, 2);
    cr_expect_str_eq(items[1], "B=2");
    cr_assert_eq(pq_config_secret(copy, PQ_OPT_PASSWORD, &secret, &err), 0, "%s", err.text);
    cr_expect_str_eq(pq_secret_text(secret), "s3cret");
    cr_expect_eq(pq_config_int(copy, PQ_OPT_VERBOSE), 1);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_HOST), "h");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_NODE), "pve0");
    pq_config_free(copy);
    pq_config_free(config);
}

static int apply(pq_config *config, const char *json, pq_error *err)
{
    char text[256];
    snprintf(text, sizeof text, "%s", json);
    pq_json *object = pq_json_parse(text, strlen(text), err);
    cr_assert_not_null(object, "%s", err->text);
    int result = pq_config_apply_request(config, object, err);
    pq_json_free(object);
    return result;
}

Test(config, a_request_sets_options_of_every_json_type)
{
    pq_config *config = must_new();
    const pq_secret *secret;
    pq_error err;

    must_take_args(config, "--node pve1 --host h");
    cr_assert_eq(apply(config,
                       "{\"node\":null,\"host\":\"r\",\"port\":9,\"validate_certs\":false,"
                       "\"timeout\":1.5,\"otp\":123456,\"token_secret\":\"t\"}",
                       &err),
                 0, "%s", err.text);
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_NODE), "pve1");
    cr_expect_str_eq(pq_config_text(config, PQ_OPT_HOST), "r");
    cr_expect_eq(pq_config_int(config, PQ_OPT_PORT), 9);
    cr_expect_not(pq_config_bool(config, PQ_OPT_VALIDATE_CERTS));
    cr_expect_eq(pq_config_duration_ms(config, PQ_OPT_TIMEOUT), 1500);
    cr_assert_eq(pq_config_secret(config, PQ_OPT_OTP, &secret, &err), 0, "%s", err.text);
    cr_expect_str_eq(pq_secret_text(secret), "123456");
    pq_config_free(config);
}

static void expect_bad_request(const char *json, const char *part)
{
    pq_config *config = must_new();
    pq_error err = {0};
    cr_expect_eq(apply(config, json, &err), -1, "accepted: %s", json);
    must_be_error(&err, PQ_E_USAGE, part);
    pq_config_free(config);
}

Test(config, request_errors_name_the_option)
{
    expect_bad_request("{\"hots\":1}", "unknown request option 'hots'");
    expect_bad_request("{\"help\":true}", "unknown request option 'help'");
    expect_bad_request("{\"config\":\"/x\"}", "unknown request option 'config'");
    expect_bad_request("{\"password_file\":\"/x\"}", "unknown request option 'password_file'");
    expect_bad_request("{\"port\":0}", "request option 'port': '0' is not");
    expect_bad_request("{\"remote_tmp\":[\"/tmp\"]}", "request option 'remote_tmp'");
    expect_bad_request("{\"host\":{}}", "request option 'host'");
    expect_bad_request("[]", "not an object");
}

Test(config, request_keys_are_known)
{
    pq_config *config = must_new();
    cr_expect(pq_config_is_request_key(config, "token_id"));
    cr_expect_not(pq_config_is_request_key(config, "token-id"));
    cr_expect_not(pq_config_is_request_key(config, "vmid"));
    pq_config_free(config);
}
