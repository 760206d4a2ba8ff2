/* What the API's answers hold: processes, files, guests. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "transport/cluster/guests.h"
#include "transport/pve/answer.h"

static pq_json *parse(const char *text)
{
    static char copy[4000];
    pq_error err;
    snprintf(copy, sizeof copy, "%s", text);
    pq_json *value = pq_json_parse(copy, strlen(copy), &err);
    cr_assert_not_null(value, "%s: %s", err.text, text);
    return value;
}

Test(pve_answer, pids)
{
    static const struct {
        const char *json;
        int64_t pid; /* -1: refused */
    } rows[] = {
        {"{\"pid\":12}", 12},   {"{\"pid\":\"12\"}", 12},
        {"{\"pid\":-1}", -1},   {"{\"pid\":1.5}", -1},
        {"{\"pid\":null}", -1}, {"{}", -1},
        {"null", -1},           {"[1]", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pq_json *data = parse(rows[i].json);
        pq_error err = {0};
        int64_t pid = -1;
        int result = pq_answer_pid(data, &pid, &err);
        cr_expect_eq(result, rows[i].pid < 0 ? -1 : 0, "%s", rows[i].json);
        cr_expect_eq(pid, rows[i].pid);
        cr_expect(result == 0 || err.code == PQ_E_BAD_ANSWER);
        pq_json_free(data);
    }
}

static void expect_status(const char *json, bool exited, bool signalled, int code, const char *out,
                          size_t out_length, const char *errors)
{
    pq_exec_status status = {0};
    pq_error err = {0};
    pq_json *data = parse(json);
    cr_assert_eq(pq_answer_status(data, &status, &err), 0, "%s: %s", json, err.text);
    cr_expect_eq(status.exited, exited);
    cr_expect_eq(status.signalled, signalled);
    cr_expect_eq(status.code, code);
    cr_expect_eq(status.out.length, out_length);
    cr_expect(out_length == 0 || memcmp(status.out.data, out, out_length) == 0);
    cr_expect_eq(status.err.length, strlen(errors));
    cr_expect(errors[0] == '\0' || strcmp(status.err.data, errors) == 0);
    pq_buf_done(&status.out);
    pq_buf_done(&status.err);
    pq_json_free(data);
}

Test(pve_answer, statuses)
{
    expect_status("{\"exited\":0}", false, false, 0, "", 0, "");
    expect_status("{\"exited\":false}", false, false, 0, "", 0, "");
    expect_status("{\"exited\":1,\"exitcode\":0}", true, false, 0, "", 0, "");
    expect_status("{\"exited\":\"1\",\"exitcode\":\"7\"}", true, false, 7, "", 0, "");
    expect_status("{\"exited\":1,\"signal\":9}", true, true, 9, "", 0, "");
    expect_status("{\"exited\":1,\"exitcode\":3,\"signal\":0}", true, false, 3, "", 0, "");
    expect_status("{\"exited\":1,\"exitcode\":0,\"out-data\":\"a\\u0000\xc3\xbf\\n\","
                  "\"err-data\":\"oops\"}",
                  true, false, 0, "a\0\xff\n", 4, "oops");
    expect_status("{\"exited\":1,\"exitcode\":3221225477}", true, false, (int)0xC0000005U, "", 0,
                  "");
}

Test(pve_answer, truncated_output_is_told)
{
    pq_exec_status status = {0};
    pq_error err;
    pq_json *data = parse("{\"exited\":1,\"exitcode\":0,\"out-truncated\":1,\"out-data\":\"x\"}");
    cr_assert_eq(pq_answer_status(data, &status, &err), 0);
    cr_expect(status.out_truncated && !status.err_truncated);
    pq_buf_done(&status.out);
    pq_json_free(data);
}

Test(pve_answer, bad_statuses)
{
    static const char *const texts[] = {
        "null",
        "{}",
        "{\"exited\":2}",
        "{\"exited\":1}",
        "{\"exited\":1,\"exitcode\":\"x\"}",
        "{\"exited\":1,\"exitcode\":99999999999}",
        "{\"exited\":1,\"exitcode\":0,\"out-data\":7}",
        "{\"exited\":1,\"exitcode\":0,\"out-data\":\"\xe2\x82\xac\"}",
        "{\"exited\":1,\"exitcode\":0,\"out-data\":\"x\",\"err-data\":[]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        pq_exec_status status = {0};
        pq_error err = {0};
        pq_json *data = parse(texts[i]);
        cr_expect_eq(pq_answer_status(data, &status, &err), -1, "accepted: %s", texts[i]);
        cr_expect_eq(err.code, PQ_E_BAD_ANSWER);
        pq_buf_done(&status.out);
        pq_buf_done(&status.err);
        pq_json_free(data);
    }
}

