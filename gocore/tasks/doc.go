// Package tasks is the durable record of every asynchronous call: what was
// asked for, who is running it, how it ended. It knows no processes and no
// Python; package pool starts and watches workers, and workers run functions.
//
//	        Submit                    Claim                    Finish
//	──────────────────▶ submitted ──────────────▶ running ─────────────────▶ finished
//	                     ▲   │  ▲                  │ │ │ │     Fail
//	                     │   │  └── Release ───────┘ │ │ └─────────────────▶ failed
//	                     │   │      Requeue: crashed │ │       Crash
//	                     │   │      or failed, with  │ └───────────────────▶ crashed
//	                     │   │      attempts left    │
//	                     │   └───────────────────────┼─ Cancel ────────────▶ cancelled
//	                     └───────────────────────────┘
//
// What holds at every commit:
//
//   - A task is in exactly one state, and the indexes (queue, running, …) say
//     the same as its record: Audit checks it.
//   - A claim carries a token. The token counts the task's claims and is never
//     reset, so a worker that lost its claim can never record a result, also
//     when the task came back to the very same worker.
//   - A result is written in the transaction that ends the task: there is
//     exactly one, or none.
//   - A task that was submitted is in a queue, in the hands of a worker that
//     the running index names, or ended. None is lost between two of them.
//
// The limits: a function whose worker dies has run in part, and runs again
// from its start when its asyncable asked for retries. Only the recording of
// its result is exactly once.
package tasks
