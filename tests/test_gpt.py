"""Chapter 4 against the world: torch's own layers, transformers' GPT-2, the published figures."""

import math

import pytest
import tiktoken
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from previous_chapters import (
    GELU,
    GPT_CONFIG_124M,
    FeedForward,
    GPTModel,
    LayerNorm,
    TransformerBlock,
    check_config,
    generate_text_simple,
)

SMALL = {
    "vocab_size": 97,
    "context_length": 16,
    "emb_dim": 32,
    "n_heads": 4,
    "n_layers": 3,
    "drop_rate": 0.1,
    "qkv_bias": False,
}


def small_model(seed=0, **changes):
    """A small GPTModel in eval mode; biases, scales and shifts are random, not 0 and 1."""
    torch.manual_seed(seed)
    model = GPTModel({**SMALL, **changes}).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                p.copy_(torch.randn_like(p) * 0.3 + name.endswith("scale"))
    return model


# ---- the parts, against torch


@pytest.mark.parametrize("shape", [(7,), (3, 8), (2, 5, 768), (2, 3, 4, 6)])
def test_layer_norm_is_torchs(shape):
    torch.manual_seed(1)
    ours, theirs = LayerNorm(shape[-1]), nn.LayerNorm(shape[-1], eps=1e-5)
    with torch.no_grad():
        theirs.weight.copy_(ours.scale.normal_())
        theirs.bias.copy_(ours.shift.normal_())
    x = 4 * torch.randn(shape) - 3
    x_ours, x_theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    torch.testing.assert_close(ours(x_ours), theirs(x_theirs), atol=1e-5, rtol=1e-5)

    weight = torch.randn(shape)
    (ours(x_ours) * weight).sum().backward()
    (theirs(x_theirs) * weight).sum().backward()
    torch.testing.assert_close(x_ours.grad, x_theirs.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(ours.scale.grad, theirs.weight.grad, atol=1e-4, rtol=1e-4)


def test_layer_norm_starts_neutral_and_survives_a_constant():
    norm = LayerNorm(6)
    assert norm.eps == 1e-5
    assert (norm.scale == 1).all()
    assert (norm.shift == 0).all()
    assert (norm(torch.full((2, 6), 3.0)) == 0).all()


def test_layer_norm_uses_the_biased_variance():
    x = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
    assert LayerNorm(4)(x).pow(2).mean().item() == pytest.approx(1, abs=1e-4)


def test_gelu_is_torchs_tanh_version():
    x = torch.linspace(-20, 20, 4001)
    torch.testing.assert_close(GELU()(x), nn.GELU(approximate="tanh")(x), atol=2e-6, rtol=1e-6)
    distance = (GELU()(x) - nn.GELU()(x)).abs().max()
    assert 1e-4 < distance < 5e-4


def test_feed_forward_has_the_published_layers():
    ff = FeedForward(SMALL)
    assert [type(layer) for layer in ff.layers] == [nn.Linear, GELU, nn.Linear]
    x = torch.randn(2, 5, 32)
    by_hand = ff.layers[2](F.gelu(ff.layers[0](x), approximate="tanh"))
    torch.testing.assert_close(ff(x), by_hand, atol=1e-5, rtol=1e-5)


def test_block_is_pre_norm_with_a_free_stream():
    torch.manual_seed(2)
    block = TransformerBlock(SMALL).eval()
    x = torch.randn(2, 6, 32)
    half = x + block.att(block.norm1(x))
    torch.testing.assert_close(block(x), half + block.ff(block.norm2(half)))
    for last in (block.att.out_proj, block.ff.layers[2]):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    assert torch.equal(block(x), x)


def test_dropout_stands_before_the_shortcut_is_added():
    block = TransformerBlock({**SMALL, "drop_rate": 1.0}).train()
    x = torch.randn(2, 6, 32)
    assert torch.equal(block(x), x)  # both branches dropped, the stream kept


# ---- the model, against transformers


def as_gpt2(model, cfg):
    """transformers' GPT2LMHeadModel with the weights of `model`."""
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=cfg["vocab_size"],
        n_positions=cfg["context_length"],
        n_embd=cfg["emb_dim"],
        n_layer=cfg["n_layers"],
        n_head=cfg["n_heads"],
        activation_function="gelu_new",
        layer_norm_epsilon=1e-5,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="eager",
    )
    gpt2 = transformers.GPT2LMHeadModel(config).eval()
    assert gpt2.lm_head.weight is not gpt2.transformer.wte.weight
    for name, theirs in gpt2.named_parameters():
        with torch.no_grad():
            theirs.copy_(our_tensor(model, name, theirs.shape))
    return gpt2


