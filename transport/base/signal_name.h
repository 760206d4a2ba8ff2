/*
 * Names of the guest's signals.   (transport/base; pure)
 */
#pragma once

/* "TERM" for 15 with Linux' numbers, which Proxmox VE's guests have; NULL for one without a name.
 * The host's own numbers may differ. */
const char *pq_signal_name(int number);
