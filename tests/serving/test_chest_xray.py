"""The handler, driven as TorchServe drives it."""

import base64
import json
import pickle
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.predictions import read_spool
from imaging.data.transforms import to_square_uint8
from imaging.errors import ModelPackageError, SignatureError
from imaging.inference import Predictor
from imaging.models.directory import package_digest
from serving.handlers.chest_xray import ChestXrayHandler
from serving.release_gate import ReleaseGate
from tests.serving.factories import SIZE, Context, bad_bytes, chest, dicom, jpeg, png, unpack_archive
from tests.signing import trust

BAD = bad_bytes()


def ask(handler, *requests: tuple[object, dict]) -> list[tuple[int, dict]]:
    """Send one batch of (body, headers); return each status and JSON."""
    served, context = handler
    context.headers = [headers for _, headers in requests]
    answers = served.handle([{"body": body} for body, _ in requests], context)
    return [(context.statuses[i], json.loads(answer)) for i, answer in enumerate(answers)]


def test_a_dicom_gets_the_answer_of_the_contract(handler, package):
    [(status, answer)] = ask(handler, (bytearray(dicom()), {"X-Request-Id": "case-1"}))
    assert status == 200
    assert answer["request_id"] == "case-1"
    assert answer["model"] == {
        "name": "chest-xray",
        "version": "7",
        "digest": package[1],
        "stage": "champion",
        "runtime": "torch-fp32",
    }
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-6)
    assert answer["prediction"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert answer["image"]["modality"] == "DX"
    assert answer["image"]["view"] == "PA"
    assert (answer["image"]["rows"], answer["image"]["columns"]) == (96, 96)
    assert answer["triage"]["decision"] in ("report", "refer")
    assert answer["advisory"].startswith("Decision support only")
    assert "explanation" not in answer


def test_the_answer_is_the_predictors(handler, package):
    image = chest(3, side=150)
    [(_, answer)] = ask(handler, (png(image), {}))
    square = to_square_uint8(image.astype(np.float32) / 255, SIZE)
    expected = Predictor.load(package[0]).probabilities(square[None])[0]
    assert list(answer["probabilities"].values()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", BAD)
def test_bad_bytes_get_their_code(handler, name):
    data, status, code = BAD[name]
    [(got, refusal)] = ask(handler, (bytearray(data), {"request_id": "r-1"}))
    assert (got, refusal["code"]) == (status, code)
    assert refusal["request_id"] == "r-1"
    assert refusal["detail"]


@pytest.mark.parametrize("body", [{"a": 1}, "some text", [1, 2], None, 7])
def test_a_body_that_torchserve_parsed_is_no_image(handler, body):
    [(status, refusal)] = ask(handler, (body, {}))
    assert (status, refusal["code"]) == (415, "unsupported_media_type")


def test_a_form_without_an_image_says_what_to_send(handler):
    served, context = handler
    context.headers = [{}]
    refusal = json.loads(served.handle([{}], context)[0])
    assert refusal["code"] == "unsupported_media_type"
    assert "Content-Type" in refusal["detail"]


def test_a_bad_image_does_not_fail_its_neighbours(handler):
    good = png(chest(1))
    [(_, alone)] = ask(handler, (good, {}))
    batch = [(data, {}) for data, _, _ in BAD.values()]
    answers = ask(handler, (good, {}), *batch, (good, {}))
    assert [status for status, _ in answers] == [200, *(status for _, status, _ in BAD.values()), 200]
    for answer in (answers[0][1], answers[-1][1]):
        assert answer["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-5)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_an_answer_does_not_depend_on_its_batch(handler, order):
    images = [png(chest(0)), jpeg(chest(1)), dicom(chest(2)), b"no image"]
    alone = [ask(handler, (image, {}))[0] for image in images]
    together = ask(handler, *((images[i], {}) for i in order))
    for i, (status, answer) in zip(order, together, strict=True):
        assert status == alone[i][0]
        if status == 200:
            assert answer["probabilities"] == pytest.approx(alone[i][1]["probabilities"], abs=1e-5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=200),
    head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", bytes(128) + b"DICM"]),
)
def test_no_bytes_get_a_500(handler, data, head):
    [(status, refusal)] = ask(handler, (head + data, {}))
    assert 400 <= status < 500
    assert set(refusal) == {"code", "detail", "request_id"}


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++"])
def test_an_explanation_comes_when_asked_for(handler, method):
    [(status, answer), (_, plain)] = ask(handler, (dicom(), {"X-Thorax-Explain": method}), (dicom(), {}))
    assert status == 200
    assert answer["explanation"]["method"] == method
    assert answer["explanation"]["target"] == answer["prediction"]
    assert base64.b64decode(answer["explanation"]["png_base64"]).startswith(b"\x89PNG")
    assert "explanation" not in plain
    assert answer["probabilities"] == pytest.approx(plain["probabilities"], abs=1e-5)


def test_options_come_as_fields_too(handler):
    served, context = handler
    context.headers = [{"explain": {"content-type": ""}}]
    fields = {"body": dicom(), "explain": bytearray(b"grad-cam"), "request_id": bytearray(b"q-1")}
    answer = json.loads(served.handle([fields], context)[0])
    assert answer["request_id"] == "q-1"
    assert answer["explanation"]["method"] == "grad-cam"


def test_torchserves_own_explain_header_asks_for_nothing(handler):
    [(status, answer)] = ask(handler, (dicom(), {"explain": "False"}))
    assert status == 200
    assert "explanation" not in answer


@pytest.mark.parametrize("headers", [{"X-Thorax-Explain": "lime"}, {"X-Request-Id": "a b"}, {"X-Request-Id": "x" * 65}])
def test_an_impossible_option_is_refused(handler, headers):
    [(status, refusal)] = ask(handler, (dicom(), headers))
    assert (status, refusal["code"]) == (400, "bad_request")


@given(given_id=st.text(max_size=80))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_request_id_cannot_forge_a_log_line(handler, given_id):
    [(_, refusal)] = ask(handler, (b"no image", {"X-Request-Id": given_id}))
    assert refusal["request_id"].isascii()
    assert not set(refusal["request_id"]) & set('\r\n"{}/\\ ')
    assert 1 <= len(refusal["request_id"]) <= 64


def test_every_request_is_logged_once_without_the_patient(handler, home):
    ask(handler, (dicom(), {"X-Request-Id": "good"}), (b"text", {"X-Request-Id": "bad"}))
    rows = {row["request_id"]: row for row in read_spool(home / "predictions" / "spool")}
    assert set(rows) == {"good", "bad"}
    good, bad = rows["good"], rows["bad"]
    assert good["refusal_code"] is None
    assert good["model_version"] == "7"
    assert good["media_type"] == "application/dicom"
    assert set(good["statistics"]) >= {"mean", "std", "sharpness"}
    assert good["latency_ms"] > 0
    assert bad["refusal_code"] == "unsupported_media_type"
    assert bad["scores"] == {}
    everything = "".join(path.read_text() for path in (home / "predictions" / "spool").iterdir())
    assert "Doe" not in everything
    assert "SECRET-77" not in everything


def test_a_worker_does_not_start_with_a_changed_package(handler):
    from pathlib import Path

    served, context = handler
    info = Path(context.system_properties["model_dir"]) / "package" / "model.json"
    info.write_text(info.read_text().replace('"temperature": 1.0', '"temperature": 2.0'))
    with pytest.raises(ModelPackageError, match="digest"):
        served.initialize(context)


def test_a_worker_does_not_start_with_a_pickle_under_another_name(package, tmp_path, home):
    directory = tmp_path / "package"
    shutil.copytree(package[0], directory)
    (directory / "notes.txt").write_bytes(pickle.dumps(["anything"]))
    context = Context(*unpack_archive(directory, package_digest(directory), tmp_path))
    with pytest.raises(ModelPackageError, match=r"notes\.txt"):
        ChestXrayHandler().initialize(context)


def test_a_worker_does_not_load_a_package_that_nobody_trusted_here_signed(package, tmp_path, home):
    trust(home)
    context = Context(*unpack_archive(*package, tmp_path))
    (tmp_path / "unpacked" / "package" / "signature.json").unlink()
    with pytest.raises(SignatureError, match="nobody vouches"):
        ChestXrayHandler().initialize(context)


def test_a_version_that_is_not_released_answers_only_its_smoke_test(handler, home, package):
    _, context = handler
    gate = ReleaseGate.of(home / "release")
    gate.close()
    token = gate.expect_smoke_test("7", package[1])
    headers = ({}, {"X-Thorax-Smoke-Test": "guess"}, {"X-Request-Id": "smoke-1"}, {"X-THORAX-SMOKE-TEST": token})
    answers = ask(handler, *((dicom(), one) for one in headers))
    assert [status for status, _ in answers] == [503, 503, 503, 200]
    assert {answer["code"] for _, answer in answers[:3]} == {"not_released"}
    assert context.response_headers[0]["Retry-After"] == "1"
    gate.admit("7", package[1])
    assert ask(handler, (dicom(), {}))[0][0] == 200
    refused = [row for row in read_spool(home / "predictions" / "spool") if row["refusal_code"] == "not_released"]
    assert len(refused) == 3


def test_a_request_that_cannot_even_be_looked_at_does_not_fail_its_neighbours(handler):
    [(status, refusal), (neighbour, _)] = ask(handler, (dicom(), {1: "not a header"}), (dicom(), {}))
    assert (status, refusal["code"], neighbour) == (503, "service_unavailable", 200)
