"""The checks of appendix E's exercises."""

import torch
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
from previous_chapters import GPTModel, LinearWithLoRA


@exercise_check("E.1", "How thin is thin?", "predict", minutes=5, stars=1)
def how_thin(answer):
    if not isinstance(answer, list | tuple) or len(answer) != 2:
        raise Wrong(f"your answer is {kind_of(answer)}", "write two numbers: (..., ...)")
    if any(value is ... for value in answer):
        raise NotImplementedError
    thin, rank = a_number(answer[0], "the first number"), a_number(answer[1], "the second number")
    d_in, d_out = 768, 3072
    if thin != 4 * (d_in + d_out):
        look = {
            d_in * d_out: "that is the matrix of the layer itself",
            d_in + d_out: "right for rank 1",
            4 * d_in: "that is A alone",
            4 * d_out: "that is B alone",
            4 * d_in * d_out: "A isn't as wide as the layer: what is its shape?",
            16 * (d_in + d_out): "each of them has one axis of length r, not two",
        }.get(thin, "A is (in, r) and B is (r, out)")
        raise Wrong(f"A and B don't have {thin:,} numbers", look)
    yield "the number of numbers in A and B is right"
    if rank != 614:
        look = "in × out against r × (in + out): from which r on is the right side larger?"
        if rank == 615:
            look = "there LoRA has more numbers already"
        if rank == 768:
            look = "there the change can have full rank; but how many numbers has LoRA then?"
        raise Wrong(f"it isn't rank {rank}", look)
    yield "and so is the rank from which on nothing is saved"


@exercise_check("E.2", "A layer of low rank", "fill in", minutes=20, stars=2)
def low_rank(kind):
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        raise Wrong(f"what was handed over is {kind_of(kind)}", "hand over the class itself")
    layer = kind(6, 10, rank=3, alpha=5)
    for name, shape in [("A", {"in_dim": 6, "rank": 3}), ("B", {"rank": 3, "out_dim": 10})]:
        if not hasattr(layer, name):
            raise Wrong(f"the layer has no {name}", f"self.{name} = ... in __init__")
        if not isinstance(getattr(layer, name), nn.Parameter):
            raise Wrong(
                f"{name} is no nn.Parameter",
                "no optimizer will find it: what makes a tensor a part of a module?",
            )
        a_tensor(getattr(layer, name), name, **shape)
    yield "A and B are parameters of the right shapes"
    A, B = layer.A.detach(), layer.B.detach()
    if not A.any() and not B.any():
        raise Wrong("A and B are both zero", "then no gradient reaches either of them")
    if not A.any():
        raise Wrong("A is zero and B isn't", "it would work; the task asks for it the other way")
    if B.any():
        raise Wrong("at the start the layer changes something", "which of the two must be zero?")
    if len(A.unique()) == 1 or close(A, kind(6, 10, rank=3, alpha=5).A):
        raise Wrong("A is the same in every layer, or everywhere", "random numbers were asked for")
    yield "A is random, B is zero"
    x = torch.randn(2, 4, 6)
    start = a_tensor(layer(x), "the output", B=2, T=4, out_dim=10)
    compare(start, torch.zeros(2, 4, 10), [], ("the first output isn't 0", "is something added?"))
    with torch.no_grad():
        layer.B.normal_()
    change = x @ A @ layer.B.detach()
    mistakes = [
        (change, "alpha has no effect", "by what is the change scaled?"),
        (change * 5 / 3, "scaled by alpha / rank", "that is the other habit: see section E.1"),
        (change / 5, "divided by alpha", "it scales up"),
        (x.repeat(1, 1, 2)[..., :10] + 5 * change, "x is added", "the change alone, please"),
    ]
    wrong = ("the output isn't alpha * x @ A @ B", "write the shape behind each product")
    compare(layer(x), 5 * change, mistakes, wrong)
    yield "the output is that of the formula"
    layer(x).square().sum().backward()
    if layer.A.grad is None or layer.B.grad is None:
        raise Wrong("no gradient reaches A or B", "is there a detach, .data or no_grad on the way?")
    square = kind(4, 4, rank=2, alpha=1)
    with torch.no_grad():
        square.B.normal_()
    x = torch.randn(5, 4)
    right = x @ square.A.detach() @ square.B.detach()
    compare(square(x), right, [], ("with a square layer it goes wrong", "is an axis turned?"))
    yield "it can learn, and takes inputs of any number of axes"


