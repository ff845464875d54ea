"""The checks of appendix A's exercises."""

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
)
from previous_chapters import NeuralNetwork

# ---- A.1 to A.3


@exercise_check("A.1", "Is everything there?", "fill in", minutes=15, stars=2)
def installation(function):
    versions = {
        "torch": "2.13.0+cpu",
        "numpy": "1.26.4",
        "tiktoken": "0.12.0",
        "pandas": "2.2.3",
        "matplotlib": "3.8",
        "jupyterlab": "4.0.0rc1",
    }
    asked = []

    def version_of(name):
        asked.append(name)
        return versions.get(name)

    def result(wanted):
        found = call(function, wanted, version_of)
        if not isinstance(found, list | tuple | set):
            raise Wrong(f"the result is {kind_of(found)}", "a list of names, maybe an empty one")
        return sorted(found)

    if result({"pandas": "2.2", "numpy": "1.20"}):
        raise Wrong(
            "two packages that are new enough are reported", "2.2.3 is newer than 2.2: see hint 2"
        )
    if not asked:
        raise Wrong("`version_of` was never asked", "it knows which versions are installed")
    if result({"pandas": "2.3", "numpy": "1.20"}) != ["pandas"]:
        raise Wrong(
            "pandas 2.2.3 is installed, wanted is 2.3, and the result isn't that",
            "which of the two versions is the smaller one?",
        )
    yield "a package that is too old is found, one that is new enough is not"
    if result({"sacrebleu": "2.4"}) != ["sacrebleu"]:
        raise Wrong("a package that isn't there is overlooked", "version_of gives None for it")
    yield "a package that isn't there is found"
    if "torch" in result({"torch": "2.4"}) or "tiktoken" in result({"tiktoken": "0.7"}):
        raise Wrong(
            "2.13 is taken for older than 2.4",
            'as TEXT "2.13" comes before "2.4"; compare lists of whole numbers',
        )
    if result({"numpy": "1.3"}) or result({"tiktoken": "0.13"}) != ["tiktoken"]:
        raise Wrong(
            "1.26 is taken for older than 1.3, or 0.12 for newer than 0.13",
            "the part behind the point is no decimal: 1.26 is the 26th after 1.0",
        )
    yield "2.13 counts as newer than 2.4"
    if result({"matplotlib": "3.8"}):
        raise Wrong("3.8 is taken for older than 3.8", "at least: the same version will do")
    if result({"matplotlib": "3.8.0"}):
        raise Wrong("3.8 is taken for older than 3.8.0", "a part that is missing counts as 0")
    yield "and lengths may differ"
    if result({"jupyterlab": "4.0"}) or result({"jupyterlab": "4.0.0.1"}) != ["jupyterlab"]:
        raise Wrong(
            "4.0.0rc1 isn't taken for 4.0.0",
            "only the whole numbers at the front count: what stands behind them goes first",
        )
    yield "and what stands behind the numbers doesn't count"


@exercise_check("A.2", "On another computer", "fill in", minutes=10, stars=1)
def anywhere(function):
    model, x = NeuralNetwork(4, 3), torch.randn(5, 4)
    value = a_tensor(call(function, model, x), "the result", B=5, classes=3)
    compare(
        value,
        model(x),
        [(model(x).softmax(-1), "these are probabilities", "the logits were asked for")],
        ("the logits are others", "the batch goes through the model, and nothing else happens"),
    )
    yield "on the CPU it gives the model's logits"
    away = NeuralNetwork(4, 3).to("meta")
    try:
        value = call(lambda: function(away, x))
    except NotImplementedError as error:
        if "meta" not in str(error):
            raise
        raise Wrong(
            "something is moved away from the model's device",
            "the model stays, and so does the result: what moves, and where to?",
        ) from error
    except RuntimeError as error:
        if "device" not in str(error):
            raise
        raise Wrong(
            "the model is on one device and the batch on another",
            "which of the two moves, and whom do you ask where to?",
        ) from error
    if not isinstance(value, torch.Tensor):
        raise Wrong(f"the result is {kind_of(value)}", "a tensor was asked for")
    if next(away.parameters()).device.type != "meta":
        raise Wrong("the model was moved", "it stays; the batch goes to where the model is")
    if value.device.type != "meta":
        raise Wrong("the result isn't on the model's device", "leave it where it was computed")
    if x.device.type != "cpu":
        raise Wrong("the batch itself was moved", "`x.to(...)` gives the moved one back")
    yield "and on a device that your machine doesn't have: the batch follows the model"


