"""A page to try a verifier: two photos, or one and a gallery. Gradio shows it (extra `app`)."""

import html
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .gallery import Gallery
from .loaded import Identification, LoadedVerifier, Verification
from .photos import finds_faces
from .stored_gallery import StoredGallery

if TYPE_CHECKING:
    import gradio

_KEPT = 60  # seconds that an uploaded photo lies on the disk, at most twice that
_CANDIDATES = 5


def make_app(
    verifier: LoadedVerifier,
    *,
    title: str,
    gallery: Gallery | StoredGallery | None = None,
    fpir: float = 0.01,
    page: str | os.PathLike | None = None,
) -> "gradio.Blocks":
    """Makes a page on which two photos are compared, and one is looked for in a gallery.

    Uploaded photos go to this process alone. They are deleted after one to two minutes, and at the end.

    Args:
        verifier: the verifier.
        title: title of the page.
        gallery: known people, for a second tab. It also finds people who are added to a stored gallery later.
        fpir: the share of strangers who may get a name; see `Verifier.identify`.
        page: file with the verifier's figures, for a last tab: a run's `report.html`, or an export's card.

    Returns:
        The page. Its `launch` starts a server, for this machine alone unless `server_name` says otherwise.

    Raises:
        ImportError: if Gradio is not installed.
        ValueError: if `fpir` can't be promised for this gallery, or the gallery is of another model.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when it is imported
    try:
        import gradio
    except ImportError as error:
        raise ImportError("The page needs the extra `app`: pip install 'siamese_nn[app]'") from error

    refusal = partial(gradio.Error, title="No answer", duration=None, print_exception=False)

    def photo(label: str) -> "gradio.Image":
        sources: Any = ["upload", "webcam", "clipboard"]
        place: Any = gradio.Image(label=label, type="filepath", image_mode=None, sources=sources, buttons=[])
        # As a file, as it came: the library's own reading turns it upright, knows its depth, and says why it
        # can't be used. And Gradio would fetch what has an address.
        place.preprocess = lambda data: data and data.path
        keep = place.async_move_resource_to_block_cache

        async def keep_uploaded(path: str | None) -> str | None:
            if str(path).lower().startswith(("http:", "https:")):
                raise refusal("A photo must be uploaded. Received an address.")
            return await keep(path)

        place.async_move_resource_to_block_cache = keep_uploaded
        return place

    def seen(label: str) -> "gradio.Image":
        return gradio.Image(label=label, interactive=False, height=160, buttons=[], format="png")

    def answered(answer: Callable[..., Any]) -> Callable[..., Any]:
        """Shows the library's errors as they are."""

        def shown(*photos: str | None) -> Any:
            if None in photos:
                raise refusal("Give a photo in each place.")
            try:
                return answer(*photos)
            except (ValueError, OSError) as fault:
                words = str(fault)
                for number, path in enumerate(photos, 1):
                    words = words.replace(str(path), f"photo {number}")
                raise refusal(html.escape(words)) from fault

        return shown

    def compare(a: str, b: str) -> tuple[str, np.ndarray, np.ndarray]:
        verdict = verifier.verify(a, b)
        left, right = verifier.seen([a, b])
        return _verdict(verdict), _shown(left), _shown(right)

    def look_up(known: Gallery | StoredGallery, a: str) -> tuple[str, list[list[str]], np.ndarray]:
        found = verifier.identify(a, known, k=_CANDIDATES, fpir=fpir)
        rows = [[candidate.name, f"{candidate.score:.4f}"] for candidate in found.candidates]
        return _name(found), rows, _shown(verifier.seen(a)[0])

    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=(_KEPT, _KEPT)) as app:
        gradio.Markdown(f"# {html.escape(title)}")
        if verifier.embedding.frame is not None and not finds_faces(verifier.embedding, None):
            gradio.Markdown(
                "Faces are not looked for: the extra `faces` is not installed. Give photos that `siamese-nn "
                "align` made; the answer for any other is of no use."
            )
        with gradio.Tab("Two photos"):
            with gradio.Row():
                photos = [photo("Photo 1"), photo("Photo 2")]
            button = gradio.Button("Same person?", variant="primary")
            answer = gradio.Markdown(elem_classes="verdict")
            with gradio.Row():
                faces = [seen("Photo 1, as the network sees it"), seen("Photo 2, as the network sees it")]
            button.click(answered(compare), photos, [answer, *faces], api_name="verify")
        if gallery is not None:
            verifier.identify([], gallery, fpir=fpir)  # refuses now what it would refuse for each photo
            known = gallery

            def gallery_size() -> str:
                view = known.view() if isinstance(known, StoredGallery) else known
                return f"A gallery of {view.n_people:,} people, {len(view):,} photos."

            with gradio.Tab("Who is it?"):
                gradio.Markdown(gallery_size)  # asked whenever the page is opened
                one = photo("Photo")
                button = gradio.Button("Who is it?", variant="primary")
                name = gradio.Markdown(elem_classes="verdict")
                with gradio.Row():
                    table = gradio.Dataframe(headers=["Most alike", "Score"], interactive=False)
                    face = seen("The photo, as the network sees it")
                button.click(
                    answered(partial(look_up, gallery)), [one], [name, table, face], api_name="identify"
                )
        with gradio.Tab("How sure is that?"):
            gradio.Markdown(_provenance(verifier))
            if page is not None and Path(page).is_file():
                content = Path(page).read_text(encoding="utf-8")
                if Path(page).suffix == ".md":
                    gradio.Markdown(content)
                else:
                    gradio.HTML(
                        f'<iframe sandbox srcdoc="{html.escape(content)}" title="Figures" '
                        'style="width: 100%; height: 80vh; border: 0"></iframe>'
                    )
    return app


def _shown(image: np.ndarray) -> np.ndarray:
    """An image, `(height, width, 1 or 3)`, as Gradio takes it."""
    return image[..., 0] if image.shape[-1] == 1 else image


def _verdict(found: Verification) -> str:
    return (
        f"## {'The same person' if found.same else 'Different people'}\n\n"
        f"Score {found.score:.4f}, threshold {found.threshold:.4f}. Probability of the same person: "
        f"{found.probability:.1%}, if one person is as usual as where the threshold was chosen."
    )


def _name(found: Identification) -> str:
    rates = [
        f"{words}: about {rate.estimate:.1%}"
        for words, rate in (
            ("strangers that get a name", found.fpir),
            ("people of the gallery that don't get theirs", found.fnir),
        )
        if rate is not None
    ]
    return (
        f"## {'Unknown' if found.name is None else html.escape(found.name)}\n\nA name is given from "
        f"{found.threshold:.4f} on. " + "; ".join(rates).capitalize() + "."
    )


def _provenance(verifier: LoadedVerifier) -> str:
    chosen = verifier.provenance["chosen_on"]
    who = "whom the training has not seen" if "run" not in chosen else "who have trained it since, too"
    return (
        f"Threshold and probabilities come from {chosen['same']:,} pairs of one person and "
        f"{chosen['different']:,} of two, of {chosen['people']:,} people {who}. "
        "They hold for people and photos like those alone. A verdict is no proof of who somebody is."
    )
