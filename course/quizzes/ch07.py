"""The quiz of chapter 7."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "What is new in instruction fine-tuning, compared with pretraining?",
        {
            "The documents: a task, its answer, the end": (
                "Model, loss and loop are the old ones. The habit of answering comes from the data."
            ),
            "The loss: it compares whole answers with the wanted ones": (
                "It is still cross-entropy at the next token. Whole answers are compared later, "
                "when the result is measured."
            ),
            "The model: it gets a head for answers": (
                "That was chapter 6's way, a head for two classes. Here the output head stays."
            ),
        },
    ),
    Question(
        "Why does each row of targets keep one end mark, and only one?",
        {
            "So that the model learns to stop, and not to write ends for ever": (
                "The first end mark is the lesson; the filling behind it teaches nothing."
            ),
            "Because the loss needs at least one target per row": (
                "It doesn't: only a batch without any counted target gives nan."
            ),
            "Because 50256 is the number that cross-entropy skips": (
                "It skips −100. A target of 50256 counts like any other token."
            ),
            "So that all rows get the same length": (
                "The filling does that, whatever is written into the targets."
            ),
        },
    ),
    Question(
        "A batch of targets is −100 everywhere. What is its mean loss?",
        {
            "nan: nothing is divided by nothing": (
                "It teaches nothing, its gradient is 0, and the nan spoils every mean of "
                "losses that it gets into. Refuse or drop such a batch."
            ),
            "0, since nothing is wrong": ("The sum is 0, and so is the count: 0 / 0 is nan."),
            "About 10.8, as for a guess": (
                "A guess is measured at targets that count, and none does."
            ),
        },
    ),
    Question(
        "Prompts of unequal length, our GPT, one batch. Where does the filling go?",
        {
            "To the right, and each row is read at its own last token": (
                "The text keeps its positions, and causal attention doesn't see what stands behind."
            ),
            "To the left, and all rows are read at the last place": (
                "Many libraries do so, with a mask and shifted positions. Without these the text "
                "stands at positions where it doesn't belong."
            ),
            "To the right, and all rows are read at the last place": (
                "That is padding in every row but the longest, and what follows it is nonsense."
            ),
        },
    ),
    Question(
        "With masked prompts the training loss is another number than without. Which run is "
        "better?",
        {
            "The losses can't tell: they count different tokens": (
                "Measure both with one yardstick, such as the loss on unseen answers."
            ),
            "The one with the lower training loss": (
                "Prompts are partly always the same and easy to foretell. To count them makes the "
                "number small, not the answers good."
            ),
            "The masked one: it never learns anything superfluous": (
                "It also learns from fewer tokens. In the lesson a middle way was tried as well; "
                "the validation part decides."
            ),
        },
    ),
    Question(
        "An answer has a high chrF. What does that say?",
        {
            "It shares many short pieces of text with the wanted answer": (
                "That is form. A false word in the right sentence costs it little."
            ),
            "It means the same": (
                "'The opposite of cold is cold' scores higher than 'Hot.' Meaning is not measured."
            ),
            "It equals the wanted answer but for white space": (
                "That would be exact match, or a chrF of 100."
            ),
        },
    ),
    Question(
        "A judge's reply holds no readable mark. What should become of it?",
        {
            "None: it is left out of the mean, and counted aloud": (
                "Then everybody sees how many answers the mean is based on."
            ),
            "0, to be on the safe side": (
                "Then the mean falls with the judge's chattiness, whatever the answer was."
            ),
            "The mean of the other marks": (
                "It changes no mean and hides that something is missing."
            ),
            "Ask until a mark comes": (
                "At temperature 0 and with a fixed seed the same reply comes again."
            ),
        },
    ),
]
