"""A run of training: model, optimiser, steps, validation, samples and checkpoints."""

import math
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ddp_script import DISTRIBUTED, RANK, WORLD_SIZE
from processes import as_parameters, holder, mean_of_all, share_out, whole, without_averaging
from shards import Windows, tokenizer

from previous_chapters import (
    GPT2_SIZES,
    GPTModelFast,
    check_config,
    config_from_settings,
    decay_groups,
    generate,
    hardware_dtype,
    load_checkpoint,
    lr_at_step,
    read_plain_file,
    save_checkpoint,
    save_for_transformers,
    text_to_token_ids,
    token_ids_to_text,
    write_atomically,
)

SIZES = {"mini": (256, 4, 6), **GPT2_SIZES}  # channels, heads, layers
LOG = ["step", "tokens", "lr", "loss", "gradient_norm", "val_loss", "seconds"]


def say(text):
    """Print a line, in one of the processes."""
    if RANK == 0:
        print(text, flush=True)


# ---- the model and its optimiser ----


class LossModel(nn.Module):
    """A GPT as a module from windows (B, T + 1) to their mean loss: what DDP and compile wrap."""

    def __init__(self, gpt, dtype):
        super().__init__()
        self.gpt, self.dtype = gpt, dtype

    def forward(self, windows):
        with torch.autocast(windows.device.type, self.dtype, enabled=self.dtype is not None):
            return self.gpt.loss(windows[:, :-1], windows[:, 1:])


def make_config(args):
    width, heads, layers = SIZES[args.config]
    settings = {"n_vocab": 50257, "n_ctx": args.context, "n_embd": args.width or width}
    settings |= {"n_head": args.heads or heads, "n_layer": args.layers or layers}
    config = config_from_settings(settings) | {"drop_rate": args.dropout}
    check_config(config)
    return config


@torch.no_grad()
def make_model(config, tie, seed):
    """A GPTModelFast with GPT-2's initial weights (Radford et al. 2019)."""
    torch.manual_seed(seed)
    gpt = GPTModelFast(config)
    for name, parameter in gpt.named_parameters():
        last = name.endswith(("out_proj.weight", "layers.2.weight"))  # what blocks add
        if parameter.ndim == 2:
            parameter.normal_(std=0.02 / math.sqrt(2 * config["n_layers"]) if last else 0.02)
        elif name.endswith("bias"):
            parameter.zero_()
    return gpt.tie() if tie else gpt


class Optimizers:
    """Several optimisers as one."""

    def __init__(self, *parts):
        self.parts = parts
        self.param_groups = [group for part in parts for group in part.param_groups]

    def step(self):
        for part in self.parts:
            part.step()

    def zero_grad(self):
        for part in self.parts:
            part.zero_grad()

    def state_dict(self):
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state):
        for part, its_state in zip(self.parts, state["parts"], strict=True):
            part.load_state_dict(as_parameters(its_state, part))
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def make_optimizer(gpt, args):
    """AdamW for all; or Muon (Jordan 2024) for the matrices of the blocks, AdamW for the rest."""
    groups = decay_groups(gpt, args.weight_decay)
    options = {"lr": args.lr, "betas": (0.9, 0.95), "fused": True}
    if args.optimizer == "adamw":
        return Optimizers(torch.optim.AdamW(groups, **options))
    matrices = [p for p in gpt.trf_blocks.parameters() if p.ndim == 2]
    theirs = {id(p) for p in matrices}
    for group in groups:
        group["params"] = [p for p in group["params"] if id(p) not in theirs]
    times = (args.muon_lr or args.lr) / args.lr
    muon = torch.optim.Muon(
        [{"params": matrices, "times": times}],
        weight_decay=args.weight_decay,
        adjust_lr_fn="match_rms_adamw",
    )
    return Optimizers(muon, torch.optim.AdamW([g for g in groups if g["params"]], **options))


# ---- the run ----


