#include "transport/proto/stdin_window.h"

size_t pq_stdin_window_ready(pq_stdin_window *window)
{
    size_t room = PQ_PROTO_STDIN_WINDOW - window->credit - window->held;
    if (window->eof || room < PQ_PROTO_STDIN_WINDOW / 2)
        return 0;
    window->credit += room;
    return room;
}

int pq_stdin_window_received(pq_stdin_window *window, uint64_t bytes, bool eof, pq_error *err)
{
    if (window->eof)
        return pq_fail(err, PQ_E_PROTOCOL, "stdin came after its end");
    if (bytes > window->credit)
        return pq_fail(err, PQ_E_PROTOCOL, "stdin of %llu bytes came where %zu were allowed",
                       (unsigned long long)bytes, window->credit);
    window->credit -= (size_t)bytes;
    window->held += (size_t)bytes;
    window->eof = eof;
    return 0;
}

void pq_stdin_window_taken(pq_stdin_window *window, size_t bytes)
{
    window->held -= bytes < window->held ? bytes : window->held;
}
