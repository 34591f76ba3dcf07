"""The model package of a version: fetched, and before its use shown to be the registered one, signed, free of code."""

from pathlib import Path

from imaging.errors import ModelPackageError
from imaging.models.directory import verify_package
from imaging.models.manifest import code_problems
from imaging.models.signature import verify_signature
from imaging.settings import Settings
from serving.archive import archive_name
from serving.parties import Versions


def verify_for_serving(package: Path, digest: str, settings: Settings | None = None) -> None:
    """Check a package before anything of it is loaded: its files' names, their content, and who signed them.

    Args:
        package: The model directory.
        digest: Of the released package.
        settings: Say whose signature is trusted; this process's where absent, as in the handler of an older archive.

    Raises:
        ModelPackageError: it is not the package that `digest` names, or a file of it could run code.
        SignatureError: nobody who is trusted signed it.
    """
    verify_package(package, digest)
    if problems := code_problems(package):
        raise ModelPackageError(f"the model package is not safe to load: {'; '.join(problems)}")
    verify_signature(package, settings or Settings())


def fetch_package(registry: Versions, folder: Path, *, version: str, digest: str, settings: Settings) -> Path:
    """Download and verify a package into `folder`, or use the verified one of an earlier try.

    Raises:
        ModelPackageError: what the registry holds is not fit to be served.
    """
    package = folder / archive_name(version, digest).removesuffix(".mar")
    if package.is_dir():
        try:
            verify_for_serving(package, digest, settings)
        except ModelPackageError:
            package = registry.download(version, package)
        else:
            return package
    else:
        package = registry.download(version, package)
    verify_for_serving(package, digest, settings)
    return package
