"""Calibrate and evaluate a model directory on a dataset version: what the pipeline's steps call."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np

from imaging import atomic
from imaging.allocation import kept_memory
from imaging.config import Frozen
from imaging.evaluation.assemble import assemble
from imaging.evaluation.bootstrap import RESAMPLES
from imaging.evaluation.calibration import mean_nll
from imaging.evaluation.calibration_choice import choose_calibration, likelihood_loss
from imaging.evaluation.doubt import fit_doubt
from imaging.evaluation.evaluate import Answers
from imaging.evaluation.latency import measure_latency
from imaging.evaluation.operating_points import choose_operating_points, describe
from imaging.evaluation.plots import draw_confusion, draw_reliability, draw_roc
from imaging.evaluation.report import figure_text, render_evaluation
from imaging.evaluation.sampling import sample_evenly
from imaging.evaluation.schema import ChampionComparison, Evaluation
from imaging.evaluation.sections import draw_sections
from imaging.evaluation.sheet import explain_cases
from imaging.evaluation.subject import Subject, answer_test_part, ask_champion, load_external, load_subject
from imaging.models.calibration_map import Method
from imaging.models.directory import replace_info
from imaging.models.novelty import NOVELTY_FILE
from imaging.models.onnx_export import CALIBRATION_IMAGES, export_files


class Calibration(Frozen):
    """What calibration added to a model; the likelihoods are the calibration part's, in nats an image."""

    method: Method
    temperature: float
    nll_before: float
    nll_after: float
    operating_points: dict[str, float]


@kept_memory()
def calibrate_on_disk(model: Path, dataset: Path, split: Path, out: Path) -> Calibration:
    """Choose how logits become probabilities and fit prediction sets on the calibration part, and operating points.

    Those are chosen on the validation and calibration parts.

    What tells an image that is unlike the training images is fitted too: `imaging.evaluation.doubt`.

    Args:
        model: A trained model directory.
        dataset: The dataset version it was trained on.
        split: Its split file.
        out: The calibrated copy of the model directory.

    Raises:
        DataError: when the three do not belong together, or a part lacks a class.
    """
    subject = load_subject(model, dataset, split)
    info, parts = subject.info, subject.split.parts
    both = np.concatenate([parts["calibration"], parts["val"]])
    logits, features = subject.predictor.embeddings(subject.images, both)
    labels = subject.labels[both]
    own = len(parts["calibration"])
    choice = choose_calibration(logits[:own], labels[:own], subject.data.patients[both[:own]])
    probabilities = np.concatenate([choice.held_out, choice.fitted.probabilities(logits[own:])])
    options = choose_operating_points(
        probabilities,
        labels,
        classes=info.classes,
        critical=info.critical_classes,
        floors=info.floors.sensitivity_lower,
        rule=info.operating_rule,
    )
    points = {name: thresholds[info.operating_rule.kind] for name, thresholds in options.items()}
    doubt = fit_doubt(subject, choice.held_out, both, features)
    changes = {
        "temperature": choice.fitted.temperature,
        "calibration": choice.fitted.rule,
        "calibration_tried": choice.tried,
        "operating_points": points,
        "operating_point_options": options,
        "operating_point_rule": describe(info.operating_rule),
    }
    added = {NOVELTY_FILE: doubt.reference.to_bytes(), **export_model(subject)}
    replace_info(model, out, added=added, **changes, **doubt.rules)
    return Calibration(
        method=choice.method,
        temperature=choice.fitted.temperature,
        nll_before=mean_nll(logits[:own], labels[:own], 1.0),
        nll_after=likelihood_loss(choice.fitted.probabilities(logits[:own]), labels[:own]),
        operating_points=points,
    )


def export_model(subject: Subject) -> dict[str, bytes]:
    """Return the network as ONNX, by the names of the files; int8 takes its ranges from calibration images."""
    few = sample_evenly(subject.split.parts["calibration"], subject.labels, CALIBRATION_IMAGES)
    return export_files(subject.predictor.model, subject.info.input, np.asarray(subject.images[few]))


