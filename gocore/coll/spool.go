package coll

import (
	"errors"
	"io"
	"os"
	"syscall"

	"parkit/gocore/errs"
)

// spool holds batches in the order they came, until they are asked for: up to
// memory bytes in memory, and the rest in a file that has no name, so that
// nothing is left of it after any death.
type spool struct {
	memory int
	chunks [][]byte
	size   int
	file   *os.File
	sizes  []int  // of the batches in the file
	at     int64  // where in the file the next one begins
	buffer []byte // what the file gave last
	failed error  // what ended the filling, told after the last batch
}

// add puts a batch, which is the spool's from then on.
func (s *spool) add(batch []byte) error {
	if len(batch) == 0 {
		return nil
	}
	if s.file == nil && s.size+len(batch) <= s.memory {
		s.chunks = append(s.chunks, batch)
		s.size += len(batch)
		return nil
	}
	// Batches in the file come after all in memory.
	if s.file == nil {
		file, err := os.CreateTemp("", "parkit-iteration-")
		if err != nil {
			return spoolFailure("set an iteration aside", err)
		}
		s.file = file
		if err := os.Remove(file.Name()); err != nil {
			return spoolFailure("set an iteration aside", err)
		}
	}
	if _, err := s.file.Write(batch); err != nil {
		return spoolFailure("set an iteration aside", err)
	}
	s.sizes = append(s.sizes, len(batch))
	return nil
}

// next returns the next batch, and whether it is the last. It is valid until
// the next call.
func (s *spool) next() (batch []byte, last bool, err error) {
	switch {
	case len(s.chunks) > 0:
		batch, s.chunks[0] = s.chunks[0], nil
		s.chunks = s.chunks[1:]
	case len(s.sizes) > 0:
		if cap(s.buffer) < s.sizes[0] {
			s.buffer = make([]byte, s.sizes[0])
		}
		batch = s.buffer[:s.sizes[0]]
		if _, err := s.file.ReadAt(batch, s.at); err != nil {
			return nil, true, spoolFailure("go on with an iteration", err)
		}
		s.at += int64(len(batch))
		s.sizes = s.sizes[1:]
	default:
		s.close()
		return nil, true, s.failed
	}
	return batch, len(s.chunks) == 0 && len(s.sizes) == 0 && s.failed == nil, nil
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // it was only ever scratch
		s.file = nil
	}
	s.chunks, s.sizes, s.buffer = nil, nil, nil
}

func spoolFailure(op string, err error) error {
	code := errs.IO
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, io.ErrShortWrite) {
		code = errs.Full
	}
	return errs.Wrap(code, op, os.TempDir(), err)
}
