"""All that can be configured: one frozen model per TOML section, every key optional.

Order of precedence: ``LIGHTBOX__SECTION__KEY`` in the environment, then the TOML file, then the
defaults here. Unknown keys are errors that name the nearest right key.
"""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from lightbox.domain.errors import ConfigurationError
from lightbox.domain.identity import STANDARD_ROOT, is_uid
from lightbox.domain.keys import Location, complaint, leaves, overlay, spelled
from lightbox.domain.quantities import Bytes, Seconds


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Patterns = Annotated[tuple[str, ...], BeforeValidator(_one_or_many)]
"""One regular expression or several."""


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


UrgencyName = Literal["STAT", "HIGH", "ROUTINE", "AUDIT"]


class Section(BaseModel):
    """A table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Database(Section):
    """Where ledger and queue live."""

    url: str = ""
    """Empty: SQLite files in ``data_dir``; ``postgresql://…`` for several machines."""


class StorageSettings(Section):
    """Where files live, and for how long."""

    url: str = ""
    """Empty: ``data_dir``; a shared folder or ``s3://…`` for several machines."""
    sync: Literal["together", "in_turn"] = "together"
    """Whether an instance's file and its ledger row are synced at the same time, or the row second.
    Both have ended before the sender is answered, either way."""
    reserve: Bytes = 5 * 10**9
    """Free disk space under which instances are refused with 0xA700."""
    retention: Seconds = 3 * 86400.0
    """How long files of a study are kept after the last thing that happened to it; failures three
    times as long. What is in progress is never removed."""


class LedgerSettings(Section):
    """The hash-chained record of everything."""

    prove_every: Seconds = Field(default=86400.0, ge=0)
    """How often the running service proves its own ledger, in a child of low priority; 0: never."""


class Tls(Section):
    """DICOM over TLS."""

    port: int = 2762
    """Port of the TLS listener."""
    certificate: str = ""
    """PEM file of our certificate; empty: no TLS listener."""
    key: str = ""
    """PEM file of its private key."""
    ca: str = ""
    """PEM file of the authorities that peers' certificates must come from."""
    require_client: bool = True
    """Refuse peers without a certificate."""
    bind_ae: bool = False
    """Refuse peers whose certificate does not name their calling AE title: as its common name, or
    as an alternative name (DNS, or the last part of a URI)."""

    @model_validator(mode="after")
    def _has_names(self) -> Self:
        if self.bind_ae and not self.require_client:
            raise ValueError("bind_ae needs the certificates that require_client asks for")
        return self


class Limits(Section):
    """Bounds against hostile or broken senders; each is tested at the limit and one over."""

    pdu: Bytes = 128 * 1024
    """Longest P-DATA PDU that we announce; longer ones than four times this abort."""
    associate: Bytes = 256 * 1024
    """Longest A-ASSOCIATE-RQ."""
    contexts: int = 128
    """Most presentation contexts in one request (PS3.8 7.1.1.13)."""
    message: Bytes = 2 * 2**30
    """Longest data set of one C-STORE."""
    inflated: Bytes = 0
    """Longest deflated data set (PS3.5 A.5) after inflating; 0: deflated ones are not taken."""
    memory: Bytes = 64 * 2**20
    """Command sets and small data sets held in memory, all associations together."""
    associations_per_peer: int = 32
    """Most associations of one IP address."""
    handshake: Seconds = 10.0
    """From connection to A-ASSOCIATE-RQ, TLS included."""
    pdu_time: Seconds = 60.0
    """Longest silence inside of a PDU or a message."""
    idle: Seconds = 600.0
    """Longest silence of an association between messages."""
    nesting: int = 64
    """Deepest nesting of sequences in a header."""
    decode_memory: Bytes = 2 * 10**9
    """Address space of a decoding process."""
    decode_time: Seconds = 60.0
    """CPU time for one instance in a decoding process."""
    pixels: int = 2**28
    """Most samples (rows x columns x samples) of one frame."""


