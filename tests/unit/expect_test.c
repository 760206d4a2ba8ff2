/* How long commands will probably take. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "exec/expect.h"
#include "exec/poll.h"

#define MODULE "/bin/sh -c '/usr/bin/python3 && sleep 0'"
#define MODULE_BYTES ((size_t)115 * 1024)

static pq_expect expect;

static void forget(void)
{
    memset(&expect, 0, sizeof expect);
}

TestSuite(expect, .init = forget);

static uint64_t key_of(const char *command, size_t stdin_length)
{
    return pq_expect_key(command, strlen(command), stdin_length);
}

static void learn(uint64_t key, unsigned questions, pq_ms age, pq_ms told)
{
    pq_expect_end end = {.questions = questions, .age = age, .told = told};
    pq_expect_learn(&expect, key, &end);
}

/* Asks about a command of `took` ms as a call does; returns when it was found ended. */
static pq_ms ask_guest(uint64_t key, pq_ms took, pq_ms told, unsigned *ret_questions)
{
    pq_expect_plan plan = pq_expect_get(&expect, key);
    pq_ms age = plan.first;
    pq_ms running_age = 0;
    unsigned questions = 1;
    while (age < took) {
        running_age = age;
        age = questions == 1 && plan.second > age ? plan.second : age + pq_poll_delay(age);
        questions++;
    }
    pq_expect_end end = {
        .questions = questions, .age = age, .running_age = running_age, .told = told};
    pq_expect_learn(&expect, key, &end);
    *ret_questions += questions;
    return age;
}

/* The same in a guest that has a clock. */
static pq_ms ask(uint64_t key, pq_ms took, unsigned *ret_questions)
{
    return ask_guest(key, took, (took + 5) / 10 * 10, ret_questions);
}

Test(expect, nothing_is_known_at_first)
{
    pq_expect_plan plan = pq_expect_get(&expect, 0);
    cr_assert_eq(plan.first, 0);
    cr_assert_eq(plan.second, 0);
}

Test(expect, commands_with_other_temporary_names_are_of_a_kind)
{
    uint64_t key = key_of("/bin/sh -c 'rm -f -r /root/.ansible/tmp/ansible-tmp-1.2-3-4/'", 0);
    cr_assert_eq(key, key_of("/bin/sh -c 'rm -f -r /root/.ansible/tmp/ansible-tmp-9.7-5-6/'", 0));
    cr_assert_neq(key,
                  key_of("/bin/sh -c 'rm -f -r /root/.ansible/tmp/ansible-tmp-1.2-3-4/'", 5000));
    cr_assert_neq(key, key_of("/bin/sh -c 'mkdir -p /root/.ansible/tmp/ansible-tmp-1.2-3-4/'", 0));
    cr_assert_neq(key_of("sleep 1", 0), key_of("sleep 5", 0));
}

Test(expect, few_questions_and_little_time_lost)
{
    uint64_t key = key_of(MODULE, MODULE_BYTES);
    unsigned first = 0, questions = 0;
    pq_ms late = 0, sum = 0;
    ask(key, 250, &first);
    cr_assert_gt(first, 10);
    for (unsigned i = 0; i < 200; i++) {
        pq_ms took = 230 + (i * 37) % 41;
        late += ask(key, took, &questions) - took;
        sum += took;
    }
    cr_assert_leq(questions, 200 * 4 / 3, "%u", questions);
    cr_assert_leq(late * 10, sum, "%lld", (long long)late);
}

Test(expect, guests_without_a_clock)
{
    uint64_t key = key_of(MODULE, MODULE_BYTES);
    unsigned questions = 0;
    pq_ms late = 0;
    for (unsigned i = 0; i < 200; i++)
        late += ask_guest(key, 250, -1, &questions) - 250;
    cr_assert_leq(questions, 200 * 3, "%u", questions);
    cr_assert_leq(late, 200 * 25, "%lld", (long long)late);
}

