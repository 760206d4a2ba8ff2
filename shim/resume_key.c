#include "shim/resume_key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *pq_resume_key(const pq_config *config, const char *direction, const char *vm,
                    const char *local, const char *remote)
{
    char *key = NULL;
    const char *host = pq_config_text(config, PQ_OPT_HOST);
    char *from = local[0] != '/' ? getcwd(NULL, 0) : NULL;
    if (local[0] != '/' && from == NULL)
        return NULL;
    /* A line for each; with its length, since a path can have line breaks in it. */
    if (asprintf(&key, "%s\n%s:%lld\n%s\n%zu %s/%s\n%s", direction, host != NULL ? host : "",
                 (long long)pq_config_int(config, PQ_OPT_PORT), vm, strlen(local),
                 from != NULL ? from : "", local, remote) < 0)
        key = NULL;
    free(from);
    return key;
}
