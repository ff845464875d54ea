"""The fast training of BPE merges, against chapter 2, `tokenizers` and a plain search."""

import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import tiktoken
from bpe import trained_by_hugging_face
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import previous_chapters as pc

ROOT = Path(__file__).resolve().parent.parent
STORY = (ROOT / "ch02" / "the-verdict.txt").read_text(encoding="utf-8")

WORDS = st.sampled_from(
    ["aaaa", "aaa", "abab", "ab", "ba", " the", "the", "thin", "'s", "don't", " ", "  ", "\n\n",
     "é", "naïve", "日本", "本日", "🙂", "🙂🙃", "1", "2024", "\x00", "\u3000"]
)  # fmt: skip
TEXTS = (
    st.text("a", max_size=40)
    | st.text("ab", max_size=80)
    | st.text("abc ", max_size=80)
    | st.lists(WORDS, max_size=30).map("".join)
    | st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=60)
)
PAIRS = st.tuples(st.integers(0, 5), st.integers(0, 5))


def many(examples):
    """So many examples, the same ones in each run, however slow the machine."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )


# ---- the merges


@many(600)
@given(TEXTS, st.integers(0, 60))
@example("", 5)
@example("a", 5)
@example("aa", 5)
@example("aaaaaaaaaaa", 9)
@example("abcabdabe", 9)
def test_the_merges_are_those_of_chapter_2(text, number):
    assert pc.train_merges_fast(text, number) == pc.train_merges(text, number)


@many(300)
@given(TEXTS, st.integers(0, 60))
def test_the_merges_are_those_of_hugging_face(text, number):
    merges = pc.train_merges_fast(text, number)
    assert pc.merges_to_lines(merges) == trained_by_hugging_face(text, number)[0]


def test_the_story_to_the_end():
    merges = pc.train_merges_fast(STORY, 100_000)
    assert merges[:743] == pc.train_merges(STORY, 743)
    assert pc.merges_to_lines(merges) == trained_by_hugging_face(STORY, 100_000)[0]
    ids = pc.BPETokenizer(merges).encode(STORY)
    assert len(ids) == len(pc.GPT2_SPLIT.findall(STORY)), "every piece has become one token"


def test_a_megabyte_agrees_with_hugging_face():
    text = pc.course_text(ROOT)
    merges = pc.train_merges_fast(text, 1000)
    assert len(merges) == 1000
    assert pc.merges_to_lines(merges) == trained_by_hugging_face(text, 1000)[0]


def test_bytes_that_are_no_letters():
    text = "".join(map(chr, range(0xD7FF))) + "\U0001f642" * 9
    merges = pc.train_merges_fast(text, 200)
    assert pc.merges_to_lines(merges) == trained_by_hugging_face(text, 200)[0]


def test_a_negative_number_is_none():
    assert pc.train_merges_fast("abab", -1) == []


# ---- the parts


@many(200)
@given(TEXTS, st.randoms(use_true_random=False))
def test_the_index_counts_as_a_new_count_does(text, chance):
    index = pc.PairIndex(pc.pieces_of(text))
    for new_id in range(256, 270):
        before = {pair for pair, count in index.counts.items() if count}
        if not before:
            break
        made = index.merge(chance.choice(sorted(before)), new_id)
        counts = {pair: count for pair, count in index.counts.items() if count}
        assert counts == pc.count_pairs(index.pieces)
        assert made == counts.keys() - before
        for pair in counts:
            places = {i for i, (ids, _) in enumerate(index.pieces) if pair in pairwise(ids)}
            assert places <= index.holders[pair], "a piece that the index doesn't know"


@many(200)
@given(st.dictionaries(PAIRS, st.integers(1, 9), max_size=12), st.data())
def test_the_queue_finds_what_a_search_finds(counts, data):
    queue = pc.PairQueue(counts)
    for _ in range(10):
        alive = [pair for pair in counts if counts[pair]]
        expected = min(alive, key=lambda pair: (-counts[pair], pair), default=None)
        assert queue.best() == expected
        for pair in alive:
            counts[pair] -= data.draw(st.integers(0, counts[pair]))
        new = data.draw(PAIRS.map(lambda pair: (pair[0] + 10, pair[1])))
        if new not in counts:
            counts[new] = data.draw(st.integers(1, 9))
            queue.add([new])


# ---- the text


def test_the_text_of_the_course_is_a_megabyte_without_repetition():
    text = pc.course_text(ROOT)
    assert 999_997 <= len(text.encode("utf-8")) <= 1_000_000
    assert text.startswith(STORY)
    lines = Counter(line for line in text.splitlines() if len(line) > 60)
    assert sum(count - 1 for count in lines.values()) < 0.05 * lines.total()
    assert pc.course_text(ROOT, 30_000) == text.encode("utf-8")[:30_000].decode("utf-8", "ignore")


# ---- speed


def seconds(function, *arguments):
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def test_it_is_faster_than_counting_anew():
    text = pc.course_text(ROOT, 300_000)
    fast = min(seconds(pc.train_merges_fast, text, 60) for _ in range(3))
    plain = seconds(pc.train_merges, text, 60)
    assert plain > 5 * fast, f"{plain:.2f} s against {fast:.2f} s"


def test_encoding_a_megabyte_takes_seconds():
    text = pc.course_text(ROOT)
    tokenizer = pc.BPETokenizer.from_gpt2(ROOT / "course" / "gpt2-bpe")
    start = time.process_time()
    ids = tokenizer.encode(text, "all")
    assert time.process_time() - start < 10
    assert ids == tiktoken.get_encoding("gpt2").encode(text, allowed_special="all")