@exercise_check("A.3", "Count the parameters", "predict", minutes=5, stars=1)
def count(answer):
    mine = a_number(answer)
    explained = {
        820: ("no biases are counted", "each output of a linear layer has one"),
        870: ("the last layer's biases are missing", "how many outputs has it?"),
        845: ("some biases are missing", "each of the three layers has them"),
        855: ("the middle layer's biases are missing", "each of the three layers has them"),
        6: ("these are the parameter TENSORS", "how many numbers are in them?"),
        3: ("this is the number of layers", "how many numbers do they hold?"),
        874: ("the biases are counted by the INPUTS of each layer", "x Wᵀ + b: how long is b?"),
        773: ("that is NeuralNetwork(2, 3)", "here there are 4 inputs and 5 outputs"),
    }
    right = sum(p.numel() for p in NeuralNetwork(4, 5).parameters())
    if mine in explained and mine != right:
        raise Wrong(*explained[mine])
    if mine != right:
        size = "too many" if mine > right else "too few"
        raise Wrong(f"{mine} is {size}", "(inputs + 1) · outputs for each of the three layers")
    yield "right: three matrices and three rows of biases; ReLU has none"


# ---- A.4 to A.7


@exercise_check("A.4", "Who sees the change?", "predict", minutes=5, stars=2)
def views(answer):
    if isinstance(answer, str):
        answer = [letter for letter in answer if letter.isalpha()]
    if not isinstance(answer, list | tuple | set) or not all(isinstance(a, str) for a in answer):
        raise Wrong(f"your answer is {kind_of(answer)}", 'write a list of letters: ["x", "y"]')
    mine = {a.strip().lower() for a in answer}
    if not mine <= set("bcdefg"):
        raise Wrong(f"your answer is {sorted(mine)}", "the tensors are called b to g")
    a = torch.arange(6).view(2, 3)
    tensors = {
        "b": a.T,
        "c": a[:, 1],
        "d": a[[0, 1]],
        "e": a + 0,
        "f": a.reshape(6),
        "g": a.T.reshape(6),
    }
    a[0, 1] = 99
    sees = {name for name, tensor in tensors.items() if (tensor == 99).any()}
    hints = {
        "b": "does turning a table need a copy? A.2.4",
        "c": "a column is every third number of the same storage: what are strides for?",
        "d": "here a LIST of rows picks. Which kinds of picking copy?",
        "e": "whose numbers are those of a sum?",
        "f": "reshape gives a view where it can. Can it here?",
        "g": "the turned table isn't contiguous: can one row of strides read it in order?",
    }
    for name in "bcdefg":
        if name in mine and name not in sees:
            raise Wrong(f"{name} has numbers of its own", hints[name])
    for name in "bcdefg":
        if name not in mine and name in sees:
            raise Wrong(f"all that you name do see it, and {name} does too", hints[name])
    yield "right: three views of one storage, three copies"


@exercise_check("A.5", "All distances at once", "fill in", minutes=15, stars=2)
def distances(function):
    a, b = torch.randn(4, 3), torch.randn(5, 3)
    right = torch.cdist(a, b) ** 2
    value = call(function, a, b)
    if isinstance(value, torch.Tensor) and tuple(value.shape) == (5, 4):
        raise Wrong("the result is turned: (M, N)", "row i belongs to a[i], column j to b[j]")
    value = a_tensor(value, "the result", N=4, M=5)
    yield "the shape is (N, M)"
    difference = a[:, None] - b[None]
    mistakes = [
        (right.sqrt(), "these are distances", "the SQUARED distances were asked for"),
        (difference.sum(-1) ** 2, "the sum was squared", "first the square, then the sum"),
        (difference.abs().sum(-1), "differences, not their squares, are added", "square them"),
        ((difference**2).mean(-1), "this is a mean", "the squares are added up"),
        (difference.sum(-1), "the differences themselves are added", "they may be negative"),
        (a @ b.T, "these are dot products", "distance: take the difference first"),
    ]
    wrong = ("the numbers are others", "difference (N, M, D), square, sum over D")
    compare(value, right, mistakes, wrong, atol=1e-4)
    yield "and the numbers are right"
    for n, m, d in [(3, 3, 3), (1, 4, 2), (4, 1, 2), (6, 2, 1)]:
        a, b = torch.randn(n, d), torch.randn(m, d)
        value = a_tensor(call(function, a, b), f"for N={n}, M={m}, D={d} the result", N=n, M=m)
        wrong = (
            f"for N={n}, M={m}, D={d} the numbers are wrong",
            "which axes stand under each other?",
        )
        compare(value, ((a[:, None] - b) ** 2).sum(-1), [], wrong, atol=1e-4)
    yield "also where sizes are equal, or 1"


