//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package svoykrug

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	authv1 "svoykrug/auth/v1"
)

// rotation is what RefreshTokens is on the server: the token before the present one is good for who lost the answer, and for a minute.
type rotation struct {
	authv1.AuthServiceClient
	t *testing.T

	mu               sync.Mutex
	now, rotated     time.Duration
	number           int
	lastID           string
	seen             []string
	current, earlier string
}

func (r *rotation) RefreshTokens(
	_ context.Context, request *authv1.RefreshTokensRequest, _ ...grpc.CallOption,
) (*authv1.RefreshTokensResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, request.GetRefreshToken())
	switch {
	case request.GetRefreshToken() == r.current:
		r.number++
		r.earlier, r.current = r.current, fmt.Sprintf("T%d", r.number)
		r.lastID, r.rotated = request.GetRequestId(), r.now
	case request.GetRefreshToken() != r.earlier || request.GetRequestId() != r.lastID && r.now-r.rotated > time.Minute:
		return nil, &Error{Reason: ReasonSessionCompromised, Code: codes.Unauthenticated}
	}
	tokens := &authv1.Tokens{RefreshToken: r.current, AccessToken: tokenOf(r.t, r.current, 0)}
	return &authv1.RefreshTokensResponse{Tokens: tokens}, nil
}

// away is what a person's client meets on a bad network before, or after, the server.
type away struct {
	authv1.AuthServiceClient
	reaches bool
}

func (a away) RefreshTokens(
	ctx context.Context, request *authv1.RefreshTokensRequest, options ...grpc.CallOption,
) (*authv1.RefreshTokensResponse, error) {
	if a.reaches {
		if _, err := a.AuthServiceClient.RefreshTokens(ctx, request, options...); err != nil {
			return nil, err
		}
	}
	return nil, failure(codes.Unavailable, "the link is gone")
}

// watched tells what is done with a shared file, and may delay it.
type watched struct {
	FileTokenStore
	loaded, saving, locking func()
}

func (w watched) Load() (*StoredSession, error) {
	defer w.loaded()
	return w.FileTokenStore.Load()
}

func (w watched) Save(session *StoredSession) error {
	w.saving()
	return w.FileTokenStore.Save(session)
}

func (w watched) Lock(ctx context.Context) (func(), error) {
	w.locking()
	return w.FileTokenStore.Lock(ctx)
}

func nothing() {}

