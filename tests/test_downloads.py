"""Downloads against a server that misbehaves in every way we could think of.

In every case the end is the right file, or an error that names it and no file in its place.
"""

import hashlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
from conftest import ROOT

from course import downloads
from course.downloads import DownloadError, fetch, fetch_openai_checkpoint, fetch_safetensors

CONTENT = bytes(range(256)) * 1200  # 307,200 bytes
SHA256 = hashlib.sha256(CONTENT).hexdigest()
RIGHT = {"size": len(CONTENT), "sha256": SHA256}
PAGE = b"<!DOCTYPE html><title>Sign in</title>" + b" " * (len(CONTENT) - 37)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers as the server's `behave(handler, number of the request)` says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.close_connection = True
        self.server.requests.append((self.path, self.headers.get("Range")))
        with suppress(ConnectionError):
            self.server.behave(self, len(self.server.requests))

    def log_message(self, *arguments):
        pass

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def start(self, ranges=True):
        """Where the wanted range starts."""
        wanted = self.headers.get("Range")
        return int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and ranges else 0

    def file(self, content=CONTENT, upto=None, ranges=True, pause=0.0, **headers):
        """The file as it should be, cut off after `upto` bytes of it."""
        start = self.start(ranges)
        if start:
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.head(206, Content_Length=len(content) - start, Content_Range=place, **headers)
        else:
            self.head(200, Content_Length=len(content), **headers)
        rest = content[start:] if upto is None else content[start : max(upto, start)]
        for i in range(0, len(rest), 2**14):
            self.wfile.write(rest[i : i + 2**14])
            time.sleep(pause)


@contextmanager
def serving(behave):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.behave, server.requests = True, behave, []
    server.address = f"http://127.0.0.1:{server.server_port}/file.bin"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


REAL_OFFLINE = downloads.offline


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    for name, value in [("BACK_OFF", 0.01), ("LONGEST_WAIT", 0.3), ("TIMEOUT", (2, 0.4))]:
        monkeypatch.setattr(downloads, name, value)
    monkeypatch.setattr(downloads, "offline", lambda addresses: "")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def good(handler, number):
    handler.file()


def lasting(status, **headers):
    return lambda handler, number: handler.head(status, Content_Length=0, **headers)


def first(broken, then=good):
    """`broken` at the first request, `then` at all others."""
    return lambda handler, number: (broken if number == 1 else then)(handler, number)


def in_place(path):
    return path.read_bytes() == CONTENT and not path.with_name(path.name + ".part").exists()


def test_a_file_is_fetched_and_never_again(tmp_path, capsys):
    path = tmp_path / "new folder" / "file.bin"
    with serving(good) as server:
        for _ in range(3):
            assert fetch(path, server.address, **RIGHT) == path
        assert server.requests == [("/file.bin", None)]
    assert in_place(path)
    assert fetch(path, server.address, **RIGHT) == path, "the server is gone, the file is here"
    assert "file.bin: 0.3 MB, fetched and verified" in capsys.readouterr().out


def test_a_progress_bar_for_a_large_file(tmp_path, capsys):
    content = bytes(3 * 2**20)
    with serving(lambda handler, number: handler.file(content, pause=0.002)) as server:
        fetch(tmp_path / "large.bin", server.address, size=len(content))
    printed = capsys.readouterr()
    assert "large.bin:   0%" in printed.out
    assert "/3.15M" in printed.out
    assert printed.err == ""


# ---- failures that pass


@pytest.mark.parametrize("end", [0, 1, 2**14 - 1, 2**14, 200_000, len(CONTENT) - 1])
def test_a_cut_line_is_continued_where_it_was_cut(tmp_path, end):
    with serving(first(lambda handler, number: handler.file(upto=end))) as server:
        path = fetch(tmp_path / "file.bin", server.address, **RIGHT)
        [(_, wanted)] = server.requests[1:]
    start = int(wanted[6:-1]) if wanted else 0
    assert end - 2**16 <= start <= end, "all but the last piece was kept"
    assert in_place(path)


