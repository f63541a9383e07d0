package svoykrug_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"svoykrug"
	analyticsv1 "svoykrug/analytics/v1"
	authv1 "svoykrug/auth/v1"
	purchasesv1 "svoykrug/purchases/v1"
	usersv1 "svoykrug/users/v1"
)

const refreshPath = "/svoykrug.auth.v1.AuthService/RefreshTokens"

var yesterday = timestamppb.New(time.Now().Add(-24 * time.Hour))

// scenario is what the steps hand on to each other.
type scenario struct {
	underWay
	anna      *svoykrug.Client
	annaID    string
	store     *svoykrug.MemoryTokenStore
	service   *svoykrug.Client
	refreshes atomic.Int32
	purchase  *purchasesv1.Purchase
}

type step struct {
	id  string
	run func(*testing.T)
}

// TestScenario runs the scenario that every client of Svoy Krug runs; each expectation that holds is told in one line, and each step.
func TestScenario(t *testing.T) {
	s := &scenario{service: newService(t), store: &svoykrug.MemoryTokenStore{}}
	s.anna = newClient(
		t, svoykrug.WithTokenStore(s.store), svoykrug.WithDialOptions(grpc.WithChainUnaryInterceptor(s.count)),
	)
	rows, steps := table(t), s.steps()
	if !slices.EqualFunc(rows, steps, func(row row, step step) bool { return row.ID == step.id }) {
		t.Fatalf("the steps are not those of the table, in its order: %v", rows)
	}
	for index, row := range rows {
		if !t.Run(row.ID, func(t *testing.T) {
			s.underWay = begin(row)
			steps[index].run(t)
			s.end(t)
		}) {
			return
		}
	}
}

func (s *scenario) steps() []step {
	return []step{
		{"sign_in", s.signIn},
		{"refresh_under_way", s.refreshUnderWay},
		{"profile_mask", s.profileMask},
		{"stale_etag", s.staleEtag},
		{"record_purchase", s.recordPurchase},
		{"refund_purchase", s.refundPurchase},
		{"import_stream", s.importStream},
		{"list_pages", s.listPages},
		{"watch_and_cancel", s.watchAndCancel},
		{"typed_errors", s.typedErrors},
		{"deadline", s.deadline},
		{"server_restart_in_mid_call", s.serverRestartInMidCall},
		{"lost_refresh_answer", s.lostRefreshAnswer},
		{"two_sign_ins", s.twoSignIns},
		{"aeroplane_mode", s.aeroplaneMode},
		{"expired_certificate", s.expiredCertificate},
		{"wrong_clock", s.wrongClock},
		{"half_open_connection", s.halfOpenConnection},
	}
}

func (s *scenario) count(
	ctx context.Context, path string, request, answer any,
	connection *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	if path == refreshPath {
		s.refreshes.Add(1)
	}
	return invoke(ctx, path, request, answer, connection, options...)
}

func (s *scenario) signIn(t *testing.T) {
	answer, err := signInByConsole(t.Context(), s.anna, annaPhone)
	succeeds(t, err)
	s.annaID = answer.GetUserId()
	equal(t, me(t, s.anna).GetId(), s.annaID)
	s.met(t, "is_herself")
	kept, err := s.store.Load()
	succeeds(t, err)
	equal(t, *kept, svoykrug.StoredSession{UserID: s.annaID, RefreshToken: answer.GetTokens().GetRefreshToken()})
	s.met(t, "session_stored")
}

// Her role changes, which ends her access token on the server; two calls at once make one refresh.
func (s *scenario) refreshUnderWay(t *testing.T) {
	_, err := admin.Users.SetUserRoles(t.Context(), &usersv1.SetUserRolesRequest{
		UserId: s.annaID, Roles: []usersv1.Role{usersv1.Role_ROLE_MEMBER, usersv1.Role_ROLE_ADMIN},
	})
	succeeds(t, err)
	succeeds(t, until(10*time.Second, "her token is refused", func() bool {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				if _, err := s.anna.Users.GetMe(t.Context(), &usersv1.GetMeRequest{}); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		return t.Failed() || s.refreshes.Load() > 0
	}))
	if t.Failed() {
		t.FailNow()
	}
	s.met(t, "every_call_answered")
	equal(t, s.refreshes.Load(), 1)
	s.met(t, "one_refresh")
}

