package coll

import (
	"testing"
	"time"
)

// Alarm is a call that was asked for after a while, for tests to make when they
// like.
type Alarm struct {
	After   time.Duration
	Ring    func()
	Stopped bool
}

func (a *Alarm) Stop() bool {
	a.Stopped = true
	return true
}

// LimitCursors bounds what new cursors keep in memory, and returns the alarms
// that they set instead of timers.
func LimitCursors(t *testing.T, memory int) *[]*Alarm {
	before := limits
	t.Cleanup(func() { limits = before })
	alarms := new([]*Alarm)
	limits.memory = memory
	limits.after = func(d time.Duration, fn func()) stopper {
		a := &Alarm{After: d, Ring: fn}
		*alarms = append(*alarms, a)
		return a
	}
	return alarms
}

// What an index key is, for tests that compare indexes with entries.
var (
	ExpiryKey = expiryKey
	TicketKey = ticketKey
	OrderKey  = orderKey
)

// LimitPieces bounds what files keep in one piece, until reset is called.
func LimitPieces(most int64) (reset func()) {
	before := maxPiece
	maxPiece = most
	return func() { maxPiece = before }
}
