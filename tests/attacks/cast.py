"""Every kind of caller on one running server, each with a real token it was given by the server itself."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import uuid4

import grpc
import jwt
from svoykrug.auth.v1 import auth_admin_service_pb2 as admin_pb
from svoykrug.auth.v1 import auth_service_pb2 as auth_pb
from svoykrug.auth.v1.auth_admin_service_pb2_grpc import AuthAdminServiceStub
from svoykrug.businesses.v1 import business_pb2
from svoykrug.businesses.v1 import businesses_service_pb2 as businesses_pb
from svoykrug.users.v1 import user_pb2
from svoykrug.users.v1 import users_service_pb2 as users_pb

from svoykrug_server.auth import key_material
from svoykrug_server.auth.composition import auth_options
from svoykrug_server.auth.session_ends import SessionEnds
from svoykrug_server.kit.caller import Role
from svoykrug_server.users.commands import GrantRole
from tests.attacks.kinds import NO_PERSONS, SCOPES, Kind
from tests.attacks.wire import Metadata
from tests.e2e.circle import Circle, Person
from tests.e2e.running import Running
from tests.waiting import until

ACCESS_LIFE = timedelta(minutes=15)
PHONES: Iterator[str] = (f"+7999{number:07}" for number in count(1_000_001))
"""Each is used by one person in one test run."""


class ShiftedClock:
    """The machine's clock, some time ago or ahead.

    Attributes:
        shift: How far ahead it is.
    """

    def __init__(self, shift: timedelta = timedelta()) -> None:
        self.shift = shift

    def now(self) -> datetime:
        """Returns the shifted instant, aware, in UTC."""
        return datetime.now(UTC) + self.shift


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account and the key it signs with.

    Attributes:
        account_id: Its id.
        private_key: Its key.
    """

    account_id: str
    private_key: key_material.PrivateKey

    def assertion(self) -> str:
        """Returns a good assertion that nobody has used."""
        now = int(datetime.now(UTC).timestamp())
        claims = {"iss": self.account_id, "sub": self.account_id, "aud": "svoykrug"}
        times = {"jti": str(uuid4()), "iat": now, "exp": now + 60}
        kid = key_material.thumbprint(self.private_key.public_key())
        return jwt.encode(claims | times, self.private_key, algorithm="ES256", headers={"kid": kid})


@dataclass(slots=True)
class Cast:
    """Who takes part, and where they work.

    Attributes:
        circle: A channel to the server.
        grant: Makes admins, as an operator does.
        people: The signed-in person of each kind.
        here: The business that requests name.
        elsewhere: Another business.
        services: The metadata of a service's tokens, by exactly the scopes each holds.
        disabled: The metadata of a service that was shut out.
    """

    circle: Circle
    grant: GrantRole
    people: dict[Kind, Person] = field(default_factory=dict)
    here: str = ""
    elsewhere: str = ""
    services: dict[frozenset[str], Metadata] = field(default_factory=dict)
    disabled: Metadata = ()

    def metadata_of(self, kind: Kind, scope: str = "") -> Metadata:
        """Returns what a caller of a kind sends along.

        Args:
            kind: The kind.
            scope: The scope that the method wants of services; empty where it wants none.
        """
        match kind:
            case Kind.NOBODY:
                return ()
            case Kind.GARBAGE:
                return (("authorization", "Bearer garbage"),)
            case Kind.SERVICE_WITH_SCOPE:
                return self.services[frozenset({scope}) if scope else SCOPES]
            case Kind.SERVICE_WITHOUT_SCOPE:
                return self.services[SCOPES - {scope}]
            case Kind.SERVICE_DISABLED:
                return self.disabled
            case _:
                return self.people[kind].metadata


