package svoykrug

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	analyticsv1 "svoykrug/analytics/v1"
	authv1 "svoykrug/auth/v1"
	businessesv1 "svoykrug/businesses/v1"
	operationsv1 "svoykrug/operations/v1"
	purchasesv1 "svoykrug/purchases/v1"
	usersv1 "svoykrug/users/v1"
)

// A connection that is dead without a word (NAT, tunnels) is found by a ping after 12 s of silence in mid-call, unanswered for 5 s: before
// a second call with the deadline of 10 s ends. The server allows a ping every 10 s.
var lively = keepalive.ClientParameters{Time: 12 * time.Second, Timeout: 5 * time.Second}

// Client is a connection to the service. Its methods and stubs may be used by several goroutines at once.
type Client struct {
	Auth       authv1.AuthServiceClient
	AuthAdmin  authv1.AuthAdminServiceClient
	Users      usersv1.UsersServiceClient
	Businesses businessesv1.BusinessesServiceClient
	Purchases  purchasesv1.PurchasesServiceClient
	Analytics  analyticsv1.AnalyticsServiceClient
	Operations operationsv1.OperationsServiceClient

	connection *grpc.ClientConn
	session    *session

	mu     sync.Mutex
	signIn *authv1.CompleteSignInRequest
}

type settings struct {
	transport credentials.TransportCredentials
	insecure  bool
	store     TokenStore
	key       *ServiceKey
	language  string
	dial      []grpc.DialOption
}

// Option changes how a [Client] works.
type Option func(*settings)

// WithInsecure talks without TLS; for a service on this machine.
func WithInsecure() Option {
	return func(s *settings) { s.transport, s.insecure = insecure.NewCredentials(), true }
}

// WithTLS says whom to trust and, where the server asks for one, which certificate to show; the system's authorities by default.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) { s.transport, s.insecure = credentials.NewTLS(config), false }
}

// WithTokenStore says where the session of a signed-in person is kept; in memory by default.
func WithTokenStore(store TokenStore) Option { return func(s *settings) { s.store = store } }

// WithServiceKey calls as a service account.
func WithServiceKey(key *ServiceKey) Option { return func(s *settings) { s.key = key } }

// WithLanguage chooses the language of the texts for people: ru, the default, or en.
func WithLanguage(language string) Option { return func(s *settings) { s.language = language } }

// WithDialOptions passes options to gRPC, such as the stats handler of OpenTelemetry.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, options...) }
}

// New returns a client of the service at target, such as 127.0.0.1:50051. It connects with the first call.
func New(target string, options ...Option) (*Client, error) {
	chosen := settings{transport: credentials.NewTLS(nil), store: &MemoryTokenStore{}, language: "ru"}
	for _, option := range options {
		option(&chosen)
	}
	calls := &calls{tokens: &tokens{}, language: chosen.language, insecure: chosen.insecure}
	connection, err := grpc.NewClient(target, append([]grpc.DialOption{
		grpc.WithTransportCredentials(chosen.transport),
		grpc.WithDefaultServiceConfig(serviceConfig()),
		grpc.WithChainUnaryInterceptor(calls.unary),
		grpc.WithChainStreamInterceptor(calls.stream),
		grpc.WithKeepaliveParams(lively),
		// After a long outage gRPC would wait up to two minutes before it tries again: the server is back long before.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect(), MinConnectTimeout: 20 * time.Second}),
	}, chosen.dial...)...)
	if err != nil {
		return nil, err
	}
	client := &Client{
		Auth:       authv1.NewAuthServiceClient(connection),
		AuthAdmin:  authv1.NewAuthAdminServiceClient(connection),
		Users:      usersv1.NewUsersServiceClient(connection),
		Businesses: businessesv1.NewBusinessesServiceClient(connection),
		Purchases:  purchasesv1.NewPurchasesServiceClient(connection),
		Analytics:  analyticsv1.NewAnalyticsServiceClient(connection),
		Operations: operationsv1.NewOperationsServiceClient(connection),
		connection: connection,
	}
	client.session = &session{auth: client.Auth, tokens: calls.tokens, store: chosen.store, patience: longestTurn}
	calls.tokens.renew = client.session.renew
	if chosen.key != nil {
		calls.tokens.renew = serviceRenewal(client.Auth, chosen.key)
	}
	return client, nil
}

func reconnect() backoff.Config {
	config := backoff.DefaultConfig
	config.MaxDelay = 10 * time.Second
	return config
}

// Close ends the connection; calls under way are cancelled.
func (c *Client) Close() error { return c.connection.Close() }

// StartSignIn has a code sent to a phone, in any spelling.
func (c *Client) StartSignIn(ctx context.Context, phone string) (*authv1.Challenge, error) {
	answer, err := c.Auth.StartSignIn(ctx, &authv1.StartSignInRequest{Phone: phone})
	return answer.GetChallenge(), err
}

// CompleteSignIn signs in; from now on calls carry the person's token.
//
// request holds the challenge's id, the code, and what a new user must give (consents); its request id is set here. Called again
// with an equal request after a deadline or a lost connection, it is the same sign-in: the code is not used up by an answer that
// never came.
func (c *Client) CompleteSignIn(
	ctx context.Context, request *authv1.CompleteSignInRequest,
) (*authv1.CompleteSignInResponse, error) {
	answer, err := c.Auth.CompleteSignIn(ctx, c.repeatable(request))
	if err != nil {
		return nil, err
	}
	access, err := readAccessToken(answer.GetTokens().GetAccessToken())
	if err != nil {
		return nil, err
	}
	signedIn := &StoredSession{UserID: answer.GetUserId(), RefreshToken: answer.GetTokens().GetRefreshToken()}
	return answer, c.session.replace(ctx, signedIn, access)
}

// repeatable returns the sign-in request with a request id: that of the last one when it is the same sign-in.
func (c *Client) repeatable(request *authv1.CompleteSignInRequest) *authv1.CompleteSignInRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	sent := proto.CloneOf(request)
	sent.RequestId = c.signIn.GetRequestId()
	if !proto.Equal(sent, c.signIn) {
		sent.RequestId = uuid.NewString()
		c.signIn = sent
	}
	return sent
}

// SignOut ends the session on the server, then forgets it; a session that is over already is only forgotten. Where the server could
// not be told she stays signed in here, so that it can be repeated; Forget does without the server.
func (c *Client) SignOut(ctx context.Context) error {
	_, err := c.Auth.SignOut(ctx, &authv1.SignOutRequest{})
	if err != nil && !hasReason(err, sessionOver...) && !hasReason(err, ReasonTokenMissing) {
		return err
	}
	return c.Forget(ctx)
}

// Forget signs out on this side alone, without a call: the session leaves the token store, and on the server it goes on until its time
// is over or somebody revokes it.
func (c *Client) Forget(ctx context.Context) error { return c.session.replace(ctx, nil, nil) }