@kept_memory()
def evaluate_on_disk(
    model: Path,
    dataset: Path,
    split: Path,
    out: Path,
    *,
    champion: Path | None = None,
    external: Path | None = None,
    thorough: bool = False,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Measure a calibrated model on the test part.

    Args:
        model: A calibrated model directory.
        dataset: A dataset version with the model's classes.
        split: Its split file.
        out: Folder for `evaluation.json`, `evaluation.html` and `predictions.parquet`; replaced as a whole.
        champion: The model directory that serves now, for the paired comparison.
        external: Another dataset version, whose figures are put beside the test part's.
        thorough: Measure robustness at every severity on more images, which takes minutes instead of seconds.
        resamples: Bootstrap draws of patients.
        seed: Of the draws.

    Raises:
        DataError: when the three do not belong together.
    """
    subject = replace(load_subject(model, dataset, split), elsewhere=external, thorough=thorough)
    answers = answer_test_part(subject, resamples=resamples, seed=seed)
    compared = None if champion is None else ask_champion(answers, champion, subject)
    return _report(subject, answers, out, champion=compared)


@kept_memory()
def evaluate_external_on_disk(
    model: Path,
    dataset: Path,
    out: Path,
    *,
    champion: Path | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Evaluation:
    """Measure a model on every image of another dataset version than the one that trained it.

    Args:
        model: A calibrated model directory, or a whole package.
        dataset: A dataset version whose classes the model knows; one that lacks some leaves their figures empty.
        out: As for `evaluate_on_disk`.
        champion: The model directory that serves now, asked the same images.
        resamples: Bootstrap draws of patients.
        seed: Of the draws.

    Raises:
        DataError: when the model was trained on this version, or does not know one of its classes.
    """
    subject = load_external(model, dataset)
    answers = answer_test_part(subject, resamples=resamples, seed=seed)
    compared = None if champion is None else ask_champion(answers, champion, subject)
    return _report(subject, answers, out, champion=compared)


def _report(subject: Subject, answers: Answers, out: Path, *, champion: ChampionComparison | None) -> Evaluation:
    """Measure the rest, and write the folder."""
    first = np.asarray(subject.images[subject.test[:1]])
    latency = measure_latency(lambda: subject.predictor.probabilities(first), device=device_name())
    evaluation = assemble(subject, answers, champion=champion, latency=latency)
    right, wrong, referred = explain_cases(subject, answers)
    drawings = draw(answers, evaluation)
    html = render_evaluation(evaluation, drawings=drawings, right=right, wrong=wrong, referred=referred)
    with atomic.new_directory(out) as folder:
        atomic.write_text(folder / "evaluation.json", evaluation.model_dump_json(indent=1) + "\n")
        atomic.write_text(folder / "evaluation.html", html)
        atomic.write_bytes(folder / "predictions.parquet", encode_predictions(answers, subject.test))
    return evaluation


def draw(answers: Answers, evaluation: Evaluation) -> dict[str, str]:
    """Draw the report's pictures as SVG."""
    legend = {name: f"{name}  {figure_text(one.auroc, 2)}" for name, one in evaluation.per_class.items()}
    roc = draw_roc(
        answers.probabilities,
        answers.labels,
        classes=answers.classes,
        operating_points=answers.operating_points,
        legend=legend,
    )
    return {
        "roc": roc,
        "reliability": draw_reliability(answers.before, answers.probabilities, answers.labels),
        "confusion": draw_confusion(np.array(evaluation.confusion), classes=answers.classes),
        **draw_sections(evaluation),
    }


def encode_predictions(answers: Answers, test: np.ndarray) -> bytes:
    """Return Parquet: each test image's index, label, patient key and calibrated probabilities."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    labels = [answers.classes[label] for label in answers.labels]
    columns = {"index": test, "label": labels, "patient": answers.patients.astype(str)}
    columns |= {f"p_{name}": answers.probabilities[:, index] for index, name in enumerate(answers.classes)}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def device_name() -> str:
    """Say on what the latency was measured."""
    import torch

    threads = torch.get_num_threads()
    return f"cpu, {threads} thread{'s' if threads > 1 else ''}"
