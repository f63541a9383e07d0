"""Churn over a real server: train, promote, score, read; what is said in words, and what is told to whom."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from structlog.testing import capture_logs
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.analytics.v1 import churn_pb2
from svoykrug.analytics.v1.analytics_service_pb2_grpc import (
    AnalyticsServiceStub,
    add_AnalyticsServiceServicer_to_server,
)

from svoykrug_server.analytics.churn.features import RAW
from svoykrug_server.analytics.churn.model import SAID_WITHIN, default_training_cutoffs
from svoykrug_server.analytics.churn.servicer import ChurnServicer
from svoykrug_server.analytics.repository import SnapshotRepository
from svoykrug_server.analytics.scopes import Scopes
from svoykrug_server.analytics.servicer import AnalyticsServicer
from svoykrug_server.kit.caller import Role, StaffRole
from svoykrug_server.operations.convert import operation_to_proto
from tests.analytics.churn.circle import HORIZON_DAYS, IN_TIME, TEST_CUTOFF, Circle, fill, simulated
from tests.analytics.circles import BUSINESSES, WATERMARK
from tests.callers import admin, person
from tests.serving import Metadata, Refusal, Served, refusal_of, serving

DENIED = Refusal(grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
MISSING = Refusal(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")


@pytest.fixture
async def served(circle: Circle) -> AsyncIterator[Served]:
    elsewhere = cast("Any", None)  # snapshots and freshness have tests of their own
    scopes = Scopes(SnapshotRepository(circle.postgres))
    churn = ChurnServicer(circle.churn.models, circle.churn.risk, scopes, operation_to_proto)
    servicer = AnalyticsServicer(elsewhere, elsewhere, scopes, operation_to_proto, elsewhere, churn, elsewhere)
    async with serving(lambda server: add_AnalyticsServiceServicer_to_server(servicer, server)) as running:
        yield running


def stub(served: Served) -> AnalyticsServiceStub:
    return AnalyticsServiceStub(served.channel)


def in_language(caller: Metadata, locale: str) -> Metadata:
    return (*caller, ("accept-language", locale))


def at(instant: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


def training(**fields: Any) -> pb.TrainChurnModelRequest:
    return pb.TrainChurnModelRequest(
        horizon_days=HORIZON_DAYS, test_cutoff_time=at(TEST_CUTOFF), request_id=str(uuid4()), **fields
    )


async def test_a_model_goes_from_training_to_a_list_of_members_at_risk(circle: Circle, served: Served) -> None:
    await fill(circle.warehouse, simulated())
    caller = in_language(served.tokens.sign_in(admin()), "en")
    await stub(served).TrainChurnModel(training(), metadata=caller)
    assert await circle.runner.run_one()
    (model,) = (await stub(served).ListChurnModels(pb.ListChurnModelsRequest(), metadata=caller)).churn_models
    assert model.state == churn_pb2.CHURN_MODEL_STATE_CANDIDATE
    expected = [at(cutoff) for cutoff in default_training_cutoffs(TEST_CUTOFF, HORIZON_DAYS)]
    assert list(model.training_cutoff_times) == expected
    promoted = await stub(served).PromoteChurnModel(
        pb.PromoteChurnModelRequest(churn_model_id=model.id), metadata=caller
    )
    assert promoted.churn_model.state == churn_pb2.CHURN_MODEL_STATE_SERVING
    circle.clock.set(TEST_CUTOFF + IN_TIME)
    scoring = pb.ScoreMembersRequest(cutoff_time=at(TEST_CUTOFF), request_id=str(uuid4()))
    await stub(served).ScoreMembers(scoring, metadata=caller)
    assert await circle.runner.run_one()
    page = await stub(served).ListAtRiskMembers(pb.ListAtRiskMembersRequest(page_size=10), metadata=caller)
    assert page.scored_count == model.test_member_count
    assert len(page.members) == 10
    assert page.freshness.watermark == at(WATERMARK)
    worst = page.members[0]
    assert (worst.publish_time, worst.backtest) == (at(TEST_CUTOFF + IN_TIME), False)
    assert worst.churn_model_id == model.id
    assert len({reason.feature for reason in worst.reasons}) == 3
    assert worst.probability == max(member.probability for member in page.members)


async def test_the_card_says_every_figure_with_its_interval(circle: Circle, served: Served) -> None:
    await fill(circle.warehouse, simulated())
    model = await circle.trained()
    request = pb.GetChurnModelRequest(churn_model_id=str(model.id))
    card = (await stub(served).GetChurnModel(request, metadata=served.tokens.sign_in(admin()))).churn_model
    assert [row.name for row in card.metrics] == ["model", "recency", "rfm_sum", "bg_nbd"]
    ours, recency = card.metrics[0], card.metrics[1]
    assert ours.roc_auc.low < ours.roc_auc.value < ours.roc_auc.high
    assert ours.HasField("brier")
    assert not recency.HasField("brier")
    assert ours.lift_at_10_percent.value <= ours.lift_cap
    assert ours.lift_cap == pytest.approx(1 / card.test_base_rate)
    assert len(card.calibration) == 10
    assert list(card.promotion_obstacles) == []
    assert "gradient boosting" in card.algorithm


async def test_the_card_says_which_features_moved_since_training_the_most_moved_first(
    circle: Circle, served: Served
) -> None:
    await fill(circle.warehouse, simulated())
    model = await circle.promoted()
    caller = served.tokens.sign_in(admin())
    request = pb.GetChurnModelRequest(churn_model_id=str(model.id))
    assert not (await stub(served).GetChurnModel(request, metadata=caller)).churn_model.drift
    await circle.scored(TEST_CUTOFF - timedelta(days=120))
    early = (await stub(served).GetChurnModel(request, metadata=caller)).churn_model.drift
    with capture_logs() as logs:
        await circle.scored(TEST_CUTOFF + timedelta(days=25))
    latest = (await stub(served).GetChurnModel(request, metadata=caller)).churn_model.drift
    assert {row.feature for row in latest} == set(RAW)
    assert [row.psi for row in latest] == sorted((row.psi for row in latest), reverse=True)
    assert list(latest) != list(early)
    moved = {row.feature for row in latest if row.psi > 0.25}
    (warning,) = (entry for entry in logs if entry["event"] == "churn_model_out_of_date")
    assert set(warning["stability_indexes"]) == moved > {"tenure_days"}


@pytest.mark.parametrize(("locale", "word"), [("ru", "обычно"), ("en", "typically")])
async def test_reasons_are_said_in_the_language_of_the_caller(
    circle: Circle, served: Served, locale: str, word: str
) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    await circle.scored()
    caller = in_language(served.tokens.sign_in(admin()), locale)
    page = await stub(served).ListAtRiskMembers(pb.ListAtRiskMembersRequest(), metadata=caller)
    assert all(word in reason.text for member in page.members for reason in member.reasons)


async def test_a_model_not_good_enough_is_refused_by_name(circle: Circle, served: Served) -> None:
    await fill(circle.warehouse, simulated())
    last = default_training_cutoffs(TEST_CUTOFF, HORIZON_DAYS)[-1]
    caller = in_language(served.tokens.sign_in(admin()), "en")
    await stub(served).TrainChurnModel(training(training_cutoff_times=[at(last)]), metadata=caller)
    assert await circle.runner.run_one()
    (model,) = (await stub(served).ListChurnModels(pb.ListChurnModelsRequest(), metadata=caller)).churn_models
    assert "It learned from a single window, so its probabilities are not calibrated." in model.promotion_obstacles
    promoting = stub(served).PromoteChurnModel(pb.PromoteChurnModelRequest(churn_model_id=model.id), metadata=caller)
    assert await refusal_of(promoting) == Refusal(grpc.StatusCode.FAILED_PRECONDITION, "MODEL_NOT_GOOD_ENOUGH")


async def test_receipts_say_what_was_said_and_what_happened_page_by_page(circle: Circle, served: Served) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    scorings = [await circle.scored(cutoff) for cutoff in (TEST_CUTOFF - timedelta(days=30), TEST_CUTOFF)]
    caller = served.tokens.sign_in(admin())
    first = await stub(served).GetForecastReceipts(pb.GetForecastReceiptsRequest(page_size=1), metadata=caller)
    following = pb.GetForecastReceiptsRequest(page_size=1, page_token=first.next_page_token)
    second = await stub(served).GetForecastReceipts(following, metadata=caller)
    receipts = [*first.receipts, *second.receipts]
    assert [receipt.scoring_id for receipt in receipts] == [str(scoring) for scoring in reversed(scorings)]
    assert second.next_page_token == ""
    latest = receipts[0]
    assert latest.cutoff_time == at(TEST_CUTOFF)
    assert latest.horizon_days == HORIZON_DAYS
    assert timedelta(0) < latest.publish_time.ToDatetime(UTC) - TEST_CUTOFF <= SAID_WITHIN
    assert 0 < latest.observed_rate < 1
    assert latest.predicted_rate == pytest.approx(latest.observed_rate, abs=0.05)
    assert latest.roc_auc > 0.8
    assert latest.brier > 0
    assert latest.ece > 0
    assert sum(row.member_count for row in latest.calibration) == latest.member_count


async def test_a_backtest_is_read_by_its_id_and_its_receipt_when_asked_for(circle: Circle, served: Served) -> None:
    await fill(circle.warehouse, simulated())
    await circle.promoted()
    scoring_id = str(await circle.scored(TEST_CUTOFF, 2 * SAID_WITHIN))
    caller, api = served.tokens.sign_in(admin()), stub(served)
    refusal = await refusal_of(api.ListAtRiskMembers(pb.ListAtRiskMembersRequest(), metadata=caller))
    assert refusal.reason == "NOT_SCORED_YET"
    named = await api.ListAtRiskMembers(pb.ListAtRiskMembersRequest(scoring_id=scoring_id), metadata=caller)
    assert (named.scoring_id, named.members[0].backtest) == (scoring_id, True)
    assert not (await api.GetForecastReceipts(pb.GetForecastReceiptsRequest(), metadata=caller)).receipts
    asked = pb.GetForecastReceiptsRequest(include_backtests=True)
    (receipt,) = (await api.GetForecastReceipts(asked, metadata=caller)).receipts
    assert (receipt.scoring_id, receipt.backtest) == (scoring_id, True)


async def test_an_owner_sees_nothing_of_the_circle_and_no_model_that_is_not_hers(
    circle: Circle, served: Served
) -> None:
    await fill(circle.warehouse, simulated())
    model = await circle.promoted()
    await circle.scored()
    business = BUSINESSES[0]
    owner = served.tokens.sign_in(person(None, Role.MEMBER, staff={business: StaffRole.OWNER}))
    api = stub(served)
    for call in (
        api.ListAtRiskMembers(pb.ListAtRiskMembersRequest(), metadata=owner),
        api.ListChurnModels(pb.ListChurnModelsRequest(), metadata=owner),
        api.GetChurnModel(pb.GetChurnModelRequest(churn_model_id=str(model.id)), metadata=owner),
        api.GetChurnModel(
            pb.GetChurnModelRequest(business_id=str(business), churn_model_id=str(model.id)), metadata=owner
        ),
        api.ListAtRiskMembers(pb.ListAtRiskMembersRequest(business_id=str(BUSINESSES[1])), metadata=owner),
        api.GetForecastReceipts(pb.GetForecastReceiptsRequest(), metadata=owner),
        api.GetForecastReceipts(pb.GetForecastReceiptsRequest(business_id=str(BUSINESSES[1])), metadata=owner),
    ):
        assert await refusal_of(call) == DENIED
    hers = pb.ListAtRiskMembersRequest(business_id=str(business))
    refusal = await refusal_of(api.ListAtRiskMembers(hers, metadata=owner))
    assert refusal == Refusal(grpc.StatusCode.FAILED_PRECONDITION, "NOT_SCORED_YET")


async def test_an_admin_is_told_what_does_not_exist(circle: Circle, served: Served) -> None:
    request = pb.GetChurnModelRequest(churn_model_id=str(uuid4()))
    assert await refusal_of(stub(served).GetChurnModel(request, metadata=served.tokens.sign_in(admin()))) == MISSING


@pytest.mark.parametrize(
    ("request_fields", "path"),
    [
        ({"test_cutoff_time": Timestamp(seconds=10**15)}, "test_cutoff_time"),
        ({"training_cutoff_times": [Timestamp(seconds=10**15)]}, "training_cutoff_times[0]"),
        ({"training_cutoff_times": [at(TEST_CUTOFF - timedelta(days=1))]}, "training_cutoff_times[0]"),
        ({"horizon_days": 3}, "horizon_days"),
        ({"horizon_days": 731}, "horizon_days"),
        ({"population_days": -1}, "population_days"),
    ],
)
async def test_a_wrong_field_is_refused_by_its_path(
    circle: Circle, served: Served, request_fields: dict[str, Any], path: str
) -> None:
    request = training()
    request.MergeFrom(pb.TrainChurnModelRequest(**request_fields))
    calling = stub(served).TrainChurnModel(request, metadata=served.tokens.sign_in(admin()))
    refusal = await refusal_of(calling)
    assert (refusal.reason, refusal.paths) == ("INVALID_FIELDS", (path,))
