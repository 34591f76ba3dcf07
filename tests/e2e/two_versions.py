"""A whole stack with two registered versions, both of random weights: enough for what is about people and traffic."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from audit import AuditLog, default_folder
from imaging.registry.session import signed_in
from serving.release.plan import DEFAULT
from tests.serving.factories import write_package
from tests.signing import trust
from thorax import stack
from thorax.stack.environment import settings_for


@contextmanager
def two_versions(root: Path, *, steps: Sequence[dict[str, Any]], **bounds: float) -> Iterator[Path]:
    """Yield the home of a stack whose releases take these steps within these bounds; nothing of it stays."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("THORAX_")]:
        del os.environ[name]
    home = root / "home"
    try:
        trust(home)
        plan = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
        plan |= {"steps": list(steps), "bounds": plan["bounds"] | bounds}
        (home / "rollout.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
        stack.up(home)
        for seed in (0, 1):
            register(home, root / f"package-{seed}", seed)
        yield home
    finally:
        stack.down(home)
        os.environ.clear()
        os.environ |= before


def register(home: Path, package: Path, seed: int) -> str:
    """Register a signed package as its pipeline would, with passed gates on record."""
    digest, log = write_package(package, seed=seed), AuditLog(default_folder(home))
    log.append("gate.evaluated", actor="trainer", subject=digest, details={"gate": "all", "passed": True})
    tags = {"gates": "passed", "package.digest": digest, "author": "trainer"}
    with signed_in(settings_for(home, "trainer")) as client:
        run = client.create_run(client.create_experiment(f"of-seed-{seed}")).info.run_id
        client.log_artifacts(run, str(package), "model")
        source, said = f"runs:/{run}/model", "## Gates\n\nall passed"
        made = client.create_model_version("chest-xray", source, run_id=run, tags=tags, description=said)
        client.set_terminated(run)
    return str(made.version)
