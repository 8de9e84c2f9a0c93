"""What a configuration says that no single key can show to be wrong: checked before anything runs.

A rule whose keyword is misspelt never matches, and nobody would notice; a regular expression that
is none would stop the first study that meets it. An address that somebody else holds is named, too.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator

from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword
from pydicom.tag import BaseTag

from lightbox.app.destination_check import destination_problems, webhook_problems
from lightbox.domain.errors import ConfigurationError, cannot_listen
from lightbox.domain.identity import ae_title
from lightbox.domain.keys import nearest
from lightbox.settings import RuleSettings, Settings

_OF_ARRIVAL = frozenset({"called_ae", "calling_ae"})
_PATIENT_GROUP = 0x0010
_WINDOW = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")


def check(settings: Settings) -> None:
    """Refuse what is wrong.

    Raises
    ------
    ConfigurationError
        For the first thing that is wrong: the key, what was found, what to do.
    """
    for problem in problems(settings):
        raise problem


def check_addresses(settings: Settings) -> None:
    """Refuse addresses that somebody else holds, before seconds are spent on loading models.

    Raises
    ------
    ConfigurationError
        For the first address that cannot be listened on.
    """
    dicom, web = settings.dicom, settings.web
    wanted = [("dicom.port", dicom.host, dicom.port), ("web.port", web.host, web.port)]
    if dicom.tls.certificate:
        wanted.append(("dicom.tls.port", dicom.host, dicom.tls.port))
    for key, host, port in wanted:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((host, port))
            except OSError as error:
                raise cannot_listen(key, port, host, error) from error


def problems(settings: Settings) -> Iterator[ConfigurationError]:
    """Yield everything that is wrong, in the order of the file."""
    yield from _engines(settings)
    yield from _titles(settings)
    yield from destination_problems(settings)
    yield from webhook_problems(settings)
    for number, rule in enumerate(settings.rules):
        yield from _rule(f"rules[{number}] {rule.name}", rule)
    window = settings.audit.window
    if window and not _WINDOW.fullmatch(window):
        yield ConfigurationError(
            "audit.window", f"found {window!r}", 'expected hours such as "22:00-06:00"'
        )
    names = {given.name for given in settings.destinations}
    for model, own in settings.models.__pydantic_extra__.items():
        for name in own.destinations:
            if name not in names:
                key = f"models.{model}.destinations"
                yield ConfigurationError(key, f"{name!r} is no destination", nearest(name, names))


def _titles(settings: Settings) -> Iterator[ConfigurationError]:
    dicom = settings.dicom
    given = {
        "dicom.ae_title": (dicom.ae_title,),
        "dicom.accept_called": dicom.accept_called,
        "dicom.accept_calling": tuple(each.partition("@")[0] for each in dicom.accept_calling),
    }
    for number, each in enumerate(settings.destinations):
        if not each.stow and each.ae_title:
            given[f"destinations[{number}].ae_title"] = (each.ae_title,)
        if each.calling_ae:
            given[f"destinations[{number}].calling_ae"] = (each.calling_ae,)
        given[f"destinations[{number}].sends_as"] = each.sends_as
    for key, titles in given.items():
        for title in titles:
            try:
                ae_title(title)
            except ConfigurationError as error:
                yield ConfigurationError(f"{key}: {error.thing}", error.reason, error.mend)


def _rule(key: str, rule: RuleSettings) -> Iterator[ConfigurationError]:
    for keyword, patterns in rule.when.items():
        where = f"{key}: when.{keyword}"
        tag = tag_for_keyword(keyword)
        if keyword in _OF_ARRIVAL:
            pass
        elif tag is None:
            advice = nearest(keyword, {*keyword_dict, *_OF_ARRIVAL})
            mend = advice if advice.startswith("did") else "see the DICOM dictionary, PS3.6"
            yield ConfigurationError(where, "is no DICOM keyword", mend)
        elif BaseTag(tag).group == _PATIENT_GROUP or dictionary_VR(tag) == "PN":
            mend = "decide by what was examined, where and by whom it was sent"
            yield ConfigurationError(where, "says who the patient is: rules do not read it", mend)
        for pattern in patterns:
            try:
                re.compile(pattern.removeprefix("~"))
            except re.error as error:
                yield ConfigurationError(
                    where, f"{pattern!r} is no regular expression: {error}", "correct it"
                )


def not_yet(settings: Settings) -> Iterator[str]:
    """Say which keys are set although nothing would come of them; nobody should guess."""
    callers = {each.partition("@")[0] for each in settings.dicom.accept_calling}
    for given in settings.destinations:
        if given.commitment and not given.stow and callers and given.ae_title not in callers:
            yield (
                f"destinations.{given.name}.commitment: its reports come to our port, and "
                f"dicom.accept_calling does not list {given.ae_title}: add it, unless it calls by "
                "another AE title that is listed"
            )
        if given.commitment and given.stow:
            yield (
                f"destinations.{given.name}.commitment: STOW-RS knows no storage commitment; a "
                "result counts as delivered when the destination answered success"
            )


def _engines(settings: Settings) -> Iterator[ConfigurationError]:
    """Refuse what would have to be ignored at the price of data or speed."""
    for key, value in (
        ("database.url", settings.database.url),
        ("storage.url", settings.storage.url),
    ):
        if value:
            yield ConfigurationError(
                key, "several machines are not supported yet", "leave it empty: data_dir is used"
            )
    if settings.worker.runtime != "onnxruntime":
        yield ConfigurationError(
            "worker.runtime", f"{settings.worker.runtime} is not there yet", 'use "onnxruntime"'
        )
