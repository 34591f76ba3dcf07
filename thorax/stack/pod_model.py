"""The model of a serving pod: fetched, verified and laid where TorchServe looks before it starts; and tried after."""

import logging
import os
import shutil
import threading
import uuid
from pathlib import Path

from imaging.errors import ConfigurationError, NotFoundError, ServiceError
from imaging.registry import Registry
from imaging.settings import Settings
from serving.archive import archive_name, build_archive, worker_config
from serving.client import ChestXrayClient
from serving.packages import fetch_package
from serving.release.deployment import DIGEST, VERSION
from serving.release.smoke import smoke_test
from serving.release.state import ReleaseState, Served, load_state, save_state
from serving.release_gate import ReleaseGate
from thorax.stack.site import Site

RETRY_S = (1.0, 2.0, 5.0, 10.0, 20.0)
"""Between tries of a registry that does not answer; then the container ends and the cluster starts it again."""
WAIT_S = 60.0

logger = logging.getLogger("thorax.pod")


def fetch(site: Site, stop: threading.Event) -> int:
    """Bring the released package into the model store; wait where none is released yet.

    Raises:
        ModelPackageError: what the registry holds is not the package that was released, or nobody trusted signed it.
        ServiceError: the registry does not answer for half a minute.
    """
    version, digest = os.environ.get(VERSION, ""), os.environ.get(DIGEST, "")
    if not version:
        logger.info("no version is released yet; the release controller names one")
        while not stop.wait(WAIT_S):
            pass
        return 0
    if not digest:
        raise ConfigurationError(f"{VERSION} without {DIGEST}: what is served is named by its digest")
    settings = Settings(home=site.places.home)
    check_trust(settings)
    served = Served(version=version, digest=digest, archive=archive_name(version, digest))
    release = site.places.home / "release"
    package = _fetched(settings, release / "packages", served, stop)
    config = worker_config(site.places.home)
    build_archive(package, version=version, digest=digest, store=site.places.model_store, config=config)
    save_state(release, ReleaseState(serving=served))
    ReleaseGate.of(release).admit_only(version, digest)
    logger.info("version %s, %s, is verified and in the model store", version, digest)
    return 0


def check_trust(settings: Settings) -> None:
    """See that somebody is named whose packages may be served: the workers are told of the same file.

    Raises:
        ConfigurationError: nobody is.
    """
    named = settings.signature_key
    if settings.signing == "key" and (named is None or not named.is_file()):
        raise ConfigurationError("THORAX_SIGNATURE_KEY names no file: whose packages may be served?")


def smoke(site: Site) -> int:
    """Ask this pod's edge about the package's reference image, as a release on one machine does: its startup probe.

    Raises:
        SmokeTestError: the answer is another one than when it was packaged. ServiceError: there is none yet.
    """
    served = load_state(site.places.home / "release").serving
    if served is None:
        raise ServiceError("nothing was fetched")
    settings = Settings(serving_url=site.addresses.inference, serving_keys=site.places.key_file)
    package = site.places.home / "release" / "packages" / served.archive.removesuffix(".mar")
    asked = {"version": served.version, "digest": served.digest, "request_id": f"smoke-{uuid.uuid4().hex}"}
    smoke_test(ChestXrayClient.from_settings(settings), package, **asked, token="")
    return 0


def _fetched(settings: Settings, folder: Path, served: Served, stop: threading.Event) -> Path:
    registry = Registry.from_settings(settings)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for pause in (*RETRY_S, None):
        try:
            return fetch_package(registry, folder, version=served.version, digest=served.digest, settings=settings)
        except NotFoundError:
            raise
        except ServiceError as error:
            if pause is None or stop.wait(pause):
                raise
            logger.warning("the registry does not answer; trying again: %s", error)
    raise AssertionError("unreachable")
