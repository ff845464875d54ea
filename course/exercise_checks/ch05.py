"""The checks of chapter 5's exercises."""

import functools
import math
import tempfile
from pathlib import Path

import tiktoken
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

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
from previous_chapters import (
    GPTModel,
    calc_loss_batch,
    create_dataloader_v1,
    generate,
    load_checkpoint,
    save_checkpoint,
    text_to_token_ids,
    token_ids_to_text,
)

TINY = {
    "vocab_size": 50,
    "context_length": 16,
    "emb_dim": 12,
    "n_heads": 3,
    "n_layers": 1,
    "drop_rate": 0.0,
    "qkv_bias": False,
}


class Loader(list):
    """A list of batches, which `call` doesn't compare: lists of tensors have no `==`."""

    __eq__, __hash__ = object.__eq__, object.__hash__

    def __deepcopy__(self, memo):
        return self


def call_that_trains(function, *arguments):
    """Like `call`, for a function that is to change the model or the optimiser it is given."""
    return call(function) if not callable(function) else call(lambda: function(*arguments))


def measurements(answer, keys, what):
    """Wrong unless `answer` is the dictionary with these keys, filled in."""
    if not isinstance(answer, dict) or set(answer) != set(keys):
        shown = answer if isinstance(answer, dict) else kind_of(answer)
        raise Wrong(f"{what} are {shown}", "keep the dictionary with its keys, fill in the values")
    if any(value is ... for value in answer.values()):
        raise NotImplementedError


# ---- 5.1 to 5.3: drawing


@exercise_check("5.1", "How often does a word come up?", "fill in", minutes=15, stars=1)
def shares(drawn_share, exact_share):
    logits, word, T = torch.tensor([1.0, 0.2, 2.0, -1.0, 0.5]), 1, 2.0
    p = torch.softmax(logits / T, dim=0)
    mistakes = [
        (
            torch.softmax(logits, dim=0)[word],
            "the temperature has no effect",
            "what is divided by it, and before or after the softmax? A draw by probabilities "
            "that were all divided by one number is the same draw",
        ),
        (
            torch.softmax(logits * T, dim=0)[word],
            "the temperature works the wrong way round: at 2 the favourite has gained",
            "above 1, the outsiders should gain: section 5.3.1",
        ),
        (
            torch.softmax(logits, dim=0)[word] / T,
            "the probability itself was divided by the temperature",
            "then the five would no longer add up to 1: it is the logits that are divided",
        ),
        (
            (logits / T)[word],
            "this is a logit, not a probability",
            "what makes probabilities of logits?",
        ),
        *[
            (p[i], "this is the probability of another word", "which one is `word`?")
            for i in (0, 2, 3, 4)
        ],
    ]
    exact = a_number(call(exact_share, logits, word, T), "the exact share", whole=False)
    compare(exact, p[word].item(), mistakes, ("the exact share is another", "section 5.3.1"))
    yield "the exact share is right"

    few = a_number(call(drawn_share, logits, word, T, 7), "the drawn share", whole=False)
    if few > 1 or few < 0:
        raise Wrong(f"of 7 draws the share is {few:g}", "that is a count: a share lies in 0 to 1")
    if abs(7 * few - round(7 * few)) > 1e-4:
        raise Wrong(
            f"of 7 draws the share is {few:.4f}, which isn't a whole number of sevenths",
            "count what comes up in exactly that many draws; don't compute it",
        )
    draws = 20_000
    share = a_number(call(drawn_share, logits, word, T, draws), "the drawn share", whole=False)
    if share > 1:
        raise Wrong(
            f"of {draws} draws the share is {share:g}", "that is a count: a share is at most 1"
        )
    for value, what, look in [(p[word], "", ""), *mistakes, (0.0, "it never comes up", "")]:
        value = float(value)
        room = 5 * math.sqrt(max(value * (1 - value), 0) / draws) + 1e-9
        if abs(share - value) <= room:
            if what:
                look = look or "is it drawn at all, or is the favourite taken each time?"
                raise Wrong(f"drawn: {what}", look)
            break
    else:
        raise Wrong(
            f"of {draws:,} draws {share:.4f} are that word, expected were about {p[word]:.4f}",
            "torch.multinomial wants probabilities: those with the temperature in them",
        )
    yield "and over many draws the drawn share comes close to it"
    if len({float(drawn_share(logits, word, T, 501)) for _ in range(6)}) == 1:
        raise Wrong("each call draws the same", "a seed that is set inside ends all chance")
    yield "and each call draws afresh"


