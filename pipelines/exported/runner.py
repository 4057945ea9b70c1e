"""A motion model whose step is computed by ONNX Runtime, from the graph that `export` writes.

    features, speech, controls, active, state -> graph -> motion, the state's new values

Everything else (fresh states, seeds, resets, clears) stays PyTorch's, on the very same tensors: the
graph reads them where they are, and what it gives is copied into them. So both back ends go on from
any state of the other, and which one computes is nobody's concern.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import CONTROLS
from pipelines.motion.model import Features, MotionModel
from pipelines.streaming import SlotState, named_tensors

INPUTS = ("features", "speech", "controls", "active")
"""Of every graph; the tensors of the state follow by their names, inputs and `NEW` + name out."""
MOTION = "motion"
NEW = "new."
_TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}


class OnnxMotion(MotionModel):
    """`model` with its step computed by `session`; see `pipelines.exported.files`.

    Steps may be given any number of slots, and states of either back end.

    Raises:
        ValueError: the graph is not one of such a model.
    """

    def __init__(
        self, model: MotionModel, session: onnxruntime.InferenceSession, device: str = "cpu"
    ) -> None:
        super().__init__(model.mel, model.seed)
        self.model = model
        self._session = session
        self._device = torch.device(device)
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
            binding = _Binding(self._session, state, features, self._device)
            self._bindings[id(state)] = binding
            weakref.finalize(state, self._bindings.pop, id(state), None).atexit = False
        return binding.step((features, speech, controls, active))

    def listen(self, state: Any, slots: Tensor) -> None:
        self.model.listen(state, slots)

    def behaviour(self, state: Any) -> Tensor:
        return self.model.behaviour(state)


class _Binding:
    """The session tied to the memory of one state, so that a step allocates nothing."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        state: SlotState,
        features: Tensor,
        device: torch.device,
    ) -> None:
        self._session = session
        self._device = device
        self._io = session.io_binding()
        held = named_tensors(state)
        slots = len(features)
        self._inputs = (
            torch.empty_like(features),
            torch.empty(slots, dtype=torch.bool, device=device),
            torch.empty(slots, len(CONTROLS), device=device),
            torch.empty(slots, dtype=torch.bool, device=device),
        )
        for name, tensor in (*zip(INPUTS, self._inputs, strict=True), *held.items()):
            self._tie(self._io.bind_input, name, tensor)
        self._written: list[tuple[Tensor, Tensor]] = []
        for output in session.get_outputs():
            if output.name == MOTION:
                self._motion = torch.empty(slots, output.shape[1], device=device)
                self._tie(self._io.bind_output, MOTION, self._motion)
                continue
            old = held[output.name.removeprefix(NEW)]
            new = torch.empty_like(old)
            self._tie(self._io.bind_output, output.name, new)
            self._written.append((old, new))

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
        if self._device.type == "cuda":  # the session computes on a stream of its own
            torch.cuda.current_stream(self._device).synchronize()
        self._session.run_with_iobinding(self._io)
        self._io.synchronize_outputs()
        for old, fresh in self._written:
            old.copy_(fresh)
        return self._motion.clone()


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
