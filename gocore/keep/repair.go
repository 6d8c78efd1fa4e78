package keep

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
	"parkit/gocore/tasks"
)

// classes are those that objects get whose descriptor was lost. The core does
// not know Python's classes: it writes their names down, as it would any.
var classes = map[object.Kind]string{
	object.KindObject: "parkit.object:Object", object.KindDict: "parkit.dict:Dict", object.KindArray: "parkit.array:Array",
	object.KindQueue: "parkit.queue:Queue", object.KindFile: "parkit.file:File", object.KindAsyncable: "parkit.asyncable:Asyncable",
}

// lifoClass and rankedClass end the names of classes whose state has a flag.
const (
	lifoClass   = ":LifoQueue"
	rankedClass = ":PriorityQueue"
)

// Repair is Check, and then sets aside what is damaged and brings the rest
// into step. Each object is repaired in a transaction of its own; so it is for
// callers without one. Where the storage itself is damaged it reports only,
// and structure is true: Salvage first.
func Repair(ns Namespace, report *Report, aside Quarantine) (structure bool, err error) {
	found, err := check(ns, report)
	if err != nil || found.structure {
		return err == nil, err
	}
	r := &repairer{ns: ns, quarantine: aside, report: report}
	ids := make([]uint64, 0, len(found.ids))
	for id := range found.ids {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if len(found.loose) > 0 {
		if err := r.write(func() error { return r.loose(found.loose) }); err != nil {
			return false, err
		}
	}
	for _, id := range ids {
		var done string
		err := r.write(func() (err error) {
			done, err = r.object(id, found.ids[id])
			return err
		})
		if err != nil {
			return false, err
		}
		for _, at := range found.problems[id] {
			report.Problems[at].Done = done
		}
	}
	// Last, since it counts the objects that were brought back.
	if err := r.write(r.counter); err != nil {
		return false, err
	}
	if found.tasks {
		err := r.write(func() error {
			return tasks.Repair(r.tx, func(key, value []byte, reason string) { r.take("", key, value, reason) })
		})
		if err != nil {
			return false, err
		}
	}
	for i := range report.Problems {
		if p := &report.Problems[i]; p.Namespace == ns.Name && p.Done == "" && p.Object == "" {
			p.Done = "set aside or made anew"
		}
	}
	return false, nil
}

type repairer struct {
	ns         Namespace
	quarantine Quarantine
	report     *Report
	tx         store.Txn
	aside      []Aside
}

// write runs fn in a write transaction, and commits it when what fn took out
// is stored elsewhere.
func (r *repairer) write(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tx, err := r.ns.Space.Begin(store.Write, store.Wait{Timeout: -1})
	if err != nil {
		return err
	}
	defer tx.Abort()
	r.tx, r.aside = tx, nil
	if err := fn(); err != nil {
		return err
	}
	if len(r.aside) > 0 {
		if err := r.quarantine(r.aside); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// take notes a record that is about to be removed. It keeps the slices.
func (r *repairer) take(name string, key, record []byte, reason string) {
	r.aside = append(r.aside, Aside{
		Namespace: r.ns.Name, Object: name, Key: keys.Describe(key), Reason: reason,
		Time: r.ns.Space.Now().UnixNano(), DBKey: key, Record: record,
	})
}

// remove takes a record out, if it is still there.
func (r *repairer) remove(name string, key []byte, reason string) error {
	record, err := r.tx.Get(key)
	if err == store.ErrNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	r.take(name, bytes.Clone(key), bytes.Clone(record), reason)
	_, err = r.tx.Del(key)
	return err
}

// loose removes damaged records that are of no object. The format and the
// counters are made again: the format here, the counter of objects at the end.
func (r *repairer) loose(list []looseRecord) error {
	for _, l := range list {
		record, err := r.tx.Get(l.key)
		if err != nil && err != store.ErrNotFound {
			return err
		}
		if err == nil && keys.Verify(l.key, record) == nil && l.key[0] == keys.SpaceName {
			continue // written again since
		}
		if err := r.remove("", l.key, l.reason); err != nil {
			return err
		}
		if string(l.key) == string(keys.FormatKey()) {
			record, err := object.FormatRecord(r.ns.Space.Now().UnixNano())
			if err != nil {
				return errs.Wrap(errs.Internal, "repair", r.ns.Name, err)
			}
			if _, err := r.tx.Put(l.key, record); err != nil {
				return err
			}
		}
	}
	return nil
}

// counter has ids of objects go on behind the highest that there is.
func (r *repairer) counter() error {
	var highest uint64
	for _, space := range []store.Range{store.Prefix([]byte{keys.SpaceDescriptor}), {Lo: []byte{keys.SpaceObject + 1}, Hi: []byte{keys.SpaceObject + 9}}} {
		space.Reverse, space.KeysOnly = true, true
		var last [1]store.Entry
		n, err := r.tx.Scan(space, last[:])
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		if id, _, _, ok := keys.SplitObjectKey(last[0].Key); ok {
			highest = max(highest, id)
		} else if len(last[0].Key) == 9 {
			highest = max(highest, binary.BigEndian.Uint64(last[0].Key[1:]))
		}
	}
	raw, err := r.tx.Get(objectCounter)
	if err != nil && err != store.ErrNotFound {
		return err
	}
	if highest == 0 || len(raw) == 8 && binary.BigEndian.Uint64(raw) >= highest {
		return nil
	}
	_, err = r.tx.Put(objectCounter, binary.BigEndian.AppendUint64(nil, highest))
	return err
}

// object repairs an object, to which names lead beside its own.
func (r *repairer) object(id uint64, names []string) (done string, err error) {
	o := &patient{r: r, id: id, names: names, prefix: keys.ObjectPrefix(id)}
	return o.repair()
}

// patient is an object under repair.
type patient struct {
	r      *repairer
	id     uint64
	names  []string
	prefix []byte
	done   []string

	d          object.Descriptor
	described  bool
	state      object.State
	counted    bool // the state is known
	sound      int
	seen       [256]bool // tags of sound records
	taken      int
	rediscover bool // the descriptor is to be written
}

func (o *patient) did(format string, args ...any) {
	o.done = append(o.done, fmt.Sprintf(format, args...))
}

func (o *patient) repair() (string, error) {
	for _, step := range []func() error{o.readDescriptor, o.readData} {
		if err := step(); err != nil {
			return "", err
		}
	}
	if !o.described && o.sound == 0 && !o.counted {
		for _, name := range o.names {
			if err := o.dropName(name, "it leads to an object that is not there"); err != nil {
				return "", err
			}
		}
		return "set aside: nothing of the object is left", nil
	}
	for _, step := range []func() error{o.describe, o.name, o.count} {
		if err := step(); err != nil {
			return "", err
		}
	}
	if o.taken > 0 {
		o.did("%d damaged set aside", o.taken)
	}
	if len(o.done) == 0 {
		o.did("brought into step")
	}
	o.r.tx.Touch(store.ChannelOf(o.id))
	return strings.Join(o.done, "; "), nil
}

func (o *patient) readDescriptor() error {
	key := keys.DescriptorKey(o.id)
	record, err := o.r.tx.Get(key)
	if err == store.ErrNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if o.d, err = object.DecodeDescriptor(key, record); err != nil {
		o.taken++
		return o.r.remove(o.label(), key, text(err))
	}
	o.described = true
	return nil
}

func (o *patient) label() string {
	switch {
	case o.described:
		return o.d.Name
	case len(o.names) > 0:
		return o.names[0]
	}
	return objectOf(o.id)
}

// each calls fn for the object's records, in batches of which the slices are
// good until fn writes.
func (o *patient) each(r store.Range, fn func(tag byte, key, record []byte) error) error {
	for batch := make([]store.Entry, 256); ; {
		n, err := o.r.tx.Scan(r, batch)
		if err != nil {
			return err
		}
		for _, e := range batch[:n] {
			if err := fn(e.Key[len(o.prefix)], e.Key, e.Value); err != nil {
				return err
			}
		}
		if n < len(batch) {
			return nil
		}
		r = r.Rest(batch[n-1].Key)
	}
}

// readData sets damaged records aside and looks at what is left.
func (o *patient) readData() error {
	type bad struct {
		key    []byte
		reason string
	}
	var damaged []bad
	audit := coll.Audit(nil)
	if o.described {
		audit = coll.AuditOf(o.d.Kind)
	}
	err := o.each(store.Prefix(o.prefix), func(tag byte, key, record []byte) error {
		if tag == keys.TagState {
			state, err := object.ParseState(key, record)
			if err != nil || o.described && state.Kind() != o.d.Kind {
				damaged = append(damaged, bad{bytes.Clone(key), "the state is damaged"})
				return nil
			}
			o.state, o.counted = state, true
			return nil
		}
		err := keys.Verify(key, record)
		if errs.Has(err, errs.NewerFormat) {
			return err // whoever repairs must know all there is
		}
		if err == nil && audit != nil {
			err = audit.Record(key, tag, key[len(o.prefix)+1:], record)
		}
		if err != nil {
			damaged = append(damaged, bad{bytes.Clone(key), text(err)})
			return nil
		}
		o.sound++
		o.seen[tag] = true
		return nil
	})
	if err != nil {
		return err
	}
	for _, b := range damaged {
		o.taken++
		if err := o.r.remove(o.label(), b.key, b.reason); err != nil {
			return err
		}
	}
	return nil
}

// describe makes a descriptor where that was lost.
func (o *patient) describe() error {
	if o.described {
		return nil
	}
	kind := object.KindObject
	switch {
	case o.counted:
		kind = o.state.Kind()
	case o.seen[keys.TagDict]:
		kind = object.KindDict
	case o.seen[keys.TagRank]:
		kind = object.KindQueue
	case o.seen[keys.TagItem]:
		kind = object.KindArray
	}
	class := classes[kind]
	if kind == object.KindQueue {
		switch {
		case o.state.Flags&object.FlagRanked != 0 || o.seen[keys.TagRank]:
			class = "parkit.queue" + rankedClass
		case o.state.Flags&object.FlagLifo != 0:
			class = "parkit.queue" + lifoClass
		}
	}
	o.d = object.Descriptor{
		ID: o.id, UUID: object.NewUUID(), Kind: kind, Class: class, Bases: []string{}, Created: o.r.ns.Space.Now().UnixNano(),
		Versioned: !o.counted || o.state.Flags&object.FlagUnversioned == 0,
	}
	o.rediscover = true
	o.did("described anew, as %s", class)
	return nil
}

// name has one name lead to the object, its own.
func (o *patient) name() error {
	want := o.d.Name
	for _, name := range o.names {
		if want == "" && o.leads(name) {
			want = name
		}
	}
	if want == "" {
		want = fmt.Sprintf("recovered-%d", o.id)
	}
	free, err := o.free(want)
	if err != nil {
		return err
	}
	for n := 1; !free; n++ {
		want = fmt.Sprintf("recovered-%d-%d", o.id, n)
		if free, err = o.free(want); err != nil {
			return err
		}
	}
	for _, name := range o.names {
		if name != want && o.leads(name) {
			if err := o.dropName(name, "it led to the object "+want); err != nil {
				return err
			}
		}
	}
	if !o.leads(want) {
		if _, err := o.r.tx.Put(keys.NameKey(want), binary.BigEndian.AppendUint64(nil, o.id)); err != nil {
			return err
		}
		o.did("found again under the name %q", want)
	}
	if o.d.Name == want && !o.rediscover {
		return nil
	}
	o.d.Name = want
	record, err := o.d.Record()
	if err != nil {
		return err
	}
	_, err = o.r.tx.Put(keys.DescriptorKey(o.id), record)
	return err
}

func (o *patient) leads(name string) bool {
	raw, err := o.r.tx.Get(keys.NameKey(name))
	return err == nil && len(raw) == 8 && binary.BigEndian.Uint64(raw) == o.id
}

// free reports whether no other object has the name.
func (o *patient) free(name string) (bool, error) {
	raw, err := o.r.tx.Get(keys.NameKey(name))
	if err == store.ErrNotFound || err == nil && (len(raw) != 8 || binary.BigEndian.Uint64(raw) == o.id) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	key := keys.DescriptorKey(binary.BigEndian.Uint64(raw))
	record, err := o.r.tx.Get(key)
	if err == store.ErrNotFound {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	other, damaged := object.DecodeDescriptor(key, record)
	return damaged == nil && other.Name != name, nil
}

func (o *patient) dropName(name, reason string) error {
	if !o.leads(name) {
		return nil
	}
	return o.r.remove(o.label(), keys.NameKey(name), reason)
}

// count makes the state what the records ask for.
func (o *patient) count() error {
	stored := o.state
	if !o.counted {
		stored = object.NewState(&o.d)
		for _, class := range append([]string{o.d.Class}, o.d.Bases...) {
			if strings.HasSuffix(class, lifoClass) {
				stored.Flags |= object.FlagLifo
			}
			if strings.HasSuffix(class, rankedClass) {
				stored.Flags |= object.FlagRanked
			}
		}
		o.did("counted anew; a bound on the length was lost")
	}
	audit := coll.AuditOf(o.d.Kind)
	err := o.each(store.Prefix(o.prefix), func(tag byte, key, record []byte) error {
		if tag == keys.TagState {
			return nil
		}
		return audit.Record(key, tag, key[len(o.prefix)+1:], record)
	})
	if err != nil {
		return err
	}
	want := audit.State(stored, o.counted)
	if audit.Gaps(want) {
		if err := o.closeGaps(want.Next); err != nil {
			return err
		}
		o.did("items moved together")
	}
	if o.counted && want.Length != stored.Length {
		o.did("the length is now %d", want.Length)
	}
	want.Version++
	key := keys.StateKey(o.prefix)
	_, err = o.r.tx.Put(key, want.Record(key))
	return err
}

// closeGaps moves the items up so that the last one stands before next.
func (o *patient) closeGaps(next uint64) error {
	r := store.Prefix(keys.AppendTag(nil, o.prefix, keys.TagItem))
	r.Reverse = true
	for {
		var one [1]store.Entry
		n, err := o.r.tx.Scan(r, one[:])
		if err != nil || n == 0 {
			return err
		}
		next--
		from := bytes.Clone(one[0].Key)
		r = r.Rest(from)
		to := keys.AppendItemKey(nil, o.prefix, keys.TagItem, next)
		if bytes.Equal(from, to) {
			continue
		}
		record := make([]byte, len(one[0].Value))
		if err := keys.Carry(record, to, from, one[0].Value); err != nil {
			return err
		}
		if _, err := o.r.tx.Put(to, record); err != nil {
			return err
		}
		if _, err := o.r.tx.Del(from); err != nil {
			return err
		}
	}
}
