#include "shim/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "transport/base/encode.h"
#include "transport/base/fd.h"

/* Of a terminal that does not tell. */
#define USUAL_COLUMNS 80

/* Columns that a name needs to be worth showing. */
#define NAME_COLUMNS_MIN 8

/* How far back the rate's average reaches. */
#define RATE_MS 3000

/* ---- pure ---- */

/* Four digits at most: "0 B" to "1023 B", "1.0 KiB" to "1023.9 TiB". */
static void print_bytes(char *out, size_t size, uint64_t bytes, const char *suffix)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    uint64_t tenths = bytes;
    if (bytes < 1024) {
        snprintf(out, size, "%u %s%s", (unsigned)bytes, units[0], suffix);
        return;
    }
    for (; bytes >= 1024 && unit + 1 < sizeof units / sizeof units[0]; unit++) {
        tenths = bytes / 1024 * 10 + bytes % 1024 * 10 / 1024;
        bytes /= 1024;
    }
    snprintf(out, size, "%llu.%llu %s%s", (unsigned long long)(tenths / 10),
             (unsigned long long)(tenths % 10), units[unit], suffix);
}

static void print_time(char *out, size_t size, uint64_t seconds, const char *suffix)
{
    unsigned long long hours = seconds / 3600;
    unsigned minutes = (unsigned)(seconds / 60 % 60), rest = (unsigned)(seconds % 60);
    if (hours > 99)
        snprintf(out, size, "--:--%s", suffix);
    else if (hours > 0)
        snprintf(out, size, "%llu:%02u:%02u%s", hours, minutes, rest, suffix);
    else
        snprintf(out, size, "%02u:%02u%s", minutes, rest, suffix);
}

static void print_percent(char *out, size_t size, const pq_progress_state *state)
{
    uint64_t total = (uint64_t)state->total;
    uint64_t percent = 100;
    if (state->bytes < total)
        percent =
            total > UINT64_MAX / 100 ? state->bytes / (total / 100) : state->bytes * 100 / total;
    /* All bytes are there before all is done. */
    if (percent >= 100 && !state->ended)
        percent = 99;
    snprintf(out, size, "%u%%", (unsigned)percent);
}

static void print_rest(char *out, size_t size, const pq_progress_state *state)
{
    bool known = state->total >= 0 && state->rate > 0;
    uint64_t total = known ? (uint64_t)state->total : 0;
    if (state->ended)
        print_time(out, size, (uint64_t)state->elapsed / 1000, "");
    else if (known)
        print_time(out, size, total > state->bytes ? (total - state->bytes) / state->rate : 0,
                   " left");
    else if (state->total >= 0)
        snprintf(out, size, "--:-- left");
    else
        print_time(out, size, (uint64_t)state->elapsed / 1000, "");
}

/* Copies what fits into `columns`; returns how many it takes. Characters from U+1100 on may take
 * two. */
static unsigned print_name(char *out, unsigned columns, const char *name)
{
    unsigned used = 0;
    size_t length = strlen(name), at = 0;
    while (at < length) {
        size_t bytes = pq_utf8_character(name + at, length - at);
        bool wide = bytes > 3 || (bytes == 3 && (unsigned char)name[at] > 0xE0);
        if (bytes == 0 || used + 1 + wide > columns)
            break;
        used += 1 + wide;
        at += bytes;
    }
    memcpy(out, name, at);
    out[at] = '\0';
    return used;
}

unsigned pq_progress_line(char out[PQ_PROGRESS_LINE_BYTES], unsigned columns,
                          const pq_progress_state *state)
{
    /* Fixed columns, so that nothing jumps; the least important one last. */
    enum { PERCENT, BYTES, RATE, REST, PARTS };
    static const unsigned widths[PARTS] = {4, 10, 12, 13};
    char parts[PARTS][48] = {"", "", "", ""};
    if (columns > 200)
        columns = 200;
    if (state->total >= 0)
        print_percent(parts[PERCENT], sizeof parts[0], state);
    print_bytes(parts[BYTES], sizeof parts[0], state->bytes, "");
    print_bytes(parts[RATE], sizeof parts[0], state->rate, "/s");
    print_rest(parts[REST], sizeof parts[0], state);

    unsigned kept = 0, right = 0;
    for (; kept < PARTS && right + widths[kept] + 1 + NAME_COLUMNS_MIN <= columns; kept++)
        right += widths[kept] + 1;
    unsigned used = print_name(out, columns - right, state->name);
    size_t at = strlen(out);
    at += (size_t)snprintf(out + at, PQ_PROGRESS_LINE_BYTES - at, "%*s",
                           (int)(columns - right - used), "");
    for (unsigned i = 0; i < kept; i++)
        at += (size_t)snprintf(out + at, PQ_PROGRESS_LINE_BYTES - at, " %*s", (int)widths[i],
                               parts[i]);
    return columns;
}

