/*
 * What arrived is compared with what the guest has.
 *
 * A small file's checksum comes when it is opened; if it does not agree, the file may have grown
 * since, and the guest is asked once more for that of as many bytes as were to be fetched.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "filexfer/fetch_internal.h"
#include "filexfer/guest_scripts.h"
#include "transport/base/log.h"

static bool is_known(const char *sum)
{
    return sum[0] != '\0' && strcmp(sum, "-") != 0;
}

bool pq_fetch_take_sums(pq_fetch *fetch, const pq_trailer *trailer)
{
    pq_trailer_value(trailer, "sha256", fetch->guest_sha256, sizeof fetch->guest_sha256);
    pq_trailer_value(trailer, "cksum", fetch->guest_cksum, sizeof fetch->guest_cksum);
    return is_known(fetch->guest_sha256) || is_known(fetch->guest_cksum);
}

/* ---- asking the guest ---- */

static void on_summed(void *context, const pq_error *err, pq_call_result *result)
{
    pq_fetch *fetch = context;
    pq_error failure;
    fetch->summing = NULL;
    if (err != NULL) {
        pq_fetch_finish(fetch, err);
        return;
    }
    const char *state = result->trailer.state;
    int64_t now = pq_trailer_number(&result->trailer, 0);
    if (strcmp(state, "short") == 0) {
        pq_fetch_changed(fetch);
        return;
    }
    if (strcmp(state, "ok") != 0 || now < 0) {
        bool gone = strcmp(state, "missing") == 0;
        pq_fail(&failure, gone ? PQ_E_NOT_FOUND : PQ_E_BAD_ANSWER,
                gone ? "it is gone from the guest" : "the guest's script said '%s'", state);
        pq_fetch_finish(fetch, &failure);
        return;
    }
    if ((uint64_t)now > fetch->size)
        pq_log(PQ_LOG_INFO,
               "the file has grown in the guest since it was opened: the first %llu of %llu bytes "
               "are fetched",
               (unsigned long long)fetch->size, (unsigned long long)now);
    pq_fetch_take_sums(fetch, &result->trailer);
    if (fetch->state == FETCH_COMPARING)
        pq_fetch_compare(fetch);
}

int pq_fetch_start_sum(pq_fetch *fetch, pq_error *err)
{
    pq_script script = {0};
    pq_call_options options = PQ_CALL_DEFAULTS;
    /* It is asked about when it is needed. */
    options.begins_held = fetch->state != FETCH_COMPARING;
    fetch->early_sum = fetch->needs_sum = false;
    if (pq_file_script_begin(&script, PQ_FILE_SUM, err) == 0 &&
        pq_fetch_add_path(fetch, &script, err) == 0 &&
        pq_script_addf(&script, err, "%llu", (unsigned long long)fetch->size) == 0)
        fetch->summing = pq_call_start(fetch->session, &script, &options, on_summed, fetch, err);
    pq_script_done(&script);
    return fetch->summing != NULL ? 0 : -1;
}

/* ---- comparing ---- */

static void sum_up(pq_fetch *fetch)
{
    if (fetch->result.sha256[0] != '\0')
        return;
    pq_sha256_hex(fetch->sha256, fetch->result.sha256);
    snprintf(fetch->local_cksum, sizeof fetch->local_cksum, "%lu-%llu",
             (unsigned long)pq_cksum_end(fetch->cksum, fetch->received),
             (unsigned long long)fetch->received);
}

static bool agrees(const pq_fetch *fetch)
{
    if (is_known(fetch->guest_sha256))
        return strcmp(fetch->guest_sha256, fetch->result.sha256) == 0;
    if (is_known(fetch->guest_cksum))
        return strcmp(fetch->guest_cksum, fetch->local_cksum) == 0;
    return true;
}

static int permission_bits(const pq_fetch *fetch)
{
    if (fetch->mode >= 0)
        return fetch->mode;
    mode_t mask = umask(0);
    umask(mask);
    return (int)(fetch->result.mode & ~mask & 0777);
}

static void keep(pq_fetch *fetch)
{
    pq_error err;
    fetch->result.bytes = fetch->received;
    fetch->result.digest_checked = is_known(fetch->guest_sha256);
    if (fetch->events.content == NULL &&
        pq_local_file_keep(&fetch->file, permission_bits(fetch), &err) < 0)
        pq_fetch_finish(fetch, &err);
    else
        pq_fetch_finish(fetch, NULL);
}

void pq_fetch_compare(pq_fetch *fetch)
{
    pq_error err;
    if (fetch->state != FETCH_COMPARING)
        pq_fetch_set_state(fetch, FETCH_COMPARING);
    sum_up(fetch);
    if (fetch->summing != NULL) {
        pq_call_hold(fetch->summing, false);
        return;
    }
    bool same = agrees(fetch);
    if (fetch->needs_sum || (!same && fetch->early_sum)) {
        if (pq_fetch_start_sum(fetch, &err) < 0)
            pq_fetch_finish(fetch, &err);
    } else if (same) {
        keep(fetch);
    } else {
        pq_fetch_changed(fetch);
    }
}
