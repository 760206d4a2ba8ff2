/*
 * The API as the guide of the way over SSH, where it answers but may not do what is asked.   (shim)
 */
#pragma once

#include "transport/pve/pve.h"
#include "transport/ssh/ssh.h"

/* Embedded in its owner's struct, which frees all agents of `ssh` first. */
typedef struct pq_guide {
    pq_pve *pve;
    bool answers; /* the API can be reached: it is asked from then on */
} pq_guide;

void pq_guide_init(pq_guide *guide, pq_pve *pve, pq_ssh *ssh);
