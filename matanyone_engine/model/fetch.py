# SPDX-License-Identifier: Apache-2.0
"""Downloads weights. This is the only module that opens a network connection, and only the command 'weights
fetch' calls it.

Rules of this file:
1. Bytes go to a .part file, which gets the model's name only after install.py has checked it.
2. The .part of an interrupted download is kept, and the next download continues it if the server can do that.
3. Proxies come from the standard environment variables (https_proxy, no_proxy, ...), certificates from the system or
   SSL_CERT_FILE; verification is never switched off.
"""

from __future__ import annotations

import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from io import FileIO
from pathlib import Path
from typing import Literal

from matanyone_engine.errors import FetchError
from matanyone_engine.model.install import destination, examine
from matanyone_engine.model.registry import Model
from matanyone_engine.model.tracker_weights import README, TrackerWeights, check_config, check_weights
from matanyone_engine.model.weights_file import CONFIG, HEAD_BYTES, WEIGHTS, impostor_kind, put_in_place, writing

MOST_BYTES = 2 << 30
"""The largest file that is downloaded, in bytes: far more than any weights in question."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection is given up."""

_BLOCK = 1 << 18
_BY_HAND = "or download it on another machine and run: matanyone-engine weights import FILE"

_ABOUT_TEXT = 1 << 18
"""Expected bytes of a config.json or a README.md; more than twice as many are refused."""

FetchProgress = Callable[[int, int | None], None]
"""Called with the number of bytes that have come, and with that of the whole file or None where it is not known."""


@dataclass(frozen=True)
class _HttpAnswer:
    """Says what part of a file a server is about to send, as its headers tell."""

    start: int
    """The first byte that it sends: 0, or the length of the .part file."""
    total: int | None
    """Bytes of the whole file, if the server tells."""
    validator: str | None
    """The strong ETag, by which the server tells versions of the file apart."""


def fetch(model: Model, *, accept_unverified: bool, progress: FetchProgress | None = None) -> Path:
    """Download a registered model into the user's folder, check it, and return its path.

    Raises what download and install.examine raise. A complete .part that no checksum confirms is kept, so that
    --accept-unverified needs no second download.
    """
    assert model.source is not None
    target = destination(model, Path(model.source).suffix)
    part = target.with_name(f"{target.stem}.part{target.suffix}")
    download(model.source, part, about=model.size, progress=progress)
    receipt = examine(part, model, source=model.source, accept_unverified=accept_unverified)
    put_in_place(part, target, receipt)
    discard(part)
    return target


def fetch_tracker(weights: TrackerWeights, *, accept_unverified: bool, progress: FetchProgress | None = None) -> Path:
    """Download the weights of a tracker into the user's folder and check them. Returns the folder.

    The file of weights gets its name last, so that `track` finds a complete folder or none. Raises FetchError,
    OutputError; CheckpointError for files of another network, and without accept_unverified for all others, since no
    checksum of them is known: the .part is then kept.
    """
    try:
        part = _download_part(weights, CONFIG, _ABOUT_TEXT)
        check_config(weights, part)
        _rename_part(part, weights.folder / CONFIG)
        _download_readme(weights)
        part = _download_part(weights, WEIGHTS, weights.size, progress)
    except FetchError as error:
        action = error.action.replace(_BY_HAND, f"or {weights.by_hand}")
        raise FetchError(expected=error.expected, came=error.came, action=action) from error
    put_in_place(part, weights.folder / WEIGHTS, check_weights(weights, part, accept_unverified=accept_unverified))
    discard(part)
    return weights.folder


def _download_part(weights: TrackerWeights, name: str, about: int, progress: FetchProgress | None = None) -> Path:
    """Download one file of a tracker, and return its .part file. Raises FetchError, OutputError."""
    part = weights.folder / f"{name}.part"
    download(weights.source(name), part, about=about, progress=progress)
    return part


def _download_readme(weights: TrackerWeights) -> None:
    """Download the README.md that names the licence. It is left out where the publisher has none."""
    try:
        part = _download_part(weights, README, _ABOUT_TEXT)
    except FetchError:
        return
    _rename_part(part, weights.folder / README)


def _rename_part(part: Path, target: Path) -> None:
    """Give a complete .part file its name. Raises OutputError."""
    with writing(target):
        part.replace(target)
        discard(part)


def download(url: str, part: Path, *, about: int, progress: FetchProgress | None = None) -> None:
    """Download the file at `url` to `part`, and continue what an earlier download left there.

    about: the expected size, in bytes; an answer of more than twice that is refused.
    Raises FetchError, and keeps the .part if a later download can continue it; OutputError when the file cannot be
    written. An interrupt (Ctrl-C) is passed on, and the .part stays for the next download.
    """
    _refuse_socks(url)
    with writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
    try:
        with _open(url, have, _read_validator(part)) as response:
            _receive(response, url, part, _read_headers(response, have, url), min(2 * about, MOST_BYTES), progress)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            _resume_refused(error, part, url)
        else:
            raise _http_error(error, url) from error
    except urllib.error.URLError as error:
        raise _connection_error(error.reason, url) from error
    except (HTTPException, OSError) as error:
        raise _connection_error(error, url) from error


def _open(url: str, have: int, validator: str | None) -> HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "matanyone-engine", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if validator:
            request.add_header("If-Range", validator)
    # A new opener reads the variables of proxies as they are now.
    response: HTTPResponse = urllib.request.build_opener().open(request, timeout=TIMEOUT)
    if url.startswith("https:") and not response.geturl().startswith("https:"):
        response.close()
        raise FetchError(
            expected=f"an encrypted connection for {url}",
            came=f"a redirection to {response.geturl()}",
            action=f"Look at your proxy's settings, {_BY_HAND}",
        )
    return response


