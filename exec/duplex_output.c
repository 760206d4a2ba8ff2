/*
 * Outputs of a stream: what turns bring is delivered at once while nothing is before it; the rest
 * is read from the segments' files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/duplex_internal.h"

/* Eight reads of a pipe. */
#define SEGMENT_MAX ((uint64_t)8 * 65536)

bool pq_duplex_output_is_level(const duplex_output *output)
{
    return output->bytes_delivered == output->bytes_told;
}

static void emit(duplex_output *output, const char *bytes, size_t length)
{
    pq_duplex *stream = output->stream;
    output->bytes_delivered += length;
    while (output->read < output->told &&
           output->ends[output->read % DUPLEX_TOLD_MAX] <= output->bytes_delivered)
        output->read++;
    if (length > 0)
        stream->events.output(stream->context, output->number, bytes, length);
    pq_duplex_schedule(stream);
}

/* ---- segments that are read as files ---- */

static bool on_data(void *context, const char *bytes, size_t length)
{
    emit(context, bytes, length);
    return true;
}

static void on_stopped(void *context, const pq_error *err, uint64_t end)
{
    duplex_output *output = context;
    pq_error lost;
    (void)end;
    output->range = NULL;
    if (err == NULL) {
        pq_fail_effect(&lost, PQ_E_REMOTE_FILE, PQ_EFFECT_UNKNOWN, false,
                       "output of the command was removed from the guest by somebody else");
        err = &lost;
    }
    pq_duplex_fail(output->stream, err);
}

static int read_part(duplex_output *output, uint64_t segment, uint64_t start, uint64_t end,
                     pq_error *err)
{
    pq_duplex *stream = output->stream;
    const char *dir = pq_session_dir(stream->session);
    char path[1200];
    snprintf(path, sizeof path, "%s/%u.%c.%llu", dir, stream->number, output->letter,
             (unsigned long long)segment);
    if (output->range != NULL)
        return pq_range_add(output->range, path, start, end, err);
    pq_range_request request = {.dir = dir,
                                .number = 2 * stream->number + (unsigned)(output->number - 1),
                                .path = path,
                                .start = start,
                                .end = end,
                                .more = true};
    output->range = pq_range_start(stream->session, &request, on_data, on_stopped, output, err);
    if (output->range == NULL)
        return -1;
    pq_range_pause(output->range, stream->paused);
    return 0;
}

/* ---- what turns tell ---- */

typedef struct duplex_listing {
    uint64_t first, ended, inlined;
    char text[1024];
    const char *sizes; /* "/SIZE/SIZE..." in `text` */
    uint64_t grown;    /* bytes of the segment behind them; 0: it does not grow */
} duplex_listing;

static bool read_number(const char **at, uint64_t *ret)
{
    char *end;
    if (**at < '0' || **at > '9')
        return false;
    *ret = strtoull(*at, &end, 10);
    *at = end;
    return *ret <= INT64_MAX;
}

static bool read_listing(const duplex_output *output, const pq_trailer *trailer,
                         duplex_listing *ret)
{
    char name[2] = {output->letter, '\0'};
    if (!pq_trailer_value(trailer, name, ret->text, sizeof ret->text))
        return false;
    const char *at = ret->text;
    if (!read_number(&at, &ret->first) || *at++ != '/' || !read_number(&at, &ret->ended) ||
        *at++ != '/' || !read_number(&at, &ret->inlined))
        return false;
    ret->sizes = at;
    char grown[24];
    name[0] = (char)(output->letter - 'a' + 'A');
    ret->grown =
        pq_trailer_value(trailer, name, grown, sizeof grown) ? strtoull(grown, NULL, 10) : 0;
    return true;
}

/* A turn that a later one has overtaken may find segments gone that it was to hand back: then what
 * came along is less than it says, and none of it is used. */
static bool came_along(const duplex_listing *listing, const pq_buf *bytes)
{
    const char *at = listing->sizes;
    uint64_t sum = 0, size;
    for (uint64_t i = 0; i < listing->inlined && *at == '/'; i++) {
        at++;
        if (!read_number(&at, &size) || size > SEGMENT_MAX)
            return false;
        sum += size;
    }
    return sum == bytes->length;
}

static int bad_listing(const duplex_listing *listing, pq_error *err)
{
    return pq_fail_effect(err, PQ_E_BAD_ANSWER, PQ_EFFECT_UNKNOWN, false,
                          "the guest tells of output that cannot be: '%.60s'", listing->text);
}

/* The next segment has this size; `bytes` are all of its bytes, NULL if they did not come along. */
static int take_segment(duplex_output *output, uint64_t size, const char *bytes, pq_error *err)
{
    uint64_t known = output->told_of_next;
    bool at_once = bytes != NULL && pq_duplex_output_is_level(output) && !output->stream->paused;
    output->bytes_told += size - known;
    output->ends[output->told % DUPLEX_TOLD_MAX] = output->bytes_told;
    output->told++;
    output->told_of_next = 0;
    if (at_once)
        emit(output, bytes + known, (size_t)(size - known));
    else if (size > known)
        return read_part(output, output->told - 1, known, size, err);
    else
        emit(output, NULL, 0);
    return 0;
}

static int take_grown(duplex_output *output, uint64_t size, pq_error *err)
{
    uint64_t known = output->told_of_next;
    if (size <= known)
        return 0;
    output->bytes_told += size - known;
    output->told_of_next = size;
    return read_part(output, output->told, known, size, err);
}

int pq_duplex_output_take(duplex_output *output, const pq_trailer *trailer, const pq_buf *bytes,
                          pq_error *err)
{
    duplex_listing listing;
    if (!read_listing(output, trailer, &listing))
        return 0;
    uint64_t number = listing.first, size;
    size_t offset = 0;
    const char *at = listing.sizes;
    if (number > output->told)
        return bad_listing(&listing, err);
    bool all_came = came_along(&listing, bytes);
    for (uint64_t i = 0; *at == '/'; i++, number++) {
        bool inlined = all_came && i < listing.inlined;
        at++;
        if (!read_number(&at, &size) || size > SEGMENT_MAX)
            return bad_listing(&listing, err);
        if (number == output->told) {
            bool too_many = output->told - output->read >= DUPLEX_TOLD_MAX;
            if (too_many || size < output->told_of_next)
                return bad_listing(&listing, err);
            if (take_segment(output, size, inlined ? bytes->data + offset : NULL, err) < 0)
                return -1;
        }
        offset += inlined ? (size_t)size : 0;
    }
    if (number < output->told)
        return 0;
    if (listing.ended == 1)
        output->ended = true;
    return listing.grown <= SEGMENT_MAX ? take_grown(output, listing.grown, err) : 0;
}

void pq_duplex_output_pause(duplex_output *output, bool pause)
{
    if (output->range != NULL)
        pq_range_pause(output->range, pause);
}

void pq_duplex_output_done(duplex_output *output)
{
    pq_range_drop(output->range);
    output->range = NULL;
}
