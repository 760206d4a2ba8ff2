#include "transport/pve/http_reader.h"

#include <string.h>
#include <strings.h>

/* More interim answers than this are no server we know. */
#define INTERIM_MAX 8

/* Memory set aside at once for an announced body; more comes as the bytes do. */
#define RESERVE_MAX ((size_t)1024 * 1024)

static int bad(pq_error *err, const char *what)
{
    return pq_fail(err, PQ_E_BAD_ANSWER, "the server's answer is not valid HTTP: %s", what);
}

void pq_http_reader_start(pq_http_reader *reader, size_t body_max)
{
    pq_buf line = reader->line;
    pq_buf_done(&reader->body);
    memset(reader, 0, sizeof *reader);
    reader->line = line;
    pq_buf_clear(&reader->line);
    reader->line.maximum = PQ_HTTP_HEADER_MAX;
    reader->body.maximum = body_max;
}

void pq_http_reader_done(pq_http_reader *reader)
{
    pq_buf_done(&reader->line);
    pq_buf_done(&reader->body);
}

bool pq_http_reader_is_done(const pq_http_reader *reader)
{
    return reader->state == PQ_HTTP_DONE;
}

bool pq_http_reader_has_begun(const pq_http_reader *reader)
{
    return reader->started;
}

static void finish(pq_http_reader *reader)
{
    bool by_close = reader->state == PQ_HTTP_BODY_CLOSE;
    reader->keep_open = !by_close && (reader->keep_alive || (!reader->close && !reader->http_1_0));
    reader->state = PQ_HTTP_DONE;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "HTTP/1.1 500 VM 101 is not running" */
static int status_line(pq_http_reader *reader, const char *line, size_t length, pq_error *err)
{
    if (length < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') ||
        line[8] != ' ' || !is_digit(line[9]) || !is_digit(line[10]) || !is_digit(line[11]) ||
        line[9] == '0' || (length > 12 && line[12] != ' '))
        return bad(err, "no status line");
    reader->http_1_0 = line[7] == '0';
    reader->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
    if (length > 13)
        pq_error_clean(reader->reason, sizeof reader->reason, line + 13, length - 13);
    else
        reader->reason[0] = '\0';
    reader->state = PQ_HTTP_HEADERS;
    return 0;
}

static bool is_token_char(unsigned char c)
{
    return c > 0x20 && c < 0x7F && strchr("\"(),/:;<=>?@[\\]{}", c) == NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Is `token` one of the comma-separated ones in `value`? */
static bool has_token(const char *value, const char *token)
{
    size_t wanted = strlen(token);
    while (*value != '\0') {
        size_t part = strcspn(value, ",");
        const char *start = value;
        size_t length = part;
        for (; length > 0 && is_blank(*start); start++)
            length--;
        while (length > 0 && is_blank(start[length - 1]))
            length--;
        if (length == wanted && strncasecmp(start, token, length) == 0)
            return true;
        value += part;
        value += *value == ',';
    }
    return false;
}

static int content_length(pq_http_reader *reader, const char *value, pq_error *err)
{
    uint64_t length = 0;
    size_t digits = strspn(value, "0123456789");
    if (digits == 0 || digits > 18 || value[digits] != '\0')
        return bad(err, "bad Content-Length");
    for (size_t i = 0; i < digits; i++)
        length = length * 10 + (uint64_t)(value[i] - '0');
    if (reader->has_length && reader->left != length)
        return bad(err, "two different Content-Length");
    reader->has_length = true;
    reader->left = length;
    return 0;
}

static int header_value(pq_http_reader *reader, const char *name, const char *value, pq_error *err)
{
    if (strcasecmp(name, "Content-Length") == 0)
        return content_length(reader, value, err);
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        if (reader->chunked || strcasecmp(value, "chunked") != 0)
            return bad(err, "unknown Transfer-Encoding");
        reader->chunked = true;
    } else if (strcasecmp(name, "Content-Encoding") == 0) {
        if (strcasecmp(value, "gzip") == 0 || strcasecmp(value, "x-gzip") == 0)
            reader->gzip = true;
        else if (strcasecmp(value, "identity") != 0)
            return bad(err, "a Content-Encoding that was not asked for");
    } else if (strcasecmp(name, "Connection") == 0) {
        reader->keep_alive |= has_token(value, "keep-alive");
        reader->close |= has_token(value, "close");
    }
    return 0;
}

/* Splits "Name: value" in place. `trailer`: only its form is checked. */
static int header_line(pq_http_reader *reader, char *line, size_t length, bool trailer,
                       pq_error *err)
{
    size_t name = 0;
    while (name < length && is_token_char((unsigned char)line[name]))
        name++;
    if (name == 0 || name == length || line[name] != ':')
        return bad(err, "a header line without a name");
    for (size_t i = name + 1; i < length; i++)
        if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7F)
            return bad(err, "control characters in a header line");
    line[name] = '\0';
    char *value = line + name + 1;
    while (is_blank(*value))
        value++;
    char *end = line + length;
    while (end > value && is_blank(end[-1]))
        end--;
    *end = '\0';
    return trailer ? 0 : header_value(reader, line, value, err);
}