@exercise_check("A.6", "What stands in w.grad?", "predict", minutes=5, stars=2)
def two_walks(answer):
    mine = a_number(answer, whole=False)
    w = torch.tensor(4.0, requires_grad=True)
    for _ in range(2):
        (w * w.detach() + 3 * w).backward()
    right = w.grad.item()
    explained = {
        7.0: ("that is what ONE walk back leaves", "what does the second do to what is there?"),
        11.0: ("detach makes a constant", "and there are two walks back"),
        22.0: (
            "the two walks are right; but one factor is detached",
            "w * w has two paths to w, and here one of them is cut",
        ),
        28.0: ("that is the VALUE", "the slopes were asked for"),
        56.0: ("that is twice the VALUE", "the slopes were asked for"),
        6.0: ("only the 3 w is counted", "the other product has a slope too"),
        8.0: ("the 3 w is missing", "the slopes of a sum are added"),
        0.0: ("`backward` clears nothing", "who does?"),
    }
    if mine in explained:
        raise Wrong(*explained[mine])
    if abs(mine - right) > 1e-6:
        raise Wrong(f"it isn't {mine:g}", "the slope of each term first; then count the walks")
    yield "right: the constant factor and the 3, twice"


@exercise_check("A.7", "A gradient that leaves no trace", "fill in", minutes=15, stars=2)
def gradient(function):
    def mixture(t):
        return (torch.softmax(t @ t.T, dim=-1) @ t).exp().sum().log()

    at = torch.randn(4, 3)
    wanted = torch.func.grad(mixture)(at)
    value = call(function, mixture, at)
    if isinstance(value, torch.Tensor) and value.ndim == 0:
        raise Wrong("the result is a single number", "a slope for each number of `at`")
    if isinstance(value, tuple) and len(value) == 1:
        raise Wrong("the result is a tuple of one tensor", "take the tensor out of it")
    kept = value
    value = a_tensor(value, "the result", rows=4, columns=3)
    wrong = ("the slopes are others", "compute the loss from a tensor that tracks, and walk back")
    mistakes = [(-wanted, "the sign is turned", "the gradient, not the way down")]
    compare(value, wanted, mistakes, wrong, atol=1e-4)
    yield "the slopes are right"
    compare(
        call(function, mixture, at),
        wanted,
        [(2 * wanted, "asked twice, the second gradient is added to the first", "A.3.4")],
        ("asked twice, the result is another", "what is left behind by the first call?"),
        atol=1e-4,
    )
    if at.requires_grad or at.grad is not None:
        raise Wrong(
            "the input has changed: it tracks gradients now",
            "track a tensor of your own: `detach()` alone or `clone()` alone isn't it, which two?",
        )
    if kept.requires_grad:
        raise Wrong("the result is still part of a graph", "give back plain numbers: `detach()`")
    yield "the input is as it was, and a second call gives the same"
    at = torch.randn(5, requires_grad=True)
    at.grad = torch.ones(5)
    value = a_tensor(call(function, lambda t: (t**3).sum(), at), "the result", numbers=5)
    if not torch.equal(at.grad, torch.ones(5)):
        raise Wrong(
            "for an input that tracks gradients already, its `.grad` was changed",
            "somebody else may still need it",
        )
    compare(value, 3 * at.detach() ** 2, [], ("for an input that tracks it goes wrong", "A.3.6"))
    yield "also for an input that tracks gradients already"


# ---- A.8 to A.11


def fit(steps, broadcast=False, lr=0.1, clear=True):
    """Losses of fitting a line by nn.Linear, rightly or by (N, 1) − (N,)."""
    x, y = line()
    torch.manual_seed(3)
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        predictions = model(x[:, None]) if broadcast else model(x[:, None])[:, 0]
        loss = ((predictions - y) ** 2).mean()
        if clear:
            optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses)


