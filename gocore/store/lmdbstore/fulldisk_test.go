package lmdbstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"parkit/gocore/errs"
	"parkit/gocore/store"
	"parkit/gocore/store/lmdbstore"
)

// disk is a small file system, seen by this process alone.
type disk struct{ path string }

const (
	diskSize = 6 << 20
	ballast  = 8 << 20 // what makeRoom adds
)

// mountDisk mounts one in memory or, for "ext4", in a file.
func mountDisk(path, system string) (disk, error) {
	d := disk{filepath.Join(path, "mounted")}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		return d, err
	}
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return d, err
	}
	size := diskSize + ballast
	if system == "tmpfs" {
		if err := syscall.Mount("tmpfs", d.path, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
			return d, err
		}
	} else {
		image := filepath.Join(path, "image")
		for _, command := range [][]string{
			{"truncate", "-s", fmt.Sprint(size), image},
			{"mkfs." + system, "-q", "-m", "0", image},
			{"mount", "-o", "loop", image, d.path},
		} {
			if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
				return d, fmt.Errorf("%q: %w: %s", command, err, out)
			}
		}
	}
	// Blocks, whatever the file system makes of zeros.
	return d, os.WriteFile(filepath.Join(d.path, "ballast"), make([]byte, ballast-1<<20), 0o600)
}

func (d disk) unmount() { _ = syscall.Unmount(d.path, syscall.MNT_DETACH) }

func (d disk) makeRoom() error { return os.Remove(filepath.Join(d.path, "ballast")) }

// free is how many bytes are left.
func (d disk) free() (int, error) {
	var fs syscall.Statfs_t
	err := syscall.Statfs(d.path, &fs)
	return int(fs.Bavail) * int(fs.Bsize), err
}

// leave fills the disk with another file until only so many bytes are free.
func (d disk) leave(bytes int) error {
	free, err := d.free()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.path, "filling"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.Write(make([]byte, max(free-bytes, 0))); errors.Is(err, syscall.ENOSPC) {
		return nil // its own book-keeping took the rest
	}
	return err
}

// onDisk runs a role in a process that has a mount namespace of its own.
func onDisk(t *testing.T, name string, args ...string) {
	t.Helper()
	p, err := tryStart(t, func(cmd *exec.Cmd) { cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS }, name, args...)
	if err != nil {
		t.Skipf("no mount namespace is to be had: %v", err)
	}
	for {
		line := p.line()
		if why, skip := strings.CutPrefix(line, "skip "); skip {
			t.Skip(why)
		}
		if line == "done" {
			break
		}
		t.Log(line)
	}
	p.end()
}

func onOwnDisk(act func(p *player, d disk, args []string) error) role {
	return func(p *player, args []string) error {
		path, err := os.MkdirTemp("", "disk")
		if err != nil {
			return err
		}
		defer os.RemoveAll(path)
		d, err := mountDisk(path, args[0])
		if err != nil {
			p.say("skip no file system is to be had: %v", err)
			return nil
		}
		defer d.unmount()
		if err := act(p, d, args[1:]); err != nil {
			return err
		}
		p.say("done")
		return nil
	}
}

func init() {
	roles["fill a disk"] = onOwnDisk(fillDisk)
	roles["open on a full disk"] = onOwnDisk(openOnFullDisk)
}

// fillDisk KIND FALLOCATE fills a disk by entries of all sizes; what fails
// must be typed, and leave the state whole.
func fillDisk(p *player, d disk, args []string) error {
	lmdbstore.CannotAllocate(args[1] == "without fallocate")
	root := filepath.Join(d.path, "ns")
	s, err := backend(root, kindOf(args[0])).Open(namespace, true)
	if err != nil {
		return err
	}
	model := map[string]int{}
	fulls := 0
	for n := range 1500 {
		size := n * n % 60_000
		if n%3 == 0 {
			size %= 100
		}
		key := fmt.Sprint("key ", n%400)
		err := s.Update(patient, func(txn store.Txn) error {
			_, err := txn.Put([]byte(key), filling(n, size))
			return err
		})
		switch {
		case err == nil:
			model[key] = n
		case errs.Has(err, errs.Full):
			fulls++
		default:
			return fmt.Errorf("write %d: %w", n, err)
		}
	}
	if err := holds(s, model); err != nil {
		return err
	}
	p.say("%d writes of 1500 found no room", fulls)
	if fulls == 0 {
		return fmt.Errorf("the disk was never full")
	}
	// What is full can be emptied, key by key and at once.
	for key := range model {
		if err := s.Update(patient, func(txn store.Txn) error { _, err := txn.Del([]byte(key)); return err }); err != nil {
			return fmt.Errorf("delete %s: %w", key, err)
		}
		delete(model, key)
		if len(model) < 200 {
			break
		}
	}
	// Then small ones find room in what was freed.
	for n := range 50 {
		key := fmt.Sprint("small ", n)
		if err := s.Update(patient, func(txn store.Txn) error { _, err := txn.Put([]byte(key), filling(n, 50)); return err }); err != nil {
			return fmt.Errorf("a small write after deletions: %w", err)
		}
		model[key] = n
	}
	if err := holds(s, model); err != nil {
		return err
	}
	// With room on the disk the next write works.
	if err := d.makeRoom(); err != nil {
		return err
	}
	if err := s.Update(patient, func(txn store.Txn) error {
		_, err := txn.Put([]byte("large"), filling(1, 3<<20))
		return err
	}); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	model["large"] = 1
	if err := holds(s, model); err != nil {
		return err
	}
	if err := s.Update(patient, func(txn store.Txn) error { _, err := txn.DelRange(store.Range{}); return err }); err != nil {
		return fmt.Errorf("delete all: %w", err)
	}
	if err := s.Close(); err != nil {
		return err
	}
	s, err = backend(root, kindOf(args[0])).Open(namespace, false)
	if err != nil {
		return err
	}
	return s.Close()
}

