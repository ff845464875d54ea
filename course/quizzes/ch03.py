"""The quiz of chapter 3."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "Why must the rows of the attention weights add up to 1, and not the columns?",
        {
            "A row belongs to one query, which mixes the values of all keys": (
                "A context vector is a weighted mean, and the weights of a mean add up to 1."
            ),
            "A column belongs to one query": (
                "A column belongs to a key. It tells how much all the queries look at it, and a "
                "token that matters to many may well get more than 1 in all."
            ),
            "It makes no difference, the matrix is symmetric": (
                "The scores `x @ x.T` are symmetric, the weights aren't: each row is divided by "
                "a sum of its own. With trained matrices not even the scores are."
            ),
        },
    ),
    Question(
        "What does the division by √D achieve?",
        {
            "Scores keep a spread of about 1, however wide the head is": (
                "A dot product of D random terms has a spread of √D. Divided by it, the softmax "
                "stays soft and its gradient alive."
            ),
            "It makes the weights of a row add up to 1": (
                "The softmax does that, whatever the scale of the scores is."
            ),
            "It keeps torch's softmax from overflowing": (
                "torch's softmax subtracts the largest score first and doesn't overflow, at any "
                "scale. The trouble is that it picks one token instead of mixing."
            ),
            "It makes long texts as sharp as short ones": (
                "It only takes care of the width. More tokens share the same sum of 1."
            ),
        },
    ),
    Question(
        "We hide later tokens by setting their scores to 0 before the softmax. What happens?",
        {
            "They still get some weight": (
                "e⁰ = 1, so 0 is a score like any other, and above every negative one. Only −∞ "
                "becomes a weight of 0."
            ),
            "They get the weight 0": (
                "That would need e^score = 0, and e⁰ is 1. Zeroing the *weights*, after the "
                "softmax, would do it, but then the rows no longer add up to 1."
            ),
            "The weights become nan": (
                "nan would come from a row that is −∞ everywhere. Zeros are harmless numbers, and "
                "that is the trap: nothing warns you."
            ),
        },
    ),
    Question(
        "A causal mask was put in upside down, so that each token sees only itself and LATER "
        "ones. Which test finds it?",
        {
            "Change the last token and see whether earlier outputs move": (
                "With the right mask none of them moves; with the inverted one they do."
            ),
            "Test the shape of the output": (
                "The shape is the same whichever side is hidden. Bugs of this kind live long "
                "where only shapes are tested."
            ),
            "Test that all rows of the weights add up to 1": (
                "They do, with either mask: the softmax sees to it."
            ),
            "Look whether the loss falls in training": (
                "It falls all the better, for the model sees the token it is to predict. It is in "
                "writing that such a model fails."
            ),
        },
    ),
    Question(
        "Dropout with a rate of 0.1 falls on the attention weights. What is right?",
        {
            "In training, what stays is divided by 0.9; after `eval()` nothing happens": (
                "So the mean over many draws is the undropped weight, and both modes agree on "
                "average."
            ),
            "In training the rows still add up to exactly 1": (
                "Only on average. In a single draw a row may add up to more or to less, or even "
                "lose all its weights."
            ),
            "After `eval()` all weights are multiplied by 0.9": (
                "So the first papers did it. torch enlarges the survivors in training instead, "
                "and leaves evaluation alone."
            ),
        },
    ),
    Question(
        "A layer has 768 channels. What changes when it has 12 heads instead of 1?",
        {
            "The number of ways in which a token can share out its look": (
                "Each head has a softmax of its own, so a token can look at several things at "
                "once. The number of parameters is the same."
            ),
            "It has 12 times as many parameters": (
                "The matrices stay 768 × 768; their outputs are cut into 12 parts of 64 channels. "
                "(Only the wrapper, where `d_out` counts one head, would grow.)"
            ),
            "The output gets 12 times as many channels": (
                "In `MultiHeadAttention` `d_out` counts all heads together. It is the wrapper "
                "that lays heads of `d_out` channels side by side."
            ),
            "Later tokens become visible to some of the heads": (
                "All heads share one causal mask."
            ),
        },
    ),
    Question(
        "`x` is `(B, T, H * D)`. Why isn't `x.view(B, H, T, D)` the way to cut it into heads?",
        {
            "The shape is right, but head 0 gets all channels of the first tokens": (
                "`view` only counts the same numbers differently. Cut the last axis first, "
                "`(B, T, H, D)`, and then transpose."
            ),
            "It raises an error, because the sizes don't fit": (
                "The product of the sizes is the same, so `view` is content. An error would be "
                "kinder."
            ),
            "It is the way; transpose only makes it faster": (
                "transpose doesn't touch the numbers in memory, but it decides which ones belong "
                "to a head. Without it the contents are wrong."
            ),
        },
    ),
]
