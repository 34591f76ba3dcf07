"""What nginx is told: `nginx.conf.in` with this stack's places, what may be asked for, and how it refuses."""

import json
import os
import pwd
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imaging.settings import Settings
from serving.release.traffic import SHADOW, SHARES, Traffic
from serving.tokens import shadow_token
from thorax.stack.edge_tls import tls_lines
from thorax.stack.feedback_server import socket_of as feedback_socket
from thorax.stack.places import LOOPBACK, Places
from thorax.stack.site import Site
from thorax.stack.torchserve_server import ANSWER_WITHIN_S, LARGEST_BODY, LONGEST_SOCKET, bearer, inference_socket

TEMPLATE = Path(__file__).with_name("nginx.conf.in")
TEMPORARY = ("body", "proxy", "fastcgi", "uwsgi", "scgi")
"""nginx makes all of them at its start, also those of what it is not used for."""
GRPC_FROM = "127.0.0.2"
"""The loopback address that gRPC calls leave the edge from; `log4j2.xml` knows it."""
BURST_S = 2
"""For how many seconds a client may send at once what its rate allows in that time."""
TOKEN = re.compile(r"[A-Za-z0-9_.-]{8,128}")
LONGER_THAN_TORCHSERVE_S = 30
RETRY_AFTER_S = 2
SHADOW_CALLS = 8
"""How many copies for a version in shadow are in hand at the same time."""

ROUTES = {
    r"^/predictions/chest-xray(?:\?|$)": "/predictions/chest-xray",
    r"^/predictions/chest-xray/": "/predictions/chest-xray/*",
    r"^/explanations/chest-xray(?:\?|$)": "/explanations/chest-xray",
    r"^/explanations/chest-xray/": "/explanations/chest-xray/*",
    r"^/invocations(?:\?|$)": "/invocations",
    r"^/v1/models/chest-xray:[A-Za-z0-9_]+(?:\?|$)": "/v1/models/chest-xray:*",
    r"^/v2/models/chest-xray/": "/v2/models/chest-xray/*",
    r"^/predictions/": "/predictions/*",
    r"^/explanations/": "/explanations/*",
    r"^/v1/": "/v1/*",
    r"^/v2/": "/v2/*",
    r"^/ping(?:\?|$)": "/ping",
    r"^/api-description(?:\?|$)": "/api-description",
    r"^/feedback(?:\?|$)": "/feedback",
    r"^/adverse(?:\?|$)": "/adverse",
    r"^/queue(?:\?|$)": "/queue",
    r"^/metrics(?:\?|$)": "/metrics",
    r"^/openapi\.json(?:\?|$)": "/openapi.json",
}
"""How the log names what was asked for: the first that fits. A path may hold anything; these names nothing of it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """How the edge answers by itself, over HTTP and over gRPC."""

    code: str
    detail: str
    grpc: int
    """The gRPC status, as https://grpc.io/docs/guides/status-codes numbers them."""
    grpc_detail: str = ""
    """What is said over gRPC where it is something else."""


LARGEST_MIB = LARGEST_BODY // 2**20
TOO_LARGE_OR_AWAY = f"TorchServe broke the call off: it has more than {LARGEST_MIB} MiB, or try again"
"""TorchServe resets a call by the length that its message announces, before the edge has seen so many bytes."""
REFUSALS = {
    400: Refusal("bad_request", "this is no HTTP request, or its body did not arrive", 3),
    401: Refusal("unauthenticated", "send the token of a client that is known here: thorax clients add", 16),
    404: Refusal(
        "not_found", "there is no such path; POST an image to /predictions/chest-xray", 12, "there is no such call"
    ),
    405: Refusal("method_not_allowed", "POST to /predictions/chest-xray", 12, "a call is a POST"),
    411: Refusal("length_required", "a body needs a Content-Length or chunked coding", 3),
    413: Refusal("image_too_large", f"a request body has at most {LARGEST_MIB} MiB", 8),
    414: Refusal("bad_request", "the address is too long", 3),
    429: Refusal("too_many_requests", "more requests than this client may send; try again", 8),
    500: Refusal("service_error", "the edge failed; see `thorax logs edge`", 13),
    501: Refusal("bad_request", "this transfer coding is not known here", 12),
    502: Refusal("service_unavailable", "the server behind the edge does not answer; try again", 14, TOO_LARGE_OR_AWAY),
    503: Refusal("service_unavailable", "the edge is busy; try again", 14),
    504: Refusal("service_timeout", "the server behind the edge took too long; try again", 4),
}
ALSO = {400: (494, 497, 505), 401: (495, 496)}
"""nginx's own statuses of bad requests, of client certificates, and that of an unknown version of HTTP."""
BEFORE_A_PATH = (400, 401, 414)
"""What nginx may say before it has read a path; a named location would need one."""
TRY_AGAIN = (429, 502, 503, 504)


