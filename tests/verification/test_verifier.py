import io
import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import siamese_nn
from siamese_nn import Verifier, datasets, evaluation, faces, models
from siamese_nn.datasets import ImageError
from siamese_nn.runs.folder import write_results
from siamese_nn.verification.gallery import Gallery

SIZE = (80, 80)
MODELS = {
    "l1_sigmoid": models.l1_sigmoid,
    "decision_network_2": lambda backbone: models.decision_network(backbone, neurons=2),
    "euclidean_contrastive": models.euclidean_contrastive,
    "cosine_embedding": models.cosine_embedding,
    "triplet_embedding": lambda backbone: models.triplet_embedding(backbone, 16),
    "classifier": lambda backbone: models.classifier(backbone, 5),
}
SETTINGS = {
    "format": 2,
    "siamese_nn": siamese_nn.__version__,
    "model": "model.keras",
    "crop": [200, 200],
    "photo_size": [250, 250],
    "threshold": 0.5,
    "calibration": {"slope": 4.0, "intercept": -2.0},
    "chosen_on": {"pairs": "validation", "same": 1, "different": 1, "people": 2},
    "seed": 0,
    "people": {"trained_on": ["Ada", "Bea"], "chosen_on": ["Cyd"]},
    "model_sha256": "",
}


def held_out_scores():
    """Made-up scores of 60 people, two photos each."""
    people = np.repeat(np.arange(60), 2)
    photos = np.random.default_rng(0).normal(size=(60, 8))[people]
    photos += 0.2 * np.random.default_rng(1).normal(size=photos.shape)
    photos /= np.linalg.norm(photos, axis=1, keepdims=True)
    return (photos @ photos.T).astype(np.float32)


RESULTS = {
    **{"status": "finished", "split": "identities", "device": "CPU", "seed": 0, "seconds": 1.0},
    **{"epochs": 1, "best_epoch": 1, "figures": {}, "raw_pixels": {}},
}


def write_run(folder, model, *, scores=None, **settings):
    folder.mkdir()
    model.save(folder / "model.keras")
    (folder / "recipe.json").write_text("{}")
    np.save(folder / "scores.npy", held_out_scores() if scores is None else scores)
    digests = [sha256((folder / file).read_bytes()).hexdigest() for file in ("model.keras", "scores.npy")]
    held_out = {"file": "scores.npy", "sha256": digests[1], "photos_each": [2] * 60}
    settings = SETTINGS | {"model_sha256": digests[0], "held_out": held_out} | settings
    (folder / "verifier.json").write_text(json.dumps(settings))
    (folder / "results.json").write_text(json.dumps(RESULTS))
    return folder


