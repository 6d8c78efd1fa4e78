// Stands between LMDB and the system, by LD_PRELOAD: writes down what is
// written to data.mdb and when it is flushed, or makes one of these calls fail.
// It sees the calls of the C library only, which is why lmdbstore makes its own
// changes of that file through it as well.
//
//   PARKIT_SHIM_LOG=FILE  append a record for each call to FILE
//   PARKIT_SHIM_FAIL=CALL:N:COUNT:ERRNO
//                         from the Nth CALL on COUNT fail with ERRNO; 0 cuts a
//                         write short. CALL is write, meta, sync or size.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, WRITE_THROUGH, SYNC, SIZE };

struct record {
	uint32_t kind, length;
	uint64_t offset;
};

enum { FDS = 1024 };
static char watched[FDS]; // 1: data.mdb, 2: opened so that each write is flushed
static int log_fd = -2;
static char fail_call[16];
static long fail_at, fail_count, fail_errno;

#define REAL(name) \
	static __typeof__(name) *real; \
	if (!real) \
		real = (__typeof__(real))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
	const char *fail = getenv("PARKIT_SHIM_FAIL");
	if (fail)
		sscanf(fail, "%15[^:]:%ld:%ld:%ld", fail_call, &fail_at, &fail_count, &fail_errno);
	const char *path = getenv("PARKIT_SHIM_LOG");
	log_fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
}

static int is_watched(int fd) { return fd >= 0 && fd < FDS && watched[fd]; }

static void note(int kind, const struct iovec *parts, int count, size_t length, off_t offset)
{
	if (log_fd < 0)
		return;
	struct record r = {(uint32_t)kind, (uint32_t)length, (uint64_t)offset};
	char *whole = malloc(sizeof r + length), *at = whole + sizeof r;
	memcpy(whole, &r, sizeof r);
	for (int i = 0; i < count && length; i++) {
		size_t n = parts[i].iov_len < length ? parts[i].iov_len : length;
		memcpy(at, parts[i].iov_base, n);
		at += n;
		length -= n;
	}
	syscall(SYS_write, log_fd, whole, (size_t)(at - whole));
	free(whole);
}

// 1 when this call is to fail.
static int fails(const char *call)
{
	if (!fail_count || strcmp(call, fail_call) != 0)
		return 0;
	if (fail_at > 1) {
		fail_at--;
		return 0;
	}
	fail_count--;
	errno = (int)fail_errno;
	return 1;
}

static int is_data(const char *path)
{
	static const char name[] = "@env/data.mdb";
	size_t n = strlen(path);
	return n >= sizeof name - 1 && strcmp(path + n - (sizeof name - 1), name) == 0;
}

static void opened(int fd, const char *path, int flags)
{
	if (fd < 0 || fd >= FDS)
		return;
	watched[fd] = 0;
	if (is_data(path))
		watched[fd] = flags & O_DSYNC ? 2 : 1;
}

// Whether fd is data.mdb, be it that Go opened it.
static int leads_to_data(int fd)
{
	char link[64], path[4096];
	if (is_watched(fd))
		return 1;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof path - 1);
	if (n < 0)
		return 0;
	path[n] = 0;
	return is_data(path);
}

#define OPEN(name, declaration, arguments, path, flags) \
	int name declaration \
	{ \
		va_list rest; \
		va_start(rest, flags); \
		mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0; \
		va_end(rest); \
		REAL(name); \
		int fd = real arguments; \
		opened(fd, path, flags); \
		return fd; \
	}

OPEN(open, (const char *path, int flags, ...), (path, flags, mode), path, flags)
OPEN(open64, (const char *path, int flags, ...), (path, flags, mode), path, flags)
OPEN(openat, (int dir, const char *path, int flags, ...), (dir, path, flags, mode), path, flags)
OPEN(openat64, (int dir, const char *path, int flags, ...), (dir, path, flags, mode), path, flags)

int close(int fd)
{
	REAL(close);
	if (fd >= 0 && fd < FDS)
		watched[fd] = 0;
	return real(fd);
}

static ssize_t write_all(int fd, const struct iovec *parts, int count, off_t offset)
{
	size_t length = 0;
	for (int i = 0; i < count; i++)
		length += parts[i].iov_len;
	int through = watched[fd] == 2;
	if (fails(through ? "meta" : "write")) {
		if (fail_errno)
			return -1;
		length /= 2;
		syscall(SYS_pwrite64, fd, parts[0].iov_base, length < parts[0].iov_len ? length : parts[0].iov_len, offset);
		return (ssize_t)length;
	}
	ssize_t n = syscall(SYS_pwritev, fd, parts, count, (long)offset, (long)(offset >> 32 >> 32));
	if (n > 0)
		note(through ? WRITE_THROUGH : WRITE, parts, count, (size_t)n, offset);
	return n;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
	struct iovec part = {(void *)p, n};
	if (!is_watched(fd))
		return syscall(SYS_pwrite64, fd, p, n, offset);
	return write_all(fd, &part, 1, offset);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t offset) { return pwrite(fd, p, n, offset); }

ssize_t writev(int fd, const struct iovec *parts, int count)
{
	if (!is_watched(fd))
		return syscall(SYS_writev, fd, parts, count);
	off_t offset = lseek(fd, 0, SEEK_CUR);
	ssize_t n = write_all(fd, parts, count, offset);
	if (n > 0)
		lseek(fd, offset + n, SEEK_SET);
	return n;
}

static int flush(int fd, long call)
{
	int data = leads_to_data(fd);
	if (data && fails("sync"))
		return -1;
	int rc = (int)syscall(call, fd);
	if (rc == 0 && data)
		note(SYNC, NULL, 0, 0, 0);
	return rc;
}

int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }
int fsync(int fd) { return flush(fd, SYS_fsync); }

int fallocate(int fd, int mode, off_t offset, off_t length)
{
	int data = leads_to_data(fd);
	if (data && fails("size"))
		return -1;
	int rc = (int)syscall(SYS_fallocate, fd, mode, offset, length);
	if (rc == 0 && data && !mode)
		note(SIZE, NULL, 0, 0, offset + length);
	return rc;
}

int fallocate64(int fd, int mode, off_t offset, off_t length) { return fallocate(fd, mode, offset, length); }

int ftruncate(int fd, off_t length)
{
	int data = leads_to_data(fd);
	if (data && fails("size"))
		return -1;
	int rc = (int)syscall(SYS_ftruncate, fd, length);
	if (rc == 0 && data)
		note(SIZE, NULL, 0, 0, length);
	return rc;
}

int ftruncate64(int fd, off_t length) { return ftruncate(fd, length); }
