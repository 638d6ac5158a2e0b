/* Stands before the system's resolver, and answers for names that end with ".test": with the addresses in the file
   "answer", with a failure if that says "none", and not at all as long as it says "silent". */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_in(const char *directory, const char *name, int flags) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return open(path, flags | O_CLOEXEC, 0600);
}

static void count(const char *directory, const char *name) {
    int file = open_in(directory, name, O_WRONLY | O_APPEND | O_CREAT);
    if (write(file, ".", 1) != 1) abort();
    close(file);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    const char *directory = getenv("RESOLVER");
    size_t length = node ? strlen(node) : 0;
    if (!directory || length < 5 || strcmp(node + length - 5, ".test") != 0)
        return real(node, service, hints, found);
    count(directory, "asked");
    char answer[256];
    for (;;) {
        int file = open_in(directory, "answer", O_RDONLY);
        ssize_t got = file < 0 ? 0 : read(file, answer, sizeof answer - 1);
        if (file >= 0) close(file);
        answer[got > 0 ? got : 0] = 0;
        if (strcmp(answer, "silent") != 0) break;
        usleep(5000);
    }
    count(directory, "answered");
    if (strcmp(answer, "none") == 0) return EAI_AGAIN;
    *found = NULL;
    for (char *rest = answer, *address; (address = strsep(&rest, " "));) {
        while (*found) found = &(*found)->ai_next;
        int error = real(address, service, hints, found);
        if (error) return error;
    }
    return 0;
}
