#include "shim/rsh/escape.h"

#include <string.h>
#include <strings.h>

bool pq_escape_parse(const char *text, int *ret_character)
{
    size_t length = strlen(text);
    if (strcasecmp(text, "none") == 0)
        *ret_character = PQ_ESCAPE_NONE;
    else if (length == 1)
        *ret_character = (unsigned char)text[0];
    else if (length == 2 && text[0] == '^' && text[1] >= '@' && text[1] < 0x7F)
        *ret_character = text[1] & 0x1F;
    else
        return false;
    return true;
}

static pq_escape_action meaning(char letter)
{
    switch (letter) {
    case '.':
        return PQ_ESCAPE_DISCONNECT;
    case 'Z' - '@':
        return PQ_ESCAPE_SUSPEND;
    case '?':
        return PQ_ESCAPE_HELP;
    default:
        return PQ_ESCAPE_GO_ON;
    }
}

pq_escape_action pq_escape_next(pq_escape *escape, const char *bytes, size_t length,
                                size_t *ret_taken, char *out, size_t *ret_out)
{
    pq_escape_action action = PQ_ESCAPE_GO_ON;
    size_t taken = 0, sent = 0;
    while (taken < length && action == PQ_ESCAPE_GO_ON) {
        char byte = bytes[taken++];
        bool is_escape = (unsigned char)byte == escape->character;
        if (is_escape && !escape->inside_line && !escape->held) {
            escape->held = true;
            continue;
        }
        if (escape->held) {
            escape->held = false;
            action = meaning(byte);
            if (action != PQ_ESCAPE_GO_ON)
                break;
            if (!is_escape)
                out[sent++] = (char)escape->character;
        }
        out[sent++] = byte;
        escape->inside_line = byte != '\r' && byte != '\n';
    }
    *ret_taken = taken;
    *ret_out = sent;
    return action;
}
