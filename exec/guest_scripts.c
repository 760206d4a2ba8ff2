#include "exec/guest_scripts.h"

#include "exec_guest_scripts.h"

const char *const pq_guest_common = pq_script_common;
const char *const pq_guest_job = pq_script_job;
const char *const pq_guest_piece = pq_script_piece;
const char *const pq_guest_look = pq_script_look;
const char *const pq_guest_kill = pq_script_kill;
const char *const pq_guest_slice = pq_script_slice;
const char *const pq_guest_close = pq_script_close;
