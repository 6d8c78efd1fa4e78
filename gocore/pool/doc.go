// Package pool keeps worker processes alive that run the tasks of a site. It
// is one detached process, the monitor, and the calls by which programs start,
// change and end it. What a worker does is not its business.
//
//	a program ── Start ──▶ monitor (one a site: monitor.lock)
//	     │                  │ starts, replaces, retires, terminates
//	     │ settings,        ▼
//	     │ cancels       workers (each holds worker-<id>.lock for life)
//	     ▼                  │ claim, finish
//	   task space ◀─────────┘
//
// Nobody talks to the monitor. Programs write what they want into the task
// space (concurrency, a cancel, a stop) and move tasks.PoolControl, which the
// monitor sleeps on. So the monitor can be killed and restarted at any time:
// all it knows is written down, or is a lock that the kernel keeps.
//
// Who is alive is told by locks, never by a pid alone. They are POSIX record
// locks (fcntl F_SETLK). flock would not do: it belongs to the open file, which
// a task that forks hands to its children, and a dead worker would seem alive
// as long as one of them lives. A record lock dies with the one process that
// took it, and F_GETLK says which that is.
//
// What happens when something dies:
//
//   - A worker: the monitor sees it at once (pidfd), ends what the worker had
//     started in its process group, hands its tasks to tasks.Crash and starts
//     another one.
//   - A worker, while there is no monitor: the next Start does the same.
//   - The monitor: its workers go on. The next monitor finds their locks and
//     watches them as if it had started them; only their exit status is lost.
//   - Workers that die before they are ready: after a few of them in a row the
//     monitor stops trying, and says why with the end of their log.
package pool
