"""Wrong answers to appendix A's exercises: see the package."""

OLDER = "numbers(version) < numbers(lowest)"
CUT = "return [*parts, 0, 0, 0, 0][:4]"
MOVED = "model(x.to(device))"
SHAPE = "model(x[:, None]).squeeze(-1)"
DIFFERENCE = "a[:, None] - b[None]"
POINT = "at.detach().clone().requires_grad_()"
BENT = "for layer in self.layers[:-1]:\n            x = torch.relu(layer(x))\n        "
LAST = "return self.layers[-1](x)"
VIEWS = '["b", "c", "f"]'

WRONG = {
    "A.1": [
        (OLDER, "version < lowest", "compare lists of whole numbers"),
        (
            OLDER,
            "float('.'.join(map(str, numbers(version)[:2]))) < "
            "float('.'.join(map(str, numbers(lowest)[:2])))",
            "2.13 is taken for older than 2.4",
        ),
        (OLDER, "numbers(version) <= numbers(lowest)", "the same version will do"),
        ('re.match(r"[\\d.]+", version)[0]', "version", "4.0.0rc1 isn't taken for 4.0.0"),
        (OLDER, "numbers(version) > numbers(lowest)", "new enough are reported"),
        (OLDER, "version != lowest", "new enough are reported"),
        (f"version is None or {OLDER}", f"version is not None and {OLDER}", "isn't there is over"),
        (f"version is None or {OLDER}", "version is None", "which of the two versions"),
        (f"version is None or {OLDER}", OLDER, "stopped with TypeError"),
        (CUT, "return parts", "a part that is missing counts as 0"),
        ("    return found", "    print(found)", "does every way through it end in `return`?"),
        ("version = version_of(name)", 'version = "9.9"', "was never asked"),
        ("return found", "return len(found)", "a list of names"),
    ],
    "A.2": [
        (MOVED, "model(x)", "on one device and the batch on another"),
        (MOVED, "model.to(x.device)(x)", "moved away from the model's device"),
        (MOVED, "model(x.to('cpu'))", "on one device and the batch on another"),
        (MOVED, "model(x.to(device)).to('cpu')", "and so does the result"),
        (MOVED, "model(x.to(device)).softmax(-1)", "these are probabilities"),
        (MOVED, "model(x.to(device)).argmax(-1)", "an axis got lost"),
        ("next(model.parameters()).device", "model.device", "stopped with AttributeError"),
        (MOVED, "NeuralNetwork(4, 3)(x.to('cpu'))", "the logits are others"),
    ],
    "A.3": [
        ("875", "820", "no biases are counted"),
        ("875", "870", "the last layer's biases"),
        ("875", "855", "the middle layer's biases"),
        ("875", "874", "the biases are counted by the INPUTS"),
        ("875", "773", "here there are 4 inputs"),
        ("875", "6", "parameter TENSORS"),
        ("875", "900", "too many"),
        ("875", "87.5", "it is a whole number"),
    ],
    "A.4": [
        (VIEWS, '["b", "c", "d", "f"]', "here a LIST of rows picks"),
        (VIEWS, '["b", "c", "e", "f"]', "e has numbers of its own"),
        (VIEWS, '["b", "c", "f", "g"]', "isn't contiguous"),
        (VIEWS, '["c", "f"]', "does turning a table need a copy?"),
        (VIEWS, '["b", "f"]', "what are strides for?"),
        (VIEWS, '["b", "c"]', "Can it here?"),
        (VIEWS, "[]", "b does too"),
        (VIEWS, '["a"]', "called b to g"),
        (VIEWS, "True", "write a list of letters"),
    ],
    "A.5": [
        (DIFFERENCE, "a - b", "stopped with RuntimeError"),
        (DIFFERENCE, "a[None] - b[:, None]", "the result is turned"),
        (".sum(dim=-1)", ".sum(dim=-1).sqrt()", "the SQUARED distances"),
        ("(difference**2).sum(dim=-1)", "difference.sum(dim=-1) ** 2", "the sum was squared"),
        ("(difference**2).sum(dim=-1)", "difference.abs().sum(dim=-1)", "square them"),
        ("(difference**2).sum(dim=-1)", "difference.sum(dim=-1)", "they may be negative"),
        ("(difference**2).sum(dim=-1)", "a @ b.T", "these are dot products"),
        (".sum(dim=-1)", ".mean(dim=-1)", "this is a mean"),
        (".sum(dim=-1)", ".sum(dim=0)", "look at N and M"),
        (".sum(dim=-1)", "", "an axis too many"),
        (DIFFERENCE, "a[:, None] - b[None] if len(a) != len(b) else a - b", "N=3, M=3"),
    ],
    "A.6": [
        ("= 14", "= 7", "what ONE walk back leaves"),
        ("= 14", "= 22", "one factor is detached"),
        ("= 14", "= 11", "detach makes a constant"),
        ("= 14", "= 28", "that is the VALUE"),
        ("= 14", "= 56", "twice the VALUE"),
        ("= 14", "= 6", "only the 3 w"),
        ("= 14", "= 8", "the 3 w is missing"),
        ("= 14", "= 0", "`backward` clears nothing"),
        ("= 14", "= 10", "the slope of each term"),
    ],
    "A.7": [
        (POINT, "at.requires_grad_()", "the second gradient is added to the first"),
        (POINT, "at.clone()", "stopped with RuntimeError"),
        ("return point.grad", "return -point.grad", "not the way down"),
        ("return point.grad", "return point.grad.sum()", "a slope for each number"),
        (
            "function(point).backward()\n    return point.grad",
            "return torch.autograd.grad(function(point), point)",
            "take the tensor out",
        ),
        (
            "function(point).backward()\n    return point.grad",
            "return torch.autograd.grad(function(point), point, create_graph=True)[0]",
            "still part of a graph",
        ),
        (
            "point = at.detach().clone().requires_grad_()",
            "at.grad = None\n    point = at.requires_grad_()",
            "it tracks gradients now",
        ),
        (
            "point = at.detach().clone().requires_grad_()",
            "point = at if at.requires_grad else at.detach().clone().requires_grad_()",
            "its `.grad` was changed",
        ),
        ("return point.grad", "return at.grad", "does every way through it end in `return`?"),
    ],
    "A.8": [
        (SHAPE, "model(x[:, None])", "but the line stays flat"),
        ("loss.item()", "loss", "drags its computation graph along"),
        ("        optimizer.zero_grad()\n", "", "the gradients add up"),
        (".mean()", ".sum()", "the losses are not those of a right fit"),
        ("lr=0.1", "lr=0.01", "the losses are not those of a right fit"),
        ("return losses", "return losses[-1]", "the loss of each of the 40 steps"),
        (SHAPE, "model(x)", "stopped with RuntimeError"),
    ],
    "A.9": [
        ("    model.eval()\n", "", "measured in training mode"),
        ("model.train(was_training)", "pass", "is left in evaluation mode"),
        ("model.train(was_training)", "model.train()", "is left in training mode"),
        (
            "right += (answers == labels).sum().item()\n        seen += len(labels)",
            "right += (answers == labels).float().mean().item()\n        seen += 1",
            "a point of the small last batch counts more",
        ),
        ("return right / seen", "return right", "this is a count"),
        ("return right / seen", "return right / 3", "divided by the number of batches"),
        ("argmax(dim=-1)", "argmax(dim=0)", "stopped with RuntimeError"),
        ("argmax(dim=-1)", "argmin(dim=-1)", "the accuracy is another"),
    ],
    "A.10": [
        ("nn.ModuleList(layers)", "layers", "one of two is mended, it bends"),
        (
            BENT + LAST,
            "for layer in self.layers:\n            x = layer(x)\n        return x",
            "one of two is mended, it has its parameters",
        ),
        (
            BENT + LAST,
            "for layer in self.layers:\n            x = torch.relu(layer(x))\n        return x",
            "the logits are bent as well",
        ),
        (
            BENT,
            "x = torch.relu(self.layers[0](x))\n        for layer in self.layers[1:-1]:\n"
            "            x = layer(x)\n        ",
            "a bend after the first layer only",
        ),
        ("torch.relu(layer(x))", "torch.tanh(layer(x))", "the outputs are others"),
        ("nn.Linear(k, m)", "nn.Linear(k, m, bias=False)", "the parameters have the shapes"),
        ("nn.Linear(k, m)", "nn.Linear(m, k)", "stopped with RuntimeError"),
        ("super().__init__()\n", "pass\n", "stopped with AttributeError"),
    ],
    "A.11": [
        ("8: 600", "8: 30", "in ONE epoch"),
        ("8: 600", "8: 601", "how many batches is that?"),
        ("8: 600, ", "", "keep the dictionary"),
        ('"b"', '"a"', "is there noise in the mean"),
        ('"b"', '"c"', "the network is the same"),
        ('"b"', '"d"', "sees every point 20 times"),
        ('"b"', '"e"', "write one of the letters"),
    ],
}
