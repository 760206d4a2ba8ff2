#include "exec/expect.h"

/* What makes a kind: so many bytes of the text, and lengths in these units. */
#define BEGINNING 32
#define TEXT_UNIT 16
#define STDIN_UNIT 2048

/* A command that the first question found ended may have taken this share less. */
#define LESS 8
#define BESIDES_LESS 8

/* The guest's clock ticks in so many ms; of short times ours tells more. */
#define TICK_MS 10
#define TOLD_LEAST_MS 60

/* Where between two questions a command is taken to have ended. */
#define SOONER 4

/* The first question comes this share after the longest time of a kind, and this share after the
 * shorter ones at most: hardly later than a question too early and another would find the end. */
#define AFTER_LONGEST 32
#define AFTER_SHORTER_MOST 10

/* The second question comes this share after the first at least, and at most. */
#define SECOND_LEAST 16
#define SECOND_MOST 4

static uint64_t mix(uint64_t hash, const void *bytes, size_t length)
{
    /* FNV-1a */
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t pq_expect_key(const char *beginning, size_t length, size_t stdin_length)
{
    size_t units[] = {length / TEXT_UNIT, stdin_length / STDIN_UNIT};
    uint64_t hash = mix(UINT64_C(0xcbf29ce484222325), units, sizeof units);
    return mix(hash, beginning, length < BEGINNING ? length : BEGINNING);
}

static const pq_expect_kind *find(const pq_expect *expect, uint64_t key)
{
    for (size_t i = 0; i < PQ_EXPECT_KINDS; i++) {
        if (expect->kinds[i].seen != 0 && expect->kinds[i].key == key)
            return &expect->kinds[i];
    }
    return NULL;
}

static pq_expect_kind *find_or_replace(pq_expect *expect, uint64_t key)
{
    pq_expect_kind *oldest = &expect->kinds[0];
    for (size_t i = 0; i < PQ_EXPECT_KINDS; i++) {
        pq_expect_kind *kind = &expect->kinds[i];
        if (kind->seen != 0 && kind->key == key)
            return kind;
        if (kind->seen < oldest->seen)
            oldest = kind;
    }
    *oldest = (pq_expect_kind){.key = key};
    return oldest;
}

static pq_ms within(pq_ms value, pq_ms low, pq_ms high)
{
    return value > high ? high : value < low ? low : value;
}

static pq_ms least(pq_ms a, pq_ms b)
{
    return a < b ? a : b;
}

/* The times of a kind, in order; returns how many. */
static unsigned sorted_times(const pq_expect_kind *kind, pq_ms out[PQ_EXPECT_TIMES])
{
    unsigned count = kind->times < PQ_EXPECT_TIMES ? kind->times : PQ_EXPECT_TIMES;
    for (unsigned i = 0; i < count; i++) {
        unsigned place = i;
        for (; place > 0 && out[place - 1] > kind->took[i]; place--)
            out[place] = out[place - 1];
        out[place] = kind->took[i];
    }
    return count;
}

pq_expect_plan pq_expect_get(const pq_expect *expect, uint64_t key)
{
    const pq_expect_kind *kind = find(expect, key);
    if (kind == NULL)
        return (pq_expect_plan){0};
    pq_ms times[PQ_EXPECT_TIMES];
    unsigned count = sorted_times(kind, times);
    /* One that was exceptionally short decides nothing. */
    pq_ms shorter = times[count > 2] + kind->besides;
    pq_ms longest = times[count - 1] + kind->besides;
    pq_ms first = least(longest + longest / AFTER_LONGEST, shorter + shorter / AFTER_SHORTER_MOST);
    if (first < PQ_EXPECT_LEAST_MS)
        return (pq_expect_plan){0};
    if (first > PQ_EXPECT_FIRST_MAX_MS)
        first = PQ_EXPECT_FIRST_MAX_MS;
    return (pq_expect_plan){.first = first,
                            .second = within((first + longest) / 2, first + first / SECOND_LEAST,
                                             first + first / SECOND_MOST)};
}

static pq_ms time_taken(const pq_expect_end *end)
{
    if (end->told >= TOLD_LEAST_MS)
        return least(end->told, end->age);
    pq_ms seen = end->questions > 1 ? end->age : end->age - (end->age / LESS + 1);
    return end->told >= 0 ? least(end->told + TICK_MS, seen) : seen;
}

static void learn_besides(pq_expect_kind *kind, const pq_expect_end *end, pq_ms took)
{
    pq_ms most = end->age > took ? end->age - took : 0;
    if (took + kind->besides < end->running_age)
        kind->besides = end->running_age - took + (end->age - end->running_age) / SOONER;
    else if (end->questions <= 1)
        kind->besides -= kind->besides / BESIDES_LESS;
    if (kind->besides > most)
        kind->besides = most;
}

void pq_expect_learn(pq_expect *expect, uint64_t key, const pq_expect_end *end)
{
    pq_expect_kind *kind = find_or_replace(expect, key);
    pq_ms took = time_taken(end);
    kind->seen = ++expect->seen;
    kind->took[kind->times++ % PQ_EXPECT_TIMES] = took;
    learn_besides(kind, end, took);
}
