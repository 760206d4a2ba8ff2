/*
 * What makes two transfers the same one, for resuming.   (shim)
 */
#pragma once

#include "transport/config/config.h"

/* A text that differs for different servers, VMs, directions and paths. `local` is taken from the
 * working directory if it is relative. Free it with free(); NULL without memory or working
 * directory, which only means that nothing is resumed. */
char *pq_resume_key(const pq_config *config, const char *direction, const char *vm,
                    const char *local, const char *remote);
