/* What the API's refusals mean. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "transport/pve/errors.h"

#define NONE PQ_EFFECT_NONE
#define UNKNOWN PQ_EFFECT_UNKNOWN

typedef struct row {
    pq_api_kind kind;
    int status;
    const char *text; /* of the status line, and of `message` */
    pq_code code;
    pq_effect effect;
    bool retryable;
    pq_refusal refusal;
    const char *part; /* of the error's text */
} row;

static const row rows[] = {
    {PQ_API_EXEC, 500, "VM 101 is not running", PQ_E_VM_STOPPED, NONE, false, 0, "VM 101"},
    {PQ_API_EXEC, 500, "VM 101 not running", PQ_E_VM_STOPPED, NONE, false, 0, "VM 101"},
    {PQ_API_EXEC, 500, "No QEMU guest agent configured", PQ_E_AGENT_OFF, NONE, false, 0, "agent"},
    {PQ_API_EXEC, 500, "QEMU guest agent is not running", PQ_E_AGENT_DOWN, NONE, true, 0, "agent"},
    {PQ_API_STATUS, 500, "QEMU guest agent is not running", PQ_E_AGENT_DOWN, NONE, true, 0, ""},
    {PQ_API_EXEC, 500, "VM 100 qga command 'guest-exec' failed - got timeout", PQ_E_AGENT_TIMEOUT,
     UNKNOWN, true, 0, "may have run"},
    {PQ_API_STATUS, 500, "VM 100 qga command 'guest-exec-status' failed - got timeout",
     PQ_E_AGENT_TIMEOUT, UNKNOWN, true, 0, "2 MiB"},
    {PQ_API_READ, 500, "VM 100 qga command 'guest-file-read' failed - got timeout",
     PQ_E_AGENT_TIMEOUT, NONE, true, 0, "got timeout"},
    {PQ_API_EXEC, 500,
     "VM 100 qga command 'guest-exec' failed - unable to connect to VM 100 qga socket - timeout "
     "after 51 retries",
     PQ_E_AGENT_DOWN, NONE, true, 0, "qga socket"},
    {PQ_API_EXEC, 500, "VM 100 qga command 'guest-exec' failed - client closed connection",
     PQ_E_AGENT, UNKNOWN, true, 0, "closed connection"},
    {PQ_API_EXEC, 500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist",
     PQ_E_VM_UNKNOWN, NONE, false, PQ_REFUSAL_PLACE, "999.conf"},
    {PQ_API_EXEC, 500, "hostname lookup 'x' failed - failed to get address info for: x",
     PQ_E_NODE_UNKNOWN, NONE, false, PQ_REFUSAL_PLACE, "'x'"},
    {PQ_API_EXEC, 500, "no such cluster node 'x'", PQ_E_NODE_UNKNOWN, NONE, false, PQ_REFUSAL_PLACE,
     "'x'"},
    {PQ_API_STATUS, 500, "Agent error: Invalid parameter 'pid'", PQ_E_NO_SUCH_PID, NONE, false, 0,
     "pid"},
    {PQ_API_STATUS, 500, "Agent error: PID 12 does not exist", PQ_E_NO_SUCH_PID, NONE, false, 0,
     "12"},
    {PQ_API_EXEC, 500, "Agent error: Command guest-exec has been disabled", PQ_E_AGENT_DISABLED,
     NONE, false, 0, "frozen for a backup"},
    {PQ_API_EXEC, 500, "Agent error: The command guest-exec has been disabled for this instance",
     PQ_E_AGENT_DISABLED, NONE, false, 0, "frozen for a backup"},
    {PQ_API_EXEC, 500,
     "Agent error: Command guest-exec has been disabled: the command is not allowed",
     PQ_E_AGENT_DISABLED, NONE, false, 0, "not allowed"},
    {PQ_API_EXEC, 500,
     "Agent error: Command guest-exec has been disabled: the agent is in frozen state",
     PQ_E_AGENT_FROZEN, NONE, true, 0, "frozen state"},
    {PQ_API_EXEC, 500, "Agent error: The command guest-exec has not been found", PQ_E_UNSUPPORTED,
     NONE, false, 0, "guest-exec"},
    {PQ_API_EXEC, 500,
     "Agent error: Guest agent command failed, error was 'Failed to execute child process \"/x\" "
     "(No such file or directory)'",
     PQ_E_NO_EXECUTABLE, NONE, false, 0, "/x"},
    {PQ_API_READ, 500,
     "Agent error: failed to open file '/x' (mode: 'r'): No such file or directory", PQ_E_NOT_FOUND,
     NONE, false, 0, "/x"},
    {PQ_API_READ, 500, "Agent error: failed to read file: Is a directory", PQ_E_IS_DIRECTORY, NONE,
     false, 0, "directory"},
    {PQ_API_READ, 500, "Agent error: failed to open file '/x' (mode: 'r'): Permission denied",
     PQ_E_REMOTE_FILE, NONE, false, 0, "denied"},
    /* What a guest puts into its texts must not pass for PVE's own. */
    {PQ_API_READ, 500,
     "Agent error: failed to open file '/VM 1 is not running' (mode: 'r'): Permission denied",
     PQ_E_REMOTE_FILE, NONE, false, 0, "denied"},
    {PQ_API_EXEC, 500, "Agent error: VM 100 qga command failed - got timeout", PQ_E_AGENT, NONE,
     false, 0, "Agent error"},
    {PQ_API_EXEC, 500, "Wide character in subroutine entry at /usr/share/perl5/x.pm line 1.",
     PQ_E_INTERNAL, NONE, false, 0, "Wide"},
    {PQ_API_EXEC, 500, "something new", PQ_E_HTTP, UNKNOWN, false, 0, "500 something new"},
    {PQ_API_READ, 500, "something new", PQ_E_HTTP, NONE, false, 0, "500 something new"},
    {PQ_API_EXEC, 501, "for data too large", PQ_E_TOO_LARGE, NONE, true, PQ_REFUSAL_BODY, "large"},
    {PQ_API_EXEC, 413, "Request Entity Too Large", PQ_E_TOO_LARGE, NONE, true, PQ_REFUSAL_BODY,
     "Large"},
    {PQ_API_EXEC, 501, "Method 'POST /x' not implemented", PQ_E_UNSUPPORTED, NONE, false, 0, "/x"},
    {PQ_API_EXEC, 506, "upload 'Content-Type 'application/json' not implemented", PQ_E_UNSUPPORTED,
     NONE, false, PQ_REFUSAL_JSON, "json"},
    {PQ_API_EXEC, 595, "Connection refused", PQ_E_NETWORK, NONE, true, 0, "595"},
    {PQ_API_EXEC, 596, "Broken pipe", PQ_E_NETWORK, UNKNOWN, true, 0,
     "does not exist in the guest"},
    {PQ_API_STATUS, 596, "Broken pipe", PQ_E_NETWORK, UNKNOWN, true, 0, "596 Broken pipe"},
    {PQ_API_READ, 596, "Connection timed out", PQ_E_NETWORK, NONE, true, 0, "596"},
    {PQ_API_EXEC, 596, "tls_process_server_certificate: certificate verify failed", PQ_E_NETWORK,
     NONE, false, 0, "each other's certificates"},
    {PQ_API_EXEC, 597, "Unexpected end-of-file", PQ_E_NETWORK, UNKNOWN, true, 0, "597"},
    {PQ_API_EXEC, 599, "Too many redirections", PQ_E_NETWORK, UNKNOWN, true, 0, "599"},
    {PQ_API_EXEC, 502, "Bad Gateway", PQ_E_NETWORK, UNKNOWN, true, 0, "502"},
    {PQ_API_EXEC, 504, "Gateway Time-out", PQ_E_NETWORK, UNKNOWN, true, 0, "504"},
    {PQ_API_PING, 503, "Service Unavailable", PQ_E_NETWORK, NONE, true, 0, "503"},
    {PQ_API_EXEC, 301, "Moved Permanently", PQ_E_BAD_ANSWER, NONE, false, 0, "redirects"},
    {PQ_API_EXEC, 404, "Not Found", PQ_E_HTTP, NONE, false, 0, "404"},
    {PQ_API_EXEC, 401, "No ticket", PQ_E_AUTH, NONE, false, PQ_REFUSAL_LOGIN, "No ticket"},
    {PQ_API_EXEC, 401, "Permission denied - invalid csrf token", PQ_E_AUTH, NONE, false,
     PQ_REFUSAL_LOGIN, "csrf"},
    {PQ_API_EXEC, 403, "Permission check failed (/vms/100, VM.Monitor)", PQ_E_PERMISSION, NONE,
     false, 0, "PVE 8 and older need VM.Monitor"},
    {PQ_API_EXEC, 403, "Permission check failed (/vms/100, VM.GuestAgent.Unrestricted)",
     PQ_E_PERMISSION, NONE, false, 0, "PVE 9 needs VM.GuestAgent"},
    {PQ_API_READ, 403, "Permission check failed", PQ_E_PERMISSION, NONE, false, 0,
     "VM.GuestAgent.FileRead or VM.GuestAgent.Unrestricted (VM.Monitor before PVE 9)"},
    {PQ_API_LOOKUP, 403, "Permission check failed (/vms/100, VM.Audit)", PQ_E_PERMISSION, NONE,
     false, 0, "VM.Audit"},
};

