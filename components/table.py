"""The components, by the name of their step."""

from typing import Any

from components.calibrate_model import calibrate_model
from components.check_drift import check_drift
from components.check_gates import check_gates
from components.choose_settings import choose_settings
from components.compare_on_recent import compare_on_recent
from components.evaluate_fold import evaluate_fold
from components.evaluate_model import evaluate_model
from components.ingest_images import ingest_images
from components.merge_datasets import merge_datasets
from components.package_model import package_model
from components.plan_folds import plan_folds
from components.propose_settings import propose_settings
from components.register_model import register_model
from components.register_retrained import register_retrained
from components.split_dataset import split_dataset
from components.split_fold import split_fold
from components.summarise_folds import summarise_folds
from components.take_new_images import take_new_images
from components.train_distributed import train_distributed
from components.train_model import train_model
from components.try_settings import try_settings

COMPONENTS: dict[str, Any] = {
    "ingest-images": ingest_images,
    "split-dataset": split_dataset,
    "train-model": train_model,
    "train-distributed": train_distributed,
    "calibrate-model": calibrate_model,
    "evaluate-model": evaluate_model,
    "package-model": package_model,
    "check-gates": check_gates,
    "register-model": register_model,
    "plan-folds": plan_folds,
    "split-fold": split_fold,
    "evaluate-fold": evaluate_fold,
    "summarise-folds": summarise_folds,
    "propose-settings": propose_settings,
    "try-settings": try_settings,
    "choose-settings": choose_settings,
    "check-drift": check_drift,
    "take-new-images": take_new_images,
    "merge-datasets": merge_datasets,
    "compare-on-recent": compare_on_recent,
    "register-retrained": register_retrained,
}
