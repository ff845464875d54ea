"""The quiz of chapter 4."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "Over which numbers does layer normalisation take its mean?",
        {
            "Over the channels of one token": (
                "So a token's result depends on this token alone, and not on its neighbours."
            ),
            "Over the tokens of a text": (
                "Then every token would depend on later ones, and the causal mask would be in vain."
            ),
            "Over the texts of a batch": (
                "Batch normalisation does that, in image networks. The result for one text would "
                "depend on which others happen to be beside it."
            ),
        },
    ),
    Question(
        "Why is there an activation function between the two linear layers?",
        {
            "Without it, the two would do no more than one": (
                "A matrix times a matrix is a matrix. Something bent must stand between them."
            ),
            "To keep the numbers between 0 and 1": (
                "GELU lets large numbers pass as they are, and goes a little below 0. Keeping "
                "numbers in range is the work of layer norm."
            ),
            "To bring the shape back to C channels": (
                "The second linear layer does that. GELU works on each number and changes no shape."
            ),
        },
    ),
    Question(
        "What does a shortcut do for training?",
        {
            "The gradient has a way to the lower layers on which nothing shrinks it": (
                "The slope of x + f(x) is 1 + f′(x): close to 1 where f′ is small, and a product "
                "of many such factors doesn't vanish."
            ),
            "It skips layers that aren't needed, which saves time": (
                "Nothing is skipped: f(x) is computed and added. It costs one more addition."
            ),
            "It keeps the numbers of the stream small": (
                "Adding makes them grow. That is why the branches read a normalised copy."
            ),
        },
    ),
    Question(
        "In which part of the model does information move from one token to another?",
        {
            "In attention only": (
                "All else (embeddings, norms, feed-forward, head) treats each token by itself."
            ),
            "In attention and in the feed-forward network": (
                "The feed-forward network works on each token alone: section 4.3 checks it."
            ),
            "In the layer norms": (
                "They take the mean over one token's channels. If they mixed tokens, the future "
                "would leak."
            ),
            "In the position embedding": (
                "It adds a vector that depends on the place, and not on any other token."
            ),
        },
    ),
    Question(
        "A model's output head was tied to its embedding. What is right?",
        {
            "There is one table, and it gets the gradients of both uses": (
                "Both names mean one Parameter. It can't drift apart, and is counted once."
            ),
            "There are two tables with the same numbers": (
                "That is a copy. It agrees today, and after the first step of training no longer."
            ),
            "The embedding is no longer trained": (
                "It is trained from both ends: as what is read, and as what is to come next."
            ),
            "The model has as many parameters as before": (
                "It has V × C fewer: for GPT-2 small, 38.6 million of 163."
            ),
        },
    ),
    Question(
        "GPT-2 small is asked for the next token after a text of 5 tokens. Its logits are "
        "(1, 5, 50257). Which of them count?",
        {
            "The last row, `logits[:, -1]`": (
                "Row t is about what follows token t. Only the last is about something new."
            ),
            "The first row, `logits[:, 0]`": (
                "That is what might follow the first token, and the second token is known already."
            ),
            "The mean over the five rows": (
                "The five rows answer five different questions; their mean answers none."
            ),
            "The last column, `logits[..., -1]`": (
                "That is the score of a single vocabulary entry, <|endoftext|>, at all five places."
            ),
        },
    ),
    Question(
        "A model gives another text for the same prompt at each call, with greedy decoding. What "
        "has most likely been forgotten?",
        {
            "`model.eval()`": (
                "Dropout is still on and draws anew at each call. Greedy decoding itself has no "
                "randomness."
            ),
            "`torch.no_grad()`": ("That saves memory and time, and changes no result."),
            "The causal mask": (
                "Without it the model would be another one, but the same at each call."
            ),
            "A fixed seed before each call": (
                "That would hide the symptom: nothing in the process should be random at all."
            ),
        },
    ),
]
