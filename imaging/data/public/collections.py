"""The public collections that `thorax data fetch` knows: files, sizes, licences and, where published, checksums.

A checksum is here only where the publisher, torchvision or TensorFlow Datasets state it, or where independent projects
agree on it. A file without one is pinned when it first comes, see `fetching.py`.
"""

from dataclasses import dataclass

from imaging.errors import NotFoundError


@dataclass(frozen=True, kw_only=True, slots=True)
class Remote:
    """One published file."""

    name: str
    url: str
    digest: str = ""
    """`sha256:` or `md5:` with the checksum, or nothing where none is known."""
    size: int = 0
    """Bytes, or 0 where not known exactly."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Collection:
    """A collection and what its user should know before fetching it."""

    title: str
    licence: str
    megabytes: int
    """What is downloaded, roughly; 0 where it is not known."""
    files: tuple[Remote, ...]
    unpack: bool = True
    """Whether its archives are unpacked; the readers of the others take them as they are."""
    ingest: str = ""
    """The options that `thorax data ingest` needs for it."""


MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
MICROSOFT = "https://download.microsoft.com/download/3/E/1/3E1C3F21-ECDB-4869-8368-6DEBA77B919F/"
MENDELEY = "https://data.mendeley.com/public-files/datasets/rscbjbr9sj/files/"
NIH = "https://nihcc.box.com/shared/static/"
NIH_TABLES = "https://huggingface.co/datasets/alkzar90/NIH-Chest-X-ray-dataset/resolve/main/data/"
NIH_PARTS = (
    "vfk49d74nhbxq3nqjg0900w5nvkorp5c", "i28rlmbvmfjbl8p2n3ril0pptcmcu9d1", "f1t00wrtdk94satdfb9olcolqx20z2jp",
    "0aowwzs5lhjrceb3qp67ahp0rd1l1etg", "v5e3goj22zr6h8tzualxfsqlqaygfbsn", "asi7ikud9jwnkrnkj99jnpfkjdes7l6l",
    "jn1b4mw4n6lnh74ovmcjb8y48h8xj07n", "tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j", "upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj",
    "l6nilvfa9cg3s28tqv1qc1olm3gnz54p", "hhq8fkdgvcari67vfhs7ppg2w6ni4jze", "ioqwiy20ihqwyr8pf4c24eazhh281pbu",
)  # fmt: skip
"""The names of images_001 to images_012, from the publishers' own download script."""

COLLECTIONS: dict[str, Collection] = {
    "mnist": Collection(
        title="MNIST handwritten digits, 70,000 of 28 x 28",
        licence="CC BY-SA 3.0",
        megabytes=12,
        unpack=False,
        files=tuple(
            Remote(name=f"{name}-ubyte.gz", url=f"{MNIST}{name}-ubyte.gz", digest=f"md5:{md5}", size=size)
            for name, md5, size in (
                ("train-images-idx3", "f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
                ("train-labels-idx1", "d53e105ee54ea40749a09fcbcd1e9432", 28_881),
                ("t10k-images-idx3", "9fb629c4189551a2d022fa330f9573f3", 1_648_877),
                ("t10k-labels-idx1", "ec29112dd5afa0611ce80d1b7f02629c", 4_542),
            )
        ),
    ),
    "cifar10": Collection(
        title="CIFAR-10, 60,000 colour pictures of 32 x 32 (binary version)",
        licence="not stated; cite Krizhevsky 2009",
        megabytes=170,
        unpack=False,
        files=(
            Remote(
                name="cifar-10-binary.tar.gz",
                url="https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                digest="sha256:c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
                size=170_052_171,
            ),
        ),
    ),
    "kermany": Collection(
        title="Chest X-rays of children, normal and pneumonia (Kermany 2018)",
        licence="CC BY 4.0",
        megabytes=1236,
        files=(
            Remote(
                name="ChestXRay2017.zip",
                url=f"{MENDELEY}f12eaf6d-6023-432f-acc9-80c9d7393433/file_downloaded",
                digest="sha256:13efc055629733dbab07877f8b3c9f81097840dbcdaa326a8542322c2281ce36",
                size=1_235_512_464,
            ),
        ),
    ),
    "nih": Collection(
        title="NIH ChestX-ray14, 112,120 frontal chest X-rays",
        licence="free use; name the NIH Clinical Center and cite Wang 2017",
        megabytes=45_100,
        files=(
            *(
                Remote(name=name, url=NIH_TABLES + name)
                for name in ("Data_Entry_2017_v2020.csv", "test_list.txt", "train_val_list.txt")
            ),
            *(
                Remote(name=f"images_{number:03}.tar.gz", url=f"{NIH}{part}.gz")
                for number, part in enumerate(NIH_PARTS, start=1)
            ),
        ),
    ),
    "covid-chestxray": Collection(
        title="Chest X-rays from COVID-19 publications (Cohen 2020)",
        licence="by image, see the license column of its metadata.csv; some forbid commercial use",
        megabytes=0,
        files=(
            Remote(
                name="covid-chestxray-dataset.zip",
                url="https://github.com/ieee8023/covid-chestxray-dataset/archive/refs/heads/master.zip",
            ),
        ),
    ),
    "flowers": Collection(
        title="TensorFlow flower photos, 3,670 of 5 kinds",
        licence="CC BY 2.0 by photo, see its LICENSE.txt",
        megabytes=229,
        ingest="--subject picture",
        files=(
            Remote(
                name="flower_photos.tgz",
                url="https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
                digest="sha256:4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
                size=228_813_984,
            ),
        ),
    ),
    "catsdogs": Collection(
        title="Cats and dogs of the Asirra set, 25,000",
        licence="Microsoft Research's, for research; it is in the archive",
        megabytes=825,
        ingest="--subject picture",
        files=(Remote(name="kagglecatsanddogs_5340.zip", url=f"{MICROSOFT}kagglecatsanddogs_5340.zip"),),
    ),
}


def collection(name: str) -> Collection:
    """Return a collection.

    Raises:
        NotFoundError: an unknown name; the message lists those there are.
    """
    if name not in COLLECTIONS:
        raise NotFoundError(f"no public collection {name!r}; there are: {', '.join(COLLECTIONS)}")
    return COLLECTIONS[name]
