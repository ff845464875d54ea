"""Generation with a cache: the ids of chapters 5 and 7 and of transformers, only faster."""

import warnings

import pytest
import torch

import previous_chapters as course
from previous_chapters import (
    CachedRows,
    GPTModel,
    GPTModelFast,
    KVCache,
    decode_step,
    generate,
    generate_batch,
    generate_batch_fast,
    generate_fast,
    stream_ids,
    stream_ids_fast,
)

CONFIG = {
    "vocab_size": 97,
    "context_length": 80,
    "emb_dim": 32,
    "n_heads": 4,
    "n_layers": 3,
    "drop_rate": 0.0,
    "qkv_bias": True,
}
PROMPTS = [[5], [7, 8, 9, 10, 11, 12], [13, 14, 15], [90, 2, 64, 33, 1, 0, 96, 4, 71]]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def plain():
    """Chapter 4's model, its weights so large that the logits differ clearly."""
    torch.manual_seed(3)
    model = GPTModel(CONFIG).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.normal_(std=0.2) if weight.dim() == 2 else weight.add_(
                0.1 * torch.randn_like(weight)
            )
            if "norm" in name and "scale" in name:
                weight.add_(0.2)
    return model


@pytest.fixture(scope="module")
def fast(plain):
    return copy_of(plain)


def copy_of(plain, dtype=None):
    model = GPTModelFast(CONFIG).eval().to(dtype)
    model.load_state_dict(plain.state_dict())
    return model


@pytest.fixture
def idx():
    return torch.tensor([[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]])


