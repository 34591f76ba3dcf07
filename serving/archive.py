"""The TorchServe archive (.mar) of one released package: a plain zip, the same bytes for the same content."""

import json
import os
import shutil
import uuid
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from imaging.atomic import sync_directory
from imaging.errors import ConfigurationError

MODEL_NAME = "chest-xray"
HANDLER = "chest_xray.py"
PACKAGE = "package"
TUNED = "serving.json"
TUNABLE = ("workers", "threads", "batch_size", "max_batch_delay_ms")
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerConfig:
    """How TorchServe runs the model: travels in the archive, so a restart keeps it."""

    workers: int = 1
    batch_size: int = 4
    max_batch_delay_ms: int = 5
    response_timeout_s: int = 60
    startup_timeout_s: int = 120
    threads: int = 0
    """Of each worker's network; as many as cores where 0."""

    def to_yaml(self) -> str:
        """TorchServe's `model-config.yaml`."""
        ours = f"handler:\n  threads: {self.threads}\n" if self.threads else ""
        fields = {
            "minWorkers": self.workers,
            "maxWorkers": self.workers,
            "batchSize": self.batch_size,
            "maxBatchDelay": self.max_batch_delay_ms,
            "responseTimeout": self.response_timeout_s,
            "startupTimeout": self.startup_timeout_s,
        }
        return "".join(f"{name}: {value}\n" for name, value in fields.items()) + ours


def worker_config(home: Path) -> WorkerConfig:
    """Return what `thorax serve tune` chose for this machine; the defaults where it did not run.

    Raises:
        ConfigurationError: the file is not what it wrote.
    """
    path = home / TUNED
    try:
        chosen = json.loads(path.read_text(encoding="utf-8"))["chosen"]
        return WorkerConfig(**{name: int(chosen[name]) for name in TUNABLE})
    except FileNotFoundError:
        return WorkerConfig()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"{TUNED} is not what `thorax serve tune` writes; run it again, or remove it"
        ) from error


def archive_name(version: str, digest: str) -> str:
    """`chest-xray-<version>-<first 12 hex digits of the digest>.mar`."""
    return f"{MODEL_NAME}-{version}-{digest.removeprefix('sha256:')[:12]}.mar"


def build_archive(
    package: Path,
    *,
    version: str,
    digest: str,
    store: Path,
    config: WorkerConfig = WorkerConfig(),
) -> Path:
    """Write the archive of a verified package into `store`; whole or absent, and equal when built again.

    Args:
        package: The model directory; it lies in the archive as `package/`, untouched.
        version: The registry's version, which is TorchServe's too.
        digest: The package's digest, which each worker checks again before it loads the package.
        store: TorchServe's model store; one writer at a time (the release lock), so what a kill left is removed.
        config: Workers, batches and time limits.
    """
    path = store / archive_name(version, digest)
    store.mkdir(parents=True, exist_ok=True)
    for left_behind in store.glob(f".{MODEL_NAME}-*.tmp"):
        left_behind.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, content in _small_files(version, digest, config).items():
                archive.writestr(_entry(name), content)
            for file in sorted(path for path in package.rglob("*") if path.is_file()):
                _copy(file, f"{PACKAGE}/{file.relative_to(package).as_posix()}", archive)
        _sync(temporary)
        temporary.replace(path)
        sync_directory(store)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def keep_only(folder: Path, names: Collection[str]) -> None:
    """Remove every archive or package of this model from `folder` except those named."""
    for path in folder.glob(f"{MODEL_NAME}-*"):
        if path.name in names:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _small_files(version: str, digest: str, config: WorkerConfig) -> dict[str, str]:
    manifest = {
        "createdOn": "01/01/1980 00:00:00",
        "runtime": "python",
        "archiverVersion": "0.12.0",
        "model": {
            "modelName": MODEL_NAME,
            "modelVersion": version,
            "handler": HANDLER,
            "configFile": "model-config.yaml",
            "digest": digest,
        },
    }
    return {
        "MAR-INF/MANIFEST.json": json.dumps(manifest, indent=2, sort_keys=True),
        HANDLER: (resources.files("serving.handlers") / HANDLER).read_text(encoding="utf-8"),
        "model-config.yaml": config.to_yaml(),
    }


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.external_attr = 0o644 << 16
    return entry


def _copy(file: Path, name: str, archive: zipfile.ZipFile) -> None:
    entry = _entry(name)
    entry.file_size = file.stat().st_size
    with file.open("rb") as source, archive.open(entry, "w") as target:
        shutil.copyfileobj(source, target, 1024 * 1024)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
