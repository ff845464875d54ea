"""The checks of chapter 4's exercises."""

import math

import torch
import torch.nn.functional as F
from torch import nn

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
    must_refuse,
)
from previous_chapters import GPT_CONFIG_124M, GPTModel, TransformerBlock

TINY = {
    "vocab_size": 50,
    "context_length": 8,
    "emb_dim": 12,
    "n_heads": 3,
    "n_layers": 3,
    "drop_rate": 0.0,
    "qkv_bias": False,
}


@exercise_check("4.1", "Which half is larger?", "predict", minutes=10, stars=2)
def halves(attention, feed_forward):
    C = 1024
    asked = a_number(attention, "the number for attention")
    explained = {
        4 * C * C: ("no biases are counted", "which of the four layers have one?"),
        4 * C * C + C: ("three biases are missing", "qkv_bias is on in this block"),
        4 * C * C + 3 * C: ("one bias is missing", "out_proj has one, too"),
        3 * C * C + 3 * C: ("a whole layer is missing", "what mixes the heads at the end?"),
        3 * C * C: ("a layer and the biases are missing", "what mixes the heads at the end?"),
        16 * (4 * C * C + 4 * C): ("the heads were counted 16 times", "heads cost nothing"),
    }  # fmt: skip
    if asked in explained:
        raise Wrong(f"attention: {explained[asked][0]}", explained[asked][1])
    right = 4 * C * C + 4 * C
    if asked != right:
        size = "too many" if asked > right else "too few"
        raise Wrong(f"attention: {size}", "count the matrices, then the biases: section 4.5")
    yield "attention is right"
    asked = a_number(feed_forward, "the number for the feed-forward network")
    explained = {
        8 * C * C: ("no biases are counted", "a linear layer has one bias per OUTPUT"),
        8 * C * C + 2 * C: ("a bias is too short", "how many outputs has the first layer?"),
        8 * C * C + 8 * C: ("a bias is too long", "how many outputs has the second layer?"),
        4 * C * C + 4 * C: ("a whole layer is missing", "it widens, and then it narrows again"),
        2 * C * C + 2 * C: ("the middle is too narrow", "how much wider is it? Section 4.3"),
    }  # fmt: skip
    if asked in explained:
        raise Wrong(f"feed-forward: {explained[asked][0]}", explained[asked][1])
    right = 8 * C * C + 5 * C
    if asked != right:
        size = "too many" if asked > right else "too few"
        raise Wrong(f"feed-forward: {size}", "two matrices and two biases: section 4.3")
    yield "and so is the feed-forward network: it has about twice as many"


WIDTHS = {"small": (768, 12), "medium": (1024, 24), "large": (1280, 36), "XL": (1600, 48)}
MILLIONS = {"small": 124, "medium": 355, "large": 774, "XL": 1558}  # OpenAI's names


