"""Addresses, secrets and places, from `THORAX_*` variables; read once at an entry point and passed down.

On one machine `thorax.stack.environment` fills these variables from the running stack; on Kubernetes
they come from ConfigMaps and Secrets. Nothing here has a default password.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Weights = Annotated[Path | None, NoDecode]


class Settings(BaseSettings):
    """Where things are and who we are."""

    model_config = SettingsConfigDict(env_prefix="THORAX_", frozen=True, extra="ignore")

    home: Path = Path(".thorax")
    """Everything the one-machine stack keeps."""
    data: Path = Path("../shared/data")
    """Real sample images, where they are present."""
    weights: Weights = None
    """A file, or a folder of `<architecture>*.pt`, with ImageNet weights."""
    allow_download: bool = False
    """Whether torchvision may download weights."""
    weights_mirror: str = ""
    """Address of a folder that serves torchvision's weights files under their names; its own where empty."""
    actor: str = ""
    """Who acts, for the audit record: an MLflow user or a workload's name."""
    pseudonym_key: SecretStr | None = None
    """Key of the patient pseudonyms (hex); without one, `home/pseudonym.key` is made and used."""

    signing: Literal["key", "certificate", "sigstore"] = "key"
    """How packages are signed, and what a signature is held against; only `sigstore` needs the network."""
    signing_key: Path | None = None
    """Private key (PEM) to sign with; without one, `home/keys/signing.key` is made and used."""
    signing_certificate: Path | None = None
    """Of the private key, when signing by certificate."""
    signing_chain: Path | None = None
    """The certificates between that one and its root."""
    signature_key: Path | None = None
    """Public key (PEM) whose signatures are trusted; without one, `home/keys/signing.pub`."""
    signature_roots: Path | None = None
    """Root certificates whose signers are trusted, when verifying by certificate."""
    signature_identity: str = ""
    """Who is trusted to sign, when verifying by Sigstore."""
    signature_issuer: str = ""
    """The OpenID Connect issuer that vouches for that identity."""

    mlflow_uri: str = ""
    mlflow_username: str = ""
    mlflow_password: SecretStr = SecretStr("")

    s3_endpoint: str = ""
    s3_access_key: str = ""
    s3_secret_key: SecretStr = SecretStr("")
    predictions_bucket: str = ""
    """Where the prediction log is copied to; on this machine alone where empty."""

    serving_url: str = ""
    """Where the inference API answers: on one machine the edge in front of TorchServe."""
    serving_token: SecretStr = SecretStr("")
    """An integration's token, of `thorax clients add`; goes before the key file's."""
    management_url: str = ""
    """TorchServe's management address: loopback only."""
    serving_keys: Path | None = None
    """TorchServe's key file, with the inference and management tokens."""

    rollout: Path | None = None
    """Plan (YAML) of the steps by which an approved version takes over; `home/rollout.yaml` where empty."""

    client_rate: int = Field(default=50, gt=0)
    """How many requests a second an integration may send through the edge; twice as many at once."""
    client_calls: int = Field(default=64, gt=0)
    """How many of an integration's requests the edge has in hand at the same time."""
    edge_listen: str = ""
    """IP address and port where the edge answers other machines over TLS; nowhere but on loopback where empty."""
    edge_certificate: Path | None = None
    """The edge's own certificate and what it chains to (PEM)."""
    edge_key: Path | None = None
    """Its private key (PEM)."""
    edge_client_authority: Path | None = None
    """Certificates of the authority that callers' certificates must come from (PEM)."""
    runtime: Literal["auto", "torch", "onnx", "onnx-int8"] = "auto"
    """How the server runs a model: the fastest that answers as torch does, or the one that is named."""
    max_image_bytes: int = Field(default=64 * 2**20, gt=0)
    max_image_pixels: int = Field(default=60_000_000, gt=0)
    decode_timeout_s: float = Field(default=20.0, gt=0)
    """How long the server decodes one image; a JPEG 2000 of 60 million pixels takes 4 s on a quiet core."""
    decode_memory_bytes: int = Field(default=3 * 2**30, ge=2**29)
    """Address space of a process that decodes; 60 million pixels take 1.1 GiB on their way."""
    http_timeout_s: float = Field(default=30.0, gt=0)
