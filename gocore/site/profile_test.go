package site

import (
	"fmt"
	"strings"
	"testing"

	"parkit/gocore/errs"
)

func lookup(settings map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { text, ok := settings[name]; return text, ok }
}

func TestProfileWithoutSettings(t *testing.T) {
	for memory, want := range map[bool]Profile{
		false: {Sync: true, MetaSync: true, ReadAhead: true},
		true:  {Memory: true, ReadAhead: true},
	} {
		p, err := profileFrom(memory, lookup(nil))
		if err != nil || fmt.Sprint(p) != fmt.Sprint(want) {
			t.Errorf("memory %v: %+v, %v", memory, p, err)
		}
	}
}

func TestSettingsOfOneProfileDoNotReachTheOther(t *testing.T) {
	p, err := profileFrom(true, lookup(map[string]string{"DEFAULT_LMDB_READONLY": "true"}))
	if err != nil || p.ReadOnly {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestSettingsThatWeakenOrMeanNothingAreWarnedAbout(t *testing.T) {
	cases := []struct {
		memory     bool
		name, text string
		warning    string // a part of it; empty for none
		changed    func(Profile) bool
	}{
		{false, "SYNC", "False", "power cut", func(p Profile) bool { return !p.Sync }},
		{false, "SYNC", "true", "", func(p Profile) bool { return p.Sync }},
		{false, "METASYNC", "0", "power cut", func(p Profile) bool { return !p.MetaSync }},
		{false, "WRITE_MAP", "yes", "ignored", nil},
		{false, "WRITE_MAP", "no", "", nil},
		{false, "MAP_ASYNC", "on", "ignored", nil},
		{false, "MAX_DBS", "65536", "no effect", nil},
		{false, "MAX_SPARE_TXNS", "256", "no effect", nil},
		{false, "MAX_READERS", "256", "raised", func(p Profile) bool { return p.MaxReaders == MinReaders }},
		{false, "MAX_READERS", "9999", "", func(p Profile) bool { return p.MaxReaders == 9999 }},
		{false, "INITIAL_MAP_SIZE", " 1073741824 ", "", func(p Profile) bool { return p.MapSize == 1<<30 }},
		{false, "INITIAL_MAP_SIZE", "", "", func(p Profile) bool { return p.MapSize == 0 }},
		{false, "READONLY", "1", "", func(p Profile) bool { return p.ReadOnly }},
		{false, "READAHEAD", "off", "", func(p Profile) bool { return !p.ReadAhead }},
		{false, "MEMINIT", "off", "ignored", nil},
		{true, "SYNC", "true", "ignored", func(p Profile) bool { return !p.Sync }},
		{true, "WRITE_MAP", "false", "ignored", nil},
		{true, "MAP_ASYNC", "true", "", nil},
		{true, "READONLY", "true", "", func(p Profile) bool { return p.ReadOnly }},
	}
	for _, c := range cases {
		prefix := "DEFAULT_LMDB_"
		if c.memory {
			prefix = "MEMORY_LMDB_"
		}
		p, err := profileFrom(c.memory, lookup(map[string]string{prefix + c.name: c.text}))
		if err != nil {
			t.Errorf("%s=%s: %v", c.name, c.text, err)
			continue
		}
		warned := strings.Join(p.Warnings, "\n")
		if (c.warning == "") != (warned == "") || !strings.Contains(warned, c.warning) {
			t.Errorf("%s=%s warns %q", c.name, c.text, warned)
		}
		if c.warning != "" && !strings.Contains(warned, prefix+c.name) {
			t.Errorf("the warning does not name the setting: %q", warned)
		}
		if c.changed != nil && !c.changed(p) {
			t.Errorf("%s=%s gives %+v", c.name, c.text, p)
		}
	}
}

func TestSettingsThatCannotBeReadAreRefused(t *testing.T) {
	for name, text := range map[string]string{"SYNC": "maybe", "MAX_READERS": "-1", "INITIAL_MAP_SIZE": "256MB", "WRITE_MAP": "2", "MEMINIT": "x"} {
		_, err := profileFrom(false, lookup(map[string]string{"DEFAULT_LMDB_" + name: text}))
		if !errs.Has(err, errs.InvalidArgument) || !strings.Contains(err.Error(), "DEFAULT_LMDB_"+name) {
			t.Errorf("%s=%s: %v", name, text, err)
		}
	}
}
