/* Frames and the stdin window. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/proto/frame.h"
#include "transport/proto/stdin_window.h"

/* What a decoder made of some bytes, one event a line: "H <header>", "P<n>" pieces joined, "E". */
typedef struct transcript {
    pq_buf text;
    pq_buf payload;
    int result;
    pq_error err;
} transcript;

static void note_header(transcript *seen, const pq_frame *frame)
{
    pq_error err;
    cr_assert_eq(pq_buf_add_text(&seen->text, "H", &err), 0);
    cr_assert_eq(pq_json_print(&seen->text, frame->header, &err), 0);
}

static void note_end(transcript *seen)
{
    pq_error err;
    cr_assert_eq(pq_buf_printf(&seen->text, &err, "+%zu;", seen->payload.length), 0);
    pq_buf_clear(&seen->payload);
}

static void feed(pq_frame_decoder *decoder, transcript *seen, const char *bytes, size_t length)
{
    pq_frame_input input = {bytes, length};
    pq_frame_event event = {0};
    pq_error err;
    do {
        seen->result = pq_frame_step(decoder, &input, &event, &seen->err);
        if (seen->result < 0)
            return;
        if (event.happened == PQ_FRAME_HEADER)
            note_header(seen, &decoder->frame);
        else if (event.happened == PQ_FRAME_PIECE)
            cr_assert_eq(pq_buf_add(&seen->payload, event.bytes, event.length, &err), 0);
        else if (event.happened == PQ_FRAME_END)
            note_end(seen);
    } while (event.happened != PQ_FRAME_MORE);
    cr_assert_eq(input.length, 0);
}

static void transcript_done(transcript *seen)
{
    pq_buf_done(&seen->text);
    pq_buf_done(&seen->payload);
}

static void expect_transcript(const char *bytes, size_t length, size_t step, const char *expected)
{
    pq_frame_decoder decoder = {0};
    transcript seen = {0};
    for (size_t at = 0; at < length && seen.result == 0; at += step)
        feed(&decoder, &seen, bytes + at, length - at < step ? length - at : step);
    cr_assert_eq(seen.result, 0, "%s", seen.err.text);
    cr_assert_str_eq(seen.text.data, expected);
    transcript_done(&seen);
    pq_frame_decoder_done(&decoder);
}

static void expect_broken(const char *bytes, size_t length, const char *text)
{
    pq_frame_decoder decoder = {0};
    transcript seen = {0};
    feed(&decoder, &seen, bytes, length);
    cr_assert_eq(seen.result, -1, "accepted: %.100s", bytes);
    cr_assert_eq(seen.err.code, PQ_E_PROTOCOL);
    cr_assert_str_eq(seen.err.text, text);
    feed(&decoder, &seen, "{}\n", 3);
    cr_assert_eq(seen.result, -1);
    cr_assert_str_eq(seen.err.text, "no frame can follow a malformed one");
    transcript_done(&seen);
    pq_frame_decoder_done(&decoder);
}

static void expect_bytes(pq_buf *out, const char *expected)
{
    cr_assert_eq(out->length, strlen(expected));
    cr_assert_str_eq(out->data, expected);
    pq_buf_clear(out);
}

/* A header of exactly `length` bytes and its LF. */
static char *line_of(size_t length)
{
    char *line = malloc(length + 2);
    cr_assert_not_null(line);
    memset(line, 'x', length);
    memcpy(line, "{\"a\":\"", 6);
    memcpy(line + length - 2, "\"}\n", 4);
    return line;
}

/* "[0,0,...]" with `count` elements and its LF. */
static char *array_of(size_t count)
{
    char *text = malloc(2 * count + 3);
    cr_assert_not_null(text);
    text[0] = '[';
    for (size_t i = 0; i < count; i++)
        memcpy(text + 1 + 2 * i, "0,", 2);
    memcpy(text + 2 * count, "]\n", 3);
    return text;
}

/* ---- decoder ---- */

Test(frame, is_the_same_however_it_is_cut)
{
    static const char bytes[] = "{\"a\":1,\"payload\":5}\n\n\0{}\n"
                                "{\"b\":\"\\u0000\\n\"}\r\n"
                                "[1]\n"
                                "{\"payload\":0}\n"
                                "{\"payload\":1}\nx";
    static const char expected[] = "H{\"a\":1,\"payload\":5}+5;H{\"b\":\"\xC4\x80\\n\"}+0;H[1]+0;"
                                   "H{\"payload\":0}+0;H{\"payload\":1}+1;";
    for (size_t step = 1; step <= sizeof bytes; step++)
        expect_transcript(bytes, sizeof bytes - 1, step, expected);
}

