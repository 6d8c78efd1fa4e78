package pool

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/lockfile"
	"parkit/gocore/store"
	"parkit/gocore/tasks"
)

const (
	// quickDelay is the wait after the first worker that died before it was
	// ready; it doubles with each further one in a row.
	quickDelay = 100 * time.Millisecond
	// hastyDelay is the wait after a worker that died in its first second; it
	// grows by itself with each further one in a row, up to a second.
	hastyDelay = 20 * time.Millisecond
	// rescueDelay is the wait after tasks of a dead worker could not be handed
	// on because the store refused.
	rescueDelay = 500 * time.Millisecond
)

// death is the end of a member.
type death struct {
	member *member
	detail string
}

// rescue is a dead worker whose tasks are still to be handed on.
type rescue struct {
	id     uint64
	detail string
}

// monitor is the state of Run. Only Run's goroutine touches it.
type monitor struct {
	Config
	members map[uint64]*member
	deaths  chan death
	gone    chan struct{} // closed when nobody reads deaths any more

	vanished <-chan struct{} // the site was removed; nil where that is not watched
	rescues  []rescue
	retry    time.Time // when rescues are tried again

	target    int
	quick     int       // workers in a row that died before they were ready
	hasty     int       // workers in a row that died in their first second
	notBefore time.Time // when the next worker may be started
	gaveUp    bool
	failure   string

	stopping bool
	stopAt   time.Time // when workers are terminated that did not end by themselves
}

// Main is Run until SIGTERM or SIGINT: what the monitor process calls.
func Main(c Config) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return Run(ctx, c)
}

// Run is the monitor. It returns nil when Stop or ctx ended the pool, and no
// worker is left; errs.WouldBlock when the site has a monitor; errs.PoolFailed
// when no worker could be brought to run.
func Run(ctx context.Context, c Config) error {
	if err := c.fill(); err != nil {
		return err
	}
	lock, err := lockfile.Take(c.monitorLock())
	if err != nil {
		return err
	}
	defer lock.Release()
	m := newMonitor(c)
	watching, unwatch := context.WithCancel(ctx)
	defer unwatch()
	if m.vanished, err = watchVanish(watching, c.monitorLock(), lock); err != nil {
		return err
	}
	for _, old := range []string{settingStop, settingFailure} {
		if err := m.Tasks.SetSetting(old, "", turn); err != nil {
			return err
		}
	}
	m.Log("monitor %d began", os.Getpid())
	err = m.supervise(ctx)
	m.Log("monitor %d ended: %v", os.Getpid(), err)
	return err
}

func newMonitor(c Config) *monitor {
	return &monitor{Config: c, members: map[uint64]*member{}, deaths: make(chan death), gone: make(chan struct{})}
}

// supervise works until the pool has ended. It sleeps until a worker dies, the
// task space says that something changed, or a time limit of its own runs out.
func (m *monitor) supervise(ctx context.Context) error {
	watching, unwatch := context.WithCancel(context.Background())
	defer unwatch()
	defer m.letGo()
	changed, watchErr := m.watchControl(watching)
	done := ctx.Done()
	for {
		switch err := m.reconcile(); {
		case errs.Has(err, errs.PoolFailed):
			return err
		case err != nil: // the store refused: what was to be done still is
			m.tryLater(err)
		case !time.Now().Before(m.retry):
			m.retry = time.Time{}
		}
		if m.stopping && len(m.members) == 0 && len(m.rescues) == 0 {
			return m.clearStop()
		}
		timer := time.NewTimer(m.untilNext())
		select {
		case d := <-m.deaths:
			m.buried(d)
		case <-changed:
		case <-timer.C:
		case err := <-watchErr:
			return err
		case <-m.vanished:
			m.stop(0, "the site was removed")
		case <-done:
			done = nil
			m.stop(0, "the monitor was told to end")
		}
		timer.Stop()
	}
}

// watchControl sends when tasks.PoolControl has moved since the last look. It
// notes the count before the first look, so that no change falls in between.
func (m *monitor) watchControl(ctx context.Context) (<-chan struct{}, <-chan error) {
	changed, failed := make(chan struct{}, 1), make(chan error, 1)
	space := m.Tasks.Space()
	seen := space.Version(tasks.PoolControl)
	go func() {
		for {
			now, err := space.WaitChange(ctx, tasks.PoolControl, seen, store.Wait{Timeout: time.Hour})
			if ctx.Err() != nil {
				return
			}
			if err != nil && !errs.Has(err, errs.Timeout) {
				failed <- err
				return
			}
			seen = now
			select {
			case changed <- struct{}{}:
			default: // a look is due anyway
			}
		}
	}()
	return changed, failed
}

