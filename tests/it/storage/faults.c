/* Lets calls to the files of a queue fail. The file "armed" in FAULT_DIRECTORY says which: a kind,
 * and which call of it from then on; 0 is every one. It is removed when that call has come.
 *
 *   fsync   fails with EIO
 *   lost    the same, and what was written since the last one is gone, as with btrfs
 *   pwrite  writes half, then fails with ENOSPC
 *   pread   fails with EIO
 *   torn    writes half, then the process is killed
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

typedef ssize_t (*write_call)(int, const void *, size_t, off64_t);
typedef ssize_t (*read_call)(int, void *, size_t, off64_t);

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int calls;

/* What was there before each write that has not been synchronised. */
struct before {
  struct before *next;
  ino_t inode;
  off64_t offset, end;
  size_t length;
  char bytes[];
};
static struct before *unsynchronised;

static int is_queue(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strstr(path, "/queue.db") != NULL;
}

static int is_due(int fd, const char *kind) {
  const char *directory = getenv("FAULT_DIRECTORY");
  char path[PATH_MAX], armed[16] = "";
  int at = 0, is_it = 0;
  if (!directory || !is_queue(fd)) return 0;
  snprintf(path, sizeof path, "%s/armed", directory);
  pthread_mutex_lock(&lock);
  FILE *file = fopen(path, "r");
  if (!file) {
    calls = 0;
  } else {
    int read = fscanf(file, "%15s %d", armed, &at);
    fclose(file);
    if (read == 2 && strcmp(armed, kind) == 0) {
      is_it = at == 0 || ++calls == at;
      if (is_it && at != 0) {
        unlink(path);
        calls = 0;
      }
    }
  }
  pthread_mutex_unlock(&lock);
  return is_it;
}

static void remember(int fd, size_t length, off64_t offset) {
  struct stat now;
  if (!is_queue(fd) || fstat(fd, &now) != 0) return;
  struct before *before = calloc(1, sizeof *before + length);
  if (!before) abort();
  before->inode = now.st_ino;
  before->offset = offset;
  before->end = now.st_size;
  ssize_t read = REAL(read_call, "pread64")(fd, before->bytes, length, offset);
  before->length = read < 0 ? 0 : (size_t)read;
  pthread_mutex_lock(&lock);
  before->next = unsynchronised;
  unsynchronised = before;
  pthread_mutex_unlock(&lock);
}

/* Forgets what was written to a file, or undoes it. */
static void settle(int fd, int is_undone) {
  struct stat now;
  if (fstat(fd, &now) != 0) return;
  pthread_mutex_lock(&lock);
  for (struct before **at = &unsynchronised; *at;) {
    struct before *before = *at;
    if (before->inode != now.st_ino) {
      at = &before->next;
      continue;
    }
    if (is_undone) {
      if (REAL(write_call, "pwrite64")(fd, before->bytes, before->length, before->offset) < 0 ||
          ftruncate(fd, before->end) != 0)
        abort();
    }
    *at = before->next;
    free(before);
  }
  pthread_mutex_unlock(&lock);
}

static int synchronise(int fd, const char *name) {
  int is_lost = is_due(fd, "lost");
  if (is_lost || is_due(fd, "fsync")) {
    if (is_lost) settle(fd, 1);
    errno = EIO;
    return -1;
  }
  int result = REAL(int (*)(int), name)(fd);
  if (result == 0) settle(fd, 0);
  return result;
}

int fsync(int fd) { return synchronise(fd, "fsync"); }

int fdatasync(int fd) { return synchronise(fd, "fdatasync"); }

static ssize_t put(int fd, const void *bytes, size_t length, off64_t offset) {
  write_call real = REAL(write_call, "pwrite64");
  if (is_due(fd, "torn")) {
    if (real(fd, bytes, length / 2, offset) >= 0) kill(getpid(), SIGKILL);
  }
  remember(fd, length, offset);
  if (is_due(fd, "pwrite")) {
    if (real(fd, bytes, length / 2, offset) >= 0) errno = ENOSPC;
    return -1;
  }
  return real(fd, bytes, length, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
  return put(fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
  return put(fd, bytes, length, offset);
}

static ssize_t get(int fd, void *bytes, size_t length, off64_t offset) {
  if (is_due(fd, "pread")) {
    errno = EIO;
    return -1;
  }
  return REAL(read_call, "pread64")(fd, bytes, length, offset);
}

ssize_t pread64(int fd, void *bytes, size_t length, off64_t offset) {
  return get(fd, bytes, length, offset);
}

ssize_t pread(int fd, void *bytes, size_t length, off_t offset) {
  return get(fd, bytes, length, offset);
}
