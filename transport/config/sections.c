/* [vm NAME] sections: kept line by line, applied when that VM is selected. */
#include <stdlib.h>
#include <string.h>

#include "transport/config/internal.h"

static void line_free(pq_section_line *line)
{
    free(line->vm);
    free(line->file);
    free(line->name);
    free(line->text);
    pq_secret_done(&line->secret);
    free(line);
}

void pq_config_free_sections(pq_config *config)
{
    while (config->sections != NULL) {
        pq_section_line *line = config->sections;

        config->sections = line->next;
        line_free(line);
    }
    config->sections_end = &config->sections;
}

static int line_fill(pq_section_line *line, const char *vm, const pq_origin *origin,
                     const char *text, bool is_secret, pq_error *err)
{
    line->vm = strdup(vm);
    line->file = strdup(origin->file);
    line->name = strdup(origin->name);
    line->text = strdup(is_secret ? "" : text);
    if (line->vm == NULL || line->file == NULL || line->name == NULL || line->text == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    return is_secret ? pq_secret_set(&line->secret, text, strlen(text), err) : 0;
}

int pq_config_add_section_line(pq_config *config, const char *vm, unsigned id, pq_secret_kind kind,
                               const pq_origin *origin, const char *text, pq_error *err)
{
    bool is_secret = pq_config_row(config, id)->type == PQ_TYPE_SECRET && kind == PQ_SECRET_VALUE;
    pq_section_line *line;

    if (pq_config_check(config, id, kind, origin, text, err) < 0)
        return -1;
    line = calloc(1, sizeof *line);
    if (line == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    line->id = id;
    line->kind = kind;
    line->source = origin->source;
    line->line = origin->line;
    if (line_fill(line, vm, origin, text, is_secret, err) < 0) {
        line_free(line);
        return -1;
    }
    *config->sections_end = line;
    config->sections_end = &line->next;
    return 0;
}

static int apply(pq_config *config, const pq_section_line *line, pq_error *err)
{
    pq_origin origin = {line->source, line->name, line->file, line->line};
    const char *text = pq_secret_is_set(&line->secret) ? pq_secret_text(&line->secret) : line->text;

    return pq_config_offer(config, line->id, line->kind, &origin, text, err);
}

/* The VM that a name stands for: its section's vmid, where the user's file goes before the
 * system's, or itself. */
static const char *resolve(const pq_config *config, const char *name)
{
    const pq_section_line *found = NULL;

    for (const pq_section_line *line = config->sections; line != NULL; line = line->next) {
        if (line->id == PQ_OPT_VMID && strcmp(line->vm, name) == 0 &&
            (found == NULL || line->source >= found->source))
            found = line;
    }
    return found != NULL ? found->text : name;
}

int pq_config_select_vm(pq_config *config, const char *name, const char **ret_vm, pq_error *err)
{
    char *vm;

    if (name == NULL)
        name = pq_config_text(config, PQ_OPT_VMID);
    if (name == NULL || name[0] == '\0')
        return pq_fail(err, PQ_E_USAGE, "no VM was named");
    for (const pq_section_line *line = config->sections; line != NULL; line = line->next) {
        /* The name that the user gave outranks any vmid; see resolve(). */
        if (line->id == PQ_OPT_VMID || strcmp(line->vm, name) != 0)
            continue;
        if (apply(config, line, err) < 0)
            return -1;
    }
    vm = strdup(resolve(config, name));
    if (vm == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    free(config->vm);
    config->vm = vm;
    *ret_vm = vm;
    return 0;
}
