"""Pretrain a GPT on a folder of texts. The README beside this file tells how and what for.

    python appendix/pretraining/pretrain.py TEXTS --out RUN
    python appendix/pretraining/pretrain.py TEXTS --out RUN --resume
    torchrun --standalone --local_addr=127.0.0.1 --nproc_per_node=2 \
        appendix/pretraining/pretrain.py TEXTS --out RUN

RUN gets the tokens, a log, a plot, samples, the last and the best checkpoint, and the model.
"""

import argparse
import csv
import io
import os
import signal
import sys
import time
from pathlib import Path

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # large pages; torch reads it when imported

import torch
import torch.distributed as dist
from filelock import FileLock, Timeout

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ddp_script import DISTRIBUTED, RANK, WORLD_SIZE, choose_device, join_the_others
from shards import fingerprint, prepare, read_index
from training_run import LOG, SIZES, Run, make_config, say

from previous_chapters import RunLog, keep_freed_memory, write_atomically

# What makes a run what it is: a resumed run must have the same. All else may change.
RECIPE = ("dropout", "tie", "context", "global_batch", "lr", "muon_lr", "min_lr", "warmup",
          "weight_decay", "clip", "optimizer", "seed")  # fmt: skip


def read_arguments(words=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    yes_or_no = {"action": argparse.BooleanOptionalAction}
    add("texts", nargs="+", help="folders and files of text")
    add("--out", type=Path, required=True, help="the folder of the run")
    add("--resume", action="store_true", help="go on from the last checkpoint, if there is one")

    add = parser.add_argument_group("texts").add_argument
    add("--pattern", default="*.txt", help="names of the files to take from folders")
    add("--encoding", default="utf-8")
    add("--join-lines", default=False, **yes_or_no, help="join hard-wrapped lines")
    add("--plain", default=False, **yes_or_no, help="plain ASCII quotes and dashes")
    add("--held-out", type=float, default=1.0, help="last per cent of each text, for validation")
    add("--processes", type=int, help="that tokenise; default: one for each core")

    add = parser.add_argument_group("model").add_argument
    add("--config", choices=SIZES, default="124M", help="width, heads and layers")
    for name in ("--width", "--heads", "--layers"):
        add(name, type=int, help="in place of that of --config")
    add("--context", type=int, default=1024, help="tokens in a window")
    add("--dropout", type=float, default=0.0)
    add("--tie", default=True, **yes_or_no, help="one matrix for token embedding and head")

    add = parser.add_argument_group("training").add_argument
    add("--tokens", type=float, help="to train on, as in 2.5e9; default: --epochs")
    add("--epochs", type=float, default=1.0, help="passes over the texts")
    add("--global-batch", type=int, default=64, help="windows in a step, of all processes")
    add("--batch", type=int, default=8, help="windows at a time in a process")
    add("--optimizer", choices=["adamw", "muon"], default="adamw")
    add("--lr", type=float, default=6e-4, help="the highest learning rate")
    add("--muon-lr", type=float, help="that of Muon's matrices; default: --lr")
    add("--min-lr", type=float, default=0.0, help="the last one")
    add("--warmup", type=int, default=100, help="steps")
    add("--weight-decay", type=float, default=0.1)
    add("--clip", type=float, default=1.0, help="largest norm of the gradient")
    add("--seed", type=int, default=123)

    add = parser.add_argument_group("machine").add_argument
    add("--device", choices=["auto", "cpu", "cuda"], default="auto")
    add("--dtype", choices=["auto", "float32", "bfloat16"], default="auto")
    add("--compile", choices=["auto", "on", "off"], default="auto")
    add("--parallel", choices=["ddp", "fsdp"], default="ddp", help="under torchrun")

    add = parser.add_argument_group("keeping watch").add_argument
    add("--print-every", type=int, default=10, help="steps")
    add("--eval-every", type=int, default=200, help="steps between validations")
    add("--eval-windows", type=int, default=64, help="held-out windows in each of them")
    add("--checkpoint-every", type=int, default=100, help="steps")
    add("--sample-prompt", default="It was")
    add("--export-dtype", choices=["float32", "float16"], default="float32")
    return parser.parse_args(words)


def check_arguments(args):
    """ValueError for numbers that can't be meant."""
    for name in ("context", "global_batch", "batch", "print_every", "eval_every", "eval_windows",
                 "checkpoint_every"):  # fmt: skip
        if getattr(args, name) < 1:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} must be at least 1, got {getattr(args, name)}")
    if not 0 <= args.held_out <= 50:
        raise ValueError(f"--held-out is a percentage from 0 to 50, got {args.held_out}")
    if args.lr <= 0 or args.clip <= 0:
        raise ValueError(f"--lr and --clip must be above 0, got {args.lr} and {args.clip}")
    if args.global_batch % (args.batch * WORLD_SIZE):
        raise ValueError(
            f"--global-batch ({args.global_batch}) must be divisible by --batch x processes "
            f"({args.batch} x {WORLD_SIZE})"
        )
    if args.optimizer == "muon" and DISTRIBUTED and args.parallel == "fsdp":
        raise ValueError(
            "--optimizer muon needs whole matrices, and FSDP cuts them up: "
            "take --parallel ddp or --optimizer adamw"
        )
    if args.optimizer == "muon" and not hasattr(torch.optim, "Muon"):
        raise ValueError(
            f"torch {torch.__version__} has no Muon: take --optimizer adamw, or torch 2.9 or newer"
        )
    if (args.out / "last.pth").exists() and not args.resume:
        raise ValueError(
            f"{args.out} holds a run already: --resume goes on with it, another --out begins anew"
        )


