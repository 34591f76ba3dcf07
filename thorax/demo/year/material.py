"""What the year works on: synthetic radiographs of three sites to train on, others for the traffic, a new scanner's."""

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from thorax.demo.material import Material, Note, merge_tables
from thorax.demo.year import hospital

TRAINED_ON, ASKED_ABOUT, ON_THE_SCANNER = 180, 150, 160
"""Patients of each site to train on and to ask about, and of the new scanner."""


@dataclass(frozen=True, kw_only=True, slots=True)
class YearMaterial:
    """Where the year's images are; each folder has its `labels.csv`."""

    train: Path
    traffic: Path
    scanner: Path
    retrain: Path
    """What comes since the new scanner: its images in the place of the old one's."""
    told: str

    def as_material(self) -> Material:
        """Return it as the first training takes it."""
        return Material(
            source=self.train,
            labels=self.train / "labels.csv",
            keep_split=True,
            recipe="smallcnn_phantom",
            first_ten=(),
            shifted=(),
            retrain_source=self.retrain,
            retrain_labels=self.retrain / "labels.csv",
            told=self.told,
        )


def year_material(place: Path, note: Note) -> YearMaterial:
    """Draw the images, where they are not there already."""
    from imaging.data.phantom import write_phantom

    note("drawing synthetic radiographs of three sites")
    train, traffic, retrain, scanner = (place / name for name in ("train", "traffic", "retrain", "scanner"))
    if not (retrain / "labels.csv").is_file():
        for site in hospital.SITES:
            write_phantom(train / f"site-{site}", patients=TRAINED_ON, seed=1, site=site)
            write_phantom(traffic / f"site-{site}", patients=ASKED_ABOUT, seed=2, site=site)
        where, other = hospital.SCANNER_SITE, 1.0
        write_phantom(scanner, patients=ON_THE_SCANNER, seed=3, site=where, device_shift=other)
        write_phantom(retrain / "scanner", patients=TRAINED_ON, seed=4, site=where, device_shift=other)
        folders = {root: [root / f"site-{site}" for site in hospital.SITES] for root in (train, traffic)}
        for root, sites in folders.items():
            merge_tables(root / "labels.csv", sites)
        stay = [folder for folder in folders[train] if folder.name != f"site-{where}"]
        for folder in stay:
            shutil.copytree(folder, retrain / folder.name, copy_function=os.link)
        merge_tables(retrain / "labels.csv", [*(retrain / one.name for one in stay), retrain / "scanner"])
    told = f"{3 * TRAINED_ON} synthetic patients at sites {', '.join(hospital.SITES)} to train on"
    return YearMaterial(train=train, traffic=traffic, scanner=scanner, retrain=retrain, told=told)


def packed_size(package: Path) -> int:
    """Return the side of the images that a model directory's model takes."""
    described = json.loads((package / "model.json").read_text(encoding="utf-8"))
    return int(described["packed_size"])
