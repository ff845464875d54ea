"""The data set and the loader of chapter 2, against windows cut out in the plainest way."""

from pathlib import Path

import pytest
import tiktoken
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from previous_chapters import BPETokenizer, GPTDatasetV1, create_dataloader_v1

ROOT = Path(__file__).resolve().parent.parent
STORY = (ROOT / "ch02" / "the-verdict.txt").read_text(encoding="utf-8")
GPT2 = tiktoken.get_encoding("gpt2")
IDS = GPT2.encode(STORY)


def reference(ids, max_length, stride):
    """(inputs, targets) of each window, as lists."""
    windows, start = [], 0
    while start + max_length + 1 <= len(ids):
        window = ids[start : start + max_length + 1]
        windows.append((window[:-1], window[1:]))
        start += stride
    return windows


def plain(dataset):
    return [(inputs.tolist(), targets.tolist()) for inputs, targets in dataset]


@pytest.mark.parametrize(
    ("max_length", "stride"), [(4, 1), (4, 4), (4, 7), (256, 128), (256, 256), (1024, 1024)]
)
def test_windows_of_the_story(max_length, stride):
    dataset = GPTDatasetV1(STORY, GPT2, max_length, stride)
    windows = reference(IDS, max_length, stride)
    assert len(dataset) == len(windows)
    assert [dataset[i][0].tolist() for i in range(len(dataset))] == [w[0] for w in windows]
    assert [dataset[i][1].tolist() for i in range(len(dataset))] == [w[1] for w in windows]


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(1, 15))
def test_windows_of_any_size(characters, max_length, stride):
    text = STORY[:characters]
    ids = GPT2.encode(text)
    windows = reference(ids, max_length, stride)
    if not windows:
        with pytest.raises(ValueError, match=f"max_length={max_length}"):
            GPTDatasetV1(text, GPT2, max_length, stride)
        return
    dataset = GPTDatasetV1(text, GPT2, max_length, stride)
    assert plain(dataset[i] for i in range(len(dataset))) == windows
    starts = range(0, len(ids) - max_length, stride)
    seen = {t for start in starts for t in range(start, start + max_length)}
    if stride <= max_length:  # without a gap from the first token to the last window's end
        assert seen == set(range(max(seen) + 1))
        assert len(ids) - 1 - len(seen) < stride
    if stride == max_length:
        assert sum(len(inputs) for inputs, _ in windows) == len(seen)


def test_items_are_long_tensors_that_are_one_token_apart():
    inputs, targets = GPTDatasetV1(STORY, GPT2, 8, 3)[5]
    assert inputs.dtype == targets.dtype == torch.int64
    assert inputs.shape == targets.shape == (8,)
    assert torch.equal(inputs[1:], targets[:-1])


def test_iterating_over_the_data_set_ends():
    dataset = GPTDatasetV1(STORY[:400], GPT2, 4, 4)
    assert len(plain(dataset)) == len(dataset)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_the_border_between_documents_is_one_token():
    dataset = GPTDatasetV1("Tea.<|endoftext|>Coffee.", GPT2, 3, 1)
    assert 50_256 in dataset[0][0].tolist()


def test_our_own_tokenizer_gives_the_same_windows():
    ours = BPETokenizer.from_gpt2(ROOT / "course" / "gpt2-bpe")
    assert plain(GPTDatasetV1(STORY, ours, 64, 64)) == plain(GPTDatasetV1(STORY, GPT2, 64, 64))


def test_published_batches():
    loader = create_dataloader_v1(STORY, batch_size=1, max_length=4, stride=1, shuffle=False)
    inputs, targets = next(iter(loader))
    assert inputs.tolist() == [[40, 367, 2885, 1464]]
    assert targets.tolist() == [[367, 2885, 1464, 1807]]


def test_published_numbers_of_batches():
    """Chapter 5's split: 9 training batches and 1 for validation, of 2 x 256 tokens."""
    split = int(0.9 * len(STORY))
    for text, batches, drop_last in [(STORY[:split], 9, True), (STORY[split:], 1, False)]:
        loader = create_dataloader_v1(
            text, batch_size=2, max_length=256, stride=256, drop_last=drop_last
        )
        assert len(loader) == batches
        assert sum(inputs.numel() for inputs, _ in loader) == batches * 512


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("batch_size", [1, 7, 64, 1286])
def test_batches_in_order(batch_size, drop_last):
    windows = reference(IDS, 4, 4)
    loader = create_dataloader_v1(
        STORY, batch_size, max_length=4, stride=4, shuffle=False, drop_last=drop_last
    )
    batches = list(loader)
    rest = len(windows) % batch_size
    assert len(loader) == len(batches) == len(windows) // batch_size + (not drop_last and rest > 0)
    seen = [row for inputs, _ in batches for row in inputs.tolist()]
    kept = len(windows) - rest * drop_last
    assert seen == [inputs for inputs, _ in windows[:kept]]
    if drop_last:
        assert all(inputs.shape == (batch_size, 4) for inputs, _ in batches)


def test_shuffling_reorders_the_windows_and_keeps_each_whole():
    windows = reference(IDS, 16, 16)

    def one_pass(seed):
        torch.manual_seed(seed)
        loader = create_dataloader_v1(STORY, 8, max_length=16, stride=16, drop_last=False)
        return [pair for x, y in loader for pair in zip(x.tolist(), y.tolist(), strict=True)]

    assert one_pass(1) == one_pass(1)
    assert one_pass(1) != one_pass(2)
    assert one_pass(1) != windows
    assert sorted(one_pass(1)) == sorted(windows)


def test_the_defaults():
    loader = create_dataloader_v1(STORY)
    inputs, targets = next(iter(loader))
    assert inputs.shape == targets.shape == (4, 256)
    assert len(loader) == len(reference(IDS, 256, 128)) // 4
    assert loader.num_workers == 0
    assert isinstance(loader.sampler, torch.utils.data.RandomSampler)


# ---- bad input


@pytest.mark.parametrize("tokens", [0, 1, 8])
def test_a_text_shorter_than_a_window_is_refused(tokens):
    text = GPT2.decode(IDS[:tokens])
    with pytest.raises(ValueError, match=f"{tokens} tokens.*max_length=8.*need 9"):
        GPTDatasetV1(text, GPT2, 8, 1)
    with pytest.raises(ValueError, match=f"{tokens} tokens.*max_length=8.*need 9"):
        create_dataloader_v1(text, batch_size=1, max_length=8, stride=1)


def test_the_shortest_text_that_fits():
    dataset = GPTDatasetV1(GPT2.decode(IDS[:9]), GPT2, 8, 100)
    assert plain(dataset) == [(IDS[:8], IDS[1:9])]


@pytest.mark.parametrize(("max_length", "stride"), [(0, 1), (4, 0), (-1, 1), (4, -2)])
def test_sizes_below_one_are_refused(max_length, stride):
    with pytest.raises(ValueError, match=rf"max_length \({max_length}\).*stride \({stride}\)"):
        GPTDatasetV1(STORY, GPT2, max_length, stride)


def test_an_empty_loader_is_refused():
    with pytest.raises(ValueError, match=r"20 windows.*batch of 21.*drop_last"):
        create_dataloader_v1(STORY, batch_size=21, max_length=256, stride=256)
    assert len(create_dataloader_v1(STORY, batch_size=20, max_length=256, stride=256)) == 1
    loader = create_dataloader_v1(STORY, 21, max_length=256, stride=256, drop_last=False)
    assert [len(inputs) for inputs, _ in loader] == [20]
