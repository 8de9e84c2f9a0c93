"""A package counts as signed only as the real signing program signed it, by whom the site names."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lightbox.domain.errors import ConfigurationError, ModelPackageError
from lightbox.infer.packages import CARD, MANIFEST, load
from lightbox.infer.signatures.signed import SIGNATURE, SignatureCheck, signature_check
from lightbox.settings import ModelSettings
from packages import a_package_folder
from signing import FOR_SIGNING, Certified, a_key, openssl, signed_by_certificate, signed_by_key


def asked_for(*pem: Path) -> SignatureCheck:
    """Return what a site asks for that names these files in one."""
    together = pem[0].with_name("signed_by.pem")
    together.write_bytes(b"\n".join(path.read_bytes() for path in pem))
    found = signature_check(ModelSettings.model_validate({"signed_by": str(together)}))
    assert found is not None
    return found


def refusal(folder: Path, check: SignatureCheck) -> str:
    with pytest.raises(ModelPackageError) as caught:
        load(folder, check)
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Sequence[tuple[Path, Path]]:
    root = tmp_path_factory.mktemp("keys")
    return [a_key(root, "ours"), a_key(root, "theirs", "secp384r1")]


@pytest.fixture(scope="module")
def original(
    tmp_path_factory: pytest.TempPathFactory, keys: Sequence[tuple[Path, Path]]
) -> tuple[Path, SignatureCheck]:
    folder = a_package_folder(tmp_path_factory.mktemp("models"))
    (folder / "samples" / "one.txt").write_text("a sample")
    signed_by_key(folder, keys[0][0])
    return folder, asked_for(keys[1][1], keys[0][1])


@pytest.fixture
def package(tmp_path: Path, original: tuple[Path, SignatureCheck]) -> tuple[Path, SignatureCheck]:
    """A copy that may be spoilt."""
    folder = tmp_path / "small"
    for path in original[0].rglob("*"):
        if path.is_file():
            there = folder / path.relative_to(original[0])
            there.parent.mkdir(parents=True, exist_ok=True)
            there.write_bytes(path.read_bytes())
    return folder, original[1]


def test_what_the_real_program_signed_with_a_key_is_taken_and_its_signer_named(
    package: tuple[Path, SignatureCheck],
) -> None:
    folder, check = package
    (folder / ".gitattributes").write_text("*.onnx -text")  # the program leaves it out, too

    loaded = load(folder, check)

    hint = json.loads((folder / SIGNATURE).read_text())["verificationMaterial"]["publicKey"]["hint"]
    assert loaded.signer == f"key {hint[:16]}"
    assert load(folder).signer == ""


def test_a_larger_curve_goes_with_its_own_hash(tmp_path: Path) -> None:
    private, public = a_key(tmp_path, "key", "secp521r1")
    folder = a_package_folder(tmp_path)
    signed_by_key(folder, private)

    assert load(folder, asked_for(public)).signer.startswith("key ")


def added(folder: Path) -> None:
    (folder / "samples" / "more.dcm").write_bytes(b"x")


def removed(folder: Path) -> None:
    (folder / "samples" / "one.txt").unlink()


def changed(folder: Path) -> None:
    (folder / "samples" / "one.txt").write_text("another sample")


def linked(folder: Path) -> None:
    one = folder / "samples" / "one.txt"
    one.rename(folder.parent / "one.txt")
    one.symlink_to(folder.parent / "one.txt")


def unsigned(folder: Path) -> None:
    (folder / SIGNATURE).unlink()


def cut_off(folder: Path) -> None:
    path = folder / SIGNATURE
    path.write_bytes(path.read_bytes()[:-40])


def of_another_kind(folder: Path) -> None:
    path = folder / SIGNATURE
    path.write_text(path.read_text().replace("bundle.v0.3+json", "bundle.v0.9+json"))


def reworded(folder: Path) -> None:
    """Change a file, and what the bundle says of it."""
    changed(folder)
    path = folder / SIGNATURE
    bundle = json.loads(path.read_text())
    statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    (entry,) = (e for e in statement["predicate"]["resources"] if e["name"] == "samples/one.txt")
    entry["digest"] = "0" * 64
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
    path.write_text(json.dumps(bundle))


def keyless(folder: Path) -> None:
    path = folder / SIGNATURE
    bundle = json.loads(path.read_text())
    bundle["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}
    path.write_text(json.dumps(bundle))


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (added, "samples/more.dcm: was added: nobody signed it"),
        (removed, "samples/one.txt: is missing: it was signed with the package"),
        (changed, "samples/one.txt: was changed: its SHA-256 is "),
        (linked, "samples/one.txt: is no file of its own"),
        (unsigned, "model.sig: is missing: models.signed_by asks for signed packages"),
        (cut_off, "model.sig: is no signature of model_signing 1.0"),
        (
            of_another_kind,
            "model.sig: is no signature of model_signing 1.0 by key or certificate: m",
        ),
        (reworded, "model.sig: is no signature by key "),
        (keyless, "model.sig: is signed by neither key nor certificate"),
    ],
)
def test_what_is_not_as_it_was_signed_is_refused_in_one_line(
    package: tuple[Path, SignatureCheck], spoil: Callable[[Path], None], expected: str
) -> None:
    folder, check = package
    spoil(folder)

    assert expected in refusal(folder, check)


def test_another_key_does_not_count(
    package: tuple[Path, SignatureCheck], keys: Sequence[tuple[Path, Path]]
) -> None:
    assert "is signed by another key, " in refusal(package[0], asked_for(keys[1][1]))


@pytest.mark.parametrize("name", [MANIFEST, CARD])
def test_a_file_that_changes_between_proof_and_reading_is_refused(
    package: tuple[Path, SignatureCheck], name: str
) -> None:
    folder, check = package

    def slow(where: Path) -> object:
        proven = check(where)
        (where / name).write_bytes((where / name).read_bytes() + b"\n")
        return proven

    assert f"{name}: was changed while it was read" in refusal(folder, slow)  # type: ignore[arg-type]  # what it returns is what it got


def test_a_signers_certificate_from_the_named_authority_counts_and_others_do_not(
    tmp_path: Path,
) -> None:
    ours = Certified.made(tmp_path / "ours", "ours")
    theirs = Certified.made(tmp_path / "theirs", "theirs")
    folder = a_package_folder(tmp_path)
    signed_by_certificate(folder, ours)

    assert load(folder, asked_for(theirs.root, ours.root)).signer.startswith("CN=ours leaf (cert")
    assert load(folder, asked_for(ours.certificate)).signer.startswith("CN=ours leaf (cert")
    assert "comes from nobody trusted here" in refusal(folder, asked_for(theirs.root))
    assert "comes from nobody trusted here" in refusal(folder, asked_for(theirs.certificate))
    key = a_key(tmp_path, "key")[1]
    assert "no certificate is trusted here" in refusal(folder, asked_for(key))


def test_a_certificate_that_is_not_for_signing_does_not_count(tmp_path: Path) -> None:
    server = Certified.made(tmp_path / "server", "server", "keyUsage=critical,keyEncipherment")
    folder = a_package_folder(tmp_path)
    signed_by_certificate(folder, server)

    assert "whose certificate is not for signing" in refusal(folder, asked_for(server.root))


def test_a_leaf_does_not_make_signers(tmp_path: Path) -> None:
    """Whoever may sign may not let others sign."""
    ours = Certified.made(tmp_path / "ours", "ours")
    key = a_key(tmp_path, "forger")[0]
    forged = tmp_path / "forger.pem"
    openssl(
        *("req", "-new", "-x509", "-days", "9", "-subj", "/CN=forger", "-key", key),
        *("-CA", ours.certificate, "-CAkey", ours.key, "-addext", FOR_SIGNING, "-out", forged),
    )
    both = tmp_path / "both.pem"
    both.write_bytes(ours.certificate.read_bytes() + ours.chain.read_bytes())
    folder = a_package_folder(tmp_path)
    signed_by_certificate(folder, Certified(key, forged, both, ours.root))

    assert "comes from nobody trusted here" in refusal(folder, asked_for(ours.root))


def test_a_site_that_names_no_file_asks_for_no_signature() -> None:
    assert signature_check(ModelSettings()) is None


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda path: path.write_text("nothing"), "holds nothing that packages are signed by"),
        (
            lambda path: openssl("genpkey", "-algorithm", "ed25519", "-out", path),
            "holds a private key",
        ),
        (lambda path: path.mkdir(), "cannot be read: is a directory"),
    ],
)
def test_a_file_that_says_whose_signatures_count_is_refused_where_it_does_not(
    tmp_path: Path, make: Callable[[Path], object], expected: str
) -> None:
    make(tmp_path / "key.pem")
    settings = ModelSettings.model_validate({"signed_by": str(tmp_path / "key.pem")})

    with pytest.raises(ConfigurationError, match=expected):
        signature_check(settings)