OUTSIDE = {0.5: 0.01, 1.0: 0.27, 2.0: 0.89}  # measured by gpt2-mini; see the solution's notebook
JOBS = {
    "fill in a form": "a",
    "go on with a story": "b",
    "thirty first lines to choose from": "c",
}


@exercise_check("5.2", "Which setting for which job?", "explore", minutes=20, stars=2)
def settings(measured, jobs):
    measurements(measured, OUTSIDE, "the measurements")
    for T, value in measured.items():
        mine = a_number(value, f"the share at temperature {T:g}", whole=False)
        if 1 < mine <= 100:
            raise Wrong(f"the share at temperature {T:g} is {mine:g}", "a share is at most 1")
        if abs(mine - OUTSIDE[T]) > 0.03:
            if abs(mine - (1 - OUTSIDE[T])) <= 0.03:
                raise Wrong(
                    f"at temperature {T:g} that is the share of the 50 likeliest",
                    "the printed number is the share of all others",
                )
            raise Wrong(
                f"at temperature {T:g} the share outside is not {mine:g}",
                "set `temperature`, run the cell, and read its first line; `top_k` doesn't change "
                "it. (The numbers are those of gpt2-mini.)",
            )
    yield "the three measurements are right"
    measurements(jobs, JOBS, "the jobs")
    why = {
        "fill in a form": {
            "b": "asked twice, the same form should be filled in the same way",
            "c": "how often would such a draw pick something improbable?",
        },
        "go on with a story": {
            "a": "read what temperature 0 writes with this model: how long is it good to read?",
            "c": "run it with these settings: does the text keep its thread?",
        },
        "thirty first lines to choose from": {
            "a": "thirty calls would give the same line thirty times",
            "b": "that gives usable lines, much alike: which setting gives a wider choice?",
        },
    }
    for job, right in JOBS.items():
        try:
            a_choice(jobs[job], {**why[job], right: None})
        except Wrong as wrong:
            raise Wrong(f"{job}: {wrong.what}", wrong.look) from None
    yield "and each job has a setting that suits it"


@exercise_check("5.3", "The same text every time", "predict", minutes=10, stars=2)
def same_text(answer):
    if isinstance(answer, str):
        answer = [letter for letter in answer if letter.isalpha()]
    if not isinstance(answer, list | tuple | set) or not all(isinstance(a, str) for a in answer):
        raise Wrong(f"your answer is {kind_of(answer)}", 'write a list of letters: ["a", "z"]')
    mine = {a.strip().lower() for a in answer}
    if not mine or not mine <= set("abcdefg"):
        raise Wrong(f"your answer is {sorted(mine)}", "the settings are lettered a to g")
    wrongly = {
        "c": "near 0 the favourite nearly always wins. Is nearly always enough?",
        "e": "the first call uses up random numbers. Where does the second one begin?",
        "g": "`generate` itself is greedy here. What else is random, in a model that trains?",
    }
    for letter, look in wrongly.items():
        if letter in mine:
            raise Wrong(f"{letter} may give another text the next time", look)
    missing = {
        "a": "which line of `generate` runs at temperature 0, and is there a draw in it?",
        "b": "the top 40 contain the favourite. Does anything else matter at temperature 0?",
        "d": "how many tokens are left to draw among?",
        "f": "random numbers on a computer are computed: from what?",
    }
    for letter, look in missing.items():
        if letter not in mine:
            raise Wrong(f"{len(mine)} of your letters are right; {letter} is missing", look)
    yield "right: without a draw, with one candidate, or with the same random numbers"


# ---- 5.4: go on training


def batches(number, B=2, T=6, V=50):
    torch.manual_seed(5)
    ids = torch.randint(V, (number, B, T + 1))
    return [(row[:, :-1], row[:, 1:]) for row in ids]


def epoch_of(model, optimizer, loader, training=True, clear="batch"):
    """Losses of an epoch; with the mistakes that people make in such a loop."""
    model.train(training)
    losses = []
    for inputs, targets in loader:
        if clear == "batch":
            optimizer.zero_grad()
        loss = calc_loss_batch(inputs, targets, model, "cpu")
        loss.backward()
        if clear == "too late":
            optimizer.zero_grad()
        optimizer.step()
        losses.append(loss.item())
    return losses


def new_run(seed):
    torch.manual_seed(seed)
    model = GPTModel(TINY | {"drop_rate": 0.2})
    return model, torch.optim.AdamW(model.parameters(), lr=2e-2, weight_decay=0.1)


