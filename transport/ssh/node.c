#include "transport/ssh/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "transport/base/log.h"
#include "transport/ssh/login.h"

/* A list of 20000 guests with all that pvesh tells of each. */
#define LIST_MAX ((size_t)32 * 1024 * 1024)

/* ---- addresses ---- */

/* "ADDRESS", "ADDRESS:PORT", "[ADDRESS]:PORT" */
static bool read_address(const char *text, char address[256], uint16_t *ret_port)
{
    const char *end = strchr(text, ':');
    bool brackets = text[0] == '[';
    unsigned port = 0;
    char more;
    if (brackets)
        end = strchr(text, ']');
    else if (end == NULL || strchr(end + 1, ':') != NULL)
        end = text + strlen(text);
    if (end == NULL)
        return false;
    const char *start = text + brackets;
    const char *behind = end + brackets;
    if (end == start || end - start > 255 ||
        (*behind != '\0' && (sscanf(behind, ":%5u%c", &port, &more) != 1 || port - 1 >= 65535)))
        return false;
    snprintf(address, 256, "%.*s", (int)(end - start), start);
    *ret_port = (uint16_t)port;
    return true;
}

bool pq_ssh_node_option(const char *text, char name[PQ_PLACE_NODE_MAX + 1], char address[256],
                        uint16_t *ret_port)
{
    const char *sign = strchr(text, '=');
    if (sign == NULL || sign - text > PQ_PLACE_NODE_MAX)
        return false;
    snprintf(name, PQ_PLACE_NODE_MAX + 1, "%.*s", (int)(sign - text), text);
    return pq_place_is_node(name) && read_address(sign + 1, address, ret_port);
}

/* ---- nodes ---- */

