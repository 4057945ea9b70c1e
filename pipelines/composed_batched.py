"""Composed pipelines on a GPU: all slots at once, in graphs that were captured when it was built.

    batch -- one copy --> clear, features, motion, advance      one graph, over all slots
                      --> draw, for 1, 2, 4, 8 ... slots        a graph for each size and number
          <-- pictures, motion, behaviour                       while the next step is computed

Nothing in a step waits for the device, and nothing but how many pictures of which size are drawn
depends on values; that is known before it begins. On a CPU the same code runs without graphs, for
tests; there `ComposedPipeline` serves.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from pipelines.batch import Batch, frame_bytes
from pipelines.composed import TIMED_HOPS, SizesFor, look_ahead_of, sizes_up_to
from pipelines.graph import GraphedStep, Graphs, graphs_of
from pipelines.identity import IdentityFeatures
from pipelines.motion.controls import control_row
from pipelines.motion.model import MotionModel
from pipelines.pieces import first_rows, pieces, row_counts
from pipelines.pipeline import Releases, Size, UnderWay
from pipelines.renderer import BatchedRenderer
from pipelines.streaming import SlotState, fixed_shapes, masked_write, named_tensors, put
from pipelines.transfer import Drawn, OnDevice, Transfer


class BatchedPipeline:
    """See `pipelines.pipeline.Pipeline`, `StepsAhead` and `HasFirstCalls`.

    Args:
        sizes: that graphs are captured for; others are drawn without.
        sizes_for: those of an identity in its frame, where they are not `sizes`.
        motion, renderer: for this pipeline alone; the renderer has `slots` slots, on `device`.
        exported: `motion` computed by ONNX Runtime, on the same states, where they lie.
        graphs: what captures; that of the device unless told otherwise.

    Raises:
        ValueError: a renderer of other slots, or modules whose delays do not add up to whole hops.
    """

    def __init__(
        self,
        slots: int,
        sizes: tuple[Size, ...],
        motion: MotionModel,
        renderer: BatchedRenderer,
        device: torch.device | str,
        exported: MotionModel | None = None,
        sizes_for: SizesFor | None = None,
        graphs: Graphs | None = None,
    ) -> None:
        if renderer.slots != slots or slots < 1:
            raise ValueError(f"a renderer of {renderer.slots} slots in a pipeline of {slots}")
        self.slots = slots
        self.device = torch.device(device)
        self.motion = motion.to(self.device).requires_grad_(False)
        self.features = self.motion.features()
        self.renderer = renderer
        self.motion_dim = renderer.motion_dim
        self.look_ahead = look_ahead_of(self.features, motion)
        self._sizes_for = sizes_for or (lambda identity: sizes)
        self._exported = exported
        self._graphs = graphs or graphs_of(self.device)
        with torch.inference_mode():
            self._here = OnDevice(slots, self.motion_dim, self.device)
            self._transfer = Transfer(self._here)
            self._features_state: SlotState = self.features.init_state(slots, self.device)
            self._motion_state: SlotState = motion.init_state(slots, self.device)
            self._renderer_state = renderer.init_state(slots)
            self._controls = control_row().repeat(slots, 1).to(self.device)
            self._slot = torch.arange(slots, device=self.device)
            self._heard = self._hear_on()
            self._moved = torch.zeros(slots, self.motion_dim, device=self.device)
            most = slots * max(frame_bytes(size) for size in sizes)
            self._planes = torch.zeros(most, dtype=torch.uint8, device=self.device)
            self._capture(sizes)

    def _capture(self, sizes: tuple[Size, ...]) -> None:
        """Capture all steps, the largest first, for they share memory; then forget what they
        did."""
        self._moves: dict[str, Callable[[], object]] = {
            "torch": GraphedStep("the motion's step", self._advance, {}, self._graphs).replay
        }
        if self._exported is not None:
            self._moves["onnxruntime"] = self._around(self._exported)
            self._moves["onnxruntime"]()  # opens its session and captures, which no step may
        self._move = self._moves["torch"]
        self._draws: dict[tuple[Size, int], GraphedStep[None]] = {}
        for size in sorted(sizes, key=frame_bytes, reverse=True):
            for count in reversed(row_counts(self.slots)):
                draw = partial(self._draw_into, size, self._planes_of(size, count))
                name = f"drawing {count} of {size[0]} x {size[1]}"
                self._draws[size, count] = GraphedStep(name, draw, {}, self._graphs)
        for state in self._states:
            state.reset(torch.ones_like(self._slot, dtype=torch.bool))

    def _around(self, exported: MotionModel) -> Callable[[], object]:
        """The step with the motion, in the middle, launched by another library."""
        before = GraphedStep("hearing", self._before, {}, self._graphs)
        after = GraphedStep("what follows the motion", self._after, {}, self._graphs)

        def move() -> None:
            before.replay()
            self._step_motion(exported)
            after.replay()

        return move

    @property
    def backends(self) -> tuple[str, ...]:
        """See `pipelines.pipeline.HasBackends`."""
        return tuple(self._moves)

    def use_backend(self, name: str) -> None:
        """See `pipelines.pipeline.HasBackends`."""
        self._move = self._moves[name]
        self._moves = {name: self._move}

    @torch.inference_mode()
    def time_backends(self) -> dict[str, float]:
        """See `pipelines.pipeline.HasBackends`."""
        held = [value for state in self._states for value in named_tensors(state).values()]
        kept = [value.clone() for value in held]
        times = {name: self._median_ms(move) for name, move in self._moves.items()}
        for value, before in zip(held, kept, strict=True):
            value.copy_(before)
        return times

    def _median_ms(self, step: Callable[[], object]) -> float:
        times = []
        for _ in range(TIMED_HOPS):
            begin = time.perf_counter()
            step()
            if self.device.type == "cuda":
                # Not the whole device: another pipeline may be capturing on it.
                torch.cuda.current_stream(self.device).synchronize()
            times.append((time.perf_counter() - begin) * 1000.0)
        return statistics.median(times)

    @property
    def _states(self) -> tuple[SlotState, ...]:
        return self._features_state, self._motion_state, self._renderer_state

    def prepare(self, identity: IdentityFeatures, size: Size) -> None:
        for each in sizes_up_to(self._sizes_for(identity), size):
            self.renderer.prepare(identity, each)

    def set_identity(self, slot: int, identity: IdentityFeatures, size: Size) -> None:
        with torch.inference_mode():
            sizes = sizes_up_to(self._sizes_for(identity), size)
            self.renderer.set_identity(slot, identity, sizes)
            self.motion.set_identity(self._motion_state, slot, identity)

    def release(self, slot: int) -> None:
        """See `pipelines.pipeline.Releases`."""
        if isinstance(self.renderer, Releases):
            self.renderer.release(slot)

    def set_controls(self, slot: int, values: dict[str, float]) -> None:
        with torch.inference_mode():
            put(self._controls[slot], control_row(**values))

    @torch.inference_mode()
    def reset(self, slot: int, seed: int) -> None:
        slots = self._slot == slot
        self.motion.set_seed(self._motion_state, slots, torch.full_like(self._slot, seed))
        for state in self._states:
            state.reset(slots)
        put(self._controls[slot], control_row())

    def first_calls(self, slot: int, batches: Sequence[Batch]) -> Iterator[None]:
        """See `pipelines.pipeline.HasFirstCalls`.

        Graphs were captured in another thread. This one has yet to lock the batches' memory and to
        make its handles of cuBLAS and cuDNN, and has to draw frames of a photo's own shape without
        a graph, in any number. No kernel is compiled for such a size alone, so any size will do.
        And ONNX Runtime captures once more for each thread: in a step over nobody.
        """
        for batch in batches:
            self._transfer.host(batch)
            yield
        self._move_nobody()
        yield
        size = min((size for size, _ in self._draws), key=frame_bytes)
        for count in row_counts(self.slots):
            self._draw_alone(size, slot, count)
            yield
        for size in dict.fromkeys(size for size, _ in self._draws):
            with torch.inference_mode():
                self.renderer.still(size, slot, self._planes_of(size, 1)[0])
            yield

    @torch.inference_mode()
    def _move_nobody(self) -> None:
        self._here.inputs.zero_()
        self._move()

    @torch.inference_mode()
    def _draw_alone(self, size: Size, slot: int, count: int) -> None:
        """Draw one slot so many times over, without a graph."""
        rows = torch.full((count,), slot, device=self.device)
        with fixed_shapes():
            self.renderer.draw(size, rows, self._renderer_state, self._planes_of(size, count))

    def still(self, slot: int, batch: Batch) -> None:
        host = batch.tensors["planes"]
        with torch.inference_mode():
            planes = self._planes_of(batch.size_of(slot), 1)[0]
            self.renderer.still(batch.size_of(slot), slot, planes)
            host[slot, : len(planes)].copy_(planes)

    def step(self, batch: Batch) -> None:
        self.begin(batch)()

    def begin(self, batch: Batch) -> UnderWay:
        """See `pipelines.pipeline.StepsAhead`.

        Raises:
            ValueError: the batch is not of this pipeline's slots and motion.
        """
        if batch.motion.shape != (self.slots, self.motion_dim):
            raise ValueError(
                f"a pipeline captured for {self.slots} slots and {self.motion_dim} channels of "
                f"motion cannot step a batch of {batch.motion.shape[0]} and {batch.motion.shape[1]}"
            )
        self._transfer.host(batch)
        with torch.inference_mode():
            self._transfer.bring_in(batch)
            self._move()
            under_way = self._transfer.take_out(batch, self._drawn(batch))
        batch.drawn[:] = batch.draw
        return under_way

    # Steps, as they are captured: of tensors that stay where they are

    def _advance(self) -> None:
        self._before()
        self._step_motion(self.motion)
        self._after()

    def _before(self) -> None:
        here = self._here.tensors
        for state in self._states:
            state.clear(here["clear"])
        self.motion.listen(self._motion_state, here["listens"])
        self._heard.copy_(self._hear_on())

    def _hear_on(self) -> Tensor:
        here = self._here.tensors
        return self.features.step(here["hops"], self._features_state, here["active"])

    def _step_motion(self, motion: MotionModel) -> None:
        speech, active = self._here.tensors["speech"], self._here.tensors["active"]
        state = self._motion_state
        self._moved.copy_(motion.step(self._heard, speech, self._controls, state, active))

    def _after(self) -> None:
        here = self._here.tensors
        active, state = here["active"], self._renderer_state
        self.renderer.advance(self._moved, here["hops"], here["speech"], state, active)
        masked_write(here["motion"], self._moved, active)
        masked_write(here["behaviour"], self.motion.behaviour(self._motion_state), active)

    def _draw_into(self, size: Size, planes: Tensor) -> None:
        here = self._here.tensors
        wanted = here["draw"] & (here["size"][:, 0] == size[0]) & (here["size"][:, 1] == size[1])
        rows = first_rows(wanted, len(planes))
        self.renderer.draw(size, rows, self._renderer_state, planes)
        here["draw"].index_fill_(0, rows, False)  # the next piece draws others

    # Around them

    def _drawn(self, batch: Batch) -> Iterator[Drawn]:
        """Draw by size, each in pieces. Pictures are lent until the next are drawn."""
        wanted = np.flatnonzero(batch.draw)
        for size in sorted({batch.size_of(slot) for slot in wanted}):
            rows = wanted[(batch.size[wanted] == size).all(1)]
            for count in pieces(len(rows), self.slots):
                yield Drawn(rows[:count], self._draw(size, count))
                rows = rows[count:]

    def _draw(self, size: Size, count: int) -> Tensor:
        """The next `count` pictures of a size, and perhaps more."""
        planes = self._planes_of(size, count)
        if (graphed := self._draws.get((size, count))) is not None:
            graphed.replay()
        else:  # a frame of a photo's own shape, which nobody knew when this was built
            with fixed_shapes():
                self._draw_into(size, planes)
        return planes

    def _planes_of(self, size: Size, count: int) -> Tensor:
        each = frame_bytes(size)
        if count * each > len(self._planes):
            return self._planes.new_empty(count, each)
        return self._planes[: count * each].view(count, each)
