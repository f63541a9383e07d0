package svoykrug

import (
	"context"
	"errors"
	"io"
	"iter"

	purchasesv1 "svoykrug/purchases/v1"
)

// Large messages decode far cheaper a row than small ones, and this stays well under the 4 MB of one message.
const batchRows = 2_000

// Rows returns the rows of a slice for ImportPurchases.
func Rows(rows []*purchasesv1.NewPurchase) iter.Seq2[*purchasesv1.NewPurchase, error] {
	return func(yield func(*purchasesv1.NewPurchase, error) bool) {
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// ImportPurchases imports purchases of one business, up to millions.
//
// A broken stream is sent again from the start, up to five times: rows is read anew for each attempt and yields the same rows
// in the same order, and what is there already counts as a duplicate. An error that rows yields ends the import and is returned;
// the batches before it may be in. The answer has the counts of the last attempt, and the rejected rows with their number and
// reason.
func (c *Client) ImportPurchases(
	ctx context.Context, businessID string, rows iter.Seq2[*purchasesv1.NewPurchase, error],
) (answer *purchasesv1.ImportPurchasesResponse, err error) {
	err = repeated(ctx, func() error {
		answer, err = c.importOnce(ctx, businessID, rows)
		return err
	})
	return answer, err
}

func (c *Client) importOnce(
	ctx context.Context, businessID string, rows iter.Seq2[*purchasesv1.NewPurchase, error],
) (*purchasesv1.ImportPurchasesResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.Purchases.ImportPurchases(ctx)
	if err != nil {
		return nil, err
	}
	// At least one message, for it names the business.
	batch := &purchasesv1.ImportPurchasesRequest{BusinessId: businessID}
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		if len(batch.Purchases) == batchRows {
			if err := stream.Send(batch); err != nil {
				break // The server ended the call; its answer says why.
			}
			batch = &purchasesv1.ImportPurchasesRequest{BusinessId: businessID}
		}
		batch.Purchases = append(batch.Purchases, row)
	}
	if err := stream.Send(batch); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.CloseAndRecv()
}