static pq_json *parse(const char *text)
{
    char copy[1000];
    pq_error err;
    snprintf(copy, sizeof copy, "%s", text);
    pq_json *value = pq_json_parse(copy, strlen(copy), &err);
    cr_assert_not_null(value, "%s: %s", err.text, text);
    return value;
}

static void check(const row *r, const char *reason, const pq_json *body)
{
    pq_error err = {0};
    pq_refusal refusal = pq_api_refused(r->kind, r->status, reason, body, &err);
    cr_expect_eq(err.code, r->code, "%s gives %s", r->text, pq_code_name(err.code));
    cr_expect_eq(err.effect, r->effect, "%s has effect %s", r->text, pq_effect_name(err.effect));
    cr_expect_eq(err.retryable, r->retryable, "%s is %sretryable", r->text,
                 err.retryable ? "" : "not ");
    cr_expect_eq(refusal, r->refusal, "%s gives refusal %d", r->text, (int)refusal);
    cr_expect_not_null(strstr(err.text, r->part), "'%s' is not in: %s", r->part, err.text);
    cr_expect_null(strchr(err.text, '\n'));
}

/* PVE 7 and early 8: the status line alone, perhaps with a body that says nothing. */
Test(pve_errors, text_in_the_status_line)
{
    pq_json *empty = parse("{\"data\":null}");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check(&rows[i], rows[i].text, NULL);
        check(&rows[i], rows[i].text, empty);
    }
    pq_json_free(empty);
}

