"""The command that keeps a gallery in a folder that grows."""

import argparse
import json
from pathlib import Path

from .use import add_align, add_function, add_run, gallery_of_folder, load_verifier


def add(commands: argparse._SubParsersAction) -> None:
    """Adds it to the parser."""
    command = commands.add_parser("gallery", help="keep known people in a folder: add, remove, list")
    actions = command.add_subparsers(title="actions", required=True, dest="part", metavar="ACTION")

    action = actions.add_parser("add", help="add people, by a run; a missing folder is made")
    add_run(action)
    add_function(action)
    _add_gallery(action)
    action.add_argument(
        "people", type=Path, metavar="PEOPLE", help="a folder with a folder of photos for each person"
    )
    add_align(action)
    action.set_defaults(run=_add)

    action = actions.add_parser("remove", help="remove people; `compact` then erases their vectors")
    _add_gallery(action)
    action.add_argument("names", nargs="+", metavar="NAME", help="a person's name")
    action.set_defaults(run=_remove)

    action = actions.add_parser("list", help="list the people, and how many photos each has")
    _add_gallery(action)
    action.add_argument("--json", action="store_true", help="print the answer as JSON")
    action.set_defaults(run=_list)

    action = actions.add_parser("compact", help="erase the vectors of people who were removed")
    _add_gallery(action)
    action.set_defaults(run=_compact)

    action = actions.add_parser("index", help="make an approximate index, for millions of photos")
    _add_gallery(action)
    action.set_defaults(run=_make_index)


def _add_gallery(action: argparse.ArgumentParser) -> None:
    action.add_argument("gallery", type=Path, metavar="GALLERY", help="the folder of the gallery")


def _add(options: argparse.Namespace) -> None:
    from ..verification.stored_gallery import LOG, StoredGallery

    stored = StoredGallery(options.gallery) if (options.gallery / LOG).exists() else None
    people = gallery_of_folder(load_verifier(options), options.people, options.align)
    if stored is None:
        stored, added = StoredGallery.create(options.gallery, people), people.counts()
    else:
        added = stored.add(people)
    counts = stored.view().counts()
    if options.json:
        print(json.dumps({"added": added, "photos": sum(counts.values()), "people": len(counts)}))
    else:
        print(f"added {sum(added.values())} photos of {len(added)} people")
        print(f"{options.gallery} holds {sum(counts.values())} photos of {len(counts)} people")


def _remove(options: argparse.Namespace) -> None:
    from ..verification.stored_gallery import StoredGallery

    StoredGallery(options.gallery).remove(options.names)
    print("removed; their vectors are erased by `siamese-nn gallery compact`")


def _list(options: argparse.Namespace) -> None:
    from ..verification.stored_gallery import StoredGallery

    counts = StoredGallery(options.gallery).view().counts()
    if options.json:
        print(json.dumps(counts))
    else:
        for name, count in sorted(counts.items()):
            print(f"{count}\t{name}")


def _compact(options: argparse.Namespace) -> None:
    from ..verification.stored_gallery import StoredGallery

    StoredGallery(options.gallery).compact()


def _make_index(options: argparse.Namespace) -> None:
    from ..verification.stored_gallery import StoredGallery

    recall = StoredGallery(options.gallery).make_index()
    print(f"recall at 1 {recall:.4f}: for this share of photos the index finds the nearest other one")
