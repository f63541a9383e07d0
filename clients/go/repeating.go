package svoykrug

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
)

const (
	mostAttempts = 5
	firstWait    = 200 * time.Millisecond
	longestWait  = 5 * time.Second
)

// repeated attempts something up to five times, with a pause after each failure that passes.
func repeated(ctx context.Context, attempt func() error) error {
	for failed := 1; ; failed++ {
		err := attempt()
		if err == nil || failed == mostAttempts || !passes(err) {
			return err
		}
		if waitErr := waitAfter(ctx, failed, err); waitErr != nil {
			return waitErr
		}
	}
}

// passes reports whether the server was away or busy, or wants a fresh token: the next attempt may go well.
func passes(err error) bool {
	var refusal *Error
	return errors.As(err, &refusal) && (refusal.Code == codes.Unavailable ||
		slices.Contains([]Reason{ReasonOverloaded, ReasonTokenExpired, ReasonAccessTokenRevoked}, refusal.Reason))
}

// waitAfter waits before another attempt: 0.2 s, doubled each time up to 5 s, with jitter; never less than the server said.
func waitAfter(ctx context.Context, failed int, err error) error {
	wait := min(firstWait<<(failed-1), longestWait)
	var refusal *Error
	if errors.As(err, &refusal) {
		wait = max(wait, refusal.RetryAfter)
	}
	select {
	case <-time.After(wait + rand.N(wait/5)):
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}
