"""Appendix D: schedule, clipping, decay groups, accumulation, precision, log and resumption."""

import csv
import math

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from previous_chapters import (
    GPTModel,
    RunLog,
    backward_in_parts,
    count_steps,
    decay_groups,
    find_highest_gradient,
    hardware_dtype,
    in_precision,
    lr_at_step,
    save_checkpoint,
    train_model,
)

SMALL = {
    "vocab_size": 31,
    "context_length": 8,
    "emb_dim": 16,
    "n_heads": 2,
    "n_layers": 2,
    "drop_rate": 0.1,
    "qkv_bias": False,
}

pytestmark = pytest.mark.usefixtures("one_thread")


class Letters:
    """A tokenizer that knows no text; samples are printed and not looked at."""

    def encode(self, text, allowed_special=()):
        return [1, 2, 3]

    def decode(self, ids):
        return " ".join(map(str, ids))


def make_model(seed=1, **changes):
    torch.manual_seed(seed)
    return GPTModel(SMALL | changes)


def make_data(windows=20, seed=5):
    ids = torch.randint(0, 31, (windows, 9), generator=torch.Generator().manual_seed(seed))
    return torch.utils.data.TensorDataset(ids[:, :-1], ids[:, 1:])


def make_loader(batch_size=2, shuffle=True, generator=None):
    return torch.utils.data.DataLoader(
        make_data(), batch_size=batch_size, shuffle=shuffle, generator=generator
    )


def train(model, loader, optimizer=None, n_epochs=3, warmup_steps=4, **options):
    optimizer = optimizer or torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    options = {"eval_freq": 4, "eval_iter": 2, **options}
    return train_model(
        model, loader, loader, optimizer, "cpu", n_epochs,
        start_context="", tokenizer=Letters(), warmup_steps=warmup_steps, **options,
    )  # fmt: skip


def same_weights(one, other):
    return all(map(torch.equal, one.parameters(), other.parameters()))


def gradients(model):
    return torch.cat([p.grad.flatten() for p in model.parameters()])


# ---------------------------------------------------------------- schedule


@pytest.mark.parametrize(("total", "warmup"), [(50, 10), (135, 27), (10, 1)])
def test_the_schedule_is_that_of_torchs_schedulers(total, warmup):
    peak, initial, least = 0.01, 1e-4, 1e-5
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    rise = lr_scheduler.LinearLR(optimizer, initial / peak, total_iters=warmup)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, total - warmup, least)
    scheduler = lr_scheduler.SequentialLR(optimizer, [rise, fall], [warmup])
    for step in range(total):
        ours = lr_at_step(step, total, warmup, peak, initial, least)
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
        optimizer.step()
        scheduler.step()


def test_a_schedule_without_warmup_begins_at_the_peak_and_one_of_warmup_only_is_allowed():
    assert lr_at_step(0, 10, 0, 0.5) == 0.5
    rates = [lr_at_step(step, 10, 10, 0.5, initial_lr=0.0) for step in range(10)]
    assert rates == pytest.approx([0.05 * step for step in range(10)])


# ---------------------------------------------------------------- train_model as published


