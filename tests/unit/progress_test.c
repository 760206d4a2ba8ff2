/* The progress line: what it says, that it fits, and what log lines do to it. */
#include <criterion/criterion.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shim/progress.h"
#include "transport/base/encode.h"

#define MIB ((uint64_t)1024 * 1024)

static char line[PQ_PROGRESS_LINE_BYTES];

static const char *format(unsigned columns, pq_progress_state state)
{
    if (state.name == NULL)
        state.name = "nginx.tar";
    memset(line, '#', sizeof line);
    unsigned used = pq_progress_line(line, columns, &state);
    cr_assert_leq(used, columns);
    cr_assert_eq(pq_utf8_valid_length(line, strlen(line)), strlen(line));
    return line;
}

Test(progress, on_the_way)
{
    pq_progress_state state = {
        .bytes = 42 * MIB, .total = 100 * MIB, .rate = 2 * MIB, .elapsed = 21000};
    cr_assert_str_eq(format(79, state), "nginx.tar                             42%   42.0 MiB    "
                                        "2.0 MiB/s    00:29 left");
}

Test(progress, end)
{
    pq_progress_state state = {.bytes = 100 * MIB,
                               .total = 100 * MIB,
                               .rate = 5 * MIB / 2,
                               .elapsed = 3723000,
                               .ended = true};
    cr_assert_str_eq(format(79, state), "nginx.tar                            100%  100.0 MiB    "
                                        "2.5 MiB/s       1:02:03");
}

/* What is copied is not in its place yet. */
Test(progress, never_all_before_the_end)
{
    pq_progress_state state = {.bytes = 100, .total = 100, .rate = 1};
    cr_assert_not_null(strstr(format(79, state), " 99% "), "%s", line);
    state.total = 0;
    cr_assert_not_null(strstr(format(79, state), " 99% "), "%s", line);
}

Test(progress, unknown_total)
{
    pq_progress_state state = {.bytes = 1023, .total = -1, .rate = 512, .elapsed = 65000};
    cr_assert_str_eq(format(60, state),
                     "nginx.tar                  1023 B      512 B/s         01:05");
    cr_assert_null(strchr(line, '%'));
}

Test(progress, unknown_rate)
{
    pq_progress_state state = {.bytes = 0, .total = 1000, .elapsed = 400};
    cr_assert_not_null(strstr(format(79, state), "  0%"), "%s", line);
    cr_assert_not_null(strstr(line, "--:-- left"), "%s", line);
}

Test(progress, large_numbers)
{
    pq_progress_state state = {.bytes = UINT64_MAX, .total = INT64_MAX, .rate = 1};
    cr_assert_not_null(strstr(format(79, state), "TiB"), "%s", line);
    state = (pq_progress_state){.bytes = 1, .total = INT64_MAX, .rate = 1};
    cr_assert_not_null(strstr(format(79, state), "  0%"), "%s", line);
    cr_assert_not_null(strstr(line, "--:-- left"), "%s", line);
    state.rate = UINT64_MAX;
    cr_assert_not_null(strstr(format(79, state), "00:00 left"), "%s", line);
}

Test(progress, units)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, " 0 B "},
                 {1023, " 1023 B "},
                 {1024, " 1.0 KiB "},
                 {MIB - 1, " 1023.9 KiB "},
                 {MIB, " 1.0 MiB "},
                 {1536 * MIB, " 1.5 GiB "},
                 {2048 * 1024 * MIB, " 2.0 TiB "}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pq_progress_state state = {.bytes = cases[i].bytes, .total = -1};
        cr_assert_not_null(strstr(format(79, state), cases[i].text), "%s", line);
    }
}

Test(progress, narrow_terminals)
{
    pq_progress_state state = {
        .name = "a-rather-long-name.tar.gz", .bytes = MIB, .total = 2 * MIB, .rate = MIB};
    for (unsigned columns = 0; columns < 300; columns++)
        format(columns, state);
    cr_assert_str_eq(format(13, state), "a-rather  50%");
    cr_assert_str_eq(format(8, state), "a-rather");
    cr_assert_str_eq(format(0, state), "");
}

/* Characters that take two columns or are made of many bytes. */
Test(progress, wide_names)
{
    pq_progress_state state = {.name = "\xE6\xB1\x89\xE8\xAF\xAD\xE6\xB1\x89\xE8\xAF\xAD\xE6\xB1"
                                       "\x89\xE8\xAF\xAD",
                               .total = -1};
    cr_assert_str_eq(format(5, state), "\xE6\xB1\x89\xE8\xAF\xAD ");
    state.name = "\xC3\xA4\xC3\xA4\xF0\x9F\x98\x80x";
    cr_assert_str_eq(format(3, state), "\xC3\xA4\xC3\xA4 ");
    cr_assert_str_eq(format(5, state), "\xC3\xA4\xC3\xA4\xF0\x9F\x98\x80x");
}

Test(progress, rate)
{
    cr_assert_eq(pq_progress_rate(0, 1000, 500), 2000, "the first is what it is");
    cr_assert_eq(pq_progress_rate(700, 1000, 0), 700);
    uint64_t rate = pq_progress_rate(1000, 0, 200);
    cr_assert(rate > 900 && rate < 1000, "%llu", (unsigned long long)rate);
    for (int i = 0; i < 100; i++)
        rate = pq_progress_rate(rate, 400, 200);
    cr_assert(rate > 1950 && rate <= 2000, "%llu", (unsigned long long)rate);
    cr_assert_gt(pq_progress_rate(0, UINT64_MAX / 2, 1000000), 0);
}