func (s *scenario) profileMask(t *testing.T) {
	before := me(t, s.anna)
	answer, err := s.anna.Users.UpdateMe(t.Context(), &usersv1.UpdateMeRequest{
		User:       &usersv1.User{DisplayName: "Анна", Locale: "en", Email: "anna@example.com"},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
	})
	succeeds(t, err)
	after := answer.GetUser()
	equal(t, after.GetDisplayName(), "Анна")
	s.met(t, "display_name_new")
	for _, user := range []*usersv1.User{before, after} {
		user.DisplayName, user.Etag, user.UpdateTime = "", "", nil
	}
	if !proto.Equal(after, before) {
		t.Fatalf("other fields changed: %v, before %v", after, before)
	}
	s.met(t, "other_fields_kept")
}

func (s *scenario) staleEtag(t *testing.T) {
	read := me(t, s.anna)
	update := func(name string) error {
		_, err := s.anna.Users.UpdateMe(t.Context(), &usersv1.UpdateMeRequest{
			User:       &usersv1.User{DisplayName: name, Etag: read.GetEtag()},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"display_name"}},
		})
		return err
	}
	succeeds(t, update("Анна Первая"))
	equal(t, refused(t, update("Анна Вторая"), svoykrug.ReasonStaleEtag).Code, codes.Aborted)
	s.met(t, "second_refused")
	equal(t, me(t, s.anna).GetDisplayName(), "Анна Первая")
	s.met(t, "first_counts")
}

func (s *scenario) recordPurchase(t *testing.T) {
	request := &purchasesv1.RecordPurchaseRequest{BusinessId: businessID, Purchase: s.receipt("receipt", 1)}
	first, err := s.service.Purchases.RecordPurchase(t.Context(), request)
	succeeds(t, err)
	again, err := s.service.Purchases.RecordPurchase(t.Context(), request)
	succeeds(t, err)
	equal(t, first.GetDuplicate(), false)
	s.met(t, "first_is_new")
	equal(t, again.GetDuplicate(), true)
	equal(t, again.GetPurchase().GetId(), first.GetPurchase().GetId())
	s.met(t, "second_is_duplicate")
	s.purchase = first.GetPurchase()
}

func (s *scenario) refundPurchase(t *testing.T) {
	request := &purchasesv1.RefundPurchaseRequest{
		BusinessId:  businessID,
		Purchase:    &purchasesv1.RefundPurchaseRequest_PurchaseId{PurchaseId: s.purchase.GetId()},
		ExternalId:  "refund-1",
		AmountMinor: 40_00,
		RefundTime:  timestamppb.Now(),
	}
	answer, err := s.service.Purchases.RefundPurchase(t.Context(), request)
	succeeds(t, err)
	equal(t, answer.GetPurchase().GetRefundedMinor(), 40_00)
	s.met(t, "first_counts")
	request.ExternalId, request.AmountMinor = "refund-2", 90_00
	_, err = s.service.Purchases.RefundPurchase(t.Context(), request)
	equal(t, refused(t, err, svoykrug.ReasonRefundExceedsPurchase).Metadata["refundable_minor"], "6000")
	s.met(t, "second_refused")
}

func (s *scenario) importStream(t *testing.T) {
	var rows []*purchasesv1.NewPurchase
	for number := range 2_500 {
		rows = append(rows, s.receipt("import", number))
	}
	stranger := s.receipt("import", 2_500)
	stranger.Buyer = &purchasesv1.NewPurchase_Phone{Phone: "+79990000003"}
	answer, err := s.service.ImportPurchases(t.Context(), businessID, svoykrug.Rows(append(rows, stranger)))
	succeeds(t, err)
	equal(t, answer.GetRecordedCount(), 2_500)
	equal(t, len(answer.GetRejectedRows()), 1)
	equal(t, answer.GetRejectedRows()[0].GetRowNumber(), 2_500)
	s.met(t, "one_row_rejected")
	again, err := s.service.ImportPurchases(t.Context(), businessID, svoykrug.Rows(rows))
	succeeds(t, err)
	equal(t, again.GetDuplicateCount(), 2_500)
	s.met(t, "all_duplicates")
	_, err = s.service.ImportPurchases(t.Context(), "00000000-0000-4000-8000-000000000000", svoykrug.Rows(rows))
	refused(t, err, svoykrug.ReasonNotFound)
	s.met(t, "no_business_refused")
	broken := errors.New("the file ends in mid-line")
	_, err = s.service.ImportPurchases(t.Context(), businessID, func(yield func(*purchasesv1.NewPurchase, error) bool) {
		yield(nil, broken)
	})
	equal(t, err, broken)
	s.met(t, "broken_rows_raise")
}