async def assembled(running: Running, clock: ShiftedClock) -> Cast:
    """Brings every kind of caller together by the server's own methods, and waits until each is what it is.

    Args:
        running: The server.
        clock: Its clock; two lives of an access token ago when it comes, and right when it goes.
    """
    foundation = running.foundation
    ends = SessionEnds(auth_options(foundation.settings).session, clock)
    cast = Cast(running.circle, GrantRole(foundation.postgres, clock, ends))
    cast.people[Kind.EXPIRED] = await running.circle.sign_in(next(PHONES))
    clock.shift = timedelta()
    cast.people[Kind.ADMIN] = await _chief(cast, Role.ADMIN)
    cast.people[Kind.SUPERADMIN] = await _chief(cast, Role.SUPERADMIN)
    await _members(cast)
    await _workers(cast)
    await _outcasts(cast)
    await _services(cast)
    return cast


async def _chief(cast: Cast, role: Role) -> Person:
    phone = next(PHONES)
    await cast.grant(phone, role)
    return await cast.circle.sign_in(phone)


async def _members(cast: Cast) -> None:
    for kind in Kind:
        if kind not in cast.people and kind not in NO_PERSONS:
            cast.people[kind] = await cast.circle.sign_in(next(PHONES))


async def _workers(cast: Cast) -> None:
    cast.here, cast.elsewhere = await _business(cast, "Здесь"), await _business(cast, "Не здесь")
    archived = await _business(cast, "В архиве")
    staff, owner = user_pb2.STAFF_ROLE_STAFF, user_pb2.STAFF_ROLE_OWNER
    for kind, business_id, role in (
        (Kind.STAFF_HERE, cast.here, staff),
        (Kind.OWNER_HERE, cast.here, owner),
        (Kind.STAFF_ELSEWHERE, cast.elsewhere, staff),
        (Kind.OWNER_ELSEWHERE, cast.elsewhere, owner),
        (Kind.STAFF_OF_ARCHIVED, archived, owner),
        (Kind.STALE, cast.elsewhere, staff),
    ):
        await _add_staff(cast, kind, business_id, role)
    archiving = businesses_pb.ArchiveBusinessRequest(business_id=archived)
    await cast.circle.businesses.ArchiveBusiness(archiving, metadata=cast.metadata_of(Kind.ADMIN))
    for kind in (Kind.STAFF_HERE, Kind.OWNER_HERE, Kind.STAFF_ELSEWHERE, Kind.OWNER_ELSEWHERE, Kind.STAFF_OF_ARCHIVED):
        await cast.circle.refresh(cast.people[kind])
    await _refused(cast, Kind.STALE)


async def _add_staff(cast: Cast, kind: Kind, business_id: str, role: user_pb2.StaffRole.ValueType) -> None:
    user_id = cast.people[kind].user_id
    request = businesses_pb.AddStaffRequest(business_id=business_id, user_id=user_id, role=role)
    await cast.circle.businesses.AddStaff(request, metadata=cast.metadata_of(Kind.SUPERADMIN))


async def _business(cast: Cast, name: str) -> str:
    request = businesses_pb.CreateBusinessRequest(
        name=name, category=business_pb2.CATEGORY_BEAUTY, request_id=str(uuid4())
    )
    created = await cast.circle.businesses.CreateBusiness(request, metadata=cast.metadata_of(Kind.ADMIN))
    return created.business.id


async def _outcasts(cast: Cast) -> None:
    users, as_admin = cast.circle.users, cast.metadata_of(Kind.ADMIN)
    await cast.circle.auth.SignOut(auth_pb.SignOutRequest(), metadata=cast.metadata_of(Kind.SIGNED_OUT))
    await users.DeleteMe(users_pb.DeleteMeRequest(), metadata=cast.metadata_of(Kind.DELETED))
    ban = users_pb.BanUserRequest(user_id=cast.people[Kind.BANNED].user_id, reason=users_pb.BAN_REASON_ABUSE)
    await users.BanUser(ban, metadata=as_admin)
    await _refused(cast, Kind.SIGNED_OUT)
    await _refused(cast, Kind.BANNED)
    await _refused(cast, Kind.DELETED)
    await cast.circle.refresh(cast.people[Kind.DELETED])


