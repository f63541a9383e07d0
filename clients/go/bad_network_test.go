package svoykrug_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"svoykrug"
	purchasesv1 "svoykrug/purchases/v1"
	usersv1 "svoykrug/users/v1"
)

// How much longer than its deadline a call may take on a slow machine.
const slack = 4 * time.Second

// The link goes while a purchase is under way, and is back seconds later: it counts once, and nobody is signed out.
func (s *scenario) aeroplaneMode(t *testing.T) {
	network := newProxy(t)
	store := &svoykrug.MemoryTokenStore{}
	before := signInDemo(t, newClient(t, svoykrug.WithTokenStore(store)), demoPhone)
	phone := clientOf(t, network.address, svoykrug.WithTokenStore(store))
	key, err := svoykrug.ReadServiceKey(keyFile)
	succeeds(t, err)
	till := clientOf(t, network.address, svoykrug.WithServiceKey(key))
	equal(t, me(t, phone).GetId(), before.GetUserId())
	succeeds(t, s.record(till, "aeroplane-warm")(t.Context()))
	kept, err := store.Load()
	succeeds(t, err)

	network.stalled.Store(true)
	record := s.record(till, "aeroplane")
	fails(t, record)
	network.away.Store(true)
	// An application that is started in the air has no token yet.
	cold := clientOf(t, network.address, svoykrug.WithTokenStore(store))
	fails(t, getMe(phone))
	fails(t, getMe(cold))
	s.met(t, "calls_end")
	still, err := store.Load()
	succeeds(t, err)
	equal(t, still.RefreshToken, kept.RefreshToken)

	network.stalled.Store(false)
	network.away.Store(false)
	network.endConnections()
	for _, client := range []*svoykrug.Client{phone, cold} {
		isBack(t, client, before.GetUserId())
	}
	s.met(t, "session_stays")
	succeeds(t, until(time.Minute, "the purchase is recorded", func() bool { return record(t.Context()) == nil }))
	s.countsOnce(t, till, "aeroplane")
	s.met(t, "purchase_counts_once")
}

// The connection is dead and nobody says so: a NAT or a tunnel forgot it. New ones go through.
func (s *scenario) halfOpenConnection(t *testing.T) {
	network := newProxy(t)
	// She is an admin, who may record purchases.
	client := clientOf(t, network.address, svoykrug.WithTokenStore(s.store))
	equal(t, me(t, client).GetId(), s.annaID)
	kept, err := s.store.Load()
	succeeds(t, err)
	network.forgetConnections()
	record := s.record(client, "half-open")
	fails(t, record)
	fails(t, getMe(client))
	// Silence of 12 s, a ping of 5 s, and a machine that is slow: with the two calls within the minute.
	givenUp := func() bool { return isAnswered(t, record) }
	succeeds(t, until(50*time.Second, "the connection is given up", givenUp))
	s.met(t, "calls_end")
	equal(t, me(t, client).GetId(), s.annaID)
	now, err := s.store.Load()
	succeeds(t, err)
	equal(t, *now, *kept)
	s.met(t, "same_session")
	s.countsOnce(t, client, "half-open")
	s.met(t, "purchase_counts_once")
}

// The server's certificate has expired; then it gets another.
func (s *scenario) expiredCertificate(t *testing.T) {
	folder := certificates(t)
	var shown atomic.Pointer[tls.Certificate]
	show := func(name string) {
		certificate, err := tls.LoadX509KeyPair(filepath.Join(folder, name+".pem"), filepath.Join(folder, "key.pem"))
		succeeds(t, err)
		shown.Store(&certificate)
	}
	show("expired")
	front := newTLSProxy(t, shown.Load)
	store := &svoykrug.MemoryTokenStore{}
	before := signInDemo(t, newClient(t, svoykrug.WithTokenStore(store)), demoPhone)
	authority, err := os.ReadFile(filepath.Join(folder, "authority.pem"))
	succeeds(t, err)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	client, err := svoykrug.New(
		front.address, svoykrug.WithTLS(&tls.Config{RootCAs: trusted}), svoykrug.WithTokenStore(store),
	)
	succeeds(t, err)
	defer client.Close()
	fails(t, getMe(client))
	kept, err := store.Load()
	succeeds(t, err)
	equal(t, kept.RefreshToken, before.GetTokens().GetRefreshToken())
	s.met(t, "call_ends")
	show("valid")
	isBack(t, client, before.GetUserId())
	s.met(t, "goes_on_when_valid")
}

