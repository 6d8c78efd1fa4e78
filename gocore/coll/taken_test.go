package coll_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"slices"
	"testing"
	"time"

	"parkit/gocore/coll"
	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// putBack takes an entry of a dict and puts it back.
func putBack(key []byte) func(tx *object.Tx, o *object.Object) error {
	return func(tx *object.Tx, o *object.Object) error {
		taken, err := coll.DictPop(tx, o, key)
		if err == nil {
			err = coll.DictReturn(tx, o, taken)
		}
		return err
	}
}

// crossed is what the lane makes of a Taken.
func crossed(t coll.Taken) coll.Taken {
	value, place := t.Lengths()
	return coll.TakenOf(bytes.Clone(t.Packed()), value, place, t.Due)
}

// audited holds an object to what its records ask for.
func audited(t *testing.T, space *object.Space, o *object.Object, kind object.Kind) object.State {
	t.Helper()
	tx, err := space.Begin(store.Read, store.Wait{})
	need(t, err)
	defer tx.Abort()
	entries := make([]store.Entry, 2000)
	n, err := tx.Scan(store.Prefix(o.Prefix), entries)
	need(t, err)
	audit := coll.AuditOf(kind)
	for _, e := range entries[:n] {
		if tag := e.Key[len(o.Prefix)]; tag != keys.TagState {
			need(t, audit.Record(e.Key, tag, e.Key[len(o.Prefix)+1:], e.Value))
		}
	}
	state, err := tx.State(o)
	need(t, err)
	if want := audit.State(*state, true); want != *state || audit.Gaps(want) {
		t.Fatalf("the state is %+v, the records ask for %+v, gaps %v", *state, want, audit.Gaps(want))
	}
	return *state
}

// Property: whatever is taken, put back, put and leased in between, items are
// taken in the order of their places, and counted as what they are.
func TestWhatIsPutBackToAQueueIsWhereItWas(t *testing.T) {
	type placed struct{ rank, number int }
	seed := time.Now().UnixNano()
	t.Log("seed", seed)
	for backend, open := range backends(t) {
		for _, flags := range []uint32{0, object.FlagLifo, object.FlagRanked} {
			t.Run(fmt.Sprintf("%s/%x", backend, flags), func(t *testing.T) {
				draw := rand.New(rand.NewSource(seed))
				space, o := newQueue(t, open(), 0, flags)
				defer func() { need(t, space.Close()) }()
				order := func(a, b placed) int {
					switch {
					case flags == object.FlagRanked && a.rank != b.rank:
						return a.rank - b.rank
					case flags == object.FlagLifo:
						return b.number - a.number
					}
					return a.number - b.number
				}
				var items []placed
				held := map[placed]coll.Taken{}
				number, pending := 0, 0
				for step := range 300 {
					switch draw.Intn(5) {
					case 0, 1:
						item := placed{draw.Intn(3), number}
						number++
						update(t, space, func(tx *object.Tx) error {
							return putItem(tx, o, flags, item.rank, fmt.Sprint(item.number))
						})
						items = append(items, item)
						pending++
					case 2, 3:
						var taken coll.Taken
						err := space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) (err error) {
							taken, err = coll.QueueTake(tx, o, make([]byte, 0, 8))
							return err
						})
						if len(items) == 0 {
							wants(t, err, store.ErrNotFound)
							continue
						}
						need(t, err)
						slices.SortFunc(items, order)
						if string(taken.Value()) != fmt.Sprint(items[0].number) {
							t.Fatalf("step %d: took %q, want %+v", step, taken.Value(), items[0])
						}
						held[items[0]] = crossed(taken)
						items = items[1:]
					case 4:
						for item, taken := range held {
							update(t, space, func(tx *object.Tx) error { return coll.QueueReturn(tx, o, taken) })
							items = append(items, item)
							delete(held, item)
							break
						}
					}
					state := audited(t, space, o, object.KindQueue)
					if state.Length != uint64(len(items)) || state.Pending != uint64(pending) {
						t.Fatalf("step %d: state %+v, want %d of %d", step, state, len(items), pending)
					}
				}
			})
		}
	}
}

