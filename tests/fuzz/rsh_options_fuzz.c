/*
 * ssh's command line from arbitrary bytes, one argument a line.
 *
 * It is taken, and then names a VM where one is needed, with texts that lie inside the arguments;
 * or refused with one printable line.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shim/rsh/login.h"
#include "shim/rsh/options.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ARGUMENTS_MAX 64

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_taken(const pq_rsh_options *options)
{
    pq_buf out = {0};
    pq_error err;
    bool no_vm = options->action == PQ_RSH_HELP || options->action == PQ_RSH_VERSION;
    require(no_vm || (options->vm != NULL && options->host[0] != '\0'));
    require(options->command.length == 0 ||
            strlen(options->command.data) == options->command.length);
    for (size_t i = 0; i < options->own_count; i++)
        require(strncmp(options->own[i], "--", 2) == 0);
    for (size_t i = 0; i < options->env_count; i++)
        require(strchr(options->env[i], '=') != NULL);
    (void)pq_rsh_options_sends(options, "LC_ALL", 6);
    if (no_vm)
        return;
    require(pq_rsh_options_list(options, &out, &err) == 0);
    pq_buf_done(&out);
    pq_rsh_login login = {.kind = options->command.length > 0 ? PQ_RSH_COMMAND : PQ_RSH_SHELL,
                          .command = options->command.data,
                          .user = options->user};
    if (pq_rsh_login_line(&login, &out, &err) < 0)
        require(err.code == PQ_E_USAGE);
    pq_buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pq_rsh_options options;
    pq_error err = {0};
    char *argv[ARGUMENTS_MAX], *text = malloc(size + 1);
    size_t argc = 0;
    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *at = text; argc < ARGUMENTS_MAX && at < text + size; at += strlen(at) + 1) {
        at[strcspn(at, "\n")] = '\0';
        /* Each in memory of its own, so that stepping over an end is seen. */
        argv[argc] = strdup(at);
        require(argv[argc++] != NULL);
    }
    if (pq_rsh_options_parse(&options, argc, argv, &err) == 0) {
        check_taken(&options);
    } else {
        require(err.code == PQ_E_USAGE || err.code == PQ_E_UNSUPPORTED);
        require(strpbrk(err.text, "\n\r\x1b") == NULL);
    }
    pq_rsh_options_done(&options);
    while (argc > 0)
        free(argv[--argc]);
    free(text);
    return 0;
}
