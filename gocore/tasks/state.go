package tasks

import "fmt"

// State is where a task stands. The numbers are stored.
type State uint8

const (
	Submitted State = 1 + iota // waits for a worker, or for its due time
	Running                    // a worker holds its claim
	Finished                   // has a result
	Failed                     // the function raised; has an error
	Crashed                    // its worker died with it, no attempt is left
	Cancelled                  // ended by Cancel
)

var stateNames = [...]string{"", "submitted", "running", "finished", "failed", "crashed", "cancelled"}

func (s State) String() string {
	if s >= Submitted && s <= Cancelled {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// ParseState is the inverse of String; false for any other text.
func ParseState(name string) (State, bool) {
	for s := Submitted; s <= Cancelled; s++ {
		if stateNames[s] == name {
			return s, true
		}
	}
	return 0, false
}

// Done reports whether the state is final.
func (s State) Done() bool { return s >= Finished && s <= Cancelled }

// Event is something that moves a task from a state to another.
type Event uint8

const (
	EventClaim   Event = iota // a worker takes it
	EventFinish               // its worker records a result
	EventFail                 // its worker records an error
	EventCrash                // its worker is dead, no attempt is left
	EventRequeue              // it crashed or failed, and may run again
	EventRelease              // its worker gives it back without having begun
	EventCancel               // somebody does not want it any more
)

var eventNames = [...]string{"claim", "finish", "fail", "crash", "requeue", "release", "cancel"}

func (e Event) String() string {
	if int(e) < len(eventNames) {
		return eventNames[e]
	}
	return fmt.Sprintf("event %d", uint8(e))
}

// Transition is one legal step.
type Transition struct {
	From  State
	Event Event
	To    State
}

// Transitions is the whole state machine: what is not listed is refused.
// docs/task-states.md shows the same table, and a test compares the two.
var Transitions = []Transition{
	{Submitted, EventClaim, Running},
	{Submitted, EventCancel, Cancelled},
	{Running, EventFinish, Finished},
	{Running, EventFail, Failed},
	{Running, EventCrash, Crashed},
	{Running, EventRequeue, Submitted},
	{Running, EventRelease, Submitted},
	{Running, EventCancel, Cancelled},
}

// steps is Transitions by (state, event), zero where illegal.
var steps = func() (table [Cancelled + 1][len(eventNames)]State) {
	for _, t := range Transitions {
		table[t.From][t.Event] = t.To
	}
	return table
}()

// next is the state after event; false when the table has no such step.
func (s State) next(e Event) (State, bool) {
	if s > Cancelled || int(e) >= len(eventNames) {
		return 0, false
	}
	to := steps[s][e]
	return to, to != 0
}
