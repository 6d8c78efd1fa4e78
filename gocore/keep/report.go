package keep

import (
	"fmt"

	"parkit/gocore/store"
)

// maxProblems is how many problems a report names; more are counted.
const maxProblems = 10_000

// Problem is one thing that is not as it should be.
type Problem struct {
	Namespace string `json:"namespace"`
	Object    string `json:"object"` // its name; none where it concerns no single object
	Key       string `json:"key"`    // what of it, in words
	What      string `json:"what"`
	Done      string `json:"done"` // by a repair; none where nothing was
}

// Report says what a check saw.
type Report struct {
	Namespaces int64     `json:"namespaces"`
	Objects    int64     `json:"objects"`
	Records    int64     `json:"records"`
	Bytes      int64     `json:"bytes"` // of keys and records
	Problems   []Problem `json:"problems"`
	Omitted    int64     `json:"omitted"` // problems that are counted only
	// Quarantine are the files in which a repair set records aside.
	Quarantine []string `json:"quarantine"`
}

// Sound reports whether nothing was found.
func (r *Report) Sound() bool { return len(r.Problems) == 0 }

func (r *Report) add(p Problem) *Problem {
	if len(r.Problems) >= maxProblems {
		r.Omitted++
		return &Problem{}
	}
	r.Problems = append(r.Problems, p)
	return &r.Problems[len(r.Problems)-1]
}

// Aside is a record that a repair took out of a namespace.
type Aside struct {
	Namespace string `json:"namespace"`
	Object    string `json:"object"`
	Key       string `json:"key"` // in words
	Reason    string `json:"reason"`
	Time      int64  `json:"time"`   // wall clock, ns
	DBKey     []byte `json:"dbkey"`  // as it was stored
	Record    []byte `json:"record"` // likewise
}

// Quarantine takes what a repair removes. It must have stored it for good when
// it returns: the transaction commits after that. A transaction that then
// fails has removed nothing, and its records may come a second time.
type Quarantine func([]Aside) error

// Namespace is a namespace to be checked.
type Namespace struct {
	Name  string
	Space store.Space
	Tasks bool // it is that of the tasks
	// Walk stands in for Space.Check where there is only a file.
	Walk func(verify func(key, value []byte) error, report func(key []byte, err error)) error
}

func (ns *Namespace) walk(verify func(key, value []byte) error, report func(key []byte, err error)) error {
	if ns.Walk != nil {
		return ns.Walk(verify, report)
	}
	return ns.Space.Check(verify, report)
}

func objectOf(id uint64) string { return fmt.Sprintf("object %d", id) }
