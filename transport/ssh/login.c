#include "transport/ssh/login.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "transport/base/log.h"
#include "transport/ssh/hostkey.h"
#include "transport/ssh/key_text.h"
#include "transport/ssh/memory.h"
#include "transport/ssh/session_internal.h"

/* libssh2 signs with RSA keys by SHA-1 alone before this version; OpenSSH refuses that since 8.8.
 */
#define VERSION_WITH_RSA_SHA2 0x010b00

/* How a stage ended, beside libssh2's codes. */
#define NEXT_STAGE 1

static const char rsa_note[] = " (this libssh2 signs with RSA only by SHA-1, which OpenSSH refuses "
                               "since 8.8; use an Ed25519 key)";

static bool is_rsa_old(void)
{
    return libssh2_version(VERSION_WITH_RSA_SHA2) == NULL;
}

const char *pq_ssh_login_user(const pq_ssh_options *options)
{
    return options->user != NULL && options->user[0] != '\0' ? options->user : "root";
}

void pq_ssh_login_init(pq_ssh_login *login, const pq_ssh_options *options)
{
    *login = (pq_ssh_login){.options = options};
}

void pq_ssh_login_done(pq_ssh_login *login)
{
    if (login->agent != NULL) {
        libssh2_agent_disconnect(login->agent);
        libssh2_agent_free(login->agent);
    }
    *login = (pq_ssh_login){0};
}

__attribute__((format(printf, 2, 3))) static void note(pq_ssh_login *login, const char *format, ...)
{
    size_t length = strlen(login->tried);
    va_list arguments;
    if (length > 0 && length < sizeof login->tried - 2)
        length += (size_t)snprintf(login->tried + length, sizeof login->tried - length, "; ");
    va_start(arguments, format);
    vsnprintf(login->tried + length, sizeof login->tried - length, format, arguments);
    va_end(arguments);
}

