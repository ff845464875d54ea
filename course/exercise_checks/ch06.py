"""The checks of chapter 6's exercises."""

import contextlib

import torch
import torch.nn.functional as F
from torch import nn

from course.exercise_checks import (
    Wrong,
    a_choice,
    a_number,
    a_tensor,
    call,
    close,
    compare,
    exercise_check,
    kind_of,
    must_refuse,
)
from previous_chapters import GPTModel, make_classifier

TINY = {
    "vocab_size": 31,
    "context_length": 9,
    "emb_dim": 12,
    "n_heads": 2,
    "n_layers": 4,
    "drop_rate": 0.0,
    "qkv_bias": False,
}


def tiny_classifier(trainable="all", classes=2):
    return make_classifier(GPTModel(TINY), classes, trainable).eval()


def shares(measured, names, what):
    """The measured shares as floats, or Wrong; `...` among them: not answered yet."""
    if not isinstance(measured, dict) or set(measured) != set(names):
        shown = measured if isinstance(measured, dict) else kind_of(measured)
        raise Wrong(
            f"the measurements are {shown}",
            "keep the dictionary with its keys as it stands, and fill in the values",
        )
    if any(value is ... for value in measured.values()):
        raise NotImplementedError
    found = {n: a_number(v, f"the {what} for {n!r}", whole=False) for n, v in measured.items()}
    for name, value in found.items():
        if not 0 <= value <= 1:
            raise Wrong(
                f"the {what} for {name!r} is {value}", "write a share between 0 and 1, as printed"
            )
    return found


# Measured with the notebook's cells; another processor may judge a message or two otherwise.
BY_LENGTH = {32: 0.717, 64: 0.700, 128: 0.692, 256: 0.658}
BY_PLACE = {"first": 0.625, "last": 0.717, "last word": 0.725, "mean": 0.792}
MAY_DIFFER = 0.03


def as_measured(found, right, look):
    for name, value in found.items():
        if abs(value - right[name]) > MAY_DIFFER:
            raise Wrong(f"for {name!r} the accuracy isn't {value}", look)


@exercise_check("6.1", "Longer, with nothing in it", "explore", minutes=15, stars=2)
def longer(measured, answer):
    found = shares(measured, BY_LENGTH, "accuracy")
    look = "set LENGTH to this number, run the cell, and write what stands behind `accuracy`"
    as_measured(found, BY_LENGTH, look)
    yield "the four measurements are right"
    a_choice(
        answer,
        {
            "a": "compare the accuracies of 64 and 256: which is higher?",
            "b": None,
            "c": "compare the seconds: a padding token goes through every block, like any other",
        },
    )
    yield "and so is the answer: padding is paid for, and wins nothing"


def learning_parts(model):
    """Names of the parts with a trainable parameter, and of those that are trainable in part."""
    found = {}
    for name, parameter in model.named_parameters():
        part = ".".join(name.split(".")[: 2 if name.startswith("trf_blocks") else 1])
        found.setdefault(part, set()).add(parameter.requires_grad)
    return {part for part, grads in found.items() if True in grads}, [
        part for part, grads in found.items() if len(grads) == 2
    ]


def wanted_parts(blocks, layers):
    parts = {f"trf_blocks.{i}" for i in range(layers - blocks, layers)} | {"final_norm", "out_head"}
    return parts | ({"tok_emb", "pos_emb"} if blocks == layers else set())


