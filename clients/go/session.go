package svoykrug

import (
	"context"
	"time"

	"github.com/google/uuid"

	authv1 "svoykrug/auth/v1"
)

// What is waited for another client's turn at a shared store. Its refresh ends within 10 s: who takes longer was stopped in mid-refresh,
// and must not keep everybody out.
const longestTurn = 15 * time.Second

// session is a signed-in person, whose refresh token is kept in a store.
//
// A store that several clients share has a lock: it is held from reading the session to storing what follows it, the call included, so
// that no two refreshes present one token under two request ids, which after a minute is what a thief does. Within this client
// tokens sees to it: it runs one renewal or replacement at a time.
type session struct {
	auth   authv1.AuthServiceClient
	tokens *tokens
	store  TokenStore
	// patience is how long to wait for the store's lock.
	patience time.Duration
}

// replace puts another session in place of the one before; nil for none.
func (s *session) replace(ctx context.Context, next *StoredSession, access *accessToken) error {
	return s.tokens.replace(ctx, func() (*accessToken, error) {
		return access, s.alone(ctx, func() error { return s.store.Save(next) })
	})
}

// renew refreshes the access token.
func (s *session) renew(ctx context.Context) (token string, err error) {
	// Nobody signed in is known without a lock.
	if stored, err := s.store.Load(); err != nil || stored == nil {
		return "", err
	}
	err = s.alone(ctx, func() (err error) {
		token, err = s.refresh(ctx)
		return err
	})
	return token, err
}

// alone runs work while no other client of a shared store does; after patience it runs it all the same.
func (s *session) alone(ctx context.Context, work func() error) error {
	shared, ok := s.store.(SharedTokenStore)
	if !ok {
		return work()
	}
	waiting, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	unlock, err := shared.Lock(waiting)
	switch {
	case err == nil:
		defer unlock()
	case ctx.Err() != nil:
		return ended(ctx)
	case waiting.Err() == nil:
		return err
	}
	return work()
}

// refresh exchanges the refresh token. Only the answers that say that the session is over for good end it here.
func (s *session) refresh(ctx context.Context) (string, error) {
	stored, err := s.prepared()
	if err != nil || stored == nil {
		return "", err
	}
	answer, err := s.auth.RefreshTokens(ctx, &authv1.RefreshTokensRequest{
		RefreshToken: stored.RefreshToken, RequestId: stored.RequestID,
	})
	if hasReason(err, sessionOver...) {
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

// prepared returns the session to refresh, with the request id of its refresh stored before the refresh is sent. An id that is stored
// already was perhaps sent, by whomever: it is sent again.
func (s *session) prepared() (*StoredSession, error) {
	stored, err := s.store.Load()
	if err != nil || stored == nil || stored.RequestID != "" {
		return stored, err
	}
	refreshing := *stored
	refreshing.RequestID = uuid.NewString()
	return &refreshing, s.store.Save(&refreshing)
}

// moveOn stores what follows a session, unless the store has moved on already: a sign-in, or a client that did not wait for us.
func (s *session) moveOn(old, next *StoredSession) error {
	stored, err := s.store.Load()
	if err != nil || stored == nil || stored.RefreshToken != old.RefreshToken {
		return err
	}
	return s.store.Save(next)
}