def small_model(name="cosine_embedding", channels=1):
    tf.keras.utils.set_random_seed(1)
    return MODELS[name](models.report_cnn((*SIZE, channels), filters=2, units=16, initializer="he_normal"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory, toy_pairs):
    """A run folder for each kind of model, untrained, with the mean score of some pairs as its threshold."""
    folders = {}
    for name in MODELS:
        model = small_model(name)
        scores = evaluation.score_pairs(model, toy_pairs[::9], crop=(200, 200))
        # Strangers' scores as far apart as those of the pairs are.
        held_out = (scores.mean() + scores.std() * held_out_scores()).astype(np.float32)
        folder = tmp_path_factory.mktemp("runs") / name
        folders[name] = write_run(folder, model, scores=held_out, threshold=float(scores.mean()))
    return folders


@pytest.fixture(scope="module", params=list(MODELS))
def verifier(request, runs):
    return Verifier.load(runs[request.param])


@pytest.fixture(scope="module")
def cosine(runs):
    return Verifier.load(runs["cosine_embedding"])


@pytest.fixture
def run(runs, tmp_path):
    """A copy of a run folder, to damage."""
    return shutil.copytree(runs["cosine_embedding"], tmp_path / "run")


def score_matrix(verifier, paths):
    """All scores by the way that the library is measured: `score_pairs` on pairs of files."""
    n = len(paths)
    left, right = np.divmod(np.arange(n * n), n)
    names = np.arange(n).astype(str)
    same = (left == right).astype(int)
    pairs = datasets.Pairs(np.array(paths)[left], np.array(paths)[right], same, names[left], names[right])
    return evaluation.score_pairs(verifier.comparison.model, pairs, crop=verifier.embedding.crop).reshape(
        n, n
    )


def test_verify_gives_the_scores_that_runs_are_measured_by(verifier, toy_pairs):
    pairs = toy_pairs[:40]
    expected = evaluation.score_pairs(verifier.comparison.model, pairs, crop=(200, 200))
    results = verifier.verify(pairs.left.tolist(), pairs.right.tolist())
    np.testing.assert_allclose([result.score for result in results], expected, rtol=1e-4, atol=1e-6)
    for result in results:
        assert result.same is (result.score >= result.threshold) and result.threshold == verifier.threshold
        assert result.probability == pytest.approx(1 / (1 + np.exp(-(4 * result.score - 2))))
    assert {result.same for result in results} == {True, False}
    one = verifier.verify(pairs.left[3], pairs.right[3])
    assert one.score == pytest.approx(results[3].score, rel=1e-4, abs=1e-6)


def test_every_form_of_a_photo_gives_one_embedding(cosine, toy_pairs):
    path = toy_pairs.left[0]
    with Image.open(path) as image:
        pixels = np.asarray(image)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    forms = [
        png.getvalue(),
        pixels,
        pixels[..., None],
        np.repeat(pixels[..., None], 3, axis=2),
        pixels / 255,
        np.float32(pixels) / 255,
        Image.fromarray(pixels),
        Image.fromarray(pixels).convert("RGBA"),
    ]
    embeddings = cosine.embed(forms)
    assert embeddings.dtype == np.float32 and embeddings.shape == (len(forms), 16)
    np.testing.assert_allclose(embeddings, np.repeat(embeddings[:1], len(forms), 0), atol=1e-5)
    # Files may be decoded at a part of their size, which changes a grey by some hundredths.
    of_file = cosine.embed([path, str(path), Path(path).read_bytes()])
    np.testing.assert_array_equal(of_file, of_file[[0, 0, 0]])
    np.testing.assert_allclose(of_file[:1], embeddings[:1], atol=0.05 * np.abs(embeddings[0]).max())


def test_arrays_of_photos_are_lists_of_them(cosine, toy_test):
    paths = toy_test.left[:5]
    expected = cosine.embed(paths.tolist())
    np.testing.assert_array_equal(cosine.embed(paths), expected)
    for one in (paths[0], np.array(paths[0])):
        np.testing.assert_allclose(cosine.embed(one), expected[:1], rtol=1e-5)
    assert cosine.verify(paths, toy_test.right[:5]) == cosine.verify(
        paths.tolist(), toy_test.right[:5].tolist()
    )
    assert cosine.cluster(paths).tolist() == cosine.cluster(paths.tolist()).tolist()
    answers = cosine.identify(paths, cosine.gallery({"a": paths}), threshold=0.5)
    assert [len(answer.candidates) for answer in answers] == [1] * 5
    pixels = [np.asarray(Image.open(path)) for path in paths]
    for channels in (1, 3):
        images = np.repeat(np.stack(pixels)[..., None], channels, axis=3)
        np.testing.assert_array_equal(cosine.embed(images), cosine.embed(list(images)))
        assert len(cosine.verify(images, paths)) == 5 and len(cosine.cluster(images)) == 5
    assert cosine.verify(paths[:0], paths[:0]) == cosine.verify(images[:0], images[:0]) == []
    with pytest.raises(ValueError, match="of one length. Received: 5 and a photo"):
        cosine.verify(images, images[0])


def test_bytearrays_are_bytes(cosine, toy_test):
    content = Path(toy_test.left[0]).read_bytes()
    np.testing.assert_array_equal(cosine.embed(bytearray(content)), cosine.embed(content))


def test_colour_models_get_colour(tmp_path):
    run = write_run(tmp_path / "run", small_model(channels=3), crop=None, photo_size=None)
    red, blue = (np.zeros((80, 80, 3), np.uint8) for _ in range(2))
    red[..., 0], blue[..., 2] = 255, 255
    verifier = Verifier.load(run)
    model = tf.keras.models.load_model(run / "model.keras")
    expected = models.embedding_model(model).predict(np.stack([red, blue]) / np.float32(255), verbose=0)
    np.testing.assert_allclose(verifier.embed([red, blue]), expected, rtol=1e-5)


def test_identify_finds_the_most_alike_people(verifier, toy_test):
    paths = toy_test.distinct_images()[0].tolist()[:24]
    names = [path.rsplit("/", 2)[1] for path in paths]
    scores = score_matrix(verifier, paths)
    gallery_names, gallery_paths = names[8:], paths[8:]
    people = {}
    for name, path in zip(gallery_names, gallery_paths, strict=True):
        people.setdefault(name, []).append(path)
    gallery = verifier.gallery(people)
    answers = verifier.identify(paths[:8], gallery, k=3, fpir=0.5)
    for i, answer in enumerate(answers):
        best = {
            name: max(scores[i, 8 + j] for j, n in enumerate(gallery_names) if n == name) for name in people
        }
        expected = sorted(best.values(), reverse=True)[:3]
        found = [candidate.score for candidate in answer.candidates]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
        for candidate in answer.candidates:
            assert best[candidate.name] == pytest.approx(candidate.score, rel=1e-4, abs=1e-5)
        assert len({candidate.name for candidate in answer.candidates}) == 3
        assert answer.name == (answer.candidates[0].name if found[0] >= answer.threshold else None)
    everybody = verifier.identify(paths[0], gallery, k=100, fpir=0.5)
    assert len(everybody.candidates) == len(people)
    assert verifier.identify([], gallery, fpir=0.5) == []


def test_the_threshold_of_a_gallery_is_that_of_its_size(cosine, toy_test):
    paths = toy_test.distinct_images()[0].tolist()
    small, large = (cosine.gallery({str(i): path for i, path in enumerate(paths[:n])}) for n in (1, 20))
    answers = [cosine.identify(paths[0], gallery, fpir=0.4) for gallery in (small, large)]
    for answer, n in zip(answers, (1, 20), strict=True):
        expected = cosine.held_out.gallery_threshold(n, fpir=0.4)
        assert (answer.threshold, answer.fpir, answer.fnir) == (
            expected.threshold,
            expected.fpir,
            expected.fnir,
        )
        assert answer.fpir.estimate <= 0.4 < answer.fpir.interval[1]
    assert answers[0].threshold < answers[1].threshold
    with pytest.raises(
        ValueError, match="For a gallery of 20 photos, the run's 60 held-out people can promise rates from"
    ):
        cosine.identify(paths[0], large, fpir=0.001)


def test_a_threshold_of_ones_own_is_taken_as_it_is(cosine, toy_test):
    photo = toy_test.left[0]
    gallery = cosine.gallery({"somebody": photo})
    score = cosine.identify(photo, gallery, threshold=-2).candidates[0].score
    for threshold, name in ((score, "somebody"), (np.nextafter(score, 2), None)):
        answer = cosine.identify(photo, gallery, threshold=threshold)
        assert answer.name == name and answer.threshold == threshold
    everybody = cosine.identify(photo, gallery, threshold=-2)
    assert everybody.name == "somebody" and everybody.fpir == evaluation.Rate(1.0, None)
    nobody = cosine.identify(photo, gallery, threshold=1.1)
    assert nobody.name is None and nobody.fpir is None


def test_a_photo_of_another_size_is_the_same_photo(cosine, toy_test):
    for path in toy_test.left[:5]:
        with Image.open(path) as photo:
            large = photo.resize((1000, 1000), Image.Resampling.BICUBIC)
            wide = photo.resize((300, 250))
        for other in (large, np.asarray(large)):
            answer = cosine.verify(path, other)
            assert answer.score > 0.995, answer
        with pytest.raises(ImageError, match=r"shape of `photo_size`, 250 x 250.*Received: 250 x 300"):
            cosine.verify(path, wide)
        np.testing.assert_allclose(cosine.embed(large), cosine.embed(path), atol=0.05)


def test_a_photo_too_small_to_tell_is_refused(cosine, toy_test):
    with Image.open(toy_test.left[0]) as photo:
        small, tiny = photo.resize((125, 125)), photo.resize((30, 30))
    assert cosine.verify(toy_test.left[0], small).score > 0.9
    with pytest.raises(ImageError, match=r"must not be enlarged more than twice. Received: 30 x 30 pixels"):
        cosine.verify(toy_test.left[0], tiny)


def test_folds_may_be_of_another_size_than_the_training(cosine, toy_test, tmp_path):
    def larger(path):
        with Image.open(path) as photo:
            photo.resize((500, 500), Image.Resampling.BICUBIC).save(tmp_path / Path(path).name, quality=95)
        return str(tmp_path / Path(path).name)

    people = sorted(toy_test.identities())
    of_fold = [
        np.isin(toy_test.left_identities, half) & np.isin(toy_test.right_identities, half)
        for half in (people[::2], people[1::2])
    ]
    folds = [toy_test[np.flatnonzero(chosen)] for chosen in of_fold]
    copies = [
        datasets.Pairs(
            [larger(p) for p in fold.left],
            [larger(p) for p in fold.right],
            fold.same,
            fold.left_identities,
            fold.right_identities,
        )
        for fold in folds
    ]
    assert cosine.cross_validate(copies).auc == pytest.approx(cosine.cross_validate(folds).auc, abs=0.05)


def slow_average_linkage(scores, threshold):
    """Joins the two clusters with the largest mean score, as long as that reaches the threshold."""
    clusters = [[i] for i in range(len(scores))]
    while len(clusters) > 1:
        means = {
            (a, b): scores[np.ix_(clusters[a], clusters[b])].mean()
            for a in range(len(clusters))
            for b in range(a)
        }
        (a, b), best = max(means.items(), key=lambda item: item[1])
        if best < threshold:
            break
        clusters[b] += clusters.pop(a)
    labels = np.empty(len(scores), int)
    for number, members in enumerate(sorted(clusters, key=min)):
        labels[members] = number
    return labels


def test_cluster_is_average_linkage_at_the_verifiers_threshold(verifier, toy_test):
    paths = toy_test.distinct_images()[0].tolist()[:20]
    scores = score_matrix(verifier, paths).astype(np.float64)
    labels = verifier.cluster(paths)
    np.testing.assert_array_equal(labels, slow_average_linkage((scores + scores.T) / 2, verifier.threshold))
    assert labels.dtype == np.int64 and 1 < len(set(labels)) < 20


def test_cluster_at_the_edges(cosine, toy_test):
    photo, other = toy_test.left[0], toy_test.right[0]
    assert cosine.cluster([photo]).tolist() == [0]
    assert cosine.cluster([photo, photo, photo]).tolist() == [0, 0, 0]
    for a, b in ((photo, other), (other, photo)):
        together = cosine.verify(a, b).same
        assert cosine.cluster([a, b]).tolist() == [0, 0 if together else 1]
    with pytest.raises(ValueError, match="at least one photo"):
        cosine.cluster([])


def test_a_gallery_from_a_folder_saved_and_loaded(cosine, toy_dir, toy_test, tmp_path):
    folder = tmp_path / "people"
    for name in sorted(toy_test.identities())[:3]:
        shutil.copytree(toy_dir / "lfw2" / name, folder / name)
    shutil.copy(toy_test.left[0], folder / "Jane_Doe.jpg")
    gallery = cosine.gallery(folder)
    assert len(gallery) == 13 and set(gallery.names) == {*sorted(toy_test.identities())[:3], "Jane_Doe"}
    gallery.save(tmp_path / "people.npz")
    loaded = Gallery.load(tmp_path / "people.npz")
    np.testing.assert_array_equal(loaded.names, gallery.names)
    np.testing.assert_array_equal(loaded.embeddings, gallery.embeddings)
    assert loaded.model == gallery.model == cosine.digest
    answer = cosine.identify(toy_test.left[0], loaded, threshold=0.9)
    assert answer.name in ("Jane_Doe", toy_test.left_identities[0])


def test_what_is_left_out_of_a_gallery_is_named(cosine, toy_test, tmp_path, caplog):
    for name in (
        "Ada/a.jpg",
        "Bea/b.JPG",
        "Bea/c.heic",
        "Bea/.d.jpg",
        "Bea/old/e.jpg",
        ".cache/f.jpg",
        "g.webp",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(toy_test.left[0], tmp_path / name)
    gallery = cosine.gallery(tmp_path)
    assert sorted(gallery.names) == ["Ada", "Bea"]
    (record,) = (record for record in caplog.records if record.levelname == "WARNING")
    left_out = record.getMessage().split(": ")[-1].split(", ")
    assert sorted(left_out) == [".cache", "Bea/.d.jpg", "Bea/c.heic", "Bea/old", "g.webp"]
    for name in ("Cyd", "Dan"):
        (tmp_path / name).mkdir()
    shutil.copy(toy_test.left[0], tmp_path / "Cyd" / "h.heic")
    with pytest.raises(
        ValueError, match="at least one photo .*of each person. Received none of Cyd, Dan. Leave"
    ):
        cosine.gallery(tmp_path)
    with pytest.raises(ValueError, match="at least one photo .*of each person. Received none of Eve"):
        cosine.gallery({"Ada": toy_test.left[0], "Eve": []})


def test_photos_in_a_flat_folder_are_read_by_lfws_names_or_are_a_person_each(
    cosine, toy_test, tmp_path, caplog
):
    caplog.set_level("INFO")
    folders = {
        "lfw": (["Ada_Ek_0001.jpg", "Ada_Ek_0002.jpg", "Bea_0001.jpg"], ["Ada_Ek", "Ada_Ek", "Bea"]),
        "own": (["Ada Ek.jpg", "Bea_1.jpg", "people/c.jpg"], ["Ada Ek", "Bea_1", "people"]),
        "camera": (["IMG_0001.jpg", "IMG_0002.jpg"], ["IMG_0001", "IMG_0002"]),
        "mixed": (["Ada_Ek_0001.jpg", "Bea.jpg"], None),
    }
    for folder, (files, names) in folders.items():
        for file in files:
            (tmp_path / folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(toy_test.left[0], tmp_path / folder / file)
        if names:
            caplog.clear()
            assert sorted(cosine.gallery(tmp_path / folder).names) == names
            rule = (
                "by their names in LFW's form"
                if folder == "lfw"
                else "each of one person, named like the file"
            )
            assert rule in caplog.text
    with pytest.raises(
        ValueError, match="LFW's form, First_Last_0001, or none. Received: Ada_Ek_0001.jpg and Bea.jpg"
    ):
        cosine.gallery(tmp_path / "mixed")
    with pytest.raises(FileNotFoundError, match="nope does not exist. Give a folder"):
        cosine.gallery(tmp_path / "nope")
    with pytest.raises(ValueError, match="must be a folder with photos. Received: a file"):
        cosine.gallery(toy_test.left[0])
    for name in ("Zo\u00eb", "Zoe\u0308"):
        (tmp_path / "two" / name).mkdir(parents=True)
        shutil.copy(toy_test.left[0], tmp_path / "two" / name / "a.jpg")
    with pytest.raises(ValueError, match="written in two ways"):
        cosine.gallery(tmp_path / "two")
    for nameless in ("", " ", None):
        with pytest.raises(ValueError, match="photos by name"):
            cosine.gallery({nameless: toy_test.left[0]})


def test_a_gallery_of_another_width_is_refused(cosine, toy_test):
    gallery = Gallery(np.array(["a"]), np.ones((1, 17)), cosine.digest)
    with pytest.raises(ValueError, match="embeddings of 16 numbers.*Received: 17. Make it anew"):
        cosine.identify(toy_test.left[0], gallery)


def test_a_gallery_of_another_model_is_refused(runs, toy_test):
    gallery = Verifier.load(runs["triplet_embedding"]).gallery({"a": toy_test.left[0]})
    with pytest.raises(ValueError, match="another model, SHA-256 [0-9a-f]{12} instead of [0-9a-f]{12}"):
        Verifier.load(runs["cosine_embedding"]).identify(toy_test.left[0], gallery)


def test_a_folder_that_is_no_whole_run_is_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "absent"):
        with pytest.raises(FileNotFoundError, match=f"{folder.name} is no run folder.*Give the folder"):
            Verifier.load(folder)
    (tmp_path / "folds/fold-1").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="a run for each fold.*folds/model, .*a run of other people"):
        Verifier.load(tmp_path / "folds")
    for file, message in (
        ("scores.npy", "is missing. Give the same `siamese-nn train` command again"),
        ("model.keras", "is missing. Train the run again"),
        ("verifier.json", "has no verifier.json.*same `siamese-nn train` command again"),
        ("results.json", "half-written.*same `siamese-nn train` command again"),
    ):
        (run / file).unlink()
        with pytest.raises(FileNotFoundError, match=message):
            Verifier.load(run)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"format": 1},
            "must have format 2.*Received: format 1. Give the same `siamese-nn train` command again",
        ),
        ({"photo_size": [250]}, "damaged"),
        ({"photo_size": [250, 0]}, "damaged"),
        ({"held_out": {"file": "scores.npy", "sha256": ""}}, "damaged"),
        ({"held_out": {"file": "../scores.npy", "sha256": "", "photos_each": [2]}}, "damaged"),
        ({"held_out": {"file": "scores.npy", "sha256": "", "photos_each": [0]}}, "damaged"),
        ({"threshold": None}, "damaged.*: a part is missing or out of range"),
        ({"threshold": float("nan")}, "damaged"),
        ({"calibration": {"slope": 1}}, "damaged"),
        ({"calibration": [1, 2]}, "damaged"),
        ({"crop": [0, 5]}, "damaged"),
        ({"crop": [5]}, "damaged"),
        ({"crop": [100_001, 5]}, "damaged"),
        ({"calibration": {"slope": -0.1, "intercept": 0}}, "damaged"),
        ({"model_sha256": None}, "damaged: a part is missing or out of range. Give the same"),
        ({"people": {"trained_on": ["Ada"]}}, "damaged"),
        ({"people": {"trained_on": "Ada", "chosen_on": []}}, "damaged"),
        ({"people": {"trained_on": ["Ada", 7], "chosen_on": []}}, "damaged"),
        ({"model": "../other/model.keras"}, "damaged"),
        ({"model": "/tmp/model.keras"}, "damaged"),
        ({"frame": {"points": [[1, 2]] * 5, "size": [250, 250]}}, "damaged"),
        ({"frame": {"size": [250, 250]}}, "damaged"),
        ({"frame": {"points": faces.LFW_A.points, "size": [125, 125]}}, "damaged"),
    ],
)
def test_wrong_settings_are_refused(run, settings, message):
    (run / "verifier.json").write_text(json.dumps(SETTINGS | settings))
    with pytest.raises(ValueError, match=rf"verifier\.json .*{message}"):
        Verifier.load(run)