@exercise_check("6.2", "How much should learn?", "fill in", minutes=15, stars=2)
def open_up(function):
    layers = TINY["n_layers"]
    for blocks, before in [(1, "all"), (2, "head"), (3, "all"), (0, "all"), (4, "head")]:
        model = call(function, tiny_classifier(before), blocks)
        if not isinstance(model, GPTModel):
            raise Wrong(f"the result is {kind_of(model)}", "give the model back, as it came")
        learn, torn = learning_parts(model)
        asked = f"for blocks={blocks}"
        if torn:
            raise Wrong(
                f"{asked} only a part of {torn[0]} learns", "a part learns as a whole or not at all"
            )
        wanted = wanted_parts(blocks, layers)
        if blocks == 0 and learn >= wanted_parts(layers - 1, layers):
            raise Wrong(
                "for blocks=0 all the blocks learn",
                "print what your slice of the blocks holds for 0, 1 and 2",
            )
        if "out_head" not in learn:
            raise Wrong(
                f"{asked} the head is frozen", "it is random: nobody else can learn in its place"
            )
        if "final_norm" not in learn:
            raise Wrong(f"{asked} the final norm is frozen", "read the docstring's list again")
        if {"tok_emb", "pos_emb"} & learn and blocks < layers:
            raise Wrong(
                f"{asked} the embeddings learn",
                "what was trainable before may still be: begin by freezing everything",
            )
        if blocks == layers and not {"tok_emb", "pos_emb"} <= learn:
            raise Wrong(
                f"{asked}, which are all of them, the embeddings stay frozen",
                "this case stands for the whole model",
            )
        if learn != wanted and len(learn) == len(wanted):
            raise Wrong(
                f"{asked} {', '.join(sorted(learn & {f'trf_blocks.{i}' for i in range(4)}))} "
                "learn: as many as asked for, and the wrong ones",
                "which end of the model turns knowledge into a prediction?",
            )
        if learn != wanted:
            n = len([part for part in learn if part.startswith("trf_blocks")])
            raise Wrong(
                f"{asked} {n} blocks learn",
                "what was trainable before, and where does your slice begin?",
            )
    yield "the right parts learn, whatever was trainable before, for 0 to 4 blocks of 4"
    for blocks in (-1, layers + 1):
        must_refuse(
            function,
            tiny_classifier(),
            blocks,
            what=f"{blocks} blocks of {layers} raise no ValueError",
            look="compare with the number of blocks that the model has, before anything changes",
        )
        model = tiny_classifier()
        with contextlib.suppress(ValueError):
            function(model, blocks)
        if not all(p.requires_grad for p in model.parameters()):
            raise Wrong(
                f"{blocks} blocks are refused, and the model is frozen all the same",
                "look at the number first, and only then change something",
            )
    yield "and it refuses a number of blocks that the model hasn't"


@exercise_check("6.3", "Which place to read", "explore", minutes=15, stars=2)
def which_place(measured, answer):
    found = shares(measured, BY_PLACE, "accuracy")
    look = "set READ to this word, run the cell, and write what is printed"
    as_measured(found, BY_PLACE, look)
    yield "the four measurements are right"
    a_choice(
        answer,
        {
            "a": "how many words of the message has the first place seen?",
            "b": None,
            "c": "compare `last` and `last word`; and which is the lowest of the four?",
        },
    )
    yield "and so is the answer: what counts is that the place has seen the whole message"


@exercise_check("6.4", "Spam, always", "predict", minutes=5, stars=1)
def always_spam(answer):
    if not isinstance(answer, list | tuple) or len(answer) != 3:
        raise Wrong(f"your answer is {kind_of(answer)}", "write three numbers: (..., ..., ...)")
    if any(value is ... for value in answer):
        raise NotImplementedError
    names = ("accuracy", "precision", "recall")
    found = [a_number(v, f"the {n}", whole=False) for n, v in zip(names, answer, strict=True)]
    if max(found) > 1 or min(found) < 0:
        raise Wrong(f"{max(found)} is no share", "write shares between 0 and 1: 13 % is 0.13")
    accuracy, precision, recall = found
    if not close(accuracy, 0.13, 1e-3):
        look = "of 1,000 answers, how many are right? It never says ham"
        if close(accuracy, 0.87, 1e-3):
            look = "that is the accuracy of its opposite, which calls everything ham"
        raise Wrong(f"the accuracy isn't {accuracy}", look)
    yield "the accuracy is right"
    if not close(recall, 1, 1e-3):
        look = "recall looks at the 130 spam messages only: how many of those are found?"
        if close(precision, 1, 1e-3):
            look = "are precision and recall in the order that was asked for?"
        raise Wrong(f"the recall isn't {recall}", look)
    yield "the recall is right"
    if not close(precision, 0.13, 1e-3):
        raise Wrong(
            f"the precision isn't {precision}",
            "precision looks at the messages called spam: how many are that, and how many rightly?",
        )
    yield "and so is the precision: a perfect recall costs nothing if one may cry wolf"


def at_places(logits, places):
    return logits[torch.arange(len(logits)), places]


