"""The counts of appendix F, what a training run takes, against PyTorch's own count."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import previous_chapters as pc


@pytest.fixture(params=pc.GPT2_SIZES)
def size(request):
    return request.param


def model_of(size):
    C, H, L = pc.GPT2_SIZES[size]
    changes = {"emb_dim": C, "n_heads": H, "n_layers": L, "qkv_bias": True, "drop_rate": 0.0}
    with torch.device("meta"):
        return pc.GPTModel(pc.GPT_CONFIG_124M | changes)


def test_weights(size):
    model = model_of(size)
    model.out_head.weight = model.tok_emb.weight
    assert pc.weights_of_gpt2(size) == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("T", [256, 1024])
def test_operations(size, T):
    model = model_of(size)
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        x = torch.zeros(2, T, pc.GPT2_SIZES[size][0], requires_grad=True)  # (B, T, C)
        model.out_head(model.final_norm(model.trf_blocks(x))).sum().backward()
    ratio = counter.get_total_flops() / pc.training_flops(size, 2 * T, context_length=T)
    assert ratio == pytest.approx(1, abs=0.01)


def test_an_unknown_size_is_refused():
    with pytest.raises(ValueError, match="124M, 355M, 774M, 1558M"):
        pc.weights_of_gpt2("2B")
    with pytest.raises(ValueError, match="124M, 355M, 774M, 1558M"):
        pc.training_flops("2B", 10)
