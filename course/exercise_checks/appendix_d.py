"""The checks of appendix D's exercises."""

import copy
import math

import torch
from torch import nn

from course.exercise_checks import (
    Wrong,
    a_choice,
    a_number,
    call,
    close,
    compare,
    exercise_check,
    kind_of,
)
from previous_chapters import GPTModel, calc_loss_batch, lr_at_step


@exercise_check("D.1", "Where is the rate?", "predict", minutes=5, stars=1)
def where_is_the_rate(answer):
    if not isinstance(answer, list | tuple) or len(answer) != 4:
        raise Wrong(f"your answer is {kind_of(answer)}", "write four numbers: (..., ..., ..., ...)")
    if any(value is ... for value in answer):
        raise NotImplementedError
    steps = (0, 10, 20, 60)
    found = [a_number(v, f"the rate of step {s}", whole=False) for s, v in zip(steps, answer)]  # noqa: B905
    looks = {
        0: "where does the warmup begin? Not at 0 here",
        10: "half of the warmup is done: half-way between which two rates?",
        20: "the warmup is over in this very step",
        60: "half of the way down: a cosine is symmetric about its middle",
    }
    for step, mine in zip(steps, found, strict=True):
        right = lr_at_step(step, 100, 20, 0.01, 0.001, 0.0)
        if not close(mine, right, 1e-5):
            look = looks[step]
            if step == 10 and close(mine, 0.005, 1e-5):
                look = "that would be right for a warmup from 0"
            if step == 60 and close(mine, lr_at_step(60, 100, 0, 0.01, 0.0, 0.0), 1e-5):
                look = "progress is counted from the end of the warmup, not from step 0"
            raise Wrong(f"the rate of step {step} isn't {mine:g}", look)
        yield f"step {step} is right"


def rate(step, total, warmup, hold, peak, initial, minimum, shape="cosine", since=None):
    """The schedule of D.2, or with a mistake."""
    if step < warmup:
        return initial + (peak - initial) * step / warmup
    since = warmup + hold if since is None else since
    if step < warmup + hold:
        return peak
    progress = (step - since) / (total - since)
    down = {
        "cosine": 0.5 * (1 + math.cos(math.pi * progress)),
        "quarter": math.cos(math.pi / 2 * progress),
        "line": 1 - progress,
        "up": 0.5 * (1 - math.cos(math.pi * progress)),
        "no half": 1 + math.cos(math.pi * progress),
        "degrees": 0.5 * (1 + math.cos(math.radians(math.pi * progress))),
    }[shape]
    return minimum + (peak - minimum) * down


@exercise_check("D.2", "Up, along, and down", "fill in", minutes=20, stars=2)
def up_along_down(function):
    numbers = {"peak_lr": 0.02, "initial_lr": 0.004, "min_lr": 0.002}

    def rates(f, total, warmup, hold):
        given = numbers.values()
        return torch.tensor([f(s, total, warmup, hold, *given) for s in range(total)])

    def learner(step, total, warmup, hold, *given):
        return a_number(call(function, step, total, warmup, hold, *given), "a rate", whole=False)

    def wrongly(total=30, warmup=6, hold=4, **named):
        peak, initial, low = (named.pop(n, v) for n, v in numbers.items())
        return torch.tensor(
            [rate(s, total, warmup, hold, peak, initial, low, **named) for s in range(30)]
        )

    value, right = rates(learner, 30, 6, 4), rates(rate, 30, 6, 4)
    if not close(value[:6], right[:6]):
        late = torch.tensor([rate(s + 1, 30, 6, 4, *numbers.values()) for s in range(6)])
        compare(
            value[:6],
            right[:6],
            [
                (late, "the warmup is one step ahead", "step 0 has the initial rate"),
                (
                    wrongly(initial_lr=0.0)[:6],
                    "the warmup begins at 0",
                    "at the initial rate it should",
                ),
                (
                    torch.linspace(0.004, 0.02, 6),
                    "the warmup arrives a step too early",
                    "the peak is reached in step `warmup_steps`, not before",
                ),
                (torch.full((6,), 0.02), "there is no warmup", "what happens before the peak?"),
            ],
            ("the rates of the warmup are others", "a straight line: how much is added per step?"),
        )
    yield "the warmup is right"
    if not close(value[6:10], right[6:10]):
        raise Wrong(
            "the rate doesn't stay at the peak for hold_steps steps",
            "the steps 6 to 9 hold the peak when 6 steps warm up and 4 hold",
        )
    yield "the peak is held"
    down = "the way down begins at the wrong step"
    mistakes = [
        (
            wrongly(since=6),
            f"{down}: the rate jumps after the holding",
            "progress is 0 where the way down begins, after warmup AND holding",
        ),
        (wrongly(since=0), f"{down}", "from which step on is progress counted?"),
        (wrongly(shape="line"), "the way down is a straight line", "half a cosine was asked for"),
        (
            wrongly(shape="quarter"),
            "the way down is a quarter of a wave: it ends steeply",
            "half a wave goes from 0 to π",
        ),
        (wrongly(shape="up"), "after the holding it rises", "cos 0 is 1: look at the sign"),
        (
            wrongly(shape="no half"),
            "the way down begins at twice the height",
            "1 + cos lies between 0 and 2",
        ),
        (
            wrongly(shape="degrees"),
            "after the holding it hardly falls",
            "math.cos takes radians already",
        ),
        (wrongly(min_lr=0.0), "it falls to 0", "the smallest rate is given"),
        (
            right + (torch.arange(30) >= 10) * (wrongly(min_lr=0.0) - right + 0.002),
            "after the holding it is too high: the smallest rate is added on top",
            "the wave has the height peak − minimum",
        ),
    ]
    compare(value, right, mistakes, ("the rates of the way down are others", "print progress"))
    yield "and so is the way down"
    for total, warmup, hold in [(20, 0, 0), (25, 5, 0), (25, 0, 5)]:
        case = f"with {warmup} warmup steps and {hold} holding steps"
        try:
            value = rates(learner, total, warmup, hold)
        except ZeroDivisionError as error:
            raise Wrong(f"{case} 0 is divided by 0", "which phase may be empty?") from error
        compare(value, rates(rate, total, warmup, hold), [], (f"{case} it is wrong", "print them"))
    yield "also without warmup or holding"


