#include "transport/ssh/list.h"

#include <stdio.h>
#include <string.h>

#include "transport/ssh/qm.h"

/* A list of 20000 guests with all that pvesh tells of each. */
#define LIST_MAX ((size_t)32 * 1024 * 1024)

static void serve(void *context);

void pq_ssh_list_init(pq_ssh_list *list, pq_loop *loop, pq_ssh_session *session, bool sudo)
{
    list->loop = loop;
    list->session = session;
    list->sudo = sudo;
}

void pq_ssh_list_done(pq_ssh_list *list)
{
    pq_defer_stop(&list->serve);
    pq_guests_done(&list->guests);
    pq_json_free(list->status);
    list->status = NULL;
}

void pq_ssh_list_wait_stop(pq_ssh_list_wait *wait)
{
    if (wait->list == NULL)
        return;
    *wait->link = wait->next;
    if (wait->next != NULL)
        wait->next->link = wait->link;
    wait->list = NULL;
}

/* ---- the answer ---- */

/* The node's own name, as the script tells it on stderr. */
static void take_name(pq_ssh_list *list, const pq_buf *text)
{
    char name[PQ_NODE_NAME_MAX + 1];
    const char *at = text->length > 0 ? strstr(text->data, PQ_QM_NODE) : NULL;
    if (at == NULL)
        return;
    at += sizeof PQ_QM_NODE - 1;
    size_t length = strcspn(at, ".\n");
    if (length > PQ_NODE_NAME_MAX)
        return;
    memcpy(name, at, length);
    name[length] = '\0';
    if (pq_is_node_name(name))
        memcpy(list->node, name, sizeof name);
}

/* Takes the nodes off the end of the answer. Addresses are a help, so what is missing is let be. */
static void split_status(pq_ssh_list *list, pq_buf *out)
{
    static const char line[] = "\n" PQ_QM_MORE "\n";
    pq_error ignored;
    char *more = out->length > 0 ? memmem(out->data, out->length, line, sizeof line - 1) : NULL;
    if (more == NULL)
        return;
    char *start = more + sizeof line - 1;
    pq_json_free(list->status);
    list->status = pq_json_parse(start, (size_t)(out->data + out->length - start), &ignored);
    *more = '\0';
    out->length = (size_t)(more - out->data);
}

static int take_list(pq_ssh_list *list, pq_ssh_result *result, pq_error *err)
{
    pq_guests guests = {0};
    pq_json *answer = NULL;
    take_name(list, &result->err);
    split_status(list, &result->out);
    if (pq_qm_answer(PQ_QM_ASK, result->status, &result->out, &result->err, &answer, err) < 0)
        return -1;
    int failed = pq_guests_read(&guests, answer, err);
    pq_json_free(answer);
    if (failed < 0)
        return -1;
    pq_guests_done(&list->guests);
    list->guests = guests;
    list->listed_at_us = list->asked_at_us;
    return 0;
}

/* ---- asking ---- */

static void fail_waits(pq_ssh_list *list)
{
    list->failure.effect = PQ_EFFECT_NONE;
    for (pq_ssh_list_wait *wait = list->waits; wait != NULL; wait = wait->next)
        wait->failed = true;
    pq_defer_start(list->loop, &list->serve, serve, list);
}

static void listed(void *context, const pq_error *err, pq_ssh_result *result)
{
    pq_ssh_list *list = context;
    list->command = NULL;
    if (err != NULL)
        list->failure = *err;
    if (err != NULL || take_list(list, result, &list->failure) < 0)
        fail_waits(list);
    else
        pq_defer_start(list->loop, &list->serve, serve, list);
}

static int start(pq_ssh_list *list, pq_error *err)
{
    char line[PQ_QM_LINE_MAX];
    pq_buf script = {0};
    if (list->session == NULL)
        return pq_fail(err, PQ_E_CONFIG, "no node to log in to was given (--ssh-host)");
    if (pq_qm_list_script(&script, list->sudo, err) < 0) {
        pq_buf_done(&script);
        return -1;
    }
    pq_qm_line(line, script.length);
    list->asked_at_us = pq_now_us();
    list->command = pq_ssh_command_start(
        list->session,
        &(pq_ssh_command_options){
            .line = line, .input = &script, .out_max = LIST_MAX, .done = listed, .context = list});
    return list->command != NULL ? 0 : pq_fail(err, PQ_E_NOMEM, "out of memory");
}

static bool is_fresh(const pq_ssh_list *list, const pq_ssh_list_wait *wait)
{
    return list->listed_at_us != 0 && list->listed_at_us >= wait->not_before_us;
}

/* Tells one asker, which may free everything; the others get their own turn. */
static void serve(void *context)
{
    pq_ssh_list *list = context;
    pq_ssh_list_wait *wait = list->waits;
    while (wait != NULL && !wait->failed && !is_fresh(list, wait))
        wait = wait->next;
    if (wait == NULL) {
        if (list->waits != NULL && list->command == NULL && start(list, &list->failure) < 0)
            fail_waits(list);
        return;
    }
    bool good = is_fresh(list, wait);
    pq_error err = list->failure;
    pq_ssh_list_wait_stop(wait);
    if (list->waits != NULL)
        pq_defer_start(list->loop, &list->serve, serve, list);
    wait->ready(wait->context, good ? NULL : &err);
}

void pq_ssh_list_wait_start(pq_ssh_list *list, pq_ssh_list_wait *wait, int64_t not_before_us,
                            pq_ssh_list_fn ready, void *context)
{
    pq_ssh_list_wait **end = &list->waits;
    while (*end != NULL)
        end = &(*end)->next;
    *wait = (pq_ssh_list_wait){.list = list,
                               .ready = ready,
                               .context = context,
                               .not_before_us = not_before_us,
                               .link = end};
    *end = wait;
    pq_defer_start(list->loop, &list->serve, serve, list);
}
