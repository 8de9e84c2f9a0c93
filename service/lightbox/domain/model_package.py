"""What a model package promises: the manifest ``model.toml`` as values.

Key names are those of the file. A wrong value is reported by :mod:`lightbox.infer.packages` in one
line that names the key, what was found and what was expected.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from lightbox.domain.findings import complaint_of


class Table(BaseModel):
    """A table of the manifest: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Accepts(Table):
    """Which instances the model may be run on."""

    modality: tuple[str, ...]
    """Modality (0008,0060), any of these."""
    sop_class_uid: tuple[str, ...] = ()
    """SOP Class UIDs; empty: every image storage class of the modality."""
    body_part: tuple[str, ...] = ()
    """BodyPartExamined (0018,0015), any of these; empty: any."""
    body_part_missing: Literal["accept", "refuse"] = "accept"
    """What to do where the source states no body part; accepted ones say so on the picture."""
    age_years: tuple[int, ...] = ()
    """Youngest and oldest patient, completed years: Patient's Age (0010,1010), or from birth date
    and study date where none is stated; empty: any."""
    age_missing: Literal["accept", "refuse"] = "accept"
    """What to do where the source states no age; accepted ones say so on the picture."""
    description_refuses: tuple[str, ...] = ()
    """Words in study, series or protocol description that rule the model out (any case)."""
    description_expects: tuple[str, ...] = ()
    """Words one of which names the sequence or view that the model knows; where none of them stands
    in a description, the picture says so."""
    image_type_refuses: tuple[str, ...] = ()
    """Values of ImageType (0008,0008) that rule the model out."""
    min_rows: int = 32
    """Smallest Rows and Columns."""
    samples_per_pixel: tuple[int, ...] = (1,)
    """Samples per Pixel (0028,0002), any of these."""

    @field_validator("age_years")
    @classmethod
    def _from_young_to_old(cls, ages: tuple[int, ...]) -> tuple[int, ...]:
        if ages and (len(ages) != 2 or not 0 <= ages[0] <= ages[1]):
            raise ValueError("expected the youngest and the oldest, or nothing for any")
        return ages


class Preprocessing(Table):
    """From stored pixels to the network's input tensor."""

    size: tuple[int, int]
    """Height and width of the input, pixels."""
    channels: int = 1
    """1 = grey, 3 = grey repeated."""
    percentiles: tuple[
        Annotated[float, Field(ge=0, lt=50)], Annotated[float, Field(gt=50, le=100)]
    ] = (0.5, 99.5)
    """Percentiles of the frame that become 0 and 1 (independent of window values and bits)."""
    levels: tuple[float, float] | None = None
    """In place of ``percentiles``: values after the modality LUT that become 0 and 1, such as -160
    and 240 Hounsfield units. Only where values have a unit, as in CT."""
    fit: Literal["pad", "crop", "stretch", "spacing"] = "pad"
    """How the frame is placed: pad, the whole of it with borders; crop, its middle, which fills
    the input; stretch, all, its shape not kept; spacing, in millimetres, its centre in the middle,
    what does not fit cut off: a source without Pixel Spacing is refused then."""
    spacing: tuple[float, float] | None = None
    """Millimetres between rows and between columns of the input; only with ``fit = "spacing"``."""
    mean: tuple[float, ...] = (0.0,)
    """Subtracted, per channel, from levels of 0 to 1 (not of 0 to 255)."""
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)
    """Divided by, per channel."""
    graph_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of ``preprocess.onnx``, which then stands between all this and the network."""

    @model_validator(mode="after")
    def _measured(self) -> Self:
        if (self.fit == "spacing") != (self.spacing is not None):
            raise ValueError(
                f'preprocessing.spacing: goes with fit = "spacing", found {self.spacing} with '
                f'fit = "{self.fit}"'
            )
        if self.spacing is not None and not min(self.spacing) > 0:
            raise ValueError(f"preprocessing.spacing: expected millimetres, found {self.spacing}")
        if min(*self.mean, *self.std) > 1:
            said = f"preprocessing: mean {self.mean} and std {self.std}"
            raise ValueError(f"{said}: here they are of levels from 0 to 1: divide them by 255")
        if self.levels is not None and not self.levels[0] < self.levels[1]:
            raise ValueError(
                f"preprocessing.levels: expected the lower one first, found {self.levels}"
            )
        return self


class Code(Table):
    """A coded concept (PS3.3 section 8)."""

    scheme: str
    value: str
    meaning: str


_BEYOND_LATIN = "\u0180"
"""First letter after Latin Extended-A."""


class Finding(Table):
    """One output class."""

    name: str
    """Name used in files and metrics: lower case, underscores."""
    label: str
    """Words on the picture."""
    code: Code
    """The finding as a coded concept, for SEG and SR."""
    threshold: float = Field(default=0.5, ge=0, le=1)
    """Calibrated confidence at which the finding counts as present."""
    critical: bool = False
    """A confident one raises the urgency of its study."""
    negative: bool = False
    """True for the class that says that nothing was found (``normal``)."""
    segment: Code | None = None
    """Segmentation models: what its outline is coded as in the SEG (CID 7159), such as Neoplasm;
    without it the finding's own code."""

    @property
    def words(self) -> str:
        """The label where pictures have its letters, which are Latin, else its code's meaning."""
        is_latin = all(letter < _BEYOND_LATIN or not letter.isalpha() for letter in self.label)
        return self.label if is_latin else self.code.meaning


