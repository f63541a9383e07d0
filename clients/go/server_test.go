package svoykrug_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"svoykrug"
	authv1 "svoykrug/auth/v1"
	businessesv1 "svoykrug/businesses/v1"
	usersv1 "svoykrug/users/v1"
)

const (
	adminPhone = "+79990000001"
	annaPhone  = "+79990000002"
	demoPhone  = "+79990000010"
	otherPhone = "+79990000011"
	demoCode   = "424242"
)

var (
	smsCode  = regexp.MustCompile(`@\S+ #(\d{6})`)
	consents = []*usersv1.ConsentGrant{
		{Kind: usersv1.ConsentKind_CONSENT_KIND_TERMS, Version: "2026-11", Granted: true},
		{Kind: usersv1.ConsentKind_CONSENT_KIND_PERSONAL_DATA, Version: "2026-11", Granted: true},
	}
)

// server is the real process in a folder of its own, on one port over its restarts.
type server struct {
	folder, address string
	process         *exec.Cmd
}

// The server that all tests share, who made it, and the business they sell at.
var (
	running    *server
	admin      *svoykrug.Client
	keyFile    string
	businessID string
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	folder, err := os.MkdirTemp("", "svoykrug-go-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(folder)
	// The embedded PostgreSQL does not run as root, and must get here.
	if err := os.Chmod(folder, 0o755); err != nil {
		return 1, err
	}
	if running, err = newServer(folder); err != nil {
		return 1, err
	}
	if err := running.start(); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, running.stop()) }()
	if err := prepare(); err != nil {
		return 1, err
	}
	defer admin.Close()
	return m.Run(), nil
}

func newServer(folder string) (*server, error) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &server{folder: folder, address: free.Addr().String()}, free.Close()
}

func (s *server) path(name string) string { return filepath.Join(s.folder, name) }

func (s *server) command(arguments ...string) *exec.Cmd {
	binary := os.Getenv("SVOYKRUG_BIN")
	if binary == "" {
		binary = "../../.venv/bin/svoykrug"
	}
	command := exec.Command(binary, arguments...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "SVOYKRUG_") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(command.Env,
		"SVOYKRUG_DATA_DIR="+s.path("data"),
		fmt.Sprintf("SVOYKRUG_LISTEN=[%q]", s.address),
		"SVOYKRUG_HTTP_PORT=0",
		"SVOYKRUG_DRAIN_SECONDS=0",
		"SVOYKRUG_GRACE_SECONDS=1",
		"SVOYKRUG_READY_FILE="+s.path("ready.json"),
		"COLUMNS=120",
	)
	return command
}