static pq_ssh_node *add_node(pq_ssh *ssh, const char *name, const char *address, uint16_t port,
                             pq_error *err)
{
    pq_ssh_node *node = calloc(1, sizeof *node);
    if (node == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    node->session = pq_ssh_session_new(ssh->loop, &ssh->options, &ssh->proxy_userpwd, address,
                                       port != 0 ? port : ssh->options.port, err);
    if (node->session == NULL) {
        free(node);
        return NULL;
    }
    node->ssh = ssh;
    snprintf(node->name, sizeof node->name, "%s", name);
    node->method = ssh->options.method;
    node->queue_end = &node->queue;
    pq_relay_init(&node->relay, ssh->loop, node->session, ssh->sudo);
    node->relay.asks_first = ssh->options.method == PQ_SSH_METHOD_AUTO;
    node->next = ssh->nodes;
    ssh->nodes = node;
    return node;
}

/* "pve1" for the host "pve1.example.com". */
static bool is_entry(const pq_ssh *ssh, const char *name)
{
    size_t length = strlen(name);
    const char *host = ssh->options.host;
    return ssh->entry != NULL && ssh->entry->name[0] == '\0' &&
           strncasecmp(host, name, length) == 0 && (host[length] == '\0' || host[length] == '.');
}

pq_ssh_node *pq_ssh_node_get(pq_ssh *ssh, const char *name, pq_error *err)
{
    char other[PQ_PLACE_NODE_MAX + 1], address[256];
    uint16_t port;
    for (pq_ssh_node *node = ssh->nodes; node != NULL; node = node->next)
        if (strcmp(node->name, name) == 0)
            return node;
    for (size_t i = 0; i < ssh->options.node_count; i++)
        if (pq_ssh_node_option(ssh->options.nodes[i], other, address, &port) &&
            strcmp(other, name) == 0)
            return add_node(ssh, name, address, port, err);
    if (is_entry(ssh, name)) {
        snprintf(ssh->entry->name, sizeof ssh->entry->name, "%s", name);
        return ssh->entry;
    }
    for (size_t i = 0; i < ssh->address_count; i++)
        if (strcmp(ssh->addresses[i].name, name) == 0)
            return add_node(ssh, name, ssh->addresses[i].address, 0, err);
    return add_node(ssh, name, name, 0, err);
}

/* ---- the backend ---- */

static int check_options(const pq_ssh_options *options, pq_error *err)
{
    char name[PQ_PLACE_NODE_MAX + 1], address[256];
    uint16_t port;
    for (size_t i = 0; i < options->node_count; i++)
        if (!pq_ssh_node_option(options->nodes[i], name, address, &port))
            return pq_fail(err, PQ_E_CONFIG, "not a node's address (NODE=ADDRESS[:PORT]): '%s'",
                           options->nodes[i]);
    return 0;
}

static int set_proxy_login(pq_ssh *ssh, pq_error *err)
{
    pq_buf both = {0};
    const pq_ssh_options *options = &ssh->options;
    if (options->socks5_user == NULL)
        return 0;
    int failed = pq_buf_add_text(&both, options->socks5_user, err);
    if (failed == 0)
        failed = pq_buf_add_byte(&both, ':', err);
    if (failed == 0 && pq_secret_is_set(options->socks5_password))
        failed = pq_buf_add_text(&both, pq_secret_text(options->socks5_password), err);
    if (failed == 0)
        failed = pq_secret_set(&ssh->proxy_userpwd, both.data, both.length, err);
    pq_buf_wipe(&both);
    return failed;
}

static int init(pq_ssh *ssh, pq_error *err)
{
    const char *host = ssh->options.host;
    if (check_options(&ssh->options, err) < 0 || set_proxy_login(ssh, err) < 0)
        return -1;
    ssh->sudo = strcmp(pq_ssh_login_user(&ssh->options), "root") != 0;
    if (host == NULL || host[0] == '\0')
        return 0;
    ssh->entry = add_node(ssh, "", host, 0, err);
    return ssh->entry != NULL ? 0 : -1;
}

pq_ssh *pq_ssh_new(pq_loop *loop, const pq_ssh_options *options, pq_error *err)
{
    pq_ssh *ssh = calloc(1, sizeof *ssh);
    if (ssh == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    ssh->loop = loop;
    ssh->options = *options;
    if (init(ssh, err) < 0) {
        pq_ssh_free(ssh);
        return NULL;
    }
    return ssh;
}

void pq_ssh_free(pq_ssh *ssh)
{
    if (ssh == NULL)
        return;
    pq_defer_stop(&ssh->serve);
    while (ssh->nodes != NULL) {
        pq_ssh_node *node = ssh->nodes;
        ssh->nodes = node->next;
        pq_relay_done(&node->relay);
        pq_ssh_session_free(node->session);
        free(node);
    }
    pq_places_done(&ssh->places);
    free(ssh->addresses);
    pq_secret_done(&ssh->proxy_userpwd);
    free(ssh);
}

/* ---- the list of guests ---- */

static void serve(void *context);

void pq_place_wait_stop(pq_place_wait *wait)
{
    if (wait->ssh == NULL)
        return;
    *wait->link = wait->next;
    if (wait->next != NULL)
        wait->next->link = wait->link;
    wait->ssh = NULL;
}

/* The node's own name, as the listing tells it on stderr. */
static void name_entry(pq_ssh *ssh, const pq_buf *text)
{
    char name[PQ_PLACE_NODE_MAX + 1] = "";
    const char *at = text->length > 0 ? strstr(text->data, PQ_QM_NODE) : NULL;
    if (at == NULL || ssh->entry->name[0] != '\0')
        return;
    at += sizeof PQ_QM_NODE - 1;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(at, ".\n"), at);
    if (pq_place_is_node(name))
        snprintf(ssh->entry->name, sizeof ssh->entry->name, "%s", name);
}

/* [{"type":"node","name":..,"ip":..}, ..]: addresses are a help, so what is missing is let be. */
static void take_addresses(pq_ssh *ssh, char *text, size_t length)
{
    pq_error ignored;
    size_t count = 0;
    pq_json *status = pq_json_parse(text, length, &ignored);
    for (const pq_json *item = pq_json_first(status); item != NULL; item = pq_json_next(item))
        count++;
    pq_node_address *addresses = count > 0 ? calloc(count, sizeof *addresses) : NULL;
    count = 0;
    for (const pq_json *item = addresses != NULL ? pq_json_first(status) : NULL; item != NULL;
         item = pq_json_next(item)) {
        const char *name = pq_json_text(item, "name"), *ip = pq_json_text(item, "ip");
        if (name == NULL || ip == NULL || !pq_place_is_node(name) ||
            strspn(ip, "0123456789abcdefABCDEF.:") != strlen(ip))
            continue;
        snprintf(addresses[count].name, sizeof addresses->name, "%s", name);
        snprintf(addresses[count++].address, sizeof addresses->address, "%s", ip);
    }
    pq_json_free(status);
    free(ssh->addresses);
    ssh->addresses = addresses;
    ssh->address_count = count;
}

/* Takes the nodes off the end of the answer. */
static void split_nodes(pq_ssh *ssh, pq_buf *out)
{
    static const char line[] = "\n" PQ_QM_MORE "\n";
    char *more = out->length > 0 ? memmem(out->data, out->length, line, sizeof line - 1) : NULL;
    if (more == NULL)
        return;
    char *start = more + sizeof line - 1;
    take_addresses(ssh, start, (size_t)(out->data + out->length - start));
    *more = '\0';
    out->length = (size_t)(more - out->data);
}

static int take_list(pq_ssh *ssh, pq_ssh_result *result, pq_error *err)
{
    pq_places places = {0};
    pq_json *answer = NULL;
    split_nodes(ssh, &result->out);
    if (pq_qm_answer(PQ_QM_ASK, result->status, &result->out, &result->err, &answer, err) < 0)
        return -1;
    int failed = pq_places_read(&places, answer, err);
    pq_json_free(answer);
    if (failed < 0)
        return -1;
    name_entry(ssh, &result->err);
    pq_places_done(&ssh->places);
    ssh->places = places;
    ssh->listed_at_us = ssh->asked_at_us;
    return 0;
}

static void listed(void *context, const pq_error *err, pq_ssh_result *result)
{
    pq_ssh *ssh = context;
    ssh->listing = NULL;
    if (err != NULL)
        ssh->failure = *err;
    if (err != NULL || take_list(ssh, result, &ssh->failure) < 0) {
        ssh->failure.effect = PQ_EFFECT_NONE;
        for (pq_place_wait *wait = ssh->waits; wait != NULL; wait = wait->next)
            wait->failed = true;
    }
    pq_defer_start(ssh->loop, &ssh->serve, serve, ssh);
}

static int start_listing(pq_ssh *ssh, pq_error *err)
{
    char line[PQ_QM_LINE_MAX];
    pq_buf script = {0};
    if (ssh->entry == NULL)
        return pq_fail(err, PQ_E_CONFIG, "no node to log in to was given (--ssh-host)");
    if (pq_qm_list_script(&script, ssh->sudo, err) < 0) {
        pq_buf_done(&script);
        return -1;
    }
    pq_qm_line(line, script.length);
    ssh->asked_at_us = pq_now_us();
    ssh->listing = pq_ssh_command_start(
        ssh->entry->session,
        &(pq_ssh_command_options){
            .line = line, .input = &script, .out_max = LIST_MAX, .done = listed, .context = ssh});
    return ssh->listing != NULL ? 0 : pq_fail(err, PQ_E_NOMEM, "out of memory");
}

static bool is_fresh(const pq_ssh *ssh, const pq_place_wait *wait)
{
    return ssh->listed_at_us != 0 && ssh->listed_at_us >= wait->not_before_us;
}

static void list_again(pq_ssh *ssh)
{
    if (start_listing(ssh, &ssh->failure) == 0)
        return;
    for (pq_place_wait *wait = ssh->waits; wait != NULL; wait = wait->next)
        wait->failed = true;
    pq_defer_start(ssh->loop, &ssh->serve, serve, ssh);
}

/* Tells one asker, which may free everything; the others get their own turn. */
static void serve(void *context)
{
    pq_ssh *ssh = context;
    pq_place_wait *wait = ssh->waits;
    while (wait != NULL && !wait->failed && !is_fresh(ssh, wait))
        wait = wait->next;
    if (wait == NULL) {
        if (ssh->waits != NULL && ssh->listing == NULL)
            list_again(ssh);
        return;
    }
    bool good = is_fresh(ssh, wait);
    pq_error err = ssh->failure;
    pq_place_wait_stop(wait);
    if (ssh->waits != NULL)
        pq_defer_start(ssh->loop, &ssh->serve, serve, ssh);
    wait->ready(wait->context, good ? NULL : &err);
}

void pq_place_wait_start(pq_ssh *ssh, pq_place_wait *wait, int64_t not_before_us,
                         void (*ready)(void *context, const pq_error *err), void *context)
{
    pq_place_wait **end = &ssh->waits;
    while (*end != NULL)
        end = &(*end)->next;
    *wait = (pq_place_wait){.ssh = ssh,
                            .ready = ready,
                            .context = context,
                            .not_before_us = not_before_us,
                            .link = end};
    *end = wait;
    pq_defer_start(ssh->loop, &ssh->serve, serve, ssh);
}
