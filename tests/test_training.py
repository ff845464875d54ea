"""Chapter 5: the loss, the training loop and sampling, against torch and transformers."""

import math

import pytest
import tiktoken
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from previous_chapters import (
    GPTModel,
    calc_loss_batch,
    calc_loss_loader,
    evaluate_model,
    generate,
    generate_and_print_sample,
    generate_text_simple,
    plot_losses,
    softmax_with_temperature,
    text_to_token_ids,
    token_ids_to_text,
    train_model_simple,
)

V = 61
CONFIG = {
    "vocab_size": V,
    "context_length": 16,
    "emb_dim": 16,
    "n_heads": 2,
    "n_layers": 2,
    "drop_rate": 0.1,
    "qkv_bias": True,
}


pytestmark = pytest.mark.usefixtures("one_thread")


class Letters:
    """A tokenizer of one id for each of 61 characters, enough for the printed samples."""

    letters = "".join(map(chr, range(64, 64 + V)))

    def encode(self, text, allowed_special=()):
        return [self.letters.index(letter) for letter in text]

    def decode(self, ids):
        return "".join(self.letters[i] for i in ids)


def make_model(seed=1, **changes):
    torch.manual_seed(seed)
    return GPTModel(CONFIG | changes)


def make_loader(n=5, batch_size=2, shuffle=False, seed=2):
    ids = torch.randint(0, V, (n, 9), generator=torch.Generator().manual_seed(seed))
    data = TensorDataset(ids[:, :-1], ids[:, 1:])
    return DataLoader(data, batch_size=batch_size, shuffle=shuffle)


