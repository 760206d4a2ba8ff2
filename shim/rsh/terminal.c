#include "shim/rsh/terminal.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "exec/guest_scripts.h"
#include "exec/quote.h"
#include "rsh_terminal_scripts.h"
#include "transport/base/fd.h"
#include "transport/base/log.h"

/* Of a line on stderr, and of lines; what makes the guest's terminal complains in fewer. */
#define LINE_MAX_BYTES 4096
#define COMPLAINTS_MAX 10

bool pq_terminal_is_wanted(const pq_rsh_options *options)
{
    bool local = isatty(STDIN_FILENO) != 0;
    switch (options->tty) {
    case PQ_RSH_TTY_FORCE:
        return true;
    case PQ_RSH_TTY_YES:
        if (!local)
            pq_log(PQ_LOG_WARNING,
                   "Pseudo-terminal will not be allocated because stdin is not a terminal.");
        return local;
    case PQ_RSH_TTY_AUTO:
        return local && options->command.length == 0 && !options->no_stdin;
    case PQ_RSH_TTY_NO:
        break;
    }
    return false;
}

/* ---- the guest's terminal ---- */

int pq_terminal_wrap(pq_terminal *terminal, pq_buf *line, pq_error *err)
{
    pq_buf wrapped = {0}, settings = {0};
    int failed = pq_raw_settings(STDIN_FILENO, &settings, err);
    if (failed == 0 && pq_raw_size(STDIN_FILENO, &terminal->rows, &terminal->columns))
        failed =
            pq_buf_printf(&settings, err, " rows %u cols %u", terminal->rows, terminal->columns);
    if (failed == 0 && pq_quote_variable(&wrapped, "line", line->data, err) == 0 &&
        pq_quote_variable(&wrapped, "settings", settings.data, err) == 0 &&
        pq_quote_variable(&wrapped, "relay", pq_script_pty_relay, err) == 0)
        failed = pq_buf_add_text(&wrapped, pq_script_pty, err);
    else
        failed = -1;
    pq_buf_done(&settings);
    pq_buf_done(line);
    *line = wrapped;
    terminal->wanted = true;
    terminal->exit_code = -1;
    return failed;
}

static void follow_size(pq_terminal *terminal);

static void on_resized(void *context, const pq_error *err, pq_call_result *result)
{
    pq_terminal *terminal = context;
    (void)result;
    terminal->resizing = NULL;
    /* What is wrong with the server the stream meets, too. */
    if (err == NULL)
        follow_size(terminal);
}

static void resize(pq_terminal *terminal, unsigned rows, unsigned columns)
{
    pq_script script = {0};
    pq_error err;
    terminal->rows = rows;
    terminal->columns = columns;
    if (pq_script_begin(&script, pq_guest_common, pq_script_resize, &err) == 0 &&
        pq_script_add(&script, terminal->path, &err) == 0 &&
        pq_script_addf(&script, &err, "%u", rows) == 0 &&
        pq_script_addf(&script, &err, "%u", columns) == 0)
        terminal->resizing = pq_call_start(terminal->session, &script, &PQ_CALL_DEFAULTS,
                                           on_resized, terminal, &err);
    pq_script_done(&script);
    if (terminal->resizing == NULL)
        pq_log(PQ_LOG_INFO, "the size of the terminal was not passed on: %s", err.text);
}

/* One size at a time, so that the last one stays. */
static void follow_size(pq_terminal *terminal)
{
    unsigned rows, columns;
    if (terminal->resizing != NULL || terminal->path[0] == '\0' ||
        !pq_raw_size(STDIN_FILENO, &rows, &columns))
        return;
    if (rows != terminal->rows || columns != terminal->columns)
        resize(terminal, rows, columns);
}

/* ---- our terminal ---- */

static void on_size_changed(void *context, int number)
{
    (void)number;
    follow_size(context);
}

/* Whoever had the terminal meanwhile has not left it as we need it. */
static void take_back(pq_terminal *terminal)
{
    pq_error err;
    bool is_ours = terminal->local && terminal->shown && !terminal->left;
    if (is_ours && pq_raw_enter(&terminal->raw, STDIN_FILENO, &err) < 0)
        pq_log(PQ_LOG_WARNING, "%s", err.text);
    follow_size(terminal);
}

static void on_continued(void *context, int number)
{
    (void)number;
    take_back(context);
}

/* By the signal that the system discards where nobody could let us go on. */
static void suspend(pq_terminal *terminal)
{
    struct sigaction stop = {.sa_handler = SIG_DFL}, ours;
    pq_raw_leave(&terminal->raw);
    if (sigaction(SIGTSTP, &stop, &ours) == 0) {
        kill(getpid(), SIGTSTP);
        sigaction(SIGTSTP, &ours, NULL);
    }
    take_back(terminal);
}

static void on_stop(void *context, int number)
{
    (void)number;
    suspend(context);
}

