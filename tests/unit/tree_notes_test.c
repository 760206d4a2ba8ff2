/* What is told about a tree: a few lines, however much there is to tell. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "filexfer/tree_notes.h"
#include "transport/base/encode.h"
#include "transport/base/log.h"

static pq_tree_notes notes;
static unsigned lines;
static char last[512];

static void take(void *context, pq_log_level level, const char *line)
{
    (void)context;
    cr_assert_eq(level, PQ_LOG_WARNING);
    lines++;
    snprintf(last, sizeof last, "%s", line);
}

static void setup(void)
{
    pq_log_set_sink(take, NULL);
}

TestSuite(tree_notes, .init = setup);

Test(tree_notes, none)
{
    pq_tree_notes_log(&notes);
    cr_assert_eq(lines, 0);
}

Test(tree_notes, all_of_a_few)
{
    pq_tree_note(&notes, "%s", "one");
    pq_tree_note(&notes, "number %d", 2);
    pq_tree_notes_log(&notes);
    cr_assert_eq(lines, 2);
    cr_assert_str_eq(last, "number 2");
    pq_tree_notes_log(&notes);
    cr_assert_eq(lines, 2, "they are told once");
}

Test(tree_notes, some_of_many)
{
    for (int i = 0; i < 1000; i++)
        pq_tree_note(&notes, "number %d", i);
    pq_tree_notes_log(&notes);
    cr_assert_eq(lines, PQ_TREE_NOTES_MAX + 1);
    cr_assert_str_eq(last, "and 980 more such lines");
}

Test(tree_notes, long_ones_are_cut_between_characters)
{
    char text[1000];
    for (size_t i = 0; i + 2 < sizeof text; i += 2)
        memcpy(text + i, "\xC3\xA4", 3);
    pq_tree_note(&notes, "x%s", text);
    size_t length = strlen(notes.texts[0]);
    cr_assert_lt(length, PQ_TREE_NOTE_BYTES);
    cr_assert_gt(length, PQ_TREE_NOTE_BYTES - 5);
    cr_assert_eq(pq_utf8_valid_length(notes.texts[0], length), length);
}

Test(tree_notes, lines_of_a_guest)
{
    static const char text[] = "tar: one\n\ntar: t\033[1mwo\r\n\nthe rest";
    pq_tree_note_lines(&notes, "the guest's tar", text, sizeof text - 1);
    cr_assert_eq(notes.count, 3);
    cr_assert_str_eq(notes.texts[0], "the guest's tar: tar: one");
    cr_assert_str_eq(notes.texts[1], "the guest's tar: tar: t [1mwo");
    cr_assert_str_eq(notes.texts[2], "the guest's tar: the rest");
    pq_tree_note_lines(&notes, "x", NULL, 0);
    cr_assert_eq(notes.count, 3);
}
