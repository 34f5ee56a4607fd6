"""A loopback HTTP server in the place of the MNIST mirrors, and files for it to serve."""

import gzip
import hashlib
import os
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from magnet_helpers.data import mnist_files

CERTIFICATES = Path(__file__).parent / "data" / "certificates"  # made for these tests; their key is no secret
PUBLISHED_FOLDER = os.environ.get("MAGNET_DATA")  # before any test changes the environment
SMALL_SIZES = {"train": 60, "t10k": 20}


def idx_bytes(array: np.ndarray) -> bytes:
    header = (0x0800 + array.ndim).to_bytes(4, "big")
    return header + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


def small_contents() -> dict[str, bytes]:
    """Return four well-formed files with few images, not compressed."""
    random = np.random.default_rng(5)
    contents = {}
    for part, size in SMALL_SIZES.items():
        images = random.integers(0, 256, (size, 28, 28), dtype=np.uint8)
        labels = (np.arange(size) % 10).astype(np.uint8)
        contents[f"{part}-images-idx3-ubyte"] = idx_bytes(images)
        contents[f"{part}-labels-idx1-ubyte"] = idx_bytes(labels)
    return contents


def compressed(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content, 1) for name, content in contents.items()}


def accept_as_published(contents: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in contents.items():
        digest = hashlib.sha256(content).hexdigest()
        monkeypatch.setitem(mnist_files.MNIST_SHA256, name, digest)


def published_files(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Return the four real .gz files if MAGNET_DATA names them, else small ones made to pass."""
    if PUBLISHED_FOLDER is None:
        contents = small_contents()
        accept_as_published(contents, monkeypatch)
        return compressed(contents)
    files = {}
    for name in mnist_files.MNIST_SHA256:
        plain, zipped = Path(PUBLISHED_FOLDER) / name, Path(PUBLISHED_FOLDER) / f"{name}.gz"
        content = zipped.read_bytes() if zipped.exists() else gzip.compress(plain.read_bytes(), 1)
        files[f"{name}.gz"] = content
    return files


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def isolate(monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """Point the environment at an empty home and at no mirror; return the MNIST folder there."""
    monkeypatch.delenv("MAGNET_DATA", raising=False)
    monkeypatch.setenv("MAGNET_HOME", str(home))
    monkeypatch.setenv("MAGNET_MNIST_MIRRORS", "http://127.0.0.1:9/")  # nothing listens there
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return home / "data" / "mnist"


def use_mirrors(monkeypatch: pytest.MonkeyPatch, *servers: "MirrorServer") -> None:
    monkeypatch.setenv("MAGNET_MNIST_MIRRORS", " ".join(server.url for server in servers))


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def with_byte(content: bytes, position: int, value: int) -> bytes:
    return content[:position] + bytes([value]) + content[position + 1 :]


class MirrorServer:
    """What a test sees of a mirror: its address, and the file names it was asked for."""

    def __init__(self, files: dict[str, bytes], behaviour: str) -> None:
        self.files = files
        self.behaviour = behaviour
        self.asked: list[str] = []
        self.closing = threading.Event()
        self.url = ""


@contextmanager
def mirror(files: dict[str, bytes], behaviour: str = "serve", certificate: str | None = None) -> Iterator[MirrorServer]:
    """Serve `files` from 127.0.0.1 in one way, by HTTPS if a certificate is named (a file in `CERTIFICATES`).

    "serve", "unpacked" (a server that decompresses), "slow" (pauses, but goes on), an HTTP status, "html",
    "login" (leads to a page), "loop" (leads to itself), "reset" (hangs up at once), "odd length" (announces none),
    "hang" (accepts and says nothing), "drip" (a byte of the header now and then), "stall" (falls
    silent half-way), "break" (closes half-way), "once" (one file, then 404). To whom takes it for a proxy it says 407.
    """
    state = MirrorServer(files, behaviour)

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

        def do_GET(self) -> None:
            name = self.path.rsplit("/", 1)[-1]
            state.asked.append(name)
            with suppress(ConnectionError):  # the client may have left
                self.answer(name)
            self.close_connection = True

        def do_CONNECT(self) -> None:
            self.send_error(407)

        def answer(self, name: str) -> None:
            if state.behaviour == "hang":
                state.closing.wait(60)
                return
            if state.behaviour == "drip":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Waiting: ")
                for _ in range(300):
                    self.wfile.write(b".")
                    if state.closing.wait(0.1):
                        return
                return
            if state.behaviour == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
                return
            if state.behaviour == "loop" or (state.behaviour == "login" and name != "login"):
                self.send_response(302)
                self.send_header("Location", "/mnist/login")
                self.end_headers()
                return
            if state.behaviour.isdecimal():
                self.send_error(int(state.behaviour))
                return
            once_over = state.behaviour == "once" and len(set(state.asked)) > 1
            if once_over or not (name in state.files or name == "login"):
                self.send_error(404)
                return
            body = state.files.get(name, b"")
            if state.behaviour in ("html", "login"):
                body = b"<!DOCTYPE html><html><body>Please log in to this network.</body></html>"
            if state.behaviour == "unpacked":
                body = gzip.decompress(body)
            self.send_response(200)
            self.send_header("Content-Length", "many" if state.behaviour == "odd length" else str(len(body)))
            self.end_headers()
            if state.behaviour == "slow":
                for part in np.array_split(np.frombuffer(body, np.uint8), 5):
                    self.wfile.write(part.tobytes())
                    state.closing.wait(0.05)
                return
            half = state.behaviour in ("stall", "break")
            self.wfile.write(body[: len(body) // 2] if half else body)
            if state.behaviour == "stall":
                state.closing.wait(60)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATES / certificate, CERTIFICATES / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # a client that does not trust it
    state.url = f"http{'s' * (certificate is not None)}://127.0.0.1:{server.server_address[1]}/mnist/"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
