"""`thorax predict` against a small HTTP server of our own."""

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from serving.answer import Answer
from thorax.commands.predict import predict

PNG = b"\x89PNG picture"
app = typer.Typer()
app.command()(predict)

ANSWER = Answer.model_validate(
    {
        "request_id": "r",
        "model": {"name": "chest-xray", "version": "7", "digest": "sha256:1", "stage": "champion"},
        "prediction": "pneumonia",
        "probabilities": {"normal": 0.06, "pneumonia": 0.94},
        "uncertainty": {"entropy_nats": 0.2},
        "triage": {"decision": "refer", "reasons": ["view_unknown"]},
        "image": {"sha256": "x", "rows": 9, "columns": 9, "modality": "", "view": "", "warnings": []},
    }
)


class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        refused = b"lateral" in data
        if refused:
            body = {"code": "not_a_chest_radiograph", "detail": "a lateral view", "request_id": "r"}
        else:
            body = ANSWER.model_dump(exclude_none=True)
            method = self.headers["X-Thorax-Explain"]
            if method != "none":
                png = base64.b64encode(PNG).decode()
                body["explanation"] = {"method": method, "target": "pneumonia", "png_base64": png}
        text = json.dumps(body).encode()
        self.send_response(422 if refused else 200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def serving(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("THORAX_SERVING_URL", f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    for name in ("frontal", "lateral"):
        (tmp_path / f"{name}.dcm").write_bytes(name.encode())
    return {name: str(tmp_path / f"{name}.dcm") for name in ("frontal", "lateral")}


@pytest.mark.usefixtures("serving")
def test_an_answer_is_a_row_of_a_table(files):
    result = CliRunner().invoke(app, [files["frontal"]])
    assert result.exit_code == 0
    for text in ("frontal.dcm", "pneumonia", "0.94", "refer", "view_unknown", "physician"):
        assert text in result.stdout


@pytest.mark.usefixtures("serving")
def test_a_refusal_shows_its_code_beside_the_answers_and_exits_1(files):
    result = CliRunner().invoke(app, [files["frontal"], files["lateral"], "--json"])
    assert result.exit_code == 1
    frontal, lateral = json.loads(result.stdout)
    assert frontal["probabilities"]["pneumonia"] == 0.94
    assert lateral["code"] == "not_a_chest_radiograph"
    assert lateral["file"].endswith("lateral.dcm")


@pytest.mark.usefixtures("serving")
def test_an_overlay_is_written(files, tmp_path):
    result = CliRunner().invoke(app, [files["frontal"], "--overlay", str(tmp_path / "out.png")])
    assert result.exit_code == 0
    assert (tmp_path / "out.png").read_bytes() == PNG


def test_an_overlay_of_two_files_is_misuse(files, tmp_path):
    result = CliRunner().invoke(app, [*files.values(), "--overlay", str(tmp_path / "out.png")])
    assert result.exit_code == 2


def test_without_a_server_the_user_is_told_to_start_one(home, files):
    result = CliRunner().invoke(app, [files["frontal"]])
    assert "thorax up" in str(result.exception)
