"""The churn methods of AnalyticsService over gRPC: convert, one call, convert."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from grpc.aio import ServicerContext
from svoykrug.analytics.v1 import analytics_service_pb2 as pb
from svoykrug.operations.v1 import operation_pb2

from svoykrug_server.analytics.churn import convert
from svoykrug_server.analytics.churn.risk import AskedScores, RiskService
from svoykrug_server.analytics.churn.service import ModelService
from svoykrug_server.analytics.scopes import Scopes
from svoykrug_server.rpc.context import Locale, current, current_caller

Context = ServicerContext[Any, Any]
OperationToProto = Callable[[Any, Locale], operation_pb2.Operation]
"""Shows an operation, whose type belongs to the operations feature, in a language."""


class ChurnServicer:
    """The methods of the service that train, promote and use churn models.

    Args:
        models: The use cases of models.
        risk: The use cases of scores.
        scopes: Reads which business a request names.
        operation_to_proto: Shows an operation.
    """

    def __init__(
        self, models: ModelService, risk: RiskService, scopes: Scopes, operation_to_proto: OperationToProto
    ) -> None:
        self._models = models
        self._risk = risk
        self._scopes = scopes
        self._operation_to_proto = operation_to_proto

    async def TrainChurnModel(self, request: pb.TrainChurnModelRequest, context: Context) -> pb.TrainChurnModelResponse:
        """Starts training a churn model."""
        await self._scopes.named(current_caller(), request.business_id)
        operation = await self._models.train(current_caller(), convert.new_model_from_proto(request))
        return pb.TrainChurnModelResponse(operation=self._operation_to_proto(operation, current().locale))

    async def ListChurnModels(self, request: pb.ListChurnModelsRequest, context: Context) -> pb.ListChurnModelsResponse:
        """Lists the churn models of a scope."""
        business_id = await self._scopes.named(current_caller(), request.business_id)
        models, token = await self._models.list_models(business_id, request.page_size, request.page_token)
        shown = [convert.model_to_proto(model, current().locale) for model in models]
        return pb.ListChurnModelsResponse(churn_models=shown, next_page_token=token)

    async def GetChurnModel(self, request: pb.GetChurnModelRequest, context: Context) -> pb.GetChurnModelResponse:
        """Returns a churn model's card."""
        business_id = await self._scopes.named(current_caller(), request.business_id)
        model_id = convert.id_or_none(request.churn_model_id)
        model = await self._models.get_model(current_caller(), business_id, model_id)
        return pb.GetChurnModelResponse(churn_model=convert.model_to_proto(model, current().locale))

    async def PromoteChurnModel(
        self, request: pb.PromoteChurnModelRequest, context: Context
    ) -> pb.PromoteChurnModelResponse:
        """Makes a model the one that scores its scope."""
        business_id = await self._scopes.named(current_caller(), request.business_id)
        model_id = UUID(request.churn_model_id)
        model = await self._models.promote(current(), business_id, model_id)
        return pb.PromoteChurnModelResponse(churn_model=convert.model_to_proto(model, current().locale))

    async def ScoreMembers(self, request: pb.ScoreMembersRequest, context: Context) -> pb.ScoreMembersResponse:
        """Starts scoring the members of a scope."""
        await self._scopes.named(current_caller(), request.business_id)
        operation = await self._risk.score(current_caller(), convert.new_scoring_from_proto(request))
        return pb.ScoreMembersResponse(operation=self._operation_to_proto(operation, current().locale))

    async def ListAtRiskMembers(
        self, request: pb.ListAtRiskMembersRequest, context: Context
    ) -> pb.ListAtRiskMembersResponse:
        """Lists the members of the latest forecast, or of the scoring that is named."""
        asked = AskedScores(
            await self._scopes.named(current_caller(), request.business_id), convert.id_or_none(request.scoring_id)
        )
        page = await self._risk.at_risk_page(
            current_caller(), asked, request.min_probability, request.page_size, request.page_token
        )
        return convert.at_risk_to_proto(page, current().locale)

    async def GetForecastReceipts(
        self, request: pb.GetForecastReceiptsRequest, context: Context
    ) -> pb.GetForecastReceiptsResponse:
        """Says how the forecasts of a scope turned out."""
        business_id = await self._scopes.named(current_caller(), request.business_id)
        receipts, token = await self._risk.list_receipts(
            business_id, request.page_size, request.page_token, backtests=request.include_backtests
        )
        shown = [convert.receipt_to_proto(receipt) for receipt in receipts]
        return pb.GetForecastReceiptsResponse(receipts=shown, next_page_token=token)
