#include "shim/shell/program.h"

/* By id. */
static const pq_option own_options[] = {
    {.name = "login-name",
     .short_name = 'l',
     .type = PQ_TYPE_TEXT,
     .placeholder = "USER",
     .help = "The user in the guest; without, the agent's, who is root. Also as USER@VM."},
    {.name = "escape-char",
     .short_name = 'e',
     .type = PQ_TYPE_RAW,
     .fallback = "~",
     .placeholder = "CHAR",
     .help = "At the beginning of a line, what makes the next key one for this program: `.` ends "
             "the session, ^Z suspends it, ? tells more. A character, ^ and a letter, or none."},
};

const pq_program pq_shell_program = {
    .name = "pve-qga-shell",
    .operands = "[USER@]VM [COMMAND...]",
    .summary =
        "A login shell, or a command, on a terminal in a guest of Proxmox VE, through the QEMU "
        "guest agent.",
    .rows = own_options,
    .row_count = sizeof own_options / sizeof own_options[0],
};