@exercise_check("4.2", "The larger GPT-2s", "fill in", minutes=15, stars=1)
def sizes(function):
    before = dict(GPT_CONFIG_124M)
    try:
        for size, (width, layers) in WIDTHS.items():
            cfg = call(function, size)
            if not isinstance(cfg, dict):
                raise Wrong(f"the result is {kind_of(cfg)}", "a configuration is a dictionary")
            if before != GPT_CONFIG_124M:
                raise Wrong(
                    "GPT_CONFIG_124M itself has changed: everything built from it afterwards is "
                    "another model",
                    "make a new dictionary; `cfg = GPT_CONFIG_124M` is only a second name",
                )
            asked = f'gpt2_config("{size}")'
            missing = [key for key in before if key not in cfg]
            if missing:
                raise Wrong(f"{asked} has no {missing[0]!r}", "all seven keys are needed")
            if (cfg["emb_dim"], cfg["n_layers"]) == (layers, width):
                raise Wrong(f"{asked}: width and depth are swapped", "which is emb_dim?")
            for key, right in [("emb_dim", width), ("n_layers", layers)]:
                if cfg[key] != right:
                    raise Wrong(f"{asked} has {key} {cfg[key]}", "compare it with the table")
            if cfg["n_heads"] != width // 64:
                share = width / cfg["n_heads"] if cfg["n_heads"] else 0
                raise Wrong(
                    f"{asked}: a head would get {share:g} channels",
                    "in every GPT-2 a head has 64: how many heads is that?",
                )
            if cfg["qkv_bias"] is not True:
                raise Wrong(
                    f"{asked} has no bias on queries, keys and values", "OpenAI's models do"
                )
            try:
                with torch.device("meta"):
                    model = GPTModel(cfg)
            except ValueError as error:
                raise Wrong(f"{asked} makes no model: {error}", "section 4.1") from error
            count = sum(p.numel() for p in model.parameters()) - model.out_head.weight.numel()
            if round(count / 1e6) != MILLIONS[size]:
                others = [k for k in before if cfg[k] != before[k] and k not in
                          ("emb_dim", "n_layers", "n_heads", "qkv_bias")]  # fmt: skip
                raise Wrong(
                    f"{asked} makes a model of {count / 1e6:.0f} million parameters",
                    f"{MILLIONS[size]} were expected: look at {', '.join(others) or 'the numbers'}",
                )
        yield "four configurations; the models have 124, 355, 774 and 1,558 million parameters"
        first, second = function("large"), function("large")
        first["emb_dim"] = 1
        if function("large")["emb_dim"] == 1 or second["emb_dim"] == 1:
            raise Wrong("two calls give one and the same dictionary", "make a new one at each call")
        must_refuse(
            function,
            "tiny",
            what="an unknown size should raise a ValueError",
            look="say in the message which sizes there are",
        )
        yield "each call gives a new dictionary, and an unknown size is refused"
    finally:
        GPT_CONFIG_124M.clear()
        GPT_CONFIG_124M.update(before)


@exercise_check("4.3", "Three dropout rates", "fill in", minutes=15, stars=2)
def three_rates(function):
    cfg = {**TINY, "drop_rate": 0.3}
    model = call(function, cfg, 0.1, 0.2, 0.4)
    if not isinstance(model, GPTModel):
        raise Wrong(f"the result is {kind_of(model)}", "a GPTModel was asked for")
    rates = {
        "embedding": [model.drop_emb.p],
        "attention": [block.att.dropout.p for block in model.trf_blocks],
        "shortcut": [block.drop_shortcut.p for block in model.trf_blocks],
    }
    asked = {"embedding": 0.1, "attention": 0.2, "shortcut": 0.4}
    if [set(r) for r in rates.values()] == [{0.1}, {0.4}, {0.2}]:
        raise Wrong(
            "attention and shortcut have each other's rate",
            "`att.dropout` falls on the weights, `drop_shortcut` on what a branch adds",
        )
    for part, found in rates.items():
        right = asked[part]
        if right in found and set(found) != {right}:
            raise Wrong(
                f"the {part} rate is right in one block and not in all: {found}",
                "there are several blocks; does your loop reach each of them?",
            )
        if set(found) == {0.3}:
            raise Wrong(f"the {part} rate is still the drop_rate of cfg", "where does it sit?")
        if set(found) != {right}:
            raise Wrong(f"the {part} rate is {found[0]}, not {right}", "which rate goes where?")
    yield "each kind has its rate, in every block"
    ids = torch.randint(50, (2, 8))
    model = call(function, cfg, 0.0, 0.0, 0.0)
    if not torch.equal(model(ids), model(ids)):
        raise Wrong("with three rates of 0 two calls differ", "which layer has another rate left?")
    for i, part in enumerate(asked):
        model = call(function, cfg, *[0.5 if j == i else 0.0 for j in range(3)])
        if not model.training:
            raise Wrong(
                "the model comes in eval mode", "there no dropout acts; leave the mode alone"
            )
        if torch.equal(model(ids), model(ids)):
            raise Wrong(
                f"with a rate of 0.5 for {part} alone nothing is dropped",
                "the rate has to be set in the layer that the model really uses",
            )
    if not isinstance(model.drop_emb, nn.Module):
        raise Wrong("drop_emb is no layer any more", "set its rate, or put in another nn.Dropout")
    yield "and each of them really drops"