def test_where_the_faces_of_its_training_lie(run):
    held = {"frame": {"points": faces.LFW_A.points, "size": [250, 250]}}
    (run / "verifier.json").write_text(json.dumps(json.loads((run / "verifier.json").read_text()) | held))
    assert Verifier.load(run).embedding.frame == faces.LFW_A


def test_a_model_that_the_threshold_was_not_chosen_for_is_refused(run, runs):
    tf.keras.utils.set_random_seed(2)
    other = MODELS["cosine_embedding"](models.report_cnn((*SIZE, 1), filters=2, units=16))
    other.save(run / "model.keras")
    with pytest.raises(
        ValueError, match=r"model\.keras is not the model that the threshold.*SHA-256 is [0-9a-f]{12}"
    ):
        Verifier.load(run)
    shutil.copy(runs["cosine_embedding"] / "model.keras", run / "model.keras")
    Verifier.load(run)


@pytest.mark.parametrize("damage", ["cut", "bit", "nan", "other", "pickle", "claim"])
def test_damaged_scores_of_held_out_people_are_refused(run, damage):
    path, settings = run / "scores.npy", json.loads((run / "verifier.json").read_text())
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "bit":
        path.write_bytes(content[:999] + bytes([content[999] ^ 1]) + content[1000:])
    else:  # by somebody who changes the digest, too
        scores = {
            "nan": np.full((120, 120), np.nan, np.float32),
            "other": np.zeros((120, 121), np.float32),
            "pickle": np.array([[{}] * 120] * 120),
            "claim": np.zeros((120, 120), np.float32),
        }
        np.save(path, scores[damage], allow_pickle=True)
        if damage == "claim":
            path.write_bytes(path.read_bytes().replace(b"(120, 120), }", b"(10**9,120),}"))
        settings["held_out"]["sha256"] = sha256(path.read_bytes()).hexdigest()
        (run / "verifier.json").write_text(json.dumps(settings))
    with pytest.raises(
        ValueError, match=r"scores\.npy is damaged.*Give the same `siamese-nn train` command again"
    ):
        Verifier.load(run)


