"""Protobuf <-> model for SMS."""

from collections.abc import Mapping

from svoykrug.auth.v1 import code_delivery_pb2 as pb

from svoykrug_server.auth.sms.model import Attempt, DeliveryState, TracedSms
from svoykrug_server.rpc.timestamps import timestamp_from

_DELIVERY_STATES: Mapping[DeliveryState | None, pb.DeliveryState.ValueType] = {
    None: pb.DELIVERY_STATE_UNSPECIFIED,
    DeliveryState.UNKNOWN: pb.DELIVERY_STATE_UNSPECIFIED,
    DeliveryState.QUEUED: pb.DELIVERY_STATE_PENDING,
    DeliveryState.SENT: pb.DELIVERY_STATE_PENDING,
    DeliveryState.DELIVERED: pb.DELIVERY_STATE_DELIVERED,
    DeliveryState.UNDELIVERABLE: pb.DELIVERY_STATE_UNDELIVERABLE,
    DeliveryState.EXPIRED: pb.DELIVERY_STATE_UNDELIVERABLE,
}


def traced_to_proto(sms: TracedSms) -> pb.CodeDelivery:
    """Returns what became of an SMS."""
    return pb.CodeDelivery(
        kind=pb.SmsKind.Value(f"SMS_KIND_{sms.template.name}"),
        state=pb.SmsState.Value(f"SMS_STATE_{sms.state.upper()}"),
        create_time=timestamp_from(sms.create_time),
        end_time=None if sms.end_time is None else timestamp_from(sms.end_time),
        attempts=map(_attempt_to_proto, sms.attempts),
        delivery_state=_DELIVERY_STATES[sms.delivery_state],
        delivery_time=None if sms.delivery_time is None else timestamp_from(sms.delivery_time),
        failure=sms.failure,
        verified=sms.verified,
    )


def _attempt_to_proto(attempt: Attempt) -> pb.DeliveryAttempt:
    return pb.DeliveryAttempt(
        provider=attempt.provider, attempt_time=timestamp_from(attempt.attempt_time), outcome=attempt.outcome
    )