@pytest.fixture(scope="module")
def pair():
    """Our model and transformers' GPT-2 with the same random weights."""
    transformers = pytest.importorskip("transformers")
    ours = make_model(drop_rate=0.0).eval()
    with torch.no_grad():  # larger weights, so that the choices are clear
        for p in ours.parameters():
            if p.dim() == 2:
                p.mul_(3)
    config = transformers.GPT2Config(
        vocab_size=V, n_positions=16, n_embd=16, n_layer=2, n_head=2,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, tie_word_embeddings=False,
        bos_token_id=None, eos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(config).eval()
    state = ours.state_dict()
    renamed = {
        "transformer.wte.weight": state["tok_emb.weight"],
        "transformer.wpe.weight": state["pos_emb.weight"],
        "transformer.ln_f.weight": state["final_norm.scale"],
        "transformer.ln_f.bias": state["final_norm.shift"],
        "lm_head.weight": state["out_head.weight"],
    }
    for i in range(2):
        a, b = f"trf_blocks.{i}.", f"transformer.h.{i}."
        for kind in ("weight", "bias"):
            qkv = [state[f"{a}att.W_{part}.{kind}"] for part in ("query", "key", "value")]
            parts = {
                "attn.c_attn": torch.cat(qkv),
                "attn.c_proj": state[f"{a}att.out_proj.{kind}"],
                "mlp.c_fc": state[f"{a}ff.layers.0.{kind}"],
                "mlp.c_proj": state[f"{a}ff.layers.2.{kind}"],
            }
            for name, value in parts.items():  # their Conv1D holds the transpose
                renamed[f"{b}{name}.{kind}"] = value.T if kind == "weight" else value
        for norm, name in (("norm1", "ln_1"), ("norm2", "ln_2")):
            renamed[f"{b}{name}.weight"] = state[f"{a}{norm}.scale"]
            renamed[f"{b}{name}.bias"] = state[f"{a}{norm}.shift"]
    missing, unexpected = theirs.load_state_dict(renamed, strict=False)
    assert not unexpected
    assert all(".attn.bias" in key or "masked_bias" in key for key in missing)
    return ours, theirs


def test_text_and_ids_go_there_and_back():
    tokenizer = tiktoken.get_encoding("gpt2")
    for text in ["", "Every effort moves you", "naïve 👋🏽\n\n  x", "a<|endoftext|>b"]:
        ids = text_to_token_ids(text, tokenizer)
        assert ids.shape == (1, len(tokenizer.encode(text, allowed_special="all")))
        assert ids.dtype == torch.long or text == ""
        assert token_ids_to_text(ids, tokenizer) == text
    assert token_ids_to_text(torch.tensor([6109, 3626]), tokenizer) == "Every effort"


def test_loss_is_torchs_cross_entropy():
    model = make_model().eval()
    inputs, targets = next(iter(make_loader()))
    logits = model(inputs)
    by_hand = -torch.stack(
        [logits[b, t].softmax(-1)[targets[b, t]].log() for b in range(2) for t in range(8)]
    ).mean()
    loss = calc_loss_batch(inputs, targets, model, "cpu")
    torch.testing.assert_close(loss, by_hand)
    torch.testing.assert_close(loss, F.cross_entropy(logits.transpose(1, 2), targets))
    assert loss.requires_grad


def test_loss_is_that_of_transformers(pair):
    ours, theirs = pair
    ids = torch.randint(0, V, (3, 13), generator=torch.Generator().manual_seed(4))
    loss = calc_loss_batch(ids[:, :-1], ids[:, 1:], ours, "cpu")
    torch.testing.assert_close(loss, theirs(ids, labels=ids).loss, atol=1e-5, rtol=1e-5)


def test_loss_of_a_uniform_guess_is_the_log_of_the_vocabulary_size():
    model = make_model().eval()
    torch.nn.init.zeros_(model.out_head.weight)
    loss = calc_loss_loader(make_loader(), model, "cpu")
    assert loss == pytest.approx(math.log(V), abs=1e-5)


def test_loader_loss_averages_its_batches():
    model, loader = make_model().eval(), make_loader(n=5, batch_size=2)
    each = [calc_loss_batch(x, y, model, "cpu").item() for x, y in loader]
    assert len(each) == 3
    assert calc_loss_loader(loader, model, "cpu") == pytest.approx(sum(each) / 3)
    assert calc_loss_loader(loader, model, "cpu", num_batches=2) == pytest.approx(sum(each[:2]) / 2)
    assert calc_loss_loader(loader, model, "cpu", num_batches=99) == pytest.approx(sum(each) / 3)


def test_loader_loss_refuses_what_has_no_mean():
    model = make_model().eval()
    with pytest.raises(ValueError, match="no batches"):
        calc_loss_loader(DataLoader([]), model, "cpu")
    for number in (0, -1):
        with pytest.raises(ValueError, match=str(number)):
            calc_loss_loader(make_loader(), model, "cpu", num_batches=number)


def test_evaluate_measures_without_dropout_and_restores_training_mode():
    model, loader = make_model(drop_rate=0.5), make_loader()
    model.train()
    first = evaluate_model(model, loader, loader, "cpu", eval_iter=2)
    assert all(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert first == evaluate_model(model, loader, loader, "cpu", eval_iter=2)
    expected = calc_loss_loader(loader, model.eval(), "cpu", num_batches=2)
    assert first == (expected, expected)


def test_sample_is_one_line_and_restores_training_mode(capsys):
    model = make_model()
    model.train()
    generate_and_print_sample(model, Letters(), "cpu", "ABC")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("ABC")
    assert len(lines[0]) == 3 + 50
    assert model.training


def train(on_step=None, **arguments):
    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    torch.manual_seed(3)
    results = train_model_simple(
        model, make_loader(n=6, shuffle=True), make_loader(n=2, seed=9), optimizer, "cpu",
        num_epochs=3, eval_freq=2, eval_iter=1, start_context="ABC", tokenizer=Letters(),
        **({"on_step": on_step} if on_step else {}), **arguments,
    )  # fmt: skip
    return model, results


def test_training_returns_losses_and_tokens_and_prints_them(capsys):
    model, (train_losses, val_losses, tokens_seen) = train()
    assert len(train_losses) == len(val_losses) == len(tokens_seen) == 5  # steps 0, 2, 4, 6, 8
    assert tokens_seen == [16 * step for step in (1, 3, 5, 7, 9)]  # a batch is 2 x 8 tokens
    assert train_losses[-1] < train_losses[0]
    assert model.training
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 + 3  # a line for each measurement, a sample for each epoch
    assert f"{train_losses[0]:.3f}" in lines[0]


def test_on_step_sees_every_step_and_changes_no_number():
    calls = []
    model, results = train(on_step=lambda *call: calls.append(call))
    plain_model, plain_results = train()
    assert results == plain_results
    assert all(map(torch.equal, model.parameters(), plain_model.parameters()))
    assert [call[0] for call in calls] == list(range(9))
    assert [call[1:] for call in calls[::2]] == list(zip(*results[:2], strict=True))
    assert all(call[1:] == (None, None) for call in calls[1::2])


def test_training_is_the_plain_loop():
    """The same weights as three epochs of forward, backward, step, with nothing around them."""
    loader = make_loader(n=6)

    def start():
        model = make_model(drop_rate=0.0)
        return model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    ours, optimizer = start()
    train_model_simple(ours, loader, loader, optimizer, "cpu", 3, 2, 1, "ABC", Letters())
    plain, optimizer = start()
    for _ in range(3):
        for x, y in loader:
            optimizer.zero_grad()
            F.cross_entropy(plain(x).transpose(1, 2), y).backward()
            optimizer.step()
    for one, other in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_live_loss_outside_jupyter_is_silent_and_changes_nothing(capsys):
    from course.live import LiveLoss

    model, results = train(on_step=LiveLoss(9))
    out = capsys.readouterr()
    plain_model, plain_results = train()
    assert results == plain_results
    assert all(map(torch.equal, model.parameters(), plain_model.parameters()))
    assert out.err == ""
    with pytest.raises(ValueError, match="0"):
        LiveLoss(0)


def test_plot_losses_returns_a_figure_that_pyplot_does_not_show_again():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure = plot_losses([0, 1, 2], [10, 20, 30], [3.0, 2.0, 1.0], [3.0, 2.5, 2.4])
    assert plt.get_fignums() == []
    below, above = figure.axes
    assert list(below.lines[0].get_ydata()) == [3.0, 2.0, 1.0]
    assert list(below.lines[1].get_ydata()) == [3.0, 2.5, 2.4]
    assert list(above.lines[0].get_xdata()) == [10, 20, 30]


def test_temperature_divides_the_logits():
    logits = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    for temperature in (0.1, 1, 2.5):
        probabilities = softmax_with_temperature(logits, temperature)
        torch.testing.assert_close(probabilities, torch.softmax(logits / temperature, dim=-1))
    for temperature in (0, -1, float("nan")):
        with pytest.raises(ValueError, match=str(temperature)):
            softmax_with_temperature(logits, temperature)


def test_greedy_generation_is_that_of_transformers(pair):
    ours, theirs = pair
    idx = torch.randint(0, V, (4, 3), generator=torch.Generator().manual_seed(5))
    expected = theirs.generate(
        idx, attention_mask=torch.ones_like(idx), max_new_tokens=12, do_sample=False
    )
    assert torch.equal(generate(ours, idx, 12, 16), expected)


def test_temperature_0_and_top_k_1_are_greedy():
    model = make_model().eval()
    idx = torch.randint(0, V, (3, 4), generator=torch.Generator().manual_seed(6))
    greedy = generate_text_simple(model, idx, 20, 16)  # past the context of 16 as well
    assert greedy.shape == (3, 24)
    assert torch.equal(generate(model, idx, 20, 16), greedy)
    assert torch.equal(generate(model, idx, 20, 16, temperature=3.0, top_k=1), greedy)
    assert torch.equal(generate(model, idx, 20, 16, top_k=5), greedy)


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, None), (0.7, 8), (2.0, V), (1.5, 3)])
def test_draws_follow_the_distribution(temperature, top_k):
    """Pearson's statistic of 20,000 draws against probabilities computed here by sorting."""
    model, n = make_model().eval(), 20_000
    with torch.no_grad():
        model.out_head.weight.mul_(3)
        logits = model(torch.tensor([[1, 2, 3]]))[0, -1].double()
    order = logits.argsort(descending=True)
    allowed = order[: top_k or V]
    weights = (logits[allowed] / temperature).exp()
    expected = torch.zeros(V, dtype=torch.double)
    expected[allowed] = n * weights / weights.sum()

    torch.manual_seed(7)
    idx = torch.tensor([[1, 2, 3]]).expand(n, 3)
    drawn = torch.cat(
        [generate(model, part, 1, 16, temperature, top_k)[:, -1] for part in idx.split(5000)]
    )
    counts = torch.bincount(drawn, minlength=V).double()
    assert counts[expected == 0].sum() == 0
    likely = expected >= 5
    statistic = ((counts - expected) ** 2 / expected)[likely].sum().item()
    freedom = likely.sum().item() - 1
    assert statistic < freedom + 5 * math.sqrt(2 * freedom)


