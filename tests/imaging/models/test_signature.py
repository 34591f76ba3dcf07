"""Signing and verifying a package: every file, by the key trusted here, without the network."""

import json
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imaging.errors import ConfigurationError, SignatureError
from imaging.models.directory import package_digest
from imaging.models.signature import SIGNATURE_FILE, sign_package, verify_signature
from imaging.models.signing_key import ensure_signing_key, fingerprint, private_key_path, public_key_path
from imaging.settings import Settings


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings()


@pytest.fixture
def package(tmp_path: Path) -> Path:
    package = tmp_path / "package"
    (package / "tensorboard").mkdir(parents=True)
    (package / "model.json").write_text("{}")
    (package / "model.safetensors").write_bytes(bytes(range(256)) * 40)
    (package / "tensorboard" / "events").write_bytes(b"x")
    (package / ".gitignore").write_text("a")
    return package


@pytest.fixture
def signed(package: Path, settings: Settings) -> Path:
    sign_package(package, settings)
    return package


def test_a_signed_package_verifies_wherever_it_lies_and_keeps_its_digest(package, settings, tmp_path):
    digest = package_digest(package)
    assert sign_package(package, settings)
    assert not sign_package(package, settings)
    moved = package.rename(tmp_path / "elsewhere")
    verify_signature(moved, settings)
    assert package_digest(moved) == digest


def test_the_key_is_made_once_and_only_its_owner_reads_it(settings):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ensure_signing_key(settings)[1], range(8)))
    key = private_key_path(settings)
    assert made.count(True) == 1
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert b"PUBLIC KEY" in public_key_path(settings).read_bytes()
    assert sorted(path.name for path in key.parent.iterdir()) == ["signing.key", "signing.pub"]


def test_the_signature_names_the_key_by_its_fingerprint(signed, settings):
    bundle = json.loads((signed / SIGNATURE_FILE).read_text())
    hint = bundle["verificationMaterial"]["publicKey"]["hint"]
    assert fingerprint(public_key_path(settings)) == f"sha256:{hint}"


@pytest.mark.parametrize("name", ["model.json", "model.safetensors", "tensorboard/events", ".gitignore"])
def test_a_changed_file_does_not_verify(signed, settings, name):
    (signed / name).write_bytes(b"changed")
    with pytest.raises(SignatureError, match="changed, added or removed"):
        verify_signature(signed, settings)


@pytest.mark.parametrize("name", ["more.txt", ".git/config", ".github/x", "tensorboard/signature.json"])
def test_an_added_file_does_not_verify(signed, settings, name):
    (signed / name).parent.mkdir(exist_ok=True)
    (signed / name).write_text("more")
    with pytest.raises(SignatureError, match="changed, added or removed"):
        verify_signature(signed, settings)


def test_a_removed_file_does_not_verify(signed, settings):
    (signed / "model.json").unlink()
    with pytest.raises(SignatureError, match="changed, added or removed"):
        verify_signature(signed, settings)


def test_a_link_does_not_verify(signed, settings, tmp_path):
    (tmp_path / "aside").write_text("{}")
    (signed / "model.json").unlink()
    (signed / "model.json").symlink_to(tmp_path / "aside")
    with pytest.raises(SignatureError):
        verify_signature(signed, settings)


def test_another_key_is_not_trusted_even_when_it_lies_in_the_package(package, settings, tmp_path):
    stranger = settings.model_copy(update={"home": tmp_path / "stranger"})
    ensure_signing_key(stranger)
    (package / "signing.pub").write_bytes(public_key_path(stranger).read_bytes())
    sign_package(package, stranger)
    ensure_signing_key(settings)
    with pytest.raises(SignatureError, match="another key"):
        verify_signature(package, settings)


def test_an_unsigned_package_says_what_to_do(package, settings):
    with pytest.raises(SignatureError, match="run `thorax pipelines run train-classifier` again"):
        verify_signature(package, settings)


def test_whoever_verifies_makes_no_key(signed, settings, tmp_path):
    elsewhere = settings.model_copy(update={"home": tmp_path / "elsewhere"})
    with pytest.raises(SignatureError, match="no public key at"):
        verify_signature(signed, elsewhere)
    assert not elsewhere.home.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"mediaType": "x", "verificationMaterial": {}}',
        b'{"dsseEnvelope": 7}',
    ],
)
def test_no_bytes_in_the_place_of_a_signature_do_more_than_not_verify(signed, settings, content):
    (signed / SIGNATURE_FILE).write_bytes(content)
    with pytest.raises(SignatureError, match="does not hold"):
        verify_signature(signed, settings)


