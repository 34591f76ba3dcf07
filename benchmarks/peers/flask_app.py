"""Flask as students write it: the development server, torchvision's transforms, torch eager, one image at a time."""

import argparse
import io
import os
from pathlib import Path

import numpy as np
import pydicom
import torch
from flask import Flask, Response, jsonify, request
from PIL import Image
from torchvision import transforms

from imaging.models.directory import load_info, load_model

package = Path(os.environ["PACKAGE"])
info = load_info(package)
model = load_model(package, info).eval()
transform = transforms.Compose(
    [
        transforms.Resize((info.input.size, info.input.size)),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)
app = Flask(__name__)


@app.post("/predictions/chest-xray")
def predict() -> Response:
    """Answer with the probabilities."""
    body = request.get_data()
    if body[128:132] == b"DICM":
        values = pydicom.dcmread(io.BytesIO(body)).pixel_array.astype(np.float32)
        image = Image.fromarray((values / values.max() * 255).astype(np.uint8)).convert("RGB")
    else:
        image = Image.open(io.BytesIO(body)).convert("RGB")
    with torch.no_grad():
        row = model(transform(image).unsqueeze(0)).softmax(1)[0]
    return jsonify(probabilities=row.tolist())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    app.run(host="127.0.0.1", port=parser.parse_args().port, threaded=True)
