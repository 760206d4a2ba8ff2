#include "transport/pve/auth.h"

#include <string.h>

#include "transport/base/encode.h"
#include "transport/base/json.h"
#include "transport/base/log.h"
#include "transport/pve/errors.h"
#include "transport/pve/request.h"

/* A ticket is valid for 2 h (PVE::AccessControl). */
#define TICKET_RENEW_MS ((pq_ms)105 * 60 * 1000)
#define TICKET_LIFE_MS ((pq_ms)120 * 60 * 1000)

/* How long a refused login stands. */
#define REFUSED_MS 60000

/* Room for three encoded secrets in a login's body. */
#define BODY_RESERVE ((size_t)3 * PQ_SECRET_MAX + 1024)

/* A login's answer holds two tickets and the user's privileges. */
#define ANSWER_MAX ((size_t)1024 * 1024)

#define TICKET_PATH "/api2/json/access/ticket"

static void set_state(pq_auth *auth, pq_auth_state state)
{
    static const char *const names[] = {"empty", "login", "renewal", "challenge", "ready"};
    pq_trace("auth", PQ_TEXT("from", names[auth->state]), PQ_TEXT("to", names[state]));
    auth->state = state;
}

int pq_auth_init(pq_auth *auth, pq_loop *loop, pq_http_pool *pool, const char *host,
                 const char *user, bool is_token, const pq_secret *secret, const pq_secret *otp,
                 pq_ms timeout, pq_error *err)
{
    auth->loop = loop;
    auth->pool = pool;
    auth->host = host;
    auth->user = user;
    auth->is_token = is_token;
    auth->timeout = timeout;
    if (pq_secret_set(&auth->secret, pq_secret_text(secret), secret->length, err) < 0)
        return -1;
    if (pq_secret_is_set(otp) && pq_secret_set(&auth->otp, otp->text, otp->length, err) < 0)
        return -1;
    if (is_token)
        set_state(auth, PQ_AUTH_READY);
    return 0;
}

void pq_auth_done(pq_auth *auth)
{
    if (auth->pool != NULL)
        pq_http_call_drop(&auth->call);
    pq_defer_stop(&auth->serve);
    pq_buf_wipe(&auth->body);
    pq_secret_done(&auth->secret);
    pq_secret_done(&auth->otp);
    pq_secret_done(&auth->ticket);
    pq_secret_done(&auth->csrf);
}

static pq_ms ticket_age(const pq_auth *auth)
{
    return pq_now() - auth->ticket_time;
}

bool pq_auth_is_ready(const pq_auth *auth)
{
    return auth->state == PQ_AUTH_READY && (auth->is_token || ticket_age(auth) < TICKET_RENEW_MS);
}

/* ---- waiting ---- */

static void serve(void *context);

void pq_auth_wait_stop(pq_auth_wait *wait)
{
    if (wait->auth == NULL)
        return;
    *wait->link = wait->next;
    if (wait->next != NULL)
        wait->next->link = wait->link;
    wait->auth = NULL;
}

static void add_wait(pq_auth *auth, pq_auth_wait *wait)
{
    pq_auth_wait **end = &auth->waits;
    while (*end != NULL)
        end = &(*end)->next;
    wait->next = NULL;
    wait->link = end;
    *end = wait;
}

/* Tells one waiter the outcome, which may free everything; the others get their own turn. With
 * another login under way they wait for that. */
static void serve(void *context)
{
    pq_auth *auth = context;
    pq_auth_wait *wait = auth->waits;
    if (wait == NULL || auth->call.pool != NULL)
        return;
    pq_error err = auth->outcome;
    pq_auth_wait_stop(wait);
    if (auth->waits != NULL)
        pq_defer_start(auth->loop, &auth->serve, serve, auth);
    wait->ready(wait->context, err.code != PQ_OK ? &err : NULL);
}

/* The end of a login, good or bad. A renewal that did not reach the server leaves a ticket that is
 * still good. */
static void conclude(pq_auth *auth, const pq_error *err)
{
    pq_buf_wipe(&auth->body);
    if (err == NULL || auth->state == PQ_AUTH_RENEWAL) {
        pq_error_clear(&auth->outcome);
        auth->refused_until = 0;
        set_state(auth, PQ_AUTH_READY);
    } else {
        auth->outcome = *err;
        auth->outcome.effect = PQ_EFFECT_NONE;
        if (err->code == PQ_E_AUTH || err->code == PQ_E_TFA)
            auth->refused_until = pq_deadline(pq_now(), REFUSED_MS);
        pq_secret_done(&auth->ticket);
        set_state(auth, PQ_AUTH_EMPTY);
    }
    pq_defer_start(auth->loop, &auth->serve, serve, auth);
}

