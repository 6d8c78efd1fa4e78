package keep

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parkit/gocore/errs"
	"parkit/gocore/keys"
	"parkit/gocore/site"
	"parkit/gocore/store/lmdbstore"
)

// Quarantine files lie beside a namespace's data.
const (
	quarantinePrefix = "quarantine-"
	quarantineSuffix = ".jsonl"
)

// salvager is a backend that can make a new file of what is left of a damaged
// one.
type salvager interface {
	Salvage(namespace string, sound func(key, value []byte) bool) (lmdbstore.Salvaged, error)
}

// CheckNamespace checks a namespace of a site, also one that cannot be opened,
// and repairs it if asked to. Where the storage itself is damaged, a repair
// makes a new data file of what can still be read, which needs the namespace
// for itself: where it has it not, the report says so.
func CheckNamespace(s *site.Site, namespace string, repair bool, report *Report) error {
	first := len(report.Problems)
	counts := *report
	structure, err := look(s, namespace, repair, report)
	if err != nil || !structure || !repair {
		return err
	}
	backend, can := s.Backend().(salvager)
	if !can {
		return nil
	}
	// Else this process would be the one that has it open.
	if err := s.Release(namespace); err != nil {
		return err
	}
	saved, err := backend.Salvage(namespace, func(key, value []byte) bool { return belongs(key) && keys.Verify(key, value) == nil })
	if errs.Has(err, errs.WouldBlock) {
		report.add(Problem{Namespace: namespace, Key: "storage", What: "it could not be repaired: " + text(err)})
		return nil
	}
	if err != nil {
		return err
	}
	for i := range report.Problems[first:] {
		report.Problems[first+i].Done = "a new file was made of what could be read"
	}
	what := fmt.Sprintf("%d entries were reached and %d found beside them", saved.Entries, saved.Found)
	if saved.Missing > 0 {
		what += fmt.Sprintf("; %d were lost", saved.Missing)
	}
	if len(saved.Findings) > 0 {
		what += "; " + saved.Findings[len(saved.Findings)-1]
	}
	report.add(Problem{Namespace: namespace, Key: "storage", What: what, Done: "the damaged file is kept as " + saved.Kept})
	report.Namespaces, report.Objects, report.Records, report.Bytes = counts.Namespaces, counts.Objects, counts.Records, counts.Bytes
	_, err = look(s, namespace, true, report)
	return err
}

// belongs tells a key of parkit's from those of LMDB's own list of free pages.
func belongs(key []byte) bool {
	if _, _, _, ok := keys.SplitObjectKey(key); ok {
		return true
	}
	return len(key) > 0 && slices.Contains([]byte{keys.SpaceNamespace, keys.SpaceName, keys.SpaceDescriptor, keys.SpaceCounter, keys.SpaceTask}, key[0])
}

// look checks a namespace once; structure says that the storage is damaged.
func look(s *site.Site, namespace string, repair bool, report *Report) (structure bool, err error) {
	data := filepath.Join(s.NamespacePath(namespace), dataFile)
	if !repair && neverOpened(data) {
		found, err := check(Namespace{Name: namespace, Walk: walkFile(data, namespace)}, report)
		return err == nil && found.structure, err
	}
	if err := s.Usable(); err != nil {
		return false, err
	}
	space, err := s.Backend().Open(namespace, false)
	if errs.Has(err, errs.Corrupt) {
		report.Namespaces++
		report.add(Problem{Namespace: namespace, Key: "storage", What: text(err)})
		return true, nil
	}
	if unavailable(err) {
		report.Namespaces++
		report.add(Problem{Namespace: namespace, Key: "storage", What: "it cannot be opened: " + text(err)})
		return false, nil
	}
	if err != nil {
		return false, err
	}
	ns := Namespace{Name: namespace, Space: space, Tasks: namespace == site.TaskNamespace}
	if repair {
		file := &quarantineFile{directory: s.NamespacePath(namespace), report: report}
		structure, err = Repair(ns, report, file.store)
	} else {
		var found *found
		if found, err = check(ns, report); err == nil {
			structure = found.structure
		}
	}
	return structure, errors.Join(err, space.Close())
}

// unavailable says of an error in opening a namespace that it is that one's
// alone, and so keeps nobody from going on with others.
func unavailable(err error) bool {
	for _, code := range []errs.Code{errs.Full, errs.IO, errs.LockTimeout, errs.WouldBlock, errs.OtherPIDSpace} {
		if errs.Has(err, code) {
			return true
		}
	}
	return false
}

// neverOpened tells the data file of a backup from one that processes may have
// open. It is only read.
func neverOpened(data string) bool {
	if _, err := os.Stat(data); err != nil {
		return false
	}
	_, err := os.Stat(filepath.Join(filepath.Dir(data), openFile))
	return errors.Is(err, fs.ErrNotExist)
}

// quarantineFile is made when the first record is set aside.
type quarantineFile struct {
	directory string
	path      string
	report    *Report
}

func (q *quarantineFile) store(list []Aside) error {
	if q.path == "" {
		q.path = filepath.Join(q.directory, fmt.Sprint(quarantinePrefix, time.Now().UnixNano(), quarantineSuffix))
		q.report.Quarantine = append(q.report.Quarantine, q.path)
	}
	file, err := os.OpenFile(q.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return errs.Wrap(errs.IO, "set aside", q.path, err)
	}
	out := bufio.NewWriter(file)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for i := range list {
		list[i].Object, list[i].Key = strings.ToValidUTF8(list[i].Object, "�"), strings.ToValidUTF8(list[i].Key, "�")
		if err == nil {
			err = lines.Encode(&list[i])
		}
	}
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = syncDirectory(q.directory)
	}
	return errs.Wrap(errs.IO, "set aside", q.path, err)
}

// Quarantined lists what repairs set aside of a namespace, oldest first.
func Quarantined(s *site.Site, namespace string) ([]Aside, error) {
	const op = "read quarantine"
	files, err := filepath.Glob(filepath.Join(s.NamespacePath(namespace), quarantinePrefix+"*"+quarantineSuffix))
	if err != nil {
		return nil, errs.Wrap(errs.IO, op, namespace, err)
	}
	slices.Sort(files)
	var list []Aside
	for _, path := range files {
		file, err := os.Open(path)
		if err != nil {
			return nil, errs.Wrap(errs.IO, op, path, err)
		}
		for lines := json.NewDecoder(file); lines.More(); {
			var a Aside
			if err := lines.Decode(&a); err != nil {
				break // a crash cut the last line; its record was not removed
			}
			list = append(list, a)
		}
		if err := file.Close(); err != nil {
			return nil, errs.Wrap(errs.IO, op, path, err)
		}
	}
	return list, nil
}
