package svoykrug

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	authv1 "svoykrug/auth/v1"
)

// An access token is renewed this long before it dies, so that no call carries one that dies on the way.
const early = time.Minute

// accessToken is a token and when to renew it, by the monotonic clock: a wrong wall clock here changes nothing.
type accessToken struct {
	value   string
	renewAt time.Time
}

// readAccessToken reads a token's life from its own claims: only the server's clock counts. The server verifies it, not we.
func readAccessToken(value string) (*accessToken, error) {
	var claims jwt.RegisteredClaims
	if _, _, err := jwt.NewParser().ParseUnverified(value, &claims); err != nil {
		return nil, err
	}
	if claims.ExpiresAt == nil || claims.IssuedAt == nil {
		return nil, errors.New("the access token does not say how long it lives")
	}
	life := claims.ExpiresAt.Sub(claims.IssuedAt.Time)
	return &accessToken{value, time.Now().Add(max(life-early, life/2))}, nil
}

// tokens gives each call its access token and renews it before it dies.
//
// However many calls wait for a fresh token, one renewal is under way. It runs in a goroutine of its own: a call that is
// cancelled or whose deadline passes stops waiting, and the renewal goes on for the others.
type tokens struct {
	// renew gets a new token from the server; empty when nobody is signed in.
	renew func(context.Context) (string, error)

	mu     sync.Mutex
	access *accessToken // nil when there is none.
	change *change
}

// change is the one renewal or replacement of the token that is under way.
type change struct {
	done chan struct{}
	// stop ends a renewal; a replacement is waited for.
	stop context.CancelFunc
	// settled renewals have a token or an error for who waited for them; after any other change they ask again.
	settled bool
	token   string
	err     error
}

// get returns a token that is good now, or an empty one to call without.
func (t *tokens) get(ctx context.Context) (string, error) {
	for {
		t.mu.Lock()
		if t.access != nil && time.Now().Before(t.access.renewAt) {
			defer t.mu.Unlock()
			return t.access.value, nil
		}
		if t.change == nil {
			renewing, stop := context.WithCancel(context.Background())
			t.change = &change{done: make(chan struct{}), stop: stop}
			go t.run(renewing, t.change)
		}
		current := t.change
		t.mu.Unlock()
		select {
		case <-current.done:
			if current.settled {
				return current.token, current.err
			}
		case <-ctx.Done():
			return "", ended(ctx)
		}
	}
}

// run renews the token, unless it is stopped.
func (t *tokens) run(ctx context.Context, current *change) {
	defer current.stop()
	var fresh *accessToken
	value, err := t.renew(ctx)
	if err == nil && value != "" {
		fresh, err = readAccessToken(value)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if current.settled = ctx.Err() == nil; current.settled {
		if current.err = err; err == nil {
			t.access, current.token = fresh, value
		}
	}
	t.end(current)
}

// replace puts what work returns in place of the token, nil for none. A renewal under way is stopped first, for its answer is of no
// use; calls that need a token wait for the end, and ask again. Another replacement is waited for until ctx is done.
func (t *tokens) replace(ctx context.Context, work func() (*accessToken, error)) error {
	current := &change{done: make(chan struct{}), stop: func() {}}
	t.mu.Lock()
	before := t.change
	t.change = current
	t.mu.Unlock()
	if before != nil {
		before.stop()
		select {
		case <-before.done:
		case <-ctx.Done():
			go t.giveUp(before, current)
			return ended(ctx)
		}
	}
	access, err := work()
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.access = access
	}
	t.end(current)
	return err
}

// giveUp ends a replacement that did nothing, once the change before it has ended: it holds the place of that one.
func (t *tokens) giveUp(before, current *change) {
	<-before.done
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end(current)
}

// end lets those go on who waited for a change.
func (t *tokens) end(current *change) {
	if t.change == current {
		t.change = nil
	}
	close(current.done)
}

// discard takes note that the server refused a token: it is not used again.
func (t *tokens) discard(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.access != nil && t.access.value == token {
		t.access.renewAt = time.Time{}
	}
}

// serviceRenewal returns the function that exchanges an assertion for an access token (RFC 7523).
func serviceRenewal(auth authv1.AuthServiceClient, key *ServiceKey) func(context.Context) (string, error) {
	return func(ctx context.Context) (token string, err error) {
		// An assertion is good once, so the transport may not send it again; a new one may be sent as often as needed.
		err = repeated(ctx, func() error {
			assertion, err := key.assertion()
			if err != nil {
				return err
			}
			answer, err := auth.IssueServiceToken(ctx, &authv1.IssueServiceTokenRequest{Assertion: assertion})
			token = answer.GetAccessToken()
			return err
		})
		return token, err
	}
}
