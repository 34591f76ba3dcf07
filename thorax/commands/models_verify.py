"""`thorax models verify`: whether a trusted party signed a package as it is."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thorax.console import emit

if TYPE_CHECKING:
    from imaging.settings import Settings

Model = Annotated[str, typer.Argument(help="A model directory, or the number of a registered version.")]
PublicKey = Annotated[
    Path | None, typer.Option("--public-key", exists=True, dir_okay=False, help="PEM; else the home's own.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


def verify(model: Model, public_key: PublicKey = None, as_json: Json = False) -> None:
    """Check a package's signature, digests and files; exits 1 when it is not as its signer left it."""
    from imaging.errors import ModelPackageError
    from imaging.settings import Settings

    settings = Settings()
    if public_key is not None:
        settings = settings.model_copy(update={"signing": "key", "signature_key": public_key})
    try:
        found = _check(model, settings)
    except ModelPackageError as error:
        emit(
            {"model": model, "verified": False, "code": error.code, "problem": str(error)},
            as_json=as_json,
            text=f"{model} does not verify: {error}",
        )
        raise typer.Exit(1) from error
    lines = [
        f"{model} verifies: every file is as it was signed",
        *(f"{name:<10} {text}" for name, text in found.items()),
    ]
    emit({"model": model, "verified": True, **found}, as_json=as_json, text="\n".join(lines))


def _check(model: str, settings: "Settings") -> dict[str, str]:
    """Verify a directory against itself, or a version against what was registered; return what was verified by whom."""
    from imaging.errors import NotFoundError
    from imaging.models.directory import package_digest
    from imaging.models.signing_key import fingerprint, public_key_path
    from serving.packages import verify_for_serving
    from thorax.commands.models import sign_in

    if Path(model).is_dir():
        digest = package_digest(Path(model))
        verify_for_serving(Path(model), digest, settings)
    elif model.isdigit():
        registry, _ = sign_in("trainer")
        digest = registry.get(model).tags.get("package.digest", "")
        with tempfile.TemporaryDirectory() as scratch:
            verify_for_serving(registry.download(model, Path(scratch) / "model"), digest, settings)
    else:
        raise NotFoundError(f"no model directory {model}; give a folder, or the number of a registered version")
    by = str(fingerprint(public_key_path(settings))) if settings.signing == "key" else settings.signing
    return {"digest": digest, "signed by": by}
