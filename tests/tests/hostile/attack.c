/* Attacks that a package's script makes by system calls. `attack NAME ARGUMENT...` ends with 0 if it reached something that a
 * script must not reach. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <netinet/in.h>
#include <time.h>
#include <unistd.h>

static int is(const char *one, const char *other) { return strcmp(one, other) == 0; }

static void nothing(int signal) { (void)signal; }

/* Whether the kernel executed a call that scripts do not have. */
static int exists(long result) { return result >= 0 || errno != ENOSYS; }

/* Tries every change of a file that needs no write to its content. */
static int change(const char *path) {
    struct timespec times[2] = {{1, 0}, {1, 0}};
    unsigned char acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 0, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255};
    int changed = chmod(path, 0600) == 0;
    changed |= chown(path, 4242, 4242) == 0;
    changed |= utimensat(AT_FDCWD, path, times, 0) == 0;
    changed |= setxattr(path, "system.posix_acl_access", acl, sizeof acl, 0) == 0;
    return changed;
}

/* Tries to change what a link of /proc leads to, by its path and by descriptors, if it is no entry of the root. */
static int change_behind(const char *link) {
    char text[4096];
    struct stat found, named;
    ssize_t length = readlink(link, text, sizeof text - 1);
    if (length < 0 || stat(link, &found) || !(S_ISREG(found.st_mode) || S_ISDIR(found.st_mode)) || found.st_nlink == 0) return 0;
    text[length] = 0;
    /* A copy in memory belongs to the sandbox. */
    if (strncmp(text, "/memfd:", 7) == 0) return 0;
    if (stat(text, &named) == 0 && named.st_dev == found.st_dev && named.st_ino == found.st_ino) return 0;
    int reached = S_ISDIR(found.st_mode) || change(link), kinds[] = {O_RDONLY, O_PATH, O_WRONLY};
    for (int kind = 0; kind < 3; kind++) {
        char own[64];
        struct timespec times[2] = {{1, 0}, {1, 0}};
        int file = open(link, kinds[kind]);
        if (file < 0) continue;
        snprintf(own, sizeof own, "/proc/self/fd/%d", file);
        reached |= kinds[kind] == O_WRONLY || fchmod(file, 0600) == 0 || fchown(file, 4242, 4242) == 0 || futimens(file, times) == 0;
        reached |= change(own) || syscall(452, file, "", 0600, AT_EMPTY_PATH) == 0 || fchownat(file, "", 4242, 4242, AT_EMPTY_PATH) == 0;
        close(file);
    }
    if (reached) fprintf(stderr, "%s -> %s\n", link, text);
    return reached;
}

/* Does so for all that the links of a process lead to. */
static int change_behind_process(const char *process) {
    const char *names[] = {"exe", "cwd", "root", "task/1/exe", "task/1/root"}, *lists[] = {"fd", "map_files"};
    char path[8192];
    int reached = 0;
    for (int name = 0; name < 5; name++) {
        snprintf(path, sizeof path, "/proc/%s/%s", process, names[name]);
        reached |= change_behind(path);
    }
    for (int list = 0; list < 2; list++) {
        snprintf(path, sizeof path, "/proc/%s/%s", process, lists[list]);
        DIR *directory = opendir(path);
        struct dirent *entry;
        while (directory && (entry = readdir(directory))) {
            snprintf(path, sizeof path, "/proc/%s/%s/%s", process, lists[list], entry->d_name);
            if (entry->d_name[0] != '.') reached |= change_behind(path);
        }
        if (directory) closedir(directory);
    }
    return reached;
}

/* Does so for all processes that can be seen, and for some that cannot, as root and as another user. */
static int change_behind_all(int count, char **words) {
    int reached = 0;
    for (int user = 0; user < 2; user++) {
        int child = fork(), status = 0;
        if (child == 0) {
            DIR *directory = opendir("/proc");
            struct dirent *entry;
            /* The effective user alone decides, so that the process can become root again with what it has opened. */
            if (user == 1 && (setresgid(12345, 12345, 0) || setresuid(12345, 12345, 0))) _exit(0);
            while (directory && (entry = readdir(directory)))
                if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') reached |= change_behind_process(entry->d_name);
            for (int word = 2; word < count; word++) reached |= change_behind_process(words[word]);
            _exit(reached);
        }
        waitpid(child, &status, 0);
        reached |= status != 0;
    }
    return reached;
}

