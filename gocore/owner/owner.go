// Package owner says which process holds what in a namespace, and when it is
// gone. Whoever takes something for itself writes its Token beside it; others
// find out by the token whether the taker still lives. A process has one token a
// namespace, random and used by no other, so that a token whose process is gone
// stays dead for ever. What proves life is a lock that the kernel drops at death
// (store.Space.Lease), never a pid.
package owner

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"sync"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Token stands for a process in one namespace; it is neither 0 nor Nobody.
type Token uint64

// Nobody is the highest token, which no process has: of what is set aside in
// nobody's hands.
const Nobody = ^Token(0)

// prefix begins the names of the leases that prove life.
const prefix = "own-"

func (t Token) lease() string {
	return prefix + hex.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(t)))
}

// mine are this process's tokens. A forked child has none of them: its copy of
// the library begins with an empty table.
var mine = struct {
	sync.Mutex
	tokens map[store.Space]Token
}{tokens: map[store.Space]Token{}}

// Own is this process's token in the space. It is taken at the first call, and
// proves life until the process ends or closes the space for the last time.
func Own(space store.Space) (Token, error) {
	mine.Lock()
	defer mine.Unlock()
	if token, ok := mine.tokens[space]; ok {
		return token, nil
	}
	token, _, err := Take(space)
	if err != nil {
		return 0, err
	}
	if _, err := space.WatchLease(token.lease(), func() {
		mine.Lock()
		defer mine.Unlock()
		delete(mine.tokens, space) // it was closed
	}); err != nil {
		return 0, err
	}
	mine.tokens[space] = token
	return token, sweep(space)
}

// Take is a token of its own, for tests that play several processes in one. It
// dies when its lease is released.
func Take(space store.Space) (Token, store.Lease, error) {
	for {
		var random [8]byte
		if _, err := rand.Read(random[:]); err != nil {
			return 0, nil, errs.Wrap(errs.IO, "take owner", "", err)
		}
		token := Token(binary.BigEndian.Uint64(random[:]))
		if token == 0 || token == Nobody {
			continue
		}
		lease, err := space.Lease(token.lease())
		if errs.Has(err, errs.WouldBlock) {
			continue // another one's, by a chance of 1 to 2⁶⁴
		}
		return token, lease, err
	}
}

// sweep clears away what dead owners left that nobody asks about.
func sweep(space store.Space) error {
	names, err := space.Leases(prefix)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := space.Leased(name); err != nil {
			return err
		}
	}
	return nil
}

// Alive reports whether the process of a token lives and has the space open.
// What a dead one left is cleared away.
func Alive(space store.Space, token Token) (bool, error) {
	if token == 0 || token == Nobody {
		return false, nil
	}
	mine.Lock()
	own, ok := mine.tokens[space]
	mine.Unlock()
	if ok && own == token {
		return true, nil
	}
	return space.Leased(token.lease())
}

// Watch calls gone once, from a goroutine of its own, when the token's owner is
// dead, or cannot be watched because the space was closed: soon if it is so now.
// cancel ends the watch; a call that has begun goes on.
func Watch(space store.Space, token Token, gone func()) (cancel func()) {
	cancel, err := space.WatchLease(token.lease(), gone)
	if err != nil {
		go gone() // whoever looks again is told by the space what is wrong
		return func() {}
	}
	return cancel
}
