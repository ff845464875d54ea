"""The checks of chapter 3's exercises."""

import copy

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
from previous_chapters import (
    CausalAttention,
    MultiHeadAttention,
    MultiHeadAttentionWrapper,
    SelfAttention_v1,
    SelfAttention_v2,
)

MATRICES = ["W_query", "W_key", "W_value"]


def an_instance(value, kind):
    if not isinstance(value, kind):
        raise Wrong(f"the result is {kind_of(value)}", f"a {kind.__name__} was asked for")


def with_matrices(v1, names):
    """A v2 that has v1's matrices `names` as its query, key and value."""
    d_in, d_out = v1.W_query.shape
    v2 = SelfAttention_v2(d_in, d_out)
    for to, source in zip(MATRICES, names, strict=True):
        getattr(v2, to).weight.data.copy_(getattr(v1, source).data.T)
    return v2


@exercise_check("3.1", "Carry the weights over", "fill in", minutes=15, stars=2)
def carry_over(to_v2):
    v1, x = SelfAttention_v1(5, 3), torch.randn(7, 5)
    v2 = call(to_v2, v1)
    an_instance(v2, SelfAttention_v2)
    for name in MATRICES:
        a_tensor(getattr(v2, name).weight, f"{name}.weight", d_out=3, d_in=5)
        if getattr(v2, name).bias is not None:
            raise Wrong("the new layer adds a bias", "SelfAttention_v1 has none: build it without")
    yield "all three matrices have the form that nn.Linear keeps"
    mistakes = []
    for names in [(0, 0, 0), (1, 0, 2), (0, 2, 1), (2, 1, 0), (1, 2, 0), (2, 0, 1)]:
        mixed = with_matrices(v1, [MATRICES[i] for i in names])
        what = "query, key and value are mixed up: one matrix stands where another should"
        mistakes.append((mixed(x), what, "read your three lines again, name by name"))
    untouched = [(getattr(v2, n).weight - getattr(v1, n).T).abs().max() > 1e-6 for n in MATRICES]
    names = " and ".join(n for n, is_other in zip(MATRICES, untouched, strict=True) if is_other)
    wrong = (
        f"{names or 'something'} has other numbers than in v1",
        "which of them were never copied, or copied untransposed?",
    )
    compare(v2(x), v1(x), mistakes, wrong)
    square = SelfAttention_v1(4, 4)
    x = torch.randn(6, 4)
    turned = copy.deepcopy(square)
    for name in MATRICES:
        getattr(turned, name).data = getattr(square, name).data.T
    mistake = ("with a square matrix the outputs differ", "nn.Linear stores its matrix transposed")
    compare(call(to_v2, square)(x), square(x), [(turned(x), *mistake)], mistake)
    yield "both layers give the same outputs for the same input, in several sizes"
    if len(list(v2.parameters())) != 3 or not all(p.requires_grad for p in v2.parameters()):
        raise Wrong(
            "the new layer can't be trained: not all of its three matrices are parameters",
            "copy the numbers into the parameters that nn.Linear has made",
        )
    before = v2.W_query.weight.detach().clone()
    with torch.no_grad():
        for name in MATRICES:
            getattr(v1, name).mul_(2)
    if not torch.equal(v2.W_query.weight, before):
        raise Wrong(
            "when v1 is changed afterwards, the new layer changes with it",
            "both look at one storage; `.T` and assignment make no copy, what does?",
        )
    yield "and each has its own weights, which can be trained"


@exercise_check("3.2", "Fewer channels from the wrapper", "fill in", minutes=10, stars=1)
def narrow(narrow_wrapper):
    for d_in, channels, heads in [(3, 2, 2), (5, 12, 3), (4, 7, 1)]:
        wrapper = call(narrow_wrapper, d_in, channels, heads)
        an_instance(wrapper, MultiHeadAttentionWrapper)
        asked = f"for narrow_wrapper({d_in}, {channels}, {heads})"
        if len(wrapper.heads) != heads:
            raise Wrong(
                f"{asked} there are {len(wrapper.heads)} heads",
                "the number of heads is given: what else decides the number of channels?",
            )
        width = wrapper(torch.randn(2, 6, d_in)).shape[-1]
        if width == channels * heads and heads > 1:
            raise Wrong(
                f"{asked} the outputs have {width} channels",
                "in the wrapper d_out is the size of ONE head, and the heads are laid side by side",
            )
        if width != channels:
            raise Wrong(f"{asked} the outputs have {width} channels", "what does d_out count?")
        if any(len(head.mask) != 6 or head.dropout.p for head in wrapper.heads):
            raise Wrong(f"{asked} context or dropout is another", "6 tokens, without dropout")
    yield "the wrapper has the channels and the heads that were asked for"
    look = "equal heads can't make up that number: compare check_heads in 3.6.2"
    must_refuse(
        narrow_wrapper,
        3,
        5,
        2,
        look=look,
        what="5 channels in 2 heads should raise a ValueError, and don't",
    )
    yield "and says no where the channels can't be shared out evenly"


