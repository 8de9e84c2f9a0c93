"""Everything that can be plugged in, on one page: name → where it is.

A part is imported only when it is used, so a plain install never imports what it does not have.
Other packages add parts by entry points (``lightbox.methods``, ``lightbox.writers``); a name that
two claim is an error that names both.

A new explanation method is one file in ``explain/methods/``, one line here, and one entry in
``tests/contracts/explainer.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points

from lightbox.domain.errors import ConfigurationError, UsageError
from lightbox.explain.plugin import GameMethod, MapMethod, Method, MethodCard
from lightbox.ports import ResultWriter

METHODS: Mapping[str, str] = {
    "grad_cam": "lightbox.explain.methods.grad_cam:METHOD",
    "grad_cam_plus_plus": "lightbox.explain.methods.grad_cam_plus_plus:METHOD",
    "xgrad_cam": "lightbox.explain.methods.xgrad_cam:METHOD",
    "layer_cam": "lightbox.explain.methods.layer_cam:METHOD",
    "hires_cam": "lightbox.explain.methods.hires_cam:METHOD",
    "eigen_grad_cam": "lightbox.explain.methods.eigen_grad_cam:METHOD",
    "shapley": "lightbox.explain.methods.shapley:METHOD",
    "shapley_exact": "lightbox.explain.methods.shapley_exact:METHOD",
    "occlusion": "lightbox.explain.methods.occlusion:METHOD",
}

WRITERS: Mapping[str, str] = {
    "secondary_capture": "lightbox.results.secondary_capture:SecondaryCapture",
    "mosaic": "lightbox.results.slices.mosaic:Mosaic",
    "one_slice": "lightbox.results.slices.one_slice:OneSlice",
    "segmentation": "lightbox.results.segmentation:Segmentation",
    "structured_report": "lightbox.results.structured_report:StructuredReport",
    "parametric_map": "lightbox.results.parametric_map:ParametricMap",
    "lesion": "lightbox.results.lesion.lesion_segmentation:LesionSegmentation",
    "key_object": "lightbox.results.pointing.rejection:Rejection",
    "key_images": "lightbox.results.pointing.key_images:KeyImages",
    "presentation_state": "lightbox.results.pointing.presentation_state:PresentationState",
}


def _load(where: str) -> object:
    module, _, name = where.partition(":")
    found: object = getattr(import_module(module), name)
    return found


def _all(group: str, ours: Mapping[str, str]) -> dict[str, str]:
    known = dict(ours)
    for point in entry_points(group=f"lightbox.{group}"):
        if point.name in known:
            raise ConfigurationError(
                f"{group} {point.name!r}",
                f"is claimed by {known[point.name]} and by {point.value}",
                "uninstall one of the two packages",
            )
        known[point.name] = point.value
    return known


def methods() -> dict[str, Method]:
    """Return every explanation method by name."""
    found: dict[str, Method] = {}
    for name, where in _all("methods", METHODS).items():
        method = _load(where)
        if not isinstance(method, MapMethod | GameMethod):
            raise ConfigurationError(
                f"method {name!r}", f"{where} is not a method", "see explain/plugin.py"
            )
        found[name] = method
    return found


def method_cards() -> tuple[MethodCard, ...]:
    """Return what ``lightbox methods`` prints."""
    return tuple(method.card for method in methods().values())


def writer(name: str) -> type[ResultWriter]:
    """Return the class of one kind of result.

    Raises
    ------
    UsageError
        If there is none of this name.
    """
    known = _all("writers", WRITERS)
    if name not in known:
        raise UsageError(f"result {name!r}", "is not known", f"known: {', '.join(known)}")
    found = _load(known[name])
    assert isinstance(found, type)
    return found
