"""Appendix A (network, data, accuracy, training in several processes) and B (references)."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from functools import partial
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from previous_chapters import NeuralNetwork, ToyDataset, compute_accuracy, make_pinwheel

SCRIPT = ROOT / "appendix" / "ddp_script.py"
pytestmark = pytest.mark.usefixtures("one_thread")


# The network, against scikit-learn's


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # not converged, and need not
def test_network_computes_what_scikit_learn_computes_with_its_weights():
    from sklearn.neural_network import MLPClassifier

    X, y = make_pinwheel(60, seed=5)
    theirs = MLPClassifier((30, 20), activation="relu", max_iter=30, random_state=0)
    theirs.fit(X.numpy(), y.numpy())
    ours = NeuralNetwork(2, 3)
    linear = [layer for layer in ours.layers if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer, weight, bias in zip(linear, theirs.coefs_, theirs.intercepts_, strict=True):
            layer.weight.copy_(torch.as_tensor(weight).T)
            layer.bias.copy_(torch.as_tensor(bias))
        shares = ours(X).softmax(dim=-1)
    np.testing.assert_allclose(shares, theirs.predict_proba(X.numpy()), atol=1e-5)


def test_network_has_the_published_layout():
    names = [f"layers.{i}.{kind}" for i in (0, 2, 4) for kind in ("weight", "bias")]
    assert list(NeuralNetwork(50, 3).state_dict()) == names
    assert sum(p.numel() for p in NeuralNetwork(50, 3).parameters()) == 2213
    torch.manual_seed(123)
    first = nn.Linear(50, 30)
    torch.manual_seed(123)
    assert torch.equal(NeuralNetwork(50, 3).layers[0].weight, first.weight)


# Data


def test_dataset_loads_like_torchs_own():
    X, y = make_pinwheel(50, seed=3)
    load = partial(DataLoader, batch_size=8, shuffle=True)
    ours = load(ToyDataset(X, y), generator=torch.Generator().manual_seed(1))
    theirs = load(TensorDataset(X, y), generator=torch.Generator().manual_seed(1))
    for (a, b), (c, d) in zip(ours, theirs, strict=True):
        assert torch.equal(a, c)
        assert torch.equal(b, d)


def test_dataset_refuses_unequal_lengths():
    with pytest.raises(ValueError, match="X has 3 rows and y has 2 labels"):
        ToyDataset(torch.zeros(3, 2), torch.zeros(2))


def test_pinwheel_can_be_learnt_but_not_by_straight_lines():
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    (X, y), (X_test, y_test) = make_pinwheel(240, seed=1), make_pinwheel(120, seed=2)
    assert KNeighborsClassifier(5).fit(X, y).score(X_test, y_test) > 0.95
    assert LogisticRegression().fit(X, y).score(X_test, y_test) < 0.75


def test_pinwheel_is_the_same_every_time_and_leaves_the_common_generator_alone():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    first, again, other = (make_pinwheel(30, seed=s) for s in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert first[1].dtype == torch.int64
    assert first[0].dtype == torch.float32


# Accuracy, against scikit-learn's


@pytest.mark.parametrize("training", [True, False])
def test_accuracy_is_that_of_scikit_learn_and_dropout_rests(training):
    from sklearn.metrics import accuracy_score

    torch.manual_seed(0)
    X, y = make_pinwheel(47, seed=4)  # the last batch has 7
    model = nn.Sequential(NeuralNetwork(2, 3), nn.Dropout(0.9)).train(training)
    answers = model[0](X).argmax(dim=-1)
    accuracy = compute_accuracy(model, DataLoader(ToyDataset(X, y), batch_size=8))
    assert accuracy == pytest.approx(accuracy_score(y, answers))
    assert model.training == training
    assert torch.is_grad_enabled()


def test_accuracy_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="no examples"):
        compute_accuracy(NeuralNetwork(2, 3), [])


# The script, in real processes


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True, encoding="utf-8", errors="replace", timeout=240,
    )  # fmt: skip


def lesson_scope():
    """The names of the lesson's cell: `torchrun` and `environment` as a learner has them here."""
    lesson = nbformat.read(ROOT / "appendix" / "A-introduction-to-pytorch.ipynb", as_version=4)
    cell = next(cell.source for cell in lesson.cells if "def torchrun(" in cell.source)
    scope = {"os": os, "sys": sys, "subprocess": subprocess, "tempfile": tempfile, "Path": Path}
    exec(cell, scope)
    return scope


