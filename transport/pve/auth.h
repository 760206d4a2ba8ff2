/*
 * Who we are to the API: a token, or a ticket that a password login gave.   (transport/pve)
 *
 * Theory of operation: with a token there is nothing to do but to add its header. With a password,
 * the first call that needs a ticket starts a login; calls that come meanwhile wait for the same
 * one. A ticket lives 2 h; from 1 h 45 min on it is renewed before the next call by logging in with
 * the old ticket as the password, which needs no second factor. A 401 for a ticket discards it,
 * once: the caller asks again and gets the result of one new login.
 *
 *   login:  POST /access/ticket, password  -> ticket, or a challenge (second factor)
 *           POST /access/ticket, challenge and one-time password -> ticket
 *
 * A login that the server refuses is not tried again for a minute, whoever asks: accounts get
 * locked by repeated failures, and a refusal takes 3 s of the server's time. A one-time password is
 * used once.
 *
 * Secrets are kept in pq_secret and in buffers that are wiped.
 */
#pragma once

#include "transport/base/secret.h"
#include "transport/pve/http_pool.h"

/* `err` is NULL when pq_auth_write_headers() can be used. Effects are "none". */
typedef void (*pq_auth_fn)(void *context, const pq_error *err);

/* Embedded in the waiter's struct; all-zero when idle. */
typedef struct pq_auth_wait {
    struct pq_auth *auth; /* NULL while idle */
    pq_auth_fn ready;
    void *context;
    struct pq_auth_wait *next, **link;
} pq_auth_wait;

typedef enum pq_auth_state {
    PQ_AUTH_EMPTY = 0, /* no ticket */
    PQ_AUTH_LOGIN,     /* sent user and password */
    PQ_AUTH_RENEWAL,   /* sent user and old ticket */
    PQ_AUTH_CHALLENGE, /* sent the one-time password */
    PQ_AUTH_READY      /* has a token or ticket */
} pq_auth_state;

typedef struct pq_auth {
    pq_loop *loop;
    pq_http_pool *pool;
    const char *host; /* for the Host header */
    const char *user; /* USER@REALM, or USER@REALM!TOKENID */
    bool is_token;
    pq_ms timeout;
    pq_secret secret; /* token secret or password */
    pq_secret otp;
    bool otp_used;
    pq_auth_state state;
    pq_secret ticket; /* or the challenge */
    pq_secret csrf;
    pq_ms ticket_time;
    unsigned generation; /* counts tickets */
    pq_http_call call;
    pq_buf body;
    pq_auth_wait *waits;
    pq_defer serve;
    pq_error outcome;    /* of the last login; code OK if it worked */
    pq_ms refused_until; /* `outcome` is a refusal that stands until then; 0 for none */
} pq_auth;

/* Copies the secrets; the strings and the pool stay the caller's and valid. Fails with NOMEM. */
int pq_auth_init(pq_auth *auth, pq_loop *loop, pq_http_pool *pool, const char *host,
                 const char *user, bool is_token, const pq_secret *secret, const pq_secret *otp,
                 pq_ms timeout, pq_error *err);

/* All waits were stopped. */
void pq_auth_done(pq_auth *auth);

/* Whether headers can be written now, so that there is no need to wait. */
bool pq_auth_is_ready(const pq_auth *auth);

/* Calls ready(context, err) from the loop as soon as it is known whether we are logged in. */
void pq_auth_wait_start(pq_auth *auth, pq_auth_wait *wait, pq_auth_fn ready, void *context);
void pq_auth_wait_stop(pq_auth_wait *wait);

/* Appends the header lines with our credentials. `changes`: the request is not a GET. */
int pq_auth_write_headers(const pq_auth *auth, bool changes, pq_buf *head, pq_error *err);

/* The server answered 401 to a request with headers of `generation`. True if it is worth waiting
 * for another login and sending the request again. */
bool pq_auth_rejected(pq_auth *auth, unsigned generation);
