"""The key that signs packages, as `thorax up` makes it."""

from audit import AuditLog
from thorax.stack.credentials import make_signing_key
from thorax.stack.places import Places


def test_it_is_made_once_and_its_fingerprint_is_on_record(home):
    places = Places.of(home)
    assert [make_signing_key(places), make_signing_key(places)] == [True, False]
    (event,) = AuditLog(home / "audit").events(action="config.changed")
    assert event.details["made"].startswith("sha256:")
    assert (home / "keys" / "signing.key").stat().st_mode & 0o777 == 0o600


def test_none_is_made_where_a_certificate_signs(home, monkeypatch):
    monkeypatch.setenv("THORAX_SIGNING", "certificate")
    assert not make_signing_key(Places.of(home))
    assert not (home / "keys").exists()
