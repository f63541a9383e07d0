package svoykrug.client

import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.transform

/**
 * Returns the pages of a list, each fetched when it is asked for.
 *
 * @param next Takes the token of the next page out of a page: `{ it.nextPageToken }`.
 * @param fetch Gets the page of a token, which is empty for the first.
 */
public fun <Page> pages(next: (Page) -> String, fetch: suspend (pageToken: String) -> Page): Flow<Page> = flow {
    var token = ""
    do {
        val page = fetch(token)
        emit(page)
        token = next(page)
    } while (token.isNotEmpty())
}

/**
 * Returns the rows of a list over all its pages.
 *
 * @receiver The pages.
 * @param of Takes the rows out of a page, such as `{ it.purchasesList }`.
 */
public fun <Page, Item> Flow<Page>.items(of: (Page) -> Iterable<Item>): Flow<Item> =
    transform { page -> for (item in of(page)) emit(item) }
