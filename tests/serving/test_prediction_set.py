"""The set of classes that an answer carries."""

from imaging.models.uncertainty_rules import ConformalRule
from tests.serving.factories import dicom
from tests.serving.test_chest_xray import ask


def test_an_answer_carries_the_models_prediction_set_and_none_where_it_has_no_rule(handler):
    [(_, plain)] = ask(handler, (bytearray(dicom()), {}))
    assert "prediction_set" not in plain
    predictor = handler[0].reader.predictor
    rule = ConformalRule(level=0.9, quantile=1.0, patients=8)
    predictor.info = predictor.info.model_copy(update={"conformal": rule})
    [(_, answer)] = ask(handler, (bytearray(dicom()), {}))
    assert answer["prediction_set"] == sorted(answer["probabilities"], key=answer["probabilities"].get, reverse=True)
    assert "ambiguous_set" in answer["triage"]["reasons"]
    assert 0 <= answer["uncertainty"]["mutual_information_nats"] < 1
