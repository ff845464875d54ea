"""The quiz of chapter 2."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "Why does a model get vectors, and not the token ids themselves?",
        {
            "Ids are names: that one is larger than another means nothing": (
                "A network adds and multiplies, and with ids that makes no sense. With vectors, "
                "alike can mean a similar direction."
            ),
            "Ids would take more memory": (
                "An id is one number, a vector of GPT-2 is 768. Memory speaks for the ids."
            ),
            "Ids can't be put into a tensor": (
                "They can, as whole numbers, and that is how they enter the model. But then each "
                "is looked up in a table of vectors."
            ),
        },
    ),
    Question(
        "`SimpleTokenizerV2` has the token `<|unk|>`. What is its price?",
        {
            "Different texts become the same ids, and the word can't be brought back": (
                "All unknown words look alike afterwards. It no longer stops, which isn't the "
                "same as working."
            ),
            "The vocabulary becomes twice as large": (
                "It grows by one entry, for all unknown words together."
            ),
            "It stops with an error at the first unknown word": (
                "That was V1. V2 replaces the word and goes on."
            ),
        },
    ),
    Question(
        "Why is there no text that byte pair encoding can't encode?",
        {
            "Each of the 256 bytes is a token": (
                "Every text is bytes. What the merges don't cover is spelt byte by byte."
            ),
            "Its 50,257 tokens cover all words of all languages": (
                "There are far more words, and new ones every day. What is rare is put together "
                "from parts."
            ),
            "Unknown words are left out": (
                "Nothing is left out: decoding gives the text back, to the last space."
            ),
            "It learns a new token when it meets a new word": (
                "Merges are learned once, in training. Encoding only applies them."
            ),
        },
    ),
    Question(
        "Encoding a new text: which pair is merged first?",
        {
            "The one that was learned earliest in training": (
                "Encoding repeats the training's decisions in the training's order."
            ),
            "The one that is most frequent in the new text": (
                "Frequencies were counted in training. Counting anew would give the same word "
                "other ids in another text."
            ),
            "The first from the left that is in the list": (
                "Then an early merge could find its parts used up by a later one, and other ids "
                "would come out than in training."
            ),
            "The one that makes the longest token": (
                "Length plays no part, only the order in which merges were learned."
            ),
        },
    ),
    Question(
        "A text has 100 tokens. How many windows of 20 tokens are there with a stride of 20?",
        {
            "4": (
                "They begin at 0, 20, 40 and 60. One at 80 would need a token 100 for its last "
                "target, and tokens are counted from 0 to 99."
            ),
            "5": (
                "The fifth would have inputs 80 to 99, and no target for the last of them: a "
                "window needs one token more than its length."
            ),
            "80": "That would be stride 1: a window at every place from 0 to 79.",
            "81": "Off by two: that is stride 1, and one window without its last target.",
        },
    ),
    Question(
        "What is right about inputs and targets?",
        {
            "The target is the input, moved on by one token": (
                "At each place the model is asked for the next token, so a window of T tokens "
                "holds T tasks."
            ),
            "The target is the last token of the input": (
                "The model can see that one. It is asked for what comes after it, and at every "
                "place, not only at the end."
            ),
            "The target is the same as the input": (
                "Then there would be nothing to predict. The loss would fall to zero, and the "
                "model would have learned to copy."
            ),
            "The target is the next window": (
                "With stride T it would begin T tokens later. It is one token later."
            ),
        },
    ),
    Question(
        "What would a GPT without position vectors make of “dog bites man” and “man bites dog”?",
        {
            "It gets the same set of vectors for both": (
                "The look-up gives a token the same vector at every place, and attention treats "
                "what it looks at as a set."
            ),
            "It gets the order from the order of the ids": (
                "The rows do stand in this order, but attention's sums don't depend on it. Only "
                "the causal mask brings in a little order."
            ),
            "It can't be run, the shapes no longer fit": (
                "Position vectors are added and change no shape. It runs without a word of "
                "warning, which is why it is easily forgotten."
            ),
        },
    ),
]
