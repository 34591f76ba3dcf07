"""Every layout becomes the one packed dataset version, and `auto` says which it was."""

import gzip
import io
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from imaging.data.dataset import load_dataset
from imaging.data.ingest import ingest
from imaging.data.layouts import LAYOUTS, Place, choose
from imaging.data.layouts.kermany import _patient
from imaging.data.layouts.mnist import idx_array
from imaging.data.sources import open_source
from imaging.data.splits import split_dataset
from imaging.errors import ConfigurationError, DataError, EmptyDatasetError

NOISE = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_mnist(root: Path, train: int = 60, test: int = 20) -> np.ndarray:
    root.mkdir(parents=True)
    images = NOISE.integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    labels = np.arange(train + test, dtype=np.uint8) % 10
    for name, part in {"train": slice(0, train), "t10k": slice(train, None)}.items():
        (root / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[part])))
        (root / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels[part]))
    return images


def colour_picture(path: Path, seed: int, side: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(path)


def ingested(root: Path, out: Path, key: bytes, **options):
    result = ingest(str(root), out, pseudonym_key=key, **options)
    return result, load_dataset(result.path, check_digest=True)


def test_mnist_keeps_its_pixels_its_side_and_its_test_set(tmp_path, key):
    images = write_mnist(tmp_path / "in")
    result, dataset = ingested(tmp_path / "in", tmp_path / "out", key)
    assert (result.layout, dataset.channels, dataset.classes) == ("mnist", 1, tuple("0123456789"))
    assert np.array_equal(dataset.images, images)
    assert dataset.labels.tolist() == [i % 10 for i in range(80)]
    assert dataset.column("split_hint").tolist() == ["train"] * 60 + ["test"] * 20
    assert len(set(dataset.patients)) == 80
    assert ingested(tmp_path / "in", tmp_path / "out", key, size=32)[1].images.shape == (80, 32, 32)


def test_of_equal_pictures_on_both_sides_the_tested_one_stays(tmp_path, key):
    images = write_mnist(tmp_path / "in")
    images[70] = images[10]
    for name, part in {"train": slice(0, 60), "t10k": slice(60, None)}.items():
        (tmp_path / "in" / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images[part])))
    result, dataset = ingested(tmp_path / "in", tmp_path / "out", key)
    assert result.problems["duplicate_pixels"] == 1
    assert dataset.column("split_hint").tolist() == ["train"] * 59 + ["test"] * 20
    assert np.array_equal(dataset.images, np.delete(images, 10, axis=0))


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\0\x08\x03", idx(np.zeros((2, 3, 3), np.uint8))[:-1], idx(np.zeros((2, 3), np.uint8)),
     struct.pack(">4B3I", 0, 0, 8, 3, 2**32 - 1, 2**32 - 1, 2**32 - 1), b"\0\0\x0d\x03" + bytes(40)],
)  # fmt: skip
def test_a_damaged_idx_file_is_refused(data):
    with pytest.raises(DataError):
        idx_array(data, dimensions=3)


def cifar_batch(images: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], images.transpose(0, 3, 1, 2).reshape(len(images), -1)], axis=1).tobytes()


def test_the_binary_cifar10_is_read_from_its_archive_and_from_its_files(tmp_path, key):
    images = NOISE.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(40, dtype=np.uint8) % 10
    batches = {"data_batch_1.bin": cifar_batch(images[:20], labels[:20]),
               "test_batch.bin": cifar_batch(images[20:], labels[20:])}  # fmt: skip
    (tmp_path / "packed").mkdir()
    with tarfile.open(tmp_path / "packed" / "cifar-10-binary.tar.gz", "w:gz") as tar:
        for name, data in batches.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            (tmp_path / "open").mkdir(exist_ok=True)
            (tmp_path / "open" / name).write_bytes(data)
    result, dataset = ingested(tmp_path / "packed", tmp_path / "out", key)
    assert (result.layout, dataset.channels, dataset.classes[0]) == ("cifar10", 3, "airplane")
    assert np.array_equal(dataset.images, images)
    assert dataset.column("split_hint").tolist() == ["train"] * 20 + ["test"] * 20
    assert ingested(tmp_path / "open", tmp_path / "out", key)[0].digest == result.digest
    grey = ingested(tmp_path / "open", tmp_path / "out", key, grey=True)[1]
    assert (grey.channels, grey.images.shape) == (1, (40, 32, 32))


