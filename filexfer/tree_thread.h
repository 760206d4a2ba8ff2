/*
 * pq_tree_extract() in a thread of its own, fed by the loop.   (filexfer)
 *
 * libarchive's reader pulls its bytes and waits for them, while a fetch pushes them from the loop;
 * a pipe between them lets each be as it is. The thread uses nothing of the loop and logs nothing;
 * no signal is delivered to it. Whoever pushes waits while the disk is slower than the guest, as
 * with a plain file.
 */
#pragma once

#include "filexfer/tree_extract.h"
#include "transport/loop/loop.h"

typedef struct pq_tree_thread pq_tree_thread;

/* `ended` runs from the loop when the thread has ended, whether it had all it needed or not; see
 * pq_tree_thread_join(). The options are copied, what they refer to outlives the thread. Fails with
 * INTERNAL, NOMEM. */
pq_tree_thread *pq_tree_thread_start(pq_loop *loop, const pq_tree_extract_options *options,
                                     pq_loop_fn ended, void *context, pq_error *err);

/* Passes bytes on. Fails with IO when the thread has ended: pq_tree_thread_join() tells why. */
int pq_tree_thread_push(pq_tree_thread *thread, const void *bytes, size_t length, pq_error *err);

/* There are no more bytes. */
void pq_tree_thread_end(pq_tree_thread *thread);

/* Waits for the thread's end and frees it: at once after `ended`, else when it has noticed that no
 * more bytes come. Returns what pq_tree_extract() did. `ended` does not run any more. */
int pq_tree_thread_join(pq_tree_thread *thread, pq_tree_extract_result *result, pq_error *err);
