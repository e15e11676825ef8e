"""The `optimade` package's own server on a loopback port, filled with real hosts, with faults."""

import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn
from ase.formula import Formula
from optimade.server.config import ServerConfig
from optimade.server.create_app import create_app

from defectpool.materials.host import Host

Scope, Receive, Send = dict[str, Any], Callable, Callable[[dict], Awaitable[None]]


class Faults:
    """Count the requests for structures and spoil some of them.

    `spoil` maps the number of a request (from 1) to a status, or to "cut" for an answer that ends
    in its middle. `like_c2db` makes answers those of C2DB's own server: no links, numbers for ids,
    and as the number of structures found that of the page.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.spoil: dict[int, int | str] = {}
        self.always: int | str | None = None
        self.like_c2db = False
        self.queries: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or "/structures" not in scope["path"]:
            await self.app(scope, receive, send)
            return
        self.queries.append(scope["query_string"].decode())
        fault = self.spoil.get(len(self.queries), self.always)
        if fault == "cut":
            await self.app(scope, receive, _cutting(send))
        elif fault:
            head = [(b"content-type", b"text/plain"), (b"retry-after", b"0")]
            await send({"type": "http.response.start", "status": fault, "headers": head})
            await send({"type": "http.response.body", "body": b"out of order"})
        elif self.like_c2db:
            await self.app(scope, receive, _like_c2db(send))
        else:
            await self.app(scope, receive, send)


def _like_c2db(send: Send) -> Send:
    head, whole = {}, b""

    async def rewritten(message: dict) -> None:
        nonlocal whole
        if message["type"] == "http.response.start":
            head.update(message)
            return
        whole += message.get("body", b"")
        if message.get("more_body"):
            return
        answer = json.loads(whole)
        del answer["links"]
        answer["meta"] |= {"data_returned": len(answer["data"]), "more_data_available": False}
        for entry in answer["data"]:
            entry["id"] = int.from_bytes(entry["id"].encode()[:4], "big")
            entry["attributes"]["last_modified"] = "%Y-%m-%dT%H:%M:%SZ"
        body = json.dumps(answer).encode()
        length = (b"content-length", str(len(body)).encode())
        head["headers"] = [h for h in head["headers"] if h[0] != b"content-length"] + [length]
        await send(head)
        await send({"type": "http.response.body", "body": body})

    return rewritten


def _cutting(send: Send) -> Send:
    async def half(message: dict) -> None:
        if message["type"] == "http.response.body" and message.get("body"):
            body = message["body"]
            await send({**message, "body": body[: len(body) // 2], "more_body": True})
            raise ConnectionAbortedError("the server dies here")
        await send(message)

    return half


def document(host: Host) -> dict[str, Any]:
    """Return a host as an entry of the server's collection."""
    atoms = host.atoms
    symbols = sorted(set(atoms.symbols))
    counts = {symbol: list(atoms.symbols).count(symbol) for symbol in symbols}
    reduced = Formula.from_dict(counts).reduce()[0].count()
    amounts = sorted(reduced.values(), reverse=True)
    return {
        "id": host.id,
        "last_modified": datetime(2026, 1, 1, tzinfo=UTC),
        "elements": symbols,
        "nelements": len(symbols),
        "elements_ratios": [counts[symbol] / len(atoms) for symbol in symbols],
        "chemical_formula_descriptive": host.formula,
        "chemical_formula_reduced": "".join(
            f"{symbol}{reduced[symbol] if reduced[symbol] > 1 else ''}" for symbol in symbols
        ),
        "chemical_formula_anonymous": "".join(
            f"{letter}{amount if amount > 1 else ''}"
            for letter, amount in zip("ABCDEFGH", amounts, strict=False)
        ),
        "dimension_types": [int(p) for p in atoms.pbc],
        "nperiodic_dimensions": int(sum(atoms.pbc)),
        "lattice_vectors": atoms.cell.array.tolist(),
        "cartesian_site_positions": atoms.positions.tolist(),
        "nsites": len(atoms),
        "species": [
            {"name": symbol, "chemical_symbols": [symbol], "concentration": [1.0]}
            for symbol in symbols
        ],
        "species_at_sites": list(atoms.symbols),
        "structure_features": [],
        **{key: value for key, value in host.properties.items() if key in ("ehull", "dyn_stab")},
    }


@contextmanager
def answering(reply: Callable[[str], dict]) -> Iterator[str]:
    """Start a server that answers each path with what `reply` makes of it; yield its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(reply(self.path)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


@contextmanager
def serving(hosts: Sequence[Host]) -> Iterator[tuple[str, Faults]]:
    """Start the server with these hosts; yield its base URL and its faults."""
    config = ServerConfig(
        insert_test_data=False,
        database_backend="mongomock",
        mongo_database=f"hosts-{id(hosts)}",
        provider_fields={"structures": ["ehull", "dyn_stab"]},
        page_limit_max=100,
    )
    app = create_app(config)
    app.state.entry_collections["structures"].insert([document(host) for host in hosts])
    faults = Faults(app)
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(faults, log_level="critical"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive(), "the OPTIMADE server did not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{door.getsockname()[1]}", faults
        finally:
            server.should_exit = True
            thread.join(10)
