#include "transport/pve/errors.h"

#include <stdio.h>
#include <string.h>

/* Text of a refusal, the texts of bad parameters included. */
#define TEXT_MAX 400

/* A text that PVE or the guest's agent is known to send, and what it means. */
typedef struct known {
    int status;         /* 0: any */
    const char *start;  /* the text begins with this; "" for any */
    const char *inside; /* and has this somewhere behind it; "" for any */
    pq_code code;
    bool may_have_acted; /* the effect is what the kind of call can have */
    bool retryable;
    pq_refusal refusal;
    const char *note; /* appended */
} known;

#define AGENT "Agent error: "

/* The first match counts. Everything refused before the agent is asked, or by the agent, did
 * nothing in the guest. Sources: qemu-server (PVE::QemuServer::Agent, PVE::QMPClient),
 * pve-cluster, pve-http-server, QEMU (qga). */
static const known table[] = {
    {500, "QEMU guest agent is not running", "", PQ_E_AGENT_DOWN, false, true, 0, ""},
    {500, "No QEMU guest agent configured", "", PQ_E_AGENT_OFF, false, false, 0, ""},
    {500, "VM ", "failed - unable to connect to", PQ_E_AGENT_DOWN, false, true, 0, ""},
    {500, "VM ", "failed - got timeout", PQ_E_AGENT_TIMEOUT, true, true, 0, ""},
    {500, "VM ", " qga command ", PQ_E_AGENT, true, true, 0, ""},
    {500, "VM ", " not running", PQ_E_VM_STOPPED, false, false, 0, ""},
    {500, "unable to open monitor socket", "", PQ_E_AGENT_DOWN, false, true, 0, ""},
    {500, "Configuration file '", "' does not exist", PQ_E_VM_UNKNOWN, false, false,
     PQ_REFUSAL_PLACE, ""},
    {500, "hostname lookup '", "' failed", PQ_E_NODE_UNKNOWN, false, false, PQ_REFUSAL_PLACE, ""},
    {500, "no such cluster node", "", PQ_E_NODE_UNKNOWN, false, false, PQ_REFUSAL_PLACE, ""},
    {500, AGENT "Invalid parameter 'pid'", "", PQ_E_NO_SUCH_PID, false, false, 0, ""},
    {500, AGENT "PID ", " does not exist", PQ_E_NO_SUCH_PID, false, false, 0, ""},
    {500, AGENT "failed to ", "No such file or directory", PQ_E_NOT_FOUND, false, false, 0, ""},
    {500, AGENT "failed to ", "Is a directory", PQ_E_IS_DIRECTORY, false, false, 0, ""},
    {500, AGENT "failed to ", "", PQ_E_REMOTE_FILE, false, false, 0, ""},
    {500, AGENT, "Failed to execute child process", PQ_E_NO_EXECUTABLE, false, false, 0, ""},
    {500, AGENT, "has been disabled: the agent is in frozen state", PQ_E_AGENT_FROZEN, false, true,
     0, ""},
    {500, AGENT, "has been disabled: ", PQ_E_AGENT_DISABLED, false, false, 0, ""},
    {500, AGENT, "has been disabled", PQ_E_AGENT_DISABLED, false, false, 0,
     " (old agents also say so while the filesystems are frozen for a backup)"},
    {500, AGENT, "has not been found", PQ_E_UNSUPPORTED, false, false, 0, ""},
    {500, AGENT, "", PQ_E_AGENT, false, false, 0, ""},
    {500, "Wide character", "", PQ_E_INTERNAL, false, false, 0, ""},
    {501, "for data too large", "", PQ_E_TOO_LARGE, false, true, PQ_REFUSAL_BODY, ""},
    {413, "", "", PQ_E_TOO_LARGE, false, true, PQ_REFUSAL_BODY, ""},
    {501, "", "", PQ_E_UNSUPPORTED, false, false, 0, ""},
    {506, "", "ontent-Type", PQ_E_UNSUPPORTED, false, false, PQ_REFUSAL_JSON, ""},
    {400, "", "", PQ_E_HTTP, false, false, 0, ""},
    {404, "", "", PQ_E_HTTP, false, false, 0, ""},
    /* AnyEvent::HTTP, with which pveproxy asks pvedaemon or another node: 595 is from before the
     * connection was there, 596 from sending up to the headers, 597 from the body. */
    {595, "", "", PQ_E_NETWORK, false, true, 0, ""},
    {596, "", "certificate verify failed", PQ_E_NETWORK, false, false, 0,
     "; the nodes do not accept each other's certificates"},
    {0, "", "", PQ_E_HTTP, true, false, 0, ""},
};