def run_two(*arguments):
    """The script in two processes, as the lesson starts them."""
    scope = lesson_scope()
    return run(*scope["torchrun"](SCRIPT, *arguments), **scope["environment"])


STANDALONE = [
    "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", "--local_addr=127.0.0.1"
]  # fmt: skip


def flat(tensors):
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """What two processes wrote, what one wrote, and the lines that the two printed."""
    folder = tmp_path_factory.mktemp("ddp")
    done = run_two("--device", "cpu", "--epochs", 10, "--out", folder)
    assert done.returncode == 0, done.stderr
    two = [torch.load(folder / f"rank{rank}.pth", weights_only=True) for rank in range(2)]
    alone = run(SCRIPT, "--device", "cpu", "--epochs", 10, "--out", folder)
    assert alone.returncode == 0, alone.stderr
    one = torch.load(folder / "rank0.pth", weights_only=True)
    return two, one, done.stdout.splitlines()


def test_gradient_of_two_processes_is_that_of_the_whole_batch(runs):
    first = [rank["first_step"] for rank in runs[0]]
    X, y = (torch.cat([step[key] for step in first]) for key in "xy")
    assert len(X) == 24
    assert len({tuple(point) for point in X.tolist()}) == 24  # nobody's point twice
    model = NeuralNetwork(2, 3)
    model.load_state_dict(first[0]["weights"])
    gradients = torch.autograd.grad(F.cross_entropy(model(X), y), list(model.parameters()))
    for theirs, ours in zip(first[0]["gradients"].values(), gradients, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-6)
    half = F.cross_entropy(model(first[0]["x"]), first[0]["y"])  # and not that of its own share
    own = torch.cat([g.flatten() for g in torch.autograd.grad(half, list(model.parameters()))])
    assert (own - flat(first[0]["gradients"])).abs().max() > 1e-3


def test_processes_start_and_stay_equal(runs):
    (a, b), *_ = runs
    for one, other in [
        (a["first_step"]["weights"], b["first_step"]["weights"]),
        (a["first_step"]["gradients"], b["first_step"]["gradients"]),
        (a["weights"], b["weights"]),
    ]:
        assert torch.equal(flat(one), flat(other))
    assert a["losses"] == b["losses"]


def test_two_processes_train_like_one(runs):
    two, one, _ = runs
    np.testing.assert_allclose(two[0]["losses"], one["losses"], atol=1e-4)
    torch.testing.assert_close(flat(two[0]["weights"]), flat(one["weights"]), rtol=0, atol=1e-4)
    assert one["losses"][-1] < 0.8 * one["losses"][0]


def test_every_line_names_its_process(runs):
    lines = runs[2]
    assert all(re.match(r"\[rank [01] of 2\] ", line) for line in lines)
    assert any("[rank 1 of 2] epoch 10, loss" in line for line in lines)


def test_a_killed_process_ends_the_run_with_a_report():
    done = run_two("--device", "cpu", "--kill", 1)
    assert done.returncode != 0
    assert "[rank 1 of 2] killed" in done.stdout
    assert re.search(r"rank +: 1 .*\n +exitcode +: (-9|15)", done.stderr)
    assert "accuracy" not in done.stdout


def test_without_libuv_the_processes_meet_through_a_file(tmp_path, monkeypatch):
    """A PyTorch built without libuv, as it can be under Windows, imitated here."""
    guard = """
        import sys
        import torch.distributed as dist

        class TCPStore(dist.TCPStore):
            def __init__(self, *arguments, use_libuv=True, **options):
                if use_libuv:
                    raise RuntimeError("use_libuv was requested but there is none")
                super().__init__(*arguments, use_libuv=False, **options)

        original = dist.TCPStore
        for module in list(sys.modules.values()):
            if getattr(module, "__dict__", {}).get("TCPStore") is original:
                module.TCPStore = TCPStore
    """
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(guard), encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    refused = run(*STANDALONE, SCRIPT, "--device", "cpu", "--epochs", 1, PYTHONPATH=path)
    assert refused.returncode != 0
    assert "use_libuv was requested" in refused.stderr  # the guard does guard
    with monkeypatch.context() as windows:
        windows.setattr(sys, "platform", "win32")
        scope = lesson_scope()
        command = scope["torchrun"](SCRIPT, "--device", "cpu", "--epochs", 1)
        assert command != scope["torchrun"](SCRIPT, "--device", "cpu", "--epochs", 1)
    done = run(*command, **scope["environment"] | {"PYTHONPATH": path})
    assert done.returncode == 0, done.stderr
    assert "[rank 1 of 2] epoch 1" in done.stdout