@exercise_check("3.3", "GPT-2's attention in four sizes", "fill in", minutes=10, stars=1)
def gpt2_sizes(gpt2_attention):
    for width, heads in [(768, 12), (1024, 16), (1280, 20), (1600, 25)]:
        layer = call(gpt2_attention, width)
        an_instance(layer, MultiHeadAttention)
        asked = f"for a width of {width},"
        query, out = layer.W_query.weight.shape, layer.out_proj.weight.shape
        if tuple(query) != (width, width) or tuple(out) != (width, width):
            raise Wrong(
                f"{asked} W_query goes from {query[1]} to {query[0]} channels",
                "d_out is the size of ALL heads together, and the shape of x stays as it is",
            )
        if layer.num_heads == 64:
            raise Wrong(f"{asked} there are 64 heads", "64 is the number of channels of ONE head")
        if layer.num_heads != heads:
            raise Wrong(
                f"{asked} a head has {layer.head_dim} channels",
                "in every GPT-2 it has 64, so what changes with the width?",
            )
        if len(layer.mask) != 1024:
            raise Wrong(f"{asked} the context is {len(layer.mask)} tokens", "GPT-2 has another")
        if layer.dropout.p != 0.1:
            raise Wrong(f"{asked} the dropout rate is {layer.dropout.p}", "the task names the rate")
        if layer.W_query.bias is None:
            raise Wrong(
                f"{asked} the queries have no bias", "OpenAI's GPT-2 has it: which argument?"
            )
    yield "all four sizes have the width, heads, context, dropout and biases of GPT-2"


@exercise_check("3.4", "How far does a change reach?", "predict", minutes=5, stars=1)
def reach(answer):
    if not isinstance(answer, list | tuple | set):
        raise Wrong(f"your answer is {kind_of(answer)}", "write a list of positions, such as [5]")
    mine = sorted({a_number(place, "a position") for place in answer})
    torch.manual_seed(1)
    layers = nn.Sequential(*[CausalAttention(4, 4, 6, 0.0) for _ in range(3)])
    x = torch.randn(1, 6, 4)
    changed = x.clone()
    changed[0, 2] += 1
    moved = (layers(changed) - layers(x)).abs().amax(dim=-1)[0]
    still = (moved == 0).nonzero().flatten().tolist()
    if not set(mine) <= set(range(6)):
        raise Wrong(
            f"{mine} has a position that doesn't exist", "six tokens are counted from 0 to 5"
        )
    if not mine:
        raise Wrong(
            "some outputs do stay as they were",
            "information can go from a token to itself and to later ones; how, then, could it go "
            "back, in however many layers?",
        )
    if mine == [place for place in range(6) if place not in still]:
        raise Wrong("these are the outputs that move", "the question is which ones stay")
    if mine == [place for place in range(6) if place not in still and place != 2]:
        raise Wrong("these outputs move", "which tokens can token 2 be seen by? The others stay")
    if mine == [place + 1 for place in still]:
        raise Wrong("almost: everything is one place off", "the positions are counted from 0")
    if 2 in mine:
        raise Wrong("the output at place 2 moves", "may a token see itself?")
    if mine != still:
        raise Wrong("not these", "draw the triangle of 3.5: which rows have a 1 in column 2?")
    yield "right: three layers hide the future as one does, since no step goes backwards"


def weights_by(queries, keys, scale=None, hidden="future", fill=float("-inf"), dim=-1):
    """Attention weights (B, T, T), rightly, or with one of the mistakes that people make."""
    T, D = queries.shape[-2:]
    scores = queries @ keys.transpose(1, 2) / (D**0.5 if scale is None else scale)
    ones = torch.ones(T, T, dtype=torch.bool)
    masks = {"future": ones.triu(1), "past": ones.tril(-1), "self": ones.triu(0), "none": ~ones}
    masks["inverted"] = ~masks["future"]
    return torch.softmax(scores.masked_fill(masks[hidden], fill), dim=dim)