// As long as nobody took another item meanwhile, nothing has to be searched for.
func TestAQueueThatGotItsFirstItemBackHasNoGaps(t *testing.T) {
	for backend, open := range backends(t) {
		t.Run(backend, func(t *testing.T) {
			space, o := newQueue(t, open(), 0, 0)
			defer func() { need(t, space.Close()) }()
			take := func() (taken coll.Taken) {
				update(t, space, func(tx *object.Tx) (err error) { taken, err = coll.QueueTake(tx, o, nil); return err })
				return taken
			}
			back := func(taken coll.Taken) uint32 {
				update(t, space, func(tx *object.Tx) error { return coll.QueueReturn(tx, o, taken) })
				return audited(t, space, o, object.KindQueue).Flags & object.FlagLeases
			}
			for i := range 3 {
				update(t, space, func(tx *object.Tx) error { return coll.QueuePut(tx, o, nil, []byte{byte(i)}) })
			}
			if back(take()) != 0 {
				t.Error("items are searched for without need")
			}
			first := take()
			take()
			if back(first) == 0 {
				t.Error("there is a gap that nobody expects")
			}
			if got := take(); got.Value()[0] != 0 {
				t.Errorf("took %d", got.Value())
			}
		})
	}
}

func TestWhatIsPutBackToAnArrayIsAtItsEnd(t *testing.T) {
	for backend, open := range backends(t) {
		t.Run(backend, func(t *testing.T) {
			space, o := newSequence(t, open(), object.KindArray, 3)
			defer func() { need(t, space.Close()) }()
			appendItem := func(tx *object.Tx, value byte) error { return coll.ArrayAppend(tx, o, []byte{value}) }
			has := func(want ...byte) {
				t.Helper()
				state := audited(t, space, o, object.KindArray)
				var got []byte
				update(t, space, func(tx *object.Tx) error {
					got = nil
					for i := range state.Length {
						value, err := coll.ArrayGet(tx, o, int64(i))
						if err != nil {
							return err
						}
						got = append(got, value[0])
					}
					return nil
				})
				if !bytes.Equal(got, want) {
					t.Fatalf("the array is %v, not %v", got, want)
				}
			}
			update(t, space, func(tx *object.Tx) error { return coll.ArrayExtend(tx, o, items(3, 0)) })
			for _, last := range []bool{false, true} {
				var taken coll.Taken
				pop := func(tx *object.Tx) (err error) { taken, err = coll.ArrayPop(tx, o, last); return err }
				back := func(tx *object.Tx) error { return coll.ArrayReturn(tx, o, crossed(taken), last) }
				update(t, space, pop)
				update(t, space, back)
				has(0, 1, 2)
				update(t, space, pop)
				update(t, space, func(tx *object.Tx) error { return appendItem(tx, 7) })
				update(t, space, back) // over the bound, until the next one comes
				if last {
					has(0, 1, 7, 2)
				} else {
					has(0, 1, 2, 7)
				}
				update(t, space, func(tx *object.Tx) error { return coll.ArrayClear(tx, o) })
				update(t, space, func(tx *object.Tx) error { return coll.ArrayExtend(tx, o, items(3, 0)) })
			}
			// Of an array whose counts are wrong no item is put anywhere.
			update(t, space, func(tx *object.Tx) error {
				tx.Alter(o, func(s *object.State) { s.Next = s.Length })
				return nil
			})
			err := space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
				return coll.ArrayReturn(tx, o, coll.TakenOf([]byte{9}, 1, 0, 0), false)
			})
			if !errs.Has(err, errs.Corrupt) {
				t.Error(err)
			}
		})
	}
}

