/* Makes one write to the queue fail, once the file "armed" is in the directory that FAULT_DIRECTORY
 * names: the FAULT_AT-th fsync with EIO, or half of the FAULT_AT-th pwrite with ENOSPC. The file
 * "fired" says that it has happened. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int calls;

static int path_in(char *path, const char *name) {
  const char *directory = getenv("FAULT_DIRECTORY");
  return directory && snprintf(path, PATH_MAX, "%s/%s", directory, name) < PATH_MAX;
}

static int is_queue(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, "/queue.db") != NULL;
}

static int is_due(int fd, const char *kind) {
  char path[PATH_MAX];
  const char *wanted = getenv("FAULT_KIND"), *at = getenv("FAULT_AT");
  if (!wanted || !at || strcmp(wanted, kind) != 0 || !is_queue(fd)) return 0;
  if (!path_in(path, "armed") || access(path, F_OK) != 0) return 0;
  if (atomic_fetch_add(&calls, 1) + 1 != atoi(at)) return 0;
  if (path_in(path, "fired")) {
    int fired = open(path, O_CREAT | O_WRONLY, 0600);
    if (fired >= 0) close(fired);
  }
  return 1;
}

int fsync(int fd) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  if (is_due(fd, "fsync")) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  if (is_due(fd, "fsync")) {
    errno = EIO;
    return -1;
  }
  return real(fd);
}

static ssize_t half(ssize_t (*real)(int, const void *, size_t, off64_t), int fd, const void *bytes,
                    size_t length, off64_t offset) {
  if (is_due(fd, "pwrite")) {
    real(fd, bytes, length / 2, offset);
    errno = ENOSPC;
    return -1;
  }
  return real(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (!real) real = (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
  return half(real, fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (!real) real = (ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite");
  return half(real, fd, bytes, length, offset);
}
