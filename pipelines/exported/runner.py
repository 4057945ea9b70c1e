"""A motion model whose step is computed by ONNX Runtime, from the graph that `export` writes.

    features, speech, controls, active, state -> graph -> motion, the state's new values

Everything else (fresh states, seeds, resets, clears) stays PyTorch's, on the state itself. So both
back ends go on from any state of the other, and which one computes is nobody's concern. The graph
reads the state's tensors where they are; what it gives is copied into them, or, where a state
alternates, put in their place: its tensors come in pairs, one read while the other is written.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from pipelines.graph import capturing
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import CONTROLS
from pipelines.motion.model import Features, MotionModel
from pipelines.streaming import SlotState, named_tensors

INPUTS = ("features", "speech", "controls", "active")
"""Of every graph; the tensors of the state follow by their names, inputs and `NEW` + name out."""
MOTION = "motion"
NEW = "new."
_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}


@dataclass(frozen=True)
class Card:
    """Where a card computes: in a stream of its own, for the default one cannot be captured."""

    stream: torch.cuda.Stream
    open_for: Callable[[int], onnxruntime.InferenceSession]
    """The session for so many slots, in that stream."""


class OnnxMotion(MotionModel):
    """`model` with its step computed by `session`; see `pipelines.exported.files`.

    Steps may be given any number of slots, and states of either back end.

    Args:
        card: computes instead of `session`, which then only tells what the graph is like.
        alternates: what a step writes are other tensors than it read, and the state holds the new
            ones; whoever kept the old ones, or views of them, has what was two steps ago. Spares
            copying the state. Else a state's tensors stay where they are.

    Raises:
        ValueError: the graph is not one of such a model.
    """

    def __init__(
        self,
        model: MotionModel,
        session: onnxruntime.InferenceSession,
        device: str = "cpu",
        card: Card | None = None,
        *,
        alternates: bool = False,
    ) -> None:
        super().__init__(model.mel, model.seed)
        self.model = model
        self._session = session
        self._device = torch.device(device)
        self._card = card
        self._alternates = alternates
        self._graph_ids = itertools.count(1)
        self._bindings: dict[int, _Binding] = {}  # by the state's id, while it lives
        _check_interface(model, session)

    @property
    def delay(self) -> int:
        return self.model.delay

    @property
    def look_ahead(self) -> int:
        return self.model.look_ahead

    def features(self) -> Features:
        return self.model.features()

    def init_state(
        self, batch: int, device: torch.device | str = "cpu", seeds: Tensor | None = None
    ) -> Any:
        return self.model.init_state(batch, device, seeds)

    def set_seed(self, state: Any, slots: Tensor, seeds: Tensor) -> None:
        self.model.set_seed(state, slots, seeds)

    def set_identity(self, state: Any, slot: int, identity: IdentityFeatures) -> None:
        self.model.set_identity(state, slot, identity)

    def step(
        self, features: Tensor, speech: Tensor, controls: Tensor, state: Any, active: Tensor
    ) -> Tensor:
        binding = self._bindings.get(id(state))
        if binding is None:
            binding = self._bind(state, features)
            self._bindings[id(state)] = binding
            weakref.finalize(state, self._bindings.pop, id(state), None).atexit = False
        return binding.step((features, speech, controls, active))

    def _bind(self, state: SlotState, features: Tensor) -> _Binding:
        if self._card is None:
            return _Binding(self._session, state, features, self._device, self._alternates)
        ids = itertools.islice(self._graph_ids, 2)
        session = self._card.open_for(features.shape[0])
        run = _InStream(self._card.stream, [_asynchronous(number) for number in ids])
        return _Binding(session, state, features, self._device, self._alternates, run)

    def listen(self, state: Any, slots: Tensor) -> None:
        self.model.listen(state, slots)

    def behaviour(self, state: Any) -> Tensor:
        return self.model.behaviour(state)


class _InStream:
    """Runs in a card's stream, behind what was launched before and before what is launched next;
    the host does not wait.

    ONNX Runtime captures a binding in its first run, and again in the first one of each further
    thread: what it captured is the thread's (`PerThreadContext` of its CUDA provider). It does so
    in CUDA's global mode, in which other threads must not allocate, or both fail: so no other
    capture is under way then, and our threads that use a card pay no heed to captures of others
    (`pipelines.card.set_up_thread`). A pipeline makes that run when it is built, and another among
    the first calls of the thread that steps, see `composed_batched`.

    options: of each binding, which names the CUDA graph that it is captured in.
    """

    def __init__(
        self, stream: torch.cuda.Stream, options: Sequence[onnxruntime.RunOptions]
    ) -> None:
        self._stream, self._options = stream, options
        self._captured: set[tuple[int, int]] = set()  # thread, turn

    def __call__(
        self, session: onnxruntime.InferenceSession, binding: onnxruntime.IOBinding, turn: int
    ) -> None:
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        run = threading.get_ident(), turn
        with nullcontext() if run in self._captured else capturing():
            session.run_with_iobinding(binding, self._options[turn])
        self._captured.add(run)
        current.wait_stream(self._stream)


def _asynchronous(graph_id: int) -> onnxruntime.RunOptions:
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", str(graph_id))
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options


def _at_once(
    session: onnxruntime.InferenceSession, binding: onnxruntime.IOBinding, turn: int
) -> None:
    session.run_with_iobinding(binding)


@dataclass
class _Written:
    """A tensor of a state that a step writes: `holder`, which lives as long as its binding, has it
    under `field`; `other` takes turns with it."""

    holder: weakref.ref[SlotState]
    field: str
    other: Tensor

    @property
    def now(self) -> Tensor:
        found: Tensor = getattr(self.holder(), self.field)
        return found

    def turn(self) -> None:
        """The other is the state's now."""
        old = self.now
        setattr(self.holder(), self.field, self.other)
        self.other = old