def render(site: Site) -> str:
    """Return the configuration of this stack's nginx; every path and address in it is the stack's own."""
    folder, settings = site.places.edge, Settings()
    token, traffic = inference_token(site), Traffic.of(site.places.home).folder / "current"
    values = {
        "USER": f"user {pwd.getpwuid(0).pw_name};" if os.geteuid() == 0 else "",
        "ROOT": quoted(f"{folder}/nothing").replace("$", "${dollar}"),
        "PID": quoted(f"{folder}/nginx.pid"),
        "LOCK": quoted(f"{folder}/nginx.lock"),
        **{f"TEMPORARY_{kind.upper()}": quoted(f"{folder}/bodies/{kind}") for kind in TEMPORARY},
        "LARGEST_BODY": str(LARGEST_BODY),
        "OPENAPI": quoted(f"{folder}/openapi.json").replace("$", "${dollar}"),
        "ROUTES": "\n".join(f'        "~{pattern}" "{name}";' for pattern, name in ROUTES.items()),
        "SHARES": "\n".join([*(f"        1% {share};" for share in range(SHARES - 1)), f"        * {SHARES - 1};"]),
        "SHARES_ROOT": quoted(f"{traffic}/").replace("$", "${dollar}")[:-1] + '$edge_share"',
        "SHADOW_ROOT": quoted(f"{traffic}/{SHADOW}").replace("$", "${dollar}"),
        "SHADOW_CALLS": str(SHADOW_CALLS),
        "SHADOW_TOKEN": shadow_token(site.places.home),
        "COPIES_SOCKET": quoted(f"unix:{copies_socket(site.places)}"),
        "FEEDBACK_SOCKET": quoted(f"unix:{feedback_socket(site.places)}"),
        "SOCKET": quoted(f"unix:{inference_socket(site.places)}"),
        "OWN_TOKEN": f'        "~^Bearer {re.escape(token)}$" 1;' if token else "",
        "UPSTREAM_TOKEN": f"Bearer {token}" if token else "",
        "KNOWN": _known(site.places.clients, settings),
        "CLIENT_RATE": str(settings.client_rate),
        "TLS": "\n".join(f"        {line}" for line in tls_lines(settings)),
        "RETRY_AFTER_S": str(RETRY_AFTER_S),
        "GRPC_FROM": GRPC_FROM,
        "GRPC_UPSTREAM": f"{LOOPBACK}:{site.ports['grpc_upstream']}",
        "HTTP": f"{LOOPBACK}:{site.ports['inference']}",
        "GRPC": f"{LOOPBACK}:{site.ports['grpc_inference']}",
        "LOG": quoted(f"{folder}/logs/requests-").replace("$", "${dollar}")[:-1] + '$edge_day.jsonl"',
        "ANSWER_WITHIN_S": str(ANSWER_WITHIN_S + LONGER_THAN_TORCHSERVE_S),
        "REFUSALS": _refusals(_over_http),
        "GRPC_REFUSALS": _refusals(_over_grpc),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    return re.sub(r"@([A-Z_]+)@", lambda found: values[found[1]], text)


def inference_token(site: Site) -> str:
    """Return TorchServe's own token as it wrote it at its last start; empty where it is not up."""
    token = bearer(site.places, "inference").get("Authorization", "").removeprefix("Bearer ")
    return token if TOKEN.fullmatch(token) else ""


def copies_socket(places: Places) -> Path:
    """Return the socket where the edge takes its copies of requests from itself, in a folder of its own."""
    own = places.edge / "copies"
    folder = own if len(str(own)) <= LONGEST_SOCKET else Path("/tmp") / f"thorax-{places.stack_id}-copies"  # noqa: S108
    return folder / "copies.sock"


def quoted(text: str) -> str:
    """Return `text` as one word of nginx's language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _known(clients: Path, settings: Settings) -> str:
    """Return what lets a caller through: TorchServe's own token, or one of a client's, within that client's limits."""
    known = quoted(f"{clients}/").replace("$", "${dollar}")[:-1] + '$edge_token"'
    lines = (
        'set $edge_who "";',
        "set $edge_known $edge_own;",
        f"if (-f {known}) {{",
        "    set $edge_known 1;",
        "    set $edge_who $edge_client;",
        "}",
        "if ($edge_known = 0) {",
        "    return 401;",
        "}",
        f"limit_req zone=client_rate burst={BURST_S * settings.client_rate} nodelay;",
        f"limit_conn client_calls {settings.client_calls};",
    )
    return "\n".join(f"            {line}" for line in lines)


def _refusals(body: Callable[[int, Refusal], list[str]]) -> str:
    lines = []
    for status, refusal in REFUSALS.items():
        listed = " ".join(str(one) for one in (status, *ALSO.get(status, ())))
        if status in BEFORE_A_PATH:
            as_such = "=401 " if status == 401 else ""  # nginx would say 400 of a client's certificate
            lines += [
                f"error_page {listed} {as_such}/refuse/{status};",
                f"location = /refuse/{status} {{",
                "    internal;",
            ]
        else:
            lines += [f"error_page {listed} @refuse_{status};", f"location @refuse_{status} {{"]
        lines += [*(f"    {line}" for line in body(status, refusal)), "}"]
    return "\n".join(f"        {line}" for line in lines)


def _over_http(status: int, refusal: Refusal) -> list[str]:
    answer = json.dumps({"code": refusal.code, "detail": refusal.detail, "request_id": "edge-$request_id"})
    headers = [f"add_header Retry-After {RETRY_AFTER_S} always;"] if status in TRY_AGAIN else []
    headers += ["add_header WWW-Authenticate Bearer always;"] if status == 401 else []
    headers += ["add_header Allow 'GET, POST, OPTIONS' always;"] if status == 405 else []
    return [*headers, f"return {status} '{answer}';"]


def _over_grpc(_status: int, refusal: Refusal) -> list[str]:
    return [
        "default_type application/grpc;",
        f"add_header grpc-status {refusal.grpc} always;",
        f"add_header grpc-message '{refusal.grpc_detail or refusal.detail}' always;",
        "return 204;",
    ]