static void expect_file(const char *json, bool base64, size_t count, const char *bytes, bool eof)
{
    pq_buf got = {0};
    pq_error err = {0};
    bool got_eof = !eof;
    pq_json *data = parse(json);
    cr_assert_eq(pq_answer_file(data, base64, count, &got, &got_eof, &err), 0, "%s", err.text);
    cr_expect_eq(got.length, strlen(bytes));
    cr_expect(bytes[0] == '\0' || strcmp(got.data, bytes) == 0);
    cr_expect_eq(got_eof, eof, "%s", json);
    pq_buf_done(&got);
    pq_json_free(data);
}

Test(pve_answer, files)
{
    expect_file("{\"content\":\"aGVsbG8=\"}", true, 100, "hello", true);
    expect_file("{\"content\":\"aGVsbG8=aGk=\",\"truncated\":1}", true, 7, "hellohi", false);
    expect_file("{\"content\":\"\",\"bytes-read\":0}", true, 7, "", true);
    expect_file("{\"content\":\"h\xc3\xa9llo\"}", false, 100, "h\xe9llo", true);
    expect_file("{\"content\":\"hello\"}", false, 3, "hel", false);
    expect_file("{\"content\":\"hello\"}", false, 5, "hello", true);
}

Test(pve_answer, bad_files)
{
    static const char *const texts[] = {"null", "{}", "{\"content\":1}", "{\"content\":\"a-b=\"}",
                                        "{\"content\":\"aGVsbG8\"}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        pq_buf got = {0};
        pq_error err = {0};
        bool eof;
        pq_json *data = parse(texts[i]);
        cr_expect_eq(pq_answer_file(data, true, 10, &got, &eof, &err), -1, "%s", texts[i]);
        cr_expect_eq(err.code, PQ_E_BAD_ANSWER);
        pq_buf_done(&got);
        pq_json_free(data);
    }
}

/* ---- guests ---- */

static const char guest_list[] =
    "[{\"type\":\"qemu\",\"vmid\":100,\"name\":\"web\",\"node\":\"pve1\",\"template\":0},"
    "{\"type\":\"qemu\",\"vmid\":\"101\",\"name\":\"web\",\"node\":\"pve2\"},"
    "{\"type\":\"lxc\",\"vmid\":102,\"name\":\"box\",\"node\":\"pve1\"},"
    "{\"type\":\"qemu\",\"vmid\":103,\"name\":\"base\",\"node\":\"pve1\",\"template\":1},"
    "{\"type\":\"qemu\",\"vmid\":104,\"node\":\"pve1\"},"
    "{\"type\":\"storage\",\"vmid\":105,\"name\":\"web\",\"node\":\"pve1\"},"
    "{\"type\":\"qemu\",\"vmid\":106,\"name\":\"evil\",\"node\":\"../x\"},"
    "{\"type\":\"qemu\",\"name\":\"no-id\",\"node\":\"pve1\"},7,"
    "{\"type\":\"qemu\",\"vmid\":107,\"name\":\"db\",\"node\":\"pve2\"}]";

static pq_guests read_guests(const char *json)
{
    pq_guests guests = {0};
    pq_error err = {0};
    pq_json *data = parse(json);
    cr_assert_eq(pq_guests_read(&guests, data, &err), 0, "%s", err.text);
    pq_json_free(data);
    return guests;
}

Test(pve_guests, found_by_id_and_name)
{
    static const struct {
        const char *vm, *node;
        int64_t vmid;
    } rows[] = {
        {"100", NULL, 100}, {"101", NULL, 101},   {"101", "pve2", 101}, {"db", NULL, 107},
        {"DB", NULL, 107},  {"web", "pve2", 101}, {"web", "pve1", 100}, {"104", NULL, 104},
    };
    pq_guests guests = read_guests(guest_list);
    cr_assert_eq(guests.count, 6);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const pq_guest *guest = NULL;
        pq_error err = {0};
        cr_assert_eq(pq_guests_find(&guests, rows[i].vm, rows[i].node, &guest, &err), 0, "%s: %s",
                     rows[i].vm, err.text);
        cr_expect_eq(guest->vmid, rows[i].vmid);
    }
    cr_expect_str_eq(pq_guests_by_id(&guests, 107)->name, "db");
    cr_expect_null(pq_guests_by_id(&guests, 106));
    pq_guests_done(&guests);
}

