package lmdbstore

import (
	"time"

	"parkit/gocore/store"
)

// Where DieAt has this process die.
const (
	BeforeCommit  = beforeCommit
	BeforePublish = beforePublish
	BeforeUnlock  = beforeUnlock
	BeforeWake    = beforeWake
	InLine        = inLine
)

// DieAt has this process killed when it next comes to point.
func DieAt(point int) { dieAt(point) }

// CannotWaitAny says whether the system cannot wait for several counts.
func CannotWaitAny(cannot bool) { cannotWaitAny(cannot) }

// CannotAllocate says whether every file system refuses fallocate.
func CannotAllocate(cannot bool) { cannotAllocate(cannot) }

// GrowOften has the map grow by small steps.
func GrowOften(free, step uint64) { minHeadroom, maxHeadroom, mapStep = free, free, step }

// SetRemapPatience bounds the wait for this process's transactions.
func SetRemapPatience(d time.Duration) { remapPatience = d }

// MaxIdle is how many reader slots a process keeps, and ReaderCheckEvery how
// many write transactions lie between two looks for those of dead processes.
const (
	MaxIdle          = maxIdle
	ReaderCheckEvery = readerCheckEvery
)

// GrowAsEver undoes GrowOften.
func GrowAsEver() { minHeadroom, maxHeadroom, mapStep = 16<<20, 1<<30, 64<<30 }

// Queued is how many wait for the gate of a space.
func Queued(s store.Space) int {
	g := &s.(*Space).gate
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}
