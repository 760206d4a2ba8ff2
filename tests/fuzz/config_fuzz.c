/*
 * Configuration files from arbitrary bytes.
 *
 * A file is either taken, and then every value has been checked: it can be printed and selected
 * for a VM, and no default is lost; or refused with one line that names the file. Nothing that a
 * file names is opened or run.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "transport/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_taken(pq_config *config)
{
    pq_buf out = {0};
    const char *vm = NULL;
    pq_error err;

    require(pq_config_select_vm(config, "web", &vm, &err) == 0);
    require(vm != NULL && vm[0] != '\0');
    require(pq_config_int(config, PQ_OPT_PORT) >= 1 && pq_config_int(config, PQ_OPT_PORT) <= 65535);
    require(pq_config_duration_ms(config, PQ_OPT_CALL_TIMEOUT) >= 1000);
    require(pq_config_text(config, PQ_OPT_REMOTE_TMP)[0] == '/');
    require(pq_config_print(config, &out, &err) == 0);
    require(strlen(out.data) == out.length);
    pq_buf_done(&out);
}

static void check_refused(const pq_error *err)
{
    require(err->code == PQ_E_CONFIG || err->code == PQ_E_SECRET);
    require(strncmp(err->text, "fuzz.conf", 9) == 0);
    require(strpbrk(err->text, "\n\r\x1b") == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pq_config_text_file file = {"fuzz.conf", PQ_SOURCE_USER_FILE, 0600, true};
    pq_error err = {0};
    pq_config *config = pq_config_new(NULL, 0, &err);

    require(config != NULL);
    if (pq_config_parse_file(config, &file, (const char *)data, size, &err) == 0)
        check_taken(config);
    else
        check_refused(&err);
    pq_config_free(config);
    return 0;
}
