"""The training program of appendix F: its texts, shards and windows, a run and its failures."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tiktoken
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "appendix" / "pretraining"))

import evaluate
import pretrain
import shards
import texts as reading
import training_run

from previous_chapters import load_gpt2_from_folder, load_pretrained

ROOT = Path(__file__).resolve().parent.parent

pytestmark = pytest.mark.usefixtures("one_thread")

VERDICT = (ROOT / "ch02" / "the-verdict.txt").read_text(encoding="utf-8")
TINY = """--config mini --width 16 --heads 2 --layers 2 --context 32 --global-batch 4 --batch 2
    --warmup 2 --lr 1e-2 --held-out 10 --compile off --dtype float32 --eval-every 4
    --eval-windows 5 --checkpoint-every 2 --tokens 1536""".split()  # noqa: SIM905


@pytest.fixture
def folder(tmp_path):
    """Two texts of two kinds."""
    (tmp_path / "texts" / "more").mkdir(parents=True)
    (tmp_path / "texts" / "verdict.txt").write_text(VERDICT, encoding="utf-8")
    (tmp_path / "texts" / "more" / "é.txt").write_text("Café olé, à la carte.\n" * 40, "utf-8")
    return tmp_path / "texts"


def command(folder, out, *options, processes=1):
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--standalone", "--local_addr=127.0.0.1"]
        start += [f"--nproc_per_node={processes}"]
    return [*map(str, [*start, pretrain.__file__, folder, "--out", out, *TINY, *options])]


def begin(*arguments, **options):
    environment = os.environ | {"OMP_NUM_THREADS": "1", "COURSE_OFFLINE": "1"}
    return subprocess.Popen(command(*arguments, **options), env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


def train_here(folder, out, *options):
    args = pretrain.read_arguments([str(folder), "--out", str(out), *TINY, *map(str, options)])
    pretrain.pretrain(args)
    return out


def log_of(out):
    """The rows of a log, without the time that each step took."""
    with open(out / "log.csv", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row.pop("seconds")]


def losses_of(out):
    return [float(row["loss"]) for row in log_of(out)]


def looks_of(out):
    return [float(row["val_loss"]) for row in log_of(out) if row["val_loss"]]


def wait_for_step(out, step, process):
    for _ in range(600):
        if (out / "log.csv").exists() and len(log_of(out)) > step:
            return
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    raise AssertionError(f"no step {step} in 30 seconds")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run that nothing interrupted."""
    place = tmp_path_factory.mktemp("done")
    (place / "texts").mkdir()
    (place / "texts" / "verdict.txt").write_text(VERDICT, encoding="utf-8")
    return place / "texts", train_here(place / "texts", place / "out")


# ---- texts ----


PROSE = """THE FIRST CHAPTER

It was a bright day, and the clocks were striking as the old
man came down the long street towards the harbour; nobody who
saw him there could have said what he
was looking for.

"And yet," she said, "we do not know at all whether the bread-
and-butter was his, or whether he had only come to look."

    The sea is grey,
    The sea is wide,
    And no one comes
    With wind or tide.

That was all that she would say about it, and nobody asked her
again, neither then nor in the many years which were to follow
upon that day, until the letter came.
"""


def test_lines_of_prose_are_joined_and_verse_is_left():
    text = "".join(reading.joined([PROSE * 3]))
    lines = text.split("\n")
    assert lines[2].startswith("It was")
    assert lines[2].endswith("what he was looking for.")
    assert "bread-and-butter was his, or" in text
    assert "    The sea is grey,\n    The sea is wide,\n    And no one comes\n" in text
    assert re.sub(r"\s", "", text) == re.sub(r"\s", "", PROSE * 3)


def test_paragraphs_without_blank_lines_are_found_by_their_short_last_lines():
    text = "".join(reading.joined([PROSE.replace("\n\n", "\n").replace("    ", "") * 3]))
    assert "\nIt was a bright day, and" in text
    assert '\n"And yet," she said' in text
    assert "\nThat was all that she would say about it, and nobody asked her again, n" in text


