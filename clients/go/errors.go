package svoykrug

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The answers that mean: this session is over for good. No other failure may sign her out, a proxy's 401 least of all.
var sessionOver = []Reason{ReasonRefreshTokenInvalid, ReasonSessionRevoked, ReasonSessionCompromised}

// Reason names why a call was refused, as the error catalogue does: the ErrorReason without its prefix, such as CODE_WRONG. It is
// an error itself, so that errors.Is(err, svoykrug.ReasonCodeWrong) asks for one reason.
type Reason string

// Error returns the name.
func (r Reason) Error() string { return string(r) }

// Error is a call that was refused, or that did not reach the server.
type Error struct {
	// Reason is the reason; empty where the server itself did not answer, as when the connection broke.
	Reason Reason
	// Code is the gRPC status code.
	Code codes.Code
	// Text is what a person may read, in the language of the client.
	Text string
	// Metadata holds facts for programs, such as guesses_left.
	Metadata map[string]string
	// FieldViolations holds the rule that each bad field breaks, by the field's path.
	FieldViolations map[string]string
	// RetryAfter is how long to wait before the same call may succeed; 0 where waiting does not help.
	RetryAfter time.Duration
	// RequestID names the call in the server's log.
	RequestID string

	status *status.Status
	// cause is what failed on this side of the connection, such as a token store.
	cause error
}

// Error describes the failure in one line for a log; it holds nothing personal.
func (e *Error) Error() string {
	var text strings.Builder
	if e.Reason != "" {
		text.WriteString(string(e.Reason))
	} else {
		text.WriteString(e.Code.String())
	}
	text.WriteString(": " + e.Text)
	for _, path := range sortedKeys(e.FieldViolations) {
		fmt.Fprintf(&text, "; %s: %s", path, e.FieldViolations[path])
	}
	if e.RequestID != "" {
		fmt.Fprintf(&text, " (request %s)", e.RequestID)
	}
	return text.String()
}

// Is reports whether target is the reason of this error.
func (e *Error) Is(target error) bool {
	reason, ok := target.(Reason)
	return ok && reason != "" && reason == e.Reason
}

// Unwrap returns context.DeadlineExceeded or context.Canceled where that is what ended the call, whoever saw it first, and the error of
// the token store or of an interceptor where that is what failed.
func (e *Error) Unwrap() error {
	switch e.Code {
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Canceled:
		return context.Canceled
	}
	return e.cause
}

// GRPCStatus returns the status, so that status.Code and status.FromError work on this error.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// typed returns the *Error of a failed call; nil and io.EOF stay what they are.
func typed(err error, trailer metadata.MD) error {
	var known *Error
	if err == nil || err == io.EOF || errors.As(err, &known) {
		return err
	}
	given, isStatus := status.FromError(err)
	typed := &Error{Code: given.Code(), Text: given.Message(), status: given}
	if !isStatus {
		typed.cause = err
	}
	if ids := trailer.Get("x-request-id"); len(ids) > 0 {
		typed.RequestID = ids[0]
	}
	for _, detail := range given.Details() {
		typed.read(detail)
	}
	return typed
}

func (e *Error) read(detail any) {
	switch detail := detail.(type) {
	case *errdetails.ErrorInfo:
		if detail.GetDomain() == "svoykrug" {
			e.Reason, e.Metadata = Reason(detail.GetReason()), detail.GetMetadata()
		}
	case *errdetails.LocalizedMessage:
		e.Text = detail.GetMessage()
	case *errdetails.BadRequest:
		e.FieldViolations = make(map[string]string)
		for _, violation := range detail.GetFieldViolations() {
			e.FieldViolations[violation.GetField()] = violation.GetDescription()
		}
	case *errdetails.RetryInfo:
		e.RetryAfter = detail.GetRetryDelay().AsDuration()
	case *errdetails.RequestInfo:
		e.RequestID = detail.GetRequestId()
	}
}

// failure returns the error of a call that ended before it was sent.
func failure(code codes.Code, text string) *Error {
	return &Error{Code: code, Text: text, status: status.New(code, text)}
}

// ended returns the error of a context that is done.
func ended(ctx context.Context) *Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return failure(codes.DeadlineExceeded, "the deadline passed before the call was sent")
	}
	return failure(codes.Canceled, "the call was cancelled before it was sent")
}

func sortedKeys(values map[string]string) []string {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func hasReason(err error, reasons ...Reason) bool {
	var refusal *Error
	return errors.As(err, &refusal) && slices.Contains(reasons, refusal.Reason)
}
