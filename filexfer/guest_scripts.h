/*
 * The texts of filexfer/guest/NAME.sh, embedded at build time.   (filexfer)
 */
#pragma once

#include "exec/script.h"

typedef enum pq_file_script {
    PQ_FILE_PUT,
    PQ_FILE_WRITE,
    PQ_FILE_DROP,
    PQ_FILE_ADOPT,
    PQ_FILE_OPEN,
    PQ_FILE_SUM,
    PQ_FILE_PACK,
    PQ_FILE_TREE_OPEN,
    PQ_FILE_TREE_UNPACK,
    PQ_FILE_TREE_PACK,
    PQ_FILE_TREE_DROP
} pq_file_script;

/* Begins a call of one of them. */
int pq_file_script_begin(pq_script *script, pq_file_script which, pq_error *err);
