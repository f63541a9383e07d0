"""What sign-in, sessions and keys are made of."""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from svoykrug_server.kit.account import ConsentGrant
from svoykrug_server.kit.phone import is_e164

DEFAULT_DEVICE_NAME = "unknown device"


class Purpose(StrEnum):
    """What the code of a challenge is good for; a code of one purpose is none of the other."""

    SIGN_IN = "sign_in"
    PHONE_CHANGE = "phone_change"


@dataclass(frozen=True, slots=True)
class SignInLimits:
    """How often codes are sent and guessed; each number is a setting.

    Attributes:
        code_life: How long a code is good.
        guesses: Wrong guesses a challenge bears.
        wrong_guesses_per_phone_hour: Wrong guesses a phone bears within an hour, over all its challenges.
        resend_wait: The time between two sends to a phone.
        sends_per_phone_day: Sends to a phone within 24 hours.
        sends_per_address_hour: Sends for an address within an hour.
        sends_per_doubtful_address_hour: The same, once under half of its last sends were verified.
        verified_window: How many last sends of an address are looked at for that.
        phone_change_sign_in: How long ago whoever changes her phone may have signed in.
    """

    code_life: timedelta = timedelta(minutes=5)
    guesses: int = 5
    wrong_guesses_per_phone_hour: int = 10
    resend_wait: timedelta = timedelta(seconds=60)
    sends_per_phone_day: int = 5
    sends_per_address_hour: int = 300
    sends_per_doubtful_address_hour: int = 30
    verified_window: int = 30
    phone_change_sign_in: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long tokens and sessions live; each number is a setting.

    Attributes:
        access_life: The life of an access token.
        leeway: How far clocks may differ.
        idle: How long a refresh token lives unused.
        absolute: How long a session lives whatever happens.
        race: How long after a rotation the token before is still taken from tasks that raced for it.
    """

    access_life: timedelta = timedelta(minutes=15)
    leeway: timedelta = timedelta(seconds=30)
    idle: timedelta = timedelta(days=30)
    absolute: timedelta = timedelta(days=180)
    race: timedelta = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Challenge:
    """A code that was sent to a phone and waits to be told back.

    Attributes:
        challenge_id: 128 random bits.
        phone: E.164.
        pepper_kid: The pepper its code is derived with.
        create_time: When it was started; aware.
        expire_time: When its code stops being good; aware.
        wrong_guess_count: How many wrong guesses were judged.
        consume_time: When its code was used; None while it waits.
        consume_request_id: The request that used it and may be repeated.
        session_id: The session it opened; None when the sign-in was refused after the code.
        new_user: Whether that sign-in created or claimed the user.
        purpose: What its code is good for.
        user_id: Who changes her phone; None for a sign-in.
        revoked_count: How many sessions a phone change ended; None until it was made.
        demo: Whether its code is its phone's own, and was never sent.

    Raises:
        ValueError: The phone is not in E.164, or nobody changes her phone.
    """

    challenge_id: UUID
    phone: str = field(repr=False)
    pepper_kid: str
    create_time: datetime
    expire_time: datetime
    wrong_guess_count: int = 0
    consume_time: datetime | None = None
    consume_request_id: UUID | None = None
    session_id: UUID | None = None
    new_user: bool = False
    purpose: Purpose = Purpose.SIGN_IN
    user_id: UUID | None = None
    revoked_count: int | None = None
    demo: bool = False

    def __post_init__(self) -> None:
        if not is_e164(self.phone):
            raise ValueError("a challenge's phone is in E.164")
        if (self.purpose is Purpose.PHONE_CHANGE) != (self.user_id is not None):
            raise ValueError("exactly the challenge of a phone change names a user")

    @property
    def succeeded(self) -> bool:
        """Whether its code opened a session or changed a phone; that request may be repeated."""
        return self.session_id is not None or self.revoked_count is not None

    def is_open(self, now: datetime, limits: SignInLimits) -> bool:
        """Tells whether its code can still be told back."""
        return self.consume_time is None and now < self.expire_time and self.wrong_guess_count < limits.guesses


@dataclass(frozen=True, slots=True)
class ChallengeView:
    """What a client is told of a challenge; the same for known and unknown numbers.

    Attributes:
        challenge_id: Names it.
        expire_time: When its code stops being good; aware.
        resend_time: From when the code is sent again; aware.
        guesses_left: How many guesses are left.
    """

    challenge_id: UUID
    expire_time: datetime
    resend_time: datetime
    guesses_left: int


@dataclass(frozen=True, slots=True)
class SignInAnswer:
    """What a client brings to complete a sign-in.

    Attributes:
        challenge_id: The challenge.
        code: The six digits.
        request_id: Makes the call repeatable.
        device_name: What the list of sessions shows.
        consents: Needed from a new user.
        referral_code: Who brought her; empty when nobody did.
        birth_date: Proves after a long silence that the number is still hers; None when not told.
        start_new_account: Whether she would rather start anew then.
    """

    challenge_id: UUID
    code: str = field(repr=False)
    request_id: UUID
    device_name: str = DEFAULT_DEVICE_NAME
    consents: tuple[ConsentGrant, ...] = ()
    referral_code: str = ""
    birth_date: date | None = field(default=None, repr=False)
    start_new_account: bool = False


@dataclass(frozen=True, slots=True)
class DemoPhone:
    """A phone with a fixed code and no SMS, for the reviewers of app stores.

    Attributes:
        phone: E.164.
        code_hash: HMAC-SHA-256 of phone and code; the code itself is nowhere.
        code_kid: The pepper it is made with.
        create_time: When it was first set; aware.
        expire_time: When its code stops working; aware.
    """

    phone: str = field(repr=False)
    code_hash: bytes = field(repr=False)
    code_kid: str
    create_time: datetime
    expire_time: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in device.

    Attributes:
        session_id: A UUID of version 7.
        user_id: Who signed in.
        device_name: What the device called itself.
        create_time: When it signed in; aware.
        rotate_time: When its present refresh token was made; aware.
        access_epoch: Access tokens of lower epochs are dead.
        current_hash: SHA-256 of the present refresh token's secret.
        previous_hash: SHA-256 of the one before; None until the first rotation.
        salt: What the present token was derived with.
        rotation_kid: The rotation key it was derived with.
        rotation_request_id: The request that may be repeated.
        revoke_time: When it was ended; None while it lives.
    """

    session_id: UUID
    user_id: UUID
    device_name: str
    create_time: datetime
    rotate_time: datetime
    access_epoch: int
    current_hash: bytes = field(repr=False)
    previous_hash: bytes | None = field(repr=False)
    salt: bytes = field(repr=False)
    rotation_kid: str
    rotation_request_id: UUID
    revoke_time: datetime | None = None

    def expire_time(self, limits: SessionLimits) -> datetime:
        """Returns when it ends if its refresh token is not used; aware."""
        return min(self.rotate_time + limits.idle, self.create_time + limits.absolute)


