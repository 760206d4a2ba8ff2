#include "filexfer/tree_guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/digest.h"

int pq_tree_name_new(pq_tree_name *name, pq_error *err)
{
    char token[2 * 16 + 1];
    if (pq_random_hex(token, 16, err) < 0)
        return -1;
    snprintf(name->text, sizeof name->text, ".pve-qga-run-%s", token);
    return 0;
}

char *pq_tree_path(const char *path, const char **ret_name, pq_error *err)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    char *copy = strndup(path, length);
    if (copy == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    const char *slash = strrchr(copy, '/');
    const char *name = slash != NULL ? slash + 1 : copy;
    bool none = name[0] == '\0' || strcmp(name, "..") == 0;
    *ret_name = none ? "." : name;
    return copy;
}

int pq_tree_add_place(pq_script *script, const pq_session *session, const pq_tree_name *name,
                      const char *tree, const char *path, pq_error *err)
{
    if (pq_script_add(script, pq_session_files_dir(session), err) < 0 ||
        pq_script_add(script, name->text, err) < 0 ||
        pq_script_add_escaped(script, tree, strlen(tree), err) < 0)
        return -1;
    return pq_script_add_escaped(script, path, strlen(path), err);
}

pq_call *pq_tree_call_start(pq_session *session, pq_script *script, pq_call_fn done, void *context,
                            pq_error *err)
{
    pq_call_options options = PQ_CALL_MAKES_DIRECTORY;
    options.overlap = true;
    return pq_call_start(session, script, &options, done, context, err);
}

/* The first line of what was explained; "" if nothing was. */
static void explanation(const pq_call_result *result, char *out, size_t size)
{
    const pq_buf *text = &result->out;
    const char *end = text->length > 0 ? memchr(text->data, '\n', text->length) : NULL;
    pq_error_clean(out, size, text->length > 0 ? text->data : "",
                   end != NULL ? (size_t)(end - text->data) : text->length);
}

void pq_tree_guest_error(const pq_session *session, const pq_call_result *result, pq_error *err)
{
    static const struct {
        const char *state;
        pq_code code;
        pq_effect effect;
        const char *text;
    } reasons[] = {
        {"missing", PQ_E_NOT_FOUND, PQ_EFFECT_NONE, "no such file or directory in the guest"},
        {"notdir", PQ_E_REMOTE_FILE, PQ_EFFECT_NONE, "it is no directory in the guest"},
        {"noparent", PQ_E_NOT_FOUND, PQ_EFFECT_NONE, "its directory does not exist in the guest"},
        {"denied", PQ_E_REMOTE_FILE, PQ_EFFECT_NONE, "the guest does not allow it"},
        {"clash", PQ_E_REMOTE_FILE, PQ_EFFECT_NONE, "it cannot take its place in the guest"},
        {"part", PQ_E_REMOTE_FILE, PQ_EFFECT_DONE,
         "only a part of it could be put in its place in the guest"},
        {"full", PQ_E_GUEST_FULL, PQ_EFFECT_NONE, "no space for it in the guest"},
        {"notool", PQ_E_GUEST_TOOL, PQ_EFFECT_NONE, "the guest has no tar, which directories need"},
        {"tar", PQ_E_REMOTE_FILE, PQ_EFFECT_NONE, "tar failed in the guest"},
        {"stop", PQ_E_CANCELLED, PQ_EFFECT_NONE, "cancelled"},
        {"gone", PQ_E_GUEST_RESTARTED, PQ_EFFECT_UNKNOWN,
         "what was sent is gone from the guest, as after a restart"},
    };
    char why[300];
    const char *state = result->trailer.state;
    explanation(result, why, sizeof why);
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (strcmp(state, reasons[i].state) == 0) {
            pq_fail_effect(err, reasons[i].code, reasons[i].effect, false, "%s%s%s",
                           reasons[i].text, why[0] != '\0' ? ": " : "", why);
            return;
        }
    }
    if (strcmp(state, "tmp") == 0)
        pq_fail(err, PQ_E_REMOTE_TMP, "'%s' in the guest cannot be written",
                pq_session_remote_tmp(session));
    else
        pq_fail(err, PQ_E_BAD_ANSWER, "the guest's script said '%s'", state);
}
