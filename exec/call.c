#include "exec/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/overlap.h"
#include "exec/poll.h"
#include "exec/retry.h"
#include "transport/base/log.h"

/* Runs that ended without a trailer before we believe that the guest cannot run our scripts. */
#define BROKEN_RUNS_MAX 3

/* Runs whose record the agent no longer had, as after lost answers, before we give up. */
#define LOST_RUNS_MAX 20

/* The first question may meet a script that is about to end, whatever it does. */
#define RUNNING_ANSWERS_MIN 2

typedef enum call_state { CALL_STARTING, CALL_POLLING, CALL_RETRYING } call_state;

struct pq_call {
    pq_session *session;
    pq_script script;
    char *input;
    size_t input_length;
    int retry_argument;
    bool once;
    bool makes_directory;
    bool overlap;
    pq_expect_plan plan;
    bool waits;
    pq_ms waited;
    bool begins_held;
    bool ends_if_slow;
    pq_loop_fn started;
    pq_call_make_fn make;
    pq_call_fn done; /* NULL: dropped */
    void *context;
    pq_call *next, **link; /* among the session's dropped calls */

    call_state state;
    pq_agent_op *op;
    pq_timer timer;
    pq_retry retry;
    int64_t pid;        /* of the run that is polled, 0: none */
    pq_ms first_try;    /* when the script was first sent, 0: not yet */
    pq_ms run_started;  /* when the polled run was started */
    unsigned questions; /* about the polled run */
    unsigned broken_runs;
    unsigned lost_runs;
    unsigned unanswered; /* tries of a launcher whose fate nobody has told */
    pq_ms unanswered_at; /* when the last of them was given up */
    bool may_have_run;   /* some try may have reached the guest */
    unsigned running_answers;
    pq_ms asked_age;   /* of the polled run, when the last question was asked */
    pq_ms running_age; /* the same of the last one that found it running */
    bool held;
};

static void start(void *context);
static void poll_status(void *context);

static void set_state(pq_call *call, call_state state)
{
    static const char *const names[] = {"starting", "polling", "retrying"};
    call->state = state;
    pq_trace("call-state", PQ_TEXT("state", names[state]), PQ_INT("pid", call->pid),
             PQ_INT("failures", call->retry.failures));
}

static void call_free(pq_call *call)
{
    if (call->link != NULL) {
        *call->link = call->next;
        if (call->next != NULL)
            call->next->link = call->link;
        if (*pq_session_dropped_calls(call->session) == NULL)
            pq_session_no_dropped_calls(call->session);
    }
    pq_overlap_call_ended(pq_session_overlap(call->session));
    pq_timer_stop(&call->timer);
    pq_retry_stop(&call->retry);
    pq_agent_drop(pq_session_agent(call->session), call->op);
    pq_script_done(&call->script);
    free(call->input);
    free(call);
}

/* Nobody will tell whether this try has come. */
static void start_unanswered(pq_call *call)
{
    if (call->retry_argument < 0)
        return;
    call->unanswered++;
    call->unanswered_at = pq_now();
}

/* A launcher that has not come yet may do so when all is cleaned up, and must find its claim then.
 * The one try that was lost has come if a later one found a claim there. */
static void tell_unanswered(pq_call *call, const pq_trailer *trailer)
{
    char found[8];
    bool has_come = call->unanswered == 1 && trailer != NULL &&
                    pq_trailer_value(trailer, "again", found, sizeof found);
    if (call->unanswered > 0 && !has_come)
        pq_session_lost_launcher(call->session, call->unanswered_at);
    call->unanswered = 0;
}

static void finish(pq_call *call, const pq_error *err, pq_call_result *result)
{
    pq_call_fn done = call->done;
    void *context = call->context;
    tell_unanswered(call, result != NULL ? &result->trailer : NULL);
    call_free(call);
    if (done != NULL)
        done(context, err, result);
}

static void give_up(pq_call *call, const pq_error *cause)
{
    pq_error err = *cause;
    if (call->may_have_run)
        err.effect = PQ_EFFECT_UNKNOWN;
    finish(call, &err, NULL);
}

static void retry(pq_call *call, const pq_error *err, pq_loop_fn next)
{
    if (pq_retry_later(&call->retry, call->session, err, next, call))
        set_state(call, CALL_RETRYING);
    else
        give_up(call, err);
}

static void ran(pq_call *call)
{
    call->may_have_run = true;
    if (call->makes_directory)
        pq_session_used_guest(call->session);
}