@exercise_check("5.4", "One more epoch", "fill in", minutes=20, stars=2)
def one_more_epoch(function):
    windows = [(x[0], y[0]) for x, y in batches(12)]
    loader = DataLoader(windows, batch_size=2, shuffle=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stopped.pth"
        model, optimizer = new_run(seed=1)
        for _ in range(3):
            epoch_of(model, optimizer, loader)
        save_checkpoint(path, model, optimizer, epoch=3)
        expected = epoch_of(model, optimizer, loader)

        def resumed(with_optimizer=True, **mistakes):
            fresh, fresh_optimizer = new_run(seed=2)
            load_checkpoint(path, fresh, fresh_optimizer if with_optimizer else None)
            return torch.tensor(epoch_of(fresh, fresh_optimizer, loader, **mistakes))

        mistakes = [
            (
                resumed(with_optimizer=False),
                "the first loss is right, and then another run begins: the optimiser is a new one",
                "load_checkpoint can restore it as well: which argument?",
            ),
            (
                resumed(training=False),
                "there is no dropout in this epoch",
                "the model came in evaluation mode, and loading doesn't change that",
            ),
            (
                resumed(with_optimizer=False, training=False),
                "neither the optimiser's state nor training mode is back",
                "which arguments has load_checkpoint, and who switches dropout on?",
            ),
            (
                resumed(clear="never"),
                "the gradients of all batches pile up",
                "one line of the training loop is missing: section 5.2",
            ),
            (
                resumed(clear="too late"),
                "the weights don't follow the gradient",
                "are the gradients there when `step` uses them? Is it called after each batch?",
            ),
        ]
        mine, my_optimizer = new_run(seed=3)
        untrained = calc_loss_batch(*batches(1)[0], mine.eval(), "cpu").item()
        losses = call_that_trains(function, path, mine, my_optimizer, loader)
        if isinstance(losses, torch.Tensor) and losses.ndim == 1:
            losses = losses.tolist()
        if not isinstance(losses, list | tuple):
            raise Wrong(f"the result is {kind_of(losses)}", "a list: one loss for each batch")
        if len(losses) != len(loader):
            raise Wrong(
                f"the list has {len(losses)} losses, and the loader {len(loader)} batches",
                "one epoch, one loss for each of its batches",
            )
        if any(isinstance(loss, torch.Tensor) for loss in losses):
            raise Wrong(
                "the losses are tensors, each with its whole computation graph in memory",
                "`.item()` takes the number out",
            )
        values = torch.tensor([a_number(loss, "a loss", whole=False) for loss in losses])
        yield "one loss, a number, for each batch"
        if values[0] > (sum(expected) / len(expected) + untrained) / 2:
            raise Wrong(
                f"the first loss is {values[0]:.2f}, which is that of an untrained model",
                "are the saved weights in the model before the first batch?",
            )
        compare(
            values,
            torch.tensor(expected),
            mistakes,
            (
                "the saved weights are there, but the losses aren't those of the run that was not "
                "interrupted",
                "four things must be as they were: weights, optimiser, random state, mode",
            ),
            atol=1e-3,
        )
        yield "the losses are those of a run that was never interrupted"
        for a, b in zip(mine.parameters(), model.parameters(), strict=True):
            if not close(a, b, atol=1e-3):
                raise Wrong(
                    "the weights at the end are not those of the uninterrupted run",
                    "is there a step after every batch, the last one too?",
                )
        yield "and so are the weights at the end"


# ---- 5.5 and 5.6: pretrained models

SENTENCE = "the old house by the sea had a red door and a cat that slept on the stairs all day"
VOCABULARY = 50257


def a_text(words):
    torch.manual_seed(11)
    known = SENTENCE.split()
    return " ".join(known[i] for i in torch.randint(len(known), (words,)).tolist())


def small_gpt(seed, context, drop_rate=0.0):
    torch.manual_seed(seed)
    return GPTModel(
        TINY
        | {
            "vocab_size": VOCABULARY,
            "context_length": context,
            "drop_rate": drop_rate,
            "emb_dim": 6,
        }
    )


@torch.no_grad()
def mean_loss(model, text, context, stride=None, batch_size=1, drop_last=False):
    loader = create_dataloader_v1(
        text, batch_size, context, stride or context, shuffle=False, drop_last=drop_last
    )
    losses = [calc_loss_batch(x, y, model.eval(), "cpu").item() for x, y in loader]
    return sum(losses) / len(losses)


@exercise_check("5.5", "A pretrained model on The Verdict", "fill in", minutes=20, stars=2)
def verdict(function, answer):
    text, context = a_text(700), 16
    model = small_gpt(1, context, drop_rate=0.5)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)  # so that losses of different texts differ clearly
    result = call(function, text, model.train(), context)
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise Wrong(f"the result is {kind_of(result)}", "two numbers: training and validation loss")
    names = ("the training loss", "the validation loss")
    value = torch.tensor([a_number(r, n, False) for r, n in zip(result, names, strict=True)])
    yield "two numbers"
    cut = int(0.9 * len(text))
    parts = text[:cut], text[cut:]

    def both(parts, **options):
        return torch.tensor([mean_loss(model, part, context, **options) for part in parts])

    right = both(parts)
    tokenizer = tiktoken.get_encoding("gpt2")
    ids = tokenizer.encode(text)
    at = int(0.9 * len(ids))
    by_tokens = both((tokenizer.decode(ids[:at]), tokenizer.decode(ids[at:])))
    mistakes = [
        (right.flip(0), "training and validation loss are swapped", "which tenth is the last?"),
        (both((text, text)), "both are the loss of the whole text", "where is the text cut?"),
        (both((text, parts[1])), "the training part still holds the last tenth", "cut both sides"),
        (
            both((text[-cut:], text[: len(text) - cut])),
            "the validation part is the FIRST tenth",
            "training is the first nine tenths",
        ),
        (
            by_tokens,
            "the text was cut by tokens",
            "the task cuts by characters, as section 5.1.3 does",
        ),
        (
            both(parts, stride=1),
            "the windows overlap: nearly every token counts many times",
            "side by side: how far apart do windows of that length begin?",
        ),
        (
            both(parts, batch_size=2),
            "the windows don't all count the same",
            "the mean over batches: how many windows has each, and the last one?",
        ),
    ]
    wrong = ("the two losses are others", "cut, make two loaders, take the mean of each")
    if torch.tensor(call(function, text, model.train(), context)).ne(value).any():
        wrong = (
            "asked twice, it gives two results",
            "something is random: dropout, or the shuffling of what is left out",
        )
    compare(value, right, mistakes, wrong, atol=2e-4)
    yield "both losses are right, without dropout, on a text and a model that you don't see"
    a_choice(
        answer,
        {
            "a": "of which text would it have learnt the first part and not the second?",
            "b": None,
            "c": "a low loss on a text that was learnt by heart: what does it say of other texts?",
            "d": "the loss is a mean over tokens: does a shorter text make a mean smaller?",
        },
    )
    yield "and so is the answer: a gap tells of learning by heart only for the text trained on"


