"""The quiz of appendix E."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "What does LoRA train?",
        {
            "Two thin matrices beside each chosen linear layer": (
                "Their product is a change of low rank. The layer's own matrix stays as it is."
            ),
            "A few of the layers, all others are frozen": (
                "That was chapter 6's way. With LoRA every linear layer may get a change."
            ),
            "The weights of the model, stored with fewer bits": (
                "That is quantisation, which goes well with LoRA, but is something else."
            ),
            "The largest entries of each matrix": (
                "No entry of the pretrained matrices moves at all."
            ),
        },
    ),
    Question(
        "At the start B is zero and A random. Why not both zero?",
        {
            "Neither would ever get a gradient": (
                "A's gradient comes through B, and B's through A."
            ),
            "The change would not be zero": ("It would be zero, and stay so. That is the trouble."),
            "The rank of a zero matrix is 1": "It is 0.",
        },
    ),
    Question(
        "After the training the change is merged into the weights. What is true?",
        {
            "The model is as fast and as large as before": (
                "W + ΔW has the shape of W. Nothing of LoRA is left to compute."
            ),
            "The outputs are the same to the last bit": (
                "The sums are formed in another order, so the last digits differ."
            ),
            "The adapter can still be taken out of the weights at any time": (
                "Only by whoever still has A and B: a sum doesn't remember its terms."
            ),
            "The model becomes larger by A and B": ("Unmerged it is. Merged, they are gone."),
        },
    ),
    Question(
        "Settings say rank 8, alpha 16, for a library that scales by alpha / rank. Which alpha is "
        "that in this appendix?",
        {
            "2": "16 / 8. Ours scales by alpha itself.",
            "16": "Then the change would be scaled eight times as much as meant.",
            "128": "That is the way from ours to theirs: theirs divides by the rank.",
        },
    ),
    Question(
        "`replace_linear_with_lora` is called, and after it `model.requires_grad_(False)`. What "
        "happens?",
        {
            "Nothing learns: A and B are frozen, too": (
                "They are parameters of the model like all others. Freeze first, wrap then."
            ),
            "Only A and B learn": (
                "That is what the other order gives. New parameters are trainable from birth."
            ),
            "An error, because A and B need gradients": (
                "No error comes here. One may come later, when backward finds nothing to do."
            ),
        },
    ),
    Question(
        "An adapter for a classifier is saved without the classifier's head. Later it is loaded "
        "into a model with a new head. What comes out?",
        {
            "Answers of another, random head": (
                "The head was random and not pretrained, so it belongs to what must be saved."
            ),
            "The same answers, since the head was frozen": (
                "Frozen, but random: another program start makes another one."
            ),
            "An error, since the adapter doesn't fit": (
                "All shapes fit. That makes it so easy to overlook."
            ),
        },
    ),
]
