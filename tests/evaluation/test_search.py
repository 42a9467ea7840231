import subprocess
import sys

import numpy as np
import pytest

from siamese_nn.evaluation import search
from siamese_nn.evaluation.search import nearest, pairs_above

SMALLEST = 2**20


def whole_numbers(shape, seed=0, size=4):
    """Float32 products of small whole numbers are exact, whatever the order of the sums, and full of ties."""
    return np.random.default_rng(seed).integers(-size, size + 1, shape).astype(np.float32)


def reference(queries, gallery, k):
    """A full stable sort in float64: equal scores by lowest index."""
    scores = np.asarray(queries, np.float64) @ np.asarray(gallery, np.float64).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, 1), order


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(search, "_SCORES_A_BLOCK", 60)
    monkeypatch.setattr(search, "_MOST_ROWS", 7)


@pytest.mark.parametrize("k", [1, 3, 10, 101])
@pytest.mark.parametrize("size", [0, 1, 4])
def test_scores_indices_and_ties_are_those_of_a_full_sort(small_blocks, k, size):
    queries, gallery = whole_numbers((23, 5), 1, size), whole_numbers((101, 5), 2, size)
    scores, indices = nearest(queries, gallery, k)
    expected_scores, expected_indices = reference(queries, gallery, k)
    np.testing.assert_array_equal(scores, expected_scores)
    np.testing.assert_array_equal(indices, expected_indices)
    assert scores.dtype == np.float32 and indices.dtype == np.int64


@pytest.mark.parametrize("order", [1, -1])
def test_a_gallery_sorted_against_us(small_blocks, order):
    gallery = np.arange(500, dtype=np.float32)[::order, None]
    scores, indices = nearest([[1.0], [-1.0]], gallery, 4)
    assert scores.tolist() == [[499, 498, 497, 496], [0, -1, -2, -3]]
    np.testing.assert_array_equal(indices, reference([[1.0], [-1.0]], gallery, 4)[1])


def test_real_embeddings_in_blocks_of_all_sizes():
    generator = np.random.default_rng(0)
    queries, gallery = generator.normal(size=(300, 64)), generator.normal(size=(5000, 64))
    expected, where = reference(queries, gallery, 10)
    for memory_limit in (SMALLEST, 2**28):
        for types in ((np.float32, np.float32), (np.float64, np.float64), (np.float32, np.float16)):
            scores, indices = nearest(
                queries.astype(types[0]), gallery.astype(types[1]), 10, memory_limit=memory_limit
            )
            half = types[1] == np.float16
            assert (indices == where).mean() > (0.97 if half else 0.999)
            np.testing.assert_allclose(scores, expected, atol=0.05 if half else 1e-4)


def test_a_gallery_in_a_file_and_one_query(tmp_path):
    gallery = whole_numbers((3000, 8))
    gallery.tofile(tmp_path / "gallery")
    mapped = np.memmap(tmp_path / "gallery", np.float32, "r", shape=gallery.shape)
    np.testing.assert_array_equal(nearest(gallery[:1], mapped, 5)[1], reference(gallery[:1], gallery, 5)[1])


def test_no_queries():
    scores, indices = nearest(np.empty((0, 3)), np.ones((4, 3)), 2)
    assert scores.shape == indices.shape == (0, 2)


def test_minus_zero_is_zero():
    gallery = np.array([[-0.0], [0.0], [-1.0]], np.float32)
    assert nearest(np.array([[1.0]], np.float32), gallery, 3)[1].tolist() == [[0, 1, 2]]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory as Linux tells it")
