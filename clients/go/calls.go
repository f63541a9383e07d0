package svoykrug

import (
	"context"
	"io"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// bearer is the per-RPC credential of one call. gRPC itself refuses to send it without TLS, unless the client was told to.
type bearer struct {
	token    string
	insecure bool
}

var _ credentials.PerRPCCredentials = bearer{}

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + b.token}, nil
}

func (b bearer) RequireTransportSecurity() bool { return !b.insecure }

// calls gives every call a deadline, a token, the language and typed errors, and repeats those whose token has died.
type calls struct {
	tokens   *tokens
	language string
	insecure bool
}

// attempt is what one attempt of a call is sent with.
type attempt struct {
	ctx     context.Context
	token   string
	options []grpc.CallOption
}

// prepare returns the next attempt of a call; what the call brings itself is left alone.
func (c *calls) prepare(ctx context.Context, path string, options []grpc.CallOption) (attempt, error) {
	given, _ := metadata.FromOutgoingContext(ctx)
	next := attempt{ctx: ctx, options: slices.Clip(options)} // The caller's own list is never appended to.
	for key, value := range map[string]string{"accept-language": c.language, "x-client-version": "go/" + Version} {
		if len(given.Get(key)) == 0 {
			next.ctx = metadata.AppendToOutgoingContext(next.ctx, key, value)
		}
	}
	if methods()[path].public || len(given.Get("authorization")) > 0 {
		return next, nil
	}
	var err error
	if next.token, err = c.tokens.get(ctx); err != nil {
		return next, typed(err, nil)
	}
	if next.token != "" {
		credential := grpc.PerRPCCredentials(bearer{next.token, c.insecure})
		next.options = append(next.options, credential)
	}
	return next, nil
}

// refused reports whether an attempt failed because its token has died, and sees that the token is not used again.
func (c *calls) refused(tried attempt, err error) bool {
	dead := tried.token != "" && hasReason(err, ReasonTokenExpired, ReasonAccessTokenRevoked)
	if dead {
		c.tokens.discard(tried.token)
	}
	return dead
}

// unary runs a call with one request and one answer, and once more with a fresh token when the server refused the one it had.
func (c *calls) unary(
	ctx context.Context, path string, request, answer any,
	connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	ctx, cancel := withDeadline(ctx, path)
	defer cancel()
	once := func() (attempt, error) {
		tried, err := c.prepare(ctx, path, options)
		if err != nil {
			return attempt{}, err
		}
		var trailer metadata.MD
		err = invoke(tried.ctx, path, request, answer, connection, append(tried.options, grpc.Trailer(&trailer))...)
		return tried, failed(ctx, connection, err, trailer)
	}
	tried, err := once()
	if c.refused(tried, err) {
		_, err = once()
	}
	return err
}

// stream starts a call that streams.
func (c *calls) stream(
	ctx context.Context, description *grpc.StreamDesc, connection *grpc.ClientConn,
	path string, open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	ctx, cancel := withDeadline(ctx, path)
	started := &streaming{calls: c, cancel: cancel, description: description, repeatable: !description.ClientStreams}
	started.failed = func(err error, trailer metadata.MD) error { return failed(ctx, connection, err, trailer) }
	started.open = func() error {
		tried, err := c.prepare(ctx, path, options)
		if err != nil {
			return err
		}
		started.tried = tried
		started.ClientStream, err = open(tried.ctx, description, connection, path, tried.options...)
		return started.failed(err, nil)
	}
	if err := started.open(); err != nil {
		cancel()
		return nil, err
	}
	return started, nil
}

// streaming is a stream under way. In a stream of answers the first one decides whether a fresh token is needed; a stream of
// requests cannot be sent twice, so a refused token fails it.
type streaming struct {
	grpc.ClientStream
	calls       *calls
	cancel      context.CancelFunc
	description *grpc.StreamDesc
	open        func() error
	failed      func(error, metadata.MD) error
	tried       attempt
	repeatable  bool
	request     any
}

// SendMsg sends a request.
func (s *streaming) SendMsg(request any) error {
	s.request = request
	return s.failed(s.ClientStream.SendMsg(request), nil)
}

// RecvMsg receives an answer.
func (s *streaming) RecvMsg(answer any) error {
	err := s.receive(answer)
	if s.calls.refused(s.tried, err) && s.repeatable {
		if err = s.again(); err == nil {
			err = s.receive(answer)
		}
	}
	s.repeatable = false
	if err != nil || !s.description.ServerStreams {
		s.cancel()
	}
	return err
}

func (s *streaming) receive(answer any) error {
	err := s.ClientStream.RecvMsg(answer)
	if err == nil || err == io.EOF {
		return err
	}
	return s.failed(err, s.ClientStream.Trailer())
}

func (s *streaming) again() error {
	if err := s.open(); err != nil {
		return err
	}
	if err := s.ClientStream.SendMsg(s.request); err != nil && err != io.EOF {
		return s.failed(err, nil)
	}
	return s.ClientStream.CloseSend()
}

// failed returns the *Error of a failed call. A server that stops answers CANCELLED to what reaches it in the last milliseconds, unseen
// (grpc#41785): where nobody here cancelled the call or closed the client, the connection was lost.
func failed(ctx context.Context, connection *grpc.ClientConn, err error, trailer metadata.MD) error {
	err = typed(err, trailer)
	lost, ok := err.(*Error)
	if ok && lost.Code == codes.Canceled && lost.Reason == "" && ctx.Err() == nil &&
		connection.GetState() != connectivity.Shutdown {
		lost.Code = codes.Unavailable
		lost.status = status.New(lost.Code, lost.Text)
	}
	return err
}

// withDeadline gives a call that has no deadline the method's own; a stream that the caller ends has none.
func withDeadline(ctx context.Context, path string) (context.Context, context.CancelFunc) {
	deadline := methods()[path].deadline
	if _, stated := ctx.Deadline(); stated || deadline == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, deadline)
}
