/*
 * Answers that are remembered.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "shim/serve/memory.h"

static pq_memory_key key_of(int number)
{
    pq_memory_key key;
    snprintf(key.text, sizeof key.text, "%d", number);
    return key;
}

static void keep(pq_memory *memory, int number, const char *out, const char *err)
{
    pq_memory_note note = {0};
    pq_memory_key key = key_of(number);
    pq_memory_note_start(&note, &key);
    pq_memory_note_add(&note, 1, out, strlen(out));
    pq_memory_note_add(&note, 2, err, strlen(err));
    pq_memory_keep(memory, &note);
    cr_expect_not(note.active);
    pq_memory_note_done(&note);
}

static const pq_memory_entry *find(pq_memory *memory, int number)
{
    pq_memory_key key = key_of(number);
    return pq_memory_find(memory, &key);
}

Test(memory, answers_what_was_kept)
{
    pq_memory memory = {0};
    cr_expect_null(find(&memory, 1));
    keep(&memory, 1, "/root\n", "");
    keep(&memory, 2, "", "oops");
    const pq_memory_entry *entry = find(&memory, 1);
    cr_assert_not_null(entry);
    cr_expect_str_eq(entry->output[0].data, "/root\n");
    cr_expect_eq(entry->output[1].length, 0);
    cr_expect_str_eq(find(&memory, 2)->output[1].data, "oops");
    cr_expect_null(find(&memory, 3));
    pq_memory_done(&memory);
    cr_expect_null(find(&memory, 1));
}

Test(memory, the_last_answer_counts)
{
    pq_memory memory = {0};
    keep(&memory, 1, "old", "");
    keep(&memory, 1, "new", "");
    cr_expect_str_eq(find(&memory, 1)->output[0].data, "new");
    cr_expect_eq(memory.count, 1);
    pq_memory_done(&memory);
}

Test(memory, what_is_not_noted_is_not_kept)
{
    pq_memory memory = {0};
    pq_memory_note note = {0};
    pq_memory_note_add(&note, 1, "x", 1);
    pq_memory_keep(&memory, &note);
    cr_expect_eq(memory.count, 0);
}

/* Both streams count together. */
Test(memory, too_much_output_is_not_kept)
{
    pq_memory memory = {0};
    pq_memory_note note = {0};
    static char bytes[PQ_MEMORY_OUTPUT_MAX];
    pq_memory_key key = key_of(1);
    pq_memory_note_start(&note, &key);
    pq_memory_note_add(&note, 2, bytes, sizeof bytes);
    cr_expect(note.active);
    pq_memory_note_add(&note, 1, bytes, 1);
    cr_expect_not(note.active);
    pq_memory_note_add(&note, 1, bytes, 1);
    pq_memory_keep(&memory, &note);
    cr_expect_null(find(&memory, 1));
}

Test(memory, the_one_used_the_longest_ago_goes_first)
{
    pq_memory memory = {0};
    for (int i = 0; i < PQ_MEMORY_ENTRIES_MAX; i++)
        keep(&memory, i, "x", "");
    cr_assert_not_null(find(&memory, 0));
    keep(&memory, 1000, "x", "");
    cr_expect_eq(memory.count, PQ_MEMORY_ENTRIES_MAX);
    cr_expect_not_null(find(&memory, 0));
    cr_expect_null(find(&memory, 1));
    cr_expect_not_null(find(&memory, 2));
    cr_expect_not_null(find(&memory, 1000));
    pq_memory_done(&memory);
}
