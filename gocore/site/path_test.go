package site

import (
	"strings"
	"testing"

	"parkit/gocore/errs"
)

func TestPathOfAnObject(t *testing.T) {
	for path, want := range map[string][2]string{
		"":               {"default", ""},
		"/":              {"default", ""},
		"c":              {"default", "c"},
		"/c/":            {"default", "c"},
		"a/b/c":          {"a/b", "c"},
		"a//b///c":       {"a/b", "c"},
		"memory":         {"memory", ""},
		"memory/":        {"memory", ""},
		"memory/x":       {"memory", "x"},
		"memory/x/y":     {"memory/x", "y"},
		"a/memory":       {"a", "memory"},
		"..x/-_.9Z/ü ..": {"..x/-_.9Z", "ü .."},
		"a/..":           {"a", ".."},
		"module/f":       {"module", "f"},
	} {
		namespace, name, err := ParsePath(path)
		if err != nil || namespace != want[0] || name != want[1] {
			t.Errorf("%q is %q, %q, %v", path, namespace, name, err)
		}
	}
	for _, path := range []string{"a/../c", "./c", "ä/c", "a b/c", "@env/c", "a\x00/c", "a\\b/c",
		strings.Repeat("x", 256) + "/c", strings.Repeat("abcdefg/", 200) + "c", "a/\xff", strings.Repeat("x", 256)} {
		if _, _, err := ParsePath(path); !errs.Has(err, errs.InvalidPath) {
			t.Errorf("%.20q: %v", path, err)
		}
	}
}

func TestPathOfANamespace(t *testing.T) {
	for path, want := range map[string]string{"": "default", "//": "default", "/a//b/": "a/b", "memory": "memory"} {
		if got, err := ParseNamespace(path); err != nil || got != want {
			t.Errorf("%q is %q, %v", path, got, err)
		}
	}
	for _, path := range []string{"..", "a/.", "a b", "@env"} {
		if _, err := ParseNamespace(path); !errs.Has(err, errs.InvalidPath) {
			t.Errorf("%q: %v", path, err)
		}
	}
}

func TestNamespacesWithAUseOfTheirOwn(t *testing.T) {
	for namespace, want := range map[string][2]bool{ // reserved, in memory
		"default": {}, "memory": {false, true}, "memory/a": {false, true}, "memories": {}, "a/memory": {},
		"module": {true, false}, "module/a": {true, false}, "__task__": {true, false}, "__sched__": {true, false},
	} {
		if Reserved(namespace) != want[0] || InMemory(namespace) != want[1] {
			t.Errorf("%s: reserved %v, in memory %v", namespace, Reserved(namespace), InMemory(namespace))
		}
	}
	for name, want := range map[string]bool{"__a__": true, "____": true, "___": false, "__": false, "a__": false} {
		if Hidden(name) != want {
			t.Errorf("%s: hidden %v", name, !want)
		}
	}
}
