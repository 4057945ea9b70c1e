"""Which form of an operation runs, and what a launch takes at least."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from kernels.bounds import H100, H200, Work
from kernels.dispatch import interpreted, use_triton


def test_a_cpu_takes_the_twin_unless_told_otherwise() -> None:
    values = torch.zeros(1)
    assert not use_triton(values)
    with interpreted():
        assert use_triton(values, values)
    assert not use_triton(values)


def test_a_card_takes_the_kernel() -> None:
    with FakeTensorMode():  # knows cards that are not there
        values = torch.zeros(1, device="cuda")
        assert use_triton(values, values)
        with pytest.raises(ValueError, match=r"cpu.*cuda"):
            use_triton(values, torch.zeros(1))


def test_what_a_kernel_would_misread_is_refused() -> None:
    askew = torch.zeros(2, 3).T
    assert not use_triton(askew, as_they_lie=(askew,))  # the twin takes it
    with interpreted():
        assert use_triton(askew, as_they_lie=(askew.contiguous(),))
        with pytest.raises(ValueError, match=r"\(3, 2\) as it lies.*strides \(1, 3\)"):
            use_triton(askew, as_they_lie=(askew,))


def test_tensors_of_two_devices_are_refused() -> None:
    with pytest.raises(ValueError, match=r"cpu.*meta"):
        use_triton(torch.zeros(1), torch.zeros(1, device="meta"))


def test_a_launch_takes_as_long_as_the_slower_of_its_bytes_and_its_operations() -> None:
    copy = Work(bytes=48_000_000_000, flops=1)
    assert copy.least_s(H200) == pytest.approx(0.010)
    assert copy.least_s(H100) == pytest.approx(0.010 * 4.8 / 3.35)
    assert Work(bytes=1, flops=67_000_000_000).least_s(H200) == pytest.approx(0.001)
    product = Work(bytes=1, flops=990_000_000_000, unit="matrix")
    assert product.least_s(H200) == pytest.approx(0.001)
