package object

import "time"

// Attendant is what a collection keeps and runs in this process for an object,
// beside the operations that are asked for.
type Attendant interface {
	// Pause stops what runs, and returns when it has stopped. A later
	// operation may start it again.
	Pause()
	// Settle writes down what is in memory only and worth it, before the
	// process ends. It begins nothing after the deadline.
	Settle(deadline time.Time)
}

// settleWait is for how long a space that is closed waits for the turn to write
// what its attendants have in memory.
const settleWait = 100 * time.Millisecond

// Attendant is the object's attendant, made at first use.
func (o *Object) Attendant(make func(*Object) Attendant) Attendant {
	if known := o.attendant.Load(); known != nil {
		return *known
	}
	o.Space.attend.Lock()
	defer o.Space.attend.Unlock()
	if known := o.attendant.Load(); known != nil {
		return *known
	}
	made := make(o)
	o.attendant.Store(&made)
	o.Space.attendants = append(o.Space.attendants, made)
	return made
}

// Settle has all attendants write down what they have in memory.
func (s *Space) Settle(deadline time.Time) {
	s.attend.Lock()
	defer s.attend.Unlock()
	for _, a := range s.attendants {
		a.Settle(deadline)
	}
}

// Idle reports whether the space can be closed without anybody noticing.
func (s *Space) Idle() bool {
	s.attend.Lock()
	attended := len(s.attendants) > 0
	s.attend.Unlock()
	known, can := s.store.(interface{ Idle() bool })
	return can && !attended && known.Idle()
}

// pause pauses all attendants: a space with a transaction open cannot be
// closed.
func (s *Space) pause() {
	s.attend.Lock()
	defer s.attend.Unlock()
	for _, a := range s.attendants {
		a.Pause()
	}
}
