"""The components, by the name of their step."""

from typing import Any

from components.calibrate_model import calibrate_model
from components.check_gates import check_gates
from components.evaluate_model import evaluate_model
from components.ingest_images import ingest_images
from components.package_model import package_model
from components.register_model import register_model
from components.split_dataset import split_dataset
from components.train_model import train_model

COMPONENTS: dict[str, Any] = {
    "ingest-images": ingest_images,
    "split-dataset": split_dataset,
    "train-model": train_model,
    "calibrate-model": calibrate_model,
    "evaluate-model": evaluate_model,
    "package-model": package_model,
    "check-gates": check_gates,
    "register-model": register_model,
}
