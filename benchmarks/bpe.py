"""The tokenizer: training 1,000 merges on a megabyte, and encoding it with GPT-2's merges.

The megabyte is `course_text`: the data, the prose and the code of this course, no part twice.
"""

import json
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import tiktoken  # noqa: E402
from measure import median_seconds, row, seconds  # noqa: E402

from course.startup import start  # noqa: E402
from previous_chapters import (  # noqa: E402
    GPT2_SPLIT,
    BPETokenizer,
    course_text,
    merges_to_lines,
    train_merges,
    train_merges_fast,
)

MERGES = 1000


def trained_by_hugging_face(text, number):
    """The merges that `tokenizers` finds, in GPT-2's spelling, and the vocabulary."""
    import tokenizers

    byte_level = tokenizers.pre_tokenizers.ByteLevel
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = byte_level(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=256 + number, initial_alphabet=byte_level.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([text], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return [" ".join(pair) for pair in model["merges"]], model["vocab"]


def training(text):
    """Rows about training; the merges of all contestants must be the same."""
    found = {}
    plain = seconds(lambda: found.update(plain=train_merges(text, MERGES)))
    runs = [seconds(lambda: found.update(fast=train_merges_fast(text, MERGES))) for _ in range(5)]
    fast = statistics.median(runs)
    assert found["fast"] == found["plain"], "the fast training finds other merges"
    pieces = GPT2_SPLIT.findall(text)
    about = f"{len(text.encode()):,} bytes, {len(set(pieces)):,} different pieces"
    job = f"BPE, {MERGES:,} merges"
    yield row(f"{job}: chapter 2, counting anew", plain, "s", note=f"{about}; one run")
    yield row(f"{job}: train_merges_fast", fast, "s", note="median of 5 runs, the same merges")
    yield row(
        "BPE training: times faster than counting anew", plain / fast, "times", at_least=5,
        note="chapter 2's train_merges against train_merges_fast",
    )  # fmt: skip
    try:
        peer = median_seconds(
            lambda: found.update(peer=trained_by_hugging_face(text, MERGES)[0]), 5
        )
    except ImportError:
        yield row(f"{job}: tokenizers", None, "s", note="not installed")
        return
    assert merges_to_lines(found["fast"]) == found["peer"], "tokenizers finds other merges"
    note = "median of 5 runs, the same merges; compiled, on all cores"
    yield row(f"{job}: tokenizers", peer, "s", note=note)


def encoding(text):
    """Rows about encoding; the ids must be tiktoken's."""
    ours = BPETokenizer.from_gpt2(ROOT / "course" / "gpt2-bpe")
    theirs = tiktoken.get_encoding("gpt2")

    def encode():
        ours.cache.clear()
        return ours.encode(text, allowed_special="all")

    assert encode() == theirs.encode(text, allowed_special="all"), "other ids than tiktoken's"
    megabytes = len(text.encode()) / 1e6
    yield row(
        "BPE encoding: seconds for a megabyte", median_seconds(encode) / megabytes, "s",
        at_most=5, note="BPETokenizer with GPT-2's merges, cache emptied, median of 5 runs",
    )  # fmt: skip
    peer = median_seconds(lambda: theirs.encode(text, allowed_special="all")) / megabytes
    yield row("BPE encoding of a megabyte: tiktoken", peer, "s", note="the same ids; one core")


def run():
    start()  # tiktoken finds its file here, without a network
    text = course_text(ROOT)
    return [*training(text), *encoding(text)]


if __name__ == "__main__":
    for line in run():
        print(line)