// tryLater notes that something could not be done; the loop comes back to it.
func (m *monitor) tryLater(err error) {
	m.Log("will try again in %s: %v", rescueDelay, err)
	m.retry = time.Now().Add(rescueDelay)
}

// letGo stops watching workers that live on when Run fails.
func (m *monitor) letGo() {
	close(m.gone)
	for _, member := range m.members {
		member.process.Close()
	}
}

// reconcile brings what is to what should be.
func (m *monitor) reconcile() error {
	if err := m.handOn(); err != nil {
		return err
	}
	if err := m.readControl(); err != nil {
		return err
	}
	records, err := m.Tasks.Workers()
	if err != nil {
		return err
	}
	if err := m.takeStock(records); err != nil {
		return err
	}
	if err := m.terminateCancelled(); err != nil {
		return err
	}
	now := time.Now()
	if m.stopping && !now.Before(m.stopAt) {
		for _, member := range m.members {
			member.terminate("the pool was stopped", m.Grace)
		}
	}
	for _, member := range m.members {
		if member.why != "" && !member.killed && !now.Before(member.killAt) {
			m.Log("worker %d did not end in %s: killed", member.id, m.Grace)
			member.kill()
		}
	}
	return m.resize()
}

func (m *monitor) readControl() error {
	target, err := Concurrency(m.Config)
	if err != nil {
		return err
	}
	if target != m.target {
		m.target, m.gaveUp, m.quick, m.notBefore = target, false, 0, time.Time{}
	}
	text, err := m.Tasks.Setting(settingStop)
	if err != nil || text == "" {
		return err
	}
	grace, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		grace = 0
	}
	m.stop(time.Duration(grace), "somebody stopped the pool")
	return nil
}

func (m *monitor) stop(grace time.Duration, why string) {
	if m.stopping && !time.Now().Add(grace).Before(m.stopAt) {
		return
	}
	m.Log("stopping: %s, grace %s", why, grace)
	m.stopping = true
	m.stopAt = time.Now().Add(grace)
}

func (m *monitor) clearStop() error {
	return m.Tasks.SetSetting(settingStop, "", turn)
}

// takeStock compares the workers that left a trace (a record, a claim, a lock
// file) with those that are watched: one that lives is adopted, one that died
// while nobody watched is rescued.
func (m *monitor) takeStock(records []tasks.WorkerRecord) error {
	files, err := filepath.Glob(filepath.Join(m.RunDir, "worker-*.lock"))
	if err != nil {
		return errs.Wrap(errs.Internal, "look for workers", m.RunDir, err)
	}
	trace := map[uint64]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "worker-"), ".lock")
		if id, err := strconv.ParseUint(name, 10, 64); err == nil {
			trace[id] = true
		}
	}
	for _, r := range records {
		trace[r.ID] = true
		if member := m.members[r.ID]; member != nil {
			m.note(member, r)
		}
	}
	for _, r := range m.rescues {
		delete(trace, r.id) // its end is known, and better than from here
	}
	for id := range trace {
		if m.members[id] != nil {
			continue
		}
		member, err := adopt(m.RunDir, id)
		switch {
		case err != nil:
			m.Log("worker %d cannot be watched: %v", id, err)
		case member != nil:
			m.Log("adopted worker %d, process %d", id, member.process.PID)
			m.watch(member)
			for _, r := range records {
				if r.ID == id {
					m.note(member, r)
				}
			}
		default:
			m.rescues = append(m.rescues, rescue{id, "its worker died while no monitor was there to see how"})
		}
	}
	return m.handOn()
}

func (m *monitor) note(member *member, r tasks.WorkerRecord) {
	member.retired = member.retired || r.Retired
	if r.PID != 0 && member.ready.IsZero() {
		member.ready = time.Now()
		m.quick, m.gaveUp = 0, false
	}
}

func (m *monitor) terminateCancelled() error {
	cancelled, err := m.Tasks.CancelRequested()
	if err != nil {
		return err
	}
	for _, id := range cancelled {
		if member := m.members[id]; member != nil {
			member.retired = true
			member.terminate("its task was cancelled", m.Grace)
		}
	}
	return nil
}

// resize starts workers or retires some, those without a task first.
func (m *monitor) resize() error {
	target := m.target
	if m.stopping {
		target = 0
	}
	var live []uint64
	for id, member := range m.members {
		if !member.retired && member.why == "" {
			live = append(live, id)
		}
	}
	if extra := len(live) - target; extra > 0 {
		chosen, err := m.Tasks.RetireIdlest(live, extra, turn)
		if err != nil {
			return err
		}
		for _, id := range chosen {
			m.members[id].retired = true
		}
		m.Log("retired workers %v", chosen)
		return nil
	}
	for n := len(live); n < target; n++ {
		if m.gaveUp || time.Now().Before(m.notBefore) {
			break
		}
		if err := m.add(); err != nil {
			return err
		}
	}
	if m.gaveUp && len(m.members) == 0 {
		return errs.New(errs.PoolFailed, "run pool", m.RunDir, m.failure)
	}
	return nil
}