Test(frame, payload_pieces_point_into_the_input)
{
    static const char bytes[] = "{\"payload\":10}\n01234";
    pq_frame_decoder decoder = {0};
    pq_frame_input input = {bytes, sizeof bytes - 1};
    pq_frame_event event;
    pq_error err;
    cr_assert_eq(pq_frame_step(&decoder, &input, &event, &err), 0);
    cr_assert_eq(event.happened, PQ_FRAME_HEADER);
    cr_assert_eq(decoder.frame.payload_bytes, 10);
    cr_assert(decoder.frame.has_payload);
    cr_assert_eq(input.length, 5, "a caller may pause after any step");
    cr_assert_eq(pq_frame_step(&decoder, &input, &event, &err), 0);
    cr_assert_eq(event.happened, PQ_FRAME_PIECE);
    cr_assert_eq(event.bytes, bytes + 15);
    cr_assert_eq(event.length, 5);
    cr_assert_eq(pq_frame_step(&decoder, &input, &event, &err), 0);
    cr_assert_eq(event.happened, PQ_FRAME_MORE);
    cr_assert_eq(pq_frame_finish(&decoder, &err), -1);
    cr_assert_str_eq(err.text, "malformed frame: the input ended within it");
    pq_frame_decoder_done(&decoder);
}

Test(frame, input_may_end_between_frames_only)
{
    pq_frame_decoder decoder = {0};
    transcript seen = {0};
    pq_error err;
    cr_assert_eq(pq_frame_finish(&decoder, &err), 0);
    feed(&decoder, &seen, "{}\n", 3);
    cr_assert_eq(pq_frame_finish(&decoder, &err), 0);
    feed(&decoder, &seen, "{", 1);
    cr_assert_eq(pq_frame_finish(&decoder, &err), -1);
    cr_assert_eq(err.code, PQ_E_PROTOCOL);
    cr_assert_eq(pq_frame_finish(&decoder, &err), 0, "it is said once");
    transcript_done(&seen);
    pq_frame_decoder_done(&decoder);
}

