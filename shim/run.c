#include "shim/run.h"

pq_log_level pq_run_log_level(const pq_config *config)
{
    int64_t verbose = pq_config_int(config, PQ_OPT_VERBOSE);
    if (pq_config_bool(config, PQ_OPT_QUIET))
        return PQ_LOG_ERROR;
    if (verbose == 0)
        return PQ_LOG_WARNING;
    return verbose > 1 ? PQ_LOG_DEBUG : PQ_LOG_INFO;
}
