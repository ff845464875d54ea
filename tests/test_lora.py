"""Appendix E: LoRA against its definition and against the peft library."""

import copy
import math

import pytest
import torch
from torch import nn

from previous_chapters import (
    GPT_CONFIG_124M,
    GPTModel,
    LinearWithLoRA,
    LoRALayer,
    count_trainable,
    load_checkpoint,
    load_lora,
    make_classifier,
    merge_lora,
    replace_linear_with_lora,
    save_checkpoint,
    save_lora,
)

SMALL = {
    "vocab_size": 31,
    "context_length": 8,
    "emb_dim": 16,
    "n_heads": 2,
    "n_layers": 2,
    "drop_rate": 0.0,
    "qkv_bias": True,
}
RANK, ALPHA = 3, 5

pytestmark = pytest.mark.usefixtures("one_thread")


def plain(seed=1, **changes):
    torch.manual_seed(seed)
    return GPTModel(SMALL | changes).eval()


def with_lora(seed=1, rank=RANK, alpha=ALPHA, trained=True, **changes):
    """A model with LoRA layers whose B is not zero, as after training."""
    model = plain(seed, **changes)
    model.requires_grad_(False)
    replace_linear_with_lora(model, rank, alpha)
    if trained:
        for layer in lora_layers(model).values():
            nn.init.normal_(layer.B, std=0.05)
    return model


def lora_layers(model):
    return {n: m.lora for n, m in model.named_modules() if isinstance(m, LinearWithLoRA)}


@pytest.fixture
def ids():
    return torch.randint(0, 31, (4, 8), generator=torch.Generator().manual_seed(2))


# ---------------------------------------------------------------- the layers


def test_published_initial_values_and_scaling():
    torch.manual_seed(123)
    layer = LoRALayer(6, 4, rank=2, alpha=7)
    torch.manual_seed(123)
    expected = nn.init.kaiming_uniform_(torch.empty(6, 2), a=math.sqrt(5))
    assert torch.equal(layer.A, expected)
    assert torch.equal(layer.B, torch.zeros(2, 4))
    nn.init.ones_(layer.B)
    x = torch.randn(3, 5, 6)
    by_hand = torch.einsum("bti,ir,ro->bto", x, layer.A, layer.B) * 7
    assert torch.allclose(layer(x), by_hand, atol=1e-5)
    assert torch.allclose(x @ layer.change().T, by_hand, atol=1e-5)


@pytest.mark.parametrize("rank", [0, -1, 2.5])
def test_a_rank_that_cannot_be_is_refused(rank):
    with pytest.raises(ValueError, match="rank must be"):
        LoRALayer(4, 4, rank, 1)


