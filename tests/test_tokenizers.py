"""The tokenizers of chapter 2, against tiktoken and Hugging Face's `tokenizers`."""

import json
import os
import re
from pathlib import Path

import pytest
import tiktoken
from bpe import trained_by_hugging_face
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import previous_chapters as pc

ROOT = Path(__file__).resolve().parent.parent
STORY = (ROOT / "ch02" / "the-verdict.txt").read_text(encoding="utf-8")
GPT2 = tiktoken.get_encoding("gpt2")
OURS = pc.BPETokenizer.from_gpt2(ROOT / "course" / "gpt2-bpe")
END = "<|endoftext|>"

PIECES = st.sampled_from(
    [
        *["the", " the", "Tea", "'s", "'ll", "'LL", "don't", "’t", "aaaaaaa", "endoftext"],
        *[" ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\x85"],
        *["\x1c", "\x00", "\u200b", "\u200d", "\ufffd", "\U0010ffff", "Ġ", "_", "<|", "|>"],
        *["é", "e\u0301", "ß", "я", "日本", "ا", "ก", "½", "²", "٣", "7", "2024"],
        *["🙂", "👩\u200d🚀", "🇯🇵", ".", "...", "--"],
    ]
)
MIXED = st.lists(PIECES, max_size=30).map("".join)
TEXTS = MIXED | st.text(max_size=60) | st.text("ab \n'", max_size=60)
MARKED = st.lists(TEXTS, min_size=1, max_size=4).map(END.join)


def many(examples):
    """So many examples, the same ones in each run, however slow the machine."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


# ---- byte pair encoding with GPT-2's merges, against tiktoken


@many(4000)
@given(TEXTS)
@example("")
@example(" ")
@example("  two  spaces and a tail   ")
def test_bpe_gives_the_ids_of_tiktoken_and_the_text_back(text):
    ids = OURS.encode(text, allowed_special={END})
    assert ids == GPT2.encode(text, allowed_special={END})
    assert OURS.decode(ids) == text


@many(1000)
@given(st.lists(st.integers(0, 50_255), max_size=20))
def test_bpe_agrees_on_texts_made_of_tokens(ids):
    text = GPT2.decode(ids)
    assert OURS.decode(ids) == text
    assert OURS.encode(text, "all") == GPT2.encode(text, allowed_special="all")


@many(1000)
@given(MARKED)
@example(END)
@example(END + END)
@example(" " + END + "\n")
def test_special_tokens_allowed_and_refused_as_by_tiktoken(text):
    for allowed in [{END}, "all"]:
        assert OURS.encode(text, allowed_special=allowed) == GPT2.encode(
            text, allowed_special=allowed
        )
    if END in text:
        for encode in [OURS.encode, GPT2.encode]:
            with pytest.raises(ValueError, match=re.escape(END)):
                encode(text)


@many(300)
@given(st.text(st.characters(exclude_categories=()), max_size=20))
@example("\ud800")
@example("\ud83d\ude00")
@example("a\udfff b")
def test_lone_surrogates_as_by_tiktoken(text):
    assert OURS.encode(text, "all") == GPT2.encode(text, allowed_special="all")


def test_every_code_point_is_split_as_by_tiktoken():
    """`regex` and tiktoken have each a table of Unicode's letters: here they agree."""
    points = [i for i in range(0x20000) if not 0xD800 <= i < 0xE000]
    for start in range(0, len(points), 64):
        text = "".join(f"a{chr(i)}b 1{chr(i)}!{chr(i)} " for i in points[start : start + 64])
        assert OURS.encode(text) == GPT2.encode(text), f"at U+{points[start]:04X}"
    OURS.cache.clear()


def test_bpe_of_the_story():
    ids = OURS.encode(STORY)
    assert len(ids) == 5_145
    assert ids == GPT2.encode(STORY)


def test_ids_are_those_of_openais_file():
    published = json.loads((ROOT / "course/gpt2-bpe/encoder.json").read_text(encoding="utf-8"))
    ours = {"".join(pc.VISIBLE[byte] for byte in token): i for i, token in enumerate(OURS.table)}
    assert ours == published
    assert OURS.n_vocab == GPT2.n_vocab == 50_257


def test_published_ids():
    text = "Hello, do you like tea? <|endoftext|> In the sunlit terracesof someunknownPlace."
    expected = "15496 11 466 345 588 8887 30 220 50256 554 262 4252 18250 8812 2114 1659 617 34680"
    expected = [int(token_id) for token_id in expected.split()] + [27271, 13]
    assert OURS.encode(text, allowed_special={END}) == expected


@many(500)
@given(st.lists(st.integers(0, 50_256), max_size=12))
def test_decode_replaces_what_is_not_utf8(ids):
    assert OURS.decode(ids) == GPT2.decode(ids, errors="replace")


