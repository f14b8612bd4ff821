"""Files from Google Drive, through gdown: whole or not at all, and the way by hand when Drive refuses."""

from __future__ import annotations

from pathlib import Path

from gooddrag.files import atomic_file, cache_folder


def from_drive(file_id: str, title: str) -> Path:
    """The zip of this id in the cache; fetched if it is not there.

    Raises:
        ValueError: gdown is missing, or Drive or the network refused; says how to do it by hand.
    """
    path = cache_folder("datasets") / f"{title}.zip"
    if path.is_file():
        return path
    by_hand = (f"by hand: open https://drive.google.com/uc?id={file_id} in a browser and give the zip or the unpacked "
               f"folder, {title}(\"path/to/{title}.zip\")")  # fmt: skip
    try:
        import gdown
    except ModuleNotFoundError as error:
        raise ValueError(f'{title}: the download needs gdown: pip install "gooddrag[bench]"; or {by_hand}') from error
    try:
        with atomic_file(path) as temporary:
            if gdown.download(id=file_id, output=str(temporary), quiet=True) is None or not temporary.stat().st_size:
                raise OSError("nothing came")
    except Exception as error:  # gdown's own errors, requests', OS errors: all mean the same to a user
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(f"{title}: Google Drive did not give the file ({reason.strip()}); {by_hand}") from error
    return path