# The script's choices, for machines that are not here


def load_script(monkeypatch, **environment):
    """The script as a module, in a process that torchrun has given `environment`."""
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.syspath_prepend(str(ROOT))
    spec = importlib.util.spec_from_file_location("ddp_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SECOND_OF_TWO = {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}


@pytest.mark.parametrize(
    ("gpus", "wanted", "device"),
    [(0, "auto", "cpu"), (1, "auto", "cpu"), (2, "auto", "cuda:1"), (2, "cuda", "cuda:1"),
     (4, "cpu", "cpu")],
)  # fmt: skip
def test_a_gpu_of_its_own_or_the_cpu(monkeypatch, gpus, wanted, device):
    script = load_script(monkeypatch, **SECOND_OF_TWO)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert script.choose_device(wanted) == torch.device(device)


def test_too_few_gpus_when_they_were_asked_for(monkeypatch):
    script = load_script(monkeypatch, **SECOND_OF_TWO)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ValueError, match=r"each of the 2 processes .* it has 1: use --device cpu"):
        script.choose_device("cuda")


@pytest.mark.parametrize(
    ("device", "nccl", "backend"),
    [("cpu", True, "gloo"), ("cuda:1", True, "nccl"), ("cuda:1", False, "gloo")],
)
def test_gpus_talk_by_nccl_where_it_is_there(monkeypatch, device, nccl, backend):
    script = load_script(monkeypatch, **SECOND_OF_TWO)
    asked, chosen = {}, []
    monkeypatch.setattr(script.dist, "init_process_group", lambda **options: asked.update(options))
    monkeypatch.setattr(script.dist, "is_nccl_available", lambda: nccl)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    script.join_the_others(torch.device(device))
    assert asked["backend"] == backend
    assert chosen == [torch.device(device)] * (device != "cpu")
    assert asked.get("device_id") == (torch.device(device) if backend == "nccl" else None)


@pytest.mark.parametrize(("platform", "libuv"), [("win32", "0"), ("linux", None)])
def test_windows_does_without_libuv(monkeypatch, platform, libuv):
    script = load_script(monkeypatch, **SECOND_OF_TWO)
    monkeypatch.setenv("USE_LIBUV", "?")  # so that it is put back after the test
    monkeypatch.delenv("USE_LIBUV")
    monkeypatch.setattr(script.dist, "init_process_group", lambda **options: None)
    monkeypatch.setattr(script.sys, "platform", platform)
    script.join_the_others(torch.device("cpu"))
    assert os.environ.get("USE_LIBUV") == libuv


@pytest.mark.parametrize("size", [0, 1, 25])
def test_shares_must_be_equal(monkeypatch, size):
    script = load_script(monkeypatch, **SECOND_OF_TWO)
    with pytest.raises(ValueError, match=rf"--batch-size \({size}\) must be divisible .* \(2\)"):
        script.make_loader(size)


# Appendix B checks its own list: a damaged list must be noticed


def references():
    return nbformat.read(ROOT / "appendix" / "B-references.ipynb", as_version=4)


def run_references(folder, damage=lambda text: text):
    """Run the checking cells on a copy whose lists went through `damage`."""
    notebook = references()
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = damage(cell.source)
    (folder / "appendix").mkdir()
    text = json.dumps(notebook)
    (folder / "appendix" / "B-references.ipynb").write_text(text, encoding="utf-8")
    scope = {"ROOT": Path(folder)}
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"][1:]
    exec("\n".join(code), scope)
    return scope["entries"]


def test_references_are_as_many_as_promised(tmp_path):
    entries = run_references(tmp_path)
    assert 60 <= len(entries) <= 95
    assert all(len(entry["authors"]) > 3 for entry in entries)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("1706.03762", "1713.03762"),  # there is no thirteenth month
        ("1706.03762", "1706.3762"),  # too few digits
        ("1706.03762", "2406.03762"),  # younger than its venue
        ("[arXiv:1409.0473]", "[arXiv:1409.3215]"),  # label and link differ
        ("1409.0473", "1409.3215"),  # twice the same
        ("★ ", ""),  # none to read first
        (" NeurIPS, 2017.", " NeurIPS."),  # no year
        ("**Layer Normalization.**", "Layer Normalization."),  # no title
    ],
)
def test_damaged_references_are_noticed(tmp_path, old, new):
    assert any(old in cell.source for cell in references().cells)
    with pytest.raises(AssertionError):
        run_references(tmp_path, lambda text: text.replace(old, new))
