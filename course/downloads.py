"""Files from the internet: fetched once, verified before they are used, continued after a cut.

    fetch(ROOT / "ch07" / "instruction-data.json", [address, mirror], size=203_524)

`fetch_safetensors` and `fetch_openai_checkpoint` get GPT-2 by it. Connections, redirects,
proxies and encryption are left to requests, the progress bar to tqdm, the lock to filelock.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

TIMEOUT = (10, 30)  # seconds: to connect, and between two pieces of the answer
TRIES = 5  # failures in a row at one address before the next is taken
BACK_OFF = 1.0  # seconds before the second try; doubled each time
LONGEST_WAIT = 30.0  # seconds, also where a server asks for more
PROGRESS = 2**20  # bytes after which the failures are counted afresh
MARGIN = 100e6  # bytes that stay free on the disk

HUGGING_FACE = "https://huggingface.co"
OPENAI = (
    "https://openaipublic.blob.core.windows.net/gpt-2/models",
    "https://f001.backblazeb2.com/file/LLMs-from-scratch/gpt2",
)
# Where the tensors of each size are at Hugging Face: repository, revision, size, SHA-256.
SAFETENSORS = {
    "124M": (
        "openai-community/gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        548_105_171,
        "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
    ),
    # For these the server itself names the SHA-256, see `linked_sha256`.
    "355M": ("openai-community/gpt2-medium", "main", None, None),
    "774M": ("openai-community/gpt2-large", "main", None, None),
    "1558M": ("openai-community/gpt2-xl", "main", None, None),
}
# OpenAI's files, with their sizes for 124M and 355M and those SHA-256 that are published.
CHECKPOINT = {
    "checkpoint": ({"124M": 77, "355M": 77}, None),
    "encoder.json": (
        dict.fromkeys(SAFETENSORS, 1_042_301),
        "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    ),
    "hparams.json": ({"124M": 90, "355M": 91}, None),
    "model.ckpt.data-00000-of-00001": ({"124M": 497_759_232, "355M": 1_419_292_672}, None),
    "model.ckpt.index": ({"124M": 5_215, "355M": 10_399}, None),
    "model.ckpt.meta": ({"124M": 471_155, "355M": 926_519}, None),
    "vocab.bpe": (
        dict.fromkeys(SAFETENSORS, 456_318),
        "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    ),
}


class DownloadError(OSError):
    """A file could not be had; the message says what was tried and what to do by hand.

    `reason` is the last thing that went wrong, in a few words.
    """

    def __init__(self, message, reason):
        super().__init__(message)
        self.reason = reason


class Unusable(Exception):
    """What an address gives is of no use, and trying it again would not help."""


class Interrupted(Exception):
    """An attempt failed in a way that may pass; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason, wait=0.0):
        super().__init__(reason)
        self.wait = wait


def offline(addresses):
    """Why no download is tried at all, in words, or "". With a proxy only trying can tell."""
    if os.environ.get("COURSE_OFFLINE"):
        return "this machine is offline"
    if getproxies() or any(map(reachable, addresses)):
        return ""
    return f"no connection to {' or '.join(urlsplit(a).netloc or a for a in addresses)}"


def reachable(address, timeout=3.0):
    """Whether the server of a web address takes connections within `timeout` seconds."""
    try:
        place = urlsplit(address)
        port = place.port or (443 if place.scheme == "https" else 80)
        socket.create_connection((place.hostname or "", port), timeout).close()
    except (OSError, ValueError):
        return False
    return True


def fetch(path, addresses, size=None, sha256=None, check=None):
    """Have the file `path`, from the first of `addresses` that gives the right one -> Path.

    Right is: `size` bytes, this `sha256` (hex), and `check(file)` raises no ValueError; each may
    be left out. A right file that is there already is not fetched again. What arrives goes to
    `path` + `.part`, where a later call goes on; it gets its name once it is found right.
    DownloadError if it can't be had.
    """
    from filelock import FileLock

    path = Path(path)
    addresses = [addresses] if isinstance(addresses, str) else list(addresses)
    wrong = fault(path, size, sha256, check)
    if not wrong:
        return path
    tried = [f"on this disk: {wrong}"] if path.exists() else []
    if reason := offline(addresses):
        raise give_up(path, addresses, [*tried, reason], size)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        with FileLock(path.with_name(path.name + ".lock")):  # two kernels, one download
            if not fault(path, size, sha256, check):
                return path
            for address in addresses:
                try:
                    download(address, part, size, sha256, check)
                except Unusable as reason:
                    tried.append(f"{address}: {reason}")
                else:
                    os.replace(part, path)
                    print(f"{path.name}: {megabytes(path.stat().st_size)}, fetched and verified")
                    return path
    except OSError as error:
        raise give_up(path, addresses, [*tried, f"the disk: {error.strerror}"], size) from error
    raise give_up(path, addresses, tried, size)


