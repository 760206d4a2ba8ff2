#include "transport/ssh/qm.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/encode.h"

/* Exit status of the line when its script did not come whole. */
#define CUT_STATUS 113

void pq_qm_line(char out[PQ_QM_LINE_MAX], size_t length)
{
    snprintf(out, PQ_QM_LINE_MAX,
             "exec sh -c 's=$(head -c %zu; echo .); [ ${#s} -eq %zu ] || exit %d; "
             "echo " PQ_QM_MARK "; echo " PQ_QM_MARK " >&2; eval \"${s%%.}\"'",
             length, length + 1, CUT_STATUS);
}

/* ---- scripts ---- */

int pq_qm_quote(pq_buf *out, const char *text, pq_error *err)
{
    if (pq_buf_add_byte(out, '\'', err) < 0)
        return -1;
    for (;;) {
        size_t plain = strcspn(text, "'");
        if (pq_buf_add(out, text, plain, err) < 0)
            return -1;
        if (text[plain] == '\0')
            break;
        if (pq_buf_add_text(out, "'\\''", err) < 0)
            return -1;
        text += plain + 1;
    }
    return pq_buf_add_byte(out, '\'', err);
}

/* What an administrator keeps for `qm` is not on every user's path. */
static int begin(pq_buf *out, pq_error *err)
{
    return pq_buf_add_text(out, "export LC_ALL=C PATH=\"$PATH:/usr/sbin:/sbin:/usr/bin:/bin\"\n",
                           err);
}

static int add_program(pq_buf *out, const char *program, bool sudo, pq_error *err)
{
    return pq_buf_printf(out, err, "%s%s", sudo ? "sudo -n " : "", program);
}

static int add_input(pq_buf *out, const pq_exec_request *request, pq_error *err)
{
    if (request->input_length > PQ_QM_INPUT_MAX)
        return pq_fail(err, PQ_E_TOO_LARGE, "an input of %zu bytes, where qm takes %zu",
                       request->input_length, PQ_QM_INPUT_MAX);
    if (pq_buf_add_text(out, "printf %s '", err) < 0 ||
        pq_base64_encode(out, request->input, request->input_length, err) < 0)
        return -1;
    return pq_buf_add_text(out, "' | base64 -d | ", err);
}

