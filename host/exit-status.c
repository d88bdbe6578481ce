// Tells how a process ended that is not a child of ours. Only its parent can wait for it, but since Linux 6.15 whoever holds
// a descriptor of a process may ask for its status by an ioctl. Node has no ioctl, so this small program asks for it.
//
//   exit-status PID START      START: field 22 of /proc/PID/stat, so that a later process with this number is never told of
//
// It writes one line when it begins, "watching" or "cannot WHAT ERRNO", and one when the process has been waited for,
// "ended STATUS" (as wait(2) gives it) or "cannot WHAT ERRNO". It ends then, or with its stdin, so it outlives nobody. It needs
// no privilege, opens one file in /proc, and neither signals the process nor reads anything else of it.

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

// include/uapi/linux/pidfd.h, in its first size; headers of most systems are older than it.
struct pidfd_info {
  uint64_t mask, cgroup;
  uint32_t pid, tgid, ppid, ids[8];
  int32_t status;
};
#define PIDFD_GET_INFO _IOWR(0xFF, 11, struct pidfd_info)
#define PIDFD_INFO_PID 1
#define PIDFD_INFO_EXIT 8
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

// Without stdio, which would be most of the program.
static void say(const char *what, int number) {
  char line[64] = "", digits[12];
  char *at = digits + sizeof digits;
  unsigned int rest = number;
  *--at = '\0';
  do *--at = '0' + rest % 10; while (rest /= 10);
  strcat(strcat(strcat(line, what), number < 0 ? "" : at), "\n");
  if (write(1, line, strlen(line)) < 0) _exit(1);
}

static int fail(const char *what) {
  say(what, errno);
  return 1;
}

// Whether /proc/PID/stat has this start time. The name of a process may contain anything, so fields begin after the last ')'.
static int started(const char *pid, const char *start) {
  char path[32] = "/proc/", text[1024];
  if (strlen(pid) > 10) return 0;
  int file = open(strcat(strcat(path, pid), "/stat"), O_RDONLY | O_CLOEXEC);
  ssize_t length = read(file, text, sizeof text - 1);
  if (length <= 0) return 0;
  close(file);
  text[length] = '\0';
  char *field = strrchr(text, ')');
  for (int number = 2; field && number < 22; number++) field = strchr(field + 1, ' ');
  size_t size = strlen(start);
  return field && size > 0 && strncmp(field + 1, start, size) == 0 && field[1 + size] == ' ';
}

int main(int count, char **words) {
  if (count != 3) return 64;
  // A service manager that stops a whole cgroup sends it to us too, before the application has ended.
  signal(SIGTERM, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  int process = syscall(SYS_pidfd_open, atoi(words[1]), 0);
  if (process < 0) return fail("cannot pidfd_open ");
  // Asked while the descriptor is held: from now on it is this process, whatever gets its number later.
  if (!started(words[1], words[2])) {
    errno = ESRCH;
    return fail("cannot find ");
  }
  struct pidfd_info info = {.mask = PIDFD_INFO_PID};
  // ESRCH: it has ended in the meantime, which is told below.
  if (ioctl(process, PIDFD_GET_INFO, &info) < 0 && errno != ESRCH) return fail("cannot PIDFD_GET_INFO ");
  say("watching", -1);

  // POLLHUP, which needs no asking, comes when it was waited for; only then does the kernel keep its status.
  struct pollfd waiting[] = {{.fd = process}, {.fd = 0, .events = POLLIN}};
  while (!(waiting[0].revents & POLLHUP)) {
    if (poll(waiting, 2, -1) < 0 && errno != EINTR) return fail("cannot poll ");
    if (waiting[1].revents && !(waiting[0].revents & POLLHUP)) return 0;
  }
  info.mask = PIDFD_INFO_EXIT;
  errno = 0;
  if (ioctl(process, PIDFD_GET_INFO, &info) < 0 || !(info.mask & PIDFD_INFO_EXIT)) return fail("cannot PIDFD_INFO_EXIT ");
  say("ended ", info.status);
  return 0;
}
