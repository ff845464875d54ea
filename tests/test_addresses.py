"""The weekly check of the download addresses, against a server on this machine."""

import hashlib
import http.server
import threading

import pytest

from tools.check_addresses import addresses, problem

CONTENT = b"what is expected" * 100


@pytest.fixture(scope="module")
def base():
    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = {"/good": CONTENT, "/page": b"<html>sorry</html>"}.get(self.path)
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_good_files_pass_and_others_are_named(base):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    assert problem(f"{base}/good", len(CONTENT), sha256) is None
    assert problem(f"{base}/good") is None
    assert "18 bytes where 1,600" in problem(f"{base}/page", len(CONTENT))
    assert "SHA-256" in problem(f"{base}/page", None, sha256)
    assert problem(f"{base}/none") == "status 404"
    assert "no answer" in problem("http://127.0.0.1:1/good")


def test_every_address_of_the_list_is_published_and_asked_once():
    listed = [address for address, _, _ in addresses()]
    assert len(listed) == len(set(listed)) > 60
    assert all(address.startswith("https://") for address in listed)
    for part in ("gpt2-xl", "124M/vocab.bpe", "sms+spam", "instruction-data.json"):
        assert any(part in address for address in listed)
