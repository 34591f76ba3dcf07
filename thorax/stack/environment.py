"""How any other command reaches the running stack: the `THORAX_*` variables of one role."""

import os
from pathlib import Path
from typing import Any, Literal

from imaging.errors import ServiceError
from imaging.settings import Settings
from thorax.stack.credentials import load_credentials
from thorax.stack.places import Addresses, Places, load_ports
from thorax.stack.s3_server import PREDICTIONS
from thorax.stack.site import TELEMETRY_OFF, Site

Role = Literal["trainer", "approver", "controller", "admin"]


def environment(home: Path, role: Role) -> dict[str, str]:
    """Return the variables with which a process acts as `role` on the stack of `home`.

    Raises:
        ServiceError: the stack was never started.
    """
    places = Places.of(home)
    ports, credentials = load_ports(places), load_credentials(places)
    if ports is None or credentials is None:
        raise ServiceError(f"no stack under {places.home}: run `thorax up`, or set THORAX_HOME to its folder")
    site = Site(places=places, ports=ports, credentials=credentials, addresses=Addresses.of(ports), python="")
    return variables_for(site, role)


def variables_for(site: Site, role: Role) -> dict[str, str]:
    """Return the variables with which a process acts as `role` on `site`."""
    at, keys = site.addresses, site.credentials
    return {
        **TELEMETRY_OFF,
        "THORAX_HOME": str(site.places.home),
        "THORAX_ACTOR": role,
        "THORAX_MLFLOW_URI": at.mlflow,
        "THORAX_MLFLOW_USERNAME": role,
        "THORAX_MLFLOW_PASSWORD": keys.mlflow[role],
        "MLFLOW_TRACKING_URI": at.mlflow,
        "MLFLOW_TRACKING_USERNAME": role,
        "MLFLOW_TRACKING_PASSWORD": keys.mlflow[role],
        "THORAX_S3_ENDPOINT": at.s3,
        "THORAX_S3_ACCESS_KEY": keys.s3_access_key,
        "THORAX_S3_SECRET_KEY": keys.s3_secret_key,
        "THORAX_PREDICTIONS_BUCKET": PREDICTIONS,
        "AWS_ENDPOINT_URL_S3": at.s3,
        "AWS_ACCESS_KEY_ID": keys.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": keys.s3_secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "THORAX_SERVING_URL": at.inference,
        "THORAX_MANAGEMENT_URL": at.management,
        "THORAX_SERVING_KEYS": str(site.places.key_file),
    }


def settings_for(home: Path, role: Role) -> Settings:
    """Return `Settings` for `role` on the stack of `home`, leaving this process's environment as it is.

    Raises:
        ServiceError: the stack was never started.
    """
    fields: dict[str, Any] = {
        name.removeprefix("THORAX_").lower(): value for name, value in environment(home, role).items()
    }
    return Settings(**{name: value for name, value in fields.items() if name in Settings.model_fields})


def apply(home: Path, role: Role) -> None:
    """Put `environment(home, role)` into this process's environment, where a variable is not set already.

    Raises:
        ServiceError: the stack was never started.
    """
    for name, value in environment(home, role).items():
        os.environ.setdefault(name, value)