@exercise_check("5.6", "Larger sizes by name", "fill in", minutes=15, stars=2)
def by_name(function):
    sizes = {"gpt2-mini": (1, 8), "gpt2-small": (2, 12), "gpt2-medium": (3, 20)}
    asked = []

    def load(name):  # as load_pretrained: what can't be had is replaced by the mini model
        asked.append(name)
        got = name if name != "gpt2-large" else "gpt2-mini"
        seed, context = sizes[got]
        return small_gpt(seed, context).eval(), TINY | {"context_length": context}, got

    tokenizer, prompt, count = tiktoken.get_encoding("gpt2"), "It was a dark night, and", 9
    idx = text_to_token_ids(prompt, tokenizer)

    def text_of(name, new=count, model_of=None, context=None):
        seed, own = sizes[name]
        model = small_gpt(sizes[model_of][0] if model_of else seed, own).eval()
        return generate(model, idx, new, context or own)

    names = ["gpt2-small", "gpt2-medium"]
    result = call(function, names, prompt, count, load)
    if not isinstance(result, dict):
        raise Wrong(f"the result is {kind_of(result)}", "a dictionary: {name: text}")
    if asked != names:
        raise Wrong(
            f"the models loaded were {asked}, asked for were {names}",
            "call `load` once for each name, in the order given",
        )
    if list(result) != names:
        raise Wrong(f"the keys of the result are {list(result)}", "there should be one per model")
    for name in names:
        if not isinstance(result[name], str):
            raise Wrong(f"the value for {name} is {kind_of(result[name])}", "decode it to a text")
        right = text_of(name)
        said = {
            token_ids_to_text(right[:, idx.shape[1] :], tokenizer): (
                "the prompt is missing",
                "the text begins with the prompt",
            ),
            token_ids_to_text(text_of(name, count + 1), tokenizer): (
                "there is a token too many",
                "look at `max_new_tokens`",
            ),
            token_ids_to_text(text_of(name, count - 1), tokenizer): (
                "there is a token too few",
                "look at `max_new_tokens`",
            ),
            token_ids_to_text(text_of(name, context=8), tokenizer): (
                "the model doesn't see all that fits into its context",
                "each model has a context of its own: where does `load` tell it?",
            ),
        }
        wanted = token_ids_to_text(right, tokenizer)
        if result[name] != wanted:
            if result[name] == " ".join(wanted.split()):
                continue  # on one line: as good
            raise Wrong(
                *(
                    (f"{name}: {said[result[name]][0]}", said[result[name]][1])
                    if result[name] in said
                    else (
                        f"{name} would write something else",
                        "greedily: no temperature, no top-k; and the model of THIS name",
                    )
                )
            )
    yield "each model has written its own text, within its own context"
    result = call(function, ["gpt2-large"], prompt, count, load)
    if list(result) == ["gpt2-large"]:
        raise Wrong(
            "gpt2-large couldn't be had, the mini model came in its place, and your table calls "
            "its text that of gpt2-large",
            "load gives back three things: what is the third?",
        )
    if list(result) != ["gpt2-mini"]:
        raise Wrong(f"the keys are {list(result)}", "the name that was really loaded")
    yield "and where another model came than was asked for, the table says so"


