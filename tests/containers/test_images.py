"""What is in the images, and what is not."""

import json
import shutil

import pytest

from tests.containers.player import podman

pytestmark = [pytest.mark.containers, pytest.mark.timeout(600)]
IMAGES = ("torchserve", "registry", "controller", "monitor", "thorax-python")
LARGEST_MIB = {"torchserve": 1300, "registry": 1100, "controller": 500, "monitor": 1500, "thorax-python": 2100}
"""Of an image without torch."""
LACKS = {"controller": {"torch", "pandas", "mlflow"}, "registry": {"torch", "torchserve"}, "monitor": {"torch", "kfp"}}
LACKS |= {"torchserve": {"kfp", "evidently", "pandas", "optuna"}, "thorax-python": {"torchserve", "psycopg2"}}


@pytest.fixture(params=IMAGES)
def image(request: pytest.FixtureRequest) -> str:
    name = f"localhost/thorax/{request.param}:local"
    if not shutil.which("podman") or podman("image", "exists", name, check=False).returncode:
        pytest.skip(f"no image {name}: `make containers` builds it")
    return name


def run(image: str, *command: str) -> "tuple[int, str]":
    confined = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    done = podman("run", "--rm", *confined, "--tmpfs", "/tmp", image, *command, check=False)
    return done.returncode, done.stdout


def test_it_runs_without_root_on_a_read_only_root(image: str) -> None:
    assert run(image, "id", "-u")[1].strip() == "10001"
    code, text = run(image, "thorax", "--help")
    assert code == 0
    assert "Usage" in text


def test_it_has_no_compiler_no_installer_and_no_cache(image: str) -> None:
    for program in ("gcc", "cc", "c++", "make", "pip", "git", "curl"):
        assert run(image, "sh", "-c", f"command -v {program}")[0] != 0, program
    assert run(image, "python", "-c", "import pip")[0] != 0
    left = 'test -z "$(ls -A /var/lib/apt/lists)" && test ! -e /var/cache/apt/archives && test ! -e /tmp/wheels'
    assert run(image, "sh", "-c", left)[0] == 0


def test_it_says_what_it_is_made_of(image: str) -> None:
    about = json.loads(podman("inspect", image).stdout)[0]
    labels = about["Config"]["Labels"]
    assert len(labels["org.opencontainers.image.revision"]) == 40
    assert labels["thorax.lock"].startswith("sha256:")
    assert about["Config"]["User"] == "10001:10001"
    assert about["Healthcheck"]["Test"][0] == "CMD-SHELL"
    document = json.loads(run(image, "cat", "/app/sbom.json")[1])
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert "thorax" in {part["name"] for part in document["components"]}


def test_it_carries_only_what_its_own_work_needs(image: str) -> None:
    name = image.rsplit("/", 1)[-1].removesuffix(":local")
    document = json.loads(run(image, "cat", "/app/sbom.json")[1])
    assert not {part["name"].lower() for part in document["components"]} & LACKS.get(name, set())
    assert json.loads(podman("inspect", image).stdout)[0]["Size"] / 2**20 < LARGEST_MIB[name]
