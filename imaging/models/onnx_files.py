"""What the exports of a model directory are called. Light to import."""

from typing import Literal

Precision = Literal["fp32", "fp16", "int8"]
FILES: dict[Precision, str] = {"fp32": "model.onnx", "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
"""A finished package holds the first, and the others where they answer as well."""