def test_ties_at_the_last_place_are_kept():
    model = make_model().eval()
    torch.nn.init.zeros_(model.out_head.weight)  # all logits are equal
    torch.manual_seed(8)
    idx = torch.zeros(500, 1, dtype=torch.long)
    assert generate(model, idx, 1, 16, temperature=1.0, top_k=2)[:, -1].unique().numel() > 2


class Script(torch.nn.Module):
    """A model whose greedy continuation of row `b` is `rows[b]`, whatever the input."""

    def __init__(self, rows):
        super().__init__()
        self.rows, self.calls = rows, 0

    def forward(self, idx):
        nexts = torch.tensor([row[self.calls] for row in self.rows])
        self.calls += 1
        return F.one_hot(nexts, 10).float()[:, None].expand(-1, idx.shape[1], -1)


def test_end_token_stops_a_single_row_and_is_not_appended():
    model = Script([[5, 6, 9, 7, 7]])
    out = generate(model, torch.tensor([[1, 2]]), 5, 16, eos_id=9)
    assert out.tolist() == [[1, 2, 5, 6]]
    assert model.calls == 3


def test_end_token_in_a_batch_pads_the_rows_that_have_ended():
    rows = [[5, 9, 7, 7, 7], [5, 6, 7, 9, 7], [9, 1, 2, 3, 4]]
    model = Script(rows)
    out = generate(model, torch.tensor([[1], [2], [3]]), 5, 16, eos_id=9)
    assert out.tolist() == [[1, 5, 9, 9], [2, 5, 6, 7], [3, 9, 9, 9]]
    assert model.calls == 4
    out = generate(Script(rows), torch.tensor([[1], [2], [3]]), 5, 16)
    assert out[:, 1:].tolist() == rows


def test_generate_refuses_settings_that_mean_nothing():
    model, idx = make_model().eval(), torch.tensor([[1, 2]])
    for temperature in (-0.1, float("nan")):
        with pytest.raises(ValueError, match="temperature"):
            generate(model, idx, 1, 16, temperature=temperature)
    for top_k in (0, -3, V + 1):
        with pytest.raises(ValueError, match=f"top_k.*{V}.*{top_k}"):
            generate(model, idx, 1, 16, top_k=top_k)


def test_generate_leaves_no_graph_and_its_input_alone():
    model, idx = make_model().eval(), torch.tensor([[1, 2]])
    out = generate(model, idx, 3, 16, temperature=1.0)
    assert idx.tolist() == [[1, 2]]
    assert out[:, :2].tolist() == [[1, 2]]
    assert not out.requires_grad
    assert torch.equal(generate(model, idx, 0, 16), idx)
