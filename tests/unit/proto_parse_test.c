/* Messages from a client: what is taken, what is refused and how. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/proto/message.h"

/* Parses the one frame in `text`; the message is the caller's to end. */
static int parse(pq_message *message, const char *text, pq_rpc_code *code, pq_error *err)
{
    pq_frame_decoder decoder = {0};
    pq_frame_input input = {text, strlen(text)};
    pq_frame_event event;
    cr_assert_eq(pq_frame_step(&decoder, &input, &event, err), 0, "%s", err->text);
    cr_assert_eq(event.happened, PQ_FRAME_HEADER);
    *message = (pq_message){0};
    int result = pq_message_parse(message, &decoder.frame, code, err);
    pq_frame_decoder_done(&decoder);
    return result;
}

static void expect_message(pq_message *message, const char *text)
{
    pq_rpc_code code;
    pq_error err;
    cr_assert_eq(parse(message, text, &code, &err), 0, "%s: %s", text, err.text);
}

static void expect_refusal(const char *text, pq_rpc_code expected_code, const char *expected)
{
    pq_message message;
    pq_rpc_code code;
    pq_error err;
    cr_assert_eq(parse(&message, text, &code, &err), -1, "accepted: %s", text);
    cr_assert_str_eq(err.text, expected);
    cr_assert_eq(code, expected_code, "%s: %d", text, code);
    cr_assert_eq(err.effect, PQ_EFFECT_NONE);
    pq_message_done(&message);
}

static void expect_params_refused(const char *method, const char *params, const char *expected)
{
    char text[1024], full[256];
    snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":%s}\n",
             method, params);
    snprintf(full, sizeof full, "%s: %s", method, expected);
    expect_refusal(text, PQ_RPC_INVALID_PARAMS, full);
}

Test(message, exec_command_with_everything)
{
    pq_message m;
    expect_message(
        &m,
        "{\"jsonrpc\":\"2.0\",\"id\":\"q\\\"\\\\\",\"method\":\"exec_command\",\"params\":{"
        "\"vm\":100,\"cmd\":\"echo \xC3\xA4\\n\",\"executable\":\"/bin/bash\",\"env\":"
        "{\"A\":\"1\",\"B\":\"\"},\"cwd\":\"/tmp\",\"timeout\":1.0005,\"live\":false,"
        "\"remember\":true,\"stdin\":\"stream\",\"options\":{\"node\":\"pve1\"},\"new\":[]}}\n");
    cr_assert_eq(m.method, PQ_METHOD_EXEC_COMMAND);
    cr_assert_str_eq(pq_message_method_name(m.method), "exec_command");
    cr_assert_str_eq(m.id.json, "\"q\\\"\\\\\"");
    cr_assert_str_eq(m.vm, "100");
    cr_assert_str_eq(m.exec.cmd, "echo \xC3\xA4\n");
    cr_assert_str_eq(m.exec.executable, "/bin/bash");
    cr_assert_str_eq(m.exec.cwd, "/tmp");
    cr_assert_eq(m.exec.env_count, 2);
    cr_assert_str_eq(m.exec.env[0].name, "A");
    cr_assert_str_eq(m.exec.env[0].value, "1");
    cr_assert_str_eq(m.exec.env[1].value, "");
    cr_assert_eq(m.exec.timeout_ms, 1001);
    cr_assert_not(m.exec.live);
    cr_assert(m.exec.remember);
    cr_assert(m.exec.stdin_stream);
    cr_assert_str_eq(pq_json_text(m.options, "node"), "pve1");
    pq_message_done(&m);
}

Test(message, exec_command_with_the_least)
{
    pq_message m;
    expect_message(&m, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"exec_command\",\"params\":"
                       "{\"cmd_base64\":\"//5h\",\"timeout\":null,\"env\":{}},\"payload\":3}\n");
    cr_assert_str_eq(m.id.json, "1");
    cr_assert_null(m.vm);
    cr_assert_null(m.options);
    cr_assert_str_eq(m.exec.cmd, "\xFF\xFE"
                                 "a");
    cr_assert_null(m.exec.executable);
    cr_assert_eq(m.exec.env_count, 0);
    cr_assert_eq(m.exec.timeout_ms, 0);
    cr_assert_not(m.exec.remember);
    cr_assert(m.exec.live);
    cr_assert_not(m.exec.stdin_stream);
    cr_assert_eq(m.payload_bytes, 3);
    pq_message_done(&m);
}

