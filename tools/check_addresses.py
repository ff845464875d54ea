"""Does every address that the course downloads from answer, with the right size or content?

    python tools/check_addresses.py

Small files are read and their SHA-256 compared; of large ones the server is asked for the size.
Prints a line for each address; the exit status is 1 if any is wrong. Needs the internet.
"""

import hashlib
import sys
from pathlib import Path

import requests

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import previous_chapters as course  # noqa: E402

SMALL = 3e6  # bytes up to which a file is read whole


def addresses():
    """(address, size or None, SHA-256 or None) of every file that a notebook may download."""
    for repository, revision, size, sha256 in course.SAFETENSORS.values():
        file = f"{repository}/resolve/{revision}/model.safetensors"
        yield f"{course.HUGGING_FACE}/{file}", size, sha256
    for base in course.OPENAI:
        for name, (sizes, sha256) in course.CHECKPOINT.items():
            for model in course.SAFETENSORS:
                yield f"{base}/{model}/{name}", sizes.get(model), sha256
    for address in course.SPAM_URLS:
        yield address, None, course.SPAM_ZIP_SHA256
    yield course.BOOK_DATA, course.BOOK_DATA_SIZE, None


def problem(address, size=None, sha256=None):
    """What is wrong with the file at `address`, in a few words, or None."""
    headers = {"Accept-Encoding": "identity"}
    try:
        answer = requests.get(address, headers=headers, stream=True, timeout=30)
    except requests.RequestException as error:
        return f"no answer: {error}"
    with answer:
        if answer.status_code != 200:
            return f"status {answer.status_code}"
        length = answer.headers.get("Content-Length")
        if size is not None and length is not None and int(length) != size:
            return f"{int(length):,} bytes where {size:,} are expected"
        if length is None or int(length) > SMALL:
            return None
        if sha256 and hashlib.sha256(answer.content).hexdigest() != sha256:
            return "another content than expected (SHA-256)"


def main():
    failed = 0
    for address, size, sha256 in addresses():
        wrong = problem(address, size, sha256)
        failed += wrong is not None
        print(f"{'FAILED' if wrong else 'ok    '} {address}{f': {wrong}' if wrong else ''}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