/* Since then: the body as well, which is not cut at the first line end. */
Test(pve_errors, text_in_the_body)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[600];
        pq_buf quoted = {0};
        pq_error err;
        cr_assert_eq(pq_json_write_text(&quoted, rows[i].text, strlen(rows[i].text), &err), 0);
        snprintf(text, sizeof text, "{\"data\":null,\"message\":%.*s\\n\"}", (int)quoted.length - 1,
                 quoted.data);
        pq_json *body = parse(text);
        check(&rows[i], "cut", body);
        pq_json_free(body);
        pq_buf_done(&quoted);
    }
}

static pq_refusal refuse(pq_api_kind kind, const char *json, pq_error *err)
{
    pq_json *body = parse(json);
    pq_refusal refusal = pq_api_refused(kind, 400, "Parameter verification failed.", body, err);
    pq_json_free(body);
    cr_expect_eq(err->code, PQ_E_HTTP);
    cr_expect_eq(err->effect, NONE);
    return refusal;
}

#define MISSING "property is missing and it is not optional\\n"
#define NO_SCHEMA                                                                                  \
    "property is not defined in schema and the schema does not allow additional "                  \
    "properties\\n"

Test(pve_errors, bad_parameters_are_named)
{
    pq_error err;
    refuse(PQ_API_PING, "{\"errors\":{\"vmid\":\"bad\\nvalue\\n\"}}", &err);
    cr_assert_str_eq(err.text, "the API refused: 400 Parameter verification failed: "
                               "vmid: bad value");
    refuse(PQ_API_PING,
           "{\"message\":\"Parameter verification failed.\\n\",\"errors\":{\"a\":\"x\",\"b\":1,"
           "\"c\":\"z\"}}",
           &err);
    cr_assert_str_eq(err.text, "the API refused: 400 Parameter verification failed: a: x, c: z");
}

Test(pve_errors, a_json_body_that_is_not_understood)
{
    pq_error err;
    cr_expect_eq(refuse(PQ_API_EXEC, "{\"errors\":{\"command\":\"" MISSING "\"}}", &err),
                 PQ_REFUSAL_JSON);
    cr_expect_eq(
        refuse(PQ_API_EXEC,
               "{\"errors\":{\"{\\\"command\\\":[\\\"/bin/true\\\"]}\":\"" NO_SCHEMA "\"}}", &err),
        PQ_REFUSAL_JSON);
    cr_expect_eq(refuse(PQ_API_EXEC, "{\"errors\":{\"input-data\":\"too long\"}}", &err),
                 PQ_REFUSAL_FINAL);
    cr_expect_eq(refuse(PQ_API_PING, "{\"errors\":{\"command\":\"" MISSING "\"}}", &err),
                 PQ_REFUSAL_FINAL);
}

Test(pve_errors, ranges_that_are_not_understood)
{
    static const char *const names[] = {"offset", "count", "decode"};
    pq_error err;
    for (size_t i = 0; i < 3; i++) {
        char json[300];
        snprintf(json, sizeof json, "{\"errors\":{\"%s\":\"" NO_SCHEMA "\"}}", names[i]);
        cr_expect_eq(refuse(PQ_API_READ, json, &err), PQ_REFUSAL_RANGES);
        cr_expect_eq(refuse(PQ_API_EXEC, json, &err), PQ_REFUSAL_FINAL);
    }
}

Test(pve_errors, no_text_at_all)
{
    pq_error err;
    pq_json *body = parse("{\"message\":\"\\n\"}");
    pq_api_refused(PQ_API_EXEC, 413, "", body, &err);
    cr_expect_str_eq(err.text, "status 413 without a reason");
    pq_api_refused(PQ_API_EXEC, 413, "Too Large", body, &err);
    cr_expect_str_eq(err.text, "Too Large");
    pq_json_free(body);
}

Test(pve_errors, texts_are_cleaned_and_bounded)
{
    char reason[2000];
    pq_error err;
    memset(reason, 'x', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    memcpy(reason, "a\033[31m\xff", 7);
    pq_api_refused(PQ_API_EXEC, 500, reason, NULL, &err);
    cr_expect_null(strpbrk(err.text, "\033\xff"));
    cr_expect_lt(strlen(err.text), PQ_ERROR_TEXT_MAX);
}
