"""The quiz of chapter 5."""

from course.quizzes import Question

QUESTIONS = [
    Question(
        "With a vocabulary of 50,257 a training starts at a loss of 10.8. What does it say?",
        {
            "It knows nothing yet, and nothing is wrong": (
                "ln 50,257 is 10.82: the loss of somebody who gives every token the same chance."
            ),
            "The learning rate is too high": (
                "This is the loss before the first step, so no learning rate has had a say in it."
            ),
            "One token in ten is predicted rightly": (
                "A loss isn't a count of errors. It is the mean of minus the logarithm of the true "
                "token's probability, which is about 1 in 50,000 here."
            ),
            "The targets are wrong, since a loss should begin below 1": (
                "Below 1 the model would give the true token more than a third, on average. No "
                "untrained model can."
            ),
        },
    ),
    Question(
        "Perplexity is the exponential of the loss. What does a perplexity of 20 mean?",
        {
            "The model is as unsure as one that chooses among 20 equally likely tokens": (
                "So the best possible perplexity is 1. There is no worst."
            ),
            "20 % of the tokens are wrong": (
                "Right and wrong are not counted, only the true tokens' probabilities matter."
            ),
            "The true token is, on average, the model's 20th choice": (
                "Ranks don't enter. A true token on place 2 may have a probability of 0.4 or 0.001."
            ),
        },
    ),
    Question(
        "What does `F.cross_entropy` want?",
        {
            "Logits `(N, V)` and ids `(N,)`": (
                "It takes the softmax itself, in a form that neither overflows nor underflows."
            ),
            "Probabilities `(N, V)` and ids `(N,)`": (
                "It would run without an error, and the softmax would come twice: the loss can't "
                "fall below a bound then, and the model hardly learns."
            ),
            "Logits `(B, T, V)` and ids `(B, T)`, as the model gives them": (
                "With more than two axes it takes the SECOND for the classes, here T. That is why "
                "batch and tokens are laid end to end."
            ),
            "The favourite's id and the true id": (
                "From two ids there is no gradient: one can't be a little more right than another."
            ),
        },
    ),
    Question(
        "The training loss goes on falling, the validation loss has begun to rise. What happens?",
        {
            "The model stores the training text instead of learning more of the language": (
                "Overfitting. More text is the cure; stopping earlier at least does no harm."
            ),
            "The learning rate is too small": (
                "Then both would fall slowly. The model learns quite well here, only not what we "
                "want."
            ),
            "Dropout was forgotten in the validation": (
                "In validation dropout is to be off. Left on, it would raise the loss in all "
                "epochs, not more and more."
            ),
            "The validation text has become harder": (
                "It is the same text each time. It is the model that has changed."
            ),
        },
    ),
    Question(
        "`optimizer.zero_grad()` is forgotten. What happens?",
        {
            "Each step follows the sum of all gradients so far": (
                "`backward` adds to what stands in `.grad`. It often trains all the same, only "
                "worse, so nobody notices."
            ),
            "An error, since the graph was used already": (
                "Each batch makes a graph of its own. That error comes from two `backward` through "
                "the same one."
            ),
            "Nothing: AdamW keeps running means of the gradients anyway": (
                "Its means forget old gradients little by little. A sum forgets nothing, and goes "
                "into the means again in every step."
            ),
        },
    ),
    Question(
        "You divide the logits by a temperature of 0.5. What happens to the probabilities?",
        {
            "The favourites gain, the outsiders lose": (
                "Differences between logits are doubled. Near 0 only the favourite is left."
            ),
            "All are doubled": "Probabilities add up to 1, before and after.",
            "The outsiders gain, the text gets more varied": (
                "That is a temperature above 1: it makes differences smaller."
            ),
            "The order of the tokens changes": (
                "Dividing by a positive number changes no order. The greedy choice stays the same "
                "at any temperature."
            ),
        },
    ),
    Question(
        "You want to go on with a training tomorrow, exactly as if it had not been interrupted. "
        "What must be saved?",
        {
            "Weights, the optimiser's state and the random state": (
                "The optimiser holds two running means for every weight; the random state decides "
                "shuffling and dropout."
            ),
            "The weights": (
                "Enough to use the model. The optimiser would begin with empty means, and the "
                "batches would come in another order."
            ),
            "Weights and gradients": (
                "Gradients are cleared before the next batch anyway. What lasts from step to step "
                "is in the optimiser."
            ),
            "The whole model object, with `torch.save(model, path)`": (
                "That stores code by reference, breaks when the code changes, needs "
                "`weights_only=False` to load, and still lacks the optimiser."
            ),
        },
    ),
    Question(
        "OpenAI's matrices must be transposed to fit into `nn.Linear`. For the `out_proj` of one "
        "block, which is a square, somebody forgot. How does one notice?",
        {
            "By comparing activations, layer by layer, with an independent computation": (
                "The first place where the two differ is where the bug is."
            ),
            "By the error message": (
                "A square fits either way round. Only the matrices of the feed-forward network "
                "would complain."
            ),
            "The text is noise": (
                "With one wrong matrix of many it is still English, a little worse. You would call "
                "it a weak model and go on."
            ),
            "The number of parameters is wrong": ("Turned or not, a matrix has as many numbers."),
        },
    ),
]
