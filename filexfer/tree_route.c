#include "filexfer/tree_route.h"

#include <stdlib.h>
#include <string.h>

pq_tree_shown pq_tree_show(const char *path)
{
    pq_tree_shown shown;
    if (strncmp(path, "./", 2) == 0 && path[2] != '\0')
        path += 2;
    pq_error_clean(shown.text, sizeof shown.text, path, strlen(path));
    return shown;
}

int pq_tree_refuse(pq_error *err, const char *path, const char *why)
{
    return pq_fail(err, PQ_E_REMOTE_FILE, "refused '%s' from the guest: %s",
                   pq_tree_show(path).text, why);
}

static int add_name(pq_tree_route *route, const char *path, const char *name, pq_error *err)
{
    if (name[0] == '\0' || strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0)
        return pq_tree_refuse(err, path, "it leads out of the directory");
    if (route->count > PQ_TREE_DEPTH_MAX)
        return pq_tree_refuse(err, path, "there are too many directories below each other");
    route->names[route->count++] = name;
    return 0;
}

int pq_tree_route_parse(pq_tree_route *route, const char *path, pq_error *err)
{
    *route = (pq_tree_route){0};
    if (path[0] == '/')
        return pq_tree_refuse(err, path, "it is an absolute path");
    route->text = strdup(path);
    if (route->text == NULL)
        return pq_fail(err, PQ_E_NOMEM, "out of memory");
    char *at = route->text;
    for (char *slash; (slash = strchr(at, '/')) != NULL; at = slash + 1) {
        *slash = '\0';
        if (add_name(route, path, at, err) < 0)
            return -1;
    }
    return add_name(route, path, at, err);
}

void pq_tree_route_done(pq_tree_route *route)
{
    free(route->text);
    route->text = NULL;
}

bool pq_tree_route_has(const pq_tree_route *route, const char *name)
{
    for (size_t i = 0; i < route->count && name != NULL; i++) {
        if (strcmp(route->names[i], name) == 0)
            return true;
    }
    return false;
}