Test(message, files)
{
    pq_message m;
    expect_message(&m, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"put_file\",\"params\":"
                       "{\"vm\":\"web\",\"in_path\":\"a\",\"out_path_base64\":\"/w==\","
                       "\"mode\":\"04755\"}}\n");
    cr_assert_eq(m.method, PQ_METHOD_PUT_FILE);
    cr_assert_str_eq(m.file.in_path, "a");
    cr_assert_str_eq(m.file.out_path, "\xFF");
    cr_assert_eq(m.file.mode, 04755);
    pq_message_done(&m);

    expect_message(&m, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"put_file\",\"params\":"
                       "{\"out_path\":\"/a\"},\"payload\":0}\n");
    cr_assert_null(m.file.in_path);
    cr_assert_eq(m.file.mode, -1);
    pq_message_done(&m);

    expect_message(&m, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"fetch_file\",\"params\":"
                       "{\"in_path_base64\":\"YQ==\",\"out_path_base64\":\"Yg==\"}}\n");
    cr_assert_eq(m.method, PQ_METHOD_FETCH_FILE);
    cr_assert_str_eq(m.file.in_path, "a");
    cr_assert_str_eq(m.file.out_path, "b");
    pq_message_done(&m);
}

Test(message, small_ones)
{
    pq_message m;
    expect_message(&m, "{\"jsonrpc\":\"2.0\",\"id\":-3,\"method\":\"hello\",\"params\":"
                       "{\"version\":1,\"client\":\"c\"}}\n");
    cr_assert_eq(m.hello.version, 1);
    cr_assert_str_eq(m.hello.client, "c");
    cr_assert_str_eq(m.id.json, "-3");
    pq_message_done(&m);

    expect_message(
        &m, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"cancel\",\"params\":{\"id\":\"x\"}}\n");
    cr_assert_eq(m.method, PQ_METHOD_CANCEL);
    cr_assert_str_eq(m.target.json, "\"x\"");
    pq_message_done(&m);

    expect_message(&m,
                   "{\"jsonrpc\":\"2.0\",\"method\":\"stdin\",\"params\":{\"id\":7,\"eof\":true},"
                   "\"payload\":9}\n");
    cr_assert_eq(m.method, PQ_METHOD_STDIN);
    cr_assert(m.stdin_data.eof);
    cr_assert_not(pq_id_is_set(&m.id));
    cr_assert_str_eq(m.target.json, "7");
    pq_message_done(&m);

    expect_message(&m, "{\"jsonrpc\":\"2.0\",\"method\":\"resize\",\"params\":[],\"payload\":9}\n");
    cr_assert_eq(m.method, PQ_METHOD_NONE);
    cr_assert_eq(m.payload_bytes, 9);
    pq_message_done(&m);

    expect_message(&m, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"close\"}\n");
    cr_assert_eq(m.method, PQ_METHOD_CLOSE);
    pq_message_done(&m);
}

Test(message, ids_are_equal_by_value_and_type)
{
    pq_id one = {"1"}, text = {"\"1\""}, same = {"1"};
    cr_assert(pq_id_equal(&one, &same));
    cr_assert_not(pq_id_equal(&one, &text));

    pq_message m;
    expect_message(&m, "{\"jsonrpc\":\"2.0\",\"id\":1.0e1,\"method\":\"close\"}\n");
    cr_assert_str_eq(m.id.json, "10");
    pq_message_done(&m);
}

Test(message, what_is_no_request)
{
    const pq_rpc_code bad = PQ_RPC_INVALID_REQUEST;
    expect_refusal("[]\n", bad, "a message is an object; batches are not supported");
    expect_refusal("7\n", bad, "a message is an object; batches are not supported");
    expect_refusal("{\"id\":1,\"method\":\"close\"}\n", bad, "jsonrpc must be \"2.0\"");
    expect_refusal("{\"jsonrpc\":2.0,\"id\":1,\"method\":\"close\"}\n", bad,
                   "jsonrpc must be \"2.0\"");
    expect_refusal("{\"jsonrpc\":\"2.0\",\"id\":1}\n", bad, "method must be a string");
    expect_refusal("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":2}\n", bad, "method must be a string");
    expect_refusal("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"close\"}\n", bad,
                   "id must not be null");
    expect_refusal("{\"jsonrpc\":\"2.0\",\"method\":\"close\"}\n", bad, "close needs an id");
    expect_refusal("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"stdin\"}\n", bad,
                   "stdin is a notification and has no id");
    expect_refusal("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\\nb\"}\n", PQ_RPC_NO_METHOD,
                   "there is no method 'a b'");

    static const char *const ids[] = {"true", "[]",      "{}",           "1.5",        "1e300",
                                      "\"\"", "\"\\n\"", "\"\xC3\xA4\"", "\"\\u0000\""};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",\"id\":%s,\"method\":\"close\"}\n",
                 ids[i]);
        expect_refusal(text, bad,
                       "id must be a whole number or 1 to 64 printable ASCII characters");
    }
}

