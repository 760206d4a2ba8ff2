/*
 * The text of a command that is too long for the launcher's arguments goes to the guest first, one
 * piece after the other.
 */
#include <stdio.h>
#include <string.h>

#include "exec/guest_scripts.h"
#include "exec/job_internal.h"

/* Pieces that were cut anew because the server found the first too large. */
#define CUTS_MAX 4

static void on_staged(void *context, const pq_error *err, pq_call_result *result)
{
    pq_job *job = context;
    job_stage *stage = &job->stage;
    pq_error failure;
    stage->call = NULL;
    if (err != NULL && err->code == PQ_E_TOO_LARGE && stage->index == 0 &&
        ++stage->cuts <= CUTS_MAX) {
        pq_job_stage_command(job);
        return;
    }
    if (err != NULL) {
        pq_job_fail(job, err);
        return;
    }
    bool gone = strcmp(result->trailer.state, "gone") == 0;
    if (gone || strcmp(result->trailer.state, "full") == 0) {
        pq_fail(&failure, gone ? PQ_E_REMOTE_TMP : PQ_E_GUEST_FULL,
                "'%s' in the guest cannot take the text of the command",
                pq_session_remote_tmp(job->session));
        pq_job_fail(job, &failure);
        return;
    }
    stage->offset += stage->taken;
    stage->index++;
    if (stage->offset == job->launch.command.length)
        pq_job_command_staged(job);
    else
        pq_job_stage_command(job);
}

static int build(pq_job *job, pq_script *script, pq_error *err)
{
    job_stage *stage = &job->stage;
    size_t left = job->launch.command.length - stage->offset;
    if (pq_script_begin(script, pq_guest_common, pq_guest_piece, err) < 0 ||
        pq_script_add(script, pq_session_dir(job->session), err) < 0 ||
        pq_script_addf(script, err, "%u", job->number) < 0 || pq_script_add(script, "x", err) < 0 ||
        pq_script_addf(script, err, "%u", stage->index) < 0 || pq_script_add(script, "-", err) < 0)
        return -1;
    script->no_decoder = pq_session_lacks_decoder(job->session);
    if (pq_script_add_items(script, pq_session_limits(job->session),
                            job->launch.command.data + stage->offset, left, 1, &stage->taken,
                            err) < 0)
        return -1;
    if (stage->taken < left)
        return 0;
    char total[24];
    snprintf(total, sizeof total, "%u", stage->index + 1);
    return pq_script_set(script, PQ_PIECE_TOTAL_ARGUMENT, total, err);
}

void pq_job_stage_command(pq_job *job)
{
    pq_error err;
    pq_script script = {0};
    if (build(job, &script, &err) == 0)
        job->stage.call =
            pq_call_start(job->session, &script, &PQ_CALL_MAKES_DIRECTORY, on_staged, job, &err);
    pq_script_done(&script);
    if (job->stage.call == NULL)
        pq_job_fail(job, &err);
}

void pq_job_stage_done(pq_job *job)
{
    pq_call_drop(job->stage.call);
    job->stage.call = NULL;
}