/* ---- logging in ---- */

static void answered(void *context, const pq_error *err, pq_http_answer *answer);

static int add_secret(pq_buf *body, const char *name, const char *prefix, const pq_secret *secret,
                      pq_error *err)
{
    if (pq_request_field(body, name, prefix, strlen(prefix), err) < 0)
        return -1;
    return pq_url_encode(body, pq_secret_text(secret), secret->length, err);
}

static int write_body(pq_auth *auth, pq_auth_state step, pq_error *err)
{
    pq_buf *body = &auth->body;
    pq_buf_wipe(body);
    if (pq_buf_reserve(body, BODY_RESERVE, err) < 0 ||
        pq_request_field(body, "username", auth->user, strlen(auth->user), err) < 0)
        return -1;
    if (step == PQ_AUTH_LOGIN)
        return add_secret(body, "password", "", &auth->secret, err);
    if (step == PQ_AUTH_RENEWAL)
        return add_secret(body, "password", "", &auth->ticket, err);
    if (add_secret(body, "tfa-challenge", "", &auth->ticket, err) < 0)
        return -1;
    return add_secret(body, "password", "totp:", &auth->otp, err);
}

static int send_step(pq_auth *auth, pq_auth_state step, pq_error *err)
{
    pq_http_call *call = &auth->call;
    if (write_body(auth, step, err) < 0)
        return -1;
    memset(call, 0, sizeof *call);
    pq_request_head head = {
        .method = "POST",
        .host = auth->host,
        .path = TICKET_PATH,
        .content_type = "application/x-www-form-urlencoded",
        .has_body = true,
        .content_length = auth->body.length,
    };
    if (pq_request_write_head(&call->head, &head, auth->body.length, err) < 0 ||
        pq_buf_add_text(&call->head, "\r\n", err) < 0) {
        pq_buf_wipe(&call->head);
        return -1;
    }
    call->body = auth->body.data;
    call->body_length = auth->body.length;
    call->answer_max = ANSWER_MAX;
    call->timeout = auth->timeout;
    call->method = "POST";
    call->path = TICKET_PATH;
    pq_http_call_start(auth->pool, call, answered, auth);
    set_state(auth, step);
    return 0;
}

static void start_step(pq_auth *auth, pq_auth_state step)
{
    pq_error err;
    if (send_step(auth, step, &err) < 0)
        conclude(auth, &err);
}

static int challenge_possible(const pq_auth *auth, pq_error *err)
{
    if (!pq_secret_is_set(&auth->otp))
        return pq_fail(err, PQ_E_TFA, "logging in as %s needs a second factor", auth->user);
    if (auth->otp_used)
        return pq_fail(err, PQ_E_TFA, "logging in as %s again needs another one-time password",
                       auth->user);
    return 0;
}

static bool is_challenge(const pq_json *data, const char *ticket)
{
    bool needed = false;
    return (pq_json_bool(data, "NeedTFA", &needed) && needed) ||
           strncmp(ticket, "PVE:!tfa!", 9) == 0;
}

/* Takes the ticket out of a good answer. *ret_next is CHALLENGE or READY. */
static int take_ticket(pq_auth *auth, const pq_json *data, pq_auth_state *ret_next, pq_error *err)
{
    const char *ticket = pq_json_text(data, "ticket");
    const char *csrf = pq_json_text(data, "CSRFPreventionToken");
    if (ticket == NULL || ticket[0] == '\0')
        return pq_fail(err, PQ_E_BAD_ANSWER, "the answer to a login has no ticket");
    bool challenge = is_challenge(data, ticket);
    if (challenge && auth->state == PQ_AUTH_CHALLENGE)
        return pq_fail(err, PQ_E_TFA, "logging in as %s needs more than a one-time password",
                       auth->user);
    if (!challenge && csrf == NULL)
        return pq_fail(err, PQ_E_BAD_ANSWER, "the answer to a login has no CSRF token");
    if (pq_secret_set(&auth->ticket, ticket, strlen(ticket), err) < 0 ||
        (!challenge && pq_secret_set(&auth->csrf, csrf, strlen(csrf), err) < 0))
        return -1;
    *ret_next = challenge ? PQ_AUTH_CHALLENGE : PQ_AUTH_READY;
    return 0;
}

