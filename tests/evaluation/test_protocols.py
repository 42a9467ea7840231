import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from siamese_nn import datasets, evaluation


def some_folds(n_folds: int = 10, n_pairs: int = 40, seed: int = 0) -> tuple[list, list]:
    """Folds of different people, one more difficult than the other, with their scores."""
    rng = np.random.default_rng(seed)
    folds, scores = [], []
    for number in range(n_folds):
        left = rng.integers(0, 9, n_pairs)
        same = np.arange(n_pairs) % 2
        right = np.where(same == 1, left, (left + 1) % 9)
        names = [[f"fold_{number}_person_{person}" for person in side] for side in (left, right)]
        folds.append(datasets.Pairs(*([f"{name}.jpg" for name in side] for side in names), same, *names))
        scores.append(rng.normal(same * (1 + number / 5), 1.0))
    return scores, folds


def test_each_fold_is_measured_at_the_threshold_of_the_others():
    scores, folds = some_folds()
    report = evaluation.cross_validate(scores, folds)
    accuracies = []
    for i, (own, fold) in enumerate(zip(scores, folds, strict=True)):
        rest = [j for j in range(10) if j != i]
        labels = np.concatenate([folds[j].same for j in rest])
        others = np.concatenate([scores[j] for j in rest])
        row = report.folds[i]
        candidates = [*others, 99]
        best = max(accuracy_score(labels, others >= candidate) for candidate in candidates)
        assert accuracy_score(labels, others >= row["threshold"]) == best
        assert row["accuracy"] == accuracy_score(fold.same, own >= row["threshold"])
        assert row["auc"] == pytest.approx(roc_auc_score(fold.same, own))
        assert row["eer"] == evaluation.equal_error_rate(own, fold.same)
        assert (row["n_same"], row["n_different"], row["n_people"]) == (20, 20, len(fold.identities()))
        accuracies.append(row["accuracy"])
    mean = sum(accuracies) / 10
    deviation = (sum((value - mean) ** 2 for value in accuracies) / 9) ** 0.5
    assert report.accuracy == pytest.approx(
        {"mean": mean, "standard_error": deviation / 10**0.5, "deviation": deviation}
    )
    assert (report.n_pairs, report.n_people) == (400, sum(len(fold.identities()) for fold in folds))


def test_a_folds_own_scores_do_not_touch_its_threshold():
    scores, folds = some_folds(3)
    before = evaluation.cross_validate(scores, folds)
    scores[1] = scores[1] + 100
    after = evaluation.cross_validate(scores, folds)
    assert after.folds[1]["threshold"] == before.folds[1]["threshold"]
    assert after.folds[0]["threshold"] != before.folds[0]["threshold"]


def test_the_report_as_json_and_as_a_table():
    report = evaluation.cross_validate(*some_folds(2))
    assert json.loads(json.dumps(report.as_dict())) == report.as_dict()
    assert all(type(value) in (int, float) for value in report.folds[0].values())
    text = report.table().get_string()
    for word in ("Mean", "Standard error", "Deviation", f"{report.auc['mean']:.4f}"):
        assert word in text


