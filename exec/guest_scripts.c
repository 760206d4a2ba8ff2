#include "exec/guest_scripts.h"

#include "exec_guest_scripts.h"

const char *const pq_guest_common = pq_script_common;
const char *const pq_guest_launch = pq_script_launch;
const char *const pq_guest_text = pq_script_text;
const char *const pq_guest_job = pq_script_job;
const char *const pq_guest_stream_common = pq_script_stream_common;
const char *const pq_guest_stream = pq_script_stream;
const char *const pq_guest_pump = pq_script_pump;
const char *const pq_guest_piece = pq_script_piece;
const char *const pq_guest_look = pq_script_look;
const char *const pq_guest_kill = pq_script_kill;
const char *const pq_guest_slice = pq_script_slice;
const char *const pq_guest_close = pq_script_close;

static int begin(pq_script *script, const char *const parts[], pq_error *err)
{
    pq_buf whole = {0};
    int result = 0;
    for (; *parts != NULL && result == 0; parts++)
        result = pq_buf_add_text(&whole, *parts, err);
    if (result == 0)
        result = pq_script_begin(script, pq_guest_common, whole.data, err);
    pq_buf_done(&whole);
    return result;
}

int pq_job_script_begin(pq_script *script, pq_error *err)
{
    const char *const parts[] = {pq_guest_launch, pq_guest_text, pq_guest_job, NULL};
    return begin(script, parts, err);
}

int pq_duplex_launcher_begin(pq_script *script, pq_error *err)
{
    const char *const parts[] = {pq_guest_launch, pq_guest_text, pq_guest_stream_common,
                                 pq_guest_stream, NULL};
    return begin(script, parts, err);
}

int pq_duplex_turn_begin(pq_script *script, pq_error *err)
{
    const char *const parts[] = {pq_guest_text, pq_guest_stream_common, pq_guest_pump, NULL};
    return begin(script, parts, err);
}
