"""Graphs as files: beside the weights that they were made from, and refused where they do not fit.

A graph says in its metadata by digest which weights it holds. That the program has not changed
since is seen by trying it: a few hops beside PyTorch's own step.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import onnxruntime
import torch

from pipelines.exported.on_cuda import for_cuda
from pipelines.exported.runner import Card, OnnxMotion
from pipelines.exported.situations import compare
from pipelines.motion.model import MotionModel
from pipelines.pipeline import file_digest
from pipelines.weights import weights_dirs

logger = logging.getLogger(__name__)

FORMAT = "1"
"""What a graph's inputs, outputs and metadata are."""
TOLERANCE = 1e-3
"""How far motion may be from PyTorch's, in its own units: weights of 0 to 1, degrees. The same
float32 sums in another order were a tenth of this apart at most over 1,000 hops; a thousandth of a
fully open jaw, or of a degree, moves nothing by a twentieth of a pixel in a 512 px picture."""
_TRIED = 8  # hops, when a file is opened


class ProviderError(ValueError):
    """ONNX Runtime cannot compute on the device, whatever the graph."""


def open_session(
    graph: Path | bytes, device: str, stream: int | None = None
) -> onnxruntime.InferenceSession:
    """A session that computes in the calling thread, on exactly that device.

    stream: of CUDA's, the handle of the stream to compute in.

    Raises:
        ProviderError: it cannot compute there, or not all of it.
        ValueError: it cannot read the file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; what it could not simplify further is no news
    providers = providers_of(device, stream)
    on_cpu = torch.device(device).type == "cpu"
    if not on_cpu:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    given = graph if isinstance(graph, bytes) else str(graph)
    try:
        session = onnxruntime.InferenceSession(
            given, options, providers=providers, enable_fallback=False
        )
    except Exception as error:  # its errors have no base of their own
        if on_cpu:
            raise ValueError(f"ONNX Runtime cannot read it: {error}") from error
        raise ProviderError(
            f"ONNX Runtime cannot compute all of it on {device}: {error}"
        ) from error
    check_providers(session.get_providers(), device)
    return session


def providers_of(device: str, stream: int | None = None) -> list[tuple[str, dict[str, str]]]:
    """What ONNX Runtime is told to compute by, and how.

    Raises:
        ProviderError: the package installed here does not know the device.
    """
    if torch.device(device).type == "cpu":
        return [("CPUExecutionProvider", {})]
    available = onnxruntime.get_available_providers()
    if "CUDAExecutionProvider" not in available:
        raise ProviderError(
            f"the ONNX Runtime installed here knows {', '.join(available)} only; for CUDA the "
            "package onnxruntime-gpu must take the place of onnxruntime (never both)"
        )
    told = {"device_id": str(torch.device(device).index or 0), "use_tf32": "0"}
    if stream is not None:
        told |= {"enable_cuda_graph": "1", "user_compute_stream": str(stream)}
    return [("CUDAExecutionProvider", told)]


def check_providers(used: Sequence[str], device: str) -> None:
    """ONNX Runtime falls back to the CPU without a word, where a library of CUDA's is missing.

    Raises:
        ProviderError: it does not compute on `device`.
    """
    kind = torch.device(device).type
    wanted = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[kind]
    if not used or used[0] != wanted:
        raise ProviderError(
            f"ONNX Runtime fell back to {', '.join(used)} instead of {wanted}: a library of CUDA "
            "is missing, or of another version than its package was built for"
        )


def open_graph(
    path: Path, model: MotionModel, weights: Path, device: str = "cpu", hops: int = _TRIED
) -> OnnxMotion:
    """The graph at `path` as a back end of `model`, tried over `hops` of made-up talk.

    Raises:
        ProviderError: ONNX Runtime cannot compute on that device.
        ValueError: it is not a graph of these weights, or does not give what `model` gives.
    """
    providers_of(device)
    session = open_session(path, "cpu")
    about = session.get_modelmeta().custom_metadata_map
    if about.get("format") != FORMAT:
        raise ValueError(f"it is of format {about.get('format')}, this release reads {FORMAT}")
    if about.get("weights_sha256") != file_digest(weights):
        raise ValueError(f"it was made from other weights than {weights}")
    motion = _on_card(model, session, path, device) or OnnxMotion(model, session)
    try:
        found = compare(model, motion, hops, device=device)
    except ProviderError:
        raise
    except Exception as error:  # ONNX Runtime's have no base of their own
        raise ValueError(f"it cannot be stepped: {error}") from error
    if not found.motion <= TOLERANCE or found.state:
        raise ValueError(
            f"over {hops} hops its motion differs by {found.motion:.2g} ({TOLERANCE:g} is allowed)"
            + (f" and its {found.state} too" if found.state else "")
        )
    return motion


def _on_card(
    model: MotionModel, session: onnxruntime.InferenceSession, path: Path, device: str
) -> OnnxMotion | None:
    """Computed by a card, if `device` is one. Not yet tried on any.

    Its states do not alternate: the graphs that a pipeline captures around it remember where a
    state lies, and to copy what 64 slots write takes a card a few microseconds.
    """
    if torch.device(device).type == "cpu":
        return None
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    @cache
    def open_for(slots: int) -> onnxruntime.InferenceSession:
        return open_session(for_cuda(path, slots), device, stream.cuda_stream)

    return OnnxMotion(model, session, device, Card(stream, open_for))


def graph_paths(weights: Path) -> list[Path]:
    """Where the graph of a weights file is looked for, in order: beside it, then among all."""
    name = f"{weights.stem}.onnx"
    return list(dict.fromkeys([weights.parent / name, *(d / name for d in weights_dirs())]))


def load_graph(model: MotionModel, weights: Path, device: str = "cpu") -> OnnxMotion | None:
    """The installed graph of `weights` as a back end of `model`, both on `device`; None, with a
    line in the log, where there is none that fits."""
    model.to(device)
    why = "there is none"
    for path in graph_paths(weights):
        if path.is_file():
            try:
                return open_graph(path, model, weights, device)
            except ProviderError as error:
                logger.error("PyTorch computes the motion: %s", error)
                return None
            except ValueError as error:
                why = f"{path} is refused, {error}"
    logger.warning(
        "PyTorch computes the motion, for want of an ONNX graph of %s (%s); "
        "`vivavoce export` makes one",
        weights.name,
        why,
    )
    return None
