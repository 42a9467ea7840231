import subprocess
import sys

import numpy as np
import pytest

from siamese_nn.evaluation import search
from siamese_nn.evaluation.search import score_blocks, top_scores

pytestmark = pytest.mark.once

SMALLEST = 2**20


def whole_numbers(shape, seed=0, size=4):
    """Float32 products of small whole numbers are exact, whatever the order of the sums, and full of ties."""
    return np.random.default_rng(seed).integers(-size, size + 1, shape).astype(np.float32)


def nearest(queries, gallery, k, **options):
    return top_scores(score_blocks(np.asarray(queries), gallery, **options), len(queries), k)


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
from siamese_nn.evaluation.search import score_blocks, top_scores
nearest = lambda left, right, k, **options: top_scores(score_blocks(left, right, **options), len(left), k)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
queries = np.ones((300, 8), np.float32)
gallery = np.repeat(np.arange(100_000, dtype=np.float64)[:, None], 8, axis=1)
nearest(queries[:2], gallery[:100].astype(np.float32), 5)
before = peak()
nearest(queries, gallery, 5, memory_limit=2**25)
nearest(queries, gallery[::-1] * 0, 5, memory_limit=2**25)
print(peak() - before - 2 * gallery.nbytes)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2**25


@pytest.mark.parametrize("n", [0, 1, 2, 53])
def test_the_upper_blocks_hold_every_pair_once(small_blocks, n):
    embeddings = whole_numbers((n, 3))
    found = np.full((n, n), np.nan)
    for row, column, scores in score_blocks(embeddings, embeddings, upper=True):
        block = found[row : row + len(scores), column : column + scores.shape[1]]
        assert np.isnan(block).all()
        block[:] = scores
    upper = np.triu_indices(n)
    np.testing.assert_array_equal(found[upper], (embeddings @ embeddings.T)[upper])
    assert n < 53 or np.isnan(found).any()  # what lies below is left out


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_found_wherever_it_is(small_blocks, bad):
    for i in (0, 5, 30, 99):
        gallery = whole_numbers((100, 4))
        gallery[i, i % 4] = bad
        with pytest.raises(ValueError, match="finite"):
            nearest(whole_numbers((9, 4)), gallery, 2)


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


def test_the_memory_limit_is_checked():
    with pytest.raises(ValueError, match="`memory_limit` must be at least 1 MiB. Received: memory_limit=10"):
        nearest(np.ones((2, 3)), np.ones((2, 3)), 1, memory_limit=10)