static void logged_in(pq_auth *auth, const pq_json *data)
{
    pq_auth_state next = PQ_AUTH_READY;
    pq_error err;
    if (take_ticket(auth, data, &next, &err) < 0) {
        conclude(auth, &err);
    } else if (next == PQ_AUTH_READY) {
        auth->ticket_time = pq_now();
        auth->generation++;
        conclude(auth, NULL);
    } else if (challenge_possible(auth, &err) < 0) {
        conclude(auth, &err);
    } else {
        auth->otp_used = true;
        start_step(auth, PQ_AUTH_CHALLENGE);
    }
}

static void refused(pq_auth *auth, const pq_http_answer *answer, const pq_json *body)
{
    pq_error err;
    pq_refusal refusal = pq_api_refused(PQ_API_LOGIN, answer->status, answer->reason, body, &err);
    if (refusal == PQ_REFUSAL_LOGIN && auth->state == PQ_AUTH_RENEWAL) {
        start_step(auth, PQ_AUTH_LOGIN);
        return;
    }
    if (refusal == PQ_REFUSAL_LOGIN && auth->state == PQ_AUTH_CHALLENGE)
        err.code = PQ_E_TFA;
    pq_error_prefix(&err, "logging in as %s: ", auth->user);
    conclude(auth, &err);
}

static void wipe_text(const pq_json *data, const char *name)
{
    const char *text = pq_json_text(data, name);
    if (text != NULL)
        pq_wipe((void *)(uintptr_t)text, strlen(text));
}

static void answered(void *context, const pq_error *err, pq_http_answer *answer)
{
    pq_auth *auth = context;
    pq_error problem;
    if (err != NULL) {
        conclude(auth, err);
        return;
    }
    pq_json *body = pq_json_parse(answer->body.data, answer->body.length, &problem);
    pq_buf_wipe(&answer->body);
    if (answer->status != 200)
        refused(auth, answer, body);
    else if (body == NULL)
        conclude(auth, &problem);
    else
        logged_in(auth, pq_json_member(body, "data"));
    wipe_text(pq_json_member(body, "data"), "ticket");
    wipe_text(pq_json_member(body, "data"), "CSRFPreventionToken");
    pq_json_free(body);
}

void pq_auth_wait_start(pq_auth *auth, pq_auth_wait *wait, pq_auth_fn ready, void *context)
{
    wait->auth = auth;
    wait->ready = ready;
    wait->context = context;
    add_wait(auth, wait);
    if (auth->call.pool != NULL)
        return;
    if (pq_auth_is_ready(auth) || pq_now() < auth->refused_until) {
        pq_defer_start(auth->loop, &auth->serve, serve, auth);
        return;
    }
    bool renewable = auth->state == PQ_AUTH_READY && ticket_age(auth) < TICKET_LIFE_MS;
    start_step(auth, renewable ? PQ_AUTH_RENEWAL : PQ_AUTH_LOGIN);
}

/* ---- using it ---- */

int pq_auth_write_headers(const pq_auth *auth, bool changes, pq_buf *head, pq_error *err)
{
    if (auth->is_token)
        return pq_buf_printf(head, err, "Authorization: PVEAPIToken=%s=%s\r\n", auth->user,
                             pq_secret_text(&auth->secret));
    if (pq_buf_add_text(head, "Cookie: PVEAuthCookie=", err) < 0 ||
        pq_url_encode(head, pq_secret_text(&auth->ticket), auth->ticket.length, err) < 0 ||
        pq_buf_add_text(head, "\r\n", err) < 0)
        return -1;
    if (!changes)
        return 0;
    return pq_buf_printf(head, err, "CSRFPreventionToken: %s\r\n", pq_secret_text(&auth->csrf));
}

bool pq_auth_rejected(pq_auth *auth, unsigned generation)
{
    if (auth->is_token)
        return false;
    if (generation == auth->generation && auth->state == PQ_AUTH_READY) {
        pq_secret_done(&auth->ticket);
        set_state(auth, PQ_AUTH_EMPTY);
    }
    return true;
}
