#include "exec/guest_scripts.h"

#include "exec_guest_scripts.h"

const char *const pq_guest_common = pq_script_common;
const char *const pq_guest_launch = pq_script_launch;
const char *const pq_guest_job = pq_script_job;
const char *const pq_guest_piece = pq_script_piece;
const char *const pq_guest_look = pq_script_look;
const char *const pq_guest_kill = pq_script_kill;
const char *const pq_guest_slice = pq_script_slice;
const char *const pq_guest_close = pq_script_close;

int pq_launcher_begin(pq_script *script, const char *text, pq_error *err)
{
    pq_buf whole = {0};
    int result = -1;
    if (pq_buf_add_text(&whole, pq_guest_launch, err) == 0 &&
        pq_buf_add_text(&whole, text, err) == 0)
        result = pq_script_begin(script, pq_guest_common, whole.data, err);
    pq_buf_done(&whole);
    return result;
}
