/*
 * PROTOCOL.md's examples, against the codec.
 *
 * Those that need no guest are replayed byte for byte by a server that knows nothing but what the
 * protocol itself demands. In the others, every message must at least be well-formed. The program
 * is tested with all of them in integration/tests/test_protocol_doc.py.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/proto/message.h"

/* ---- reading the examples ---- */

typedef struct example {
    char name[64];
    bool hello, guest;
    int exit_status;
    pq_buf client; /* what it sends */
    pq_buf server; /* what it is to receive */
} example;

static FILE *open_document(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s", __FILE__);
    char *here = strstr(path, "tests/unit/");
    cr_assert_not_null(here);
    strcpy(here, "transport/proto/PROTOCOL.md");
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file, "cannot open %s", path);
    return file;
}

static void add(pq_buf *out, const char *bytes, size_t length)
{
    pq_error err;
    cr_assert_eq(pq_buf_add(out, bytes, length, &err), 0);
}

/* A header: what stands there up to the \n at its end, and the version. */
static void add_header(pq_buf *out, const char *line)
{
    size_t length = strlen(line);
    cr_assert(length > 2 && strcmp(line + length - 2, "\\n") == 0, "no \\n at the end: %s", line);
    length -= 2;
    const char *version = strstr(line, "@VERSION@");
    if (version != NULL) {
        add(out, line, (size_t)(version - line));
        add(out, PQ_VERSION, strlen(PQ_VERSION));
        length -= (size_t)(version - line) + strlen("@VERSION@");
        line = version + strlen("@VERSION@");
    }
    add(out, line, length);
    add(out, "\n", 1);
}

static char unescape(const char **at)
{
    const char *p = *at;
    if (*p != '\\') {
        *at = p + 1;
        return *p;
    }
    *at = p + 2;
    switch (p[1]) {
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case '\\':
        return '\\';
    case 'x': {
        char digits[3] = {p[2], p[3], '\0'};
        *at = p + 4;
        return (char)strtol(digits, NULL, 16);
    }
    default:
        cr_assert_fail("unknown escape: %s", p);
        return 0;
    }
}

static void add_payload(pq_buf *out, const char *line)
{
    while (*line != '\0') {
        char byte = unescape(&line);
        add(out, &byte, 1);
    }
}

static void begin_example(example *e, char *words)
{
    *e = (example){0};
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        if (strcmp(word, "hello") == 0)
            e->hello = true;
        else if (strcmp(word, "guest") == 0)
            e->guest = true;
        else if (strncmp(word, "exit=", 5) == 0)
            e->exit_status = atoi(word + 5);
        else
            snprintf(e->name, sizeof e->name, "%s", word);
    }
}

static void add_line(example *e, const char *line)
{
    cr_assert(strlen(line) > 3 && line[2] == ' ', "%s: %s", e->name, line);
    pq_buf *out = line[0] == 'C' ? &e->client : &e->server;
    if (line[1] == ':')
        add_header(out, line + 3);
    else
        add_payload(out, line + 3);
}

static void end_example(example *e)
{
    pq_buf_done(&e->client);
    pq_buf_done(&e->server);
}

/* Calls visit() for each example; returns their number. */
static unsigned for_each_example(void (*visit)(const example *))
{
    FILE *file = open_document();
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    unsigned count = 0;
    bool inside = false;
    example e = {0};
    while ((length = getline(&line, &size, file)) > 0) {
        line[length - 1] = '\0';
        if (!inside && strncmp(line, "```frames ", 10) == 0) {
            begin_example(&e, line + 10);
            inside = true;
        } else if (inside && strcmp(line, "```") == 0) {
            visit(&e);
            end_example(&e);
            count++;
            inside = false;
        } else if (inside) {
            add_line(&e, line);
        }
    }
    free(line);
    fclose(file);
    return count;
}

/* ---- a server without guests ---- */

typedef struct bare_server {
    pq_message_session session;
    pq_buf out;
    int exit_status;
} bare_server;

