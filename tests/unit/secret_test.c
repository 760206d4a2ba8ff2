#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "transport/base/secret.h"

/* The linker sends munmap() here, so that a test can look at a secret's memory on its way out. */
int __real_munmap(void *memory, size_t length);
int __wrap_munmap(void *memory, size_t length);

static const void *watched;
static bool watched_was_zero;

int __wrap_munmap(void *memory, size_t length)
{
    if (memory == watched) {
        watched_was_zero = true;
        for (size_t i = 0; i < length; i++)
            watched_was_zero = watched_was_zero && ((char *)memory)[i] == 0;
        watched = NULL;
    }
    return __real_munmap(memory, length);
}

/* mmap() comes here as well, to fail on demand. */
void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);

static bool no_memory;

void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return no_memory ? MAP_FAILED : __real_mmap(address, length, protection, flags, fd, offset);
}

static void watch(const pq_secret *secret)
{
    watched = secret->text;
    watched_was_zero = false;
}

static void assert_wiped(void)
{
    cr_assert_null(watched, "the memory was not given back");
    cr_assert(watched_was_zero, "the memory was not wiped");
}

Test(secret, unset_is_empty)
{
    pq_secret secret = {0};
    cr_assert_not(pq_secret_is_set(&secret));
    cr_assert_str_eq(pq_secret_text(&secret), "");
    cr_assert_not(pq_secret_is_set(NULL));
    cr_assert_str_eq(pq_secret_text(NULL), "");
    pq_secret_done(&secret);
    pq_secret_done(&secret);
}

Test(secret, set_copies)
{
    pq_secret secret = {0};
    pq_error err;
    char source[] = "hunter2 and more";
    cr_assert_eq(pq_secret_set(&secret, source, 7, &err), 0);
    memset(source, 'x', sizeof source - 1);
    cr_assert(pq_secret_is_set(&secret));
    cr_assert_str_eq(pq_secret_text(&secret), "hunter2");
    cr_assert_eq(secret.length, 7);
    pq_secret_done(&secret);
    cr_assert_not(pq_secret_is_set(&secret));
}

Test(secret, empty_counts_as_not_set)
{
    pq_secret secret = {0};
    pq_error err;
    cr_assert_eq(pq_secret_set(&secret, NULL, 0, &err), 0);
    cr_assert_not(pq_secret_is_set(&secret));
    cr_assert_str_eq(pq_secret_text(&secret), "");
    pq_secret_done(&secret);
}

Test(secret, done_wipes)
{
    pq_secret secret = {0};
    pq_error err;
    cr_assert_eq(pq_secret_set(&secret, "hunter2", 7, &err), 0);
    watch(&secret);
    pq_secret_done(&secret);
    assert_wiped();
    cr_assert_null(secret.text);
    cr_assert_eq(secret.length, 0);
}

Test(secret, a_new_value_wipes_the_old_one)
{
    pq_secret secret = {0};
    pq_error err;
    cr_assert_eq(pq_secret_set(&secret, "the first", 9, &err), 0);
    watch(&secret);
    cr_assert_eq(pq_secret_set(&secret, "second", 6, &err), 0);
    assert_wiped();
    cr_assert_str_eq(pq_secret_text(&secret), "second");
    /* The new value may be part of the old one. */
    cr_assert_eq(pq_secret_set(&secret, secret.text + 3, 3, &err), 0);
    cr_assert_str_eq(pq_secret_text(&secret), "ond");
    pq_secret_done(&secret);
}

Test(secret, without_memory_the_old_value_stays)
{
    pq_secret secret = {0};
    pq_error err;
    cr_assert_eq(pq_secret_set(&secret, "old", 3, &err), 0);
    no_memory = true;
    cr_assert_eq(pq_secret_set(&secret, "new", 3, &err), -1);
    no_memory = false;
    cr_assert_eq(err.code, PQ_E_NOMEM);
    cr_assert_str_eq(pq_secret_text(&secret), "old");
    pq_secret_done(&secret);
}

Test(secret, limit)
{
    pq_secret secret = {0};
    pq_error err;
    char *text = malloc(PQ_SECRET_MAX + 2);
    memset(text, 's', PQ_SECRET_MAX + 1);
    text[PQ_SECRET_MAX + 1] = '\0';
    cr_assert_eq(pq_secret_set(&secret, text, PQ_SECRET_MAX, &err), 0);
    cr_assert_eq(strlen(pq_secret_text(&secret)), PQ_SECRET_MAX);
    cr_assert_eq(pq_secret_set(&secret, text, PQ_SECRET_MAX + 1, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    cr_assert_null(strstr(err.text, "sss"));
    cr_assert_eq(secret.length, PQ_SECRET_MAX, "a failure changed the old value");
    pq_secret_done(&secret);
    free(text);
}

/* The "VmFlags:" line of the mapping that holds `address`, or "". */
static const char *mapping_flags(const void *address)
{
    static char line[512];
    FILE *maps = fopen("/proc/self/smaps", "r");
    bool inside = false;
    while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = (unsigned long)address >= from && (unsigned long)address < to;
        if (inside && strncmp(line, "VmFlags:", 8) == 0) {
            fclose(maps);
            return line;
        }
    }
    if (maps != NULL)
        fclose(maps);
    return "";
}

Test(secret, left_out_of_core_dumps)
{
    pq_secret secret = {0};
    pq_error err;
    cr_assert_eq(pq_secret_set(&secret, "hunter2", 7, &err), 0);
    const char *flags = mapping_flags(secret.text);
    if (flags[0] == '\0')
        cr_skip_test("/proc/self/smaps has no VmFlags here");
    cr_assert_not_null(strstr(flags, " dd"), "%s", flags);
    pq_secret_done(&secret);
}

Test(secret, wipe_zeroes)
{
    char memory[8] = "secret!";
    pq_wipe(memory, 6);
    cr_assert_arr_eq(memory, "\0\0\0\0\0\0!", 8);
    pq_wipe(memory, 0);
    cr_assert_eq(memory[6], '!');
}

Test(secret, equal)
{
    pq_error err;
    pq_secret a = {0}, b = {0};
    cr_expect(pq_secret_equal(&a, NULL));
    pq_secret_set(&a, "abc", 3, &err);
    cr_expect_not(pq_secret_equal(&a, &b));
    cr_expect_not(pq_secret_equal(NULL, &a));
    pq_secret_set(&b, "abd", 3, &err);
    cr_expect_not(pq_secret_equal(&a, &b));
    pq_secret_set(&b, "xbc", 3, &err);
    cr_expect_not(pq_secret_equal(&a, &b));
    pq_secret_set(&b, "ab", 2, &err);
    cr_expect_not(pq_secret_equal(&a, &b));
    pq_secret_set(&b, "abc", 3, &err);
    cr_expect(pq_secret_equal(&a, &b));
    cr_expect(pq_secret_equal_bytes("", 0, NULL, 0));
    pq_secret_done(&a);
    pq_secret_done(&b);
}