// sharedFile returns a file with a session of the token T0.
func sharedFile(t *testing.T) FileTokenStore {
	t.Helper()
	file := FileTokenStore(filepath.Join(t.TempDir(), "session.json"))
	if err := file.Save(&StoredSession{UserID: "anna", RefreshToken: "T0"}); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestTwoClientsOfOneFileThatLoseTheirAnswersForAMinuteStaySignedIn(t *testing.T) {
	file, server := sharedFile(t), &rotation{t: t, current: "T0"}
	bRead, aStored, bEnded := make(chan struct{}), make(chan struct{}), make(chan error)
	// Without the lock both read a session without a request id, and B's is stored last.
	b := &session{auth: away{server, false}, patience: time.Minute, store: watched{
		file, sync.OnceFunc(func() { close(bRead) }), func() { <-aStored }, nothing,
	}}
	a := &session{auth: away{server, true}, patience: time.Minute, store: watched{file, nothing, sync.OnceFunc(func() {
		go func() {
			_, err := b.renew(t.Context())
			bEnded <- err
		}()
		<-bRead
	}), nothing}}
	_, aErr := a.renew(t.Context())
	close(aStored)
	for _, err := range []error{aErr, <-bEnded} {
		var lost *Error
		if !errors.As(err, &lost) || lost.Code != codes.Unavailable {
			t.Fatalf("got %v, want a lost connection", err)
		}
	}
	left, err := file.Load()
	if err != nil || left.RequestID != server.lastID {
		t.Fatalf("%v: the stored request id is not the one that the server answered", err)
	}
	server.now = 61 * time.Second
	a.auth, b.auth = server, server
	for _, client := range []*session{a, b} {
		if token, err := client.renew(t.Context()); token == "" || err != nil {
			t.Fatalf("taken for a thief: %v", err)
		}
	}
}

// pausing holds a refresh until the test lets it go.
type pausing struct {
	*rotation
	begun, goOn chan struct{}
}

func (p pausing) RefreshTokens(
	ctx context.Context, request *authv1.RefreshTokensRequest, options ...grpc.CallOption,
) (*authv1.RefreshTokensResponse, error) {
	close(p.begun)
	select {
	case <-p.goOn:
		return p.rotation.RefreshTokens(ctx, request, options...)
	case <-ctx.Done():
		return nil, ended(ctx)
	}
}

func TestARefreshWaitsForThatOfAnotherClientAndGoesOnFromItsToken(t *testing.T) {
	file, server := sharedFile(t), &rotation{t: t, current: "T0"}
	paused := pausing{server, make(chan struct{}), make(chan struct{})}
	waits := make(chan struct{})
	a := &session{auth: paused, store: file, patience: time.Minute}
	b := &session{auth: server, patience: time.Minute, store: watched{file, nothing, nothing, func() { close(waits) }}}
	ended := make(chan error)
	for _, start := range []struct {
		client *session
		begun  chan struct{}
	}{{a, paused.begun}, {b, waits}} {
		go func() {
			_, err := start.client.renew(t.Context())
			ended <- err
		}()
		<-start.begun
	}
	close(paused.goOn)
	if err := errors.Join(<-ended, <-ended); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(server.seen); got != "[T0 T1]" {
		t.Fatalf("presented %s", got)
	}
}

// The lock is held by a process in Python, as its client holds it.
func TestALockHeldForEverDelaysARefreshAndKeepsNobodyOut(t *testing.T) {
	file, server := sharedFile(t), &rotation{t: t, current: "T0"}
	python := filepath.Join(filepath.Dir(cmp.Or(os.Getenv("SVOYKRUG_BIN"), "../../.venv/bin/svoykrug")), "python")
	holder := exec.CommandContext(t.Context(), python, "-c", `import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()`, string(file)+".lock")
	said, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := said.Read(make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	client := &session{auth: server, store: file, patience: 300 * time.Millisecond}
	if token, err := client.renew(t.Context()); token == "" || err != nil {
		t.Fatalf("kept out: %v", err)
	}
	if took := time.Since(begin); took < client.patience {
		t.Fatalf("it did not wait: %s", took)
	}
	if err := errors.Join(stdin.Close(), holder.Wait()); err != nil {
		t.Fatal(err)
	}
	if facts, err := os.Stat(string(file) + ".lock"); err != nil || facts.Size() != 0 {
		t.Fatalf("%v: the lock's file is gone or holds something", err)
	}
}

func TestForgettingStopsARefreshThatGetsNoAnswer(t *testing.T) {
	file, server := sharedFile(t), &rotation{t: t, current: "T0"}
	paused := pausing{server, make(chan struct{}), make(chan struct{})}
	tokens := &tokens{}
	person := &session{auth: paused, tokens: tokens, store: file, patience: time.Minute}
	tokens.renew = person.renew
	client := &Client{session: person}
	got := make(chan string)
	go func() {
		token, _ := tokens.get(t.Context())
		got <- token
	}()
	<-paused.begun
	if err := client.Forget(t.Context()); err != nil {
		t.Fatal(err)
	}
	if token := <-got; token != "" {
		t.Fatal("a call carries the token of a session that was forgotten")
	}
	if left, err := file.Load(); left != nil || err != nil {
		t.Fatalf("left: %v, %v", left, err)
	}
}

// A store of the program's own has no lock, and neither is there a file for one when nobody is signed in.
func TestNobodySignedInTakesNoLock(t *testing.T) {
	file := FileTokenStore(filepath.Join(t.TempDir(), "session.json"))
	client := &session{auth: &rotation{t: t}, store: file, patience: time.Minute}
	if token, err := client.renew(t.Context()); token != "" || err != nil {
		t.Fatalf("got %q, %v", token, err)
	}
	if _, err := os.Stat(string(file) + ".lock"); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a lock was taken: %v", err)
	}
}