@exercise_check("4.4", "The loss before training", "predict", minutes=5, stars=1)
def first_loss(answer):
    mine, V = a_number(answer, whole=False), 1000
    explained = [
        (math.log2(V), "that is the logarithm to base 2", "a loss in nats has another base"),
        (math.log10(V), "that is the logarithm to base 10", "a loss in nats has another base"),
        (1 / V, "that is the probability of the right token", "the loss is made from it: how?"),
        (-math.log(V), "the sign is wrong", "a loss is never negative"),
        (math.log(50257), "that is for GPT-2's vocabulary", "this one has 1,000 entries"),
        (0.0, "0 would mean to be sure of every right token", "this model knows nothing"),
        (V, "that is the number of candidates", "the loss grows with it, but far more slowly"),
    ]  # fmt: skip
    for value, what, look in explained:
        if abs(mine - value) <= 0.01 * abs(value):
            raise Wrong(what, look)
    if abs(mine - math.log(V)) > 0.2:
        size = "too high" if mine > math.log(V) else "too low"
        raise Wrong(
            f"{mine} is {size}", "how probable is each token? Then section 4.6, the last part"
        )
    yield "right: a model that knows nothing starts at the logarithm of the vocabulary's size"


@exercise_check("4.5", "RMSNorm", "fill in", minutes=15, stars=2)
def rms_norm(function):
    x, scale = 2 * torch.randn(2, 5, 7) + 1, 1 + torch.rand(7)
    value = a_tensor(call(function, x, scale, 1e-5), "the result", B=2, T=5, C=7)
    right = F.rms_norm(x, (7,), scale, 1e-5)
    square = x.square()

    def by(dims, root=True, eps=1e-5):
        size = square.mean(dim=dims, keepdim=True) + eps
        return scale * x / (size.sqrt() if root else size)

    mistakes = [
        (F.layer_norm(x, (7,), scale), "this is layer norm", "RMSNorm doesn't touch the mean"),
        (scale * (x - x.mean(-1, keepdim=True)) / (square.mean(-1, keepdim=True) + 1e-5).sqrt(),
         "the mean is subtracted", "RMSNorm leaves the mean as it is"),
        (scale * x / (x.var(-1, correction=0, keepdim=True) + 1e-5).sqrt(),
         "it is divided by the standard deviation", "that one measures distances from the MEAN"),
        (by(-1, root=False), "a root is missing", "root mean square: read it from right to left"),
        (right / scale, "the scale is missing", "one number per channel, multiplied at the end"),
        (right / scale + scale, "the scale is added", "it is a factor"),
        (by(0), "the mean is taken over the texts of the batch",
         "a token's result must not depend on its neighbours: along which axis is the mean?"),
        (by(1), "the mean is taken over the tokens",
         "that lets the future leak: along which axis is the mean?"),
        (by((1, 2)), "the mean is taken over tokens and channels", "each token has its own"),
        (by((0, 1, 2)), "one mean is taken over everything", "each token has its own"),
        (scale * x / (square.sum(-1, keepdim=True) + 1e-5).sqrt(), "it is divided by the length",
         "the root of the MEAN of the squares, not of their sum"),
    ]  # fmt: skip
    otherwise = ("the numbers are others", "three steps: square, mean, root. Then divide and scale")
    compare(value, right, mistakes, otherwise, atol=1e-4)
    yield "each token is divided by the root mean square of its own channels"
    zeros = torch.zeros(3, 4)
    value = a_tensor(call(function, zeros, torch.ones(4), 1e-5), "the result", B=3, C=4)
    compare(value, zeros, [], ("zeros should stay zeros", "where does eps come in?"))
    small = 1e-3 * torch.randn(2, 4)
    right = F.rms_norm(small, (4,), None, 1e-2)
    late = small / (small.square().mean(-1, keepdim=True).sqrt() + 1e-2)
    mistake = (late, "eps is added to the root", "it goes under the root")
    otherwise = ("eps has no or another effect", "it is added to the mean square, under the root")
    compare(call(function, small, torch.ones(4), 1e-2), right, [mistake], otherwise, atol=1e-4)
    yield "also for zeros, with two axes, and with eps in its place"


