#include "transport/ssh/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "transport/ssh/login.h"

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

bool pq_ssh_node_option(const char *text, char name[PQ_NODE_NAME_MAX + 1], char address[256],
                        uint16_t *ret_port)
{
    const char *sign = strchr(text, '=');
    if (sign == NULL || sign - text > PQ_NODE_NAME_MAX)
        return false;
    snprintf(name, PQ_NODE_NAME_MAX + 1, "%.*s", (int)(sign - text), text);
    return pq_is_node_name(name) && read_address(sign + 1, address, ret_port);
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

static pq_ssh_node *find(const pq_ssh *ssh, const char *name)
{
    for (pq_ssh_node *node = ssh->nodes; node != NULL; node = node->next)
        if (strcmp(node->name, name) == 0)
            return node;
    return NULL;
}

/* Its address and port as an option gives them. */
static bool find_option(const pq_ssh *ssh, const char *name, char address[256], uint16_t *ret_port)
{
    char other[PQ_NODE_NAME_MAX + 1];
    for (size_t i = 0; i < ssh->options.node_count; i++)
        if (pq_ssh_node_option(ssh->options.nodes[i], other, address, ret_port) &&
            strcmp(other, name) == 0)
            return true;
    return false;
}

bool pq_ssh_node_is_known(const pq_ssh *ssh, const char *name)
{
    char address[256];
    uint16_t port;
    return find(ssh, name) != NULL || find_option(ssh, name, address, &port) ||
           is_entry(ssh, name) || ssh->entry == NULL;
}

pq_ssh_node *pq_ssh_node_get(pq_ssh *ssh, const char *name, const char *address, pq_error *err)
{
    char given[256], listed[PQ_ADDRESS_SIZE];
    uint16_t port;
    bool is_given = find_option(ssh, name, given, &port);
    if (!is_given && ssh->entry != NULL && ssh->entry->name[0] == '\0' &&
        (strcmp(ssh->list.node, name) == 0 || is_entry(ssh, name)))
        snprintf(ssh->entry->name, sizeof ssh->entry->name, "%s", name);
    pq_ssh_node *known = find(ssh, name);
    if (known != NULL)
        return known;
    if (is_given)
        return add_node(ssh, name, given, port, err);
    if (pq_address_in_status(ssh->list.status, name, listed))
        address = listed;
    return add_node(ssh, name, address[0] != '\0' ? address : name, 0, err);
}

/* ---- the backend ---- */

static int check_options(const pq_ssh_options *options, pq_error *err)
{
    char name[PQ_NODE_NAME_MAX + 1], address[256];
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
    pq_ssh_list_init(&ssh->list, ssh->loop, NULL, ssh->sudo);
    if (host == NULL || host[0] == '\0')
        return 0;
    ssh->entry = add_node(ssh, "", host, 0, err);
    if (ssh->entry == NULL)
        return -1;
    pq_ssh_list_init(&ssh->list, ssh->loop, ssh->entry->session, ssh->sudo);
    return 0;
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
    pq_ssh_list_done(&ssh->list);
    while (ssh->nodes != NULL) {
        pq_ssh_node *node = ssh->nodes;
        ssh->nodes = node->next;
        pq_relay_done(&node->relay);
        pq_ssh_session_free(node->session);
        free(node);
    }
    pq_secret_done(&ssh->proxy_userpwd);
    free(ssh);
}

void pq_ssh_set_guide(pq_ssh *ssh, const pq_ssh_guide *guide)
{
    ssh->guide = *guide;
}

pq_ssh_list *pq_ssh_get_list(pq_ssh *ssh)
{
    return &ssh->list;
}