def test_texts_that_are_not_hard_wrapped_stay_as_they_are():
    novel = "\n".join(f"Paragraph {i} is one line, however long it is." * 5 for i in range(50))
    verse = "Tyger Tyger, burning bright,\nIn the forests of the night;\n" * 30
    for text in (novel, novel.replace("\n", "\n\n"), verse, VERDICT, "", "a\nb"):
        assert "".join(reading.joined([text])) == text


def test_a_long_file_is_read_in_pieces_with_plain_line_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "PIECE", 7)  # cuts characters and line ends in two
    (tmp_path / "a.txt").write_bytes("\ufeffnaïve café\r\nÆsop — “Ω”\rend".encode())
    pieces = list(reading.read_pieces(tmp_path / "a.txt"))
    assert len(pieces) > 4
    assert "".join(pieces) == "naïve café\nÆsop — “Ω”\nend"
    assert "".join(reading.prepared(tmp_path / "a.txt", plain=True)).endswith('-- "Ω"\nend')


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00rest", r"picture\.txt is no plain text: byte 8 is zero"),
        ("Ærø".encode("latin-1") * 9, r"not in utf-8: byte 0 is 0xc6.*--encoding cp1252"),
        (b"good " * 4 + b"\xff", r"byte 20 is 0xff"),
        (b"cut off \xc3", r"byte 8 is 0xc3 \(unexpected end of data\)"),
        ("words".encode("utf-16"), r"UTF-16 needs --encoding utf-16|is not in utf-8"),
    ],
)
def test_files_that_are_no_text_are_named(tmp_path, content, message):
    (tmp_path / "picture.txt").write_bytes(content)
    with pytest.raises(reading.TextError, match=message):
        shards.prepare([tmp_path], tmp_path / "tokens", processes=1)
    assert list((tmp_path / "tokens").iterdir()) == []


def test_other_encodings_are_read(tmp_path):
    for encoding in ("cp1252", "utf-16", "latin-1"):
        (tmp_path / "a.txt").write_bytes("Ærø, £5".encode(encoding))
        assert "".join(reading.read_pieces(tmp_path / "a.txt", encoding)) == "Ærø, £5"


# ---- shards ----


def test_shards_hold_the_tokens_of_tiktoken(folder, tmp_path):
    train, held_out, index = shards.prepare([folder], tmp_path / "t", held_out=10, processes=1)
    ids, want, tail = tiktoken.get_encoding("gpt2").encode_ordinary, [], []
    for path in (folder / "more" / "é.txt", folder / "verdict.txt"):
        document = ids(path.read_text(encoding="utf-8"))
        held = round(len(document) / 10)
        want += [*document[:-held], 50256]
        tail += [*document[-held:], 50256]
    assert train.read(0, len(train)).tolist() == want
    assert held_out.read(0, len(held_out)).tolist() == tail
    assert [t["name"] for t in index["texts"]] == ["more/é.txt", "verdict.txt"]
    assert sum(t["train"] + t["held_out"] + 2 for t in index["texts"]) == len(want) + len(tail)


@pytest.mark.parametrize("size", [11, 100, 3001])
def test_chunks_have_the_tokens_of_the_whole(size):
    text = VERDICT[:6000] + "a  b   c\n\n\nd \n e\t\tf\n\n  don't 12 345\u00a0 x\x1c y\n \n" * 40
    pieces = [text[i : i + 37] for i in range(0, len(text), 37)]
    chunked = list(shards.chunks(pieces, size))
    assert "".join(chunked) == text
    found = [i for chunk in chunked for i in shards.encode(chunk).tolist()]
    assert found == tiktoken.get_encoding("gpt2").encode_ordinary(text)


