package parkit_go

/*
#include <stdlib.h>
#include "lane_task.h"

static int pk_task_ask(pk_wait *wait) { return pk_interrupted(wait); }
static int pk_task_stop_wanted(void) { return pk_task_stopped; }
*/
import "C"

import (
	"context"
	"encoding/binary"
	"time"
	"unsafe"

	"parkit/gocore/errs"
	"parkit/gocore/pool"
	"parkit/gocore/site"
	"parkit/gocore/store"
	"parkit/gocore/tasks"
)

// tasksNamespace is where a site keeps its tasks.
const tasksNamespace = "__task__"

// taskSite is the tasks of a site, opened.
type taskSite struct {
	*tasks.Store
	site   *site.Site
	space  int64 // number of its space, which a scope names
	worker tasks.Worker
}

var taskSites table[*taskSite]

func tasksOf(number int64) (*taskSite, error) {
	if panicked.Load() != nil {
		return nil, refusal("use tasks")
	}
	if t, ok := taskSites.at(number); ok {
		return t, nil
	}
	return nil, errs.New(errs.Stale, "use tasks", "", "they were opened in another process; open them again")
}

// tx is the write transaction that the thread has open on the tasks, or nil:
// what is submitted or dropped in its scope belongs to it.
func (t *taskSite) tx(scopes *C.pk_scopes) store.Txn {
	if tx := txIn(scopes, t.space); tx != nil && tx.Mode() == store.Write {
		return tx
	}
	return nil
}

// within runs fn so that an error undoes what it did, and no more.
func within(tx store.Txn, fn func() error) error {
	if err := tx.Savepoint(); err != nil {
		return err
	}
	if err := fn(); err != nil {
		if undone := tx.Rollback(); undone != nil {
			return undone
		}
		return err
	}
	return tx.Release()
}

// A spec crosses as bytes that Python packs once for each version of a
// function. Little endian: asyncable's uuid (16), code version (8), backoff in
// ns (8), retries (4), limit (4), flags (2), priority (1), length of the name
// (2), name, queue.
const specHead = 16 + 8 + 8 + 4 + 4 + 2 + 1 + 2

const (
	specRetryOnCrash = 1 << iota
	specRetryOnFailure
)

// readSpec aliases b.
func readSpec(b []byte, spec *tasks.Spec) error {
	if len(b) < specHead || len(b) < specHead+int(binary.LittleEndian.Uint16(b[43:])) {
		return errs.New(errs.Internal, "submit task", "", "the specification is cut short")
	}
	copy(spec.Asyncable[:], b)
	spec.CodeVersion = binary.LittleEndian.Uint64(b[16:])
	spec.Backoff = int64(binary.LittleEndian.Uint64(b[24:]))
	spec.Retries = binary.LittleEndian.Uint32(b[32:])
	spec.Limit = int(binary.LittleEndian.Uint32(b[36:]))
	flags := binary.LittleEndian.Uint16(b[40:])
	spec.RetryOnCrash, spec.RetryOnFailure = flags&specRetryOnCrash != 0, flags&specRetryOnFailure != 0
	spec.Priority = int8(b[42])
	name, queue := b[specHead:], []byte(nil)
	n := int(binary.LittleEndian.Uint16(b[43:]))
	name, queue = name[:n], name[n:]
	spec.Name, spec.Queue = unsafe.String(unsafe.SliceData(name), len(name)), unsafe.String(unsafe.SliceData(queue), len(queue))
	return nil
}

