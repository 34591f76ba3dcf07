"""The same endpoint behind LitServe: another server is this file and nothing more.

Run: `python -m serving.litserve_app PACKAGE --version 7 --port 8000`. It serves one package, whose signature is
verified, with the tokens of a key file; release, edge and the record of what a server turned away are TorchServe's.
"""

import argparse
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import litserve
from fastapi import Depends, Request
from starlette.responses import Response

from imaging.errors import ImageTooLargeError, ServiceError, ThoraxError
from imaging.models.directory import package_digest
from imaging.settings import Settings
from serving.archive import MODEL_NAME, WorkerConfig
from serving.errors import UnauthenticatedError
from serving.loading import load_reader
from serving.reader import Case
from serving.reading import Reading
from serving.receiving import receive
from serving.tokens import authorization

LOOPBACK = "127.0.0.1"
SLACK_BYTES = 2**20
"""What is read beyond the largest image, so that it is the reader that refuses it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrived:
    """A request as it came in, on its way from the web server's process to the model's."""

    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    error: ThoraxError | None = None


async def arrive(request: Request) -> Arrived:
    """Read a request's body up to the largest image, of a caller whose token is known."""
    settings = Settings()
    headers = dict(request.headers)
    try:
        refuse_stranger(headers, settings)
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > settings.max_image_bytes + SLACK_BYTES:
                raise ImageTooLargeError(f"an image has at most {settings.max_image_bytes} bytes")
            chunks.append(chunk)
    except ThoraxError as error:
        return Arrived(headers=headers, body=b"", error=error)
    return Arrived(headers=headers, body=b"".join(chunks))


def refuse_stranger(headers: dict[str, str], settings: Settings) -> None:
    """Raise UnauthenticatedError for a request without the inference token of the key file."""
    try:
        expected = authorization(settings.serving_keys, "inference").get("Authorization", "")
    except ServiceError:
        expected = ""
    if not expected or not hmac.compare_digest(headers.get("authorization", "").encode(), expected.encode()):
        raise UnauthenticatedError("the inference token is missing or wrong")


class ChestXrayAPI(litserve.LitAPI):
    """One package, answered in batches."""

    def __init__(self, package: Path, version: str) -> None:
        config = WorkerConfig()
        super().__init__(
            max_batch_size=config.batch_size,
            batch_timeout=config.max_batch_delay_ms / 1000,
            api_path=f"/predictions/{MODEL_NAME}",
        )
        self.package, self.version = package, version

    def setup(self, device: str) -> None:
        """Load the package in the worker's process.

        Raises:
            ModelPackageError: it is not signed, or could run code; the server does not start.
        """
        self.reader = load_reader(
            self.package,
            Settings(),
            name=MODEL_NAME,
            version=self.version,
            digest=package_digest(self.package),
            device=device,
        )

    def decode_request(self, request: Annotated[Arrived, Depends(arrive)]) -> Case:
        """Return the request as a case of the reader."""
        return receive({"body": request.body}, request.headers, partial(_raise, request.error))

    def batch(self, inputs: Sequence[Case]) -> Sequence[Case]:
        """Return the cases as they are."""
        return inputs

    def predict(self, x: Sequence[Case]) -> list[Reading]:
        """Answer a batch."""
        return self.reader.read(x)

    def unbatch(self, output: list[Reading]) -> list[Reading]:
        """Return the readings as they are."""
        return output

    def encode_response(self, output: Reading) -> Response:
        """Return a reading as HTTP has it."""
        headers: dict[str, Any] = output.headers
        return Response(output.text, status_code=output.status, media_type="application/json", headers=headers)


def _raise(error: ThoraxError | None) -> None:
    if error is not None:
        raise error


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve one package until stopped."""
    parser = argparse.ArgumentParser(prog="python -m serving.litserve_app", description="Serve one model by LitServe.")
    parser.add_argument("package", type=Path, help="a signed model directory")
    parser.add_argument("--version", default="1", help="what answers name it")
    parser.add_argument("--host", default=LOOPBACK)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=1, help="processes with the model")
    asked = parser.parse_args(arguments)
    server = litserve.LitServer(
        ChestXrayAPI(asked.package, asked.version), accelerator="auto", workers_per_device=asked.workers, timeout=120
    )
    server.run(host=asked.host, port=asked.port, num_api_servers=1, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
