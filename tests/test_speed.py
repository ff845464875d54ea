"""The training half of appendix F: the same results as chapters 3 to 5, torch and transformers.

How fast it is stands in benchmarks/; here it is proved to be the same.
"""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from torch import nn
from torch.autograd import gradcheck

import previous_chapters as pc

CFG = {"vocab_size": 211, "context_length": 40, "emb_dim": 32, "n_heads": 4, "n_layers": 2,
       "drop_rate": 0.0, "qkv_bias": True}  # fmt: skip


@pytest.fixture(autouse=True)
def seed(one_thread):
    torch.manual_seed(0)


def both_models(**changes):
    """A GPTModel whose parameters are all random, also the biases, and its fast twin."""
    plain = pc.GPTModel(CFG | changes)
    for parameter in plain.parameters():
        nn.init.normal_(parameter, std=0.4)
    fast = pc.GPTModelFast(CFG | changes)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def tokens(B=3, T=20, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(CFG["vocab_size"], (2, B, T), generator=generator).unbind()


def plain_loss(model, inputs, targets):
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def assert_same_gradients(ours, theirs, **tolerance):
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(
            ours[name], theirs[name], msg=lambda m, n=name: f"{n}: {m}", **tolerance
        )


# ---- the model


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("B", "T"), [(1, 1), (3, 20), (2, 40)])
def test_logits_are_those_of_the_plain_model(B, T, bias):
    plain, fast = both_models(qkv_bias=bias)
    inputs, _ = tokens(B, T)
    expected = plain(inputs)
    assert expected.std() > 0.5, "logits near 0 would prove little"
    torch.testing.assert_close(fast(inputs), expected, atol=2e-5, rtol=2e-5)


def test_logits_where_attention_takes_several_blocks_and_where_it_is_sdpa():
    plain, fast = both_models(context_length=600)
    for T in (128, 129, 300, 512, 513, 600):
        inputs, _ = tokens(1, T)
        with torch.no_grad():
            torch.testing.assert_close(fast(inputs), plain(inputs), atol=5e-5, rtol=5e-5)