def fault(path, size=None, sha256=None, check=None):
    """What is wrong with the file, in words; None if nothing is."""
    if not path.is_file():
        return "not there"
    length = path.stat().st_size
    if size is not None and length != size:
        return f"{length:,} bytes instead of {size:,}{looks_like_a_page(path)}"
    if length == 0:
        return "empty"
    if sha256 is not None:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while piece := file.read(2**20):
                digest.update(piece)
        if digest.hexdigest() != sha256:
            return f"damaged, its SHA-256 is not {sha256[:8]}…{looks_like_a_page(path)}"
    try:
        return check(path) if check else None
    except ValueError as error:
        return f"not what it should be: {error}{looks_like_a_page(path)}"


def looks_like_a_page(path):
    with open(path, "rb") as file:
        start = file.read(200).lstrip().lower()
    return " (it is a web page)" if start.startswith((b"<!doctype", b"<html")) else ""


def download(address, part, size, sha256, check):
    """Get `address` into `part` and verify it; Unusable if this address won't give it."""
    failures, reason = 0, None
    while failures < TRIES:
        if failures:
            asked = reason.wait if reason else 0.0
            time.sleep(min(max(asked, BACK_OFF * 2 ** (failures - 1)), LONGEST_WAIT))
        had = part.stat().st_size if part.exists() else 0
        if had and size is not None and had >= size:  # all there, or too much
            if not fault(part, size, sha256, check):
                return
            part.unlink()
            had = 0
        try:
            expected, digest = transfer(address, part, had, size)
        except Interrupted as error:
            got = (part.stat().st_size if part.exists() else 0) - had
            failures, reason = (1 if got >= PROGRESS else failures + 1), error
            continue
        wrong = fault(part, size if size is not None else expected, sha256 or digest, check)
        if not wrong:
            return
        part.unlink()
        if not had:
            raise Unusable(wrong)
        failures += 1  # the old part may have been at fault: once more, from the start
        reason = Interrupted(wrong)
    raise Unusable(f"{reason} ({failures} tries)")


def transfer(address, part, had, size):
    """Bring `part`, `had` bytes long, to its end in one connection -> (size, SHA-256) or Nones.

    Size and SHA-256 are what the server promises. Interrupted if another try may help.
    """
    import requests

    headers = {"Accept-Encoding": "identity"}
    if had:
        headers["Range"] = f"bytes={had}-"
    try:
        with requests.get(address, headers=headers, stream=True, timeout=TIMEOUT) as answer:
            expected, start = judge(answer, part, had, size)
            receive(answer, part, start, expected)
            return expected, linked_sha256(answer)
    except requests.TooManyRedirects:
        raise Unusable("too many redirects") from None
    except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
        raise Unusable(str(error)) from None
    except requests.ConnectTimeout:  # a blocked address: waiting again would not help
        raise Unusable(f"no connection within {TIMEOUT[0]:g} s") from None
    except requests.Timeout:
        raise Interrupted(f"no answer within {TIMEOUT[1]:g} s") from None
    except requests.RequestException as error:
        cut = isinstance(error, requests.exceptions.ChunkedEncodingError)
        raise Interrupted("the connection was cut" if cut else "no connection") from None


