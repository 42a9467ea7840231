"""The command that shows a page to try a verifier."""

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory

from .use import add_function, gallery_of, load_verifier


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser(
        "app",
        help="a page to try it: two photos or the webcam, and a gallery (extra app)",
        epilog="What is uploaded stays on this machine, and is deleted after two minutes at most.",
    )
    command.add_argument("run_dir", type=Path, metavar="RUN", help="a run's folder, or a saved verifier's")
    add_function(command)
    command.add_argument(
        "--gallery",
        type=Path,
        metavar="FOLDER_OR_NPZ",
        help="known people, for the question who it is: as of identify",
    )
    command.add_argument(
        "--host",
        default="127.0.0.1",
        help="whom to answer: 0.0.0.0 lets everybody in the network use it (default: this machine alone)",
    )
    command.add_argument("--port", type=int, default=7860, help="default: 7860")
    command.set_defaults(run=_app)


def _app(options: argparse.Namespace) -> None:
    from ..verification.app import make_app
    from ..verification.fitted import PAGE

    with TemporaryDirectory() as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # which goes with all that was uploaded
        verifier = load_verifier(options)
        gallery = options.gallery and gallery_of(verifier, options.gallery, None)
        page = options.run_dir / PAGE
        title = options.run_dir.resolve().name
        app = make_app(verifier, title=title, gallery=gallery, page=page)
        _, address, _ = app.launch(
            server_name=options.host,
            server_port=options.port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
        )
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        app.block_thread()