def test_a_signature_whose_statement_was_changed_does_not_verify(signed, settings):
    bundle = json.loads((signed / SIGNATURE_FILE).read_text())
    payload = bundle["dsseEnvelope"]["payload"]
    bundle["dsseEnvelope"]["payload"] = payload[:100] + ("A" if payload[100] != "A" else "B") + payload[101:]
    (signed / SIGNATURE_FILE).write_text(json.dumps(bundle))
    with pytest.raises(SignatureError, match="another key"):
        verify_signature(signed, settings)


def test_a_lost_private_key_is_not_replaced_while_its_public_half_is_trusted(settings):
    private_key, _ = ensure_signing_key(settings)
    private_key.unlink()
    with pytest.raises(ConfigurationError, match="put it back"):
        ensure_signing_key(settings)


def test_a_lost_public_half_is_made_again(settings, signed):
    public = public_key_path(settings)
    before = public.read_bytes()
    public.unlink()
    ensure_signing_key(settings)
    assert public.read_bytes() == before


def test_a_key_that_the_settings_name_is_never_made(package, settings, tmp_path):
    named = settings.model_copy(update={"signing_key": tmp_path / "absent.key"})
    with pytest.raises(ConfigurationError, match="THORAX_SIGNING_KEY"):
        sign_package(package, named)
    (tmp_path / "absent.key").write_text("no key")
    with pytest.raises(ConfigurationError, match="cannot be signed"):
        sign_package(package, named)


def test_a_certificate_is_trusted_by_its_root(package, settings, tmp_path):
    by_certificate = with_certificate(settings, tmp_path / "ours")
    sign_package(package, by_certificate)
    verify_signature(package, by_certificate)
    others = with_certificate(settings, tmp_path / "others")
    with pytest.raises(SignatureError, match="another key"):
        verify_signature(package, others)
    with pytest.raises(SignatureError, match="THORAX_SIGNATURE_ROOTS"):
        verify_signature(package, by_certificate.model_copy(update={"signature_roots": None}))


def test_sigstore_asks_who_is_trusted_before_it_asks_the_network(signed, settings):
    with pytest.raises(SignatureError, match="THORAX_SIGNATURE_IDENTITY"):
        verify_signature(signed, settings.model_copy(update={"signing": "sigstore"}))


def test_signing_and_verifying_by_key_opens_no_connection(package, home):
    script = (
        "import sys\n"
        "def watch(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'): raise SystemExit(event)\n"
        "sys.addaudithook(watch)\n"
        "from pathlib import Path\n"
        "from imaging.models.signature import sign_package, verify_signature\n"
        "from imaging.settings import Settings\n"
        "assert 'model_signing' not in sys.modules\n"
        "sign_package(Path(sys.argv[1]), Settings()); verify_signature(Path(sys.argv[1]), Settings())\n"
    )
    done = subprocess.run([sys.executable, "-c", script, package], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def with_certificate(settings: Settings, folder: Path) -> Settings:
    """A root, and a certificate by it with its key, each in a file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir()
    root_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    made: dict[str, x509.Certificate] = {}
    for name, own, is_root in (("root", root_key, True), ("signer", key, False)):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{folder.name} {name}")])
        issuer = made["root"].subject if "root" in made else subject
        usage = {"digital_signature": not is_root, "key_cert_sign": is_root, "crl_sign": is_root}
        rest = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        builder = x509.CertificateBuilder(issuer, subject, own.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        builder = builder.not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        flags = {**dict.fromkeys((*rest, "encipher_only", "decipher_only"), False), **usage}
        builder = builder.add_extension(x509.KeyUsage(**flags), critical=True)
        made[name] = builder.sign(root_key, hashes.SHA256())
        (folder / f"{name}.pem").write_bytes(made[name].public_bytes(serialization.Encoding.PEM))
    pem, form, none = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "signer.key").write_bytes(key.private_bytes(pem, form, none))
    return settings.model_copy(
        update={
            "signing": "certificate",
            "signing_key": folder / "signer.key",
            "signing_certificate": folder / "signer.pem",
            "signature_roots": folder / "root.pem",
        }
    )
