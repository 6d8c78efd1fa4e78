//go:build !long

package lmdbstore_test

// How much of what is repeated; see scale_long_test.go.
const (
	kills       = 100 // of each kind
	crowdKills  = 50
	growths     = 50
	powerCuts   = 1000
	flippedBits = 150
)

var fileSystems = []string{"tmpfs"}
