package keep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/tasks"
)

// objectCounter is where the last id of an object stands.
var objectCounter = keys.CounterKey("object")

// Check looks at everything in a namespace and adds what it finds to report.
// The namespace may be written to meanwhile; the check is of one commit. Its
// error is one that kept it from its end.
func Check(ns Namespace, report *Report) error {
	_, err := check(ns, report)
	return err
}

// found is what a check leaves for a repair.
type found struct {
	structure bool                // the storage itself is damaged
	ids       map[uint64][]string // objects that are not sound, with the names that lead to them
	problems  map[uint64][]int    // which of the report's are theirs
	loose     []looseRecord       // damaged records that are of no object
	counter   bool                // ids may be given out again
	tasks     bool                // indexes of tasks are not what they should be
}

type looseRecord struct {
	key    []byte
	reason string
}

func check(ns Namespace, report *Report) (*found, error) {
	c := &checker{
		ns: ns, report: report,
		names: map[uint64][]string{}, objects: map[uint64]*described{},
		found: &found{ids: map[uint64][]string{}, problems: map[uint64][]int{}},
	}
	err := ns.walk(func(key, value []byte) error {
		c.entry(key, value)
		return nil
	}, func([]byte, error) {})
	if err != nil && !errs.Has(err, errs.Corrupt) {
		return nil, err
	}
	if c.newer != nil {
		return nil, c.newer
	}
	c.found.structure = err != nil
	for _, err := range apart(err) {
		c.problem("", "", text(err))
	}
	c.end()
	report.Namespaces++
	if ns.Tasks && !c.found.structure {
		if err := c.tasks(); err != nil {
			return nil, err
		}
	}
	return c.found, nil
}

// checker goes through the entries of a namespace in the order of their keys:
// the catalog comes before the data.
type checker struct {
	ns     Namespace
	report *Report
	found  *found

	names   map[uint64][]string // of ids whose descriptor has not come yet
	objects map[uint64]*described
	counter uint64
	highest uint64
	format  bool
	newer   error // the namespace is of a newer format: what is in it is not known here

	reading *reading
}

// described is an object that has a descriptor.
type described struct {
	object.Descriptor
	data bool // there are data of it
}

// reading is the object whose data are being read.
type reading struct {
	id           uint64
	state        *object.State
	damagedState bool
	audit        coll.Audit
	broken       bool // a record is damaged: that counts do not agree follows from it
}

func (c *checker) problem(name, key, what string) {
	c.report.add(Problem{Namespace: c.ns.Name, Object: name, Key: key, What: what})
}

// of notes that an object is not sound.
func (c *checker) of(id uint64, key, what string) {
	c.found.ids[id] = c.names[id]
	if len(c.report.Problems) < maxProblems {
		c.found.problems[id] = append(c.found.problems[id], len(c.report.Problems))
	}
	c.problem(c.nameOf(id), key, what)
}

func (c *checker) nameOf(id uint64) string {
	if d := c.objects[id]; d != nil {
		return d.Name
	}
	if names := c.names[id]; len(names) > 0 {
		return names[0]
	}
	return objectOf(id)
}

func (c *checker) entry(key, value []byte) {
	c.report.Records++
	c.report.Bytes += int64(len(key) + len(value))
	if id, tag, rest, ok := keys.SplitObjectKey(key); ok && id != 0 {
		c.data(id, tag, rest, key, value)
		return
	}
	err := keys.Verify(key, value)
	space := byte(0)
	if len(key) > 0 {
		space = key[0]
	}
	switch space {
	case keys.SpaceName:
		if name := keys.NameOf(key); err != nil || object.CheckName(name) != nil {
			c.loose(key, "the name leads nowhere: its record is damaged")
		} else {
			id := binary.BigEndian.Uint64(value)
			c.names[id] = append(c.names[id], name)
		}
	case keys.SpaceDescriptor:
		c.descriptor(key, value)
	case keys.SpaceCounter:
		if err != nil {
			c.loose(key, "the counter is damaged")
		} else if string(key) == string(objectCounter) {
			c.counter = binary.BigEndian.Uint64(value)
		}
	case keys.SpaceNamespace:
		if !keys.SumHolds(key, value) {
			c.loose(key, "the record is damaged")
		} else if string(key) == string(keys.FormatKey()) {
			c.format = true
			c.newer = object.CheckFormat(value, c.ns.Name)
		}
	case keys.SpaceTask:
		if err := tasks.Verify(key, value); err != nil {
			c.problem("", keys.Describe(key), "the record is damaged")
			c.found.tasks = true
		}
	default:
		c.loose(key, "parkit keeps nothing under such a key")
	}
}

func (c *checker) loose(key []byte, what string) {
	c.found.loose = append(c.found.loose, looseRecord{slices.Clone(key), what})
	c.problem("", keys.Describe(key), what)
}

