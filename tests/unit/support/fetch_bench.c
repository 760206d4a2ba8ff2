#include "tests/unit/support/fetch_bench.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fetch_bench fetched;

static pq_error err;

void fetch_setup(void)
{
    guest_setup();
    cr_assert_eq(mkdir(guest_path("local"), 0755), 0);
    fetched = (fetch_bench){.request = {.fd = -1, .mode = -1}};
}

void fetch_teardown(void)
{
    pq_fetch_drop(fetched.fetch);
    free(fetched.bytes);
    guest_teardown();
}

void fetch_make_of(const char *name, char *bytes, size_t length)
{
    free(fetched.bytes);
    fetched.bytes = bytes;
    fetched.length = length;
    guest_write(name, bytes, length);
}

void fetch_make(const char *name, size_t length)
{
    fetch_make_of(name, guest_bytes(length), length);
}

char *fetch_text(size_t length)
{
    char *text = malloc(length + 64);
    unsigned state = 1;
    cr_assert_not_null(text);
    for (size_t at = 0; at < length;) {
        state = state * 1103515245 + 12345;
        at += (size_t)sprintf(text + at, "line %zu of %u bytes of text\n", at, state >> 22);
    }
    return text;
}

static void on_progress(void *context, uint64_t done, int64_t total)
{
    (void)context;
    cr_assert_geq(done, fetched.progress);
    if (fetched.progress == 0)
        fetched.first_progress = done;
    fetched.progress = done;
    fetched.total = total;
}

static void on_done(void *context, const pq_error *failure, const pq_fetch_result *result)
{
    (void)context;
    cr_assert((failure == NULL) != (result == NULL));
    fetched.ended++;
    fetched.fetch = NULL;
    if (failure != NULL)
        fetched.err = *failure;
    else
        fetched.result = *result;
    pq_loop_stop(guest.loop);
}

void fetch_start(const char *path)
{
    static const pq_fetch_events events = {.progress = on_progress, .done = on_done};
    char local[128];
    pq_fetch_request request = fetched.request;
    snprintf(local, sizeof local, "%s/local/file", guest.dir);
    if (request.local_path == NULL && request.fd < 0)
        request.local_path = local;
    request.remote_path = path;
    fetched.ended = 0;
    fetched.err.code = PQ_OK;
    fetched.first_progress = fetched.progress = 0;
    fetched.fetch = pq_fetch_start(guest.session, &request, &events, NULL, &err);
    cr_assert_not_null(fetched.fetch, "%s", err.text);
    cr_assert_eq(fetched.ended, 0);
}

void fetch_await(void)
{
    while (fetched.ended == 0)
        guest_run();
    cr_assert_eq(fetched.ended, 1);
}

void fetch_must_succeed(void)
{
    cr_assert_eq(fetched.err.code, PQ_OK, "%s: %s", pq_code_name(fetched.err.code),
                 fetched.err.text);
    cr_assert_eq(fetched.result.bytes, fetched.length);
    cr_assert_str_eq(fetched.result.sha256, guest_sha256(fetched.bytes, fetched.length));
    cr_assert_eq(fetched.progress, fetched.length);
    cr_assert_eq(fetched.total, (int64_t)fetched.length);
    if (fetched.request.local_path == NULL && fetched.request.fd < 0) {
        size_t length = 0;
        char *content = guest_content("local/file", &length);
        cr_assert_not_null(content);
        cr_assert_eq(length, fetched.length);
        cr_assert_eq(memcmp(content, fetched.bytes, length), 0);
        free(content);
        cr_assert_eq(guest_entries("local"), 1);
    }
}

void fetch_must_fail(pq_code code)
{
    fetch_await();
    cr_assert_eq(fetched.err.code, code, "%s: %s", pq_code_name(fetched.err.code),
                 fetched.err.text);
    cr_assert_eq(fetched.err.effect, PQ_EFFECT_NONE, "reading changes nothing");
    cr_assert_eq(guest_entries("local"), 0, "nothing is left");
}

void fetch_again(void)
{
    fetch_start(guest_path("remote"));
    fetch_await();
    fetch_must_succeed();
}

void fetch_file(size_t length)
{
    fetch_make("remote", length);
    fetch_again();
    cr_assert_eq(fetched.result.digest_checked, length > 0);
    guest_must_close();
}

static void cancel(void *context)
{
    (void)context;
    pq_fetch_cancel(fetched.fetch);
}

void fetch_cancel_on(shell_call call, const char *part, unsigned skip)
{
    shell_agent_rule(
        guest.agent,
        (shell_rule){.call = call, .part = part, .skip = skip, .times = 1, .event = cancel});
}