//export pkTaskSubmit
func pkTaskSubmit(number C.int64_t, scopes *C.pk_scopes, packed *C.pk_entry, due C.int64_t, id *C.uint64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("submit task", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	spec := tasks.Spec{Args: bytesOf(packed.body, packed.bodylen), Due: int64(due)}
	if err := readSpec(bytesOf(packed.key, packed.keylen), &spec); err != nil {
		return failed(err, words)
	}
	var drawn uint64
	if tx := t.tx(scopes); tx != nil {
		err = within(tx, func() (err error) {
			drawn, _, err = t.SubmitTx(tx, &spec)
			return err
		})
	} else if wait == nil && t.Space().Durable() {
		return C.PK_AGAIN
	} else {
		drawn, _, err = t.Submit(&spec, waitOf(wait))
	}
	*id = C.uint64_t(drawn)
	return failed(err, words)
}

// How long one who waits for a task, and a worker that has nothing to do, watch the
// counts before they sleep. To wake a sleeper on an idle processor takes the system
// longer than a short task takes there and back: measured on 2 virtual processors,
// a round trip from Python is 24 µs with this and 80 µs without. The worker watches
// for longer, so that it still does when who waits had to be woken, and submits again.
const (
	waiterLook = 50 * time.Microsecond
	workerLook = 100 * time.Microsecond
)

//export pkTaskWait
func pkTaskWait(number C.int64_t, scopes *C.pk_scopes, id C.uint64_t, state *C.int, got *C.pk_got, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("wait for task", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	if t.tx(scopes) != nil {
		return failed(errs.New(errs.BadTransaction, "wait for task", "",
			"this thread has a transaction open on the tasks, which keeps every worker from ending one; end it first"), words)
	}
	r, err := t.State(uint64(id))
	if err != nil {
		return failed(err, words)
	}
	if !r.State.Done() {
		if wait == nil {
			return C.PK_AGAIN
		}
		w := waitOf(wait)
		w.Look = waiterLook
		if r, err = t.WaitDone(context.Background(), uint64(id), w); err != nil {
			if errs.Has(err, errs.WouldBlock) { // no time was given: not what PK_AGAIN means
				known := *asError(err)
				known.Code = errs.Timeout
				err = &known
			}
			return failed(err, words)
		}
	}
	*state = C.int(r.State)
	if r.Flags&tasks.FlagOutcome != 0 {
		_, payload, err := t.Result(uint64(id))
		if err != nil {
			return failed(err, words)
		}
		copied(got, payload)
	}
	return C.PK_OK
}

//export pkTaskState
func pkTaskState(number C.int64_t, scopes *C.pk_scopes, id C.uint64_t, state *C.int, words *C.pk_words) (rc C.int) {
	defer guarded("read task", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	var r tasks.Record
	if tx := t.tx(scopes); tx != nil {
		r, _, err = t.GetTx(tx, uint64(id))
	} else {
		r, err = t.State(uint64(id))
	}
	*state = C.int(r.State)
	return failed(err, words)
}

//export pkTaskArgs
func pkTaskArgs(number C.int64_t, scopes *C.pk_scopes, id C.uint64_t, got *C.pk_got, words *C.pk_words) (rc C.int) {
	defer guarded("read task", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	var args []byte
	if tx := t.tx(scopes); tx != nil {
		_, args, err = t.GetTx(tx, uint64(id))
	} else {
		args, err = t.Args(uint64(id))
	}
	if err == nil {
		copied(got, args)
	}
	return failed(err, words)
}

//export pkTaskRead
func pkTaskRead(number C.int64_t, scopes *C.pk_scopes, id C.uint64_t, out *C.pk_task, words *C.pk_words) (rc C.int) {
	defer guarded("read task", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	var r tasks.Record
	if tx := t.tx(scopes); tx != nil {
		r, _, err = t.GetTx(tx, uint64(id))
	} else {
		r, err = t.Get(uint64(id))
	}
	if err != nil {
		return failed(err, words)
	}
	out.id, out.token, out.code_version, out.worker = C.uint64_t(r.ID), C.uint64_t(r.Token), C.uint64_t(r.CodeVersion), C.uint64_t(r.Worker)
	out.created, out.due, out.start, out.end = C.int64_t(r.Created), C.int64_t(r.Due), C.int64_t(r.Start), C.int64_t(r.End)
	out.backoff, out.pid = C.int64_t(r.Backoff), C.int32_t(r.PID)
	out.attempt, out.retries, out.flags = C.uint32_t(r.Attempt), C.uint32_t(r.Retries), C.uint32_t(r.Flags)
	out.state, out.priority = C.int(r.State), C.int(r.Priority)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&out.asyncable)), 16), r.Asyncable[:])
	out.name, out.namelen = ctext(r.Name)
	out.queue, out.queuelen = ctext(r.Queue)
	out.detail, out.detaillen = ctext(r.Detail)
	return C.PK_OK
}

func ctext(s string) (*C.char, C.size_t) { return C.CString(s), C.size_t(len(s)) }

//export pkTaskCancel
func pkTaskCancel(number C.int64_t, scopes *C.pk_scopes, id C.uint64_t, was *C.int, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("cancel task", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	var c tasks.Cancelling
	if tx := t.tx(scopes); tx != nil {
		err = within(tx, func() (err error) {
			c, err = t.CancelTx(tx, uint64(id))
			return err
		})
	} else if wait == nil && t.Space().Durable() {
		return C.PK_AGAIN
	} else {
		c, err = t.Cancel(uint64(id), waitOf(wait))
	}
	*was = C.int(c.Was)
	return failed(err, words)
}

//export pkTaskDrop
func pkTaskDrop(number C.int64_t, scopes *C.pk_scopes, id C.uint64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("drop task", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	if tx := t.tx(scopes); tx != nil {
		return failed(within(tx, func() error { return t.DropTx(tx, uint64(id)) }), words)
	}
	if wait == nil && t.Space().Durable() {
		return C.PK_AGAIN
	}
	return failed(t.Drop(uint64(id), waitOf(wait)), words)
}

// ---- What a worker does ----

//export pkWorkerRegister
func pkWorkerRegister(number C.int64_t, id *C.uint64_t, words *C.pk_words) (rc C.int) {
	defer guarded("register worker", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	if t.worker, err = pool.RegisterWorker(t.site.RunPath(), t.Store); err != nil {
		return failed(err, words)
	}
	*id = C.uint64_t(t.worker.ID)
	return failed(pool.WorkerReady(t.Store, t.worker), words)
}

// workerWait is a wait that also ends when the worker is to stop.
func workerWait(wait *C.pk_wait) store.Wait {
	w := waitOf(wait)
	w.Interrupted = func() bool {
		return wait.main != 0 && C.pk_task_ask(wait) != 0 || C.pk_task_stop_wanted() != 0
	}
	return w
}

// pkTaskClaim takes the next task, waiting for one. None: the time ran out, or
// the worker is to stop.
//
//export pkTaskClaim
func pkTaskClaim(number C.int64_t, out *C.pk_claim, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("claim task", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	if C.pk_task_stop_wanted() != 0 {
		return C.PK_OK
	}
	w := workerWait(wait)
	w.Look = workerLook
	if w.Timeout = -1; wait.timeout_ns >= 0 { // Claim knows no default bound
		w.Timeout = time.Duration(wait.timeout_ns)
	}
	claim, err := t.Claim(context.Background(), t.worker, w)
	if errs.Has(err, errs.Interrupted) && C.pk_task_stop_wanted() != 0 {
		return C.PK_OK
	}
	taken(out, claim)
	return failed(err, words)
}

func taken(out *C.pk_claim, claim *tasks.Claim) {
	if claim == nil {
		return
	}
	out.id, out.token, out.code_version = C.uint64_t(claim.ID), C.uint64_t(claim.Token), C.uint64_t(claim.CodeVersion)
	out.attempt = C.uint32_t(claim.Attempt)
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&out.asyncable)), 16), claim.Asyncable[:])
	out.name, out.namelen = ctext(claim.Name)
	copied(&out.args, claim.Args)
}

// pkTaskFinish records how a run ended and takes the next task, if one is
// ready, in the same transaction.
//
//export pkTaskFinish
func pkTaskFinish(number C.int64_t, id, token C.uint64_t, finished, final C.int, payload unsafe.Pointer, n C.size_t, next *C.pk_claim, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("finish task", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	if wait == nil && t.Space().Durable() {
		return C.PK_AGAIN
	}
	o := tasks.Outcome{State: tasks.Failed, Payload: bytesOf(payload, n), Final: final != 0}
	if finished != 0 {
		o.State = tasks.Finished
	}
	ticket := tasks.Ticket{ID: uint64(id), Token: uint64(token), Worker: t.worker.ID}
	// Not workerWait: a result that is there is worth the wait for the turn.
	ended, err := t.Finish(t.worker, ticket, o, C.pk_task_stop_wanted() == 0, waitOf(wait))
	if err == nil {
		taken(next, ended.Next)
	}
	return failed(err, words)
}

//export pkTaskRelease
func pkTaskRelease(number C.int64_t, id, token C.uint64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("release task", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	if wait == nil {
		return C.PK_AGAIN
	}
	return failed(t.Release(tasks.Ticket{ID: uint64(id), Token: uint64(token), Worker: t.worker.ID}, waitOf(wait)), words)
}
