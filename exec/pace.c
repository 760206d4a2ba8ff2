#include "exec/pace.h"

/* Pieces of one measurement: enough to even out how calls happen to meet a port's sleeps. */
#define MEASURED_PIECES 8

/* Pieces between two searches. */
#define REST_MIN 64
#define REST_MAX 512

/* Fewer in flight than this leave a virtio-serial port idle between two calls. */
#define WINDOW_MIN 2

/* The speed that is told is that of so long at most. */
#define METER_MS 3000

#define BETTER 1.05
#define AS_GOOD 0.98

/* A small call on a virtio-serial port that was idle takes 100 to 200 ms, else 5 to 30. */
#define SLOW_PORT_MS 90
#define SLOW_PORT_PIECE ((size_t)256 * 1024)

typedef enum pace_move {
    MOVE_NONE,
    MOVE_SMALLER,
    MOVE_LARGER,
    MOVE_FEWER,
    MOVE_MORE,
    MOVE_COUNT
} pace_move;

static const pace_move opposite[MOVE_COUNT] = {
    [MOVE_SMALLER] = MOVE_LARGER,
    [MOVE_LARGER] = MOVE_SMALLER,
    [MOVE_FEWER] = MOVE_MORE,
    [MOVE_MORE] = MOVE_FEWER,
};

static size_t within(size_t value, size_t low, size_t high)
{
    return value > high ? high : value < low ? low : value;
}

/* The largest power of two that is not above `size`. */
static size_t power_below(size_t size)
{
    size_t power = 1;
    while (power <= size / 2)
        power *= 2;
    return power;
}

static size_t step_up(const pq_pace *pace)
{
    size_t power = power_below(pace->piece);
    size_t next = pace->piece < power + power / 2 ? power + power / 2 : 2 * power;
    return within(next, pace->smallest, pace->largest);
}

static size_t step_down(const pq_pace *pace)
{
    size_t power = power_below(pace->piece);
    size_t next = pace->piece > power + power / 2 ? power + power / 2
                  : pace->piece > power           ? power
                                                  : power / 2 + power / 4;
    return within(next, pace->smallest, pace->largest);
}

static unsigned fewest(const pq_pace *pace)
{
    return pace->window_max < WINDOW_MIN ? pace->window_max : WINDOW_MIN;
}

/* Counts anew once what is on its way has arrived. */
static void count_anew(pq_pace *pace)
{
    pace->skip = pace->window + 1;
    pace->measured.pieces = 0;
    pace->measured.bytes = 0;
}

static void rest(pq_pace *pace)
{
    pace->move = MOVE_NONE;
    pace->rejected = 0;
    pace->rest_left = pace->rest;
    if (pace->rest < REST_MAX)
        pace->rest *= 2;
    count_anew(pace);
}

/* Makes a move. False if there is no such step. */
static bool step(pq_pace *pace, pace_move move)
{
    size_t piece = move == MOVE_SMALLER  ? step_down(pace)
                   : move == MOVE_LARGER ? step_up(pace)
                                         : pace->piece;
    unsigned window = pace->window;
    if (move == MOVE_FEWER && window > fewest(pace))
        window--;
    else if (move == MOVE_MORE && window < pace->window_max)
        window++;
    if (piece == pace->piece && window == pace->window)
        return false;
    pace->piece_before = pace->piece;
    pace->window_before = pace->window;
    pace->piece = piece;
    pace->window = window;
    pace->move = (int)move;
    count_anew(pace);
    return true;
}

static void try_next(pq_pace *pace)
{
    static const pace_move orders[2][4] = {{MOVE_SMALLER, MOVE_LARGER, MOVE_FEWER, MOVE_MORE},
                                           {MOVE_LARGER, MOVE_SMALLER, MOVE_FEWER, MOVE_MORE}};
    const pace_move *order = orders[pace->up_first];
    for (unsigned i = 0; i < 4; i++) {
        if ((pace->rejected & 1U << order[i]) == 0 && step(pace, order[i]))
            return;
    }
    rest(pace);
}