class Calibration(Table):
    """How logits become probabilities."""

    temperature: float = Field(default=1.0, gt=0.0)
    """Logits are divided by this (Guo et al. 2017, arXiv 1706.04599)."""
    audit_below: float = Field(default=0.85, ge=0.0, le=1.0)
    """Calibrated confidence under which the audit is asked for."""


FastMethod = Literal["grad_cam", "grad_cam_plus_plus", "xgrad_cam", "layer_cam", "hires_cam"]
"""Class-activation maps that can be part of a network's graph, so that they cost nothing."""

FAST_METHODS: tuple[FastMethod, ...] = get_args(FastMethod)

Baseline = Literal["blur", "mean", "zero", "inpaint", "background", "lesion_free"]
"""What can stand where a region is absent."""

BASELINES: tuple[Baseline, ...] = get_args(Baseline)

RANDOMISATION_LIMIT = 0.5
"""Rank correlation above which a map is said not to depend on what the network learned."""


FEWEST_MASKS = 4
"""Images with masks under which nothing is said about where a model's maps lie."""

_HITS = 0.5
_TIMES_CHANCE = 2.0


def misses(images: int, pointing_game: float, mass: float, chance: float) -> str:
    """Say why maps miss the lesion; "" where they do not.

    A map whose maximum lies beside the lesion in most images, or that lies in it hardly more than
    an even one would, does not show where the finding is.

    Parameters
    ----------
    images : int
        With masks.
    pointing_game, mass : float
        Share of maxima inside the mask; mean share of the positive map inside.
    chance : float
        Mean share of the image that the masks cover: what ``mass`` is of an even map.
    """
    if pointing_game >= _HITS and mass >= min(_TIMES_CHANCE * chance, _HITS):
        return ""
    return (
        f"its maps miss the lesion: their maximum lies in it in {pointing_game:.0%} of {images} "
        f"images, {mass:.0%} of them inside, {chance:.0%} by chance"
    )


class Measured(Table):
    """What ``models check --measure`` found of one map; the card says on which images."""

    method: str
    """As ``lightbox methods`` names it."""
    images: int = Field(ge=1)
    """On how many images."""
    pointing_game: float | None = None
    """Share of maxima inside the mask; absent where there are no masks."""
    mass: float | None = None
    """Mean share of the positive map inside the mask; absent where there are no masks."""
    chance: float | None = None
    """Mean share of the images that the masks cover; absent where there are no masks."""
    insertion: float
    """Mean of v while the highest regions come first, minus the same for random orders."""
    deletion: float
    """Mean of v while the highest regions go first, minus the same for random orders."""
    randomisation: float
    """Rank correlation of the map with that of the same network with random weights."""

    @property
    def unfit(self) -> str:
        """Why it must not be the default; "" where nothing speaks against it."""
        if self.randomisation > RANDOMISATION_LIMIT:
            return (
                f"its map does not depend on what the network learned: it is still like that of "
                f"random weights (rank correlation {self.randomisation:.2f}, "
                f"at most {RANDOMISATION_LIMIT})"
            )
        if self.insertion <= self.deletion:
            return "its order of the regions is no more faithful than chance"
        return ""

    @property
    def misses(self) -> str:
        """Why its maps are not fit to be shown; "" where they are, or where nobody knows."""
        overlap = self.pointing_game, self.mass, self.chance
        if self.images < FEWEST_MASKS or None in overlap:
            return ""
        return misses(self.images, *(value or 0.0 for value in overlap))

    @property
    def merit(self) -> float:
        """Overlap and faithfulness in one number: what the default is chosen by.

        Mean of pointing game and mass (where there are masks), plus insertion minus deletion.
        """
        overlap = [value for value in (self.pointing_game, self.mass) if value is not None]
        return (sum(overlap) / len(overlap) if overlap else 0.0) + self.insertion - self.deletion