Test(pve_guests, what_is_not_found_is_explained)
{
    static const struct {
        const char *vm, *node;
        pq_code code;
        const char *part;
    } rows[] = {
        {"web", NULL, PQ_E_VM_AMBIGUOUS, "2 guests are called 'web': 100 on pve1, 101 on pve2"},
        {"nope", NULL, PQ_E_VM_UNKNOWN, "no VM 'nope', or nobody may see it"},
        {"999", "pve1", PQ_E_VM_UNKNOWN, "no VM '999' on node pve1"},
        {"db", "pve1", PQ_E_VM_UNKNOWN, "'db' is not on node pve1, but 107 on pve2"},
        {"102", NULL, PQ_E_VM_UNKNOWN, "102 on node pve1 is a container"},
        {"box", NULL, PQ_E_VM_UNKNOWN, "is a container"},
        {"base", NULL, PQ_E_VM_UNKNOWN, "is a template"},
    };
    pq_guests guests = read_guests(guest_list);
    guests.hidden = "nobody may see it";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const pq_guest *guest = NULL;
        pq_error err = {0};
        cr_assert_eq(pq_guests_find(&guests, rows[i].vm, rows[i].node, &guest, &err), -1);
        cr_expect_eq(err.code, rows[i].code);
        cr_expect_not_null(strstr(err.text, rows[i].part), "'%s' is not in: %s", rows[i].part,
                           err.text);
        cr_expect_null(guest);
    }
    pq_guests_done(&guests);
}

Test(pve_guests, many_candidates_are_not_all_named)
{
    char json[4000] = "[";
    const pq_guest *guest;
    pq_error err = {0};
    for (int i = 0; i < 30; i++) {
        char item[120];
        snprintf(item, sizeof item,
                 "%s{\"type\":\"qemu\",\"vmid\":%d,\"name\":\"x\",\"node\":\"node-%d\"}",
                 i > 0 ? "," : "", 100 + i, i);
        strcat(json, item);
    }
    strcat(json, "]");
    pq_guests guests = read_guests(json);
    cr_assert_eq(pq_guests_find(&guests, "x", NULL, &guest, &err), -1);
    cr_expect_not_null(strstr(err.text, "30 guests"));
    cr_expect_not_null(strstr(err.text, "105 on node-5 and others"), "%s", err.text);
    cr_expect_null(strstr(err.text, "106"));
    pq_guests_done(&guests);
}

Test(pve_guests, lists_that_are_none)
{
    static const char *const texts[] = {"{}", "null", "\"x\"", "7", "{\"a\":1}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        pq_guests guests = {0};
        pq_error err = {0};
        pq_json *data = parse(texts[i]);
        cr_expect_eq(pq_guests_read(&guests, data, &err), -1, "accepted: %s", texts[i]);
        cr_expect_eq(err.code, PQ_E_BAD_ANSWER);
        pq_json_free(data);
    }
    pq_guests none = read_guests("[]");
    cr_expect_eq(none.count, 0);
}

Test(pve_guests, ids_and_node_names)
{
    int64_t vmid = -1;
    cr_expect(pq_vm_is_id("100", &vmid) && vmid == 100);
    cr_expect(pq_vm_is_id("999999999", &vmid) && vmid == 999999999);
    cr_expect(pq_vm_is_id("99", &vmid) && vmid == 0);
    cr_expect(pq_vm_is_id("0100", &vmid) && vmid == 0);
    cr_expect(pq_vm_is_id("1000000000", &vmid) && vmid == 0);
    cr_expect(pq_vm_is_id("99999999999999999999", &vmid) && vmid == 0);
    cr_expect_not(pq_vm_is_id("", &vmid));
    cr_expect_not(pq_vm_is_id("100a", &vmid));
    cr_expect_not(pq_vm_is_id("-100", &vmid));
    cr_expect(pq_is_node_name("pve-1") && pq_is_node_name("A"));
    cr_expect_not(pq_is_node_name(""));
    cr_expect_not(pq_is_node_name("../x"));
    cr_expect_not(pq_is_node_name("a.b"));
    cr_expect_not(pq_is_node_name("-a"));
    cr_expect_not(
        pq_is_node_name("a234567890123456789012345678901234567890123456789012345678901234"));
}
