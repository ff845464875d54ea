"""Checkpoints of chapter 5: exact resumption, and what goes wrong with files."""

import os
import pickle
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from previous_chapters import GPTModel, load_checkpoint, save_checkpoint

ROOT = Path(__file__).resolve().parent.parent
SMALL = {
    "vocab_size": 31,
    "context_length": 8,
    "emb_dim": 8,
    "n_heads": 2,
    "n_layers": 2,
    "drop_rate": 0.1,
    "qkv_bias": False,
}


pytestmark = pytest.mark.usefixtures("one_thread")


def make_model(seed=1, **changes):
    torch.manual_seed(seed)
    return GPTModel(SMALL | changes)


def make_run(seed=1):
    model = make_model(seed)
    return model, torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)


def train_an_epoch(model, optimizer):
    """Six shuffled batches with dropout: everything that draws random numbers."""
    ids = torch.randint(0, 31, (12, 9), generator=torch.Generator().manual_seed(5))
    model.train()
    losses = []
    for batch in torch.utils.data.DataLoader(ids, batch_size=2, shuffle=True):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(
            model(batch[:, :-1]).flatten(0, 1), batch[:, 1:].flatten()
        )
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def state_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture
def saved(tmp_path):
    """(path, model): a checkpoint without an optimiser, and what is in it."""
    model = make_model()
    save_checkpoint(tmp_path / "model.pth", model)
    return tmp_path / "model.pth", model


# ---------------------------------------------------------------- what works


def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path):
    model, optimizer = make_run()
    whole = [train_an_epoch(model, optimizer) for _ in range(3)]

    stopped, stopped_optimizer = make_run()
    assert train_an_epoch(stopped, stopped_optimizer) == whole[0]
    save_checkpoint(tmp_path / "run.pth", stopped, stopped_optimizer, epoch=1)

    resumed, resumed_optimizer = make_run(seed=99)
    assert load_checkpoint(tmp_path / "run.pth", resumed, resumed_optimizer) == {"epoch": 1}
    assert [train_an_epoch(resumed, resumed_optimizer) for _ in range(2)] == whole[1:]
    assert same(resumed.state_dict(), model.state_dict())


def test_each_part_of_the_state_is_needed(tmp_path):
    """Without the optimiser's or the random state the run is another one: so both are saved."""
    model, optimizer = make_run()
    train_an_epoch(model, optimizer)
    save_checkpoint(tmp_path / "run.pth", model, optimizer)
    second = train_an_epoch(model, optimizer)

    model, optimizer = make_run(seed=99)
    load_checkpoint(tmp_path / "run.pth", model)
    assert train_an_epoch(model, optimizer) != second

    model, optimizer = make_run(seed=99)
    load_checkpoint(tmp_path / "run.pth", model, optimizer)
    torch.manual_seed(99)
    assert train_an_epoch(model, optimizer) != second


def test_a_new_process_resumes_as_well(tmp_path):
    model, optimizer = make_run()
    train_an_epoch(model, optimizer)
    save_checkpoint(tmp_path / "run.pth", model, optimizer)
    second = train_an_epoch(model, optimizer)
    out = run_python(
        "model, optimizer = t.make_run(seed=7)\n"
        "t.load_checkpoint(sys.argv[1], model, optimizer)\n"
        "print(t.train_an_epoch(model, optimizer))",
        tmp_path / "run.pth",
    )
    assert eval(out.stdout) == second


def test_extras_come_back(tmp_path):
    extras = {
        "config": SMALL,
        "losses": [1.5, 2.5],
        "nested": {"a": (1, None), 2: [True, "x"]},
        "tensor": torch.arange(3),
    }
    save_checkpoint(tmp_path / "m.pth", make_model(), **extras)
    back = load_checkpoint(tmp_path / "m.pth", make_model(seed=2))
    assert torch.equal(back.pop("tensor"), extras.pop("tensor"))
    assert back == extras


