/*
 * The last step of a put, and the only one of a small file: guest/put.sh.
 */
#include <stdlib.h>
#include <string.h>

#include "filexfer/guest_scripts.h"
#include "filexfer/put_internal.h"

/* Two deliveries of one call that run at the same time can disturb each other; the next one
 * succeeds. */
#define SUMS_MAX 2

/* Until a session knows how long its guest takes to check a staged file: as fast as processors with
 * instructions for it are. */
#define CHECKED_BYTES_PER_MS ((uint64_t)1024 * 1024)

/* Files whose sizes are in the same MiB are of a kind, as pq_expect_key() counts. */
#define SIZE_SHARE 512

/* Argument of put.sh that tells a repetition. */
#define RETRY_ARGUMENT 8

static void place_failed(pq_put *put, const char *state)
{
    static const struct {
        const char *state;
        pq_code code;
        const char *text;
    } reasons[] = {
        {"full", PQ_E_GUEST_FULL, "no space for it in the guest"},
        {"sum", PQ_E_CHECKSUM, "what arrived in the guest is not what was sent"},
        {"isdir", PQ_E_IS_DIRECTORY, "it is a directory in the guest"},
        {"noparent", PQ_E_NOT_FOUND, "its directory does not exist in the guest"},
        {"denied", PQ_E_REMOTE_FILE, "its directory in the guest cannot be written"},
    };
    pq_error err;
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (strcmp(state, reasons[i].state) == 0) {
            pq_fail(&err, reasons[i].code, "%s", reasons[i].text);
            pq_put_fail(put, &err);
            return;
        }
    }
    if (strcmp(state, "tmp") == 0)
        pq_fail(&err, PQ_E_REMOTE_TMP, "'%s' in the guest cannot be written",
                pq_session_remote_tmp(put->session));
    else
        pq_fail(&err, PQ_E_BAD_ANSWER, "the guest's script said '%s'", state);
    pq_put_fail(put, &err);
}

/* What came of a single call that did not do its work. True if it is made again. */
static bool repeat_single(pq_put *put, const pq_error *err, const char *state)
{
    if (put->state != PUT_SINGLE)
        return false;
    bool refused = err != NULL && err->code == PQ_E_TOO_LARGE && ++put->cuts <= PUT_CUTS_MAX;
    bool packed = err == NULL && strcmp(state, "nounpacker") == 0 && put->builder.piece.packed;
    bool changed = err == NULL && strcmp(state, "sum") == 0 && ++put->sums <= SUMS_MAX;
    if (packed)
        pq_session_set_no_unpacker(put->session);
    if (!refused && !packed && !changed)
        return false;
    pq_put_set_state(put, PUT_READING);
    pq_error failure;
    if (!changed && pq_put_build_anew(put, &failure) < 0) {
        pq_put_fail(put, &failure);
        return true;
    }
    pq_put_pump(put);
    return true;
}

static uint64_t place_kind(const pq_put *put)
{
    return pq_expect_key("put", 3, (size_t)(put->taken / SIZE_SHARE));
}

static pq_expect_plan place_plan(const pq_put *put)
{
    pq_expect_plan known = pq_expect_get(pq_session_expect(put->session), place_kind(put));
    pq_ms least = (pq_ms)(put->taken / CHECKED_BYTES_PER_MS);
    bool is_long = known.first == 0 && least >= PQ_EXPECT_LEAST_MS;
    return is_long ? (pq_expect_plan){.first = least} : known;
}

static void learn_time(const pq_put *put, const pq_call_result *result)
{
    pq_expect_end end = {.questions = result->questions,
                         .age = result->age,
                         .running_age = result->running_age,
                         .told = -1};
    pq_expect_learn(pq_session_expect(put->session), place_kind(put), &end);
}

