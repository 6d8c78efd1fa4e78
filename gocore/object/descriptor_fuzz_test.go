package object

import (
	"testing"

	"parkit/gocore/keys"
)

// A descriptor whose sum holds may still have been made by somebody hostile.
func FuzzDescriptorIsReadOrRefused(f *testing.F) {
	key := keys.DescriptorKey(1)
	record, err := (&Descriptor{Name: "n", Bases: []string{"a:B"}, Created: 1}).encode(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(record[4:])
	f.Add([]byte{0x81, 0xA5, 'b', 'a', 's', 'e', 's', 0xDD, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Add([]byte{0xDF, 0xFF, 0xFF, 0xFF, 0xFF, 0xA4, 'n', 'a', 'm', 'e', 0xDB, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, payload []byte) {
		_, _ = decodeDescriptor(1, key, keys.SealPayload(key, payload))
	})
}