class Counting(nn.Module):
    """A stand-in for a GPT: what it says next depends on all that it sees, and on no weights."""

    def __init__(self, context=6, V=23):
        super().__init__()
        self.context, self.V, self.longest = context, V, 0

    def forward(self, ids):
        if ids.dim() != 2:
            raise Wrong(f"the model got {kind_of(ids)}", "it wants (B, T), also for a single text")
        self.longest = max(self.longest, ids.shape[1])
        weights = torch.arange(1, ids.shape[1] + 1)
        said = ((ids * weights).cumsum(dim=1) + 3 * weights) % self.V  # (B, T)
        return F.one_hot(said, self.V).float()  # (B, T, V)


def continued(model, ids, n, window, stop, keep=False, stops=True, side="last", place=-1):
    """The right continuation, or one of the wrong ones."""
    for _ in range(n):
        seen = ids[:, -window:] if side == "last" else ids[:, :window]
        chosen = model(seen)[:, place].argmax(dim=-1, keepdim=True)
        if stops and chosen.item() == stop and not keep:
            return ids
        ids = torch.cat([ids, chosen], dim=1)
        if stops and chosen.item() == stop:
            return ids
    return ids


@exercise_check("4.6", "Write until a stop token", "fill in", minutes=20, stars=2)
def stop_token(function):
    model = Counting()
    start = torch.tensor([[3, 1, 4]])
    free = continued(model, start, 20, 6, None)[0].tolist()
    late = next(token for i, token in enumerate(free) if i > 7 and free.index(token) == i)
    mine = call(function, model, start, 5, 6, 99)
    if not isinstance(mine, torch.Tensor) or mine.dim() != 2 or mine.shape[0] != 1:
        raise Wrong(f"the result is {kind_of(mine)}", "ids of the shape (1, T) were asked for")
    model.longest = 0
    mine = call(function, model, start, 12, 6, 99)
    if model.longest > 6:
        raise Wrong(
            f"the model was shown {model.longest} tokens, and context_size is 6",
            "it may see the last context_size tokens only",
        )
    shown = mine[0].tolist()
    expected = continued(model, start, 12, 6, 99)[0].tolist()
    if shown == expected[len(start[0]) :]:
        raise Wrong("only the new tokens come back", "the prompt belongs to the result")
    if len(shown) != len(expected):
        off = "more" if len(shown) > len(expected) else "fewer"
        raise Wrong(
            f"of 12 tokens asked for, {len(shown) - 3} came: {off} than that",
            "off by one? There was no stop token in this text",
        )
    for what, look, named in [
        ("the model was shown the beginning of the text, not its end",
         "which side of the text falls out of the window?", {"side": "first"}),
        ("the token was chosen from what the model says at the FIRST place",
         "what follows the whole text stands at which place?", {"place": 0}),
        ("the token was chosen from the last place but one", "off by one", {"place": -2}),
    ]:  # fmt: skip
        if shown == continued(model, start, 12, 6, 99, **named)[0].tolist():
            raise Wrong(what, look)
    if shown != expected:
        raise Wrong(
            "other tokens come out than the most probable ones",
            "along which axis is the argmax? And is each new token appended at the end?",
        )
    yield "12 tokens, each the most probable one after the last 6"
    mine = call(function, model, start, 20, 6, late)[0].tolist()
    expected = continued(model, start, 20, 6, late)[0].tolist()
    if mine == [*expected, late]:
        raise Wrong("the stop token is in the result", "look at it before you append it")
    if len(mine) == 23:
        raise Wrong("it doesn't stop at the stop token", "compare the chosen id with stop_id")
    if mine == expected[:-1]:
        raise Wrong("the last token before the stop is gone", "only the stop token is left out")
    if mine != expected:
        raise Wrong(
            f"it stops after {len(mine) - 3} new tokens instead of {len(expected) - 3}",
            "only a token that the MODEL has chosen can stop it",
        )
    yield "it stops at the stop token and leaves it out"
    prompt = torch.tensor([[3, late, 4, 5]])
    expected = continued(model, prompt, 3, 6, late)
    if not torch.equal(call(function, model, prompt, 3, 6, late), expected):
        raise Wrong(
            "a stop token in the prompt changes the result",
            "only a token that the MODEL has chosen can stop it",
        )
    if not torch.equal(call(function, model, start, 0, 6, late), start):
        raise Wrong("for 0 new tokens the prompt should come back", "what does your loop do then?")
    yield "also with the stop token in the prompt, and for no new token at all"