@exercise_check("E.3", "Merge by hand", "fill in", minutes=15, stars=2)
def merge(function):
    for d_in, d_out, bias in [(6, 9, True), (5, 5, True), (4, 7, False)]:
        linear = nn.Linear(d_in, d_out, bias=bias)
        A, B, alpha = torch.randn(d_in, 2), torch.randn(2, d_out), 3.0
        result = call(function, linear, A, B, alpha)
        if not isinstance(result, nn.Linear):
            raise Wrong(f"the result is {kind_of(result)}", "an nn.Linear was asked for")
        if result is linear:
            raise Wrong("the result is the old layer itself", "a new one was asked for")
        a_tensor(result.weight, "its weight", d_out=d_out, d_in=d_in)
        if (result.bias is None) == bias:
            raise Wrong(
                f"the old layer has {'a' if bias else 'no'} bias, and the new one hasn't the same",
                "nn.Linear(..., bias=...)",
            )
        x, W = torch.randn(8, d_in), linear.weight.detach()
        b = linear.bias.detach() if bias else torch.zeros(d_out)
        change = A @ B  # (d_in, d_out)
        right = x @ W.T + b + alpha * x @ change
        new_bias = result.bias.detach() if bias else b
        case = f"for a layer from {d_in} to {d_out}"
        mistakes = [
            (x @ W.T + b, f"{case} nothing has been added", "where do A and B come in?"),
            (x @ W.T + b + x @ change, f"{case} alpha is missing", "the change is scaled"),
            (x @ W.T + b + 1.5 * x @ change, f"{case} scaled by alpha / rank", "by alpha itself"),
            (alpha * x @ change + b, f"{case} the old weight is lost", "add, don't replace"),
            (
                x @ W.T + new_bias + alpha * x @ change,
                f"{case} the weight is right and the bias isn't",
                "a new nn.Linear has a random bias of its own",
            ),
        ]
        if d_in == d_out:
            turned = x @ W.T + b + alpha * x @ change.T
            look = "nn.Linear keeps its matrix as (out, in), and A @ B is (in, out)"
            mistakes.append((turned, "with a square layer the change is added untransposed", look))
        wrong = (f"{case} it computes something else", "W + what? Compare the shapes")
        compare(result(x), right, mistakes, wrong, atol=1e-4)
        if bias and result.bias.data_ptr() == linear.bias.data_ptr():
            raise Wrong(
                "the new layer's bias is that of the old layer: whoever trains one changes both",
                "copy its numbers, as those of the weight",
            )
    yield "the new layer computes what layer and change computed together, in three sizes"
    before = result(x).detach().clone()
    with torch.no_grad():
        linear.weight.mul_(2)
        A.mul_(2)
    compare(
        result(x),
        before,
        [],
        ("when the old layer is changed afterwards, the new one changes", "copy the numbers"),
    )
    if not isinstance(result.weight, nn.Parameter) or not result.weight.is_leaf:
        raise Wrong("its weight is no parameter of its own", "copy the numbers into it")
    yield "and owns its weights"


