"""A week's images as the prediction log has them: answered by the package that serves, at their time of the year."""

import hashlib
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from audit.feedback import FeedbackStore, Said
from audit.predictions import PredictionSpool
from imaging.data.dataset import Dataset, load_dataset
from imaging.data.ingest import ingest
from imaging.data.statistics import STATISTICS
from imaging.inference import BATCH, Prediction, Predictor
from monitoring.served import ServedModel
from thorax.demo.year import hospital

PRESENT = ("site", "manufacturer", "modality", "view")


@dataclass(kw_only=True)
class Traffic:
    """The images that may come, and what each model that served says of them."""

    home: Path
    old: Dataset
    new: Dataset
    """Of the new scanner."""
    _answers: dict[str, list[Prediction]] = field(default_factory=dict)

    @classmethod
    def pack(cls, home: Path, source: Path, scanner: Path, *, size: int, key: bytes) -> "Traffic":
        """Pack both folders of images as the models take them."""
        versions = []
        for folder, name in ((source, "traffic"), (scanner, "scanner")):
            table = folder / "labels.csv"
            made = ingest(str(folder), home / "demo" / "year", labels=table, name=name, size=size, pseudonym_key=key)
            versions.append(load_dataset(made.path))
        return cls(home=home, old=versions[0], new=versions[1])

    @property
    def images(self) -> hospital.Images:
        """Return what the hospital draws from."""
        labels = [np.array(data.classes)[data.labels] for data in (self.old, self.new)]
        new = np.repeat([False, True], [len(self.old), len(self.new)])
        return hospital.Images(site=self._column("site"), is_new_scanner=new, label=np.concatenate(labels))

    def send(self, served: ServedModel, week: int, chosen: np.ndarray) -> None:
        """Log a week's answers."""
        answers = self._answered(served)
        spool = PredictionSpool(self.home / "predictions" / "spool")
        step = timedelta(weeks=1) / (len(chosen) + 1)
        for number, index in enumerate(chosen):
            moment = hospital.begin_of(week) + step * (number + 1)
            spool.append(self._row(served, week, number, int(index), answers[int(index)], moment.isoformat()))
        spool.close()

    def label(self, week: int, chosen: np.ndarray, now: str, *, correct: bool = False) -> int:
        """Give the labels of a week's answers, or correct the wrong ones of it; return how many."""
        images, store = self.images, FeedbackStore.of(self.home)
        given = 0
        for number, index in enumerate(chosen):
            site, true = str(images.site[index]), str(images.label[index])
            told = hospital.said(true, site, week)
            if not hospital.is_labelled(week, number) or (correct and told == true):
                continue
            own = f"week{week}-{number}"
            content = {"label": told, "verdict": "confirmed", "reader_role": "radiologist", "time": now}
            if correct:
                content |= {"label": true, "verdict": "corrected", "corrects": own}
            row = Said(
                kind="feedback",
                id=f"{own}-corrected" if correct else own,
                request_id=f"week{week}-{number}",
                received=now,
                client=f"site-{site.lower()}",
                content=content,
            )
            given += store.add(row)
        return given

    def _answered(self, served: ServedModel) -> list[Prediction]:
        if served.digest not in self._answers:
            predictor = Predictor.load(served.package)
            self._answers[served.digest] = [one for data in (self.old, self.new) for one in _predicted(predictor, data)]
        return self._answers[served.digest]

    def _row(
        self, served: ServedModel, week: int, number: int, index: int, answer: Prediction, moment: str
    ) -> dict[str, Any]:
        data, place = (self.old, index) if index < len(self.old) else (self.new, index - len(self.old))
        digest = hashlib.sha256(f"{data.digest}/{place}".encode()).hexdigest()
        return {
            "time": moment,
            "request_id": f"week{week}-{number}",
            "model_version": served.version,
            "model_digest": served.digest,
            "stage": "champion",
            "image_sha256": f"sha256:{digest}",
            **{name: str(data.column(name)[place]) for name in PRESENT},
            **{name: int(data.column(name)[place]) for name in ("rows", "columns")},
            "statistics": {name: float(data.column(name)[place]) for name in STATISTICS},
            "scores": answer.probabilities,
            "prediction": answer.prediction,
            "triage": answer.decision,
            "reasons": list(answer.reasons),
            "latency_ms": 50.0,
            "media_type": "application/dicom",
            **({} if answer.novelty is None else {"novelty": round(answer.novelty, 4)}),
            "embedding": [round(value, 3) for value in answer.embedding],
        }

    def _column(self, name: str) -> np.ndarray:
        return np.concatenate([data.column(name).astype(str) for data in (self.old, self.new)])


def _predicted(predictor: Predictor, data: Dataset) -> list[Prediction]:
    views = [str(view) for view in data.column("view")]
    found: list[Prediction] = []
    for start in range(0, len(data), BATCH):
        some = slice(start, start + BATCH)
        found += predictor.predict(np.asarray(data.images[some]), views=views[some])
    return found
