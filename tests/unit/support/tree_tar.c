#include "tests/unit/support/tree_tar.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "transport/base/fd.h"

#define BLOCK 512

static pq_error err;
static char directory[64];
static char home[512];

void tree_tar_add(tree_tar *tar, char type, const char *path, const char *target, mode_t mode,
                  const void *bytes, size_t length)
{
    static const char zeros[BLOCK];
    char header[BLOCK + 1] = "";
    unsigned sum = 0;
    snprintf(header, 100, "%s", path);
    snprintf(header + 100, 8, "%07o", mode);
    snprintf(header + 108, 8, "%07o", 0u);
    snprintf(header + 116, 8, "%07o", 0u);
    snprintf(header + 124, 12, "%011zo", length);
    snprintf(header + 136, 12, "%011o", 1000000000u);
    memset(header + 148, ' ', 8);
    header[156] = type;
    snprintf(header + 157, 100, "%s", target != NULL ? target : "");
    memcpy(header + 257, "ustar\00000", 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)header[i];
    snprintf(header + 148, 8, "%06o", sum);
    cr_assert_eq(pq_buf_add(&tar->bytes, header, BLOCK, &err), 0);
    if (length > 0)
        cr_assert_eq(pq_buf_add(&tar->bytes, bytes, length, &err), 0);
    size_t padding = (BLOCK - length % BLOCK) % BLOCK;
    cr_assert_eq(pq_buf_add(&tar->bytes, zeros, padding, &err), 0);
}

void tree_tar_file(tree_tar *tar, const char *path, const char *text)
{
    tree_tar_add(tar, '0', path, NULL, 0644, text, strlen(text));
}

void tree_tar_end(tree_tar *tar)
{
    static const char zeros[2 * BLOCK];
    cr_assert_eq(pq_buf_add(&tar->bytes, zeros, sizeof zeros, &err), 0);
}

int tree_tar_open(tree_tar *tar)
{
    int fd = memfd_create("tar", MFD_CLOEXEC);
    cr_assert_geq(fd, 0, "%s", strerror(errno));
    cr_assert_eq(pq_write_all(fd, tar->bytes.data, tar->bytes.length, &err), 0, "%s", err.text);
    cr_assert_eq(lseek(fd, 0, SEEK_SET), 0);
    pq_buf_done(&tar->bytes);
    return fd;
}

void tree_setup(void)
{
    strcpy(directory, "/tmp/pq-tree-XXXXXX");
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_not_null(getcwd(home, sizeof home));
    cr_assert_eq(chdir(directory), 0);
}

void tree_teardown(void)
{
    char command[192];
    cr_assert_eq(chdir(home), 0);
    snprintf(command, sizeof command, "chmod -R u+rwx '%s'; rm -rf '%s'", directory, directory);
    cr_assert_eq(system(command), 0);
}

void tree_write(const char *path, const char *text)
{
    FILE *to = fopen(path, "w");
    cr_assert_not_null(to, "%s: %s", path, strerror(errno));
    fputs(text, to);
    cr_assert_eq(fclose(to), 0);
}

const char *tree_read(const char *path)
{
    static char text[512];
    FILE *from = fopen(path, "r");
    if (from == NULL)
        return NULL;
    text[fread(text, 1, sizeof text - 1, from)] = '\0';
    fclose(from);
    return text;
}

struct stat tree_stat(const char *path)
{
    struct stat info;
    cr_assert_eq(lstat(path, &info), 0, "%s: %s", path, strerror(errno));
    return info;
}

unsigned tree_entries(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);
    cr_assert_not_null(dir, "%s: %s", path, strerror(errno));
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(dir);
    return count;
}
