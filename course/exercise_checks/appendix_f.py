"""The checks of appendix F's exercises."""

import contextlib

import torch
import torch.nn.functional as F

from course.exercise_checks import (
    Wrong,
    a_choice,
    a_number,
    a_tensor,
    call,
    close,
    compare,
    exercise_check,
    kind_of,
)
from previous_chapters import CausalAttention


@exercise_check("F.1", "Twice as wide, twice as long", "predict", minutes=5, stars=1)
def twice_as_wide(answer):
    if not isinstance(answer, list | tuple) or len(answer) != 4:
        raise Wrong(f"your answer is {kind_of(answer)}", "write four numbers: (..., ..., ..., ...)")
    if any(value is ... for value in answer):
        raise NotImplementedError
    names = ("the blocks' matrices", "the head", "attention", "attention, with longer texts")
    looks = (
        "both sides of such a matrix grow",
        "which of V and C grows?",
        "a token meets as many others as before; how long are their vectors?",
        "this is for one token, not for the text: how many others does it meet?",
    )
    for value, right, name, look in zip(answer, (4, 2, 2, 2), names, looks, strict=True):
        if a_number(value, f"the number for {name}") != right:
            raise Wrong(f"not {value} times for {name}", look)
        yield f"{name}: right"


def right_share(cfg, T, speed, peak, weights=6, head=True, attention=12):
    C, L, V = cfg["emb_dim"], cfg["n_layers"], cfg["vocab_size"]
    flop = weights * (12 * L * C * C + head * V * C) + attention * L * T * C
    return flop * speed / peak


@exercise_check("F.2", "The share of the peak", "fill in", minutes=15, stars=2)
def share_of_peak(function):
    cfg = {"emb_dim": 96, "n_layers": 5, "vocab_size": 1000, "n_heads": 6, "context_length": 900,
           "drop_rate": 0.0, "qkv_bias": False}  # fmt: skip
    for T in (64, 900):
        case = (cfg, T, 5000.0, 80e9)
        value = call(function, *case)
        right = right_share(*case)
        value = a_number(value, f"the share for texts of {T}", whole=False)
        mistakes = [
            (100 * right, "that is in percent", "a share is from 0 to 1"),
            (right / 3, "that is the forward pass alone", "backward takes twice as much again"),
            (right_share(*case, attention=0), "attention is missing", "see the 12 L T C"),
            (right_share(*case, head=False), "the head is missing", "V times C weights"),
            (right_share(*case, attention=12 * T), "attention counts a whole text", "for a token"),
            (1 / right, "peak and speed are the wrong way round", "what is divided by what?"),
        ]
        for given, what, look in mistakes:
            if abs(value / given - 1) < 1e-6 if given else False:
                raise Wrong(what, look)
        if abs(value / right - 1) > 1e-3:
            raise Wrong(f"for texts of {T} it isn't {value:.4g}", "operations a second / peak")
        yield f"the share for texts of {T} tokens is right"