@pytest.fixture(scope="module")
def peer(plain, tmp_path_factory):
    """The same weights in transformers."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("peer")
    course.save_for_transformers(plain, folder)
    return transformers.GPT2LMHeadModel.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def compiler():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not course.can_compile():
            pytest.skip("there is no compiler")


# ---- the cache itself


@pytest.mark.parametrize("pieces", [[20], [1] * 20, [5, 1, 1, 13], [19, 1]])
def test_logits_in_pieces_are_those_of_one_pass(plain, fast, pieces):
    ids = torch.randint(97, (3, 20), generator=torch.Generator().manual_seed(1))
    cache = KVCache(CONFIG, 3, 20)
    with torch.no_grad():
        found = torch.cat([fast(part, cache) for part in ids.split(pieces, 1)], 1)
        torch.testing.assert_close(found, plain(ids), atol=1e-4, rtol=1e-4)
    assert cache.lengths.tolist() == [20] * 3


def test_rows_of_unequal_length_go_on_as_if_alone(plain, fast):
    cache, more = KVCache(CONFIG, 4, 14), [[21, 22, 23], [24, 25, 26], [27, 28, 29], [30, 31, 32]]
    filled = torch.full((4, 9), 50)
    for row, ids in zip(filled, PROMPTS, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    with torch.no_grad():
        fast(filled, cache)
        cache.crop(torch.tensor([len(ids) for ids in PROMPTS]))
        found = torch.cat(  # one token, then two at once
            [fast(part, cache) for part in torch.tensor(more).split([1, 2], 1)], 1
        )
        for row, ids in enumerate(PROMPTS):
            alone = plain(torch.tensor([ids + more[row]]))[0, -3:]
            torch.testing.assert_close(found[row], alone, atol=1e-4, rtol=1e-4)


def test_crop_takes_tokens_back_and_reset_forgets_all(plain, fast):
    cache = KVCache(CONFIG, 1, 10)
    with torch.no_grad():
        fast(torch.tensor([[1, 2, 3, 4, 5]]), cache)
        cache.crop(torch.tensor([2]))
        found = fast(torch.tensor([[6]]), cache)
        torch.testing.assert_close(found[0, -1], plain(torch.tensor([[1, 2, 6]]))[0, -1],
                                   atol=1e-4, rtol=1e-4)  # fmt: skip
        cache.crop(torch.tensor([100]))
        assert cache.lengths.tolist() == [3]
        cache.reset()
        ids = torch.tensor([[9, 8, 7]])
        torch.testing.assert_close(fast(ids, cache), plain(ids), atol=1e-4, rtol=1e-4)


def test_the_memory_is_made_once_and_not_copied(fast):
    cache = KVCache(CONFIG, 1, 30)
    places = [memory.data_ptr() for memory in cache.keys + cache.values]
    with torch.no_grad():
        for _ in range(30):
            fast(torch.tensor([[1]]), cache)
    assert places == [memory.data_ptr() for memory in cache.keys + cache.values]
    assert all(len(memory) == 64 for memory in cache.keys)


def test_a_full_cache_refuses_more(fast):
    cache = KVCache(CONFIG, 1, 4)
    with torch.no_grad(), pytest.raises(ValueError, match=r"holds 0 of at most 4 .* 5 more"):
        fast(torch.tensor([[1, 2, 3, 4, 5]]), cache)
    with torch.no_grad():
        fast(torch.tensor([[1, 2, 3, 4]]), cache)
    with torch.no_grad(), pytest.raises(ValueError, match=r"holds 4 .* 1 more"):
        fast(torch.tensor([[5]]), cache)


@pytest.mark.parametrize(("batch_size", "max_length"), [(0, 5), (1, 0), (1, 81)])
def test_impossible_caches(batch_size, max_length):
    with pytest.raises(ValueError, match=f"80, got {batch_size} and {max_length}"):
        KVCache(CONFIG, batch_size, max_length)


# ---- the ids of chapter 5


@pytest.mark.parametrize("context_size", [80, 12, 5, 3, 1])
def test_greedy_ids_are_those_of_generate(plain, fast, idx, context_size):
    """Above 12 + 5 nothing outgrows the context; 3 is less than the prompt."""
    found = generate_fast(fast, idx, 30, context_size)
    assert found.tolist() == generate(plain, idx, 30, context_size).tolist()
    assert found.shape == (2, 35)


@pytest.mark.parametrize("context_size", [80, 12])
@pytest.mark.parametrize("top_k", [None, 5])
def test_drawn_ids_are_those_of_generate(plain, fast, idx, top_k, context_size):
    found = []
    for function, model in [(generate, plain), (generate_fast, fast)]:
        torch.manual_seed(11)
        found.append(function(model, idx, 30, context_size, 0.8, top_k).tolist())
    assert found[0] == found[1]
    torch.manual_seed(12)
    assert generate_fast(fast, idx, 30, context_size, 0.8, top_k).tolist() != found[1]


def test_rows_end_as_in_generate(plain, fast, idx):
    written = generate(plain, idx, 30, 80)[:, 5:]
    ends = {int(written[0, 4]), int(written[1, 9]), int(written[0, 0]), 96}
    for context_size in (80, 12):
        for end in ends:
            found = generate_fast(fast, idx, 30, context_size, eos_id=end)
            expected = generate(plain, idx, 30, context_size, eos_id=end)
            assert found.tolist() == expected.tolist()
    alone = generate_fast(fast, idx[:1], 30, 80, eos_id=int(written[0, 4]))
    assert alone.shape[1] < 10  # it did end


@pytest.mark.parametrize("new", [0, 1])
def test_few_tokens(plain, fast, idx, new):
    assert generate_fast(fast, idx, new, 80).tolist() == generate(plain, idx, new, 80).tolist()


def test_reread_is_exact_up_to_the_limit_and_then_reads_the_last_half(plain, fast, idx):
    found = generate_fast(fast, idx, 40, 16, past="reread")
    assert found[:, :17].tolist() == generate(plain, idx, 12, 16).tolist()
    start = 0  # by hand, without a cache
    expected = idx
    for _ in range(40):
        if expected.shape[1] - start > 16:
            start = expected.shape[1] - 8
        with torch.no_grad():
            chosen = plain(expected[:, start:])[:, -1].argmax(dim=-1, keepdim=True)
        expected = torch.cat([expected, chosen], dim=1)
    assert found.tolist() == expected.tolist()


def test_each_token_passes_once_and_reread_reads_little(fast, idx):
    passed = []
    hook = fast.tok_emb.register_forward_pre_hook(lambda _, ids: passed.append(ids[0].shape[1]))
    try:
        generate_fast(fast, idx, 10, 80)
        assert passed == [5] + [1] * 9
        passed.clear()
        generate_fast(fast, idx, 14, 8, past="reread")
        assert passed == [5, 1, 1, 1, 4, 1, 1, 1, 1, 4, 1, 1, 1, 1]
        passed.clear()
        generate_fast(fast, idx, 6, 8)
        assert passed == [5, 1, 1, 1, 8, 8]
    finally:
        hook.remove()


# ---- the ids of chapter 7


@pytest.mark.parametrize("context_size", [80, 10, 4])
def test_batches_of_unequal_prompts(plain, fast, context_size):
    found = generate_batch_fast(fast, PROMPTS, 25, context_size)
    assert found == generate_batch(plain, PROMPTS, 25, context_size)
    assert [len(ids) for ids in found] == [25] * 4


@pytest.mark.parametrize("context_size", [80, 10])
def test_rows_of_a_batch_end_on_their_own(plain, fast, context_size):
    whole = generate_batch(plain, PROMPTS, 25, context_size)
    lengths = set()
    for end in {whole[0][3], whole[1][0], whole[3][12]}:
        found = generate_batch_fast(fast, PROMPTS, 25, context_size, eos_id=end)
        assert found == generate_batch(plain, PROMPTS, 25, context_size, eos_id=end)
        lengths |= {len(ids) for ids in found}
    assert len(lengths) > 2


def test_a_row_that_ends_past_the_limit_leaves_the_others_as_they_are(plain, fast):
    """The short row has a cache again, once the long one no longer has to be read anew."""
    rows, short = CachedRows(fast, [[5], PROMPTS[3]], 25, 10, "exact", False), [5]
    with torch.no_grad():
        for step in range(9):
            found = rows.logits()[0]
            expected = plain(torch.tensor([short]))[0, -1]
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
            rows.append([30 + step, 60 + step], [1] if step == 4 else ())
            short.append(30 + step)


def test_rereading_rows_are_as_if_alone(fast):
    """Also where one row has ended and another goes past the limit."""
    whole = generate_batch_fast(fast, PROMPTS, 25, 10, past="reread")
    for end in (None, whole[1][1]):
        found = generate_batch_fast(fast, PROMPTS[1:2] * 2, 25, 10, eos_id=end, past="reread")
        alone = generate_batch_fast(fast, PROMPTS[1:2], 25, 10, eos_id=end, past="reread")
        assert found == alone * 2


def test_drawn_batches(plain, fast):
    found = []
    for function, model in [(generate_batch, plain), (generate_batch_fast, fast)]:
        torch.manual_seed(11)
        found.append(function(model, PROMPTS, 20, 80, 1.0, 10, eos_id=None))
    assert found[0] == found[1]


@pytest.mark.parametrize("context_size", [80, 8])
def test_streaming(plain, fast, context_size):
    ids = [4, 8, 15, 16]
    found = list(stream_ids_fast(fast, ids, 20, context_size))
    assert found == list(stream_ids(plain, ids, 20, context_size))
    assert found == generate(plain, torch.tensor([ids]), 20, context_size)[0, 4:].tolist()
    end = found[6]
    stopped = list(stream_ids_fast(fast, ids, 20, context_size, eos_id=end))
    assert stopped == found[: found.index(end)]
    assert ids == [4, 8, 15, 16]  # untouched


def test_a_stream_computes_only_what_is_asked_for(fast):
    passed = []
    hook = fast.tok_emb.register_forward_pre_hook(lambda _, ids: passed.append(ids[0].shape[1]))
    stream = stream_ids_fast(fast, [1, 2, 3], 50, 80, eos_id=None)
    assert passed == []
    next(stream), next(stream)
    hook.remove()
    assert passed == [3, 1]


# ---- the ids of transformers


def test_greedy_ids_are_those_of_transformers(peer, fast, idx):
    options = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "use_cache": True}
    expected = peer.generate(idx, attention_mask=torch.ones_like(idx), max_new_tokens=40, **options)
    assert generate_fast(fast, idx, 40, 80).tolist() == expected.tolist()
    for prompt, found in zip(PROMPTS, generate_batch_fast(fast, PROMPTS, 40, 80), strict=True):
        row = torch.tensor([prompt])
        whole = peer.generate(
            row, attention_mask=torch.ones_like(row), max_new_tokens=40, **options
        )
        assert prompt + found == whole[0].tolist()


# ---- bad input


def test_what_cannot_be_generated_is_refused(plain, fast, idx):
    for function, text in [(generate_fast, idx), (generate_batch_fast, PROMPTS)]:
        with pytest.raises(ValueError, match="got a GPTModel: make one"):
            function(plain, text, 3, 80)
        for context_size in (0, 81):
            with pytest.raises(ValueError, match=f"the model's 80, got {context_size}"):
                function(fast, text, 3, context_size)
        with pytest.raises(ValueError, match="exact, reread, got 'half'"):
            function(fast, text, 3, 80, past="half")
        with pytest.raises(ValueError, match="temperature must be 0"):
            function(fast, text, 3, 80, temperature=-1)
    for empty in ([[1], []], []):
        with pytest.raises(ValueError, match="prompt is empty"):
            generate_batch_fast(fast, empty, 3, 80)
    with pytest.raises(ValueError, match="prompt is empty"):
        generate_fast(fast, torch.empty(1, 0, dtype=torch.long), 3, 80)
    with pytest.raises(ValueError, match="prompt is empty"):
        next(stream_ids_fast(fast, [], 3, 80))
    with pytest.raises(ValueError, match="97"):
        generate_fast(fast, torch.tensor([[97]]), 3, 80)


# ---- 16 bits, and compiled


def test_bf16(plain, idx):
    """The cache has the type of the weights, and the logits are near those of 32 bits."""
    low = copy_of(plain, torch.bfloat16)
    rows = CachedRows(low, idx.tolist(), 10, 80, "exact", False)
    with torch.no_grad():
        rows.logits()
        rows.append([7, 8])
        found = rows.logits().float()
        expected = plain(torch.cat([idx, torch.tensor([[7], [8]])], 1))[:, -1]
    assert rows.cache.keys[0].dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(found, expected).min() > 0.995
    assert generate_fast(low, idx, 10, 80).shape == (2, 15)


@pytest.mark.parametrize("B", [1, 2, 3])
def test_the_functions_to_compile_compute_the_same(fast, monkeypatch, B):
    """As they stand, uncompiled: rows of unequal length, over the border of 64 tokens."""
    monkeypatch.setattr(course, "compile_once", lambda function: function)
    caches = [KVCache(CONFIG, B, 70) for _ in range(2)]
    ids = torch.randint(97, (B, 60), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for cache in caches:
            fast(ids, cache)
            cache.crop(torch.tensor([60, 58, 59][:B]))
        for token in range(8):
            new = torch.arange(B) + token
            found = course.compiled_step(fast, new, caches[0])
            expected = decode_step(fast, new, caches[1])
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert caches[0].lengths.tolist() == caches[1].lengths.tolist()


def test_compiled_ids_are_the_same(compiler, plain, fast, idx, monkeypatch):
    steps = []
    step = course.compiled_step
    monkeypatch.setattr(
        course, "compiled_step", lambda *arguments: steps.append(1) or step(*arguments)
    )
    found = generate_fast(fast, idx, 70, 80, compile=True)  # over the border of 64 tokens
    assert found.tolist() == generate(plain, idx, 70, 80).tolist()
    assert len(steps) == 69


def test_without_a_compiler_there_is_a_warning_and_the_same_text(plain, fast, idx, monkeypatch):
    def broken(*arguments, **options):
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(torch, "compile", broken)
    course.can_compile.cache_clear()
    try:
        with pytest.warns(UserWarning, match="not compiled, and slower"):
            found = generate_fast(fast, idx, 10, 80, compile=True)
    finally:
        course.can_compile.cache_clear()
    assert found.tolist() == generate(plain, idx, 10, 80).tolist()