Test(message, refusals_keep_the_id)
{
    pq_message m;
    pq_rpc_code code;
    pq_error err;
    cr_assert_eq(
        parse(&m, "{\"jsonrpc\":\"2.0\",\"id\":\"a\",\"method\":\"cancel\"}\n", &code, &err), -1);
    cr_assert_str_eq(m.id.json, "\"a\"");
    pq_message_done(&m);
}

Test(message, params_of_the_wrong_kind)
{
    expect_params_refused("close", "[]", "params must be an object");
    expect_params_refused("ping", "{\"vm\":true}", "vm must be a string or a whole number");
    expect_params_refused("ping", "{\"vm\":1.5}", "vm must be a string or a whole number");
    expect_params_refused("ping", "{\"vm\":\"\"}", "vm must not be empty");
    expect_params_refused("ping", "{\"vm\":\"\\u0000\"}", "text must not have U+0000");
    expect_params_refused("ping", "{\"options\":[]}", "options must be an object");
    expect_params_refused("hello", "{}", "version is missing");
    expect_params_refused("hello", "{\"version\":null}", "version is missing");
    expect_params_refused("hello", "{\"version\":\"1\"}", "version must be a whole number");
    expect_params_refused("hello", "{\"version\":1,\"client\":1}", "client must be a string");
    expect_params_refused("cancel", "{}", "id is missing");
    expect_params_refused("put_file", "{\"in_path\":\"a\"}", "out_path is missing");
    expect_params_refused("put_file", "{\"in_path\":\"\",\"out_path\":\"a\"}",
                          "in_path must not be empty");
    expect_params_refused("put_file", "{\"out_path\":\"a\"}",
                          "in_path is missing, and there is no payload");
    expect_params_refused("fetch_file", "{\"out_path\":\"a\"}", "in_path is missing");
    static const char *const modes[] = {"420",        "\"\"",   "\"888\"",
                                        "\"010000\"", "\"-1\"", "\"77777\""};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        char params[96];
        snprintf(params, sizeof params, "{\"in_path\":\"a\",\"out_path\":\"a\",\"mode\":%s}",
                 modes[i]);
        expect_params_refused("put_file", params,
                              "mode must be octal permissions as a string, as in \"0644\"");
    }
}

