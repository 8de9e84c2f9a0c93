"""``lightbox models``: which model packages there are, and whether they keep their promises."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import click

from lightbox.app.models_in_force import in_force
from lightbox.cli.asking import have_done, request
from lightbox.cli.display import show_json, show_table
from lightbox.cli.invocation import Invocation
from lightbox.domain.errors import UsageError
from lightbox.domain.model_package import ModelPackage
from lightbox.infer.packages import LoadedPackage, find, load
from lightbox.infer.signatures.signed import signature_check
from lightbox.tools.map_measures import Onboarding


@click.group(epilog="Example: lightbox models check models/brain_tumour_mri")
def models() -> None:
    """Begin, list, check and measure model packages (folders with model.toml and weights.onnx)."""


@models.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--onnx",
    required=True,
    type=click.Path(path_type=Path),
    help="The network, with a dynamic batch axis and its logits as the only output.",
)
@click.option(
    "--preprocess",
    type=click.Path(path_type=Path),
    help="A graph that is to run before it: what the manifest cannot express.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def new(folder: Path, onnx: Path, preprocess: Path | None, *, as_json: bool) -> None:
    """Begin a package from an ONNX file: write what it says, and what a person must fill in."""
    from lightbox.tools.model_skeleton import begin

    begun = begin(folder, onnx, preprocess)
    if as_json:
        show_json(
            {
                "folder": str(begun.folder),
                "read": dict(begun.read.lines),
                "fill_in": [{"where": where, "what": what} for where, what in begun.to_fill_in],
            }
        )
        return
    show_table(("Read", "Answer"), begun.read.lines)
    show_table(("Fill in", "What"), begun.to_fill_in)


@models.command("bench")
@click.argument("folder", metavar="DIR")
@click.option(
    "--rounds", type=click.IntRange(1), default=40, show_default=True, help="Paired rounds."
)
@click.option(
    "--image",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A DICOM file to measure with; else the first of the samples.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Write the figures here."
)
@click.pass_obj
def bench_(
    invocation: Invocation, folder: str, rounds: int, image: Path | None, json_file: Path | None
) -> None:
    """Measure one image from file to map against bare onnxruntime on the ready tensor.

    Says, too, whether int8 would leave findings (99 %) and maps (rank correlation .98) as they are.
    """
    from lightbox.cli.bench import finish
    from lightbox.tools.bench.fast import bench_whole

    settings = invocation.settings()
    where = _folder(folder, Path(settings.models.path))
    finish(bench_whole(settings, load(where), rounds, image), json_file)


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_(invocation: Invocation, *, as_json: bool) -> int:
    """List the packages under ``[models] path``; exit 1 if one cannot be served."""
    settings = invocation.settings()
    chosen = settings.models
    signatures = signature_check(chosen)
    installed = find(Path(chosen.path), chosen.enabled, signatures=signatures)
    found = in_force(Path(settings.data_dir), installed, signatures).found
    if as_json:
        served = [_described(each) for each in found.packages]
        problems = [str(problem) for problem in found.problems]
        asleep = list(found.demonstrations)
        show_json(
            {
                "path": chosen.path,
                "models": served,
                "problems": problems,
                "demonstrations": asleep,
            }
        )
    else:
        columns = ("Name", "Version", "Modality", "Unit", "Findings", "Size")
        show_table(columns, [_row(each) for each in found.packages])
        for problem in found.problems:
            click.echo(str(problem), err=True)
        for name in found.demonstrations:
            said = "a demonstration, served only where [models] enabled names it"
            click.echo(f"{name}: {said}", err=True)
        if not found.packages and not found.problems:
            click.echo(f"no model package under {chosen.path}", err=True)
    return 0 if found.packages and not found.problems else 1


@models.command()
@click.argument("folder", metavar="DIR")
@click.option("--measure", is_flag=True, help="Measure every map and baseline too.")
@click.option(
    "--images",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Measure on these DICOM files, NAME.mask.png beside NAME.dcm; else on the samples.",
)
@click.option("--write-expected", is_flag=True, help="First write what the samples give.")
@click.option("--write", is_flag=True, help="Write table and best map into the manifest.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def check(
    invocation: Invocation,
    folder: str,
    *,
    measure: bool,
    images: Path | None,
    write: bool,
    write_expected: bool,
    as_json: bool,
) -> int:
    """Check a package: manifest, digest, graph, card, and the scores of its samples.

    DIR is a folder, or the name of a package under ``[models] path``. Exit 1 if a check fails.
    """
    from lightbox.tools.model_check import check_package, measure_package, write_measured
    from lightbox.tools.model_check import write_expected as write_answers

    settings = invocation.settings()
    where = _folder(folder, Path(settings.models.path))
    if write_expected:
        count = write_answers(where, settings)
        click.echo(f"{where}: expected.json has {count} samples", err=True)
    lines = check_package(where, settings)
    passed = all(line.passed for line in lines)
    answer: dict[str, object] = {"ok": passed, "checks": [asdict(line) for line in lines]}
    if not as_json:
        rows = [("ok" if each.passed else "FAILED", each.question, each.answer) for each in lines]
        show_table(("Result", "Question", "Answer"), rows)
    if passed and (measure or write):
        found = measure_package(where, images, settings)
        answer["maps"] = [{**each.model_dump(), "unfit": each.unfit} for each in found.maps]
        answer["randomisation"] = dict(found.randomisation)
        answer["evidence_left"] = dict(found.baselines)
        answer["best"] = found.best.method if found.best else None
        if not as_json:
            _show_measured(found)
        if write:
            click.echo(f"{where}: the fast map is {write_measured(where, found)}", err=True)
    if as_json:
        show_json(answer)
    return 0 if passed else 1


@models.command("range")
@click.argument("folder", metavar="DIR")
@click.option(
    "--images",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="DICOM files of images that the network learned from.",
)
@click.option(
    "--validation",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="DICOM files of other images that it should know: the limit is set on them.",
)
@click.option("--layer", default="", help="Tensor whose features are taken; else the last one.")
@click.pass_obj
def range_(invocation: Invocation, folder: str, images: Path, validation: Path, layer: str) -> None:
    """Learn which images the network knows: others get no answer from it."""
    from lightbox.tools.model_check import learn_range
    from lightbox.tools.model_range import write_range

    settings = invocation.settings()
    where = _folder(folder, Path(settings.models.path))
    found = learn_range(where, images, validation, settings, layer)
    write_range(where, found, f"{validation.name}, 99.5 % of {found.images} images are inside")
    click.echo(f"{where}: images farther than {found.threshold:g} get no answer", err=True)


@models.command("use")
@click.argument("name")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, path_type=Path))
@click.pass_obj
def use_(invocation: Invocation, name: str, folder: Path) -> int:
    """Replace a served model by another version of it, in the running service.

    DIR is checked and copied into data_dir. No study is lost: images are accepted meanwhile, jobs
    of the old version end with it. Who asked for it is in the ledger.
    """
    asked = replace(request("use", name), detail=str(folder.resolve()))
    return have_done(invocation, asked)


@models.command()
@click.argument("name")
@click.pass_obj
def rollback(invocation: Invocation, name: str) -> int:
    """Serve the version of a model again that ``models use`` replaced."""
    return have_done(invocation, request("rollback", name))


def _show_measured(found: Onboarding) -> None:
    columns = ("Map", "Hit", "Mass", "Insertion", "Deletion", "Random weights", "Unfit")
    show_table(
        columns,
        [
            (
                f"{each.method} (best)" if each == found.best else each.method,
                *(
                    "-" if value is None else f"{value:.2f}"
                    for value in (each.pointing_game, each.mass)
                ),
                *(f"{value:+.3f}" for value in (each.insertion, each.deletion, each.randomisation)),
                each.unfit,
            )
            for each in sorted(found.maps, key=lambda each: -each.merit)
        ],
    )
    left = sorted(found.baselines.items(), key=lambda item: item[1])
    rows = [(kind, f"{share:.2f}") for kind, share in left]
    show_table(("Baseline", "Evidence left of 1"), rows)


def _folder(given: str, root: Path) -> Path:
    for folder in (Path(given), root / given):
        if folder.is_dir():
            return folder
    raise UsageError(
        f"model package {given!r}", f"is no folder here and none under {root}", "name a folder"
    )


def _row(loaded: LoadedPackage) -> tuple[object, ...]:
    package = loaded.package
    return (
        package.name,
        package.version,
        ", ".join(package.accepts.modality),
        package.unit,
        ", ".join(finding.name for finding in package.findings),
        f"{len(loaded.weights) / 2**20:.1f} MiB",
    )


def _described(loaded: LoadedPackage) -> dict[str, object]:
    package: ModelPackage = loaded.package
    said = package.model_dump(mode="json")
    return {"folder": str(loaded.folder), "signer": loaded.signer, **said}
