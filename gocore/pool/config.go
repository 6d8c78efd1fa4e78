package pool

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/tasks"
)

// EnvWorkerID carries the worker's id from the monitor to the worker.
const EnvWorkerID = "PARKIT_WORKER_ID"

// Command is a process to start.
type Command struct {
	Argv []string // Argv[0] is a path, or found on PATH
	Env  []string // added to this process's own
	Dir  string   // "" is "/"
}

// Config describes a site's pool. All processes of a site pass the same RunDir.
type Config struct {
	RunDir string       // for locks; on a local file system
	LogDir string       // for monitor.log and worker-<n>.log
	Tasks  *tasks.Store // of the site

	Worker  Command // used by the monitor
	Monitor Command // used by Start

	// Concurrency is how many workers there are until SetConcurrency says
	// otherwise; zero is the number of processors.
	Concurrency int
	// Grace is the time from SIGTERM to SIGKILL; zero is 5 s.
	Grace time.Duration
	// QuickDeaths is how many workers in a row may die before they are ready
	// until the monitor stops trying; zero is 3.
	QuickDeaths int
	// StartTimeout bounds Start's wait for the first worker; zero is 30 s.
	StartTimeout time.Duration
	// Log gets what the monitor has to say; nil is standard error.
	Log func(format string, args ...any)
}

// Settings of the pool in the task space.
const (
	settingConcurrency = "concurrency"
	settingStop        = "stop"    // grace in ns: the monitor is to end
	settingFailure     = "failure" // why the monitor gave up
)

func (c *Config) fill() error {
	if c.Tasks == nil || c.RunDir == "" || c.LogDir == "" {
		return errs.New(errs.InvalidArgument, "use pool", c.RunDir, "a pool has a run directory, a log directory and tasks")
	}
	if c.Concurrency <= 0 {
		c.Concurrency = runtime.NumCPU()
	}
	if c.Grace <= 0 {
		c.Grace = 5 * time.Second
	}
	if c.QuickDeaths <= 0 {
		c.QuickDeaths = 3
	}
	if c.StartTimeout <= 0 {
		c.StartTimeout = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = func(format string, args ...any) {
			fmt.Fprintf(os.Stderr, time.Now().Format("2006-01-02 15:04:05.000 ")+format+"\n", args...)
		}
	}
	for _, dir := range []string{c.RunDir, c.LogDir} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return errs.Wrap(errs.IO, "use pool", dir, err)
		}
	}
	return nil
}

const monitorLockName = "monitor.lock"

func (c *Config) monitorLock() string { return filepath.Join(c.RunDir, monitorLockName) }

func workerLock(runDir string, id uint64) string {
	return filepath.Join(runDir, "worker-"+strconv.FormatUint(id, 10)+".lock")
}

// Concurrency is how many workers the pool has, or will have.
func Concurrency(c Config) (int, error) {
	text, err := c.Tasks.Setting(settingConcurrency)
	if err != nil {
		return 0, err
	}
	if text == "" {
		if c.Concurrency <= 0 {
			return runtime.NumCPU(), nil
		}
		return c.Concurrency, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, errs.Newf(errs.Corrupt, "read concurrency", c.RunDir, "%q is no number of workers; set it again", text)
	}
	return n, nil
}

// SetConcurrency writes how many workers there are to be; a running monitor
// sees it at once. It outlives the pool.
func SetConcurrency(c Config, n int) error {
	if n < 0 || n > 4096 {
		return errs.Newf(errs.InvalidArgument, "set concurrency", c.RunDir, "%d is not between 0 and 4096", n)
	}
	return c.Tasks.SetSetting(settingConcurrency, strconv.Itoa(n), turn)
}

// turn is how long control calls wait for the writer's turn: its default.
var turn = store.Wait{Timeout: -1}

// tail is the end of a log file from offset on, at most 4 KiB of it.
func tail(path string, offset int64) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	offset = max(offset, size-4096)
	text, err := io.ReadAll(io.NewSectionReader(file, offset, size-offset))
	if err != nil {
		return ""
	}
	return string(text)
}

// openLog opens a log file to append to, begun anew where it has grown beyond
// a megabyte, and returns its size.
func openLog(path string) (*os.File, int64, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, errs.Wrap(errs.IO, "open log", path, err)
	}
	info, err := file.Stat()
	if err == nil && info.Size() > 1<<20 {
		err = file.Truncate(0)
	} else if err == nil {
		return file, info.Size(), nil
	}
	if err != nil {
		_ = file.Close()
		return nil, 0, errs.Wrap(errs.IO, "open log", path, err)
	}
	return file, 0, nil
}
