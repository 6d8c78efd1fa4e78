package pool

import (
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"parkit/gocore/errs"
	"parkit/gocore/lockfile"
	"parkit/gocore/tasks"
)

// registered is this process's own lock as a worker, kept for life.
var registered struct {
	sync.Mutex
	worker tasks.Worker
	lock   *lockfile.Lock
}

// RegisterWorker makes this process a worker: under the id the monitor gave it,
// or a new one, with a lock that says it lives until it has died. Calling it
// again gives the same worker. It must not claim before. errs.Fenced when the
// monitor that started it has died since: it should end.
func RegisterWorker(runDir string, s *tasks.Store) (tasks.Worker, error) {
	registered.Lock()
	defer registered.Unlock()
	if registered.lock != nil {
		return registered.worker, nil
	}
	id, err := strconv.ParseUint(os.Getenv(EnvWorkerID), 10, 64)
	started := err == nil && id != 0
	if !started {
		if id, err = s.NewWorker(turn); err != nil {
			return tasks.Worker{}, err
		}
	}
	// A program that a task starts is not this worker.
	if err := os.Unsetenv(EnvWorkerID); err != nil {
		return tasks.Worker{}, errs.Wrap(errs.Internal, "register worker", runDir, err)
	}
	lock, err := lockfile.Take(workerLock(runDir, id))
	if err != nil {
		return tasks.Worker{}, err
	}
	if started {
		// Until now nobody but that monitor could know of this worker, so
		// nobody else has stopped it with the others, or will.
		monitor, alive, err := lockfile.Holder(filepath.Join(runDir, monitorLockName))
		if err == nil && (!alive || monitor != os.Getppid()) {
			err = errs.New(errs.Fenced, "register worker", runDir, "the monitor that started it has died; it should end")
		}
		if err != nil {
			lock.Release()
			return tasks.Worker{}, err
		}
	}
	registered.lock = lock
	registered.worker = tasks.Worker{ID: id, PID: os.Getpid()}
	return registered.worker, nil
}

// WorkerReady says that the worker will claim tasks from now on, which ends the
// wait of Start.
func WorkerReady(s *tasks.Store, worker tasks.Worker) error {
	return s.WorkerReady(worker.ID, worker.PID, turn)
}