pq_effect pq_api_possible_effect(pq_api_kind kind)
{
    return kind == PQ_API_EXEC || kind == PQ_API_STATUS ? PQ_EFFECT_UNKNOWN : PQ_EFFECT_NONE;
}

/* ---- the text ---- */

static void append(char *text, const char *more)
{
    size_t length = strlen(text);
    snprintf(text + length, TEXT_MAX - length, "%s", more);
}

static void append_errors(char *text, const pq_json *errors)
{
    char part[TEXT_MAX];
    size_t length = strlen(text);
    if (length > 0 && text[length - 1] == '.')
        text[length - 1] = '\0';
    const char *separator = ": ";
    for (const pq_json *item = pq_json_first(errors); item != NULL; item = pq_json_next(item)) {
        const char *name = pq_json_name(item);
        const char *value = pq_json_string_value(item);
        if (name == NULL || value == NULL)
            continue;
        append(text, separator);
        pq_error_clean(part, sizeof part, name, strlen(name));
        append(text, part);
        append(text, ": ");
        pq_error_clean(part, sizeof part, value, strlen(value));
        append(text, part);
        separator = ", ";
    }
}

/* The body's message rather than the status line, which cuts at the first line end. */
static void find_text(char text[TEXT_MAX], int status, const char *reason, const pq_json *body)
{
    const char *message = pq_json_text(body, "message");
    text[0] = '\0';
    if (message != NULL)
        pq_error_clean(text, TEXT_MAX, message, strlen(message));
    if (text[0] == '\0')
        pq_error_clean(text, TEXT_MAX, reason, strlen(reason));
    if (text[0] == '\0')
        snprintf(text, TEXT_MAX, "status %d without a reason", status);
    append_errors(text, pq_json_member(body, "errors"));
}

/* ---- special cases ---- */

/* A daemon that takes a JSON body for a form finds a field with a strange name, or no `command`. */
static bool is_json_refusal(const pq_json *errors)
{
    for (const pq_json *item = pq_json_first(errors); item != NULL; item = pq_json_next(item)) {
        const char *name = pq_json_name(item);
        if (name != NULL && (name[0] == '{' || strcmp(name, "command") == 0))
            return true;
    }
    return false;
}

static bool is_range_refusal(const pq_json *errors)
{
    return pq_json_member(errors, "offset") != NULL || pq_json_member(errors, "count") != NULL ||
           pq_json_member(errors, "decode") != NULL;
}

static pq_refusal bad_parameter(pq_api_kind kind, const pq_json *body)
{
    const pq_json *errors = pq_json_member(body, "errors");
    if (kind == PQ_API_EXEC && is_json_refusal(errors))
        return PQ_REFUSAL_JSON;
    if (kind == PQ_API_READ && is_range_refusal(errors))
        return PQ_REFUSAL_RANGES;
    return PQ_REFUSAL_FINAL;
}

/* What each kind of call needs, for servers that do not say. */
static const char *privilege(pq_api_kind kind)
{
    switch (kind) {
    case PQ_API_EXEC:
    case PQ_API_STATUS:
        return "VM.GuestAgent.Unrestricted (VM.Monitor before PVE 9)";
    case PQ_API_READ:
        return "VM.GuestAgent.FileRead or VM.GuestAgent.Unrestricted (VM.Monitor before PVE 9)";
    case PQ_API_PING:
    case PQ_API_QUERY:
        return "VM.GuestAgent.Audit (VM.Monitor before PVE 9)";
    case PQ_API_LOOKUP:
        return "VM.Audit";
    case PQ_API_LOGIN:
        break;
    }
    return "an API login";
}