class Run:
    """A run of training: its model, its data, and what it knows of its own progress."""

    def __init__(self, args, config, train, held_out, device):
        self.args, self.config, self.device = args, config, device
        self.windows = Windows(train, args.context, args.seed)
        self.held_out, self.val_windows = held_out, max(0, len(held_out) - 1) // args.context
        per_step = args.global_batch * args.context
        tokens = args.tokens or args.epochs * self.windows.count * args.context
        self.steps = int(tokens // per_step)
        if not self.steps:
            raise ValueError(
                f"{tokens:,.0f} tokens are fewer than those of one step, --global-batch "
                f"{args.global_batch} x --context {args.context} = {per_step:,}"
            )
        self.state = {"step": -1, "tokens": 0, "best": math.inf, "samples": []}
        self.sharded = DISTRIBUTED and args.parallel == "fsdp"
        self.last, self.best = args.out / "last.pth", args.out / "best.pth"

    def build(self, recipe):
        """Make model and optimiser, as the last checkpoint has them when resuming."""
        args, self.recipe = self.args, recipe
        self.gpt = make_model(self.config, args.tie, args.seed).to(self.device)
        saved = resumable(self.last, recipe) if args.resume and self.last.exists() else None
        if saved:
            load_checkpoint(self.last, self.gpt)
            self.state = saved["run"]["state"]
        dtypes = {"auto": hardware_dtype(self.device), "bfloat16": torch.bfloat16}
        self.dtype = dtypes.get(args.dtype)  # None: float32
        self.loss_model = LossModel(self.gpt, self.dtype)
        self.train_model = share_out(self.compiled(), args.parallel, self.device)
        self.optimizer = make_optimizer(self.gpt, args)
        if saved:
            self.optimizer.load_state_dict(saved["optimizer_state_dict"])

    def compiled(self):
        """The loss model, compiled where that is wanted and possible; by itself on GPUs only."""
        wanted, kind = self.args.compile, self.device.type
        if wanted == "off" or (wanted == "auto" and (kind == "cpu" or self.sharded)):
            return self.loss_model
        try:
            compiled = torch.compile(self.loss_model)
            windows = torch.zeros(self.args.batch, self.args.context + 1, dtype=torch.long)
            compiled(windows.to(self.device)).backward()
        except Exception as error:  # no C++ compiler, say: the run is the same without
            say(f"torch.compile is left out, it fails here: {type(error).__name__}")
            compiled = self.loss_model
        self.gpt.zero_grad()
        return compiled

    def take_step(self):
        """One optimiser step -> its row for the log."""
        started, args = time.perf_counter(), self.args
        self.state["step"] += 1
        step = self.state["step"]
        lr = lr_at_step(step, self.steps, args.warmup, args.lr, args.lr / 100, args.min_lr)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("times", 1.0)
        torch.manual_seed(args.seed * 1_000_003 + step * WORLD_SIZE + RANK)  # for dropout
        loss = self.add_gradients(step)
        norm = nn.utils.clip_grad_norm_(self.gpt.parameters(), args.clip)
        norm = whole(norm).item()
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise ArithmeticError(
                f"loss {loss} and gradient norm {norm} in step {step}: the run has diverged. "
                "Begin another one with a smaller --lr or more --warmup"
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.state["tokens"] += args.global_batch * args.context
        row = {"step": step, "tokens": self.state["tokens"], "lr": lr, "loss": loss}
        seconds = time.perf_counter() - started
        return row | {"gradient_norm": norm, "val_loss": None, "seconds": round(seconds, 3)}

    def add_gradients(self, step):
        """Add up the gradients of this process's share of the global batch -> mean loss of all."""
        share, batch = self.args.global_batch // WORLD_SIZE, self.args.batch
        first = step * self.args.global_batch + RANK * share
        parts = [range(i, i + batch) for i in range(first, first + share, batch)]
        total = torch.zeros((), device=self.device)
        for part in parts:
            windows = torch.from_numpy(self.windows.batch(part)).to(self.device)
            last = part is parts[-1]
            if self.sharded:
                self.gpt.set_requires_gradient_sync(last)
            with without_averaging(self.train_model) if not last else nullcontext():
                loss = self.train_model(windows) / len(parts)
                loss.backward()
            total += loss.detach()
        return mean_of_all(total)

    # ---- looking in ----

    @torch.no_grad()
    def validate(self, number=None):
        """Mean loss of `number` windows spread over the held-out text (None: of all of them).

        Each process takes a share, in equally many batches, as FSDP needs it.
        """
        if not self.val_windows:
            return None
        some, batch = min(number or self.val_windows, self.val_windows), self.args.batch
        mine = np.linspace(0, self.val_windows - 1, some).astype(int)[RANK::WORLD_SIZE]
        total = torch.zeros(2, device=self.device)
        self.loss_model.eval()
        for i in range(0, -(-some // WORLD_SIZE), batch):
            chosen = mine[i : i + batch]
            loss = self.loss_model(self.val_batch(chosen if len(chosen) else [0]))
            total += torch.stack([loss, torch.ones_like(loss)]) * len(chosen)
        self.loss_model.train()
        return mean_of_all(total[0]) / mean_of_all(total[1])

    def val_batch(self, numbers):
        """These held-out windows, which don't overlap -> (len, T + 1)."""
        T = self.args.context
        rows = [self.held_out.read(int(i) * T, T + 1) for i in numbers]
        return torch.from_numpy(np.stack(rows)).to(self.device)

    def sample(self):
        """A continuation of --sample-prompt; all processes have to call it."""
        torch.manual_seed(self.args.seed)
        self.gpt.eval()
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            idx = text_to_token_ids(self.args.sample_prompt, tokenizer()).to(self.device)
            idx = generate(self.gpt, idx, 60, self.args.context, temperature=0.8, top_k=50)
        self.gpt.train()
        return token_ids_to_text(idx, tokenizer())

    def look_in(self):
        """Validate, sample, and keep the model if it is the best one yet -> validation loss."""
        val_loss = self.validate(self.args.eval_windows)
        self.state["samples"].append([self.state["step"], self.sample()])
        if val_loss is not None and val_loss < self.state["best"]:
            self.state["best"] = val_loss
            self.save(self.best, optimizer=False)
        if RANK == 0:
            texts = [f"--- step {step}\n{text}\n" for step, text in self.state["samples"]]
            content = "\n".join(texts).encode()
            write_atomically(self.args.out / "samples.txt", lambda file: file.write(content))
        return val_loss

    # ---- checkpoints ----

    def save(self, path, optimizer=True):
        """Save all that a later process needs to go on; whole, however it is shared out."""
        weights = whole(self.gpt.state_dict())
        states = whole(self.optimizer.state_dict()) if optimizer else None
        if RANK == 0:
            run = {"recipe": self.recipe, "config": self.config, "state": self.state}
            save_checkpoint(path, holder(weights), holder(states) if optimizer else None, run=run)

    def export(self):
        """Write the best model as a folder for load_gpt2_from_folder and transformers."""
        if RANK:
            return
        gpt = make_model(self.config, self.args.tie, self.args.seed)
        load_checkpoint(self.best if self.best.exists() else self.last, gpt)
        if self.args.export_dtype == "float16":
            gpt.half()
        save_for_transformers(gpt, self.args.out / "model")


def resumable(path, recipe):
    """The content of a checkpoint of this recipe; ValueError if it is another's."""
    saved = read_plain_file(path, "cpu")
    if "recipe" not in saved.get("run", {}):
        raise ValueError(f"{path} was not saved by pretrain.py: it can't be gone on from")
    old = saved["run"]["recipe"]
    other = [f"{k} was {old.get(k)}, now {recipe.get(k)}" for k in sorted({*old, *recipe})
             if old.get(k) != recipe.get(k)]  # fmt: skip
    if other:
        raise ValueError(
            f"{path} is of a run with other settings: {'; '.join(other)}. Repeat its command "
            "with --resume, or begin a new run in another --out"
        )
    return saved
