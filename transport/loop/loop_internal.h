/*
 * What the loop and the connections share.   (transport/loop, internal)
 *
 * A pq_transfer is a libcurl easy handle in the loop's multi handle, embedded in its owner's
 * struct and all-zero when idle. While `pending` it keeps the loop running. A CONNECT_ONLY
 * handle stays in the multi after `done` was called: libcurl finds its connection through it.
 */
#pragma once

#include <curl/curl.h>

#include "transport/loop/loop.h"

typedef void (*pq_transfer_fn)(void *context, CURLcode result);

typedef struct pq_transfer {
    pq_loop *loop; /* NULL while idle */
    CURL *easy;
    bool pending; /* `done` was not called yet */
    pq_transfer_fn done;
    void *context;
} pq_transfer;

/* Adds `easy`, which stays the caller's, and takes its CURLOPT_PRIVATE. Fails with INTERNAL. */
int pq_transfer_start(pq_loop *loop, pq_transfer *transfer, CURL *easy, pq_transfer_fn done,
                      void *context, pq_error *err);

/* Takes it out again, which closes its connection; `done` is not called any more. */
void pq_transfer_stop(pq_transfer *transfer);