// Properties: an entry that is put back is what it was, with its own key and
// its end; what was stored meanwhile stays; what has ended does not come back.
func TestWhatIsPutBackToADictIsAsItWas(t *testing.T) {
	one, boolean := encode(t, true)
	long, _ := encode(t, string(bytes.Repeat([]byte("long"), 200)))
	text, _ := encode(t, "text")
	future := time.Now().Add(time.Hour).UnixNano()
	for backend, open := range backends(t) {
		for _, kind := range []string{"plain", "with ends", "limited"} {
			t.Run(backend+"/"+kind, func(t *testing.T) {
				space, o := newDict(t, open())
				due := int64(0)
				update(t, space, func(tx *object.Tx) error {
					if kind == "limited" {
						if err := coll.DictLimit(tx, o, 10, 0, coll.EvictUsed); err != nil {
							return err
						}
					}
					if kind != "plain" {
						due = future
					}
					for _, e := range []coll.DictEntry{{Key: one, Own: boolean, Value: []byte("1")}, {Key: long, Value: []byte("2")}, {Key: text, Value: []byte("3")}} {
						if _, err := coll.DictStore(tx, o, e, due, coll.StoreSet); err != nil {
							return err
						}
					}
					return nil
				})
				entries := func() (list []string) {
					tx, err := space.Begin(store.Read, store.Wait{})
					need(t, err)
					defer tx.Abort()
					var all [5]coll.DictEntry
					n, err := coll.DictScan(tx, o, coll.KeyRange{}, all[:])
					need(t, err)
					for _, e := range all[:n] {
						list = append(list, fmt.Sprintf("%x %x %s", e.Key, e.Own, e.Value))
					}
					for _, key := range [][]byte{one, long, text} {
						end, err := coll.DictDue(tx, o, key)
						list = append(list, fmt.Sprint(end, err))
					}
					return list
				}
				before := entries()
				var taken coll.Taken
				for _, take := range []func(tx *object.Tx) (coll.Taken, error){
					func(tx *object.Tx) (coll.Taken, error) { return coll.DictPop(tx, o, one) },
					func(tx *object.Tx) (coll.Taken, error) { return coll.DictPop(tx, o, long) },
					func(tx *object.Tx) (coll.Taken, error) { return coll.DictPopItem(tx, o, false) },
					func(tx *object.Tx) (coll.Taken, error) { return coll.DictPopItem(tx, o, true) },
				} {
					update(t, space, func(tx *object.Tx) (err error) { taken, err = take(tx); return err })
					update(t, space, func(tx *object.Tx) error { return coll.DictReturn(tx, o, crossed(taken)) })
					sameContent(t, "put back", entries(), before)
					audited(t, space, o, object.KindDict)
				}
				update(t, space, func(tx *object.Tx) (err error) { taken, err = coll.DictPop(tx, o, text); return err })
				update(t, space, func(tx *object.Tx) error { return coll.DictSet(tx, o, text, nil, []byte("theirs")) })
				update(t, space, func(tx *object.Tx) error { return coll.DictReturn(tx, o, taken) })
				update(t, space, func(tx *object.Tx) error {
					value, err := coll.DictGet(tx, o, text)
					if string(value) != "theirs" {
						t.Errorf("%q", value)
					}
					return err
				})
				update(t, space, func(tx *object.Tx) (err error) { taken, err = coll.DictPop(tx, o, one); return err })
				taken.Due = 1
				update(t, space, func(tx *object.Tx) error { return coll.DictReturn(tx, o, taken) })
				if state := audited(t, space, o, object.KindDict); state.Length != 2 {
					t.Errorf("what had ended came back: %+v", state)
				}
			})
		}
	}
}

// What an operation took and cannot put back does not get lost by a commit of
// its transaction.
func TestATransactionThatCannotPutBackDoesNotCommit(t *testing.T) {
	for backend, open := range backends(t) {
		t.Run(backend, func(t *testing.T) {
			space, o := newDict(t, open())
			one, _ := encode(t, 1)
			two, _ := encode(t, 2)
			update(t, space, func(tx *object.Tx) error {
				need(t, coll.DictLimit(tx, o, 1, 0, coll.EvictNone))
				return coll.DictSet(tx, o, one, nil, []byte("1"))
			})
			err := space.Update(store.Wait{Timeout: -1}, func(tx *object.Tx) error {
				taken, err := coll.DictPop(tx, o, one)
				need(t, err)
				need(t, coll.DictSet(tx, o, two, nil, []byte("2")))
				if err := coll.DictReturn(tx, o, taken); !errs.Has(err, errs.Full) {
					t.Error(err)
				}
				return nil
			})
			if !errs.Has(err, errs.Full) {
				t.Error("it was committed:", err)
			}
			update(t, space, func(tx *object.Tx) error { _, err := coll.DictGet(tx, o, one); return err })
		})
	}
}
