"""`Verifier.fit` over an embedding of anybody's, kept in a folder and used again."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from siamese_nn import Verifier, datasets, evaluation, faces
from siamese_nn.evaluation import Cosine, Euclidean
from siamese_nn.verification import fitted as fitted_module
from siamese_nn.verification.embedding import Embedding

FUNCTION = """
def small(images):
    found = images[:, ::5, ::5].reshape(len(images), -1).astype(float)
    return found - found.mean(axis=1, keepdims=True)
"""
exec(FUNCTION)


def embedding_of(function=None, **more):
    return Embedding(function or small, (80, 80), "small photos", 1, crop=(200, 200), **more)  # noqa: F821


@pytest.fixture(scope="module")
def sides(toy_pairs):
    """Pairs of two halves of the people, and the photos of those in the first."""
    names = sorted(toy_pairs.identities())
    halves = set(names[: len(names) // 2]), set(names[len(names) // 2 :])
    parts = [
        toy_pairs[
            np.isin(toy_pairs.left_identities, list(half)) & np.isin(toy_pairs.right_identities, list(half))
        ]
        for half in halves
    ]
    photos = {}
    for part in parts[:1]:
        for side in ("left", "right"):
            for path, name in zip(getattr(part, side), getattr(part, f"{side}_identities"), strict=True):
                photos.setdefault(str(name), set()).add(str(path))
    return (*parts, {name: sorted(own) for name, own in photos.items()})


@pytest.fixture(scope="module")
def fitted(sides):
    return Verifier.fit(embedding_of(), sides[1])


def test_threshold_and_calibration_are_those_of_the_scores(fitted, sides):
    scores = fitted.score_pairs(sides[1])
    assert fitted.threshold == evaluation.choose_threshold(scores, sides[1].same)
    calibration = evaluation.fit_platt(scores, sides[1].same)
    assert (fitted.calibration.slope, fitted.calibration.intercept) == (
        calibration.slope,
        calibration.intercept,
    )
    pair = sides[1][:1]
    answer = fitted.verify(pair.left[0], pair.right[0])
    assert answer.score == pytest.approx(scores[0], rel=1e-5) and answer.same == (
        scores[0] >= fitted.threshold
    )
    assert (
        fitted.held_out.n_people == len(sides[1].identities()) and fitted.seen_people == sides[1].identities()
    )


def test_saved_verifiers_give_the_same_answers_in_a_fresh_process(sides, tmp_path):
    plda, cohort = {"plda": sides[2]}, {"cohort": sides[2]}
    paths = sides[0].left[:4].tolist()
    wanted = []
    for number, back_end in enumerate(({}, plda, cohort, plda | cohort)):
        verifier = Verifier.fit(embedding_of(), sides[1], **back_end)
        verifier.save(tmp_path / str(number))
        answers = [answer.score for answer in verifier.verify(paths[:2], paths[2:])]
        wanted.append(f"{verifier.threshold} {answers} {verifier.digest}")
    (tmp_path / "mine.py").write_text(FUNCTION)
    code = (
        "from siamese_nn import Verifier\nfor number in '0123':\n"
        "    v = Verifier.load(number, function='mine:small')\n"
        f"    print(v.threshold, [a.score for a in v.verify({paths[:2]}, {paths[2:]})], v.digest)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == wanted and len({line.split()[-1] for line in wanted}) == 4


def test_it_identifies_and_clusters_and_reports_in_folds(fitted, sides, monkeypatch):
    people = dict(list(sides[2].items())[:5])
    gallery = fitted.gallery({name: photos[:1] for name, photos in people.items()})
    found = fitted.identify([photos[0] for photos in people.values()], gallery, threshold=0.99)
    assert [answer.name for answer in found] == list(people)
    assert len(set(fitted.cluster([photos[0] for photos in people.values()] * 2).tolist())) <= 5
    with pytest.raises(datasets.IdentityLeakError):
        fitted.cross_validate([sides[1]])
    with pytest.raises(datasets.IdentityLeakError, match="The people of the verifier and `pairs` must share"):
        fitted.report(sides[1])
    monkeypatch.setattr("siamese_nn.evaluation.metrics._LEAST_FOR_CLLR", 1)
    report = fitted.report(sides[0])
    scores = fitted.score_pairs(sides[0])
    ratios = fitted.calibration.log_likelihood_ratio(scores, share_of_same=sides[1].same.mean())
    assert report.cllr == evaluation.cllr(ratios, sides[0].same).estimate
    assert report.accuracy == np.mean((scores >= fitted.threshold) == sides[0].same)
    assert report.threshold == fitted.threshold and report.n_people == len(sides[0].identities())


def test_a_refit_in_folds_begins_with_the_networks_own_vectors(fitted, sides, monkeypatch):
    seen = []
    monkeypatch.setattr(evaluation, "cross_validate_plda", lambda vectors, *_: seen.append(vectors))
    for verifier in (fitted, Verifier.fit(embedding_of(), sides[1], plda=sides[2])):
        monkeypatch.setattr(verifier, "seen_people", frozenset(["Somebody Else"]))
        verifier.cross_validate([sides[0]], photos=dict(list(sides[2].items())[:3]))
    plain, with_plda = seen
    for path, vector in plain.items():
        np.testing.assert_array_equal(vector, with_plda[path])


@pytest.mark.parametrize("group", ["plda", "cohort", "trained_on"])
def test_nobody_is_on_two_sides(sides, group):
    first = sides[1].left_identities[0].upper().replace("_", " ")
    people = {**sides[2], first: sides[1].left[:2].tolist()}
    by_embedding = {"trained_on": list(people)} if group == "trained_on" else {}
    with pytest.raises(datasets.IdentityLeakError, match=f"`{group}` and `pairs` must share nobody"):
        Verifier.fit(embedding_of(**by_embedding), sides[1], **({} if by_embedding else {group: people}))


def test_too_few_pairs_are_refused(sides):
    with pytest.raises(ValueError, match="at least 10 people, and as many pairs of two people"):
        Verifier.fit(embedding_of(), sides[1][sides[1].same == 1])
    with pytest.raises(ValueError, match="must be a `datasets.Pairs`"):
        Verifier.fit(embedding_of(), [1])


def test_the_function_is_asked_for_and_another_one_is_told(fitted, tmp_path):
    fitted.save(tmp_path / "own")
    with pytest.raises(ValueError, match="is of a function of yours, 'small photos'. Give it"):
        Verifier.load(tmp_path / "own")
    with pytest.raises(ValueError, match="small photos gives other vectors than when the threshold"):
        Verifier.load(tmp_path / "own", function=lambda images: small(images[:, ::-1]))  # noqa: F821
    with pytest.raises(ValueError, match="small photos gives other vectors than when the threshold"):
        Verifier.load(tmp_path / "own", function=lambda images: 2 * small(images))  # noqa: F821
    with pytest.raises(ValueError, match="must be 'module:function'"):
        Verifier.load(tmp_path / "own", function="mine.small")
    with pytest.raises(ValueError, match="can be imported. Received: no_module:small"):
        Verifier.load(tmp_path / "own", function="no_module:small")


def test_a_changed_folder_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "own")
    with pytest.raises(ValueError, match="must be new, or empty"):
        fitted.save(tmp_path / "own")
    settings = tmp_path / "own" / "verifier.json"
    whole, arrays = settings.read_text(), (tmp_path / "own" / "arrays.npz").read_bytes()

    def load():
        return Verifier.load(tmp_path / "own", function=small)  # noqa: F821

    for name, value in (("threshold", 0.1), ("photos_each", [1]), ("people", {})):
        settings.write_text(json.dumps(json.loads(whole) | {name: value}))
        with pytest.raises(ValueError, match="verifier.json was changed since it was written"):
            load()
    settings.write_text(json.dumps(json.loads(whole) | {"format": "embedding 9"}))
    with pytest.raises(ValueError, match="must have format 'embedding 1'"):
        load()
    settings.write_text(whole[:50])
    with pytest.raises(ValueError, match="is damaged"):
        load()
    for lost in ("embedding", "threshold", "photos_each", "people"):  # with a right seal, as nobody wrote it
        kept = {name: value for name, value in json.loads(whole).items() if name not in (lost, "sha256")}
        settings.write_text(json.dumps(kept | {"sha256": fitted_module._seal(kept)}))
        with pytest.raises(ValueError, match=f"verifier.json is damaged .*{lost}"):
            load()
    settings.write_text(whole)
    (tmp_path / "own" / "arrays.npz").write_bytes(arrays[:-9])
    with pytest.raises(ValueError, match="arrays.npz is not the one that verifier.json names"):
        load()
    (tmp_path / "own" / "arrays.npz").unlink()
    with pytest.raises(FileNotFoundError, match="arrays.npz is missing"):
        load()


def test_galleries_of_another_back_end_are_refused(fitted, sides):
    gallery = fitted.gallery(dict(list(sides[2].items())[:3]))
    other = Verifier.fit(embedding_of(), sides[1], cohort=sides[2])
    with pytest.raises(ValueError, match="must have been made with this verifier's model"):
        other.identify(sides[0].left[0], gallery, threshold=0.5)


def test_a_photo_of_another_shape_than_those_of_the_threshold_is_refused(fitted, sides, tmp_path):
    fitted.save(tmp_path / "kept")
    photo, rule = np.zeros((200, 120, 3), np.uint8), "must have the shape of `photo_size`, 250 x 250"
    for verifier in (fitted, Verifier.load(tmp_path / "kept", function=small)):  # noqa: F821
        with pytest.raises(ValueError, match=f"{rule}.*Received: 200 x 120"):
            verifier.verify(sides[0].left[0], photo)


def test_galleries_of_another_function_are_refused_whatever_its_name(fitted, sides):
    gallery = fitted.gallery(dict(list(sides[2].items())[:3]))
    other = Verifier.fit(embedding_of(lambda images: small(images)[:, ::-1]), sides[1])  # noqa: F821
    with pytest.raises(ValueError, match="must have been made with this verifier's model"):
        other.identify(sides[0].left[0], gallery, threshold=0.5)
    again = Verifier.fit(embedding_of(), sides[1])
    assert again.identify(sides[0].left[0], gallery, threshold=0.5).candidates


def test_a_network_that_tells_no_photos_apart_is_refused(sides):
    for metric in ("cosine", "euclidean"):
        constant = embedding_of(lambda images: np.ones((len(images), 4)), metric=metric)
        with pytest.raises(ValueError, match="small photos must tell photos apart. Received the score"):
            Verifier.fit(constant, sides[1])
    with pytest.raises(ValueError, match="small photos must tell photos apart. Received the score 1 for all"):
        Verifier.fit(embedding_of(lambda images: images.mean(axis=(1, 2)) + 1), sides[1])  # one number


def test_a_fault_of_the_function_is_told_as_its_own(fitted, tmp_path):
    fitted.save(tmp_path / "own")
    with pytest.raises(ValueError, match="small photos failed for 4 images.*TypeError: mine"):
        Verifier.load(tmp_path / "own", function=lambda images: (_ for _ in ()).throw(TypeError("mine")))
    (tmp_path / "odd.py").write_text("1 / 0")
    for path in (":small", "mine:", "mine"):
        with pytest.raises(ValueError, match="must be 'module:function'"):
            Verifier.load(tmp_path / "own", function=path)
    with pytest.raises(ValueError, match="`function` must be a function from images to vectors"):
        Verifier.load(tmp_path / "own", function="os:sep")


def test_a_module_that_fails_when_it_is_imported_is_one_error(fitted, tmp_path, monkeypatch):
    fitted.save(tmp_path / "own")
    (tmp_path / "divides_by_zero.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"can be imported. Received: .* \(ZeroDivisionError: division"):
        Verifier.load(tmp_path / "own", function="divides_by_zero:small")


@pytest.mark.parametrize("content", [None, "[]", "{}", '{"format": 2}'])
def test_a_function_for_a_folder_of_another_kind_is_one_error(tmp_path, content):
    if content is not None:
        (tmp_path / "verifier.json").write_text(content)
    with pytest.raises(ValueError, match="with its verifier.json. Received it with .* copy it anew"):
        Verifier.load(tmp_path, function=small)  # noqa: F821


def test_a_threshold_knows_on_whom_it_was_chosen(fitted, sides):
    paths, where = sides[1].distinct_images()
    names = dict(zip(sides[1].left.tolist(), sides[1].left_identities.tolist(), strict=True))
    names |= dict(zip(sides[1].right.tolist(), sides[1].right_identities.tolist(), strict=True))
    people = [names[path].replace("_", " ") for path in paths.tolist()]
    with pytest.raises(datasets.IdentityLeakError, match="must have been chosen on other people.*knows"):
        evaluation.rates_by_group(
            fitted.embed(paths), people, dict.fromkeys(people, "all"), threshold=fitted.threshold
        )
    assert type(fitted.verify(paths[0], paths[1]).threshold) is float  # an answer holds no names


def test_a_keras_model_is_saved_with_its_verifier(sides, tmp_path):
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(
        [tf.keras.layers.Input((40, 40, 1)), tf.keras.layers.Flatten(), tf.keras.layers.Dense(8)]
    )
    verifier = Verifier.fit(Embedding.of_keras(model, metric="euclidean"), sides[1])
    verifier.save(tmp_path / "own")
    again, paths = Verifier.load(tmp_path / "own"), sides[0].left[:2].tolist()
    assert again.verify(*paths) == verifier.verify(*paths) and again.threshold < 0
    with pytest.raises(ValueError, match="`function` is for an embedding of a function"):
        Verifier.load(tmp_path / "own", function=lambda images: images)


def test_photos_are_moved_to_where_the_embedding_wants_the_face(sides):
    frame = faces.Frame([(x / 2, y / 2) for x, y in faces.LFW_A.points], (125, 125))
    wanted = Embedding(lambda images: images.reshape(len(images), -1), (125, 125), "pixels", 1, frame=frame)
    verifier = Verifier.fit(wanted, sides[1], align=faces.LFW_A)
    photo = sides[0].left[0]
    moved = verifier.embed([photo], align=faces.LFW_A).reshape(125, 125)
    halved = np.asarray(datasets.load_image(photo, image_size=(125, 125)), np.float32)[..., 0]
    halved /= np.linalg.norm(halved)
    assert np.corrcoef(moved.ravel(), halved.ravel())[0, 1] > 0.99
    with pytest.raises(datasets.ImageError, match=r"must be of \(250, 250\) pixels .* Received: 9 x 9"):
        verifier.embed([np.zeros((9, 9, 3), np.uint8)], align=faces.LFW_A)
    with pytest.raises(ValueError, match="It is not known where this network wants the faces"):
        Verifier.fit(embedding_of(), sides[1], align=True)


def test_a_comparison_is_kept_or_refused(sides, tmp_path):
    class Own(Cosine):
        pass

    embedding = embedding_of(metric=Euclidean())
    assert embedding.metric == "euclidean" and embedding.digest != embedding_of(metric=Cosine()).digest
    with pytest.raises(ValueError, match="A comparison of your own can't be written. .*metric=Own"):
        Verifier.fit(embedding_of(metric=Own()), sides[1]).save(tmp_path / "own")
    assert not (tmp_path / "own").exists()


def test_a_function_over_the_whole_batch_is_refused(sides):
    def centred(images):
        vectors = small(images)  # noqa: F821
        return vectors - vectors.mean(axis=0) + 1

    with pytest.raises(ValueError, match="must give a photo the same vector alone and among others"):
        Verifier.fit(embedding_of(centred), sides[1])


def test_a_model_that_changed_or_cannot_be_loaded_is_not_written(sides, tmp_path):
    def model(*layers):
        return tf.keras.Sequential([tf.keras.Input((20, 20, 1)), *layers, tf.keras.layers.Flatten()])

    changed = model(tf.keras.layers.Conv2D(2, 5))
    verifier = Verifier.fit(Embedding.of_keras(changed, crop=(200, 200)), sides[1])
    changed.set_weights([weight + 1 for weight in changed.get_weights()])
    unsafe = model(tf.keras.layers.Lambda(lambda x: x + 1))
    never = Verifier.fit(Embedding.of_keras(unsafe, crop=(200, 200)), sides[1])
    for one, words in ((verifier, "it was changed since"), (never, "The model can't be kept in a file")):
        with pytest.raises(ValueError, match=words):
            one.save(tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_an_onnx_file_with_weights_elsewhere_is_not_written(sides, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    info, floats = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    weights = onnx.numpy_helper.from_array(np.eye(400, 8, dtype=np.float32), "weights")
    nodes = [
        onnx.helper.make_node("Flatten", ["photos"], ["flat"]),
        onnx.helper.make_node("MatMul", ["flat", "weights"], ["vectors"]),
    ]
    photos, vectors = info("photos", floats, ("n", 20, 20, 1)), info("vectors", floats, ("n", 8))
    graph = onnx.helper.make_graph(nodes, "g", [photos], [vectors], [weights])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, tmp_path / "whole.onnx")
    external = dict(save_as_external_data=True, location="weights.bin", size_threshold=0)
    onnx.save(model, tmp_path / "parts.onnx", **external)
    for name in ("whole", "parts"):
        embedding = Embedding.of_onnx(tmp_path / f"{name}.onnx", crop=(200, 200))
        verifier = Verifier.fit(embedding, sides[1])
        if name == "whole":
            verifier.save(tmp_path / name)
            continue
        with pytest.raises(ValueError, match=r"parts.onnx must be a network in one file"):
            verifier.save(tmp_path / name)
        (tmp_path / "weights.bin").write_bytes(np.eye(400, 8, 1, dtype=np.float32).tobytes())
        assert Embedding.of_onnx(tmp_path / "parts.onnx", crop=(200, 200)).digest != embedding.digest
        assert not (tmp_path / name).exists()