/* A launcher's own start and end, and an agent that sleeps, come on top of what the guest tells. */
Test(expect, what_passes_besides_is_learned)
{
    uint64_t key = key_of(MODULE, MODULE_BYTES);
    unsigned questions = 0;
    pq_ms late = 0;
    ask_guest(key, 2600, 2350, &questions);
    questions = 0;
    for (unsigned i = 0; i < 100; i++)
        late += ask_guest(key, 2600, 2350, &questions) - 2600;
    cr_assert_leq(questions, 200, "%u", questions);
    cr_assert_leq(late * 10, 100 * 2600, "%lld", (long long)late);
}

Test(expect, the_guest_is_not_trusted)
{
    uint64_t key = key_of("true", 0);
    learn(key, 3, 200, INT64_MAX / 2);
    cr_assert_leq(pq_expect_get(&expect, key).first, 220);
    learn(key, 3, 200, 0);
    cr_assert_leq(pq_expect_get(&expect, key).first, 220);
}

Test(expect, faster_commands_are_followed)
{
    uint64_t key = key_of(MODULE, MODULE_BYTES);
    unsigned questions = 0;
    for (unsigned i = 0; i < 8; i++)
        ask(key, 600, &questions);
    pq_ms found = 0;
    for (unsigned i = 0; i < 10; i++)
        found = ask(key, 100, &questions);
    cr_assert_leq(found, 120, "%lld", (long long)found);
}

Test(expect, slower_commands_are_followed)
{
    uint64_t key = key_of(MODULE, MODULE_BYTES);
    unsigned questions = 0;
    for (unsigned i = 0; i < 8; i++)
        ask(key, 100, &questions);
    for (unsigned i = 0; i < PQ_EXPECT_TIMES; i++)
        ask(key, 600, &questions);
    questions = 0;
    for (unsigned i = 0; i < 10; i++)
        ask(key, 600, &questions);
    cr_assert_leq(questions, 25, "%u", questions);
}

Test(expect, a_very_long_command_is_asked_about_in_time)
{
    uint64_t key = key_of("apt-get upgrade", 0);
    for (unsigned i = 0; i < PQ_EXPECT_TIMES; i++)
        learn(key, 100, 600000, 600000);
    cr_assert_eq(pq_expect_get(&expect, key).first, PQ_EXPECT_FIRST_MAX_MS);
    cr_assert_leq(pq_expect_get(&expect, key).second, 2 * PQ_EXPECT_FIRST_MAX_MS);
}

Test(expect, short_commands_have_no_plan)
{
    uint64_t key = key_of("true", 0);
    learn(key, 2, PQ_EXPECT_LEAST_MS - 1, -1);
    cr_assert_eq(pq_expect_get(&expect, key).first, 0);
}

/* The first command of a session takes longer than all that follow. */
Test(expect, a_slow_start_is_forgotten)
{
    uint64_t key = key_of("true", 0);
    unsigned questions = 0;
    learn(key, 5, 45, 0);
    cr_assert_leq(pq_expect_get(&expect, key).first, 10);
    for (unsigned i = 0; i < 3 * PQ_EXPECT_TIMES; i++)
        ask(key, 4, &questions);
    cr_assert_eq(pq_expect_get(&expect, key).first, 0);
}

Test(expect, what_was_not_seen_for_longest_is_forgotten)
{
    uint64_t keys[PQ_EXPECT_KINDS + 1];
    for (unsigned i = 0; i <= PQ_EXPECT_KINDS; i++) {
        char command[32];
        snprintf(command, sizeof command, "command %u", i);
        keys[i] = key_of(command, 0);
        learn(keys[i], 2, 100 + i, -1);
        learn(keys[0], 2, 100, -1);
    }
    cr_assert_geq(pq_expect_get(&expect, keys[0]).first, 100);
    cr_assert_eq(pq_expect_get(&expect, keys[1]).first, 0);
    for (unsigned i = 2; i <= PQ_EXPECT_KINDS; i++)
        cr_assert_geq(pq_expect_get(&expect, keys[i]).first, 100 + i);
}