def a_small_model():
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def weights_of(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def three_steps(step, model, x, y, max_norm=0.5, lr=0.5):
    """Weights and returned norms of three steps with `step`, from a copy of the model."""
    model = copy.deepcopy(model)
    optimizer, norms = torch.optim.SGD(model.parameters(), lr=lr), []
    for i in range(3):
        loss = 20 * (model(x[i]) - y[i]).square().mean()
        norms.append(step(model, optimizer, loss, max_norm))
    return weights_of(model), norms


def a_step(zero=True, clip="norm", when="before"):
    def step(model, optimizer, loss, max_norm):
        if zero:
            optimizer.zero_grad()
        loss.backward()
        if when == "after":
            optimizer.step()
        if clip == "norm":
            norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        elif clip == "each":
            norm = sum(nn.utils.clip_grad_norm_([p], max_norm) for p in model.parameters())
        else:
            norm = nn.utils.clip_grad_value_(model.parameters(), max_norm) or torch.tensor(0.0)
        if when == "before":
            optimizer.step()
        return norm.item()

    return step


@exercise_check("D.3", "Clipped, and still too long", "break it", minutes=15, stars=2)
def still_too_long(function):
    if not callable(function):
        raise Wrong(f"what was handed over is {kind_of(function)}", "hand over the function")
    model = a_small_model()
    x, y = torch.randn(3, 8, 3), torch.randn(3, 8, 1)

    def plain(model, optimizer, loss, max_norm):
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return 0.0

    value, norms = three_steps(function, model, x, y)
    right, right_norms = three_steps(a_step(), model, x, y)
    late = (
        "a step is longer than lr × max_norm, although the gradients are clipped",
        "in which order must backward, clip and step stand?",
    )
    stale = (
        "in the second step the gradient isn't that of its loss alone",
        "backward ADDS to p.grad: what has to happen before?",
    )

    def of(step):
        return three_steps(step, model, x, y)[0]

    mistakes = [
        (
            of(a_step(zero=False, when="after")),
            f"{late[0]}. (That isn't all)",
            "with SGD the step's length is lr × norm: measure it",
        ),
        (of(a_step(zero=False)), f"one of two is mended, the clipping; but {stale[0]}", stale[1]),
        (of(plain), f"one of two is mended, each loss counts once; but {late[0]}", late[1]),
        (
            of(a_step(clip="each")),
            "each tensor is clipped by itself: the direction of the step has changed",
            "one norm for all gradients together",
        ),
        (
            of(a_step(clip="value")),
            "each number is clipped by itself: the direction of the step has changed",
            "the norm was to be limited, not the values",
        ),
        (weights_of(model), "nothing has moved at all", "who calls optimizer.step()?"),
    ]
    compare(value, right, mistakes, ("the weights are others after three steps", "order!"))
    yield "after three steps the weights are where clipped steps lead"
    if any(n is None for n in norms):
        raise Wrong("your function gives back None", "the norm before clipping was asked for")
    norms = [a_number(n, "the norm", whole=False) for n in norms]
    look = "which of the calls tells the norm that was there before?"
    mistakes = [
        ([min(n, 0.5) for n in right_norms], "the norm is that after the clipping", look),
    ]
    compare(norms, right_norms, mistakes, ("the norms given back are others", look), atol=1e-3)
    yield "and the norm before clipping is given back"


TINY = {
    "vocab_size": 31,
    "context_length": 9,
    "emb_dim": 12,
    "n_heads": 2,
    "n_layers": 1,
    "drop_rate": 0.0,
    "qkv_bias": False,
}


@exercise_check("D.4", "Small batches, another gradient", "break it", minutes=20, stars=3)
def another_gradient(function):
    if not callable(function):
        raise Wrong(f"what was handed over is {kind_of(function)}", "hand over the function")
    model = GPTModel(TINY)
    inputs, targets = torch.randint(0, 31, (6, 8)), torch.randint(0, 31, (6, 8))
    targets[:2, 1:] = -100  # two of 16 targets count in the first part
    targets[2:4, 5:] = -100
    parts = list(zip(inputs.split(2), targets.split(2), strict=True))
    counts = [(t != -100).sum().item() for _, t in parts]

    def gradient_of(*losses):
        model.zero_grad()
        sum(losses).backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    def loss_of(part):
        return calc_loss_batch(*part, model, "cpu")

    whole = loss_of((inputs, targets))
    right = gradient_of(whole)
    model.zero_grad()
    loss = function(model, parts)
    if any(p.grad is None for p in model.parameters()):
        raise Wrong("some parameters have no gradient afterwards", "who calls backward()?")
    value = torch.cat([p.grad.flatten() for p in model.parameters()])
    only_last = "only the last part has left a gradient"
    shares = (
        "a token of a part with few targets counts more than one of the others",
        "the mean of means isn't the mean: which share of ALL counted targets has a part?",
    )
    mistakes = [
        (
            gradient_of(loss_of(parts[-1]) / 3),
            "not the gradient of one large batch, and with the parts in another order it changes",
            "try it with one part, then with two, and print p.grad each time. (Two bugs are in)",
        ),
        (
            gradient_of(loss_of(parts[-1]) * counts[-1] / sum(counts)),
            f"one of two is mended, the shares are right; but {only_last}",
            "who deletes the gradients of the others, and when?",
        ),
        (
            gradient_of(*[loss_of(p) / 3 for p in parts]),
            f"one of two is mended, all parts count; but {shares[0]}",
            shares[1],
        ),
        (
            gradient_of(*[loss_of(p) for p in parts]),
            "the gradients of all parts are added undivided",
            "a mean over all was asked for, not a sum of means",
        ),
        (
            gradient_of(*[loss_of(p) * c for p, c in zip(parts, counts, strict=True)]),
            "this is the gradient of a sum over all targets",
            "how many targets count in all parts together?",
        ),
        (
            gradient_of(*[loss_of(p) / c for p, c in zip(parts, counts, strict=True)]),
            "divided by the targets of each part: the mean is taken twice",
            "the loss of a part is a mean already",
        ),
        (
            gradient_of(*[loss_of(p) * c / 48 for p, c in zip(parts, counts, strict=True)]),
            "the targets that the loss skips are counted, too",
            "which number marks them?",
        ),
    ]
    wrong = ("the gradient isn't that of one large batch", "print the weight of each part")
    compare(value, right, mistakes, wrong, atol=1e-6)
    yield "the gradient is that of one large batch"
    if loss is None:
        raise Wrong("your function gives back None", "the mean loss was asked for")
    loss = a_number(loss, "the loss", whole=False)
    look = "give the losses the same shares as the gradients"
    compare(loss, whole.detach(), [], ("the loss given back is another", look), atol=1e-4)
    yield "and so is the loss"
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    function(model, parts)
    value = torch.cat([p.grad.flatten() for p in model.parameters()])
    look = "the docstring says what becomes of older gradients"
    compare(value, right, [], ("old gradients are mixed in", look), atol=1e-6)
    yield "also where old gradients lay about"


def go(model, optimizer, first, last, data):
    """Steps first, first + 1, ..., last - 1 of a run of 12 steps."""
    for step in range(first, last):
        optimizer.param_groups[0]["lr"] = lr_at_step(step, 12, 4, 0.1, 0.01, 0.0)
        optimizer.zero_grad()
        (model(data[step]) - 1).square().mean().backward()
        optimizer.step()


def a_run():
    torch.manual_seed(3)
    model = a_small_model()
    return model, torch.optim.AdamW(model.parameters(), lr=0.1)


def resumed(data, keep, put_back, at=7):
    """Weights of a run that was kept after 7 steps, went on for a while, and was put back."""
    model, optimizer = a_run()
    go(model, optimizer, 0, at, data)
    saved = keep(model, optimizer, at)
    go(model, optimizer, at, at + 2, data)  # what happens later must not reach what was kept
    torch.manual_seed(99)
    model = a_small_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    step = put_back(saved, model, optimizer)
    step = a_number(step, "the number of steps given back")
    if not 0 <= step <= 12:
        raise Wrong(f"the number of steps given back is {step}", f"{at} steps had been done")
    go(model, optimizer, step, 12, data)
    return weights_of(model)


def keeping(optimizer_too, step_too, copied=("model", "optimizer")):
    def keep(model, optimizer, step):
        saved = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
        saved = {n: copy.deepcopy(s) if n in copied else s for n, s in saved.items()}
        return {**saved, "step": step}

    def put_back(saved, model, optimizer):
        model.load_state_dict(saved["model"])
        if optimizer_too:
            optimizer.load_state_dict(saved["optimizer"])
        return saved["step"] if step_too else 0

    return keep, put_back


@exercise_check("D.5", "Another run after the break", "break it", minutes=20, stars=2)
def another_run(keep, put_back):
    for function in (keep, put_back):
        if not callable(function):
            raise Wrong(f"what was handed over is {kind_of(function)}", "hand over two functions")
    data = torch.randn(12, 8, 3)
    model, optimizer = a_run()
    go(model, optimizer, 0, 12, data)
    right = weights_of(model)
    value = resumed(data, keep, put_back)
    model, optimizer = a_run()
    go(model, optimizer, 0, 9, data)  # the weights are those of two steps later
    warm = (
        "after the break the learning rate warms up a second time",
        "the schedule follows the number of steps: who remembers it?",
    )
    memory = (
        "the first steps after the break are those of an optimizer that remembers nothing",
        "AdamW keeps two running means for each weight: where are they kept?",
    )
    mistakes = [
        (
            resumed(data, *keeping(False, False)),
            "the run ends elsewhere than one without a break",
            "print learning rate and weights right before the break and right after. (Two bugs)",
        ),
        (
            resumed(data, *keeping(False, True)),
            f"one of two is mended, the schedule goes on; but {memory[0]}",
            memory[1],
        ),
        (
            resumed(data, *keeping(True, False)),
            f"one of two is mended, the optimizer is put back; but {warm[0]}",
            warm[1],
        ),
        *[
            (
                resumed(data, *keeping(True, True, copied=copied)),
                "what was kept changes when the run goes on",
                "a state_dict holds the tensors themselves, no copies",
            )
            for copied in ((), ("model",), ("optimizer",))
        ],
    ]
    wrong = (
        "the run ends elsewhere than one without a break",
        "what does a run need in order to go on: which numbers change from step to step?",
    )
    compare(value, right, mistakes, wrong, atol=1e-6)
    yield "seven steps, a break and five more end where twelve steps end"
    value = resumed(data, keep, put_back, at=2)
    compare(value, right, [], ("after two steps it goes wrong", "is a 7 in your code?"), atol=1e-6)
    yield "wherever the break is"


HALF_PACE = {0.9: 99, 0.99: 808, 0.999: 5810}  # measured with the notebook's cells


@exercise_check("D.6", "How long does Adam remember?", "explore", minutes=15, stars=2)
def remember(measured, answer):
    if not isinstance(measured, dict) or set(measured) != set(HALF_PACE):
        shown = measured if isinstance(measured, dict) else kind_of(measured)
        raise Wrong(f"the measurements are {shown}", "keep the keys and fill in the values")
    if any(value is ... for value in measured.values()):
        raise NotImplementedError
    for beta, value in measured.items():
        mine = a_number(value, f"the number of steps for {beta}")
        if abs(mine - HALF_PACE[beta]) <= 2:
            continue
        if mine - 50 in range(HALF_PACE[beta] - 2, HALF_PACE[beta] + 3):
            raise Wrong(f"for {beta} it isn't {mine}", "counted from the accident, not from step 0")
        raise Wrong(
            f"for {beta} it isn't {mine}", "set BETA2, leave LIMIT as it is, read the printed line"
        )
    yield "the three measurements are right"
    a_choice(
        answer,
        {
            "a": "compare your three numbers: by what factor does each grow?",
            "b": None,
            "c": "set LIMIT to 1.0 and run the cell again with each BETA2",
        },
    )
    yield "and so is the answer: the memory of v is long, and clipping keeps it clean"
