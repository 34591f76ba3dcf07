"""Everything around a release, in memory where it is a server, and a way to end the process at any call."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import yaml

from audit import AuditEvent, AuditLog
from audit.predictions import PredictionSpool
from serving.errors import SmokeTestError
from serving.release.plan import DEFAULT
from serving.release.reconciling import Release
from serving.release.record import ACTOR, ReleaseRecord
from serving.release.state import load_state
from serving.release.traffic import Traffic
from serving.release_gate import ReleaseGate, may_answer
from tests.serving.memory import MemoryRegistry, MemoryServer
from tests.signing import trust


class Killed(BaseException):
    """The process ends here: nothing in it may catch this."""


class Killer:
    """Passes every call on, and ends the process before or after the n-th; `watch` looks around each of them."""

    def __init__(self, kill_at: int, *, after: bool) -> None:
        self.left, self.after = kill_at, after
        self.watch: Callable[[], None] = lambda: None

    def wrap(self, thing: object) -> object:
        killer = self

        class Wrapped:
            def __getattr__(self, name: str) -> object:
                return killer.call(getattr(thing, name))

        return Wrapped()

    def call(self, function):
        def called(*args, **kwargs):
            self.left -= 1
            self.watch()
            if self.left == 0 and not self.after:
                raise Killed
            result = function(*args, **kwargs)
            self.watch()
            if self.left == 0:
                raise Killed
            return result

        return called


class World:
    """Everything around a release, as it outlives a killed controller."""

    def __init__(self, folder: Path, *packages: tuple[Path, str]) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.registry = MemoryRegistry()
        self.server = MemoryServer(self.store)
        self.log = AuditLog(folder / "audit")
        self.wrong_answers: set[str] = set()
        self.gate = ReleaseGate.of(folder / "release")
        self.passed_smoke: set[str] = set()
        self.answered: list[str] = []
        """Every version that would have answered a request, in order; "" where a loaded default refused one."""
        self.now = 1_000_000.0
        self.settings = trust(folder)
        self.plan([])
        self.traffic = Traffic.of(folder)
        for number, (package, digest) in enumerate(packages, 1):
            self.registry.add(str(number), package, digest)

    def smoke_test(self, package: Path, *, version: str, digest: str, request_id: str, token: str) -> None:
        if not may_answer(self.gate.read(), version, digest, token=token):
            raise SmokeTestError("not let through")
        if version in self.wrong_answers:
            raise SmokeTestError("another answer")
        self.passed_smoke.add(version)

    def plan(self, steps: list[dict[str, object]], **bounds: float) -> None:
        """Let releases that begin from now on take these steps."""
        plan = yaml.safe_load(DEFAULT.read_text())
        plan |= {"steps": steps, "bounds": plan["bounds"] | bounds}
        (self.folder / "rollout.yaml").write_text(yaml.safe_dump(plan))

    def answers(self, version: str) -> bool:
        """Tell whether a client's request to a version would be answered."""
        known = version in self.server.archives
        return known and may_answer(self.gate.read(), version, self.registry.tag(version, "package.digest"))

    def watch(self) -> None:
        """Ask as clients do, for the default and for every version by its number."""
        answering = {version for version in self.server.archives if self.answers(version)}
        assert answering <= self.passed_smoke, "an unreleased version answers"
        routed = {self.traffic.version_of(share) for share in (0, 99)} & self.server.archives.keys()
        assert routed <= answering, "requests are sent to a version that does not answer"
        if self.server.current is not None:
            answer = self.server.current if self.server.current in answering else ""
            if answer or not self.answered or self.answered[-1] != answer:
                self.answered.append(answer)

    def reconcile(self, killer: Killer | None = None):
        killer = killer or Killer(0, after=False)
        killer.watch = self.watch
        registry = killer.wrap(self.registry)
        return Release(
            target=killer.wrap(self.traffic),
            shadow_token="edge",
            folder=self.folder / "release",
            store=self.store,
            champion=registry.champion,
            registry=registry,
            server=killer.wrap(self.server),
            record=ReleaseRecord(killer.wrap(self.log)),
            smoke_test=killer.call(self.smoke_test),
            settings=self.settings,
            clock=lambda: self.now,
        ).run()

    def routes(self) -> dict[str, int]:
        """Count which version answers how many of the 100 shares."""
        return dict(Counter(self.traffic.version_of(share) or "default" for share in range(100)))

    def log_answers(
        self, version: str, number: int, *, stage: str, prediction: str = "normal", milliseconds: float = 20.0
    ) -> None:
        """Write rows of the prediction log, as a version's worker does."""
        digest = self.registry.tag(version, "package.digest")
        scores = {name: 0.9 if name == prediction else 0.05 for name in ("normal", "pneumonia", "covid")}
        time = datetime.fromtimestamp(self.now, UTC).isoformat(timespec="milliseconds")
        spool = PredictionSpool(self.folder / "predictions" / "spool")
        for index in range(number):
            row = {"time": time, "request_id": f"r{index}", "model_version": version, "model_digest": digest}
            row |= {"stage": stage, "image_sha256": f"i{index}", "scores": scores, "prediction": prediction}
            assert spool.append({**row, "latency_ms": milliseconds, "refusal_code": None})
        spool.close()

    def end_the_rollout(self, ending: str) -> None:
        """Let the bake time pass, let the canary fail, or let an approver change their mind."""
        if ending == "completed":
            self.now += 61
        elif ending == "moved on":
            self.approve("1")
        elif self.registry.aliases.get("champion") == "2" and self.registry.tag("2", "deployment.status") == "canary":
            self.log_answers("1", 250, stage="champion")

    def pass_gates(self, version: str) -> None:
        """Record what `check-gates` records."""
        digest = self.registry.tag(version, "package.digest")
        self.log.append("gate.evaluated", actor="trainer", subject=digest, details={"gate": "all", "passed": True})

    def approve(self, version: str, *, by: str = "approver", gated: bool = True) -> AuditEvent:
        """Record gates and approval and move the alias, as the pipeline and the registry's server do."""
        if gated and self.registry.tag(version, "package.digest"):
            self.pass_gates(version)
        event = self.log.append("model.approved", actor=by, subject=f"chest-xray/{version}", details={})
        self.registry.aliases["champion"] = version
        return event

    def actions(self) -> list[str]:
        """What the controller recorded."""
        return [event.action for event in self.log.events() if event.actor == ACTOR]

    def state(self):
        return load_state(self.folder / "release")
