package coll

import (
	"io"
	"os"

	"parkit/gocore/errs"
)

// spoolMemory is how much a spool keeps in memory; the rest goes to a file
// that has no name, so that nothing is left of it after any death.
const spoolMemory = 64 << 20

// spool holds batches in the order they came, until they are asked for.
type spool struct {
	chunks [][]byte
	size   int
	file   *os.File
	sizes  []int // of the batches in the file
	at     int64 // where in the file the next one begins
	failed error // what ended the filling, told after the last batch
}

func (s *spool) add(batch []byte) error {
	if len(batch) == 0 {
		return nil
	}
	if s.size+len(batch) <= spoolMemory {
		s.chunks = append(s.chunks, append([]byte(nil), batch...))
		s.size += len(batch)
		return nil
	}
	s.size = spoolMemory // batches in the file come after all in memory
	if s.file == nil {
		file, err := os.CreateTemp("", "parkit-iteration-")
		if err == nil {
			err = os.Remove(file.Name())
		}
		if err != nil {
			return errs.Wrap(errs.IO, "set an iteration aside", "", err)
		}
		s.file = file
	}
	if _, err := s.file.Write(batch); err != nil {
		return errs.Wrap(errs.Full, "set an iteration aside", "", err)
	}
	s.sizes = append(s.sizes, len(batch))
	return nil
}

// next returns the next batch, and whether it is the last.
func (s *spool) next() (batch []byte, last bool, err error) {
	switch {
	case len(s.chunks) > 0:
		batch, s.chunks[0] = s.chunks[0], nil
		s.chunks = s.chunks[1:]
	case len(s.sizes) > 0:
		batch = make([]byte, s.sizes[0])
		if _, err := io.ReadFull(io.NewSectionReader(s.file, s.at, int64(len(batch))), batch); err != nil {
			return nil, true, errs.Wrap(errs.IO, "go on with an iteration", "", err)
		}
		s.at += int64(len(batch))
		s.sizes = s.sizes[1:]
	default:
		return nil, true, s.failed
	}
	return batch, len(s.chunks) == 0 && len(s.sizes) == 0 && s.failed == nil, nil
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // it was only ever scratch
		s.file = nil
	}
	s.chunks, s.sizes = nil, nil
}
