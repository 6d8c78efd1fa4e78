package lockfile

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"parkit/gocore/errs"
)

// lookAgain is how long a watch goes by the process alone. A process can drop a
// lock without ending, by exec or by closing descriptors that are not its own,
// and the kernel tells nobody.
const lookAgain = time.Second

// Hold gets hold of the process that holds the lock of a file; nil for nobody.
// The lock is looked at again once the process is held: only then it is certain
// that the pid is still that of the holder.
func Hold(path string) (*Process, error) {
	pid, alive, err := Holder(path)
	if err != nil || !alive {
		return nil, err
	}
	if pid == 0 {
		return nil, errs.New(errs.OtherPIDSpace, "watch process", path, "it runs in another container")
	}
	p, err := HoldProcess(pid)
	if err != nil {
		if _, alive, again := Holder(path); again == nil && !alive {
			return nil, nil
		}
		return nil, err
	}
	if now, alive, err := Holder(path); err != nil || !alive || now != pid {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Watch calls gone once, from a goroutine of its own, when nobody holds the
// lock of the file: soon if nobody does now. cancel ends the watch; a call
// that has begun goes on.
func Watch(path string, gone func()) (cancel func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			if pid, alive, err := Holder(path); err == nil && !alive {
				gone()
				return
			} else if err == nil && pid == os.Getpid() {
				awaitOwn(ctx, path)
				continue
			}
			awaitHolder(ctx, path)
		}
	}()
	return cancel
}

// awaitOwn waits until this process lets go of a lock.
func awaitOwn(ctx context.Context, path string) {
	held.Lock()
	at, ok := inodeOf(path)
	lock := held.files[at]
	held.Unlock()
	if !ok || lock == nil {
		return
	}
	select {
	case <-lock.free:
	case <-ctx.Done():
	}
}

// awaitHolder waits until the process that holds the lock now has ended or let
// go of it.
func awaitHolder(ctx context.Context, path string) {
	p, err := Hold(path)
	if errors.Is(err, unix.ESRCH) || p == nil && err == nil {
		return // it has ended just now
	}
	if err != nil {
		// No descriptor is free, say: what is left is to look now and then.
		timer := time.NewTimer(lookAgain)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return
	}
	defer p.Close()
	defer context.AfterFunc(ctx, p.Close)()
	for ctx.Err() == nil {
		if ended, err := p.WaitFor(lookAgain, nil); err != nil || ended {
			return
		}
		if pid, alive, err := Holder(path); err != nil || !alive || pid != p.PID {
			return
		}
	}
}
