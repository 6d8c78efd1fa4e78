// Package gocore is the map of the core; the code is in the packages below it.
// The core knows nothing of Python: keys and values come to it encoded, and a
// Go program can use a site as well as a Python one.
//
// # Packages
//
// Each imports only what stands to its right:
//
//	site ──▶ object ─▶ keys ─▶ errs      directories, paths, profiles
//	  │        │        └──▶ crc         sums of records, made while they are copied
//	  │        └─────▶ store ─▶ errs     one ordered keyspace a namespace
//	  │      coll ──▶ owner              dicts and what else objects hold
//	  └────▶ store/lmdbstore             the storage that users get
//	           └─▶ lockfile              files locked for as long as a process lives
//	         store/memstore              the storage that fails on request
//	         store/storetest             what both must do alike
//	tasks ─▶ keys, store                 records of asynchronous calls
//	pool ──▶ tasks, site, lockfile       processes that run them
//	keep ──▶ site, coll, tasks           checks, repairs, backups, copies
//	owner ─▶ store                       which process holds what, and when it is gone
//	original ▶ errs                      files of the original parkit, for converting them
//	notify ▶ store                       tells event loops of changes
//
// # What is where
//
//	site       a directory; holds namespaces
//	namespace  a store.Space; one order of commits, one writer, many readers
//	object     a name and an id in a namespace; its data hang on the id
//	entry      a key and a value of an object
//
// Package keys says which bytes stand for each; docs/storage-layout.md says
// the same for readers.
//
// # The life of a transaction
//
//	object.Space.Update ──▶ store.Space.Update ─▶ waits for the writer's turn
//	                                                │
//	        ┌───────────────────────────────────────┘
//	        ▼
//	   fn(tx): coll.DictSet(tx, o, …)
//	        │    1. tx.State(o): is the object there? read once, then kept
//	        │    2. the entry is stored with its checksum; was its key new?
//	        │    3. tx.Changed(o, +1): in memory only
//	        ▼
//	   states that changed are stored: version + 1, the length, and whoever
//	   waits for a change of the object is to be woken
//	        ▼
//	   commit; in a durable namespace a flush, shared by those who wait for
//	   one at the same time; then the wake-ups
//
// An explicit transaction (object.Space.Begin) is the same with many
// operations in step 1 to 3, and one version for all of them. A savepoint
// remembers the states beside what the store remembers, so that both go back
// together. An operation that fails half-way makes its transaction refuse to
// commit, unless a savepoint from before it is rolled back.
//
// A read of a single key (coll.DictPeek) takes no part in this: it is one call
// of the store, and looks at the object's state only when the key is missing.
//
// # The life of a task
//
// Package tasks holds the record of it and the steps that are legal; its
// documentation has the drawing. A step is a write transaction like any other,
// so a task's result and what else the task stored can be one commit.
package gocore
