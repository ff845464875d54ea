"""Chapter 3 against the world: torch's own attention, the published figures, old checkpoints."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from previous_chapters import (
    CausalAttention,
    MultiHeadAttention,
    MultiHeadAttentionWrapper,
    SelfAttention_v1,
    SelfAttention_v2,
    attention_weights,
    causal_mask,
)

INPUTS = torch.tensor(
    [
        [0.43, 0.15, 0.89],
        [0.55, 0.87, 0.66],
        [0.57, 0.85, 0.64],
        [0.22, 0.58, 0.33],
        [0.77, 0.25, 0.10],
        [0.05, 0.80, 0.55],
    ]
)
BATCH = torch.stack([INPUTS, INPUTS])

# (B, T, d_in, d_out, num_heads)
SHAPES = [(1, 1, 3, 2, 1), (2, 6, 3, 2, 2), (3, 7, 8, 12, 3), (1, 16, 32, 32, 8), (2, 5, 6, 6, 6)]


@pytest.fixture(autouse=True)
def one_thread():
    """Sharing such small matrices among threads is slow where the processor is busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def layers(T, d_in, d_out, num_heads, dropout=0.0, qkv_bias=False):
    """The three causal layers for these sizes; `d_out` is that of all heads together."""
    torch.manual_seed(123)
    return [
        CausalAttention(d_in, d_out, T, dropout, qkv_bias),
        MultiHeadAttentionWrapper(d_in, d_out // num_heads, T, dropout, num_heads, qkv_bias),
        MultiHeadAttention(d_in, d_out, T, dropout, num_heads, qkv_bias),
    ]


# ---- the published figures


def test_simple_attention_has_the_published_figures():
    scores = INPUTS @ INPUTS[1]
    expected = torch.tensor([0.9544, 1.4950, 1.4754, 0.8434, 0.7070, 1.0865])
    torch.testing.assert_close(scores, expected, rtol=0, atol=1e-4)
    context = torch.softmax(scores, dim=0) @ INPUTS
    expected = torch.tensor([0.4419, 0.6515, 0.5683])
    torch.testing.assert_close(context, expected, rtol=0, atol=1e-4)


FIGURES = {
    "v1": (
        (lambda: SelfAttention_v1(3, 2), 123, INPUTS),
        "0.2996 0.8053 0.3061 0.8210 0.3058 0.8203 0.2948 0.7939 0.2927 0.7891 0.2990 0.8040",
    ),
    "v2": (
        (lambda: SelfAttention_v2(3, 2), 789, INPUTS),
        "-0.0739 0.0713 -0.0748 0.0703 -0.0749 0.0702 -0.0760 0.0685 -0.0763 0.0679 -0.0754 0.0693",
    ),
    "causal": (
        (lambda: CausalAttention(3, 2, 6, 0.0), 123, BATCH),
        "-0.4519 0.2216 -0.5874 0.0058 -0.6300 -0.0632 -0.5675 -0.0843 -0.5526 -0.0981 "
        "-0.5299 -0.1081",
    ),
    "wrapper": (
        (lambda: MultiHeadAttentionWrapper(3, 2, 6, 0.0, num_heads=2), 123, BATCH),
        "-0.4519 0.2216 0.4772 0.1063 -0.5874 0.0058 0.5891 0.3257 -0.6300 -0.0632 0.6202 0.3860 "
        "-0.5675 -0.0843 0.5478 0.3589 -0.5526 -0.0981 0.5321 0.3428 -0.5299 -0.1081 0.5077 0.3493",
    ),
    "split": (
        (lambda: MultiHeadAttention(3, 2, 6, 0.0, num_heads=2), 123, BATCH),
        "0.3190 0.4858 0.2943 0.3897 0.2856 0.3593 0.2693 0.3873 0.2639 0.3928 0.2575 0.4028",
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_outputs_for_the_published_seeds(name):
    (make, seed, x), numbers = FIGURES[name]
    torch.manual_seed(seed)
    outputs = make()(x)
    outputs = outputs.reshape(-1, 6, outputs.shape[-1])  # one text or two
    expected = torch.tensor([float(number) for number in numbers.split()]).view(6, -1)
    for text in outputs:
        torch.testing.assert_close(text, expected, rtol=0, atol=1e-4)


# ---- torch's own attention


def copy_into_torch(ours, d_out, num_heads):
    """An nn.MultiheadAttention with the weights of `ours`."""
    theirs = nn.MultiheadAttention(d_out, num_heads, batch_first=True)
    parts = [ours.W_query, ours.W_key, ours.W_value]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.zero_()
        if ours.W_query.bias is not None:
            theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    theirs.out_proj.load_state_dict(ours.out_proj.state_dict())
    return theirs


@pytest.mark.parametrize("qkv_bias", [False, True])
@pytest.mark.parametrize(("C", "num_heads"), [(8, 1), (12, 3), (32, 8)])
def test_agrees_with_torchs_multihead_attention(C, num_heads, qkv_bias):
    torch.manual_seed(123)
    ours = MultiHeadAttention(C, C, 10, 0.0, num_heads, qkv_bias)
    theirs = copy_into_torch(ours, C, num_heads)
    x, y = (torch.randn(3, 7, C).requires_grad_() for _ in range(2))
    y.data.copy_(x.data)

    got = ours(x)
    hidden = torch.triu(torch.ones(7, 7, dtype=torch.bool), diagonal=1)
    expected, weights = theirs(y, y, y, attn_mask=hidden, average_attn_weights=False)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(attention_weights(ours, x), weights.detach(), rtol=1e-5, atol=1e-6)

    direction = torch.randn_like(got)
    (got * direction).sum().backward()
    (expected * direction).sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)
    ours_grad = torch.cat([w.weight.grad for w in [ours.W_query, ours.W_key, ours.W_value]])
    torch.testing.assert_close(ours_grad, theirs.in_proj_weight.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        ours.out_proj.weight.grad, theirs.out_proj.weight.grad, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("B", "T", "d_in", "d_out", "H"), SHAPES)
def test_agrees_with_scaled_dot_product_attention(B, T, d_in, d_out, H):
    causal, _, split = layers(T, d_in, d_out, H)
    x = torch.randn(B, T, d_in)

    parts = [causal.W_query(x), causal.W_key(x), causal.W_value(x)]
    expected = F.scaled_dot_product_attention(*parts, is_causal=True)
    torch.testing.assert_close(causal(x), expected, rtol=1e-5, atol=1e-6)

    parts = [
        layer(x).unflatten(2, (H, d_out // H)).permute(0, 2, 1, 3)
        for layer in [split.W_query, split.W_key, split.W_value]
    ]
    heads = F.scaled_dot_product_attention(*parts, is_causal=True)
    expected = split.out_proj(heads.permute(0, 2, 1, 3).reshape(B, T, d_out))
    torch.testing.assert_close(split(x), expected, rtol=1e-5, atol=1e-6)


def test_unmasked_self_attention_agrees_with_torch():
    torch.manual_seed(123)
    x = torch.randn(9, 5)
    v1, v2 = SelfAttention_v1(5, 4), SelfAttention_v2(5, 4, qkv_bias=True)
    expected = F.scaled_dot_product_attention(x @ v1.W_query, x @ v1.W_key, x @ v1.W_value)
    torch.testing.assert_close(v1(x), expected, rtol=1e-5, atol=1e-6)
    expected = F.scaled_dot_product_attention(v2.W_query(x), v2.W_key(x), v2.W_value(x))
    torch.testing.assert_close(v2(x), expected, rtol=1e-5, atol=1e-6)


# ---- the causal property


def test_the_mask_hides_exactly_what_comes_later():
    for T in [1, 2, 7]:
        hidden = [[key > query for key in range(T)] for query in range(T)]
        assert causal_mask(T).tolist() == hidden


@pytest.mark.parametrize(("B", "T", "d_in", "d_out", "H"), SHAPES)
def test_a_changed_token_moves_nothing_earlier_and_everything_later(B, T, d_in, d_out, H):
    for layer in layers(T, d_in, d_out, H):
        x = torch.randn(B, T, d_in)
        before = layer(x)
        for t in range(T):
            changed = x.clone()
            changed[:, t] += torch.randn(d_in)
            moved = (layer(changed) - before).abs().amax(dim=(0, 2))
            assert moved[:t].eq(0).all(), f"token {t} moved an earlier output: {moved}"
            assert moved[t:].gt(0).all(), f"token {t} did not reach a later output: {moved}"


@pytest.mark.parametrize(("B", "T", "d_in", "d_out", "H"), SHAPES)
def test_no_gradient_flows_to_later_tokens(B, T, d_in, d_out, H):
    for layer in layers(T, d_in, d_out, H):
        for t in range(T):
            x = torch.randn(B, T, d_in, requires_grad=True)
            layer(x)[:, t].sum().backward()
            reached = x.grad.abs().amax(dim=(0, 2))
            assert reached[t + 1 :].eq(0).all()
            assert reached[: t + 1].gt(0).all()


@pytest.mark.parametrize(("B", "T", "d_in", "d_out", "H"), SHAPES)
def test_a_text_cut_short_has_the_same_first_outputs(B, T, d_in, d_out, H):
    for layer in layers(T, d_in, d_out, H):
        x = torch.randn(B, T, d_in)
        for t in range(1, T + 1):
            torch.testing.assert_close(layer(x[:, :t]), layer(x)[:, :t], rtol=1e-5, atol=1e-6)


def test_texts_of_a_batch_do_not_meet():
    for layer in layers(6, 4, 6, 3):
        x = torch.randn(3, 6, 4)
        alone = torch.cat([layer(text.unsqueeze(0)) for text in x])
        torch.testing.assert_close(layer(x), alone, rtol=1e-5, atol=1e-6)


# ---- wrapper and split version


@pytest.mark.parametrize("qkv_bias", [False, True])
@pytest.mark.parametrize(("d_in", "D", "H"), [(3, 2, 2), (8, 4, 3), (16, 1, 16), (5, 7, 1)])
def test_split_weights_equal_separate_heads(d_in, D, H, qkv_bias):
    torch.manual_seed(123)
    wrapper = MultiHeadAttentionWrapper(d_in, D, 9, 0.0, H, qkv_bias)
    split = MultiHeadAttention(d_in, H * D, 9, 0.0, H, qkv_bias)
    for name in ["W_query", "W_key", "W_value"]:
        states = [getattr(head, name).state_dict() for head in wrapper.heads]
        wide = {key: torch.cat([state[key] for state in states]) for key in states[0]}
        getattr(split, name).load_state_dict(wide)
    nn.init.eye_(split.out_proj.weight)
    nn.init.zeros_(split.out_proj.bias)
    x = torch.randn(2, 9, d_in)
    torch.testing.assert_close(split(x), wrapper(x), rtol=1e-5, atol=1e-6)


# ---- state_dict, buffers, checkpoints


def test_state_dict_keys_and_order():
    split = MultiHeadAttention(4, 6, 5, 0.1, 2)
    assert list(split.state_dict()) == [
        "W_query.weight",
        "W_key.weight",
        "W_value.weight",
        "out_proj.weight",
        "out_proj.bias",
    ]
    with_bias = MultiHeadAttention(4, 6, 5, 0.1, 2, qkv_bias=True).state_dict()
    names = ["W_query", "W_key", "W_value", "out_proj"]
    assert list(with_bias) == [f"{name}.{part}" for name in names for part in ("weight", "bias")]
    assert list(CausalAttention(4, 6, 5, 0.1).state_dict()) == [
        "W_query.weight",
        "W_key.weight",
        "W_value.weight",
    ]
    assert [name for name, _ in split.named_children()] == [*names, "dropout"]
    assert list(SelfAttention_v1(3, 2).state_dict()) == ["W_query", "W_key", "W_value"]


def with_masks(state, *prefixes):
    """`state` as an older checkpoint would hold it: with float masks, at the prefixes."""
    masks = {prefix + "mask": torch.ones(5, 5).triu(1) for prefix in prefixes}
    return {**masks, **state}


@pytest.mark.parametrize("nested", [False, True])
def test_a_checkpoint_with_masks_loads_strictly_and_stays_as_it_is(nested):
    causal, wrapper, split = layers(5, 4, 6, 2)
    cases = [
        (causal, ["0." if nested else ""]),
        (wrapper, [f"{'0.' if nested else ''}heads.{i}." for i in range(2)]),
        (split, ["0." if nested else ""]),
    ]
    for layer, prefixes in cases:
        model = nn.Sequential(layer) if nested else layer
        trained = {name: torch.randn_like(value) for name, value in model.state_dict().items()}
        saved = with_masks(trained, *prefixes)
        before = {name: value.clone() for name, value in saved.items()}
        result = model.load_state_dict(saved, strict=True)
        assert not result.missing_keys
        assert not result.unexpected_keys
        assert list(saved) == list(before)
        assert all(torch.equal(value, before[name]) for name, value in saved.items())
        assert all(torch.equal(value, trained[name]) for name, value in model.state_dict().items())
        masks = [buffer for name, buffer in model.named_buffers() if name.endswith("mask")]
        assert all(torch.equal(mask, causal_mask(5)) for mask in masks)


def test_other_unknown_or_missing_names_are_still_refused():
    split = layers(5, 4, 6, 2)[2]
    state = split.state_dict()
    with pytest.raises(RuntimeError, match="Unexpected"):
        split.load_state_dict({**state, "masks": torch.ones(5, 5)})
    with pytest.raises(RuntimeError, match="Unexpected"):
        split.load_state_dict({**state, "W_query.mask": torch.ones(5, 5)})
    state.pop("out_proj.bias")
    with pytest.raises(RuntimeError, match="Missing"):
        split.load_state_dict(state)


def test_the_mask_moves_with_the_module_and_is_not_trained():
    for layer in layers(5, 4, 6, 2):
        masks = [name for name, _ in layer.named_buffers()]
        assert masks
        assert all(name.endswith("mask") for name in masks)
        assert not any("mask" in name for name, _ in layer.named_parameters())
        assert all(buffer.is_meta for buffer in layer.to("meta").buffers())


# ---- dropout


def test_dropout_only_in_training_mode():
    for layer in layers(6, 4, 6, 2, dropout=0.5):
        x = torch.randn(2, 6, 4)
        layer.train()
        assert not torch.equal(layer(x), layer(x))
        layer.eval()
        assert torch.equal(layer(x), layer(x))


def test_dropout_falls_on_the_weights_and_keeps_the_mean():
    torch.manual_seed(123)
    layer = CausalAttention(4, 3, 6, dropout=0.5)
    x = torch.randn(1, 6, 4)
    value = layer.W_value(x)[0, 0]
    first = layer(x.expand(500, 6, 4))[:, 0]  # one weight of 1, dropped or doubled
    dropped = first.eq(0).all(dim=1)
    assert 0.4 < dropped.float().mean() < 0.6
    torch.testing.assert_close(first[~dropped], (2 * value).expand_as(first[~dropped]))

    many = layer(x.expand(20_000, 6, 4)).mean(dim=0)
    torch.testing.assert_close(many, layer.eval()(x)[0], rtol=0, atol=0.05)


# ---- bad input


@pytest.mark.parametrize("num_heads", [3, 0, -2, 20])
def test_heads_that_do_not_divide_the_channels(num_heads):
    with pytest.raises(ValueError, match=r"d_out \(10\) must be divisible by") as error:
        MultiHeadAttention(10, 10, 4, 0.0, num_heads)
    assert f"num_heads ({num_heads})" in str(error.value)
    assert "1, 2, 5, 10" in str(error.value)


def test_a_text_longer_than_the_context():
    for layer in layers(6, 3, 4, 2):
        assert layer(torch.rand(2, 6, 3)).shape == (2, 6, 4)
        with pytest.raises(ValueError, match=r"7 tokens do not fit into the context of 6"):
            layer(torch.rand(2, 7, 3))


def test_a_text_without_a_batch():
    for layer in layers(6, 3, 4, 2):
        with pytest.raises(ValueError, match=r"\(6, 3\).*unsqueeze"):
            layer(INPUTS)
