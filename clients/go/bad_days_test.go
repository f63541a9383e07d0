package svoykrug_test

import (
	"context"
	"errors"
	"iter"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"svoykrug"
	analyticsv1 "svoykrug/analytics/v1"
	authv1 "svoykrug/auth/v1"
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
		took := time.Since(begin)
		cancel()
		var typed *svoykrug.Error
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &typed) || typed.Code != codes.DeadlineExceeded {
			t.Fatalf("got %v, want a deadline", err)
		}
		if took > 300*time.Millisecond+slack {
			t.Fatalf("a call with a deadline of 0.3 s took %s", took)
		}
	}
	s.met(t, "ends_in_time")
	if kept, err := store.Load(); err != nil || kept == nil || kept.RefreshToken != session.RefreshToken {
		t.Fatalf("a deadline changed the session: %v, %v", kept, err)
	}
	s.met(t, "session_stays")
}

// The service's scopes change, which ends its access token: a stream of answers is opened again with a fresh one, and an import is
// sent again from the start.
func TestStreamsWhoseTokenWasRevokedGoOnWithAFreshOne(t *testing.T) {
	key, err := svoykrug.ReadServiceKey(keyFile)
	succeeds(t, err)
	var issued atomic.Int32
	count := func(
		ctx context.Context, path string, request, answer any,
		connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
	) error {
		if path == "/svoykrug.auth.v1.AuthService/IssueServiceToken" {
			issued.Add(1)
		}
		return invoke(ctx, path, request, answer, connection, options...)
	}
	service := newClient(t, svoykrug.WithServiceKey(key), svoykrug.WithDialOptions(grpc.WithChainUnaryInterceptor(count)))
	watch := func() error {
		request := &analyticsv1.WatchDashboardRequest{BusinessId: businessID}
		for _, err := range svoykrug.Stream(t.Context(), service.Analytics.WatchDashboard, request) {
			return err
		}
		return errors.New("no answer")
	}
	upload := func() error {
		_, err := service.ImportPurchases(t.Context(), businessID, svoykrug.Rows(nil))
		return err
	}
	for _, call := range []func() error{watch, upload} {
		succeeds(t, call())
		before := issued.Load()
		changeScopes(t)
		succeeds(t, until(10*time.Second, "the token is refused", func() bool {
			succeeds(t, call())
			return issued.Load() > before
		}))
		equal(t, issued.Load(), before+1)
	}
}

// changeScopes gives the service a scope that it lacks, or takes it away.
func changeScopes(t *testing.T) {
	t.Helper()
	listed, err := admin.AuthAdmin.ListServiceAccounts(t.Context(), &authv1.ListServiceAccountsRequest{})
	succeeds(t, err)
	account := listed.GetServiceAccounts()[0]
	scopes := slices.DeleteFunc(slices.Clone(account.GetScopes()), func(scope string) bool { return scope == "users.read" })
	if len(scopes) == len(account.GetScopes()) {
		scopes = append(scopes, "users.read")
	}
	_, err = admin.AuthAdmin.SetServiceAccountScopes(t.Context(), &authv1.SetServiceAccountScopesRequest{
		ServiceAccountId: account.GetId(), Scopes: scopes,
	})
	succeeds(t, err)
}

// The server restarts while an import and a watch are under way: the import is whole, nothing is doubled, nobody is signed out.
func (s *scenario) serverRestartInMidCall(t *testing.T) {
	next, stop := iter.Pull2(svoykrug.Stream(
		t.Context(), s.service.Analytics.WatchDashboard, &analyticsv1.WatchDashboardRequest{BusinessId: businessID},
	))
	defer stop()
	_, err, _ := next()
	succeeds(t, err)
	before, err := s.store.Load()
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
	if attempts < 2 {
		t.Fatal("the import was not sent again")
	}
	equal(t, answer.GetRecordedCount()+answer.GetDuplicateCount(), 5_000)
	again, err := s.service.ImportPurchases(t.Context(), businessID, rows)
	succeeds(t, err)
	equal(t, again.GetDuplicateCount(), 5_000)
	s.met(t, "import_whole")
	for err == nil {
		_, err, _ = next()
	}
	var broken *svoykrug.Error
	if !errors.As(err, &broken) {
		t.Fatalf("got %v, want a typed error of the watch", err)
	}
	s.met(t, "watch_ends_typed")
	equal(t, me(t, s.anna).GetId(), s.annaID)
	kept, err := s.store.Load()
	succeeds(t, err)
	equal(t, *kept, *before)
	s.met(t, "same_session")
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
	s.met(t, "lost_connection")
	kept, err := store.Load()
	succeeds(t, err)
	equal(t, kept.RefreshToken, before.GetTokens().GetRefreshToken())
	if kept.RequestID == "" {
		t.Fatal("the request id of the refresh was not stored")
	}
	s.met(t, "session_and_request_id_kept")
	cut.cutting.Store(false)
	equal(t, me(t, client).GetId(), before.GetUserId())
	moved, err := store.Load()
	succeeds(t, err)
	if moved.RefreshToken == kept.RefreshToken || moved.RequestID != "" {
		t.Fatal("the session did not move on")
	}
	s.met(t, "session_moved_on")
}

// Two clients of one person have sessions of their own; a second sign-in of one client is the one that counts.
func (s *scenario) twoSignIns(t *testing.T) {
	one, two := newClient(t), newClient(t)
	first, second := signInDemo(t, one, demoPhone), signInDemo(t, two, demoPhone)
	equal(t, first.GetUserId(), second.GetUserId())
	succeeds(t, two.SignOut(t.Context()))
	_, err := two.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
	refused(t, err, svoykrug.ReasonTokenMissing)
	s.met(t, "second_signed_out")
	succeeds(t, two.SignOut(t.Context())) // It is over already.
	equal(t, me(t, one).GetId(), first.GetUserId())
	s.met(t, "first_goes_on")
	other := signInDemo(t, one, otherPhone)
	equal(t, me(t, one).GetId(), other.GetUserId())
}

// Signing out tells the server, which cannot be done in the air; forgetting needs nobody, and a session that was revoked is over.
func TestASessionEndsWithoutTheServerAndAfterItWasRevoked(t *testing.T) {
	store, network := &svoykrug.MemoryTokenStore{}, newProxy(t)
	client := clientOf(t, network.address, svoykrug.WithTokenStore(store))
	signInDemo(t, client, demoPhone)
	network.away.Store(true)
	network.endConnections()
	fails(t, client.SignOut)
	kept, err := store.Load()
	succeeds(t, err)
	if kept == nil {
		t.Fatal("signed out here, and not on the server")
	}
	succeeds(t, client.Forget(t.Context()))
	left, err := store.Load()
	succeeds(t, err)
	equal(t, left, nil)

	revoked, other := newClient(t), newClient(t)
	signInDemo(t, revoked, demoPhone)
	signInDemo(t, other, demoPhone)
	_, err = other.Auth.RevokeOtherSessions(t.Context(), &authv1.RevokeOtherSessionsRequest{})
	succeeds(t, err)
	succeeds(t, until(time.Minute, "the session is over", func() bool {
		_, err := revoked.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
		return errors.Is(err, svoykrug.ReasonSessionRevoked)
	}))
	succeeds(t, revoked.SignOut(t.Context()))
	_, err = revoked.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
	refused(t, err, svoykrug.ReasonTokenMissing)
}