static void keep_move(pq_pace *pace, double rate)
{
    pace_move move = (pace_move)pace->move;
    pace->rate = rate;
    pace->rest = REST_MIN;
    pace->rejected = 1U << opposite[move];
    if (!step(pace, move))
        try_next(pace);
}

static void take_back(pq_pace *pace)
{
    pace->rejected |= 1U << pace->move;
    pace->piece = within(pace->piece_before, pace->smallest, pace->largest);
    pace->window = pace->window_before < pace->window_max ? pace->window_before : pace->window_max;
    pace->move = MOVE_NONE;
    count_anew(pace);
}

static void judge(pq_pace *pace, double rate)
{
    if (pace->move == MOVE_NONE) {
        pace->rate = rate;
        try_next(pace);
    } else if (rate >= pace->rate * (pace->move == MOVE_FEWER ? AS_GOOD : BETTER)) {
        keep_move(pace, rate);
    } else {
        take_back(pace);
    }
}

void pq_pace_init(pq_pace *pace, size_t smallest, size_t largest, size_t start, unsigned window_max)
{
    *pace = (pq_pace){.smallest = smallest,
                      .largest = largest,
                      .piece = within(start, smallest, largest),
                      .window = window_max,
                      .window_max = window_max,
                      .rest = REST_MIN};
    count_anew(pace);
}

void pq_pace_limit(pq_pace *pace, size_t largest, unsigned window_max)
{
    pace->largest = largest;
    if (pace->smallest > largest)
        pace->smallest = largest;
    pace->piece = within(pace->piece, pace->smallest, pace->largest);
    pace->window_max = window_max;
    if (pace->window > window_max)
        pace->window = window_max;
}

void pq_pace_cost(pq_pace *pace, pq_ms cost)
{
    pace->cost = cost;
    if (cost > 0)
        pace->smallest = pace->piece = pace->largest;
}

void pq_pace_hint(pq_pace *pace, pq_ms small_call)
{
    if (pace->rate > 0 || small_call < SLOW_PORT_MS)
        return;
    pace->up_first = true;
    if (pace->piece < SLOW_PORT_PIECE)
        pace->piece = within(SLOW_PORT_PIECE, pace->smallest, pace->largest);
}

void pq_pace_begin(pq_pace *pace)
{
    count_anew(pace);
    pace->meter.since = 0;
}

static void count(pq_pace *pace, size_t bytes, pq_ms took, pq_ms now)
{
    if (pace->meter.since == 0)
        pace->meter.since = now - took;
    pace->meter.bytes += (double)bytes;
    pace->meter.ms += (double)(now - pace->meter.since);
    pace->meter.since = now;
    if (pace->meter.ms > METER_MS) {
        pace->meter.bytes /= 2;
        pace->meter.ms /= 2;
    }
}

void pq_pace_done(pq_pace *pace, size_t bytes, pq_ms took, pq_ms now)
{
    count(pace, bytes, took, now);
    if (took > PQ_PACE_SLOW_MS + 2 * pace->cost) {
        pq_pace_timed_out(pace, bytes);
        return;
    }
    if (pace->rest_left > 0) {
        pace->rest_left--;
        return;
    }
    if (pace->skip > 0) {
        if (--pace->skip == 0)
            pace->measured.since = now;
        return;
    }
    pace->measured.bytes += bytes;
    if (++pace->measured.pieces < MEASURED_PIECES)
        return;
    pq_ms elapsed = now > pace->measured.since ? now - pace->measured.since : 1;
    judge(pace, (double)pace->measured.bytes / (double)elapsed);
}

double pq_pace_rate(const pq_pace *pace)
{
    return pace->meter.ms > 0 ? pace->meter.bytes / pace->meter.ms : 0;
}

void pq_pace_timed_out(pq_pace *pace, size_t bytes)
{
    /* What was asked for before the pieces became smaller tells nothing new. */
    if (bytes < pace->piece || (bytes > pace->piece && pace->rest_left > 0))
        return;
    if (pace->piece > pace->smallest)
        pace->piece = within(pace->piece / 2, pace->smallest, pace->largest);
    else if (pace->window > fewest(pace))
        pace->window--;
    rest(pace);
}