@exercise_check("3.5", "Causal weights from queries and keys", "fill in", minutes=20, stars=2)
def causal_weights(function):
    q, k = torch.randn(2, 5, 9), torch.randn(2, 5, 9)
    value = a_tensor(call(function, q, k), "the result", B=2, queries=5, keys=5)
    yield "a weight for each query and each key, in each text"
    scores = q @ k.transpose(1, 2)
    late = torch.softmax(scores / 3, dim=-1).tril()
    masked = (scores / 3).masked_fill(torch.ones(5, 5).triu(1).bool(), float("-inf"))
    mistakes = [
        (scores, "these are scores", "what turns scores into positive weights with the sum 1?"),
        (masked, "these are masked scores", "one step is missing after the mask"),
        (
            weights_by(q, k, hidden="none"),
            "every token sees all later ones",
            "nothing is hidden yet: where does the mask come in?",
        ),
        (
            weights_by(q, k, hidden="past"),
            "the mask hides the wrong side: the past is hidden",
            "row = query, column = key. Which side of the diagonal is the future: triu or tril?",
        ),
        (
            weights_by(q, k, hidden="inverted"),
            "the mask is inverted: it hides what should be seen, and shows what should be hidden",
            "True means hidden in causal_mask; is it turned round somewhere?",
        ),
        (
            weights_by(q, k, hidden="self"),
            "no token sees itself: the mask takes the diagonal too",
            "off by one: look at the argument `diagonal`",
        ),
        (
            weights_by(q, k, fill=0.0),
            "later tokens still get some weight",
            "a score of 0 isn't a weight of 0: e⁰ = 1",
        ),
        (
            late,
            "the rows don't add up to 1",
            "what is deleted after the softmax is missing from the sum: mask before it",
        ),
        (
            weights_by(q, k, dim=1),
            "each column adds up to 1, and each row should",
            "one query shares out its look among the keys: along which axis runs the softmax?",
        ),
        (
            weights_by(q, k, dim=0),
            "the weights add up to 1 across the texts of the batch",
            "along which axis runs the softmax?",
        ),
        (
            weights_by(q, k, scale=1),
            "the scores are unscaled: the weights are too sharp",
            "a sum of D terms has a spread of √D: section 3.4.1",
        ),
        (
            weights_by(q, k, scale=9),
            "the scores are divided by too much",
            "is it D itself by which they are divided?",
        ),
        (
            weights_by(q, k, scale=5**0.5),
            "the scores are scaled by the wrong length",
            "it depends on how many terms each dot product has, not on the number of tokens",
        ),
        (
            weights_by(k, q),
            "queries and keys have changed places",
            "row = query: whose vectors stand on the left of the product?",
        ),
    ]
    sums = value.sum(dim=-1)
    wrong = ("the numbers are others", "go through it in four steps: scores, scale, mask, softmax")
    if (value.triu(1).abs() > 1e-6).any():
        wrong = (
            "later tokens get some weight",
            "the mask must take every score above the diagonal",
        )
    elif not close(sums, torch.ones_like(sums)):
        wrong = ("the rows don't add up to 1", "is the softmax the last step, along the keys?")
    compare(value, weights_by(q, k), mistakes, wrong)
    yield "later tokens get exactly 0, rows add up to 1, the scale is right"
    q, k = torch.randn(3, 1, 4), torch.randn(3, 1, 4)
    compare(
        call(function, q, k),
        torch.ones(3, 1, 1),
        [],
        ("a text of one token goes wrong", "is a size fixed somewhere?"),
    )
    q, k = 1000 * torch.randn(1, 8, 2), torch.randn(1, 8, 2)
    compare(
        call(function, q, k),
        weights_by(q, k),
        [],
        ("huge scores give wrong weights", "did you write the softmax yourself? 3.3.1"),
    )
    q, k = -1000 * (1 + torch.rand(1, 8, 2)), 1 + torch.rand(1, 8, 2)  # all scores far below 0
    compare(
        call(function, q, k),
        weights_by(q, k),
        [],
        (
            "where all scores are far below 0, later tokens get some weight",
            "which score becomes a weight of 0 whatever the others are? Hint 2",
        ),
    )
    yield "also for one token, other sizes, and huge scores"


