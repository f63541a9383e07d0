package svoykrug_test

import (
	"context"
	"errors"
	"iter"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"svoykrug"
	analyticsv1 "svoykrug/analytics/v1"
	purchasesv1 "svoykrug/purchases/v1"
	usersv1 "svoykrug/users/v1"
)

func (s *scenario) deadline(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0") // The system accepts connections for it; nobody ever answers.
	succeeds(t, err)
	defer silent.Close()
	store := &svoykrug.MemoryTokenStore{}
	session := &svoykrug.StoredSession{UserID: s.annaID, RefreshToken: "a refresh token"}
	succeeds(t, store.Save(session))
	client := clientOf(t, silent.Addr().String(), svoykrug.WithTokenStore(store))
	for _, call := range []func(context.Context) error{
		func(ctx context.Context) error { _, err := client.StartSignIn(ctx, annaPhone); return err },
		func(ctx context.Context) error {
			_, err := client.Users.GetMe(ctx, &usersv1.GetMeRequest{})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		begin := time.Now()
		err = call(ctx)
		cancel()
		var typed *svoykrug.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &typed) || typed.Code != codes.DeadlineExceeded {
			t.Fatalf("got %v, want a deadline", err)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Fatalf("the call took %s", took)
		}
	}
	if kept, err := store.Load(); err != nil || kept == nil || kept.RefreshToken != session.RefreshToken {
		t.Fatalf("a deadline changed the session: %v, %v", kept, err)
	}
}

// The server restarts while an import and a watch are under way: the import is whole, nothing is doubled, nobody is signed out.
func (s *scenario) serverRestartInMidCall(t *testing.T) {
	next, stop := iter.Pull2(svoykrug.Stream(
		t.Context(), s.service.Analytics.WatchDashboard, &analyticsv1.WatchDashboardRequest{BusinessId: businessID},
	))
	defer stop()
	_, err, _ := next()
	succeeds(t, err)
	attempts := 0
	rows := func(yield func(*purchasesv1.NewPurchase, error) bool) {
		attempts++
		for number := range 5_000 {
			if number == 4_500 && attempts == 1 {
				if err := running.restart(); err != nil {
					yield(nil, err)
					return
				}
			}
			if !yield(s.receipt("restart", number), nil) {
				return
			}
		}
	}
	answer, err := s.service.ImportPurchases(t.Context(), businessID, rows)
	succeeds(t, err)
	equal(t, attempts, 2)
	equal(t, answer.GetRecordedCount()+answer.GetDuplicateCount(), 5_000)
	for err == nil {
		_, err, _ = next()
	}
	var broken *svoykrug.Error
	if !errors.As(err, &broken) {
		t.Fatalf("got %v, want a typed error of the watch", err)
	}
	equal(t, me(t, s.anna).GetId(), s.annaID)
	again, err := s.service.ImportPurchases(t.Context(), businessID, rows)
	succeeds(t, err)
	equal(t, again.GetDuplicateCount(), 5_000)
}

// The server refreshes and its answer is cut, four times: the same refresh is sent again, and nobody takes it for theft.
func (s *scenario) lostRefreshAnswer(t *testing.T) {
	store, cut := &svoykrug.MemoryTokenStore{}, newProxy(t)
	before := signInDemo(t, newClient(t, svoykrug.WithTokenStore(store)), demoPhone)
	client := clientOf(t, cut.address, svoykrug.WithTokenStore(store))
	cut.cutting.Store(true)
	_, err := client.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
	var lost *svoykrug.Error
	if !errors.As(err, &lost) || lost.Code != codes.Unavailable || lost.Reason != "" {
		t.Fatalf("got %v, want a lost connection", err)
	}
	equal(t, cut.cuts.Load(), 4)
	kept, err := store.Load()
	succeeds(t, err)
	equal(t, kept.RefreshToken, before.GetTokens().GetRefreshToken())
	if kept.RequestID == "" {
		t.Fatal("the request id of the refresh was not stored")
	}
	cut.cutting.Store(false)
	equal(t, me(t, client).GetId(), before.GetUserId())
	moved, err := store.Load()
	succeeds(t, err)
	if moved.RefreshToken == kept.RefreshToken || moved.RequestID != "" {
		t.Fatal("the session did not move on")
	}
}

// Two clients of one person have sessions of their own; a second sign-in of one client is the one that counts.
func (s *scenario) twoSignIns(t *testing.T) {
	one, two := newClient(t), newClient(t)
	first, second := signInDemo(t, one, demoPhone), signInDemo(t, two, demoPhone)
	equal(t, first.GetUserId(), second.GetUserId())
	succeeds(t, two.SignOut(t.Context()))
	_, err := two.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
	refused(t, err, svoykrug.ReasonTokenMissing)
	equal(t, me(t, one).GetId(), first.GetUserId())
	other := signInDemo(t, one, otherPhone)
	equal(t, me(t, one).GetId(), other.GetUserId())
}
