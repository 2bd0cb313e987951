"""What training sets in its process."""

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.nn import functional

from initsuite.engine.process import for_training

DENORMAL = 1e-39


def test_numbers_that_are_almost_0_are_0_in_training_only() -> None:
    with for_training():
        assert float(torch.tensor(DENORMAL * 2) * 0.5) == 0
    assert float(torch.tensor(DENORMAL * 2) * 0.5) > 0


def test_an_operation_that_vmap_carries_out_in_turn_is_no_warning() -> None:
    with for_training(), warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.vmap(lambda each: functional.scaled_dot_product_attention(each, each, each))(torch.ones(2, 1, 2, 3, 4))


def test_what_a_user_has_set_is_there_afterwards() -> None:
    threads = torch.get_num_threads()
    torch.set_flush_denormal(True)
    torch.set_num_threads(3)
    try:
        with for_training(), for_training():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        assert float(torch.tensor(DENORMAL * 2) * 0.5) == 0
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def test_threads_that_enter_and_leave_in_any_order_keep_their_settings() -> None:
    """The first to enter leaves first, while the second trains on."""
    entered, left = threading.Barrier(2, timeout=30), threading.Event()

    def settings() -> tuple[bool, int]:
        return float(torch.tensor(DENORMAL * 2) * 0.5) == 0, torch.get_num_threads()

    def first() -> tuple[bool, int]:
        with for_training():
            entered.wait()
        left.set()
        return settings()

    def second() -> tuple[bool, int]:
        with for_training():
            entered.wait()
            assert left.wait(timeout=30)
            return settings()

    before = settings()
    with ThreadPoolExecutor(2) as pool:
        after, meanwhile = pool.submit(first), pool.submit(second)
        assert meanwhile.result() == (True, 1)
        assert not after.result()[0]
    assert settings() == before


def test_an_error_ends_it_too() -> None:
    with pytest.raises(RuntimeError, match="broken"), for_training():
        raise RuntimeError("broken")
    assert float(torch.tensor(DENORMAL * 2) * 0.5) > 0