static void forbidden(pq_api_kind kind, const char *text, pq_error *err)
{
    const char *named = strstr(text, "VM.");
    if (named == NULL)
        pq_fail(err, PQ_E_PERMISSION, "%s; this needs %s", text, privilege(kind));
    else if (strstr(named, "VM.Monitor") != NULL)
        pq_fail(err, PQ_E_PERMISSION, "%s; PVE 8 and older need VM.Monitor for guest agent calls",
                text);
    else if (strstr(named, "VM.GuestAgent.") != NULL)
        pq_fail(err, PQ_E_PERMISSION,
                "%s; PVE 9 needs VM.GuestAgent.* privileges, VM.Monitor is gone", text);
    else
        pq_fail(err, PQ_E_PERMISSION, "%s", text);
}

/* 596, 597, 599 of pveproxy and 502-504 of a reverse proxy: the server behind did not answer, or
 * not in time, or not in HTTP. */
static bool is_gateway_error(int status)
{
    return (status >= 596 && status <= 599) || (status >= 502 && status <= 504);
}

static void gateway_error(pq_api_kind kind, int status, const char *text, pq_error *err)
{
    /* A missing program makes the agent answer with typographic quotes, which pvedaemon cannot
     * send on: the connection between the daemons breaks. */
    const char *note = kind == PQ_API_EXEC && status == 596
                           ? "; it may have run, or the program does not exist in the guest"
                           : "";
    pq_fail_effect(err, PQ_E_NETWORK, pq_api_possible_effect(kind), true,
                   "the node's API daemon did not answer: %d %s%s", status, text, note);
}

/* ---- the table ---- */

static bool matches(const known *entry, int status, const char *text)
{
    size_t start = strlen(entry->start);
    if (entry->status != 0 && entry->status != status)
        return false;
    return strncmp(text, entry->start, start) == 0 && strstr(text + start, entry->inside) != NULL;
}

static const known *look_up(int status, const char *text)
{
    const known *entry = table;
    while (!matches(entry, status, text))
        entry++;
    return entry;
}

static const char *timeout_note(pq_api_kind kind)
{
    switch (kind) {
    case PQ_API_EXEC:
        return "; the command may have run";
    case PQ_API_STATUS:
        return "; output of more than about 2 MiB cannot be fetched this way and is lost";
    default:
        return "";
    }
}

static void describe(const known *entry, pq_api_kind kind, int status, const char *text,
                     pq_error *err)
{
    pq_effect effect = entry->may_have_acted ? pq_api_possible_effect(kind) : PQ_EFFECT_NONE;
    const char *note = entry->code == PQ_E_AGENT_TIMEOUT ? timeout_note(kind) : entry->note;
    if (entry->code == PQ_E_HTTP || entry->code == PQ_E_NETWORK)
        pq_fail_effect(err, entry->code, effect, entry->retryable, "the API refused: %d %s%s",
                       status, text, note);
    else
        pq_fail_effect(err, entry->code, effect, entry->retryable, "%s%s", text, note);
}

pq_refusal pq_api_refused(pq_api_kind kind, int status, const char *reason, const pq_json *body,
                          pq_error *err)
{
    char text[TEXT_MAX];
    find_text(text, status, reason, body);
    if (status == 401) {
        pq_fail(err, PQ_E_AUTH, "the API did not accept the credentials: %s", text);
        return PQ_REFUSAL_LOGIN;
    }
    if (status == 403) {
        forbidden(kind, text, err);
        return PQ_REFUSAL_FINAL;
    }
    if (status / 100 == 3) {
        pq_fail(err, PQ_E_BAD_ANSWER, "the server redirects: %d %s", status, text);
        return PQ_REFUSAL_FINAL;
    }
    const known *entry = look_up(status, text);
    if (is_gateway_error(status) && entry->may_have_acted) {
        gateway_error(kind, status, text, err);
        return PQ_REFUSAL_FINAL;
    }
    describe(entry, kind, status, text, err);
    return status == 400 ? bad_parameter(kind, body) : entry->refusal;
}
