/*
 * stdin of a job that did not go with its launcher.
 */
#include "exec/job_internal.h"

static void on_wanted(void *context)
{
    pq_job *job = context;
    if (job->events.input_wanted != NULL)
        job->events.input_wanted(job->context);
}

static void on_failed(void *context, const pq_error *err)
{
    pq_job_fail(context, err);
}

static void on_full(void *context)
{
    pq_job *job = context;
    pq_fail_effect(&job->failure, PQ_E_GUEST_FULL, PQ_EFFECT_DONE, false,
                   "no space in '%s' of the guest for the command's stdin; the command was ended",
                   pq_session_remote_tmp(job->session));
    pq_job_cancel(job);
}

void pq_job_input_init(pq_job *job)
{
    static const pq_input_events events = {
        .wanted = on_wanted, .failed = on_failed, .full = on_full};
    pq_input_init(&job->feed, job->session, job->number, &events, job);
}

void pq_job_input_used(pq_job *job, const pq_trailer *trailer)
{
    if (job->feeds && !pq_input_used(&job->feed, trailer) && job->launcher != NULL)
        pq_call_hold(job->launcher, false);
}

size_t pq_job_input_room(const pq_job *job)
{
    return pq_input_room(&job->feed);
}

int pq_job_input(pq_job *job, const void *bytes, size_t length, pq_error *err)
{
    return pq_input_add(&job->feed, bytes, length, err);
}

void pq_job_input_end(pq_job *job)
{
    pq_input_end(&job->feed);
}
