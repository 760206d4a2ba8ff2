#include "shim/run.h"

#include <unistd.h>

#include "transport/base/fd.h"

pq_log_level pq_run_log_level(const pq_config *config)
{
    int64_t verbose = pq_config_int(config, PQ_OPT_VERBOSE);
    if (pq_config_bool(config, PQ_OPT_QUIET))
        return PQ_LOG_ERROR;
    if (verbose == 0)
        return PQ_LOG_WARNING;
    return verbose > 1 ? PQ_LOG_DEBUG : PQ_LOG_INFO;
}

int pq_run_load(pq_run *run, pq_error *err)
{
    run->quiet = pq_config_bool(run->config, PQ_OPT_QUIET);
    pq_log_set_level(pq_run_log_level(run->config));
    if (pq_config_load(run->config, NULL, pq_config_getenv, NULL, err) < 0)
        return -1;
    const char *trace = pq_config_text(run->config, PQ_OPT_TRACE);
    return trace != NULL ? pq_trace_open(trace, err) : 0;
}

int pq_run_fail(const pq_error *err)
{
    pq_log_error(err, NULL);
    return pq_code_exit_status(err->code);
}

int pq_run_print(pq_buf *text, int result, pq_error *err)
{
    if (result == 0)
        result = pq_write_all(STDOUT_FILENO, text->data, text->length, err);
    pq_buf_done(text);
    return result < 0 ? pq_run_fail(err) : 0;
}
