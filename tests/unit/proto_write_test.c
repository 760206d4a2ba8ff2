/* Messages to a client: their exact bytes. */
#include <criterion/criterion.h>
#include <string.h>

#include "transport/proto/message.h"

static void expect_bytes(pq_buf *out, const char *expected)
{
    cr_assert_eq(out->length, strlen(expected));
    cr_assert_str_eq(out->data, expected);
    pq_buf_clear(out);
}

Test(message, results_are_exact)
{
    static const char *const warnings[] = {"a \"b\"", "\xC3\xA4"};
    pq_buf out = {0};
    pq_error err;
    pq_id id = {"\"x\""};
    pq_message_hello_result(&out, &id, true, &err);
    expect_bytes(&out, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"version\":1,\"program\":"
                       "\"pve-qga-run " PQ_VERSION "\",\"features\":[" PQ_PROTO_FEATURES
                       "],\"limits\":{\"line_bytes\":8388608,\"payload_bytes\":67108864},"
                       "\"shared\":true}}\n");
    pq_message_exec_result(&out, &id, 3, 0, NULL, 0, &err);
    expect_bytes(
        &out, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"exit_code\":3,\"signal\":null}}\n");
    pq_message_exec_result(&out, &id, 0, 15, warnings, 2, &err);
    expect_bytes(
        &out, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"exit_code\":143,\"signal\":\"TERM\","
              "\"warnings\":[\"a \\\"b\\\"\",\"\xC3\xA4\"]}}\n");
    pq_message_exec_result(&out, &id, 0, 31, NULL, 0, &err);
    expect_bytes(
        &out,
        "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"exit_code\":159,\"signal\":\"SYS\"}}\n");
    pq_message_exec_result(&out, &id, 0, 34, NULL, 0, &err);
    expect_bytes(
        &out,
        "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"exit_code\":162,\"signal\":\"34\"}}\n");
    pq_message_file_result(&out, &id, 5000000000u, NULL, 04755, &err);
    expect_bytes(
        &out, "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"bytes\":5000000000,\"sha256\":null,"
              "\"mode\":\"4755\"}}\n");
    pq_message_file_result(&out, &id, 0, "ab", 0100640, &err);
    expect_bytes(&out,
                 "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"result\":{\"bytes\":0,\"sha256\":\"ab\","
                 "\"mode\":\"0640\"}}\n");
    pq_buf_done(&out);
}

Test(message, errors_are_exact)
{
    pq_buf out = {0};
    pq_error err, stopped, cancelled;
    pq_id id = {"4"};
    pq_fail_effect(&stopped, PQ_E_VM_STOPPED, PQ_EFFECT_NONE, true, "VM 101 is not running");
    pq_message_error(&out, &id, PQ_RPC_FAILED, &stopped, &err);
    expect_bytes(
        &out,
        "{\"jsonrpc\":\"2.0\",\"id\":4,\"error\":{\"code\":-32000,\"message\":\"VM 101 is not "
        "running\",\"data\":{\"code\":\"vm-stopped\",\"effect\":\"none\",\"retryable\":true,"
        "\"hint\":\"start the VM\"}}}\n");
    pq_message_cancelled(&cancelled, PQ_EFFECT_UNKNOWN);
    pq_message_error(&out, NULL, PQ_RPC_FAILED, &cancelled, &err);
    expect_bytes(
        &out,
        "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":\"cancelled\","
        "\"data\":{\"code\":\"cancelled\",\"effect\":\"unknown\",\"retryable\":false,"
        "\"hint\":null}}}\n");
    pq_buf_done(&out);
}

Test(message, notifications_are_exact)
{
    pq_buf out = {0};
    pq_error err;
    pq_id id = {"4"};
    static char big[PQ_PROTO_OUTPUT_MAX + 1];
    pq_message_output(&out, PQ_OUTPUT_STDERR, &id, "oops\n", 5, &err);
    expect_bytes(
        &out,
        "{\"jsonrpc\":\"2.0\",\"method\":\"stderr\",\"params\":{\"id\":4},\"payload\":5}\noops\n");
    cr_assert_eq(pq_message_output(&out, PQ_OUTPUT_STDOUT, &id, big, sizeof big, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    cr_assert_eq(out.length, 0);
    pq_message_stdin_ready(&out, &id, 1048576, &err);
    expect_bytes(&out, "{\"jsonrpc\":\"2.0\",\"method\":\"stdin_ready\",\"params\":{\"id\":4,"
                       "\"bytes\":1048576}}\n");
    pq_message_progress(&out, &id, 1, -1, &err);
    expect_bytes(&out, "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"id\":4,"
                       "\"bytes\":1,\"total\":null}}\n");
    pq_message_progress(&out, &id, 1, 2, &err);
    expect_bytes(&out, "{\"jsonrpc\":\"2.0\",\"method\":\"progress\",\"params\":{\"id\":4,"
                       "\"bytes\":1,\"total\":2}}\n");
    pq_message_log(&out, PQ_LOG_WARNING, "a\nb", &err);
    expect_bytes(&out, "{\"jsonrpc\":\"2.0\",\"method\":\"log\",\"params\":{\"level\":\"warning\","
                       "\"message\":\"a\\nb\"}}\n");
    pq_buf_done(&out);
}

Test(message, a_full_buffer_stays_as_it_was)
{
    pq_buf out = {.maximum = 60};
    pq_error err;
    pq_id id = {"4"};
    cr_assert_eq(pq_message_empty_result(&out, &id, &err), 0);
    cr_assert_eq(pq_message_empty_result(&out, &id, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    expect_bytes(&out, "{\"jsonrpc\":\"2.0\",\"id\":4,\"result\":{}}\n");
    pq_buf_done(&out);
}