def test_the_pickled_cifar10_is_refused_unread(tmp_path, key):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "cifar-10-python.tar.gz").write_bytes(b"anything")
    with pytest.raises(DataError, match="binary"):
        ingest(str(tmp_path / "in"), tmp_path / "out", pseudonym_key=key)


def test_pictures_keep_their_colours_and_an_all_grey_folder_becomes_grey(tmp_path, key, make_folder):
    for i in range(4):
        colour_picture(tmp_path / "in" / "photos" / "ab"[i % 2] / f"{i}.png", i)
    make_folder(tmp_path / "in" / "photos", [("a/grey.png", 9)])
    result, dataset = ingested(tmp_path / "in", tmp_path / "out", key, subject="picture", size=32)
    assert (result.channels, dataset.images.shape, dataset.classes) == (3, (5, 32, 32, 3), ("a", "b"))
    assert len(set(dataset.patients)) == 5
    assert sum(bool((image[..., 0] == image[..., 1]).all()) for image in dataset.images) == 1
    assert ingested(tmp_path / "in", tmp_path / "out", key, subject="picture", size=32, grey=True)[1].channels == 1
    root = make_folder(tmp_path / "grey", [("a/1.png", 1), ("b/2.png", 2)])
    assert ingested(root, tmp_path / "out", key, subject="picture", size=32)[1].images.shape == (2, 32, 32)


def test_photographs_taken_for_radiographs_are_refused_with_the_option_that_reads_them(tmp_path, key):
    for i in range(4):
        colour_picture(tmp_path / "in" / "ab"[i % 2] / f"{i}.png", i)
    with pytest.raises(EmptyDatasetError, match="--subject picture"):
        ingest(str(tmp_path / "in"), tmp_path / "out", pseudonym_key=key)


def test_a_zip_file_is_read_where_it_is(tmp_path, key, make_folder):
    root = make_folder(tmp_path / "in", [("x/train/a/1.png", 1), ("x/train/b/2.png", 2), ("x/test/a/3.png", 3)])
    (tmp_path / "packed").mkdir()
    with zipfile.ZipFile(tmp_path / "packed" / "images.zip", "w") as file:
        for path in root.rglob("*.png"):
            file.write(path, path.relative_to(root))
        file.writestr("x/train/a/broken.png", b"\x89PNG\r\n\x1a\n")
    packed, dataset = ingested(tmp_path / "packed", tmp_path / "out", key, size=32)
    assert packed.digest == ingested(root, tmp_path / "out", key, size=32)[0].digest
    assert sorted(dataset.column("split_hint")) == ["test", "train", "train"]
    assert packed.problems["unreadable"] == 1
    (tmp_path / "bad.zip").write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match="zip"):
        ingest(str(tmp_path / "bad.zip"), tmp_path / "out", pseudonym_key=key)


KERMANY = ["train/NORMAL/IM-0115-0001.jpeg", "train/NORMAL/NORMAL2-IM-0501-0001-0002.jpeg",
           "train/PNEUMONIA/person1_bacteria_1.jpeg", "train/PNEUMONIA/person1_virus_2.jpeg",
           "val/NORMAL/NORMAL2-IM-1427-0001.jpeg", "val/PNEUMONIA/person1946_bacteria_4874.jpeg",
           "test/NORMAL/IM-0001-0001.jpeg", "test/PNEUMONIA/person1_virus_6.jpeg"]  # fmt: skip