func filling(n, size int) []byte { return bytes.Repeat([]byte{byte(n)}, size) }

// holds checks that a space holds just what the model does.
func holds(s store.Space, model map[string]int) error {
	left := len(model)
	var wrong error
	err := s.Check(func(key, value []byte) error {
		n, there := model[string(key)]
		if !there || !bytes.Equal(value, filling(n, len(value))) {
			return fmt.Errorf("%q is not what was put there", key)
		}
		left--
		return nil
	}, func(key []byte, err error) { wrong = err })
	if err == nil && wrong == nil && left != 0 {
		wrong = fmt.Errorf("%d entries are missing", left)
	}
	if err != nil {
		return err
	}
	return wrong
}

// openOnFullDisk KIND FALLOCATE opens where there is less and less room. It
// works or fails with a word, and works when there is room.
func openOnFullDisk(p *player, d disk, args []string) error {
	lmdbstore.CannotAllocate(args[1] == "without fallocate")
	refused := 0
	for room := 0; room <= 5<<20; room += 4096 * max(1, room/(64<<10)) {
		root := filepath.Join(d.path, "ns")
		if err := d.leave(room); err != nil {
			return err
		}
		b := backend(root, lmdbstore.Profile{Memory: args[0] == "memory", MaxReaders: 4096})
		s, err := b.Open(namespace, true)
		if err == nil {
			err = s.Update(patient, setting("k"))
			if closed := s.Close(); closed != nil {
				return closed
			}
		}
		if err != nil {
			refused++
			if !errs.Has(err, errs.Full) {
				return fmt.Errorf("with room for %d bytes: %w", room, err)
			}
			if s == nil {
				if left, err := os.ReadDir(root); err != nil || len(left) > 0 {
					return fmt.Errorf("with room for %d bytes: %v is left of what was not made, %w", room, left, err)
				}
			}
		}
		if err := os.Remove(filepath.Join(d.path, "filling")); err != nil {
			return err
		}
		s, err = b.Open(namespace, true)
		if err != nil {
			return fmt.Errorf("with room again, after %d bytes: %w", room, err)
		}
		if err := s.Update(patient, setting("k")); err != nil {
			return fmt.Errorf("with room again, after %d bytes: %w", room, err)
		}
		if err := s.Close(); err != nil {
			return err
		}
		if err := os.RemoveAll(root); err != nil {
			return err
		}
	}
	p.say("%d times there was too little room", refused)
	if refused == 0 {
		return fmt.Errorf("there was always room")
	}
	return nil
}

func TestAFullDiskIsAnErrorAndNoMore(t *testing.T) {
	for _, system := range fileSystems {
		for _, memory := range []bool{false, true} {
			for _, how := range []string{"with fallocate", "without fallocate"} {
				t.Run(fmt.Sprint(system, " ", kindArg(memory), " ", how), func(t *testing.T) {
					onDisk(t, "fill a disk", system, kindArg(memory), how)
				})
			}
		}
	}
}

func TestOpeningOnAFullDiskIsAnErrorAndNoMore(t *testing.T) {
	for _, system := range fileSystems {
		for _, memory := range []bool{false, true} {
			t.Run(system+" "+kindArg(memory), func(t *testing.T) {
				onDisk(t, "open on a full disk", system, kindArg(memory), "with fallocate")
			})
		}
	}
}
