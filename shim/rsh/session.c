#include "shim/rsh/session.h"

#include <stdlib.h>
#include <string.h>

#include "exec/quote.h"
#include "shim/rsh/login.h"

extern char **environ;

const char **pq_rsh_session_env(const pq_rsh_options *options, bool terminal, pq_error *err)
{
    size_t most = options->env_count + 1, count = 0;
    for (char **variable = environ; *variable != NULL; variable++)
        most++;
    const char **env = calloc(most, sizeof *env);
    if (env == NULL) {
        pq_fail(err, PQ_E_NOMEM, "out of memory");
        return NULL;
    }
    for (char **variable = environ; *variable != NULL; variable++) {
        bool is_term = terminal && strncmp(*variable, "TERM=", 5) == 0;
        if (!pq_quote_is_assignment(*variable))
            continue;
        if (is_term || pq_rsh_options_sends(options, *variable, strcspn(*variable, "=")))
            env[count++] = *variable;
    }
    for (size_t i = 0; i < options->env_count; i++)
        env[count++] = options->env[i];
    return env;
}

int pq_rsh_session_line(const pq_rsh_options *options, const pq_config *config, pq_buf *line,
                        pq_error *err)
{
    bool own_shell = pq_config_source(config, PQ_OPT_EXECUTABLE) == PQ_SOURCE_DEFAULT;
    pq_rsh_login login = {
        .kind = options->command.length > 0 ? PQ_RSH_COMMAND : PQ_RSH_SHELL,
        .command = options->command.data,
        .user = options->user,
        .shell = own_shell ? NULL : pq_config_text(config, PQ_OPT_EXECUTABLE),
    };
    if (options->subsystem) {
        if (strcmp(login.command, "sftp") != 0)
            return pq_fail(err, PQ_E_UNSUPPORTED, "the only subsystem is sftp");
        login.kind = PQ_RSH_SFTP;
    }
    return pq_rsh_login_line(&login, line, err);
}