def test_kermanys_folders_give_classes_splits_and_patients(tmp_path, key, make_folder):
    root = make_folder(tmp_path / "in", [(f"chest_xray/{name}", i) for i, name in enumerate(KERMANY)])
    make_folder(root, [("__MACOSX/chest_xray/train/NORMAL/._IM-0115-0001.jpeg", 99)])
    result, dataset = ingested(root, tmp_path / "out", key, size=32)
    assert (result.layout, dataset.classes) == ("kermany", ("normal", "pneumonia"))
    assert len(dataset) == 8
    assert len(set(dataset.patients)) == 7, "person1 of train is one, person1 of test is another"
    assert sorted(dataset.column("split_hint")) == ["test"] * 2 + ["train"] * 4 + ["val"] * 2


@pytest.mark.parametrize(
    ("name", "patient"),
    [("person80_virus_150.jpeg", "person80"), ("person80_bacteria_389.jpeg", "person80"),
     ("IM-0115-0001.jpeg", "im-0115"), ("NORMAL2-IM-0501-0001-0002.jpeg", "normal2-im-0501"),
     ("BACTERIA-1008087-0002.jpeg", "1008087")],
)  # fmt: skip
def test_the_patient_is_in_kermanys_file_name(name, patient):
    assert _patient(f"a/{name}", "train") == f"kermany/fit/{patient}"
    assert _patient("other.jpeg", "train") == ""


NIH = """Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,Width,Height
1_0.png,Cardiomegaly|Pneumonia,0,1,058Y,M,PA,2682,2749
1_1.png,No Finding,1,1,58,M,AP,2682,2749
2_0.png,No Finding,0,2,081Y,F,PA,2500,2048
3_0.png,Hernia,0,3,40,F,PA,2500,2048
4_0.png,Hernia,0,4,40,F,PA,2500,2048
"""


def write_nih(root: Path, make_folder) -> Path:
    make_folder(root, [("images_001/1_0.png", 1), ("images_001/1_1.png", 2), ("images_002/2_0.png", 3),
                       ("images_002/3_0.png", 4)])  # fmt: skip
    (root / "Data_Entry_2017.csv").write_text(NIH)
    (root / "test_list.txt").write_text("3_0.png\n4_0.png\n")
    return root


def test_nihs_table_gives_normal_and_abnormal_or_one_finding_against_the_rest(tmp_path, key, make_folder):
    root = write_nih(tmp_path / "in", make_folder)
    result, dataset = ingested(root, tmp_path / "out", key, size=32)
    assert (result.layout, dataset.classes) == ("nih", ("abnormal", "normal"))
    assert dataset.column("label").tolist() == ["abnormal", "normal", "normal", "abnormal"]
    assert dataset.column("split_hint").tolist() == ["train"] * 3 + ["test"]
    assert dataset.column("age_band").tolist() == ["40-64", "40-64", "65+", "40-64"]
    assert dataset.patients[0] == dataset.patients[1] != dataset.patients[2]
    assert "1 of 5 rows" in result.notes[0]
    one, found = ingested(root, tmp_path / "out", key, size=32, finding="Pneumonia", labels="Data_Entry_2017.csv")
    assert found.column("label").tolist() == ["pneumonia"] + ["no_pneumonia"] * 3
    assert one.layout == "nih"
    with pytest.raises(ConfigurationError, match="Cardiomegaly, Hernia, Pneumonia"):
        ingest(str(root), tmp_path / "out", pseudonym_key=key, finding="Mass")


