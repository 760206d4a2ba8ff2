/*
 * What a user must know about a tree that was copied all the same.   (filexfer)
 *
 * Notes are collected where they arise, in whichever thread, and logged as warnings afterwards;
 * however many a tree gives rise to, a few are kept and the rest counted.
 */
#pragma once

#include <stddef.h>

#define PQ_TREE_NOTES_MAX 20
#define PQ_TREE_NOTE_BYTES 240

/* All-zero is valid. */
typedef struct pq_tree_notes {
    unsigned count; /* of all, kept or not */
    char texts[PQ_TREE_NOTES_MAX][PQ_TREE_NOTE_BYTES];
} pq_tree_notes;

void pq_tree_note(pq_tree_notes *notes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Each line of `text`, from the guest, behind `who`. */
void pq_tree_note_lines(pq_tree_notes *notes, const char *who, const char *text, size_t length);

/* Logs them and forgets them. */
void pq_tree_notes_log(pq_tree_notes *notes);