int pq_terminal_start(pq_terminal *terminal, pq_session *session, int escape,
                      const pq_terminal_events *events, void *context, pq_error *err)
{
    pq_loop *loop = pq_session_loop(session);
    terminal->session = session;
    terminal->events = *events;
    terminal->context = context;
    terminal->local = isatty(STDIN_FILENO) != 0;
    terminal->escape.character = terminal->local ? escape : PQ_ESCAPE_NONE;
    if (!terminal->local)
        return 0;
    if (pq_loop_on_signal(loop, SIGWINCH, on_size_changed, terminal, err) < 0 ||
        pq_loop_on_signal(loop, SIGCONT, on_continued, terminal, err) < 0)
        return -1;
    struct sigaction now;
    if (sigaction(SIGTSTP, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
        return 0;
    return pq_loop_on_signal(loop, SIGTSTP, on_stop, terminal, err);
}

static void help(const pq_terminal *terminal)
{
    pq_error err;
    char text[400];
    /* As the escape character stands on the user's keyboard. */
    char mark[3] = {(char)terminal->escape.character, '\0', '\0'};
    if (terminal->escape.character < 0x20)
        snprintf(mark, sizeof mark, "^%c", terminal->escape.character | 0x40);
    int length = snprintf(text, sizeof text,
                          "%s?\r\n"
                          "At the beginning of a line:\r\n"
                          " %s.   end the session\r\n"
                          " %s^Z  suspend it\r\n"
                          " %s?   this text\r\n"
                          " %s%s   the escape character\r\n",
                          mark, mark, mark, mark, mark, mark);
    (void)pq_write_all(STDERR_FILENO, text, (size_t)length, &err);
}

size_t pq_terminal_keys(pq_terminal *terminal, const char *bytes, size_t length, char *out)
{
    size_t sent = 0;
    while (length > 0) {
        size_t taken, some;
        pq_escape_action action =
            pq_escape_next(&terminal->escape, bytes, length, &taken, out + sent, &some);
        sent += some;
        bytes += taken;
        length -= taken;
        if (action == PQ_ESCAPE_HELP)
            help(terminal);
        else if (action == PQ_ESCAPE_SUSPEND)
            suspend(terminal);
        else if (action == PQ_ESCAPE_DISCONNECT) {
            terminal->events.disconnect(terminal->context);
            break;
        }
    }
    return sent;
}

/* ---- what the guest says ---- */

/* A pseudo-terminal; nothing else is to be opened for a guest that is not trusted. */
static bool is_path(const char *text)
{
    static const char directory[] = "/dev/pts/";
    const char *number = text + sizeof directory - 1;
    if (strncmp(text, directory, sizeof directory - 1) != 0)
        return false;
    size_t digits = strspn(number, "0123456789");
    return digits > 0 && digits < 10 && number[digits] == '\0';
}

int pq_terminal_shows(pq_terminal *terminal, pq_error *err)
{
    if (terminal->shown || terminal->left)
        return 0;
    terminal->shown = true;
    if (terminal->local && pq_raw_enter(&terminal->raw, STDIN_FILENO, err) < 0)
        return -1;
    terminal->events.there(terminal->context);
    return 0;
}

static int take_tty(pq_terminal *terminal, const char *path, pq_error *err)
{
    if (pq_terminal_shows(terminal, err) < 0)
        return -1;
    if (is_path(path))
        snprintf(terminal->path, sizeof terminal->path, "%s", path);
    follow_size(terminal);
    return 0;
}

static int take_line(pq_terminal *terminal, char *line, pq_error *err)
{
    char shown[300];
    line[strcspn(line, "\r")] = '\0';
    if (strncmp(line, "pq1 tty ", 8) == 0)
        return take_tty(terminal, line + 8, err);
    if (strncmp(line, "pq1 end ", 8) == 0) {
        terminal->exit_code = (int)(strtoul(line + 8, NULL, 10) & 0xFF);
    } else if (strcmp(line, "pq1 none") == 0) {
        terminal->none = true;
    } else if (line[0] != '\0' && !terminal->left && terminal->complaints++ < COMPLAINTS_MAX) {
        pq_error_clean(shown, sizeof shown, line, strlen(line));
        pq_log(PQ_LOG_WARNING, "the guest's terminal: %s", shown);
    }
    return 0;
}

int pq_terminal_said(pq_terminal *terminal, const char *bytes, size_t length, pq_error *err)
{
    pq_buf *said = &terminal->said;
    while (length > 0) {
        const char *end = memchr(bytes, '\n', length);
        size_t part = end != NULL ? (size_t)(end - bytes) : length;
        if (said->length + part > LINE_MAX_BYTES)
            terminal->skipping = true;
        if (!terminal->skipping && pq_buf_add(said, bytes, part, err) < 0)
            return -1;
        if (end == NULL)
            break;
        bytes = end + 1;
        length -= part + 1;
        bool whole = !terminal->skipping && said->length > 0;
        if (whole &&
            (pq_buf_add_byte(said, '\0', err) < 0 || take_line(terminal, said->data, err) < 0))
            return -1;
        terminal->skipping = false;
        said->length = 0;
    }
    return 0;
}

/* ---- the end ---- */

void pq_terminal_leave(pq_terminal *terminal)
{
    terminal->left = true;
    pq_raw_leave(&terminal->raw);
}

void pq_terminal_done(pq_terminal *terminal)
{
    pq_terminal_leave(terminal);
    pq_call_drop(terminal->resizing);
    terminal->resizing = NULL;
    terminal->path[0] = '\0';
    pq_buf_done(&terminal->said);
}