static bool is_ascii(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

/* About what the script takes: large ones are made without growing. */
static size_t script_room(const pq_exec_request *request)
{
    size_t room = 512 + request->input_length / 3 * 4;
    for (const char *const *arg = request->argv; *arg != NULL; arg++)
        room += strlen(*arg) + 64;
    return room;
}

static int exec_script(pq_buf *out, int64_t vmid, const pq_exec_request *request, bool sudo,
                       const char *how, pq_error *err)
{
    bool input = request->input != NULL;
    if (pq_buf_reserve(out, script_room(request), err) < 0 || begin(out, err) < 0 ||
        (input && add_input(out, request, err) < 0) ||
        pq_buf_add_text(out, input ? "" : "exec ", err) < 0 ||
        add_program(out, "qm guest exec ", sudo, err) < 0 ||
        pq_buf_printf(out, err, "%" PRId64 " %s%s --", vmid, how, input ? " --pass-stdin 1" : "") <
            0)
        return -1;
    for (const char *const *arg = request->argv; *arg != NULL; arg++) {
        if (!is_ascii(*arg))
            return pq_fail(err, PQ_E_INTERNAL, "an argument for the guest agent is not ASCII");
        if (pq_buf_add_byte(out, ' ', err) < 0 || pq_qm_quote(out, *arg, err) < 0)
            return -1;
    }
    return input ? 0 : pq_buf_add_text(out, " </dev/null", err);
}

int pq_qm_exec_script(pq_buf *out, int64_t vmid, const pq_exec_request *request, bool sudo,
                      pq_error *err)
{
    return exec_script(out, vmid, request, sudo, "--synchronous 0", err);
}

int pq_qm_run_script(pq_buf *out, int64_t vmid, const pq_exec_request *request, bool sudo,
                     pq_error *err)
{
    char how[32];
    snprintf(how, sizeof how, "--timeout %d", PQ_QM_WAIT_S);
    return exec_script(out, vmid, request, sudo, how, err);
}

int pq_qm_status_script(pq_buf *out, int64_t vmid, int64_t pid, bool sudo, pq_error *err)
{
    if (begin(out, err) < 0 || add_program(out, "qm guest exec-status ", sudo, err) < 0)
        return -1;
    return pq_buf_printf(out, err, "%" PRId64 " %" PRId64 " </dev/null", vmid, pid);
}

int pq_qm_query_script(pq_buf *out, int64_t vmid, const char *name, bool sudo, pq_error *err)
{
    if (begin(out, err) < 0 || add_program(out, "qm guest cmd ", sudo, err) < 0)
        return -1;
    return pq_buf_printf(out, err, "%" PRId64 " %s </dev/null", vmid, name);
}

#define LIST_FORM " --output-format json </dev/null"

int pq_qm_list_script(pq_buf *out, bool sudo, pq_error *err)
{
    if (begin(out, err) < 0 ||
        pq_buf_add_text(out, "echo \"" PQ_QM_NODE "$(uname -n)\" >&2\n", err) < 0 ||
        add_program(out, "pvesh get /cluster/resources --type vm", sudo, err) < 0 ||
        pq_buf_add_text(out, LIST_FORM " || exit\necho; echo '" PQ_QM_MORE "'\n", err) < 0 ||
        add_program(out, "pvesh get /cluster/status", sudo, err) < 0)
        return -1;
    return pq_buf_add_text(out, LIST_FORM " || :", err);
}

/* ---- answers ---- */

/* The text behind the line of the mark, or NULL. */
static char *behind_mark(const pq_buf *text)
{
    if (text->length == 0)
        return NULL;
    char *mark = memmem(text->data, text->length, PQ_QM_MARK "\n", sizeof PQ_QM_MARK);
    return mark != NULL ? mark + sizeof PQ_QM_MARK : NULL;
}

static int not_started(int status, const pq_buf *out, const pq_buf *err_text, pq_error *err)
{
    char said[300];
    const pq_buf *text = err_text->length > 0 ? err_text : out;
    if (status == CUT_STATUS)
        return pq_fail_effect(err, PQ_E_NETWORK, PQ_EFFECT_NONE, true,
                              "a request did not get to the node whole");
    pq_error_clean(said, sizeof said, text->length > 0 ? text->data : "", text->length);
    return pq_fail(err, PQ_E_NODE_TOOL,
                   "the node's shell did not run our commands (exit status %d)%s%s", status,
                   said[0] != '\0' ? ": " : "", said);
}

/* What stands around qm: the shell and sudo. */
typedef struct around {
    const char *inside;
    pq_code code;
    const char *what;
} around;

static const around surroundings[] = {
    {"rgument list too long", PQ_E_TOO_LARGE, "the node does not take arguments of this size"},
    {"sudo: a password is required", PQ_E_SUDO, NULL},
    {"sudo: a terminal is required", PQ_E_SUDO, NULL},
    {"sudo: sorry, you must have a tty", PQ_E_SUDO, NULL},
    {"is not in the sudoers file", PQ_E_SUDO, NULL},
    {"is not allowed to execute", PQ_E_SUDO, NULL},
    {"may not run sudo", PQ_E_SUDO, NULL},
    {"please run as root", PQ_E_SUDO, NULL},
    {"sudo: not found", PQ_E_NODE_TOOL, "the node has no sudo, which users other than root need"},
    {"sudo: command not found", PQ_E_NODE_TOOL,
     "the node has no sudo, which users other than root need"},
    {"qm: not found", PQ_E_NODE_TOOL, "there is no `qm` there: is it a Proxmox VE node?"},
    {"qm: command not found", PQ_E_NODE_TOOL, "there is no `qm` there: is it a Proxmox VE node?"},
    {"pvesh: not found", PQ_E_NODE_TOOL, "there is no `pvesh` there: is it a Proxmox VE node?"},
    {"pvesh: command not found", PQ_E_NODE_TOOL,
     "there is no `pvesh` there: is it a Proxmox VE node?"},
    {"base64: not found", PQ_E_NODE_TOOL, "there is no `base64` there"},
    {"perl: not found", PQ_E_NODE_TOOL, "there is no `perl` there"},
    {"perl: command not found", PQ_E_NODE_TOOL, "there is no `perl` there"},
};

bool pq_qm_surroundings(const char *line, pq_error *err)
{
    for (size_t i = 0; i < sizeof surroundings / sizeof surroundings[0]; i++) {
        const around *entry = &surroundings[i];
        if (strstr(line, entry->inside) == NULL)
            continue;
        if (entry->code == PQ_E_SUDO)
            pq_fail(err, PQ_E_SUDO,
                    "the node refuses root's rights without a password: %.200s; see the sudoers "
                    "lines in pve-qga-run(1), or log in as root",
                    line);
        else
            pq_fail_effect(err, entry->code, PQ_EFFECT_NONE, entry->code == PQ_E_TOO_LARGE, "%s",
                           entry->what);
        return true;
    }
    return false;
}

/* qm warns before it fails: the first line that is known counts, else the last one. */
static int refused(pq_qm_kind kind, int status, const char *text, pq_error *err)
{
    char line[300], last[300] = "";
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        pq_error_clean(line, sizeof line, text, length);
        if (line[0] != '\0') {
            if (pq_qm_surroundings(line, err) || pq_qm_refused(kind, line, err))
                return -1;
            memcpy(last, line, sizeof last);
        }
        text += length + (text[length] == '\n');
    }
    if (last[0] == '\0')
        snprintf(last, sizeof last, "exit status %d, and no reason was given", status);
    pq_qm_refused(kind, last, err);
    return pq_error_prefix(err, "qm failed: ");
}

