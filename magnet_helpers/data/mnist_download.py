"""Getting MNIST files from a mirror into a folder, wholly or not at all, and never in the place of another file.

Answers for mirrors, time-outs and disks that fail. Whether a file is the published one is left to the check that
`mnist_files` passes in.

Environment variable: `MAGNET_MNIST_MIRRORS` replaces `_MIRRORS` with a space-separated list of addresses that serve
`<file>.gz`.
"""

import os
import queue
import re
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np
import requests
from numpy.typing import NDArray
from requests.exceptions import ChunkedEncodingError, ProxyError, SSLError
from requests.utils import get_environ_proxies, select_proxy
from tqdm import TqdmWarning, tqdm

from magnet_helpers.data.errors import DataError, WrongFileError
from magnet_helpers.data.idx import GZIP_START

_MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_CONNECT_SECONDS = 3.0  # to reach a mirror
_READ_SECONDS = 4.0  # of silence, after which a mirror is given up
_DECISION_SECONDS = 8.0  # of waiting for a first byte, over all mirrors together
_HEAD = 64  # bytes that tell a page from a file
_PROXY = "correct HTTPS_PROXY and HTTP_PROXY, or unset them"
_LOGIN = "this network may want you to log in, in a browser"
_CERTIFICATE = "the clock may be wrong, or a proxy between may have one of its own: name that in REQUESTS_CA_BUNDLE"
_REFUSED = ": access is refused, perhaps by a filter of this network"
_MEANINGS = {
    **{401: _REFUSED, 403: _REFUSED},
    **{407: f": a proxy wants a name and a password; {_PROXY}", 511: f": {_LOGIN}"},
}
_PART_SECONDS = 24 * 3600.0  # age from which a half-written file belongs to no running download

# Returns the contents of the file `path` for the name of an MNIST file; `source` is what its errors call the file.
# Raises `WrongFileError` if they are not the published ones.
Check = Callable[[Path, str, str], NDArray[np.uint8]]


def _folder_error(folder: Path, error: OSError) -> DataError:
    """Return the error that says why nothing can be stored in `folder`, and what to do."""
    return DataError(
        f"MNIST cannot be stored in {folder}: {error.strerror or error}. Free some space or make "
        "the folder writable, or set MAGNET_HOME to a folder that can be written, or set "
        "MAGNET_DATA to one that already holds the four MNIST files."
    )


def download_files(names: list[str], folder: Path, check: Check) -> dict[str, NDArray[np.uint8]]:
    """Put the named files into `folder` and return their contents.

    A mirror is left for the next at its first failure. Raises `DataError` if none could provide all files, or if the
    folder does not take them.
    """
    _remove_old_parts(folder)
    mirrors = tuple(os.environ.get("MAGNET_MNIST_MIRRORS", "").split()) or _MIRRORS
    arrays: dict[str, NDArray[np.uint8]] = {}
    failures: list[str] = []
    waited = 0.0
    for mirror in mirrors:
        if waited >= _DECISION_SECONDS:
            failures.append(f"{mirror} was not asked: the others took {waited:.0f} seconds.")
            continue
        urls = {n: f"{mirror.rstrip('/')}/{n}.gz" for n in names if n not in arrays}
        started = time.monotonic()
        try:
            _await_first_byte(next(iter(urls.values())), _DECISION_SECONDS - waited)
            for name, url in urls.items():
                arrays[name] = _fetch(url, name, folder, check)
            return arrays
        except requests.RequestException as error:
            failures.append(f"{mirror} {_in_words(error, mirror)}.")
        except WrongFileError as error:
            failures.append(str(error))
        waited += min(time.monotonic() - started, _READ_SECONDS)  # progress before it is no waiting
    raise DataError(
        f"MNIST is not in {folder}, and no mirror could provide it:\n  "
        + "\n  ".join(failures)
        + "\nGo online and try again, or set MAGNET_DATA to a folder that holds the four files, copied from "
        'elsewhere, or take the embedded digits: MAGNET_DATASET=digits, or load_images("digits").'
    )


def _remove_old_parts(folder: Path) -> None:
    """Remove what downloads have left that were killed; younger ones may still be at work in another process."""
    for part in folder.glob(f".*-ubyte-{'[0-9a-f]' * 32}.part"):  # named by `_fetch`, and by nobody else
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > _PART_SECONDS:
                part.unlink()


