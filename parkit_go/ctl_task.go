package parkit_go

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/pool"
	"parkit/gocore/site"
	"parkit/gocore/store"
	"parkit/gocore/tasks"
)

var (
	taskSitesMu     sync.Mutex
	taskSiteNumbers = map[*site.Site]int64{}
)

type tasksRequest struct {
	Site   string `json:"site"`
	Create bool   `json:"create"`
}

// TasksOpen opens the tasks of a site that is open; the number it gives is what
// the lane's functions on tasks take. Without create, a site that never had a
// task is errs.NamespaceNotFound.
func TasksOpen(request string) (string, error) {
	return boundJSON("open tasks", request, func(r tasksRequest) (int64, error) {
		s, err := site.ByUUID(r.Site)
		if err != nil {
			return 0, err
		}
		taskSitesMu.Lock()
		defer taskSitesMu.Unlock()
		if number, ok := taskSiteNumbers[s]; ok {
			return number, nil
		}
		space, err := s.Space(tasksNamespace, r.Create)
		if err != nil {
			return 0, err
		}
		opened, err := tasks.Open(space.Store())
		if err != nil {
			return 0, err
		}
		number := taskSites.add(&taskSite{Store: opened, site: s, space: addSpace(space)})
		taskSiteNumbers[s] = number
		return number, nil
	})
}

// TaskUUID is the identity of a task beyond its site.
func TaskUUID(number int64, id int64) (string, error) {
	return bound("read task", func() (string, error) {
		t, err := tasksOf(number)
		if err != nil {
			return "", err
		}
		return t.UUID(uint64(id)).String(), nil
	})
}

type taskListRequest struct {
	Tasks     int64  `json:"tasks"`
	State     string `json:"state"`     // none: all
	Asyncable string `json:"asyncable"` // uuid; none: all
	After     uint64 `json:"after"`
	Limit     int    `json:"limit"`
}

// TaskList lists the ids of tasks behind After, in their order, at most Limit.
func TaskList(request string) (string, error) {
	return boundJSON("list tasks", request, func(r taskListRequest) ([]uint64, error) {
		t, err := tasksOf(r.Tasks)
		if err != nil {
			return nil, err
		}
		filter, err := r.filter()
		if err != nil {
			return nil, err
		}
		records, err := t.List(filter, r.After, r.Limit)
		ids := make([]uint64, len(records))
		for i := range records {
			ids[i] = records[i].ID
		}
		return ids, err
	})
}

func (r *taskListRequest) filter() (filter tasks.Filter, err error) {
	if r.State != "" {
		state, ok := tasks.ParseState(r.State)
		if !ok {
			return filter, errs.Newf(errs.InvalidArgument, "list tasks", "",
				"%q is no status of a task: submitted, running, finished, failed, crashed or cancelled", r.State)
		}
		filter.State = state
	}
	if r.Asyncable != "" {
		var u tasks.UUID
		if n, err := hex.Decode(u[:], []byte(strings.ReplaceAll(r.Asyncable, "-", ""))); err != nil || n != len(u) {
			return filter, errs.Newf(errs.Internal, "list tasks", "", "%q is no uuid", r.Asyncable)
		}
		filter.Asyncable = &u
	}
	return filter, nil
}

// TaskVersions lists the versions of its code, as text, that tasks of an
// asyncable which have not ended were submitted with.
func TaskVersions(request string) (string, error) {
	return boundJSON("list tasks", request, func(r taskListRequest) (map[uint64]int, error) {
		t, err := tasksOf(r.Tasks)
		if err != nil {
			return nil, err
		}
		filter, err := r.filter()
		if err != nil {
			return nil, err
		}
		versions := map[uint64]int{}
		for _, filter.State = range []tasks.State{tasks.Submitted, tasks.Running} {
			for after := uint64(0); ; {
				records, err := t.List(filter, after, 1000)
				if err != nil {
					return nil, err
				}
				if len(records) == 0 {
					break
				}
				for i := range records {
					versions[records[i].CodeVersion]++
				}
				after = records[len(records)-1].ID
			}
		}
		return versions, nil
	})
}

// TaskPurge drops the tasks that have ended and returns how many.
func TaskPurge(number int64) (int64, error) {
	return bound("drop tasks", func() (int64, error) {
		t, err := tasksOf(number)
		if err != nil {
			return 0, err
		}
		n, err := t.PurgeEnded(0, store.Wait{Timeout: -1})
		return int64(n), err
	})
}

// poolRequest is how the pool's processes are started.
type poolRequest struct {
	Tasks       int64    `json:"tasks"`
	Monitor     []string `json:"monitor"`
	Worker      []string `json:"worker"`
	Env         []string `json:"env"` // NAME=value, over the environment at the library's loading
	Concurrency int      `json:"concurrency"`
	GraceNS     int64    `json:"grace"`
}

func (t *taskSite) pool(r *poolRequest) pool.Config {
	dir := t.site.RunPath()
	return pool.Config{
		RunDir: dir, LogDir: t.site.LogPath(), Tasks: t.Store,
		Monitor:     pool.Command{Argv: r.Monitor, Env: r.Env, Dir: dir},
		Worker:      pool.Command{Argv: r.Worker, Env: r.Env, Dir: dir},
		Concurrency: r.Concurrency, Grace: time.Duration(r.GraceNS),
		Log: t.log,
	}
}

// log writes to the monitor's log: what a program does in the monitor's place is
// not for that program's standard error.
func (t *taskSite) log(format string, args ...any) {
	file, err := os.OpenFile(filepath.Join(t.site.LogPath(), "monitor.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return // what is logged is told by other means too
	}
	defer file.Close()
	fmt.Fprintf(file, time.Now().Format("2006-01-02 15:04:05.000 ")+format+"\n", args...)
}

func withPool[T any](op, request string, body func(c pool.Config) (T, error)) (string, error) {
	return boundJSON(op, request, func(r poolRequest) (none T, err error) {
		t, err := tasksOf(r.Tasks)
		if err != nil {
			return none, err
		}
		return body(t.pool(&r))
	})
}

// PoolMain is the monitor: it returns when the pool was stopped, or by SIGTERM.
// False when the site has another monitor.
func PoolMain(request string) (string, error) {
	return withPool("run pool", request, func(c pool.Config) (bool, error) {
		c.Log = nil // standard error, which is the log
		err := pool.Main(c)
		if errs.Has(err, errs.WouldBlock) {
			return false, nil
		}
		return err == nil, err
	})
}

// PoolStatus is what can be seen of the pool.
func PoolStatus(request string) (string, error) {
	return withPool("look at pool", request, pool.Status)
}

// PoolConcurrency is how many workers the pool has, or will have.
func PoolConcurrency(request string) (string, error) {
	return withPool("read concurrency", request, pool.Concurrency)
}

type concurrencyRequest struct {
	poolRequest
	Workers int `json:"workers"`
}

// PoolSetConcurrency says how many workers there are to be.
func PoolSetConcurrency(request string) (string, error) {
	return boundJSON("set concurrency", request, func(r concurrencyRequest) (bool, error) {
		t, err := tasksOf(r.Tasks)
		if err != nil {
			return false, err
		}
		return true, pool.SetConcurrency(t.pool(&r.poolRequest), r.Workers)
	})
}

// PoolCancel cancels a task, and ends its worker where no monitor lives to do it.
func PoolCancel(number, id int64) (bool, error) {
	return bound("cancel task", func() (bool, error) {
		t, err := tasksOf(number)
		if err != nil {
			return false, err
		}
		c, err := pool.Cancel(t.pool(new(poolRequest)), uint64(id))
		return !c.Was.Done(), err
	})
}