def block_output(block, x, first="stream", second="norm2"):
    """A block's output, rightly or with the slips of exercise 4.7."""
    normed = block.norm1(x)
    x = (x if first == "stream" else normed) + block.att(normed)
    return x + block.ff(getattr(block, second)(x))


@exercise_check("4.7", "A block that doesn't stack", "break it", minutes=15, stars=2)
def block(kind):
    if not isinstance(kind, type):
        raise Wrong(f"what was handed over is {kind_of(kind)}", "hand over the class itself")
    mine = kind(TINY)
    for norm in (mine.norm1, mine.norm2):
        nn.init.uniform_(norm.scale, 0.5, 2)
        nn.init.normal_(norm.shift)
    x = 3 * torch.randn(2, 6, 12)
    value = a_tensor(mine(x), "the output", B=2, T=6, C=12)
    right = block_output(mine, x)
    shortcut = ("the first shortcut hands on a normalised copy, not the stream",
                "what is x after the first line, and what should the sum begin with?")  # fmt: skip
    norm = ("one of the two norms is never used", "which norm belongs to which branch?")
    both = "both bugs are still in: with silent branches the block changes its input"
    mistakes = [
        (block_output(mine, x, "normed", "norm1"), both,
         "where does the stream get lost? Say what x is, line by line"),
        (block_output(mine, x, "normed"), f"one of two is mended, but {shortcut[0]}", shortcut[1]),
        (block_output(mine, x, second="norm1"), f"one of two is mended, but {norm[0]}", norm[1]),
        (x + mine.att(mine.norm1(x)) + mine.ff(mine.norm2(x)),
         "both branches read the same stream", "the second reads what the first has added to"),
        (mine.norm2(right), "there is a norm too many", "pre-norm: norms stand in the branches"),
        (x + mine.att(x) + mine.ff(mine.norm2(x + mine.att(x))),
         "attention reads the stream without a norm", "each branch reads a normalised copy"),
    ]  # fmt: skip
    compare(value, right, mistakes, ("the outputs are others than those of TransformerBlock",
            "each half is x + f(norm(x)): write it down twice, with the right names"))  # fmt: skip
    yield "the same outputs as TransformerBlock"
    for last in (mine.att.out_proj, mine.ff.layers[2]):
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    compare(mine(x), x, [], ("with silent branches the input doesn't come back", shortcut[1]))
    yield "and with silent branches the input comes back untouched"
    noisy = kind({**TINY, "drop_rate": 0.5})
    torch.manual_seed(1)
    expected = TransformerBlock.forward(noisy, x)
    torch.manual_seed(1)
    if not close(noisy(x), expected):
        raise Wrong("the dropout of the branches is no longer as it was", "each branch has it")