static void run_again(pq_call *call, const pq_error *why)
{
    call->pid = 0;
    if (call->done == NULL) {
        call_free(call);
        return;
    }
    if (call->once || ++call->lost_runs > LOST_RUNS_MAX) {
        pq_error err = *why;
        err.code = PQ_E_OUTCOME_UNKNOWN;
        give_up(call, &err);
        return;
    }
    pq_error retryable = *why;
    retryable.retryable = true;
    retry(call, &retryable, start);
}

static void broken_run(pq_call *call, const pq_exec_status *status)
{
    pq_error err;
    pq_fail_effect(&err, PQ_E_AGENT, PQ_EFFECT_UNKNOWN, false,
                   "/bin/sh in the guest ended early (%s %d)",
                   status->signalled ? "signal" : "exit status", status->code);
    if (++call->broken_runs >= BROKEN_RUNS_MAX)
        give_up(call, &err);
    else
        run_again(call, &err);
}

static void cannot_decode(pq_call *call)
{
    pq_error err;
    pq_session_set_no_decoder(call->session);
    pq_fail(&err, PQ_E_TOO_LARGE, "the guest has no tool to decode base64");
    finish(call, &err, NULL);
}

static pq_ms next_delay(const pq_call *call, pq_ms age)
{
    if (call->questions == 1 && call->plan.second > age)
        return call->plan.second - age;
    return call->waits ? pq_poll_waiting_delay(age + call->waited) : pq_poll_delay(age);
}

static void on_status(void *context, const pq_error *err, pq_exec_status *status)
{
    pq_call *call = context;
    call->op = NULL;
    if (err != NULL && err->code == PQ_E_NO_SUCH_PID) {
        run_again(call, err);
        return;
    }
    if (err != NULL) {
        retry(call, err, poll_status);
        return;
    }
    pq_retry_good(&call->retry, call->session);
    pq_ms age = call->retry.last_good - call->run_started;
    if (!status->exited) {
        call->running_answers++;
        call->running_age = call->asked_age;
        if (!call->held)
            pq_timer_start(pq_session_loop(call->session), &call->timer, next_delay(call, age),
                           poll_status, call);
        return;
    }
    /* What was held tells nothing of how long scripts take. */
    if (!call->begins_held && !call->waits && call->plan.first == 0)
        pq_poll_first_learn(pq_session_first_poll(call->session), call->questions, age);
    pq_call_result result = {.out = status->out,
                             .err = status->err,
                             .questions = call->questions,
                             .age = call->asked_age,
                             .running_age = call->running_age};
    memset(&status->out, 0, sizeof status->out);
    memset(&status->err, 0, sizeof status->err);
    if (!pq_trailer_cut(&result.out, &result.trailer))
        broken_run(call, status);
    else if (strcmp(result.trailer.state, "nodecoder") == 0)
        cannot_decode(call);
    else
        finish(call, NULL, &result);
    pq_buf_done(&result.out);
    pq_buf_done(&result.err);
}

static void poll_status(void *context)
{
    pq_call *call = context;
    set_state(call, CALL_POLLING);
    call->questions++;
    call->asked_age = pq_now() - call->run_started;
    call->op = pq_agent_exec_status(pq_session_agent(call->session), call->pid, on_status, call);
}

static pq_ms first_delay(const pq_call *call)
{
    pq_ms planned = call->plan.first;
    if (call->waits && call->waited > 0)
        planned = pq_poll_waiting_delay(call->waited);
    if (call->overlap)
        planned = pq_overlap_exec_answered(pq_session_overlap(call->session), planned);
    return planned != 0 ? planned : pq_poll_first_delay(pq_session_first_poll(call->session));
}

static void on_started(void *context, const pq_error *err, int64_t pid)
{
    pq_call *call = context;
    call->op = NULL;
    if (err == NULL) {
        ran(call);
        pq_retry_good(&call->retry, call->session);
        call->pid = pid;
        call->run_started = pq_now();
        call->questions = 0;
        call->running_age = 0;
        if (!call->held)
            pq_timer_start(pq_session_loop(call->session), &call->timer, first_delay(call),
                           poll_status, call);
        if (call->started != NULL && call->done != NULL)
            call->started(call->context);
        return;
    }
    if (err->effect == PQ_EFFECT_NONE && call->done != NULL) {
        retry(call, err, start);
        return;
    }
    ran(call);
    start_unanswered(call);
    if (call->ends_if_slow && err->code == PQ_E_AGENT_TIMEOUT)
        give_up(call, err);
    else
        run_again(call, err);
}