// The wall clock is five minutes slow, and then as much fast. What it is to the life of a token, which the server's clock dates, shows
// TestATokenIsRenewedAMinuteBeforeItDiesWhateverTheClockSays.
func (s *scenario) wrongClock(t *testing.T) {
	request := &purchasesv1.BatchRecordPurchasesRequest{
		BusinessId: businessID, Purchases: []*purchasesv1.NewPurchase{s.receipt("wrong-clock", 1)},
	}
	withWrongClocks := func(do func()) {
		for _, wrong := range []time.Duration{-5 * time.Minute, 5 * time.Minute} {
			func() {
				defer svoykrug.SetWallClock(wrong)()
				do()
			}()
		}
	}
	withWrongClocks(func() {
		before := s.refreshes.Load()
		started := newClient(
			t, svoykrug.WithTokenStore(s.store), svoykrug.WithDialOptions(grpc.WithChainUnaryInterceptor(s.count)),
		)
		for range 3 {
			equal(t, me(t, started).GetId(), s.annaID)
		}
		equal(t, s.refreshes.Load(), before+1)
	})
	s.met(t, "person_stays_signed_in")
	withWrongClocks(func() {
		answer, err := newService(t).Purchases.BatchRecordPurchases(t.Context(), request)
		succeeds(t, err)
		equal(t, answer.GetRecordedCount()+answer.GetDuplicateCount(), 1)
	})
	s.met(t, "service_signs_in")
}

// record returns what records one receipt of Anna's, however often it is called.
func (s *scenario) record(client *svoykrug.Client, kind string) func(context.Context) error {
	request := &purchasesv1.RecordPurchaseRequest{BusinessId: businessID, Purchase: s.receipt(kind, 0)}
	return func(ctx context.Context) error {
		_, err := client.Purchases.RecordPurchase(ctx, request)
		return err
	}
}

// countsOnce records a receipt that was recorded once more, and fails the test unless one purchase came of it.
func (s *scenario) countsOnce(t *testing.T, client *svoykrug.Client, kind string) {
	t.Helper()
	receipt := s.receipt(kind, 0)
	again, err := client.Purchases.RecordPurchase(
		t.Context(), &purchasesv1.RecordPurchaseRequest{BusinessId: businessID, Purchase: receipt},
	)
	succeeds(t, err)
	equal(t, again.GetDuplicate(), true)
	count := 0
	of := (*purchasesv1.ListMyPurchasesResponse).GetPurchases
	listed := svoykrug.Items(t.Context(), s.anna.Purchases.ListMyPurchases, &purchasesv1.ListMyPurchasesRequest{}, of)
	for row, err := range listed {
		succeeds(t, err)
		if row.GetExternalId() == receipt.GetExternalId() {
			count++
		}
	}
	equal(t, count, 1)
}

func getMe(client *svoykrug.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := client.Users.GetMe(ctx, &usersv1.GetMeRequest{})
		return err
	}
}

// isAnswered makes a call with a deadline of a second. Unless it is answered it must end by then, with a typed error that leaves open
// what became of it.
func isAnswered(t *testing.T, call func(context.Context) error) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begin := time.Now()
	err := call(ctx)
	if err != nil && !isLost(err) {
		t.Fatalf("got %v, want a lost connection or a deadline", err)
	}
	if took := time.Since(begin); took > time.Second+slack {
		t.Fatalf("a call with a deadline of a second took %s", took)
	}
	return err == nil
}

// fails makes a call with a deadline of a second that nobody answers.
func fails(t *testing.T, call func(context.Context) error) {
	t.Helper()
	if isAnswered(t, call) {
		t.Fatal("the call was answered")
	}
}

func isLost(err error) bool {
	typed, ok := err.(*svoykrug.Error)
	return ok && typed.Reason == "" && (typed.Code == codes.Unavailable || typed.Code == codes.DeadlineExceeded)
}

// isBack calls until the server is back: she has to do nothing for it, and no failure on the way may be of another kind.
func isBack(t *testing.T, client *svoykrug.Client, userID string) {
	t.Helper()
	succeeds(t, until(time.Minute, "the server is back", func() bool {
		answer, err := client.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
		if err != nil && !isLost(err) {
			t.Fatal(err)
		}
		return err == nil && answer.GetUser().GetId() == userID
	}))
}

// certificates returns a folder with what tests/clients/certificates.py writes, by the Python of the server.
func certificates(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	python := filepath.Join(filepath.Dir(running.command().Path), "python")
	output, err := exec.Command(python, "../../tests/clients/certificates.py", folder).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return folder
}