def our_tensor(source, name, shape):
    """What `source` (a GPTModel) holds under transformers' `name`; its matrices are (in, out)."""
    whole = {
        "transformer.wte.weight": "tok_emb.weight",
        "transformer.wpe.weight": "pos_emb.weight",
        "transformer.ln_f.weight": "final_norm.scale",
        "transformer.ln_f.bias": "final_norm.shift",
        "lm_head.weight": "out_head.weight",
    }
    if name in whole:
        return source.get_parameter(whole[name])
    number, part = name.removeprefix("transformer.h.").split(".", 1)
    block = source.trf_blocks[int(number)]
    if part.startswith("attn.c_attn"):
        kind = part.rsplit(".", 1)[1]
        pieces = [block.att.W_query, block.att.W_key, block.att.W_value]
        if pieces[0].bias is None and kind == "bias":
            return torch.zeros(shape)
        return torch.cat([getattr(p, kind) for p in pieces]).t()
    name, kind = part.rsplit(".", 1)
    layer = {
        "attn.c_proj": block.att.out_proj,
        "mlp.c_fc": block.ff.layers[0],
        "mlp.c_proj": block.ff.layers[2],
        "ln_1": block.norm1,
        "ln_2": block.norm2,
    }[name]
    if name.startswith("ln"):
        return {"weight": layer.scale, "bias": layer.shift}[kind]
    return getattr(layer, kind).t()


SHAPES = [
    {},
    {"qkv_bias": True},
    {"n_heads": 1, "n_layers": 1},
    {"emb_dim": 48, "n_heads": 12, "n_layers": 2, "qkv_bias": True},
    {"vocab_size": 1000, "context_length": 40, "emb_dim": 64, "n_heads": 8, "n_layers": 5},
]