def judge(answer, part, had, size):
    """From status and headers -> (expected size or None, position at which the content starts)."""
    status = answer.status_code
    if status == 416:  # the server has nothing after `had` bytes
        part.unlink(missing_ok=True)
        raise Interrupted("the server refused to continue the file")
    if status in (408, 425, 429) or status >= 500:
        wait = answer.headers.get("Retry-After", "")
        raise Interrupted(f"status {status}", float(wait) if wait.isdigit() else 0.0)
    if status not in (200, 206):
        raise Unusable(f"status {status}")
    length = answer.headers.get("Content-Length", "")
    expected = int(length) if length.isdigit() else None
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        expected = None
    start = 0
    if status == 206:
        place = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
        if not place or int(place[1]) != had:
            part.unlink(missing_ok=True)
            raise Interrupted("the server continued at another place")
        start, expected = had, int(place[2])
    if size is not None and expected not in (None, size):
        page = " (a web page)" if "html" in answer.headers.get("Content-Type", "") else ""
        raise Unusable(f"the server has {expected:,} bytes{page} instead of {size:,}")
    expected = size if expected is None else expected
    needed, free = (expected or 0) - start, shutil.disk_usage(part.parent).free
    if needed + MARGIN > free:
        raise OSError(
            errno.ENOSPC,
            f"{megabytes(needed)} are still to come, but only {megabytes(free)} are free",
        )
    return expected, start


def receive(answer, part, start, expected):
    """Write the answer's content into `part` from `start` on, under a progress bar."""
    from tqdm import tqdm

    bar = tqdm(
        desc=part.name.removesuffix(".part"), total=expected, initial=start, leave=False,
        unit="B", unit_scale=True, file=sys.stdout, disable=(expected or 0) < 2**20,
    )  # fmt: skip
    with bar, open(part, "r+b" if start else "wb") as file:
        file.seek(start)
        for piece in answer.iter_content(2**16):
            file.write(piece)
            bar.update(len(piece))
            if expected is not None and file.tell() > expected:
                break
        file.flush()
        os.fsync(file.fileno())
        end = file.tell()
    if expected is not None and end > expected:
        part.unlink()
        raise Unusable(f"more than the {expected:,} bytes that it should have")
    if expected is not None and end < expected:
        raise Interrupted(f"the connection was cut after {end:,} of {expected:,} bytes")


def linked_sha256(answer):
    """The SHA-256 that Hugging Face sends with a large file, on the redirect to its store."""
    for step in [*answer.history, answer]:
        tag = step.headers.get("X-Linked-ETag", "").strip('W/"').lower()
        if re.fullmatch(r"[0-9a-f]{64}", tag):
            return tag
    return None


def give_up(path, addresses, tried, size):
    bytes_ = f" ({size:,} bytes)" if size is not None else ""
    lines = [f"{path.name} could not be had.", *(f"  - {line}" for line in tried)]
    lines.append(
        f"Run this again later: what has come so far is kept. Or fetch it by hand from "
        f"{' or '.join(addresses)} and save it as {path.resolve()}{bytes_}."
    )
    return DownloadError("\n".join(lines), tried[-1])


def megabytes(count):
    return f"{count / 1e6:,.1f} MB" if count >= 1e5 else f"{count:,} bytes"


# ---- GPT-2


def fetch_safetensors(model_size, folder):
    """Hugging Face's `model.safetensors` of GPT-2 124M, 355M, 774M or 1558M -> its Path."""
    repository, revision, size, sha256 = SAFETENSORS[model_size]
    host = os.environ.get("HF_ENDPOINT", HUGGING_FACE).rstrip("/")
    address = f"{host}/{repository}/resolve/{revision}/model.safetensors"
    path = Path(folder) / "model.safetensors"
    return fetch(path, [address], size=size, sha256=sha256, check=check_safetensors)


def fetch_openai_checkpoint(model_size, folder):
    """OpenAI's seven files of GPT-2 124M, 355M, 774M or 1558M -> their folder.

    The hash of the tensors is not published: TensorFlow verifies each tensor as it reads it.
    """
    for name, (sizes, sha256) in CHECKPOINT.items():
        fetch(
            Path(folder) / name,
            [f"{place}/{model_size}/{name}" for place in OPENAI],
            size=sizes.get(model_size),
            sha256=sha256,
            check=check_json if name.endswith(".json") else check_no_page,
        )
    return Path(folder)


def check_safetensors(path):
    """ValueError unless the header can be read and the file is as long as it says."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            file.keys()
    except SafetensorError as error:
        raise ValueError(f"no safetensors file ({error})") from None


def check_json(path):
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError("no JSON") from None


def check_no_page(path):
    if looks_like_a_page(path):
        raise ValueError("no checkpoint")