Test(message, exec_params_of_the_wrong_kind)
{
    static const char *const rows[][2] = {
        {"{}", "cmd is missing"},
        {"{\"cmd\":1}", "cmd must be a string"},
        {"{\"cmd\":\"a\",\"cmd_base64\":\"YQ==\"}", "cmd and cmd_base64 exclude each other"},
        {"{\"cmd_base64\":\"!\"}", "cmd_base64 must be base64"},
        {"{\"cmd_base64\":\"AA==\"}", "cmd_base64 must not have a NUL byte"},
        {"{\"cmd\":\"a\",\"executable\":[]}", "executable must be a string"},
        {"{\"cmd\":\"a\",\"cwd\":{}}", "cwd must be a string"},
        {"{\"cmd\":\"a\",\"live\":1}", "live must be true or false"},
        {"{\"cmd\":\"a\",\"live\":\"1\"}", "live must be true or false"},
        {"{\"cmd\":\"a\",\"remember\":1}", "remember must be true or false"},
        {"{\"cmd\":\"a\",\"timeout\":0}", "timeout must be a number of seconds above 0"},
        {"{\"cmd\":\"a\",\"timeout\":\"1\"}", "timeout must be a number of seconds above 0"},
        {"{\"cmd\":\"a\",\"timeout\":1e12}", "timeout must be a number of seconds above 0"},
        {"{\"cmd\":\"a\",\"timeout\":1e999}", "timeout must be a number of seconds above 0"},
        {"{\"cmd\":\"a\",\"env\":[\"A=1\"]}", "env must be an object"},
        {"{\"cmd\":\"a\",\"env\":{\"A\":1}}", "env must be an object of strings"},
        {"{\"cmd\":\"a\",\"env\":{\"A=\":\"1\"}}", "env has a name that is empty or has a '='"},
        {"{\"cmd\":\"a\",\"env\":{\"\":\"1\"}}", "env has a name that is empty or has a '='"},
        {"{\"cmd\":\"a\",\"stdin\":\"data\"}",
         "stdin must be \"stream\", or absent for the payload"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_params_refused("exec_command", rows[i][0], rows[i][1]);
}

Test(message, payload_where_there_may_be_none)
{
    expect_refusal("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\",\"payload\":1}\n",
                   PQ_RPC_INVALID_PARAMS, "ping: there must be no payload");
    expect_refusal(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"put_file\",\"params\":{\"in_path\":\"a\","
        "\"out_path\":\"b\"},\"payload\":0}\n",
        PQ_RPC_INVALID_PARAMS, "put_file: in_path and payload exclude each other");
    expect_refusal(
        "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"exec_command\",\"params\":{\"cmd\":\"a\","
        "\"stdin\":\"stream\"},\"payload\":1}\n",
        PQ_RPC_INVALID_PARAMS, "exec_command: payload and stdin \"stream\" exclude each other");
}

/* A request whose text member `name` is `length` times 'x', which base64 takes for three bytes
 * in four. */
static char *long_text(const char *method, const char *name, size_t length)
{
    char *text = malloc(length + 256);
    cr_assert_not_null(text);
    int used =
        sprintf(text, "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":{\"%s\":\"",
                method, name);
    memset(text + used, 'x', length);
    strcpy(text + used + length, "\"}}\n");
    return text;
}

Test(message, text_limits_are_exact)
{
    static const struct {
        const char *method, *name;
        size_t maximum;
        const char *refusal;
    } rows[] = {
        {"exec_command", "cmd", PQ_PROTO_CMD_MAX,
         "exec_command: cmd must not be longer than 1048576 bytes"},
        {"ping", "vm", PQ_PROTO_NAME_MAX, "ping: vm must not be longer than 255 bytes"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pq_message m;
        char *text = long_text(rows[i].method, rows[i].name, rows[i].maximum);
        expect_message(&m, text);
        pq_message_done(&m);
        free(text);
        text = long_text(rows[i].method, rows[i].name, rows[i].maximum + 1);
        expect_refusal(text, PQ_RPC_INVALID_PARAMS, rows[i].refusal);
        free(text);
    }
    char *text = long_text("exec_command", "cmd_base64", PQ_PROTO_CMD_MAX / 3 * 4 + 4);
    expect_refusal(text, PQ_RPC_INVALID_PARAMS,
                   "exec_command: cmd_base64 must not stand for more than 1048576 bytes");
    free(text);
}

Test(message, admit_keeps_the_order)
{
    static const struct {
        pq_message_session session;
        const char *text;
        bool in_flight;
        pq_rpc_code code; /* 0: admitted */
        const char *refusal;
    } rows[] = {
        {{false, false},
         "\"id\":1,\"method\":\"hello\",\"params\":{\"version\":1}",
         false,
         0,
         NULL},
        {{false, false},
         "\"id\":1,\"method\":\"hello\",\"params\":{\"version\":2}",
         false,
         PQ_RPC_FAILED,
         "protocol version 2 is not spoken here, only 1"},
        {{true, false},
         "\"id\":1,\"method\":\"hello\",\"params\":{\"version\":1}",
         false,
         PQ_RPC_INVALID_REQUEST,
         "hello was said already"},
        {{false, false},
         "\"id\":1,\"method\":\"ping\"",
         false,
         PQ_RPC_INVALID_REQUEST,
         "hello must come first"},
        {{true, false}, "\"id\":1,\"method\":\"ping\"", false, 0, NULL},
        {{true, false},
         "\"id\":1,\"method\":\"ping\"",
         true,
         PQ_RPC_INVALID_REQUEST,
         "id 1 is in flight already"},
        {{true, true},
         "\"id\":1,\"method\":\"ping\"",
         false,
         PQ_RPC_INVALID_REQUEST,
         "ping must not follow close"},
        {{true, true}, "\"id\":1,\"method\":\"cancel\",\"params\":{\"id\":2}", false, 0, NULL},
        {{true, true}, "\"method\":\"stdin\",\"params\":{\"id\":2}", false, 0, NULL},
        {{false, false}, "\"method\":\"unheard\"", false, 0, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[256];
        pq_message m;
        pq_rpc_code code = 0;
        pq_error err;
        snprintf(text, sizeof text, "{\"jsonrpc\":\"2.0\",%s}\n", rows[i].text);
        expect_message(&m, text);
        int result = pq_message_admit(&rows[i].session, &m, rows[i].in_flight, &code, &err);
        cr_assert_eq(result, rows[i].code == 0 ? 0 : -1, "%s", text);
        if (result < 0) {
            cr_assert_eq(code, rows[i].code);
            cr_assert_str_eq(err.text, rows[i].refusal);
            cr_assert_eq(pq_id_is_set(&m.id), !rows[i].in_flight);
        }
        pq_message_done(&m);
    }
}
