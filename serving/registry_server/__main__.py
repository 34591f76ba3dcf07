"""Start MLflow with its basic-auth app in this one process.

`mlflow server` does the same from a launcher that imports everything twice; here the databases are made, the
administrator's password is set to the one in the environment, and uvicorn serves in place. Configured by
environment alone, so that no secret shows in a process list: `THORAX_REGISTRY_DATABASE` (a file, or an address as
`postgresql://…`), `THORAX_REGISTRY_ADDRESS` (`host:port`), `THORAX_REGISTRY_ARTIFACTS` (an s3:// address), and MLflow's
own `MLFLOW_AUTH_CONFIG_PATH`, `MLFLOW_AUTH_ADMIN_PASSWORD`, `MLFLOW_FLASK_SERVER_SECRET_KEY`.
"""

import os
import shutil
import warnings
from pathlib import Path
from typing import Any

ARTIFACT_ROOT = "mlflow-artifacts:/"


def main() -> None:
    """Serve until told to stop."""
    warnings.simplefilter("ignore", DeprecationWarning)
    database = os.environ["THORAX_REGISTRY_DATABASE"]
    host, _, port = os.environ["THORAX_REGISTRY_ADDRESS"].rpartition(":")
    tell_workers(database, os.environ["THORAX_REGISTRY_ARTIFACTS"])
    create_database(database)
    app = build_app()

    import uvicorn

    from serving.registry_server.closed import closing

    app = closing(app)
    uvicorn.run(app, host=host, port=int(port), log_level="info", access_log=False, timeout_graceful_shutdown=3)


def tell_workers(database: str, artifacts: str) -> None:
    """Set the variables through which `mlflow server` configures its application."""
    from mlflow.server import constants

    uri = uri_of(database)
    os.environ |= {
        constants.BACKEND_STORE_URI_ENV_VAR: uri,
        constants.REGISTRY_STORE_URI_ENV_VAR: uri,
        constants.ARTIFACT_ROOT_ENV_VAR: ARTIFACT_ROOT,
        constants.ARTIFACTS_DESTINATION_ENV_VAR: artifacts,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }


def uri_of(database: str) -> str:
    """Return the address of a database that is named by a file or by an address of its own, as `postgresql://…`."""
    return database if "://" in database else f"sqlite:///{Path(database).absolute()}"


def create_database(named: str) -> None:
    """Make the database where there is none, whole or not at all; then let MLflow open and upgrade it.

    A server of databases keeps a migration whole by itself. In a file MLflow builds a new database by running every
    migration, seconds of work with hundreds of syncs; killed half-way it never opens again. So it is built aside,
    without syncs, and moved into place.
    """
    from mlflow.server.handlers import initialize_backend_stores

    database, uri = Path(named).absolute(), uri_of(named)
    if "://" not in named and not database.exists():
        building = database.parent / ".building"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        build_database(building / database.name)
        sync(building / database.name)
        (building / database.name).replace(database)
        shutil.rmtree(building)
    initialize_backend_stores(uri, uri, ARTIFACT_ROOT)


def build_database(path: Path) -> None:
    """Run MLflow's migrations on a new file at `path`, leaving the syncing to the caller."""
    from mlflow.store.db.utils import _initialize_tables, create_sqlalchemy_engine
    from sqlalchemy import event

    engine = create_sqlalchemy_engine(f"sqlite:///{path}")

    def without_syncs(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA synchronous=OFF")

    event.listen(engine, "connect", without_syncs)
    _initialize_tables(engine)
    engine.dispose()


def sync(path: Path) -> None:
    """Bring `path` to the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def build_app() -> Any:
    """Return the application, with the administrator's password as the environment has it."""
    from mlflow.server import auth

    from serving.registry_server.authorization import check_routes

    app = auth.create_app()
    check_routes()
    username, password = auth.auth_config.admin_username, auth.auth_config.admin_password
    if username and password and not auth.store.authenticate_user(username, password):
        auth.store.update_user(username, password=password)
    return app


if __name__ == "__main__":
    main()
