"""The document that integrations read says what the handler answers."""

import json

import jsonschema
import pytest

from serving.openapi import REFUSED, TRY_AGAIN, openapi
from tests.serving.factories import bad_bytes, chest, dicom, jpeg, png
from thorax.stack.edge_config import REFUSALS
from thorax.stack.edge_config import TRY_AGAIN as AT_THE_EDGE

BAD = bad_bytes()


def validate(answer: dict, status: int) -> None:
    document = openapi()
    response = document["paths"]["/predictions/chest-xray"]["post"]["responses"][str(status)]
    schema = response["content"]["application/json"]["schema"]
    jsonschema.validate(answer, {**schema, "components": document["components"]}, jsonschema.Draft202012Validator)


def ask(handler, body: bytes, **headers: str) -> tuple[int, dict]:
    served, context = handler
    context.headers = [headers]
    answer = json.loads(served.handle([{"body": body}], context)[0])
    return context.statuses[0], answer


@pytest.mark.parametrize("explain", ["none", "grad-cam++"])
def test_every_answer_is_of_its_schema(handler, explain):
    for image in (dicom(), png(chest(1)), jpeg(chest(2))):
        status, answer = ask(handler, image, **{"X-Thorax-Explain": explain})
        assert status == 200
        validate(answer, 200)


@pytest.mark.parametrize("name", BAD)
def test_every_refusal_is_of_its_schema_and_its_code_is_described(handler, name):
    data, status, code = BAD[name]
    got, answer = ask(handler, data)
    assert got == status
    validate(answer, status)
    assert code in REFUSED[status]


def test_an_answer_of_another_shape_is_told_apart(handler):
    _, answer = ask(handler, dicom())
    with pytest.raises(jsonschema.ValidationError):
        validate({**answer, "probabilities": "all"}, 200)


def test_what_the_edge_refuses_is_described_under_the_same_code():
    for status, refusal in REFUSALS.items():
        if status in REFUSED:
            assert refusal.code in REFUSED[status]
    assert set(AT_THE_EDGE) <= set(TRY_AGAIN)