int pq_qm_answer(pq_qm_kind kind, int status, pq_buf *out, const pq_buf *err_text, pq_json **ret,
                 pq_error *err)
{
    char *text = behind_mark(out);
    const char *said = behind_mark(err_text);
    if (text == NULL)
        return not_started(status, out, err_text, err);
    if (status != 0)
        return refused(kind, status, said != NULL ? said : "", err);
    size_t length = (size_t)(out->data + out->length - text);
    bool blank = strspn(text, " \t\r\n") == length;
    if (blank && kind == PQ_QM_ASK) {
        *ret = NULL;
        return 0;
    }
    pq_json *answer = pq_json_parse(text, length, err);
    if (answer == NULL) {
        err->effect = kind == PQ_QM_ASK ? PQ_EFFECT_NONE : PQ_EFFECT_UNKNOWN;
        return pq_error_prefix(err, "the answer of the node's qm: ");
    }
    *ret = answer;
    return 0;
}

int pq_qm_read_pid(const pq_json *answer, int64_t *ret_pid, pq_error *err)
{
    int64_t pid;
    if (!pq_json_int(answer, "pid", &pid) || pid < 0)
        return pq_fail_effect(err, PQ_E_BAD_ANSWER, PQ_EFFECT_DONE, false,
                              "the node's answer names no process");
    *ret_pid = pid;
    return 0;
}

static int bytes_of(const pq_json *answer, const char *name, pq_buf *out, pq_error *err)
{
    const char *text = pq_json_text(answer, name);
    if (text != NULL)
        return pq_utf8_to_latin1(out, text, strlen(text), err);
    if (pq_json_member(answer, name) == NULL)
        return 0;
    return pq_fail(err, PQ_E_BAD_ANSWER, "the node's answer has no text in '%s'", name);
}

static bool flag_of(const pq_json *answer, const char *name)
{
    bool value = false;
    return pq_json_bool(answer, name, &value) && value;
}

int pq_qm_read_status(const pq_json *answer, pq_exec_status *status, pq_error *err)
{
    int64_t code = 0;
    if (!pq_json_bool(answer, "exited", &status->exited))
        return pq_fail(err, PQ_E_BAD_ANSWER, "the node's answer does not tell the process' state");
    if (!status->exited)
        return 0;
    status->signalled = pq_json_int(answer, "signal", &code) && code != 0;
    if (!status->signalled && !pq_json_int(answer, "exitcode", &code))
        return pq_fail(err, PQ_E_BAD_ANSWER, "the node's answer has no exit status");
    if (code < INT_MIN || code > UINT32_MAX)
        return pq_fail(err, PQ_E_BAD_ANSWER, "the node's answer has a strange exit status");
    status->code = (int)(uint32_t)code;
    status->out_truncated = flag_of(answer, "out-truncated");
    status->err_truncated = flag_of(answer, "err-truncated");
    if (bytes_of(answer, "out-data", &status->out, err) < 0)
        return -1;
    return bytes_of(answer, "err-data", &status->err, err);
}