def test_saving_changes_nothing(tmp_path):
    model, optimizer = make_run()
    train_an_epoch(model, optimizer)
    before, random = state_of(model), torch.get_rng_state()
    save_checkpoint(str(tmp_path / "m.pth"), model, optimizer)
    assert same(state_of(model), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert [path.name for path in tmp_path.iterdir()] == ["m.pth"]


def test_the_layout_is_the_published_one(tmp_path):
    """A learner's own two lines read what save_checkpoint writes."""
    model, optimizer = make_run()
    train_an_epoch(model, optimizer)
    save_checkpoint(tmp_path / "m.pth", model, optimizer, epoch=1)
    checkpoint = torch.load(tmp_path / "m.pth", weights_only=True)
    assert {"model_state_dict", "optimizer_state_dict", "rng_state", "epoch"} <= set(checkpoint)
    fresh, fresh_optimizer = make_run(seed=2)
    fresh.load_state_dict(checkpoint["model_state_dict"])
    fresh_optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
    assert same(fresh.state_dict(), model.state_dict())


@pytest.mark.parametrize("with_masks", [False, True])
@pytest.mark.parametrize("layout", ["bare", "model", "model and optimizer", "legacy"])
def test_published_files_load(tmp_path, layout, with_masks):
    model, optimizer = make_run()
    train_an_epoch(model, optimizer)
    state = model.state_dict()
    if with_masks:
        for i in range(2):
            state[f"trf_blocks.{i}.att.mask"] = torch.ones(8, 8).triu(1)
    content = {
        "bare": state,
        "legacy": state,
        "model": {"model_state_dict": state},
        "model and optimizer": {
            "model_state_dict": state,
            "optimizer_state_dict": optimizer.state_dict(),
        },
    }[layout]
    zip_format = layout != "legacy"
    torch.save(content, tmp_path / "m.pth", _use_new_zipfile_serialization=zip_format)

    fresh, fresh_optimizer = make_run(seed=2)
    random = torch.get_rng_state()
    wants_optimizer = layout == "model and optimizer"
    extras = load_checkpoint(
        tmp_path / "m.pth", fresh, fresh_optimizer if wants_optimizer else None
    )
    assert extras == {}
    assert same(fresh.state_dict(), model.state_dict())
    assert torch.equal(torch.get_rng_state(), random)
    fresh.load_state_dict(state, strict=True)  # and so does PyTorch's own way


# ---------------------------------------------------------------- saving that fails


HEAD = f"""
import sys; sys.path[:0] = {[str(Path(__file__).resolve().parent), str(ROOT)]!r}
import torch; torch.set_num_threads(1)
import test_checkpoints as t
"""


def run_python(code, *arguments):
    """`code` in a new process that knows this file as `t`."""
    return subprocess.run(
        [sys.executable, "-c", HEAD + code, *map(str, arguments)],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip


@contextmanager
def killed_at_the_end(code, path, first_line):
    """A process running `code` that has printed `first_line`; it is killed with SIGKILL."""
    command = [sys.executable, "-c", HEAD + code, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == first_line + "\n"
            yield
        finally:
            process.kill()


FULL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    t.save_checkpoint(sys.argv[1], t.make_model(seed=2))
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="the limit on file sizes is a Unix thing")
def test_a_full_disk_leaves_the_old_checkpoint(saved):
    path, model = saved
    old = path.read_bytes()
    assert len(old) > 4000
    out = run_python(FULL_DISK, path)
    assert "model.pth was not saved" in out.stdout
    assert "untouched" in out.stdout
    assert path.read_bytes() == old
    assert [p.name for p in path.parent.iterdir()] == ["model.pth"]
    fresh = make_model(seed=3)
    load_checkpoint(path, fresh)
    assert same(fresh.state_dict(), model.state_dict())


SAVE_FOR_EVER = """
import os, torch
write = torch.save
def slowly(content, file):
    write(content, file)
    file.flush()
    file.truncate(os.fstat(file.fileno()).st_size // 2)
    print("half", flush=True)
    import time; time.sleep(100)
torch.save = slowly
t.save_checkpoint(sys.argv[1], t.make_model(seed=2))
"""


def test_a_kill_in_mid_save_leaves_the_old_checkpoint(saved):
    path, model = saved
    old = path.read_bytes()
    with killed_at_the_end(SAVE_FOR_EVER, path, "half"):
        pass
    assert path.read_bytes() == old
    assert (path.parent / "model.pth.part").exists()  # what the dead process left

    save_checkpoint(path, model)  # the next save takes no harm from it, and clears it away
    assert [p.name for p in path.parent.iterdir()] == ["model.pth"]


SAVE_AGAIN_AND_AGAIN = """
models = [t.make_model(seed, emb_dim=64) for seed in (1, 2)]
print("go", flush=True)
while True:
    for number, model in enumerate(models):
        t.save_checkpoint(sys.argv[1], model, number=number)
"""


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    path = tmp_path / "m.pth"
    models = [make_model(seed, emb_dim=64) for seed in (1, 2)]
    save_checkpoint(path, models[0], number=0)
    for pause in (0.05, 0.083, 0.121):
        with killed_at_the_end(SAVE_AGAIN_AND_AGAIN, path, "go"):
            time.sleep(pause)
        fresh = make_model(seed=3, emb_dim=64)
        number = load_checkpoint(path, fresh)["number"]
        assert same(fresh.state_dict(), models[number].state_dict())


def test_an_interrupt_leaves_the_old_checkpoint_and_no_part(saved, monkeypatch):
    path, model = saved
    old = path.read_bytes()

    def interrupted(content, file):
        file.write(b"a few bytes")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, model)
    assert path.read_bytes() == old
    assert [p.name for p in path.parent.iterdir()] == ["model.pth"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        save_checkpoint(tmp_path / "nowhere" / "m.pth", make_model())


def test_extras_that_could_not_be_read_back_are_refused_before_anything_is_written(saved):
    path, model = saved
    old = path.read_bytes()
    numpy = pytest.importorskip("numpy")
    for value in (Path("x"), {"deep": [numpy.float64(1.0)]}, {1, 2}, model):
        with pytest.raises(TypeError, match=r"^thing"):
            save_checkpoint(path, model, thing=value)
    with pytest.raises(ValueError, match="rng_state"):
        save_checkpoint(path, model, rng_state=1)
    assert path.read_bytes() == old


# ---------------------------------------------------------------- files that are refused


def refuse(path, match, model=None, optimizer=None, error=ValueError):
    """Loading raises `error`, and neither model, optimiser nor random state have changed."""
    model = model or make_model(seed=2)
    before, random = state_of(model), torch.get_rng_state()
    optimizer_before = pickle.dumps(optimizer.state_dict()) if optimizer else None
    with pytest.raises(error, match=match):
        load_checkpoint(path, model, optimizer)
    assert same(state_of(model), before)
    assert torch.equal(torch.get_rng_state(), random)
    if optimizer:
        assert pickle.dumps(optimizer.state_dict()) == optimizer_before


def test_a_missing_file(tmp_path):
    refuse(tmp_path / "none.pth", r"none\.pth", error=FileNotFoundError)


@pytest.mark.parametrize("share", [0, 0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_file(saved, share):
    path, _ = saved
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refuse(path, r"model\.pth")


@pytest.mark.parametrize("missing", [1, 2, 22, 60, 200])
def test_a_file_that_lacks_its_last_bytes(saved, missing):
    path, _ = saved
    path.write_bytes(path.read_bytes()[:-missing])
    refuse(path, r"model\.pth .*cut off")


@pytest.mark.parametrize(
    "content", [b"hello, this is text", b"PK\x03\x04" + bytes(500), bytes(100), b"<!DOCTYPE html>"]
)
def test_a_file_that_is_something_else(tmp_path, content, recwarn):
    (tmp_path / "m.pth").write_bytes(content)
    refuse(tmp_path / "m.pth", r"m\.pth")
    assert not recwarn.list


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["pickle", "torch", "torch, deep", "torch, old format"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, how, recwarn):
    trap, path = Trap(tmp_path / "ran"), tmp_path / "m.pth"
    if how == "pickle":
        path.write_bytes(pickle.dumps(trap))
    elif how == "torch":
        torch.save(trap, path)
    elif how == "torch, deep":
        state = make_model().state_dict()
        torch.save({"model_state_dict": state, "optimizer_state_dict": {"a": [trap]}}, path)
    else:
        torch.save({"model_state_dict": trap}, path, _use_new_zipfile_serialization=False)
    refuse(path, "refused")
    assert not (tmp_path / "ran").exists()
    assert not recwarn.list


def test_a_whole_pickled_model_is_refused(tmp_path):
    torch.save(make_model(), tmp_path / "m.pth")
    refuse(tmp_path / "m.pth", "refused")


def test_other_shapes_are_named_with_both_sizes(saved):
    refuse(saved[0], r"\(31, 8\) in the file and \(31, 12\) in the model", make_model(emb_dim=12))


def test_one_other_shape_among_many_leaves_all_tensors_alone(saved):
    path, model = saved
    state = model.state_dict()
    state["out_head.weight"] = torch.zeros(32, 8)
    torch.save(state, path)
    refuse(path, r"out_head\.weight is \(32, 8\) in the file and \(31, 8\) in the model")


def test_missing_and_unknown_names(saved):
    path, model = saved
    refuse(path, r"trf_blocks\.2\..* is missing", make_model(n_layers=3))
    refuse(path, r"trf_blocks\.1\..* is not part of this model", make_model(n_layers=1))
    state = model.state_dict()
    state["final_norm.scale"] = "not a tensor"
    torch.save({"model_state_dict": state}, path)
    refuse(path, r"final_norm\.scale is no tensor")


def test_no_optimiser_in_the_file(saved):
    model, optimizer = make_run(seed=2)
    refuse(saved[0], "no optimiser", model, optimizer)


def test_the_optimiser_of_another_number_of_weights(tmp_path):
    model, _ = make_run()
    few = torch.optim.AdamW(model.final_norm.parameters())
    save_checkpoint(tmp_path / "m.pth", model, few)
    fresh, optimizer = make_run(seed=2)
    refuse(tmp_path / "m.pth", "parameter group", fresh, optimizer)


@pytest.mark.parametrize(
    "content", [[1, 2], 3.5, torch.ones(2), {}, {"a": 1}, {"model_state_dict": 3}]
)
def test_a_sound_file_without_a_model(tmp_path, content):
    torch.save(content, tmp_path / "m.pth")
    refuse(tmp_path / "m.pth", r"m\.pth")


def test_a_device_that_is_not_there_is_not_taken_for_a_bad_file(saved):
    if torch.cuda.is_available():
        pytest.skip("this machine has that device")
    with pytest.raises((AssertionError, RuntimeError), match=r"(?i)cuda|nvidia"):
        load_checkpoint(saved[0], make_model(), device="cuda")
