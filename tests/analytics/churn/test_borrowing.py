"""Businesses with too little data: what they borrow, from whom, and that it is better than the base rate."""

from dataclasses import replace
from uuid import UUID

import numpy as np
import pytest

from svoykrug_server.analytics.churn import borrowing, estimator
from svoykrug_server.analytics.churn.card import card_document, card_from_document
from svoykrug_server.analytics.churn.convert import model_to_proto
from svoykrug_server.analytics.churn.features import logit
from svoykrug_server.analytics.churn.loan import Borrowed
from svoykrug_server.analytics.churn.model import ChurnModel, ModelCard
from svoykrug_server.analytics.churn.scorer import Scorer
from svoykrug_server.analytics.churn.words import _CATEGORIES, borrowed_text
from svoykrug_server.businesses.model import Category
from svoykrug_server.kit.errors import FailedPrecondition
from svoykrug_server.operations.model import OperationState
from tests.analytics.churn.circle import HORIZON_DAYS, Circle, fill, new_model, simulated
from tests.analytics.churn.made import window
from tests.analytics.circles import BUSINESSES
from tests.analytics.snapshots import Analytics
from tests.callers import CallBy, admin

SMALL, LENDER, OTHER, SENSITIVE, SECRET = BUSINESSES


def scorer(seed: int) -> Scorer:
    return estimator.fit([window(400, seed), window(400, seed + 1)], HORIZON_DAYS)


def test_a_pool_of_one_model_is_that_model() -> None:
    alone, raw = replace(scorer(1), slope=1.3, offset=-0.2), window(300, 9).raw
    assert borrowing.pool([alone]).probability(raw) == pytest.approx(alone.probability(raw), abs=1e-9)


def test_a_pool_says_the_mean_log_odds() -> None:
    first, second, raw = scorer(1), scorer(5), window(300, 9).raw
    second = replace(second, bg_nbd=first.bg_nbd)
    expected = (logit(first.probability(raw)) + logit(second.probability(raw))) / 2
    pooled = borrowing.pool([first, second])
    assert logit(pooled.probability(raw)) == pytest.approx(expected, abs=1e-9)
    assert Scorer.from_document(pooled.document()).probability(raw) == pytest.approx(pooled.probability(raw))


def test_the_more_a_borrower_has_the_more_it_hears_itself() -> None:
    lender, own = scorer(1), window(2_000, 9)
    everybody_left = replace(own, churned=np.ones(len(own.churned)))
    said = []
    for members in (3, 30, 2_000):
        part = replace(everybody_left, raw=own.raw[:members], churned=everybody_left.churned[:members])
        said.append(float(borrowing.borrow([lender], [part]).probability(own.raw).mean()))
    assert float(lender.probability(own.raw).mean()) < said[0] < said[1] < said[2]
    assert said[2] > 0.95


async def serve(circle: Circle, business_id: UUID) -> ChurnModel:
    """Trains and promotes a model of a business that has enough of its own."""
    await fill(circle.warehouse, simulated(business_id=business_id))
    model = await circle.trained(new_model(business_id))
    assert model.card.borrowed_from is None
    return await circle.churn.models.promote(CallBy(admin()), business_id, model.id)


async def test_a_small_business_borrows_and_is_better_than_its_base_rate(circle: Circle, analytics: Analytics) -> None:
    await serve(circle, LENDER)
    await serve(circle, SENSITIVE)
    await fill(circle.warehouse, simulated(members=150, seed=13, business_id=SMALL))
    model = await circle.trained(new_model(SMALL))
    borrowed = model.card.borrowed_from
    assert borrowed is not None
    assert (borrowed.category, borrowed.lender_count, borrowed.window) == ("beauty", 1, "test")
    assert borrowed.member_count == borrowed.churned_count + borrowed.stayed_count < borrowed.needed_member_count == 200
    assert model.algorithm == borrowing.ALGORITHM
    figures = model.card.metrics[0].figures
    assert figures["brier_skill"].value > 0.1
    assert figures["roc_auc"].value > 0.75
    chosen = await circle.trained(new_model(SMALL, horizon_days=0))
    assert chosen.plan.horizon_days == HORIZON_DAYS