@exercise_check("6.5", "The last word, not the last place", "fill in", minutes=15, stars=2)
def last_word(function):
    PAD = 50256
    lengths = torch.tensor([3, 7, 1, 5])
    B, T, K = 4, 7, 3
    ids = torch.randint(0, 50000, (B, T))
    ids = ids.masked_fill(torch.arange(T) >= lengths[:, None], PAD)
    logits = torch.randn(B, T, K)
    value = a_tensor(call(function, logits, ids), "the result", B=B, classes=K)
    yield "one row of logits for each message"
    expected = at_places(logits, lengths - 1)
    mistakes = [
        (logits[:, -1], "the last place is read, padding or not", "how many tokens are real?"),
        (logits[:, 0], "the first token is read", "it has seen one word of the message"),
        (
            at_places(logits, lengths.clamp(max=T - 1)),
            "one place too late: the first padding token is read",
            "places are counted from 0",
        ),
        (
            at_places(logits, (lengths - 2).clamp(min=0)),
            "one place too early",
            "a message of n tokens has places 0 to n - 1",
        ),
        (at_places(logits, lengths - 2), "one place too early", "count again, from 0"),
        (logits.mean(dim=1), "the mean of all places is taken", "one place was asked for"),
        (
            logits.amax(dim=1),
            "the largest logits of all places are taken",
            "not the value decides about the place, but where the padding begins",
        ),
        (
            logits[:, 2],
            "the same place is read in every message",
            "each row has a place of its own",
        ),
    ]
    wrong = (
        "the logits of other places",
        "print the places that you read, beside the rows of ids",
    )
    if close(value[1], logits[1, -1]) and close(value[0], expected[0]):
        wrong = ("in some of the rows the place is another", wrong[1])
    compare(value, expected, mistakes, wrong)
    yield "each message is read at its own last token, also one that fills its row"
    ids = torch.tensor([[PAD] * 4, [5, 6, PAD, PAD]])
    logits = torch.randn(2, 4, 2)
    expected = at_places(logits, torch.tensor([0, 1]))
    empty = "a message without a token should be read at place 0"
    compare(
        call(function, logits, ids),
        expected,
        [(at_places(logits, torch.tensor([3, 1])), empty, "-1 counts from the end")],
        (empty, "what does your place become when there is nothing but padding?"),
    )
    ids = torch.tensor([[5, 0, 0, 0]])
    named = call(function, logits[:1], ids, 0)
    look = "is 50256 written somewhere in place of the parameter?"
    compare(named, logits[:1, 0], [], ("with another pad_id the place is wrong", look))
    yield "also an empty message, and another padding token"


def judged(truth, p, threshold, spam=1, called=None):
    called = p > threshold if called is None else called
    hits = (called & (truth == spam)).sum().item()
    accuracy = (called == (truth == spam)).float().mean().item()
    return (
        accuracy,
        hits / called.sum().item() if called.any() else 1.0,
        hits / (truth == spam).sum().item() if (truth == spam).any() else 1.0,
    )


def three_numbers(result):
    if not isinstance(result, list | tuple) or len(result) != 3:
        raise Wrong(f"the result is {kind_of(result)}", "give back three numbers, in a tuple")
    names = ("accuracy", "precision", "recall")
    return [a_number(v, f"the {n}", whole=False) for n, v in zip(names, result, strict=True)]


