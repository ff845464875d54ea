"""The quiz of appendix D."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "Why is the learning rate warmed up?",
        {
            "Adam's first steps are large and know a single batch": (
                "They move every weight by the full rate, before its means are worth anything."
            ),
            "The processor needs some steps to reach full speed": (
                "The first step may be slower in seconds, but the rate has nothing to do with it."
            ),
            "Small first steps prevent overfitting": (
                "Overfitting comes late, after many passes over the same text."
            ),
        },
    ),
    Question(
        "A run with a cosine schedule is stopped after half of its steps. What have you got?",
        {
            "A model that was still being shaken by large steps": (
                "The settling comes with the small rates at the end. Half a schedule isn't the "
                "schedule of half a run."
            ),
            "The same as a run planned for half of the steps": (
                "That one would have come down to small rates by now."
            ),
            "A model that has learnt nothing yet": (
                "It has learnt most of what it will; the losses fall early on."
            ),
        },
    ),
    Question(
        "The gradients' norm is 4 and max_norm is 1. What does clipping by norm do?",
        {
            "It divides every gradient by 4": (
                "All by the same factor: the direction stays, the length becomes 1."
            ),
            "It cuts every gradient above 1 down to 1": (
                "That would be clipping by value, and it turns the direction."
            ),
            "It sets the gradients that are too large to 0": (
                "Nothing is thrown away; everything is shortened."
            ),
            "It skips the step": "The step is made, with a shorter gradient.",
        },
    ),
    Question(
        "Adam divides by √v. What is clipping needed for, then?",
        {
            "A single huge gradient would stay in v for a thousand steps": (
                "And as long as v is large, the weight crawls."
            ),
            "Without it one huge gradient makes one huge step": (
                "Not with Adam: its steps are of the size of the learning rate. With plain "
                "gradient descent it would."
            ),
            "It isn't needed at all": (
                "The lesson shows a weight that is all but stopped by one accident."
            ),
        },
    ),
    Question(
        "Four parts of a batch are summed by four calls of backward. What must each loss be "
        "multiplied with?",
        {
            "Its share of all targets that count": (
                "Then the result is the gradient of the mean over all of them."
            ),
            "1/4, always": (
                "Only where all parts have as many counted targets. With −100 among them they "
                "haven't."
            ),
            "Nothing: backward adds up rightly by itself": (
                "It adds. Four means added are four times a mean."
            ),
        },
    ),
    Question(
        "A checkpoint holds weights and nothing else. What happens after resuming with AdamW?",
        {
            "Its means begin at 0: the first steps are large and badly aimed": (
                "Often the loss jumps. The optimizer's state belongs to the checkpoint, and so "
                "do the step's number and the random states."
            ),
            "Nothing, since the means come back within one step": (
                "v needs about a thousand steps."
            ),
            "An error, because the optimizer has no state": (
                "A new optimizer starts without one and is content. An error would be kinder."
            ),
        },
    ),
]
