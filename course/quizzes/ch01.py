"""The quiz of chapter 1."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "What does a language model compute?",
        {
            "A probability for every possible next token, given the text so far": (
                "One number for each of 50,257 tokens in our case, together 1. All else is made "
                "from that."
            ),
            "Whether a sentence is true": (
                "It knows usual from unusual, not true from false. What is fluent and wrong is its "
                "characteristic fault."
            ),
            "The best next sentence": (
                "It knows nothing of sentences. Sentences come about token by token."
            ),
            "The passage of its training text that fits best": (
                "It holds no passages to look up, only numbers. That it can recite some is a side "
                "effect."
            ),
        },
    ),
    Question(
        "Why doesn't one count, for every context, what follows it?",
        {
            "Because nearly every longer context is new": (
                "A table has nothing to say of what it has not seen. A computed probability treats "
                "similar contexts alike."
            ),
            "Because counting would take too long": (
                "Counting is quick, far quicker than training. The trouble is what there is to "
                "count."
            ),
            "Because words have several meanings": (
                "They have, but a table of long contexts would tell them apart. It never meets the "
                "context again."
            ),
        },
    ),
    Question(
        "Pretraining is called self-supervised. Where do the right answers come from?",
        {
            "From the text itself: the next token is the answer": (
                "So every place in every text is an exercise with its solution printed beside it."
            ),
            "From people who mark the model's answers": (
                "That is dear and slow, and belongs to later stages, with far less text."
            ),
            "From a larger model": (
                "That is done too, under the name of distillation. But somebody had to train the "
                "larger one."
            ),
            "There are none: the model only looks for groups of similar texts": (
                "That would be unsupervised grouping. Here each guess is compared with a known "
                "token."
            ),
        },
    ),
    Question(
        "You ask a base model a question. Why does it often not answer?",
        {
            "It continues the text as the texts that it read would go on": (
                "And in many texts a question is followed by more story, or by more questions. "
                "Fine-tuning with examples changes that."
            ),
            "It has no access to the internet": (
                "Neither has an instruction model by itself, and it answers, rightly or wrongly."
            ),
            "Its vocabulary lacks the words": (
                "The vocabulary of byte pair encoding can write every text."
            ),
        },
    ),
    Question(
        "In the second half of a sentence one word is changed. Which of the probabilities that a "
        "GPT gives to the sentence's tokens change?",
        {
            "That of the word, and those after it": (
                "Each token is judged by what stands before it, and only by that."
            ),
            "All of them": (
                "GPT doesn't look ahead. An encoder such as BERT does: there all would change."
            ),
            "Only that of the word": ("The word belongs to the context of all that follows it."),
        },
    ),
    Question(
        "With some examples in the prompt a model does a task better (few-shot). What has changed "
        "in the model?",
        {
            "Nothing: only the text that it reads is another": (
                "No weight moves. With the next prompt the examples are forgotten."
            ),
            "Its weights, a little": (
                "That would be fine-tuning. The chapter compared a fingerprint of all weights "
                "before and after: it is the same."
            ),
            "It has got the knowledge that was missing": (
                "Examples show the form of an answer. Capitals that the weights don't hold, it "
                "didn't learn from them."
            ),
        },
    ),
]