/* ---- on a terminal ---- */

static pq_loop *loop;
static pq_progress progress;
static pq_timer timer;
static char screen[8192];
static int keep_stderr, master;

/* Makes a terminal of `columns` columns our stderr. It has no foreground group, as we are not its
 * session, so it is made our controlling terminal. */
static void open_terminal(unsigned short columns)
{
    int slave;
    pq_error err;
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    cr_assert_eq(openpty(&master, &slave, NULL, NULL, &size), 0);
    keep_stderr = dup(STDERR_FILENO);
    /* The terminal's end is a hang-up. */
    signal(SIGHUP, SIG_IGN);
    (void)setsid();
    cr_assert_eq(ioctl(slave, TIOCSCTTY, 0), 0);
    cr_assert_eq(dup2(slave, STDERR_FILENO), STDERR_FILENO);
    close(slave);
    loop = pq_loop_new(&err);
}

/* What was written, once stderr is what it was. */
static const char *written(void)
{
    dup2(keep_stderr, STDERR_FILENO);
    ssize_t length = 0, got;
    while ((got = read(master, screen + length, sizeof screen - 1 - (size_t)length)) > 0)
        length += got;
    screen[length] = '\0';
    close(master);
    pq_loop_free(loop);
    return screen;
}

static void stop(void *context)
{
    (void)context;
    pq_loop_stop(loop);
}

static void run_for(pq_ms delay)
{
    pq_error err;
    pq_timer_start(loop, &timer, delay, stop, NULL);
    cr_assert_eq(pq_loop_run(loop, &err), 0);
}

static unsigned count(const char *part)
{
    unsigned found = 0;
    for (const char *at = screen; (at = strstr(at, part)) != NULL; at += strlen(part))
        found++;
    return found;
}

Test(progress, on_a_terminal)
{
    open_terminal(60);
    pq_progress_start(&progress, loop, "new\nline");
    cr_assert(pq_progress_is_on(&progress));
    pq_progress_update(&progress, 10 * MIB, (int64_t)(20 * MIB));
    run_for(PQ_PROGRESS_FIRST_MS + PQ_PROGRESS_DRAW_MS + 100);
    pq_log(PQ_LOG_WARNING, "careful");
    pq_progress_update(&progress, 20 * MIB, (int64_t)(20 * MIB));
    pq_progress_end(&progress, true);
    pq_log(PQ_LOG_WARNING, "afterwards");
    written();
    cr_assert_not_null(strstr(screen, "\rnew line "), "%s", screen);
    cr_assert_geq(count(" 50% "), 2);
    cr_assert_not_null(strstr(screen, "\rpve-qga-run: warning: careful\r\n\rnew line"), "%s",
                       screen);
    cr_assert_not_null(strstr(screen, "100% "), "%s", screen);
    cr_assert_not_null(strstr(screen, "\r\npve-qga-run: warning: afterwards\r\n"), "%s", screen);
    for (const char *at = strtok(screen, "\r\n"); at != NULL; at = strtok(NULL, "\r\n"))
        cr_assert_lt(strlen(at), 60, "%s", at);
}

Test(progress, of_what_fails_goes)
{
    open_terminal(80);
    pq_progress_start(&progress, loop, "name");
    run_for(PQ_PROGRESS_FIRST_MS + 50);
    pq_progress_end(&progress, false);
    pq_progress_end(&progress, false);
    written();
    size_t length = strlen(screen);
    cr_assert_gt(length, 100);
    cr_assert_eq(screen[length - 1], '\r');
    cr_assert_eq(screen[length - 2], ' ', "it is overwritten");
    cr_assert_null(strchr(screen, '\n'));
}

Test(progress, of_what_is_short_is_not_shown)
{
    open_terminal(80);
    pq_progress_start(&progress, loop, "name");
    run_for(PQ_PROGRESS_FIRST_MS / 3);
    pq_progress_end(&progress, true);
    cr_assert_str_empty(written());
}

Test(progress, terminal_that_shrinks)
{
    struct winsize size = {.ws_row = 24, .ws_col = 30};
    open_terminal(80);
    pq_progress_start(&progress, loop, "name");
    run_for(PQ_PROGRESS_FIRST_MS + 50);
    cr_assert_eq(ioctl(master, TIOCSWINSZ, &size), 0);
    run_for(PQ_PROGRESS_DRAW_MS + 50);
    pq_progress_end(&progress, false);
    written();
    const char *last = strrchr(screen, 'n');
    cr_assert_not_null(last);
    cr_assert_lt(strcspn(last, "\r"), 30, "%s", last);
}

Test(progress, without_a_terminal)
{
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    keep_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    pq_error err;
    loop = pq_loop_new(&err);
    pq_progress_start(&progress, loop, "name");
    dup2(keep_stderr, STDERR_FILENO);
    cr_assert_not(pq_progress_is_on(&progress));
    pq_progress_update(&progress, 1, 2);
    pq_progress_end(&progress, true);
    close(ends[1]);
    cr_assert_eq(read(ends[0], screen, sizeof screen), 0);
    close(ends[0]);
    pq_loop_free(loop);
}
