"""Texts tokenised once, in parallel, into files that are mapped into memory.

    FOLDER/train-000.bin ...  token ids one after the other (uint16), without a header
    FOLDER/held-out.bin       the last part of each text, likewise
    FOLDER/index.json         what is in them: texts, hashes, counts, settings

Each text is a document; <|endoftext|> stands after its training part and after its held-out
part. The index is written last: a folder without it is unfinished and is made anew.
"""

import hashlib
import json
import os
import re
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import cache
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import tiktoken

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from texts import TextError, find_texts, prepared

from course.vocabulary import offer_vocabulary_to_tiktoken

FORMAT = "token shards, version 1"
END_OF_TEXT = 50256
IDS = np.dtype("<u2")  # GPT-2's ids are below 65,536
SHARD = 2**27  # tokens after which the next text begins a new file
CUT = re.compile(r"[ \n](?=\S)")
FEW = 16e6  # bytes of text that one process tokenises before others would have started


@cache
def tokenizer():
    """GPT-2's, from the course's own files."""
    offer_vocabulary_to_tiktoken(Path(__file__).parents[2] / "course" / "gpt2-bpe")
    return tiktoken.get_encoding("gpt2")


def encode(text):
    """Text -> array of ids. A special token that stands in a text is plain text."""
    return np.array(tokenizer().encode_ordinary(text), dtype=IDS)


def decode(ids):
    return tokenizer().decode(ids.tolist())


def chunks(pieces, size=2**20):
    """Cut a text in pieces into chunks of `size` characters or more -> the tokens of the whole.

    GPT-2's tokenizer lets no token reach across the beginning of the last space or line end
    before a word, so that a text may be cut there.
    """
    text = ""
    for piece in pieces:
        text += piece
        while place := CUT.search(text, size):
            yield text[: place.start()]
            text = text[place.start() :]
        if len(text) > 64 * size:  # no text of words
            yield text
            text = ""
    if text:
        yield text


def encoded(texts, options, processes):
    """Yield (number of a text, its next ids) for all texts in order, tokenised in parallel."""
    parts = ((i, chunk) for i, path in enumerate(texts) for chunk in chunks(options(path)))
    several = processes > 1 and sum(path.stat().st_size for path in texts) > FEW
    start = get_context("spawn")  # works everywhere, with threads too
    with ProcessPoolExecutor(processes, start) if several else nullcontext() as pool:
        to_ids = pool.map if several else map
        while group := list(islice(parts, 4 * processes)):  # so many are in memory at a time
            numbers, chunked = zip(*group, strict=True)
            yield from zip(numbers, to_ids(encode, chunked), strict=True)


class Writer:
    """Writes documents into shards, the last part of each into a file of its own."""

    def __init__(self, folder, held_out):
        self.folder, self.held_out, self.tokens = folder, held_out, 0
        self.counts, self.shards, self.shard = [], [], None
        self.tail = open(folder / "held-out.bin", "wb")  # noqa: SIM115

    def add(self, ids):
        if self.shard is None:
            self.shards.append(f"train-{len(self.shards):03d}.bin")
            self.shard = open(self.folder / self.shards[-1], "w+b")  # noqa: SIM115
        self.shard.write(ids.tobytes())
        self.tokens += len(ids)

    def end_document(self):
        """Move the held-out part of the tokens since the last call to its file."""
        held = round(self.tokens * self.held_out / 100)
        if held:
            self.shard.seek(-held * IDS.itemsize, os.SEEK_END)
            tail = self.shard.read()
            self.shard.seek(-held * IDS.itemsize, os.SEEK_END)
            self.shard.truncate()
            self.tail.write(tail + IDS.type(END_OF_TEXT).tobytes())
        self.counts.append({"train": self.tokens - held, "held_out": held})
        if self.tokens:
            self.shard.write(IDS.type(END_OF_TEXT).tobytes())
            if self.shard.tell() >= SHARD * IDS.itemsize:
                self.close_shard()
        self.tokens = 0

    def close_shard(self):
        self.shard.close()
        self.shard = None

    def close(self):
        for file in (self.tail, self.shard):
            if file is not None:
                file.close()


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def describe(texts):
    """Name, size and time of change of each text; the hash is added where it is needed."""
    base = os.path.commonpath([path.parent for path in texts])
    facts = []
    for path in texts:
        status = path.stat()
        name = path.relative_to(base).as_posix()
        facts.append({"name": name, "bytes": status.st_size, "changed": status.st_mtime_ns})
    return facts


