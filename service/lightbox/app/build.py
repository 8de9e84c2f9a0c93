"""Settings become the values and parts that the roles are made of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from lightbox.app.catalogue import writer
from lightbox.app.models_in_force import in_force
from lightbox.app.questions.senders import titles
from lightbox.deliver.cstore import CStore
from lightbox.domain.audit import AuditPolicy
from lightbox.domain.errors import ConfigurationError, ModelPackageError
from lightbox.domain.jobs import Job
from lightbox.domain.keys import nearest
from lightbox.domain.model_package import ModelPackage
from lightbox.domain.result import Result, ResultKind
from lightbox.domain.urgency import Deadlines, Rule, Urgency
from lightbox.infer.packages import LoadedPackage, find
from lightbox.infer.signatures.signed import signature_check
from lightbox.ports import Destination, ResultWriter
from lightbox.settings import DestinationSettings, ModelOverride, ResultSettings, Settings

Senders = Callable[[], frozenset[str]]
"""Returns the AE titles that sent what a job is about."""


def rules(settings: Settings) -> tuple[Rule, ...]:
    """Return the site's rules, in order."""
    return tuple(
        Rule(
            name=rule.name,
            when=dict(rule.when),
            urgency=Urgency(rule.urgency) if rule.urgency else None,
            models=rule.models,
            audit=rule.audit,
        )
        for rule in settings.rules
    )


def rule_keywords(settings: Settings) -> frozenset[str]:
    """Return the DICOM keywords that rules look at."""
    asked = {key for rule in settings.rules for key in rule.when}
    return frozenset(asked - {"called_ae", "calling_ae"})


def deadlines(settings: Settings) -> Deadlines:
    """Return the seconds that each urgency allows."""
    given = settings.deadlines
    return Deadlines(stat=given.STAT, high=given.HIGH, routine=given.ROUTINE, audit=given.AUDIT)


def audit_policy(settings: Settings) -> AuditPolicy:
    """Return what the site wants audited."""
    given, models = settings.audit, settings.models.__pydantic_extra__
    return AuditPolicy(
        below_confidence=given.below_confidence,
        modalities=given.modalities,
        sample=given.sample,
        audit_below={
            name: own.audit_below for name, own in models.items() if own.audit_below is not None
        },
    )


@dataclass(frozen=True, slots=True)
class Packages:
    """The models that are served, and why others are not.

    Attributes
    ----------
    replaced : tuple of LoadedPackage
        What stood in place of some of them before: jobs and audits of it are still to be done.
    """

    loaded: tuple[LoadedPackage, ...]
    problems: tuple[ModelPackageError, ...]
    replaced: tuple[LoadedPackage, ...] = ()

    @property
    def by_name(self) -> Mapping[str, ModelPackage]:
        """Manifest of each served model."""
        return {each.package.name: each.package for each in self.loaded}


def packages(settings: Settings, asked: str = "") -> Packages:
    """Load every package that the configuration enables, and a demonstration that is asked for.

    Raises
    ------
    ConfigurationError
        If none can be served, a site's threshold is of no finding, or signatures are asked for and
        cannot be proven.
    """
    root = Path(settings.models.path).expanduser().resolve()
    signatures = signature_check(settings.models)
    installed = find(root, settings.models.enabled, asked, signatures)
    chosen = in_force(Path(settings.data_dir), installed, signatures)
    found = chosen.found
    if not found.packages:
        why = "; ".join(str(problem) for problem in found.problems) or "no package was found"
        if found.demonstrations:
            why += f"; demonstrations, not enabled: {', '.join(found.demonstrations)}"
        raise ConfigurationError(f"models.path {root}", why, "see lightbox models check")
    own = settings.models.__pydantic_extra__
    at_site = (at_site_of(each, own.get(each.package.name)) for each in found.packages)
    return Packages(tuple(at_site), found.problems, chosen.replaced)


def at_site_of(loaded: LoadedPackage, own: ModelOverride | None) -> LoadedPackage:
    """Return a package with the site's own thresholds, and its wish for maps.

    Raises
    ------
    ConfigurationError
        If one is of a finding that the model does not know.
    """
    if own is None:
        return loaded
    package = loaded.package
    known = [finding.name for finding in package.findings]
    for name in own.thresholds:
        if name not in known:
            raise ConfigurationError(
                f"models.{package.name}.thresholds",
                f"{name!r} is no finding of {package.name}",
                nearest(name, known),
            )
    return replace(loaded, package=package.at_site(own.thresholds, all_maps=own.maps == "always"))


def destination(given: DestinationSettings, settings: Settings, root: Path) -> Destination:
    """Return the part that talks to one destination.

    Raises
    ------
    ConfigurationError
        If it has neither an AE title nor a STOW address.
    """
    if given.stow:
        from lightbox.deliver.stow import Stow

        return Stow(given, root)
    if not given.ae_title:
        raise ConfigurationError(
            f"destinations.{given.name}", "has neither ae_title nor stow", "add one of the two"
        )
    return CStore(given, settings.dicom.ae_title, root)


def asked_for(settings: Settings) -> frozenset[ResultKind]:
    """Return the kinds that any destination asks for."""
    return frozenset(ResultKind(kind) for each in settings.destinations for kind in each.kinds)


def writers(
    results: ResultSettings, asked: Collection[ResultKind] = ()
) -> tuple[ResultWriter, ...]:
    """Return the writers of the kinds that the site wants, the picture first.

    Parameters
    ----------
    asked : collection of ResultKind
        What destinations ask for: mosaics, pictures of further slices, rejection notes, key images
        and presentation states are only made where one does.
    """
    wanted = {
        "secondary_capture": results.secondary_capture,
        "segmentation": results.segmentation,
        "lesion": results.segmentation,
        "structured_report": results.structured_report,
        "parametric_map": results.parametric_map,
        "mosaic": ResultKind.MOSAIC in asked,
        "one_slice": ResultKind.SLICE in asked,
        "key_object": ResultKind.KEY_OBJECT in asked,
        "key_images": ResultKind.KEY_IMAGES in asked,
        "presentation_state": ResultKind.PRESENTATION_STATE in asked,
    }
    options: dict[str, dict[str, object]] = {
        "structured_report": {"sr_class": results.sr_class},
        "key_images": {"picture": results.secondary_capture},
    }
    return tuple(writer(name)(**options.get(name, {})) for name, on in wanted.items() if on)


@dataclass(frozen=True, slots=True)
class Routing:
    """Which destination gets which result."""

    settings: Settings

    def goes_to(self, model: str, kind: ResultKind) -> tuple[str, ...]:
        """Return the names of the destinations that get this kind of this model."""
        own = self.settings.models.__pydantic_extra__.get(model)
        only = own.destinations if own is not None else ()
        return tuple(
            each.name
            for each in self.settings.destinations
            if kind.value in each.kinds and (not only or each.name in only)
        )

    def wants(self, job: Job, result: Result, destination: str, senders: Senders) -> bool:
        """Say whether this destination is to get this result; ``senders`` are asked if need be."""
        if destination not in self.goes_to(job.model, result.kind):
            return False
        given = next(each for each in self.settings.destinations if each.name == destination)
        return given.to == "all" or not senders().isdisjoint(titles(given))
