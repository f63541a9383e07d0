package svoykrug_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	"svoykrug"
	analyticsv1 "svoykrug/analytics/v1"
	authv1 "svoykrug/auth/v1"
	businessesv1 "svoykrug/businesses/v1"
	operationsv1 "svoykrug/operations/v1"
	purchasesv1 "svoykrug/purchases/v1"
	usersv1 "svoykrug/users/v1"
)

func askForCode() string { return demoCode }

func Example() {
	address, phone, ctx := running.address, demoPhone, context.Background()

	client, err := svoykrug.New(address, svoykrug.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	challenge, err := client.StartSignIn(ctx, phone)
	if err != nil {
		log.Fatal(err)
	}
	_, err = client.CompleteSignIn(ctx, &authv1.CompleteSignInRequest{
		ChallengeId: challenge.GetChallengeId(),
		Code:        askForCode(),
		Consents: []*usersv1.ConsentGrant{
			{Kind: usersv1.ConsentKind_CONSENT_KIND_TERMS, Version: "2026-11", Granted: true},
			{Kind: usersv1.ConsentKind_CONSENT_KIND_PERSONAL_DATA, Version: "2026-11", Granted: true},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	me, err := client.Users.GetMe(ctx, &usersv1.GetMeRequest{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(me.GetUser().GetPhone())
	// Output: +79990000010
}

func ExampleFileTokenStore() {
	address, folder := running.address, running.folder

	store := svoykrug.FileTokenStore(filepath.Join(folder, "session.json"))
	client, err := svoykrug.New(address, svoykrug.WithInsecure(), svoykrug.WithTokenStore(store))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if session, err := store.Load(); err != nil {
		log.Fatal(err)
	} else if session == nil {
		fmt.Println("sign in first")
	}
	// Output: sign in first
}

func ExampleWithServiceKey() {
	address, ctx := running.address, context.Background()

	key, err := svoykrug.ReadServiceKey(keyFile)
	if err != nil {
		log.Fatal(err)
	}
	service, err := svoykrug.New(address, svoykrug.WithInsecure(), svoykrug.WithServiceKey(key))
	if err != nil {
		log.Fatal(err)
	}
	defer service.Close()
	freshness, err := service.Analytics.GetFreshness(ctx, &analyticsv1.GetFreshnessRequest{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(freshness.GetFreshness() != nil)
	// Output: true
}

func ExampleError() {
	client, ctx := exampleClient(), context.Background()
	defer client.Close()

	_, err := client.StartSignIn(ctx, "not a phone")
	var refusal *svoykrug.Error
	switch {
	case errors.Is(err, svoykrug.ReasonSignInLimited):
		fmt.Println("too many codes were sent")
	case errors.As(err, &refusal):
		fmt.Println(refusal.Reason, refusal.Code)     // for programs
		fmt.Println(refusal.Text)                     // for people, in the language of the client
		fmt.Println(len(refusal.FieldViolations))     // the rule that each bad field breaks, by its path
		fmt.Println(refusal.RetryAfter)               // how long to wait; 0 where waiting does not help
		fmt.Println(len(refusal.RequestID) > 0)       // for the operator, who finds it in the log
		fmt.Println(refusal.Metadata["guesses_left"]) // facts of some reasons
	}
	// Output:
	// INVALID_FIELDS InvalidArgument
	// Some fields are not valid.
	// 1
	// 0s
	// true
}

func ExampleItems() {
	client, ctx := admin, context.Background()

	request := &businessesv1.ListBusinessesRequest{PageSize: 100}
	of := (*businessesv1.ListBusinessesResponse).GetBusinesses
	for business, err := range svoykrug.Items(ctx, client.Businesses.ListBusinesses, request, of) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(business.GetName())
	}
	// Output: Салон
}

func ExampleClient_ImportPurchases() {
	service, phone, ctx := exampleService(), annaPhone, context.Background()
	defer service.Close()

	rows := func(yield func(*purchasesv1.NewPurchase, error) bool) {
		for number := range 3_000 {
			row := &purchasesv1.NewPurchase{
				Buyer:        &purchasesv1.NewPurchase_Phone{Phone: phone},
				ExternalId:   fmt.Sprintf("example-%d", number),
				AmountMinor:  199_00,
				PurchaseTime: timestamppb.New(time.Date(2026, 6, 1+number%28, 12, 0, 0, 0, time.UTC)),
			}
			if !yield(row, nil) {
				return
			}
		}
	}
	answer, err := service.ImportPurchases(ctx, businessID, rows)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.GetRecordedCount(), answer.GetDuplicateCount(), answer.GetRejectedCount())
	for _, row := range answer.GetRejectedRows() {
		fmt.Println(row.GetRowNumber(), row.GetReason(), row.GetField())
	}
	// Output: 3000 0 0
}

func ExampleStream() {
	service, ctx := exampleService(), context.Background()
	defer service.Close()

	request := &analyticsv1.WatchDashboardRequest{BusinessId: businessID}
	for answer, err := range svoykrug.Stream(ctx, service.Analytics.WatchDashboard, request) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer.GetDashboard() != nil)
		break // cancels the call
	}
	// Output: true
}

func ExampleClient_WaitFor() {
	service, ctx := exampleService(), context.Background()
	defer service.Close()

	started, err := service.Analytics.CreateSnapshot(ctx, &analyticsv1.CreateSnapshotRequest{RequestId: uuid.NewString()})
	if err != nil {
		log.Fatal(err)
	}
	done, err := service.WaitFor(ctx, started.GetOperation(), func(operation *operationsv1.Operation) {
		log.Println(operation.GetStage(), operation.GetPercent())
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(done.GetState())
	// Output: OPERATION_STATE_SUCCEEDED
}

func ExampleClient_deadline() {
	client := exampleClient()
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	_, err := client.Auth.GetJwks(ctx, &authv1.GetJwksRequest{})
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output: true
}

func exampleClient() *svoykrug.Client {
	client, err := svoykrug.New(running.address, svoykrug.WithInsecure(), svoykrug.WithLanguage("en"))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

func exampleService() *svoykrug.Client {
	key, err := svoykrug.ReadServiceKey(keyFile)
	if err != nil {
		log.Fatal(err)
	}
	client, err := svoykrug.New(running.address, svoykrug.WithInsecure(), svoykrug.WithServiceKey(key))
	if err != nil {
		log.Fatal(err)
	}
	return client
}