async def _services(cast: Cast) -> None:
    account = await service_account(cast, "every-scope", SCOPES)
    wanted: Mapping[frozenset[str], None] = dict.fromkeys(
        [SCOPES, *(frozenset({scope}) for scope in sorted(SCOPES)), *(SCOPES - {scope} for scope in sorted(SCOPES))]
    )
    for scopes in wanted:
        cast.services[scopes] = await service_token(cast.circle, account, scopes)
    disabled = await service_account(cast, "disabled", SCOPES)
    cast.disabled = await service_token(cast.circle, disabled, SCOPES)
    request = admin_pb.DisableServiceAccountRequest(service_account_id=disabled.account_id)
    stub = AuthAdminServiceStub(cast.circle.channel)
    await stub.DisableServiceAccount(request, metadata=cast.metadata_of(Kind.SUPERADMIN))
    await _refused(cast, Kind.SERVICE_DISABLED)


async def service_account(cast: Cast, name: str, scopes: frozenset[str]) -> ServiceAccount:
    """Makes a service account that may ask for some scopes."""
    private_key = key_material.generate("ES256")
    request = admin_pb.CreateServiceAccountRequest(
        name=name,
        scopes=sorted(scopes),
        public_key_pem=key_material.public_to_pem(private_key.public_key()).decode(),
        request_id=str(uuid4()),
    )
    stub = AuthAdminServiceStub(cast.circle.channel)
    created = await stub.CreateServiceAccount(request, metadata=cast.metadata_of(Kind.SUPERADMIN))
    return ServiceAccount(created.service_account.id, private_key)


async def service_token(circle: Circle, account: ServiceAccount, scopes: frozenset[str]) -> Metadata:
    """Returns the metadata of a new token with exactly some of an account's scopes."""
    request = auth_pb.IssueServiceTokenRequest(assertion=account.assertion(), scopes=sorted(scopes))
    token = (await circle.auth.IssueServiceToken(request)).access_token
    return (("authorization", f"Bearer {token}"),)


async def _refused(cast: Cast, kind: Kind) -> None:
    """Waits until every server knows that a caller's token is not what it was."""

    async def has_ended() -> bool:
        try:
            await cast.circle.users.GetMe(users_pb.GetMeRequest(), metadata=cast.metadata_of(kind))
        except grpc.aio.AioRpcError as error:
            return error.code() is grpc.StatusCode.UNAUTHENTICATED
        return False

    await until(has_ended)


async def renewed(cast: Cast, kinds: Collection[Kind]) -> None:
    """Puts other people in the place of those who lost their rights: attackers may well end their own sessions.

    Args:
        cast: The cast.
        kinds: Whom to look at; of SUPERADMIN and OWNER_HERE.
    """

    async def all_have_rights() -> bool:
        try:
            await _renew(cast, kinds)
        except grpc.aio.AioRpcError:  # Whoever was to help had just lost her own, and that was heard only now.
            return False
        return True

    await until(all_have_rights)


async def _renew(cast: Cast, kinds: Collection[Kind]) -> None:
    if Kind.SUPERADMIN in kinds and not await _has_rights(cast, Kind.SUPERADMIN):
        cast.people[Kind.SUPERADMIN] = await _chief(cast, Role.SUPERADMIN)
    if Kind.OWNER_HERE in kinds and not await _has_rights(cast, Kind.OWNER_HERE):
        unarchiving = businesses_pb.UnarchiveBusinessRequest(business_id=cast.here)
        await cast.circle.businesses.UnarchiveBusiness(unarchiving, metadata=cast.metadata_of(Kind.SUPERADMIN))
        cast.people[Kind.OWNER_HERE] = await cast.circle.sign_in(next(PHONES))
        await _add_staff(cast, Kind.OWNER_HERE, cast.here, user_pb2.STAFF_ROLE_OWNER)
        await cast.circle.refresh(cast.people[Kind.OWNER_HERE])


async def _has_rights(cast: Cast, kind: Kind) -> bool:
    try:
        me = (await cast.circle.users.GetMe(users_pb.GetMeRequest(), metadata=cast.metadata_of(kind))).user
    except grpc.aio.AioRpcError:
        return False
    if kind is Kind.SUPERADMIN:
        return user_pb2.ROLE_SUPERADMIN in me.roles
    return (cast.here, user_pb2.STAFF_ROLE_OWNER) in {(role.business_id, role.role) for role in me.staff_roles}
