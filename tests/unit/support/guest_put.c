#include "tests/unit/support/guest_put.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport/base/fd.h"

guest_put copy;

static pq_error err;

void guest_put_setup(void)
{
    guest_setup();
    copy.source = -1;
    copy.request = (pq_put_request){.fd = -1, .mode = -1, .new_mode = 0644, .size = -1};
}

void guest_put_teardown(void)
{
    pq_put_drop(copy.put);
    free(copy.bytes);
    pq_close(&copy.source);
    guest_teardown();
}

static void on_progress(void *context, uint64_t done, int64_t total)
{
    (void)context;
    cr_assert_geq(done, copy.got.progress);
    cr_assert_eq(total, copy.request.size);
    copy.got.progress = done;
    copy.got.told++;
}

void push(void *context)
{
    (void)context;
    while (copy.got.pushed < copy.push_length) {
        size_t room = pq_put_room(copy.put), left = copy.push_length - copy.got.pushed;
        size_t take = left < room ? left : room;
        if (take == 0)
            return;
        cr_assert_eq(pq_put_content(copy.put, copy.bytes + copy.got.pushed, take, &err), 0);
        copy.got.pushed += take;
        if (copy.got.pushed == copy.push_length)
            pq_put_content_end(copy.put);
    }
}

static void on_done(void *context, const pq_error *failure, const pq_put_result *result)
{
    (void)context;
    cr_assert((failure == NULL) != (result == NULL));
    copy.got.ended++;
    copy.put = NULL;
    if (failure != NULL)
        copy.got.err = *failure;
    else
        copy.got.result = *result;
    pq_loop_stop(guest.loop);
}

void start(const char *path)
{
    pq_put_events events = {.progress = on_progress, .done = on_done};
    if (copy.request.fd < 0)
        events.content_wanted = push;
    copy.request.remote_path = path;
    memset(&copy.got, 0, sizeof copy.got);
    copy.put = pq_put_start(guest.session, &copy.request, &events, NULL, &err);
    cr_assert_not_null(copy.put, "%s", err.text);
    cr_assert_eq(copy.got.ended, 0);
}

void await(void)
{
    while (copy.got.ended == 0)
        guest_run();
    cr_assert_eq(copy.got.ended, 1);
}

void run_for(pq_ms time)
{
    pq_timer timer = {0};
    pq_timer_start(guest.loop, &timer, time, (pq_loop_fn)pq_loop_stop, guest.loop);
    guest_run();
    pq_timer_stop(&timer);
}

void use_bytes(char *bytes, size_t length)
{
    free(copy.bytes);
    pq_close(&copy.source);
    copy.bytes = bytes;
    guest_write("source", bytes, length);
    copy.source = open(guest_path("source"), O_RDONLY | O_CLOEXEC);
    copy.request.fd = copy.source;
}

void use_file(size_t length)
{
    use_bytes(guest_bytes(length), length);
}

void must_succeed(size_t length)
{
    cr_assert_eq(copy.got.err.code, PQ_OK, "%s: %s", pq_code_name(copy.got.err.code),
                 copy.got.err.text);
    cr_assert_eq(copy.got.result.bytes, length);
    cr_assert_str_eq(copy.got.result.sha256, guest_sha256(copy.bytes, length));
    cr_assert_eq(copy.got.progress, length);
}

void put_bytes(char *bytes, size_t length)
{
    use_bytes(bytes, length);
    start(guest_path("file"));
    await();
    must_succeed(length);
    cr_assert(copy.got.result.digest_checked);
    cr_assert_eq(copy.got.result.mode, 0644);
    guest_must_have("file", bytes, length, 0644);
    guest_must_close();
}

void put_file(size_t length)
{
    put_bytes(guest_bytes(length), length);
}

void must_fail(pq_code code, pq_effect effect)
{
    await();
    cr_assert_eq(copy.got.err.code, code, "%s: %s", pq_code_name(copy.got.err.code),
                 copy.got.err.text);
    cr_assert_eq(copy.got.err.effect, effect, "%s", pq_effect_name(copy.got.err.effect));
}

void cancel(void *context)
{
    (void)context;
    pq_put_cancel(copy.put);
}

void cancel_on_call(pq_file_script which, shell_call call, unsigned skip, shell_fault fault)
{
    shell_agent_rule(guest.agent, (shell_rule){.call = call,
                                               .part = guest_file_script(which),
                                               .skip = skip,
                                               .times = 1,
                                               .fault = fault,
                                               .event = cancel});
}
