/*
 * Answers of commands that a client wants remembered.   (shim; pure)
 *
 * Theory of operation: a command is noted while it runs; if it ended well with little output, the
 * note becomes an entry, and the same command is answered from there as long as the server lives.
 * The newest entries are kept: the one used the longest ago goes first.
 */
#pragma once

#include <stdbool.h>

#include "transport/base/buf.h"
#include "transport/base/digest.h"

#define PQ_MEMORY_ENTRIES_MAX 256

/* stdout and stderr of an entry together. */
#define PQ_MEMORY_OUTPUT_MAX ((size_t)4096)

/* A command as it would be remembered: everything it depends on, as a digest. */
typedef struct pq_memory_key {
    char text[PQ_SHA256_HEX_SIZE];
} pq_memory_key;

/* The output so far of a command that runs. All-zero: not noted. */
typedef struct pq_memory_note {
    bool active;
    pq_memory_key key;
    pq_buf output[2]; /* stdout, stderr */
} pq_memory_note;

typedef struct pq_memory_entry {
    struct pq_memory_entry *next;
    pq_memory_key key;
    pq_buf output[2];
} pq_memory_entry;

/* All-zero is an empty memory. */
typedef struct pq_memory {
    pq_memory_entry *newest;
    size_t count;
} pq_memory;

void pq_memory_done(pq_memory *memory);

/* The answer to `key`, or NULL. Valid until the next pq_memory_keep(). */
const pq_memory_entry *pq_memory_find(pq_memory *memory, const pq_memory_key *key);

void pq_memory_note_start(pq_memory_note *note, const pq_memory_key *key);

/* `stream` is 1 or 2. Too much, or a lack of memory, ends the note. */
void pq_memory_note_add(pq_memory_note *note, int stream, const char *bytes, size_t length);
void pq_memory_note_done(pq_memory_note *note);

/* The command ended well: remembers the note if it is still active, and empties it. */
void pq_memory_keep(pq_memory *memory, pq_memory_note *note);
