package svoykrug

import "time"

// SetWallClock sets the wall clock that assertions are dated by wrong, and returns what sets it right again.
func SetWallClock(wrong time.Duration) (right func()) {
	wallClock = func() time.Time { return time.Now().Add(wrong) }
	return func() { wallClock = time.Now }
}