async def test_a_sensitive_business_borrows_but_never_lends_and_no_borrower_lends(
    circle: Circle, analytics: Analytics
) -> None:
    await serve(circle, LENDER)
    await serve(circle, SENSITIVE)
    for business_id in (SMALL, SECRET):
        loan = await circle.repository.loan(business_id, 0)
        assert loan is not None
        assert (loan.category, len(loan.documents)) == ("beauty", 1)
    assert await circle.repository.loan(LENDER, 0) is None
    assert await circle.repository.loan(SMALL, HORIZON_DAYS + 7) is None
    assert await circle.repository.loan(None, 0) is None


async def test_without_a_lender_it_is_said_what_is_missing(circle: Circle, analytics: Analytics) -> None:
    await fill(circle.warehouse, simulated(members=150, seed=13, business_id=SMALL))
    ended = await circle.finished(await circle.churn.models.train(admin(), new_model(SMALL)))
    assert ended.state is OperationState.FAILED
    assert ended.failure is not None
    assert ended.failure.reason == "TOO_LITTLE_DATA"
    assert {"member_count", "needed_member_count", "churned_count", "stayed_count", "needed_event_count"} <= set(
        ended.failure.metadata
    )


async def test_a_business_too_small_to_judge_what_it_borrows_is_refused(circle: Circle, analytics: Analytics) -> None:
    await serve(circle, LENDER)
    await fill(circle.warehouse, simulated(members=30, seed=13, business_id=SMALL))
    ended = await circle.finished(await circle.churn.models.train(admin(), new_model(SMALL)))
    assert ended.failure is not None
    assert ended.failure.reason == FailedPrecondition("TOO_LITTLE_DATA").reason


def test_what_was_borrowed_is_said_in_the_language_of_the_caller() -> None:
    borrowed = Borrowed("beauty", 2, "test", 150, 31, 119, 200, 20)
    assert borrowed_text(borrowed, "en") == (
        "Pooled from models of the category beauty: 2 businesses. Its own test window has 150 members of 200 needed;"
        " 31 left and 119 stayed, 20 of each needed."
    )
    assert borrowed_text(borrowed, "ru") == (
        "Сложена из моделей категории «красота»: 2 партнёра. В своём проверочном окне участниц 150 из 200 нужных;"
        " ушли 31, остались 119, нужно хотя бы по 20."
    )
    earlier = replace(borrowed, lender_count=1, window="2026-01-28T00:00:00+00:00")
    assert "1 business. Its own training (2026-01-28) window" in borrowed_text(earlier, "en")
    assert "1 партнёр. В своём учебном окне (2026-01-28) участниц" in borrowed_text(earlier, "ru")


@pytest.mark.parametrize("category", Category)
def test_every_category_has_words_for_what_was_borrowed(category: Category) -> None:
    borrowed = Borrowed(category, 5, "test", 150, 31, 119, 200, 20)
    assert f"категории «{_CATEGORIES[category]}»: 5 партнёров" in borrowed_text(borrowed, "ru")


async def test_a_caller_reads_in_her_language_what_was_borrowed(circle: Circle, analytics: Analytics) -> None:
    await serve(circle, LENDER)
    await fill(circle.warehouse, simulated(members=150, seed=13, business_id=SMALL))
    model = await circle.trained(new_model(SMALL))
    assert model_to_proto(model, "ru").borrowed_from.startswith("Сложена из моделей категории «красота»: 1 партнёр.")
    assert model_to_proto(model, "en").borrowed_from.startswith("Pooled from models of the category beauty: 1 business")


def test_a_card_that_holds_a_sentence_of_earlier_times_says_nothing_of_what_was_borrowed() -> None:
    card = ModelCard(
        200, 0.3, (), (), (), (), (200,), (0.3,), borrowed_from=Borrowed("beauty", 2, "test", 1, 1, 0, 200, 20)
    )
    document = card_document(card)
    assert card_from_document(document) == card
    assert card_from_document(document | {"borrowed_from": "pooled prior of beauty"}).borrowed_from is None
