"""The command that shows a page to try a verifier."""

import argparse
import logging
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory

from .use import add_fpir, add_function, gallery_of, load_verifier


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser(
        "app",
        help="show a page to try a run: two photos or the webcam, and a gallery (extra app)",
        epilog="What is uploaded stays on this machine, and is deleted after two minutes at most.",
    )
    command.add_argument("run_dir", type=Path, metavar="RUN", help="a run's folder, or a saved verifier's")
    add_function(command)
    command.add_argument(
        "--gallery",
        type=Path,
        metavar="FOLDER_OR_NPZ",
        help="known people, to say who is on a photo: as in `identify`",
    )
    add_fpir(command)
    command.add_argument(
        "--host",
        default="127.0.0.1",
        help="whom to answer: 0.0.0.0 lets everybody in the network use it (default: this machine alone)",
    )
    command.add_argument("--port", type=int, default=7860, help="default: 7860")
    command.set_defaults(run=_app)


def _app(options: argparse.Namespace) -> None:
    from ..verification.app import make_app
    from ..verification.fitted import CARD, PAGE

    if not 0 < options.port < 2**16:
        raise ValueError(f"`--port` must be from 1 to {2**16 - 1}. Received: {options.port}")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else it tells each of Gradio's calls of itself
    for name in ("SIGTERM", "SIGHUP"):  # they end it as Ctrl-C does, or what was uploaded would stay
        number = getattr(signal, name, None)  # Windows has not both
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # else it is ignored: `nohup`
            signal.signal(number, signal.default_int_handler)
    with TemporaryDirectory() as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads  # which goes with all that was uploaded
        verifier = load_verifier(options)
        gallery = options.gallery and gallery_of(verifier, options.gallery, None)
        page = options.run_dir / PAGE
        page = page if page.exists() else options.run_dir / CARD
        title = options.run_dir.resolve().name
        app = make_app(verifier, title=title, gallery=gallery, fpir=options.fpir, page=page)
        try:
            _, address, _ = app.launch(
                server_name=options.host,
                server_port=options.port,
                share=False,
                quiet=True,
                prevent_thread_lock=True,
                footer_links=[],
            )
        except OSError as error:  # whose words name none of these options
            raise OSError(
                f"There can be no page on {options.host}, port {options.port}: another program has the port, "
                "or the host is none of this machine's. Give another `--port` or `--host`"
            ) from error
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        app.block_thread()