class Dicom(Section):
    """The DICOM listener."""

    ae_title: str = "LIGHTBOX"
    """Our AE title, also as the calling AE of what we send."""
    host: str = "127.0.0.1"
    """Address to listen on. Another than loopback needs ``accept_calling``, TLS or ``insecure``."""
    port: int = Field(default=11112, ge=0, le=65535)
    """TCP port to listen on; 0 takes a free one."""
    max_associations: int = Field(default=64, ge=1)
    """Most associations at once."""
    accept_called: tuple[str, ...] = ("LIGHTBOX", "LIGHTBOX_STAT", "LIGHTBOX_AUDIT")
    """Called AE titles that we answer to."""
    accept_calling: tuple[str, ...] = ()
    """``"AET"`` or ``"AET@IP"``; empty: any."""
    private_sop_classes: tuple[str, ...] = ()
    """UIDs of private storage SOP classes that are taken too: stored, accounted for, listed."""
    insecure: bool = False
    """Listen beyond loopback without TLS and without a list of calling AEs."""
    tls: Tls = Tls()
    limits: Limits = Limits()

    @field_validator("private_sop_classes")
    @classmethod
    def _are_private(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for uid in given:
            if not is_uid(uid):
                raise ValueError(f"{uid!r} is no UID")
            if uid.startswith(STANDARD_ROOT):
                raise ValueError(f"{uid} is of the standard: its storage SOP classes are all taken")
        return given

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        guarded = self.accept_calling or self.tls.certificate or self.insecure
        if not (guarded or _is_loopback(self.host)):
            raise ValueError(
                f"host {self.host} is open to the network: list accept_calling, set up TLS, "
                "or say insecure = true"
            )
        return self


class Web(Section):
    """Console, API, health and metrics."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port; 0 takes a free one."""
    token: str = ""
    """Token of console and API; empty: none is asked for (loopback only); "auto": one is made at the
    first start, in ``console-token`` of ``data_dir``, and the start prints a link that lets in once."""

    @model_validator(mode="after")
    def _guarded(self) -> Self:
        if not (_is_loopback(self.host) or self.token):
            raise ValueError(f"host {self.host} is open to the network: set a token")
        return self


class DestinationTls(Section):
    """TLS towards a destination (PS3.15 B.12: TLS 1.2 or newer, ephemeral keys, AEAD only)."""

    ca: str = ""
    """PEM file of the authorities that its certificate must come from, or "system"."""
    certificate: str = ""
    """PEM file of our certificate, where it asks for one."""
    key: str = ""
    """PEM file of the private key of that certificate."""
    name: str = ""
    """Name that its certificate must be for; empty: its host."""
    check_name: bool = True
    """Refuse a certificate for another name; without it any certificate of ``ca`` will do."""


class DestinationSettings(Section):
    """A node that results are sent to."""

    name: str
    """Name in metrics and reports."""
    ae_title: str = ""
    """Its AE title."""
    host: str = "127.0.0.1"
    """Its address."""
    port: int = Field(default=104, ge=1, le=65535)
    """Its port."""
    calling_ae: str = ""
    """Our AE title towards it; empty: ``dicom.ae_title``."""
    stow: str = ""
    """DICOMweb root (``http://…/dicom-web``) in place of AE title, host and port."""
    tls: DestinationTls = DestinationTls()
    """TLS for C-STORE where ``ca`` is set; for an https address it adds to the usual checks."""
    token: SecretStr = SecretStr("")
    """Bearer token for STOW-RS: itself, ``file:PATH`` or ``env:NAME`` (read anew each time)."""
    user: str = ""
    """User for STOW-RS (HTTP Basic)."""
    password: SecretStr = SecretStr("")
    """Password of ``user``: itself, ``file:PATH`` or ``env:NAME``."""
    to: Literal["all", "sender"] = "all"
    """"sender": it gets the results of what it sent itself, as ``ae_title`` or ``sends_as``."""
    sends_as: tuple[str, ...] = ()
    """AE titles that it calls us with, where they are not ``ae_title``."""
    kinds: tuple[
        Literal["sc", "seg", "lesion", "sr", "pm", "mosaic", "slice", "pr", "key", "ko"], ...
    ] = (
        "sc",
        "seg",
        "lesion",
        "sr",
        "pm",
    )
    """What it gets: pictures; regions where a model looked; lesions that one outlined; reports;
    maps. On request also, of a series with several key slices, "mosaic": all of them in one
    picture; "slice": a picture of each beside the first, which "sc" shows (neither of STAT
    studies); "pr": outline and words over the source image (presentation state); "key": a note of
    the key images; "ko": one that rejects what is replaced (IHE IOCM)."""
    syntaxes: tuple[Literal["explicit", "implicit", "rle", "jpeg_ls"], ...] = (
        "explicit",
        "implicit",
    )
    """Transfer syntaxes, the preferred first; pictures are compressed (losslessly) where "rle" or
    "jpeg_ls" stands here and it accepts that. The first two are always offered, as the last."""
    window: str = ""
    """Hours in which it gets results, local time, such as "22:00-06:00"; STAT and HIGH go at once."""
    connect_within: Seconds = Field(default=5.0, gt=0)
    """Longest wait for a connection."""
    answer_within: Seconds = Field(default=30.0, gt=0)
    """Longest wait for each answer, from the last piece that went out; a slow line has its time."""
    idle: Seconds = Field(default=30.0, gt=0)
    """An unused association or connection is released after so long."""
    commitment: bool = False
    """Ask it to promise that it keeps each result (DICOM only); see ``commitment_within``."""
    commitment_within: Seconds = Field(default=600.0, gt=0)
    """A result is stored again if the promise has not come after so long; three times at most."""
    retries: int = Field(default=10, ge=0)
    """Tries after the first before a result becomes a dead letter."""
    retry_first: Seconds = 30.0
    """Wait before the first retry; it doubles each time."""


class WebhookSettings(Section):
    """A program that is told what happens, by a signed HTTP POST."""

    name: str
    """Name in metrics, logs and the ledger."""
    url: str
    """Where it listens: https, or http on a network that may read along."""
    secret: SecretStr
    """What bodies are signed with: itself, ``file:PATH`` or ``env:NAME`` (read anew each time)."""
    on: tuple[Literal["result", "failure", "missed_deadline", "contradiction"], ...] = (
        "result",
        "failure",
        "missed_deadline",
        "contradiction",
    )
    """What it is told of."""
    patient_data: bool = False
    """Send UIDs as they are, finding, confidence and sentences; else hashes of UIDs and codes."""
    tls: DestinationTls = DestinationTls()
    """For an https address, in addition to the usual checks."""
    answer_within: Seconds = Field(default=10.0, gt=0)
    """Longest wait for its answer."""
    retries: int = Field(default=10, ge=0)
    """Tries after the first before a notification is dropped."""
    retry_first: Seconds = Field(default=30.0, gt=0)
    """Wait before the first retry; it doubles each time."""


class RuleSettings(Section):
    """A site's rule (``when`` maps keywords to regular expressions)."""

    name: str
    """Name in the ledger and on the picture."""
    when: dict[str, Patterns] = Field(default_factory=dict)
    """DICOM keyword, ``called_ae`` or ``calling_ae`` → regular expression(s); ``~`` excludes."""
    urgency: UrgencyName | None = None
    """Urgency that it gives."""
    models: tuple[str, ...] = ()
    """Run these models only."""
    audit: bool = False
    """Ask for the audit."""


class DeadlineSettings(Section):
    """Last byte received to stored in the PACS."""

    STAT: Seconds = 2.0
    HIGH: Seconds = 10.0
    ROUTINE: Seconds = 300.0
    AUDIT: Seconds = 86400.0


class StudySettings(Section):
    """When a series counts as complete."""

    quiet_period: Seconds = 10.0
    """Silence after the last association that brought the series."""
    quiet_period_urgent: Seconds = 0.3
    """The same for STAT and HIGH."""
    force_after: Seconds = 60.0
    """At the latest so long after the last instance, associations open or not."""


class AuditSettings(Section):
    """Which predictions are audited, and how thoroughly."""

    below_confidence: float = Field(default=0.85, ge=0, le=1)
    """Calibrated confidence under which an audit is made (a model may set its own)."""
    modalities: tuple[str, ...] = ("MR",)
    """Modalities that are always audited."""
    sample: float = Field(default=0.02, ge=0, le=1)
    """Share of all others that is audited at random."""
    tolerance: float = Field(default=0.01, gt=0)
    """Standard errors are driven below this share of the range of the values."""
    max_evaluations: int = Field(default=20000, ge=16)
    """Most evaluations of one audit."""
    interactions: bool = False
    """Also find what pairs of regions do together beyond what each does; more evaluations."""
    chunk: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """Evaluations between two pauses; auto: as many batches as fit ``bound`` on this device."""
    bound: Seconds = Field(default=0.0, ge=0)
    """How long an urgent image may wait for an audit; 0: 0.25 s on a processor, 0.1 s on a GPU."""
    min_share: float = Field(default=0.1, ge=0, le=1)
    """Share of the device that audits get even while fast jobs wait (STAT excepted)."""
    window: str = ""
    """Off-peak hours for audits, local time, such as "22:00-06:00"; empty: always."""


class ModelOverride(Section):
    """A site's own operating point of one model."""

    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default_factory=dict)
    """Finding → calibrated confidence at which it counts as present; every result states it."""
    audit_below: Annotated[float, Field(ge=0, le=1)] | None = None
    """In place of ``[audit] below_confidence``."""
    destinations: tuple[str, ...] = ()
    """Names of destinations; empty: all."""
    maps: Literal["fit", "always"] = "fit"
    """always: send the maps of a model that ``models check`` found not fit to be shown, too."""


