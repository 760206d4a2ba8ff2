/*
 * What is true of the whole process.   (shim)
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Makes sure that descriptors 0 to 2 are open, so that no connection becomes our stdout: a stdin
 * that was closed is empty, writing to a stdout that was closed fails, and a stderr that was closed
 * takes everything. */
void pq_process_open_standard(void);

/* No core dumps: there are secrets in our memory. */
void pq_process_hide_memory(void);

/* The signals that ask a program to end. */
#define PQ_PROCESS_END_SIGNALS ((size_t)3)
extern const int pq_process_end_signals[PQ_PROCESS_END_SIGNALS];

/* Whether we were started with this signal ignored, as nohup does; it is to stay so. */
bool pq_process_ignores(int signal_number);
