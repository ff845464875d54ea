"""The checks under the cells: each states a claim, tests it, and says so.

`✓` lines in a notebook's output come from here and from nowhere else.
"""

import torch


def check(claim, holds):
    """Print `✓ claim` when `holds` is true, else raise AssertionError with the claim."""
    if not bool(holds):
        raise AssertionError(f"this should hold and does not: {claim}")
    print(f"✓ {claim}")


def check_close(claim, value, expected, atol=1e-4):
    """Like `check`, for numbers, lists and tensors that agree to within `atol` everywhere.

    Shapes must be equal. A failure tells both values and the largest difference.
    """
    value = torch.as_tensor(value).detach().cpu().double()
    expected = torch.as_tensor(expected).detach().cpu().double()
    if value.shape != expected.shape:
        raise AssertionError(
            f"{claim}: the shape is {tuple(value.shape)}, expected {tuple(expected.shape)}"
        )
    if not torch.allclose(value, expected, rtol=0, atol=atol):
        worst = (value - expected).abs().max().item()
        raise AssertionError(
            f"{claim}: got {value.tolist()}, expected {expected.tolist()} "
            f"(largest difference {worst:.3g}, allowed {atol:.3g})"
        )
    print(f"✓ {claim}")


def check_raises(claim, error, function):
    """Call `function()`, expect `error`, and show the message that a user would read."""
    try:
        function()
    except error as caught:
        print(f"✓ {claim}\n  {type(caught).__name__}: {caught}")
    else:
        raise AssertionError(f"{claim}: no {error.__name__} was raised")
