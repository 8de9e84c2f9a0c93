"""Prints the tables of ``STATEMENT.md`` from the running code, so that the statement cannot be wrong.

``make statement`` writes the document anew; ``test_statement.py`` compares. Each
table stands between ``<!-- table: name -->`` and ``<!-- end -->``; what is outside is written by people.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import assert_never

from pydicom.charset import python_encoding
from pydicom.uid import UID

from created_objects import CREATED, attribute_rows, module_rows
from lightbox.deliver.access import tls as tls_out
from lightbox.deliver.association import VERIFICATION
from lightbox.deliver.commitment.report import STRANGERS
from lightbox.deliver.cstore import CLASSES
from lightbox.deliver.status import DIMSE, HTTP, REJECTED
from lightbox.deliver.transcode import offered
from lightbox.domain.commitment import FAILURE_REASONS, PUSH_MODEL
from lightbox.domain.errors import RefusalReason
from lightbox.receive import status
from lightbox.receive.stored_file import IMPLEMENTATION_CLASS_UID
from lightbox.receive.wire import negotiate
from lightbox.receive.wire import tls as tls_in
from lightbox.receive.wire.negotiate import Rejection
from lightbox.results.provenance import OWN_DEVICE_UID
from lightbox.settings import DestinationSettings, Dicom, Limits, Section, Tls

DOCUMENT = Path(__file__).with_name("STATEMENT.md")
_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_COMPRESSED = ("rle", "jpeg_ls")


def markdown(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a table; a bar in a cell is escaped."""
    names = list(head)
    lines = [names, ["---"] * len(names), *rows]
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in cells)


def in_order(uids: Iterable[str]) -> list[str]:
    """Sort UIDs by their components."""
    return sorted(set(uids), key=lambda uid: [int(part) for part in uid.split(".")])


def name_of(uid: str) -> str:
    """Return the name of a UID in PS3.6, and whether it is retired."""
    known = UID(uid)
    return f"{known.name} (retired)" if known.is_retired else known.name


def accepted_syntaxes(sop_class: str) -> tuple[str, ...]:
    """Return the transfer syntaxes that the listener accepts for a class, the preferred first."""
    return tuple(str(syntax) for syntax in negotiate.SUPPORTED[sop_class].transfer_syntax)


def proposed_syntaxes(sop_class: str) -> tuple[str, ...]:
    """Return what is proposed for a result, with every compression switched on."""
    return offered(_COMPRESSED, sop_class)


def _set_of(syntaxes: tuple[str, ...]) -> str:
    sets = _sets()
    return next(name for name, members in sets.items() if set(members) == set(syntaxes))


def _sets() -> dict[str, tuple[str, ...]]:
    return {
        "STORE": accepted_syntaxes(CLASSES[1]),
        "PICTURE": proposed_syntaxes(CLASSES[0]),
        "PLAIN": proposed_syntaxes(CLASSES[1]),
        "VERIFY": accepted_syntaxes(VERIFICATION[0]),
        "VERIFY-OUT": (VERIFICATION[1],),
    }


def content_and_transfer() -> str:
    """Table N.1-1."""
    created = {str(uid): name for uid, name in CREATED.items()}
    rows = []
    for uid in in_order(u for u in negotiate.SUPPORTED if negotiate.is_storage(u)):
        made = uid in CLASSES
        does = f"Create: {created[uid]}. " if made else ""
        scu = _set_of(proposed_syntaxes(uid)) if made else "-"
        web = "User agent" if made else "-"
        scp = _set_of(accepted_syntaxes(uid))
        rows.append((name_of(uid), uid, scp, scu, web, f"{does}Process"))
    head = ("SOP class", "UID", "SCP", "SCU", "STOW-RS", "Function")
    return markdown(head, rows)


def transfer_syntax_sets() -> str:
    """Table N.1-2."""
    rows = [
        (name, number, name_of(uid), uid)
        for name, members in _sets().items()
        for number, uid in enumerate(members, 1)
    ]
    return markdown(("Set", "Preference", "Transfer syntax", "UID"), rows)


