"""The quiz of appendix F."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "A training step reaches an MFU of 40 percent. What does that say?",
        {
            "The machine could do the same products in 40 percent of the time": (
                "The operations that the step needs, divided by those the machine could have "
                "done meanwhile, are 0.4."
            ),
            "The processor was idle for 60 percent of the time": (
                "It may have been busy all the time, with passes over memory that count as "
                "nothing here."
            ),
            "The step takes 40 percent of the time of a plain one": (
                "MFU compares with the machine's limit, not with another program."
            ),
        },
    ),
    Question(
        "Why is a fused GELU several times faster than chapter 4's formula?",
        {
            "It goes over memory once instead of eight times": (
                "The arithmetic is the same. What costs time is fetching and storing tensors."
            ),
            "It computes fewer tanh": "One for each value, as before.",
            "It works in 16 bits": "It works in the data type of its input.",
        },
    ),
    Question(
        "On which machine does bf16 make a training step slower?",
        {
            "On one whose processor has no instructions for it": (
                "It must turn every number into 32 bits and back. So measure before you choose."
            ),
            "On every CPU": (
                "Some CPUs have instructions for it, and they gain most of all from it."
            ),
            "On one with little memory": "It needs less memory, not more.",
        },
    ),
    Question(
        "The fused loss computes its gradients in the forward pass. What does it save?",
        {
            "The room for the logits of all tokens and for two matrices of that size": (
                "A strip's logits are used up at once, and the next strip takes their room."
            ),
            "The product with the head's weights": "All three products of the head are made.",
            "The backward pass of the blocks": (
                "That one is as it was. Only the head's gradients are ready earlier."
            ),
        },
    ),
    Question(
        "Matrix products take 80 percent of a step and become four times as fast. And the step?",
        {
            "It becomes 2.5 times as fast": (
                "20 percent stay, 80 become 20: together 40 percent of the old time."
            ),
            "It becomes four times as fast": "Only if there were nothing but products.",
            "It becomes 3.2 times as fast": (
                "80 percent of 4 isn't it: times add up, not factors."
            ),
        },
    ),
    Question(
        "How does one know that a faster model is still the same model?",
        {
            "Logits, gradients and a whole loss curve agree to within a stated band": (
                "Each of the three finds mistakes that the others may miss."
            ),
            "Its tensors have the same shapes": (
                "A mask the wrong way round has the right shape, too."
            ),
            "Its loss falls": "That of many a wrong model falls as well.",
        },
    ),
]
