package pool

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
	"parkit/gocore/lockfile"
)

// watchVanish sends once when the held lock file is no longer at its path: the
// site was removed. Nobody could find the pool any more, to use or to stop it,
// and its processes would sleep on files without a name for ever.
func watchVanish(ctx context.Context, path string, l *lockfile.Lock) (<-chan struct{}, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, errs.Wrap(errs.IO, "watch", path, err)
	}
	events := os.NewFile(uintptr(fd), "inotify")
	// The file itself is watched only once it is gone from its last process,
	// so it is the directory that must say so.
	const mask = unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	if _, err := unix.InotifyAddWatch(fd, filepath.Dir(path), mask); err != nil {
		_ = events.Close()
		return nil, errs.Wrap(errs.IO, "watch", path, err)
	}
	vanished := make(chan struct{}, 1)
	context.AfterFunc(ctx, func() { _ = events.Close() })
	go func() {
		var buffer [4096]byte
		for {
			if !l.In(path) {
				vanished <- struct{}{}
				return
			}
			if _, err := events.Read(buffer[:]); err != nil {
				return
			}
		}
	}()
	return vanished, nil
}