class Explanation(Table):
    """How the model is explained."""

    method: FastMethod = "grad_cam"
    """The fast map: part of the network's graph, sent with every prediction."""
    target_layer: str = ""
    """Tensor name in the graph; empty: the last one with spatial extent."""
    layer_layout: Literal["map", "tokens", "volume"] = "map"
    """How the target layer is read: channels x rows x columns; tokens of a transformer; channels
    x depth x rows x columns of a 3-D network, whose map is the highest value along the depth."""
    baseline: Baseline = "blur"
    """What stands where a region is absent: the image blurred; its mean; the level that
    normalisation subtracted; each region filled from its edge; the mean of the package's background
    images; patches of them that show no lesion."""
    second_baseline: Baseline | Literal[""] = "mean"
    """Where it is another one, an audit also says how the order of the regions changes with it."""
    background_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of ``background.npz``, for the baselines that need it."""
    baseline_cells: int = Field(default=6, ge=1)
    """Blur only: the image is averaged over this many cells per side and interpolated back."""
    regions: Literal["grid", "superpixels"] = "grid"
    """How the players are made: even cells, or superpixels (SLIC) that grow from them."""
    grid: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] = (4, 3)
    """Rows and columns of the grid; the product is the number of players."""
    link: Literal["probability", "log_odds"] = "probability"
    """Scale of v(S)."""
    not_shown: str = ""
    """Why no map is sent unless the site insists; written by ``models check`` where the maps miss
    the lesions of the samples."""
    failure_modes: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """How explanations of this model are known to mislead: method, or "any" → sentences, which
    every picture by that method carries."""
    measured: tuple[Measured, ...] = ()
    """What the choice of ``method`` rests on; written by ``models check --measure --write``."""


class KnownRange(Table):
    """Which images the network knows: those whose features lie near those of its training."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of ``range.npz``, in which the features' means and spread are."""
    layer: str = ""
    """Tensor whose mean and spread over the picture are the features; empty: the target layer."""
    threshold: float = Field(gt=0.0)
    """Distance beyond which an image is outside."""
    images: int = Field(ge=1)
    """Validation images that the threshold was set on."""
    data: str
    """Which images those were, and what share of them lies outside."""


class Metric(Table):
    """One measured figure of the card."""

    name: str
    value: float
    data: str
    """The data and split that it was measured on."""


class ModelPackage(Table):
    """The whole manifest."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,31}$")]
    version: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """SHA-256 of ``weights.onnx``."""
    task: Literal["classification", "segmentation"] = "classification"
    """What the network answers: a logit per finding, or the outline of one."""
    unit: Literal["instance", "series"] = "instance"
    """What one job looks at."""
    demonstration: str = ""
    """Of a package that shows how something is done and claims nothing: why, such as "learned from
    16 images". It is served only where ``[models] enabled`` names it, and its pictures say so."""
    intended_use: str
    licence: str
    citation: str
    attribution: str = ""
    accepts: Accepts
    preprocessing: Preprocessing
    findings: tuple[Finding, ...] = Field(min_length=1)
    """In the order of the network's outputs; of a segmentation model what it outlines, then the
    negative one that says that there is none."""
    calibration: Calibration = Calibration()
    explanation: Explanation = Explanation()
    range: KnownRange | None = None
    """Absent: the network answers every image that its other rules let through."""
    metrics: tuple[Metric, ...] = ()
    _site_thresholds: dict[str, float] = PrivateAttr(default_factory=dict)
    _site_shows_all_maps: bool = PrivateAttr(default=False)
    _signer: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [finding.name for finding in self.findings]
        wrong = complaint_of(self.task, names, [finding.negative for finding in self.findings])
        if wrong:
            raise ValueError(wrong)
        channels = self.preprocessing.channels
        for key in ("mean", "std"):
            found = len(getattr(self.preprocessing, key))
            if found not in (1, channels):
                raise ValueError(
                    f"preprocessing.{key}: expected one per channel ({channels}), found {found}"
                )
        if self.explanation.baseline in {"background", "lesion_free"} and not (
            self.explanation.background_sha256
        ):
            raise ValueError(
                f"explanation.background_sha256: expected the digest of background.npz for the "
                f"baseline {self.explanation.baseline}, found none"
            )
        chosen = self.explanation.method
        for measured in self.explanation.measured:
            if measured.method == chosen and measured.unfit:
                raise ValueError(f"explanation.method: {chosen} is unfit: {measured.unfit}")
        return self

    @property
    def signer(self) -> str:
        """Who signed the package, where the site asks for signatures; else ""."""
        return self._signer

    @property
    def site_thresholds(self) -> Mapping[str, float]:
        """The site's own thresholds by finding: never of the file, every prediction states them."""
        return self._site_thresholds

    @property
    def site_shows_all_maps(self) -> bool:
        """Whether the site wants maps that are not fit to be shown."""
        return self._site_shows_all_maps

    @property
    def shows_maps(self) -> bool:
        """Whether its maps are sent: they are fit to be shown, or the site wants them anyway."""
        return not self.explanation.not_shown or self._site_shows_all_maps

    def at_site(self, thresholds: Mapping[str, float], *, all_maps: bool = False) -> Self:
        """Return the package as a site runs it, with its own thresholds beside the stated ones."""
        made = self.model_copy()
        made._site_thresholds = dict(thresholds)  # noqa: SLF001  # of its own class
        made._site_shows_all_maps = all_maps  # noqa: SLF001
        return made

    def signed_by(self, signer: str) -> Self:
        """Return the package with the name of who signed it: no file can say that of itself."""
        made = self.model_copy()
        made._signer = signer  # noqa: SLF001  # of its own class
        return made

    def finding(self, index: int) -> Finding:
        """Return the finding of output ``index``."""
        return self.findings[index]