class ModelSettings(BaseModel):
    """Which model packages are served. Other keys are tables of models: ``[models.NAME]``."""

    model_config = ConfigDict(frozen=True, extra="allow", use_attribute_docstrings=True)
    __pydantic_extra__: dict[str, ModelOverride] = Field(init=False)  # type: ignore[mutable-override]  # how pydantic types extra keys

    path: str = "models"
    """Folder of model packages, relative to the configuration file."""
    enabled: tuple[str, ...] = ()
    """Names; empty: all that pass ``models check``, but no demonstrations."""
    signed_by: str = ""
    """PEM file with the public keys, or the certificates, that packages must be signed by (OpenSSF
    Model Signing, ``model.sig``), relative to the configuration file; empty: no signature is asked
    for. Needs ``pip install 'lightbox-dicom[signing]'``."""


class Worker(Section):
    """The device that runs the networks."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: CUDA where there is a usable GPU."""
    runtime: Literal["onnxruntime", "torch"] = "onnxruntime"
    """Engine."""
    max_batch: int = Field(default=32, ge=1)
    """Largest batch of a forward pass."""
    threads: int = Field(default=0, ge=0)
    """Threads of a forward pass; 0: one per core."""


class ResultSettings(Section):
    """Which objects are made."""

    secondary_capture: bool = True
    """The picture that a person sees."""
    segmentation: bool = True
    """The regions that a viewer overlays: where the model looked, and what a segmentation model
    outlined."""
    structured_report: bool = True
    """The findings that a system reads."""
    parametric_map: bool = True
    """The numbers."""
    sr_class: Literal["enhanced", "comprehensive3d"] = "enhanced"
    """SOP class of the structured report."""
    negative: Literal["picture", "report", "none"] = "picture"
    """What a normal study gets."""
    refused: Literal["listed", "note"] = "listed"
    """What a study gets that a model is for and that could not be analysed: an entry in the ledger
    only, or also a picture that says so, and why."""