// start returns once the server takes calls.
func (s *server) start() error {
	console, err := os.OpenFile(s.path("console.txt"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer console.Close()
	if err := os.Remove(s.path("ready.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.process = s.command("serve")
	s.process.Stdout, s.process.Stderr = console, console
	if err := s.process.Start(); err != nil {
		return err
	}
	return until(2*time.Minute, "the server takes calls", func() bool {
		content, err := os.ReadFile(s.path("ready.json"))
		return err == nil && json.Valid(content)
	})
}

func (s *server) stop() error {
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.process.Wait()
}

func (s *server) restart() error { return errors.Join(s.stop(), s.start()) }

// operate runs a command of the operator beside the server.
func (s *server) operate(arguments ...string) error {
	if output, err := s.command(arguments...).CombinedOutput(); err != nil {
		return fmt.Errorf("svoykrug %s: %w\n%s", strings.Join(arguments, " "), err, output)
	}
	return nil
}

// codes returns the codes that the server showed on its console so far.
func (s *server) codes() []string {
	content, _ := os.ReadFile(s.path("console.txt"))
	var codes []string
	for _, match := range smsCode.FindAllStringSubmatch(string(content), -1) {
		codes = append(codes, match[1])
	}
	return codes
}

// prepare makes the first superadmin, a service account, a business, an unclaimed member, and two demo phones.
func prepare() (err error) {
	ctx := context.Background()
	keyFile = running.path("service-key.json")
	if err := errors.Join(
		running.operate("admin", "grant", adminPhone, "superadmin"),
		running.operate("keys", "create-service-account", "crm", "--key-file", keyFile,
			"--scope", "users.write", "--scope", "purchases.write", "--scope", "purchases.read",
			"--scope", "analytics.read", "--scope", "analytics.write", "--scope", "operations.read"),
	); err != nil {
		return err
	}
	if admin, err = svoykrug.New(running.address, svoykrug.WithInsecure(), svoykrug.WithLanguage("en")); err != nil {
		return err
	}
	if _, err := signInByConsole(ctx, admin, adminPhone); err != nil {
		return err
	}
	created, err := admin.Businesses.CreateBusiness(ctx, &businessesv1.CreateBusinessRequest{
		Name: "Салон", Category: businessesv1.Category_CATEGORY_BEAUTY, RequestId: uuid.NewString(),
	})
	if err != nil {
		return err
	}
	businessID = created.GetBusiness().GetId()
	if _, err := admin.Users.BatchCreateUsers(ctx, &usersv1.BatchCreateUsersRequest{
		Users: []*usersv1.NewUser{{Phone: annaPhone}},
	}); err != nil {
		return err
	}
	for _, phone := range []string{demoPhone, otherPhone} {
		if _, err := admin.AuthAdmin.SetDemoPhone(ctx, &authv1.SetDemoPhoneRequest{
			Phone: phone, Code: demoCode, ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
		}); err != nil {
			return err
		}
	}
	return nil
}

// signInByConsole signs a person in with the code that the server shows.
func signInByConsole(ctx context.Context, client *svoykrug.Client, phone string) (*authv1.CompleteSignInResponse, error) {
	before := len(running.codes())
	challenge, err := client.StartSignIn(ctx, phone)
	if err != nil {
		return nil, err
	}
	if err := until(time.Minute, "a code was sent", func() bool { return len(running.codes()) > before }); err != nil {
		return nil, err
	}
	codes := running.codes()
	return client.CompleteSignIn(ctx, &authv1.CompleteSignInRequest{
		ChallengeId: challenge.GetChallengeId(), Code: codes[len(codes)-1], Consents: consents,
	})
}

// signInDemo signs a demo user in, who gets no SMS.
func signInDemo(t *testing.T, client *svoykrug.Client, phone string) *authv1.CompleteSignInResponse {
	t.Helper()
	challenge, err := client.StartSignIn(t.Context(), phone)
	succeeds(t, err)
	answer, err := client.CompleteSignIn(t.Context(), &authv1.CompleteSignInRequest{
		ChallengeId: challenge.GetChallengeId(), Code: demoCode, Consents: consents,
	})
	succeeds(t, err)
	return answer
}

// newClient returns a client in English without TLS, which ends with the test.
func newClient(t *testing.T, options ...svoykrug.Option) *svoykrug.Client {
	t.Helper()
	return clientOf(t, running.address, options...)
}

func clientOf(t *testing.T, address string, options ...svoykrug.Option) *svoykrug.Client {
	t.Helper()
	options = append([]svoykrug.Option{svoykrug.WithInsecure(), svoykrug.WithLanguage("en")}, options...)
	client, err := svoykrug.New(address, options...)
	succeeds(t, err)
	t.Cleanup(func() { succeeds(t, client.Close()) })
	return client
}

func newService(t *testing.T) *svoykrug.Client {
	t.Helper()
	key, err := svoykrug.ReadServiceKey(keyFile)
	succeeds(t, err)
	return newClient(t, svoykrug.WithServiceKey(key))
}

func succeeds(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// equal fails the test where it stands when two values differ.
func equal[Value comparable](t *testing.T, got, want Value) {
	t.Helper()
	if got != want {
		t.Fatalf("got %v, want %v", got, want)
	}
}

// refused returns the typed error of a call, which must have the reason.
func refused(t *testing.T, err error, reason svoykrug.Reason) *svoykrug.Error {
	t.Helper()
	var refusal *svoykrug.Error
	if !errors.As(err, &refusal) || !errors.Is(err, reason) {
		t.Fatalf("got %v, want %s", err, reason)
	}
	return refusal
}

// until waits for a condition.
func until(limit time.Duration, what string, holds func() bool) error {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if holds() {
			return nil
		}
	}
	return fmt.Errorf("not within %s: %s", limit, what)
}