def test_a_wrapped_layer_keeps_number_format_and_layer():
    linear = nn.Linear(6, 4).to(torch.bfloat16)
    both = LinearWithLoRA(linear, 2, 1)
    assert both.linear is linear
    assert both.lora.A.dtype == torch.bfloat16
    assert both(torch.randn(2, 6, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_every_linear_layer_is_wrapped_and_the_model_computes_the_same(ids):
    model, same = plain(), with_lora(trained=False)
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    assert list(lora_layers(same)) == linear
    assert torch.equal(model(ids), same(ids))
    with pytest.raises(ValueError, match="already"):
        replace_linear_with_lora(same, RANK, ALPHA)


def test_published_counts_of_the_124m_classifier():
    with torch.device("meta"):
        model = make_classifier(GPTModel(GPT_CONFIG_124M | {"qkv_bias": True}), 2)
        assert count_trainable(model.requires_grad_(True))[1] == 124_441_346
        model.requires_grad_(False)
        assert count_trainable(model)[0] == 0
        replace_linear_with_lora(model, 16, 16)
    assert count_trainable(model) == (2_666_528, 124_441_346 + 2_666_528)


def test_training_moves_a_and_b_and_nothing_else(ids):
    model = with_lora(trained=False)
    before = {name: p.clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW((p for p in model.parameters() if p.requires_grad), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(ids)[:, -1], ids[:, 0]).backward()
        optimizer.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if ".lora." in name}


# ---------------------------------------------------------------- merging


def test_merged_the_model_computes_the_same_and_is_a_plain_one(ids, tmp_path):
    model = with_lora()
    logits = model(ids)
    assert not torch.allclose(logits, plain()(ids), atol=1e-2)
    merge_lora(model)
    assert torch.allclose(model(ids), logits, atol=1e-5)
    assert list(model.state_dict()) == list(plain().state_dict())
    save_checkpoint(tmp_path / "merged.pth", model)
    loaded = plain(seed=7)
    load_checkpoint(tmp_path / "merged.pth", loaded)
    assert torch.equal(loaded(ids), model(ids))


def test_merging_leaves_the_embedding_of_a_tied_head_alone():
    model = plain()
    model.out_head.weight = model.tok_emb.weight
    before = model.tok_emb.weight.clone()
    replace_linear_with_lora(model, RANK, ALPHA)
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.B)
    merge_lora(model)
    assert torch.equal(model.tok_emb.weight, before)
    assert not torch.equal(model.out_head.weight, before)


# ---------------------------------------------------------------- the adapter's file


@pytest.mark.parametrize("start", ["plain", "same rank, another alpha"])
def test_an_adapter_comes_back(tmp_path, ids, start):
    model = with_lora()
    save_lora(tmp_path / "adapter.pth", model)
    other = plain() if start == "plain" else with_lora(alpha=99, trained=False)
    load_lora(tmp_path / "adapter.pth", other)
    assert torch.equal(other.eval()(ids), model(ids))
    content = torch.load(tmp_path / "adapter.pth", weights_only=True)
    assert list(content["lora"]) == list(lora_layers(model))
    saved = sum(layer[name].numel() for layer in content["lora"].values() for name in "AB")
    assert saved == count_trainable(model)[0]


def test_modules_that_the_pretrained_model_lacks_are_saved_whole(tmp_path, ids):
    model = make_classifier(plain(), 2)
    model.requires_grad_(False)
    replace_linear_with_lora(model, RANK, ALPHA)
    for also, same in (([], False), (["out_head"], True)):
        save_lora(tmp_path / "adapter.pth", model, also=also)
        other = make_classifier(plain(), 2)
        nn.init.normal_(other.out_head.weight)  # another random head
        load_lora(tmp_path / "adapter.pth", other)
        assert torch.equal(other(ids), model(ids)) == same


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: with_lora(rank=4), "rank 3 in the file and 4 in the model"),
        (lambda: plain(emb_dim=32), r"\(16, 16\) in the file and \(32, 32\) in the model"),
        (lambda: plain(n_layers=1), "trf_blocks.1.att.W_query is no linear layer"),
        (lambda: with_lora(n_layers=3), "trf_blocks.2.att.W_query has a LoRA layer in the model"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_and_changes_nothing(tmp_path, other, message):
    save_lora(tmp_path / "adapter.pth", with_lora())
    other = other()
    names = [name for name, _ in other.named_parameters()]
    before = [p.clone() for p in other.parameters()]
    with pytest.raises(ValueError, match=message):
        load_lora(tmp_path / "adapter.pth", other)
    assert [name for name, _ in other.named_parameters()] == names
    assert all(map(torch.equal, other.parameters(), before))


def test_files_that_are_no_adapters_and_models_without_lora_are_refused(tmp_path):
    save_checkpoint(tmp_path / "model.pth", plain())
    with pytest.raises(ValueError, match="no adapter"):
        load_lora(tmp_path / "model.pth", plain())
    with pytest.raises(FileNotFoundError):
        load_lora(tmp_path / "none.pth", plain())
    with pytest.raises(ValueError, match="no LoRA layers"):
        save_lora(tmp_path / "x.pth", plain())
    assert not (tmp_path / "x.pth").exists()


# ---------------------------------------------------------------- peft


@pytest.fixture(scope="module")
def peft():
    return pytest.importorskip("peft")


def in_peft(peft, model):
    """The plain model in peft, with the same A, B and scaling."""
    ours = lora_layers(model)
    settings = peft.LoraConfig(r=RANK, lora_alpha=ALPHA * RANK, target_modules=list(ours))
    theirs = peft.inject_adapter_in_model(settings, plain())
    with torch.no_grad():
        for name, layer in ours.items():
            module = theirs.get_submodule(name)
            module.lora_A["default"].weight.copy_(layer.A.T)
            module.lora_B["default"].weight.copy_(layer.B.T)
    return theirs.eval()


def test_peft_computes_the_same_outputs_gradients_and_merged_weights(peft, ids):
    model = with_lora()
    theirs = in_peft(peft, model)
    logits, their_logits = model(ids), theirs(ids)
    assert torch.allclose(logits, their_logits, atol=1e-5)
    for output in (logits, their_logits):
        nn.functional.cross_entropy(output[:, -1], ids[:, 0]).backward()
    for name, layer in lora_layers(model).items():
        module = theirs.get_submodule(name)
        assert torch.allclose(layer.A.grad.T, module.lora_A["default"].weight.grad, atol=1e-6)
        assert torch.allclose(layer.B.grad.T, module.lora_B["default"].weight.grad, atol=1e-6)

    merged = copy.deepcopy(model)
    merge_lora(merged)
    for name in lora_layers(model):
        module = theirs.get_submodule(name)
        module.merge()
        weight = merged.get_submodule(name).weight
        assert torch.allclose(weight, module.base_layer.weight, atol=1e-5)


def test_peft_trains_as_many_numbers(peft):
    model = with_lora()
    theirs = in_peft(peft, model)
    assert count_trainable(model) == count_trainable(theirs)


def test_trained_side_by_side_they_stay_equal(peft, ids):
    model = with_lora(trained=False)
    theirs = in_peft(peft, model)
    for _ in range(5):
        for one in (model, theirs):
            nn.functional.cross_entropy(one(ids)[:, -1], ids[:, 0]).backward()
            with torch.no_grad():
                for p in one.parameters():
                    if p.requires_grad:
                        p -= 0.01 * p.grad
                        p.grad = None
    assert not torch.allclose(model(ids), plain()(ids), atol=1e-2)
    assert torch.allclose(model(ids), theirs(ids), atol=1e-4)
