//go:build long

package lmdbstore_test

// How much of what is repeated in a long run: make test-soak.
const (
	kills       = 5000 // of each kind
	crowdKills  = 2000
	growths     = 1000
	powerCuts   = 200_000
	flippedBits = 10_000
)

// fileSystems are those that full disks are tried on. The second is for those
// whose files get their blocks late.
var fileSystems = []string{"tmpfs", "ext4"}