@pytest.mark.parametrize("token_id", [-1, 50_257])
def test_decode_refuses_ids_that_do_not_exist(token_id):
    with pytest.raises(ValueError, match=rf"{token_id}.*50256"):
        OURS.decode([40, token_id])


# ---- training, against Hugging Face's trainer (ties: both take the pair of smaller ids)


def names_of(tokenizer):
    table = tokenizer.table[: tokenizer.n_vocab - len(tokenizer.special_tokens)]
    return {"".join(pc.VISIBLE[byte] for byte in token): i for i, token in enumerate(table)}


def test_training_on_the_story_gives_hugging_faces_merges():
    tokenizer = pc.BPETokenizer.train(STORY, vocab_size=600)
    merges, vocabulary = trained_by_hugging_face(STORY, 600 - 257)
    assert pc.merges_to_lines(tokenizer.merges) == merges
    assert names_of(tokenizer) == vocabulary


@many(400)
@given(
    st.text("ab", max_size=50) | st.text("aé 日'st\n1", max_size=50) | MIXED,
    st.integers(0, 30),
)
def test_training_gives_hugging_faces_merges(text, number):
    tokenizer = pc.BPETokenizer.train(text, vocab_size=257 + number)
    if END in text:
        return
    assert pc.merges_to_lines(tokenizer.merges) == trained_by_hugging_face(text, number)[0]


@many(300)
@given(TEXTS, TEXTS, st.integers(0, 40))
def test_a_trained_tokenizer_encodes_every_text(text, other, number):
    tokenizer = pc.BPETokenizer.train(text, vocab_size=257 + number)
    assert tokenizer.n_vocab <= 257 + number
    assert len(set(tokenizer.table)) == tokenizer.n_vocab
    for sample in [text, other]:
        ids = tokenizer.encode(sample, "all")
        assert tokenizer.decode(ids) == sample
        assert len(ids) <= len(sample.encode("utf-8", "replace"))
        assert all(0 <= i < tokenizer.n_vocab for i in ids)


def test_the_end_of_text_is_a_border_in_training():
    tokenizer = pc.BPETokenizer.train(f"ab{END}ab" * 9, vocab_size=400)
    assert pc.merges_to_lines(tokenizer.merges)[0] == "a b"
    assert not any(b"<|" in token for token in tokenizer.table[:-1])
    assert tokenizer.encode(END, {END}) == [tokenizer.n_vocab - 1]


@pytest.mark.parametrize("vocab_size", [-1, 0, 256])
def test_a_vocabulary_too_small_is_refused(vocab_size):
    with pytest.raises(ValueError, match=rf"{vocab_size}.*257"):
        pc.BPETokenizer.train("some text", vocab_size)


# ---- saving and loading


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "bpe.json"
    pc.BPETokenizer.train(STORY[:3000], vocab_size=300).save(path)
    return path


@many(100)
@given(text=TEXTS, number=st.integers(0, 40))
def test_a_loaded_tokenizer_is_the_saved_one(tmp_path_factory, text, number):
    path = tmp_path_factory.mktemp("bpe") / "bpe.json"
    tokenizer = pc.BPETokenizer.train(text, vocab_size=257 + number)
    tokenizer.save(path)
    loaded = pc.BPETokenizer.load(path)
    assert (loaded.table, loaded.merges) == (tokenizer.table, tokenizer.merges)
    assert loaded.special_tokens == tokenizer.special_tokens
    assert loaded.encode(text + STORY[:200], "all") == tokenizer.encode(text + STORY[:200], "all")


def test_gpt2_can_be_saved_and_loaded(tmp_path):
    OURS.save(tmp_path / "gpt2.json")
    loaded = pc.BPETokenizer.load(tmp_path / "gpt2.json")
    assert loaded.encode(STORY) == OURS.encode(STORY)


def test_a_saved_file_is_readable(saved):
    content = json.loads(saved.read_text(encoding="utf-8"))
    assert content["special_tokens"] == [END]
    assert len(content["merges"]) == 43
    assert all(re.fullmatch(r"\S+ \S+", line) for line in content["merges"])


def damage(content, how):
    merges = content["merges"]
    if how == "a merge of three tokens":
        merges[1] = "a b c"
    elif how == "an unknown token":
        merges[1] = "日 本"
    elif how == "a merge twice":
        merges[2] = merges[1]
    elif how == "out of order":
        merges.reverse()
    elif how == "a number for a merge":
        merges[0] = 7
    elif how == "no merges":
        del content["merges"]
    elif how == "special tokens that are no texts":
        content["special_tokens"] = [1]
    elif how == "an empty special token":
        content["special_tokens"] = [""]
    elif how == "another format":
        content["format"] = "something else"


