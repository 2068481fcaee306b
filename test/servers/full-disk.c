/* While the file that FULL_DISK names is there, no room is left: what would make a file longer fails, what it has is overwritten as before.
   FULL_DISK_IN: in folders of that name alone, as if they were a disk of their own. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static int is_there(int fd) {
  const char *folder = getenv("FULL_DISK_IN");
  if (!folder) return 1;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  path[size < 0 ? 0 : size] = 0;
  const char *at = strstr(path, folder);
  return at && at > path && at[-1] == '/' && at[strlen(folder)] == '/';
}

static int has_no_room(int fd, off_t end) {
  const char *full = getenv("FULL_DISK");
  struct stat file;
  return full && access(full, F_OK) == 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && end > file.st_size && is_there(fd);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
  static ssize_t (*real)(int, const void *, size_t, off_t);
  if (!real) real = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite");
  if (has_no_room(fd, at + (off_t)size)) return errno = ENOSPC, -1;
  return real(fd, data, size, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) {
  static ssize_t (*real)(int, const struct iovec *, int, off_t);
  if (!real) real = (ssize_t (*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, "pwritev");
  off_t end = at;
  for (int i = 0; i < n; i++) end += (off_t)parts[i].iov_len;
  if (has_no_room(fd, end)) return errno = ENOSPC, -1;
  return real(fd, parts, n, at);
}

int posix_fallocate(int fd, off_t at, off_t size) {
  static int (*real)(int, off_t, off_t);
  if (!real) real = (int (*)(int, off_t, off_t))dlsym(RTLD_NEXT, "posix_fallocate");
  return has_no_room(fd, at + size) ? ENOSPC : real(fd, at, size);
}