def open_tokens(args):
    """Tokenise the texts, in one process; the others wait for what it makes."""
    folder = args.out / "tokens"
    while RANK and read_index(folder) is None:
        time.sleep(0.5)
    options = ("held_out", "join_lines", "plain", "encoding", "pattern", "processes")
    return prepare(args.texts, folder, **{k: getattr(args, k) for k in options}, say=say)


def draw_curve(out):
    """Draw log.csv into loss.png."""
    from matplotlib.figure import Figure

    with open(out / "log.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    million = [int(row["tokens"]) / 1e6 for row in rows]
    axes.plot(million, [float(r["loss"]) for r in rows], lw=0.8, color="0.6", label="training")
    looks = [(m, float(row["val_loss"])) for m, row in zip(million, rows, strict=True)
             if row["val_loss"]]  # fmt: skip
    if looks:
        axes.plot(*zip(*looks, strict=True), "o-", ms=3, label="validation")
    axes.set(xlabel="million tokens", ylabel="loss (nats per token)")
    axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_atomically(out / "loss.png", lambda file: file.write(picture.getvalue()))


def report(row, run, seconds):
    """Print a row; `seconds` is what a step took in the mean."""
    left = (run.steps - 1 - row["step"]) * seconds / 60
    val = "" if row["val_loss"] is None else f" · validation {row['val_loss']:.3f}"
    speed = run.args.global_batch * run.args.context / row["seconds"]
    say(
        f"step {row['step']:5,} of {run.steps:,} · {row['tokens'] / 1e6:.2f} M tokens · "
        f"loss {row['loss']:.3f}{val} · {speed:,.0f} tokens/s · {left:,.0f} min left"
    )


def train(run, log):
    """All steps that are left; a row for each, on disk before the next one."""
    args, first, started = run.args, run.state["step"] + 1, time.monotonic()
    for step in range(first, run.steps):
        row, last = run.take_step(), step == run.steps - 1
        if (step + 1) % args.eval_every == 0 or last:
            row["val_loss"] = run.look_in()
        if log:
            log.write(row)
            if row["val_loss"] is not None:
                draw_curve(args.out)
        if step % args.print_every == 0 or row["val_loss"] is not None:
            report(row, run, (time.monotonic() - started) / (step + 1 - first))
        if (step + 1) % args.checkpoint_every == 0 or last:
            run.save(run.last)


def pretrain(args):
    """The whole run, from the texts to the exported model."""
    check_arguments(args)
    config, device = make_config(args), choose_device(args.device)
    train_tokens, held_out, index = open_tokens(args)
    if DISTRIBUTED:
        join_the_others(device)
    run = Run(args, config, train_tokens, held_out, device)
    recipe = {name: getattr(args, name) for name in RECIPE}
    recipe |= {"config": config, "steps": run.steps, "texts": fingerprint(index)}
    run.build(recipe)
    say(
        f"{sum(p.numel() for p in run.gpt.parameters()):,} weights · {len(train_tokens):,} tokens "
        f"· {run.steps:,} steps of {args.global_batch} x {args.context} · {device.type}, "
        f"{run.dtype or 'float32'}, {WORLD_SIZE} process{'es' * (WORLD_SIZE > 1)}"
    )
    if args.resume:
        done = run.state["step"] + 1
        say(f"going on after step {done - 1}" if done else "no checkpoint yet: from the beginning")
    log = RunLog(args.out / "log.csv", LOG, run.state["step"] + 1) if RANK == 0 else None
    train(run, log)
    finish(run)


def finish(run):
    loss = run.validate()
    run.export()
    if loss is not None:
        say(f"loss on all {run.val_windows:,} held-out windows: {loss:.4f}")
    say(f"done: the model is in {run.args.out / 'model'}")


def main():
    sys.stdout.reconfigure(errors="replace")  # some code pages of Windows lack the dot
    args = read_arguments()
    keep_freed_memory()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(stopped(args, "by a signal")))
    lock = FileLock(args.out / "run.lock", timeout=0)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        if RANK == 0:
            lock.acquire()
        pretrain(args)
    except Timeout:
        sys.exit(f"pretrain: another process is training in {args.out}")
    except KeyboardInterrupt:
        sys.exit(stopped(args, "by hand"))
    except (ValueError, FileNotFoundError, ArithmeticError) as error:
        sys.exit(f"pretrain: {error}")
    except OSError as error:
        sys.exit(stopped(args, f"because something could not be written or read: {error}"))
    except (RuntimeError, dist.DistError) as error:
        if not DISTRIBUTED or isinstance(error, torch.OutOfMemoryError):
            raise
        text = str(error).strip().splitlines()[0]
        sys.exit(stopped(args, f"because another process of it can't be reached: {text}"))
    finally:
        lock.release()
        if dist.is_initialized() and sys.exc_info()[0] is None:
            dist.destroy_process_group()


def stopped(args, why):
    kept = (args.out / "last.pth").exists()
    kept = "The last checkpoint is whole" if kept else "There is no checkpoint yet"
    return f"pretrain [rank {RANK}]: stopped {why}. {kept}; the same command with --resume goes on."


if __name__ == "__main__":
    main()
