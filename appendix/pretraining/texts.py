"""Text files as they come: found, decoded, and with the lines of a paragraph joined.

Nothing here holds a whole file: a text passes through as pieces of about a million characters,
so that a file may be larger than the memory.
"""

import codecs
import io
import re
from collections import Counter
from itertools import chain, pairwise
from pathlib import Path

PIECE = 2**20  # bytes that are read at a time
PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "—": "--", "–": "-"})


class TextError(ValueError):
    """A folder or file that can't be trained on; says which, why, and what to do."""


def find_texts(sources, pattern="*.txt"):
    """The files named in `sources` and those in its folders, at any depth, in a fixed order."""
    found = []
    for source in map(Path, sources):
        if not source.exists():
            raise TextError(f"there is no file or folder {source}")
        inside = sorted(source.rglob(pattern)) if source.is_dir() else [source]
        found += [path for path in inside if path.is_file()]
        if not found and source.is_dir():
            endings = Counter(p.suffix or p.name for p in source.rglob("*") if p.is_file())
            there = ", ".join(f"{n} x {end}" for end, n in endings.most_common(4)) or "nothing"
            raise TextError(
                f"{source} has no file {pattern} to train on (what it has: {there}); "
                'other names are taken with --pattern, as in --pattern "*.md"'
            )
    return list(dict.fromkeys(path.resolve() for path in found))


def read_pieces(path, encoding="utf-8"):
    """Yield the text of a file in pieces, with plain line ends and without a byte-order mark."""
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)()
    decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
    done = 0
    with open(path, "rb") as file:
        while chunk := file.read(PIECE):
            if b"\0" in chunk and not encoding.startswith(("utf-16", "utf-32")):
                where = done + chunk.index(b"\0")
                raise TextError(
                    f"{path} is no plain text: byte {where:,} is zero. Take binary files out of "
                    "the folder; a text in UTF-16 needs --encoding utf-16"
                )
            yield decode(decoder, chunk, path, encoding, done)
            done += len(chunk)
        yield decode(decoder, b"", path, encoding, done)


def decode(decoder, chunk, path, encoding, done):
    """The text of a chunk that begins at byte `done`; an empty chunk ends the file."""
    try:
        return decoder.decode(chunk, final=not chunk)
    except UnicodeDecodeError as error:
        # the decoder may have kept a few bytes of the chunk before
        where = max(0, done + len(chunk) - len(error.object) + error.start)
        bad = error.object[error.start]
        raise TextError(
            f"{path} is not in {encoding}: byte {where:,} is 0x{bad:02x} ({error.reason}). Name "
            "its encoding, as in --encoding cp1252 (Windows) or latin-1, or convert the file"
        ) from None


# ---- hard-wrapped texts: paragraphs broken into lines of about the same length ----


def starts_small(line):
    return line[:1].islower()


def layout_of(sample):
    """How a text is wrapped, from its beginning: None where it isn't, else a dictionary.

    Where prose is cut into lines, most lines that follow another begin in the middle of a
    sentence, with a small letter; a line of verse or a paragraph begins with a capital.
    """
    lines = [line.rstrip() for line in sample.split("\n")]
    filled = [line for line in lines if line]
    following = [b for a, b in pairwise(lines) if a and b]
    if len(following) < max(10, 0.3 * len(filled)):
        return None  # nearly every line stands alone
    if sum(map(starts_small, following)) < 0.4 * len(following):
        return None
    lengths = sorted(map(len, filled))
    return {
        "width": lengths[int(0.9 * len(lengths))],
        "blank_lines": len(lines) - len(filled) > 0.04 * len(lines),  # between paragraphs
    }


def ends_paragraph(line, following, layout):
    """Whether the text breaks the line here, rather than the end of the paper's width."""
    if not line or not following:
        return True
    if layout["blank_lines"]:
        return False
    if following[0].isspace():  # indented
        return True
    full = len(line) + 1 + len(following.split()[0]) > layout["width"]
    open_end = line[-1].isalnum() or line[-1] in ",;"
    mid_sentence = starts_small(following) or (open_end and len(line) > 0.6 * layout["width"])
    return not full and not mid_sentence


def is_verse(lines, layout):
    """Short lines that all begin with a capital: verse, an address, a table of contents."""
    short = max(map(len, lines)) < 0.8 * layout["width"]
    return len(lines) > 1 and short and not any(map(starts_small, lines[1:]))


def join(lines, layout):
    """The lines of one paragraph as one line; verse stays as it is."""
    if is_verse(lines, layout):
        return "\n".join(lines)
    text = lines[0]
    for line in lines[1:]:
        text += line.lstrip() if re.search(r"\w-$|--$", text) else " " + line.lstrip()
    return text


def split_lines(pieces):
    """Yield the lines of a text in pieces, without spaces at their ends."""
    rest = ""
    for piece in pieces:
        *lines, rest = (rest + piece).split("\n")
        yield from map(str.rstrip, lines)
    yield rest.rstrip()


def joined(pieces):
    """Yield the same text with the lines of its paragraphs joined, if it is hard-wrapped."""
    pieces = iter(pieces)
    sample = next(pieces, "")
    pieces, layout = chain([sample], pieces), layout_of(sample)
    if layout is None:
        yield from pieces
        return
    lines = split_lines(pieces)
    paragraph = [next(lines)]
    for line in lines:
        if ends_paragraph(paragraph[-1], line, layout):
            yield join(paragraph, layout) + "\n"
            paragraph = []
        paragraph.append(line)
    yield join(paragraph, layout)


def prepared(path, encoding="utf-8", join_lines=False, plain=False):
    """Yield the text of a file in pieces as a model gets to see it."""
    pieces = read_pieces(path, encoding)
    pieces = joined(pieces) if join_lines else pieces
    return (piece.translate(PLAIN) for piece in pieces) if plain else pieces
