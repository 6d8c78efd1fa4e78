package object

// Attendant is what a collection keeps and runs in this process for an object,
// beside the operations that are asked for.
type Attendant interface {
	// Pause stops what runs, and returns when it has stopped. A later
	// operation may start it again.
	Pause()
}

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

// pause pauses all attendants: a space with a transaction open cannot be
// closed.
func (s *Space) pause() {
	s.attend.Lock()
	defer s.attend.Unlock()
	for _, a := range s.attendants {
		a.Pause()
	}
}