# ---- 5.7 to 5.9: bugs


@exercise_check("5.7", "A loss not to be believed", "break it", minutes=15, stars=2)
def text_loss(function):
    model = GPTModel(TINY).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)
    ids = torch.randint(50, (3, 8))
    with torch.no_grad():
        logits = model(ids[:, :-1])  # (B, T, V)
        value = a_tensor(call(function, model, ids), "the loss")
    x, y = ids[:, :-1], ids[:, 1:]
    p = logits.softmax(dim=-1)

    def loss(scores, targets, **options):
        return F.cross_entropy(scores.flatten(0, 1), targets.flatten(), **options)

    half = "one of two is mended, "
    mistakes = [
        (
            loss(p, x),
            "this loss rewards a model for repeating the token that it was just given",
            "what should stand in `targets`, for each place? And what does F.cross_entropy want?",
        ),
        (
            loss(logits, x),
            half + "but the loss still rewards repeating the last token",
            "the target of each place is the token AFTER it",
        ),
        (
            loss(p, y),
            half + "the targets are right; but the softmax comes twice",
            "F.cross_entropy takes logits and does the softmax itself: section 5.1.2",
        ),
        (
            F.nll_loss(p.flatten(0, 1), y.flatten()),
            half + "but this is no logarithm: the loss is negative",
            "F.cross_entropy takes logits",
        ),
        (loss(logits, y, reduction="sum"), "this is a sum over the tokens", "per token: the mean"),
        (
            loss(logits[:, 1:], ids[:, :-2]),
            "the shift goes the wrong way: each place is to guess the token BEFORE it",
            "inputs end one token early, targets begin one token late",
        ),
        (
            F.cross_entropy(logits.permute(0, 2, 1).reshape(-1, 50), y.flatten()),
            "the logits of tokens and vocabulary are mixed up",
            "(B, T, V) -> (B * T, V): only the first two axes are merged",
        ),
    ]
    wrong = ("the loss is another", "logits (B * T, V) against the tokens that follow (B * T,)")
    compare(value, loss(logits, y), mistakes, wrong)
    yield "the targets are the tokens that follow, the softmax comes once"
    table = torch.randn(50, 50) * 300
    value = call(function, lambda ids: table[ids], ids)
    if not close(value, loss(table[x], y)):
        raise Wrong(
            "with huge logits the loss is wrong",
            "a probability can underflow to 0: hand the logits over as they are",
        )
    yield "also with huge logits"
    square = torch.randint(50, (5, 51))
    table = torch.randn(50, 50)
    compare(
        call(function, lambda ids: table[ids], square),
        loss(table[square[:, :-1]], square[:, 1:]),
        [],
        ("where T = V the loss is wrong", "don't rely on sizes being different"),
    )
    yield "and where T and V are equal"


def trained_by(clear="batch", restore=True, evaluate=True, epochs=3):
    """Validation losses of three epochs, rightly or with mistakes; the same seed each time."""
    model, optimizer = new_run(seed=4)
    data, val = batches(4), batches(5)[-1]
    torch.manual_seed(6)
    losses = []
    model.train()
    for _ in range(epochs):
        if restore:
            model.train()
        if clear == "epoch":
            optimizer.zero_grad()
        for batch in data:
            if clear == "batch":
                optimizer.zero_grad()
            calc_loss_batch(*batch, model, "cpu").backward()
            if clear == "too late":
                optimizer.zero_grad()
            optimizer.step()
        if evaluate:
            model.eval()
        with torch.no_grad():
            losses.append(calc_loss_batch(*val, model, "cpu").item())
    return torch.tensor(losses)