// add starts one worker. One that cannot even be started counts as one that
// died before it was ready; an error is the store's.
func (m *monitor) add() error {
	id, err := m.Tasks.NewWorker(turn)
	if err != nil {
		return err
	}
	member, err := spawn(&m.Config, id, m.freeSlot())
	if err != nil {
		return m.diedEarly(err.Error())
	}
	m.Log("started worker %d, process %d", id, member.process.PID)
	m.watch(member)
	return nil
}

func (m *monitor) freeSlot() int {
	used := map[int]bool{}
	for _, member := range m.members {
		used[member.slot] = true
	}
	slot := 1
	for used[slot] {
		slot++
	}
	return slot
}

func (m *monitor) watch(member *member) {
	m.members[member.id] = member
	go func() {
		if detail := member.await(); detail != "" {
			select {
			case m.deaths <- death{member, detail}:
			case <-m.gone:
			}
		}
	}()
}

// buried takes a dead worker off the list, hands its tasks on and decides when
// another one may take its place.
func (m *monitor) buried(d death) {
	dead := d.member
	delete(m.members, dead.id)
	dead.process.Close()
	detail := "its worker was " + d.detail
	if !strings.HasPrefix(d.detail, "killed") {
		detail = "its worker ended: " + d.detail
	}
	if dead.why != "" {
		detail += ", because " + dead.why
	}
	m.Log("worker %d, process %d: %s", dead.id, dead.process.PID, detail)
	if dead.ready.IsZero() { // perhaps it was, since the last look
		if records, err := m.Tasks.Workers(); err == nil {
			for _, r := range records {
				if r.ID == dead.id {
					m.note(dead, r)
				}
			}
		}
	}
	m.rescues = append(m.rescues, rescue{dead.id, detail})
	m.retry = time.Time{}
	if err := m.handOn(); err != nil {
		m.tryLater(err)
	}
	switch {
	case dead.retired || dead.why != "":
	case dead.ready.IsZero():
		text := "a worker ended before it was ready: " + d.detail
		if log := tail(dead.log, dead.logStart); log != "" {
			text += "; its log ends with:\n" + log
		}
		if err := m.diedEarly(text); err != nil {
			m.tryLater(err)
		}
	case time.Since(dead.ready) < time.Second:
		// Somebody's code kills each worker as it comes: do not spend the
		// machine on starting more of them.
		m.hasty++
		m.notBefore = time.Now().Add(min(time.Duration(m.hasty)*hastyDelay, time.Second))
	default:
		m.hasty = 0
	}
}

func (m *monitor) diedEarly(text string) error {
	m.quick++
	m.notBefore = time.Now().Add(quickDelay << min(m.quick-1, 6))
	m.failure = text
	m.Log("%s", text)
	if m.quick < m.QuickDeaths {
		return nil
	}
	m.gaveUp = true
	return m.Tasks.SetSetting(settingFailure, fmt.Sprintf("%d workers in a row could not be started. The last: %s", m.quick, text), turn)
}

// handOn gives the tasks of dead workers back, as soon as the store lets it.
func (m *monitor) handOn() error {
	if time.Now().Before(m.retry) {
		return nil
	}
	for len(m.rescues) > 0 {
		r := m.rescues[0]
		rescued, err := m.Tasks.Crash(r.id, r.detail, turn)
		if err != nil {
			return err
		}
		if len(rescued.Requeued)+len(rescued.Crashed)+len(rescued.Cancelled) > 0 {
			m.Log("tasks of worker %d: %+v", r.id, rescued)
		}
		if err := lockfile.Remove(workerLock(m.RunDir, r.id)); err != nil {
			m.Log("%v", err)
		}
		m.rescues = m.rescues[1:]
	}
	return nil
}

// untilNext is how long there is nothing to do by the clock.
func (m *monitor) untilNext() time.Duration {
	next := time.Now().Add(time.Hour)
	earlier := func(t time.Time) {
		if !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	if len(m.rescues) > 0 || !m.retry.IsZero() {
		earlier(m.retry)
	}
	if m.stopping && time.Now().Before(m.stopAt) {
		earlier(m.stopAt)
	}
	if !m.gaveUp && !m.stopping && time.Now().Before(m.notBefore) {
		earlier(m.notBefore)
	}
	for _, member := range m.members {
		if member.why != "" && !member.killed {
			earlier(member.killAt)
		}
	}
	return max(time.Until(next), 0)
}
