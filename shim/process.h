/*
 * What is true of the whole process.   (shim)
 */
#pragma once

/* Makes sure that descriptors 0 to 2 are open, so that no connection becomes our stdout: a stdin
 * that was closed is empty, writing to a stdout that was closed fails, and a stderr that was closed
 * takes everything. */
void pq_process_open_standard(void);

/* No core dumps: there are secrets in our memory. */
void pq_process_hide_memory(void);
