package svoykrug

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokenOf returns an access token of 15 minutes from a server whose clock differs from ours.
func tokenOf(t *testing.T, name string, difference time.Duration) string {
	t.Helper()
	issued := time.Now().Add(difference)
	claims := jwt.MapClaims{"sub": name, "iat": issued.Unix(), "exp": issued.Add(15 * time.Minute).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte("any key: clients do not verify"))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestATokenIsRenewedAMinuteBeforeItDiesWhateverTheClockSays(t *testing.T) {
	for _, difference := range []time.Duration{-5 * time.Minute, 0, 5 * time.Minute} {
		token, err := readAccessToken(tokenOf(t, "anna", difference))
		if err != nil {
			t.Fatal(err)
		}
		if left := time.Until(token.renewAt); left < 13*time.Minute || left > 14*time.Minute {
			t.Errorf("clocks differ by %s: renewed in %s", difference, left)
		}
	}
}

func TestManyCallsWaitForOneRenewalAndACancelledOneDisturbsNoOther(t *testing.T) {
	var renewals atomic.Int32
	answer := make(chan struct{})
	fresh := tokenOf(t, "anna", 0)
	tokens := &tokens{renew: func(context.Context) (string, error) {
		renewals.Add(1)
		<-answer
		return fresh, nil
	}}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := tokens.get(cancelled); err == nil {
		t.Fatal("a cancelled call got a token")
	}
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			if token, err := tokens.get(t.Context()); token != fresh || err != nil {
				t.Errorf("got %q, %v", token, err)
			}
		})
	}
	close(answer)
	calls.Wait()
	if renewals.Load() != 1 {
		t.Fatalf("%d renewals", renewals.Load())
	}
}

func TestASignInStopsARenewalAndIsTheOneThatCounts(t *testing.T) {
	begun := make(chan struct{})
	tokens := &tokens{renew: func(ctx context.Context) (string, error) {
		close(begun)
		<-ctx.Done() // Stopped, or this test hangs.
		return tokenOf(t, "the session before", 0), nil
	}}
	got := make(chan string)
	go func() {
		token, _ := tokens.get(t.Context())
		got <- token
	}()
	<-begun
	signedIn, err := readAccessToken(tokenOf(t, "the new session", 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := tokens.replace(context.Background(), func() (*accessToken, error) { return signedIn, nil }); err != nil {
		t.Fatal(err)
	}
	if token := <-got; token != signedIn.value {
		t.Fatal("the call carries the token of the session before")
	}
}

func TestAReplacementWaitsForAnotherNoLongerThanItsContext(t *testing.T) {
	tokens := &tokens{renew: func(context.Context) (string, error) { return "", nil }}
	signedIn, err := readAccessToken(tokenOf(t, "anna", 0))
	if err != nil {
		t.Fatal(err)
	}
	begun, goOn, first := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		first <- tokens.replace(context.Background(), func() (*accessToken, error) {
			close(begun)
			<-goOn
			return signedIn, nil
		})
	}()
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err = tokens.replace(ctx, func() (*accessToken, error) { panic("it was not given up") })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want context.Canceled", err)
	}
	waiting := make(chan string)
	go func() {
		token, _ := tokens.get(context.Background())
		waiting <- token
	}()
	close(goOn)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	if token := <-waiting; token != signedIn.value {
		t.Fatal("the first replacement does not count")
	}
}

func TestAnRSAKeySignsRS256AndPrintsNoSecret(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	key, err := NewServiceKey("account", "kid-1", "svoykrug", text)
	if err != nil {
		t.Fatal(err)
	}
	assertion, err := key.assertion()
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.Parse(assertion, func(*jwt.Token) (any, error) { return &private.PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithAudience("svoykrug"), jwt.WithIssuer("account"))
	if err != nil || parsed.Header["kid"] != "kid-1" {
		t.Fatalf("%v, %v", parsed, err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if printed := fmt.Sprintf(verb, key); printed != "key kid-1 of service account account" {
			t.Errorf("%s prints %s", verb, printed)
		}
	}
}

func TestDeadlinesAndRepetitionAreTheContracts(t *testing.T) {
	for path, want := range map[string]method{
		"/svoykrug.users.v1.UsersService/GetMe":                   {false, 10 * time.Second, true},
		"/svoykrug.users.v1.UsersService/ExportMe":                {false, 2 * time.Minute, false},
		"/svoykrug.auth.v1.AuthService/RefreshTokens":             {true, 10 * time.Second, true},
		"/svoykrug.auth.v1.AuthService/StartSignIn":               {true, 10 * time.Second, false},
		"/svoykrug.analytics.v1.AnalyticsService/WatchDashboard":  {false, 0, true},
		"/svoykrug.purchases.v1.PurchasesService/ImportPurchases": {false, 0, false},
	} {
		if got := methods()[path]; got != want {
			t.Errorf("%s: got %+v, want %+v", path, got, want)
		}
	}
}
