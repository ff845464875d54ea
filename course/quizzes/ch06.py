"""The quiz of chapter 6."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "Why is the classifier read at the last place?",
        {
            "It has seen the whole message, however long that is": (
                "A token sees itself and what stands before it. All words stand there or "
                "before the last place. (Padding before it may have seen them all too, but from "
                "which place on differs from message to message.)"
            ),
            "It holds the message's most important word": (
                "Mostly it holds padding, which is no word at all. What counts is what it has seen."
            ),
            "torch's cross-entropy expects the last place": (
                "It takes one row of logits per message and doesn't ask where they were read."
            ),
            "The other places were dropped by the new head": (
                "The head gives two logits for every place, (B, T, 2). We pick one of them."
            ),
        },
    ),
    Question(
        "A filter was trained with messages padded to 70 tokens. In use, somebody pads to 200. "
        "What happens?",
        {
            "Another place is read, with another position, and the probabilities move": (
                "No error comes, and clear messages may survive it. The length belongs to the "
                "filter like its weights."
            ),
            "An error, because the sizes don't fit": (
                "The model takes any length up to its context. An error would be kinder."
            ),
            "Nothing, since padding carries no words": (
                "It carries none, but it takes up places: another one is last now, behind more "
                "padding, with another position embedding."
            ),
        },
    ),
    Question(
        "In a data set 87 % of the messages are ham. A classifier has 87 % accuracy. What do you "
        "know?",
        {
            "Not even that it has looked at the messages": (
                "Who always says ham gets the same. The confusion matrix would tell the two apart."
            ),
            "That it finds 87 % of the spam": (
                "That would be recall. The accuracy counts ham and spam together, and ham is most."
            ),
            "That 87 % of what it calls spam is spam": (
                "That would be precision. It may call nothing spam at all."
            ),
        },
    ),
    Question(
        "The threshold for spam goes from 0.5 up to 0.95. What can't happen?",
        {
            "The recall rises": (
                "What was not called spam at 0.5 isn't at 0.95 either, so no more spam is found."
            ),
            "The recall falls": ("It does as soon as one spam message lies between 0.5 and 0.95."),
            "The precision rises": (
                "That is what one hopes for: fewer false alarms among the messages called spam."
            ),
            "The precision falls": (
                "It may: when the surest messages of all are false alarms, their share grows."
            ),
        },
    ),
    Question(
        "After every epoch you look at the TEST accuracy and keep the weights of the best epoch. "
        "What is wrong?",
        {
            "The number that you report is then partly luck": (
                "The best of several looks at the same messages is above what new messages will "
                "show. Choose by the validation part."
            ),
            "Nothing, as long as no gradient comes from the test part": (
                "A choice learns as well, without any gradient: it picks what fits these messages."
            ),
            "The weights have then been trained on the test part": (
                "They have not; no gradient came from it. It is the choice that has seen it."
            ),
        },
    ),
    Question(
        "Why may the outputs of the frozen blocks be kept and used again in every epoch?",
        {
            "Weights and inputs are the same each time, and there is no dropout": (
                "So the numbers are the same, and computing them again is work done twice."
            ),
            "Frozen blocks compute nothing": (
                "They do, in every forward pass. Only their gradients are left out."
            ),
            "Small differences between the epochs don't matter": (
                "There are none to forgive. Where there are (with dropout on, say), the lesson's "
                "function refuses to keep anything."
            ),
        },
    ),
    Question(
        "What does the loss of a two-class filter with a new, random head begin with?",
        {
            "About ln 2 ≈ 0.69": (
                "A guess between two classes: −ln ½. A first loss far from it is a reason to look."
            ),
            "About 10.8": (
                "That is −ln(1/50,257), a guess among all tokens. This head has two outputs."
            ),
            "About 0.5": (
                "Half of the answers are right, but the loss is no share of wrong answers: it is "
                "−ln p, and −ln ½ is 0.69."
            ),
        },
    ),
]
