package svoykrug

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

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

	mu      sync.Mutex
	access  *accessToken // nil when there is none.
	renewal *renewal
}

type renewal struct {
	done  chan struct{}
	token string
	err   error
}

// get returns a token that is good now, or an empty one to call without.
func (t *tokens) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	if t.access != nil && time.Now().Before(t.access.renewAt) {
		defer t.mu.Unlock()
		return t.access.value, nil
	}
	if t.renewal == nil {
		t.renewal = &renewal{done: make(chan struct{})}
		go t.run(t.renewal, t.access)
	}
	current := t.renewal
	t.mu.Unlock()
	select {
	case <-current.done:
		return current.token, current.err
	case <-ctx.Done():
		return "", ended(ctx)
	}
}

// run renews the token, unless a sign-in or a sign-out replaces it meanwhile: then theirs is the one that counts.
func (t *tokens) run(current *renewal, before *accessToken) {
	var fresh *accessToken
	value, err := t.renew(context.Background())
	if err == nil && value != "" {
		fresh, err = readAccessToken(value)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.access != before:
		err = nil
	case err == nil:
		t.access = fresh
	}
	if current.err = err; err == nil && t.access != nil {
		current.token = t.access.value
	}
	t.renewal = nil
	close(current.done)
}

// replace takes over a token that did not come from a renewal; nil for none.
func (t *tokens) replace(access *accessToken) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.access = access
}

// discard takes note that the server refused a token: it is not used again.
func (t *tokens) discard(token string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.access != nil && t.access.value == token {
		t.access.renewAt = time.Time{}
	}
}

// session is a signed-in person, whose refresh token is kept in a store.
//
// Several clients, also in several processes, may share a store. They need no lock: those that race present the same refresh token
// within seconds, which the server answers with the same next one, and nobody overwrites a later token.
type session struct {
	auth   authv1.AuthServiceClient
	tokens *tokens

	mu    sync.Mutex
	store TokenStore
}

// signedIn takes over the tokens of a new session.
func (s *session) signedIn(userID string, fresh *authv1.Tokens) error {
	access, err := readAccessToken(fresh.GetAccessToken())
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.store.Save(&StoredSession{UserID: userID, RefreshToken: fresh.GetRefreshToken()}); err != nil {
		return err
	}
	s.tokens.replace(access)
	return nil
}

// signedOut forgets the session.
func (s *session) signedOut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens.replace(nil)
	return s.store.Save(nil)
}

// renew refreshes the access token. Only the answers that say that the session is over for good end it here.
func (s *session) renew(ctx context.Context) (string, error) {
	stored, err := s.prepared()
	if err != nil || stored == nil {
		return "", err
	}
	answer, err := s.auth.RefreshTokens(ctx, &authv1.RefreshTokensRequest{
		RefreshToken: stored.RefreshToken, RequestId: stored.RequestID,
	})
	if hasReason(err, ReasonRefreshTokenInvalid, ReasonSessionRevoked, ReasonSessionCompromised) {
		if storeErr := s.moveOn(stored, nil); storeErr != nil {
			return "", storeErr
		}
	}
	if err != nil {
		return "", err
	}
	next := &StoredSession{UserID: stored.UserID, RefreshToken: answer.GetTokens().GetRefreshToken()}
	return answer.GetTokens().GetAccessToken(), s.moveOn(stored, next)
}

// prepared returns the session to refresh, with the request id of its refresh stored before the refresh is sent.
func (s *session) prepared() (*StoredSession, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, err := s.store.Load()
	if err != nil || stored == nil || stored.RequestID != "" {
		return stored, err
	}
	refreshing := *stored
	refreshing.RequestID = uuid.NewString()
	return &refreshing, s.store.Save(&refreshing)
}

// moveOn stores what follows a session, unless the store has moved on already: a sign-in, or another process.
func (s *session) moveOn(old, next *StoredSession) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored, err := s.store.Load()
	if err != nil || stored == nil || stored.RefreshToken != old.RefreshToken {
		return err
	}
	return s.store.Save(next)
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