def _read_headers(response: HTTPResponse, have: int, url: str) -> _HttpAnswer:
    """Read what the server is about to send. Raises FetchError for another part of the file than was asked for."""
    etag = response.headers.get("ETag")
    validator = etag if etag and not etag.startswith("W/") else None
    if response.status != 206:
        length = response.headers.get("Content-Length")
        return _HttpAnswer(0, int(length) if length and length.isdigit() else None, validator)
    told = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
    if told is None or int(told[1]) != have:
        raise FetchError(
            expected=f"the rest of {url} from byte {have}",
            came=f"a part of the file with Content-Range {response.headers.get('Content-Range')!r}",
            action=f"Delete the .part file and fetch again, {_BY_HAND}",
        )
    return _HttpAnswer(have, None if told[2] == "*" else int(told[2]), validator)


def _receive(
    response: HTTPResponse, url: str, part: Path, answer: _HttpAnswer, limit: int, progress: FetchProgress | None
) -> None:
    """Write what the server sends to the .part file."""
    _refuse_size(answer.total, limit, url)
    block = response.read1(_BLOCK)
    if answer.start == 0:
        _refuse_page(response, block, url)
        _write_validator(part, answer.validator)
    have = answer.start
    with _opened(part, "ab" if have else "wb") as file:
        while block:
            have += len(block)
            _refuse_size(have, limit, url)
            with writing(part):
                _append(file, block)
            if progress:
                progress(have, answer.total)
            block = response.read1(_BLOCK)
        with writing(part):
            os.fsync(file.fileno())
    if answer.total is not None and have != answer.total:
        raise _broken(url, f"a connection that ended after {have:,} of {answer.total:,} bytes")


def _append(file: FileIO, block: bytes) -> None:
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]


def _opened(part: Path, mode: Literal["ab", "wb"]) -> FileIO:
    # Unbuffered, so that closing the file writes nothing and every error comes from a line above.
    with writing(part):
        return part.open(mode, buffering=0)


def _resume_refused(error: urllib.error.HTTPError, part: Path, url: str) -> None:
    """Handle HTTP status 416, by which a server says that it has no bytes after those of the .part file.

    Return if the .part is the complete file; else delete it and raise FetchError, since it is part of another file.
    """
    told = re.fullmatch(r"bytes \*/(\d+)", error.headers.get("Content-Range", ""))
    if told and int(told[1]) == part.stat().st_size:
        return
    discard(part)
    raise _broken(url, "a server that refuses to go on where the last download ended") from error


def discard(part: Path) -> None:
    """Remove a .part file, and the file with its ETag."""
    part.unlink(missing_ok=True)
    _validator_file(part).unlink(missing_ok=True)


def _validator_file(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _read_validator(part: Path) -> str | None:
    file = _validator_file(part)
    return file.read_text(encoding="ascii", errors="ignore").strip() or None if file.is_file() else None


def _write_validator(part: Path, validator: str | None) -> None:
    with writing(part):
        _validator_file(part).write_text(validator or "", encoding="ascii", errors="ignore")


def _refuse_size(size: int | None, limit: int, url: str) -> None:
    if size is not None and size > limit:
        raise FetchError(
            expected=f"at most {limit:,} bytes from {url}",
            came=f"{size:,} bytes or more",
            action=f"The address gives another file than it did: look at it in a browser, {_BY_HAND}",
        )


def _refuse_page(response: HTTPResponse, block: bytes, url: str) -> None:
    """Raise FetchError for a web page or a Git LFS pointer, before any of it is written."""
    kind = impostor_kind(block[:HEAD_BYTES])
    if kind is None and response.headers.get_content_type() == "text/html":
        kind = "a web page (HTML)"
    if kind:
        raise FetchError(
            expected=f"the weights at {url}",
            came=kind,
            action=f"A proxy or a sign-in page may stand in between: look at the address in a browser, {_BY_HAND}",
        )


def _refuse_socks(url: str) -> None:
    scheme = url.partition(":")[0]
    proxy = urllib.request.getproxies().get(scheme, "")
    if proxy.lower().startswith("socks"):
        raise FetchError(
            expected=f"an HTTP proxy in {scheme}_proxy",
            came=f"a proxy that starts with {proxy.partition(':')[0]}",
            action=f"This command cannot use a SOCKS proxy: set {scheme}_proxy to an HTTP proxy, {_BY_HAND}",
        )


def _http_error(error: urllib.error.HTTPError, url: str) -> FetchError:
    hints = {
        401: "The address asks for a sign-in: download it in a browser",
        403: "The address, or a proxy, does not allow it: download it in a browser",
        404: "The file has moved: look for it on the project's page",
        407: "Your proxy asks for a sign-in: put user and password into https_proxy",
    }
    hint = hints.get(error.code, "Try again later")
    return FetchError(
        expected=f"the weights at {url}",
        came=f"HTTP status {error.code} ({error.reason})",
        action=f"{hint}, {_BY_HAND}",
    )


def _connection_error(reason: object, url: str) -> FetchError:
    text = str(reason) or type(reason).__name__
    if "CERTIFICATE" in text.upper():
        return FetchError(
            expected=f"a certificate for {url} that this machine trusts",
            came=text,
            action="Some studios inspect encrypted traffic with a certificate of their own: set SSL_CERT_FILE to the "
            f"bundle your administrator gives you, {_BY_HAND}",
        )
    return _broken(url, f"no or a broken connection ({text})")


def _broken(url: str, came: str) -> FetchError:
    return FetchError(
        expected=f"the weights at {url}",
        came=came,
        action=f"Run the same command again: it goes on where it stopped; {_BY_HAND}",
    )