static bool accepts(const pq_ssh_login *login, const char *method)
{
    size_t length = strlen(method);
    for (const char *at = login->methods; (at = strstr(at, method)) != NULL; at += length)
        if ((at == login->methods || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
            return true;
    return false;
}

/* ---- the stages: 0 is logged in, NEXT_STAGE, or libssh2's code ---- */

static int ask(pq_ssh_login *login, LIBSSH2_SESSION *ssh, const char *user)
{
    const char *methods = libssh2_userauth_list(ssh, user, (unsigned)strlen(user));
    if (methods == NULL && libssh2_userauth_authenticated(ssh) != 0)
        return 0;
    if (methods == NULL)
        return libssh2_session_last_errno(ssh);
    pq_error_clean(login->methods, sizeof login->methods, methods, strlen(methods));
    return NEXT_STAGE;
}

static int check_key(pq_ssh_login *login, pq_error *err)
{
    const pq_ssh_options *options = login->options;
    pq_key_look look;
    pq_key_look_at(pq_secret_text(options->key), options->key->length, &look);
    login->key_is_rsa = look.rsa;
    if (!look.is_key)
        return pq_fail(err, PQ_E_SECRET, "the SSH key that was given is no private key");
    if (look.encrypted && !pq_secret_is_set(options->key_passphrase))
        return pq_fail(err, PQ_E_SECRET,
                       "the SSH key that was given has a passphrase (--ssh-key-passphrase-file)");
    return 0;
}

static int try_key(pq_ssh_login *login, LIBSSH2_SESSION *ssh, const char *user, pq_error *err)
{
    const pq_ssh_options *options = login->options;
    if (!pq_secret_is_set(options->key) || !accepts(login, "publickey"))
        return NEXT_STAGE;
    if (check_key(login, err) < 0)
        return -1;
    int code = libssh2_userauth_publickey_frommemory(
        ssh, user, strlen(user), NULL, 0, pq_secret_text(options->key), options->key->length,
        pq_secret_is_set(options->key_passphrase) ? pq_secret_text(options->key_passphrase) : NULL);
    if (code == LIBSSH2_ERROR_FILE || code == LIBSSH2_ERROR_KEYFILE_AUTH_FAILED ||
        code == LIBSSH2_ERROR_METHOD_NONE) {
        note(login, "the key cannot be used: wrong passphrase, or a kind that libssh2 cannot read");
        return NEXT_STAGE;
    }
    if (code == LIBSSH2_ERROR_AUTHENTICATION_FAILED || code == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED) {
        note(login, "the key was refused%s", login->key_is_rsa && is_rsa_old() ? rsa_note : "");
        return NEXT_STAGE;
    }
    return code;
}

static int open_agent(pq_ssh_login *login, LIBSSH2_SESSION *ssh)
{
    const char *path = login->options->agent_socket;
    login->agent = libssh2_agent_init(ssh);
    if (login->agent == NULL)
        return LIBSSH2_ERROR_ALLOC;
    libssh2_agent_set_identity_path(login->agent, path);
    if (libssh2_agent_connect(login->agent) != 0 ||
        libssh2_agent_list_identities(login->agent) != 0) {
        note(login, "no SSH agent answers at '%.100s'", path);
        return NEXT_STAGE;
    }
    return 0;
}

/* Moves to the next identity that is worth a try. */
static bool next_identity(pq_ssh_login *login)
{
    char type[PQ_KEY_TYPE_MAX + 1];
    do {
        if (libssh2_agent_get_identity(login->agent, &login->identity, login->identity) != 0)
            return false;
    } while (is_rsa_old() &&
             pq_host_key_type(login->identity->blob, login->identity->blob_len, type) &&
             strcmp(type, "ssh-rsa") == 0);
    return login->identities++ < PQ_SSH_AGENT_KEYS;
}

static int end_agent(pq_ssh_login *login)
{
    note(login, login->identities > 0 ? "the agent's keys were refused"
                                      : "the agent has no keys that can be used");
    return NEXT_STAGE;
}

static int try_agent(pq_ssh_login *login, LIBSSH2_SESSION *ssh, const char *user)
{
    if (login->options->agent_socket == NULL || !accepts(login, "publickey"))
        return NEXT_STAGE;
    if (login->agent == NULL) {
        int failed = open_agent(login, ssh);
        if (failed != 0)
            return failed;
    }
    if (login->identity == NULL && !next_identity(login))
        return end_agent(login);
    for (;;) {
        int code = libssh2_agent_userauth(login->agent, user, login->identity);
        if (code != LIBSSH2_ERROR_AUTHENTICATION_FAILED &&
            code != LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED && code != LIBSSH2_ERROR_AGENT_PROTOCOL)
            return code;
        if (!next_identity(login))
            return end_agent(login);
    }
}

static int try_password(pq_ssh_login *login, LIBSSH2_SESSION *ssh, const char *user)
{
    const pq_secret *password = login->options->password;
    if (!pq_secret_is_set(password) || !accepts(login, "password"))
        return NEXT_STAGE;
    int code =
        libssh2_userauth_password_ex(ssh, user, (unsigned)strlen(user), pq_secret_text(password),
                                     (unsigned)password->length, NULL);
    if (code == LIBSSH2_ERROR_AUTHENTICATION_FAILED || code == LIBSSH2_ERROR_PASSWORD_EXPIRED) {
        note(login, code == LIBSSH2_ERROR_PASSWORD_EXPIRED ? "the password has expired"
                                                           : "the password was refused");
        return NEXT_STAGE;
    }
    return code;
}

/* libssh2 frees the answers with the session's own allocator. */
static void answer(const char *name, int name_length, const char *instruction,
                   int instruction_length, int count, const LIBSSH2_USERAUTH_KBDINT_PROMPT *prompts,
                   LIBSSH2_USERAUTH_KBDINT_RESPONSE *responses, void **abstract)
{
    const pq_ssh_session *session = *abstract;
    const pq_secret *password = session->options->password;
    (void)name, (void)name_length, (void)instruction, (void)instruction_length, (void)prompts;
    for (int i = 0; i < count; i++) {
        responses[i].text = pq_ssh_alloc(password->length + 1, NULL);
        if (responses[i].text == NULL)
            continue;
        memcpy(responses[i].text, password->text, password->length + 1);
        responses[i].length = (unsigned)password->length;
    }
}

static int try_questions(pq_ssh_login *login, LIBSSH2_SESSION *ssh, const char *user)
{
    if (!pq_secret_is_set(login->options->password) || !accepts(login, "keyboard-interactive"))
        return NEXT_STAGE;
    int code = libssh2_userauth_keyboard_interactive_ex(ssh, user, (unsigned)strlen(user), answer);
    if (code == LIBSSH2_ERROR_AUTHENTICATION_FAILED) {
        note(login, "the password was refused as an answer, too");
        return NEXT_STAGE;
    }
    return code;
}

static int run_stage(pq_ssh_login *login, LIBSSH2_SESSION *ssh, const char *user, pq_error *err)
{
    switch (login->stage) {
    case PQ_SSH_LOGIN_ASK:
        return ask(login, ssh, user);
    case PQ_SSH_LOGIN_KEY:
        return try_key(login, ssh, user, err);
    case PQ_SSH_LOGIN_AGENT:
        return try_agent(login, ssh, user);
    case PQ_SSH_LOGIN_PASSWORD:
        return try_password(login, ssh, user);
    case PQ_SSH_LOGIN_QUESTIONS:
        return try_questions(login, ssh, user);
    case PQ_SSH_LOGIN_FAILED:
        break;
    }
    return NEXT_STAGE;
}

static int refused(const pq_ssh_login *login, const char *user, const char *node, pq_error *err)
{
    bool nothing = login->tried[0] == '\0';
    return pq_fail(err, PQ_E_SSH_LOGIN, "cannot log in as %s@%s: %s (the node accepts %s)%s", user,
                   node,
                   nothing ? "no key, agent or password that it accepts was given" : login->tried,
                   login->methods[0] != '\0' ? login->methods : "nothing",
                   nothing ? "; see --ssh-key-file, --ssh-agent-socket, --ssh-password-file" : "");
}

int pq_ssh_login_step(pq_ssh_login *login, LIBSSH2_SESSION *ssh, const char *node, int *ret_code,
                      pq_error *err)
{
    const char *user = pq_ssh_login_user(login->options);
    *ret_code = 0;
    while (login->stage != PQ_SSH_LOGIN_FAILED) {
        err->code = PQ_OK;
        int code = run_stage(login, ssh, user, err);
        if (code == 0)
            return 0;
        if (code == LIBSSH2_ERROR_EAGAIN)
            return 1;
        if (err->code != PQ_OK)
            return -1;
        if (code != NEXT_STAGE) {
            *ret_code = code;
            return -1;
        }
        login->stage++;
        pq_trace("ssh-login", PQ_TEXT("node", node), PQ_INT("stage", login->stage));
    }
    return refused(login, user, node, err);
}
