package svoykrug

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// PageRequest is a request of a list method.
type PageRequest interface {
	proto.Message
	GetPageToken() string
}

// Page is an answer of a list method.
type Page interface {
	GetNextPageToken() string
}

// Pages yields the pages of a list, each fetched when it is asked for. An error is yielded once, at the end.
//
// method is a list method of a stub, such as client.Purchases.ListMyPurchases; request is left as it is.
func Pages[Request PageRequest, Answer Page](
	ctx context.Context, method func(context.Context, Request, ...grpc.CallOption) (Answer, error), request Request,
) iter.Seq2[Answer, error] {
	return func(yield func(Answer, error) bool) {
		next := proto.CloneOf(request)
		token := next.ProtoReflect().Descriptor().Fields().ByName("page_token")
		for {
			page, err := method(ctx, next)
			if !yield(page, err) || err != nil || page.GetNextPageToken() == "" {
				return
			}
			next.ProtoReflect().Set(token, protoreflect.ValueOfString(page.GetNextPageToken()))
		}
	}
}

// Items yields the rows of a list over all its pages. An error is yielded once, at the end.
//
// of takes the rows out of a page, such as (*purchasesv1.ListMyPurchasesResponse).GetPurchases.
func Items[Request PageRequest, Answer Page, Item any](
	ctx context.Context, method func(context.Context, Request, ...grpc.CallOption) (Answer, error), request Request,
	of func(Answer) []Item,
) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for page, err := range Pages(ctx, method, request) {
			if err != nil {
				var none Item
				yield(none, err)
				return
			}
			for _, item := range of(page) {
				if !yield(item, nil) {
					return
				}
			}
		}
	}
}

// Stream yields the answers of a method that streams them. Leaving the loop cancels the call; an error is yielded once, at the end.
//
// method is a method of a stub, such as client.Operations.WatchOperation.
func Stream[Request, Answer any](
	ctx context.Context,
	method func(context.Context, *Request, ...grpc.CallOption) (grpc.ServerStreamingClient[Answer], error),
	request *Request,
) iter.Seq2[*Answer, error] {
	return func(yield func(*Answer, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := method(ctx, request)
		for err == nil {
			var answer *Answer
			if answer, err = stream.Recv(); err == nil && !yield(answer, nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(nil, err)
		}
	}
}
