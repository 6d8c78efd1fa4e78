package parkit_go

/*
#include <stdlib.h>
#include <string.h>
#include "lane.h"
*/
import "C"

import (
	"unsafe"

	"parkit/gocore/coll"
	"parkit/gocore/object"
)

// pkFileRead reads up to n bytes from an offset; size is the file's.
//
//export pkFileRead
func pkFileRead(handle C.int64_t, scopes *C.pk_scopes, offset C.int64_t, dst unsafe.Pointer, n C.size_t, done *C.size_t, size *C.int64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("read file", words, &rc)
	if n > C.PK_COPY_HELD && wait == nil {
		return C.PK_AGAIN // it takes a while: let other threads run meanwhile
	}
	return read(handle, scopes, words, func(tx *object.Tx, o *object.Object) error {
		if n >= largeCopy && offset >= 0 {
			content, ok, err := coll.FileView(tx, o)
			if err != nil {
				return err
			}
			if ok && int64(len(content)) > int64(offset) {
				*size = C.int64_t(len(content))
				content = content[offset:]
				*done = min(n, C.size_t(len(content)))
				C.memcpy(dst, unsafe.Pointer(unsafe.SliceData(content)), *done)
				return nil
			}
		}
		read, all, err := coll.FileRead(tx, o, int64(offset), bytesOf(dst, n))
		*done, *size = C.size_t(read), C.int64_t(all)
		return err
	})
}

// largeCopy is from which size on, in bytes, the C library copies faster.
const largeCopy = 1 << 20

// pkFileWrite writes at an offset, or at the end for -1, and says where the
// next byte goes. With anew it replaces the content, whose description is
// about then.
//
//export pkFileWrite
func pkFileWrite(handle C.int64_t, scopes *C.pk_scopes, offset C.int64_t, data unsafe.Pointer, n C.size_t, anew C.int, about unsafe.Pointer, aboutlen C.size_t, end *C.int64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write file", words, &rc)
	if n > C.PK_COPY_HELD && wait == nil {
		return C.PK_AGAIN
	}
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		at, err := coll.FileWrite(tx, o, int64(offset), bytesOf(data, n), anew != 0)
		*end = C.int64_t(at)
		if err != nil || anew == 0 {
			return err
		}
		return describeContent(tx, o, text(about, aboutlen))
	})
}

//export pkFileSet
func pkFileSet(handle C.int64_t, scopes *C.pk_scopes, data unsafe.Pointer, n C.size_t, about unsafe.Pointer, aboutlen C.size_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("write file", words, &rc)
	if n > C.PK_COPY_HELD && wait == nil {
		return C.PK_AGAIN
	}
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		if err := coll.FileSet(tx, o, bytesOf(data, n)); err != nil {
			return err
		}
		return describeContent(tx, o, text(about, aboutlen))
	})
}

// pkFileAbout gives C the description of the content.
//
//export pkFileAbout
func pkFileAbout(handle C.int64_t, scopes *C.pk_scopes, got *C.pk_got, words *C.pk_words) (rc C.int) {
	defer guarded("read file", words, &rc)
	return read(handle, scopes, words, func(tx *object.Tx, o *object.Object) error {
		d, err := tx.Describe(o)
		if err == nil {
			copied(got, []byte(d.Extra))
		}
		return err
	})
}

// describeContent stores what was written just now is. The two belong
// together: with one alone the transaction is of no use.
func describeContent(tx *object.Tx, o *object.Object, about string) error {
	if err := tx.SetExtra(o, about); err != nil {
		return tx.Fail(err)
	}
	return nil
}

//export pkFileTruncate
func pkFileTruncate(handle C.int64_t, scopes *C.pk_scopes, size C.int64_t, wait *C.pk_wait, words *C.pk_words) (rc C.int) {
	defer guarded("truncate file", words, &rc)
	return written(handle, scopes, wait, words, func(tx *object.Tx, o *object.Object) error {
		return coll.FileTruncate(tx, o, int64(size))
	})
}
