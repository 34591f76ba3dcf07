"""Grey values beside those of dcmtk, an implementation that shares nothing with ours. `infra/dcmtk.sh` installs it."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest

from imaging.data.phantom import write_phantom
from imaging.dicom.pixels import decode
from imaging.settings import Settings

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.beside,
    pytest.mark.skipif(not shutil.which("dcmj2pnm"), reason="no dcmtk to compare with"),
]

REAL = ("gdcm_cr_mono1_10_chest", "nih_dx_00000001_000", "rsna_cr_chest_pa_jpeg", "rsna_cr_fake_monochrome1")
"""Real chests; dcmtk as Debian has it reads no JPEG 2000, so that the fifth file is left to the codec's own tests."""
ENCODERS = {
    "big-endian": ("dcmconv", "+tb"),
    "implicit": ("dcmconv", "+ti"),
    "deflated": ("dcmconv", "+td"),
    "RLE": ("dcmcrle",),
    "JPEG lossless": ("dcmcjpeg", "+e1"),
    "JPEG lossless, any predictor": ("dcmcjpeg", "+el"),
    "JPEG-LS lossless": ("dcmcjpls", "+el"),
}
SMALLEST_STEP = 2 / 65535


def rendered(file: Path, folder: Path, *, window: bool) -> np.ndarray:
    """Return dcmtk's grey values in [0, 1]: by the file's first window, or from its least value to its greatest."""
    out = folder / "dcmtk.pgm"
    options = ["+Wi", "1"] if window else ["+Wm"]
    command = ["dcmj2pnm", "--write-16-bit-pnm", *options, str(file), str(out)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    kind, columns, rows, most, *values = out.read_bytes().split()
    assert kind == b"P2"
    return np.array(values, dtype=np.float64).reshape(int(rows), int(columns)) / int(most)


@pytest.mark.parametrize("name", REAL)
def test_a_real_chest_has_the_grey_values_that_dcmtk_gives(tmp_path, name):
    file = Settings().data / "dicom" / f"{name}.dcm"
    if not file.is_file():
        pytest.skip(f"no {file}: set THORAX_DATA")
    ours, theirs = decode(file.read_bytes()).pixels, rendered(file, tmp_path, window=False)
    assert ours.shape == theirs.shape
    assert_same_up_to_the_range(ours, theirs)


def test_a_real_chest_with_a_window_is_windowed_as_dcmtk_does(tmp_path):
    file = Settings().data / "dicom" / "gdcm_cr_mono1_10_chest.dcm"
    if not file.is_file():
        pytest.skip(f"no {file}: set THORAX_DATA")
    ours, theirs = decode(file.read_bytes()).pixels, rendered(file, tmp_path, window=True)
    assert np.abs(ours - theirs).max() <= SMALLEST_STEP


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uncompressed synthetic chest of 16 bits allocated."""
    folder = write_phantom(tmp_path_factory.mktemp("phantom") / "chests", patients=1, seed=4)
    return sorted(folder.rglob("*.dcm"))[0]


@pytest.mark.parametrize("syntax", ENCODERS)
def test_what_dcmtk_encodes_without_loss_is_read_to_the_same_values(tmp_path, phantom, syntax):
    program, *options = ENCODERS[syntax]
    encoded = tmp_path / "encoded.dcm"
    subprocess.run([program, *options, str(phantom), str(encoded)], check=True, capture_output=True, timeout=120)
    before, after = (pydicom.dcmread(file).file_meta.TransferSyntaxUID for file in (phantom, encoded))
    assert before != after
    ours = decode(encoded.read_bytes()).pixels
    assert np.array_equal(ours, decode(phantom.read_bytes()).pixels)
    assert_same_up_to_the_range(ours, rendered(phantom, tmp_path, window=False))


def assert_same_up_to_the_range(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Both are the stored values in a straight line, each from another black to another white."""
    inside = (ours > 0) & (ours < 1)
    assert inside.mean() > 0.5
    slope, offset = np.polyfit(theirs[inside], ours[inside], 1)
    assert slope > 0
    assert np.abs(np.clip(slope * theirs + offset, 0, 1) - ours).max() <= 2 * SMALLEST_STEP * max(1.0, slope)
