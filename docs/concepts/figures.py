"""Draws the figures of the concept pages, and prints the captions that the pages carry.

    python docs/concepts/figures.py

All of it is drawn or simulated from fixed seeds, and measured by the library's own functions. It takes some
20 seconds.
"""

import tempfile
import warnings
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from PIL import Image
from scipy.stats import norm

from siamese_nn import datasets, evaluation, losses, plots

HERE = Path(__file__).parent
BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#888888"  # of `plots`


def identity_disjoint() -> tuple[Axes, str]:
    """Three splits of the same pairs of drawn faces: validation beside the test."""
    with tempfile.TemporaryDirectory() as folder:
        faces = datasets.make_toy_faces(
            Path(folder) / "faces",
            n_train_identities=120,
            n_test_identities=60,
            train_pairs=400,
            test_pairs=200,
        )
        pairs, test = (
            datasets.read_pairs(faces / file, faces / "lfw2")
            for file in ("pairsDevTrain.txt", "pairsDevTest.txt")
        )
        paths = sorted({*pairs.left, *pairs.right, *test.left, *test.right})
        pixels = datasets.load_images(paths, image_size=(24, 24)).reshape(len(paths), -1).astype(float)
    photos = dict(zip(paths, pixels - pixels.mean(axis=1, keepdims=True), strict=True))

    order = np.random.default_rng(0).permutation(len(pairs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", datasets.IdentityLeakWarning)  # that is what is shown
        splits = {
            "by pairs,\nat random": (pairs[order[len(pairs) // 3 :]], pairs[order[: len(pairs) // 3]]),
            "by the left\nname's letter": datasets.split_by_letter(pairs),
            "by people": datasets.split_identities(pairs),
        }
    shown = []
    for train, val in splits.values():
        score = _learnt(train, photos)
        known = list(datasets.shared_identities(train, val))
        touched = np.isin(val.left_identities, known) | np.isin(val.right_identities, known)
        reports = [
            evaluation.verification_report(
                score(each),
                each.same,
                threshold=0.0,  # the figure is of AUC, which needs none
                identities=(each.left_identities, each.right_identities),
            )
            for each in (val, test)
        ]
        shown.append((touched.mean(), *reports))
    ax = plt.subplots(figsize=(5, 3.8), layout="constrained")[1]
    for i, (name, colour) in enumerate((("validation pairs", RED), ("test pairs: new people", BLUE))):
        aucs = np.array([reports[i].auc for _, *reports in shown])
        reach = np.abs(np.array([reports[i].auc_interval for _, *reports in shown]).T - aucs)
        style = {"fmt": "so"[i], "color": colour, "capsize": 4, "markersize": 8, "linewidth": 2}
        ax.errorbar(np.arange(3) + 0.2 * i - 0.1, aucs, reach, label=name, **style)
    words = [f"{name}\n{row[0]:.0%} of pairs leak" for name, row in zip(splits, shown, strict=True)]
    ax.set_xticks(range(3), words)
    ax.set(xlim=(-0.5, 2.5), ylim=(0.82, 1.03), ylabel="AUC", title="Which split tells the truth?")
    ax.grid(axis="y", alpha=0.3)
    ax.legend(loc="upper center", ncols=2, columnspacing=1.2, handlelength=1.2)
    drawn = [f"{val.auc:.2f} and {new.auc:.2f}" for _, val, new in shown]
    return ax, (
        "800 pairs of 120 drawn people, split in three ways. A small model (PLDA over 24 x 24 pixels) learns "
        "from the training side; the test pairs show 60 other people. AUC of the validation and of the test "
        f"pairs: {drawn[0]} for the random split, {drawn[1]} for the split by letter, {drawn[2]} for the "
        f"split by people. Somebody from training is on {shown[0][0]:.0%}, {shown[1][0]:.0%} and "
        f"{shown[2][0]:.0%} of the validation pairs. The lines are 95% intervals over people."
    )


def _learnt(train: datasets.Pairs, photos: dict[str, np.ndarray]):
    """A model that learns from the photos of some pairs: 64 principal components of pixels, then PLDA."""
    own = dict(zip(train.left, train.left_identities, strict=True))
    own |= dict(zip(train.right, train.right_identities, strict=True))
    images = np.stack([photos[path] for path in own])
    mean = images.mean(axis=0)
    _, sizes, directions = np.linalg.svd(images - mean, full_matrices=False)
    directions = (directions[:64] / np.sqrt(sizes[:64, None])).T

    def embed(paths):
        return _unit((np.stack([photos[path] for path in paths]) - mean) @ directions)

    plda = evaluation.fit_plda(embed(own), list(own.values()))
    return lambda pairs: plda.score(embed(pairs.left), embed(pairs.right))


def thresholds() -> tuple[np.ndarray, str]:
    """Scores of pairs with their threshold, and what becomes of it in a gallery."""
    scores, same = _verification(0)
    threshold = evaluation.choose_threshold(scores, same)
    scores, same = _verification(1)
    report = evaluation.verification_report(scores, same, threshold=threshold)
    axes = plt.subplots(2, 1, figsize=(5, 6.4), layout="constrained")[1]
    plots.score_histogram(scores, same, threshold, axes[0])
    axes[0].set_title("Pairs of people who had no part in the choice")

    photos, people = _people(np.random.default_rng(2), 600)
    held_out = evaluation.HeldOutScores(photos @ photos.T, people)
    rng = np.random.default_rng(3)
    gallery, strangers = (_people(rng, count, photos=1)[0] for count in (5_000, 1_000))
    meetings = strangers @ gallery.T
    sizes = [1, 3, 10, 30, 100]
    named = {"threshold of pairs": [], "threshold of the gallery": []}
    for size in sizes:
        # Each stranger asks in galleries of that size, one beside the other.
        highest = meetings[:, : 50 * size].reshape(len(strangers), 50, size).max(axis=2)
        own = held_out.gallery_threshold(size, fpir=0.01).threshold
        for name, limit in zip(named, (threshold, own), strict=True):
            named[name].append(float((highest >= limit).mean()))
    for i, (name, shares) in enumerate(named.items()):
        axes[1].plot(sizes, shares, marker="o", label=name, color=(RED, BLUE)[i], linestyle=("--", "-")[i])
    axes[1].set(
        xscale="log", xlabel="people in the gallery", ylabel="strangers who get a name", ylim=(-0.03, 1.03)
    )
    axes[1].set_xticks(sizes, sizes)
    axes[1].yaxis.set_major_formatter(PercentFormatter(1))
    axes[1].set_title("Strangers in a gallery")
    axes[1].grid(alpha=0.3)
    axes[1].legend(loc="upper left")
    pairs, own = named.values()
    return axes, (
        "Simulated people. Above: the threshold comes from 600 held-out people and decides "
        f"{report.accuracy:.1%} of the pairs of 600 others rightly. Below: the same threshold gives a name "
        f"to {pairs[0]:.0%} of strangers in a gallery of one person, and to {pairs[-1]:.0%} in one of 100. A "
        f"threshold of its own for each gallery, to keep to 1%, gives one to {own[0]:.1%} and {own[-1]:.1%}."
    )


def intervals() -> tuple[np.ndarray, str]:
    """Intervals over pairs and over people, of many draws of people."""
    # Some people are easy to recognise, and some look like others.
    n_people, each, effect, rounds = 30, 8, 0.7, 40
    rest = np.sqrt(1 - effect**2)
    truth = (norm.cdf(0.9) + norm.cdf(0.9 / np.hypot(rest, np.sqrt(2) * 0.7 * effect))) / 2
    rng = np.random.default_rng(0)
    found = []
    for i in range(rounds):
        left = np.tile(np.repeat(np.arange(n_people), each), 2)
        half = len(left) // 2
        right = np.r_[left[:half], (left[half:] + rng.integers(1, n_people, half)) % n_people]
        easy, alike = rng.normal(0, effect, (2, n_people))
        scores = np.where(left == right, 1.8 + easy[left], 0.7 * (alike[left] + alike[right]))
        scores += rng.normal(0, rest, len(left))
        found.append(
            [
                evaluation.verification_report(
                    scores, left == right, threshold=0.9, identities=identities, seed=i
                ).accuracy_interval
                for identities in (None, (left.astype(str), right.astype(str)))
            ]
        )
    ends = np.array(found)
    held = ((ends[..., 0] <= truth) & (truth <= ends[..., 1])).mean(axis=0)
    axes = plt.subplots(1, 2, figsize=(5, 4.6), layout="constrained", sharex=True, sharey=True)[1]
    for i, (ax, over) in enumerate(zip(axes, ("pairs", "people"), strict=True)):
        for row, (low, high) in enumerate(ends[:, i]):
            ax.plot([low, high], [row, row], linewidth=2, color=BLUE if low <= truth <= high else RED)
        ax.axvline(truth, color=GREY, linewidth=1)
        ax.set(title=f"over {over}:\n{held[i]:.0%} hold the truth", xlabel="accuracy", yticks=[])
        ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes[0].set_ylabel("each line: a test of 30 other people")
    widths = (ends[..., 1] - ends[..., 0]).mean(axis=0)
    return axes, (
        f"{rounds} simulated tests, each of {n_people} other people and {2 * half} pairs. Over all people "
        f"the accuracy is {truth:.1%} (grey line). Red intervals miss it. The 95% intervals over pairs are "
        f"{100 * widths[0]:.0f} points wide on average, and {held[0]:.0%} of them hold the truth. Those over "
        f"people are {100 * widths[1]:.0f} points wide, and {held[1]:.0%} do."
    )


def plda() -> tuple[np.ndarray, str]:
    """Embeddings before and after PLDA."""
    spread = np.r_[np.full(8, 0.3), np.full(8, 2.0)]  # in the last eight directions photos differ, not people
    rng = np.random.default_rng(0)

    def people(count, photos=2):
        names = np.repeat(np.arange(count), photos)
        return rng.normal(size=(count, 16))[names] + rng.normal(size=(len(names), 16)) * spread, names

    fitted = evaluation.fit_plda(*people(300), shrinkage=0)
    photos, _ = people(300)
    left, right = photos[::2], photos[1::2]
    others = np.roll(right, 1, axis=0)
    same = np.repeat([1, 0], len(left))
    score = {
        "cosine": lambda a, b: (_unit(a) * _unit(b)).sum(axis=1),
        "PLDA": fitted.score,
    }
    eer = {
        name: evaluation.equal_error_rate(np.r_[each(left, right), each(left, others)], same)
        for name, each in score.items()
    }
    # Its projection, turned back until each direction is again where the embeddings have it.
    _, matrix = fitted.projection()
    sizes, directions = np.linalg.eigh(matrix @ matrix.T)
    weighed = (directions * np.sqrt(sizes.clip(0))) @ directions.T
    drawn, _ = people(6, photos=8)
    views = {
        "as the network gives them": drawn[:, [0, -1]],
        "as PLDA weighs them": (drawn @ weighed)[:, [0, -1]],
    }
    axes = plt.subplots(1, 2, figsize=(5, 3.1), layout="constrained")[1]
    for ax, (words, points), (name, rate) in zip(axes, views.items(), eer.items(), strict=True):
        for i, colour in enumerate(("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")):
            ax.plot(*points[8 * i : 8 * i + 8].T, "osD^vP"[i], color=colour, markersize=5)
        ax.set(xticks=[], yticks=[])
        ax.axis("equal")
        ax.set_title(f"{words}\n{name}: EER {rate:.0%}", fontsize=10)
    return axes, (
        "Six simulated people, a colour each, with eight photos each; two of 16 directions. Across, people "
        "differ. Upwards, photos of one person differ, too. PLDA was fitted to 300 other people, and makes "
        "the second direction small. On 300 more people the equal error rate falls from "
        f"{eer['cosine']:.0%} by the cosine to {eer['PLDA']:.0%} by PLDA."
    )


def margins() -> tuple[np.ndarray, str]:
    """What losses with and without a margin ask of a photo."""
    axes = plt.subplots(2, 1, figsize=(5, 6.4), layout="constrained")[1]
    degrees = np.linspace(0, 90, 181)
    turn = np.radians(degrees)
    cosines = np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)  # own centre, another's
    first = np.zeros(len(turn), np.int32)
    shown = {
        "softmax: no margin": losses.cosface_loss(first, cosines, scale=16, margin=0),
        "CosFace, margin 0.35": losses.cosface_loss(first, cosines, scale=16, margin=0.35),
        "ArcFace, margin 0.5": losses.arcface_loss(first, cosines, scale=16, margin=0.5),
    }
    even = []
    for (name, values), colour, line in zip(shown.items(), (GREY, RED, BLUE), ("-", "--", "-."), strict=True):
        axes[0].plot(degrees, values, label=name, color=colour, linestyle=line)
        even.append(float(np.interp(np.log(2), values, degrees)))  # where both people are equally likely
    axes[0].set(
        xlabel="degrees from one's own centre (the other's is at 90)",
        ylabel="loss",
        title="Softmax with a margin",
    )

    distance = np.linspace(0, 1.3, 131)
    none, all_same = np.zeros(len(distance)), np.ones(len(distance))
    # Anchor and positive 0.5 apart, the negative at each distance on the other side.
    triplets = np.stack([none, 0.5 + none, -distance], axis=1)
    pairs = {
        "contrastive, genuine pair": losses.contrastive_loss(all_same, distance, margin=1.0),
        "contrastive, impostor pair": losses.contrastive_loss(none, distance, margin=1.0),
        "triplet, genuine photo at 0.5": losses.triplet_loss(none, triplets, margin=0.5),
    }
    for (name, values), colour, line in zip(
        pairs.items(), (BLUE, RED, GREEN), ("-", "--", "-."), strict=True
    ):
        axes[1].plot(distance, values, label=name, color=colour, linestyle=line)
    enough = float(distance[np.flatnonzero(np.asarray(pairs["triplet, genuine photo at 0.5"]) == 0)[0]])
    axes[1].set(
        xlabel="distance of the two photos", ylabel="loss", title="Pairs and triplets", ylim=(-0.05, 1.75)
    )
    for ax in axes:
        ax.grid(alpha=0.3)
        ax.legend(loc="upper left")
    return axes, (
        "Above: a photo lies between its own person's centre and another's (scale 16). Both people are "
        f"equally likely at {even[0]:.0f} degrees without a margin, at {even[1]:.0f} with CosFace's and at "
        f"{even[2]:.0f} with ArcFace's. Below: an impostor pair costs nothing from distance 1 on, which is "
        "the contrastive margin. Where the genuine photo is at 0.5, a triplet of margin 0.5 costs nothing "
        f"from {enough:.2f} on."
    )


def error_rates() -> tuple[np.ndarray, str]:
    """ROC and DET of the same scores, with a threshold on both."""
    scores, same = _verification(0)
    threshold = evaluation.choose_threshold(scores, same)
    scores, same = _verification(1)
    report = evaluation.verification_report(scores, same, threshold=threshold)
    everybody = evaluation.all_pairs(*_people(np.random.default_rng(1), 600)).fnmr_at_fmr["0.001"]
    counts = report.confusion
    fmr = counts["false_accepts"] / report.n_different
    fnmr = counts["false_rejects"] / report.n_same
    axes = plt.subplots(2, 1, figsize=(5, 7), layout="constrained")[1]
    plots.roc(scores, same, ax=axes[0])
    plots.det(scores, same, ax=axes[1])
    words = "the threshold"
    axes[0].plot(fmr, 1 - fnmr, "o", color=RED, label=words)
    axes[1].plot(*norm.ppf([fmr, fnmr]), "o", color=RED, label=words)
    axes[0].legend(loc="lower right")
    axes[1].legend(loc="upper right")
    return axes, (
        f"{report.n_same} genuine and {report.n_different} impostor pairs of 600 simulated people; the "
        f"threshold comes from 600 others. There FMR is {fmr:.1%}, FNMR {fnmr:.1%}, TAR {1 - fnmr:.1%}, and "
        f"the accuracy {report.accuracy:.1%}. Over all thresholds, AUC is {report.auc:.3f} and EER "
        f"{report.eer:.1%}. Over all pairs of these people's photos, FNMR at FMR 0.001 is "
        f"{everybody.estimate:.1%}."
    )


@cache
def _verification(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels of a pair of one person and one of two for each of 600 simulated people."""
    photos, _ = _people(np.random.default_rng(seed), 600)
    left, right = photos[::2], photos[1::2]
    scores = np.r_[(left * right).sum(axis=1), (left * np.roll(right, 1, axis=0)).sum(axis=1)]
    return scores, np.repeat([1, 0], 600)


def _people(rng: np.random.Generator, count: int, photos: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of simulated people, with so many photos each, and who is on them."""
    people = np.repeat(np.arange(count), photos)
    return _unit(rng.normal(size=(count, 32))[people] + rng.normal(size=(count * photos, 32))), people


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


FIGURES = (identity_disjoint, thresholds, intervals, plda, margins, error_rates)


def main() -> None:
    """Draws all of them."""
    for figure in FIGURES:
        axes, caption = figure()
        file = HERE / f"{figure.__name__}.png"
        plots.save(axes, file)
        Image.open(file).convert("RGB").quantize(64).save(file, optimize=True)  # a third of the size
        print(f"{figure.__name__}: {caption}\n")


if __name__ == "__main__":
    main()