COVID = """patientid,offset,sex,age,finding,view,modality,date,location,folder,filename,license
2,0,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,"January 22, 2020",Hanoi,images,a.png,CC BY
2,3,M,65,Pneumonia/Viral/COVID-19,AP Supine,X-ray,,,images,b.png,
3,,F,50,Pneumonia/Bacterial/Streptococcus,AP,X-ray,,,images,c.png,
4,,F,50,No Finding,PA,X-ray,,,images,d.png,
5,,F,50,Pneumonia/Viral/COVID-19,L,X-ray,,,images,e.png,
6,,F,50,Pneumonia/Viral/COVID-19,Axial,CT,,,volumes,f.nii.gz,
7,,F,50,Tuberculosis,PA,X-ray,,,images,g.png,
8,,F,50,todo,PA,X-ray,,,images,h.png,
"""


def test_covid_chestxray_gives_its_frontal_radiographs(tmp_path, key, make_folder):
    root = make_folder(tmp_path / "in" / "repo-master", [(f"images/{name}.png", ord(name)) for name in "abcdegh"])
    (root / "metadata.csv").write_text(COVID)
    result, dataset = ingested(tmp_path / "in", tmp_path / "out", key, size=32)
    assert (result.layout, dataset.classes) == ("covid-chestxray", ("covid", "normal", "pneumonia"))
    assert dataset.column("view").tolist() == ["PA", "AP", "AP", "PA"]
    assert dataset.patients[0] == dataset.patients[1]
    assert sum(result.problems.values()) == 0
    assert "2 of 8 rows are no frontal" in result.notes[0]
    _, found = ingested(tmp_path / "in", tmp_path / "out", key, size=32, finding="Bacterial")
    assert found.column("label").tolist().count("bacterial") == 1
    assert len(found) == 5


def test_an_unknown_layout_or_one_that_does_not_fit_is_named(tmp_path, key, make_folder):
    root = str(make_folder(tmp_path / "in", [("a/1.png", 1), ("b/2.png", 2)]))
    for options, message in [
        ({"layout": "imagenet"}, "there are: auto, mnist"),
        ({"layout": "nih"}, "not laid out as nih"),
        ({"finding": "Mass"}, "--finding is for"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            ingest(root, tmp_path / "out", pseudonym_key=key, **options)
    with pytest.raises(DataError, match="--labels"):
        ingest(root, tmp_path / "out", pseudonym_key=key, layout="table")


def test_class_folders_without_images_are_seen_below_a_wrapping_folder_too(tmp_path, key, make_folder):
    root = make_folder(tmp_path / "in" / "photos", [("train/a/1.png", 1), ("train/b/2.png", 2)])
    (root / "train" / "c").mkdir()
    with pytest.raises(EmptyDatasetError, match="'c'"):
        ingest(str(tmp_path / "in"), tmp_path / "out", pseudonym_key=key)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "options", "layout", "classes"),
    [("flowers", {"subject": "picture"}, "folders", 5), ("catsdogs", {"subject": "picture"}, "folders", 2),
     ("cifar10", {}, "cifar10", 10), ("mnist", {}, "mnist", 10), ("xray3", {"labels": "manifest.csv"}, "table", 3)],
)  # fmt: skip
def test_the_real_folders_are_recognised(real_data, name, options, layout, classes):
    source = open_source(str(real_data / name))
    labels = options.pop("labels", None)
    place = Place(source=source, table=labels and source.read(labels, most=2**26).decode(), **options)
    assert choose(place, "auto") == layout
    plan = LAYOUTS[layout].read(place)
    if plan.parts is None:
        assert len({entry.label for entry in plan.entries}) == classes
        assert {entry.split for entry in plan.entries} <= {"train", "val", "test"}
    else:
        assert [len(part.images) for part in plan.parts()] == [60_000, 10_000]


@pytest.mark.real_data
def test_real_colour_pictures_become_a_dataset_that_can_be_split_as_its_table_says(real_data, tmp_path, key):
    _, dataset = ingested(real_data / "catsdogs", tmp_path / "out", key, subject="picture", size=48)
    assert dataset.images.shape == (380, 48, 48, 3)
    split = split_dataset(dataset, keep_hints=True)
    assert len(split.parts["test"]) == 60