@exercise_check("6.6", "Two kinds of mistakes", "fill in", minutes=15, stars=2)
def two_kinds(function):
    truth = (torch.rand(60) < 0.3).long()
    p = (0.4 * truth + 0.6 * torch.rand(60)).clamp(0, 1)
    p[7] = 0.5
    truth[7] = 0
    for threshold in (0.5, 0.8, 0.2):
        value = three_numbers(call(function, truth, p, threshold))
        right = judged(truth, p, threshold)
        a, precision, recall = right
        ham = judged(truth, p, threshold, spam=0, called=~(p > threshold))
        at = f"at the threshold {threshold}"
        mistakes = [
            (
                (a, recall, precision),
                f"{at} precision and recall have changed places",
                "precision is a share of those CALLED spam, recall a share of those that ARE",
            ),
            (
                judged(truth, p, threshold, called=p >= threshold),
                f"{at} a message that lies exactly on it is called spam",
                "above the threshold, says the docstring",
            ),
            (
                judged(truth, p, threshold, called=p < threshold),
                f"{at} the answers are upside down",
                "which side of the threshold is called spam?",
            ),
            (
                ham,
                f"{at} these are precision and recall of ham",
                "class 1 is the one that is looked for",
            ),
            (judged(1 - truth, p, threshold), f"{at} the classes are swapped", "spam is 1"),
            (
                judged(truth, p, 0.5),
                f"{at} the answers are those at 0.5",
                "is 0.5 written somewhere in place of the parameter?",
            ),
        ]
        if not close(value[0], a):
            wrong = (
                f"{at} the accuracy is wrong",
                "right answers of both classes, of all messages",
            )
        elif not close(value[1], precision):
            wrong = (f"{at} the precision is wrong", "of the messages called spam, how many are?")
        else:
            wrong = (f"{at} the recall is wrong", "of the spam, how much was found?")
        compare(torch.tensor(value), torch.tensor(right), mistakes, wrong)
    yield "accuracy, precision and recall are right at three thresholds"
    for threshold, classes in [(0.99, truth), (0.5, torch.zeros_like(truth))]:
        case = "nothing is called spam" if threshold == 0.99 else "there is no spam at all"
        try:
            value = three_numbers(call(function, classes, p.clamp(max=0.98), threshold))
        except ZeroDivisionError as error:
            raise Wrong(
                f"where {case}, 0 is divided by 0", "the docstring says what then"
            ) from error
        right = judged(classes, p.clamp(max=0.98), threshold)
        look = "the docstring says what an empty share is"
        compare(torch.tensor(value), torch.tensor(right), [], (f"wrong where {case}", look))
    yield "also where nothing is called spam, and where nothing is"


@exercise_check("6.7", "A test that was too easy", "break it", minutes=15, stars=2)
def too_easy(function):
    messages = [(f"ham {i}", 0) for i in range(100)] + [(f"spam {i}", 1) for i in range(40)]
    result = call(function, messages)
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise Wrong(f"the result is {kind_of(result)}", "give back two lists: training and test")
    train, test = map(list, result)
    if not train or not test:
        raise Wrong("one of the two parts is empty", "give back two lists: training and test")
    in_both = set(train) & set(test)
    one_class = len({label for _, label in test}) == 1
    if one_class and in_both:
        raise Wrong(
            "the test part holds messages of one class only",
            "print the classes of both parts, in their order. (It isn't the only trouble)",
        )
    if one_class:
        raise Wrong(
            "one of two is mended, no message is in both parts; but the test part holds messages "
            "of one class only",
            "in which order do they come, and who changes that?",
        )
    yield "the test part has messages of both classes"
    if in_both:
        copies = sum(message in in_both for message in test)
        raise Wrong(
            f"one of two is mended; but {copies} of {len(test)} test messages are also in the "
            "training part",
            "at which moment are copies made, and when is the list cut?",
        )
    yield "no test message is in the training part"
    if len(set(test)) < len(test):
        raise Wrong("the test part holds copies", "it should look like the messages that will come")
    if set(train) | set(test) != set(messages):
        raise Wrong("some messages are in neither part", "each is to be used")
    if not 0.15 <= len(test) / len(messages) <= 0.25:
        raise Wrong(
            f"the test part has {len(test)} of {len(messages)} messages", "a fifth was asked for"
        )
    spam = sum(label for _, label in train)
    if not 0.6 < spam / (len(train) - spam) < 1.5:
        raise Wrong(
            f"the training part has {spam} spam and {len(train) - spam} ham",
            "it is to be balanced by repeating the spam that is in it",
        )
    yield "each message is used, the training part is balanced, the test part as life is"
    again = function(messages)
    if list(again[1]) != test:
        raise Wrong(
            "a second call gives another test part", "use the seed, so that all get the same"
        )
    if set(function(messages, seed=7)[1]) == set(test):
        raise Wrong(
            "with another seed the test part is the same",
            "a fifth is to be drawn by lot: where is the order changed, and by which seed?",
        )
    yield "and a second call gives the same parts, another seed others"


