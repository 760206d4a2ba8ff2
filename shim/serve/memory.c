#include "shim/serve/memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- notes ---- */

void pq_memory_note_start(pq_memory_note *note, const pq_memory_key *key)
{
    *note = (pq_memory_note){.active = true, .key = *key};
}

void pq_memory_note_done(pq_memory_note *note)
{
    pq_buf_done(&note->output[0]);
    pq_buf_done(&note->output[1]);
    note->active = false;
}

void pq_memory_note_add(pq_memory_note *note, int stream, const char *bytes, size_t length)
{
    pq_error err;
    if (!note->active)
        return;
    size_t had = note->output[0].length + note->output[1].length;
    if (length > PQ_MEMORY_OUTPUT_MAX - had ||
        pq_buf_add(&note->output[stream == 1 ? 0 : 1], bytes, length, &err) < 0)
        pq_memory_note_done(note);
}

/* ---- entries ---- */

static void entry_free(pq_memory_entry *entry)
{
    pq_buf_done(&entry->output[0]);
    pq_buf_done(&entry->output[1]);
    free(entry);
}

void pq_memory_done(pq_memory *memory)
{
    while (memory->newest != NULL) {
        pq_memory_entry *next = memory->newest->next;
        entry_free(memory->newest);
        memory->newest = next;
    }
    memory->count = 0;
}

/* Takes the entry of `key` off the list; NULL if there is none. */
static pq_memory_entry *take(pq_memory *memory, const pq_memory_key *key)
{
    for (pq_memory_entry **at = &memory->newest; *at != NULL; at = &(*at)->next) {
        pq_memory_entry *entry = *at;
        if (strcmp(entry->key.text, key->text) != 0)
            continue;
        *at = entry->next;
        memory->count--;
        return entry;
    }
    return NULL;
}

static void put_first(pq_memory *memory, pq_memory_entry *entry)
{
    entry->next = memory->newest;
    memory->newest = entry;
    memory->count++;
}

static void drop_oldest(pq_memory *memory)
{
    pq_memory_entry **at = &memory->newest;
    while ((*at)->next != NULL)
        at = &(*at)->next;
    entry_free(*at);
    *at = NULL;
    memory->count--;
}

const pq_memory_entry *pq_memory_find(pq_memory *memory, const pq_memory_key *key)
{
    pq_memory_entry *entry = take(memory, key);
    if (entry != NULL)
        put_first(memory, entry);
    return entry;
}

void pq_memory_keep(pq_memory *memory, pq_memory_note *note)
{
    if (!note->active)
        return;
    pq_memory_entry *old = take(memory, &note->key);
    if (old != NULL)
        entry_free(old);
    pq_memory_entry *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        pq_memory_note_done(note);
        return;
    }
    entry->key = note->key;
    entry->output[0] = note->output[0];
    entry->output[1] = note->output[1];
    *note = (pq_memory_note){0};
    put_first(memory, entry);
    if (memory->count > PQ_MEMORY_ENTRIES_MAX)
        drop_oldest(memory);
}