def _await_first_byte(url: str, seconds: float) -> None:
    """Return once `url` has begun to answer, whatever it says; else raise `RequestException`.

    No time-out of `requests` bounds the look-up of a name or the sum over a host's addresses,
    hence the thread. It is left to itself when the time is up, and it writes nothing.
    """
    outcome: queue.SimpleQueue[requests.RequestException | None] = queue.SimpleQueue()

    def ask() -> None:
        timeout = (_CONNECT_SECONDS, _READ_SECONDS)
        try:
            with _in_one_kind(Exception), requests.get(url, stream=True, timeout=timeout) as response:
                next(response.iter_content(1), b"")
        except requests.RequestException as error:
            outcome.put(error)
        else:
            outcome.put(None)

    threading.Thread(target=ask, name="mnist-first-byte", daemon=True).start()
    try:
        error = outcome.get(timeout=min(seconds, _READ_SECONDS))
    except queue.Empty:
        raise requests.Timeout("no first byte in time") from None
    if error is not None:
        raise error


@contextmanager
def _in_one_kind(*others: type[Exception]) -> Iterator[None]:
    """Raise these errors as `RequestException` too: of odd addresses, headers and files of certificates."""
    try:
        yield
    except requests.RequestException:
        raise
    except others as error:
        raise requests.RequestException(str(error)) from error


def _fetch(url: str, name: str, folder: Path, check: Check) -> NDArray[np.uint8]:
    """Download one file beside its place, check it, and only then move it there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f".{name}-{uuid.uuid4().hex}.part"
        try:
            timeout = (_CONNECT_SECONDS, _READ_SECONDS)
            # pooch sets the total itself, but takes a bar with none for no bar.
            with _in_one_kind(ValueError), tqdm(total=1, desc=name, unit="B", unit_scale=True, leave=False) as bar:
                _downloader()(progressbar=bar, timeout=timeout)(url, str(part), None)
            with part.open("rb") as file:
                head = file.read(_HEAD)
            if head.lstrip().startswith(b"<"):
                raise WrongFileError(f"{url} sent a web page in place of the file: {_LOGIN}.")
            array = check(part, name, url)
            compressed = head.startswith(GZIP_START)  # some servers decompress on the way
            place = folder / (f"{name}.gz" if compressed else name)
            if not place.exists():  # somebody may have put one there meanwhile
                part.replace(place)
        finally:
            part.unlink(missing_ok=True)
    except requests.RequestException:
        raise  # is an OSError too, but the mirror's failure, not the folder's
    except OSError as error:
        raise _folder_error(folder, error) from error
    return array


def _downloader() -> Any:
    """Return pooch's downloader. Importing pooch warns of a missing `ipywidgets`, which our own bar does not need."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TqdmWarning)
        import pooch
    return pooch.HTTPDownloader


def _in_words(error: requests.RequestException, mirror: str) -> str:
    """Return what a mirror did, or what stands between it and us; nothing of a proxy's address, with its password."""
    text = str(error).rstrip(".")
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        phrase = f" ({HTTPStatus(status).phrase})" if status in set(HTTPStatus) else ""
        return f"answered with HTTP status {status}{phrase}{_MEANINGS.get(status, '')}"
    if isinstance(error, ProxyError) or (
        isinstance(error, ValueError) and select_proxy(mirror, get_environ_proxies(mirror))
    ):
        refused = re.search(r"Tunnel connection failed: ([^'\")]+)", text)
        did = f"refused: {refused[1]}" if refused else "cannot be reached, or its address is wrong"
        return f"is to be reached through a proxy, which {did}; {_PROXY}"
    if isinstance(error, SSLError):
        reason = re.search(r"certificate verify failed: (.+?)\.? \(_ssl", text)
        if reason:
            return f"showed a certificate that is not trusted ({reason[1]}): {_CERTIFICATE}"
        return f"could not be reached safely ({text.rpartition('] ')[2].partition(' (_ssl')[0]}): {_CERTIFICATE}"
    if isinstance(error, requests.Timeout) or "timed out" in text.lower():
        return "did not answer in time"
    if isinstance(error, requests.TooManyRedirects):
        return f"was never reached, for one address led to the next: {_LOGIN}"
    if isinstance(error, ChunkedEncodingError):
        return "broke off half-way"
    if isinstance(error, requests.ConnectionError):
        reasons = {"resolve": ": its name is not known here, so this machine may be offline", "aborted": ": it hung up"}
        return "could not be reached" + next((says for word, says in reasons.items() if word in text), "")
    return f"could not be asked: {text}"