@exercise_check("4.8", "Tied, or only equal?", "break it", minutes=15, stars=2)
def tied(function):
    model = GPTModel(TINY)
    embedding = model.tok_emb.weight.detach().clone()
    head = model.out_head.weight.detach().clone()
    function(model)
    if not isinstance(model.out_head, nn.Linear) or not isinstance(model.tok_emb, nn.Embedding):
        raise Wrong("a layer was replaced", "the layers stay; what they share is the weight")
    if torch.equal(model.out_head.weight, head):
        now = model.tok_emb.weight
        if torch.equal(now, head):
            raise Wrong(
                "the head has overwritten the embedding", "which of the two tables is to stay?"
            )
        raise Wrong("the two tables are as they were", "what does your function change?")
    if not torch.equal(model.tok_emb.weight, embedding):
        raise Wrong("the embedding has changed", "its numbers are to stay, at both ends")
    if not torch.equal(model.out_head.weight, embedding):
        raise Wrong("the tables are not equal", "the head is to use the embedding's numbers")
    yield "both tables hold the numbers of the embedding"
    with torch.no_grad():
        model.tok_emb.weight[3, 0] = 7.0
    if model.out_head.weight[3, 0] != 7.0:
        raise Wrong(
            "a change of the one isn't seen in the other: equal, and not identical",
            "section 4.6 tells the two apart: what would a step of training do to them?",
        )
    yield "a change of the one is seen in the other"
    count = sum(p.numel() for p in model.parameters())
    if count != sum(p.numel() for p in GPTModel(TINY).parameters()) - 50 * 12:
        raise Wrong(
            "one storage, but the model still has two Parameters for it: an optimiser would step "
            "twice, and each would get only a part of the gradient",
            "don't look into `.data`: assign the Parameter itself",
        )
    if not model.out_head.weight.requires_grad:
        raise Wrong("the table can't be trained any more", "leave the Parameter as it is")
    ids = torch.randint(50, (2, 8))
    F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    if not torch.equal(model.out_head.weight, model.tok_emb.weight):
        raise Wrong("after a step of training they differ", "are they one Parameter?")
    yield "one Parameter for both, also after a step of training"


def initial_loss(factor):
    """As in the notebook: loss of an untrained model whose head is multiplied by `factor`."""
    cfg = {**TINY, "vocab_size": 1000, "context_length": 64, "emb_dim": 64, "n_heads": 4,
           "n_layers": 2}  # fmt: skip
    torch.manual_seed(123)
    model = GPTModel(cfg).eval()
    ids = torch.randint(1000, (8, 65))
    with torch.no_grad():
        model.out_head.weight.mul_(factor)
        logits = model(ids[:, :-1])
    return F.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).item()


@exercise_check("4.9", "Loud and wrong", "explore", minutes=15, stars=2)
def loud(measured, answer):
    if not isinstance(measured, dict) or set(measured) != {0, 1, 5, 20}:
        raise Wrong(
            f"the measurements are {measured if isinstance(measured, dict) else kind_of(measured)}",
            "keep the dictionary with the four factors as its keys, and fill in the values",
        )
    if any(value is ... for value in measured.values()):
        raise NotImplementedError
    for factor, value in measured.items():
        mine = a_number(value, f"the loss for factor {factor}", whole=False)
        right = initial_loss(factor)
        if abs(mine - right) > 0.02 * right:
            twins = [f for f in measured if f != factor and abs(mine - initial_loss(f)) < 0.02]
            if twins:
                raise Wrong(f"the loss for {factor} is that for {twins[0]}", "is a line swapped?")
            size = "higher" if right > mine else "lower"
            raise Wrong(
                f"with factor {factor} the loss is {size} than {mine}",
                "set the factor, run the cell, and copy the number that it prints",
            )
    yield "the four measurements are right"
    a_choice(
        answer,
        {
            "a": "the same texts go in each time; only the head's weights differ",
            "b": None,
            "c": "what comes out of the final norm is the same for every factor",
            "d": "look at the mean of the highest probability: is the model doubtful or sure?",
        },
    )
    yield "to be sure of the wrong token costs far more than to doubt evenly"
