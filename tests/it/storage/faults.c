/* Lets calls to the files of a queue fail. The file "armed" in FAULT_DIRECTORY says which: a kind,
 * the call of it from then on, and how many in a row; call 0 is every one. It is removed when the
 * last of these calls has come.
 *
 *   fsync      fails with EIO
 *   lost       the same, and what was written since the last one is gone, as with btrfs
 *   forgotten  the same, and what was written since the last one is read as it was written, but the
 *              disk will never have it: the system takes it for written, as with ext4
 *   pwrite     writes half, then fails with ENOSPC
 *   pread      fails with EIO
 *   torn       writes half, then the process is killed
 *   cut        the power is cut: the process is killed, and the files are as the disk has them
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
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

#define PAGE 4096

/* A page that was written, with what the disk has of it until it is synchronised. */
struct page {
  struct page *next;
  char *path;
  ino_t inode;
  off64_t offset, end;
  int is_forgotten;
  char bytes[PAGE];
};
static struct page *pages;

static int find_path(int fd, char *path) {
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
  return length > 0;
}

static int is_queue(int fd) {
  char path[PATH_MAX];
  return find_path(fd, path) && strstr(path, "/queue.db") != NULL;
}

static int is_due(int fd, const char *kind) {
  const char *directory = getenv("FAULT_DIRECTORY");
  char path[PATH_MAX], armed[16] = "";
  int at = 0, count = 1, is_it = 0;
  if (!directory || !is_queue(fd)) return 0;
  snprintf(path, sizeof path, "%s/armed", directory);
  pthread_mutex_lock(&lock);
  FILE *file = fopen(path, "r");
  if (!file) {
    calls = 0;
  } else {
    int read = fscanf(file, "%15s %d %d", armed, &at, &count);
    fclose(file);
    if (read >= 2 && strcmp(armed, kind) == 0) {
      is_it = at == 0 || ++calls >= at;
      if (is_it && at != 0 && calls == at + count - 1) {
        unlink(path);
        calls = 0;
      }
    }
  }
  pthread_mutex_unlock(&lock);
  return is_it;
}

static void remember_page(int fd, const char *path, const struct stat *now, off64_t offset) {
  for (struct page *page = pages; page; page = page->next) {
    if (page->inode == now->st_ino && page->offset == offset) {
      page->is_forgotten = 0;
      return;
    }
  }
  struct page *page = calloc(1, sizeof *page);
  if (!page || !(page->path = strdup(path))) abort();
  page->inode = now->st_ino;
  page->offset = offset;
  page->end = now->st_size;
  if (REAL(read_call, "pread64")(fd, page->bytes, PAGE, offset) < 0) abort();
  page->next = pages;
  pages = page;
}

static void remember(int fd, size_t length, off64_t offset) {
  struct stat now;
  char path[PATH_MAX];
  if (length == 0 || !is_queue(fd) || fstat(fd, &now) != 0 || !find_path(fd, path)) return;
  pthread_mutex_lock(&lock);
  off64_t first = offset - offset % PAGE;
  for (off64_t at = first; at < offset + (off64_t)length; at += PAGE)
    remember_page(fd, path, &now, at);
  pthread_mutex_unlock(&lock);
}

static void restore(int fd, const struct page *page, off64_t end) {
  off64_t left = end - page->offset;
  size_t length = left < PAGE ? (left < 0 ? 0 : (size_t)left) : PAGE;
  if (REAL(write_call, "pwrite64")(fd, page->bytes, length, page->offset) < 0) abort();
}

/* What becomes of what was written to a file. */
enum end { SYNCHRONISED, UNDONE, FORGOTTEN };

static void settle(int fd, enum end end) {
  struct stat now;
  off64_t smallest = LLONG_MAX;
  if (fstat(fd, &now) != 0) return;
  pthread_mutex_lock(&lock);
  for (struct page **at = &pages; *at;) {
    struct page *page = *at;
    if (page->inode != now.st_ino || page->is_forgotten) {
      at = &page->next;
      continue;
    }
    if (end == FORGOTTEN) {
      page->is_forgotten = 1;
      continue;
    }
    if (end == UNDONE) {
      restore(fd, page, now.st_size);
      if (page->end < smallest) smallest = page->end;
    }
    *at = page->next;
    free(page->path);
    free(page);
  }
  if (smallest < now.st_size && ftruncate(fd, smallest) != 0) abort();
  pthread_mutex_unlock(&lock);
}

static void cut(void) {
  pthread_mutex_lock(&lock);
  for (struct page *page = pages; page; page = page->next) {
    struct stat now;
    int fd = open(page->path, O_WRONLY);
    /* It may have been deleted, and made anew. */
    if (fd < 0 || fstat(fd, &now) != 0 || now.st_ino != page->inode) continue;
    restore(fd, page, now.st_size);
  }
  kill(getpid(), SIGKILL);
}

static int synchronise(int fd, const char *name) {
  static const struct {
    const char *kind;
    enum end end;
  } failures[] = {{"lost", UNDONE}, {"forgotten", FORGOTTEN}};
  if (is_due(fd, "cut")) cut();
  for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
    if (!is_due(fd, failures[i].kind)) continue;
    settle(fd, failures[i].end);
    errno = EIO;
    return -1;
  }
  if (is_due(fd, "fsync")) {
    errno = EIO;
    return -1;
  }
  int result = REAL(int (*)(int), name)(fd);
  if (result == 0) settle(fd, SYNCHRONISED);
  return result;
}

int fsync(int fd) { return synchronise(fd, "fsync"); }

int fdatasync(int fd) { return synchronise(fd, "fdatasync"); }

static ssize_t put(int fd, const void *bytes, size_t length, off64_t offset) {
  write_call real = REAL(write_call, "pwrite64");
  if (is_due(fd, "cut")) cut();
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