class Logging(Section):
    """Logs on stderr."""

    format: Literal["auto", "json", "console"] = "auto"
    """auto: console on a terminal, JSON in a pipe."""
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is written."""
    uids: Literal["hashed", "plain"] = "hashed"
    """hashed: UIDs appear as keyed hashes; the key is made once per data directory."""


class Settings(Section):
    """The whole file."""

    data_dir: str = "/var/lib/lightbox"
    """Files, ledger and queue live here; one service per directory."""
    database: Database = Database()
    storage: StorageSettings = StorageSettings()
    ledger: LedgerSettings = LedgerSettings()
    dicom: Dicom = Dicom()
    web: Web = Web()
    destinations: tuple[DestinationSettings, ...] = ()
    webhooks: tuple[WebhookSettings, ...] = ()
    rules: tuple[RuleSettings, ...] = ()
    deadlines: DeadlineSettings = DeadlineSettings()
    studies: StudySettings = StudySettings()
    audit: AuditSettings = AuditSettings()
    models: ModelSettings = ModelSettings()
    worker: Worker = Worker()
    results: ResultSettings = ResultSettings()
    logging: Logging = Logging()


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, their file ("" for none), and who set a key (``dicom.port``) beside the defaults.

    ``sources`` maps such a key to the name of the file or of the environment variable.
    """

    settings: Settings
    file: str
    sources: Mapping[str, str]


def load(path: str | None, environ: Mapping[str, str]) -> Settings:
    """Return the settings; see :func:`read`."""
    return read(path, environ).settings