def line():
    torch.manual_seed(2)
    x = torch.linspace(-1, 1, 12)
    return x, 2 * x + 0.5 + 0.05 * torch.randn(12)


@exercise_check("A.8", "The line that stays flat", "break it", minutes=15, stars=2)
def flat_line(function):
    x, y = line()
    torch.manual_seed(3)
    model = nn.Linear(1, 1)
    if not callable(function):
        call(function)
    losses = call(lambda: function(model, x, y, 40))
    if not isinstance(losses, list | tuple) or len(losses) != 40:
        raise Wrong(f"the result is {kind_of(losses)}", "a list: the loss of each of the 40 steps")
    graphs = any(isinstance(loss, torch.Tensor) and loss.requires_grad for loss in losses)
    value = torch.tensor([a_number(loss, "a loss", whole=False) for loss in losses])
    if close(value, fit(40, broadcast=True), atol=1e-4):
        if graphs:
            raise Wrong(
                f"the loss ends at {value[-1]:.2f} and could be near 0; and the list keeps the "
                "computation graph of every step",
                "print the shape of `predictions - y`; and what goes into the list",
            )
        raise Wrong(
            "one of two is mended, the list holds plain numbers; but the line stays flat",
            "what shape has `predictions - y`? A.2.3",
        )
    compare(
        value,
        fit(40),
        [
            (fit(40, clear=False), "the gradients add up", "`zero_grad` was in its place"),
            (fit(40) * 12, "this is a sum over the points", "the mean was right"),
        ],
        ("the losses are not those of a right fit", "make the two shapes equal, change no more"),
        atol=1e-4,
    )
    yield "the line is found"
    if graphs:
        raise Wrong(
            "one of two is mended, the line is found; but each loss in the list is a tensor that "
            "drags its computation graph along",
            "how does one take the number out? A.3.6",
        )
    yield "and the list holds plain numbers"


def graded(logits, labels, sizes, dim=-1, by_batch=False):
    """Accuracy of these logits, in batches of these sizes, with mistakes on request."""
    right, start, shares = 0, 0, []
    for size in sizes:
        rows, wanted = logits[start : start + size], labels[start : start + size]
        answers = rows.argmax(dim=dim)
        hits = (answers == wanted).float() if len(answers) == len(wanted) else torch.zeros(1)
        right += hits.sum().item()
        shares.append(hits.mean().item())
        start += size
    return sum(shares) / len(shares) if by_batch else right / len(labels)


@exercise_check("A.9", "An accuracy not to be trusted", "break it", minutes=15, stars=2)
def accuracy(function):
    class Loader(list):
        __eq__, __hash__ = object.__eq__, object.__hash__

        def __deepcopy__(self, memo):
            return self

    sizes = (8, 8, 2)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1])
    torch.manual_seed(4)
    logits = torch.randn(18, 3) + 1.2 * F.one_hot(labels, 3)
    doubts = 2 * torch.randn(18, 3)
    logits[-2:] = 5.0 * F.one_hot(labels[-2:], 3)  # the small last batch is all right

    class Table(nn.Module):  # looks the logits up; in training mode it is unsure, as with dropout
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(logits.clone())

        def forward(self, x):
            rows = self.weight[x]
            return rows + doubts[x] if self.training else rows

    places = torch.arange(18).split(sizes)
    loader = Loader((p, labels[p]) for p in places)
    model = Table().train()
    value = a_number(call(function, model, loader), "the result", whole=False)
    right = graded(logits, labels, sizes)
    half = "one of two is mended, "
    mistakes = [
        (
            graded(logits + doubts, labels, sizes, by_batch=True),
            "two things are wrong: the accuracy of this model, which is in training mode, is "
            f"{right:.3f}, and yours is {value:.3f}",
            "in which mode is it measured, and how much does a small batch count?",
        ),
        (
            graded(logits, labels, sizes, by_batch=True),
            half + "the mode is right; but a point of the small last batch counts more than others",
            "count right answers and points, and divide once, at the end",
        ),
        (
            graded(logits + doubts, labels, sizes),
            half + "each point counts the same; but it is measured in training mode",
            "dropout would be on: who switches it off?",
        ),
        (right * len(labels), "this is a count", "divide by the number of points"),
        (right * len(labels) / len(sizes), "divided by the number of batches", "by what, rather?"),
    ]
    compare(value, right, mistakes, ("the accuracy is another", "count, count, divide once"))
    yield "every point counts the same, in evaluation mode"
    if not model.training:
        raise Wrong(
            "the model came in training mode and is left in evaluation mode",
            "whoever switches a mode switches it back",
        )
    model.eval()
    call(function, model, loader)
    if model.training:
        raise Wrong(
            "a model that came in evaluation mode is left in training mode",
            "note down the mode that it came in: `model.training`",
        )
    yield "and the model is left in the mode that it came in"


