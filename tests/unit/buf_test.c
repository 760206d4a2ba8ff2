#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "transport/base/buf.h"

/* The linker sends free() here, so that a test can look at memory on its way out. */
void __real_free(void *memory);
void __wrap_free(void *memory);

static void *watched;
static size_t watched_size;
static bool watched_was_zero;

void __wrap_free(void *memory)
{
    if (memory != NULL && memory == watched) {
        watched_was_zero = true;
        for (size_t i = 0; i < watched_size; i++)
            watched_was_zero = watched_was_zero && ((char *)memory)[i] == 0;
        watched = NULL;
    }
    __real_free(memory);
}

Test(buf, empty_is_valid)
{
    pq_buf buf = {0};
    size_t length = 1;
    pq_buf_clear(&buf);
    pq_buf_consume(&buf, 0);
    pq_buf_consume(&buf, 10);
    cr_assert_null(pq_buf_take(&buf, &length));
    cr_assert_eq(length, 0);
    pq_buf_wipe(&buf);
    pq_buf_done(&buf);
    cr_assert_eq(buf.length, 0);
}

Test(buf, adds_and_ends_with_nul)
{
    pq_buf buf = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add(&buf, NULL, 0, &err), 0);
    cr_assert_str_eq(buf.data, "");
    cr_assert_eq(pq_buf_add(&buf, "a\0b", 3, &err), 0);
    cr_assert_eq(pq_buf_add_text(&buf, "cd", &err), 0);
    cr_assert_eq(pq_buf_add_byte(&buf, 'e', &err), 0);
    cr_assert_eq(pq_buf_printf(&buf, &err, "%05d", 42), 0);
    cr_assert_eq(buf.length, 11);
    cr_assert_arr_eq(buf.data, "a\0bcde00042", 12);
    pq_buf_clear(&buf);
    cr_assert_eq(buf.length, 0);
    cr_assert_str_eq(buf.data, "");
    pq_buf_done(&buf);
}

Test(buf, grows_and_keeps_its_contents)
{
    pq_buf buf = {0};
    pq_error err;
    for (int i = 0; i < 100000; i++)
        cr_assert_eq(pq_buf_add_byte(&buf, (char)i, &err), 0);
    cr_assert_eq(buf.length, 100000);
    for (int i = 0; i < 100000; i++)
        cr_assert_eq(buf.data[i], (char)i);
    pq_buf_done(&buf);
}

Test(buf, maximum_is_reached_but_not_passed)
{
    for (size_t maximum = 1; maximum < 1000; maximum += 37) {
        pq_buf buf = {.maximum = maximum};
        pq_error err;
        for (size_t i = 0; i < maximum; i++)
            cr_assert_eq(pq_buf_add_byte(&buf, 'x', &err), 0);
        cr_assert_leq(buf.capacity, maximum + 1);
        cr_assert_eq(pq_buf_add_byte(&buf, 'y', &err), -1);
        cr_assert_eq(err.code, PQ_E_TOO_LARGE);
        cr_assert_eq(buf.length, maximum);
        cr_assert_eq(strspn(buf.data, "x"), maximum);
        cr_assert_eq(pq_buf_add(&buf, "", 0, &err), 0);
        pq_buf_done(&buf);
        cr_assert_eq(buf.maximum, maximum);
    }
}

Test(buf, failed_adds_change_nothing)
{
    pq_buf buf = {.maximum = 10};
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&buf, "12345678", &err), 0);
    cr_assert_eq(pq_buf_add_text(&buf, "abc", &err), -1);
    cr_assert_eq(pq_buf_printf(&buf, &err, "%d", 123), -1);
    cr_assert_eq(pq_buf_reserve(&buf, SIZE_MAX, &err), -1);
    cr_assert_eq(pq_buf_reserve(&buf, SIZE_MAX - 5, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    cr_assert_str_eq(buf.data, "12345678");
    cr_assert_eq(buf.length, 8);
    cr_assert_eq(pq_buf_printf(&buf, &err, "%d", 90), 0);
    cr_assert_str_eq(buf.data, "1234567890");
    pq_buf_done(&buf);
}

Test(buf, printf_of_what_cannot_be_formatted)
{
    pq_buf buf = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&buf, "before", &err), 0);
    /* No such character in the "C" locale. */
    cr_assert_eq(pq_buf_printf(&buf, &err, "%lc", (wint_t)0x20AC), -1);
    cr_assert_eq(err.code, PQ_E_INTERNAL);
    cr_assert_str_eq(buf.data, "before");
    pq_buf_done(&buf);
}

Test(buf, default_maximum)
{
    pq_buf buf = {0};
    pq_error err;
    cr_assert_eq(pq_buf_reserve(&buf, PQ_BUF_MAX + 1, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    cr_assert_null(buf.data);
    cr_assert_eq(pq_buf_reserve(&buf, PQ_BUF_MAX, &err), 0);
    cr_assert_eq(buf.capacity, PQ_BUF_MAX + 1);
    pq_buf_done(&buf);
}

Test(buf, reserved_room_is_not_moved)
{
    pq_buf buf = {0};
    pq_error err;
    cr_assert_eq(pq_buf_reserve(&buf, 1000, &err), 0);
    const char *data = buf.data;
    for (int i = 0; i < 1000; i++)
        cr_assert_eq(pq_buf_add_byte(&buf, 'x', &err), 0);
    cr_assert_eq(buf.data, data);
    pq_buf_done(&buf);
}

Test(buf, consumes_from_the_front)
{
    pq_buf buf = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&buf, "abcdef", &err), 0);
    pq_buf_consume(&buf, 0);
    cr_assert_str_eq(buf.data, "abcdef");
    pq_buf_consume(&buf, 2);
    cr_assert_str_eq(buf.data, "cdef");
    cr_assert_eq(buf.length, 4);
    pq_buf_consume(&buf, 4);
    cr_assert_eq(buf.length, 0);
    cr_assert_str_eq(buf.data, "");
    cr_assert_eq(pq_buf_add_text(&buf, "xy", &err), 0);
    pq_buf_consume(&buf, SIZE_MAX);
    cr_assert_eq(buf.length, 0);
    pq_buf_done(&buf);
}

Test(buf, take_hands_the_memory_over)
{
    pq_buf buf = {.maximum = 100};
    pq_error err;
    size_t length;
    cr_assert_eq(pq_buf_add(&buf, "a\0b", 3, &err), 0);
    char *data = pq_buf_take(&buf, &length);
    cr_assert_eq(length, 3);
    cr_assert_arr_eq(data, "a\0b", 4);
    cr_assert_null(buf.data);
    cr_assert_eq(buf.capacity, 0);
    cr_assert_eq(buf.maximum, 100);
    cr_assert_eq(pq_buf_add_text(&buf, "again", &err), 0);
    cr_assert_arr_eq(data, "a\0b", 4);
    free(data);
    pq_buf_done(&buf);
}

Test(buf, wipe_leaves_only_zeros)
{
    pq_buf buf = {0};
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&buf, "a much longer secret", &err), 0);
    pq_buf_clear(&buf);
    cr_assert_eq(pq_buf_add_text(&buf, "short", &err), 0);
    watched = buf.data;
    watched_size = sizeof "a much longer secret";
    pq_buf_wipe(&buf);
    cr_assert_null(watched, "the memory was not freed");
    cr_assert(watched_was_zero);
    cr_assert_null(buf.data);
    cr_assert_eq(buf.length, 0);
}