@pytest.mark.parametrize("changes", SHAPES)
def test_logits_are_those_of_gpt2(changes):
    cfg = {**SMALL, **changes}
    model = small_model(**changes)
    gpt2 = as_gpt2(model, cfg)
    for B, T in [(1, 1), (3, 7), (2, cfg["context_length"])]:
        ids = torch.randint(cfg["vocab_size"], (B, T))
        with torch.no_grad():
            torch.testing.assert_close(model(ids), gpt2(ids).logits, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("changes", SHAPES[:2])
def test_gradients_are_those_of_gpt2(changes):
    model = small_model(3, **changes)
    gpt2 = as_gpt2(model, {**SMALL, **changes})
    ids = torch.randint(97, (2, 16))
    loss = F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    theirs = gpt2(ids, labels=ids).loss
    torch.testing.assert_close(loss, theirs, atol=1e-5, rtol=1e-5)
    loss.backward()
    theirs.backward()

    model_of_gradients = GPTModel({**SMALL, **changes})  # our gradients, in the place of weights
    for ours, p in zip(model_of_gradients.parameters(), model.parameters(), strict=True):
        ours.data = p.grad
    for name, p in gpt2.named_parameters():
        if "c_attn.bias" in name and not changes:
            continue  # biases that our model doesn't have
        expected = our_tensor(model_of_gradients, name, p.shape)
        torch.testing.assert_close(p.grad, expected, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("seed", range(3))
def test_greedy_generation_is_that_of_gpt2(seed):
    model = small_model(seed)
    gpt2 = as_gpt2(model, SMALL)
    ids = torch.randint(97, (2, 4))
    ours = generate_text_simple(model, ids, 12, context_size=16)
    theirs = gpt2.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False, pad_token_id=0
    )
    assert torch.equal(ours, theirs)


# ---- the published figures


@pytest.fixture(scope="module")
def gpt_124m():
    torch.manual_seed(123)
    return GPTModel(GPT_CONFIG_124M).eval()


def test_published_parameters_and_memory(gpt_124m):
    total = sum(p.numel() for p in gpt_124m.parameters())
    assert total == 163_009_536
    assert total - gpt_124m.out_head.weight.numel() == 124_412_160
    assert round(total * 4 / 2**20, 2) == 621.83


def test_published_greedy_ids(gpt_124m):
    ids = torch.tensor([tiktoken.get_encoding("gpt2").encode("Hello, I am")])
    out = generate_text_simple(gpt_124m, ids, max_new_tokens=6, context_size=1024)
    assert out[0, 4:].tolist() == [27018, 24086, 47843, 30961, 42348, 7267]
    assert torch.equal(out[:, :4], ids)


def test_published_logits_in_training_mode():
    """The first forward pass right after construction, dropout included."""
    torch.manual_seed(123)
    model = GPTModel(GPT_CONFIG_124M)
    batch = torch.tensor([[6109, 3626, 6100, 345], [6109, 1110, 6622, 257]])
    logits = model(batch)[:, 0, :3]
    expected = torch.tensor([[0.3613, 0.4222, -0.0711], [-0.2564, 0.0900, 0.0335]])
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_untrained_loss_is_near_log_of_the_vocabulary(gpt_124m):
    torch.manual_seed(4)
    ids = torch.randint(50257, (1, 129))
    with torch.no_grad():
        loss = F.cross_entropy(gpt_124m(ids[:, :-1])[0], ids[0, 1:]).item()
    assert math.log(50257) < loss < math.log(50257) + 0.4


@pytest.mark.parametrize(
    ("emb_dim", "n_layers", "n_heads", "without_head"),
    [(768, 12, 12, 124), (1024, 24, 16, 355), (1280, 36, 20, 774), (1600, 48, 25, 1558)],
)
def test_the_four_sizes_have_the_parameters_in_their_names(
    emb_dim, n_layers, n_heads, without_head
):
    changes = {"emb_dim": emb_dim, "n_layers": n_layers, "n_heads": n_heads, "qkv_bias": True}
    with torch.device("meta"):
        model = GPTModel({**GPT_CONFIG_124M, **changes})
    model.out_head.weight = model.tok_emb.weight
    assert round(sum(p.numel() for p in model.parameters()) / 1e6) == without_head


# ---- state_dict


def published_keys(n_layers, qkv_bias):
    keys = ["tok_emb.weight", "pos_emb.weight", "out_head.weight"]
    keys += ["final_norm.scale", "final_norm.shift"]
    for n in range(n_layers):
        block = f"trf_blocks.{n}."
        for name in ("W_query", "W_key", "W_value"):
            keys += [f"{block}att.{name}.weight"] + [f"{block}att.{name}.bias"] * qkv_bias
        keys += [f"{block}att.out_proj.weight", f"{block}att.out_proj.bias"]
        keys += [f"{block}ff.layers.{i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")]
        keys += [f"{block}norm{i}.{kind}" for i in (1, 2) for kind in ("scale", "shift")]
    return keys


@pytest.mark.parametrize("qkv_bias", [False, True])
def test_state_dict_has_exactly_the_published_keys(qkv_bias):
    model = small_model(qkv_bias=qkv_bias)
    assert sorted(model.state_dict()) == sorted(published_keys(3, qkv_bias))