def write_shards(texts, folder, settings, processes, say=print):
    """Tokenise `texts` into `folder`; on any error nothing is left there."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_shards(folder)
    writer, current = Writer(folder, settings["held_out"]), 0

    def options(path):
        return prepared(path, *(settings[k] for k in ("encoding", "join_lines", "plain")))

    try:
        for number, ids in encoded(texts, options, processes):
            for _ in range(current, number):
                writer.end_document()
                say_progress(len(writer.counts), len(texts), say)
            current = number
            writer.add(ids)
        for _ in range(current, len(texts)):
            writer.end_document()
        writer.close()
        facts = describe(texts)
        for fact, path, counts in zip(facts, texts, writer.counts, strict=True):
            fact |= {"sha256": sha256(path), **counts}
        write_index(folder, settings, facts, writer.shards)
    except BaseException:
        writer.close()
        remove_shards(folder)
        raise


def say_progress(done, total, say):
    if done % max(1, total // 5) == 0:
        say(f"tokenised {done:,} of {total:,} texts")


def write_index(folder, settings, facts, shards):
    files = {name: (folder / name).stat().st_size for name in [*shards, "held-out.bin"]}
    index = {"format": FORMAT, "tokenizer": "gpt2", "settings": settings}
    index |= {"shards": shards, "bytes": files, "texts": facts}
    part = folder / "index.json.part"
    part.write_text(json.dumps(index, indent=1), encoding="utf-8")
    os.replace(part, folder / "index.json")


def remove_shards(folder):
    """Remove what write_shards makes, and nothing else. The index goes first."""
    for pattern in ("index.json", "index.json.part", "train-???.bin", "held-out.bin"):
        for path in folder.glob(pattern):
            path.unlink()


def check_unchanged(index, texts, settings, folder):
    """TextError unless `folder` was made from these very texts in this very way."""
    mend = f"take another --out for a new run, or delete {folder} to tokenise anew"
    other = [f"{k} was {v}, now {settings.get(k)}" for k, v in index["settings"].items()
             if settings.get(k) != v]  # fmt: skip
    if other:
        raise TextError(f"{folder} was made with other settings ({'; '.join(other)}): {mend}")
    before = {fact["name"]: fact for fact in index["texts"]}
    now = {fact["name"]: (fact, path) for fact, path in zip(describe(texts), texts, strict=True)}
    wrong = [f"{name} is gone" for name in before.keys() - now.keys()]
    wrong += [f"{name} is new" for name in now.keys() - before.keys()]
    for name in before.keys() & now.keys():
        old, (new, path) = before[name], now[name]
        same = old["bytes"] == new["bytes"]
        if not same or (old["changed"] != new["changed"] and old["sha256"] != sha256(path)):
            wrong.append(f"{name} has changed")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise TextError(
            f"the texts are not those that {folder} was made from: "
            f"{', '.join(sorted(wrong)[:3])}{more}. {mend[0].upper()}{mend[1:]}"
        )


def read_index(folder):
    """The index of finished shards, None where there are none."""
    path = folder / "index.json"
    if not path.is_file():
        return None
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        sizes = index["bytes"] if index["format"] == FORMAT else None
        fits = all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (ValueError, LookupError, TypeError, AttributeError, OSError):
        fits = False
    if not fits:
        raise TextError(f"the shards in {folder} are damaged: delete that folder to make them anew")
    return index


def fingerprint(index):
    """Short text that is the same for the same tokens, wherever and whenever they were made."""
    content = [index["tokenizer"], index["settings"], [t["sha256"] for t in index["texts"]]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def prepare(sources, folder, held_out=1.0, join_lines=False, plain=False, encoding="utf-8",
            pattern="*.txt", processes=None, say=print):  # fmt: skip
    """Make the shards of the texts in `sources`, or find them made -> (train, held out, index).

    train and held out are `Tokens`. TextError for texts or shards that won't do.
    """
    folder, settings = Path(folder), {"held_out": held_out, "join_lines": join_lines}
    settings |= {"plain": plain, "encoding": encoding}
    texts = find_texts(sources, pattern)
    index = read_index(folder)
    if index is None:
        write_shards(texts, folder, settings, processes or min(os.cpu_count(), 61), say)
        index = read_index(folder)
    check_unchanged(index, texts, settings, folder)
    train = Tokens([folder / name for name in index["shards"]])
    return train, Tokens([folder / "held-out.bin"]), index


class Tokens:
    """The ids of several files, one after the other, read from disk where they are needed."""

    def __init__(self, files):
        files = [file for file in files if file.stat().st_size]
        self.parts = [np.memmap(file, dtype=IDS, mode="r") for file in files]
        self.starts = np.cumsum([0] + [len(part) for part in self.parts])

    def __len__(self):
        return int(self.starts[-1])

    def read(self, start, count):
        """`count` ids from position `start` on, as an int64 array."""
        found = np.empty(count, dtype=np.int64)
        done = 0
        while done < count:
            i = int(np.searchsorted(self.starts, start + done, side="right")) - 1
            offset = start + done - self.starts[i]
            part = self.parts[i][offset : offset + count - done]
            found[done : done + len(part)] = part
            done += len(part)
        return found


class Windows:
    """Which tokens each step sees, from the seed and the number of the step alone.

    In an epoch each window of T + 1 tokens comes once, in a random order; window i + 1 begins
    with the last token of window i. Each epoch shifts all of them by fewer than T tokens.
    """

    def __init__(self, tokens, T, seed):
        self.tokens, self.T, self.seed = tokens, T, seed
        self.count = (len(tokens) - 1) // T
        if self.count > 1:
            self.count = (len(tokens) - T) // T  # there is room for the shift
        if not self.count:
            raise TextError(
                f"too little text: {len(tokens):,} tokens are left to train on, and one window "
                f"of --context {T} takes {T + 1}. Add texts, or take a smaller --context"
            )
        self.epoch = None

    def begin(self, epoch):
        """Draw the order of an epoch. numpy keeps what RandomState draws from a seed forever."""
        if epoch != self.epoch:
            random = np.random.RandomState([self.seed, epoch])
            room = min(self.T, len(self.tokens) - self.count * self.T)
            self.shift, self.order = random.randint(room), random.permutation(self.count)
            self.epoch = epoch

    def batch(self, positions):
        """Windows at these positions of the endless sequence of epochs -> (len, T + 1) array."""
        rows = []
        for position in positions:
            self.begin(position // self.count)
            start = self.shift + int(self.order[position % self.count]) * self.T
            rows.append(self.tokens.read(start, self.T + 1))
        return np.stack(rows)  # (B, T + 1)
