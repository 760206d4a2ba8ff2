#include "shim/serve/server.h"

#include "shim/serve/serve.h"

static void log_to_all(void *context, pq_log_level level, const char *line)
{
    const pq_server *server = context;
    if (server->talks == NULL)
        pq_log_to_stderr(level, line);
    for (pq_talk *talk = server->talks; talk != NULL; talk = talk->next) {
        if (level <= talk->level)
            pq_serve_log(talk, level, line);
    }
}

int pq_server_init(pq_server *server, bool shared, pq_error *err)
{
    server->shared = shared;
    server->loop = pq_loop_new(err);
    if (server->loop == NULL)
        return -1;
    server->targets = pq_targets_new(server->loop, err);
    if (server->targets == NULL)
        return -1;
    pq_log_set_sink(log_to_all, server);
    return 0;
}

void pq_server_done(pq_server *server)
{
    pq_log_set_sink(NULL, NULL);
    pq_targets_free(server->targets);
    pq_loop_free(server->loop);
    pq_memory_done(&server->memory);
}

void pq_server_level(const pq_server *server)
{
    pq_log_level level = PQ_LOG_ERROR;
    for (const pq_talk *talk = server->talks; talk != NULL; talk = talk->next) {
        if (talk->level > level)
            level = talk->level;
    }
    pq_log_set_level(level);
}