@exercise_check("3.6", "Cut into heads", "fill in", minutes=15, stars=2)
def split(function):
    x, (B, T, H, D) = torch.randn(2, 5, 12), (2, 5, 3, 4)
    value = a_tensor(call(function, x, H), "the result", B=B, H=H, T=T, D=D)
    yield "the shape is (B, H, T, D)"
    mistakes = [
        (
            x.view(B, H, T, D),
            "head 0 holds channels of other heads, of the first tokens only",
            "view alone only recounts the numbers; the heads must be moved in front of the tokens",
        ),
        (
            x.view(B, T, D, H).permute(0, 3, 1, 2),
            "head 0 holds every third channel",
            "head 0 owns the FIRST D channels: in which order does view count H and D?",
        ),
        (
            x.view(B, D, T, H).permute(0, 3, 2, 1),
            "tokens and channels are mixed up",
            "start from (B, T, H * D): only the last axis may be cut",
        ),
        (
            x.view(B, T, H, D).transpose(1, 2).flip(1),
            "the heads stand in reverse order",
            "head 0 owns the first channels",
        ),
    ]
    wrong = (
        "the right shape with numbers in the wrong places",
        "follow torch.arange(24).view(1, 4, 6) through your code",
    )
    compare(value, x.view(B, T, H, D).transpose(1, 2), mistakes, wrong)
    yield "each head holds its own channels, of all tokens"
    x = torch.randn(3, 4, 4)
    a_tensor(call(function, x, 4), "the result for 4 heads of 1 channel", B=3, H=4, T=4, D=1)
    wrong = (
        "for H = T the tokens and the heads are mixed up",
        "don't rely on sizes being different",
    )
    compare(call(function, x, 4), x.view(3, 4, 4, 1).transpose(1, 2), [], wrong)
    must_refuse(
        function,
        torch.randn(1, 2, 6),
        4,
        what="6 channels in 4 heads raise no ValueError",
        look="check the sizes first, and say both numbers in the message",
    )
    yield "also where sizes are equal, and it refuses what can't be cut evenly"


def attend(layer, x, over=None, turned_back=True):
    """MultiHeadAttention's forward, scaled by √over, with or without turning the heads back."""
    B, T, _ = x.shape
    q, k, v = (layer.split_heads(getattr(layer, name)(x)) for name in MATRICES)
    scores = q @ k.transpose(2, 3) / (over or layer.head_dim) ** 0.5
    weights = torch.softmax(scores.masked_fill(layer.mask[:T, :T], float("-inf")), dim=-1)
    context = weights @ v  # (B, H, T, D)
    context = context.transpose(1, 2) if turned_back else context
    return layer.out_proj(context.reshape(B, T, -1))


@exercise_check("3.7", "Two bugs in four heads", "break it", minutes=20, stars=2)
def two_bugs(kind):
    if not isinstance(kind, type):
        raise Wrong(f"what was handed over is {kind_of(kind)}", "hand over the class itself")
    layer = kind(8, 8, context_length=6, dropout=0.0, num_heads=4)
    x = torch.randn(2, 6, 8)
    value = a_tensor(layer(x), "the output", B=2, T=6, C=8)
    right, both = attend(layer, x), attend(layer, x, over=8, turned_back=False)
    merge = (
        "put back in the wrong order",
        "where and how are the heads laid side by side again? Write the shape behind the line",
    )
    scale = (
        "the weights are too even",
        "how many terms has a dot product in ONE head? That is whose root you want",
    )
    changed = x.clone()
    changed[:, -1] += 1
    leak = (layer(changed) - value)[:, :-1].abs().max() > 1e-6
    if close(value, both):
        raise Wrong(
            "both bugs are still in: a changed last token moves earlier outputs, although the mask "
            "is right",
            "begin with this one: where, behind the mask, could tokens get mixed up?",
        )
    mistakes = [
        (
            attend(layer, x, over=8),
            f"one of two is mended, no token leaks now, but {scale[0]}",
            scale[1],
        ),
        (
            attend(layer, x, over=1),
            "no token leaks now, but the scores are not scaled at all",
            scale[1],
        ),
        (
            attend(layer, x, turned_back=False),
            f"one of two is mended, the weights are right, but the heads are {merge[0]}",
            merge[1],
        ),
    ]
    wrong = ("the outputs are others than those of MultiHeadAttention", merge[1])
    if leak:
        wrong = ("a changed last token moves earlier outputs: tokens are mixed up", merge[1])
    compare(value, right, mistakes, wrong)
    yield "the same outputs as MultiHeadAttention with the same weights"
    wide = kind(6, 6, context_length=9, dropout=0.0, num_heads=2)
    x = torch.randn(3, 4, 6)
    compare(
        wide(x),
        attend(wide, x),
        [],
        ("with other sizes it goes wrong", "is a size written as a fixed number?"),
    )
    yield "also with other sizes and a text shorter than the context"