Test(frame, has_nul_only_for_the_escape)
{
    static const struct {
        const char *text;
        bool nul;
    } rows[] = {
        {"{\"a\":\"\\u0000\"}\n", true},       {"{\"a\":\"\\\\\\u0000\"}\n", true},
        {"{\"\\u0000\":1}\n", true},           {"{\"a\":\"\\\\u0000\"}\n", false},
        {"{\"a\":\"\\u0100u0000\"}\n", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pq_frame_decoder decoder = {0};
        pq_frame_input input = {rows[i].text, strlen(rows[i].text)};
        pq_frame_event event;
        pq_error err;
        cr_assert_eq(pq_frame_step(&decoder, &input, &event, &err), 0);
        cr_assert_eq(decoder.frame.has_nul, rows[i].nul, "%s", rows[i].text);
        pq_frame_decoder_done(&decoder);
    }
}

#define EXPECT_BROKEN(bytes, text) expect_broken(bytes, sizeof(bytes) - 1, "malformed frame: " text)

Test(frame, malformed_frames_end_the_conversation)
{
    EXPECT_BROKEN("\n", "the header is not one JSON value");
    EXPECT_BROKEN("{} {}\n", "the header is not one JSON value");
    EXPECT_BROKEN("{\"a\":\"\\ud800\"}\n", "the header is not one JSON value");
    EXPECT_BROKEN("{\"a\":\"\n\"}\n", "the header is not one JSON value");
    EXPECT_BROKEN("{\"a\":\"\t\"}\n", "control byte in the header");
    EXPECT_BROKEN("{\"a\":\"b\0c\"}\n", "control byte in the header");
    EXPECT_BROKEN("{}\0\n", "control byte in the header");
    EXPECT_BROKEN("{\"a\":\"\xFF\"}\n", "the header is not UTF-8");
    EXPECT_BROKEN("{\"a\":\"\xED\xA0\x80\"}\n", "the header is not UTF-8");
    EXPECT_BROKEN("{\"payload\":-1}\n", "payload must be a count of bytes");
    EXPECT_BROKEN("{\"payload\":1.5}\n", "payload must be a count of bytes");
    EXPECT_BROKEN("{\"payload\":\"1\"}\n", "payload must be a count of bytes");
    EXPECT_BROKEN("{\"payload\":null}\n", "payload must be a count of bytes");
    EXPECT_BROKEN("{\"payload\":1e300}\n", "payload must be a count of bytes");
    EXPECT_BROKEN("{\"payload\":1,\"payload\":1}\n", "payload is given twice");
    EXPECT_BROKEN("{\"payload\":67108865}\n", "payload is larger than 67108864 bytes");
}

Test(frame, nesting_and_number_of_values_are_bounded)
{
    char deep[2 * PQ_JSON_DEPTH_MAX + 4];
    memset(deep, '[', PQ_JSON_DEPTH_MAX + 1);
    memset(deep + PQ_JSON_DEPTH_MAX + 1, ']', PQ_JSON_DEPTH_MAX + 1);
    deep[2 * PQ_JSON_DEPTH_MAX + 2] = '\n';
    expect_broken(deep, 2 * PQ_JSON_DEPTH_MAX + 3,
                  "malformed frame: the header is not one JSON value");

    char *many = array_of(PQ_PROTO_VALUES_MAX); /* and the array itself */
    expect_broken(many, strlen(many), "malformed frame: more than 16384 values in the header");
    free(many);
    many = array_of(PQ_PROTO_VALUES_MAX - 1);
    pq_frame_decoder decoder = {0};
    pq_frame_input input = {many, strlen(many)};
    pq_frame_event event;
    pq_error err;
    cr_assert_eq(pq_frame_step(&decoder, &input, &event, &err), 0, "%s", err.text);
    pq_frame_decoder_done(&decoder);
    free(many);
}

Test(frame, line_limit_is_exact)
{
    pq_frame_decoder decoder = {0};
    pq_frame_event event;
    pq_error err;
    char *line = line_of(PQ_PROTO_LINE_MAX);
    pq_frame_input input = {line, PQ_PROTO_LINE_MAX + 1};
    cr_assert_eq(pq_frame_step(&decoder, &input, &event, &err), 0, "%s", err.text);
    cr_assert_eq(event.happened, PQ_FRAME_HEADER);
    cr_assert_leq(decoder.line.capacity, 64 * 1024, "a long line's memory is given back");
    pq_frame_decoder_done(&decoder);
    free(line);

    line = line_of(PQ_PROTO_LINE_MAX + 1);
    expect_broken(line, PQ_PROTO_LINE_MAX + 1,
                  "malformed frame: the header is longer than 8388608 bytes");
    free(line);
}

Test(frame, largest_payload_needs_no_memory)
{
    static const char header[] = "{\"payload\":67108864}\n";
    static char piece[65536];
    pq_frame_decoder decoder = {0};
    pq_frame_input input = {header, sizeof header - 1};
    pq_frame_event event;
    pq_error err;
    size_t total = 0;
    cr_assert_eq(pq_frame_step(&decoder, &input, &event, &err), 0);
    while (event.happened != PQ_FRAME_END) {
        cr_assert_eq(pq_frame_step(&decoder, &input, &event, &err), 0);
        if (event.happened == PQ_FRAME_MORE)
            input = (pq_frame_input){piece, sizeof piece};
        else if (event.happened == PQ_FRAME_PIECE)
            total += event.length;
    }
    cr_assert_eq(total, PQ_PROTO_PAYLOAD_MAX);
    cr_assert_leq(decoder.line.capacity, 1024);
    pq_frame_decoder_done(&decoder);
}

/* ---- encoder ---- */

Test(frame, add_writes_header_and_payload)
{
    pq_buf out = {0};
    pq_error err;
    cr_assert_eq(pq_frame_add(&out, "{\"a\":1}", 7, "x\0y", 3, &err), 0);
    cr_assert_eq(out.length, 23);
    cr_assert_eq(memcmp(out.data, "{\"a\":1,\"payload\":3}\nx\0y", 23), 0);
    pq_buf_done(&out);
}

Test(frame, add_is_all_or_nothing)
{
    pq_buf out = {.maximum = 24};
    pq_error err;
    cr_assert_eq(pq_frame_add(&out, "{\"a\":1}", 7, NULL, 0, &err), 0);
    cr_assert_eq(pq_frame_add(&out, "{\"b\":1}", 7, "0123456789", 10, &err), -1);
    cr_assert_eq(err.code, PQ_E_TOO_LARGE);
    expect_bytes(&out, "{\"a\":1}\n");
    pq_buf_done(&out);
}

/* ---- stdin window ---- */

Test(stdin_window, credit_comes_back_by_halves)
{
    pq_stdin_window w = {0};
    const size_t all = PQ_PROTO_STDIN_WINDOW;
    pq_error err;
    cr_assert_eq(pq_stdin_window_ready(&w), all);
    cr_assert_eq(pq_stdin_window_ready(&w), 0);
    cr_assert_eq(pq_stdin_window_received(&w, all, false, &err), 0);
    cr_assert_eq(pq_stdin_window_received(&w, 1, false, &err), -1);
    cr_assert_str_eq(err.text, "stdin of 1 bytes came where 0 were allowed");
    cr_assert_eq(pq_stdin_window_received(&w, 0, false, &err), 0);
    pq_stdin_window_taken(&w, all / 2 - 1);
    cr_assert_eq(pq_stdin_window_ready(&w), 0);
    pq_stdin_window_taken(&w, 1);
    cr_assert_eq(pq_stdin_window_ready(&w), all / 2);
    cr_assert_eq(w.credit + w.held, all);
}

Test(stdin_window, eof_is_the_end)
{
    pq_stdin_window w = {0};
    pq_error err;
    pq_stdin_window_ready(&w);
    cr_assert_eq(pq_stdin_window_received(&w, 5, true, &err), 0);
    pq_stdin_window_taken(&w, 5);
    cr_assert_eq(w.held, 0);
    cr_assert_eq(pq_stdin_window_ready(&w), 0);
    cr_assert_eq(pq_stdin_window_received(&w, 0, false, &err), -1);
    cr_assert_str_eq(err.text, "stdin came after its end");
}