def other_services() -> str:
    """Services without content."""
    rows = []
    for uid in (VERIFICATION[0], PUSH_MODEL):
        scp = accepted_syntaxes(uid)
        rows.append((name_of(uid), uid, "yes", "yes", ", ".join(name_of(each) for each in scp)))
    head = ("SOP class", "UID", "SCU", "SCP", "Transfer syntaxes as SCP, the preferred first")
    return markdown(head, rows)


def _settings(section: Section, prefix: str) -> Iterable[tuple[str, str, str]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if not isinstance(value, Section):
            shown = ", ".join(value) if isinstance(value, tuple) else value
            said = " ".join((field.description or "").split())
            yield f"`{prefix}.{name}`", f"`{shown}`" if shown != "" else "empty", said


def acceptor() -> str:
    """What decides about associations, from the settings."""
    rows = [
        *_settings(Dicom(), "dicom"),
        *_settings(Limits(), "dicom.limits"),
        *_settings(Tls(), "dicom.tls"),
    ]
    return markdown(("Key", "Default", "Meaning"), rows)


def initiator() -> str:
    """What decides about associations that we open."""
    rows = _settings(DestinationSettings(name="pacs"), "destinations")
    chosen = ("ae_title", "calling_ae", "kinds", "syntaxes", "within", "idle", "commitment", "retr")
    wanted = [row for row in rows if any(part in row[0] for part in chosen)]
    return markdown(("Key", "Default", "Meaning"), wanted)


def identity() -> str:
    """Table N.7-2."""
    limits = Limits()
    rows = (
        ("Application context", "1.2.840.10008.3.1.1.1"),
        ("Implementation Class UID, as acceptor and in stored files", IMPLEMENTATION_CLASS_UID),
        ("Implementation Version Name", "LIGHTBOX_ and the version"),
        ("Device UID of all results (Contributing Equipment)", OWN_DEVICE_UID),
        ("Maximum PDU size received", limits.pdu),
        ("ARTIM timeout, TLS handshake included", f"{limits.handshake:g} s"),
        ("Associations at once, overall", Dicom().max_associations),
        ("Associations at once, of one address", limits.associations_per_peer),
        ("Presentation contexts in one request", limits.contexts),
        ("Outstanding asynchronous operations", 1),
        ("Extended negotiation, user identity", "not answered: not supported"),
        ("SCP/SCU role selection", f"{name_of(PUSH_MODEL)} only"),
    )
    return markdown(("Parameter", "Value"), rows)


def _cause(rejection: Rejection) -> str:
    match rejection:
        case Rejection.PROTOCOL_VERSION:
            return "bit 0 of Protocol-version is not set"
        case Rejection.APPLICATION_CONTEXT:
            return "another application context name"
        case Rejection.CALLING_AE:
            return "`accept_calling` is set and holds neither AET nor AET@IP"
        case Rejection.CALLED_AE:
            return "not one of `accept_called`"
        case Rejection.LOCAL_LIMIT:
            return "`max_associations` or `associations_per_peer` are established"
        case _:
            assert_never(rejection)


def rejections_sent() -> str:
    """A-ASSOCIATE-RJ that our listener sends."""
    rows = [(*rejection.value, _cause(rejection)) for rejection in Rejection]
    return markdown(("Result", "Source", "Reason", "When"), rows)


def rejections_understood() -> str:
    """A-ASSOCIATE-RJ that we get."""
    rows = [(*key, row.meaning, row.action, row.mend) for key, row in REJECTED.items()]
    return markdown(("Source", "Reason", "Meaning", "What follows", "What mends it"), rows)


def _why(reason: RefusalReason) -> str:
    match reason:
        case RefusalReason.OUT_OF_RESOURCES:
            return "not durable: disk, memory or ledger; trying again helps"
        case RefusalReason.SHUTTING_DOWN:
            return "the service stops; trying again helps"
        case RefusalReason.TOO_LARGE:
            return "longer than `dicom.limits.message`"
        case RefusalReason.DATA_SET_DISAGREES:
            return "data set, command and context name different classes or instances"
        case RefusalReason.CANNOT_UNDERSTAND:
            return "the header cannot be read, or has no valid UIDs"
        case RefusalReason.SOP_CLASS_NOT_SUPPORTED:
            return "the service is not one of this SOP class"
        case _:
            assert_never(reason)


def statuses_sent() -> str:
    """DIMSE statuses that we answer."""
    rows = [
        ("C-ECHO, C-STORE, N-ACTION, N-EVENT-REPORT", status.text(status.SUCCESS), "done; durable"),
        *(("C-STORE", status.text(code), _why(why)) for why, code in status.REFUSALS.items()),
        *(
            ("N-ACTION, N-EVENT-REPORT", status.text(code), _why(why))
            for why, code in status.NORMALISED.items()
        ),
        ("N-ACTION, N-EVENT-REPORT", status.text(status.NO_SUCH_INSTANCE), "another SOP instance"),
        ("N-ACTION", status.text(status.NO_SUCH_ACTION), "another action type than 1"),
        ("N-EVENT-REPORT", status.text(status.NO_SUCH_EVENT), "another event type than 1 or 2"),
        ("N-ACTION, N-EVENT-REPORT", status.text(status.INVALID_ARGUMENT), "no references in it"),
        ("any other", status.text(status.UNRECOGNISED_OPERATION), "an operation we do not do"),
    ]
    return markdown(("Service", "Status", "When"), rows)


def statuses_understood() -> str:
    """DIMSE statuses of C-STORE-RSP and N-ACTION-RSP."""
    rows = [
        (f"{first:04X}" if first == last else f"{first:04X}-{last:04X}", a.meaning, a.action)
        for first, last, a in DIMSE
    ]
    return markdown(("Status", "Meaning", "What follows"), rows)


def stow() -> str:
    """HTTP codes of STOW-RS."""
    rows = [(code, row.meaning, row.action, row.mend) for code, row in HTTP.items()]
    return markdown(("Code", "Meaning", "What follows", "What mends it"), rows)


def commitment() -> str:
    """Failure reasons."""
    rows = [(f"{code:04X}", text) for code, text in FAILURE_REASONS.items()]
    rows.append(("-", f"a peer without a known address gets its report within {STRANGERS:g} s"))
    return markdown(("Failure Reason", "Meaning"), rows)


def character_sets() -> str:
    """What is read and, in copied values, written again."""
    named = [term for term in python_encoding if term.startswith(("ISO", "GB"))]
    return markdown(("Defined term",), ([f"`{term}`"] for term in named))


def security() -> str:
    """Both sides of TLS."""
    out = tls_out.client_context(DestinationSettings(name="pacs").tls, "destinations.pacs.tls")
    rows = (
        ("Profile", "BCP 195 TLS Secure Transport Connection (PS3.15 B.12)"),
        ("Lowest version, both sides", ssl.TLSVersion(out.minimum_version).name),
        ("Ciphers of TLS 1.2 as acceptor (OpenSSL)", f"`{tls_in.AEAD}`"),
        ("Ciphers of TLS 1.2 as initiator (OpenSSL)", f"`{tls_out.AEAD}`"),
        ("Port", Tls().port),
        ("A certificate is asked of callers", "yes" if Tls().require_client else "no"),
    )
    return markdown(("Parameter", "Value"), rows)


def modules() -> str:
    """Modules of each created IOD."""
    return markdown(("Object", "IOD", "Module", "Usage"), module_rows())


def attributes() -> str:
    """Top-level attributes of each created object, and where their values come from."""
    rows = attribute_rows()
    return markdown(("Attribute", "Tag", *CREATED.values()), rows)


TABLES: dict[str, Callable[[], str]] = {
    table.__name__: table
    for table in (
        content_and_transfer, transfer_syntax_sets, other_services, identity, acceptor, initiator,
        rejections_sent, rejections_understood, statuses_sent, statuses_understood, stow,
        commitment, modules, attributes, character_sets, security,
    )
}  # fmt: skip


def filled(text: str) -> str:
    """Return a document with its tables made anew.

    Raises
    ------
    KeyError
        If it names a table that there is not.
    """
    return _TABLE.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text()))