@pytest.mark.parametrize(
    "how",
    [
        "a merge of three tokens",
        "an unknown token",
        "a merge twice",
        "out of order",
        "a number for a merge",
        "no merges",
        "special tokens that are no texts",
        "an empty special token",
        "another format",
    ],
)
def test_a_damaged_file_is_refused_by_name(saved, how):
    content = json.loads(saved.read_text(encoding="utf-8"))
    damage(content, how)
    saved.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"bpe\.json.*damaged"):
        pc.BPETokenizer.load(saved)


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b'"text"', b"\xff\xfe\x00", b"{}"])
def test_a_file_of_another_kind_is_refused(saved, content):
    saved.write_bytes(content)
    with pytest.raises(ValueError, match=r"bpe\.json.*damaged"):
        pc.BPETokenizer.load(saved)


def test_every_truncation_is_refused(saved):
    content = saved.read_bytes()
    for length in range(0, len(content), 37):
        saved.write_bytes(content[:length])
        with pytest.raises(ValueError, match="damaged"):
            pc.BPETokenizer.load(saved)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pc.BPETokenizer.load(tmp_path / "nowhere.json")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file(saved, monkeypatch, step):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = saved.read_bytes()
    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        OURS.save(saved)
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == [saved.name]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_stops_half_way_leaves_the_old_file(tmp_path, error):
    def write(file):
        file.write(b"half")
        file.flush()
        assert Path(file.name) == tmp_path / "file.bin.part"
        raise error

    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(error):
        pc.write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


def test_a_part_left_by_a_killed_process_is_overwritten(tmp_path):
    path = tmp_path / "file.bin"
    Path(f"{path}.part").write_bytes(b"what a killed process left, longer than the new content")
    pc.write_atomically(str(path), lambda file: file.write(b"new\r\n"))
    assert path.read_bytes() == b"new\r\n"
    assert os.listdir(tmp_path) == [path.name]


# ---- the word tokenizers

WORDS = sorted(set(pc.split_into_tokens(STORY)))
VOCAB_1 = {token: i for i, token in enumerate(WORDS)}
VOCAB_2 = {token: i for i, token in enumerate([*WORDS, END, "<|unk|>"])}


def test_published_counts_of_the_story():
    assert len(STORY) == 20_479
    assert len(pc.split_into_tokens(STORY)) == 4_690
    assert (len(VOCAB_1), len(VOCAB_2)) == (1_130, 1_132)


@many(500)
@given(TEXTS)
def test_a_split_drops_white_space_and_nothing_else(text):
    tokens = pc.split_into_tokens(text)
    assert all(tokens)
    assert "".join("".join(tokens).split()) == "".join(text.split())
    for mark in ",.:;?_!\"()'":
        assert tokens.count(mark) == text.count(mark)


@many(500)
@given(st.lists(st.sampled_from(WORDS), max_size=40))
def test_v1_and_v2_on_known_words(words):
    for tokenizer in [pc.SimpleTokenizerV1(VOCAB_1), pc.SimpleTokenizerV2(VOCAB_2)]:
        ids = tokenizer.encode(" ".join(words))
        assert ids == [VOCAB_1[word] for word in words]
        assert tokenizer.encode(tokenizer.decode(ids)) == ids


@many(500)
@given(TEXTS)
def test_v1_refuses_and_v2_replaces_unknown_words(text):
    tokens = pc.split_into_tokens(text)
    unknown = [token for token in tokens if token not in VOCAB_1]
    ids = pc.SimpleTokenizerV2(VOCAB_2).encode(text)
    assert [i == 1131 for i in ids] == [token not in VOCAB_2 for token in tokens]
    if unknown:
        with pytest.raises(ValueError, match=re.escape(repr(unknown[0]))):
            pc.SimpleTokenizerV1(VOCAB_1).encode(text)
    else:
        assert pc.SimpleTokenizerV1(VOCAB_1).encode(text) == ids


def test_decode_puts_no_space_before_punctuation():
    tokenizer = pc.SimpleTokenizerV1(VOCAB_1)
    text = "I had always thought, you see; no?"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_v2_knows_the_border_between_documents():
    tokenizer = pc.SimpleTokenizerV2(VOCAB_2)
    assert tokenizer.encode(f"the {END} palazzo") == [VOCAB_1["the"], 1130, 1131]
    assert tokenizer.decode([1130, 1131]) == f"{END} <|unk|>"


def test_bad_input_of_the_word_tokenizers():
    with pytest.raises(ValueError, match="'teapot' is not among the 1130 tokens"):
        pc.SimpleTokenizerV1(VOCAB_1).encode("the teapot")
    with pytest.raises(ValueError, match="token id 5000"):
        pc.SimpleTokenizerV1(VOCAB_1).decode([1, 5000])
    with pytest.raises(ValueError, match=r"<\|unk\|>"):
        pc.SimpleTokenizerV2(VOCAB_1)