static void carry_out(bare_server *server, const pq_message *m)
{
    pq_error err;
    switch (m->method) {
    case PQ_METHOD_HELLO:
        server->session.greeted = true;
        cr_assert_eq(pq_message_hello_result(&server->out, &m->id, false, &err), 0);
        return;
    case PQ_METHOD_CANCEL:
        cr_assert_eq(pq_message_cancel_result(&server->out, &m->id, false, &err), 0);
        return;
    case PQ_METHOD_CLOSE:
        server->session.closing = true;
        cr_assert_eq(pq_message_empty_result(&server->out, &m->id, &err), 0);
        return;
    case PQ_METHOD_NONE:
        return;
    case PQ_METHOD_EXEC_COMMAND:
    case PQ_METHOD_PUT_FILE:
    case PQ_METHOD_FETCH_FILE:
    case PQ_METHOD_PING:
    case PQ_METHOD_STDIN:
        break;
    }
    cr_assert_fail("an example without a guest reached %s", pq_message_method_name(m->method));
}

/* `m` was parsed when the header came; what it asks for is done when its frame is complete. */
static void answer(bare_server *server, pq_message *m, int parsed, pq_rpc_code code,
                   pq_error *error)
{
    pq_error err;
    if (parsed == 0)
        parsed = pq_message_admit(&server->session, m, false, &code, error);
    if (parsed == 0)
        carry_out(server, m);
    else
        cr_assert_eq(pq_message_error(&server->out, &m->id, code, error, &err), 0);
}

static int serve_frames(bare_server *server, pq_frame_decoder *decoder, const pq_buf *bytes,
                        pq_error *error)
{
    pq_frame_input input = {bytes->data, bytes->length};
    pq_frame_event event;
    pq_message m = {0};
    pq_rpc_code code = PQ_RPC_FAILED;
    int parsed = 0, result;
    pq_error refusal;
    while ((result = pq_frame_step(decoder, &input, &event, error)) == 0 &&
           event.happened != PQ_FRAME_MORE) {
        if (event.happened == PQ_FRAME_HEADER) {
            parsed = pq_message_parse(&m, &decoder->frame, &code, &refusal);
        } else if (event.happened == PQ_FRAME_END) {
            answer(server, &m, parsed, code, &refusal);
            pq_message_done(&m);
        }
    }
    pq_message_done(&m);
    return result;
}

static void serve(bare_server *server, const pq_buf *bytes)
{
    pq_frame_decoder decoder = {0};
    pq_error error, err;
    if (serve_frames(server, &decoder, bytes, &error) < 0 ||
        pq_frame_finish(&decoder, &error) < 0) {
        server->exit_status = 255;
        cr_assert_eq(pq_message_error(&server->out, NULL, PQ_RPC_PARSE_ERROR, &error, &err), 0);
    }
    pq_frame_decoder_done(&decoder);
}

static void replay(const example *e)
{
    if (e->guest)
        return;
    bare_server server = {.session = {.greeted = e->hello}};
    serve(&server, &e->client);
    const char *expected = e->server.length > 0 ? e->server.data : "";
    const char *sent = server.out.length > 0 ? server.out.data : "";
    cr_assert_str_eq(sent, expected, "%s:\n%s", e->name, sent);
    cr_assert_eq(server.exit_status, e->exit_status, "%s", e->name);
    pq_buf_done(&server.out);
}

Test(proto_doc, examples_without_a_guest_are_exact)
{
    cr_assert_geq(for_each_example(replay), 20);
}

/* ---- examples with a guest ---- */

static void count_frames(const example *e, const pq_buf *bytes, bool from_client)
{
    pq_frame_decoder decoder = {0};
    pq_frame_input input = {bytes->data, bytes->length};
    pq_frame_event event;
    pq_rpc_code code;
    pq_error err;
    do {
        cr_assert_eq(pq_frame_step(&decoder, &input, &event, &err), 0, "%s: %s", e->name, err.text);
        if (event.happened == PQ_FRAME_HEADER && from_client) {
            pq_message m = {0};
            cr_assert_eq(pq_message_parse(&m, &decoder.frame, &code, &err), 0, "%s: %s", e->name,
                         err.text);
            pq_message_done(&m);
        }
    } while (event.happened != PQ_FRAME_MORE);
    cr_assert_eq(pq_frame_finish(&decoder, &err), 0, "%s: %s", e->name, err.text);
    pq_frame_decoder_done(&decoder);
}

static void check_frames(const example *e)
{
    if (!e->guest)
        return;
    count_frames(e, &e->client, true);
    count_frames(e, &e->server, false);
}

Test(proto_doc, examples_with_a_guest_are_well_formed)
{
    for_each_example(check_frames);
}