@contextlib.contextmanager
def rows_kept(weight):
    """The heights of the matrices (rows, V) that autograd keeps meanwhile; `weight` is (V, C)."""
    rows = []

    def keep(tensor):
        if tensor.shape[-1:] == weight.shape[:1] and tensor.data_ptr() != weight.data_ptr():
            rows.append(len(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        yield rows


@exercise_check("F.3", "A mean of means", "break it", minutes=15, stars=2)
def mean_of_means(function):
    generator = torch.Generator().manual_seed(1)
    for n, size, ignored, case in [
        (12, 4, [], "three equal strips"),
        (10, 4, [], "a last strip that is shorter"),
        (12, 4, [0, 1, 2], "targets of -100 in one strip"),
        (12, 4, [4, 5, 6, 7], "a strip of which no target counts"),
    ]:
        hidden = torch.randn(n, 8, generator=generator).requires_grad_()
        weight = 2 * torch.randn(20, 8, generator=generator)
        targets = torch.randint(20, (n,), generator=generator)
        targets[ignored] = -100
        right = F.cross_entropy(hidden @ weight.T, targets)
        with rows_kept(weight) as rows:
            value = call(function, hidden, weight, targets, size)
        if not isinstance(value, torch.Tensor) or value.shape != ():
            raise Wrong(f"the result is {kind_of(value)}", "a loss is a tensor without axes")
        strips = list(zip(hidden.split(size), targets.split(size), strict=True))
        losses = [F.cross_entropy(h @ weight.T, t) for h, t in strips]
        total = F.cross_entropy(hidden @ weight.T, targets, reduction="sum")
        lengths = sum(loss * len(t) for loss, (_, t) in zip(losses, strips, strict=True)) / n
        planted = torch.stack(losses).mean()
        mistakes = [
            (planted, f"{case}: still a mean of the strips' means",
             "does every strip have as many tokens that count?"),
            (total / n, f"{case}: tokens that don't count are counted", "how many targets count?"),
            (total, f"{case}: that is the sum", "divide by the number of tokens that count"),
            (lengths, f"{case}: weighed by the length of the strips", "do all its tokens count?"),
        ]  # fmt: skip
        mistakes = [mistake for mistake in mistakes if not close(mistake[0], right)]
        compare(value, right, mistakes, (f"{case}: another loss", "sum of losses / tokens"))
        if max(rows, default=0) > size:
            raise Wrong(f"{case}: {max(rows)} rows of logits at once", f"{size} were asked for")
        yield f"{case}: the loss of F.cross_entropy"
        (gradient,) = torch.autograd.grad(right, hidden)
        if not value.requires_grad:
            raise Wrong("no gradient gets through", "is there an .item() or .detach() on the way?")
        (given,) = torch.autograd.grad(value, hidden)
        compare(given, gradient, [], (f"{case}: the gradient is another", "divide the sum, too"))


@exercise_check("F.4", "Where a sum stands still", "explore", minutes=10, stars=1)
def stands_still(measured, answer):
    if not isinstance(measured, dict) or set(measured) != {"bfloat16", "float16"}:
        raise Wrong("the measurements aren't complete", "keep the keys 'bfloat16' and 'float16'")
    if any(value is ... for value in measured.values()) or answer is ...:
        raise NotImplementedError
    for name, right in [("bfloat16", 256), ("float16", 2048)]:
        mine = a_number(measured[name], f"the number for {name}")
        if mine < right:
            raise Wrong(f"the sum in {name} goes on beyond {mine}", "make NUMBER larger")
        if mine > right:
            raise Wrong(
                f"the sum in {name} doesn't get as far as {mine}",
                f"read the line of torch.{name}: where does it stay, whatever NUMBER is?",
            )
    yield "both sums were measured"
    looks = {
        "a": "both formats go far beyond these numbers: print torch.finfo(torch.bfloat16).max",
        "b": None,
        "c": "does the sum ever move again, if you add more ones?",
    }
    a_choice(answer, looks)
    yield "and explained"


@exercise_check("F.5", "A layer that remembers", "fill in", minutes=20, stars=2)
def one_more_token(function):
    for B, T, d_in, d_out, case in [(1, 5, 6, 4, "one text"), (3, 7, 4, 8, "three texts")]:
        torch.manual_seed(1)
        layer, x = CausalAttention(d_in, d_out, 16, 0.0, qkv_bias=True), torch.randn(B, T, d_in)
        with torch.no_grad():
            right, Q, K, V = layer(x), layer.W_query(x), layer.W_key(x), layer.W_value(x)
        passed = []
        layer.W_key.register_forward_hook(
            lambda _, given, __, passed=passed: passed.append(given[0].shape[-2])
        )
        keys = values = torch.zeros(B, 0, d_out)
        for t in range(T):
            where = f"{case}, token {t}"
            result = call(function, layer, x[:, t : t + 1], keys, values)
            if not isinstance(result, tuple | list) or len(result) != 3:
                raise Wrong(f"the result is {kind_of(result)}", "output, keys, values: three")
            output = a_tensor(result[0], f"{where}: the output", B=B, tokens=1, d_out=d_out)
            scores = Q[:, t : t + 1] @ K[:, : t + 1].transpose(1, 2)  # (B, 1, t + 1)
            old = torch.softmax(scores[..., :-1] / d_out**0.5, dim=-1) @ V[:, :t]
            mistakes = [
                (
                    old,
                    f"{where}: the new token doesn't see itself",
                    "is its own key there?",
                ),
                (V[:, t : t + 1], f"{where}: it sees itself only", "where is what was kept?"),
                (scores.softmax(-1) @ V[:, : t + 1], f"{where}: unscaled", "divided by what?"),
            ]
            look = "the new query, all keys, all values: which shape has each?"
            compare(output, right[:, t : t + 1], mistakes, (f"{where}: another output", look))
            keys = a_tensor(result[1], f"{where}: keys", B=B, tokens=t + 1, d_out=d_out)
            values = a_tensor(result[2], f"{where}: values", B=B, tokens=t + 1, d_out=d_out)
            look = "the old ones in their order, the new one behind them"
            compare(keys, K[:, : t + 1], [], (f"{where}: the keys are others", look))
            compare(values, V[:, : t + 1], [], (f"{where}: the values are others", look))
            if max(passed, default=0) > 1:
                raise Wrong(f"{max(passed)} tokens at once go through W_key", "old keys are there")
        yield f"{case}: token by token what the layer gives for all at once"
    yield "and no key of an old token is computed again"