/* An interim answer is over: its headers mean nothing. */
static int skip_interim(pq_http_reader *reader, pq_error *err)
{
    if (reader->status == 101 || ++reader->interim > INTERIM_MAX)
        return bad(err, "unexpected interim answer");
    reader->state = PQ_HTTP_STATUS;
    reader->lines = 0;
    reader->close = reader->keep_alive = reader->chunked = reader->gzip = false;
    reader->has_length = false;
    reader->left = 0;
    return 0;
}

static int too_large(const pq_http_reader *reader, pq_error *err)
{
    return pq_fail(err, PQ_E_BAD_ANSWER, "the server's answer has more than %zu bytes",
                   reader->body.maximum);
}

/* The blank line behind the headers: how does the body end? */
static int headers_end(pq_http_reader *reader, pq_error *err)
{
    if (reader->status < 200)
        return skip_interim(reader, err);
    if (reader->chunked && reader->has_length)
        return bad(err, "both Content-Length and chunks");
    if (reader->status == 204 || reader->status == 304) {
        finish(reader);
    } else if (reader->chunked) {
        reader->state = PQ_HTTP_CHUNK_SIZE;
    } else if (!reader->has_length) {
        reader->state = PQ_HTTP_BODY_CLOSE;
    } else if (reader->left == 0) {
        finish(reader);
    } else {
        if (reader->left > reader->body.maximum)
            return too_large(reader, err);
        size_t reserve = reader->left < RESERVE_MAX ? (size_t)reader->left : RESERVE_MAX;
        if (pq_buf_reserve(&reader->body, reserve, err) < 0)
            return -1;
        reader->state = PQ_HTTP_BODY_LENGTH;
    }
    return 0;
}