/* Makes a socket by the call of 32-bit programs. */
static long old_call(long call, uint32_t *words) {
#ifdef __x86_64__
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(102), "b"(call), "c"(words) : "memory", "r8", "r9", "r10", "r11");
    return result;
#else
    (void)call, (void)words;
    return -ENOSYS;
#endif
}

static uint32_t *low_memory(void) {
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS
#ifdef MAP_32BIT
        | MAP_32BIT
#endif
        , -1, 0);
}

static void abstract_name(struct sockaddr_un *name, socklen_t *length, const char *text) {
    memset(name, 0, sizeof *name);
    name->sun_family = AF_UNIX;
    memcpy(name->sun_path + 1, text, strlen(text));
    *length = offsetof(struct sockaddr_un, sun_path) + 1 + strlen(text);
}

/* A race for the name of a file that is being made. */
static volatile int done;
static const char *target;
static void *swap(void *unused) {
    (void)unused;
    for (unsigned turn = 0; !done; turn++) {
        if (link("evil", "other") == 0) rename("other", "file");
        /* For a while there is no file, so that it can be made. */
        unlink("file");
        for (volatile unsigned pause = turn * 37 % 20000; pause > 0; pause--) {}
    }
    return NULL;
}

/* Makes a file again and again, as another user, while a thread puts a link to a file outside over it. */
static int race(void) {
    pthread_t thread;
    int reached = 0;
    if (mkdir("race", 0777) || chdir("race") || symlink(target, "evil")) return 0;
    if (setresgid(33, 33, 33) || setresuid(33, 33, 33)) { chmod(".", 0777); }
    pthread_create(&thread, NULL, swap, NULL);
    for (int tries = 0; tries < 8000 && !reached; tries++) {
        int file = open("file", O_CREAT | O_EXCL | O_RDWR, 0600);
        struct stat found, outside;
        if (file < 0) continue;
        /* The link leads nowhere inside the root, so a file with content is the one outside. */
        if (fstat(file, &found) == 0 && found.st_size > 0 && stat(target, &outside) != 0) {
            reached = 1;
            if (write(file, "owned\n", 6) < 0) reached = 1;
        }
        close(file);
    }
    done = 1;
    pthread_join(thread, NULL);
    return reached;
}

static int nested(int depth) {
    for (int level = 0; level < depth; level++)
        if (mkdir("deep", 0755) || chdir("deep")) return 1;
    return 0;
}

