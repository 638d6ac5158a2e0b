/* Runs a program as systemd does for a unit with SystemCallFilter= and MemoryDenyWriteExecute=: other
   system calls fail with EPERM, and so does memory that is writable and executable. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const int allowed[] = {
#include "allowed.h"
};

static struct sock_filter code[BPF_MAXINSNS];
static unsigned short length;

static void add(unsigned short what, unsigned char yes, unsigned char no, unsigned int k) {
    code[length++] = (struct sock_filter){what, yes, no, k};
}

static void load(unsigned int offset) {
    add(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset);
}

/* Denies a call whose third argument, the protection, has all of these bits. */
static void deny(int call, int bits) {
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, 5, call);
    load(offsetof(struct seccomp_data, args[2]));
    add(BPF_ALU | BPF_AND | BPF_K, 0, 0, bits);
    add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, bits);
    add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM);
    load(offsetof(struct seccomp_data, nr));
}

int main(int argc, char **argv) {
    load(offsetof(struct seccomp_data, nr));
    deny(SYS_mmap, PROT_WRITE | PROT_EXEC);
    deny(SYS_mprotect, PROT_EXEC);
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        add(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, allowed[i]);
        add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW);
    }
    add(BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog program = {length, code};
    if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("sandbox");
        return 126;
    }
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 127;
}
