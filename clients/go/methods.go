package svoykrug

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	accessv1 "svoykrug/access/v1"
	analyticsv1 "svoykrug/analytics/v1"
	authv1 "svoykrug/auth/v1"
	businessesv1 "svoykrug/businesses/v1"
	commonv1 "svoykrug/common/v1"
	operationsv1 "svoykrug/operations/v1"
	purchasesv1 "svoykrug/purchases/v1"
	usersv1 "svoykrug/users/v1"
)

const defaultDeadline = 10 * time.Second

// method is what a client must know of a method of the contract.
type method struct {
	// public methods are called without a token.
	public bool
	// deadline is that of a call which names none; 0 for a stream that the caller ends.
	deadline time.Duration
	// repeatable methods may be sent again when the server was unavailable.
	repeatable bool
}

// methods returns every method of the contract by its full path, such as /svoykrug.users.v1.UsersService/GetMe.
var methods = sync.OnceValue(func() map[string]method {
	found := make(map[string]method)
	for _, file := range []protoreflect.FileDescriptor{
		authv1.File_svoykrug_auth_v1_auth_service_proto,
		authv1.File_svoykrug_auth_v1_auth_admin_service_proto,
		usersv1.File_svoykrug_users_v1_users_service_proto,
		businessesv1.File_svoykrug_businesses_v1_businesses_service_proto,
		purchasesv1.File_svoykrug_purchases_v1_purchases_service_proto,
		analyticsv1.File_svoykrug_analytics_v1_analytics_service_proto,
		operationsv1.File_svoykrug_operations_v1_operations_service_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				descriptor := service.Methods().Get(j)
				found[fmt.Sprintf("/%s/%s", service.FullName(), descriptor.Name())] = readMethod(descriptor)
			}
		}
	}
	return found
})

func readMethod(descriptor protoreflect.MethodDescriptor) method {
	options := descriptor.Options().(*descriptorpb.MethodOptions)
	rule := proto.GetExtension(options, accessv1.E_Rule).(*accessv1.Rule)
	call := proto.GetExtension(options, commonv1.E_Call).(*commonv1.CallRule)
	read := method{
		public:   slices.Contains(rule.GetCallers(), accessv1.Caller_CALLER_PUBLIC),
		deadline: defaultDeadline,
		// A stream of requests cannot be sent again by the transport: ImportPurchases does it.
		repeatable: options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN &&
			!descriptor.IsStreamingClient(),
	}
	if call.GetDefaultDeadline() != nil {
		read.deadline = call.GetDefaultDeadline().AsDuration()
	}
	if call.GetEndless() {
		read.deadline = 0
	}
	return read
}

// serviceConfig returns the gRPC service config: what a server that goes away answers is retried where it may be.
var serviceConfig = sync.OnceValue(func() string {
	type name struct {
		Service string `json:"service"`
		Method  string `json:"method"`
	}
	var names []name
	for path, method := range methods() {
		if method.repeatable {
			service, called, _ := strings.Cut(path[1:], "/")
			names = append(names, name{service, called})
		}
	}
	config, err := json.Marshal(map[string]any{"methodConfig": []any{map[string]any{
		"name": names,
		"retryPolicy": map[string]any{
			"maxAttempts":       4,
			"initialBackoff":    "0.2s",
			"maxBackoff":        "3s",
			"backoffMultiplier": 2.5,
			// A server that stops answers CANCELLED to what reaches it in the last milliseconds, unseen (grpc#41785).
			"retryableStatusCodes": []string{"UNAVAILABLE", "CANCELLED"},
		},
	}}})
	if err != nil {
		panic(err) // Strings and numbers always encode.
	}
	return string(config)
})