func (s *scenario) listPages(t *testing.T) {
	request := &purchasesv1.ListMyPurchasesRequest{PageSize: 500}
	want, got := []string{s.purchase.GetExternalId()}, []string(nil)
	for number := range 2_500 {
		want = append(want, s.receipt("import", number).GetExternalId())
	}
	of := (*purchasesv1.ListMyPurchasesResponse).GetPurchases
	for purchase, err := range svoykrug.Items(t.Context(), s.anna.Purchases.ListMyPurchases, request, of) {
		succeeds(t, err)
		got = append(got, purchase.GetExternalId())
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("%d purchases, not the %d of hers", len(got), len(want))
	}
	s.met(t, "each_once")
	equal(t, request.GetPageToken(), "")
	for page, err := range svoykrug.Pages(t.Context(), s.anna.Purchases.ListMyPurchases, request) {
		succeeds(t, err)
		equal(t, len(page.GetPurchases()), 500)
		break
	}
}

func (s *scenario) watchAndCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	request := &analyticsv1.WatchDashboardRequest{BusinessId: businessID}
	next, stop := iter.Pull2(svoykrug.Stream(ctx, s.service.Analytics.WatchDashboard, request))
	defer stop()
	answer, err, _ := next()
	succeeds(t, err)
	if answer.GetDashboard() == nil {
		t.Fatal("no dashboard")
	}
	s.met(t, "holds_a_dashboard")
	cancel()
	if answer, err, _ := next(); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v and %v, want a cancelled call", answer, err)
	}
	s.met(t, "ends_as_cancelled")
	// Leaving a loop over the answers cancels as well.
	for _, err := range svoykrug.Stream(t.Context(), s.service.Analytics.WatchDashboard, request) {
		succeeds(t, err)
		break
	}
}

func (s *scenario) typedErrors(t *testing.T) {
	nobody := newClient(t)
	_, err := nobody.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
	missing := refused(t, err, svoykrug.ReasonTokenMissing)
	equal(t, missing.Code, codes.Unauthenticated)
	equal(t, missing.Text, "Please sign in.")
	if missing.RequestID == "" {
		t.Fatal("no request id")
	}
	s.met(t, "token_missing")
	_, err = nobody.StartSignIn(t.Context(), "12345")
	if refused(t, err, svoykrug.ReasonInvalidFields).FieldViolations["phone"] == "" {
		t.Fatal("the bad field is not named")
	}
	s.met(t, "invalid_fields")
	challenge, err := nobody.StartSignIn(t.Context(), "+79990000004")
	succeeds(t, err)
	_, err = nobody.StartSignIn(t.Context(), "+79990000004")
	if refused(t, err, svoykrug.ReasonResendTooSoon).RetryAfter <= 0 {
		t.Fatal("not told how long to wait")
	}
	s.met(t, "resend_too_soon")
	_, err = nobody.CompleteSignIn(t.Context(), &authv1.CompleteSignInRequest{
		ChallengeId: challenge.GetChallengeId(), Code: wrongCode(t),
	})
	equal(t, refused(t, err, svoykrug.ReasonCodeWrong).Metadata["guesses_left"], "4")
	s.met(t, "code_wrong")
	// She is an admin, and roles are given by superadmins.
	_, err = s.anna.Users.SetUserRoles(t.Context(), &usersv1.SetUserRolesRequest{
		UserId: s.annaID, Roles: []usersv1.Role{usersv1.Role_ROLE_MEMBER},
	})
	refused(t, err, svoykrug.ReasonPermissionDenied)
	s.met(t, "permission_denied")
}

// wrongCode returns a code that is not the one that was sent last.
func wrongCode(t *testing.T) string {
	t.Helper()
	for _, code := range running.codes() {
		if code == "000000" {
			return "000001"
		}
	}
	return "000000"
}

func me(t *testing.T, client *svoykrug.Client) *usersv1.User {
	t.Helper()
	answer, err := client.Users.GetMe(t.Context(), &usersv1.GetMeRequest{})
	succeeds(t, err)
	return answer.GetUser()
}

// receipt returns a purchase of Anna's.
func (s *scenario) receipt(kind string, number int) *purchasesv1.NewPurchase {
	return &purchasesv1.NewPurchase{
		Buyer:        &purchasesv1.NewPurchase_UserId{UserId: s.annaID},
		ExternalId:   fmt.Sprintf("%s-%d", kind, number),
		AmountMinor:  100_00,
		PurchaseTime: yesterday,
	}
}