def test_the_memory_limit_holds_when_every_block_is_full_of_candidates():
    script = """
import resource, numpy as np
from siamese_nn.evaluation.search import nearest, pairs_above
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
queries = np.ones((1000, 8), np.float32)
gallery = np.repeat(np.arange(100_000, dtype=np.float64)[:, None], 8, axis=1)
nearest(queries[:2], gallery[:100].astype(np.float32), 5)
before = peak()
nearest(queries, gallery, 5, memory_limit=2**25)
nearest(queries, gallery[::-1] * 0, 5, memory_limit=2**25)
print(peak() - before - 2 * gallery.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2**25


@pytest.mark.parametrize("threshold", [-np.inf, -3, 0, 5, np.inf])
@pytest.mark.parametrize("n", [0, 1, 2, 53])
def test_pairs_above_are_those_of_the_whole_matrix(small_blocks, n, threshold):
    embeddings = whole_numbers((n, 3))
    matrix = embeddings @ embeddings.T
    expected = np.argwhere(np.triu(matrix >= threshold, k=1))
    pairs, scores = pairs_above(embeddings, threshold)
    np.testing.assert_array_equal(pairs, expected)
    np.testing.assert_array_equal(scores, matrix[expected[:, 0], expected[:, 1]])


def test_faiss_finds_the_same():
    pytest.importorskip("faiss")
    generator = np.random.default_rng(0)
    queries, gallery = generator.normal(size=(30, 16)), generator.normal(size=(2000, 16))
    ours, theirs = nearest(queries, gallery, 7), nearest(queries, gallery, 7, engine="faiss")
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    np.testing.assert_array_equal(ours[1], theirs[1])
    assert theirs[1].dtype == np.int64
    tied = nearest(np.ones((1, 2)), np.ones((5, 2)), 5, engine="faiss")
    assert tied[1].tolist() == [[0, 1, 2, 3, 4]]


def test_without_faiss_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ImportError, match=r"siamese_nn\[faiss\]"):
        nearest(np.ones((1, 2)), np.ones((2, 2)), engine="faiss")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3)), np.ones((2, 4))), r"of one d. Received: shapes \(2, 3\) and \(2, 4\)"),
        ((np.ones(3), np.ones((2, 3))), r"`queries` and `gallery` must be"),
        (
            (np.ones((2, 3)), np.ones((2, 3)), 0),
            r"`k` must be whole, from 1 to the gallery's 2. Received: k=0",
        ),
        ((np.ones((2, 3)), np.ones((2, 3)), 3), "`k` must be"),
        ((np.ones((2, 3)), np.ones((0, 3))), "`k` must be"),
        ((np.ones((2, 3)), np.ones((2, 3)), 1.5), "`k` must be whole.*Received: k=1.5"),
        ((np.array([[0.0, np.nan]]), np.ones((2, 2))), "`queries` must hold finite"),
        ((np.ones((2, 3)) * 1j, np.ones((2, 3))), "`queries` must hold real numbers. Received: complex128"),
        ((np.ones((2, 3)), np.ones((2, 3), np.complex64)), "`gallery` must hold real .*complex64"),
    ],
)
def test_wrong_arguments_are_explained(arguments, message):
    with pytest.raises(ValueError, match=message):
        nearest(*arguments)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_wherever_it_is(small_blocks, bad):
    for i in (0, 5, 30, 99):
        gallery = whole_numbers((100, 4))
        gallery[i, i % 4] = bad
        with pytest.raises(ValueError, match="finite"):
            nearest(whole_numbers((9, 4)), gallery, 2)
        with pytest.raises(ValueError, match="finite"):
            pairs_above(gallery, 3)


@pytest.mark.parametrize("k", [1, 3, 100])
def test_products_that_overflow_are_found_wherever_they_are(small_blocks, k):
    for row, i in ((1, 1), (3, 30), (8, 99)):
        queries, gallery = np.ones((9, 2), np.float32), np.zeros((100, 2), np.float32)
        queries[row], gallery[i] = 5e3, [1e35, 0]  # finite, and so are all products but one
        with pytest.raises(ValueError, match="whose products are finite"):
            nearest(queries, gallery, k)
        gallery[i] = [-1e35, 0]  # the lowest of all: returned only with everything else
        if k == 100:
            with pytest.raises(ValueError, match="whose products are finite"):
                nearest(queries, gallery, k)
        else:
            expected = reference(queries, gallery, k)[1]
            np.testing.assert_array_equal(nearest(queries, gallery, k)[1], expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_bad_score_is_passed_over(bad):
    for row, column in ((0, 0), (1, 4), (2, 2)):
        blocks = [(0, start, whole_numbers((3, 5), start)) for start in (0, 5, 10)]
        for _, _, scores in blocks:
            scores[row, column] = bad
            with pytest.raises(ValueError, match="finite"):
                search.top_scores(blocks, 3, 2)
            scores[row, column] = 0
        search.top_scores(blocks, 3, 2)


def test_pairs_whose_products_overflow_are_refused(small_blocks):
    embeddings = np.zeros((40, 2), np.float32)
    embeddings[20], embeddings[30] = 1e19, 1e20
    with pytest.raises(ValueError, match="whose products are finite"):
        pairs_above(embeddings, 3)
    with pytest.raises(ValueError, match="`embeddings` must hold real numbers. Received: complex64"):
        pairs_above(embeddings * 1j, 3)


def test_other_options_are_checked():
    ones = np.ones((2, 3))
    for options, message in (({"memory_limit": 10}, "`memory_limit`"), ({"engine": "gpu"}, "`engine`")):
        with pytest.raises(ValueError, match=f"{message} must be"):
            nearest(ones, ones, **options)
    with pytest.raises(ValueError, match="`threshold` must be a number"):
        pairs_above(ones, float("nan"))
    with pytest.raises(ValueError, match="`embeddings` must be"):
        pairs_above(ones[0], 1)