uint64_t pq_progress_rate(uint64_t rate, uint64_t bytes, pq_ms elapsed)
{
    if (elapsed <= 0)
        return rate;
    uint64_t now =
        bytes / (uint64_t)elapsed * 1000 + bytes % (uint64_t)elapsed * 1000 / (uint64_t)elapsed;
    if (rate == 0)
        return now;
    uint64_t weight = (uint64_t)elapsed;
    return (rate * RATE_MS + now * weight) / (RATE_MS + weight);
}

/* ---- the terminal ---- */

static unsigned terminal_columns(void)
{
    struct winsize size;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    /* The last column stays free: a character there makes some terminals go on to the next line. */
    return (known ? size.ws_col : USUAL_COLUMNS) - 1;
}

static bool in_foreground(void)
{
    return tcgetpgrp(STDERR_FILENO) == getpgrp();
}

static void say(const char *text, size_t length)
{
    pq_error ignored;
    (void)pq_write_all(STDERR_FILENO, text, length, &ignored);
}

static void clear(pq_progress *progress)
{
    char blank[PQ_PROGRESS_LINE_BYTES];
    if (progress->shown == 0)
        return;
    int length = snprintf(blank, sizeof blank, "\r%*s\r", (int)progress->shown, "");
    say(blank, (size_t)length);
    progress->shown = 0;
}

static void draw(pq_progress *progress, bool ended)
{
    char line[1 + PQ_PROGRESS_LINE_BYTES] = "\r";
    unsigned columns = terminal_columns();
    pq_ms elapsed = pq_now() - progress->started;
    pq_progress_state state = {
        .name = progress->name,
        .bytes = progress->bytes,
        .total = ended ? (int64_t)progress->bytes : progress->total,
        .rate = ended ? pq_progress_rate(0, progress->bytes, elapsed) : progress->rate,
        .elapsed = elapsed,
        .ended = ended,
    };
    if (columns < progress->shown)
        clear(progress);
    progress->shown = pq_progress_line(line + 1, columns, &state);
    say(line, strlen(line));
}

static void on_time(void *context)
{
    pq_progress *progress = context;
    pq_ms now = pq_now();
    uint64_t before = progress->measured_bytes;
    uint64_t more = progress->bytes > before ? progress->bytes - before : 0;
    progress->rate = pq_progress_rate(progress->rate, more, now - progress->measured);
    progress->measured = now;
    progress->measured_bytes = progress->bytes;
    if (in_foreground())
        draw(progress, false);
    pq_timer_start(progress->loop, &progress->timer, PQ_PROGRESS_DRAW_MS, on_time, progress);
}

static void on_log(void *context, pq_log_level level, const char *line)
{
    pq_progress *progress = context;
    bool shown = progress->shown > 0;
    clear(progress);
    pq_log_to_stderr(level, line);
    if (shown)
        draw(progress, false);
}

void pq_progress_start(pq_progress *progress, pq_loop *loop, const char *name)
{
    if (!isatty(STDERR_FILENO) || !in_foreground())
        return;
    *progress = (pq_progress){.loop = loop, .total = -1, .started = pq_now()};
    progress->measured = progress->started;
    pq_error_clean(progress->name, sizeof progress->name, name, strlen(name));
    pq_log_set_sink(on_log, progress);
    pq_timer_start(loop, &progress->timer, PQ_PROGRESS_FIRST_MS, on_time, progress);
}

bool pq_progress_is_on(const pq_progress *progress)
{
    return progress->loop != NULL;
}

void pq_progress_update(pq_progress *progress, uint64_t bytes, int64_t total)
{
    progress->bytes = bytes;
    progress->total = total;
}

void pq_progress_end(pq_progress *progress, bool success)
{
    if (progress->loop == NULL)
        return;
    pq_timer_stop(&progress->timer);
    pq_log_set_sink(NULL, NULL);
    if (progress->shown > 0 && success) {
        draw(progress, true);
        say("\n", 1);
    } else {
        clear(progress);
    }
    progress->loop = NULL;
    progress->shown = 0;
}