@exercise_check("6.8", "It learns, a little", "break it", minutes=15, stars=2)
def learns_a_little(function):
    model, ids = tiny_classifier(classes=3), torch.randint(0, 31, (5, 7))
    nn.init.normal_(model.out_head.weight, std=2.0)
    targets = torch.tensor([0, 2, 1, 1, 0])
    logits = model(ids).detach()  # (B, T, 3)
    result = call(function, model, ids, targets)
    if not isinstance(result, torch.Tensor):
        raise Wrong(f"the result is {kind_of(result)}", "a loss is a tensor, for its gradient")
    value = a_tensor(result, "the loss")
    last, first = logits[:, -1], logits[:, 0]
    p = torch.softmax(last, dim=-1)
    softmax = "the softmax of a softmax: the loss can't fall below 0.55, however right the answer"
    mistakes = [
        (
            F.cross_entropy(torch.softmax(first, dim=-1), targets),
            "another loss than that of the lesson; change the last word of a message and it stays "
            "the same",
            "change the other words, one by one: which of them move it? (There are two bugs)",
        ),
        (
            F.cross_entropy(p, targets),
            f"one of two is mended, the whole message is read; but {softmax}",
            "what does F.cross_entropy expect: logits, or probabilities?",
        ),
        (
            F.cross_entropy(first, targets),
            "one of two is mended, the logits go into the loss as they are; but the last word of a "
            "message has no effect",
            "causal attention: which place has seen all of it?",
        ),
        (
            F.cross_entropy(logits.mean(dim=1), targets),
            "the mean of all places is read",
            "one place is enough, if it is the right one",
        ),
        (
            F.cross_entropy(last, targets, reduction="sum"),
            "the sum of the losses, not their mean",
            "a larger batch must not give a larger loss",
        ),
        (
            F.nll_loss(p, targets),
            "probabilities where log-probabilities belong",
            "nll_loss takes the LOG of the softmax",
        ),
    ]
    wrong = ("another loss than that of the lesson", "compare with section 6.6, line by line")
    compare(value, F.cross_entropy(last, targets), mistakes, wrong)
    yield "the loss is that of section 6.6"
    if not result.requires_grad:
        raise Wrong("the loss has no gradient", "is there a detach, an item or a no_grad in it?")
    one = call(function, model, ids[:1, :4], targets[:1])
    look = "is a size written as a number?"
    compare(
        one,
        F.cross_entropy(model(ids[:1, :4])[:, -1], targets[:1]),
        [],
        ("for one short message it is wrong", look),
    )
    yield "with a gradient, and for other sizes"


class TwoFaced(nn.Module):
    """Answers by the parity of the last id; in training mode always the other way round."""

    def forward(self, ids):
        spam = ids % 2 if not self.training else 1 - ids % 2
        return F.one_hot(spam, 2).float()  # (B, T, 2)


@exercise_check("6.9", "It depends on the batch size", "break it", minutes=15, stars=2)
def batch_size(function):
    ids = torch.arange(11)[:, None] * torch.tensor([3, 1])  # (11, 2), the last ids 0 to 10
    classes = torch.tensor([1, 0, 1, 1, 1, 0, 0, 1, 0, 1, 0])  # wrong at 0, 1, 2, 4, 5
    pairs = list(zip(ids, classes, strict=True))
    loader = torch.utils.data.DataLoader(pairs, batch_size=4)
    model = TwoFaced().train()
    right = (ids[:, -1] % 2 == classes).float()
    means = torch.stack([part.mean() for part in right.split(4)])
    value = a_number(call(function, loader, model), "the accuracy", whole=False)
    weighing = (
        "the accuracy changes with the batch size of the loader",
        "four messages in a batch and three in the last: what does each of them count?",
    )
    mistakes = [
        (
            (1 - means).mean(),
            "a model that was just trained gets another accuracy than after model.eval()",
            "call it on one model in both modes, then with other batch sizes: two bugs are in",
        ),
        (means.mean(), f"one of two is mended, the mode is right; but {weighing[0]}", weighing[1]),
        (
            (1 - right).mean(),
            "one of two is mended, every message counts the same; but a model that was just "
            "trained gets another accuracy than after model.eval()",
            "what differs between the two modes, and who switches?",
        ),
        (
            means[:-1].mean(),
            "the last batch isn't counted at all",
            "where we measure nothing is left out",
        ),
        (right.sum(), "this is a number of messages", "a share was asked for"),
        (right.sum() / 12, "divided by 12 messages, and there are 11", "count the targets"),
    ]
    compare(value, right.mean(), mistakes, ("another accuracy", "count right ones and all"))
    yield "every message counts the same, and dropout is off"
    for training in (True, False):
        call(function, loader, model.train(training))
        if model.training is not training:
            raise Wrong(
                f"a model that came in {'training' if training else 'evaluation'} mode goes back "
                "in the other",
                "remember the mode at the beginning: model.training",
            )
    yield "and the model goes back in the mode in which it came"