def test_bad_folds_are_explained():
    scores, folds = some_folds(3)
    one_class = folds[1][folds[1].same == 1]
    for bad_scores, bad_folds, message in (
        (scores[:1], folds[:1], "at least 2.*1 folds"),
        ([], [], "at least 2"),
        (scores[:2], folds, "as many. Received: 3 folds, and scores for 2"),
        ([scores[0], scores[1][:5], scores[2]], folds, r"Fold 2: .*one shape.*\(5,\) and \(40,\)"),
        ([scores[0], scores[1][::2], scores[2]], [folds[0], one_class, folds[2]], "Fold 2: .*both classes"),
        ([scores[0], scores[1], scores[2] * np.nan], folds, "Fold 3: .*finite"),
        (
            [[1.0], [], []],
            [folds[0][:1], folds[1][:0], folds[2][:0]],
            "at least a pair each. Received: 1 pairs",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            evaluation.cross_validate(bad_scores, bad_folds)


def test_folds_that_share_people_are_refused_by_name():
    scores, folds = some_folds(4)
    folds[3] = folds[3][:20] + folds[1][20:]
    with pytest.raises(
        datasets.IdentityLeakError, match=r"Folds 2 and 4 share \d+ people \(fold_1_person_0, "
    ):
        evaluation.cross_validate(scores, folds)


def test_people_who_trained_the_model_are_found_in_the_folds():
    _, folds = some_folds(3, n_pairs=60)
    evaluation.require_unseen(folds, {"somebody_else"})
    seen = {"fold_1_person_3", *folds[2].identities()}
    with pytest.raises(datasets.IdentityLeakError) as caught:
        evaluation.require_unseen(folds, seen)
    message = str(caught.value)
    assert "2 of 3 folds" in message and "fold 2: 1 person (fold_1_person_3)" in message
    assert "fold 3: 9 people (fold_2_person_0, " in message and "fold 1" not in message
    with pytest.raises(ValueError, match="set of names"):
        evaluation.require_unseen(folds, "Ada")
    for nobody in ([], set(), frozenset()):
        with pytest.raises(ValueError, match="`identities` must hold the names.*seen_people.*Received none"):
            evaluation.require_unseen(folds, nobody)


def test_at_most_ten_people_are_named():
    names = [f"Person_{i:02d}" for i in range(14)]
    fold = datasets.Pairs(names, [f"{name}_2" for name in names], [1] * 14, names, names)
    with pytest.raises(datasets.IdentityLeakError, match=r"14 people \(Person_00.*Person_09 and 4 more\)"):
        evaluation.require_unseen([fold], names)


def test_another_spelling_of_a_name_is_found():
    fold = datasets.Pairs(["a"], ["b"], [1], ["Lebron_James"], ["Lebron_James"])
    with pytest.raises(datasets.IdentityLeakError, match="Lebron_James"):
        evaluation.require_unseen([fold], {"LeBron-James"})


def one_person(name):
    return datasets.Pairs(["a", "a"], ["b", "c"], [1, 0], [name, name], [name, name + "_other"])


def test_a_name_is_the_same_however_its_accents_are_written():
    composed, decomposed = "Ren\u00e9_\u0160v\u00e1b", "Rene\u0301_S\u030cva\u0301b"
    assert composed != decomposed
    for a, b in ((composed, decomposed), (decomposed, composed), (composed, "RENE SVAB")):
        with pytest.raises(datasets.IdentityLeakError, match="1 of 1 folds"):
            evaluation.require_unseen([one_person(a)], {b})
    with pytest.raises(datasets.IdentityLeakError, match="Folds 1 and 2 share 2 people"):
        evaluation.cross_validate([[1, 0], [1, 0]], [one_person(composed), one_person(decomposed)])
    evaluation.require_unseen([one_person(composed)], {"Rena_Svab"})


@pytest.mark.parametrize(
    ("folds", "received"),
    [
        (one_person("Ada"), "Pairs"),
        ("folds", "str with str"),
        ([one_person("Ada"), ("a", "b", 1)], "list with tuple"),
        (iter([one_person("Ada")]), "list_iterator"),
        (None, "NoneType"),
    ],
)
def test_folds_must_be_pairs(folds, received):
    for call in (
        lambda: evaluation.require_unseen(folds, {"Bea"}),
        lambda: evaluation.cross_validate([], folds),
    ):
        with pytest.raises(ValueError, match=f"`folds` must be a list of `Pairs`.*Received: {received}$"):
            call()


def folds_with_embeddings(n_folds: int = 4, people: int = 12, seed: int = 0):
    """Folds of people with four photos each, whose embeddings differ in directions that tell nobody apart."""
    rng = np.random.default_rng(seed)
    folds, embeddings, photos = [], {}, {}
    for number in range(n_folds):
        names = [f"fold_{number}_person_{person}" for person in range(people)]
        for name in names:
            photos[name] = [f"{name}_{photo}.jpg" for photo in range(4)]
            person = rng.normal(size=6)
            for path in photos[name]:
                vector = person + rng.normal(size=6) * [0.1, 0.1, 0.5, 3, 3, 3]
                embeddings[path] = vector / np.linalg.norm(vector)
        same = [(photos[name][i], photos[name][j]) for name in names for i in range(4) for j in range(i)]
        different = [(photos[one][0], photos[other][1]) for one in names for other in names if one != other]
        left, right = zip(*same, *different, strict=True)
        folds.append(
            datasets.Pairs(
                left,
                right,
                [1] * len(same) + [0] * len(different),
                *([p[:-6] for p in side] for side in (left, right)),
            )
        )
    return folds, embeddings, photos


def test_plda_is_fitted_to_other_people_than_choose_the_threshold_and_are_measured():
    folds, embeddings, photos = folds_with_embeddings()
    report = evaluation.cross_validate_plda(embeddings, photos, folds)
    for i, row in enumerate(report.folds):
        chooses, fitted = folds[(i + 1) % 4], [folds[(i + 2) % 4], folds[(i + 3) % 4]]
        names = [name for fold in fitted for name in sorted(fold.identities()) for _ in photos[name]]
        vectors = [
            embeddings[path] for fold in fitted for name in sorted(fold.identities()) for path in photos[name]
        ]
        plda = evaluation.fit_plda(np.array(vectors), names)

        def scores(pairs, plda=plda):
            return plda.score(
                *(np.array([embeddings[path] for path in side]) for side in (pairs.left, pairs.right))
            )

        threshold = evaluation.choose_threshold(scores(chooses), chooses.same)
        assert row["threshold"] == pytest.approx(float(threshold), rel=1e-6)
        assert row["auc"] == pytest.approx(roc_auc_score(folds[i].same, scores(folds[i])))
        assert row["accuracy"] == ((scores(folds[i]) >= threshold) == folds[i].same).mean()
    cosines = [
        [
            float(embeddings[left] @ embeddings[right])
            for left, right in zip(fold.left, fold.right, strict=True)
        ]
        for fold in folds
    ]
    assert report.auc["mean"] > evaluation.cross_validate(cosines, folds).auc["mean"] + 0.1


def test_a_folds_own_embeddings_touch_neither_plda_nor_threshold():
    folds, embeddings, photos = folds_with_embeddings()
    before = evaluation.cross_validate_plda(embeddings, photos, folds).folds[2]
    changed = {path: -vector if path.startswith("fold_2") else vector for path, vector in embeddings.items()}
    after = evaluation.cross_validate_plda(changed, photos, folds).folds[2]
    assert (after["threshold"], after["auc"] != before["auc"]) == (before["threshold"], True)


def test_photos_and_embeddings_of_all_people_are_needed():
    folds, embeddings, photos = folds_with_embeddings(3)
    with pytest.raises(ValueError, match="at least 3"):
        evaluation.cross_validate_plda(embeddings, photos, folds[:2])
    del embeddings["fold_1_person_3_2.jpg"]
    with pytest.raises(ValueError, match="without 'fold_1_person_3_2.jpg'"):
        evaluation.cross_validate_plda(embeddings, photos, folds)
    with pytest.raises(datasets.IdentityLeakError):
        evaluation.cross_validate_plda(embeddings, photos, [folds[0], folds[0], folds[1]])