def reference_run(model, loader, n_epochs, warmup, initial=3e-5, least=1e-6, limit=1.0):
    """The published procedure with torch's own schedulers and clipping."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    rise = lr_scheduler.LinearLR(optimizer, initial / 0.01, total_iters=warmup)
    fall = lr_scheduler.CosineAnnealingLR(optimizer, n_epochs * len(loader) - warmup, least)
    scheduler = lr_scheduler.SequentialLR(optimizer, [rise, fall], [warmup])
    rates, norms = [], []
    for _ in range(n_epochs):
        model.train()
        for inputs, targets in loader:
            optimizer.zero_grad()
            logits = model(inputs)
            nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
            rates.append(optimizer.param_groups[0]["lr"])
            if len(rates) > warmup:
                norms.append(nn.utils.clip_grad_norm_(model.parameters(), limit).item())
            optimizer.step()
            scheduler.step()
    return rates, norms


@pytest.mark.parametrize("limit", [1.0, 0.2])
def test_train_model_is_the_published_procedure(limit):
    ours, theirs = make_model(drop_rate=0.0), make_model(drop_rate=0.0)
    loader = make_loader(shuffle=False)
    *_, rates = train(ours, loader, max_norm=limit)
    expected, norms = reference_run(theirs, loader, 3, 4, limit=limit)
    assert rates == pytest.approx(expected, rel=1e-6)
    if limit < 1:
        assert max(norms) > limit, "nothing was clipped: the test would not see it"
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-5)


def test_positional_call_of_the_curriculum_and_what_it_returns(capsys):
    model, loader = make_model(), make_loader()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.001, weight_decay=0.1)
    train_losses, val_losses, tokens_seen, lrs = train_model(
        model, loader, loader, optimizer, "cpu", 2, 5, 1, "x", Letters(), 4, 1e-5, 1e-6
    )
    assert len(lrs) == 20
    assert len(train_losses) == len(val_losses) == 4  # steps 0, 5, 10, 15
    assert tokens_seen == [16 * (step + 1) for step in (0, 5, 10, 15)]
    assert lrs[0] == 1e-5
    assert max(lrs) == lrs[4] == 0.001
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 + 2
    assert f"{val_losses[-1]:.3f}" in lines[-2]


def test_gradients_are_clipped_only_after_the_warmup(tmp_path):
    def moved(step, limit):
        model = make_model(drop_rate=0.0)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        before = [p.detach().clone() for p in model.parameters()]

        def stop(at, *_):
            if at == step:
                raise InterruptedError

        with pytest.raises(InterruptedError):
            train(model, make_loader(shuffle=False), optimizer, warmup_steps=1,
                  initial_lr=0.1, min_lr=0.1, max_norm=limit, on_step=stop)  # fmt: skip
        pairs = zip(model.parameters(), before, strict=True)
        return torch.cat([(p.detach() - b).flatten() for p, b in pairs]).norm().item()

    assert moved(0, 1e-6) == moved(0, math.inf)
    assert moved(1, math.inf) > 1.2 * moved(1, 1e-6)
    assert moved(1, 1e-6) == pytest.approx(moved(0, 1e-6), rel=1e-4)


@pytest.mark.parametrize(
    "wrong",
    [{"warmup_steps": 0.2}, {"accumulation_steps": 0}, {"eval_freq": 0}, {"max_norm": 0},
     {"checkpoint_freq": 0}, {"warmup_steps": -1}, {"resume": True}, {"dtype": torch.float16}],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused_before_anything_happens(wrong):
    model = make_model()
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match=next(iter(wrong))):
        train(model, make_loader(), **wrong)
    assert all(map(torch.equal, model.parameters(), before))


# ---------------------------------------------------------------- parts


def test_highest_gradient_is_the_largest_value_with_its_sign():
    model = nn.Linear(2, 1)
    assert find_highest_gradient(model) is None
    model.weight.grad = torch.tensor([[-5.0, 0.5]])
    assert find_highest_gradient(model) == 0.5
    model.bias.grad = torch.tensor([2.0])
    assert find_highest_gradient(model) == 2.0


@pytest.mark.parametrize("tied", [False, True])
def test_every_trainable_parameter_is_in_one_group_and_only_linear_matrices_decay(tied):
    model = make_model()
    model.trf_blocks[0].norm1.scale.requires_grad = False
    if tied:
        model.out_head.weight = model.tok_emb.weight
    decay, rest = decay_groups(model, weight_decay=0.3)
    assert (decay["weight_decay"], rest["weight_decay"]) == (0.3, 0.0)
    ids = [id(p) for group in (decay, rest) for p in group["params"]]
    assert sorted(ids) == sorted({id(p) for p in model.parameters() if p.requires_grad})
    linear = {id(m.weight) for m in model.modules() if isinstance(m, nn.Linear)}
    assert {id(p) for p in decay["params"]} == linear - {id(model.tok_emb.weight)}


def test_only_the_first_group_shrinks():
    model = make_model()
    groups = decay_groups(model)
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    before = {p: p.detach().clone() for group in groups for p in group["params"]}
    for p in before:
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for group, factor in zip(groups, (0.99, 1.0), strict=True):
        for p in group["params"]:
            assert torch.allclose(p, factor * before[p])


@pytest.mark.parametrize("hidden", [[0, 0, 0, 0], [0, 5, 13, 16], [16, 0, 3, 0]])
def test_four_parts_give_the_gradient_of_the_whole(hidden):
    model = make_model(drop_rate=0.0)
    inputs, targets = next(iter(make_loader(batch_size=8)))
    targets = targets.view(4, 16).clone()
    for row, count in zip(targets, hidden, strict=True):
        row[:count] = -100
    targets = targets.view(8, 8)
    loss = nn.functional.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    loss.backward()
    whole = gradients(model)
    model.zero_grad()
    parts = list(zip(inputs.chunk(4), targets.chunk(4), strict=True))
    assert backward_in_parts(parts, model, "cpu") == pytest.approx(loss.item(), abs=1e-6)
    assert torch.allclose(gradients(model), whole, atol=1e-7)


def test_accumulated_training_is_training_with_the_large_batch():
    one, other = make_model(drop_rate=0.0), make_model(drop_rate=0.0)
    for model, batch_size, parts in ((one, 8, 1), (other, 2, 4)):
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        loader = make_loader(batch_size, shuffle=False)
        *_, lrs = train(model, loader, optimizer, accumulation_steps=parts)
        assert len(lrs) == 9 == count_steps(loader, 3, parts)  # 8 + 8 + 4 windows an epoch
    assert not same_weights(one, make_model(drop_rate=0.0))
    for p, q in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(p, q, atol=1e-6)


def test_mixed_precision_computes_in_bfloat16_and_keeps_float32_weights():
    model = make_model(drop_rate=0.0)
    inputs, _ = next(iter(make_loader()))
    seen = []
    hook = model.out_head.register_forward_hook(lambda m, i, out: seen.append(out.dtype))
    logits = in_precision(model, "cpu", torch.bfloat16)(inputs)
    hook.remove()
    assert seen == [torch.bfloat16]
    assert logits.dtype == torch.float32
    exact = in_precision(model, "cpu", None)(inputs)
    assert 0 < (logits - exact).abs().max() < 0.05
    losses = [train(make_model(), make_loader(), dtype=dtype)[0][-1]
              for dtype in (None, torch.bfloat16)]  # fmt: skip
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@pytest.mark.parametrize(
    ("capability", "dtype"), [((7, 5), None), ((8, 0), torch.bfloat16), ((9, 0), torch.bfloat16)]
)
def test_the_choice_of_the_number_format_asks_the_gpu(monkeypatch, capability, dtype):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert hardware_dtype("cuda") == dtype


def test_the_choice_of_the_number_format_asks_the_cpu(monkeypatch):
    for has in (False, True):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert hardware_dtype("cpu") == (torch.bfloat16 if has else None)
    assert hardware_dtype("mps") is None


# ---------------------------------------------------------------- log


def test_the_log_has_a_row_for_every_step(tmp_path):
    path = tmp_path / "log.csv"
    results = train(make_model(), make_loader(), log=path)
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(30))
    assert [float(row["lr"]) for row in rows] == results[3]
    assert [float(row["val_loss"]) for row in rows if row["val_loss"]] == results[1]
    assert int(rows[-1]["tokens"]) == 30 * 16
    assert all(float(row["gradient_norm"]) > 0 for row in rows)


def test_a_resumed_log_drops_later_and_broken_rows(tmp_path):
    path = tmp_path / "log.csv"
    log = RunLog(path, ["step", "loss"])
    for step in range(4):
        log.write({"step": step, "loss": None if step == 1 else step / 2})
    with open(path, "a") as file:
        file.write("1")
    log = RunLog(path, ["step", "loss"], from_step=2)
    log.write({"step": 2, "loss": 9})
    assert path.read_text() == "step,loss\n0,0.0\n1,\n2,9\n"
    RunLog(path, ["step", "loss"])
    assert path.read_text() == "step,loss\n"


# ---------------------------------------------------------------- resumption


def interrupted(model, loader, path, at, **options):
    def pull_the_plug(step, *_):
        if step == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, loader, checkpoint=path, on_step=pull_the_plug, **options)


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("at", [1, 6, 10, 28])  # saved: 0, 5, 9 (epoch ends), 27
def test_an_interrupted_run_goes_on_to_the_bit(tmp_path, at, own_generator):
    path = tmp_path / "run.pth"
    options = {"checkpoint_freq": {1: 1, 6: 3, 10: 10, 28: 28}[at]}

    def loader():
        return make_loader(generator=torch.Generator().manual_seed(3) if own_generator else None)

    whole = make_model()
    torch.manual_seed(8)
    expected = train(
        whole, loader(), checkpoint=tmp_path / "w.pth", log=tmp_path / "w.csv", **options
    )
    model = make_model()
    torch.manual_seed(8)
    interrupted(model, loader(), path, at, log=tmp_path / "i.csv", **options)
    assert not same_weights(whole, model)

    resumed, other_loader = make_model(seed=77), loader()
    if own_generator:
        other_loader.generator.manual_seed(1234)
    results = train(
        resumed, other_loader, checkpoint=path, resume=True, log=tmp_path / "i.csv", **options
    )
    assert same_weights(whole, resumed)
    assert results == expected
    logs = [[line.split(",")[:-1] for line in (tmp_path / f"{name}.csv").read_text().splitlines()]
            for name in "wi"]  # fmt: skip
    assert logs[0] == logs[1]


def test_resumption_with_accumulation_and_decay_groups(tmp_path):
    def run(model, function, **options):
        torch.manual_seed(8)
        optimizer = torch.optim.AdamW(decay_groups(model), lr=0.01)
        options |= {"accumulation_steps": 3, "checkpoint_freq": 2, "optimizer": optimizer}
        return function(model, make_loader(), **options)

    whole = make_model()
    expected = run(whole, train, checkpoint=tmp_path / "whole.pth")
    run(make_model(), interrupted, path=tmp_path / "run.pth", at=6)
    resumed = make_model(seed=77)
    results = run(resumed, train, checkpoint=tmp_path / "run.pth", resume=True)
    assert results == expected
    assert same_weights(whole, resumed)


def test_a_finished_run_resumed_does_nothing_more(tmp_path):
    model = make_model()
    expected = train(model, make_loader(), checkpoint=tmp_path / "run.pth", checkpoint_freq=30)
    again = make_model(seed=9)
    results = train(again, make_loader(), checkpoint=tmp_path / "run.pth", resume=True)
    assert results == expected
    assert same_weights(model, again)


def test_other_settings_another_file_or_no_file_change_nothing(tmp_path):
    path = tmp_path / "run.pth"
    train(make_model(), make_loader(), checkpoint=path, checkpoint_freq=3)
    model = make_model(seed=9)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(ValueError, match="n_epochs was 3, now 5"):
        train(model, make_loader(), n_epochs=5, checkpoint=path, resume=True)
    save_checkpoint(path, make_model())
    with pytest.raises(ValueError, match="not saved by train_model"):
        train(model, make_loader(), checkpoint=path, resume=True)
    with pytest.raises(FileNotFoundError):
        train(model, make_loader(), checkpoint=tmp_path / "none.pth", resume=True)
    assert all(map(torch.equal, model.parameters(), before))