def test_a_line_that_is_cut_again_and_again(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PROGRESS", 10_000)
    with serving(lambda h, number: h.file(upto=h.start() + 70_000)) as server:
        path = fetch(tmp_path / "file.bin", server.address, **RIGHT)
        assert len(server.requests) > downloads.TRIES - 1
    assert in_place(path)


def stall(handler, number):
    handler.file(upto=100_000)
    time.sleep(1)


def chunked_and_cut(handler, number):
    handler.head(200, Transfer_Encoding="chunked")
    handler.wfile.write(b"%x\r\n" % 5000 + CONTENT[:5000] + b"\r\n")


def ends_early(handler, number):
    handler.head(200)  # no length: only we know that something is missing
    handler.wfile.write(CONTENT[:5000])


def hang_up(handler, number):
    handler.connection.close()


def wrong_place(handler, number):
    handler.head(206, Content_Length=10, Content_Range=f"bytes 5-14/{len(CONTENT)}")
    handler.wfile.write(CONTENT[5:15])


PASSING = {
    "stall": stall,
    "cut in chunks": chunked_and_cut,
    "ends early": ends_early,
    "hang up": hang_up,
    "another range": wrong_place,
    **{str(status): lasting(status) for status in (408, 429, 500, 502, 503)},
}


@pytest.mark.parametrize("broken", PASSING.values(), ids=PASSING)
def test_a_failure_that_passes_is_tried_again(tmp_path, broken):
    with serving(first(broken)) as server:
        path = fetch(tmp_path / "file.bin", server.address, **RIGHT)
        assert len(server.requests) == 2
    assert in_place(path)


@pytest.mark.parametrize("broken", PASSING.values(), ids=PASSING)
def test_a_failure_that_lasts_ends_in_an_error(tmp_path, broken):
    path = tmp_path / "file.bin"
    with serving(broken) as server, pytest.raises(DownloadError, match="5 tries"):
        fetch(path, server.address, **RIGHT)
    assert len(server.requests) == 5
    assert not path.exists()


def test_the_wait_that_a_server_asks_for_is_kept_within_bounds(tmp_path):
    for asked, least, most in [("0", 0, 0.25), ("3600", 0.3, 2)]:
        with serving(first(lasting(429, Retry_After=asked))) as server:
            started = time.monotonic()
            fetch(tmp_path / f"file{asked}.bin", server.address, **RIGHT)
            assert least <= time.monotonic() - started < most + 1


def test_back_off_doubles(tmp_path, monkeypatch):
    waits = []
    monkeypatch.setattr(downloads.time, "sleep", waits.append)
    with serving(lasting(500)) as server, pytest.raises(DownloadError):
        fetch(tmp_path / "file.bin", server.address, **RIGHT)
    assert waits == pytest.approx([0.01, 0.02, 0.04, 0.08])


# ---- failures that don't: the next mirror, or an error


def endless(handler, number):
    handler.head(200)  # no length: the end of the connection is the end of the file
    handler.wfile.write(CONTENT + b"and more")


def loop(handler, number):
    handler.head(302, Location="/file.bin", Content_Length=0)


LASTING = {
    "page with status 200": lambda h, n: h.file(b"<html>not here</html>", Content_Type="text/html"),
    "page of the right length": lambda h, n: h.file(PAGE),
    "wrong bytes of the right length": lambda h, n: h.file(CONTENT[::-1]),
    "one wrong byte": lambda h, n: h.file(CONTENT[:-1] + b"x"),
    "too short": lambda h, n: h.file(CONTENT[:-5]),
    "too long": lambda h, n: h.file(CONTENT + b"x"),
    "too long without a length": endless,
    "empty": lambda h, n: h.file(b""),
    "redirects in a circle": loop,
    **{str(status): lasting(status) for status in (401, 403, 404, 410)},
}


@pytest.mark.parametrize("broken", LASTING.values(), ids=LASTING)
def test_a_wrong_file_sends_us_to_the_mirror(tmp_path, broken):
    path = tmp_path / "file.bin"
    with serving(broken) as server, serving(good) as mirror:
        fetch(path, [server.address, mirror.address], **RIGHT)
        assert len([r for r in server.requests if r[0] == "/file.bin"]) == 1 or broken is loop
        assert len(mirror.requests) == 1
    assert in_place(path)


@pytest.mark.parametrize("broken", LASTING.values(), ids=LASTING)
def test_a_wrong_file_alone_ends_in_an_error_to_act_on(tmp_path, broken):
    path = tmp_path / "file.bin"
    with serving(broken) as server, pytest.raises(DownloadError) as caught:
        fetch(path, [server.address], **RIGHT)
    message = str(caught.value)
    assert f"  - {server.address}: " in message, "what was tried"
    assert f"by hand from {server.address} and save it as" in message, "what to do"
    assert "file.bin (307,200 bytes)" in message
    assert not path.exists()


@pytest.mark.parametrize("broken", [endless, lambda h, n: h.file(PAGE, Content_Type="text/html")])
def test_without_size_and_hash_the_check_decides(tmp_path, broken):
    def check(path):
        if path.stat().st_size != len(CONTENT) or path.read_bytes()[:1] != b"\0":
            raise ValueError("not the file")

    path = tmp_path / "file.bin"
    with serving(broken) as server, pytest.raises(DownloadError, match="not the file"):
        fetch(path, server.address, check=check)
    assert not path.exists()
    with serving(good) as server:
        fetch(path, server.address, check=check)
    assert in_place(path)


def test_no_server_and_a_bad_address(tmp_path):
    with serving(good) as gone:
        pass
    with serving(good) as server:
        path = fetch(tmp_path / "file.bin", [gone.address, "no-address", server.address], **RIGHT)
    assert in_place(path)


def test_a_blocked_address_costs_one_wait_only(tmp_path, monkeypatch):
    calls = []

    def blocked(address, **options):
        calls.append(address)
        raise requests.ConnectTimeout

    monkeypatch.setattr(requests, "get", blocked)
    with pytest.raises(DownloadError, match="no connection within 2 s"):
        fetch(tmp_path / "file.bin", ["http://127.0.0.1/a", "http://127.0.0.1/b"], **RIGHT)
    assert calls == ["http://127.0.0.1/a", "http://127.0.0.1/b"]


# ---- what was there before


def test_a_part_is_continued_by_another_call_and_by_a_mirror(tmp_path):
    path, part = tmp_path / "file.bin", tmp_path / "file.bin.part"
    cut_then_gone = first(lambda h, n: h.file(upto=2**17), lasting(404))
    with serving(cut_then_gone) as server, pytest.raises(DownloadError, match="so far is kept"):
        fetch(path, server.address, **RIGHT)
    had = part.stat().st_size
    assert 2**16 <= had <= 2**17
    with serving(good) as mirror:
        fetch(path, mirror.address, **RIGHT)
        assert mirror.requests == [("/file.bin", f"bytes={had}-")]
    assert in_place(path)


def test_a_server_that_ignores_range_starts_over(tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    with serving(lambda handler, number: handler.file(ranges=False)) as server:
        path = fetch(tmp_path / "file.bin", server.address, **RIGHT)
        assert len(server.requests) == 1
    assert in_place(path)


@pytest.mark.parametrize("old", [b"x" * 1000, b"x" * len(CONTENT), b"x" * 400_000, CONTENT])
def test_a_wrong_part_does_no_harm(tmp_path, old):
    (tmp_path / "file.bin.part").write_bytes(old)
    with serving(good) as server:
        path = fetch(tmp_path / "file.bin", server.address, **RIGHT)
        assert len(server.requests) == (0 if old == CONTENT else 2 if len(old) == 1000 else 1)
    assert in_place(path)


def test_a_part_that_the_server_will_not_continue(tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:1000])
    with serving(first(lasting(416))) as server:
        path = fetch(tmp_path / "file.bin", server.address, **RIGHT)
        assert [wanted for _, wanted in server.requests] == ["bytes=1000-", None]
    assert in_place(path)


def test_a_damaged_file_is_replaced(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(CONTENT[::-1])
    with serving(good) as server:
        fetch(path, server.address, **RIGHT)
    assert in_place(path)


def test_a_full_disk_is_noticed_before(tmp_path, monkeypatch):
    usage = downloads.shutil.disk_usage(tmp_path)._replace(free=50_000_000)
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda folder: usage)
    with serving(good) as server, pytest.raises(DownloadError, match=r"0\.3 MB are still to come"):
        fetch(tmp_path / "file.bin", server.address, **RIGHT)
    assert not (tmp_path / "file.bin").exists()


def test_offline_is_an_error_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "offline", lambda addresses: "this machine is offline")
    with serving(good) as server, pytest.raises(DownloadError) as caught:
        fetch(tmp_path / "file.bin", server.address, **RIGHT)
    assert caught.value.reason == "this machine is offline"
    assert server.requests == []
    assert list(tmp_path.iterdir()) == []