def test_a_threshold_that_was_changed_on_the_disk_is_refused(run):
    write_results(run, RESULTS)
    Verifier.load(run)
    text = (run / "verifier.json").read_text()
    (run / "verifier.json").write_text(text.replace('"threshold": ', '"threshold": 1', 1))
    with pytest.raises(
        ValueError, match=r"verifier\.json has changed .*same `siamese-nn train` command again"
    ):
        Verifier.load(run)


@pytest.mark.parametrize("text", ["", '{"sta', "[]", "{}", "3", "[" * 200_000])
def test_damaged_results_are_named(run, text):
    (run / "results.json").write_text(text)
    with pytest.raises(ValueError, match=r"results\.json is damaged.*Remove it"):
        Verifier.load(run)


def test_it_says_where_it_came_from_and_whom_it_has_seen(cosine, runs):
    held = json.loads((runs["cosine_embedding"] / "verifier.json").read_text())
    assert json.loads(json.dumps(cosine.provenance)) == held
    assert cosine.embedding.frame is None  # an older run's
    assert cosine.seen_people == frozenset(("Ada", "Bea", "Cyd"))
    for name in ("Ada", "Cyd"):
        fold = datasets.Pairs(["a.jpg"], ["b.jpg"], [1], [name], [name])
        with pytest.raises(datasets.IdentityLeakError, match=name):
            evaluation.require_unseen([fold], cosine.seen_people)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_settings_that_are_no_settings_are_refused(run, text):
    (run / "verifier.json").write_text(text)
    with pytest.raises(ValueError, match=r"verifier\.json"):
        Verifier.load(run)


