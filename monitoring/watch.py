"""One look at the model that serves: collect the log, check drift, decide by the plan, and record each outcome.

Starting the retraining is left to the caller, who passes a function that does.
"""

import hashlib
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from audit import AuditLog
from imaging.settings import Settings
from monitoring.change_control import Asked, Decision, Plan, Request, decide, decide_asked
from monitoring.drift import DriftResult, run_drift
from monitoring.exporter import mark
from monitoring.prediction_log import Collected, collect
from monitoring.retrain_history import ENDED, read_history, retraining_lock
from monitoring.served import ServedModel
from monitoring.upload import Uploaded, upload

MODEL_NAME = "chest-xray"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ended:
    """How a retraining ended."""

    passed: bool
    version: str = ""
    """The registered challenger; empty where the run failed or a gate did."""
    run: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Watcher:
    """What a look needs: where, by which plan, recorded where, and as whom."""

    settings: Settings
    plan: Plan
    log: AuditLog
    actor: str

    def collect(self) -> Collected:
        """Move what was logged to the Parquet files.

        Raises:
            ServiceError: another process collects for more than a minute.
        """
        home = self.settings.home
        found = collect(
            home / "predictions" / "spool",
            home / "predictions" / "parquet",
            log=self.log,
            actor=self.actor,
            access_logs=home / "torchserve" / "logs",
            edge_logs=home / "edge" / "logs",
        )
        mark(home, "collected")
        return found

    def upload(self) -> Uploaded | None:
        """Copy the Parquet files to the bucket; None where the settings name none.

        Raises:
            ServiceError: the bucket does not take them; nothing is lost, try again.
        """
        bucket = self.settings.predictions_bucket
        if not bucket:
            return None
        sent = upload(self.settings.home / "predictions" / "parquet", bucket, self.settings)
        mark(self.settings.home, "uploaded")
        return sent

    def look(
        self,
        served: ServedModel,
        *,
        window: str | None = None,
        out: Path | None = None,
        package: Path | None = None,
        until: datetime | None = None,
    ) -> DriftResult:
        """Collect the spool and compare the last window with the served model's reference; record the outcome.

        With `package`, the served model's requests are compared with that model directory's reference instead. Its
        outcome says nothing of the served model, and is not recorded.
        """
        self.collect()
        name = f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}-{uuid.uuid4().hex[:6]}"
        result = run_drift(
            self.settings,
            window=window,
            package=package or served.package,
            out=out or self.settings.home / "drift" / name,
            trigger=self.plan.triggers["drift"],
            model_digest=served.digest,
            until=until,
        )
        if package is None:
            self._record_look(served, result)
        return result

    def answer(
        self, found: DriftResult | Asked, served: ServedModel, request: Request, start: Callable[[], Ended]
    ) -> tuple[Decision, Ended | None]:
        """Decide by the plan, record it, and when allowed run `start` and record its end.

        Whatever `start` raises is recorded as a failed retraining and raised on; a kill leaves it abandoned.

        Args:
            found: The drift check, or what else asks.
            served: The model that serves.
            request: What is asked for.
            start: Trains.
        """
        with retraining_lock(self.settings.home) as free:
            history = read_history(self.log, one_runs=not free)
            if isinstance(found, Asked):
                decision = decide_asked(found, self.plan, history, request=request)
            else:
                decision = decide(found, self.plan, history, request=request)
            if decision.allowed and not free:
                reason = "another retraining is being started at this moment"
                decision = Decision(allowed=False, action="refuse", rule="open_retrain", reason=reason)
            if decision.action == "none":
                return decision, None
            details = self._decision_details(found, request, decision)
            if not decision.allowed:
                self._tell("retrain.refused", _subject(served), details)
                return decision, None
            name = f"{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}-{uuid.uuid4().hex[:6]}"
            self._tell("retrain.requested", _subject(served), {**details, "request": name})
            return decision, self._run(name, start)

    def _run(self, name: str, start: Callable[[], Ended]) -> Ended:
        try:
            ended = start()
        except Exception as error:
            code = getattr(error, "code", type(error).__name__)
            self._tell("run.finished", f"{ENDED}{name}", {"outcome": "failed", "error": str(code)})
            raise
        outcome = "challenger" if ended.passed else "failed"
        self._tell("run.finished", f"{ENDED}{name}", {"outcome": outcome, "version": ended.version, "run": ended.run})
        return ended

    def _record_look(self, served: ServedModel, result: DriftResult) -> None:
        check = result.json.parent.name
        details = {
            "model": _subject(served),
            "digest": served.digest,
            "drifted": result.drifted,
            "enough": result.enough,
            "rows": result.rows,
            "reference_rows": result.reference_rows,
            "refused": result.refused,
            "psi": {name: round(value, 4) for name, value in result.scores.items()},
            "plan": self.plan.digest,
            "report": "sha256:" + hashlib.sha256(result.json.read_bytes()).hexdigest(),
        }
        self._tell("run.finished", f"drift-check/{check}", details)
        if result.drifted:
            figures = {
                name: {"psi": round(result.scores[name], 4), "noise": round(result.noise[name], 4)}
                for name in result.above
                if result.scores[name] > result.noise[name]
            }
            bound = self.plan.triggers["drift"].bound
            found = {"check": check, "rows": result.rows, "bound": bound, "figures": figures}
            self._tell("drift.detected", _subject(served), found)

    def _decision_details(self, found: DriftResult | Asked, request: Request, decision: Decision) -> dict[str, Any]:
        evidence = {"asked": found.reason} if isinstance(found, Asked) else {"check": found.json.parent.name}
        return {
            "rule": decision.rule,
            "reason": decision.reason,
            "trigger": request.trigger,
            "modification": request.modification,
            "recipe": request.recipe,
            **evidence,
            "plan": self.plan.digest,
            "notify": list(self.plan.notify),
        }

    def _tell(self, action: str, subject: str, details: Mapping[str, Any]) -> None:
        self.log.append(action, actor=self.actor, subject=subject, details=details)


def _subject(served: ServedModel) -> str:
    return f"{MODEL_NAME}/{served.version}"
