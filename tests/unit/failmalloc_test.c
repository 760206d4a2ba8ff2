/*
 * Makes each memory allocation fail, one after the other, and looks at what the code under test
 * does: it must say NOMEM, leave its results alone, leak nothing (AddressSanitizer's part) and
 * work again afterwards.
 *
 * The linker sends malloc(), calloc() and realloc() of the test and of the static libraries here;
 * cJSON, a shared library, gets its memory through its hooks.
 */
#include <cjson/cJSON.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/buf.h"
#include "transport/base/digest.h"
#include "transport/base/encode.h"
#include "transport/base/json.h"
#include "transport/base/log.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);

static bool counting;
static unsigned allocations, failing_one;

/* Whether this allocation is the one that fails. */
static bool fails(void)
{
    if (!counting || ++allocations != failing_one)
        return false;
    errno = ENOMEM;
    return true;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

static void *hooked_malloc(size_t size)
{
    return __wrap_malloc(size);
}

/* Does its work and returns 0, or -1 with *err; frees everything either way. */
typedef int (*scenario)(pq_error *err);

/* Runs the scenario with allocation 1, 2, ... failing until one run needs no more; each of the
 * others must end with NOMEM. There must be at least `least` of them. */
static void fail_each_allocation(scenario run, unsigned least)
{
    cJSON_InitHooks(&(cJSON_Hooks){hooked_malloc, free});
    for (failing_one = 1;; failing_one++) {
        pq_error err = {0};
        allocations = 0;
        counting = true;
        int result = run(&err);
        counting = false;
        if (allocations < failing_one) {
            cr_assert_eq(result, 0, "%s", err.text);
            break;
        }
        cr_assert_eq(result, -1, "allocation %u failed unnoticed", failing_one);
        cr_assert_eq(err.code, PQ_E_NOMEM, "allocation %u: %s", failing_one, err.text);
        cr_assert_eq(err.effect, PQ_EFFECT_NONE);
    }
    cr_assert_gt(failing_one, least, "only %u allocations were made", failing_one - 1);
    cJSON_InitHooks(NULL);
}

static int grow_buffer(pq_error *err)
{
    pq_buf buf = {0};
    int result = 0;
    for (size_t i = 0; i < 2000 && result == 0; i++) {
        size_t length = buf.length;
        result = i % 2 ? pq_buf_printf(&buf, err, "%zu,", i) : pq_buf_add_text(&buf, "x", err);
        if (result < 0) {
            cr_assert_eq(buf.length, length);
            cr_assert(length == 0 || strlen(buf.data) == length);
        }
    }
    pq_buf_done(&buf);
    return result;
}

Test(failmalloc, buf)
{
    fail_each_allocation(grow_buffer, 5);
}

static int code_everything(pq_error *err)
{
    static const char bytes[] = "some \xE9 bytes\x01 that need, each of them, some room";
    int result = -1;
    pq_buf one = {0}, two = {0}, three = {0}, four = {0}, five = {0};
    if (pq_base64_encode(&one, bytes, sizeof bytes, err) == 0 &&
        pq_base64_decode(&two, one.data, one.length, err) == 0 &&
        pq_url_encode(&three, bytes, sizeof bytes, err) == 0 &&
        pq_latin1_to_utf8(&four, bytes, sizeof bytes, err) == 0 &&
        pq_utf8_to_latin1(&five, four.data, four.length, err) == 0)
        result = 0;
    if (result == 0) {
        cr_assert_arr_eq(two.data, bytes, sizeof bytes);
        cr_assert_arr_eq(five.data, bytes, sizeof bytes);
    }
    pq_buf_done(&one);
    pq_buf_done(&two);
    pq_buf_done(&three);
    pq_buf_done(&four);
    pq_buf_done(&five);
    return result;
}

Test(failmalloc, encode)
{
    fail_each_allocation(code_everything, 5);
}

static int read_json(pq_error *err)
{
    char text[] = "{\"data\":{\"a\":[1,2,\"three\\u0000\"],\"b\":null,\"c\":\"x\"},\"d\":true}";
    pq_json *value = pq_json_parse(text, sizeof text - 1, err);
    if (value == NULL)
        return -1;
    pq_buf out = {0};
    int result = pq_json_print(&out, value, err);
    pq_buf_done(&out);
    pq_json_free(value);
    return result;
}

Test(failmalloc, json_parse_and_print)
{
    fail_each_allocation(read_json, 15);
}

static int write_json(pq_error *err)
{
    char bytes[3000];
    memset(bytes, '\n', sizeof bytes);
    pq_buf out = {0};
    int result = pq_json_write_text(&out, bytes, sizeof bytes, err);
    if (result == 0)
        result = pq_json_write_bytes(&out, bytes, sizeof bytes, err);
    if (result == 0)
        cr_assert_eq(out.length, 2 * (2 * sizeof bytes + 2));
    pq_buf_done(&out);
    return result;
}

Test(failmalloc, json_write)
{
    fail_each_allocation(write_json, 5);
}

static int make_digest(pq_error *err)
{
    pq_sha256 *digest = pq_sha256_new(err);
    pq_sha256_free(digest);
    return digest != NULL ? 0 : -1;
}

Test(failmalloc, sha256)
{
    fail_each_allocation(make_digest, 1);
}

/* An event that cannot be written for want of memory is dropped; nobody is told. */
Test(failmalloc, trace)
{
    char path[] = "/tmp/pq-failmalloc-XXXXXX", text[4096];
    pq_error err;
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pq_trace_open(path, &err), 0);
    allocations = 0;
    failing_one = 1;
    counting = true;
    pq_trace_event("lost", NULL, 0);
    pq_trace_event("kept", NULL, 0);
    counting = false;
    pq_trace_close();
    ssize_t length = read(fd, text, sizeof text - 1);
    cr_assert_gt(length, 0);
    text[length] = '\0';
    cr_assert_null(strstr(text, "lost"));
    cr_assert_not_null(strstr(text, "\"event\":\"kept\"}\n"));
    close(fd);
    unlink(path);
}
