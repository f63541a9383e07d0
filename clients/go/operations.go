package svoykrug

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	commonv1 "svoykrug/common/v1"
	operationsv1 "svoykrug/operations/v1"
)

// WaitFor watches an operation until it has ended well and returns it. A broken watch is taken up again, over restarts of the
// server too; after five in a row it is given up, and the operation goes on.
//
// onProgress, which may be nil, is called with each new state. An operation that failed or was cancelled is an *Error with its
// reason.
func (c *Client) WaitFor(
	ctx context.Context, operation *operationsv1.Operation, onProgress func(*operationsv1.Operation),
) (*operationsv1.Operation, error) {
	for failed := 0; !hasEnded(operation); {
		request := &operationsv1.WatchOperationRequest{OperationId: operation.GetId()}
		err := error(failure(codes.Unavailable, "the watch ended before the operation"))
		for answer, broken := range Stream(ctx, c.Operations.WatchOperation, request) {
			if broken != nil {
				err = broken
				break
			}
			operation, failed = answer.GetOperation(), 0
			if onProgress != nil {
				onProgress(operation)
			}
		}
		if hasEnded(operation) {
			break
		}
		if failed++; failed == mostAttempts || !passes(err) {
			return nil, err
		}
		if err := waitAfter(ctx, failed, err); err != nil {
			return nil, err
		}
	}
	if operation.GetState() == operationsv1.OperationState_OPERATION_STATE_SUCCEEDED {
		return operation, nil
	}
	return nil, operationError(operation)
}

func hasEnded(operation *operationsv1.Operation) bool {
	switch operation.GetState() {
	case operationsv1.OperationState_OPERATION_STATE_SUCCEEDED,
		operationsv1.OperationState_OPERATION_STATE_FAILED,
		operationsv1.OperationState_OPERATION_STATE_CANCELLED:
		return true
	}
	return false
}

// operationError returns why an operation did not end well; the code is the one of its reason.
func operationError(operation *operationsv1.Operation) error {
	refusal := &Error{
		Reason:   Reason(operation.GetError().GetReason()),
		Code:     codes.Unknown,
		Text:     operation.GetError().GetText(),
		Metadata: operation.GetError().GetMetadata(),
	}
	if refusal.Reason == "" {
		refusal.Reason = ReasonOperationCancelled
	}
	name := protoreflect.Name("ERROR_REASON_" + refusal.Reason)
	if known := commonv1.ErrorReason(0).Descriptor().Values().ByName(name); known != nil {
		info := proto.GetExtension(known.Options(), commonv1.E_Error).(*commonv1.ErrorInfo)
		refusal.Code = codes.Code(info.GetCode())
	}
	refusal.status = status.New(refusal.Code, refusal.Text)
	return refusal
}