@exercise_check("E.4", "It forgot what it knew", "break it", minutes=15, stars=2)
def forgot(kind):
    if not isinstance(kind, type) or not issubclass(kind, nn.Module):
        raise Wrong(f"what was handed over is {kind_of(kind)}", "hand over the class itself")
    linear = nn.Linear(6, 9)
    weight = linear.weight.detach().clone()
    layer, x = kind(linear, 3, 2.0), torch.randn(4, 5, 6)
    value = a_tensor(layer(x), "the output", B=4, T=5, d_out=9)
    same = close(value, x @ weight.T + linear.bias.detach())
    free = linear.weight.requires_grad or linear.bias.requires_grad
    start = (
        "before any training its output differs from that of the linear layer",
        "at the start there should be no change: what are A and B then?",
    )
    base = (
        "a step of training moves the pretrained weights, too",
        "print name and requires_grad of its parameters: which should learn?",
    )
    if not same and free:
        raise Wrong(f"{start[0]}. (That isn't all)", "print both outputs, and the parameters")
    if not same:
        raise Wrong(f"one of two is mended, the weights are frozen; but {start[0]}", start[1])
    if free:
        raise Wrong(f"one of two is mended, at the start nothing changes; but {base[0]}", base[1])
    yield "at the start it is the linear layer, and that one is frozen"
    if not torch.equal(linear.weight.detach(), weight):
        raise Wrong("the pretrained weights are others now", "they should stay as they are")
    learn = {n: p for n, p in layer.named_parameters() if p.requires_grad}
    if {tuple(p.shape) for p in learn.values()} != {(6, 3), (3, 9)}:
        raise Wrong(
            f"{', '.join(learn) or 'nothing'} learns", "A and B, and nothing else, are to learn"
        )
    optimizer = torch.optim.SGD(learn.values(), lr=0.1)
    target, losses = torch.randn(4, 5, 9), []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (layer(x) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if losses[-1] >= losses[0]:
        raise Wrong(
            "in 30 steps the loss doesn't fall",
            "if A and B are both zero at the start, what gradient do they get?",
        )
    A, B = (next(p for p in learn.values() if p.shape == s) for s in [(6, 3), (3, 9)])
    right = x @ weight.T + linear.bias + 2.0 * (x @ A @ B)
    compare(layer(x), right, [], ("the change isn't alpha * x @ A @ B", "leave forward as it is"))
    yield "A and B learn"


class Outer(nn.Module):
    """Linear layers at three depths, and a norm."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.parts = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        return self.norm(self.parts(self.first(x)))


@exercise_check("E.5", "Half of the layers, and none of them learns", "break it", minutes=15,
                stars=2)  # fmt: skip
def half_of_the_layers(function):
    if not callable(function):
        raise Wrong(f"what was handed over is {kind_of(function)}", "hand over the function")
    small = {"vocab_size": 31, "context_length": 8, "emb_dim": 12, "n_heads": 2, "n_layers": 2}
    gpt = GPTModel(small | {"drop_rate": 0.0, "qkv_bias": False})
    for model, x in [(Outer(), torch.randn(3, 4)), (gpt, torch.randint(0, 31, (2, 5)))]:
        before = model(x).detach()
        linears = sum(isinstance(m, nn.Linear) for m in model.modules())
        function(model, 2, 3.0)
        layers = [m for m in model.modules() if isinstance(m, LinearWithLoRA)]
        all_in = len(layers) == linears
        a_and_b = {id(p) for m in layers for p in m.lora.parameters()}
        learn = {id(p) for p in model.parameters() if p.requires_grad}
        few = (
            f"{len(layers)} of {linears} linear layers of the {type(model).__name__} have got LoRA",
            "named_children gives the nearest parts only: who looks into those?",
        )
        none = (
            "no A and no B is trainable",
            "new parameters are trainable from birth: who freezes them afterwards?",
        )
        if not all_in and not learn:
            raise Wrong(f"{few[0]}. (That isn't all)", "print the model: where are the others?")
        if not all_in:
            raise Wrong(f"one of two is mended, A and B learn; but {few[0]}", few[1])
        if not learn:
            raise Wrong(f"one of two is mended, all layers have LoRA; but {none[0]}", none[1])
        if a_and_b - learn:
            raise Wrong(
                f"{len(a_and_b - learn)} of {len(a_and_b)} A and B are frozen",
                "when the function calls itself, what does each of these calls freeze?",
            )
        if learn - a_and_b:
            raise Wrong(
                f"{len(learn - a_and_b)} tensors besides A and B learn",
                "the pretrained weights are to stay, norms and embeddings among them",
            )
        if any(isinstance(m.linear, LinearWithLoRA) for m in layers):
            raise Wrong("a layer has been wrapped twice", "don't look into what you have wrapped")
        if {(m.lora.A.shape[1], m.lora.alpha) for m in layers} != {(2, 3.0)}:
            raise Wrong("rank and alpha aren't those that were given", "compare their order")
        compare(model(x), before, [], ("the model computes something else", "it should not, yet"))
        yield f"every linear layer of the {type(model).__name__} has LoRA; A and B alone learn"


NEEDED = {2: 2, 8: 7, 32: 19}  # measured with the notebook's cells


@exercise_check("E.6", "Which rank is enough?", "explore", minutes=15, stars=2)
def which_rank(measured, answer):
    if not isinstance(measured, dict) or set(measured) != set(NEEDED):
        shown = measured if isinstance(measured, dict) else kind_of(measured)
        raise Wrong(f"the measurements are {shown}", "keep the keys and fill in the values")
    if any(value is ... for value in measured.values()):
        raise NotImplementedError
    for true, value in measured.items():
        mine = a_number(value, f"the rank for {true!r}")
        if mine == NEEDED[true]:
            continue
        look = "set TRUE_RANK, run the cell, and read the line of 90 %"
        if mine == true:
            look = "it need not be the true rank: read the printed line"
        raise Wrong(f"for a true rank of {true} it isn't {mine}", look)
    yield "the three measurements are right"
    a_choice(
        answer,
        {
            "a": "compare your numbers with the true ranks, above all the last one",
            "b": "where the true rank is 2, what do further ranks add, and how steep is the curve?",
            "c": None,
        },
    )
    yield "and so is the answer: beyond the change's own rank one learns its noise"