def test_no_way_to_the_server_is_an_error_at_once(tmp_path, monkeypatch):
    """As on a train: no retries, no back-off."""
    monkeypatch.setattr(downloads, "offline", REAL_OFFLINE)
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    started = time.monotonic()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = nobody.getsockname()[1]
        with pytest.raises(DownloadError, match=f"no connection to 127.0.0.1:{port}"):
            fetch(tmp_path / "file.bin", f"http://127.0.0.1:{port}/file.bin")
    assert time.monotonic() - started < 5
    assert not list(tmp_path.iterdir())


def test_two_at_once_download_once(tmp_path):
    path, done = tmp_path / "file.bin", []
    with serving(lambda handler, number: handler.file(pause=0.02)) as server:

        def call():
            done.append(fetch(path, server.address, **RIGHT))

        threads = [threading.Thread(target=call) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(server.requests) == 1
    assert done == [path] * 3
    assert in_place(path)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_kill_9_in_mid_download(tmp_path, seconds):
    path, part = tmp_path / "file.bin", tmp_path / "file.bin.part"
    code = f"""
from course import downloads
downloads.offline = lambda addresses: ""
downloads.fetch({str(path)!r}, ADDRESS, size={len(CONTENT)}, sha256={SHA256!r})
"""
    with serving(lambda handler, number: handler.file(pause=0.05)) as server:
        code = code.replace("ADDRESS", repr(server.address))
        victim = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=no_proxies())
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 0) and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(seconds)
        victim.kill()
        victim.wait()
        assert not path.exists()
        had = part.stat().st_size
        assert 0 < had < len(CONTENT)
        fetch(path, server.address, **RIGHT)
        assert server.requests[-1] == ("/file.bin", f"bytes={had}-")
    assert in_place(path)


