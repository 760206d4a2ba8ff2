/*
 * A guest's archive: whatever it says, nothing outside the directory is touched, and what is made
 * in it is files, directories and links without privileges.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filexfer/tree_extract.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char base[64], inside[80], outside[80];
static struct stat before;

static void require(bool good)
{
    if (!good)
        abort();
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)info;
    (void)where;
    return type == FTW_DP ? rmdir(path) : unlink(path);
}

static int open_up(const char *path, const struct stat *info, int type, struct FTW *where)
{
    (void)where;
    require(S_ISREG(info->st_mode) || S_ISDIR(info->st_mode) || S_ISLNK(info->st_mode));
    require((info->st_mode & (S_ISUID | S_ISGID)) == 0);
    return type == FTW_D || type == FTW_DNR ? chmod(path, 0700) : 0;
}

static void clean_up(void)
{
    nftw(base, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* base/in is where the archive goes, base/outside what it must not reach. */
static void prepare(void)
{
    /* Many directories are made and removed, which is quick in memory. */
    strcpy(base, "/dev/shm/pq-tree-fuzz-XXXXXX");
    if (mkdtemp(base) == NULL) {
        strcpy(base, "/tmp/pq-tree-fuzz-XXXXXX");
        require(mkdtemp(base) != NULL);
    }
    snprintf(inside, sizeof inside, "%s/in", base);
    snprintf(outside, sizeof outside, "%s/outside", base);
    int fd = open(outside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    require(fd >= 0 && fstat(fd, &before) == 0);
    close(fd);
    atexit(clean_up);
}

static void check_outside(void)
{
    struct stat now;
    require(stat(outside, &now) == 0);
    require(now.st_ino == before.st_ino && now.st_size == 0 && now.st_nlink == 1 &&
            now.st_mode == before.st_mode && now.st_mtim.tv_sec == before.st_mtim.tv_sec &&
            now.st_mtim.tv_nsec == before.st_mtim.tv_nsec);
    /* There are no more directories than in/. */
    require(stat(base, &now) == 0 && now.st_nlink == 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pq_error err;
    pq_tree_extract_result result;
    if (base[0] == '\0')
        prepare();
    require(mkdir(inside, 0700) == 0);
    int stream = memfd_create("archive", MFD_CLOEXEC);
    pq_tree_extract_options options = {.root = open(inside, O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                                       .keep_root = size % 2 == 0,
                                       .leave_out = "ours"};
    require(stream >= 0 && options.root >= 0);
    require(write(stream, data, size) == (ssize_t)size && lseek(stream, 0, SEEK_SET) == 0);
    if (pq_tree_extract(stream, &options, &result, &err) < 0)
        require(err.code == PQ_E_REMOTE_FILE || err.code == PQ_E_IO);
    else
        require(result.entries > 0);
    close(stream);
    close(options.root);
    check_outside();
    require(nftw(inside, open_up, 16, FTW_PHYS) == 0);
    require(nftw(inside, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0);
    return 0;
}
