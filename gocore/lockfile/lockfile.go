// Package lockfile tells who is alive: files that a process holds locked for as
// long as it lives, and holds on the processes themselves. It is a record lock,
// not flock: that one would live on in forked children.
package lockfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
)

// held are the lock files of this process. Closing any descriptor of a file
// drops the process's record locks on it, and a second lock of the same process
// would be granted: so a file that is here is never opened again.
var held = struct {
	sync.Mutex
	files map[inode]*Lock
	// peers are the lock files of other processes that Held looked at, open
	// so that it need not open them again, by path. None of them is in files.
	peers map[string]peer
}{files: map[inode]*Lock{}, peers: map[string]peer{}}

// mostPeers bounds the files that are kept open to look at.
const mostPeers = 256

// A lock file's first byte is the lock. The second is held for the moment in
// which the file is made and locked, or found dead and removed: so that nobody
// locks a file that is about to go, and whoever clears a dead worker's file
// away is not taken for the worker.
const (
	lifeByte = 0
	doorByte = 1
)

func byteLock(kind int16, at int64) *unix.Flock_t {
	return &unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: at, Len: 1}
}

type peer struct {
	file *os.File
	at   inode
}

type inode struct{ device, number uint64 }

// Lock is a lock file that this process holds.
type Lock struct {
	file *os.File
	at   inode
	free chan struct{} // closed when it was let go of
}

// Take takes the lock of a file, which it makes where needed, until Release
// or the death of this process. errs.WouldBlock names the holder.
func Take(path string) (*Lock, error) {
	held.Lock()
	defer held.Unlock()
	file, at, err := enter(path)
	if err != nil {
		return nil, err
	}
	if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, byteLock(unix.F_WRLCK, lifeByte)); err != nil {
		pid, _, _ := askHolder(file) // 0 says it well enough
		_ = file.Close()
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
			return nil, errs.Newf(errs.WouldBlock, "lock", path, "process %d holds it", pid)
		}
		return nil, errs.Wrap(errs.IO, "lock", path, err)
	}
	if err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, byteLock(unix.F_UNLCK, doorByte)); err != nil {
		_ = file.Close()
		return nil, errs.Wrap(errs.IO, "lock", path, err)
	}
	l := &Lock{file: file, at: at, free: make(chan struct{})}
	held.files[at] = l
	return l, nil
}

// enter opens the lock file that is at path now, and takes its door. It needs
// held.
func enter(path string) (*os.File, inode, error) {
	for {
		if at, ok := inodeOf(path); ok {
			if held.files[at] != nil {
				return nil, at, errs.Newf(errs.WouldBlock, "lock", path, "process %d (this one) holds it", os.Getpid())
			}
			// To close it later would drop the lock that is taken now.
			dropPeers(func(_ string, p peer) bool { return p.at == at })
		}
		file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, inode{}, errs.Wrap(errs.IO, "lock", path, err)
		}
		err = unix.FcntlFlock(file.Fd(), unix.F_SETLKW, byteLock(unix.F_WRLCK, doorByte))
		var st unix.Stat_t
		if err == nil {
			err = unix.Fstat(int(file.Fd()), &st)
		}
		mine := inode{uint64(st.Dev), uint64(st.Ino)}
		if at, ok := inodeOf(path); err == nil && ok && at == mine {
			return file, mine, nil
		}
		_ = file.Close() // it was removed before the door was ours: make a new one
		if err != nil && !errors.Is(err, unix.EINTR) {
			return nil, inode{}, errs.Wrap(errs.IO, "lock", path, err)
		}
	}
}

// Remove removes the lock file of a dead process; one that is held after
// all is errs.WouldBlock.
func Remove(path string) error {
	held.Lock()
	defer held.Unlock()
	file, _, err := enter(path)
	if err != nil {
		return err
	}
	defer file.Close()
	pid, alive, err := askHolder(file)
	if err != nil {
		return errs.Wrap(errs.IO, "remove lock", path, err)
	}
	if alive {
		return errs.Newf(errs.WouldBlock, "remove lock", path, "process %d holds it", pid)
	}
	return errs.Wrap(errs.IO, "remove lock", path, os.Remove(path))
}

// Release lets go of the lock; false when that was done before. The file stays.
func (l *Lock) Release() bool {
	held.Lock()
	defer held.Unlock()
	if held.files[l.at] != l {
		return false
	}
	delete(held.files, l.at)
	_ = l.file.Close() // nothing was written
	close(l.free)
	return true
}

// In reports whether the locked file is the one at path.
func (l *Lock) In(path string) bool {
	at, ok := inodeOf(path)
	return ok && at == l.at
}

// Holder says who holds the lock of a file: alive is false for nobody. The pid
// is 0 for a process of another container.
func Holder(path string) (pid int, alive bool, err error) {
	held.Lock()
	defer held.Unlock()
	file, pid, alive, err := look(path)
	if file != nil {
		_ = file.Close() // nothing was written
	}
	return pid, alive, err
}

// look opens a file that is not this process's own, and says who holds its lock.
// It needs held.
func look(path string) (file *os.File, pid int, alive bool, err error) {
	if at, ok := inodeOf(path); ok && held.files[at] != nil {
		return nil, os.Getpid(), true, nil
	}
	file, err = os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, false, nil
	}
	if err != nil {
		return nil, 0, false, errs.Wrap(errs.IO, "look at lock", path, err)
	}
	pid, alive, err = askHolder(file)
	return file, pid, alive, errs.Wrap(errs.IO, "look at lock", path, err)
}

// Held reports whether anybody, this process included, holds the lock of a
// file. It is Holder for those who ask again and again.
func Held(path string) (bool, error) {
	held.Lock()
	defer held.Unlock()
	if p, ok := held.peers[path]; ok {
		if _, alive, err := askHolder(p.file); err == nil && alive {
			return true, nil
		}
		_ = p.file.Close() // nothing was written
		delete(held.peers, path)
		// Another file may have the name now.
	}
	file, _, alive, err := look(path)
	if file == nil {
		return alive, err
	}
	var st unix.Stat_t
	if alive && len(held.peers) < mostPeers && unix.Fstat(int(file.Fd()), &st) == nil {
		held.peers[path] = peer{file, inode{uint64(st.Dev), uint64(st.Ino)}}
	} else {
		_ = file.Close() // nothing was written
	}
	return alive, err
}

// Forget closes what is kept open to look at files in a directory.
func Forget(dir string) {
	held.Lock()
	defer held.Unlock()
	dropPeers(func(path string, _ peer) bool { return filepath.Dir(path) == dir })
}

// dropPeers needs held.
func dropPeers(which func(path string, p peer) bool) {
	for path, p := range held.peers {
		if which(path, p) {
			_ = p.file.Close() // nothing was written
			delete(held.peers, path)
		}
	}
}

func askHolder(file *os.File) (pid int, alive bool, err error) {
	lock := byteLock(unix.F_WRLCK, lifeByte)
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, lock); err != nil {
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
