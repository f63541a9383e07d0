package svoykrug

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	authv1 "svoykrug/auth/v1"
	purchasesv1 "svoykrug/purchases/v1"
)

// stopping is a server that answers the first call of each method as one that stops does, unseen.
type stopping struct {
	authv1.UnimplementedAuthServiceServer
	purchasesv1.UnimplementedPurchasesServiceServer
	token string

	mu    sync.Mutex
	calls map[string]int
}

func (s *stopping) count(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[method]++; s.calls[method] == 1 {
		return status.Error(codes.Canceled, "the server stops")
	}
	return nil
}

func (s *stopping) IssueServiceToken(
	context.Context, *authv1.IssueServiceTokenRequest,
) (*authv1.IssueServiceTokenResponse, error) {
	return &authv1.IssueServiceTokenResponse{AccessToken: s.token}, s.count("IssueServiceToken")
}

func (s *stopping) StartSignIn(context.Context, *authv1.StartSignInRequest) (*authv1.StartSignInResponse, error) {
	return &authv1.StartSignInResponse{}, s.count("StartSignIn")
}

func (s *stopping) ImportPurchases(
	stream grpc.ClientStreamingServer[purchasesv1.ImportPurchasesRequest, purchasesv1.ImportPurchasesResponse],
) error {
	if err := s.count("ImportPurchases"); err != nil {
		return err
	}
	if _, err := stream.Recv(); err != nil {
		return err
	}
	return stream.SendAndClose(&purchasesv1.ImportPurchasesResponse{RecordedCount: 1})
}

// startStopping returns a stopping server and a service that calls it.
func startStopping(t *testing.T, options ...Option) (*stopping, *Client) {
	t.Helper()
	made := &stopping{token: tokenOf(t, "service", 0), calls: map[string]int{}}
	server := grpc.NewServer()
	authv1.RegisterAuthServiceServer(server, made)
	purchasesv1.RegisterPurchasesServiceServer(server, made)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	client, err := New(listener.Addr().String(), append([]Option{WithInsecure()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return made, client
}

func newKey(t *testing.T) *ServiceKey {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewServiceKey("account", "kid-1", "svoykrug", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestWhatAStoppingServerCancelsUnseenIsSentAgain(t *testing.T) {
	server, service := startStopping(t, WithServiceKey(newKey(t)))
	rows := Rows([]*purchasesv1.NewPurchase{{}})
	if answer, err := service.ImportPurchases(t.Context(), "business", rows); err != nil || answer.GetRecordedCount() != 1 {
		t.Fatalf("got %v, %v", answer, err)
	}
	if server.calls["IssueServiceToken"] != 2 || server.calls["ImportPurchases"] != 2 {
		t.Fatalf("calls: %v", server.calls)
	}
}

func TestACallThatTheServerCancelledIsALostConnectionAndNotTheCallersDoing(t *testing.T) {
	server, client := startStopping(t)
	_, err := client.StartSignIn(t.Context(), "+79990000001")
	var lost *Error
	if !errors.As(err, &lost) || lost.Code != codes.Unavailable || status.Code(err) != codes.Unavailable || errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if server.calls["StartSignIn"] != 1 {
		t.Fatal("it was sent again")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := client.StartSignIn(ctx, "+79990000001"); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v, want the caller's own end", err)
	}
}

func TestAClosedClientAttemptsNothingAgain(t *testing.T) {
	_, client := startStopping(t)
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	attempts := 0
	_, err := client.ImportPurchases(t.Context(), "business", func(func(*purchasesv1.NewPurchase, error) bool) { attempts++ })
	if status.Code(err) != codes.Canceled || attempts > 1 {
		t.Fatalf("%d attempts, %v", attempts, err)
	}
}

// locked is a store that cannot be read.
type locked struct {
	MemoryTokenStore
	loads atomic.Int32
}

func (l *locked) Load() (*StoredSession, error) {
	l.loads.Add(1)
	return nil, &fs.PathError{Op: "open", Path: "session.json", Err: fs.ErrPermission}
}

func TestAStoreThatFailsIsTheErrorOfTheCallAndNotALostConnection(t *testing.T) {
	store := &locked{}
	_, client := startStopping(t, WithTokenStore(store))
	_, unary := client.Purchases.ListMyPurchases(t.Context(), &purchasesv1.ListMyPurchasesRequest{})
	_, stream := client.ImportPurchases(t.Context(), "business", Rows(nil))
	if loads := store.loads.Load(); loads != 2 {
		t.Errorf("two calls read the store %d times", loads)
	}
	for _, err := range []error{unary, stream} {
		var typed *Error
		var path *fs.PathError
		if !errors.As(err, &typed) || typed.Code != codes.Unknown || !errors.Is(err, fs.ErrPermission) || !errors.As(err, &path) {
			t.Errorf("got %v, want the store's own error inside", err)
		}
	}
}
