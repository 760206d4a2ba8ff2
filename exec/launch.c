#include "exec/launch.h"

#include <stdlib.h>
#include <string.h>

#include "exec/quote.h"

static int add_item(pq_buf *items, const char *tag, const char *value, pq_error *err)
{
    if (pq_buf_add(items, tag, strlen(tag) + 1, err) < 0 ||
        pq_quote_escape(items, value, strlen(value), err) < 0)
        return -1;
    return pq_buf_add_byte(items, '\0', err);
}

int pq_launch_init(pq_launch *launch, const char *command, const char *executable, const char *cwd,
                   const char *const *env, pq_error *err)
{
    if (pq_buf_add_text(&launch->command, command, err) < 0)
        return -1;
    launch->executable = strdup(executable != NULL ? executable : "/bin/sh");
    launch->cwd = strdup(cwd != NULL ? cwd : "the home directory");
    if (launch->executable == NULL || launch->cwd == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    if (executable != NULL && add_item(&launch->items, "x", executable, err) < 0)
        return -1;
    if (cwd != NULL && add_item(&launch->items, "w", cwd, err) < 0)
        return -1;
    for (; env != NULL && *env != NULL; env++) {
        if (!pq_quote_is_assignment(*env))
            return pq_fail(err, PQ_E_USAGE, "'%.100s' is not NAME=VALUE", *env);
        if (add_item(&launch->items, "e", *env, err) < 0)
            return -1;
    }
    return 0;
}

void pq_launch_done(pq_launch *launch)
{
    pq_buf_done(&launch->command);
    pq_buf_done(&launch->items);
    free(launch->executable);
    free(launch->cwd);
    memset(launch, 0, sizeof *launch);
}

int pq_launch_add_items(const pq_launch *launch, pq_script *script, pq_error *err)
{
    const char *item = launch->items.data;
    const char *past = item + launch->items.length;
    for (; item != NULL && item < past; item += strlen(item) + 1) {
        if (pq_script_add(script, item, err) < 0)
            return -1;
    }
    return 0;
}

int pq_launch_add_command(const pq_launch *launch, pq_script *script, pq_error *err)
{
    /* An escaped byte takes up to 5 characters. */
    const size_t chunk = 24 * 1024;
    const char *text = launch->command.data;
    for (size_t left = launch->command.length; left > 0;) {
        size_t take = left < chunk ? left : chunk;
        if (pq_script_add(script, "c", err) < 0 ||
            pq_script_add_escaped(script, text, take, err) < 0)
            return -1;
        text += take;
        left -= take;
    }
    return 0;
}

void pq_launch_refused(const pq_launch *launch, const pq_trailer *trailer, pq_error *err)
{
    static const struct {
        const char *state;
        pq_code code;
        pq_effect effect;
        const char *text;
    } reasons[] = {
        {"restarted", PQ_E_GUEST_RESTARTED, PQ_EFFECT_UNKNOWN,
         "the guest was restarted after the command was sent: it may have run before that"},
        {"full", PQ_E_GUEST_FULL, PQ_EFFECT_NONE, "no space in remote_tmp of the guest"},
        {"noexec", PQ_E_NO_EXECUTABLE, PQ_EFFECT_NONE, "the guest has no such executable: "},
        {"nocwd", PQ_E_NO_CWD, PQ_EFFECT_NONE, "the guest has no such directory to start in: "},
        {"nofifo", PQ_E_GUEST_TOOL, PQ_EFFECT_NONE,
         "a stdin that is streamed or large needs mkfifo(1) in the guest"},
        {"none", PQ_E_OUTCOME_UNKNOWN, PQ_EFFECT_UNKNOWN,
         "the command's files are gone from the guest's remote_tmp"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (strcmp(trailer->state, reasons[i].state) == 0) {
            const char *name = reasons[i].code == PQ_E_NO_EXECUTABLE ? launch->executable
                               : reasons[i].code == PQ_E_NO_CWD      ? launch->cwd
                                                                     : "";
            pq_fail_effect(err, reasons[i].code, reasons[i].effect, false, "%s%s", reasons[i].text,
                           name);
            return;
        }
    }
    pq_fail_effect(err, PQ_E_BAD_ANSWER, PQ_EFFECT_UNKNOWN, false, "the guest's launcher said '%s'",
                   trailer->state);
}
