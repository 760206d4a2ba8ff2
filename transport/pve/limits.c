#include "transport/pve/limits.h"

#include "transport/pve/request.h"

/* MAX_ARG_STRLEN of Linux is 131072 with the NUL. */
#define ARG_MAX_BYTES ((size_t)131071)

/* Pieces that pvedaemon's quadratic reader hands on fast: 256 KiB in 70 ms, 1 MiB in 470 ms. */
#define READ_BYTES ((size_t)256 * 1024)

void pq_limits_init(pq_limits *limits)
{
    *limits = (pq_limits){.body_bytes = PQ_LIMITS_BODY_NEW};
}

bool pq_limits_refused(pq_limits *limits, size_t length)
{
    size_t smaller = length > PQ_LIMITS_BODY_OLD ? PQ_LIMITS_BODY_OLD : length / 2;
    if (smaller < PQ_LIMITS_BODY_MIN)
        smaller = PQ_LIMITS_BODY_MIN;
    if (smaller >= limits->body_bytes)
        return length > limits->body_bytes;
    limits->body_bytes = smaller;
    return true;
}

void pq_limits_taken(pq_limits *limits, size_t length)
{
    if (length > PQ_LIMITS_BODY_OLD)
        limits->large_taken = true;
}

void pq_limits_forms_only(pq_limits *limits)
{
    limits->forms = true;
    if (limits->body_bytes > PQ_LIMITS_BODY_OLD)
        limits->body_bytes = PQ_LIMITS_BODY_OLD;
}

void pq_limits_form_too_large(pq_limits *limits)
{
    limits->forms_tight = true;
}

static size_t args_bytes(const pq_limits *limits)
{
    size_t space = limits->body_bytes - PQ_LIMITS_OVERHEAD;
    if (!limits->forms)
        return space;
    return limits->forms_tight ? space / 3 : space / 20 * 17;
}

void pq_limits_report(const pq_limits *limits, unsigned parallel, pq_agent_limits *out)
{
    size_t args = args_bytes(limits);
    size_t input = (limits->body_bytes - 2 * PQ_LIMITS_OVERHEAD) / 6;
    *out = (pq_agent_limits){
        .arg_bytes = args < ARG_MAX_BYTES ? args : ARG_MAX_BYTES,
        .args_bytes = args,
        .input_bytes = input < PQ_REQUEST_INPUT_MAX ? input : PQ_REQUEST_INPUT_MAX,
        .read_bytes = READ_BYTES,
        .offset_reads = !limits->whole_files,
        .args_proven = limits->large_taken || limits->body_bytes <= PQ_LIMITS_BODY_OLD,
        .parallel = parallel,
        .late_call = PQ_LATE_CALL_MS,
    };
}
