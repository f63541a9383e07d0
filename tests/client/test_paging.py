from svoykrug.purchases.v1.purchase_pb2 import Purchase
from svoykrug.purchases.v1.purchases_service_pb2 import ListMyPurchasesRequest, ListMyPurchasesResponse

from svoykrug_client import Client, items, pages
from tests.client.staged import StagedServer

PAGES = [
    ListMyPurchasesResponse(purchases=[Purchase(id="1"), Purchase(id="2")], next_page_token="second"),
    ListMyPurchasesResponse(next_page_token="third"),
    ListMyPurchasesResponse(purchases=[Purchase(id="3")]),
]


async def test_items_come_from_all_pages_in_order_and_the_request_is_left_as_it_was(
    client: Client, server: StagedServer
) -> None:
    server.plays("ListMyPurchases", *PAGES)
    request = ListMyPurchasesRequest(page_size=2)
    listed = items(client.purchases.ListMyPurchases, request, lambda page: page.purchases)
    assert [purchase.id async for purchase in listed] == ["1", "2", "3"]
    assert [sent.page_token for sent in server.requests("ListMyPurchases")] == ["", "second", "third"]
    assert {sent.page_size for sent in server.requests("ListMyPurchases")} == {2}
    assert request == ListMyPurchasesRequest(page_size=2)


async def test_a_page_is_fetched_when_it_is_asked_for(client: Client, server: StagedServer) -> None:
    server.plays("ListMyPurchases", *PAGES)
    listed = pages(client.purchases.ListMyPurchases, ListMyPurchasesRequest())
    assert await anext(listed) == PAGES[0]
    assert len(server.received("ListMyPurchases")) == 1
