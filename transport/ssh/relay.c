#include "transport/ssh/relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "relay_script.h"
#include "transport/base/log.h"

#define GREETING "pve-qga-relay 1\n"

/* Answers hold at most what the relay takes from an agent, and their head. */
#define RECEIVED_MAX ((size_t)65 * 1024 * 1024)
#define TEXT_MAX ((size_t)64 * 1024 * 1024)

/* Exit status of the line where sudo does not allow perl. */
#define SUDO_STATUS 114

/* Longest head of an answer: a number, a word, a number. */
#define HEAD_MAX 64

struct pq_relay_call {
    pq_relay *relay;
    pq_relay_call *next, **link;
    uint64_t id;
    pq_qm_kind kind;
    pq_buf frame; /* until it is given to the channel */
    bool sent;
    bool over; /* `done` is due */
    pq_error failure;
    pq_buf answers;
    pq_relay_fn done; /* NULL: dropped */
    void *context;
};

static void serve(void *context);

void pq_relay_init(pq_relay *relay, pq_loop *loop, pq_ssh_session *session, bool sudo)
{
    *relay = (pq_relay){.loop = loop, .session = session, .sudo = sudo};
    relay->calls_end = &relay->calls;
}

static void call_free(pq_relay_call *call)
{
    *call->link = call->next;
    if (call->next != NULL)
        call->next->link = call->link;
    else
        call->relay->calls_end = call->link;
    pq_buf_wipe(&call->frame);
    pq_buf_done(&call->answers);
    free(call);
}

void pq_relay_done(pq_relay *relay)
{
    if (relay->command != NULL)
        pq_ssh_command_close(relay->command);
    relay->command = NULL;
    pq_defer_stop(&relay->serve);
    while (relay->calls != NULL)
        call_free(relay->calls);
}

/* ---- the end of calls ---- */

static void over(pq_relay_call *call)
{
    call->over = true;
    pq_defer_start(call->relay->loop, &call->relay->serve, serve, call->relay);
}

static void fail_call(pq_relay_call *call, const pq_error *err)
{
    if (call->over)
        return;
    call->failure = *err;
    if (!call->sent || call->kind == PQ_QM_ASK)
        call->failure.effect = PQ_EFFECT_NONE;
    else
        call->failure.effect = PQ_EFFECT_UNKNOWN;
    over(call);
}

/* Tells one caller, who may free everything; the others get their own turn. */
static void serve(void *context)
{
    pq_relay *relay = context;
    pq_relay_call *call = relay->calls;
    while (call != NULL && !call->over)
        call = call->next;
    if (call == NULL)
        return;
    pq_relay_call ended = *call;
    call->answers = (pq_buf){0};
    call_free(call);
    pq_defer_start(relay->loop, &relay->serve, serve, relay);
    if (ended.done != NULL)
        ended.done(ended.context, ended.failure.code != PQ_OK ? &ended.failure : NULL,
                   &ended.answers);
    pq_buf_done(&ended.answers);
}

static void fail_all(pq_relay *relay, const pq_error *err)
{
    for (pq_relay_call *call = relay->calls; call != NULL; call = call->next)
        fail_call(call, err);
}

/* ---- answers ---- */

int pq_relay_read(const char *bytes, size_t length, pq_relay_answer *ret, pq_error *err)
{
    char head[HEAD_MAX + 1], word[16], end;
    uint64_t id;
    size_t text;
    const char *line = memchr(bytes, '\n', length < HEAD_MAX ? length : HEAD_MAX);
    if (line == NULL && length < HEAD_MAX)
        return 0;
    size_t head_length = line != NULL ? (size_t)(line - bytes) : 0;
    memcpy(head, bytes, head_length);
    head[head_length] = '\0';
    bool good = head_length > 0 && strspn(head, "0123456789") > 0 && strchr(head, '-') == NULL &&
                sscanf(head, "%" SCNu64 " %15s %zu%c", &id, word, &text, &end) == 3 &&
                text <= TEXT_MAX;
    bool ok = good && strcmp(word, "ok") == 0;
    bool unknown = good && strcmp(word, "unknown") == 0;
    if (!good || (!ok && !unknown && strcmp(word, "none") != 0))
        return pq_fail(err, PQ_E_BAD_ANSWER, "the relay's answer cannot be read");
    if (length - head_length - 1 < text)
        return 0;
    *ret = (pq_relay_answer){id, ok, unknown, head_length + 1, text};
    return 1;
}

static void take_reason(pq_relay_call *call, const pq_relay_answer *answer, const char *text)
{
    char clean[300];
    pq_error_clean(clean, sizeof clean, text, answer->length);
    pq_qm_refused(call->kind, clean, &call->failure);
    if (!answer->unknown)
        call->failure.effect = PQ_EFFECT_NONE;
    over(call);
}

static void take_answer(pq_relay *relay, const pq_relay_answer *answer, const char *text)
{
    pq_relay_call *call = relay->calls;
    pq_error err;
    while (call != NULL && (call->id != answer->id || call->over))
        call = call->next;
    if (call == NULL)
        return;
    if (!answer->ok)
        take_reason(call, answer, text);
    else if (pq_buf_add(&call->answers, text, answer->length, &err) < 0)
        fail_call(call, &err);
    else
        over(call);
}

static void send_waiting(pq_relay *relay)
{
    pq_error err;
    for (pq_relay_call *call = relay->calls; call != NULL; call = call->next) {
        if (call->sent || call->over)
            continue;
        if (call->done == NULL) {
            over(call);
        } else if (pq_ssh_command_write(relay->command, call->frame.data, call->frame.length,
                                        &err) < 0) {
            fail_call(call, &err);
        } else {
            call->sent = true;
        }
        pq_buf_wipe(&call->frame);
    }
}

