"""How well a GPT-2 folder predicts texts: nats per token and per character.

    python appendix/pretraining/evaluate.py models/gpt2-mini RUN/model --texts TEXTS --held-out 1

Per character, models can be compared that see other tokens, or another form of the text.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import shards
from texts import TextError, find_texts, prepared

from previous_chapters import (
    GPTModelFast,
    config_from_settings,
    load_gpt2_from_folder,
    load_weights_into_gpt,
)


def open_model(folder):
    """A GPTModelFast with the weights of a folder, as save_for_transformers writes it."""
    settings, params = load_gpt2_from_folder(folder)
    gpt = GPTModelFast(config_from_settings(settings))
    load_weights_into_gpt(gpt, params)
    return gpt.eval()


def ends_of(texts, held_out, **form):
    """The last `held_out` per cent of the tokens of each text -> list of arrays of ids."""
    ends = []
    for path in texts:
        parts = [shards.encode(chunk) for chunk in shards.chunks(prepared(path, **form))]
        ids = np.concatenate(parts) if parts else np.empty(0, dtype=shards.IDS)
        held = round(len(ids) * held_out / 100)
        ends.append(ids[len(ids) - held :])
    return ends


def windows_of(ids, T):
    """Yield (inputs, targets), (1, up to T) each, in which each id is a target once.

    The first window begins with <|endoftext|>.
    """
    line = torch.tensor([shards.END_OF_TEXT, *ids.tolist()])
    for start in range(0, len(line) - 1, T):
        part = line[None, start : start + T + 1]
        yield part[:, :-1], part[:, 1:]


@torch.no_grad()
def measure(gpt, ends, T=None):
    """All of `ends` in windows without overlap -> nats per token, nats per character, tokens."""
    T, nats = T or len(gpt.pos_emb.weight), 0.0
    for ids in ends:
        for inputs, targets in windows_of(ids, T):
            nats += F.cross_entropy(gpt(inputs)[0], targets[0], reduction="sum").item()
    tokens = sum(map(len, ends))
    characters = sum(len(shards.decode(ids)) for ids in ends)
    if not tokens:
        raise TextError("nothing to measure: the texts, or their held-out parts, are empty")
    return nats / tokens, nats / characters, tokens


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="folders of GPT-2 models")
    parser.add_argument("--texts", nargs="+", required=True, help="folders and files")
    parser.add_argument("--held-out", type=float, default=100.0, help="last per cent of each text")
    parser.add_argument("--context", type=int, help="tokens in a window; default: the model's")
    parser.add_argument("--pattern", default="*.txt")
    parser.add_argument("--encoding", default="utf-8")
    parser.add_argument("--join-lines", action="store_true")
    parser.add_argument("--plain", action="store_true")
    args = parser.parse_args()
    try:
        form = {k: getattr(args, k) for k in ("encoding", "join_lines", "plain")}
        ends = ends_of(find_texts(args.texts, args.pattern), args.held_out, **form)
        for folder in args.models:
            per_token, per_character, tokens = measure(open_model(folder), ends, args.context)
            print(f"{folder}: {per_token:.4f} nats per token, {per_character:.4f} per character, "
                  f"{tokens:,} tokens", flush=True)  # fmt: skip
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"evaluate: {error}")


if __name__ == "__main__":
    main()