@dataclass(frozen=True, slots=True)
class Origin:
    """How a refresh token came from the one before it.

    Attributes:
        salt: What it was derived with.
        kid: The rotation key it was derived with.
        request_id: The request that may be repeated.
    """

    salt: bytes = field(repr=False)
    kid: str
    request_id: UUID


@dataclass(frozen=True, slots=True)
class Tokens:
    """The pair of tokens of a session.

    Attributes:
        access_token: A JWT.
        access_expire_time: When it dies; aware.
        refresh_token: An opaque secret.
        refresh_expire_time: When that dies if it is not used; aware.
    """

    access_token: str = field(repr=False)
    access_expire_time: datetime
    refresh_token: str = field(repr=False)
    refresh_expire_time: datetime


@dataclass(frozen=True, slots=True)
class SessionView:
    """What a person sees of one of her sessions.

    Attributes:
        session_id: The session.
        device_name: What the device called itself.
        create_time: When it signed in; aware.
        last_use_time: When it last refreshed its tokens; aware.
        expire_time: When it ends if it is not used; aware.
        current: Whether it is the one that asks.
    """

    session_id: UUID
    device_name: str
    create_time: datetime
    last_use_time: datetime
    expire_time: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A completed sign-in.

    Attributes:
        user_id: Who signed in.
        session: Her new session.
        tokens: Its tokens.
        new_user: Whether this sign-in created or claimed the user.
        erase_time: When she will be erased; None unless her account is deleted.
    """

    user_id: UUID
    session: SessionView
    tokens: Tokens
    new_user: bool
    erase_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """Access tokens that were ended early.

    Attributes:
        grant_id: The session, or the service account, whose tokens they are.
        ended: True when the grant itself has ended (sign in again), false when its tokens have only become stale
            (refresh).
        access_epoch: Tokens of lower epochs are dead.
        until_time: When every token it kills would be dead anyway; aware.
    """

    grant_id: UUID
    ended: bool
    access_epoch: int
    until_time: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """How a session, or a service account, stands in Postgres.

    Attributes:
        access_epoch: Access tokens of lower epochs are dead.
        ended: Whether it has ended.
    """

    access_epoch: int
    ended: bool