static int hex_value(char c)
{
    if (is_digit(c))
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "1a2b" with an optional ";extension". */
static int chunk_size(pq_http_reader *reader, const char *line, size_t length, pq_error *err)
{
    uint64_t size = 0;
    size_t digits = 0;
    while (digits < length && hex_value(line[digits]) >= 0) {
        if (digits == 15)
            return bad(err, "bad chunk size");
        size = size << 4 | (uint64_t)hex_value(line[digits++]);
    }
    size_t rest = digits;
    while (rest < length && is_blank(line[rest]))
        rest++;
    if (digits == 0 || (rest < length && line[rest] != ';'))
        return bad(err, "bad chunk size");
    if (size > reader->body.maximum - reader->body.length)
        return too_large(reader, err);
    reader->left = size;
    reader->state = size == 0 ? PQ_HTTP_TRAILERS : PQ_HTTP_CHUNK_DATA;
    reader->lines = 0;
    return 0;
}

/* A complete line, its CRLF gone. */
static int whole_line(pq_http_reader *reader, char *line, size_t length, pq_error *err)
{
    if (reader->state == PQ_HTTP_STATUS)
        return status_line(reader, line, length, err);
    if (reader->state == PQ_HTTP_CHUNK_SIZE)
        return chunk_size(reader, line, length, err);
    if (reader->state == PQ_HTTP_CHUNK_END) {
        reader->state = PQ_HTTP_CHUNK_SIZE;
        return length == 0 ? 0 : bad(err, "a chunk is longer than announced");
    }
    bool trailer = reader->state == PQ_HTTP_TRAILERS;
    if (length > 0) {
        if (++reader->lines > PQ_HTTP_LINES_MAX)
            return bad(err, "too many header lines");
        return header_line(reader, line, length, trailer, err);
    }
    if (!trailer)
        return headers_end(reader, err);
    finish(reader);
    return 0;
}

/* Lines of chunk sizes are many in a long body and do not count as header bytes. */
static bool counts_as_header(const pq_http_reader *reader)
{
    return reader->state != PQ_HTTP_CHUNK_SIZE && reader->state != PQ_HTTP_CHUNK_END;
}

static int feed_line(pq_http_reader *reader, const char *bytes, size_t length, size_t *ret_used,
                     pq_error *err)
{
    const char *end = memchr(bytes, '\n', length);
    size_t used = end != NULL ? (size_t)(end - bytes) + 1 : length;
    size_t budget = PQ_HTTP_HEADER_MAX - reader->header_bytes;
    if (used > budget || used > PQ_HTTP_HEADER_MAX - reader->line.length)
        return bad(err, "too much header");
    if (pq_buf_add(&reader->line, bytes, used, err) < 0)
        return -1;
    if (counts_as_header(reader))
        reader->header_bytes += used;
    *ret_used = used;
    if (end == NULL)
        return 0;
    char *line = reader->line.data;
    size_t line_length = reader->line.length - 1;
    if (line_length == 0 || line[line_length - 1] != '\r')
        return bad(err, "a line that does not end with CR LF");
    line[--line_length] = '\0';
    int result = whole_line(reader, line, line_length, err);
    pq_buf_clear(&reader->line);
    return result;
}

static int feed_body(pq_http_reader *reader, const char *bytes, size_t length, size_t *ret_used,
                     pq_error *err)
{
    bool counted = reader->state != PQ_HTTP_BODY_CLOSE;
    size_t take = counted && reader->left < length ? (size_t)reader->left : length;
    if (take > reader->body.maximum - reader->body.length)
        return too_large(reader, err);
    if (pq_buf_add(&reader->body, bytes, take, err) < 0)
        return -1;
    *ret_used = take;
    if (!counted)
        return 0;
    reader->left -= take;
    if (reader->left == 0) {
        if (reader->state == PQ_HTTP_CHUNK_DATA)
            reader->state = PQ_HTTP_CHUNK_END;
        else
            finish(reader);
    }
    return 0;
}

static bool in_body(const pq_http_reader *reader)
{
    return reader->state == PQ_HTTP_BODY_LENGTH || reader->state == PQ_HTTP_BODY_CLOSE ||
           reader->state == PQ_HTTP_CHUNK_DATA;
}

int pq_http_reader_feed(pq_http_reader *reader, const char *bytes, size_t length, size_t *ret_used,
                        pq_error *err)
{
    size_t done = 0;
    reader->started |= length > 0;
    while (done < length && reader->state != PQ_HTTP_DONE) {
        size_t used = 0;
        int result = in_body(reader) ? feed_body(reader, bytes + done, length - done, &used, err)
                                     : feed_line(reader, bytes + done, length - done, &used, err);
        if (result < 0)
            return -1;
        done += used;
    }
    *ret_used = done;
    return 0;
}

int pq_http_reader_end(pq_http_reader *reader, pq_error *err)
{
    if (reader->state == PQ_HTTP_BODY_CLOSE)
        finish(reader);
    if (reader->state == PQ_HTTP_DONE)
        return 0;
    return pq_fail(err, PQ_E_NETWORK, "the server closed the connection %s",
                   reader->started ? "in the middle of its answer" : "without an answer");
}
