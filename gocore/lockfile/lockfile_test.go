package lockfile

import (
	"os"
	"path/filepath"
	"testing"

	"parkit/gocore/errs"
)

func TestALockBelongsToOneProcessAndIsNotDroppedByALook(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	if _, alive, err := Holder(path); err != nil || alive {
		t.Fatal(alive, err)
	}
	l, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		pid, alive, err := Holder(path)
		if err != nil || !alive || pid != os.Getpid() {
			t.Fatal(pid, alive, err)
		}
		if _, err := Take(path); !errs.Has(err, errs.WouldBlock) {
			t.Fatal(err)
		}
	}
	if err := Remove(path); !errs.Has(err, errs.WouldBlock) {
		t.Fatal("a held lock's file was removed:", err)
	}
	if !l.Release() || l.Release() {
		t.Fatal("released once, and once only")
	}
	if _, alive, err := Holder(path); err != nil || alive {
		t.Fatal(alive, err)
	}
	if err := Remove(path); err != nil {
		t.Fatal(err)
	}
}