def no_proxies():
    return {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}


# ---- GPT-2's files


def test_hugging_face_is_asked_for_its_hash(tmp_path, monkeypatch):
    """As for gpt2-medium and larger: the redirect names the SHA-256, the store has the bytes."""
    import torch
    from safetensors.torch import save

    content = save({"wte.weight": torch.rand(50, 40)})
    digest = [hashlib.sha256(content).hexdigest()]
    damaged = content[:-1] + bytes([content[-1] ^ 1])

    def hub(handler, number):
        if "resolve" in handler.path:
            handler.head(302, Location="/store", X_Linked_ETag=f'"{digest[0]}"', Content_Length=0)
        else:
            handler.file(sent[0])

    with serving(hub) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address.removesuffix("/file.bin"))
        sent = [damaged]
        with pytest.raises(DownloadError, match="SHA-256"):
            fetch_safetensors("355M", tmp_path)
        assert not list(tmp_path.glob("*.safetensors"))
        sent = [content]
        path = fetch_safetensors("355M", tmp_path)
        expected = "/openai-community/gpt2-medium/resolve/main/model.safetensors"
        assert server.requests[0][0] == expected
    assert path.read_bytes() == content
    assert fetch_safetensors("355M", tmp_path) == path, "there: no request"
    path.write_bytes(content[:-1])
    with pytest.raises(DownloadError, match="no safetensors file"):
        fetch_safetensors("355M", tmp_path)


def test_what_we_know_of_the_124m_file():
    repository, revision, size, sha256 = downloads.SAFETENSORS["124M"]
    assert (repository, len(revision)) == ("openai-community/gpt2", 40)
    assert (size, len(sha256)) == (548_105_171, 64)


def test_openais_seven_files_and_their_mirror(tmp_path, monkeypatch):
    """The address first, its mirror second; every file in place, with the sizes that are known."""
    names = list(downloads.CHECKPOINT)
    content = {name: json.dumps({"n_ctx": 1024, "file": name}).encode() for name in names}
    known = {name: ({"124M": len(content[name])}, None) for name in names}
    monkeypatch.setattr(downloads, "CHECKPOINT", known)

    def mirror_only(handler, number):
        place, size, name = handler.path.strip("/").split("/")
        assert size == "124M"
        if place == "openai" and name != "hparams.json":
            handler.head(404, Content_Length=0)
        else:
            handler.file(content[name])

    with serving(mirror_only) as server:
        base = server.address.removesuffix("/file.bin")
        monkeypatch.setattr(downloads, "OPENAI", (f"{base}/openai", f"{base}/mirror"))
        folder = fetch_openai_checkpoint("124M", tmp_path / "124M")
        assert len(server.requests) == 13
        fetch_openai_checkpoint("124M", tmp_path / "124M")
        assert len(server.requests) == 13
    files = sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))
    assert files == sorted(names)
    assert all((folder / name).read_bytes() == content[name] for name in names)


def test_an_error_page_is_no_checkpoint(tmp_path, monkeypatch):
    """Also for the large sizes, of whose files neither size nor hash is published."""
    with serving(lambda handler, number: handler.file(PAGE)) as server:
        monkeypatch.setattr(downloads, "OPENAI", (server.address,))
        with pytest.raises(DownloadError, match=r"checkpoint could not be had"):
            fetch_openai_checkpoint("1558M", tmp_path)
    assert [p for p in Path(tmp_path).iterdir() if not p.name.endswith(".lock")] == []