static int prepare_script(pq_call *call, pq_error *err)
{
    if (call->make != NULL && call->script.count == 0 &&
        call->make(call->context, &call->script, err) < 0)
        return -1;
    if (call->first_try == 0)
        call->first_try = pq_now();
    if (call->retry_argument < 0 || !call->may_have_run)
        return 0;
    char seconds[24];
    /* Rounded up, since the guest compares with whole seconds of its uptime. */
    snprintf(seconds, sizeof seconds, "%lld", (long long)((pq_now() - call->first_try) / 1000 + 1));
    return pq_script_set(&call->script, (size_t)call->retry_argument, seconds, err);
}

static void start(void *context)
{
    pq_call *call = context;
    pq_error err;
    if (prepare_script(call, &err) < 0) {
        give_up(call, &err);
        return;
    }
    set_state(call, CALL_STARTING);
    pq_exec_request request = {.argv = (const char *const *)call->script.argv,
                               .input = call->input,
                               .input_length = call->input_length};
    call->op = pq_agent_exec_start(pq_session_agent(call->session), &request, on_started, call);
    if (call->make != NULL)
        pq_script_done(&call->script);
}

pq_call *pq_call_start(pq_session *session, pq_script *script, const pq_call_options *options,
                       pq_call_fn done, void *context, pq_error *err)
{
    pq_call *call = calloc(1, sizeof *call);
    char *input = NULL;
    if (call != NULL && options->input != NULL) {
        input = malloc(options->input_length + 1);
        if (input != NULL)
            memcpy(input, options->input, options->input_length);
    }
    pq_script made = {0};
    bool failed = call == NULL || (options->input != NULL && input == NULL);
    if (failed)
        pq_fail(err, PQ_E_NOMEM, "out of memory");
    else if (options->make != NULL)
        failed = options->make(context, &made, err) < 0;
    if (failed) {
        free(input);
        free(call);
        pq_script_done(script != NULL ? script : &made);
        return NULL;
    }
    call->session = session;
    call->script = script != NULL ? *script : made;
    if (script != NULL)
        memset(script, 0, sizeof *script);
    call->input = input;
    call->input_length = options->input_length;
    call->retry_argument = options->retry_argument;
    call->once = options->once;
    call->makes_directory = options->makes_directory;
    call->overlap = options->overlap;
    call->plan = options->plan;
    call->waits = options->waits;
    call->waited = options->waited;
    call->begins_held = options->begins_held;
    call->held = options->begins_held;
    call->ends_if_slow = options->ends_if_slow;
    call->started = options->started;
    call->make = options->make;
    call->done = done;
    call->context = context;
    pq_retry_begin(&call->retry);
    pq_overlap_call_began(pq_session_overlap(session));
    start(call);
    return call;
}

static void join_dropped(pq_call *call)
{
    pq_call **head = pq_session_dropped_calls(call->session);
    call->next = *head;
    call->link = head;
    if (call->next != NULL)
        call->next->link = &call->next;
    *head = call;
}

void pq_call_drop(pq_call *call)
{
    if (call == NULL)
        return;
    if (call->op != NULL && call->state == CALL_STARTING)
        start_unanswered(call);
    tell_unanswered(call, NULL);
    if (!pq_call_may_have_run(call) || (call->pid == 0 && call->op == NULL)) {
        call_free(call);
        return;
    }
    call->done = NULL;
    join_dropped(call);
    pq_call_hold(call, false);
}

void pq_call_forget_dropped(pq_session *session)
{
    pq_call **head = pq_session_dropped_calls(session);
    while (*head != NULL)
        call_free(*head);
}

void pq_call_hold(pq_call *call, bool hold)
{
    if (call->held == hold)
        return;
    call->held = hold;
    if (!hold)
        call->retry.last_good = pq_now();
    /* A delay after a failure goes on: it ends in a question or in a new run. */
    bool between_questions = call->pid != 0 && call->op == NULL && call->state != CALL_RETRYING;
    if (!between_questions)
        return;
    pq_timer_stop(&call->timer);
    if (!hold)
        poll_status(call);
}

bool pq_call_is_known_running(const pq_call *call)
{
    return call->running_answers >= RUNNING_ANSWERS_MIN;
}

int64_t pq_call_pid(const pq_call *call)
{
    return call->pid;
}

bool pq_call_may_have_run(const pq_call *call)
{
    return call->may_have_run || (call->state == CALL_STARTING && call->op != NULL &&
                                  pq_agent_was_sent(pq_session_agent(call->session), call->op));
}

void pq_call_reap(pq_session *session, int64_t pid)
{
    pq_call *call = calloc(1, sizeof *call);
    if (call == NULL)
        return;
    call->session = session;
    call->pid = pid;
    call->may_have_run = true;
    pq_retry_begin(&call->retry);
    call->run_started = pq_now();
    pq_overlap_call_began(pq_session_overlap(session));
    join_dropped(call);
    poll_status(call);
}
