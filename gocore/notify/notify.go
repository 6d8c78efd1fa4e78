// Package notify tells those who cannot sleep in the store, as an event loop
// cannot, that channels of spaces have moved: any number of watches costs one
// sleeping goroutine a space, and none while nobody watches it.
//
//	Listener.Watch ──▶ post of the space ──▶ goroutine in Space.WaitAny
//	                                               │ a commit moves a channel
//	      Listener.Take ◀── events ◀── wake() ◀────┘
//
// A watch is told once, then it is over; who wants to hear more looks at what
// it is about and watches again. As with Space.WaitChange the count is the
// truth: the watch begins from a count that was read before the look, so that
// nothing is slept through.
package notify

import (
	"context"
	"sync"

	"parkit/gocore/errs"
	"parkit/gocore/store"
)

// Hub watches spaces on behalf of listeners. The zero Hub is ready; it is safe
// for use by several goroutines.
type Hub struct {
	mu    sync.Mutex // guards all of the posts, the listeners and the watches
	posts map[store.Space]*post
}

// Event says that the watch of a token is over: its channel has moved, or its
// space can no longer be waited on.
type Event struct {
	Token uint64
	Err   error
}

// Listener has watches, and hears of them.
type Listener struct {
	hub     *Hub
	wake    func()
	watches map[uint64]*watch
	events  []Event
	closed  bool
}

// watch waits for channel to move past seen.
type watch struct {
	listener *Listener
	token    uint64
	channel  store.Channel
	seen     uint32
	post     *post
}

// post is a space that is watched. Its goroutine ends when nobody watches it.
type post struct {
	space    store.Space
	channels [store.Channels]channelWatches
	watches  int
	rouse    context.CancelFunc // has the goroutine look at the watches anew
}

type channelWatches struct {
	seen    uint32 // the count with which the goroutine sleeps
	watches map[*watch]struct{}
}

// NewListener makes a listener. wake is called whenever there are events after
// there were none; it must not wait, nor call the hub.
func (h *Hub) NewListener(wake func()) *Listener {
	return &Listener{hub: h, wake: wake, watches: map[uint64]*watch{}}
}

// Watch has the listener hear, once, that the count of a channel is no longer
// seen. It returns false, and there will be no event, where that is so already.
// token is any number that the listener has no other watch of.
func (l *Listener) Watch(token uint64, space store.Space, channel store.Channel, seen uint32) (bool, error) {
	if channel >= store.Channels {
		return false, errs.Newf(errs.InvalidArgument, "watch", "", "there is no channel %d", channel)
	}
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	if l.closed {
		return false, errs.New(errs.Stale, "watch", "", "the listener was closed")
	}
	if l.watches[token] != nil {
		return false, errs.Newf(errs.InvalidArgument, "watch", "", "the token %d is in use", token)
	}
	if space.Version(channel) != seen {
		return false, nil
	}
	w := &watch{listener: l, token: token, channel: channel, seen: seen, post: l.hub.post(space)}
	l.watches[token] = w
	w.post.add(w)
	return true, nil
}

// Forget ends a watch without an event. One that was over may still be heard of.
func (l *Listener) Forget(token uint64) {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	if w := l.watches[token]; w != nil {
		w.remove()
	}
}

// Take returns the events since the last call.
func (l *Listener) Take() []Event {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	events := l.events
	l.events = nil
	return events
}

// Close forgets all watches. When it has returned, wake is not called again.
func (l *Listener) Close() {
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	l.closed = true
	for _, w := range l.watches {
		w.remove()
	}
	l.events = nil
}

// ---- What follows needs Hub.mu ----

// post is that of a space; the caller adds a watch to it.
func (h *Hub) post(space store.Space) *post {
	p := h.posts[space]
	if p == nil {
		if h.posts == nil {
			h.posts = map[store.Space]*post{}
		}
		p = &post{space: space, rouse: func() {}}
		h.posts[space] = p
		go h.keep(p)
	}
	return p
}

func (p *post) add(w *watch) {
	at := &p.channels[w.channel]
	if at.watches == nil {
		at.watches = map[*watch]struct{}{}
	}
	if len(at.watches) == 0 {
		at.seen = w.seen
		p.rouse()
	}
	at.watches[w] = struct{}{}
	p.watches++
}

func (w *watch) remove() {
	delete(w.listener.watches, w.token)
	p := w.post
	delete(p.channels[w.channel].watches, w)
	p.watches--
	if p.watches == 0 {
		p.rouse() // to end
	}
}

// tell ends a watch with an event.
func (w *watch) tell(err error) {
	w.remove()
	l := w.listener
	l.events = append(l.events, Event{w.token, err})
	if len(l.events) == 1 {
		l.wake()
	}
}

// ---- The goroutine of a post ----

func (h *Hub) keep(p *post) {
	var channels []store.Channel
	var seen []uint32
	for {
		ctx, rouse := context.WithCancel(context.Background())
		channels, seen = h.round(p, rouse, channels[:0], seen[:0])
		if len(channels) == 0 {
			rouse()
			return
		}
		err := p.space.WaitAny(ctx, channels, seen)
		roused := ctx.Err() != nil
		rouse()
		if err != nil && !roused {
			h.giveUp(p, err)
			return
		}
	}
}

// round tells the watches whose channel has moved, and gives the channels that
// others watch, with their counts; when there are none the post is at its end.
func (h *Hub) round(p *post, rouse context.CancelFunc, channels []store.Channel, seen []uint32) ([]store.Channel, []uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p.rouse = func() {} // what is removed here needs no rousing
	for i := range p.channels {
		at, channel := &p.channels[i], store.Channel(i)
		if len(at.watches) == 0 {
			continue
		}
		if now := p.space.Version(channel); now != at.seen {
			at.seen = now
			for w := range at.watches {
				if w.seen != now {
					w.tell(nil)
				}
			}
			if len(at.watches) == 0 {
				continue
			}
		}
		channels, seen = append(channels, channel), append(seen, at.seen)
	}
	p.rouse = rouse
	if len(channels) == 0 {
		delete(h.posts, p.space)
	}
	return channels, seen
}

func (h *Hub) giveUp(p *post, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.posts, p.space)
	p.rouse = func() {}
	for i := range p.channels {
		for w := range p.channels[i].watches {
			w.tell(err)
		}
	}
}