def test_a_published_checkpoint_with_masks_loads_strictly():
    source, target = small_model(5), small_model(6)
    state = source.state_dict()
    for n in range(3):
        state[f"trf_blocks.{n}.att.mask"] = torch.triu(torch.ones(16, 16), diagonal=1)
    kept = dict(state)
    target.load_state_dict(state, strict=True)
    ids = torch.randint(97, (2, 16))
    assert torch.equal(source(ids), target(ids))
    assert list(state) == list(kept), "the caller's dictionary must not change"


def test_strict_loading_still_refuses_unknown_and_missing_keys():
    state = small_model().state_dict()
    with pytest.raises(RuntimeError, match=r"trf_blocks\.0\.att\.maks"):
        small_model().load_state_dict({**state, "trf_blocks.0.att.maks": torch.ones(1)})
    del state["final_norm.scale"]
    with pytest.raises(RuntimeError, match=r"final_norm\.scale"):
        small_model().load_state_dict(state)


# ---- weight tying


def test_tied_weights_are_one_storage_and_stay_so():
    model, untied = small_model(7), small_model(7)
    model.out_head.weight = model.tok_emb.weight
    with torch.no_grad():
        untied.out_head.weight.copy_(untied.tok_emb.weight)
    assert model.out_head.weight.data_ptr() == model.tok_emb.weight.data_ptr()
    assert untied.out_head.weight.data_ptr() != untied.tok_emb.weight.data_ptr()
    n_tied, n_untied = (sum(p.numel() for p in m.parameters()) for m in (model, untied))
    assert n_untied - n_tied == 97 * 32

    ids = torch.randint(97, (2, 9))
    for m in (model, untied):
        F.cross_entropy(m(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
    summed = untied.tok_emb.weight.grad + untied.out_head.weight.grad
    torch.testing.assert_close(model.tok_emb.weight.grad, summed, atol=1e-6, rtol=1e-5)

    for m in (model, untied):
        torch.optim.AdamW(m.parameters(), lr=0.01).step()
    assert torch.equal(model.out_head.weight, model.tok_emb.weight)
    assert not torch.equal(untied.out_head.weight, untied.tok_emb.weight)
    assert model.out_head.weight.data_ptr() == model.tok_emb.weight.data_ptr()


# ---- properties of the whole model


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_no_output_depends_on_a_later_token(data):
    model = small_model(8)
    T = data.draw(st.integers(2, 16))
    ids = data.draw(st.lists(st.integers(0, 96), min_size=T, max_size=T))
    place = data.draw(st.integers(0, T - 1))
    other = list(ids)
    other[place] = (ids[place] + data.draw(st.integers(1, 96))) % 97
    with torch.no_grad():
        moved = (model(torch.tensor([ids])) - model(torch.tensor([other]))).abs().amax(-1)[0]
    assert (moved[:place] == 0).all()
    assert (moved[place:] > 0).all()


def test_a_shorter_text_gives_the_same_as_the_beginning_of_a_longer_one():
    model = small_model(9)
    ids = torch.randint(97, (2, 16))
    with torch.no_grad():
        whole = model(ids)
        for T in (1, 5, 15):
            torch.testing.assert_close(model(ids[:, :T]), whole[:, :T], atol=1e-5, rtol=1e-5)


def test_a_batch_gives_what_its_texts_give_alone():
    model = small_model(10)
    ids = torch.randint(97, (4, 11))
    with torch.no_grad():
        alone = torch.cat([model(row[None]) for row in ids])
        torch.testing.assert_close(model(ids), alone, atol=1e-5, rtol=1e-5)
    texts = generate_text_simple(model, ids, 8, 16)
    assert torch.equal(texts, torch.cat([generate_text_simple(model, r[None], 8, 16) for r in ids]))


def test_positions_count():
    model = small_model(11)
    with torch.no_grad():
        logits = model(torch.tensor([[5, 5, 5, 5]]))[0]
    assert not torch.allclose(logits[0], logits[3], atol=1e-3)


def test_eval_is_deterministic_and_train_is_not():
    model = small_model(12)
    ids = torch.randint(97, (2, 16))
    assert torch.equal(model(ids), model(ids))
    model.train()
    assert not torch.allclose(model(ids), model(ids), atol=1e-3)


# ---- generation


def test_generation_appends_the_argmax_and_leaves_the_model_as_it_was():
    model = small_model(13)
    ids = torch.randint(97, (2, 5))
    before = ids.clone()
    out = generate_text_simple(model=model, idx=ids, max_new_tokens=4, context_size=16)
    assert torch.equal(ids, before)
    assert out.shape == (2, 9)
    for n in range(5, 9):
        assert torch.equal(model(out[:, :n])[:, -1].argmax(-1), out[:, n])
    assert torch.equal(generate_text_simple(model, ids, 0, 16), ids)
    assert not out.requires_grad
    assert not model.training
    model.train()
    generate_text_simple(model, ids, 1, 16)
    assert model.training


def test_past_the_context_only_the_window_counts():
    model = small_model(14)
    tail = torch.randint(97, (1, 16))
    texts = [torch.cat([torch.tensor([[first] * 3]), tail], dim=1) for first in (1, 2)]
    one, two = (generate_text_simple(model, text, 20, context_size=16) for text in texts)
    assert one.shape == (1, 39)
    assert torch.equal(one[:, 3:], two[:, 3:])
    narrow = generate_text_simple(model, texts[0], 3, context_size=4)
    assert torch.equal(narrow[:, 19:], generate_text_simple(model, tail[:, -4:], 3, 4)[:, 4:])


# ---- bad input


@pytest.mark.parametrize("key", GPT_CONFIG_124M)
def test_a_missing_key_is_named(key):
    cfg = {k: v for k, v in SMALL.items() if k != key}
    with pytest.raises(ValueError, match=rf"no '{key}'.*vocab_size"):
        GPTModel(cfg)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("n_heads", "n_head"),
        ("n_heads", "num_heads"),
        ("emb_dim", "embed_dim"),
        ("drop_rate", "dropout_rate"),
        ("context_length", "context_len"),
        ("qkv_bias", "qvk_bias"),
    ],
)
def test_a_misspelt_key_is_recognised(right, wrong):
    cfg = {(wrong if k == right else k): v for k, v in SMALL.items()}
    with pytest.raises(ValueError, match=rf"no '{right}': rename '{wrong}'"):
        GPTModel(cfg)


