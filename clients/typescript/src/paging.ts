interface Page {
  readonly nextPageToken: string;
}

/**
 * Yields the pages of a list, each fetched when it is asked for.
 *
 * @param method A list method, such as `purchases.listMyPurchases`.
 * @param request The first page's request.
 */
export async function* pages<Request extends object, Response extends Page>(
  method: (request: Request & { pageToken?: string }) => Promise<Response>,
  request: Request,
): AsyncGenerator<Response> {
  for (let asked: Request & { pageToken?: string } = request; ; ) {
    const page = await method(asked);
    yield page;
    if (page.nextPageToken === "") {
      return;
    }
    asked = { ...request, pageToken: page.nextPageToken };
  }
}

/**
 * Yields the rows of a list over all its pages.
 *
 * @param method A list method, such as `purchases.listMyPurchases`.
 * @param request The first page's request.
 * @param rows Takes the rows out of a page, such as `(page) => page.purchases`.
 */
export async function* items<Request extends object, Response extends Page, Row>(
  method: (request: Request & { pageToken?: string }) => Promise<Response>,
  request: Request,
  rows: (page: Response) => Iterable<Row>,
): AsyncGenerator<Row> {
  for await (const page of pages(method, request)) {
    yield* rows(page);
  }
}
