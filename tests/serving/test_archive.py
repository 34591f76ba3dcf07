"""The TorchServe archive."""

import json
import zipfile

from imaging.models.directory import verify_package
from serving.archive import archive_name, build_archive, keep_only
from tests.serving.factories import unpack_archive


def test_the_same_package_gives_the_same_bytes(package, tmp_path):
    paths = [
        build_archive(package[0], version="7", digest=package[1], store=tmp_path / place) for place in ("one", "two")
    ]
    assert paths[0].name == paths[1].name == f"chest-xray-7-{package[1][7:19]}.mar"
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_package_lies_in_it_unchanged(package, tmp_path):
    model_dir, manifest = unpack_archive(*package, tmp_path)
    assert verify_package(model_dir / "package", manifest["model"]["digest"]).architecture == "mobilenet_v2"
    assert manifest["model"]["modelVersion"] == "7"
    assert (model_dir / manifest["model"]["handler"]).is_file()
    assert "batchSize" in (model_dir / manifest["model"]["configFile"]).read_text()


def test_nothing_in_it_but_the_handler_is_code(package, tmp_path):
    path = build_archive(package[0], version="7", digest=package[1], store=tmp_path)
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        assert json.loads(archive.read("MAR-INF/MANIFEST.json"))["runtime"] == "python"
    assert [name for name in names if name.endswith((".py", ".pt", ".pkl", ".bin"))] == ["chest_xray.py"]


def test_what_a_kill_left_is_removed_by_the_next_archive(package, tmp_path):
    (tmp_path / f".{archive_name('6', package[1])}.abc.tmp").write_bytes(b"half")
    path = build_archive(package[0], version="7", digest=package[1], store=tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_only_the_named_archives_are_kept(tmp_path):
    for name in ("chest-xray-1-a.mar", "chest-xray-2-b.mar", "somebody-elses.mar"):
        (tmp_path / name).touch()
    keep_only(tmp_path, {"chest-xray-2-b.mar"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["chest-xray-2-b.mar", "somebody-elses.mar"]
