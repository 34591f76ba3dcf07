"""The whole stack under steady traffic: approve, shadow, canary, all, back again, and a worker killed on the way."""

import json
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from audit import AuditLog, default_folder
from imaging.registry.session import signed_in
from serving.client import ChestXrayClient
from serving.release.overview import compare_versions, standing
from serving.release.state import ReleaseState, load_state
from serving.release_gate import ReleaseGate
from tests.e2e.torchserve_stand import until
from tests.e2e.two_versions import two_versions
from tests.serving.factories import chest, png
from thorax import stack
from thorax.stack.environment import environment, settings_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1800),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]

ROUNDS = int(os.environ.get("THORAX_ROLLOUT_ROUNDS", "1"))
KILLS = int(os.environ.get("THORAX_ROLLOUT_KILLS", "2"))
SEED = 20261129
RATE = 20.0
DRIVERS = 4
SHARES = {"canary 10 %": 0.1, "canary 50 %": 0.5}
STEPS = [
    {"kind": "shadow", "seconds": 3, "requests": 30},
    {"kind": "canary", "share": 0.1, "seconds": 6, "requests": 1},
    {"kind": "canary", "share": 0.5, "seconds": 6, "requests": 20},
]
UNLIKE = {"disagreement": 1.0, "score_shift": 1.0, "latency_ratio": 1000.0}
"""Two networks of random weights agree on nothing; what this test is about is the traffic."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A stack that serves version 1 and has a version 2."""
    with two_versions(tmp_path_factory.mktemp("rollout"), steps=STEPS, **UNLIKE) as home:
        approve(home, "1")
        until(lambda: serving(home) == "1", within_s=120)
        yield home


def approve(home: Path, version: str) -> float:
    """Move `champion` as an approver does; return when it was done."""
    with signed_in(settings_for(home, "approver")) as client:
        client.set_registered_model_alias("chest-xray", "champion", version)
    return time.time()


def holder(home: Path, alias: str) -> str:
    with signed_in(settings_for(home, "trainer")) as client:
        return str(client.get_model_version_by_alias("chest-xray", alias).version)


def state_of(home: Path) -> ReleaseState:
    return load_state(home / "release")


def serving(home: Path) -> str:
    served = state_of(home).serving
    return served.version if served else ""


def step_of(home: Path) -> str:
    pending = state_of(home).pending
    if pending is None or pending.plan is None or pending.told < 0:
        return ""
    return pending.plan.steps[min(pending.told, len(pending.plan.steps) - 1)].name