def test_parallel_tokenising_and_several_shards_change_nothing(folder, tmp_path, monkeypatch):
    one, *_ = shards.prepare([folder], tmp_path / "one", processes=1)
    monkeypatch.setattr(shards, "FEW", 0)
    monkeypatch.setattr(shards, "SHARD", 50)
    two, _, index = shards.prepare([folder], tmp_path / "two", processes=2)
    assert len(index["shards"]) == 2
    assert two.read(0, len(two)).tolist() == one.read(0, len(one)).tolist()
    assert two.read(len(one) // 7, 300).tolist() == one.read(len(one) // 7, 300).tolist()


def test_shards_are_used_again_while_the_texts_are_the_same(folder, tmp_path, monkeypatch):
    *_, index = shards.prepare([folder], tmp_path / "t", processes=1)
    os.utime(folder / "verdict.txt")  # another time, the same content
    monkeypatch.setattr(shards, "write_shards", None)
    *_, again = shards.prepare([folder], tmp_path / "t")
    assert again == index
    (folder.parent / "moved").mkdir()
    moved = folder.rename(folder.parent / "moved" / "texts")
    shards.prepare([moved], tmp_path / "t")
    with pytest.raises(reading.TextError, match="join_lines was False, now True"):
        shards.prepare([moved], tmp_path / "t", join_lines=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: (f / "verdict.txt").write_text(VERDICT[:-1] + "?"), "verdict.txt has changed"),
        (lambda f: (f / "new.txt").write_text("new"), "new.txt is new"),
        (lambda f: (f / "more" / "é.txt").unlink(), "é.txt is gone"),
    ],
)
def test_a_changed_folder_is_refused(folder, tmp_path, change, message):
    shards.prepare([folder], tmp_path / "t", processes=1)
    change(folder)
    with pytest.raises(reading.TextError, match=rf"{message}.*another --out"):
        shards.prepare([folder], tmp_path / "t")


def test_unfinished_shards_are_made_anew_and_damaged_ones_are_named(folder, tmp_path):
    def count():
        """Of the tokens; the files are no longer mapped, as Windows wants it before they change."""
        return len(shards.prepare([folder], tmp_path / "t", processes=1)[0])

    whole = count()
    (tmp_path / "t" / "index.json").unlink()  # as if killed before the end
    (tmp_path / "t" / "train-000.bin").write_bytes(b"half")
    assert count() == whole
    with open(tmp_path / "t" / "train-000.bin", "ab") as file:
        file.truncate(100)
    with pytest.raises(reading.TextError, match="damaged: delete that folder"):
        shards.prepare([folder], tmp_path / "t")


def test_no_texts(tmp_path):
    with pytest.raises(reading.TextError, match="there is no file or folder"):
        reading.find_texts([tmp_path / "none"])
    (tmp_path / "a.md").write_text("text")
    with pytest.raises(reading.TextError, match=r"has no file \*\.txt.*1 x \.md.*--pattern"):
        reading.find_texts([tmp_path])
    assert len(reading.find_texts([tmp_path], "*.md")) == 1


# ---- windows ----


