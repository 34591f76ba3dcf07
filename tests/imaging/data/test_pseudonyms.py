"""Pseudonyms: stable with the key, unrelated without it, and a key file nobody else reads."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imaging.data.pseudonyms import pseudonym, pseudonym_key
from imaging.errors import ConfigurationError
from imaging.settings import Settings


@given(patient=st.text(min_size=1, max_size=20))
def test_a_pseudonym_depends_on_patient_and_key_only(patient):
    assert pseudonym(patient, b"a" * 32) == pseudonym(f" {patient} ", b"a" * 32)
    assert pseudonym(patient, b"a" * 32) != pseudonym(patient, b"b" * 32)
    assert len(pseudonym(patient, b"a" * 32)) == 16


def test_the_key_is_made_once_and_readable_by_its_owner_only(tmp_path):
    settings = Settings(home=tmp_path / "home", pseudonym_key=None)
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(pseudonym_key(settings))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(keys)) == 1
    assert len(keys[0]) == 32
    assert ((tmp_path / "home" / "pseudonym.key").stat().st_mode & 0o777) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["pseudonym.key"]


def test_a_given_key_is_used_and_a_bad_one_is_refused(tmp_path):
    assert pseudonym_key(Settings(home=tmp_path, pseudonym_key="ab" * 32)) == b"\xab" * 32
    for bad in ("ab", "not hexadecimal"):
        with pytest.raises(ConfigurationError):
            pseudonym_key(Settings(home=tmp_path, pseudonym_key=bad))
