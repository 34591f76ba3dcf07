"""The edge's second address, for machines elsewhere: over TLS, to who shows a certificate of the trusted authority."""

import json
import re

from imaging.errors import ConfigurationError
from imaging.settings import Settings

ADDRESS = re.compile(r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\]):\d{1,5}")


def tls_lines(settings: Settings) -> list[str]:
    """Return nginx's directives; none where no such address is set.

    Raises:
        ConfigurationError: the address is none, or a file is not named or not there.
    """
    if not settings.edge_listen:
        return []
    if not ADDRESS.fullmatch(settings.edge_listen):
        raise ConfigurationError(f"THORAX_EDGE_LISTEN is an IP address and a port, not {settings.edge_listen!r}")
    named = {name: getattr(settings, name) for name in ("edge_certificate", "edge_key", "edge_client_authority")}
    for name, path in named.items():
        if path is None or not path.is_file():
            raise ConfigurationError(f"THORAX_{name.upper()} names no file; TLS at {settings.edge_listen} needs it")
        if "$" in str(path.absolute()):
            raise ConfigurationError(f"nginx takes no file with a $ in its path, as THORAX_{name.upper()} names it")
    certificate, key, authority = (_quoted(str(path.absolute())) for path in named.values() if path)
    return [
        f"listen {settings.edge_listen} ssl;",
        f"ssl_certificate {certificate};",
        f"ssl_certificate_key {key};",
        "ssl_protocols TLSv1.2 TLSv1.3;",
        f"ssl_client_certificate {authority};",
        "ssl_verify_client on;",
        "ssl_verify_depth 3;",
    ]


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