class Counted:
    """Tokens that are their own positions."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def read(self, start, count):
        assert start >= 0
        assert start + count <= self.count
        return np.arange(start, start + count)


@pytest.mark.parametrize("count", [11, 12, 20, 21, 22, 30, 1003])
def test_each_window_comes_once_in_an_epoch(count):
    windows, orders = shards.Windows(Counted(count), 10, seed=5), []
    for epoch in range(3):
        rows = windows.batch(range(epoch * windows.count, (epoch + 1) * windows.count))
        targets = np.sort(rows[:, 1:].flatten())
        assert (np.diff(targets) == 1).all()  # nothing twice, no gap
        assert len(targets) > count - 2 * 10
        orders.append(rows[:, 0].tolist())
    if count > 1000:
        assert orders[0] != orders[1] != orders[2]
        assert orders[0] != sorted(orders[0])


def test_windows_depend_on_seed_and_position_alone():
    tokens = Counted(507)
    whole = shards.Windows(tokens, 10, seed=5).batch(range(160))
    other = shards.Windows(tokens, 10, seed=5)
    parts = [other.batch(range(i, i + 20)) for i in reversed(range(0, 160, 20))]
    assert (np.concatenate(parts[::-1]) == whole).all()
    assert (shards.Windows(tokens, 10, seed=6).batch(range(160)) != whole).any()


def test_too_little_text(tmp_path):
    with pytest.raises(reading.TextError, match=r"10 tokens are left.*one window of --context 10"):
        shards.Windows(Counted(10), 10, seed=1)
    (tmp_path / "a.txt").write_text("Too little.")
    with pytest.raises(reading.TextError, match="too little text"):
        train_here(tmp_path, tmp_path / "out", "--held-out", 0)


# ---- a run ----


def test_first_weights_are_those_of_gpt2():
    args = pretrain.read_arguments(["x", "--out", "y", *TINY, "--layers", "8", "--width", "64"])
    gpt = training_run.make_model(training_run.make_config(args), True, 1)
    assert gpt.out_head.weight is gpt.tok_emb.weight
    block = gpt.trf_blocks[3]
    assert block.att.W_key.weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert block.att.out_proj.weight.std().item() == pytest.approx(0.02 / 4, rel=0.1)
    assert block.ff.layers[2].weight.std().item() == pytest.approx(0.02 / 4, rel=0.1)
    assert not block.ff.layers[0].bias.any()
    assert (block.norm1.scale == 1).all()


def test_accumulated_parts_are_one_large_batch(folder, tmp_path):
    one = train_here(folder, tmp_path / "one", "--batch", 4, "--tokens", 512)
    four = train_here(folder, tmp_path / "four", "--batch", 1, "--tokens", 512)
    assert losses_of(one) == pytest.approx(losses_of(four), abs=2e-5)
    assert losses_of(one)[-1] < losses_of(one)[0] - 0.02


def test_every_weight_has_one_optimizer(tmp_path):
    args = pretrain.read_arguments(["x", "--out", "y", *TINY, "--optimizer", "muon"])
    gpt = training_run.make_model(training_run.make_config(args), True, 1)
    names = {id(p): name for name, p in gpt.named_parameters()}
    muon, adamw = training_run.make_optimizer(gpt, args).parts
    of_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    of_adamw = [names[id(p)] for group in adamw.param_groups for p in group["params"]]
    assert of_muon == {n for n in names.values() if re.search(r"(W_\w+|proj|layers\.\d).weight", n)}
    assert sorted(of_adamw) == sorted(set(names.values()) - of_muon)
    assert all(group["weight_decay"] == 0 for group in adamw.param_groups)


def test_a_finished_run_is_all_there(done):
    _, out = done
    rows = log_of(out)
    assert [int(row["step"]) for row in rows] == list(range(12))
    assert [row["step"] for row in rows if row["val_loss"]] == ["3", "7", "11"]
    assert [int(row["tokens"]) for row in rows][-1] == 1536
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")
    samples = (out / "samples.txt").read_text(encoding="utf-8")
    assert re.findall(r"--- step (\d+)\nIt was", samples) == ["3", "7", "11"]
    assert not list(out.rglob("*.part"))


def test_the_exported_model_has_the_validation_loss_of_the_best_checkpoint(done):
    texts, out = done
    settings, _ = load_gpt2_from_folder(out / "model")
    assert (settings["n_embd"], settings["n_ctx"]) == (16, 32)
    transformers = pytest.importorskip("transformers")
    theirs = transformers.GPT2LMHeadModel.from_pretrained(out / "model").eval()
    *_, held_out = shards.prepare([texts], out / "tokens", held_out=10)[:2]
    ids = torch.from_numpy(held_out.read(0, len(held_out)))
    chosen = np.linspace(0, (len(ids) - 1) // 32 - 1, 5).astype(int)
    with torch.no_grad():
        rows = torch.stack([ids[i * 32 : i * 32 + 33] for i in chosen])
        logits = theirs(rows[:, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).item()
    assert loss == pytest.approx(min(looks_of(out)), abs=1e-4)


def test_killed_and_resumed_is_as_if_nothing_had_happened(done, tmp_path):
    texts, whole = done
    out = tmp_path / "out"
    process = begin(texts, out)
    wait_for_step(out, 6, process)
    process.kill()
    process.wait()
    torch.load(out / "last.pth", weights_only=True)
    with open(out / "log.csv", "a") as file:
        file.write("9,115")  # a row cut off half-way
    train_here(texts, out, "--resume")
    assert log_of(out) == log_of(whole)
    ours, theirs = (torch.load(o / "last.pth", weights_only=True) for o in (out, whole))
    for name, weight in ours["model_state_dict"].items():
        assert torch.equal(weight, theirs["model_state_dict"][name])
    assert (out / "samples.txt").read_bytes() == (whole / "samples.txt").read_bytes()
    with pytest.raises(ValueError, match="holds a run already: --resume"):
        train_here(texts, out)


def test_muon_and_dropout_resume_bit_for_bit(done, tmp_path, monkeypatch):
    texts, _ = done
    options = ["--optimizer", "muon", "--dropout", "0.1", "--dtype", "bfloat16"]
    whole = train_here(texts, tmp_path / "whole", *options)

    class Stop(Exception):
        pass

    class StopsEarly(pretrain.RunLog):
        def write(self, row):
            super().write(row)
            if row["step"] == 6:
                raise Stop

    monkeypatch.setattr(pretrain, "RunLog", StopsEarly)
    with pytest.raises(Stop):
        train_here(texts, tmp_path / "cut", *options)
    monkeypatch.undo()
    train_here(texts, tmp_path / "cut", *options, "--resume")
    assert log_of(tmp_path / "cut") == log_of(whole)


@pytest.mark.skipif(sys.platform == "win32", reason="as in test_appendix_a.py, by a file only")
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_processes_have_the_losses_of_one(done, tmp_path, parallel):
    texts, whole = done
    out = tmp_path / "out"
    process = begin(texts, out, "--parallel", parallel, processes=2)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "2 processes" in said
    assert losses_of(out) == pytest.approx(losses_of(whole), abs=2e-5)
    assert looks_of(out) == pytest.approx(looks_of(whole), abs=2e-5)
    saved = torch.load(out / "last.pth", weights_only=True)
    ours = torch.load(whole / "last.pth", weights_only=True)
    for name, weight in saved["model_state_dict"].items():
        torch.testing.assert_close(weight, ours["model_state_dict"][name], atol=2e-4, rtol=0)
    for i, values in ours["optimizer_state_dict"]["parts"][0]["state"].items():
        theirs = saved["optimizer_state_dict"]["parts"][0]["state"][i]
        assert theirs["exp_avg"].shape == values["exp_avg"].shape


def workers_of(process):
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(child) for child in children]


@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_a_killed_worker_ends_the_run_clearly_and_it_is_resumable(done, tmp_path, parallel):
    texts, whole = done
    out = tmp_path / "out"
    process = begin(texts, out, "--parallel", parallel, processes=2)
    wait_for_step(out, 4, process)
    os.kill(workers_of(process)[1], signal.SIGKILL)
    killed = time.monotonic()
    said, _ = process.communicate(timeout=60)
    assert time.monotonic() - killed < 40
    assert process.returncode != 0
    assert "the same command with --resume goes on" in said
    assert "Traceback" not in said.split("pretrain [rank")[0]
    assert len(log_of(out)) < 12
    if parallel == "fsdp":
        process = begin(texts, out, "--parallel", parallel, "--resume", processes=2)
        said, _ = process.communicate(timeout=120)
        assert "going on after step" in said
    else:
        train_here(texts, out, "--resume")  # in one process
    assert losses_of(out) == pytest.approx(losses_of(whole), abs=2e-5)


def test_a_full_disk_ends_clearly_and_keeps_the_last_checkpoint(done, tmp_path):
    resource = pytest.importorskip("resource")  # the limit on file sizes is a Unix thing
    texts, _ = done
    out = tmp_path / "out"
    train_here(texts, out, "--checkpoint-every", 12)
    state = torch.load(out / "last.pth", weights_only=True)
    state["run"]["state"]["step"] = 5  # so that there is something left to do
    torch.save(state, out / "last.pth")
    before = (out / "last.pth").read_bytes()
    size = len(before) // 2  # of a file at most: writing on fails then, as on a full disk
    process = subprocess.run(
        command(texts, out, "--resume"), capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "COURSE_OFFLINE": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )  # fmt: skip
    assert process.returncode == 1
    assert "last.pth was not saved and what stood there before is untouched" in process.stderr
    assert "the same command with --resume goes on" in process.stderr
    assert "Traceback" not in process.stderr
    assert (out / "last.pth").read_bytes() == before
    assert not list(out.glob("*.part"))


def test_a_checkpoint_of_another_run_is_refused(done, tmp_path):
    texts, out = done
    for options, message in [
        (["--width", 32], r"config was \{.*'emb_dim': 16.*now \{.*'emb_dim': 32"),
        (["--lr", 1e-3], "lr was 0.01, now 0.001"),
        (["--tokens", 3000], "steps was 12, now 23"),
    ]:
        with pytest.raises(ValueError, match=f"run with other settings: {message}"):
            train_here(texts, out, "--resume", *options)
    strange = tmp_path / "out"
    (strange).mkdir()
    torch.save({"weights": torch.ones(2)}, strange / "last.pth")
    with pytest.raises(ValueError, match=r"not saved by pretrain\.py"):
        train_here(texts, strange, "--resume")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch", 3], r"--global-batch \(4\) must be divisible by --batch x processes \(3 x 1"),
        (["--tokens", 100], "100 tokens are fewer than those of one step"),
        (["--eval-every", 0], "--eval-every must be at least 1, got 0"),
        (["--held-out", 60], "percentage from 0 to 50, got 60"),
        (["--heads", 3], "divisible"),
    ],
)
def test_settings_that_make_no_sense(folder, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train_here(folder, tmp_path / "out", *options)


def test_muon_and_fsdp_are_refused_together(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrain, "DISTRIBUTED", True)
    options = ["x", "--out", str(tmp_path), *TINY, "--optimizer", "muon", "--parallel", "fsdp"]
    with pytest.raises(ValueError, match=r"muon needs whole matrices.*--parallel ddp"):
        pretrain.check_arguments(pretrain.read_arguments(options))


def test_without_a_compiler_the_run_goes_on(folder, tmp_path, monkeypatch, capsys):
    def no_compiler(model):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", no_compiler)
    train_here(folder, tmp_path / "out", "--compile", "on", "--tokens", 256)
    said = capsys.readouterr().out
    assert "torch.compile is left out, it fails here: RuntimeError" in said
    assert "done" in said


# ---- evaluation ----


def test_nats_are_those_of_the_chapters_model(tmp_path):
    (tmp_path / "a.txt").write_text(VERDICT[:4000] + "naïve", encoding="utf-8")
    ends = evaluate.ends_of([tmp_path / "a.txt"], 50)
    folder = ROOT / "models" / "gpt2-mini"
    per_token, per_character, tokens = evaluate.measure(evaluate.open_model(folder), ends, 100)
    model, *_ = load_pretrained("gpt2-mini", ROOT / "models")
    ids = tiktoken.get_encoding("gpt2").encode_ordinary(VERDICT[:4000] + "naïve")
    tail = ids[len(ids) - round(len(ids) / 2) :]
    line, nats = [50256, *tail], 0.0
    with torch.no_grad():
        for i in range(0, len(tail), 100):
            part = torch.tensor([line[i : i + 101]])
            logits = model.eval()(part[:, :-1])[0]
            nats += F.cross_entropy(logits, part[0, 1:], reduction="sum").item()
    assert tokens == len(tail)
    assert per_token == pytest.approx(nats / len(tail), abs=1e-4)
    text = tiktoken.get_encoding("gpt2").decode(tail)
    assert per_character == pytest.approx(nats / len(text), abs=1e-4)
