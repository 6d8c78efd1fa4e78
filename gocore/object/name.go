package object

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"unicode/utf8"

	"parkit/gocore/errs"
)

// MaxName is the longest name of an object or an attribute, in bytes.
const MaxName = 255

// CheckName refuses what cannot be the name of an object, with
// errs.InvalidPath.
func CheckName(name string) error {
	if name != "" && len(name) <= MaxName && utf8.ValidString(name) && !strings.Contains(name, "/") {
		return nil
	}
	shown := name
	if len(shown) > 80 {
		shown = shown[:80] + "…"
	}
	return errs.Newf(errs.InvalidPath, "name object", strings.ToValidUTF8(shown, "�"),
		"the name of an object is any text without '/', not empty, at most %d bytes in UTF-8", MaxName)
}

// NewUUID is a random (version 4) UUID in its usual spelling.
func NewUUID() string {
	var raw [16]byte
	rand.Read(raw[:]) // ends the process rather than fail
	raw[6] = raw[6]&0x0F | 0x40
	raw[8] = raw[8]&0x3F | 0x80
	text := make([]byte, 0, 36)
	for i, part := range [][]byte{raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}

func anonymousName() string { return "__" + NewUUID() + "__" }