class Traffic:
    """Steady requests from our client and from a bare one, each answer noted with the moment and the step."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.answers: list[tuple[float, str, str]] = []
        """When, version and stage."""
        self.failures: list[str] = []
        self.bare_failures: list[str] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._drive, args=(number,)) for number in range(DRIVERS)]

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _drive(self, number: int) -> None:
        settings = settings_for(self.home, "trainer")
        ours = ChestXrayClient.from_settings(settings)
        key = json.loads(settings.serving_keys.read_text())["inference"]["key"]
        images = [png(chest(seed=100 * number + one)) for one in range(25)]
        due, image = time.time() + number / RATE, 0
        headers = {"Authorization": f"Bearer {key}"}
        with httpx.Client(base_url=settings.serving_url, timeout=60, headers=headers) as bare:
            while not self._over.is_set():
                time.sleep(max(0.0, due - time.time()))
                due, image = due + DRIVERS / RATE, image + 1
                if number == 0:
                    self._ask_barely(bare, images[image % 25])
                else:
                    self._ask(ours, images[image % 25])

    def _ask(self, client: ChestXrayClient, content: bytes) -> None:
        try:
            identity = client.predict(content).model
            self.answers.append((time.time(), identity.version, identity.stage))
        except Exception as error:
            self.failures.append(f"{type(error).__name__}: {error}")

    def _ask_barely(self, client: httpx.Client, content: bytes) -> None:
        try:
            answer = client.post("/predictions/chest-xray", content=content, headers={"Content-Type": "image/png"})
        except httpx.TransportError as error:
            self.bare_failures.append(type(error).__name__)
            return
        if answer.is_success:
            model = answer.json()["model"]
            self.answers.append((time.time(), model["version"], model["stage"]))
        else:
            self.bare_failures.append(f"{answer.status_code} {answer.text[:120]}")

    def between(self, begin: float, end: float) -> Counter:
        return Counter((version, stage) for when, version, stage in list(self.answers) if begin <= when <= end)


def kill_a_worker(home: Path, version: str) -> None:
    found = environment(home, "controller")
    key = json.loads(Path(found["THORAX_SERVING_KEYS"]).read_text())["management"]["key"]
    url = f"{found['THORAX_MANAGEMENT_URL']}/models/chest-xray/{version}"
    workers = httpx.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=10).json()[0]["workers"]
    os.kill(next(worker["pid"] for worker in workers if worker["status"] == "READY"), signal.SIGKILL)


def watch_a_rollout(home: Path, traffic: Traffic, *, kill: str) -> dict[str, Counter]:
    """Wait until version 2 serves, and kill a worker on the way; count who answered in each step until then."""
    seen: dict[str, Counter] = {}
    begun = entered = time.time()
    step, killed = "", 0.0
    while serving(home) != "2":
        assert time.time() < begun + 240, standing(settings_for(home, "trainer"))
        now = step_of(home)
        if now != step:
            step, entered = now, time.time()
        if step and not killed:
            seen[step] = traffic.between(entered + 0.5, time.time() - 0.5)
        if step == "canary 50 %" and not killed and time.time() > entered + 4:
            kill_a_worker(home, kill)
            killed = time.time()
        time.sleep(0.05)
    assert killed
    return seen


def test_rounds_of_approval_and_way_back_lose_no_request(home, capsys):
    taken: Counter = Counter()
    backs, ons = [], []
    with Traffic(home) as traffic:
        until(lambda: len(traffic.answers) > 20, within_s=60)
        for number in range(ROUNDS):
            at = approve(home, "2")
            seen = watch_a_rollout(home, traffic, kill="12"[number % 2])
            ons.append(time.time() - at)
            for step, counts in seen.items():
                by_stage: Counter = Counter()
                for (_, stage), count in counts.items():
                    by_stage[stage] += count
                taken[step, "canary"] += by_stage["canary"]
                taken[step, "all"] += sum(by_stage.values())
                assert by_stage["shadow"] == 0
            until(lambda: state_of(home).pending is None, within_s=60)
            at = approve(home, "1")
            until(lambda: serving(home) == "1", within_s=30)
            backs.append(time.time() - at)
            until(lambda: state_of(home).pending is None, within_s=60)
    with capsys.disabled():
        shares = {step: round(taken[step, "canary"] / taken[step, "all"], 3) for step in SHARES}
        sys.stdout.write(
            f"\n{ROUNDS} rounds, {len(traffic.answers)} answers, shares {shares}, "
            f"failures of the bare client: {dict(Counter(traffic.bare_failures))}, "
            f"to all traffic in {max(ons):.1f} s and back in {max(backs):.1f} s at the longest\n"
        )
    assert traffic.failures == []
    assert len(traffic.bare_failures) <= 2 * ROUNDS
    assert max(backs) < 5
    for step, share in SHARES.items():
        number = taken[step, "all"]
        assert number > 20
        noise = 3 * (share * (1 - share) / number) ** 0.5
        assert abs(taken[step, "canary"] / number - share) < 0.03 + noise
    events = AuditLog(default_folder(home))
    assert len(events.events(action="release.completed")) == 2 * ROUNDS + 1
    assert events.verify().ok


def test_a_controller_killed_at_random_points_ends_in_what_the_registry_asks(home, capsys):
    random_points, log = random.Random(SEED), AuditLog(default_folder(home))
    done = len(log.events(action="release.completed"))
    with Traffic(home) as traffic:
        for number in range(KILLS):
            wanted = "21"[number % 2] if random_points.random() < 0.7 else serving(home)
            approve(home, wanted)
            time.sleep(random_points.uniform(0.0, 14.0))
            controller = next(server for server in stack.status(home) if server.name == "controller")
            os.kill(controller.pid, signal.SIGKILL)
            stack.up(home)
        approve(home, "1")
        until(lambda: serving(home) == "1" and state_of(home).pending is None, within_s=90)
        settled = time.time() + 1.0
        until(lambda: len(traffic.between(settled, time.time())) > 0 and time.time() > settled + 3, within_s=30)
        assert set(traffic.between(settled, time.time())) == {("1", "champion")}
    assert [(one.version, one.stage) for one in ReleaseGate.of(home / "release").read().released] == [("1", "champion")]
    assert holder(home, "champion") == "1"
    assert traffic.failures == []
    assert log.verify().ok
    with capsys.disabled():
        ended = len(log.events(action="release.completed")) - done
        sys.stdout.write(f"\n{KILLS} kills, {len(traffic.answers)} answers, {ended} releases completed\n")


def test_what_version_2_answered_in_shadow_is_compared_image_by_image(home):
    found = compare_versions(settings_for(home, "trainer"))
    assert (found.serving, found.new) == ("1", "2")
    assert found.images > 20
    assert 0 <= found.agreement.low <= found.agreement.value <= found.agreement.high <= 1


def test_nobody_but_the_edge_asks_a_version_in_shadow(home):
    """Without traffic the shadow waits for its requests."""
    settings = settings_for(home, "trainer")
    key = json.loads(settings.serving_keys.read_text())["inference"]["key"]
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "image/png", "X-Thorax-Shadow": "guessed"}
    approve(home, "2")
    until(lambda: step_of(home) == "shadow", within_s=60)
    url = f"{settings.serving_url}/predictions/chest-xray/2"
    answer = httpx.post(url, content=png(chest()), headers=headers, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (503, "not_released")
    assert holder(home, "shadow") == "2"
    approve(home, "1")
    until(lambda: state_of(home).pending is None, within_s=60)
    assert standing(settings).serving == "1"