def test_damaged_models_are_refused(run):
    path = run / "model.keras"
    whole = path.read_bytes()
    for damaged in (b"", b"hello", whole[: len(whole) // 2], whole[:2000] + b"?" * 50 + whole[2050:]):
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError, match=r"model\.keras .*(damaged|cannot be loaded).*Train the run again"
        ):
            Verifier.load(run)


def rewrite_config(path, change):
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(parts["config.json"])
    change(config)
    parts["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def test_a_model_of_endless_depth_is_refused(run):
    path = run / "model.keras"
    for depth in (900, 200_000):
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        whole = parts["config.json"][:-1]
        parts["config.json"] = whole + b', "deep": ' + b"[" * depth + b"]" * depth + b"}"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, content)
        with pytest.raises(ValueError, match=r"model\.keras"):
            Verifier.load(run)


@pytest.mark.parametrize(
    "layer",
    [
        {"module": "keras.layers", "class_name": "Lambda"},
        {"module": "keras.src.layers.core.lambda_layer", "class_name": "Lambda"},
        {"module": "keras.layers", "class_name": "TFSMLayer"},
        {"module": "keras.layers", "class_name": "TFOpLambda"},
        {"module": None, "class_name": "__lambda__"},
        {"module": "builtins", "class_name": "function"},
        {"module": "os", "class_name": "system"},
        {"module": "keras.utils", "class_name": "get_file"},
        {"module": "keras_evil", "class_name": "Dense"},
    ],
)
def test_a_model_that_could_run_code_is_refused_before_keras_sees_it(run, layer, monkeypatch):
    rewrite_config(
        run / "model.keras", lambda config: config["config"]["layers"].append({**layer, "config": {}})
    )
    monkeypatch.setattr(tf.keras.models, "load_model", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(ValueError, match=f"could run code: it holds .*{layer['class_name']}"):
        Verifier.load(run)


def test_a_real_lambda_layer_is_refused(tmp_path):
    image = tf.keras.Input((*SIZE, 1))
    model = tf.keras.Model(image, tf.keras.layers.Lambda(lambda x: tf.reduce_mean(x, (1, 2)))(image))
    with pytest.raises(ValueError, match="could run code"):
        Verifier.load(write_run(tmp_path / "run", model))


@pytest.mark.parametrize("suffix", ["h5", "pickle"])
def test_a_model_in_an_older_form_is_refused(run, suffix):
    small_model().save(run / "old.h5")
    content = pickle.dumps({"a": 1}) if suffix == "pickle" else (run / "old.h5").read_bytes()
    (run / "model.keras").write_bytes(content)
    with pytest.raises(ValueError, match="no `.keras` file"):
        Verifier.load(run)


@pytest.mark.parametrize(
    ("photo", "error", "message"),
    [
        ("absent.jpg", ImageError, "absent.jpg: no such image"),
        (b"hello", ImageError, "^photo 0 of those given: not a whole JPEG or PNG"),
        (np.zeros((250, 250, 2), np.uint8), ImageError, r"photo 0 .*Received: shape \(250, 250, 2\)"),
        (np.zeros((0, 250), np.uint8), ImageError, "photo 0 .*Received: shape"),
        (np.zeros((2, 250, 250, 1), np.uint8), ImageError, "photo 0 .*Received: shape"),
        (np.zeros((250, 250), np.int64), ImageError, "photo 0 .*uint8, or floats.*Received: int64"),
        (np.full((250, 250), 7.0), ImageError, r"photo 0 .*\[0, 1\]. Received: 7.0 to 7.0"),
        (np.full((250, 250), np.nan), ImageError, r"photo 0 .*\[0, 1\]. Received: nan"),
        (
            np.zeros((90, 80), np.uint8),
            ImageError,
            r"photo 0 .*`photo_size`, 250 x 250 pixels.*Received: 90 x 80",
        ),
        (7, TypeError, "A photo must be .*photo 0: int"),
    ],
)
def test_what_is_no_photo_is_named(cosine, photo, error, message):
    with pytest.raises(error, match=message):
        cosine.embed([photo])


def test_lists_must_fit(cosine, toy_test):
    photo = toy_test.left[0]
    assert cosine.verify([], []) == []
    for a, b in ((photo, [photo]), ([photo], [photo, photo])):
        with pytest.raises(ValueError, match="`a` and `b` must be two photos, or two lists of one length"):
            cosine.verify(a, b)
    gallery = cosine.gallery({"a": photo})
    for k in (0, -1, 1.5, 1.0, None):
        with pytest.raises(ValueError, match=f"`k` must be a whole number of at least 1. Received: k={k}"):
            cosine.identify(photo, gallery, k=k)
    assert len(cosine.identify(photo, gallery, k=np.int64(2), threshold=0).candidates) == 1
    for wrong in ("folder", Path("folder"), {"a": photo}):
        with pytest.raises(
            ValueError, match=rf"verifier.gallery\(folder\)`. Received: {type(wrong).__name__}"
        ):
            cosine.identify(photo, wrong)
    with pytest.raises(ValueError, match="at least one photo"):
        cosine.gallery({})


@pytest.mark.slow
def test_it_needs_the_run_folder_alone_in_a_fresh_process(runs, toy_test, cosine):
    script = (
        "import sys, siamese_nn\nprint(siamese_nn.Verifier.load(sys.argv[1]).verify(*sys.argv[2:]).score)"
    )
    words = [str(runs["cosine_embedding"]), toy_test.left[0], toy_test.right[0]]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    expected = cosine.verify(toy_test.left[0], toy_test.right[0]).score
    assert float(done.stdout) == pytest.approx(expected, rel=1e-5)
