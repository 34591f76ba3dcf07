"""TorchServe: its Java process started directly, closed by default, and seen to be closed.

The `torchserve` launcher is not used: it keeps one process-number file for the whole machine, and turns the token
authorisation off by one option.
"""

import json
import os
import re
import shutil
import time
from importlib.util import find_spec
from pathlib import Path

from imaging.errors import ServiceError
from imaging.threads import SPIN_VARIABLES
from thorax.stack.metrics import metrics_yaml
from thorax.stack.places import LOOPBACK, Places
from thorax.stack.site import TELEMETRY_OFF, Site, ask

MODEL = "chest-xray"
LARGEST_BODY = 70 * 2**20
"""64 MiB of image, as `Settings.max_image_bytes` allows, and what a form adds around it."""
ANSWER_WITHIN_S = 120
"""How long a worker may take over one batch."""
TOKEN_MINUTES = 10 * 366 * 24 * 60
HEAP = ("-Xms64m", "-Xmx768m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
"""Small and quick to start; the work is done in the Python workers."""
MODEL_WITHIN_S = 60.0
LONGEST_SOCKET = 80
"""A worker's socket lies in the temporary folder, and a socket's path has at most 107 characters."""
CHOSEN = tuple(
    f"THORAX_{name}"
    for name in (
        *("RUNTIME", "MAX_IMAGE_BYTES", "MAX_IMAGE_PIXELS", "DECODE_TIMEOUT_S", "DECODE_MEMORY_BYTES"),
        *("SIGNING", "SIGNATURE_KEY", "SIGNATURE_ROOTS", "SIGNATURE_IDENTITY", "SIGNATURE_ISSUER"),
    )
)
"""What a person may set for the handler, by the variables of `imaging.settings`."""
LOG4J = Path(__file__).with_name("log4j2.xml")


def java() -> str:
    """Return the Java program: JAVA_HOME's, else the system's.

    Raises:
        ServiceError: there is none.
    """
    home = os.environ.get("JAVA_HOME", "")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    found = found or shutil.which("java")
    if not found:
        raise ServiceError(
            "TorchServe needs Java 17, and there is no java; try `apt-get install openjdk-17-jre-headless`"
        )
    return found


def command(site: Site) -> list[str]:
    """What the launcher would run, less its checks and plus our limits."""
    spec = find_spec("ts")
    if spec is None or spec.origin is None:
        raise ServiceError("no TorchServe; install the package torchserve, as requirements.lock does")
    package = Path(spec.origin).parent
    folder = site.places.torchserve
    return [
        java(),
        f"-Dmodel_server_home={package.parent}",
        f"-Djava.io.tmpdir={temporary_folder(site.places)}",
        f"-Dlog4j.configurationFile={LOG4J.as_uri()}",
        f"-Dthorax.grpc={site.ports['grpc_upstream']}",
        *HEAP,
        "-cp",
        str(package / "frontend" / "model-server.jar"),
        "org.pytorch.serve.ModelServer",
        *("--python", site.python),
        *("-f", str(folder / "config.properties")),
        *("-s", str(site.places.model_store)),
        "-ncs",
    ]


def variables(site: Site) -> dict[str, str]:
    """What the handler needs: where to write its log of predictions, and who it is. No password."""
    logs = str(site.places.torchserve / "logs")
    chosen = {name: os.environ[name] for name in CHOSEN if name in os.environ}
    return {
        **chosen,
        **TELEMETRY_OFF,
        "THORAX_HOME": str(site.places.home),
        "THORAX_ACTOR": "serving",
        **SPIN_VARIABLES,
        "LOG_LOCATION": logs,
        "METRICS_LOCATION": logs,
    }


def temporary_folder(places: Places) -> Path:
    """Return where archives are unpacked and workers listen: in the home, unless its path is too long for sockets."""
    own = places.torchserve / "tmp"
    return own if len(str(own)) <= LONGEST_SOCKET else Path("/tmp") / f"thorax-{places.stack_id}"  # noqa: S108


def inference_socket(places: Places) -> Path:
    """Return the socket of the inference API: in a folder of this user's alone, so that every caller meets the edge."""
    return temporary_folder(places) / "inference.sock"


def config(site: Site) -> str:
    """`config.properties` without what is loaded: every address is loopback, every convenience that weakens is off.

    The inference API answers at a socket. gRPC cannot: TorchServe has ports for it alone.

    The model API is on, because a release loads and unloads: by token, from loopback, out of the model store alone.
    """
    at, store = site.addresses, site.places.model_store
    return "\n".join(
        (
            f"inference_address=unix:{inference_socket(site.places)}",
            f"management_address={at.management}",
            f"metrics_address={at.metrics}",
            f"grpc_inference_address={LOOPBACK}",
            f"grpc_management_address={LOOPBACK}",
            f"grpc_inference_port={site.ports['grpc_upstream']}",
            f"grpc_management_port={site.ports['grpc_management']}",
            f"model_store={store}",
            f"allowed_urls=file://{as_pattern(store)}/.*",
            "disable_token_authorization=false",
            f"token_expiration_min={TOKEN_MINUTES}",
            "enable_model_api=true",
            "install_py_dep_per_model=false",
            "enable_envvars_config=false",
            "use_env_allowed_urls=false",
            f"max_request_size={LARGEST_BODY}",
            f"max_response_size={LARGEST_BODY}",
            f"default_response_timeout={ANSWER_WITHIN_S}",
            "default_workers_per_model=1",
            "metrics_mode=prometheus",
            f"metrics_config={site.places.torchserve / 'metrics.yaml'}",
            "disable_system_metrics=true",
            "",
        )
    )


def as_pattern(path: Path) -> str:
    """Return a regular expression for `path` that needs no backslash, which a properties file would take away."""
    return re.sub(r"[^\w/-]", lambda found: f"[{found[0]}]" if found[0] not in "^\\,[]" else ".", str(path))


def serving_archive(places: Places) -> str | None:
    """Return the archive that the release state says should serve, if it is in the model store."""
    try:
        serving = json.loads((places.home / "release" / "state.json").read_text(encoding="utf-8"))["serving"]
        name = Path(serving["archive"]).name if serving else ""
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return name if name and (places.model_store / name).is_file() else None


def prepare(site: Site) -> None:
    """Write the configuration; remove the last run's unpacked archives, and its tokens, lest somebody use them."""
    places = site.places
    temporary = temporary_folder(places)
    shutil.rmtree(temporary, ignore_errors=True)
    for folder in (places.torchserve, places.model_store, places.torchserve / "logs"):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary.mkdir(mode=0o700)
    places.key_file.unlink(missing_ok=True)
    archive = serving_archive(places)
    load = f"load_models={archive}\n" if archive else ""
    (places.torchserve / "metrics.yaml").write_text(metrics_yaml(), encoding="utf-8")
    (places.torchserve / "config.properties").write_text(config(site) + load, encoding="utf-8")


def is_ready(site: Site) -> bool:
    """Whether it answers who has a token, and wrote the tokens."""
    answer = ask("GET", f"{site.addresses.management}/models", headers=bearer(site.places, "management"))
    return answer is not None and answer.is_success


def set_up(site: Site) -> None:
    """See that both APIs refuse a caller without a token; then give the loaded model's worker time to start.

    Raises:
        ServiceError: an unauthenticated call was answered.
    """
    inference = ask("GET", f"http://torchserve/predictions/{MODEL}", socket=inference_socket(site.places))
    management = ask("GET", f"{site.addresses.management}/models")
    for api, answer in (("inference", inference), ("management", management)):
        if answer is None or answer.is_success or "InvalidKeyException" not in answer.text:
            raise ServiceError(f"TorchServe's {api} API does not refuse a call without a token; it must not run so")
    if serving_archive(site.places):
        deadline = time.monotonic() + MODEL_WITHIN_S
        while not has_ready_worker(site) and time.monotonic() < deadline:
            time.sleep(0.2)


def has_ready_worker(site: Site) -> bool:
    """Whether a worker of the model can answer; the release controller mends what stays without one."""
    return "READY" in (worker_states(site) or ())


def note(site: Site) -> str:
    """Return what a person should know of a TorchServe that answers: a model that is loaded and cannot be asked."""
    states = worker_states(site)
    return "" if states is None or "READY" in states else "no worker ready; see `thorax logs torchserve`"


def worker_states(site: Site) -> list[str] | None:
    """Return the states of the default version's workers; None where no model is loaded, or nothing answers."""
    url = f"{site.addresses.management}/models/{MODEL}"
    answer = ask("GET", url, headers=bearer(site.places, "management"))
    if answer is None or not answer.is_success:
        return None
    return [str(worker["status"]) for version in answer.json() for worker in version["workers"]]


def bearer(places: Places, kind: str) -> dict[str, str]:
    """Return the header with a token of the key file; empty while there is none."""
    try:
        return {"Authorization": f"Bearer {json.loads(places.key_file.read_text(encoding='utf-8'))[kind]['key']}"}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
