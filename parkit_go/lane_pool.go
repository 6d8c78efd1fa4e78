package parkit_go

/*
#include "lane_task.h"
*/
import "C"

import (
	"encoding/json"
	"unsafe"

	"parkit/gocore/errs"
	"parkit/gocore/pool"
)

// Starting and stopping wait, and want to be interrupted by Python's signals:
// so they are in the lane, not bound by gopy as the rest of the pool is
// (ctl_task.go).

//export pkPoolStart
func pkPoolStart(number C.int64_t, request unsafe.Pointer, n C.size_t, started *C.int, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("enable tasks", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	var r poolRequest
	if err := json.Unmarshal(bytesOf(request, n), &r); err != nil {
		return failed(errs.Wrap(errs.Internal, "enable tasks", "", err), words)
	}
	ok, err := pool.Start(t.pool(&r), waitOf(wait).Interrupted)
	if ok {
		*started = 1
	}
	return failed(err, words)
}

//export pkPoolStop
func pkPoolStop(number C.int64_t, stopped *C.int, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("disable tasks", words, &rc)
	t, err := tasksOf(int64(number))
	if err != nil {
		return failed(err, words)
	}
	w := waitOf(wait)
	ok, err := pool.Stop(t.pool(new(poolRequest)), max(w.Timeout, 0), w.Interrupted)
	if ok {
		*stopped = 1
	}
	return failed(err, words)
}
