"""FastAPI over the same runtime and the same decoder, without batches: `uvicorn peers.fastapi_app:app`."""

import json
import os
from pathlib import Path

import torch
from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from imaging.dicom.pixels import Limits
from imaging.models.directory import load_info
from imaging.models.onnx_session import load_session, session_logits
from serving.decoding.square import Encoded, decode_square

package = Path(os.environ["PACKAGE"])
info = load_info(package)
session = load_session(package / "model.onnx", threads=torch.get_num_threads())
app = FastAPI()


@app.post("/predictions/chest-xray")
async def predict(request: Request) -> Response:
    """Answer with the probabilities."""
    body = await request.body()
    return Response(await run_in_threadpool(answer, body), media_type="application/json")


def answer(body: bytes) -> str:
    """Decode and classify one image."""
    square = decode_square(Encoded(data=body), info.packed_size, Limits())
    row = info.calibrated(session_logits(session, square.pixels[None], info.input))[0]
    return json.dumps({"probabilities": row.tolist()})
