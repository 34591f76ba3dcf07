"""The smallest real things: answers of a decent model, an evaluation that passes, and a finished package."""

from pathlib import Path

import numpy as np

from imaging.config import Floors, InputConfig
from imaging.evaluation.confounding import source_confounding
from imaging.evaluation.evaluate import Answers, evaluate_calibration, evaluate_classes
from imaging.evaluation.metrics import confusion_matrix
from imaging.evaluation.schema import Evaluation, Figure, Latency, SourceConfounding, SplitOverlap
from imaging.evaluation.subgroups import evaluate_subgroups
from tests.imaging.evaluation.exported import faithful_exports
from tests.imaging.evaluation.robust import steady_robustness
from tests.imaging.evaluation.sure import kept_promise
from tests.imaging.training.histories import history, write_curves

CLASSES = ("covid", "normal", "pneumonia")
POINTS = {"covid": 0.25, "pneumonia": 0.25}


def calibrated_answers(*, images: int = 1500, per_patient: int = 2, resamples: int = 200, seed: int = 0) -> Answers:
    """Answers whose labels are drawn from the very probabilities, and logits twice too large before temperature."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(images, 3)) * 3.5
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    after = exponents / exponents.sum(axis=1, keepdims=True)
    before = after**2 / (after**2).sum(axis=1, keepdims=True)
    labels = (after.cumsum(axis=1) > rng.random((images, 1))).argmax(axis=1)
    return Answers(
        before=before,
        probabilities=after,
        labels=labels.astype(np.int64),
        patients=np.array([f"p{index // per_patient:04d}" for index in range(images)]),
        classes=CLASSES,
        operating_points=POINTS,
        resamples=resamples,
        seed=seed,
    )


def passing_evaluation() -> Evaluation:
    """An evaluation that every gate but the package's lets through."""
    answers = calibrated_answers()
    per_class, overall = evaluate_classes(answers)
    count = len(answers.labels)
    sex = np.where(np.arange(count) // 2 % 2 == 0, "F", "M")
    groups = evaluate_subgroups(
        answers.probabilities, answers.labels, answers.patients, {"sex": sex}, classes=CLASSES, resamples=200, seed=0
    )
    return Evaluation(
        model_name="chest-xray",
        recipe="mobilenetv2_smoke",
        architecture="mobilenet_v2",
        initial_weights="random",
        classes=CLASSES,
        critical_classes=("covid", "pneumonia"),
        floors=Floors(macro_auroc_lower=0.8, sensitivity_lower={"covid": 0.6, "pneumonia": 0.6}),
        operating_points=POINTS,
        operating_point_rule="a rule",
        n_images=count,
        n_patients=count // 2,
        resamples=200,
        seed=0,
        per_class=per_class,
        overall=overall,
        confusion=tuple(map(tuple, confusion_matrix(answers.probabilities, answers.labels).tolist())),
        calibration=evaluate_calibration(answers, temperature=2.0),
        subgroups=groups,
        source_confounding=_one_source(answers),
        champion=None,
        latency=Latency(p50_ms=10.0, p95_ms=12.0, runs=40, device="cpu"),
        overlap=SplitOverlap(patients=0, duplicates=0),
        digests={"dataset": "sha256:d", "split": "sha256:s", "answers": "sha256:a"},
        robustness=steady_robustness(),
        uncertainty=kept_promise(),
        export=faithful_exports(),
        limits=("research only",),
    )


def _one_source(answers: Answers) -> SourceConfounding:
    border, everywhere = Figure(value=0.34, low=0.30, high=0.38), np.full(len(answers.labels), "A")
    columns = {"source": everywhere}
    return source_confounding(answers.labels, answers.patients, columns, classes=CLASSES, border=border)


def write_small_dataset(folder: Path, *, patients: int = 150, size: int = 32, seed: int = 0) -> Path:
    """A dataset version of one image a patient whose class shows as a bright band; covid has a source of its own."""
    from imaging.data.dataset import TEXT_COLUMNS, write_dataset
    from imaging.data.statistics import image_statistics

    rng = np.random.default_rng(seed)
    labels = np.arange(patients) % 3
    images = rng.normal(90, 25, size=(patients, size, size))
    for index, label in enumerate(labels):
        images[index, 8 + 5 * label : 13 + 5 * label, 8:24] += 45
    images = images.clip(0, 255).astype(np.uint8)
    folder.mkdir(parents=True)
    np.save(folder / "images.npy", images)
    table = {name: np.full(patients, "", dtype=object) for name in TEXT_COLUMNS}
    table |= {
        "label": np.array(CLASSES)[labels],
        "patient": np.array([f"{index:016x}" for index in range(patients)]),
        "view": np.where(np.arange(patients) % 2 == 0, "PA", "AP"),
        "sex": np.where(np.arange(patients) // 3 % 2 == 0, "F", "M"),
        "source": np.where(labels == 0, "articles", "hospital"),
        "rows": np.full(patients, size),
        "columns": np.full(patients, size),
        "pixel_sha256": np.array([f"{index:064x}" for index in range(patients)]),
        **image_statistics(images),
    }
    write_dataset(folder, table, size=size, facts={"name": "small"})
    return folder


def write_small_model(folder: Path, dataset: Path, split: Path) -> Path:
    """A model directory: a random MobileNetV2 below a head fitted to the training part."""
    import torch
    from sklearn.linear_model import LogisticRegression

    from imaging.data.dataset import load_dataset
    from imaging.data.splits import Split
    from imaging.models import build_model
    from imaging.models.directory import ModelInfo, save_model
    from imaging.models.preprocessing import to_input

    data, parts = load_dataset(dataset), Split.load(split)
    config = InputConfig(size=data.size)
    torch.manual_seed(0)
    model = build_model("mobilenet_v2", num_classes=3).eval()
    head = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    seen: list[torch.Tensor] = []
    hook = head.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
    train = parts.parts["train"]
    with torch.no_grad():
        model(to_input(torch.from_numpy(np.array(data.images[train])), config))
        features = seen[0].numpy()
        scale = 1 / features.std()
        fitted = LogisticRegression(max_iter=300).fit(features * scale, data.labels[train])
        head.weight.copy_(torch.from_numpy(fitted.coef_ * scale))
        head.bias.copy_(torch.from_numpy(fitted.intercept_))
    hook.remove()
    info = ModelInfo(
        recipe="mobilenetv2_smoke",
        architecture="mobilenet_v2",
        classes=data.classes,
        input=config,
        packed_size=data.size,
        critical_classes=("covid", "pneumonia"),
        floors=Floors(macro_auroc_lower=0.7, sensitivity_lower={"covid": 0.5, "pneumonia": 0.5}),
        digests={"recipe": "sha256:r"},
    )
    save_model(folder, model, info)
    write_curves(folder, history([0.9, 0.6, 0.5, 0.52]))
    return folder