class _Binding:
    """The session tied to the memory of one state, so that a step allocates nothing."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        state: SlotState,
        features: Tensor,
        device: torch.device,
        alternates: bool,
        run: Callable[[onnxruntime.InferenceSession, Any, int], None] = _at_once,
    ) -> None:
        self._session, self._run = session, run
        self._device = device
        self._alternates = alternates
        slots = features.shape[0]
        self._inputs = (
            torch.empty_like(features),
            torch.empty(slots, dtype=torch.bool, device=device),
            torch.empty(slots, len(CONTROLS), device=device),
            torch.empty(slots, dtype=torch.bool, device=device),
        )
        held = named_tensors(state)
        outputs = {output.name: output.shape for output in session.get_outputs()}
        self._motion = torch.empty(slots, outputs.pop(MOTION)[1], device=device)
        news = {name: name.removeprefix(NEW) for name in outputs}
        others = {new: torch.empty_like(held[old]) for new, old in news.items()}
        self._written = [_Written(*_holder(state, old), others[new]) for new, old in news.items()]
        self._fresh = [others[new] for new in news]
        self._turns = [self._tied(held, others)]
        if alternates:
            there = held | {old: others[new] for new, old in news.items()}
            self._turns.append(self._tied(there, {new: held[old] for new, old in news.items()}))
        self._turn = 0

    def _tied(self, into: dict[str, Tensor], out: dict[str, Tensor]) -> onnxruntime.IOBinding:
        """Reads the state's tensors `into` it, by name, and writes `out`."""
        binding = self._session.io_binding()
        for name, tensor in (*zip(INPUTS, self._inputs, strict=True), *into.items()):
            self._tie(binding.bind_input, name, tensor)
        for name, tensor in (out | {MOTION: self._motion}).items():
            self._tie(binding.bind_output, name, tensor)
        return binding

    def _tie(self, bind: Any, name: str, tensor: Tensor) -> None:
        if tensor.device.type != self._device.type or not tensor.is_contiguous():
            raise ValueError(f"{name} must be contiguous on {self._device}, is on {tensor.device}")
        kind = _NUMPY[tensor.dtype]
        where = self._device.type, self._device.index or 0
        bind(name, *where, kind, list(tensor.shape), tensor.data_ptr())

    def step(self, given: Sequence[Tensor]) -> Tensor:
        """One hop; the state has its new values after it."""
        for held, new in zip(self._inputs, given, strict=True):
            if held.shape != new.shape:
                raise ValueError(f"expected {tuple(held.shape)}, got {tuple(new.shape)}")
            held.copy_(new)
        self._run(self._session, self._turns[self._turn], self._turn)
        if self._alternates:
            for each in self._written:
                each.turn()
        else:  # in one launch, where there is a card
            torch._foreach_copy_([each.now for each in self._written], self._fresh)
        self._turn = (self._turn + 1) % len(self._turns)
        return self._motion.clone()


def _holder(state: SlotState, name: str) -> tuple[weakref.ref[SlotState], str]:
    """Which part of a state holds the tensor of that name, and its field's name there."""
    *way, field = name.split(".")
    for part in way:
        state = getattr(state, part)
    return weakref.ref(state), field


_NUMPY = {torch.float32: np.float32, torch.int64: np.int64, torch.bool: np.bool_}


def _check_interface(model: MotionModel, session: onnxruntime.InferenceSession) -> None:
    state = named_tensors(model.init_state(1))
    wanted = {name: (list(held.shape[1:]), _NUMPY.get(held.dtype)) for name, held in state.items()}
    found = {
        tensor.name: (tensor.shape[1:], _TYPES.get(tensor.type))
        for tensor in session.get_inputs()
        if tensor.name not in INPUTS
    }
    if found != wanted:
        names = wanted.keys() | found.keys()
        unlike = sorted(name for name in names if found.get(name) != wanted.get(name))
        raise ValueError(f"it is of another model, whose state differs in {', '.join(unlike)}")