@exercise_check("5.8", "It learns, and badly", "break it", minutes=15, stars=2)
def training_loop(function):
    model, optimizer = new_run(seed=4)
    data, val = batches(4), batches(5)[-1]
    torch.manual_seed(6)
    losses = call_that_trains(function, model, data, val, optimizer, 3)
    if not isinstance(losses, list | tuple) or len(losses) != 3:
        raise Wrong(f"the result is {kind_of(losses)}", "a list: a validation loss per epoch")
    value = torch.tensor([a_number(loss, "a loss", whole=False) for loss in losses])
    half = "one of two is mended, "
    mistakes = [
        (
            trained_by(clear="never", restore=False),
            "the losses of three epochs are not those of a right loop",
            "follow two things through the loop: what stands in `p.grad` when `backward` comes, "
            "and what `model.training` is in the second epoch",
        ),
        (
            trained_by(clear="never"),
            half + "dropout is on where it should be; but the gradients still add up",
            "the step of a batch must follow the gradient of that batch alone",
        ),
        (
            trained_by(restore=False),
            half + "the gradients are cleared; but from the second epoch on, dropout is off",
            "who switched it off, and who switches it on again?",
        ),
        (
            trained_by(clear="epoch"),
            "the gradients are cleared once an epoch, not once a batch",
            "within an epoch they still add up",
        ),
        (
            trained_by(clear="epoch", restore=False),
            "the gradients are cleared once an epoch, and from the second epoch dropout is off",
            "both lines belong to places that are run more often",
        ),
        (
            trained_by(clear="too late"),
            "the model doesn't learn: its weights never follow a gradient",
            "the gradients are cleared between `backward` and `step`",
        ),
        (
            trained_by(evaluate=False),
            "now there is dropout while measuring",
            "training mode to train, evaluation mode to measure: both switches are needed",
        ),
        (
            trained_by(clear="never", evaluate=False),
            "the gradients add up, and there is dropout while measuring",
            "the line `model.eval()` was right",
        ),
    ]
    wrong = ("the losses are not those of a right loop", "clear, backward, step; and the two modes")
    compare(value, trained_by(), mistakes, wrong, atol=1e-3)
    yield "three epochs give the losses of a right loop"
    model, optimizer = new_run(seed=4)
    torch.manual_seed(6)
    call_that_trains(function, model.eval(), data, val, optimizer, 1)
    torch.manual_seed(6)
    reference, optimizer = new_run(seed=4)
    torch.manual_seed(6)
    epoch_of(reference, optimizer, data)
    if not all(map(close, model.parameters(), reference.parameters())):
        raise Wrong(
            "a model that comes in evaluation mode is trained without dropout",
            "who says that the mode is the right one when an epoch begins?",
        )
    yield "whatever mode the model comes in"


def filtered(logits, temperature, top_k, extra=0, multiply=False, late=False):
    k = min(top_k + extra, logits.shape[-1])
    kth = logits.topk(k, dim=-1).values[:, -1:]
    scaled = logits * temperature if multiply else logits / temperature
    if late:  # the rest set to 0 after the softmax
        return scaled.softmax(dim=-1).masked_fill(logits < kth, 0.0)
    return scaled.masked_fill(logits < kth, float("-inf")).softmax(dim=-1)


@exercise_check("5.9", "Hot where it should be cool", "break it", minutes=15, stars=2)
def distribution(function):
    logits, T, k = torch.randn(3, 9), 0.6, 4
    value = a_tensor(call(function, logits, T, k), "the result", B=3, V=9)
    half = "one of two is mended, "
    mistakes = [
        (
            filtered(logits, T, k, extra=1, multiply=True),
            f"with top_k={k} more than {k} tokens have a chance, and a low temperature makes the "
            "draw more daring",
            "count from 0: which place of a sorted row is the k-th? And what does 5.3.1 do with T?",
        ),
        (
            filtered(logits, T, k, multiply=True),
            half + "the right tokens are kept; but a low temperature makes the draw more daring",
            "below 1, the favourite should gain: section 5.3.1",
        ),
        (
            filtered(logits, T, k, extra=1),
            half + f"but with top_k={k} there are {k + 1} tokens with a chance",
            "places are counted from 0",
        ),
        (
            filtered(logits, T, k, extra=-1),
            f"with top_k={k} only {k - 1} tokens have a chance",
            "one too far: the k-th itself stays",
        ),
        (filtered(logits, T, 9), "all tokens have a chance", "what became of the mask?"),
        (
            filtered(logits, T, k, late=True),
            "the probabilities of a row don't add up to 1",
            "what is removed must be removed before the softmax",
        ),
        (
            filtered(logits, 1.0, k),
            "the temperature has no effect",
            "divide before the softmax",
        ),
        (
            logits.softmax(dim=-1) / T,
            "these aren't probabilities",
            "the temperature belongs to the logits",
        ),
    ]
    wrong = ("the probabilities are others", "mask all but the k largest, divide by T, softmax")
    compare(value, filtered(logits, T, k), mistakes, wrong)
    yield f"with top_k={k}, {k} tokens of each row have a chance, and cool is cool"
    for T, k, what in [(2.0, 1, "top_k=1"), (0.5, 9, "top_k=V, the whole vocabulary,")]:
        compare(
            call(function, logits, T, k),
            filtered(logits, T, k),
            [],
            (f"{what} goes wrong", "which place of the sorted row is looked up then?"),
        )
    logits = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    kept = (call(function, logits, 1.0, 2) > 0).sum().item()
    if kept != 3:
        raise Wrong(
            f"three tokens tie for the first two places, and {kept} are kept",
            "as keep_top_k of 5.3.2: ties for the last place all stay",
        )
    yield "also for the smallest and the largest k, and with ties"