static void stop(pq_relay *relay, const pq_error *err)
{
    if (relay->command != NULL)
        pq_ssh_command_close(relay->command);
    relay->command = NULL;
    relay->ready = false;
    fail_all(relay, err);
}

/* What a login shell prints may come before the greeting. */
static void greet(pq_relay *relay, pq_buf *out)
{
    const char *greeting =
        out->length > 0 ? memmem(out->data, out->length, GREETING, sizeof GREETING - 1) : NULL;
    if (greeting == NULL)
        return;
    pq_buf_consume(out, (size_t)(greeting - out->data) + sizeof GREETING - 1);
    relay->ready = true;
    pq_log(PQ_LOG_DEBUG, "the relay on %s runs", pq_ssh_session_name(relay->session));
    send_waiting(relay);
}

static void received(void *context)
{
    pq_relay *relay = context;
    pq_relay_answer answer;
    pq_error err;
    pq_buf *out = pq_ssh_command_output(relay->command);
    if (!relay->ready)
        greet(relay, out);
    size_t at = 0;
    while (relay->ready && at < out->length) {
        int whole = pq_relay_read(out->data + at, out->length - at, &answer, &err);
        if (whole < 0) {
            stop(relay, &err);
            return;
        }
        if (whole == 0)
            break;
        take_answer(relay, &answer, out->data + at + answer.start);
        at += answer.start + answer.length;
    }
    pq_buf_consume(out, at);
}

/* ---- the program ---- */

static void explain_end(const pq_relay *relay, const pq_ssh_result *result, pq_error *err)
{
    char text[300];
    pq_error_clean(text, sizeof text, result->err.length > 0 ? result->err.data : "",
                   result->err.length);
    if (!relay->ready && pq_qm_surroundings(text, err))
        return;
    if (!relay->ready && result->status == SUDO_STATUS) {
        pq_fail(err, PQ_E_SUDO, "sudo on %s does not allow perl, which the method socket needs",
                pq_ssh_session_name(relay->session));
        return;
    }
    pq_fail_effect(err, relay->ready ? PQ_E_NETWORK : PQ_E_NODE_TOOL, PQ_EFFECT_NONE, relay->ready,
                   "the relay on %s ended (exit status %d)%s%s",
                   pq_ssh_session_name(relay->session), result->status, text[0] != '\0' ? ": " : "",
                   text);
}

static void ended(void *context, const pq_error *err, pq_ssh_result *result)
{
    pq_relay *relay = context;
    pq_error why;
    if (err != NULL)
        why = *err;
    else
        explain_end(relay, result, &why);
    relay->command = NULL;
    relay->ready = false;
    fail_all(relay, &why);
}

static int start_program(pq_relay *relay, pq_error *err)
{
    char line[400], ask[64] = "";
    pq_buf input = {0};
    const size_t length = sizeof pq_script_relay - 1;
    if (relay->sudo && relay->asks_first)
        snprintf(ask, sizeof ask, "sudo -n -l perl >/dev/null 2>&1 || exit %d; ", SUDO_STATUS);
    snprintf(line, sizeof line,
             "exec sh -c '%sexec %sperl -e \"$1\"' sh '$_=\"\";while(length()<%zu){"
             "sysread(STDIN,$_,%zu-length(),length())or exit 113}eval;die $@ if $@'",
             ask, relay->sudo ? "sudo -n " : "", length, length);
    if (pq_buf_add(&input, pq_script_relay, length, err) < 0)
        return -1;
    relay->command =
        pq_ssh_command_start(relay->session, &(pq_ssh_command_options){.line = line,
                                                                       .input = &input,
                                                                       .keep_open = true,
                                                                       .out_max = RECEIVED_MAX,
                                                                       .received = received,
                                                                       .done = ended,
                                                                       .context = relay});
    return relay->command != NULL ? 0 : pq_fail(err, PQ_E_NOMEM, "out of memory");
}

/* ---- calls ---- */

static int make_frame(pq_relay_call *call, int64_t vmid, pq_ms timeout, const pq_buf *lines,
                      pq_error *err)
{
    if (pq_buf_reserve(&call->frame, lines->length + HEAD_MAX, err) < 0 ||
        pq_buf_printf(&call->frame, err, "%" PRIu64 " %" PRId64 " %" PRId64 " %zu\n", call->id,
                      vmid, timeout, lines->length) < 0)
        return -1;
    return pq_buf_add(&call->frame, lines->data, lines->length, err);
}

pq_relay_call *pq_relay_call_start(pq_relay *relay, int64_t vmid, pq_qm_kind kind, pq_ms timeout,
                                   pq_buf *lines, pq_relay_fn done, void *context)
{
    pq_error err;
    pq_relay_call *call = calloc(1, sizeof *call);
    if (call == NULL) {
        pq_buf_wipe(lines);
        return NULL;
    }
    *call = (pq_relay_call){
        .relay = relay, .id = ++relay->last_id, .kind = kind, .done = done, .context = context};
    call->link = relay->calls_end;
    *relay->calls_end = call;
    relay->calls_end = &call->next;
    int failed = make_frame(call, vmid, timeout, lines, &err);
    pq_buf_wipe(lines);
    if (failed == 0 && relay->command == NULL)
        failed = start_program(relay, &err);
    if (failed < 0)
        fail_call(call, &err);
    else if (relay->ready)
        send_waiting(relay);
    return call;
}

bool pq_relay_call_was_sent(const pq_relay_call *call)
{
    return call->sent;
}

void pq_relay_call_drop(pq_relay_call *call)
{
    if (call == NULL)
        return;
    call->done = NULL;
    if (!call->sent)
        call_free(call);
}
