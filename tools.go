//go:build tools

// Package parkit keeps in go.mod what the core is about to import.
package parkit

import (
	_ "github.com/PowerDNS/lmdb-go/lmdb"
	_ "github.com/google/btree"
	_ "github.com/robfig/cron/v3"
	_ "github.com/vmihailenco/msgpack/v5"
	_ "golang.org/x/sys/unix"
	_ "pgregory.net/rapid"
)