# ---- 5.10 to 5.13


@exercise_check("5.10", "Every token counts the same", "fill in", minutes=15, stars=2)
def per_token(function):
    model = GPTModel(TINY).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(4)
    shapes = [(4, 9), (4, 3), (1, 14)]
    loader = Loader()
    for B, T in shapes:
        ids = torch.randint(50, (B, T + 1))
        loader.append((ids[:, :-1], ids[:, 1:]))
    value = a_number(call(function, loader, model), "the result", whole=False)
    with torch.no_grad():
        means = [calc_loss_batch(x, y, model, "cpu").item() for x, y in loader]
    tokens, rows = [B * T for B, T in shapes], [B for B, _ in shapes]
    lengths = [T for _, T in shapes]

    def weighted(weights, by=None):
        return sum(m * w for m, w in zip(means, weights, strict=True)) / (by or sum(weights))

    mistakes = [
        (
            sum(means) / 3,
            "each BATCH counts the same, and a token of a small batch counts more than others",
            "weigh each batch's mean by how much is in it",
        ),
        (
            weighted(rows),
            "each ROW counts the same: a token of a short row counts more than others",
            "how many tokens has a batch of B rows?",
        ),
        (weighted(lengths), "the batches are weighed by T", "how many tokens has a batch?"),
        (sum(means), "this is a sum of means", "what is it to be divided by?"),
        (weighted(tokens, 1), "this is the sum over all tokens", "per token: divide at the end"),
        (weighted(tokens, 3), "the sum was divided by the number of batches", "by what, rather?"),
        (means[0], "this is the loss of the first batch alone", "is there a return in the loop?"),
        (means[-1], "this is the loss of the last batch alone", "what is added up in the loop?"),
    ]
    compare(
        value,
        weighted(tokens),
        mistakes,
        ("the mean is another", "add up the losses of all tokens, count the tokens, divide"),
        atol=1e-4,
    )
    yield "in batches of unequal size, every token counts the same"
    even = Loader([loader[0]] * 2)
    compare(
        call(function, even, model),
        means[0],
        [],
        ("with equal batches it goes wrong", "is a number of batches fixed somewhere?"),
        atol=1e-4,
    )
    must_refuse(
        function,
        [],
        model,
        what="an empty loader should raise a ValueError",
        look="the mean of nothing does not exist: section 5.1.3",
    )
    yield "with equal batches it is the plain mean, and without any it says so"


