package pool

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
)

// held are the lock files of this process. Closing any descriptor of a file
// drops the process's record locks on it, and a second lock of the same process
// would be granted: so a file that is here is never opened again.
var held = struct {
	sync.Mutex
	files map[inode]*fileLock
}{files: map[inode]*fileLock{}}

type inode struct{ device, number uint64 }

type fileLock struct {
	file *os.File
	at   inode
}

// lockFile takes the lock of a file, which it makes where needed, until release
// or the death of this process. errs.WouldBlock names the holder.
func lockFile(path string) (*fileLock, error) {
	held.Lock()
	defer held.Unlock()
	for {
		if at, ok := inodeOf(path); ok && held.files[at] != nil {
			return nil, errs.Newf(errs.WouldBlock, "lock", path, "process %d (this one) holds it", os.Getpid())
		}
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, errs.Wrap(errs.IO, "lock", path, err)
		}
		lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
		if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &lock); err != nil {
			pid, _, _ := askHolder(file) // 0 says it well enough
			_ = file.Close()
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
				return nil, errs.Newf(errs.WouldBlock, "lock", path, "process %d holds it", pid)
			}
			return nil, errs.Wrap(errs.IO, "lock", path, err)
		}
		var st unix.Stat_t
		if err := unix.Fstat(int(file.Fd()), &st); err != nil {
			_ = file.Close()
			return nil, errs.Wrap(errs.IO, "lock", path, err)
		}
		l := &fileLock{file: file, at: inode{uint64(st.Dev), uint64(st.Ino)}}
		if at, ok := inodeOf(path); ok && at == l.at {
			held.files[l.at] = l
			return l, nil
		}
		_ = file.Close() // removeLock took the file away meanwhile: make a new one
	}
}

// removeLock removes a lock file that nobody holds. It does so with the lock in
// its hands, so that nobody takes the lock of a file that is about to go.
func removeLock(path string) error {
	l, err := lockFile(path)
	if err != nil {
		return err
	}
	defer l.release()
	return errs.Wrap(errs.IO, "remove lock", path, os.Remove(path))
}

func (l *fileLock) release() {
	held.Lock()
	defer held.Unlock()
	if held.files[l.at] == l {
		delete(held.files, l.at)
		_ = l.file.Close() // nothing was written
	}
}

// holder says who holds the lock of a file: alive is false for nobody. The pid
// is 0 for a process of another container.
func holder(path string) (pid int, alive bool, err error) {
	held.Lock()
	defer held.Unlock()
	if at, ok := inodeOf(path); ok && held.files[at] != nil {
		return os.Getpid(), true, nil
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, errs.Wrap(errs.IO, "look at lock", path, err)
	}
	defer file.Close()
	pid, alive, err = askHolder(file)
	return pid, alive, errs.Wrap(errs.IO, "look at lock", path, err)
}

func askHolder(file *os.File) (pid int, alive bool, err error) {
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, false, err
	}
	return int(lock.Pid), lock.Type != unix.F_UNLCK, nil
}

func inodeOf(path string) (inode, bool) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return inode{}, false
	}
	return inode{uint64(st.Dev), uint64(st.Ino)}, true
}
