package coll

import (
	"bytes"
	"encoding/binary"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/object"
	"parkit/gocore/store"
)

// The two parts of the index of uses.
const (
	useTicket byte = 0x00
	useOrder  byte = 0x01
)

func ticketKey(o *object.Object, ticket uint64) []byte {
	key := append(keys.AppendTag(nil, o.Prefix, keys.TagUse), useTicket)
	return binary.BigEndian.AppendUint64(key, ticket)
}

func orderKey(o *object.Object, at int64, ticket uint64) []byte {
	key := append(keys.AppendTag(nil, o.Prefix, keys.TagUse), useOrder)
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(key, uint64(at)), ticket)
}

// listUse notes the first use of an entry.
func (c *cached) listUse(ticket uint64, at int64, stored []byte) error {
	order := orderKey(c.o, at, ticket)
	if _, err := c.tx.Put(order, keys.SealPayload(order, nil)); err != nil {
		return err
	}
	key := ticketKey(c.o, ticket)
	_, err := c.tx.Put(key, keys.SealPayload(key, append(beUint64(uint64(at)), stored...)))
	return err
}

// lastUse is what the index says of a ticket, a copy; ok is false where it says
// nothing of use.
func (c *cached) lastUse(ticket uint64) (at int64, stored []byte, ok bool, err error) {
	key := ticketKey(c.o, ticket)
	record, err := c.tx.Get(key)
	if err == store.ErrNotFound {
		return 0, nil, false, nil
	}
	if err != nil {
		return 0, nil, false, err
	}
	payload, err := keys.OpenPayload(key, record)
	if err != nil || len(payload) < 8 {
		return 0, nil, false, nil // it is written anew with the entry
	}
	return int64(binary.BigEndian.Uint64(payload)), bytes.Clone(payload[8:]), true, nil
}

// used notes a later use of an entry. The entry may be gone.
func (c *cached) used(ticket uint64, at int64) error {
	last, stored, ok, err := c.lastUse(ticket)
	if err != nil || !ok || at <= last {
		return err
	}
	if _, err := c.tx.Del(orderKey(c.o, last, ticket)); err != nil {
		return err
	}
	return c.listUse(ticket, at, stored)
}

// unlistUse forgets a ticket.
func (c *cached) unlistUse(ticket uint64) error {
	if ticket == 0 {
		return nil
	}
	last, _, ok, err := c.lastUse(ticket)
	if err != nil {
		return err
	}
	if ok {
		if _, err := c.tx.Del(orderKey(c.o, last, ticket)); err != nil {
			return err
		}
	}
	_, err = c.tx.Del(ticketKey(c.o, ticket))
	return err
}

// evict removes the entry that was not used for the longest time, or an entry
// of the order that leads to none.
func (c *cached) evict() error {
	begin := append(keys.AppendTag(nil, c.o.Prefix, keys.TagUse), useOrder)
	r := store.Prefix(begin)
	r.KeysOnly = true
	var one [1]store.Entry
	n, err := c.tx.Scan(r, one[:])
	if err != nil {
		return err
	}
	if n == 0 || len(one[0].Key) != len(begin)+16 {
		return errs.New(errs.Corrupt, "evict from dict", c.o.Name,
			"its size is over the limit, but no entry is listed to give way; clear the dict, or check the namespace")
	}
	order := bytes.Clone(one[0].Key)
	at := int64(binary.BigEndian.Uint64(order[len(begin):]))
	ticket := binary.BigEndian.Uint64(order[len(begin)+8:])
	last, stored, ok, err := c.lastUse(ticket)
	if err != nil {
		return err
	}
	if ok && last == at {
		e, err := c.look(keys.AppendStoredKey(nil, c.o.Prefix, keys.TagDict, stored))
		if err != nil && !errs.Has(err, errs.Corrupt) {
			return err
		}
		// A damaged one, whose ticket cannot be read, gives way as well.
		if e.there && (err != nil || e.stamps.Ticket == ticket) {
			e.stamps.Ticket = ticket
			return c.remove(e)
		}
		if err := c.unlistUse(ticket); err != nil {
			return err
		}
	}
	_, err = c.tx.Del(order)
	return err
}

// noteUses writes down what readers of this process have noted.
func (c *cached) noteUses() error {
	for _, use := range attendantOf(c.o).take() {
		if err := c.used(use.ticket, use.at); err != nil {
			return err
		}
	}
	return nil
}