def read(
    path: str | None, environ: Mapping[str, str], *, tree: dict[str, object] | None = None
) -> Loaded:
    """Read the TOML file ``path`` (else ``LIGHTBOX_CONFIG``, else none) and the environment.

    Relative paths in the file are relative to its folder, others to the working directory.
    ``tree`` is what the file said where that was read before; it is changed.

    Raises
    ------
    ConfigurationError
        Naming the file or variable, the key, what was found and what was expected.
    """
    file = path or environ.get("LIGHTBOX_CONFIG", "")
    if tree is None:
        tree = tree_of(file) if file else {}
    sources: dict[Location, str] = dict.fromkeys(leaves(tree), file)
    sources |= overlay(Settings, tree, environ, "LIGHTBOX__")
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as error:
        found = complaint(error, Settings, tree)
        origin = [src for at, src in sources.items() if at[: len(found.location)] == found.location]
        thing = f"{(origin or [file])[-1]}: {found.key}"
        raise ConfigurationError(thing, found.reason, found.mend) from None
    folder = Path(file).absolute().parent if file else Path.cwd()
    spoken = {spelled(location): source for location, source in sources.items()}
    return Loaded(_with_absolute_paths(settings, folder, spoken, file), file, spoken)


def tree_of(file: str) -> dict[str, object]:
    """Return the tables of a TOML file, unchecked.

    Raises
    ------
    ConfigurationError
        If it cannot be read as TOML.
    """
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigurationError(file, f"cannot be read: {reason}", "name another file") from None
    except ValueError as error:  # of TOML or of UTF-8; the former names the line
        raise ConfigurationError(file, str(error), "mend that line") from None


def _with_absolute_paths(
    settings: Settings, folder: Path, sources: Mapping[str, str], file: str
) -> Settings:
    def absolute(key: str, path: str) -> str:
        base = folder if sources.get(key, "") == file else Path.cwd()
        return str(base / Path(path).expanduser()) if path else ""

    signed_by = absolute("models.signed_by", settings.models.signed_by)
    models = absolute("models.path", settings.models.path)
    if "models.path" not in sources:  # the default: beside the file, here, or in our checkout
        places = (folder, Path.cwd(), Path(__file__).parents[2])
        known = [p / settings.models.path for p in places]
        models = str(next((p for p in known if any(p.glob("*/model.toml"))), known[1]))
    tls = settings.dicom.tls
    names = ("certificate", "key", "ca")
    tls = tls.model_copy(update={n: absolute(f"dicom.tls.{n}", getattr(tls, n)) for n in names})
    base = folder if sources.get("destinations", file) == file else Path.cwd()
    hooked = folder if sources.get("webhooks", file) == file else Path.cwd()
    return settings.model_copy(
        update={
            "data_dir": absolute("data_dir", settings.data_dir),
            "models": settings.models.model_copy(update={"path": models, "signed_by": signed_by}),
            "dicom": settings.dicom.model_copy(update={"tls": tls}),
            "destinations": tuple(_destination_from(base, each) for each in settings.destinations),
            "webhooks": tuple(_webhook_from(hooked, each) for each in settings.webhooks),
        }
    )


def _destination_from(folder: Path, given: DestinationSettings) -> DestinationSettings:
    """Return a destination whose paths do not depend on where we were started."""
    return given.model_copy(
        update={
            "tls": _tls_from(folder, given.tls),
            "token": _secret_from(folder, given.token),
            "password": _secret_from(folder, given.password),
        }
    )


def _webhook_from(folder: Path, given: WebhookSettings) -> WebhookSettings:
    """Return a webhook whose paths do not depend on where we were started."""
    secret = _secret_from(folder, given.secret)
    return given.model_copy(update={"tls": _tls_from(folder, given.tls), "secret": secret})


def _tls_from(folder: Path, tls: DestinationTls) -> DestinationTls:
    files = {name: _file(folder, getattr(tls, name)) for name in ("ca", "certificate", "key")}
    return tls.model_copy(update=files)


def _secret_from(folder: Path, secret: SecretStr) -> SecretStr:
    kind, _, path = secret.get_secret_value().partition(":")
    return SecretStr(f"file:{_file(folder, path)}") if kind == "file" else secret


def _file(folder: Path, path: str) -> str:
    return str(folder / Path(path).expanduser()) if path and path != "system" else path