@exercise_check("6.10", "The head that did not learn", "break it", minutes=20, stars=3)
def frozen_head(function):
    model, ids = GPTModel(TINY), torch.randint(0, 31, (4, 6))
    if not callable(function):
        raise Wrong(f"what was handed over is {kind_of(function)}", "hand over the function")
    result = function(model)
    if not isinstance(result, list | tuple) or len(result) != 2:
        raise Wrong(f"the result is {kind_of(result)}", "give back the model and its optimizer")
    model, optimizer = result
    if not isinstance(model, GPTModel) or not isinstance(optimizer, torch.optim.Optimizer):
        raise Wrong(
            f"the result is {kind_of(model)} and {kind_of(optimizer)}",
            "give back the model and its optimizer, in this order",
        )
    logits = model(ids)
    a_tensor(logits, "the output of the model", B=4, T=6, classes=2)
    yield "the model gives two logits for each token"
    known = {id(p) for group in optimizer.param_groups for p in group["params"]}
    head = model.out_head.weight
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = F.cross_entropy(logits[:, -1], torch.tensor([0, 1, 1, 0]))
    if not loss.requires_grad:
        raise Wrong("nothing learns at all", "print the name and requires_grad of all parameters")
    loss.backward()
    optimizer.step()
    moved = {name.split(".")[0] + "." + name.split(".")[1] for name, p in model.named_parameters()
             if not torch.equal(p, before[name])}  # fmt: skip
    if not head.requires_grad and id(head) not in known:
        raise Wrong(
            "after a step of training the head is as random as before",
            "print the name and requires_grad of all parameters. (That isn't all of it)",
        )
    if not head.requires_grad:
        raise Wrong(
            "one of two is mended: the optimizer knows the new head; but the head gets no gradient",
            "which line froze it, and after which line should it stand?",
        )
    if id(head) not in known:
        raise Wrong(
            "one of two is mended: the head gets a gradient; but no step moves it",
            "which parameters did the optimizer get to see, and when?",
        )
    yield "the new head gets a gradient, and the optimizer moves it"
    last = f"trf_blocks.{TINY['n_layers'] - 1}"
    for part in (last, "final_norm.scale"):
        if part not in moved:
            raise Wrong(f"{part} stays as it was", "last block, final norm and head are to learn")
    others = sorted(m for m in moved if not m.startswith((last, "final_norm", "out_head")))
    if others:
        raise Wrong(
            f"{others[0]} has moved", "everything but last block, final norm and head is frozen"
        )
    yield "last block and final norm learn as well, and nothing else does"


def best_of(candidates, messages):
    """As in the notebook."""
    torch.manual_seed(123)
    truth = torch.randint(2, (messages,))
    answers = torch.randint(2, (candidates, messages))
    return (answers == truth).float().mean(dim=1).max().item()


@exercise_check("6.11", "The best of a hundred coins", "explore", minutes=15, stars=2)
def coins(measured, answer):
    found = shares(measured, (20, 50, 150, 500), "best accuracy")
    for messages, value in found.items():
        right = best_of(100, messages)
        if close(value, right, 0.006):
            continue
        if value < 0.52 < right:
            raise Wrong(
                f"with {messages} messages the best isn't {value}",
                "is that the mean of the candidates, or the winner on new messages?",
            )
        other = [n for n in found if n != messages and close(value, best_of(100, n), 0.006)]
        if other:
            raise Wrong(
                f"{value} is the best with {other[0]} messages, not with {messages}",
                "change MESSAGES, run the cell, and read the printed number",
            )
        raise Wrong(
            f"with {messages} messages the best of 100 isn't {value}",
            "read the line of 100 candidates, and write at least two digits",
        )
    yield "the four measurements are right"
    a_choice(
        answer,
        {
            "a": "the last column shows what the winner does on new messages",
            "b": "compare your four numbers: with more messages the best is ...?",
            "c": None,
        },
    )
    yield "and so is the answer: whoever chooses by a part can't report that part"