def test_a_slip_beside_the_right_key_is_recognised_and_other_keys_are_ignored():
    with pytest.raises(ValueError, match=r"'n_head' beside 'n_heads'"):
        GPTModel({**SMALL, "n_head": 2})
    check_config({**SMALL, "model_name": "small", "dtype": torch.float32, "seed": 1})


def test_heads_must_share_the_channels_equally():
    with pytest.raises(ValueError, match=r"emb_dim \(32\) must be divisible by n_heads \(5\)"):
        GPTModel({**SMALL, "n_heads": 5})


def test_too_many_tokens():
    with pytest.raises(ValueError, match=r"17 tokens do not fit into the context of 16.*-16:"):
        small_model()(torch.zeros(1, 17, dtype=torch.long))
    with pytest.raises(ValueError, match=r"17 tokens do not fit"):
        generate_text_simple(small_model(), torch.zeros(1, 16, dtype=torch.long), 2, 100)


@pytest.mark.parametrize("ids", [[[3, 97]], [[-1, 3]], [[50256]]])
def test_ids_outside_the_vocabulary(ids):
    with pytest.raises(ValueError, match=r"from 0 to 96, got"):
        small_model()(torch.tensor(ids))


@pytest.mark.parametrize("shape", [(4,), (1, 0), (0, 4), (1, 2, 3)])
def test_ids_of_the_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"shape \(B, T\)"):
        small_model()(torch.zeros(shape, dtype=torch.long))


@pytest.mark.parametrize("context_size", [0, -1])
def test_context_size_below_one(context_size):
    with pytest.raises(ValueError, match="context_size must be at least 1"):
        generate_text_simple(small_model(), torch.zeros(1, 2, dtype=torch.long), 1, context_size)