def test_logits_are_those_of_transformers():
    transformers = pytest.importorskip("transformers")
    shape = transformers.GPT2Config(
        vocab_size=211, n_positions=40, n_embd=32, n_head=4, n_layer=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(shape).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.4)
    weights = theirs.transformer.state_dict()
    fast = pc.GPTModelFast(CFG).tie()
    names = {"tok_emb.weight": "wte.weight", "pos_emb.weight": "wpe.weight",
             "final_norm.scale": "ln_f.weight", "final_norm.shift": "ln_f.bias"}  # fmt: skip
    inside = {"norm1.scale": "ln_1.weight", "norm1.shift": "ln_1.bias",
              "norm2.scale": "ln_2.weight", "norm2.shift": "ln_2.bias",
              "att.out_proj": "attn.c_proj", "ff.layers.0": "mlp.c_fc",
              "ff.layers.2": "mlp.c_proj"}  # fmt: skip
    state = {ours: weights[name] for ours, name in names.items()}
    state["out_head.weight"] = weights["wte.weight"]
    for i in range(2):
        for ours, name in inside.items():
            if ".weight" in name or ".bias" in name:
                state[f"trf_blocks.{i}.{ours}"] = weights[f"h.{i}.{name}"]
            else:
                state[f"trf_blocks.{i}.{ours}.weight"] = weights[f"h.{i}.{name}.weight"].T
                state[f"trf_blocks.{i}.{ours}.bias"] = weights[f"h.{i}.{name}.bias"]
        for kind, axis in [("weight", 1), ("bias", 0)]:
            joined = weights[f"h.{i}.attn.c_attn.{kind}"].chunk(3, dim=axis)
            for part, value in zip(("W_query", "W_key", "W_value"), joined, strict=True):
                state[f"trf_blocks.{i}.att.{part}.{kind}"] = value.t()
    fast.load_state_dict(state)
    inputs, targets = tokens()
    torch.testing.assert_close(fast(inputs), theirs(inputs).logits, atol=5e-5, rtol=5e-5)
    expected = F.cross_entropy(theirs(inputs).logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(fast.loss(inputs, targets), expected)


def test_a_later_token_changes_no_earlier_logit():
    _, fast = both_models()
    inputs, _ = tokens(1, 20)
    other = inputs.clone()
    other[0, 12] = (other[0, 12] + 1) % CFG["vocab_size"]
    before, after = fast(inputs), fast(other)
    torch.testing.assert_close(before[:, :12], after[:, :12])
    assert (before[:, 12:] - after[:, 12:]).abs().amax(dim=-1).min() > 1e-4


@pytest.mark.parametrize("bias", [True, False])
def test_checkpoints_load_strictly_both_ways(bias):
    plain, fast = pc.GPTModel(CFG | {"qkv_bias": bias}), pc.GPTModelFast(CFG | {"qkv_bias": bias})
    shapes = {name: tensor.shape for name, tensor in plain.state_dict().items()}
    assert shapes == {name: tensor.shape for name, tensor in fast.state_dict().items()}
    inputs, _ = tokens()
    assert not torch.allclose(plain(inputs), fast(inputs), atol=1e-3)
    plain.load_state_dict(fast.state_dict(), strict=True)
    torch.testing.assert_close(plain(inputs), fast(inputs), atol=2e-5, rtol=2e-5)
    with pytest.raises(RuntimeError, match="size mismatch"):
        fast.load_state_dict(pc.GPTModel(CFG | {"emb_dim": 36, "qkv_bias": bias}).state_dict())


def test_the_shipped_model_loads_and_answers_the_same():
    plain, config, _ = pc.load_pretrained("gpt2-mini", ROOT / "models")
    fast = pc.GPTModelFast(config)
    fast.load_state_dict(plain.state_dict())
    inputs = torch.arange(1000, 1064)[None]
    with torch.no_grad():
        expected = plain.eval()(inputs)
        torch.testing.assert_close(fast.eval()(inputs), expected, atol=1e-3, rtol=1e-4)


def test_gradients_are_those_of_the_plain_model():
    plain, fast = both_models()
    inputs, targets = tokens()
    expected = gradients(plain, plain_loss(plain, inputs, targets))
    assert_same_gradients(gradients(fast, plain_loss(fast, inputs, targets)), expected)
    assert_same_gradients(gradients(fast, fast.loss(inputs, targets)), expected)


def test_the_tied_head_is_one_tensor_and_gets_both_gradients():
    plain, fast = both_models()
    plain.out_head.weight = plain.tok_emb.weight
    assert fast.tie() is fast
    assert fast.out_head.weight is fast.tok_emb.weight
    assert len(list(fast.parameters())) == len(list(plain.parameters()))
    inputs, targets = tokens()
    expected = gradients(plain, plain_loss(plain, inputs, targets))
    assert_same_gradients(gradients(fast, fast.loss(inputs, targets)), expected)


def test_bad_input_and_bad_configurations_are_refused_as_by_the_plain_model():
    fast = pc.GPTModelFast(CFG)
    with pytest.raises(ValueError, match="41 tokens do not fit into the context of 40"):
        fast(torch.zeros(1, 41, dtype=torch.long))
    with pytest.raises(ValueError, match="from 0 to 210, got 211 to 211"):
        fast.loss(torch.full((1, 3), 211), torch.zeros(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match=r"emb_dim \(30\) must be divisible by n_heads \(4\)"):
        pc.GPTModelFast(CFG | {"emb_dim": 30})


# ---- the loss


def head(n=50, C=16, V=300, dtype=torch.float32):
    hidden = torch.randn(2, n // 2, C, dtype=dtype, requires_grad=True)
    weight = torch.randn(V, C, dtype=dtype, requires_grad=True)
    return hidden, weight, torch.randint(V, (2, n // 2))


def reference(hidden, weight, targets, ignore_index=-100):
    logits = F.linear(hidden, weight).flatten(0, -2)
    return F.cross_entropy(logits, targets.flatten(), ignore_index=ignore_index)


@pytest.mark.parametrize("chunk_size", [1, 7, 25, 50, 64])
@pytest.mark.parametrize("ignore_index", [-100, 3])
def test_loss_and_gradients_are_those_of_torch(chunk_size, ignore_index):
    hidden, weight, targets = head()
    targets[0, :9] = ignore_index  # a whole chunk of 7, too
    expected = reference(hidden, weight, targets, ignore_index)
    loss = pc.fused_cross_entropy(hidden, weight, targets, ignore_index, chunk_size)
    assert loss.shape == ()
    torch.testing.assert_close(loss, expected)
    ours, theirs = (torch.autograd.grad(x, (hidden, weight)) for x in (loss, expected))
    assert not theirs[0][0, :9].any()
    torch.testing.assert_close(ours, theirs)


def test_a_vocabulary_larger_than_a_part_of_the_product():
    hidden, weight, targets = head(n=20, V=9000)
    targets[0, 0], targets[0, 1] = 8999, 4096
    expected = reference(hidden, weight, targets)
    loss = pc.fused_cross_entropy(hidden, weight, targets, chunk_size=8)
    ours, theirs = (torch.autograd.grad(x, (hidden, weight)) for x in (loss, expected))
    torch.testing.assert_close(ours, theirs)


def test_gradients_agree_with_finite_differences():
    hidden, weight, targets = head(n=6, C=4, V=9, dtype=torch.float64)
    assert gradcheck(
        lambda h, w: pc.fused_cross_entropy(h, w, targets, chunk_size=4), (hidden, weight)
    )


def test_a_scaled_loss_has_scaled_gradients():
    """Gradient accumulation divides the loss."""
    hidden, weight, targets = head()
    loss = pc.fused_cross_entropy(hidden, weight, targets) / 4 + hidden.sum() * 0
    expected = reference(hidden, weight, targets) / 4
    ours, theirs = (torch.autograd.grad(x, (hidden, weight)) for x in (loss, expected))
    torch.testing.assert_close(ours, theirs)


def test_large_logits_neither_overflow_nor_vanish():
    hidden, weight, targets = head()
    big = (hidden * 40).detach().requires_grad_()
    expected = reference(big, weight, targets)
    assert expected > 100
    loss = pc.fused_cross_entropy(big, weight, targets)
    torch.testing.assert_close(loss, expected)
    ours, theirs = (torch.autograd.grad(x, (big, weight)) for x in (loss, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)


def test_nothing_to_count_is_nan_as_in_torch():
    hidden, weight, targets = head()
    targets.fill_(-100)
    assert reference(hidden, weight, targets).isnan()
    assert pc.fused_cross_entropy(hidden, weight, targets).isnan()


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_frozen_part_gets_no_gradient(frozen):
    hidden, weight, targets = head()
    inputs = [hidden, weight]
    inputs[frozen].requires_grad_(False)
    pc.fused_cross_entropy(hidden, weight, targets).backward()
    assert inputs[frozen].grad is None
    (expected,) = torch.autograd.grad(reference(hidden, weight, targets), inputs[1 - frozen])
    torch.testing.assert_close(inputs[1 - frozen].grad, expected)


def test_without_gradients_none_are_computed():
    hidden, weight, targets = head()
    with torch.no_grad():
        loss = pc.fused_cross_entropy(hidden, weight, targets)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, reference(hidden, weight, targets).detach())


def test_under_autocast_it_is_as_near_to_the_truth_as_torch_is():
    hidden, weight, targets = head(n=200)
    exact = reference(hidden.double(), weight.double(), targets)
    wanted = torch.autograd.grad(exact, (hidden, weight))
    errors = {}
    for name, function in [("torch", reference), ("ours", pc.fused_cross_entropy)]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = function(hidden, weight, targets)
        grads = torch.autograd.grad(loss, (hidden, weight))
        assert [g.dtype for g in grads] == [torch.float32] * 2
        errors[name] = [abs(loss - exact).item()] + [
            ((g - w).norm() / w.norm()).item() for g, w in zip(grads, wanted, strict=True)
        ]
    assert errors["torch"][1] > 1e-4, "bf16 was not used"
    assert errors["ours"][1] > 1e-4, "bf16 was not used"
    assert errors["ours"][0] < 0.01 * exact
    for ours, theirs in zip(errors["ours"][1:], errors["torch"][1:], strict=True):
        assert ours < 2 * theirs + 1e-3


def test_the_logits_never_exist_as_a_whole():
    """No tensor that autograd or the functions make is as large as tokens times vocabulary."""
    hidden, weight, targets = head(n=64, V=400)
    largest = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for x in result if isinstance(result, tuple | list) else [result]:
                if isinstance(x, torch.Tensor):
                    largest.append(x.numel())
            return result

    with Watch():
        pc.fused_cross_entropy(hidden, weight, targets, chunk_size=8).backward()
    assert max(largest) == 400 * 16, "the weights' gradient is the largest"
    with Watch():
        reference(hidden, weight, targets).backward()
    assert max(largest) == 64 * 400
    hidden, weight, targets = head(n=4096, V=100)
    largest.clear()
    with Watch():
        pc.fused_cross_entropy(hidden, weight, targets).backward()
    assert max(largest) == 1024 * 100, "unless told otherwise, 1,024 tokens at a time"


def test_shapes_that_do_not_fit_are_named():
    hidden, weight, targets = head()
    with pytest.raises(ValueError, match=r"\(2, 25, 16\), \(300, 16\), \(2, 24\)"):
        pc.fused_cross_entropy(hidden, weight, targets[:, 1:])
    with pytest.raises(ValueError, match=r"\(300, 15\)"):
        pc.fused_cross_entropy(hidden, weight[:, 1:], targets)


def test_a_second_derivative_is_refused_rather_than_wrong():
    hidden, weight, targets = head()
    loss = pc.fused_cross_entropy(hidden, weight, targets) * hidden.sum()
    (first,) = torch.autograd.grad(loss, hidden, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


# ---- the parts


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("T", [1, 5, 127, 128, 129, 256, 400, 513])
def test_attention_is_that_of_torch(T, dtype):
    q, k, v = torch.randn(3, 2, 3, T, 8, dtype=dtype)  # (B, H, T, D)
    expected = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    close = (
        {"atol": 2e-2, "rtol": 2e-2} if dtype == torch.bfloat16 else {"atol": 1e-5, "rtol": 1e-5}
    )
    torch.testing.assert_close(
        pc.causal_attention(q, k, v, nn.Dropout(0.5).eval()), expected, **close
    )


@pytest.mark.parametrize("T", [200, 520])
def test_dropout_falls_on_the_weights_of_attention(T):
    """With equal scores and values of 1, an output is its number of kept weights, scaled."""
    q = k = torch.zeros(4, 8, T, 4)
    v = torch.ones(4, 8, T, 4)
    out = pc.causal_attention(q, k, v, pc.FastDropout(0.25))[..., 0]  # (B, H, T)
    assert torch.equal(out[..., 0].unique(), torch.tensor([0.0, 4 / 3]))  # one weight only
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert out[..., -1].std().item() == pytest.approx((1 / 3 / T) ** 0.5, rel=0.5)


def test_attention_layer_is_that_of_chapter_3():
    plain = pc.MultiHeadAttention(32, 32, 40, 0.0, 4, qkv_bias=True)
    fast = pc.FastAttention(32, 32, 40, 0.0, 4, qkv_bias=True)
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(3, 17, 32)
    torch.testing.assert_close(fast(x), plain(x), atol=1e-5, rtol=1e-5)


def test_norm_is_that_of_torch_and_keeps_the_data_type():
    norm, theirs = pc.FastLayerNorm(32), nn.LayerNorm(32)
    for ours, parameter in [(norm.scale, theirs.weight), (norm.shift, theirs.bias)]:
        nn.init.normal_(ours)
        parameter.data.copy_(ours)
    x = 5 + 3 * torch.randn(4, 7, 32)
    torch.testing.assert_close(norm(x), theirs(x))
    torch.testing.assert_close(norm(x), pc.LayerNorm.forward(norm, x), atol=1e-5, rtol=1e-5)
    assert norm.bfloat16()(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("shape", [(999_999,), (250, 40, 100)])
def test_dropout_drops_its_share_and_scales_the_rest(p, shape):
    y = pc.FastDropout(p)(torch.ones(shape))
    assert y.shape == shape
    kept = y != 0
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=0.003)
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / (1 - p)))
    assert y.mean().item() == pytest.approx(1, abs=0.02)


def test_dropout_of_neighbours_is_independent():
    dropped = (pc.FastDropout(0.3)(torch.ones(1_000_000)) == 0).double()
    for distance in (1, 2, 3, 4, 5, 8):
        pair = torch.stack([dropped[distance:], dropped[:-distance]])
        assert abs(torch.corrcoef(pair)[0, 1].item()) < 0.005
    again = (pc.FastDropout(0.3)(torch.ones(1_000_000)) == 0).double()
    assert abs(torch.corrcoef(torch.stack([dropped, again]))[0, 1].item()) < 0.005


def test_dropout_follows_the_seed_and_its_gradient_the_mask():
    layer, x = pc.FastDropout(0.3), torch.randn(1001, requires_grad=True)
    torch.manual_seed(5)
    y = layer(x)
    torch.manual_seed(5)
    assert torch.equal(layer(x), y)
    y.sum().backward()
    torch.testing.assert_close(x.grad, torch.where(y == 0, 0.0, 1 / 0.7))


def test_dropout_is_off_in_eval_mode_and_at_0():
    x = torch.randn(100)
    assert pc.FastDropout(0.3).eval()(x) is x
    assert pc.FastDropout(0.0)(x) is x
    assert pc.FastDropout(0.3)(x.bfloat16()).dtype == torch.bfloat16
    assert pc.FastDropout(0.3)(torch.ones(0)).shape == (0,)


def test_the_model_drops_where_the_plain_one_does():
    """With rate p the mean over many passes has the spread of the plain model's."""
    spreads = []
    plain, fast = both_models(drop_rate=0.2)
    inputs, _ = tokens(1, 12)
    for model in (plain, fast):
        with torch.no_grad():
            logits = torch.stack([model(inputs) for _ in range(300)])
        spreads.append(logits.std(dim=0).mean().item())
        assert torch.equal(model.eval()(inputs), model(inputs))
    assert spreads[1] == pytest.approx(spreads[0], rel=0.05)


def test_the_embedding_is_dropped_too():
    fast = pc.GPTModelFast(CFG | {"drop_rate": 0.2, "n_layers": 0})
    fast.final_norm = nn.Identity()
    nn.init.ones_(fast.tok_emb.weight)
    nn.init.zeros_(fast.pos_emb.weight)
    hidden = fast.hidden(torch.zeros(200, 40, dtype=torch.long))  # (200, 40, C)
    assert (hidden == 0).float().mean().item() == pytest.approx(0.2, abs=0.01)


# ---- a whole training


STORY = {"vocab_size": 256, "context_length": 64, "emb_dim": 48, "n_heads": 4, "n_layers": 2,
         "drop_rate": 0.0, "qkv_bias": False}  # fmt: skip


def losses(model, fused, dtype=None, steps=60):
    """The losses of a short training on The Verdict, byte by byte."""
    ids = torch.tensor(list((ROOT / "ch02" / "the-verdict.txt").read_bytes()))
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=fused)
    result = []
    for _ in range(steps):
        starts = torch.randint(len(ids) - 65, (8, 1), generator=generator)
        windows = ids[starts + torch.arange(65)]  # (8, 65)
        batch = windows[:, :-1], windows[:, 1:]
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
            loss = model.loss(*batch) if fused else plain_loss(model, *batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        result.append(loss.item())
    return torch.tensor(result)


def test_the_loss_curve_stays_in_the_stated_band():
    plain = pc.GPTModel(STORY)
    start = copy.deepcopy(plain.state_dict())
    expected = losses(plain, fused=False)
    assert expected[-10:].mean() < expected[0] - 1.5, "it must learn for this to say anything"
    for dtype, band in [(None, 1e-4), (torch.bfloat16, 0.01)]:
        fast = pc.GPTModelFast(STORY)
        fast.load_state_dict(start)
        assert (losses(fast, True, dtype) - expected).abs().max() < band, dtype


def test_with_dropout_it_learns_as_the_plain_model_does():
    ends = []
    for make, fused in [(pc.GPTModel, False), (pc.GPTModelFast, True)]:
        torch.manual_seed(3)
        ends.append(losses(make(STORY | {"drop_rate": 0.1}), fused)[-20:].mean().item())
    assert ends[1] == pytest.approx(ends[0], abs=0.08)


# ---- kept memory


KEEP = """
import previous_chapters as pc, torch, resource
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(6):
        torch.ones(64 * 2**18)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
first = faults()
print(pc.keep_freed_memory(), pc.keep_freed_memory())
for _ in range(6):
    faults()
print(first, faults(), torch.ones(1000).sum().item())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_kept_memory_has_no_page_faults():
    """In a process of its own: the setting stays."""
    run = subprocess.run([sys.executable, "-c", KEEP], cwd=ROOT, capture_output=True, text=True,
                         check=True)  # fmt: skip
    answer, counts = run.stdout.splitlines()
    if answer == "False False":
        pytest.skip("another C library")
    assert answer == "True True"
    before, after, total = (float(x) for x in counts.split())
    assert total == 1000
    assert after <= before / 10
    assert before > 5 * 20  # at the very least a fault for each 2 MB


def test_without_mallopt_nothing_happens(monkeypatch):
    monkeypatch.setattr(pc.ctypes, "CDLL", lambda name: object())
    assert pc.keep_freed_memory() is False