@exercise_check("5.11", "Cross-entropy, place by place", "fill in", minutes=20, stars=2)
def place_by_place(function):
    logits, targets = torch.randn(2, 5, 7) * 2, torch.randint(7, (2, 5))
    value = call(function, logits, targets)
    right = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none")
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        raise Wrong("the result is a single number", "one loss for each place: no mean, no sum")
    if isinstance(value, torch.Tensor) and tuple(value.shape) == (2, 5, 1):
        raise Wrong("the shape is (2, 5, 1)", "the axis that `gather` leaves can be squeezed away")
    value = a_tensor(value, "the result", B=2, T=5)
    yield "a loss for each place"

    def picked(scores):
        return scores.gather(-1, targets[..., None])[..., 0]

    mistakes = [
        (-right, "the sign is turned", "a probability below 1 has a negative logarithm"),
        (picked(logits.softmax(-1)), "these are probabilities", "their logarithm is missing"),
        (-picked(logits.softmax(-1)), "the logarithm is missing", "why the logarithm: 5.1.2"),
        (-picked(logits), "these are logits with their sign turned", "the softmax is missing"),
        (
            -picked(logits.log_softmax(1)),
            "the softmax runs along the places, not along the vocabulary",
            "for which axis should the probabilities of ONE prediction add up to 1?",
        ),
        (
            -picked(logits.log_softmax(0)),
            "the softmax runs along the texts of the batch",
            "for which axis should the probabilities of ONE prediction add up to 1?",
        ),
        (
            -logits.log_softmax(-1).amax(-1),
            "this is the surprise at the model's favourite",
            "what counts is the token that was there: `targets`",
        ),
        (right / math.log(2), "this is in bits", "the natural logarithm is asked for"),
        (
            F.cross_entropy(logits.softmax(-1).transpose(1, 2), targets, reduction="none"),
            "the softmax comes twice",
            "one of your functions contains it already",
        ),
    ]
    wrong = ("the losses are others", "softmax, pick the target's, logarithm, sign")
    compare(value, right, mistakes, wrong)
    yield "and the losses are right"
    square, targets = torch.randn(4, 4, 4), torch.randint(4, (4, 4))
    right = F.cross_entropy(square.transpose(1, 2), targets, reduction="none")
    wrong = ("where B = T = V it goes wrong", "name the axis by its place: which one is V?")
    compare(call(function, square, targets), right, [], wrong)
    far = torch.tensor([[[0.0, 200.0], [0.0, -200.0]]])
    value = call(function, far, torch.zeros(1, 2, dtype=torch.long))
    if not close(value, torch.tensor([[200.0, 0.0]])):
        raise Wrong(
            f"with logits 200 apart you get {value.flatten().tolist()}, right is [200, 0]",
            "a probability underflows to 0: can you stay with logarithms all the way?",
        )
    yield "also where sizes are equal, and with logits that lie far apart"


@exercise_check("5.12", "How many tokens to choose among?", "predict", minutes=5, stars=2)
def perplexity(answer):
    mine = a_number(answer, whole=False)
    mistakes = [
        (10, "this is the mean of 4 and 16", "it's the losses that are averaged, not their exp"),
        (6.4, "this is 1 over the mean probability", "the logarithm comes BEFORE the mean"),
        (math.log(8), "this is the loss", "perplexity is its exponential"),
        (0.15625, "this is the mean probability", "what is made of each before the mean?"),
        (3, "this is the loss in bits", "perplexity: 2 to the power of it, or exp of nats"),
        (0.125, "almost: turned upside down", "the loss has a minus sign"),
        (64, "this is the product of the two", "the loss is a MEAN"),
    ]
    for value, what, look in mistakes:
        if abs(mine - value) < 0.02:
            raise Wrong(what, look)
    if abs(mine - 8) > 0.05:
        raise Wrong(
            f"it isn't {mine:g}",
            "a token with probability 1/4 costs ln 4, one with 1/16 costs ln 16: mean, then exp",
        )
    yield "right: the mean of the losses is that of 8 equal choices"


RATES = (0.0001, 0.001, 0.01)


@functools.cache
def loss_after(rate, steps=60):
    """The last loss of the run in the notebook."""
    torch.manual_seed(123)
    model = GPTModel(TINY | {"emb_dim": 16, "n_heads": 2, "n_layers": 2})
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    rows = [[(7 * i + j * (1 + i % 3)) % 50 for j in range(17)] for i in range(8)]
    ids = torch.tensor(rows)  # (B, T + 1)
    for _ in range(steps):
        loss = calc_loss_batch(ids[:, :-1], ids[:, 1:], model, "cpu")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()


@exercise_check("5.13", "How fast is too fast?", "explore", minutes=15, stars=2)
def rates(measured, answer):
    measurements(measured, RATES, "the measurements")
    for rate, value in measured.items():
        mine = a_number(value, f"the loss at lr = {rate:g}", whole=False)
        right = loss_after(rate)
        if abs(mine - right) > 0.04 + 0.01 * right:
            raise Wrong(
                f"the loss at lr = {rate:g} is not {mine:g}",
                "set `lr`, run the cell, and read the LAST loss from the printed line",
            )
    yield "the three measurements are right"
    a_choice(
        answer,
        {
            "a": "the gradient is computed by the same code as before: compare a small lr",
            "b": None,
            "c": "the same model learns these texts by heart at lr = 0.01",
            "d": "with lr = 0.01 sixty steps were plenty: where does lr = 1 go in the first ten?",
        },
    )
    yield "and so is the answer"