@exercise_check("3.8", "Fast, and wrong in two ways", "break it", minutes=15, stars=3)
def fast(function):
    layer = CausalAttention(4, 4, context_length=7, dropout=0.0)
    x, visible = torch.randn(2, 5, 4), torch.ones(5, 5, dtype=torch.bool).tril()
    q, k, v = (getattr(layer, name)(x) for name in MATRICES)
    value = a_tensor(call(function, layer, x), "the result", B=2, T=5, D=4)
    mistakes = [
        (
            F.scaled_dot_product_attention(q, k, v, attn_mask=~visible),
            "every token sees only later ones, and the last sees nothing",
            "change one token at a time and see which outputs move, as in 3.5.3. Who hides whom?",
        ),
        (
            F.scaled_dot_product_attention(q, k, v),
            "every token sees all others",
            "now nothing is hidden: the mask is needed, the right way round",
        ),
        (
            F.scaled_dot_product_attention(q, k, v, attn_mask=visible.float()),
            "later tokens get some weight",
            "torch ADDS a mask of floating-point numbers to the scores: let it stay booleans",
        ),
        (
            F.scaled_dot_product_attention(q, k, v, attn_mask=visible.tril(-1)),
            "every token sees earlier ones, but not itself",
            "the mask must be inverted, not transposed",
        ),
        (
            F.scaled_dot_product_attention(q, k, v, attn_mask=visible.T),
            "every token sees itself and later ones",
            "the mask must be inverted, not transposed",
        ),
        (
            F.scaled_dot_product_attention(q * 2, k, v, is_causal=True),
            "the scores aren't scaled once",
            "torch's function divides by √D already",
        ),
    ]
    compare(
        value,
        layer(x),
        mistakes,
        ("the outputs are others than those of the layer", "which tokens does each see?"),
    )
    yield "without dropout it gives what the layer gives"
    layer.dropout.p = 0.5
    layer.eval()
    if not torch.equal(function(layer, x), function(layer, x)):
        raise Wrong(
            "one bug is mended; but after layer.eval() two calls give two results",
            "a function can't know a layer's mode: who tells it that nothing is to be dropped?",
        )
    compare(
        function(layer, x),
        layer(x),
        [],
        ("in evaluation mode it differs from the layer", "no dropout after .eval()"),
    )
    yield "in evaluation mode too, every time"
    layer.train()
    if torch.equal(function(layer, x), function(layer, x)):
        raise Wrong(
            "in training mode nothing is dropped any more",
            "dropout is to be off after .eval() and on after .train(): what does a module know?",
        )
    mean = torch.stack([function(layer, x) for _ in range(4000)]).mean(dim=0)
    if not close(mean, layer.eval()(x), atol=0.15):
        raise Wrong("on average it gives something else", "the rate is that of layer.dropout")
    yield "and in training mode weights are dropped"


def saturates_at(T):
    """The smallest D = 2, 4, 8 ... at which the largest of T unscaled weights is above 1/2."""
    D = 1
    while mean_largest_weight(T, D) <= 0.5:
        D *= 2
    return D


def mean_largest_weight(T, D, scale=1.0, trials=1000):
    """As in the notebook."""
    torch.manual_seed(123)
    queries, keys = torch.randn(trials, 1, D), torch.randn(trials, T, D)
    scores = (queries * keys).sum(dim=-1) / scale  # (trials, T)
    return torch.softmax(scores, dim=-1).amax(dim=-1).mean().item()


@exercise_check("3.9", "Long texts and wide heads", "explore", minutes=15, stars=2)
def long_texts(measured, answer):
    if not isinstance(measured, dict) or set(measured) != {4, 16, 64, 256}:
        raise Wrong(
            f"the measurements are {measured if isinstance(measured, dict) else kind_of(measured)}",
            "keep the dictionary with the four lengths as its keys, and fill in the values",
        )
    if any(value is ... for value in measured.values()):
        raise NotImplementedError
    for T, value in measured.items():
        mine, D = a_number(value, f"the D for {T} tokens"), saturates_at(T)
        if mine == D:
            continue
        at = f"with {T} tokens and D = {mine} the mean largest weight is"
        try:
            at = f"{at} {mean_largest_weight(T, mine):.2f}"
        except RuntimeError:
            raise Wrong(f"D = {mine} isn't possible", "D is 1, 2, 4, 8, ...") from None
        if mine > D:
            raise Wrong(
                f"{at}, above one half, but not for the first time", "go back along the curve"
            )
        raise Wrong(at, "that isn't above one half yet: look further right in the plot")
    yield "the four measurements are right"
    a_choice(
        answer,
        {
            "a": "the curves differ although every one of them is scaled: compare their heights",
            "b": None,
            "c": "look at the heights of the flat curves: higher or lower for longer texts?",
        },
    )
    yield "and so is the answer: √D takes care of the width, and nothing of the length"