func (c *checker) descriptor(key, value []byte) {
	d, err := object.DecodeDescriptor(key, value)
	if err != nil {
		if len(key) != 9 {
			c.loose(key, "parkit keeps nothing under such a key")
			return
		}
		id := binary.BigEndian.Uint64(key[1:])
		c.highest = max(c.highest, id)
		c.of(id, "descriptor", "it is damaged, so what the object is was lost")
		return
	}
	c.report.Objects++
	c.highest = max(c.highest, d.ID)
	d.Metadata, d.Extra = "", "" // of many objects all are held at once
	c.objects[d.ID] = &described{Descriptor: d}
	names := c.names[d.ID]
	switch {
	case len(names) == 0:
		c.of(d.ID, "name", "no name leads to the object")
	case len(names) > 1 || names[0] != d.Name:
		c.of(d.ID, "name", fmt.Sprintf("names lead to it that are not its own: %q", names))
	default:
		delete(c.names, d.ID)
	}
}

func (c *checker) data(id uint64, tag byte, rest, key, value []byte) {
	r := c.reading
	if r == nil || r.id != id {
		c.endObject()
		r = &reading{id: id}
		c.reading = r
		c.highest = max(c.highest, id)
		if d := c.objects[id]; d != nil {
			d.data = true
			r.audit = coll.AuditOf(d.Kind)
		} else if _, known := c.found.ids[id]; !known {
			c.of(id, "descriptor", "there are data without a descriptor, which says what they are of")
		}
	}
	if tag == keys.TagState {
		state, err := object.ParseState(key, value)
		if err != nil {
			c.of(id, "state", "it is damaged, so how much the object holds was lost")
			r.damagedState = true
			return
		}
		r.state = &state
		if r.audit == nil {
			r.audit = coll.AuditOf(state.Kind())
		}
		if d := c.objects[id]; d != nil && d.Kind != state.Kind() {
			c.of(id, "state", fmt.Sprintf("it is that of an object of kind %d, and the descriptor says %d", state.Kind(), d.Kind))
		}
		return
	}
	if err := keys.Verify(key, value); err != nil {
		if errs.Has(err, errs.NewerFormat) {
			c.problem(c.nameOf(id), keys.Describe(key), text(err)) // not damaged: nothing is to be removed
		} else {
			c.of(id, keys.Describe(key), text(err))
			r.broken = true
			return
		}
	}
	if r.audit == nil {
		r.audit = coll.AuditOf(object.KindObject)
	}
	if err := r.audit.Record(key, tag, rest, value); err != nil {
		c.of(id, keys.Describe(key), text(err))
		r.broken = true
	}
}

// endObject compares what an object's state says with what was there.
func (c *checker) endObject() {
	r := c.reading
	c.reading = nil
	if r == nil || r.broken && r.state != nil {
		return
	}
	if r.state == nil {
		if r.damagedState {
			return
		}
		c.of(r.id, "state", "it is missing, so how much the object holds was lost")
		return
	}
	if r.audit == nil {
		return
	}
	want := r.audit.State(*r.state, true)
	for _, difference := range differences(r.state, &want) {
		c.of(r.id, "state", difference)
	}
	if r.audit.Gaps(want) {
		c.of(r.id, "positions", "items are missing between others")
	}
}

func differences(is, want *object.State) (list []string) {
	for _, field := range []struct {
		what     string
		is, want uint64
	}{
		{"the length", is.Length, want.Length}, {"the next position", is.Next, want.Next},
		{"the number of pending items", is.Pending, want.Pending}, {"the number of bytes", is.Bytes, want.Bytes},
		{"the number of leased items", is.Leased, want.Leased}, {"the number of dead letters", is.Dead, want.Dead},
	} {
		if field.is != field.want {
			list = append(list, fmt.Sprintf("%s is said to be %d and is %d", field.what, field.is, field.want))
		}
	}
	if is.Flags != want.Flags {
		list = append(list, fmt.Sprintf("its flags are %#x and ought to be %#x", is.Flags, want.Flags))
	}
	return list
}

func (c *checker) end() {
	c.endObject()
	for _, id := range slices.Sorted(maps.Keys(c.objects)) {
		if !c.objects[id].data {
			c.of(id, "state", "it is missing, with all the object's data")
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.names)) {
		if _, known := c.found.ids[id]; c.objects[id] == nil && !known {
			c.of(id, "name", "it leads to an object that is not there")
		}
	}
	if c.counter < c.highest {
		c.found.counter = true
		c.problem("", "counter of objects", fmt.Sprintf("it stands at %d though object %d exists, so ids would be given out again", c.counter, c.highest))
	}
	if !c.format && len(c.objects)+len(c.names) > 0 {
		c.loose(keys.FormatKey(), "the record that says of which format the namespace is was lost")
	}
}

// tasks has the tasks audited, of a later commit.
func (c *checker) tasks() error {
	err := tasks.Inspect(c.ns.Space)
	if errs.Has(err, errs.Corrupt) {
		c.found.tasks = true
		c.problem("", "tasks", text(err))
		return nil
	}
	return err
}

// apart is the list of errors that one joins.
func apart(err error) []error {
	if err == nil {
		return nil
	}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}

// text is what an error says, without the operation and the subject, which a
// problem names by itself.
func text(err error) string {
	var known *errs.Error
	if !errors.As(err, &known) {
		return err.Error()
	}
	words := known.Detail
	if known.Cause != nil {
		if words != "" {
			words += ": "
		}
		words += known.Cause.Error()
	}
	// Who is told has it checked just now.
	for _, advice := range []string{". Check the namespace", "; check the namespace"} {
		words, _, _ = strings.Cut(words, advice)
	}
	return words
}
