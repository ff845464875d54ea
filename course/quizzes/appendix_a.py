"""The quiz of appendix A."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "Predictions are `(8, 1)`, targets `(8,)`. What is the shape of their difference?",
        {
            "`(8, 8)`": (
                "Lined up at the right, 1 stands over 8 and is repeated. No error, and a loss that "
                "compares everything with everything."
            ),
            "`(8, 1)`": "The 1 is repeated 8 times, since the 8 of the targets stands below it.",
            "`(8,)`": "Nothing takes a dimension away here: that would be `squeeze`.",
            "None, it is an error": "An error would be kinder. 1 fits every size.",
        },
    ),
    Question(
        "What does `table.T` do?",
        {
            "It gives a view of the same numbers with the strides swapped": (
                "So it costs nothing, and a change in one is a change in the other."
            ),
            "It copies the numbers in another order": (
                "Nothing is copied. `table.T.contiguous()` would."
            ),
            "It does the same as `table.view(3, 2)` for a `(2, 3)` table": (
                "`view` keeps the reading order and cuts it elsewhere. The shape is the same, the "
                "numbers stand in other places."
            ),
        },
    ),
    Question(
        "You call `loss.backward()` for two batches and never clear. What is in `.grad`?",
        {
            "The sum of both gradients": "`backward` adds. Somebody has to clear: `zero_grad`.",
            "The gradient of the second batch": (
                "It isn't replaced. That is of use for large batches in parts, and a bug otherwise."
            ),
            "The mean of both gradients": "Nobody divides. For a mean, divide each loss by 2.",
            "Nothing, the second call is an error": (
                "The error comes from two walks through ONE graph. Here are two graphs."
            ),
        },
    ),
    Question(
        "What is the difference between `model.eval()` and `torch.no_grad()`?",
        {
            "The first changes what is computed, the second whether it is noted down": (
                "`eval` switches dropout off; `no_grad` saves the graph. To measure you want both."
            ),
            "None, one is for models and one for tensors": (
                "After `eval()` gradients are still tracked, and under `no_grad` dropout still "
                "drops."
            ),
            "`eval()` frees the memory of the weights": (
                "The weights stay. It is `no_grad` that saves memory: that of the graph."
            ),
        },
    ),
    Question(
        "A module keeps its layers in a Python list: `self.layers = [nn.Linear(2, 2)]`. What "
        "happens?",
        {
            "It computes, and the layers are not trained, saved or moved": (
                "`parameters()` doesn't see into a list. `nn.ModuleList` is the mend."
            ),
            "An error when the module is called": (
                "The call works, for `forward` knows the list. That is why the bug goes unnoticed."
            ),
            "Nothing, lists are as good": (
                "For `forward` they are. For `parameters()`, `state_dict()` and `to()` they are "
                "invisible."
            ),
        },
    ),
    Question(
        "Why load a file of weights with `weights_only=True`?",
        {
            "Because the file could otherwise run code as it is loaded": (
                "A pickle can hold any call. With `weights_only=True` only tensors and plain "
                "values come in."
            ),
            "Because it is faster": "Speed isn't the point. Safety is.",
            "Because the optimiser's state would not fit into memory": (
                "What is in the file is loaded either way; an optimiser's state is plain tensors "
                "and comes in too."
            ),
        },
    ),
]
