/* put_file and fetch_file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/resume_key.h"
#include "shim/serve/serve.h"

/* Between two progress messages, and before the first. */
#define PROGRESS_MS 1000

/* Permissions of a new file whose content is a payload. */
#define PAYLOAD_MODE 0644

static void on_progress(void *context, uint64_t bytes, int64_t total)
{
    pq_request *request = context;
    pq_talk *talk = request->talk;
    pq_error err;
    pq_ms now = pq_now();
    if (request->silent || now < request->progress_due)
        return;
    request->progress_due = now + PROGRESS_MS;
    pq_serve_sent(talk, pq_message_progress(pq_serve_queue(talk), &request->id, bytes, total, &err),
                  &err);
}

static void answer(pq_request *request, uint64_t bytes, const char *sha256, unsigned mode)
{
    pq_talk *talk = request->talk;
    pq_error err;
    if (!request->silent)
        pq_serve_sent(
            talk,
            pq_message_file_result(pq_serve_queue(talk), &request->id, bytes, sha256, mode, &err),
            &err);
    pq_serve_request_free(request);
}

/* A relative path begins where the client is. The caller frees it. */
static char *local_path(const pq_talk *talk, const char *path, pq_error *err)
{
    char *whole = NULL;
    if (path[0] == '/' || talk->cwd == NULL)
        whole = strdup(path);
    else if (asprintf(&whole, "%s/%s", talk->cwd, path) < 0)
        whole = NULL;
    if (whole == NULL)
        pq_fail(err, PQ_E_NOMEM, "out of memory");
    return whole;
}

/* ---- put_file ---- */

static void on_put(void *context, const pq_error *err, const pq_put_result *result)
{
    pq_request *request = context;
    request->put = NULL;
    if (err != NULL)
        pq_serve_request_failed(request, err);
    else
        answer(request, result->bytes, result->digest_checked ? result->sha256 : NULL,
               result->mode);
}

static void on_content_wanted(void *context)
{
    pq_serve_request_pump(context);
}

/* Opening anything but a regular file could make all requests wait. */
static int open_source(pq_request *request, const char *path, pq_put_request *put, pq_error *err)
{
    struct stat info;
    request->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (request->fd < 0 || fstat(request->fd, &info) < 0)
        return pq_fail(err, PQ_E_IO, "cannot open '%.200s': %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return pq_fail(err, PQ_E_IO, "'%.200s' is not a regular file", path);
    const char *slash = strrchr(path, '/');
    put->fd = request->fd;
    put->size = info.st_size;
    put->new_mode = (int)(info.st_mode & 0777);
    put->name = slash != NULL ? slash + 1 : path;
    return 0;
}

static int start_put(pq_request *request, const pq_message *message, const char *local,
                     const char *key, pq_error *err)
{
    static const pq_put_events events = {
        .progress = on_progress, .content_wanted = on_content_wanted, .done = on_put};
    const pq_message_file *file = &message->file;
    pq_put_request put = {
        .fd = -1,
        .remote_path = file->out_path,
        .mode = file->mode,
        .new_mode = PAYLOAD_MODE,
        .size = (int64_t)message->payload_bytes,
        .resume_key = key,
    };
    if (local != NULL && open_source(request, local, &put, err) < 0)
        return -1;
    request->payload_end = local != NULL;
    request->progress_due = pq_now() + PROGRESS_MS;
    request->put = pq_put_start(request->session, &put, &events, request, err);
    return request->put != NULL ? 0 : -1;
}

static int put_local(pq_request *request, const pq_message *message, const pq_config *config,
                     pq_error *err)
{
    const pq_message_file *file = &message->file;
    char *local = local_path(request->talk, file->in_path, err);
    if (local == NULL)
        return -1;
    char *key = pq_resume_key(config, "put", request->vm, local, file->out_path);
    int started = start_put(request, message, local, key, err);
    free(key);
    free(local);
    return started;
}

int pq_serve_put(pq_talk *talk, const pq_message *message, pq_buf *payload, bool receiving,
                 pq_request **ret_request, pq_rpc_code *ret_code, pq_error *err)
{
    pq_config *config;
    pq_request *request = pq_serve_request_new(talk, message, &config, ret_code, err);
    if (request == NULL)
        return -1;
    request->receiving = receiving;
    request->payload = *payload;
    *payload = (pq_buf){0};
    int started = message->file.in_path != NULL ? put_local(request, message, config, err)
                                                : start_put(request, message, NULL, NULL, err);
    pq_config_free(config);
    if (started < 0) {
        *ret_code = pq_serve_refusal(message, err);
        pq_serve_request_free(request);
        return -1;
    }
    *ret_request = request;
    pq_serve_request_pump(request);
    return 0;
}

/* ---- fetch_file ---- */

static void on_fetched(void *context, const pq_error *err, const pq_fetch_result *result)
{
    pq_request *request = context;
    request->fetch = NULL;
    if (err != NULL)
        pq_serve_request_failed(request, err);
    else
        answer(request, result->bytes, result->digest_checked ? result->sha256 : NULL,
               result->mode);
}

static int start_fetch(pq_request *request, const pq_message_file *file, const pq_config *config,
                       pq_error *err)
{
    static const pq_fetch_events events = {.progress = on_progress, .done = on_fetched};
    char *local = local_path(request->talk, file->out_path, err);
    if (local == NULL)
        return -1;
    char *key = pq_resume_key(config, "fetch", request->vm, local, file->in_path);
    pq_fetch_request fetch = {
        .remote_path = file->in_path,
        .local_path = local,
        .fd = -1,
        .mode = file->mode,
        .resume_key = key,
    };
    request->progress_due = pq_now() + PROGRESS_MS;
    request->fetch = pq_fetch_start(request->session, &fetch, &events, request, err);
    free(key);
    free(local);
    return request->fetch != NULL ? 0 : -1;
}

int pq_serve_fetch(pq_talk *talk, const pq_message *message, pq_rpc_code *ret_code, pq_error *err)
{
    pq_config *config;
    pq_request *request = pq_serve_request_new(talk, message, &config, ret_code, err);
    if (request == NULL)
        return -1;
    int started = start_fetch(request, &message->file, config, err);
    pq_config_free(config);
    if (started == 0)
        return 0;
    *ret_code = pq_serve_refusal(message, err);
    pq_serve_request_free(request);
    return -1;
}