static void on_placed(void *context, const pq_error *err, pq_call_result *result)
{
    pq_put *put = context;
    put->call = NULL;
    const char *state = err == NULL ? result->trailer.state : "";
    if (repeat_single(put, err, state))
        return;
    if (err != NULL) {
        pq_put_fail(put, err);
        return;
    }
    if (strcmp(state, "ok") != 0) {
        place_failed(put, state);
        return;
    }
    learn_time(put, result);
    pq_put_forget_record(put);
    put->result.bytes = put->taken;
    put->result.mode = (unsigned)strtoul(result->trailer.fields, NULL, 8) & 07777;
    put->result.digest_checked = pq_trailer_number(&result->trailer, 1) == 1;
    if (put->events.progress != NULL)
        put->events.progress(put->context, put->taken, put->size);
    pq_put_finish(put, NULL);
}

static int add_mode(pq_script *script, int mode, pq_error *err)
{
    return mode < 0 ? pq_script_add(script, "-", err) : pq_script_addf(script, err, "%o", mode);
}

/* `own`: the directory goes with what is staged. */
static int begin_place(pq_put *put, const char *dir, bool own, pq_script *script, pq_error *err)
{
    const char *name = put->name != NULL ? put->name : "-";
    uint32_t cksum = pq_cksum_end(put->cksum, put->taken);
    if (put->result.sha256[0] == '\0')
        pq_sha256_hex(put->sha256, put->result.sha256);
    if (pq_file_script_begin(script, PQ_FILE_PUT, err) < 0 ||
        pq_script_addf(script, err, "%s/%s", dir, put->staged) < 0 ||
        pq_script_add_escaped(script, put->remote_path, strlen(put->remote_path), err) < 0 ||
        pq_script_add_escaped(script, name, strlen(name), err) < 0 ||
        add_mode(script, put->mode, err) < 0 || add_mode(script, put->new_mode, err) < 0 ||
        pq_script_add(script, put->result.sha256, err) < 0 ||
        pq_script_addf(script, err, "%lu-%llu", (unsigned long)cksum,
                       (unsigned long long)put->taken) < 0 ||
        pq_script_add(script, own ? "d" : "-", err) < 0)
        return -1;
    return pq_script_add(script, "-", err);
}

static void start_place(pq_put *put, pq_script *script, put_state state)
{
    pq_error err;
    pq_call_options options = PQ_CALL_DEFAULTS;
    options.retry_argument = RETRY_ARGUMENT;
    options.overlap = true;
    options.plan = place_plan(put);
    pq_put_set_state(put, state);
    put->call = pq_call_start(put->session, script, &options, on_placed, put, &err);
    if (put->call == NULL)
        pq_put_fail(put, &err);
}

void pq_put_place(pq_put *put)
{
    pq_error err;
    pq_script script = {0};
    if (begin_place(put, pq_put_dir(put), put->dir != NULL, &script, &err) < 0) {
        pq_script_done(&script);
        pq_put_fail(put, &err);
        return;
    }
    start_place(put, &script, PUT_PLACING);
}

/* Adds all of the content to a call; *ret_fits is false if it does not fit. */
static int add_content(pq_put *put, pq_script *script, bool *ret_fits, pq_error *err)
{
    const pq_buf *bytes = &put->builder.piece.bytes;
    size_t taken = 0;
    *ret_fits = true;
    script->no_decoder = pq_session_lacks_decoder(put->session);
    script->packed = put->builder.piece.packed;
    /* An item makes put.sh create the file; \c stands for nothing, because PVE 7 drops an empty
     * last argument. */
    if (bytes->length == 0)
        return pq_script_add(script, "P", err) < 0 ? -1 : pq_script_add(script, "\\c", err);
    if (pq_script_add_items(script, pq_session_limits(put->session), bytes->data, bytes->length,
                            bytes->length, &taken, err) < 0)
        return -1;
    *ret_fits = taken == bytes->length;
    return 0;
}

bool pq_put_single(pq_put *put)
{
    pq_error err;
    pq_script script = {0};
    bool fits = false;
    if (begin_place(put, pq_session_remote_tmp(put->session), false, &script, &err) < 0 ||
        add_content(put, &script, &fits, &err) < 0) {
        pq_script_done(&script);
        pq_put_fail(put, &err);
        return true;
    }
    if (fits)
        start_place(put, &script, PUT_SINGLE);
    else
        pq_script_done(&script);
    return fits;
}
