/*
 * Runs a fuzz harness over files, without a fuzzer.   (tests/fuzz)
 *
 *   NAME_fuzz_replay FILE|DIRECTORY...
 *
 * Each input is run as it is; then, if it has at most VARIED_MAX bytes, cut off after each of its
 * bytes, and with each of its bytes changed in a few ways. Inputs are handed over in memory of
 * exactly their size, so that AddressSanitizer sees a read behind the end.
 *
 * Exit status 0 if all ran and there was at least one input, 1 otherwise. A bug ends the program
 * by a signal or a sanitizer; the last line on stderr names the input then.
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define VARIED_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Inputs run so far; the variations of one file are one input. */
static size_t inputs;

static void *allocate(size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL && size > 0) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

static void run_copy(const uint8_t *bytes, size_t length, size_t changed_at, uint8_t changed_to)
{
    uint8_t *copy = allocate(length);
    if (length > 0)
        memcpy(copy, bytes, length);
    if (changed_at < length)
        copy[changed_at] = changed_to;
    LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

static void run_input(const uint8_t *bytes, size_t length)
{
    inputs++;
    run_copy(bytes, length, length, 0);
    if (length > VARIED_MAX)
        return;
    for (size_t cut = 0; cut < length; cut++)
        run_copy(bytes, cut, cut, 0);
    for (size_t at = 0; at < length; at++) {
        const uint8_t values[] = {0, 0xFF, (uint8_t)(bytes[at] ^ 0x01), (uint8_t)(bytes[at] ^ 0x20),
                                  (uint8_t)(bytes[at] ^ 0x80)};
        for (size_t i = 0; i < sizeof values; i++)
            run_copy(bytes, length, at, values[i]);
    }
}

static bool run_file(const char *path, size_t size)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    uint8_t *bytes = allocate(size);
    bool whole = fread(bytes, 1, size, file) == size;
    fclose(file);
    if (whole) {
        fprintf(stderr, "%s: %zu bytes\n", path, size);
        run_input(bytes, size);
    }
    free(bytes);
    return whole;
}

static bool run_path(const char *path);

static bool run_directory(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0)
        return false;
    bool ok = true;
    for (int i = 0; i < count; i++) {
        char entry[4096];
        int length = snprintf(entry, sizeof entry, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            ok = (size_t)length < sizeof entry && run_path(entry) && ok;
        free(entries[i]);
    }
    free(entries);
    return ok;
}

static bool run_path(const char *path)
{
    struct stat status;
    if (stat(path, &status) < 0) {
        perror(path);
        return false;
    }
    bool ok =
        S_ISDIR(status.st_mode) ? run_directory(path) : run_file(path, (size_t)status.st_size);
    if (!ok)
        fprintf(stderr, "%s: cannot be read\n", path);
    return ok;
}

int main(int argc, char **argv)
{
    bool ok = true;
    for (int i = 1; i < argc; i++)
        ok = run_path(argv[i]) && ok;
    printf("%zu inputs\n", inputs);
    return ok && inputs > 0 ? 0 : 1;
}
