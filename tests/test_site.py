"""What `make docs` refuses. It builds the site itself in `.ci/run` alone."""

import pytest

from check_site import elsewhere, exported

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "text",
    [
        '<link rel="stylesheet" href="https://fonts.example/css">',
        "<script async src=//cdn.example/x.js></script>",
        '<img alt="a > b" src="http://a.example/b.png">',
        "@import 'https://a.example/b.css';",
        "p { background: url(https://a.example/b.png) }",
    ],
)
def test_what_a_browser_would_load_from_another_host_is_found(text):
    assert len(elsewhere(text)) == 1


def test_links_and_own_files_are_no_fault():
    own = '<link href="../a.css"><script src="a.js"></script><img src="data:image/png;base64,AA">'
    assert elsewhere(own + 'a{b:url(c.svg)}<a href="https://a.example"><img src="verdicts.png"></a>') == []


def test_the_reference_asks_for_what_the_rooms_export():
    assert {"datasets.Pairs", "training.train", "losses.CircleLoss", "plots.roc"} <= set(exported())
