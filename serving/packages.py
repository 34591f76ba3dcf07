"""The model package of a version: fetched, and shown to be the registered one and free of code before it is used."""

from pathlib import Path

from imaging.errors import ModelPackageError
from imaging.models.directory import verify_package
from imaging.models.manifest import code_problems
from serving.archive import archive_name
from serving.parties import Versions


def verify_for_serving(package: Path, digest: str) -> None:
    """Check a package before anything of it is loaded, by its files' names and by their content.

    Raises:
        ModelPackageError: it is not the package that `digest` names, or a file of it could run code.
    """
    verify_package(package, digest)
    if problems := code_problems(package):
        raise ModelPackageError(f"the model package is not safe to load: {'; '.join(problems)}")


def fetch_package(registry: Versions, folder: Path, *, version: str, digest: str) -> Path:
    """Download and verify a package into `folder`, or use the verified one of an earlier try.

    Raises:
        ModelPackageError: what the registry holds is not fit to be served.
    """
    package = folder / archive_name(version, digest).removesuffix(".mar")
    if package.is_dir():
        try:
            verify_for_serving(package, digest)
        except ModelPackageError:
            package = registry.download(version, package)
        else:
            return package
    else:
        package = registry.download(version, package)
    verify_for_serving(package, digest)
    return package
