#include "filexfer/tree_notes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/encode.h"
#include "transport/base/log.h"

void pq_tree_note(pq_tree_notes *notes, const char *format, ...)
{
    if (notes->count++ >= PQ_TREE_NOTES_MAX)
        return;
    char *text = notes->texts[notes->count - 1];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(text, PQ_TREE_NOTE_BYTES, format, args);
    va_end(args);
    if (length >= PQ_TREE_NOTE_BYTES)
        text[pq_utf8_boundary(text, PQ_TREE_NOTE_BYTES - 2)] = '\0';
}

void pq_tree_note_lines(pq_tree_notes *notes, const char *who, const char *text, size_t length)
{
    while (length > 0) {
        char clean[PQ_TREE_NOTE_BYTES];
        const char *end = memchr(text, '\n', length);
        size_t line = end != NULL ? (size_t)(end - text) : length;
        size_t taken = end != NULL ? line + 1 : line;
        pq_error_clean(clean, sizeof clean, text, line);
        if (clean[0] != '\0')
            pq_tree_note(notes, "%s: %s", who, clean);
        text += taken;
        length -= taken;
    }
}

void pq_tree_notes_log(pq_tree_notes *notes)
{
    unsigned kept = notes->count < PQ_TREE_NOTES_MAX ? notes->count : PQ_TREE_NOTES_MAX;
    for (unsigned i = 0; i < kept; i++)
        pq_log(PQ_LOG_WARNING, "%s", notes->texts[i]);
    if (notes->count > kept)
        pq_log(PQ_LOG_WARNING, "and %u more such lines", notes->count - kept);
    notes->count = 0;
}
