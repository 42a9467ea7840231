"""The card of an exported model, in Markdown: what it is, how good it is, and what it is not for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..runs.results import Results
from .fitted import Fitted


@dataclass(frozen=True)
class Check:
    """An exported network beside the run's own, on the run's validation pairs.

    Attributes: `pairs`; `of`, `"validation"`, or `"test"` where nobody validated the run;
        `largest_difference` of two scores; `changed`, pairs decided otherwise; `accuracy` with its interval,
        and that of the run's own network on this machine; `bytes` of the network; `milliseconds` that a photo
        takes, decoded, one at a time, warm: the fastest of 20 calls.
    """

    format: str
    pairs: int
    of: str
    largest_difference: float
    changed: int
    accuracy_before: float
    accuracy: float
    accuracy_interval: tuple[float, float] | None
    bytes: int
    milliseconds_before: float
    milliseconds: float


def card(fitted: Fitted, check: Check, results: Results, recipe: Mapping[str, Any]) -> str:
    """Returns the card.

    Args:
        fitted: the exported verifier.
        check: how it compares with the run.
        results: the run's figures.
        recipe: what the run trained, as `recipe.json` holds it.
    """
    run, embedding = fitted.provenance["run"], fitted.embedding
    learnt = run["trained_on"]
    photos = learnt.get("photos")
    what = (
        f"{photos['photos']:,} photos of {photos['people']:,} people"
        if photos
        else f"{learnt['same']:,} pairs of one person and {learnt['different']:,} of two, of "
        f"{learnt['people']:,} people"
    )
    chosen = fitted.provenance["chosen_on"]
    whose = "other people" if results.chosen_by is None else "people whom it has then learnt from, too"
    flatters = "On the validation pairs the threshold was chosen: theirs flatter."
    if results.chosen_by is not None:
        flatters = f"{results.chosen_by.in_words()}."
    height, width = embedding.image_size
    figures = "\n".join(
        f"| {name} | {_with_interval(own.accuracy, own.accuracy_interval)} | {own.auc:.4f} | {own.eer:.1%} |"
        for name, own in results.best.items()
        if name != "train"
    )
    return f"""# A face verifier: {recipe["model"]} on {recipe["backbone"]}

It says whether two photos show the same person. The network makes of each photo a vector; the score of two
vectors is compared with a threshold. It was exported from a run of siamese_nn as `{check.format}`.

## What it was trained on

{what} (SHA-256 `{(photos or learnt)["sha256"][:12]}`), with seed {run["seed"]}.
The threshold, {fitted.threshold:.6g}, was chosen on {chosen["same"]} pairs of one person and
{chosen["different"]} of two, of {chosen["people"]} {whose}. `verifier.json` names everybody.

## What it takes

{"Grey" if embedding.channels == 1 else "RGB"} photos of {height} x {width} pixels, as float32 from 0 to 1:
`(n, {height}, {width}, {embedding.channels})`.
{_part(fitted)}

## How good it is

Of the run, with 95% intervals over people. {flatters}

| Pairs | Accuracy | AUC | EER |
|---|---|---|---|
{figures}

Of this export, on the {check.pairs} {check.of} pairs, beside the network it was made of:

| | Before | Exported |
|---|---|---|
| Accuracy | {check.accuracy_before:.2%} | {_with_interval(check.accuracy, check.accuracy_interval)} |
| Largest difference of a score | | {check.largest_difference:.2g} |
| Decisions that changed | | {check.changed} |
| Size of the network | | {check.bytes / 1e6:.2f} MB |
| Milliseconds a photo, the fastest of 20 | {check.milliseconds_before:.2f} | {check.milliseconds:.2f} |

## What it must not be used for

- To decide about somebody without a human who answers for it: it errs as often as stated above, and more
  often on photos unlike those it was trained on.
- To watch or to recognise people who don't know of it, or have not agreed. Vectors of faces are biometric
  data; in many countries the law restricts them.
- To tell age, sex, origin, mood or character.
- Where its error rates by group of people matter and have not been measured: `siamese-nn measure RUN FOLDER
  --groups` does that.

## Where it comes from

siamese_nn {run["siamese_nn"]} trained it, siamese_nn {fitted.provenance["siamese_nn"]} exported it. The
SHA-256 of the run's model is `{run["model_sha256"]}`.
"""


def _part(fitted: Fitted) -> str:
    embedding = fitted.embedding
    size = embedding.photo_size
    of = f" of photos of {size[0]} x {size[1]}" if size else ""
    if embedding.crop is None:
        part = f"They are the whole{of or ' photo'}, scaled."
    else:
        part = "They are the middle {} x {} pixels{}, scaled.".format(*embedding.crop, of)
    where = "it did in the training's"
    if embedding.frame is not None:
        where = "`embedding.frame` of `verifier.json` says"
    return f"{part}\nThe face must lie in the photos where {where}: the figures hold for no others."


def _with_interval(accuracy: float, interval: tuple[float, float] | None) -> str:
    return f"{accuracy:.2%}" + ("" if interval is None else f" ({interval[0]:.1%} to {interval[1]:.1%})")
