/* What refusals by qm and by the guest's agent mean. */
#include <string.h>

#include "transport/ssh/qm.h"

typedef struct known {
    const char *start;  /* the text begins with this */
    const char *inside; /* and has this somewhere behind it; "" for any */
    pq_code code;
    bool may_have_acted; /* the effect is what the kind of call can have */
    bool retryable;
    const char *note;
} known;

#define AGENT "Agent error: "

/* The first match counts. Everything refused before the agent is asked, or by the agent, did
 * nothing in the guest. */
static const known table[] = {
    {"QEMU guest agent is not running", "", PQ_E_AGENT_DOWN, false, true, ""},
    {"No QEMU guest agent configured", "", PQ_E_AGENT_OFF, false, false, ""},
    {"VM ", "failed - unable to connect to", PQ_E_AGENT_DOWN, false, true, ""},
    {"VM ", "failed - got timeout", PQ_E_AGENT_TIMEOUT, true, true, ""},
    {"VM ", " qga command ", PQ_E_AGENT, true, true, ""},
    {"VM ", " not running", PQ_E_VM_STOPPED, false, false, ""},
    {"unable to open monitor socket", "", PQ_E_AGENT_DOWN, false, true, ""},
    {"Configuration file '", "' does not exist", PQ_E_VM_UNKNOWN, false, false, ""},
    {"no such VM", "", PQ_E_VM_UNKNOWN, false, false, ""},
    {AGENT "Invalid parameter 'pid'", "", PQ_E_NO_SUCH_PID, false, false, ""},
    {AGENT "PID ", " does not exist", PQ_E_NO_SUCH_PID, false, false, ""},
    {AGENT "failed to ", "No such file or directory", PQ_E_NOT_FOUND, false, false, ""},
    {AGENT "failed to ", "Is a directory", PQ_E_IS_DIRECTORY, false, false, ""},
    {AGENT "failed to ", "", PQ_E_REMOTE_FILE, false, false, ""},
    {AGENT, "Failed to execute child process", PQ_E_NO_EXECUTABLE, false, false, ""},
    {AGENT, "Failed to execute helper program", PQ_E_NO_EXECUTABLE, false, false, ""},
    {AGENT, "has been disabled: the agent is in frozen state", PQ_E_AGENT_FROZEN, false, true, ""},
    {AGENT, "has been disabled: ", PQ_E_AGENT_DISABLED, false, false, ""},
    {AGENT, "has been disabled", PQ_E_AGENT_DISABLED, false, false,
     " (old agents also say so while the filesystems are frozen for a backup)"},
    {AGENT, "has not been found", PQ_E_UNSUPPORTED, false, false, ""},
    {AGENT, "", PQ_E_AGENT, false, false, ""},
    {"400 Parameter verification failed", "", PQ_E_UNSUPPORTED, false, false,
     " (this release's qm does not know such a call)"},
    {"Unknown option: ", "", PQ_E_UNSUPPORTED, false, false,
     " (this release's qm does not know such a call)"},
    {"ERROR: unknown command", "", PQ_E_UNSUPPORTED, false, false,
     " (this release's qm does not know such a call)"},
    {"'input-data' (STDIN) is limited", "", PQ_E_TOO_LARGE, false, false, ""},
};

static const known *look_up(const char *text)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t start = strlen(table[i].start);
        if (strncmp(text, table[i].start, start) == 0 &&
            strstr(text + start, table[i].inside) != NULL)
            return &table[i];
    }
    return NULL;
}

static pq_effect possible_effect(pq_qm_kind kind)
{
    return kind == PQ_QM_ASK ? PQ_EFFECT_NONE : PQ_EFFECT_UNKNOWN;
}

static const char *timeout_note(pq_qm_kind kind)
{
    switch (kind) {
    case PQ_QM_EXEC:
        return "; the command may have run";
    case PQ_QM_STATUS:
        return "; output of more than about 2 MiB cannot be fetched this way and is lost";
    default:
        return "";
    }
}

bool pq_qm_refused(pq_qm_kind kind, const char *text, pq_error *err)
{
    const known *entry = look_up(text);
    if (entry == NULL) {
        pq_fail_effect(err, PQ_E_AGENT, possible_effect(kind), false, "%s", text);
        return false;
    }
    pq_fail_effect(err, entry->code, entry->may_have_acted ? possible_effect(kind) : PQ_EFFECT_NONE,
                   entry->retryable, "%s%s", text,
                   entry->code == PQ_E_AGENT_TIMEOUT ? timeout_note(kind) : entry->note);
    return true;
}
