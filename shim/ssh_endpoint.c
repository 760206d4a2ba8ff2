#include "shim/ssh_endpoint.h"

#include <stdlib.h>
#include <string.h>

/* For one connection and login; --connect-timeout is for all attempts together. */
#define CONNECTION_MS 20000

#define SYSTEM_KNOWN_HOSTS "/etc/ssh/ssh_known_hosts"

static int read_known_hosts(pq_config *config, pq_ssh_endpoint *ret, pq_error *err)
{
    static const char folder[] = "/.ssh/known_hosts";
    const char *given = pq_config_text(config, PQ_OPT_SSH_KNOWN_HOSTS);
    const char *home = getenv("HOME");
    size_t count = 0;
    ret->options.known_hosts = ret->known_hosts;
    if (given != NULL) {
        ret->known_hosts[0] = given;
        return 0;
    }
    if (home != NULL && home[0] == '/') {
        size_t size = strlen(home) + sizeof folder;
        ret->user_known_hosts = malloc(size);
        if (ret->user_known_hosts == NULL)
            return pq_fail(err, PQ_E_NOMEM, "out of memory");
        memcpy(ret->user_known_hosts, home, size - sizeof folder);
        memcpy(ret->user_known_hosts + size - sizeof folder, folder, sizeof folder);
        ret->known_hosts[count++] = ret->user_known_hosts;
    }
    ret->known_hosts[count] = SYSTEM_KNOWN_HOSTS;
    return 0;
}

/* "NODE=ADDRESS,NODE=ADDRESS" */
static int read_nodes(pq_config *config, pq_ssh_endpoint *ret, pq_error *err)
{
    const char *text = pq_config_text(config, PQ_OPT_SSH_NODE);
    size_t count = 1;
    if (text == NULL)
        return 0;
    for (const char *at = text; *at != '\0'; at++)
        count += *at == ',';
    ret->node_text = strdup(text);
    ret->nodes = calloc(count, sizeof *ret->nodes);
    if (ret->node_text == NULL || ret->nodes == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    char *rest = ret->node_text, *item;
    while ((item = strsep(&rest, ", ")) != NULL)
        if (item[0] != '\0')
            ret->nodes[ret->options.node_count++] = item;
    ret->options.nodes = ret->nodes;
    return 0;
}

static pq_ssh_method method_of(const char *text)
{
    if (strcmp(text, "qm") == 0)
        return PQ_SSH_METHOD_QM;
    return strcmp(text, "socket") == 0 ? PQ_SSH_METHOD_SOCKET : PQ_SSH_METHOD_AUTO;
}

static int read_secrets(pq_config *config, pq_ssh_options *options, pq_error *err)
{
    if (pq_config_secret(config, PQ_OPT_SSH_KEY, &options->key, err) < 0 ||
        pq_config_secret(config, PQ_OPT_SSH_KEY_PASSPHRASE, &options->key_passphrase, err) < 0 ||
        pq_config_secret(config, PQ_OPT_SSH_PASSWORD, &options->password, err) < 0)
        return -1;
    return pq_config_secret(config, PQ_OPT_SSH_SOCKS5_PASSWORD, &options->socks5_password, err);
}

int pq_ssh_endpoint_read(pq_config *config, pq_ssh_endpoint *ret, pq_error *err)
{
    pq_ms connect_timeout = pq_config_duration_ms(config, PQ_OPT_CONNECT_TIMEOUT);
    bool short_timeout = connect_timeout > 0 && connect_timeout < CONNECTION_MS;
    const char *host = pq_config_text(config, PQ_OPT_SSH_HOST);
    ret->options = (pq_ssh_options){
        .host = host != NULL ? host : pq_config_text(config, PQ_OPT_HOST),
        .port = (uint16_t)pq_config_int(config, PQ_OPT_SSH_PORT),
        .user = pq_config_text(config, PQ_OPT_SSH_USER),
        .method = method_of(pq_config_text(config, PQ_OPT_SSH_METHOD)),
        .agent_socket = pq_config_text(config, PQ_OPT_SSH_AGENT_SOCKET),
        .accept_new = pq_config_bool(config, PQ_OPT_SSH_ACCEPT_NEW),
        .socks5 = pq_config_text(config, PQ_OPT_SSH_SOCKS5),
        .socks5_user = pq_config_text(config, PQ_OPT_SSH_SOCKS5_USER),
        .connect_timeout = short_timeout ? connect_timeout : CONNECTION_MS,
        .call_timeout = pq_config_duration_ms(config, PQ_OPT_CALL_TIMEOUT),
        .calls_per_node = (unsigned)pq_config_int(config, PQ_OPT_CALLS_PER_NODE),
        .calls_per_vm = (unsigned)pq_config_int(config, PQ_OPT_CALLS_PER_VM),
    };
    if (read_known_hosts(config, ret, err) < 0 || read_nodes(config, ret, err) < 0)
        return -1;
    return read_secrets(config, &ret->options, err);
}

void pq_ssh_endpoint_done(pq_ssh_endpoint *endpoint)
{
    free(endpoint->node_text);
    free(endpoint->nodes);
    free(endpoint->user_known_hosts);
    *endpoint = (pq_ssh_endpoint){0};
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_secret(const pq_secret *a, const pq_secret *b)
{
    return a == b || (a != NULL && b != NULL && pq_secret_equal(a, b));
}

static bool same_nodes(const pq_ssh_options *a, const pq_ssh_options *b)
{
    if (a->node_count != b->node_count)
        return false;
    for (size_t i = 0; i < a->node_count; i++)
        if (strcmp(a->nodes[i], b->nodes[i]) != 0)
            return false;
    return true;
}

bool pq_ssh_endpoint_equal(const pq_ssh_endpoint *first, const pq_ssh_endpoint *second)
{
    const pq_ssh_options *a = &first->options, *b = &second->options;
    return same_text(a->host, b->host) && a->port == b->port && same_text(a->user, b->user) &&
           a->method == b->method && same_secret(a->key, b->key) &&
           same_secret(a->key_passphrase, b->key_passphrase) &&
           same_secret(a->password, b->password) && same_text(a->agent_socket, b->agent_socket) &&
           same_text(first->known_hosts[0], second->known_hosts[0]) &&
           a->accept_new == b->accept_new && same_text(a->socks5, b->socks5) &&
           same_text(a->socks5_user, b->socks5_user) &&
           same_secret(a->socks5_password, b->socks5_password) && same_nodes(a, b) &&
           a->connect_timeout == b->connect_timeout && a->call_timeout == b->call_timeout &&
           a->calls_per_node == b->calls_per_node && a->calls_per_vm == b->calls_per_vm;
}