@exercise_check("A.10", "The network that won't learn", "break it", minutes=15, stars=2)
def hidden_layers(network):
    if not (isinstance(network, type) and issubclass(network, nn.Module)):
        raise Wrong(f"what was handed over is {kind_of(network)}", "the class, without brackets")
    torch.manual_seed(5)
    model = network([4, 7, 6, 3])
    x = torch.randn(9, 4)
    out = a_tensor(model(x), "the output", B=9, outputs=3)
    tensors = [tuple(p.shape) for p in model.parameters()]
    shapes = [(7, 4), (7,), (6, 7), (6,), (3, 6), (3,)]
    scaled = model(x * 2) + model(-x * 2) - 2 * model(x * 0)  # 0 for a straight line
    straight = close(scaled, torch.zeros(9, 3), atol=1e-4)
    if not tensors:
        if straight:
            raise Wrong(
                "the network has no parameters, an optimiser finds nothing to train; and it "
                "computes what a single linear layer could",
                "how does a module know its parts (A.4.2), and what must stand between two layers?",
            )
        raise Wrong(
            "one of two is mended, it bends; but the network has no parameters",
            "a Python list hides its contents: A.4.2",
        )
    if tensors != shapes:
        raise Wrong(
            f"the parameters have the shapes {tensors}",
            f"a layer from each size to the next, in order: {shapes}",
        )
    yield "the network knows its parameters"
    if straight:
        raise Wrong(
            "one of two is mended, it has its parameters; but it computes what one linear layer "
            "could",
            "what must stand between two linear layers? A.4.1",
        )
    w1, b1, w2, b2, w3, b3 = model.parameters()

    def through(*bends):
        h = bends[0](F.linear(x, w1, b1))
        h = bends[1](F.linear(h, w2, b2))
        return bends[2](F.linear(h, w3, b3))

    relu, same = torch.relu, lambda t: t
    mistakes = [
        (
            through(relu, relu, relu),
            "the logits are bent as well: none is negative",
            "between layers, not after the last one",
        ),
        (through(relu, same, same), "there is a bend after the first layer only", "A.4.2"),
        (through(same, relu, same), "there is no bend after the first layer", "A.4.2"),
    ]
    wrong = ("the outputs are others", "linear, ReLU, linear, ReLU, linear")
    compare(out, through(relu, relu, same), mistakes, wrong)
    yield "and bends between its layers, and not after the last"
    if len(list(network([2, 3]).parameters())) != 2:
        raise Wrong("with two sizes there should be one layer", "any number of sizes may come")
    yield "for any number of layers"


STEPS = {8: 600, 24: 200, 240: 20}  # batch size: steps in 20 epochs of 240 points


@exercise_check("A.11", "Many small steps or few large ones", "explore", minutes=15, stars=1)
def batch_sizes(measured, answer):
    if not isinstance(measured, dict) or set(measured) != set(STEPS):
        shown = measured if isinstance(measured, dict) else kind_of(measured)
        raise Wrong(f"the measurements are {shown}", "keep the dictionary with its three keys")
    if any(value is ... for value in measured.values()):
        raise NotImplementedError
    for size, value in measured.items():
        mine = a_number(value, f"the number of steps for {size}")
        if mine == STEPS[size] // 20:
            raise Wrong(
                f"batches of {size}: that is the number of steps in ONE epoch",
                "the printed number counts those of all 20",
            )
        if mine != STEPS[size]:
            raise Wrong(
                f"batches of {size}: it is not {mine} steps",
                "240 points, 20 epochs: how many batches is that? The cell prints it",
            )
    yield "the three numbers of steps are right"
    a_choice(
        answer,
        {
            "a": "is there noise in the mean over all 240 points? Compare the curves",
            "b": None,
            "c": "the network is the same in all three runs, and so are the points",
            "d": "each run sees every point 20 times",
        },
    )
    yield "and so is the answer"
