#include "shim/rsh/raw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "transport/base/log.h"

static pq_raw *active;

static void leave_at_exit(void)
{
    if (active != NULL)
        pq_raw_leave(active);
}

static int fail(const char *doing, pq_error *err)
{
    return pq_fail(err, PQ_E_IO, "stdin: cannot %s the terminal's modes: %s", doing,
                   strerror(errno));
}

/* As ssh does it: nothing is translated, nothing is echoed, no key is a signal. */
static void make_raw(struct termios *modes)
{
    modes->c_iflag |= IGNPAR;
    modes->c_iflag &= ~(tcflag_t)(ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXANY | IXOFF | IUCLC);
    modes->c_lflag &= ~(tcflag_t)(ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHONL | IEXTEN);
    modes->c_oflag &= ~(tcflag_t)OPOST;
    modes->c_cc[VMIN] = 1;
    modes->c_cc[VTIME] = 0;
}

/* Whoever changes the terminal from the background is stopped. */
static bool is_in_background(int fd)
{
    pid_t group = tcgetpgrp(fd);
    return group >= 0 && group != getpgrp();
}

int pq_raw_enter(pq_raw *raw, int fd, pq_error *err)
{
    static bool registered;
    struct termios modes;
    if (is_in_background(fd))
        return 0;
    if (tcgetattr(fd, &modes) < 0)
        return fail("read", err);
    if (!raw->on)
        raw->before = modes;
    make_raw(&modes);
    if (!registered && atexit(leave_at_exit) == 0)
        registered = true;
    raw->fd = fd;
    raw->on = true;
    active = raw;
    pq_log_set_line_end("\r\n");
    if (tcsetattr(fd, TCSADRAIN, &modes) == 0)
        return 0;
    (void)fail("change", err);
    pq_raw_leave(raw);
    return -1;
}

void pq_raw_leave(pq_raw *raw)
{
    if (!raw->on)
        return;
    /* Not after what a terminal that has stopped has not shown yet. */
    if (!is_in_background(raw->fd))
        (void)tcsetattr(raw->fd, TCSANOW, &raw->before);
    raw->on = false;
    active = NULL;
    pq_log_set_line_end("\n");
}

bool pq_raw_size(int fd, unsigned *ret_rows, unsigned *ret_columns)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0)
        return false;
    *ret_rows = size.ws_row;
    *ret_columns = size.ws_col;
    return true;
}

/* " erase ^H" */
static int add_character(pq_buf *out, const char *name, unsigned char character, pq_error *err)
{
    if (character == _POSIX_VDISABLE)
        return pq_buf_printf(out, err, " %s undef", name);
    if (character < 0x20 || character == 0x7F)
        return pq_buf_printf(out, err, " %s ^%c", name, character ^ 0x40);
    /* A printable one would need quotes; nobody has such. */
    return 0;
}

int pq_raw_settings(int fd, pq_buf *out, pq_error *err)
{
    static const struct {
        const char *name;
        int index;
        unsigned char usual;
    } characters[] = {{"intr", VINTR, 'C' & 0x1F}, {"quit", VQUIT, '\\' & 0x1F},
                      {"erase", VERASE, 0x7F},     {"kill", VKILL, 'U' & 0x1F},
                      {"eof", VEOF, 'D' & 0x1F},   {"susp", VSUSP, 'Z' & 0x1F}};
    struct termios modes;
    if (tcgetattr(fd, &modes) < 0)
        return pq_buf_add_text(out, "iutf8", err);
    if (pq_buf_add_text(out, (modes.c_iflag & IUTF8) != 0 ? "iutf8" : "-iutf8", err) < 0)
        return -1;
    for (size_t i = 0; i < sizeof characters / sizeof characters[0]; i++) {
        unsigned char character = modes.c_cc[characters[i].index];
        if (character != characters[i].usual &&
            add_character(out, characters[i].name, character, err) < 0)
            return -1;
    }
    return 0;
}