static int try(int count, char **words) {
    const char *name = words[1];
    const char *first = count > 2 ? words[2] : "";
    int pid = atoi(first);
    char buffer[64];
    struct iovec own = {buffer, 8}, other = {buffer, 8};
    if (is(name, "change")) {
        int changed = 0;
        for (int word = 2; word < count; word++) changed |= change(words[word]);
        return changed;
    }
    if (is(name, "behind")) return change_behind_all(count, words);
    if (is(name, "write")) {
        for (int word = 2; word < count; word++) {
            int file = open(words[word], O_WRONLY | O_NONBLOCK);
            if (file >= 0) { fprintf(stderr, "%s\n", words[word]); return 1; }
        }
        return 0;
    }
    if (is(name, "signal")) return kill(pid, SIGKILL) == 0;
    if (is(name, "signal-thread")) return syscall(SYS_tgkill, pid, pid, SIGKILL) == 0 || syscall(SYS_tkill, pid, SIGKILL) == 0;
    if (is(name, "signal-queue")) {
        siginfo_t info = {.si_code = SI_QUEUE};
        return syscall(SYS_rt_sigqueueinfo, pid, SIGKILL, &info) == 0 || syscall(SYS_rt_tgsigqueueinfo, pid, pid, SIGKILL, &info) == 0;
    }
    if (is(name, "signal-pidfd")) return syscall(SYS_pidfd_send_signal, syscall(SYS_pidfd_open, pid, 0), SIGKILL, NULL, 0) == 0;
    if (is(name, "signal-group")) return kill(-pid, SIGKILL) == 0;
    if (is(name, "signal-all")) { kill(-1, SIGWINCH); return 0; }
    if (is(name, "signal-owner")) {
        int ends[2];
        struct { int type, pid; } owner = {1, pid};
        if (pipe(ends)) return 0;
        return fcntl(ends[0], F_SETOWN, pid) == 0 || fcntl(ends[0], 15, &owner) == 0;
    }
    if (is(name, "signal-as-user")) return setgid(12345) == 0 && setuid(12345) == 0 && kill(pid, SIGKILL) == 0;
    if (is(name, "trace")) return setgid(12345) == 0 && setuid(12345) == 0 && ptrace(PTRACE_ATTACH, pid, 0, 0) == 0;
    if (is(name, "trace-own")) {
        int child = fork();
        if (child == 0) { pause(); _exit(0); }
        int traced = ptrace(PTRACE_ATTACH, child, 0, 0) == 0 || process_vm_readv(child, &own, 1, &other, 1, 0) >= 0;
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        return traced;
    }
    if (is(name, "memory")) {
        if (setgid(12345) || setuid(12345)) return 0;
        return process_vm_readv(pid, &own, 1, &other, 1, 0) >= 0 || process_vm_writev(pid, &own, 1, &other, 1, 0) >= 0;
    }
    if (is(name, "descriptor")) return syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, pid, 0), 0, 0) >= 0;
    if (is(name, "limits")) {
        struct rlimit limit;
        return prlimit(pid, RLIMIT_CORE, NULL, &limit) == 0 && prlimit(pid, RLIMIT_CORE, &limit, NULL) == 0;
    }
    if (is(name, "priority")) return setpriority(PRIO_PROCESS, pid, 0) == 0 || setpriority(PRIO_USER, 12345, 0) == 0;
    if (is(name, "affinity")) {
        cpu_set_t set;
        return sched_getaffinity(pid, sizeof set, &set) == 0 && sched_setaffinity(pid, sizeof set, &set) == 0;
    }
    if (is(name, "families")) {
        /* Those that end in the sandbox's own network namespace are asked for by name. */
        for (int family = 0; family < 50; family++)
            for (int kind = 1; kind <= 5; kind++)
                if (family != AF_UNIX && family != AF_INET && family != AF_INET6 && family != AF_NETLINK) {
                    int pair[2];
                    if (socket(family, kind, 0) >= 0 || socketpair(family, kind, 0, pair) == 0) { fprintf(stderr, "family %d\n", family); return 1; }
                }
        return 0;
    }
    if (is(name, "family")) return socket(pid, SOCK_STREAM, 0) >= 0 || socket(pid, SOCK_DGRAM, 0) >= 0 || socket(pid, SOCK_RAW, 0) >= 0;
    if (is(name, "old-family")) {
        uint32_t *words32 = low_memory();
        words32[0] = pid; words32[1] = SOCK_STREAM; words32[2] = 0;
        long made = old_call(1, words32);
        if (made < 0) { words32[1] = SOCK_DGRAM; made = old_call(1, words32); }
        return made >= 0;
    }
    if (is(name, "connect") || is(name, "old-connect")) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(pid), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        int made = socket(AF_INET, SOCK_STREAM, 0);
        if (is(name, "old-connect")) {
            uint32_t *words32 = low_memory();
            words32[0] = AF_INET; words32[1] = SOCK_STREAM; words32[2] = 0;
            made = old_call(1, words32);
        }
        return made >= 0 && connect(made, (struct sockaddr *)&address, sizeof address) == 0;
    }
    if (is(name, "abstract") || is(name, "abstract-datagram")) {
        struct sockaddr_un address;
        socklen_t length;
        abstract_name(&address, &length, first);
        if (is(name, "abstract")) {
            int made = socket(AF_UNIX, SOCK_STREAM, 0);
            return made >= 0 && connect(made, (struct sockaddr *)&address, length) == 0;
        }
        int pair[2];
        struct iovec data = {"x", 1};
        struct msghdr message = {.msg_name = &address, .msg_namelen = length, .msg_iov = &data, .msg_iovlen = 1};
        return socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && sendmsg(pair[0], &message, 0) > 0;
    }
    if (is(name, "abstract-bind")) {
        struct sockaddr_un address;
        socklen_t length;
        int pair[2];
        abstract_name(&address, &length, first);
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) || bind(pair[0], (struct sockaddr *)&address, length)) return 0;
        pause();
    }
    if (is(name, "uring")) { char parameters[256] = {0}; return exists(syscall(425, 4, parameters)); }
    if (is(name, "keyring")) return exists(syscall(SYS_keyctl, 0, -4, 0)) || exists(syscall(SYS_add_key, "user", "x", "y", 1, -4)) || exists(syscall(SYS_request_key, "user", "x", 0, 0));
    if (is(name, "kernel")) {
        char zeros[256] = {0};
        return exists(syscall(SYS_bpf, 0, zeros, 48)) || exists(syscall(SYS_perf_event_open, zeros, 0, -1, -1, 0)) || exists(syscall(SYS_userfaultfd, 1))
            || exists(syscall(SYS_kcmp, getpid(), getpid(), 0, 0, 0));
    }
    if (is(name, "namespace")) {
        int flags[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWUTS, CLONE_NEWIPC};
        for (int flag = 0; flag < 6; flag++)
            if (unshare(flags[flag]) == 0) return 1;
        return syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0) > 0;
    }
    if (is(name, "setns")) {
        char *kinds[] = {"mnt", "net", "pid", "user", "uts", "ipc"};
        for (int kind = 0; kind < 6; kind++) {
            snprintf(buffer, sizeof buffer, "/proc/1/ns/%s", kinds[kind]);
            int space = open(buffer, O_RDONLY);
            if (space >= 0 && setns(space, 0) == 0) return 1;
        }
        return setns(syscall(SYS_pidfd_open, 1, 0), CLONE_NEWNS | CLONE_NEWNET) == 0;
    }
    if (is(name, "mount")) {
        mkdir("/var/lib/mnt", 0755);
        int mounted = mount("none", "/var/lib/mnt", "tmpfs", 0, "") == 0 || mount("/", "/var/lib/mnt", NULL, MS_BIND, NULL) == 0
            || mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND, NULL) == 0 || mount(NULL, "/", NULL, MS_SHARED, NULL) == 0
            || syscall(430, "tmpfs", 0) >= 0 || syscall(428, AT_FDCWD, "/", 1) >= 0;
        rmdir("/var/lib/mnt");
        return mounted;
    }
    if (is(name, "unmount")) return umount2("/proc", MNT_DETACH) == 0 || umount2("/dev/null", MNT_DETACH) == 0 || umount2("/sys", MNT_DETACH) == 0;
    if (is(name, "root")) {
        mkdir("/var/lib/new", 0755);
        int changed = chroot("/var/lib/new") == 0 || syscall(SYS_pivot_root, ".", ".") == 0;
        rmdir("/var/lib/new");
        return changed;
    }
    if (is(name, "handle")) {
        struct { struct file_handle head; char space[128]; } handle = {.head = {.handle_bytes = 128}};
        int mount_id;
        if (name_to_handle_at(AT_FDCWD, "/", &handle.head, &mount_id, 0)) return 0;
        return open_by_handle_at(open("/", O_RDONLY), &handle.head, O_RDONLY) >= 0;
    }
    if (is(name, "device")) {
        int kinds[][3] = {{S_IFCHR, 1, 1}, {S_IFCHR, 1, 11}, {S_IFCHR, 10, 200}, {S_IFBLK, 7, 0}, {S_IFBLK, 8, 0}, {S_IFBLK, 252, 0}, {S_IFBLK, 254, 0}, {S_IFBLK, 259, 0}};
        int reached = 0;
        for (int kind = 0; kind < 8; kind++) {
            mknod("/var/lib/node", kinds[kind][0] | 0600, makedev(kinds[kind][1], kinds[kind][2]));
            int file = open("/var/lib/node", O_RDONLY | O_NONBLOCK);
            struct stat found;
            /* Where nodes are recorded only, the file is an empty one. */
            if (file >= 0 && read(file, buffer, 1) != 0) reached = fstat(file, &found) == 0;
            unlink("/var/lib/node");
        }
        return reached;
    }
    if (is(name, "hostname")) return gethostname(buffer, sizeof buffer) == 0 && sethostname(buffer, strlen(buffer)) == 0;
    if (is(name, "group")) {
        /* No attack: a process signals its own group. */
        setpgid(0, 0);
        signal(SIGUSR1, SIG_IGN);
        int child = fork();
        if (child == 0) { signal(SIGUSR1, SIG_DFL); pause(); _exit(0); }
        int status = 0, sent = kill(0, SIGUSR1);
        while (waitpid(child, &status, WNOHANG) == 0) kill(0, SIGUSR1);
        return sent == 0 && WIFSIGNALED(status);
    }
    if (is(name, "nice")) return setpriority(PRIO_PROCESS, 0, 5) == 0; /* No attack. */
    if (is(name, "race")) { target = first; return race(); }
    if (is(name, "deep")) return nested(pid);
    if (is(name, "bomb")) {
        for (int child = 0; child < pid; child++)
            if (fork() == 0) { setsid(); signal(SIGTERM, SIG_IGN); signal(SIGHUP, SIG_IGN); for (;;) pause(); }
        return 0;
    }
    if (is(name, "hog")) {
        size_t size = (size_t)pid << 20;
        char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory != MAP_FAILED) memset(memory, 1, size);
        return 0;
    }
    if (is(name, "flood")) {
        char page[4096];
        memset(page, '\n', sizeof page);
        for (int at = 0; at < 4096; at += 2) page[at] = 'y';
        for (time_t end = time(NULL) + 60; time(NULL) < end;) if (write(1, page, sizeof page) < 0) return 0;
        return 0;
    }
    /* Every process starts others for ever, but the first one ends when no more can be started. */
    if (is(name, "forks")) {
        pid_t first = getpid();
        for (;;) {
            if (fork() < 0 && getpid() == first) return 0;
            /* The test has to go on beside them. */
            if (getpid() == first) continue;
            /* Half of them stay in the group of the script. */
            if (getpid() % 2) setsid();
            nice(19);
            usleep(1000);
        }
    }
    /* Processes that start another one in their place and end, in a new session each time: who looks for one of them finds it gone. */
    if (is(name, "moves")) {
        for (int count = 0; count < 8; count++) {
            if (fork() != 0) continue;
            for (nice(19);;) {
                if (fork() > 0) _exit(0);
                setsid();
            }
        }
        return 0;
    }
    /* Starts processes while others end, as shells do for pipelines. The signal of an end must not fail the start of another one. */
    if (is(name, "forks-beside-ends")) {
        struct sigaction handled = {.sa_handler = nothing};
        sigaction(SIGCHLD, &handled, NULL);
        for (int count = 0; count < 4000; count++) {
            pid_t child = fork();
            if (child == 0) _exit(0);
            if (child < 0) return fprintf(stderr, "fork: %s\n", strerror(errno)), 0;
            while (waitpid(-1, NULL, count % 8 ? WNOHANG : 0) > 0) {}
        }
        return 1;
    }
    /* Takes memory until the kernel kills. */
    if (is(name, "hog-all")) {
        for (;;) {
            char *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (memory != MAP_FAILED) memset(memory, 1, 1 << 20);
        }
    }
    /* The same by many processes, each of which is smaller than other programs. Ends as a shell does when the first of them is killed. */
    if (is(name, "hogs")) {
        for (int status;;) {
            if (fork() == 0) {
                char *memory = mmap(NULL, 4 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (memory != MAP_FAILED) memset(memory, 1, 4 << 20);
                for (;;) pause();
            }
            if (waitpid(-1, &status, WNOHANG) > 0) _exit(128 + WTERMSIG(status));
        }
    }
    return 0;
}

int main(int count, char **words) { return count > 1 && try(count, words) ? 0 : 1; }
